"""Accept rates and differences with honest intervals: what people said, what a score adds, paired by instruction.

Every interval treats its units (rows, or instructions in a paired difference) as independent draws from the
population that the report is about; ``finite=True`` asks about exactly these rows instead. Sources: Wilson 1927;
PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453), stratified after Fisch et al. 2024 (arXiv:2406.04291);
labels drawn with unequal chances after Hajek 1971; intervals of weighted shares after Franco et al. 2019
(doi:10.1093/jssam/smy019): Wilson's formula at the effective number of labels.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError
from weaklm.survey import Moments, chances, difference_estimator

Numbers = NDArray[np.float64]

TOO_FEW = 15  # fewer observations than this: the number is shown, but marked
_PSEUDO = 0.25  # the squares of two imagined residuals: without them, few labels promise too much


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, the number of observations behind it, and how it was made.

    ``value`` is nan without observations; the interval of a rate is then [0, 1]: nothing is known. ``low`` and
    ``high`` of a difference are nan where there are too few pairs for an interval.

    Attributes
    ----------
    n_effective
        How many labels, drawn evenly and read without a score, would give as narrow an interval; nan where that is
        not known. Above ``n`` where a score helps, below it where rows were drawn unevenly.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    n_effective: float = math.nan

    @property
    def too_few(self) -> bool:
        """Whether so few observations stand behind the number that it should not be relied on."""
        return self.n < TOO_FEW

    @property
    def label_worth(self) -> float:
        """How many labels one label is worth: ``n_effective / n``; nan where that is not known."""
        return self.n_effective / self.n if self.n else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON: None in place of nan, and ``too_few``."""
        numbers = {key: getattr(self, key) for key in ("value", "low", "high", "n_effective")}
        shown = {key: number if math.isfinite(number) else None for key, number in numbers.items()}
        return {**shown, "n": self.n, "method": self.method, "too_few": self.too_few}


@overload
def wilson(successes: float, n: float, confidence: float = ...) -> tuple[float, float]: ...
@overload
def wilson(
    successes: NDArray[Any], n: NDArray[Any] | float, confidence: float = ...
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def wilson(successes: Any, n: Any, confidence: float = 0.95) -> tuple[Any, Any]:
    """Return the lower and upper end of Wilson's interval for a share, from counts; numbers or arrays alike.

    Without observations (n = 0) there is no interval: both ends are nan.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    k, size = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    if np.any(k < 0) or np.any(k > size):
        raise DataError(f"{successes!r} successes of {n!r} is no share; expected 0 <= successes <= n")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = wilson_ends(k / size, size, z)
    # The ends are exact at 0 and 1, where rounding would leave 1e-17.
    low, high = np.where(k == 0, 0 * low, low), np.where(k == size, 0 * high + 1, high)
    return (float(low), float(high)) if low.ndim == 0 else (low, high)


def wilson_ends(share: Any, n: Any, z: float) -> tuple[Any, Any]:
    """Return the ends of Wilson's interval of a share of n rows, of an effective number too; z is the quantile."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def rate(accepted: ArrayLike, confidence: float = 0.95, *, population: int | None = None) -> Estimate:
    """Return the share of True in a boolean array (n,), with Wilson's interval; [0, 1] without observations.

    Parameters
    ----------
    population
        The number of rows that these were drawn from, when the question is about exactly those rows: the more of
        them were seen, the less is left to chance (finite-population correction). None: any number of them.

    >>> rate([True, True, False, True]).value
    0.75
    >>> rate([True, True, False, True], population=4).low
    0.75
    """
    accepted = np.asarray(accepted, dtype=bool)
    return _weighted_rate(accepted.astype(float), np.ones(len(accepted)), confidence, population)


def human_rate(
    Y: NDArray[Any], confidence: float = 0.95, *, inclusion: ArrayLike | None = None, finite: bool = False
) -> Estimate:
    """Return the share that people accepted among the rows that they labelled: Y is (n,), -1 where they did not.

    Parameters
    ----------
    inclusion
        (n,) the chance that each row had to be labelled, where they were not all alike (see
        :func:`weaklm.sampling.draw`). None: the labelled rows are an even draw.
    finite
        Whether the rate of exactly these n rows is asked for.

    Source: the mean weighted by 1 / chance (Hajek 1971), and Kish's effective number (Kish 1965, section 8.2).
    """
    Y = np.asarray(Y)
    is_labelled = Y >= 0
    weight = (
        1 / chances(inclusion, is_labelled)[is_labelled] if inclusion is not None else np.ones(int(is_labelled.sum()))
    )
    return _weighted_rate((Y[is_labelled] == 1).astype(float), weight, confidence, len(Y) if finite else None)


def _weighted_rate(y: Numbers, weight: Numbers, confidence: float, population: int | None) -> Estimate:
    n = len(y)
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0, "Wilson", 0.0)
    if population is not None and population < n:
        raise DataError(f"{n} observations of a population of {population}; expected at least {n}")
    even = bool((weight == weight[0]).all())
    value = float(y.mean() if even else np.average(y, weights=weight))
    n_effective = n if even else float(weight.sum() ** 2 / (weight**2).sum())
    method = "Wilson" if even else "weighted Wilson"
    if population == n:
        return Estimate(value, value, value, n, method, math.inf)
    if population is not None:
        n_effective *= (population - 1) / (population - n)
    low, high = wilson(min(value, 1.0) * n_effective, n_effective, confidence)
    return Estimate(value, low, high, n, method, float(n_effective))


