"""How good a score is, with intervals, beside what costs nothing: rejecting everything, and the length alone.

The bootstrap, by group, says how much each metric varies; the interval is then Wilson's at the number of rows that
vary as much. Percentiles of the bootstrap would do for many rows, but with 20 rejected ones they cover the AUC in .86
of cases for .95, and never the calibration error of a perfect score.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError, SettingsError
from weaklm.estimation import Estimate, wilson, wilson_ends
from weaklm.metrics import check_score
from weaklm.resampling import FOR_ECE, Curve, Labels, Numbers, Parts, f1_of, resamples

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("auc", "balanced_accuracy", "f1_accept", "f1_reject", "brier", "ece")
_PSEUDO = 0.5  # the squares of two imagined residuals: without them, few rows promise too much


@dataclass(frozen=True)
class Evaluation:
    """A score against human labels: each metric with its interval and baselines, and the reliability curve.

    Attributes
    ----------
    metrics
        One row a metric: ``value``, ``low``, ``high``; ``reject_everything`` and ``length_only``, what these baselines
        reach. NaN where it cannot be said: one class only, or for the calibration error under 50 rows. That one is
        corrected for its upward bias (few rows never look calibrated); :func:`weaklm.metrics.ece` is not.
    reliability
        One row a bin, equally many rows each: ``n``, ``mean_score``, ``share_accepted`` with ``low`` and ``high``.
    over_length
        How much higher the AUC is than by length alone; None without lengths.
    n, n_reject, n_groups
        Rows, those of them that people rejected, independent groups.
    """

    metrics: "pd.DataFrame"
    reliability: "pd.DataFrame"
    over_length: Estimate | None
    n: int
    n_reject: int
    n_groups: int
    threshold: float

    @property
    def is_shortcut(self) -> bool:
        """Whether the score is not shown to rank better than the length of the response does."""
        return self.over_length is not None and not self.over_length.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values for JSON, None in place of nan."""
        metrics, reliability = (
            frame.astype(object).where(frame.notna(), None) for frame in (self.metrics, self.reliability)
        )
        return {
            "n": self.n,
            "n_reject": self.n_reject,
            "n_groups": self.n_groups,
            "threshold": self.threshold,
            "metrics": metrics.to_dict("index"),
            "reliability": reliability.to_dict("records"),
            "over_length": None if self.over_length is None else self.over_length.to_dict(),
        }


def evaluate(
    Y: ArrayLike,
    score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    length: ArrayLike | None = None,
    threshold: float = 0.5,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Evaluation:
    """Return the metrics of a score (n,) against labels Y (n,): 0 REJECT, 1 ACCEPT; -1, unlabelled, is left out.

    Parameters
    ----------
    groups
        (n,) rows that hang together (one instruction, one document): they are resampled together.
    length
        (n,) the length of each response in any unit; None: no baseline by length.
    threshold
        A row counts as accepted when its score is at least this.

    >>> Y = np.array([0, 1] * 50)
    >>> evaluation = evaluate(Y, 0.2 + 0.6 * Y, length=np.arange(100))
    >>> evaluation.metrics.loc["auc", ["value", "reject_everything"]].tolist(), evaluation.is_shortcut
    ([1.0, 0.5], False)
    """
    labels = np.asarray(Y)
    values = check_score(score, len(labels))
    if n_resamples < 100:
        raise SettingsError(f"n_resamples is {n_resamples}; at least 100 are needed for an interval")
    use = labels >= 0
    labels, values, group = labels[use].astype(np.int64), values[use], _groups(groups, use)
    n_groups = int(group.max(initial=-1)) + 1
    counts = resamples(n_groups, n_resamples, random_state)
    quantile = _quantile(n_groups, confidence)
    ours = Curve.of(labels, values, group, threshold)
    drawn = ours.resampled(counts)
    table = _table(ours, drawn, quantile, confidence, random_state)
    nothing = Curve.of(labels, np.zeros(len(labels)), group, threshold)
    table["reject_everything"] = nothing.values()
    table["length_only"], over_length = math.nan, None
    if length is not None:
        by_length = _by_length(labels, np.asarray(length, dtype=float)[use])
        other = Curve.of(labels, by_length, group, threshold)
        table["length_only"] = other.values()
        over_length = _over(ours, other, drawn, counts, quantile)
    n_reject = int((labels == 0).sum())
    reliability = _reliability(labels, values, ours.bins.shape[1], confidence)
    return Evaluation(table, reliability, over_length, len(labels), n_reject, n_groups, threshold)


def _groups(groups: ArrayLike | None, use: NDArray[np.bool_]) -> Labels:
    if groups is None:
        return np.arange(int(use.sum()))
    names = np.asarray(groups)
    if names.shape != use.shape:
        raise DataError(f"groups have shape {names.shape}; one a row, {use.shape}, was expected")
    return np.unique(names[use], return_inverse=True)[1]


def _quantile(n_groups: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(n_groups - 1, 1), (1 + confidence) / 2))


