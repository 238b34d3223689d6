"""The label model: the votes L of imperfect functions in, a probability of each class for every example out.

:class:`LabelModel` weighs the functions and is the default. Beside it stand :class:`~weaklm.voter.MajorityLabelVoter`,
:class:`~weaklm.dawid_skene.DawidSkene` and :class:`~weaklm.snorkel_model.SnorkelLabelModel`, with the same manners;
:func:`~weaklm.model_choice.compare_label_models` says which to use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError
from weaklm.gold_offset import ridge_offset
from weaklm.vote_matrix import (
    Agreement,
    Floats,
    Votes,
    agreement,
    blocks,
    distinct_rows,
    planes,
    softmax,
    spread_rows,
)
from weaklm.voter import Voter

_ROWS_TO_LEARN_FROM = 65_536


class LabelModel(Voter):
    """Weighs functions by how well each agrees with the others, anchored at the majority vote.

    Each function is right with one probability ``accuracy_`` (one coin), found by EM that starts from, and is held to,
    ``anchor``; functions that agree more than chance explains share their weight; the class balance is given or taken
    from human labels, never learned from votes: without these three, EM collapses on functions that vote one class
    only. With 10 human labels a class, on examples with votes and not all the same, a ridge logistic model corrects
    each function's vote for each class by what people said; they are taken to be an even draw, unless their chances
    are given.

    Source: the one-coin model of Dawid and Skene (1979), fitted by maximum a posteriori. We depart from it twice. The
    class balance does not outvote functions: where a class is rarer than others, a lone vote for it is as sure as its
    function is accurate, and among classes that have votes the balance does not decide. And where functions contradict
    each other, a class that single-class functions vote for less gets up to a quarter of a vote's head start, since
    its votes are the more specific ones; so a tie goes to it.

    Above 65,536 rows the accuracies are learned from 65,536 of them, one at random out of each of as many equal
    stretches (always the same ones); probabilities are computed, and human labels used, for all. An accuracy then has
    a standard error of at most 0.25 divided by the square root of the function's votes in the sample.

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
        the accuracy half-way between the anchor and what the votes say. Functions that vote one class only are held
        five times as firmly, since their agreement hardly tells who is right.

    Attributes
    ----------
    accuracy_, weights_
        Of each function: probability that a vote is right; its share of the weight after redundancy, from 0 to 1.
    class_balance_
        Share of each class.
    head_start_
        What is added to the log-odds of each class that has votes where another one has, too.
    n_human_
        How many human labels were seen; :attr:`caution` says what it means when there were none.
    scale_, intercept_, offsets_
        What human labels taught: score of class y = scale_ * (the score without labels) + intercept_[y] + the sum of
        offsets_[vote, function, y].

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

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None, inclusion: ArrayLike | None = None) -> Self:
        """Learn from votes, and from human labels where there are any (-1 where not).

        ``inclusion`` (n_examples,) is the chance that each example had to be labelled, where it differed (see
        :func:`weaklm.sampling.draw`): a label then weighs 1 / chance.
        """
        if not 1 / self.cardinality < self.anchor <= 0.95 or self.anchor_weight < 0:
            raise ModelError(
                f"anchor is {self.anchor!r} and anchor_weight {self.anchor_weight!r}; an accuracy over "
                f"{1 / self.cardinality:.2f} and up to 0.95, and a weight of at least 0, are expected"
            )
        votes, labels, weight = self._start(L, Y, inclusion)
        sample = spread_rows(len(votes), _ROWS_TO_LEARN_FROM)
        rows, counts = distinct_rows(votes if len(sample) == len(votes) else votes[sample])
        self._learn_accuracies(rows, counts)
        self._learn_offsets(votes, labels, weight)
        return self

    def contributions(self, L: ArrayLike) -> Floats:
        """Return what each vote adds to the log-odds of ACCEPT, shape (n_examples, n_lfs); 0 where it abstains.

        On examples with votes, their sum is the logit of P(ACCEPT) less ``prior_log_odds``. Two classes only.
        """
        if self.cardinality != 2:
            raise ModelError(f"contributions are log-odds of two classes; this model has {self.cardinality}")
        votes = self._fitted_votes(L)
        voted = [votes == k for k in (REJECT, ACCEPT)]
        n_votes = [v.sum(axis=1, keepdims=True) for v in voted]
        contradicted = (n_votes[REJECT] > 0) & (n_votes[ACCEPT] > 0)
        evidence = self.weights_ * special.logit(self.accuracy_)
        lift = np.log(self.class_balance_.max() / self.class_balance_)  # a lone vote for the rarer class
        total = np.zeros(votes.shape)
        for k, sign in ((REJECT, -1), (ACCEPT, 1)):
            shared = (lift[k] + self.head_start_[k] * contradicted) / np.maximum(n_votes[k], 1)
            taught = self.offsets_[k, :, ACCEPT] - self.offsets_[k, :, REJECT]
            total += voted[k] * (sign * self.scale_ * (evidence + shared) + taught)
        return total

    @property
    def prior_log_odds(self) -> float:
        """Log-odds of ACCEPT that an example with votes has before they count."""
        balance = self.scale_ * special.logit(self.class_balance_[ACCEPT])
        return float(balance + self.intercept_[ACCEPT] - self.intercept_[REJECT])

    def _probabilities(self, votes: Votes) -> Floats:
        ones = planes(votes, self.cardinality)
        scores = self._scores(ones)
        if self.scale_ != 1 or self.intercept_.any() or self.offsets_.any():
            corrected = self.scale_ * scores + self.intercept_[:, None]
            corrected += sum(plane @ self.offsets_[k] for k, plane in enumerate(ones)).T
            scores = np.where(votes.max(axis=1) > ABSTAIN, corrected, scores)
        return softmax(scores)

    def _scores(self, ones: list[Any]) -> Floats:
        """Return log-probabilities up to a constant, (cardinality, n), without what human labels taught."""
        evidence = self.weights_ * np.log(self.accuracy_ * (self.cardinality - 1) / (1 - self.accuracy_))
        both = np.column_stack([evidence, np.ones(len(evidence))])
        sums = [plane @ both for plane in ones]
        voted = np.stack([total[:, 1] > 0 for total in sums])
        return self._level(voted) + np.stack([total[:, 0] for total in sums])

    def _level(self, voted: NDArray[np.bool_]) -> Floats:
        """Return the score of each class before votes count, (cardinality, n), given which classes have votes."""
        balance = self.class_balance_
        lifted = np.maximum(balance, (1 - balance) / (self.cardinality - 1))
        n_classes = np.maximum(voted.sum(axis=0), 1)
        level = np.log(np.maximum(lifted @ voted, 1e-300) / n_classes)
        level = level + np.multiply.outer(self.head_start_, n_classes > 1)
        return np.where(voted, level, np.log(balance)[:, None])

    def _learn_accuracies(self, votes: Votes, counts: Floats) -> None:
        """Find accuracies and weights by EM on rows of votes that occur ``counts`` times each."""
        pairs = agreement(votes, counts, self.cardinality)
        one_sided = _one_sided(pairs.votes)
        self.head_start_ = _head_start(pairs.votes * one_sided, pairs.votes.sum(), self.anchor)
        self.accuracy_ = np.full(self.n_functions_, self.anchor)
        self.weights_ = np.ones(self.n_functions_)
        self.scale_, self.intercept_ = 1.0, np.zeros(self.cardinality)
        self.offsets_ = np.zeros((self.cardinality, self.n_functions_, self.cardinality))
        n_votes = pairs.votes.sum(axis=0)
        found = self._expect(votes, counts)
        self.weights_ = _shared_weights(pairs, found)
        hold = self.anchor_weight * (1 + 4 * one_sided)
        for _ in range(30):
            before, self.accuracy_ = self.accuracy_, self._held(found.right, n_votes, hold)
            if np.abs(self.accuracy_ - before).max() < 1e-6:
                break
            found = self._expect(votes, counts)

    def _expect(self, votes: Votes, counts: Floats) -> "_Expected":
        """Return how the votes lie to the classes, by the probabilities so far (E step)."""
        by_class = np.zeros((self.cardinality, self.n_functions_, self.cardinality))
        rows_of = np.zeros(self.cardinality)
        for rows in blocks(votes):
            ones = planes(votes[rows], self.cardinality)
            proba = softmax(self._scores(ones)) * counts[rows]
            rows_of += proba.sum(axis=1)
            for k, plane in enumerate(ones):
                by_class[k] += plane.T @ proba.T
        return _Expected(rows_of, by_class)

    def _held(self, right: Floats, n_votes: Floats, anchor_weight: Floats) -> Floats:
        """Return each function's accuracy: its share of right votes, held to the anchor (M step)."""
        held = 10 + anchor_weight * n_votes  # at least ten votes' worth, so that rare functions stay there
        return np.clip((right + held * self.anchor) / (n_votes + held), 1 / self.cardinality, 0.95)

    def _learn_offsets(self, votes: Votes, labels: Votes, weight: Floats) -> None:
        """Correct the scores by human labels: a ridge logistic model of each vote for each class.

        Too few labels, or of one class only, say less than the votes do and are used for the class balance alone.
        """
        gold = np.flatnonzero(labels != ABSTAIN)
        gold = gold[votes[gold].max(axis=1, initial=ABSTAIN) > ABSTAIN]
        y, seen = labels[gold], votes[gold]
        if len(y) < 10 * self.cardinality or len(np.unique(y)) < 2:
            return
        ones = planes(seen, self.cardinality)
        design = np.hstack([plane if isinstance(plane, np.ndarray) else plane.toarray() for plane in ones])
        cast = design.any(axis=0)
        learned = ridge_offset(self._scores(ones).T, design[:, cast], y, weight[gold])
        self.scale_, self.intercept_ = learned.scale, learned.intercept
        self.offsets_.reshape(-1, self.cardinality)[cast] = learned.weights


