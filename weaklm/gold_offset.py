"""What human labels teach a label model: how much each function's vote for each class should move the scores."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from weaklm.vote_matrix import Floats, Votes


@dataclass(frozen=True)
class Offset:
    """scale * scores + intercept + design @ weights: what people's labels made of a model's scores.

    ``intercept`` has the shape (cardinality,), ``weights`` (n_columns, cardinality).
    """

    scale: float
    intercept: Floats
    weights: Floats


def ridge_offset(scores: Floats, design: Floats, y: Votes, weight: Floats) -> Offset:
    """Return the ridge multinomial correction of scores (n, cardinality) that explains the labels y (n,) best.

    Minimises the negative log-likelihood, each label by its weight (n,), plus 2 weights² + 2 log(scale)² +
    intercept²: no label leaves the scores as they are, many labels make it a ridge logistic regression on the votes.
    ``design`` is (n, n_columns), ones where a function cast a vote. With two classes the penalties equal those of a
    binary model with weights² + intercept² / 2.
    """
    n, k = scores.shape
    truth = np.eye(k)[y]

    def loss(theta: Floats) -> tuple[float, Floats]:
        log_scale, intercept, weights = theta[0], theta[1 : k + 1], theta[k + 1 :].reshape(-1, k)
        scaled = np.exp(log_scale) * scores
        z = scaled + intercept + design @ weights
        residual = (special.softmax(z, axis=1) - truth) * weight[:, None]
        value = weight @ (special.logsumexp(z, axis=1) - z[np.arange(n), y])
        value += 2 * (weights**2).sum() + 2 * log_scale**2 + (intercept**2).sum()
        slopes = [
            [(residual * scaled).sum() + 4 * log_scale],
            residual.sum(axis=0) + 2 * intercept,
            (design.T @ residual + 4 * weights).ravel(),
        ]
        return value, np.concatenate(slopes)

    start = np.zeros(1 + k + design.shape[1] * k)
    best = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return Offset(float(np.exp(best[0])), best[1 : k + 1], best[k + 1 :].reshape(-1, k))