def _table(curve: Curve, drawn: Parts, quantile: float, confidence: float, random_state: int) -> "pd.DataFrame":
    """Return value, low and high of each metric."""
    import pandas as pd

    own, values = curve.as_is(), curve.values()
    n_rows, n_groups = len(curve.group), len(np.unique(curve.group))
    # Exponential scores vary more than most: 1.5 times as many rows cover the AUC in .93 to .98, as many in up to .99.
    caps = [1.5 * _auc_rows(own), *own.sizes[0].tolist()]
    auc, accept, reject, j_accept, j_reject = (
        _share(float(own[k][0]), drawn[k], cap, cap * n_groups / max(n_rows, 1), quantile) for k, cap in enumerate(caps)
    )
    balanced = _mean_of(values[1], (float(own[1][0]), *accept), (float(own[2][0]), *reject))
    f1s = [(f1_of(low), f1_of(high)) for low, high in (j_accept, j_reject)]
    brier = _mean(values[4], drawn.brier, n_groups, quantile)
    rows = [auc, balanced, *f1s, brier, (math.nan, math.nan)]
    if n_rows >= FOR_ECE:
        values[5], low, high = _calibration_error(curve, drawn.gaps, n_groups < n_rows, confidence, random_state)
        rows[5] = low, high
    table = pd.DataFrame({"value": values}, index=pd.Index(METRICS, name="metric"))
    return table.assign(low=[low for low, _ in rows], high=[high for _, high in rows])


