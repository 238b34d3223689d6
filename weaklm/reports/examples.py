"""Rows worth reading, in groups; no row twice, and few enough to read them all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.reports.error_modes import Drivers
from weaklm.reports.scored import Scored

Rows = NDArray[np.int64]

_MODES, _EACH = 5, 3  # causes of REJECT that are shown with so many rows


def examples(scored: Scored, threshold: float, causes: list[Drivers]) -> list[dict[str, Any]]:
    """Return at most 50 rows as groups of ``title`` and ``rows``: mistakes, extremes, causes of REJECT.

    ``causes`` are the functions and the features that drive REJECT; the most frequent are shown.
    """
    score, distance = scored.score, np.abs(scored.score - threshold)
    wrong = np.flatnonzero((scored.Y >= 0) & (scored.accepted != (scored.Y == 1)))
    groups: list[tuple[str, Rows, int]] = [
        ("The score and people disagree, the surest first", _ordered(wrong, -distance), 12),
        *_by_cause(scored, causes),
        ("The lowest scores", _ordered(None, score), 8),
        ("The highest scores", _ordered(None, -score), 7),
        ("The least sure", _ordered(None, distance), 8),
    ]
    shown: set[int] = set()
    found: list[dict[str, Any]] = []
    for title, rows, n in groups:
        new = _first_new(rows, shown, n)
        shown.update(new)
        if new:
            found.append({"title": title, "rows": [scored.example(row) for row in new]})
    return found


def _by_cause(scored: Scored, causes: list[Drivers]) -> list[tuple[str, Rows, int]]:
    """Return a group for each of the most frequent causes of REJECT."""
    everything = np.ones(len(scored.score), dtype=bool)
    frequent = [(one["share"], drivers, one["name"]) for drivers in causes for one in drivers.top(everything)]
    frequent = sorted(frequent, key=lambda one: -one[0])[:_MODES]
    return [
        (f"Rejected, where {name} {drivers.verb}", _ordered(drivers.rows_of(name), scored.score), _EACH)
        for _, drivers, name in frequent
    ]


def _ordered(rows: Rows | None, by: NDArray[np.float64]) -> Rows:
    """Return rows in ascending order of a number (n,); None: of all rows, as many as can be shown."""
    if rows is None:
        n = min(100, len(by))
        rows = np.sort(np.argpartition(by, n - 1)[:n]) if n else np.zeros(0, dtype=np.int64)
    return rows[np.argsort(by[rows], kind="stable")]


def _first_new(rows: Rows, shown: set[int], n: int) -> list[int]:
    found: list[int] = []
    for row in rows.tolist():
        if len(found) == n:
            break
        if row not in shown:
            found.append(row)
    return found