def corrected_rate(
    Y: NDArray[Any],
    score: NDArray[np.float64],
    confidence: float = 0.95,
    *,
    strata: ArrayLike | None = None,
    inclusion: ArrayLike | None = None,
    finite: bool = False,
) -> Estimate | None:
    """Return the accept rate of all rows from the labels of some and the score of every one, or None.

    The score (n,) says what to expect of the rows that nobody labelled; the labels Y (n,), -1 where there is none,
    measure how far the score is off. It is weighted by how well it follows the labels, so a useless score costs
    nothing. It must not have learned from these labels, and the labelled rows must be a random draw.

    None below 15 labels or 3 of either class, where the approximation fails (use :func:`human_rate`), and where
    every row is labelled, so that there is nothing to add.

    Parameters
    ----------
    strata
        (n,) the part that each row belongs to, when labels were drawn part by part: each part counts by its rows,
        not by its labels. Parts with fewer than 10 labels are joined with the next one. See
        :func:`weaklm.survey.score_strata`.
    inclusion
        (n,) the chance that each row had to be labelled, when these differ (see :func:`weaklm.sampling.draw`).
    finite
        Whether the rate of exactly these n rows is asked for, and not that of the source they came from.

    Notes
    -----
    PPI++ as a difference estimator over all rows, which is the same estimate. The interval is Wilson's at the
    effective number of labels, with a t quantile, in place of the estimate +- t standard errors: measured over rare
    rejects and biased scores it covers as often as it says from 15 labels on, never leaves [0, 1] and is narrower.
    """
    Y, f = np.asarray(Y), np.asarray(score, dtype=float)
    if f.shape != Y.shape:
        raise DataError(f"labels of shape {Y.shape} and scores of shape {f.shape}; expected one of each a row")
    labels = Y[Y >= 0]
    n = len(labels)
    if n < TOO_FEW or n == len(Y) or min(int(labels.sum()), n - int(labels.sum())) < 3:
        return None
    fit = difference_estimator(np.where(Y >= 0, Y, np.nan), f, strata, inclusion, finite=finite, pseudo=_PSEUDO)
    value = min(max(fit.value, 0.0), 1.0)
    smoothed = (n * value + 1) / (n + 2)  # a rate of exactly 0 or 1 says nothing about how much rows vary
    n_effective = smoothed * (1 - smoothed) / fit.variance
    low, high = wilson_ends(value, n_effective, fit.quantile(confidence))
    method = "PPI++" if strata is None else "stratified PPI++"
    return Estimate(value, max(0.0, float(low)), min(1.0, float(high)), n, method, n_effective)


def label_worth(Y: ArrayLike, score: ArrayLike) -> float:
    """Return how many labels one label is worth, thanks to the score: 1 / (1 - correlation ** 2); for many unlabelled.

    ``Y`` (n,) holds 0 and 1; -1, unlabelled, is left out. nan where it cannot be said: labels or scores are all alike.

    >>> round(label_worth([0, 0, 1, 1, -1], [0.1, 0.6, 0.4, 0.9, 0.5]), 3)
    1.36
    """
    labels, values = np.asarray(Y), np.asarray(score, dtype=float)
    labels, values = labels[labels >= 0], values[labels >= 0]
    if len(np.unique(labels)) < 2 or np.ptp(values) == 0:
        return math.nan
    correlation = max(float(np.corrcoef(labels, values)[0, 1]), 0.0)  # a score that runs against people gets no weight
    return 1 / (1 - correlation**2) if correlation < 1 - 1e-12 else math.nan


def labels_needed(estimate: Estimate, boundary: float, *, power: float = 0.8, confidence: float = 0.95) -> int | None:
    """Return how many more observations a decision needs: until the interval leaves ``boundary`` to one side.

    0 when it does already. None when no number can be named: the estimate has no interval, or lies on the boundary.
    The answer supposes that the value is right, so it is a plan and no promise; ask again after each batch.

    Parameters
    ----------
    boundary
        The rate to decide against (a gate, another rate), or 0 for a difference.
    power
        How likely the decision then is.

    >>> labels_needed(Estimate(0.8, 0.62, 0.91, 30, "Wilson"), boundary=0.7)
    99
    """
    if estimate.low > boundary or estimate.high < boundary:
        return 0
    distance = abs(estimate.value - boundary)
    width = estimate.high - estimate.low
    if not (distance > 0 and width > 0 and estimate.n > 0):  # nan, too
        return None
    normal = NormalDist()
    z = normal.inv_cdf((1 + confidence) / 2)
    spread = width / (2 * z) * math.sqrt(estimate.n)  # of one observation
    total = ((z + normal.inv_cdf(power)) * spread / distance) ** 2
    return max(1, math.ceil(total) - estimate.n)


