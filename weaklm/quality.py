"""QualityModel: LightGBM on probabilistic labels over named text features, calibrated where people labelled enough."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.atomic import atomic_file
from weaklm.calibration import Calibration
from weaklm.data import ABSTAIN, ACCEPT, complete
from weaklm.errors import ModelError
from weaklm.features import DIRECTIONS, FeatureExtractor
from weaklm.metrics import auc

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FORMAT = "weaklm QualityModel 1"
_KEYS = {"model", "settings", "calibration", "n_human", "n_covered", "features", "typical", "extractor"}


class QualityModel:
    """Learn from probabilistic labels how good a response is; score any response, explain, save and load.

    The rows that a function voted on teach the model; all rows get a score. Human labels are used only when ``Y`` is
    given, a ``human_label`` column in ``data`` is not looked at. They calibrate the scores and do not train the trees.

    Source: an end model trained on soft labels by cross-entropy (Ratner et al. 2017, Snorkel, arXiv:1711.10160,
    section 2.3), with trees over features in the place of a network; trees with random thresholds after Geurts et al.
    2006 (doi:10.1007/s10994-006-6226-1). Features of a known direction can move the score in that direction only.

    Parameters
    ----------
    n_rounds, learning_rate, n_leaves
        Of LightGBM. Small trees and few rounds: the labels are noisy, and more of either learns the noise.
    n_folds
        Groups are dealt into so many folds for the out-of-fold scores.
    min_human
        So many human labels of either class are needed to calibrate; with fewer, the scores stay as they are.
    n_threads
        Threads of LightGBM. One: on a busy machine two wait for each other most of the time.
    random_state
        Seed of folds and trees. Same seed, data and thread count: same model, byte for byte.

    Attributes
    ----------
    oof_score_
        (n,) P(ACCEPT) of each training row by models that saw no row of its group. Use these to judge the training
        rows; ``predict_proba`` knows their labels. NaN throughout when there is one group only. Not saved.
    calibrated_
        Whether human labels set the probabilities.
    n_human_
        How many human labels ``fit`` was given.
    n_covered_
        How many rows the model learned from.

    Examples
    --------
    >>> context = "The yearly fee is $95 and is charged in May."
    >>> good, bad = "The yearly fee is $95.", "Nothing at all is due, says Robert Stone."
    >>> data = pd.DataFrame({
    ...     "instruction": [f"What is the fee of card {i}?" for i in range(40)],
    ...     "context": context,
    ...     "response": [good, bad] * 20,
    ... })
    >>> quality = QualityModel().fit(data, np.array([[0.1, 0.9], [0.8, 0.2]] * 20))
    >>> score = quality.predict_proba(data)[:, ACCEPT]
    >>> bool(score[0] > 0.7), bool(score[1] < 0.4), quality.calibrated_
    (True, True, False)
    """

    oof_score_: Numbers
    calibrated_: bool
    n_human_: int
    n_covered_: int

    def __init__(
        self,
        *,
        n_rounds: int = 200,
        learning_rate: float = 0.05,
        n_leaves: int = 15,
        n_folds: int = 5,
        min_human: int = 10,
        n_threads: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_rounds = n_rounds
        self.learning_rate = learning_rate
        self.n_leaves = n_leaves
        self.n_folds = n_folds
        self.min_human = min_human
        self.n_threads = n_threads
        self.random_state = random_state

    def fit(
        self,
        data: pd.DataFrame,
        proba: ArrayLike,
        Y: ArrayLike | None = None,
        groups: Sequence[Any] | NDArray[Any] | pd.Series | None = None,
        *,
        covered: ArrayLike | None = None,
    ) -> "QualityModel":
        """Learn from ``data`` and the label model's ``proba``.

        Parameters
        ----------
        proba
            (n, 2), columns REJECT, ACCEPT.
        Y
            (n,) human labels to calibrate on: 0 REJECT, 1 ACCEPT, -1 unlabelled.
        groups
            (n,) rows of one group stay in one fold. Default: ``instruction_id``.
        covered
            (n,) True for rows to learn from. Default: rows whose two probabilities differ; equal ones say nothing.

        Raises
        ------
        ModelError
            If no row is covered, or if all covered rows have the same probability: there is nothing to tell apart.
            Rows that differ but all lean to one side give a warning: the scores then rank, and mean no more.
        """
        data = complete(data)
        target = _targets(proba, len(data))
        known = _flags(covered, target, len(data))
        self._extractor = FeatureExtractor().fit(data)
        X = self._extractor.transform(data)
        self._names = list(X.columns)
        self._typical = [float(value) for value in X[known].median().fillna(0.0)]
        values = self._filled(X)
        fold = self._folds(data["instruction_id"] if groups is None else groups, len(data))
        self._booster = self._train(values[known], target[known])
        logit = self._out_of_fold(values, target, known, fold)
        self._calibration = Calibration() if Y is None else Calibration.fit(logit, Y, self.min_human)
        self.calibrated_ = self._calibration.from_labels
        self.n_human_ = 0 if Y is None else int((np.asarray(Y) != ABSTAIN).sum())
        self.n_covered_ = int(known.sum())
        self.oof_score_ = self._calibration.score(logit)
        return self

    def features(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return X (n_examples, n_features) float32, each column named: what the model sees of ``data``."""
        if not hasattr(self, "_extractor"):
            raise ModelError(
                "this QualityModel is not fitted yet; call fit(data, proba) first, or QualityModel.load(folder)"
            )
        return self._extractor.transform(data)

    def predict_proba(self, data: pd.DataFrame) -> Numbers:
        """Return proba (n_examples, 2) float64, columns REJECT, ACCEPT."""
        X = self._filled(self.features(data))
        score = self._calibration.score(self._predict(self._booster, X))
        return np.column_stack([1 - score, score])

    def explain(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return what each feature, and the ``bias``, adds to the logit of the score; a row sums to its logit.

        Source: TreeSHAP (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9), as LightGBM computes it.
        """
        X = self._filled(self.features(data))
        shares = self._booster.predict(X, pred_contrib=True, num_threads=self.n_threads)
        parts = self._calibration.slope * np.asarray(shares, dtype=np.float64)
        parts[:, -1] += self._calibration.intercept
        return pd.DataFrame(parts, columns=[*self._names, "bias"], index=data.index)

    def save(self, folder: str | Path) -> None:
        """Write ``model.txt`` (LightGBM's text) and ``manifest.json`` (all else; the length and hash of the text)."""
        if not hasattr(self, "_booster"):
            raise ModelError("this QualityModel is not fitted yet; there is nothing to save")
        text = self._booster.model_to_string().encode()
        manifest = {
            "format": _FORMAT,
            "model": {"file": "model.txt", "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()},
            "settings": {name: getattr(self, name) for name in _SETTINGS},
            "calibration": asdict(self._calibration),
            "n_human": self.n_human_,
            "n_covered": self.n_covered_,
            "features": self._names,
            "typical": self._typical,
            "extractor": self._extractor.to_dict(),
        }
        with atomic_file(Path(folder) / "model.txt") as path:
            path.write_bytes(text)
        with atomic_file(Path(folder) / "manifest.json") as path:
            path.write_text(json.dumps(manifest), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "QualityModel":
        """Return the model that ``save`` wrote.

        Raises
        ------
        ModelError
            If a file is missing, cut, changed or of another version. LightGBM sees the text only after its length and
            hash are right: a truncated one would abort the interpreter.
        """
        import lightgbm

        folder = Path(folder)
        manifest = _manifest(folder / "manifest.json")
        text = _checked_text(folder / manifest["model"]["file"], manifest["model"])
        model = cls(**manifest["settings"])
        model._extractor = FeatureExtractor.from_dict(manifest["extractor"])
        model._names, model._typical = manifest["features"], manifest["typical"]
        model._booster = lightgbm.Booster(model_str=text.decode())
        model._calibration = Calibration(**manifest["calibration"])
        model.calibrated_ = model._calibration.from_labels
        model.n_human_, model.n_covered_ = manifest["n_human"], manifest["n_covered"]
        return model

    def _filled(self, X: pd.DataFrame) -> NDArray[np.float32]:
        """Put the training rows' median where a feature has no meaning: LightGBM would read a gap it never saw as 0."""
        if list(X.columns) != self._names:
            raise ModelError(
                "this QualityModel was saved by a weaklm with other features; fit and save the model again"
            )
        return np.where(X.isna(), np.array(self._typical, dtype=np.float32), X.to_numpy()).astype(np.float32)

    def _folds(self, groups: Sequence[Any] | NDArray[Any] | pd.Series, n: int) -> NDArray[np.int64]:
        """Return the fold of each row; rows of one group share it."""
        if len(groups) != n:
            raise ModelError(f"groups has {len(groups)} entries for {n} rows; one a row is expected")
        codes, names = pd.factorize(np.asarray(groups))
        order = np.random.default_rng(self.random_state).permutation(len(names))
        return (order % min(self.n_folds, len(names)))[codes]

    def _out_of_fold(self, X: NDArray[np.float32], target: Numbers, known: Flags, fold: NDArray[np.int64]) -> Numbers:
        """Return the logit of each row by a model of the other folds; NaN where those have no row to learn from."""
        logit = np.full(len(X), np.nan)
        for k in np.unique(fold):
            inside = fold == k
            others = known & ~inside
            if others.any():
                logit[inside] = self._predict(self._train(X[others], target[others]), X[inside])
        return logit

    def _predict(self, booster: Any, X: NDArray[np.float32]) -> Numbers:
        return np.asarray(booster.predict(X, raw_score=True, num_threads=self.n_threads), dtype=np.float64)

    def _train(self, X: NDArray[np.float32], target: Numbers) -> Any:
        import lightgbm

        parameters = {
            "objective": "cross_entropy",  # takes soft labels as they are
            "learning_rate": self.learning_rate,
            "num_leaves": self.n_leaves,
            "min_data_in_leaf": int(np.clip(len(target) // 20, 2, 20)),
            "lambda_l2": 5.0,
            # Votes are made by thresholds, which exact splits would copy: random ones learn the slope behind them.
            "extra_trees": True,
            "feature_fraction": 0.5,  # many features measure the same thing: let all of them speak
            "monotone_constraints": [DIRECTIONS.get(name, 0) for name in self._names],
            "seed": self.random_state,
            "num_threads": self.n_threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        rows = lightgbm.Dataset(X, label=target, feature_name=self._names, params={"verbosity": -1})
        return lightgbm.train(parameters, rows, num_boost_round=self.n_rounds)


_SETTINGS = ("n_rounds", "learning_rate", "n_leaves", "n_folds", "min_human", "n_threads", "random_state")


def length_auc(data: pd.DataFrame, Y: ArrayLike) -> float:
    """Return the AUC that the number of words alone reaches on labels ``Y``, whichever way round; -1 is left out.

    A shortcut alarm: a model that is hardly better than this has learned to count.

    >>> data = pd.DataFrame({"response": ["a b c", "a b", "a"]})
    >>> length_auc(data, [0, 1, 1])
    1.0
    """
    labels = np.asarray(Y)
    known = labels != ABSTAIN
    value = auc(labels[known], data["response"].str.split().str.len().to_numpy()[known])
    return max(value, 1 - value)


def _targets(proba: ArrayLike, n: int) -> Numbers:
    values = np.asarray(proba, dtype=np.float64)
    if values.shape != (n, 2):
        raise ModelError(
            f"proba has shape {values.shape}; ({n}, 2) is expected: REJECT and ACCEPT for each row of data"
        )
    wrong = ~(np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) < 1e-6))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ModelError(f"proba, row {row}: {values[row].tolist()} are no probabilities that sum to 1")
    return np.clip(values[:, ACCEPT], 0.0, 1.0)


def _flags(covered: ArrayLike | None, target: Numbers, n: int) -> Flags:
    """Return which rows to learn from, or say why nothing can be learned."""
    known = np.abs(target - 0.5) > 1e-9 if covered is None else np.asarray(covered, dtype=bool)
    if known.shape != (n,):
        raise ModelError(f"covered has shape {known.shape}; ({n},) is expected, one entry a row")
    if not known.any():
        raise ModelError(
            f"no function voted on any of the {n} rows, so there is nothing to learn from. Look at the coverage in "
            "LFAnalysis(L).lf_summary() and add functions that vote on these data."
        )
    low, high = float(target[known].min()), float(target[known].max())
    if high - low < 1e-6:
        raise ModelError(
            f"all {int(known.sum())} rows that functions voted on have the same P(ACCEPT) of {low:.3g}, so there is "
            "nothing to tell apart. Add functions that vote for the other side."
        )
    if high < 0.5 or low > 0.5:
        warnings.warn(
            f"all {int(known.sum())} rows that functions voted on lean to {'REJECT' if high < 0.5 else 'ACCEPT'}: the "
            "scores rank responses, but no score is a probability. Add functions that vote for the other side.",
            stacklevel=3,
        )
    return known


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"there is no {path}; QualityModel.save(folder) writes it. Fit and save the model again.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kind = manifest["format"]
        lacking = _KEYS - set(manifest) if kind == _FORMAT else set()
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}); fit and save the model again") from error
    if kind != _FORMAT:
        raise ModelError(f"{path} is of format {kind!r}, this weaklm reads {_FORMAT!r}; fit and save the model again")
    if lacking:
        raise ModelError(f"{path} lacks {', '.join(sorted(lacking))}; fit and save the model again")
    return dict(manifest)


def _checked_text(path: Path, expected: dict[str, Any]) -> bytes:
    if not path.is_file():
        raise ModelError(f"there is no {path} beside its manifest.json; fit and save the model again")
    text = path.read_bytes()
    if len(text) != expected["bytes"]:
        raise ModelError(
            f"{path} has {len(text)} bytes where {expected['bytes']} were saved; fit and save the model again"
        )
    if hashlib.sha256(text).hexdigest() != expected["sha256"]:
        raise ModelError(f"{path} was changed after it was saved: its hash differs; fit and save the model again")
    return text
