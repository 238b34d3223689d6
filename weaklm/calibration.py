"""Calibration: from the logit of a score to a probability that agrees with people, where they labelled enough.

Three forms, by the number of labels (:func:`calibrator`): a line on the logit, Venn-ABERS, steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError

Numbers = NDArray[np.float64]

_LINE_BELOW, _STEPS_FROM = 200, 2000  # independent labels


@dataclass(frozen=True)
class Calibration:
    """A straight line on the logit: P(ACCEPT) = sigmoid(slope * logit + intercept).

    Source: Platt 1999 (Probabilistic outputs for support vector machines). In place of his smoothed targets, normal
    priors draw the line to the identity (the logarithm of the slope with variance 1, the intercept with variance 10),
    and the slope stays above 0: a few labels can neither turn the ranking around nor make it certain.

    Attributes
    ----------
    from_labels
        Whether human labels set the line; otherwise it is the identity.
    """

    slope: float = 1.0
    intercept: float = 0.0
    from_labels: bool = False

    @classmethod
    def fit(cls, logit: ArrayLike, Y: ArrayLike, min_labels: int) -> "Calibration":
        """Return the line that fits out-of-fold logits to labels; the identity with under ``min_labels`` of a class.

        ``Y`` (n,) holds 0 REJECT, 1 ACCEPT, -1 unlabelled; a logit may be NaN, its row is then left out.

        >>> Y = [0, 0, 0, 1] * 25
        >>> line = Calibration.fit(np.zeros(100), Y, min_labels=10)
        >>> float(line.score(0.0).round(2)), line.from_labels
        (0.25, True)
        >>> Calibration.fit(np.zeros(100), Y, min_labels=30).from_labels
        False
        """
        values, labels = np.asarray(logit, dtype=np.float64), np.asarray(Y)
        if labels.shape != values.shape or not np.isin(labels, (ABSTAIN, REJECT, ACCEPT)).all():
            raise ModelError(
                f"Y has shape {labels.shape}; -1, 0 or 1 for each of the {len(values)} rows of data are expected"
            )
        use = (labels != ABSTAIN) & ~np.isnan(values)
        if min(int((labels[use] == label).sum()) for label in (REJECT, ACCEPT)) < min_labels:
            return cls()
        slope, intercept = _line(values[use], labels[use].astype(np.float64))
        return cls(slope, intercept, True)

    def score(self, logit: ArrayLike) -> Numbers:
        """Return P(ACCEPT) of each logit."""
        from scipy.special import expit

        return np.asarray(expit(self.slope * np.asarray(logit) + self.intercept), dtype=np.float64)


@dataclass(frozen=True)
class VennAbers:
    """P(ACCEPT) between the two answers that a new label could give: p0 if it were REJECT, p1 if ACCEPT.

    Any shape that rises with the logit, and an honest width: (p0, p1) is narrow where labels are dense. The score is
    p1 / (1 - p0 + p1), which draws it to 0.5 where they are few.

    Source: Vovk and Petej 2014 (arXiv:1211.0025), the inductive form; the score as in Vovk, Petej and Fedorova 2015
    (arXiv:1511.00213, section 4).

    Attributes
    ----------
    logits
        The distinct logits of the labelled rows, ascending.
    p0, p1
        By place of a logit: below the first, at it, between the first and the second, at that one, and so on.
    """

    logits: tuple[float, ...]
    p0: tuple[float, ...]
    p1: tuple[float, ...]

    @classmethod
    def fit(cls, logit: ArrayLike, Y: ArrayLike) -> "VennAbers":
        """Return the predictor from out-of-fold logits (n,), NaN to leave a row out, and Y (n,): 0, 1, -1 unlabelled.

        >>> VennAbers.fit([0.0, 1.0], [0, 1]).interval([0.5]).round(2).tolist()
        [[0.0, 1.0]]
        """
        from scipy.optimize import isotonic_regression

        values, labels = _labelled(logit, Y)
        distinct, place = np.unique(values, return_inverse=True)
        n, k = np.bincount(place).astype(np.float64), np.bincount(place, labels)
        ends = np.zeros((2, 2 * len(distinct) + 1))
        for slot in range(ends.shape[1]):
            at = slot // 2
            size, share = np.copy(n), k / n
            if slot % 2 == 0:
                size, share = np.insert(size, at, 0.0), np.insert(share, at, 0.0)
            for label in (0, 1):
                target, weight = np.copy(share), np.copy(size)
                target[at] = (share[at] * size[at] + label) / (size[at] + 1)
                weight[at] += 1
                ends[label, slot] = isotonic_regression(target, weights=weight).x[at]
        return cls(tuple(distinct.tolist()), tuple(ends[0].tolist()), tuple(ends[1].tolist()))

    def interval(self, logit: ArrayLike) -> Numbers:
        """Return (n, 2): p0 and p1 of each logit."""
        values, known = np.asarray(logit, dtype=np.float64), np.array(self.logits)
        slot = np.searchsorted(known, values, side="left") + np.searchsorted(known, values, side="right")
        return np.column_stack([np.array(self.p0)[slot], np.array(self.p1)[slot]])

    def score(self, logit: ArrayLike) -> Numbers:
        """Return P(ACCEPT) of each logit (n,); NaN stays NaN."""
        values = np.asarray(logit, dtype=np.float64)
        p0, p1 = self.interval(values).T
        return np.where(np.isnan(values), np.nan, p1 / (1 - p0 + p1))


@dataclass(frozen=True)
class Isotonic:
    """P(ACCEPT) in steps that rise with the logit, straight between their corners, never quite 0 or 1.

    Source: Zadrozny and Elkan 2002 (doi:10.1145/775047.775151). Ends are kept off 0 and 1 by 1 / (n + 2).
    """

    logits: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, logit: ArrayLike, Y: ArrayLike) -> "Isotonic":
        """Return the steps from out-of-fold logits (n,), NaN to leave a row out, and Y (n,): 0, 1, -1 unlabelled.

        >>> Isotonic.fit([0, 1, 2, 3], [0, 1, 0, 1]).score([1.5]).tolist()
        [0.5]
        """
        from scipy.optimize import isotonic_regression

        values, labels = _labelled(logit, Y)
        distinct, place = np.unique(values, return_inverse=True)
        n = np.bincount(place)
        shares = isotonic_regression(np.bincount(place, labels) / n, weights=n).x
        edge = 1 / (len(labels) + 2)
        corner = np.ones(len(shares), dtype=bool)
        corner[1:-1] = (shares[1:-1] != shares[:-2]) | (shares[1:-1] != shares[2:])
        return cls(tuple(distinct[corner].tolist()), tuple(np.clip(shares[corner], edge, 1 - edge).tolist()))

    def score(self, logit: ArrayLike) -> Numbers:
        """Return P(ACCEPT) of each logit (n,); NaN stays NaN."""
        return np.asarray(np.interp(np.asarray(logit, dtype=np.float64), self.logits, self.shares), dtype=np.float64)


def calibrator(
    logit: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None, *, min_labels: int = 10
) -> Calibration | VennAbers | Isotonic:
    """Return what fits the number of labels: a line, from 200 on Venn-ABERS, from 2,000 on steps.

    Labels of one group (n,) count as one, since they say much the same. Under ``min_labels`` of either class: the line
    that changes nothing. The logits must be out-of-fold, by the same groups.

    >>> type(calibrator(np.arange(400.0), [0, 1] * 200)).__name__
    'VennAbers'
    >>> type(calibrator(np.arange(400.0), [0, 1] * 200, groups=np.arange(400) // 4)).__name__
    'Calibration'
    """
    values, labels = np.asarray(logit, dtype=np.float64), np.asarray(Y)
    line = Calibration.fit(values, labels, min_labels)
    use = (labels != ABSTAIN) & ~np.isnan(values)
    n_groups = int(use.sum()) if groups is None else len(np.unique(np.asarray(groups)[use]))
    if not line.from_labels or n_groups < _LINE_BELOW:
        return line
    return VennAbers.fit(values, labels) if n_groups < _STEPS_FROM else Isotonic.fit(values, labels)


def _labelled(logit: ArrayLike, Y: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return the logits and labels of the labelled rows, checked."""
    values, labels = np.asarray(logit, dtype=np.float64), np.asarray(Y)
    if labels.shape != values.shape or not np.isin(labels, (ABSTAIN, REJECT, ACCEPT)).all():
        raise ModelError(
            f"Y has shape {labels.shape}; -1, 0 or 1 for each of the {len(values)} rows of data are expected"
        )
    use = (labels != ABSTAIN) & ~np.isnan(values)
    if not use.any():
        raise ModelError("no row has a label and a logit; there is nothing to calibrate on")
    return values[use], labels[use].astype(np.float64)


def _line(logit: Numbers, labels: Numbers) -> tuple[float, float]:
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(parameters: Numbers) -> tuple[float, Numbers]:
        slope, intercept = np.exp(parameters[0]), parameters[1]
        z = slope * logit + intercept
        error = expit(z) - labels
        value = np.sum(np.logaddexp(0, z) - labels * z) + 0.5 * parameters[0] ** 2 + 0.05 * intercept**2
        return float(value), np.array([error @ logit * slope + parameters[0], error.sum() + 0.1 * intercept])

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-5, 5), (-20, 20)]).x
    return float(np.exp(best[0])), float(best[1])
