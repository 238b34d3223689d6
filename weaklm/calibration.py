"""Calibration: from the logit of a score to a probability that agrees with people, where they labelled enough.

Three forms, by the number of labels (:func:`calibrator`): a line on the logit, Venn-ABERS, steps.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError

Numbers = NDArray[np.float64]

# Independent labels. Steps cost more than they bring on few: with 400 of BEGIN's, Venn-ABERS has a Brier score of .079
# where a line has .077; with 1,500, .074 and .073.
_LINE_BELOW, _STEPS_FROM = 1000, 2000


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
    def fit(cls, logit: ArrayLike, Y: ArrayLike, min_labels: int, weights: ArrayLike | None = None) -> "Calibration":
        """Return the line that fits out-of-fold logits to labels; the identity with under ``min_labels`` of a class.

        ``Y`` (n,) holds 0 REJECT, 1 ACCEPT, -1 unlabelled; a logit may be NaN, its row is then left out. ``weights``
        (n,) say how many labels each stands for; one each by default.

        >>> Y = [0, 0, 0, 1] * 25
        >>> line = Calibration.fit(np.zeros(100), Y, min_labels=10)
        >>> float(line.score(0.0).round(2)), line.from_labels
        (0.25, True)
        >>> Calibration.fit(np.zeros(100), Y, min_labels=30).from_labels
        False
        """
        values, labels, weight = _labelled(logit, Y, weights)
        if min(int((labels == label).sum()) for label in (REJECT, ACCEPT)) < min_labels:
            return cls()
        slope, intercept = _line(values, labels, weight)
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
    def fit(cls, logit: ArrayLike, Y: ArrayLike, weights: ArrayLike | None = None) -> "VennAbers":
        """Return the predictor from out-of-fold logits (n,), NaN to leave a row out, and Y (n,): 0, 1, -1 unlabelled.

        ``weights`` (n,) say how many labels each stands for; the new label counts as one.

        >>> VennAbers.fit([0.0, 1.0], [0, 1]).interval([0.5]).round(2).tolist()
        [[0.0, 1.0]]
        """
        from scipy.optimize import isotonic_regression

        values, labels, weight = _some_labelled(logit, Y, weights)
        distinct, place = np.unique(values, return_inverse=True)
        n, k = np.bincount(place, weight), np.bincount(place, weight * labels)
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
    def fit(cls, logit: ArrayLike, Y: ArrayLike, weights: ArrayLike | None = None) -> "Isotonic":
        """Return the steps from out-of-fold logits (n,), NaN to leave a row out, and Y (n,): 0, 1, -1 unlabelled.

        ``weights`` (n,) say how many labels each stands for.

        >>> Isotonic.fit([0, 1, 2, 3], [0, 1, 0, 1]).score([1.5]).tolist()
        [0.5]
        """
        from scipy.optimize import isotonic_regression

        values, labels, weight = _some_labelled(logit, Y, weights)
        distinct, place = np.unique(values, return_inverse=True)
        n = np.bincount(place, weight)
        shares = isotonic_regression(np.bincount(place, weight * labels) / n, weights=n).x
        edge = 1 / (len(labels) + 2)
        corner = np.ones(len(shares), dtype=bool)
        corner[1:-1] = (shares[1:-1] != shares[:-2]) | (shares[1:-1] != shares[2:])
        return cls(tuple(distinct[corner].tolist()), tuple(np.clip(shares[corner], edge, 1 - edge).tolist()))

    def score(self, logit: ArrayLike) -> Numbers:
        """Return P(ACCEPT) of each logit (n,); NaN stays NaN."""
        return np.asarray(np.interp(np.asarray(logit, dtype=np.float64), self.logits, self.shares), dtype=np.float64)


Calibrator: TypeAlias = Calibration | VennAbers | Isotonic


def calibrator(
    logit: ArrayLike,
    Y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    min_labels: int = 10,
) -> Calibrator:
    """Return what fits the number of labels: a line, from 1,000 on Venn-ABERS, from 2,000 on steps.

    Labels of one group (n,) count as one, since they say much the same. Under ``min_labels`` of either class: the line
    that changes nothing. The logits must be out-of-fold, by the same groups.

    >>> type(calibrator(np.arange(1600.0), [0, 1] * 800)).__name__
    'VennAbers'
    >>> type(calibrator(np.arange(1600.0), [0, 1] * 800, groups=np.arange(1600) // 4)).__name__
    'Calibration'
    """
    values, labels = np.asarray(logit, dtype=np.float64), np.asarray(Y)
    line = Calibration.fit(values, labels, min_labels, weights)
    use = (labels != ABSTAIN) & ~np.isnan(values)
    n_groups = int(use.sum()) if groups is None else len(np.unique(np.asarray(groups)[use]))
    if not line.from_labels or n_groups < _LINE_BELOW:
        return line
    kind = VennAbers if n_groups < _STEPS_FROM else Isotonic
    return kind.fit(values, labels, weights)


def to_dict(calibration: Calibrator) -> dict[str, Any]:
    """Return the form and its numbers, for JSON."""
    return {"form": type(calibration).__name__} | asdict(calibration)


def from_dict(state: Mapping[str, Any]) -> Calibrator:
    """Return the calibration that :func:`to_dict` gave.

    >>> from_dict(to_dict(Calibration(2.0, 1.0, True)))
    Calibration(slope=2.0, intercept=1.0, from_labels=True)
    """
    forms: dict[str, Any] = {form.__name__: form for form in (Calibration, VennAbers, Isotonic)}
    numbers = {name: tuple(v) if isinstance(v, list) else v for name, v in state.items() if name != "form"}
    return forms[state["form"]](**numbers)


def _labelled(logit: ArrayLike, Y: ArrayLike, weights: ArrayLike | None) -> tuple[Numbers, Numbers, Numbers]:
    """Return the logits, labels and weights of the labelled rows, checked."""
    values, labels = np.asarray(logit, dtype=np.float64), np.asarray(Y)
    if labels.shape != values.shape or not np.isin(labels, (ABSTAIN, REJECT, ACCEPT)).all():
        raise ModelError(
            f"Y has shape {labels.shape}; -1, 0 or 1 for each of the {len(values)} rows of data are expected"
        )
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    use = (labels != ABSTAIN) & ~np.isnan(values)
    return values[use], labels[use].astype(np.float64), weight[use]


def _some_labelled(logit: ArrayLike, Y: ArrayLike, weights: ArrayLike | None) -> tuple[Numbers, Numbers, Numbers]:
    found = _labelled(logit, Y, weights)
    if not len(found[0]):
        raise ModelError("no row has a label and a logit; there is nothing to calibrate on")
    return found


def _line(logit: Numbers, labels: Numbers, weights: Numbers) -> tuple[float, float]:
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(parameters: Numbers) -> tuple[float, Numbers]:
        slope, intercept = np.exp(parameters[0]), parameters[1]
        z = slope * logit + intercept
        error = weights * (expit(z) - labels)
        value = weights @ (np.logaddexp(0, z) - labels * z) + 0.5 * parameters[0] ** 2 + 0.05 * intercept**2
        return float(value), np.array([error @ logit * slope + parameters[0], error.sum() + 0.1 * intercept])

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-5, 5), (-20, 20)]).x
    return float(np.exp(best[0])), float(best[1])
