"""What each step of a curation dropped, over all rows and in each slice; where a slice lost more than its part."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.curation.corrections import is_corrected
from weaklm.curation.decisions import Decisions
from weaklm.data import HUMAN_LABEL

_HELD_OUT = ("dev", "eval", "held-out", "test", "valid", "validation")  # usual names of splits that nobody trains on
_LEAST_EXPECTED = 5  # with fewer rows to be expected, half of them may be missing by chance
_LEAST_SHARE = 0.5


def funnel(reasons: NDArray[Any], steps: Sequence[str]) -> pd.DataFrame:
    """Return one row a step, in order: reason, rows in, dropped, rows out; ``reasons`` is empty for rows that stay.

    >>> funnel(np.array(["short", "", "", "near"], dtype=object), ["short", "near"]).values.tolist()
    [['short', 4, 1, 3], ['near', 3, 1, 2]]
    """
    dropped = _dropped(reasons, steps)
    left = len(reasons) - np.cumsum([0, *dropped])
    return pd.DataFrame({"reason": list(steps), "rows in": left[:-1], "dropped": dropped, "rows out": left[1:]})


def slice_funnel(reasons: NDArray[Any], steps: Sequence[str], S: pd.DataFrame) -> pd.DataFrame:
    """Return one row a slice and step: slice, reason, rows in, dropped, rows out; slices are the columns of S, bool."""
    parts = [
        funnel(reasons[S[name].to_numpy(dtype=bool)], steps).assign(slice=name) for name in S.columns if len(steps)
    ]
    columns = ["slice", "reason", "rows in", "dropped", "rows out"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def slice_shares(kept: NDArray[np.bool_], S: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each slice its rows in and out, its share of all rows and of those kept, and whether it lost half.

    ``lost_half``: its share of the kept rows is less than half of its share of all; said only where at least 5 rows
    of it would be kept at its old share. Shares among no rows are None.
    """
    n, n_kept = len(kept), int(kept.sum())
    shares = []
    for name in S.columns:
        member = S[name].to_numpy(dtype=bool)
        rows_in, rows_out = int(member.sum()), int((member & kept).sum())
        before, after = (rows_in / n if n else None), (rows_out / n_kept if n_kept else None)
        lost = (
            before is not None
            and after is not None
            and after < _LEAST_SHARE * before
            and before * n_kept >= _LEAST_EXPECTED
        )
        shares.append(
            {
                "slice": str(name),
                "rows in": rows_in,
                "rows out": rows_out,
                "share before": before,
                "share after": after,
                "lost_half": lost,
            }
        )
    return shares


def warnings_of(shares: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence for each slice that lost more than half of its share.

    >>> shares = slice_shares(np.arange(100) < 60, pd.DataFrame({"late": np.arange(100) > 55}))
    >>> warnings_of(shares)
    ['The slice late is 44.0 % of all rows and 6.7 % of those kept (4 of 44 rows): less than half of its share.']
    """
    return [
        f"The slice {part['slice']} is {100 * part['share before']:.1f} % of all rows and "
        f"{100 * part['share after']:.1f} % of those kept ({part['rows out']:,} of {part['rows in']:,} rows): less "
        "than half of its share."
        for part in shares
        if part["lost_half"]
    ]


def notes(data: pd.DataFrame, decisions: Decisions, shares: Sequence[dict[str, Any]]) -> list[str]:
    """Return what to know about the kept rows, a sentence each."""
    kept = decisions["kept"]
    said = warnings_of(shares)
    if len(kept) and not kept.any():
        best = int(np.argmax(decisions["confidence"]))
        said.append(
            f"Nothing is left to train on. The surest of all rows is {decisions['label'][best]} with a confidence of "
            f"{decisions['confidence'][best]:.3f}."
        )
    splits = data["split"][kept]
    held_out = splits.isin(_HELD_OUT).to_numpy(dtype=bool)
    if held_out.any():
        names = ", ".join(sorted(set(splits[held_out])))
        n_held_out = int(held_out.sum())
        said.append(f"{n_held_out:,} kept rows are of the split {names}: trained on, it is held out no longer.")
    by_people = is_corrected(data)
    if n_corrected := int((by_people & kept).sum()):
        said.append(f"{n_corrected:,} kept responses are people's corrections; original_response holds the model's.")
    if HUMAN_LABEL in data.columns:
        accepted = kept & (decisions["label"] == "ACCEPT") & ~by_people
        n_rejected = int((data[HUMAN_LABEL].to_numpy(dtype=object)[accepted] == "REJECT").sum())
        if n_rejected:
            said.append(f"{n_rejected:,} kept rows count as ACCEPT by their score, and people rejected them.")
    return said


def _dropped(reasons: NDArray[Any], steps: Sequence[str]) -> list[int]:
    counts = pd.Series(reasons, dtype=object).value_counts()
    return [int(counts.get(step, 0)) for step in steps]
