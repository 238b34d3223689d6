"""Label models: the votes L of imperfect functions in, a probability of each class for every example out.

:class:`MajorityLabelVoter` counts, :class:`LabelModel` weighs (the default), :class:`SnorkelLabelModel` is Snorkel's.
All take L of shape (n_examples, n_lfs) with -1 for an abstain and a class from 0 to ``cardinality - 1`` for a vote, and
Y of shape (n_examples,) with -1 where people did not label. Examples without a vote get the class balance and are not
``covered``: they are never guessed.
"""

import inspect
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse, special

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import DataError, ModelError

Floats = NDArray[np.float64]
Votes = NDArray[np.int8]


class _Voter:
    """What the label models share: checks, the decision for the more probable class, and a state without pickle."""

    cardinality: int = 2
    class_balance: Sequence[float] | None
    class_balance_: Floats

    def covered(self, L: ArrayLike) -> NDArray[np.bool_]:
        """Return which examples have a vote, bool of shape (n_examples,)."""
        return (self._votes(L) != ABSTAIN).any(axis=1)

    def predict_proba(self, L: ArrayLike) -> Floats:
        """Return the probability of each class, shape (n_examples, cardinality); rows sum to 1."""
        raise NotImplementedError

    def predict(self, L: ArrayLike) -> Votes:
        """Return the more probable class, int8 of shape (n_examples,); -1 without a vote or where classes tie."""
        proba = self.predict_proba(L)
        second, first = np.sort(proba, axis=1)[:, -2:].T
        decided = self.covered(L) & (first - second > 1e-9)
        return np.where(decided, proba.argmax(axis=1), ABSTAIN).astype(np.int8)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 (scikit-learn's signature)
        """Return the settings by name."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self).__init__).parameters)[1:]}

    def set_params(self, **settings: Any) -> Self:
        """Change settings by name; returns the model."""
        for name in settings.keys() - self.get_params().keys():
            raise ModelError(f"{type(self).__name__} has no setting {name!r}; it has {', '.join(self.get_params())}")
        vars(self).update(settings)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return settings and learned values as plain numbers and lists, for JSON."""
        learned = {name: np.asarray(value).tolist() for name, value in vars(self).items() if name.endswith("_")}
        settings = {k: v if v is None else np.asarray(v).tolist() for k, v in self.get_params().items()}
        return {"model": type(self).__name__, "settings": settings, "learned": learned}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the model whose :meth:`to_dict` this is."""
        if state.get("model") != cls.__name__:
            raise ModelError(f"the stored label model is a {state.get('model')!r}, not a {cls.__name__}")
        model = cls(**state["settings"])
        learned = state["learned"].items()
        vars(model).update({name: np.array(value) if isinstance(value, list) else value for name, value in learned})
        return model

    def _start(self, L: ArrayLike, Y: ArrayLike | None) -> tuple[Votes, Votes]:
        """Return checked votes and labels, and settle the class balance."""
        votes = self._votes(L, fitted=False)
        labels = np.full(len(votes), ABSTAIN, np.int8) if Y is None else self._integers(np.asarray(Y), "Y")
        if labels.shape != votes.shape[:1]:
            raise DataError(f"Y has shape {labels.shape}; one label for each of the {len(votes)} rows of L is expected")
        if not (votes != ABSTAIN).any():
            raise ModelError(
                f"none of the {votes.shape[1]} labeling functions ever votes on these {len(votes)} examples, "
                "so there is nothing to learn from. Look at LFAnalysis(L).lf_summary() and widen their conditions."
            )
        self.class_balance_ = self._balance(labels)
        self.n_functions_ = votes.shape[1]
        return votes, labels

    def _balance(self, labels: Votes) -> Floats:
        """Return the given class balance, or the labels' with one added to each class: uniform without labels."""
        if self.class_balance is None:
            counts = np.bincount(labels[labels != ABSTAIN], minlength=self.cardinality) + 1.0
            return counts / counts.sum()
        balance = np.asarray(self.class_balance, np.float64)
        if balance.shape != (self.cardinality,) or not (balance > 0).all() or abs(balance.sum() - 1) > 1e-6:
            expected = f"{self.cardinality} positive shares that sum to 1"
            raise ModelError(f"class_balance is {self.class_balance!r}; {expected} are expected")
        return balance

    def _votes(self, L: ArrayLike, *, fitted: bool = True) -> Votes:
        votes = np.asarray(L)
        if fitted and not hasattr(self, "n_functions_"):
            raise ModelError(f"this {type(self).__name__} is not fitted yet: call fit(L) first")
        if votes.ndim != 2 or (not fitted and 0 in votes.shape):
            raise DataError(f"L has shape {votes.shape}; votes of shape (n_examples, n_lfs), both over 0, are expected")
        if fitted and votes.shape[1] != self.n_functions_:
            raise ModelError(
                f"L has {votes.shape[1]} columns, but the {type(self).__name__} was fitted on the votes of "
                f"{self.n_functions_} functions; apply the same functions in the same order"
            )
        return self._integers(votes, "L")

    def _integers(self, values: NDArray[Any], name: str) -> Votes:
        """Return votes or labels as int8, or say which one is neither an abstain nor a class."""
        whole = values.dtype.kind in "iu"
        if not (whole and (values.size == 0 or (values.min() >= ABSTAIN and values.max() < self.cardinality))):
            number = whole or values.dtype.kind == "f"
            known = np.isin(values, range(ABSTAIN, self.cardinality)) if number else np.zeros(values.shape, bool)
            if not known.all():
                place = tuple(int(i[0]) for i in np.nonzero(~known))
                raise DataError(
                    f"{name} holds {values[place].item()!r} at {list(place)}; expected -1 (ABSTAIN) or a class from 0 "
                    f"to {self.cardinality - 1}"
                )
        return values.astype(np.int8, copy=False)


class MajorityLabelVoter(_Voter):
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
        """Settle the class balance; nothing else is learned."""
        self._start(L, Y)
        return self

    def predict_proba(self, L: ArrayLike) -> Floats:
        """Return 1 for the class with most votes, shape (n_examples, cardinality); without votes the class balance."""
        votes = self._votes(L)
        counts = np.stack([(votes == k).sum(axis=1) for k in range(self.cardinality)], axis=1)
        proba: Floats = (counts == counts.max(axis=1, keepdims=True)) * self.class_balance_
        return proba / proba.sum(axis=1, keepdims=True)


class LabelModel(_Voter):
    """Weighs functions by how well each agrees with the others, anchored at the majority vote.

    Each function is right with one probability ``accuracy_`` (one coin), found by EM that starts from, and is held to,
    ``anchor``; functions that agree more than chance explains share their weight; the class balance is given or taken
    from human labels, never learned from votes: without these three, EM collapses on functions that vote one class
    only. With human labels of both classes on at least 20 examples with votes, a ridge logistic model corrects each
    function's vote for and against by what people said; classes must be two for that.

    Source: the one-coin model of Dawid and Skene (1979), fitted by maximum a posteriori. We depart from it where a
    class is rarer than uniform: a lone vote for it is as sure as its function is accurate, since one coin would let
    the class balance outvote every function that votes the rare class only.

    Parameters
    ----------
    cardinality
        Number of classes.
    class_balance
        Share of each class. None: the human labels' (each class counted once more), uniform without labels.
    anchor
        The accuracy that a function is held to, over 1 / cardinality and up to 0.95.
    anchor_weight
        How firmly, relative to the function's number of votes, so that it holds at any size: 0 is plain EM, 1 puts
        the accuracy half-way between the anchor and what the votes say.

    Attributes
    ----------
    accuracy_, weights_
        Of each function: probability that a vote is right; its share of the weight after redundancy, from 0 to 1.
    class_balance_
        Share of each class.
    scale_, intercept_, offsets_
        What human labels taught: logit = scale_ * (the logit without labels) + intercept_ + offsets_[vote, function].

    Examples
    --------
    >>> L = np.array([[1, 1, 0], [0, 0, 1], [1, 1, -1], [0, 0, 0], [-1, -1, -1]])
    >>> model = LabelModel().fit(L)
    >>> model.predict_proba(L)[:, 1].round(2).tolist()
    [0.8, 0.2, 0.88, 0.07, 0.5]
    """

    def __init__(
        self,
        *,
        cardinality: int = 2,
        class_balance: Sequence[float] | None = None,
        anchor: float = 0.7,
        anchor_weight: float = 1.0,
    ) -> None:
        self.cardinality = cardinality
        self.class_balance = class_balance
        self.anchor = anchor
        self.anchor_weight = anchor_weight

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Learn from votes, and from human labels where there are any (-1 where not)."""
        if not 1 / self.cardinality < self.anchor <= 0.95 or self.anchor_weight < 0:
            raise ModelError(
                f"anchor is {self.anchor!r} and anchor_weight {self.anchor_weight!r}; an accuracy over "
                f"{1 / self.cardinality:.2f} and up to 0.95, and a weight of at least 0, are expected"
            )
        votes, labels = self._start(L, Y)
        patterns, counts = _patterns(votes, self.cardinality)
        chosen = _one_hot(patterns, self.cardinality)
        self.accuracy_ = np.full(self.n_functions_, self.anchor)
        self.weights_ = np.ones(self.n_functions_)
        proba = self._e_step(chosen)
        self.weights_ = _shared_weights(chosen, counts, self._m_step(chosen, counts, proba, 0.0))
        for _ in range(30):
            before = self.accuracy_
            self.accuracy_ = self._m_step(chosen, counts, proba, self.anchor_weight)
            proba = self._e_step(chosen)
            if np.abs(self.accuracy_ - before).max() < 1e-6:
                break
        self.scale_, self.intercept_, self.offsets_ = 1.0, 0.0, np.zeros((2, self.n_functions_))
        if self.cardinality == 2:
            self._learn_offset(votes, labels)
        return self

    def predict_proba(self, L: ArrayLike) -> Floats:
        """Return the probability of each class, shape (n_examples, cardinality); without votes the class balance."""
        chosen = _one_hot(self._votes(L), self.cardinality)
        scores = self._scores(chosen)
        if self.cardinality == 2:
            covered = (chosen[REJECT] + chosen[ACCEPT]).getnnz(axis=1) > 0
            offset = self.intercept_ + sum(chosen[k] @ self.offsets_[k] for k in (REJECT, ACCEPT))
            corrected = self.scale_ * (scores[:, ACCEPT] - scores[:, REJECT]) + offset
            scores[covered] = np.stack([np.zeros(covered.sum()), corrected[covered]], axis=1)
        return special.softmax(scores, axis=1)

    def contributions(self, L: ArrayLike) -> Floats:
        """Return what each vote adds to the log-odds of ACCEPT, shape (n_examples, n_lfs); 0 where it abstains.

        On examples with votes, their sum is the logit of P(ACCEPT) less ``prior_log_odds``. Two classes only.
        """
        if self.cardinality != 2:
            raise ModelError(f"contributions are log-odds of two classes; this model has {self.cardinality}")
        votes = self._votes(L)
        evidence = self.weights_ * special.logit(self.accuracy_)
        total = np.zeros(votes.shape)
        for k, sign in ((REJECT, -1), (ACCEPT, 1)):
            voted = votes == k
            shares = self._lone_vote_bonus()[k] / np.maximum(voted.sum(axis=1, keepdims=True), 1)
            total += voted * (sign * self.scale_ * (evidence + shares) + self.offsets_[k])
        return total

    @property
    def prior_log_odds(self) -> float:
        """Log-odds of ACCEPT that an example with votes has before they count."""
        return float(self.scale_ * special.logit(self.class_balance_[ACCEPT]) + self.intercept_)

    def _lone_vote_bonus(self) -> Floats:
        """Return the log-odds that lift a class rarer than uniform to uniform, once one function votes for it."""
        others = (1 - self.class_balance_) / (self.cardinality - 1)
        return np.maximum(0.0, np.log(others / self.class_balance_))

    def _scores(self, chosen: list[sparse.csr_matrix]) -> Floats:
        """Return the log-probability of each class up to a constant, without what human labels taught."""
        evidence = self.weights_ * np.log(self.accuracy_ * (self.cardinality - 1) / (1 - self.accuracy_))
        bonus = self._lone_vote_bonus()
        votes_for = [c @ evidence + bonus[k] * (c.getnnz(axis=1) > 0) for k, c in enumerate(chosen)]
        return np.log(self.class_balance_) + np.stack(votes_for, axis=1)

    def _e_step(self, chosen: list[sparse.csr_matrix]) -> Floats:
        """Return the probability of each class from accuracies, weights and class balance."""
        return special.softmax(self._scores(chosen), axis=1)

    def _m_step(self, chosen: list[sparse.csr_matrix], counts: Floats, proba: Floats, anchor_weight: float) -> Floats:
        """Return each function's accuracy: its share of right votes, held to the anchor."""
        right = sum(c.T @ (counts * proba[:, k]) for k, c in enumerate(chosen))
        n_votes = sum(c.T @ counts for c in chosen)
        held = 10 + anchor_weight * n_votes  # at least ten votes' worth, so that rare functions stay there
        return np.clip((right + held * self.anchor) / (n_votes + held), 1 / self.cardinality, 0.95)

    def _learn_offset(self, votes: Votes, labels: Votes) -> None:
        """Correct the logit by human labels: a ridge logistic model of each vote for and against.

        Too few labels, or of one class only, say less than the votes do and are used for the class balance alone.
        """
        gold = (labels != ABSTAIN) & (votes != ABSTAIN).any(axis=1)
        y = labels[gold]
        if len(y) < 20 or len(np.unique(y)) < 2:
            return
        reject, accept = self._scores(_one_hot(votes[gold], 2)).T
        design = np.hstack([votes[gold] == REJECT, votes[gold] == ACCEPT]).astype(float)
        self.scale_, self.intercept_, offsets = _ridge_offset(accept - reject, design, y)
        self.offsets_ = offsets.reshape(2, -1)


class SnorkelLabelModel(_Voter):
    """Snorkel's LabelModel (matrix completion on the functions' agreements), with our manners; two classes.

    It needs torch and at least 3 functions. The class balance is given, or taken from human labels, else uniform,
    on which it is sensitive: give it where classes are unbalanced. Global random states stay as they are.

    Source: Ratner et al. 2019, "Training complex models with multi-task weak supervision", arXiv:1810.02840.

    Parameters
    ----------
    class_balance
        Share of REJECT and of ACCEPT. None: the human labels' (each class counted once more), else uniform.
    n_epochs, lr, l2
        Snorkel's training settings, with its defaults.
    random_state
        Seed.

    Attributes
    ----------
    conditionals_
        P(function votes v | class y), shape (n_lfs, 2, 2), indexed by function, v, y.
    """

    def __init__(
        self,
        *,
        class_balance: Sequence[float] | None = None,
        n_epochs: int = 100,
        lr: float = 0.01,
        l2: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.class_balance = class_balance
        self.n_epochs = n_epochs
        self.lr = lr
        self.l2 = l2
        self.random_state = random_state

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Learn from votes; human labels (-1 where there are none) give the class balance only."""
        votes, _ = self._start(L, Y)
        if self.n_functions_ < 3:
            raise ModelError(
                f"Snorkel's label model needs the votes of at least 3 functions, L has {self.n_functions_}; "
                "use LabelModel or MajorityLabelVoter"
            )
        self.conditionals_ = self._fit_theirs(votes).reshape(self.n_functions_, 2, 2)
        return self

    def predict_proba(self, L: ArrayLike) -> Floats:
        """Return the probability of REJECT and ACCEPT, shape (n_examples, 2); without votes the class balance."""
        chosen = _one_hot(self._votes(L), 2)
        evidence = sum(chosen[k] @ np.log(self.conditionals_[:, k]) for k in (REJECT, ACCEPT))
        return special.softmax(np.log(self.class_balance_) + evidence, axis=1)

    def contributions(self, L: ArrayLike) -> Floats:
        """Return what each vote adds to the log-odds of ACCEPT, shape (n_examples, n_lfs); 0 where it abstains."""
        log = np.log(self.conditionals_)
        votes = self._votes(L)
        return sum((votes == k) * (log[:, k, ACCEPT] - log[:, k, REJECT]) for k in (REJECT, ACCEPT))

    @property
    def prior_log_odds(self) -> float:
        """Log-odds of ACCEPT before any vote counts."""
        return float(special.logit(self.class_balance_[ACCEPT]))

    def _fit_theirs(self, votes: Votes) -> Floats:
        """Fit Snorkel's model without leaving a trace in the global random states that it seeds."""
        states = random.getstate(), np.random.get_state()
        try:
            from snorkel.labeling.model import label_model as theirs  # draws a random number on import

            with theirs.torch.random.fork_rng(devices=[]):
                model = theirs.LabelModel(cardinality=2, verbose=False)
                options = {"n_epochs": self.n_epochs, "lr": self.lr, "l2": self.l2, "seed": self.random_state}
                model.fit(votes, class_balance=self.class_balance_.tolist(), progress_bar=False, **options)
            return model.mu.detach().numpy().astype(np.float64)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _patterns(votes: Votes, cardinality: int) -> tuple[Votes, Floats]:
    """Return the distinct rows and how often each occurs, found by integer codes (fast at millions of rows)."""
    width = int(62 / math.log2(cardinality + 1))  # votes that fit into one 64-bit code
    code = np.zeros(len(votes), np.int64)
    for start in range(0, votes.shape[1], width):
        word = np.zeros(len(votes), np.int64)
        for column in votes[:, start : start + width].T:
            word = word * (cardinality + 1) + column + 1
        _, word = np.unique(word, return_inverse=True)
        _, first, code, counts = np.unique(
            code * (word.max() + 1) + word, return_index=True, return_inverse=True, return_counts=True
        )
    return votes[first], counts.astype(np.float64)


def _one_hot(votes: Votes, cardinality: int) -> list[sparse.csr_matrix]:
    """Return for each class where it was voted, as sparse (n_examples, n_lfs) matrices of ones."""
    return [sparse.csr_matrix(votes == k, dtype=np.float64) for k in range(cardinality)]


def _shared_weights(chosen: list[sparse.csr_matrix], counts: Floats, accuracy: Floats) -> Floats:
    """Return the weight of each function, from 0 to 1: one that votes as others do shares its weight with them.

    w_j = 1 / (1 + sum over k of r_jk * overlap_jk), where overlap is the share of examples on which both vote and r
    their agreement beyond what independent functions of these accuracies, and twice its standard error, explain;
    1 where they always agree.
    """
    scaled = [sparse.diags(counts) @ c for c in chosen]
    same = sum((c.T @ s).toarray() for c, s in zip(chosen, scaled, strict=True))
    voted = sum(chosen[1:], chosen[0])
    both = (voted.T @ sum(scaled[1:], scaled[0])).toarray()
    by_chance = np.outer(accuracy, accuracy) + np.outer(1 - accuracy, 1 - accuracy) / (len(chosen) - 1)
    error = np.sqrt(by_chance * (1 - by_chance) / np.maximum(both, 1))
    excess = np.maximum(0.0, same / np.maximum(both, 1) - by_chance - 2 * error) / (1 - by_chance)
    shared = np.where(both > 0, excess, 0.0) * both / counts.sum()
    np.fill_diagonal(shared, 0.0)
    return 1 / (1 + shared.sum(axis=1))


def _ridge_offset(logit: Floats, design: Floats, y: Votes) -> tuple[float, float, Floats]:
    """Return scale, intercept and offsets of p = sigmoid(scale * logit + intercept + design @ offsets).

    Minimises the negative log-likelihood plus offsets² + 2 log(scale)² + intercept² / 2: no label leaves the logit
    as it is, many labels make it a ridge logistic regression on the votes.
    """

    def loss(theta: Floats) -> tuple[float, Floats]:
        log_scale, intercept, offsets = theta[0], theta[1], theta[2:]
        scaled = np.exp(log_scale) * logit
        z = scaled + intercept + design @ offsets
        residual = special.expit(z) - y
        value = np.logaddexp(0, z).sum() - z @ y + offsets @ offsets + 2 * log_scale**2 + intercept**2 / 2
        slopes = [residual @ scaled + 4 * log_scale, residual.sum() + intercept, *(residual @ design + 2 * offsets)]
        return value, np.array(slopes)

    best = optimize.minimize(loss, np.zeros(2 + design.shape[1]), jac=True, method="L-BFGS-B").x
    return float(np.exp(best[0])), float(best[1]), best[2:]
