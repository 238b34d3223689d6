"""What label models have in common, and the plainest of them: :class:`MajorityLabelVoter` counts.

All take L of shape (n_examples, n_lfs) with -1 for an abstain and a class from 0 to ``cardinality - 1`` for a vote, and
Y of shape (n_examples,) with -1 where people did not label. Examples without a vote get the class balance and are not
``covered``: they are never guessed.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN
from weaklm.errors import ModelError, nearest
from weaklm.sampling import label_weights
from weaklm.vote_matrix import Floats, Votes, blocks, check_labels, check_votes

COMMON_MODE = (
    "No human label was seen: where most functions share an error, agreement looks like accuracy, and no label model "
    "can tell. Label about 100 examples drawn at random."
)
_FORMAT = 2  # of to_dict; a change of what is learned needs another number


class Voter:
    """What the label models share: checks, the decision for the more probable class, and a state without pickle."""

    cardinality: int = 2
    class_balance: Sequence[float] | None
    class_balance_: Floats
    n_functions_: int
    n_human_: int

    _estimator_type: ClassVar[str] = "classifier"

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Learn from votes, and from human labels where there are any (-1 where not)."""
        raise NotImplementedError

    def predict_proba(self, L: ArrayLike) -> Floats:
        """Return the probability of each class, shape (n_examples, cardinality); without votes the class balance."""
        votes = self._fitted_votes(L)
        proba = np.empty((len(votes), self.cardinality))
        for rows in blocks(votes):
            proba[rows] = self._probabilities(votes[rows]).T
        return proba

    def covered(self, L: ArrayLike) -> NDArray[np.bool_]:
        """Return which examples have a vote, bool of shape (n_examples,)."""
        return self._fitted_votes(L).max(axis=1, initial=ABSTAIN) > ABSTAIN

    def predict(self, L: ArrayLike) -> Votes:
        """Return the more probable class, int8 of shape (n_examples,); -1 without a vote or where classes tie."""
        votes = self._fitted_votes(L)
        proba = self.predict_proba(votes)
        ties = (proba > proba.max(axis=1, keepdims=True) - 1e-9).sum(axis=1) > 1
        return np.where(self.covered(votes) & ~ties, proba.argmax(axis=1), ABSTAIN).astype(np.int8)

    @property
    def caution(self) -> str:
        """What the votes alone cannot show, in one sentence; empty once human labels were seen."""
        return "" if self.n_human_ > 0 else COMMON_MODE

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 (scikit-learn's signature)
        """Return the settings by name."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self).__init__).parameters)[1:]}

    def set_params(self, **settings: Any) -> Self:
        """Change settings by name; returns the model."""
        known = self.get_params()
        for name in settings.keys() - known.keys():
            raise ModelError(f"{type(self).__name__} has no setting {name!r}; {nearest(name, known)}")
        vars(self).update(settings)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def to_dict(self) -> dict[str, Any]:
        """Return settings and learned values as plain numbers and lists, for JSON."""
        learned = {name: np.asarray(value).tolist() for name, value in vars(self).items() if name.endswith("_")}
        settings = {k: v if v is None else np.asarray(v).tolist() for k, v in self.get_params().items()}
        return {"model": type(self).__name__, "format": _FORMAT, "settings": settings, "learned": learned}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the model whose :meth:`to_dict` this is."""
        if state.get("model") != cls.__name__:
            raise ModelError(f"the stored label model is a {state.get('model')!r}, not a {cls.__name__}")
        if state.get("format") != _FORMAT:
            raise ModelError(f"this {cls.__name__} was stored by another version of weaklm; fit it again")
        model = cls(**state["settings"])
        learned = state["learned"].items()
        vars(model).update({name: np.array(value) if isinstance(value, list) else value for name, value in learned})
        return model

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(categorical=True),
        )

    def _probabilities(self, votes: Votes) -> Floats:
        """Return the probability of each class for a block of votes, shape (cardinality, n)."""
        raise NotImplementedError

    def _start(
        self, L: ArrayLike, Y: ArrayLike | None, inclusion: ArrayLike | None = None
    ) -> tuple[Votes, Votes, Floats]:
        """Return checked votes, labels and the labels' weights, and settle the class balance."""
        votes = check_votes(L, self.cardinality, some=True)
        labels = check_labels(Y, len(votes), self.cardinality)
        if votes.max(initial=ABSTAIN) == ABSTAIN:
            raise ModelError(
                f"none of the {votes.shape[1]} labeling functions ever votes on these {len(votes)} examples, "
                "so there is nothing to learn from. Look at LFAnalysis(L).lf_summary() and widen their conditions."
            )
        self.n_human_ = int((labels != ABSTAIN).sum())
        weight = label_weights(labels != ABSTAIN, inclusion)
        self.class_balance_ = self._balance(labels, weight)
        self.n_functions_ = votes.shape[1]
        return votes, labels, weight

    def _balance(self, labels: Votes, weight: Floats) -> Floats:
        """Return the given class balance, or the labels' with one added to each class: uniform without labels."""
        if self.class_balance is None:
            known = labels != ABSTAIN
            counts = np.bincount(labels[known], weight[known], minlength=self.cardinality) + 1.0
            return counts / counts.sum()
        balance = np.asarray(self.class_balance, np.float64)
        if balance.shape != (self.cardinality,) or not (balance > 0).all() or abs(balance.sum() - 1) > 1e-6:
            expected = f"{self.cardinality} positive shares that sum to 1"
            raise ModelError(f"class_balance is {self.class_balance!r}; {expected} are expected")
        return balance

    def _fitted_votes(self, L: ArrayLike) -> Votes:
        """Return L as int8, or say that it is not of the functions that the model was fitted on."""
        if not hasattr(self, "n_functions_"):
            raise ModelError(f"this {type(self).__name__} is not fitted yet: call fit(L) first")
        votes = check_votes(L, self.cardinality)
        if votes.shape[1] != self.n_functions_:
            raise ModelError(
                f"L has {votes.shape[1]} columns, but the {type(self).__name__} was fitted on the votes of "
                f"{self.n_functions_} functions; apply the same functions in the same order"
            )
        return votes


class MajorityLabelVoter(Voter):
    """The class with most votes; classes that tie share the probability by the class balance.

    Parameters
    ----------
    cardinality
        Number of classes.
    class_balance
        Share of each class. None: the human labels' (each class counted once more), uniform without labels.

    Examples
    --------
    >>> L = np.array([[1, 1, 0], [0, -1, -1], [1, 0, -1], [-1, -1, -1]])
    >>> MajorityLabelVoter().fit(L).predict(L).tolist()
    [1, 0, -1, -1]
    """

    def __init__(self, *, cardinality: int = 2, class_balance: Sequence[float] | None = None) -> None:
        self.cardinality = cardinality
        self.class_balance = class_balance

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Check the votes and settle the class balance; there is nothing else to learn."""
        self._start(L, Y)
        return self

    def _probabilities(self, votes: Votes) -> Floats:
        counts = np.stack([np.count_nonzero(votes == k, axis=1) for k in range(self.cardinality)])
        proba = (counts == counts.max(axis=0)) * self.class_balance_[:, None]
        return proba / proba.sum(axis=0)