def _share(value: float, drawn: Numbers, cap: float, cap_unseen: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share at the number of rows, at most ``cap``, that would vary as the resamples do.

    Where these do not vary at all, as at an AUC of 1, ``cap_unseen``: each group then counts as one row.
    """
    drawn = drawn[~np.isnan(drawn)]
    if math.isnan(value) or len(drawn) == 0:
        return math.nan, math.nan
    variance, smoothed = float(drawn.var()), (cap * value + 1) / (cap + 2)
    rows = min(smoothed * (1 - smoothed) / variance, cap) if variance > 0 else cap_unseen
    low, high = wilson_ends(value, rows, quantile)
    return max(0.0, low), min(1.0, high)


def _mean(value: float, drawn: Numbers, n: int, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a mean of n numbers from 0 to 1, that varies as the resamples and a little more."""
    if n == 0:
        return math.nan, math.nan
    variance = float(drawn.var()) * n / (n + 2) + _PSEUDO / (n * (n + 2))
    smoothed = (n * value + 1) / (n + 2)
    low, high = wilson_ends(value, smoothed * (1 - smoothed) / variance, quantile)
    return max(0.0, low), min(1.0, high)


def _auc_rows(own: Parts) -> float:
    """Return of how many rows an AUC is a share, by its variance under exponential scores (Hanley and McNeil 1982)."""
    n_accept, n_reject = own.sizes[0][:2].tolist()
    least = min(n_accept, n_reject)
    if least == 0:
        return math.nan
    auc = (least * float(own.auc[0]) + 1) / (least + 2)
    more = (n_accept + n_reject) / 2 - 1
    return float(n_accept * n_reject / (1 + more * ((1 - auc) / (2 - auc) + auc / (1 + auc))))


def _mean_of(
    value: float, first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Return the interval of the mean of two independent shares from their own (Newcombe 1998)."""
    low = math.hypot(first[0] - first[1], second[0] - second[1]) / 2
    high = math.hypot(first[2] - first[0], second[2] - second[0]) / 2
    return value - low, value + high


def _calibration_error(
    curve: Curve, drawn: Numbers, is_clustered: bool, confidence: float, random_state: int
) -> tuple[float, float, float]:
    """Return the calibration error, corrected for its upward bias, and its interval.

    Gaps of c times those seen are believable when labels drawn so would show an error like the one seen, and not mostly
    a larger or mostly a smaller one; the value is the c that would show larger ones as often as smaller (test
    inversion, Carpenter 1999). Groups make labels count for less, as the bootstrap shows.
    """
    gaps, sizes, score = curve.as_is().gaps[0], *curve.bin_means()
    shares, share = sizes / sizes.sum(), np.clip(score + gaps * sizes.sum() / sizes, 0, 1)
    expected = float((shares**2 * share * (1 - share) / sizes).sum())
    effect = max(float(drawn.var(axis=0).sum()) / expected, 1.0) if is_clustered and expected > 0 else 1.0
    n = np.maximum(np.round(sizes / effect), 1).astype(np.int64)
    random, step = np.random.default_rng(random_state), 0.05
    seen, times, tail = float(np.abs(gaps).sum()), np.arange(0, 3, step), (1 - confidence) / 2
    shown = np.empty((2, len(times), 3))  # the gaps seen, and the same with the opposite sign
    for sign, k in np.ndindex(2, len(times)):
        chance = np.clip(score + (1 - 2 * sign) * times[k] * (share - score), 0, 1)
        labels = random.binomial(n, chance, size=(len(drawn), len(n)))
        shown[sign, k] = np.quantile((np.abs(labels / n - score) * shares).sum(axis=1), [tail, 0.5, 1 - tail])
    low = times[(shown[:, :, 2] >= seen).any(axis=0)].min(initial=3.0)
    high = times[(shown[:, :, 0] <= seen).any(axis=0)].max(initial=0.0)
    value = float(times[np.argmin(np.abs(shown[0, :, 1] - seen))])
    return value * seen, max(min(low - step, value), 0.0) * seen, max(high + step, value) * seen


def _over(ours: Curve, other: Curve, drawn: Parts, counts: NDArray[np.int32], quantile: float) -> Estimate:
    """Return how much higher our AUC is than the other's, resampled together."""
    own = ours.as_is()
    value = float(own.auc[0] - other.as_is().auc[0])
    n = int(own.sizes[0][:2].min())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "too few")
    variance = float(np.nanvar(drawn.auc - other.resampled(counts).auc)) * n / (n + 2) + _PSEUDO / 2 / (n * (n + 2))
    half = quantile * math.sqrt(variance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), len(ours.labels), "bootstrap t")


def _by_length(labels: Labels, length: Numbers) -> Numbers:
    """Return P(ACCEPT) by a logistic regression on the logarithm of the length, fitted to these rows."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        return np.full(len(labels), float(labels.mean()) if len(labels) else 0.0)
    X = np.log1p(length)[:, None]
    X = (X - X.mean()) / (X.std() or 1.0)
    return np.asarray(LogisticRegression(C=100.0).fit(X, labels).predict_proba(X)[:, 1], dtype=np.float64)


def _reliability(labels: Labels, score: Numbers, n_bins: int, confidence: float) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for part in np.array_split(np.argsort(score, kind="stable"), n_bins) if len(labels) else []:
        low, high = wilson(int(labels[part].sum()), len(part), confidence)
        rows.append((len(part), float(score[part].mean()), float(labels[part].mean()), low, high))
    return pd.DataFrame(rows, columns=["n", "mean_score", "share_accepted", "low", "high"])