@dataclass(frozen=True)
class _Expected:
    """Rows of each class (cardinality,), and votes by vote, function and class, as the probabilities have them."""

    rows: Floats
    votes: Floats

    @property
    def right(self) -> Floats:
        """How many votes of each function are right, (n_lfs,)."""
        return np.einsum("kjk->j", self.votes)

    @property
    def same(self) -> Floats:
        """On how many rows each pair of functions casts the same vote if the class alone makes it, (n_lfs, n_lfs)."""
        return sum(by_class / np.maximum(self.rows, 1e-9) @ by_class.T for by_class in self.votes)

    @property
    def both(self) -> Floats:
        """On how many rows each pair of functions votes if the class alone makes them, (n_lfs, n_lfs)."""
        by_class = self.votes.sum(axis=0)
        return by_class / np.maximum(self.rows, 1e-9) @ by_class.T


def _one_sided(votes: Floats) -> Floats:
    """Return for each function 1 where all its votes are for one class, 0 where it votes much as all do together.

    How often such functions agree says much about how often the class occurs and little about who is right. In between
    it rises from 0.6 of the way; each function gets ten votes more in the usual proportion, against chance.
    """
    main, n_votes = votes.argmax(axis=0), votes.sum(axis=0)
    usual = (votes.sum(axis=1) / votes.sum())[main]
    own = (votes.max(axis=0) + 10 * usual) / (n_votes + 10)
    return np.clip(((own - usual) / np.maximum(1 - usual, 1e-9) - 0.6) / 0.4, 0.0, 1.0)


