"""From features to the logit that weak labels teach: a ridge line over ranks, and LightGBM for what it cannot bend to.

Weak labels are made by thresholds on a few features. Trees alone learn these thresholds, and with them the labels'
mistakes; a line cannot, so it ranks better than its teacher. The trees start from the line and stop early.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.quality.ridge import Line, fit_line

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

_RIDGE = 0.1  # per row: the mistakes of weak labels do not fade with the number of rows, so the ridge must not either
_STEP, _WORTH = 10, 0.01  # so many rounds must lower the out-of-fold loss by this share, or they are dropped


@dataclass(frozen=True)
class Rows:
    """Training rows: features X (n, d) float32 without gaps, their ranks Z, weak labels, weights (0: not learned)."""

    X: NDArray[np.float32]
    Z: Numbers
    target: Numbers
    weight: Numbers

    def where(self, chosen: Flags) -> "Rows":
        """Return some of the rows."""
        return Rows(self.X[chosen], self.Z[chosen], self.target[chosen], self.weight[chosen])


@dataclass(frozen=True)
class WeakModel:
    """logit = intercept + Z @ slopes + trees(X)."""

    line: Line
    trees: Any  # a lightgbm.Booster
    n_threads: int

    def logit(self, X: NDArray[np.float32], Z: Numbers) -> Numbers:
        """Return the logit of each row, (n,)."""
        return self.line.logit(Z) + _predict(self.trees, X, self.n_threads)

    def contributions(self, X: NDArray[np.float32], Z: Numbers) -> Numbers:
        """Return what each feature adds to the logit, and last what all rows share: (n, d + 1).

        Source: TreeSHAP (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9), as LightGBM computes it.
        """
        parts = np.asarray(self.trees.predict(X, pred_contrib=True, num_threads=self.n_threads), dtype=np.float64)
        parts[:, :-1] += Z * self.line.slopes
        parts[:, -1] += self.line.intercept
        return parts


@dataclass(frozen=True)
class WeakLearner:
    """How a :class:`WeakModel` is learned; the settings are those of :class:`~weaklm.quality.QualityModel`."""

    names: Sequence[str]
    directions: Mapping[str, int]
    n_rounds: int
    learning_rate: float
    n_leaves: int
    n_threads: int
    random_state: int

    @property
    def signs(self) -> NDArray[np.int64]:
        """The direction of each feature, (d,): 1 up, -1 down, 0 unknown."""
        return np.array([self.directions.get(name, 0) for name in self.names], dtype=np.int64)

    def fit(self, rows: Rows, n_rounds: int) -> WeakModel:
        """Learn from the rows with a weight; ``n_rounds`` trees."""
        import lightgbm

        line, trees = self._start(rows)
        _grow(trees, n_rounds)
        # Through its text, a model leaves its training rows behind.
        return WeakModel(line, lightgbm.Booster(model_str=trees.model_to_string()), self.n_threads)

    def cross_fit(self, rows: Rows, fold: NDArray[np.int64]) -> tuple[Numbers, int]:
        """Return each row's logit by a model of the other folds (NaN where they teach nothing), and how many rounds.

        The models of all folds grow together, ten rounds at a time, as long as these lower the out-of-fold loss by one
        per cent. The least loss is not what is wanted: it comes much later, by copying the labels' mistakes.
        """
        logit, trees, learned = np.full(len(fold), np.nan), {}, rows.weight > 0
        for k in np.unique(fold):
            if (learned & (fold != k)).any():
                line, trees[k] = self._start(rows.where(fold != k))
                logit[fold == k] = line.logit(rows.Z[fold == k])
        n_rounds, loss = 0, _loss(rows, logit)
        while n_rounds < self.n_rounds:
            step, after = min(_STEP, self.n_rounds - n_rounds), np.copy(logit)
            for k, booster in trees.items():
                _grow(booster, step)
                after[fold == k] += _predict(booster, rows.X[fold == k], self.n_threads, start_iteration=n_rounds)
            before, loss = loss, _loss(rows, after)
            if not before - loss > _WORTH * before:
                break
            logit, n_rounds = after, n_rounds + step
        return logit, n_rounds

    def _start(self, rows: Rows) -> tuple[Line, Any]:
        """Return the line of the rows with a weight, and trees that start from it, none of them grown yet."""
        import lightgbm

        learned = rows.where(rows.weight > 0)
        weight = learned.weight / learned.weight.mean()
        line = fit_line(learned.Z, learned.target, ridge=_RIDGE * len(weight), weights=weight, signs=self.signs)
        data = lightgbm.Dataset(
            learned.X,
            label=learned.target,
            weight=weight,
            init_score=line.logit(learned.Z),
            feature_name=list(self.names),
            params={"verbosity": -1},
        )
        return line, lightgbm.Booster(self._parameters(len(weight)), data)

    def _parameters(self, n: int) -> dict[str, Any]:
        return {
            "objective": "cross_entropy",  # takes soft labels as they are
            "learning_rate": self.learning_rate,
            "num_leaves": self.n_leaves,
            "min_data_in_leaf": int(np.clip(n // 20, 2, 20)),
            "lambda_l2": 5.0,
            # Votes are made by thresholds, which exact splits would copy: random ones learn the slope behind them.
            "extra_trees": True,
            "feature_fraction": 0.5,  # many features measure the same thing: let all of them speak
            "monotone_constraints": self.signs.tolist(),
            "seed": self.random_state,
            "num_threads": self.n_threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


def _grow(trees: Any, n_rounds: int) -> None:
    for _ in range(n_rounds):
        trees.update()


def _predict(trees: Any, X: NDArray[np.float32], n_threads: int, start_iteration: int = 0) -> Numbers:
    logit = trees.predict(X, raw_score=True, num_threads=n_threads, start_iteration=start_iteration)
    return np.asarray(logit, dtype=np.float64)


def _loss(rows: Rows, logit: Numbers) -> float:
    """Return the cross-entropy of the rows with a weight and a logit; 0 where there are none."""
    use = (rows.weight > 0) & ~np.isnan(logit)
    if not use.any():
        return 0.0
    each = np.logaddexp(0, logit[use]) - rows.target[use] * logit[use]
    return float(np.average(each, weights=rows.weight[use]))