def paired_difference(
    before: ArrayLike,
    after: ArrayLike,
    *,
    smooth: bool = True,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> Estimate:
    """Return the mean of ``after - before`` over instructions, with a t interval.

    Each array is (n_instructions,), from 0 to 1, one value an instruction: the mean over its rows where it was
    answered several times (:func:`by_instruction`). So the unit is the instruction, and several answers to one do not
    narrow the interval. Below two instructions there is no interval.

    Parameters
    ----------
    smooth
        Add one imagined win and one imagined loss to the variance (after Agresti and Min 2005, "Simple improved
        confidence intervals for comparing matched proportions", who add half of each): without them, five ties out of
        five would claim a difference of 0 +- 0, and with halves two equal sources are called different in up to .065
        of cases, not .05. For accept decisions; False for scores, which vary by themselves.
    clusters
        (n_instructions,) what several instructions share (a document, a customer), when they rise and fall together:
        the unit is then the cluster, and ``n`` counts clusters (the sandwich of Liang and Zeger 1986).

    >>> paired_difference([0, 0, 1, 0], [1, 1, 1, 0]).value
    0.5
    """
    moments = paired_moments(before, after, smooth=smooth, clusters=clusters)
    if moments.n < 2:
        return Estimate(moments.value, math.nan, math.nan, moments.n, "too few")
    half = moments.quantile(confidence) * math.sqrt(moments.variance)
    value = moments.value
    method = "paired t" if clusters is None else "clustered paired t"
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), moments.n, method)


def corrected_difference(
    Y_before: ArrayLike,
    Y_after: ArrayLike,
    score_before: ArrayLike,
    score_after: ArrayLike,
    confidence: float = 0.95,
    *,
    inclusion: ArrayLike | None = None,
) -> Estimate | None:
    """Return the mean of ``after - before`` as people judge, from the pairs they labelled and the scores of all pairs.

    Each array is (n_instructions,); labels are nan where people did not label, scores come from a model that did not
    learn from these labels. None below 15 pairs that are labelled on both sides, or where every pair is.

    Source: PPI++ on the paired differences, with a t interval and the pseudo-residuals of :func:`paired_difference`.
    """
    arrays = (Y_before, Y_after, score_before, score_after)
    y_before, y_after, f_before, f_after = (np.asarray(values, dtype=float) for values in arrays)
    y, f = y_after - y_before, f_after - f_before
    n = int((~np.isnan(y)).sum())
    if n < TOO_FEW or n == len(y):
        return None
    fit = difference_estimator(y, f, None, inclusion, finite=False, pseudo=2.0)
    half = fit.quantile(confidence) * math.sqrt(fit.variance)
    return Estimate(fit.value, max(-1.0, fit.value - half), min(1.0, fit.value + half), n, "paired PPI++")


def by_instruction(values: ArrayLike, instruction_ids: ArrayLike) -> tuple[NDArray[Any], Numbers]:
    """Return the distinct instructions, sorted, and the mean of ``values`` (n,) over the rows of each.

    >>> ids, means = by_instruction([1, 0, 1], ["b", "b", "a"])
    >>> ids.tolist(), means.tolist()
    (['a', 'b'], [1.0, 0.5])
    """
    ids, place = np.unique(np.asarray(instruction_ids), return_inverse=True)
    return ids, np.bincount(place, np.asarray(values, dtype=float)) / np.bincount(place)


def paired_moments(
    before: ArrayLike, after: ArrayLike, *, smooth: bool = True, clusters: ArrayLike | None = None
) -> Moments:
    """Return the mean of ``after - before``, its variance and degrees of freedom; see :func:`paired_difference`."""
    difference = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    value = float(difference.mean()) if len(difference) else math.nan
    residual, imagined = difference - value, 2.0
    if clusters is not None:
        _, place = np.unique(np.asarray(clusters), return_inverse=True)
        sums, squares = np.bincount(place, residual), float((residual**2).sum())
        size = len(residual) / max(len(sums), 1)
        effect = float((sums**2).sum()) / squares if squares > 0 else size  # of hanging together, from 1 to size
        residual, imagined = sums / size, 2.0 * min(max(effect, 1.0), size) / size
    n = len(residual)
    if n < 2:
        return Moments(value, math.nan, math.nan, n)
    squares = float((residual**2).sum())
    variance = (squares + imagined) / (n + 2) if smooth else squares / (n - 1)
    return Moments(value, variance / n, n - 1, n)
