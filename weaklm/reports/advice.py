"""What to do next, computed from a report: which rows to label and how many, what to mend, where to look first."""

import math
from statistics import NormalDist
from typing import Any

from weaklm.estimation import Estimate, labels_needed
from weaklm.wording import percent

_HALF_WIDTH = 0.10  # a rate within 10 points is good enough to act on
_LEAST_LIFT = 1.5  # how much more often than elsewhere a slice is rejected, to be looked at first
_LEAST_ROWS = 15
_MOST_LABELS = 1000  # nobody labels more than that for one interval


def advice(summary: dict[str, Any], target: float | None) -> list[dict[str, Any]]:
    """Return what to do next as ``kind``, ``text``, and for labels ``part`` and ``n_labels``; most urgent first.

    ``target`` is a rate to decide against, such as a gate; None: intervals are to be within 10 points.
    """
    found = [
        _label(summary, target),
        _calibrate(summary["agreement"]),
        _shortcut(summary["agreement"]),
        _look(summary["error_modes"]),
        *_mend(summary["error_modes"]["functions"] or []),
        _cover(summary["coverage"]),
    ]
    return [one for one in found if one is not None]


def _label(summary: dict[str, Any], target: float | None) -> dict[str, Any] | None:
    """Return where labels narrow the widest interval that matters: its width times the share of the rows."""
    overall = summary["overall"]
    parts = summary["slices"] if summary["n_labelled"] and summary["slices"] else [overall]
    needed = [(_weight(part), part, n) for part in parts if (n := labels_wanted(part, target)) is not None]
    if not needed:
        return None
    _, part, n = max(needed, key=lambda one: one[0])
    rows = f"{n:,} {'more ' if part['human']['n'] else ''}row{'s' if n != 1 else ''}"
    if not summary["n_labelled"]:
        text = f"Label {rows}, drawn at random (weaklm.sampling.draw): nobody has checked the score yet."
    else:
        width = 100 * (_known(part)["high"] - _known(part)["low"])
        where = "at random" if part is overall else f"in {part['name']}"
        then = "within 10 points of the rate" if target is None else f"to one side of {percent(target, 0)}"
        text = (
            f"Label {rows} {where}: the interval there is the widest that matters ({width:.0f} points on "
            f"{percent(part['share'], 0)} of the rows). About so many labels bring it {then}."
        )
    return {"kind": "label", "text": text, "part": part["name"], "n_labels": n}


def labels_wanted(part: dict[str, Any], target: float | None) -> int | None:
    """Return how many more labels of a part make its rate known well enough; None: it is, or rows are lacking."""
    known, left = _known(part), part["n"] - part["human"]["n"]
    if part["n"] < _LEAST_ROWS or left == 0:
        return None
    wanted = _to_decide(known, target) if target is not None else _to_width(part, known)
    if wanted is None or wanted == 0 or wanted > _MOST_LABELS:
        return None
    return min(5 * math.ceil(wanted / 5), left)


def _to_decide(known: dict[str, Any], target: float) -> int | None:
    if known["n"] < _LEAST_ROWS:
        return _LEAST_ROWS - known["n"]
    return labels_needed(Estimate(known["value"], known["low"], known["high"], known["n"], known["method"]), target)


def _to_width(part: dict[str, Any], known: dict[str, Any]) -> int | None:
    """Return the labels until an interval is within 10 points, when each is worth what those so far are."""
    if known["high"] - known["low"] <= 2 * _HALF_WIDTH:
        return None
    value = part["proxy"]["value"] if known["n"] < _LEAST_ROWS else known["value"]
    value = min(max(value, 0.1), 0.9)  # a rate of 0 or 1 on few rows is no reason to ask for few
    total = NormalDist().inv_cdf(0.975) ** 2 * value * (1 - value) / _HALF_WIDTH**2
    effective = known["n_effective"] or 0.0
    worth = effective / known["n"] if known["n"] >= _LEAST_ROWS else 1.0
    return max(1, math.ceil((total - effective) / worth))


def _known(part: dict[str, Any]) -> dict[str, Any]:
    """Return the rate of a part as people have it, with the help of the score where that is possible."""
    return dict(part["corrected"] or part["human"])


def _weight(part: dict[str, Any]) -> float:
    known = _known(part)
    return float((known["high"] - known["low"]) * part["share"])


def _calibrate(agreement: dict[str, Any] | None) -> dict[str, Any] | None:
    gap = None if agreement is None else agreement["gap"]
    if gap is None or gap["low"] is None or gap["low"] <= 0 <= gap["high"] or gap["n"] < _LEAST_ROWS:
        return None
    more = "more" if gap["value"] > 0 else "less"
    text = (
        f"Fit the quality model with human labels of training rows: on {gap['n']:,} labelled rows it accepts "
        f"{abs(gap['value']) * 100:.0f} points {more} than people do."
    )
    return {"kind": "calibrate", "text": text}


def _shortcut(agreement: dict[str, Any] | None) -> dict[str, Any] | None:
    if agreement is None or not agreement["is_shortcut"] or agreement["n"] < 2 * _LEAST_ROWS:
        return None
    text = "Look at the functions that vote by length: the score is not shown to rank better than the length alone."
    return {"kind": "shortcut", "text": text}


def _look(modes: dict[str, Any]) -> dict[str, Any] | None:
    """Return the slice with the most rejected rows beyond its share of the rows."""
    bad = [
        part
        for part in modes["slices"]
        if part["n_rejected"] >= _LEAST_ROWS and part["share_of_rejected"] >= _LEAST_LIFT * part["share_of_rows"]
    ]
    if not bad:
        return None
    part = max(bad, key=lambda one: one["share_of_rejected"] - one["share_of_rows"])
    drivers = part["functions"] or part["features"]
    driven = f"; {drivers[0]['name']} is at work on {percent(drivers[0]['share'], 0)} of them" if drivers else ""
    of_rows, of_rejected = percent(part["share_of_rows"], 0), percent(part["share_of_rejected"], 0)
    text = f"Look at {part['name']} first: {of_rows} of the rows, but {of_rejected} of the rejected ones{driven}."
    return {"kind": "look", "text": text}


def _mend(functions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions whose REJECT votes people mostly contradict."""
    found = []
    for one in functions:
        people = one["people_agree"]
        if people["n"] and people["high"] < 0.5:
            n, share = people["n"], percent(people["value"], 0)
            text = f"Mend or drop {one['name']}: people agree with {share} of its REJECT votes on {n:,} labelled rows."
            found.append({"kind": "mend", "text": text})
    return found[:3]


def _cover(coverage: float | None) -> dict[str, Any] | None:
    if coverage is None or coverage >= 0.7:
        return None
    text = (
        f"Write functions for the rows that none votes on: they are {percent(1 - coverage, 0)} (LFAnalysis.uncovered)."
    )
    return {"kind": "cover", "text": text}
