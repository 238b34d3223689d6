"""What people's labels add to the logit that weak labels taught: its scale, its level, and a slope for each feature."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.calibration import Calibration, Calibrator, calibrator
from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.quality.ridge import Line, fit_line

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

_RIDGES = (20.0, 50.0, 200.0, 1000.0, 1e6)  # from C = 0.05 to slopes that cannot move


@dataclass(frozen=True)
class Stack:
    """logit = scale * weak logit + intercept + Z @ slopes; without labels the weak logit itself.

    A ridge logistic regression on the out-of-fold weak logit and the features' ranks. Slopes are drawn to 0, the scale
    to 1 and the intercept to 0, so few labels change little. How firmly the slopes are held is chosen among five
    strengths by the evidence of the labels (MacKay 1992, doi:10.1162/neco.1992.4.3.415; Laplace's approximation):
    where features say nothing beyond the weak logit, what is left is Platt's line (Platt 1999).

    Attributes
    ----------
    ridge
        The strength chosen; None without labels.
    """

    scale: float = 1.0
    intercept: float = 0.0
    slopes: tuple[float, ...] = ()
    ridge: float | None = None

    @classmethod
    def fit(
        cls, weak: Numbers, Z: Numbers, Y: Numbers, *, prior: Numbers, signs: NDArray[np.int64], weights: Numbers
    ) -> "Stack":
        """Learn from labels Y (n,), 0 or 1.

        Parameters
        ----------
        weak
            (n,) the out-of-fold weak logit.
        prior, signs
            (d,) the slopes of the weak model's line, and the direction of each feature, which weak and human slopes
            together keep.
        """
        offset = weak - Z @ prior
        lines = [
            fit_line(Z, Y, ridge=ridge, weights=weights, signs=signs, offset=offset, prior=prior) for ridge in _RIDGES
        ]
        evidence = [_evidence(line, offset, Z, weights, ridge) for line, ridge in zip(lines, _RIDGES, strict=True)]
        best = int(np.argmax(evidence))
        line = lines[best]
        slopes = line.slopes - line.scale * prior
        return cls(line.scale, line.intercept, tuple(slopes.tolist()), _RIDGES[best])

    def logit(self, weak: Numbers, Z: Numbers) -> Numbers:
        """Return the logit of each row, (n,)."""
        by_features = Z @ np.array(self.slopes) if self.slopes else 0.0
        return np.asarray(self.scale * weak + self.intercept + by_features, dtype=np.float64)

    def contributions(self, weak: Numbers, Z: Numbers) -> Numbers:
        """Return what each feature and, last, the bias adds to the logit, (n, d + 1), from the same of the weak one."""
        parts = self.scale * weak
        if self.slopes:
            parts[:, :-1] += Z * np.array(self.slopes)
        parts[:, -1] += self.intercept
        return parts

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Stack":
        """Return the stack whose ``asdict`` went through JSON."""
        return cls(state["scale"], state["intercept"], tuple(state["slopes"]), state["ridge"])


def _evidence(line: Line, offset: Numbers, Z: Numbers, weights: Numbers, ridge: float) -> float:
    """Return the logarithm of how probable the labels are under slopes drawn with variance 1 / ridge; up to a sum."""
    from scipy.special import expit

    p = expit(line.scale * offset + line.logit(Z))
    curvature = (Z * (weights * p * (1 - p))[:, None]).T @ Z / ridge
    return -line.loss - 0.5 * float(np.linalg.slogdet(np.eye(Z.shape[1]) + curvature)[1])


@dataclass(frozen=True)
class Taught:
    """What people taught: the stack, what calibrates it, and P(ACCEPT) of each row (n,) without the labels of its fold.

    Under ``min_human`` labels of either class it is what the weak labels say.
    """

    stack: Stack
    calibration: Calibrator
    oof_score: Numbers


def learn_from_people(
    weak: Numbers,
    Z: Numbers,
    Y: NDArray[np.int8],
    fold: NDArray[np.int64],
    *,
    group: NDArray[np.int64],
    prior: Numbers,
    signs: NDArray[np.int64],
    weights: Numbers,
    min_human: int,
) -> Taught:
    """Return what labels Y (n,), -1 unlabelled, add to the out-of-fold weak logit (n,); ``weights`` (n_labels,).

    Stack and calibration of a fold's scores come from the labels of other folds. Below 1,000 groups with a label the
    stack's own line is all the calibration there is.
    """
    weight = np.zeros(len(Y))
    weight[Y != ABSTAIN] = weights
    labelled = (Y != ABSTAIN) & ~np.isnan(weak)
    if min(int((Y[labelled] == label).sum()) for label in (REJECT, ACCEPT)) < max(min_human, 1):
        return Taught(Stack(), Calibration(), Calibration().score(weak))

    def stack(rows: Flags) -> Stack:
        if len(np.unique(Y[rows])) < 2:
            return Stack()
        truth = Y[rows].astype(np.float64)
        return Stack.fit(weak[rows], Z[rows], truth, prior=prior, signs=signs, weights=weight[rows])

    def logits(*without: int) -> Numbers:
        """Return each row's logit by a stack that saw no label of its own fold, nor of those named."""
        found = np.copy(weak)
        for k in np.unique(fold):
            found[fold == k] = stack(labelled & ~np.isin(fold, [k, *without])).logit(weak[fold == k], Z[fold == k])
        return found

    def shape(logit: Numbers, rows: Flags) -> Calibrator:
        found = calibrator(logit, np.where(rows, Y, ABSTAIN), group, weights=weight)
        return Calibration(from_labels=True) if isinstance(found, Calibration) else found

    logit = logits()
    whole = shape(logit, labelled)
    score = whole.score(logit)
    if not isinstance(whole, Calibration):
        for k in np.unique(fold):
            score[fold == k] = shape(logits(k), labelled & (fold != k)).score(logit[fold == k])
    return Taught(stack(labelled), whole, score)
