"""What drives REJECT: the functions that vote so and the features that pull the score down, overall and by slice."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weaklm.data import REJECT
from weaklm.errors import DataError
from weaklm.estimation import rate
from weaklm.reports.scored import Members, Scored

if TYPE_CHECKING:
    from weaklm.analysis import LFAnalysis
    from weaklm.quality import QualityModel

Flags = NDArray[np.bool_]

_LOOKED_AT = 1000  # rows whose features are computed: they tell shares within 3 points
_SHOWN = 3  # drivers named for each slice
_PULLS = "pulls the score down most"
_LEAST = 15  # rejected rows of a slice, to name what drives them


@dataclass(frozen=True)
class Drivers:
    """Which of some named causes is at work on which row: ``names`` (k,), ``active`` (n_rows, k) bool, ``rows``.

    ``rows`` are the places in the data of what was looked at: all rejected rows, or a random part of them. ``verb``
    says what a cause does there.
    """

    verb: str
    names: list[str]
    rows: NDArray[np.int64]
    active: Flags

    def top(self, part: Flags) -> list[dict[str, Any]]:
        """Return the most frequent causes among rejected rows of a part of the data, (n,) bool; [] for too few."""
        inside = part[self.rows]
        n = int(inside.sum())
        if n < _LEAST:
            return []
        shares = self.active[inside].mean(axis=0)
        order = np.argsort(-shares, kind="stable")[:_SHOWN]
        return [{"name": self.names[j], "share": float(shares[j])} for j in order if shares[j] > 0]

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """Return the rejected rows on which a cause is at work."""
        return self.rows[self.active[:, self.names.index(name)]]


def votes(scored: Scored, analysis: "LFAnalysis") -> Drivers:
    """Return which labeling function votes REJECT on which row that the score rejects."""
    if len(analysis.L) != len(scored.data):
        raise DataError(
            f"the analysis is of {len(analysis.L):,} rows and the report of {len(scored.data):,}; give LFAnalysis the "
            "votes on the rows of the report, in their order"
        )
    rows = np.flatnonzero(~scored.accepted)
    names = analysis.names or [str(j) for j in range(analysis.L.shape[1])]
    return Drivers("votes REJECT", names, rows, analysis.L[rows] == REJECT)


def pulls(scored: Scored, quality: "QualityModel") -> Drivers:
    """Return which feature pulls the score of which rejected row down the most; a random part of many rows."""
    rows = some(np.flatnonzero(~scored.accepted))
    if not len(rows):
        return Drivers(_PULLS, [], rows, np.zeros((0, 0), dtype=bool))
    parts = quality.explain(scored.data.iloc[rows]).drop(columns=["bias", "calibration"], errors="ignore")
    values = parts.to_numpy(float)
    lowest = values.argmin(axis=1)
    active = (np.arange(values.shape[1]) == lowest[:, None]) & (values < 0)
    return Drivers(_PULLS, list(parts.columns), rows, active)


def some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most 1,000 of the rows, drawn at random, in their order."""
    if len(rows) <= _LOOKED_AT:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, _LOOKED_AT, replace=False))


def error_modes(
    scored: Scored, members: Members, by_vote: Drivers | None, by_pull: Drivers | None, L: NDArray[Any] | None
) -> dict[str, Any]:
    """Return where the rejected rows are, and what drives them, as plain values."""
    rejected = ~scored.accepted
    n = int(rejected.sum())
    slices = [
        {
            "name": name,
            "n_rejected": int((inside & rejected).sum()),
            "share_of_rejected": float(inside[rejected].mean()) if n else None,
            "share_of_rows": float(inside.mean()),
            "functions": [] if by_vote is None else by_vote.top(inside),
            "features": [] if by_pull is None else by_pull.top(inside),
        }
        for name, inside in members.items()
        if inside.any()
    ]
    return {
        "n_rejected": n,
        "functions": None if by_vote is None or L is None else _functions(scored, by_vote, L),
        "features": None if by_pull is None else _features(by_pull),
        "n_explained": 0 if by_pull is None else len(by_pull.rows),
        "slices": slices,
    }


def _functions(scored: Scored, by_vote: Drivers, L: NDArray[Any]) -> list[dict[str, Any]]:
    """Return for each function that votes REJECT how many rejected rows it explains, and how often people agree."""
    against = L == REJECT
    n_votes = against.sum(axis=1)
    found = []
    for j, name in enumerate(by_vote.names):
        judged = against[:, j] & (scored.Y >= 0)
        if against[:, j].any():
            found.append(
                {
                    "name": name,
                    "n": int(by_vote.active[:, j].sum()),
                    "share_of_rejected": _share(against[~scored.accepted, j]),
                    "share_of_accepted": _share(against[scored.accepted, j]),
                    "only": int((by_vote.active[:, j] & (n_votes[by_vote.rows] == 1)).sum()),
                    "people_agree": rate(scored.Y[judged] == REJECT).to_dict(),
                }
            )
    return sorted(found, key=lambda one: -one["n"])


def _features(by_pull: Drivers) -> list[dict[str, Any]]:
    """Return the features that pull down at least one of the rows, the most frequent first."""
    counts = by_pull.active.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    return [
        {"name": by_pull.names[j], "n": int(counts[j]), "share_of_rejected": float(counts[j] / len(by_pull.rows))}
        for j in order
        if counts[j]
    ]


def _share(flags: Flags) -> float | None:
    return float(flags.mean()) if len(flags) else None
