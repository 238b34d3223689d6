"""QualityModel: from probabilistic labels over named text features to a score; people's labels set what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.calibration import Calibration, Calibrator, from_dict, to_dict
from weaklm.certificate import LabelUse
from weaklm.data import ABSTAIN, complete
from weaklm.errors import ModelError
from weaklm.features import DIRECTIONS, FeatureExtractor
from weaklm.quality.drift import Seen, drift_alarm
from weaklm.quality.embeddings import EmbeddingFeatures
from weaklm.quality.labels import check_labels, check_proba, to_learn_from
from weaklm.quality.model_folder import read_folder, write_folder
from weaklm.quality.ridge import Line
from weaklm.quality.scale import Scale
from weaklm.quality.shortcut import Shortcut
from weaklm.quality.stack import Stack, learn_from_people
from weaklm.quality.weak_model import Rows, WeakLearner, WeakModel
from weaklm.sampling import label_weights

Numbers = NDArray[np.float64]
Groups: TypeAlias = Sequence[Any] | NDArray[Any] | pd.Series

_FORMAT = "weaklm QualityModel 2"
_LEAST_WEIGHT = 0.05  # of a covered row whose label leans to neither side
_DIRECTIONS: Mapping[str, int] = {**DIRECTIONS, "embedding_score": 1}
_TREES, _EMBEDDINGS = "model.txt", "embeddings.npz"


class QualityModel:
    """Learn from probabilistic labels how good a response is; score any response, explain, save and load.

    The rows that a function voted on teach a ridge line over the features' ranks and LightGBM, which starts from it
    (:mod:`weaklm.quality.weak_model`); sure labels count more. All rows get a score. Features of a known direction can
    move the score in that direction only. Human labels are used only when ``Y`` is given; a ``human_label`` column in
    ``data`` is not looked at. They train a logistic regression on top (:class:`~weaklm.quality.stack.Stack`); from
    1,000 independent ones on, its scores are calibrated by Venn-ABERS, from 2,000 on by steps.

    Source: an end model trained on soft labels by cross-entropy (Ratner et al. 2017, Snorkel, arXiv:1711.10160,
    section 2.3), with a line and trees over features in the place of a network; trees with random thresholds after
    Geurts et al. 2006 (doi:10.1007/s10994-006-6226-1); stacking after Wolpert 1992 (doi:10.1016/S0893-6080(05)80023-1).

    Parameters
    ----------
    n_rounds, learning_rate, n_leaves
        Of LightGBM; rounds at most. Small trees and few rounds: the labels are noisy, and more of either learns the
        noise.
    n_folds
        Groups are dealt into so many folds for the out-of-fold scores.
    min_human
        So many human labels of either class are needed to use any; with fewer, the scores stay as they are.
    embeddings
        None; "tfidf"; or a sentence-transformers model on this machine, by folder or by its name on the hub (extra
        ``embeddings``). They add three features (:mod:`weaklm.quality.embeddings`). Off by default: on public sets
        all-MiniLM-L6-v2 raised the AUC by .002 to .006, at some 70 texts a second, "tfidf" by nothing.
    n_threads
        Threads of LightGBM and of linear algebra. One: on a busy machine two wait for each other most of the time.
    random_state
        Seed of folds and trees. Same seed, data and thread count: same model, byte for byte.

    Attributes
    ----------
    oof_score_
        (n,) P(ACCEPT) of each training row by models that saw no label, weak or human, of its group. (The ranks of
        features and the rarity of words are learned from all rows, without labels.) Use these to judge the training
        rows; ``predict_proba`` knows their labels. NaN throughout when there is one group only. Not saved.
    calibrated_
        Whether human labels set the probabilities.
    label_use_
        The ids of the rows whose human labels were used: they cannot certify a threshold
        (:func:`weaklm.certificate.certify`). A label model that used labels has its own.
    shortcut_
        How well the length of a response alone would do.
    n_human_
        How many human labels ``fit`` was given.
    n_covered_
        How many rows the model learned from.
    n_rounds_
        How many rounds of trees were worth it out of fold.

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
    >>> score = quality.predict_proba(data)[:, 1]
    >>> bool(score[0] > 0.7), bool(score[1] < 0.4), quality.calibrated_
    (True, True, False)
    """

    oof_score_: Numbers
    calibrated_: bool
    label_use_: LabelUse
    shortcut_: Shortcut
    n_human_: int
    n_covered_: int
    n_rounds_: int
    _calibration: Calibrator

    def __init__(
        self,
        *,
        n_rounds: int = 200,
        learning_rate: float = 0.05,
        n_leaves: int = 15,
        n_folds: int = 5,
        min_human: int = 10,
        embeddings: str | Path | None = None,
        n_threads: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_rounds = n_rounds
        self.learning_rate = learning_rate
        self.n_leaves = n_leaves
        self.n_folds = n_folds
        self.min_human = min_human
        self.embeddings = embeddings
        self.n_threads = n_threads
        self.random_state = random_state

    def fit(
        self,
        data: pd.DataFrame,
        proba: ArrayLike,
        Y: ArrayLike | None = None,
        groups: Groups | None = None,
        *,
        covered: ArrayLike | None = None,
        inclusion: ArrayLike | None = None,
    ) -> "QualityModel":
        """Learn from ``data`` and the label model's ``proba``.

        Parameters
        ----------
        proba
            (n, 2), columns REJECT, ACCEPT.
        Y
            (n,) human labels: 0 REJECT, 1 ACCEPT, -1 unlabelled.
        groups
            (n,) rows of one group stay in one fold. Default: ``instruction_id``.
        covered
            (n,) True for rows to learn from. Default: rows whose two probabilities differ; equal ones say nothing.
        inclusion
            (n,) the chance that each row had to be labelled by people; only those of labelled rows are looked at. A
            label weighs 1 / chance (:func:`weaklm.sampling.label_weights`). Default: all alike.

        Raises
        ------
        ModelError
            If no row is covered, or if all covered rows have the same probability: there is nothing to tell apart.
            Rows that differ but all lean to one side give a warning: the scores then rank, and mean no more.
        """
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        data = complete(data)
        target = check_proba(proba, len(data))
        known = to_learn_from(covered, target, len(data))
        labels = check_labels(Y, len(data))
        weights = label_weights(labels != ABSTAIN, inclusion)[labels != ABSTAIN]
        group, fold = self._folds(data["instruction_id"] if groups is None else groups, len(data))
        # Threads of linear algebra change the last digit of a sum, and with it, now and then, a tree.
        with threadpool_limits(self.n_threads, user_api="blas"):
            weak, Z = self._learn_weak(data, target, known, fold)
            taught = learn_from_people(
                weak,
                Z,
                labels,
                fold,
                group=group,
                prior=self._weak.line.slopes,
                signs=self._signs,
                weights=weights,
                min_human=self.min_human,
            )
        self._stack, self._calibration, self.oof_score_ = taught.stack, taught.calibration, taught.oof_score
        self.calibrated_ = taught.stack.ridge is not None
        self.label_use_ = LabelUse()
        if self.calibrated_:
            self.label_use_ = self.label_use_.add("quality model", data["id"][labels != ABSTAIN])
        self.n_human_, self.n_covered_ = int((labels != ABSTAIN).sum()), int(known.sum())
        cut = np.where(known, target > 0.5, ABSTAIN)
        judge = (labels, "human labels") if self.calibrated_ else (cut, "weak labels")
        self.shortcut_ = Shortcut.of(data, self.oof_score_, *judge)
        return self

    def features(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return X (n_examples, n_features) float32, each column named: what the model sees of ``data``."""
        if not hasattr(self, "_weak"):
            raise ModelError(
                "this QualityModel is not fitted yet; call fit(data, proba) first, or QualityModel.load(folder)"
            )
        X = self._extractor.transform(data)
        if self._embedded is not None:
            X = _beside(X, self._embedded.transform(complete(data)))
        if tuple(X.columns) != self._seen.names:
            raise ModelError(
                "this QualityModel was saved by a weaklm with other features; fit and save the model again"
            )
        return X

    def predict_proba(self, data: pd.DataFrame) -> Numbers:
        """Return proba (n_examples, 2) float64, columns REJECT, ACCEPT."""
        X, Z = self._scaled(self.features(data))
        score = self._calibration.score(self._stack.logit(self._weak.logit(X, Z), Z))
        return np.column_stack([1 - score, score])

    def explain(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return what each feature, and the ``bias``, adds to the logit of the score; a row sums to its logit.

        A feature adds what the trees (by TreeSHAP) and the lines say of it. With 1,000 human labels or more, the
        calibration is no sum over features: its effect on the logit is one more column, ``calibration``.
        """
        X, Z = self._scaled(self.features(data))
        parts = self._stack.contributions(self._weak.contributions(X, Z), Z)
        table = pd.DataFrame(parts, columns=[*self._seen.names, "bias"], index=data.index)
        if not isinstance(self._calibration, Calibration):
            logit = parts.sum(axis=1)
            score = self._calibration.score(logit)
            table["calibration"] = np.log(score / (1 - score)) - logit
        return table

    def drift(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return how far each feature of new rows is from the training rows, the most changed first.

        Columns ``outside``, ``psi``, ``by_chance`` and ``verdict``; see :meth:`weaklm.quality.drift.Seen.compare`. Rows
        of one instruction count as one where chance is weighed.
        """
        X = self.features(data)
        return self._seen.compare(X.to_numpy(), complete(data)["instruction_id"].nunique())

    def alarms(self, data: pd.DataFrame | None = None) -> list[str]:
        """Return what should make one doubt the score, in sentences: a shortcut; drift of ``data``, where given."""
        found = [str(self.shortcut_)] if self.shortcut_.is_alarm else []
        if data is not None:
            found += drift_alarm(self.drift(data))
        return found

    def save(self, folder: str | Path) -> None:
        """Write ``model.txt`` (LightGBM's text), ``manifest.json`` and, with embeddings, ``embeddings.npz``."""
        if not hasattr(self, "_weak"):
            raise ModelError("this QualityModel is not fitted yet; there is nothing to save")
        files = {_TREES: self._weak.trees.model_to_string().encode()}
        if self._embedded is not None:
            files[_EMBEDDINGS] = self._embedded.to_bytes()
        line, embeddings = self._weak.line, None if self.embeddings is None else str(self.embeddings)
        manifest = {
            "format": _FORMAT,
            "settings": {name: getattr(self, name) for name in _SETTINGS} | {"embeddings": embeddings},
            "line": {"intercept": line.intercept, "slopes": line.slopes.tolist()},
            "scale": asdict(self._scale),
            "stack": asdict(self._stack),
            "calibration": to_dict(self._calibration),
            "calibrated": self.calibrated_,
            "label_use": self.label_use_.to_dict(),
            "shortcut": asdict(self.shortcut_),
            "n_human": self.n_human_,
            "n_covered": self.n_covered_,
            "n_rounds": self.n_rounds_,
            "seen": self._seen.to_dict(),
            "extractor": self._extractor.to_dict(),
        }
        write_folder(folder, manifest, files)

    @classmethod
    def load(cls, folder: str | Path) -> "QualityModel":
        """Return the model that ``save`` wrote.

        Raises
        ------
        ModelError
            If a file is missing, cut, changed or of another version. LightGBM sees the text only after its length and
            hash are right: a truncated one would abort the interpreter.
        """
        manifest, files = read_folder(folder, _FORMAT, _KEYS, [_TREES])
        try:
            return cls._restored(manifest, files)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{Path(folder) / 'manifest.json'} is damaged ({error!r}); fit and save the model again"
            ) from error

    @classmethod
    def _restored(cls, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> "QualityModel":
        import lightgbm

        model = cls(**manifest["settings"])
        model._extractor = FeatureExtractor.from_dict(manifest["extractor"])
        model._embedded = EmbeddingFeatures.from_bytes(files[_EMBEDDINGS]) if _EMBEDDINGS in files else None
        model._scale, model._seen = Scale.from_dict(manifest["scale"]), Seen.from_dict(manifest["seen"])
        line = Line(manifest["line"]["intercept"], np.array(manifest["line"]["slopes"]))
        model._weak = WeakModel(line, lightgbm.Booster(model_str=files[_TREES].decode()), model.n_threads)
        model._stack, model._calibration = Stack.from_dict(manifest["stack"]), from_dict(manifest["calibration"])
        model.calibrated_, model.n_rounds_ = manifest["calibrated"], manifest["n_rounds"]
        model.label_use_ = LabelUse.from_dict(manifest["label_use"])
        model.shortcut_ = Shortcut(**manifest["shortcut"])
        model.n_human_, model.n_covered_ = manifest["n_human"], manifest["n_covered"]
        return model

    def _learn_weak(
        self, data: pd.DataFrame, target: Numbers, known: NDArray[np.bool_], fold: NDArray[np.int64]
    ) -> tuple[Numbers, Numbers]:
        """Learn features and the weak model; return the out-of-fold weak logit (n,) and the features' ranks (n, d)."""
        weight = np.where(known, np.maximum(np.abs(2 * target - 1), _LEAST_WEIGHT), 0.0)
        self._extractor, self._embedded = FeatureExtractor().fit(data), None
        X = self._extractor.transform(data)
        if self.embeddings is not None:
            self._embedded = EmbeddingFeatures(str(self.embeddings), self.random_state)
            X = _beside(X, self._embedded.fit_transform(data, target, weight, fold))
        values = X.to_numpy()
        self._scale = Scale.fit(values)
        self._seen = Seen.fit(list(X.columns), values, data["instruction_id"].nunique())
        filled, Z = self._scaled(X)
        learner = WeakLearner(
            names=list(X.columns),
            directions=_DIRECTIONS,
            n_rounds=self.n_rounds,
            learning_rate=self.learning_rate,
            n_leaves=self.n_leaves,
            n_threads=self.n_threads,
            random_state=self.random_state,
        )
        rows = Rows(filled, Z, target, weight)
        logit, self.n_rounds_ = learner.cross_fit(rows, fold)
        self._weak, self._signs = learner.fit(rows, self.n_rounds_), learner.signs
        return logit, Z

    def _scaled(self, X: pd.DataFrame) -> tuple[NDArray[np.float32], Numbers]:
        """Return features without gaps, and their ranks."""
        filled = self._scale.fill(X.to_numpy())
        return filled, self._scale.apply(filled)

    def _folds(self, groups: Groups, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the group and the fold of each row; rows of one group share it."""
        if len(groups) != n:
            raise ModelError(f"groups has {len(groups)} entries for {n} rows; one a row is expected")
        if self.n_folds < 2:
            raise ModelError(f"n_folds is {self.n_folds}; at least 2 are needed for out-of-fold scores")
        codes, names = pd.factorize(np.asarray(groups), use_na_sentinel=False)
        order = np.random.default_rng(self.random_state).permutation(len(names))
        return codes, (order % min(self.n_folds, len(names)))[codes]


_SETTINGS = ("n_rounds", "learning_rate", "n_leaves", "n_folds", "min_human", "embeddings", "n_threads", "random_state")
_KEYS = {
    "settings",
    "line",
    "scale",
    "stack",
    "calibration",
    "calibrated",
    "label_use",
    "shortcut",
    "n_human",
    "n_covered",
    "n_rounds",
    "seen",
    "extractor",
}


def _beside(X: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Return both tables' columns, row by row: an index may hold a name twice."""
    return X.assign(**{name: more[name].to_numpy() for name in more})
