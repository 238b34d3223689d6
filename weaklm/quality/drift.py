"""Do new responses look like those that a model learned from? Each feature's distribution, then and now."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]

_BINS = np.linspace(0, 1, 11)
MODERATE, LARGE = 0.1, 0.25  # the thresholds that the field uses for the population stability index
_OUTSIDE = 0.02  # so large a share beyond all that was seen is worth an alarm
_CHANCE = 0.05  # of a false alarm over all features


@dataclass(frozen=True)
class Seen:
    """The distribution of each feature in training, in a dozen numbers.

    Attributes
    ----------
    edges
        Of each feature: the upper edges of its bins but the last, which are distinct deciles.
    shares
        Of each feature: the share of rows in each bin, and last of those without a value.
    low, high
        The range of each feature; 0 where it never had a value.
    n
        The number of independent rows that the shares rest on.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int

    @classmethod
    def fit(cls, names: Sequence[str], X: NDArray[Any], n: int) -> "Seen":
        """Learn from X (n_rows, d), NaN where a feature has no meaning; ``n`` rows of it are independent."""
        edges, shares, ends = [], [], []
        for column in X.T.astype(np.float64):
            known = column[~np.isnan(column)]
            inner = np.unique(np.quantile(known, _BINS[1:-1])) if len(known) else np.zeros(0)
            inner = inner[inner < known.max()] if len(known) else inner
            edges.append(tuple(inner.tolist()))
            shares.append(tuple((_counts(column, inner) / len(column)).tolist()))
            ends.append((float(known.min()), float(known.max())) if len(known) else (0.0, 0.0))
        low, high = zip(*ends, strict=True)
        return cls(tuple(names), tuple(edges), tuple(shares), low, high, n)

    def compare(self, X: NDArray[Any], n: int) -> "pd.DataFrame":
        """Return one row a feature, the most changed first; ``n`` of the rows X (n_rows, d) are independent.

        Columns: ``outside``, the share of rows beyond the range of the training rows; ``psi``, the population
        stability index; ``by_chance``, what it reaches without any drift in one of 20 comparisons of all features;
        ``verdict``: "stable", "moderate drift", "large drift", or "too few rows" where chance alone could look large.

        Source: the index and its thresholds of 0.1 and 0.25 as in Siddiqi 2006 (Credit Risk Scorecards); its
        distribution by chance, chi-squared times 1/n + 1/m, Yurdakul and Naranjo 2020 (doi:10.21314/JRMV.2020.227).
        """
        import pandas as pd

        rows = [self._compare(j, column, n) for j, column in enumerate(X.T.astype(np.float64))]
        table = pd.DataFrame(rows, columns=["outside", "psi", "by_chance", "verdict"])
        table.index = pd.Index(self.names, name="feature")
        return table.sort_values(["psi", "outside"], ascending=False, kind="stable")

    def _compare(self, j: int, column: Numbers, n: int) -> tuple[float, float, float, str]:
        from scipy.special import chdtri

        edges, before = np.array(self.edges[j]), np.array(self.shares[j])
        now = _counts(column, edges) / max(len(column), 1)
        # Half a row in each bin: an empty one would make the index infinite.
        p, q = (share * m + 0.5 for share, m in ((before, self.n), (now, n)))
        p, q = p / p.sum(), q / q.sum()
        psi = float(((q - p) * np.log(q / p)).sum())
        used = max(int(((before > 0) | (now > 0)).sum()) - 1, 1)
        by_chance = float(chdtri(used, _CHANCE / len(self.names)) * (1 / max(n, 1) + 1 / max(self.n, 1)))
        known = column[~np.isnan(column)]
        outside = float(((known < self.low[j]) | (known > self.high[j])).sum() / max(len(column), 1))
        return outside, psi, by_chance, _verdict(psi, by_chance, outside, n)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Seen":
        """Return what :meth:`to_dict` gave."""
        nested: dict[str, Any] = {name: tuple(map(tuple, state[name])) for name in ("edges", "shares")}
        return cls(**nested, **{name: tuple(state[name]) for name in ("names", "low", "high")}, n=int(state["n"]))


def drift_alarm(table: "pd.DataFrame") -> list[str]:
    """Return one sentence on a table of :meth:`Seen.compare` where features have moved far, none where not."""
    large = table.index[table["verdict"] == "large drift"]
    if not len(large):
        return []
    worst = ", ".join(f"{name} (psi {table['psi'][name]:.2f})" for name in large[:3])
    return [
        f"Drift alarm: {len(large)} of {len(table)} features have moved far from the training rows, most of all "
        f"{worst}: the score may mean something else there. Label some rows and fit again."
    ]


def _counts(column: Numbers, edges: Numbers) -> Numbers:
    """Return how many values are in each bin, and last how many are missing."""
    missing = np.isnan(column)
    place = np.searchsorted(edges, column[~missing], side="left")
    return np.append(np.bincount(place, minlength=len(edges) + 1), missing.sum()).astype(np.float64)


def _verdict(psi: float, by_chance: float, outside: float, n: int) -> str:
    if psi > max(LARGE, by_chance) or (outside > _OUTSIDE and outside * n >= 5):
        return "large drift"
    if by_chance > LARGE:
        return "too few rows"
    return "moderate drift" if psi > max(MODERATE, by_chance) else "stable"