def _head_start(votes: Floats, n_all: float, anchor: float) -> Floats:
    """Return the log-odds that a class gets where it is contradicted, from one-sided functions' votes by class.

    Half the logarithm of the class's rarity among these votes, by their share of all ``n_all`` votes, and at most a
    quarter of the evidence of one vote at the anchor.
    """
    n_classes = len(votes)
    share = votes.sum(axis=1) + 1
    share /= share.sum()
    rarity = share @ np.log(share) - np.log(share)
    most = 0.25 * np.log(anchor * (n_classes - 1) / (1 - anchor))
    return np.clip(0.5 * votes.sum() / n_all * rarity, -most, most)


def _shared_weights(pairs: Agreement, found: _Expected) -> Floats:
    """Return the weight of each function, from 0 to 1: one that votes as others do shares its weight with them.

    w_j = 1 / sqrt(1 + sum over k of (agree_jk + join_jk) * overlap_jk); the root, since they may as well agree because
    some examples are easy. agree: how much more often two functions agree, where both vote, than the class makes them;
    join: how much more often they vote on the same examples, and agree. Both are 1 for a copy and leave twice the
    standard error to chance. overlap: the share of the examples with either's vote that have both.
    """
    n_votes, both = pairs.votes.sum(axis=0), np.maximum(pairs.both, 1)
    rate = np.minimum(found.same / np.maximum(found.both, 1e-9), 1)
    agree = np.maximum(0.0, pairs.same / both - rate - 2 * np.sqrt(rate * (1 - rate) / both))
    agree /= np.where(rate < 1 - 1e-6, 1 - rate, np.inf)  # functions of one class cannot but agree
    rarer = np.minimum.outer(n_votes, n_votes)
    join = np.maximum(0.0, pairs.both - found.both - 2 * np.sqrt(found.both)) / np.maximum(rarer - found.both, 1e-9)
    overlap = pairs.both / np.maximum(np.add.outer(n_votes, n_votes) - pairs.both, 1)
    shared = (np.minimum(agree, 1) + np.minimum(join, 1) * pairs.same / both) * overlap
    np.fill_diagonal(shared, 0.0)
    return 1 / np.sqrt(1 + shared.sum(axis=1))
