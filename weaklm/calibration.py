"""Calibration: from the logit of a score to a probability that agrees with people, where they labelled enough."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError

Numbers = NDArray[np.float64]


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
