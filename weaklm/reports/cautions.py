"""What a reader must know before believing a comparison: memory of training rows, what people say, what is left out."""

from collections.abc import Collection
from typing import Any

import numpy as np

from weaklm.reports.evidence import evidence
from weaklm.reports.pairs import Pairs
from weaklm.reports.proxy_gap import gap_notes
from weaklm.reports.verdicts import by_slice, points_of


def leakage(pairs: Pairs, trained_on: Collection[str] | None) -> dict[str, Any] | None:
    """Return how many of the compared instructions were trained on, and the difference without them."""
    known = {str(one) for one in trained_on or ()}
    leaked = np.zeros(len(pairs.table), dtype=bool)
    for k, side in enumerate(pairs.sides):
        is_known = side.data["id"].isin(known) | side.data["instruction_id"].isin(known)
        leaked |= pairs.inside(k, is_known.to_numpy(bool))
    if not leaked.any():
        return None
    rest = evidence(pairs.table[~leaked])
    return {"n": int(leaked.sum()), "difference": rest["difference"], "people": rest["people"]}


def cautions(summary: dict[str, Any], pairs: Pairs) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    notes = [*_leakage_notes(summary, pairs), *_people_notes(summary)]
    notes += gap_notes(summary["gap"], summary["judge"])
    notes += [
        f"{part['instructions']:,} instructions ({part['rows']:,} rows) are left out: {part['reason']}."
        for part in summary["unpaired"]
    ]
    for k, (side, name) in enumerate(zip(pairs.sides, pairs.names, strict=True)):
        rows = side.data[pairs.places[k] >= 0]
        if len(rows) > len(pairs.table):
            sources = rows["source"].nunique()
            from_ = f" from {sources} sources" if sources > 1 else ""
            n = f"{len(pairs.table):,}"
            notes.append(f"{name} has {len(rows):,} answers{from_} to {n} instructions; their mean counts.")
    n_other = pairs.n_other_texts()
    if n_other:
        notes.append(f"{n_other:,} paired instructions differ in their text between the two, under one instruction_id.")
    return notes


def _leakage_notes(summary: dict[str, Any], pairs: Pairs) -> list[str]:
    """Return warnings where the compared instructions may have been trained on."""
    leak, n_train = summary["leakage"], sum(int((side.data["split"] == "train").sum()) for side in pairs.sides)
    found = []
    if leak is not None:
        kept = leak["people"] if summary["judged_by"] == "people" else leak["difference"]
        rest = f"Without them: {points_of(kept)}." if kept["value"] is not None else "There are no others."
        found.append(
            f"Warning: {leak['n']:,} of {summary['n_pairs']:,} compared instructions were trained on, so that a gain "
            f"there may be memory. {rest}"
        )
    elif n_train:
        found.append(f"Warning: {n_train:,} compared rows are of the split 'train': a gain there may be memory.")
    return found


def _people_notes(summary: dict[str, Any]) -> list[str]:
    """Return what people say of the difference, where the verdict is not theirs; or what the score says."""
    human, people = summary["human_difference"], summary["people"]
    if summary["judged_by"] == "people":
        said = f"By {summary['judge']}: {points_of(summary['difference'])} on {summary['n_pairs']:,} pairs."
        return [f"{said} {by_slice(summary['slices'], 'score_outcome')}".strip()]
    if human["low"] is None:
        return [f"People have not labelled both sources: this is what {summary['judge']} says."]
    return [
        f"People, who labelled both sources on {human['n']:,} of the instructions, say {points_of(people)}; from 15 on "
        "the verdict is theirs."
    ]
