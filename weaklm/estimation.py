"""Accept rates and differences with honest intervals: what people said, what a score adds, paired by instruction.

Every interval treats its units (rows, or instructions in a paired difference) as independent draws from the
population that the report is about. Sources: Wilson 1927; PPI++ (Angelopoulos, Duchi and Zrnic 2023,
arXiv:2311.01453), with a t quantile and pseudo-residuals for small samples.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError

TOO_FEW = 15  # fewer observations than this: the number is shown, but marked


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, the number of observations behind it, and how it was made.

    ``value`` is nan without observations; ``low`` and ``high`` are nan where there are too few for an interval.
    """

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def too_few(self) -> bool:
        """Whether so few observations stand behind the number that it should not be relied on."""
        return self.n < TOO_FEW

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON: None in place of nan, and ``too_few``."""
        numbers = {key: getattr(self, key) for key in ("value", "low", "high")}
        shown = {key: None if math.isnan(number) else number for key, number in numbers.items()}
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
        share = k / size
        centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
        half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    # The ends are exact at 0 and 1, where rounding would leave 1e-17.
    low, high = np.where(k == 0, 0 * centre, centre - half), np.where(k == size, 1 + 0 * centre, centre + half)
    return (float(low), float(high)) if low.ndim == 0 else (low, high)


def rate(accepted: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the share of True in a boolean array (n,), with Wilson's interval.

    >>> rate([True, True, False, True]).value
    0.75
    """
    accepted = np.asarray(accepted, dtype=bool)
    k, n = int(accepted.sum()), len(accepted)
    low, high = wilson(k, n, confidence)
    return Estimate(k / n if n else math.nan, low, high, n, "Wilson")


def human_rate(Y: NDArray[Any], confidence: float = 0.95) -> Estimate:
    """Return the share that people accepted among the rows that they labelled: Y is (n,), -1 where they did not."""
    Y = np.asarray(Y)
    return rate(Y[Y >= 0] == 1, confidence)


def corrected_rate(Y: NDArray[Any], score: NDArray[np.float64], confidence: float = 0.95) -> Estimate | None:
    """Return the accept rate of all rows from the labels of some and the score of every one, or None.

    The score (n,) says what to expect of the rows that nobody labelled; the labels Y (n,), -1 where there is none,
    measure how far the score is off. It is weighted by how well it follows the labels, so a useless score costs
    nothing. It must not have learned from these labels, and the labelled rows must be a random draw.

    None below 15 labels or 3 of either class, where the approximation fails (use :func:`human_rate`), and where
    every row is labelled, so that there is nothing to add.

    Source: PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453), with a t quantile and the residual
    variance smoothed by two pseudo-residuals, which restore the coverage at small n.
    """
    from scipy.special import stdtrit

    Y, score = np.asarray(Y), np.asarray(score, dtype=float)
    is_labelled = Y >= 0
    y, f, f_rest = Y[is_labelled].astype(float), score[is_labelled], score[~is_labelled]
    n, n_rest = len(y), len(f_rest)
    if n < TOO_FEW or n_rest == 0 or min(y.sum(), n - y.sum()) < 3:
        return None
    weight = _score_weight(y, f, n / n_rest)
    residual = y - weight * f
    value = weight * f_rest.mean() + residual.mean()
    variance = weight**2 * f_rest.var() / n_rest + (n * residual.var() + 0.5) / (n + 2) / n
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(float(np.clip(value, 0, 1)), float(low), float(high), n, "PPI++")


def _score_weight(y: NDArray[np.float64], f: NDArray[np.float64], ratio: float) -> float:
    """Return how much to trust the score, from 0 to 1: the weight that makes the estimate's variance smallest."""
    spread = float(f.var())
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return min(max(covariance / ((1 + ratio) * spread), 0.0), 1.0) if spread > 0 else 0.0


def paired_difference(
    before: ArrayLike, after: ArrayLike, *, smooth: bool = True, confidence: float = 0.95
) -> Estimate:
    """Return the mean of ``after - before`` over instructions, with a t interval.

    Each array is (n_instructions,), from 0 to 1, one value an instruction: the mean over its rows where it was
    answered several times. So the unit is the instruction, and several answers to one do not narrow the interval.
    Below two instructions there is no interval.

    Parameters
    ----------
    smooth
        Add one imagined win and one imagined loss, at half weight, to the variance (after Agresti and Min 2005,
        "Simple improved confidence intervals for comparing matched proportions"): without them, five ties out of
        five would claim a difference of 0 +- 0. For accept decisions; False for scores, which vary by themselves.

    >>> paired_difference([0, 0, 1, 0], [1, 1, 1, 0]).value
    0.5
    """
    from scipy.special import stdtrit

    difference = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    n = len(difference)
    if n < 2:
        return Estimate(float(difference[0]) if n else math.nan, math.nan, math.nan, n, "too few")
    value, variance = float(difference.mean()), float(difference.var(ddof=1))
    if smooth:
        variance = (n * float(difference.var()) + 1) / (n + 2)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(variance / n)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), n, "paired t")
