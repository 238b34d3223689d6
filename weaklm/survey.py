"""The mean of a population from a few labels, drawn with known chances, and a score of every row."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """An estimate, its variance, the degrees of freedom of that, and the number of independent units."""

    value: float
    variance: float
    degrees: float
    n: int

    def quantile(self, confidence: float) -> float:
        """Return the t quantile of a two-sided interval."""
        from scipy.special import stdtrit

        return float(stdtrit(max(self.degrees, 1.0), (1 + confidence) / 2))


def score_strata(score: ArrayLike, n_strata: int = 4) -> NDArray[np.int64]:
    """Return the stratum (n,) of each row, 0 to n_strata - 1: equally many rows each, by score; ties stay together.

    >>> score_strata([0.1, 0.9, 0.2, 0.8], n_strata=2).tolist()
    [0, 1, 0, 1]
    """
    values = np.asarray(score, dtype=float)
    inner = np.quantile(values, np.arange(1, n_strata) / n_strata) if len(values) else np.zeros(0)
    return np.searchsorted(inner, values, side="left").astype(np.int64)


def difference_estimator(
    y: Numbers, f: Numbers, strata: ArrayLike | None, inclusion: ArrayLike | None, *, finite: bool, pseudo: float
) -> Moments:
    """Return the mean of y over all rows: that of trust * f, corrected by the labelled rows; y is nan where unlabelled.

    Within a stratum, rows are weighted by 1 / chance. One weight of the score for all strata: few labels a stratum
    cannot tell one each.
    """
    is_labelled = ~np.isnan(y)
    n, n_all = int(is_labelled.sum()), len(y)
    _, stratum = np.unique(np.zeros(n_all) if strata is None else np.asarray(strata), return_inverse=True)
    drawn = np.bincount(stratum, is_labelled) / np.bincount(stratum)
    chance = drawn[stratum] if inclusion is None else chances(inclusion, is_labelled)
    part = _joined(stratum, is_labelled)
    sizes, counts = np.bincount(part), np.bincount(part[is_labelled])
    yl, fl, s, chance = y[is_labelled], f[is_labelled], part[is_labelled], chance[is_labelled]
    w = 1 / chance
    w = w / np.bincount(s, w)[s] * (sizes / n_all)[s]  # sums to the stratum's share of the rows, over all to 1
    y_off, f_off = yl - _means(yl, w, s), fl - _means(fl, w, s)
    spread = float((w**2 * f_off**2).sum())
    trust = float((w**2 * y_off * f_off).sum()) / spread if spread > 1e-300 else 0.0
    trust = min(max(trust, 0.0), n_all / (n_all - n))
    value = trust * float(f.mean()) + float((w * (yl - trust * fl)).sum())
    few = counts / np.maximum(counts - 1, 1)
    residual = y_off - trust * f_off
    sampling = float((few[s] * (1 - chance) * w**2 * residual**2).sum())
    degrees = max(float(1 / (w**2).sum()), 1.0) - len(sizes) if inclusion is not None else n - len(sizes)
    variance = (n - 1) / (n + 2) * sampling + (1 - n / n_all) * pseudo / (n * (n + 2))
    if not finite:
        variance += float((w * (yl - float((w * yl).sum())) ** 2).sum()) / n_all
    return Moments(value, variance, degrees, n)


def _means(values: Numbers, weight: Numbers, part: NDArray[np.int64]) -> Numbers:
    """Return, for each row, the weighted mean of its part."""
    return (np.bincount(part, weight * values) / np.bincount(part, weight))[part]


def _joined(stratum: NDArray[np.int64], is_labelled: NDArray[np.bool_], least: int = 10) -> NDArray[np.int64]:
    """Return strata 0, 1, 2, ... as such, each joined with the next ones until it has ``least`` labels.

    With fewer labels, all alike, a stratum would seem to have no variance: measured at n = 20, the interval would cover
    .91 for .95.
    """
    counts = np.bincount(stratum[is_labelled], minlength=int(stratum.max()) + 1)
    new, collected = np.zeros(len(counts), dtype=np.int64), 0
    for place, count in enumerate(counts[:-1]):
        collected += int(count)
        is_full = collected >= least and counts[place + 1 :].sum() >= least
        new[place + 1] = new[place] + is_full
        collected = 0 if is_full else collected
    return new[stratum]


def chances(inclusion: ArrayLike, is_labelled: NDArray[np.bool_]) -> Numbers:
    """Return the chance of each row to be labelled, checked: more than 0 and at most 1 where it was labelled."""
    values = np.asarray(inclusion, dtype=float)
    if values.shape != is_labelled.shape:
        raise DataError(
            f"inclusion has shape {values.shape}; the chance of each row, {is_labelled.shape}, was expected"
        )
    wrong = is_labelled & ~((values > 0) & (values <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"the labelled row {row} had a chance of {values[row]} to be drawn; expected more than 0 and at most 1"
        )
    return values
