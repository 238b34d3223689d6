"""What a reader must know before believing the numbers of a report."""

from typing import Any

import pandas as pd

from weaklm.reports.retrieval import retrieval_note


def notes(summary: dict[str, Any], data: pd.DataFrame, *, is_uneven: bool) -> list[str]:
    """Return the sentences that stand under the rates; ``is_uneven``: rows had different chances to be labelled."""
    found = [*_label_notes(summary), *_alarms(summary)]
    n, n_instructions = summary["n"], summary["n_instructions"]
    if n > n_instructions:
        found.append(
            f"{n:,} rows answer {n_instructions:,} instructions. Intervals count answers to one instruction for as "
            "much as they differ."
        )
    if is_uneven and summary["agreement"] is not None:
        found.append(
            "Rows had different chances to be labelled. Rates weigh that; the agreement is of the labelled rows."
        )
    is_training = (data["split"] == "train").to_numpy()
    if is_training.any():
        found.append(f"{int(is_training.sum()):,} rows are of the split 'train': the score may have learned from them.")
    if summary["in_no_slice"]:
        found.append(f"{summary['in_no_slice']:,} rows are in no slice.")
    on_response = [part["name"] for part in summary["slices"] if part["reads_response"]]
    if on_response:
        found.append(
            f"Slices that read the response: {', '.join(on_response)}. Their members change from source to source, so "
            "sources cannot be compared on them."
        )
    return found


def _label_notes(summary: dict[str, Any]) -> list[str]:
    n, n_labelled = summary["n"], summary["n_labelled"]
    if n and not n_labelled:
        return ["No row has a human label: every rate here is what the score says, and nobody has checked it."]
    found = []
    if n and summary["overall"]["corrected"] is None and n_labelled < n:
        found.append("A corrected rate needs at least 15 human labels, 3 of them ACCEPT and 3 REJECT.")
    return found + _gap_notes(summary["agreement"])


def _gap_notes(agreement: dict[str, Any] | None) -> list[str]:
    """Return a note where the score clearly accepts more, or less, than people do; and what a label is worth."""
    if agreement is None:
        return []
    gap, worth, found = agreement["gap"], agreement["label_worth"], []
    if gap["low"] is not None and not gap["low"] <= 0 <= gap["high"]:
        kind, more = ("generous", "more") if gap["value"] > 0 else ("strict", "less")
        points = abs(gap["value"]) * 100
        n = f"{agreement['n']:,}"
        found.append(
            f"The score is too {kind}: on {n} labelled rows it accepts {points:.1f} points {more} than people do."
        )
    if worth is not None and agreement["n"] >= 15:
        found.append(f"Thanks to the score, a human label is worth up to {worth:.1f} labels in the corrected rate.")
    return found


def _alarms(summary: dict[str, Any]) -> list[str]:
    agreement, length = summary["agreement"], summary["length"]
    found = []
    if agreement is not None and agreement["is_shortcut"] and agreement["n"] >= 30:
        found.append("Alarm: the score is not shown to rank responses better than their length alone does.")
    elif length["is_notable"]:
        longer = "longer" if length["value"] > 0 else "shorter"
        found.append(
            f"The score rises with {longer} responses (rank correlation {length['value']:+.2f}): see that it is not "
            "the length that it likes."
        )
    found += summary["alarms"]
    if summary["retrieval"] is not None:
        found.append(retrieval_note(summary["retrieval"]))
    return found
