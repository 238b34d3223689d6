"""Features on one scale: each value becomes its rank among the training rows, so that no outlier pulls a line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_QUANTILES = np.linspace(0, 1, 21)
_LEAST_SPREAD = 0.05  # a feature that is the same for nearly all rows is not blown up


@dataclass(frozen=True)
class Scale:
    """What is typical of each feature, and what it takes to turn values into ranks.

    Attributes
    ----------
    typical
        (d,) the value that stands where a feature has no meaning: the median of the training rows.
    knots, ranks
        Of each feature: distinct quantiles of the training rows, ascending, and their mean rank from 0 to 1. Values
        between two lie on the line between them; those outside are no more extreme than the outermost.
    center, spread
        (d,) mean and standard deviation of the ranks, the latter with 0.05 added.
    """

    typical: tuple[float, ...]
    knots: tuple[tuple[float, ...], ...]
    ranks: tuple[tuple[float, ...], ...]
    center: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, X: NDArray[np.float32]) -> "Scale":
        """Learn from X (n, d), NaN where a feature has no meaning.

        >>> scale = Scale.fit(np.array([[0.0], [1.0], [2.0], [100.0]], dtype=np.float32))
        >>> scale.apply(np.array([[-5.0], [1.5], [1000.0]])).round(2).ravel().tolist()
        [-1.18, 0.01, 1.2]
        """
        none = np.isnan(X).all(axis=0)
        typical = np.where(none, 0.0, np.nanmedian(np.where(none, 0.0, X), axis=0)).astype(np.float64)
        values = np.where(np.isnan(X), typical, X).astype(np.float64)
        quantiles = np.quantile(values, _QUANTILES, axis=0)
        knots, ranks, center, spread = [], [], [], []
        for column, of_column in zip(values.T, quantiles.T, strict=True):
            distinct, place = np.unique(of_column, return_inverse=True)
            mean_rank = np.bincount(place, _QUANTILES) / np.bincount(place)
            ranked = np.interp(column, distinct, mean_rank)
            knots.append(tuple(distinct.tolist()))
            ranks.append(tuple(mean_rank.tolist()))
            center.append(float(ranked.mean()))
            spread.append(float(ranked.std()) + _LEAST_SPREAD)
        return cls(tuple(typical.tolist()), tuple(knots), tuple(ranks), tuple(center), tuple(spread))

    def fill(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return X float32 with typical values in its gaps: LightGBM would read a gap it never saw as 0."""
        return np.where(np.isnan(X), np.array(self.typical), X).astype(np.float32)

    def apply(self, X: NDArray[Any]) -> Numbers:
        """Return Z (n, d) float64: the ranks of filled X, with mean 0 and standard deviation about 1 in training."""
        Z = np.empty(X.shape)
        for j, column in enumerate(X.T):
            Z[:, j] = np.interp(column, self.knots[j], self.ranks[j])
        return (Z - np.array(self.center)) / np.array(self.spread)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Scale":
        """Return the scale whose ``asdict`` went through JSON."""
        nested: dict[str, Any] = {name: tuple(map(tuple, state[name])) for name in ("knots", "ranks")}
        return cls(**nested, **{name: tuple(state[name]) for name in ("typical", "center", "spread")})
