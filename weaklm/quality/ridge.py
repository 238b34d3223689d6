"""A ridge logistic line on soft labels: its slopes keep the sign they must have, and are held to those of a prior."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """logit = scale * offset + intercept + Z @ slopes; ``loss`` is what the fit could not get rid of."""

    intercept: float
    slopes: Numbers
    scale: float = 1.0
    loss: float = 0.0

    def logit(self, Z: Numbers) -> Numbers:
        """Return intercept + Z @ slopes, (n,)."""
        return np.asarray(Z @ self.slopes + self.intercept, dtype=np.float64)


def fit_line(
    Z: Numbers,
    target: Numbers,
    *,
    ridge: float,
    weights: Numbers | None = None,
    signs: NDArray[np.int64] | None = None,
    offset: Numbers | None = None,
    prior: Numbers | None = None,
) -> Line:
    """Return the line that explains the probabilities ``target`` (n,) by the features Z (n, d).

    It minimises the weighted cross-entropy plus, all halved, ridge * |slopes - scale * prior|², intercept² and
    4 * log(scale)². So few rows leave an offset as it is: about half to twice its scale, and about one unit of shift.

    Parameters
    ----------
    signs
        (d,) the sign of each slope: 1 not below 0, -1 not above, 0 free.
    offset
        (n,) a logit that the line starts from. None: there is none, and the scale is 1.
    prior
        (d,) slopes that belong to the offset; None: zero.

    >>> Z = np.array([[-1.0], [1.0]] * 20)
    >>> fit_line(Z, np.array([0.2, 0.8] * 20), ridge=1e-6).slopes.round(3).tolist()
    [1.386]
    >>> fit_line(Z, np.array([0.2, 0.8] * 20), ridge=1e-6, signs=np.array([-1])).slopes.tolist()
    [0.0]
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    w = np.ones(len(target)) if weights is None else weights
    start = np.zeros(Z.shape[1]) if prior is None else prior
    known = np.zeros(len(target)) if offset is None else offset

    def loss(theta: Numbers) -> tuple[float, Numbers]:
        scale, intercept, slopes = np.exp(theta[0]), theta[1], theta[2:]
        z = scale * known + intercept + Z @ slopes
        error, apart = w * (expit(z) - target), slopes - scale * start
        value = w @ (np.logaddexp(0, z) - target * z)
        value += 0.5 * (ridge * apart @ apart + intercept**2 + 4 * theta[0] ** 2)
        by_scale = scale * (error @ known - ridge * apart @ start) + 4 * theta[0]
        return float(value), np.concatenate([[by_scale, error.sum() + intercept], Z.T @ error + ridge * apart])

    free = signs if signs is not None else np.zeros(len(start), dtype=np.int64)
    bounds = [(0.0, 0.0) if offset is None else (-4.0, 4.0), (None, None)]
    bounds += [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in free]
    first = np.concatenate([[0.0, 0.0], start])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-10})
    return Line(float(found.x[1]), found.x[2:], float(np.exp(found.x[0])), float(found.fun))
