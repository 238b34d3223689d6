"""Answers to one instruction resemble each other, so they count for less than as many answers to different ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.estimation import Estimate, wilson_ends

Numbers = NDArray[np.float64]


def design_effect(residuals: ArrayLike, clusters: NDArray[np.int64], imagined: float = 0.0) -> float:
    """Return how many rows it takes to know as much as one independent row tells: from 1 to the mean size of a cluster.

    Parameters
    ----------
    residuals
        (n,) what each row adds to a mean, less that mean.
    clusters
        (n,) the number, from 0 on, of what each row belongs to.
    imagined
        The variance of a row of two imagined clusters, whose rows are all alike: without them, rows that are all alike
        by chance would seem to know of no clusters.

    Source: the ratio of the sandwich variance (Liang and Zeger 1986) to that of independent rows (Kish 1965, 5.4).

    >>> design_effect([0.5, 0.5, -0.5, -0.5], np.array([0, 0, 1, 1]))
    2.0
    """
    values = np.asarray(residuals, dtype=float)
    sizes = np.bincount(clusters)
    largest = float((sizes**2).sum() / max(len(values), 1))  # the mean size of the cluster that a row is in
    if largest <= 1:
        return 1.0
    together = float((np.bincount(clusters, values) ** 2).sum()) + 2 * largest**2 * imagined
    apart = float((values**2).sum()) + 2 * largest * imagined
    return min(max(together / apart, 1.0), largest) if apart > 0 else largest


def widened(estimate: Estimate, effect: float, n_clusters: int, confidence: float = 0.95) -> Estimate:
    """Return a rate with the interval that it has when each of its observations counts 1 / effect; 1 changes nothing.

    Source: Wilson's formula at the effective number of rows, with a t quantile over the clusters.
    """
    if effect <= 1 or not 0 < estimate.n_effective < np.inf:
        return estimate
    from scipy.special import stdtrit

    n_effective = estimate.n_effective / effect
    low, high = wilson_ends(estimate.value, n_effective, float(stdtrit(max(n_clusters - 1, 1), (1 + confidence) / 2)))
    ends = max(0.0, float(low)), min(1.0, float(high))
    return Estimate(estimate.value, *ends, estimate.n, f"clustered {estimate.method}", n_effective)


def influence(Y: NDArray[np.int8], score: Numbers, inclusion: Numbers | None) -> Numbers:
    """Return what each row (n,) adds to the rate that score and labels give together, less that rate.

    The linear form of PPI++: a row adds what its score says, and a labelled one how far the score was off there, times
    the number of rows that it stands for. Y is -1 where nobody labelled.
    """
    is_labelled = Y >= 0
    y, f = Y[is_labelled].astype(float), score[is_labelled]
    weight = np.ones(len(y)) if inclusion is None else 1 / inclusion[is_labelled]
    weight = weight * (len(Y) / weight.sum())
    f_off, y_off = f - np.average(f, weights=weight), y - np.average(y, weights=weight)
    spread = float((weight * f_off**2).sum())
    trust = max(float((weight * y_off * f_off).sum()) / spread, 0.0) if spread > 0 else 0.0
    trust = min(trust, len(Y) / (len(Y) - len(y)))
    values = trust * (score - score.mean())
    values[is_labelled] += weight * (y_off - trust * f_off)
    return np.asarray(values, dtype=np.float64)
