"""The proxy-gap meter: does the accept rate by the score rise from base to tuned while people see no rise?

A model tuned on what a score liked learns what that score likes. Its gain by the same score is then larger than its
gain by people, or by a second score that learned from other functions.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.estimation import TOO_FEW, Estimate, paired_difference
from weaklm.reports.pairs import Pairs
from weaklm.reports.verdicts import points_of

Numbers = NDArray[np.float64]


def proxy_gap(pairs: Pairs, threshold: float, second: tuple[ArrayLike, ArrayLike] | None) -> dict[str, Any]:
    """Return how much more the score rises than people do (``gap``), and than a second score does (``second``).

    ``state`` is "rises alone" (the score rises more than people, who are not shown to), "rises more" (more than people,
    who rise too), "rises less", "no gap shown", or "unknown": fewer than 15 labelled instructions on either side. The
    three estimates are over the labelled instructions: those labelled on both sides if there are 15, else the labels
    of each side, unpaired.

    Parameters
    ----------
    second
        The scores of base and of tuned by a quality model that shares no function with the first.
    """
    n_both = int((pairs.table["human_base"].notna() & pairs.table["human_tuned"].notna()).sum())
    is_paired = n_both >= TOO_FEW
    gap, human, proxy = (_rise(pairs, column, is_paired) for column in ("excess", "human", "_proxy"))
    found = {"paired": is_paired, "gap": gap.to_dict(), "human": human.to_dict(), "proxy": proxy.to_dict()}
    return found | {"state": _state(gap, human), "second": _second(pairs, threshold, second)}


def _rise(pairs: Pairs, column: str, is_paired: bool) -> Estimate:
    """Return the rise of a number from base to tuned over the labelled instructions."""
    base, tuned = (_of_side(pairs, column, side) for side in ("base", "tuned"))
    if is_paired:
        both = ~np.isnan(base) & ~np.isnan(tuned)
        return paired_difference(base[both], tuned[both])
    return _unpaired(base[~np.isnan(base)], tuned[~np.isnan(tuned)])


def _of_side(pairs: Pairs, column: str, side: str) -> Numbers:
    table = pairs.table
    if column == "_proxy":  # what the score says where people labelled
        return (table[f"excess_{side}"] + table[f"human_{side}"]).to_numpy(np.float64)
    return table[f"{column}_{side}"].to_numpy(np.float64)


def _unpaired(before: Numbers, after: Numbers) -> Estimate:
    """Return the difference of two means with Welch's interval (1947); one imagined win and loss on each side."""
    n = len(before), len(after)
    if min(n) < 2:
        return Estimate(math.nan, math.nan, math.nan, min(n), "too few")
    from scipy.special import stdtrit

    value = float(after.mean() - before.mean())
    parts = [(float(((x - x.mean()) ** 2).sum()) + 0.5) / (len(x) + 2) / len(x) for x in (before, after)]
    degrees = sum(parts) ** 2 / sum(v**2 / (size - 1) for v, size in zip(parts, n, strict=True))
    half = float(stdtrit(degrees, 0.975)) * math.sqrt(sum(parts))
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), min(n), "Welch")


def _state(gap: Estimate, human: Estimate) -> str:
    if gap.n < TOO_FEW:
        return "unknown"
    if gap.high < 0:
        return "rises less"
    if gap.low <= 0:
        return "no gap shown"
    return "rises more" if human.low > 0 else "rises alone"


def _second(pairs: Pairs, threshold: float, second: tuple[ArrayLike, ArrayLike] | None) -> dict[str, Any] | None:
    """Return the rise by the second score, and how much more the first one rises."""
    if second is None:
        return None
    base, tuned = pairs.means(second, threshold)
    first = (pairs.table[f"accepted_{side}"].to_numpy(np.float64) for side in ("base", "tuned"))
    excess = [a - b for a, b in zip(first, (base, tuned), strict=True)]
    return {"difference": paired_difference(base, tuned).to_dict(), "gap": paired_difference(*excess).to_dict()}


def gap_notes(found: dict[str, Any], judge: str) -> list[str]:
    """Return what the meter shows in sentences; [] where it cannot tell."""
    by_people = [] if found["state"] == "unknown" else [_by_people(found, judge)]
    second = found["second"]
    if second is None or second["gap"]["low"] is None or second["gap"]["low"] <= 0:
        return by_people
    return [*by_people, f"Alarm: the rise by the score is {points_of(second['gap'])} off that by the second score."]


def _by_people(found: dict[str, Any], judge: str) -> str:
    gap = found["gap"]
    apart = f"the rise by the score is {points_of(gap)} off that by people"
    said = {
        "rises alone": f"Alarm: {judge} sees a rise that people are not shown to see: {apart}",
        "rises more": f"{judge} sees a larger rise than people: {apart}",
        "rises less": f"{judge} sees a smaller rise than people: {apart}",
        "no gap shown": f"No gap shown between {judge} and people: {apart}",
    }
    text = said[found["state"]]
    on = "pairs" if found["paired"] else "answers of each"
    return f"{text[0].upper()}{text[1:]}, on {gap['n']:,} labelled {on}."
