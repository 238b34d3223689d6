"""Dawid and Skene's model of raters with their own confusions: for dense votes of functions that vote every class."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError
from weaklm.vote_matrix import Floats, Votes, blocks, distinct_rows, planes, softmax, spread_rows, vote_counts
from weaklm.voter import Voter

_ROWS_TO_LEARN_FROM = 65_536
_FEWEST_VOTES = 3
_MOST_SINGLE_CLASS = 0.1


class DawidSkene(Voter):
    """Learns a confusion matrix of each function by EM; an abstain says nothing.

    Right for crowds and judges: many votes a row, each function voting each class. Anything else is refused with the
    reason, since a function that votes one class only has no confusion to learn (its vote then carries no evidence),
    and with fewer than three votes a row agreement does not tell who errs.

    Source: Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
    doi:10.2307/2346806. We depart from it with ``prior_votes``, and human labels fix their rows' classes. Above 65,536
    rows it learns from 65,536 of them, one at random out of each of as many equal stretches.

    Parameters
    ----------
    cardinality
        Number of classes.
    class_balance
        Share of each class. None: learned, as in the paper, which dense votes allow.
    prior_votes
        How many votes per true class, seven in ten of them right, each function is taken to have cast before.
    force
        Fit even where the votes are sparse or of one class a function.

    Attributes
    ----------
    confusion_
        P(function votes v | class y) where it votes, shape (n_lfs, cardinality, cardinality), by function, v, y.

    Examples
    --------
    >>> L = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])
    >>> DawidSkene().fit(L).predict(L).tolist()
    [1, 0, 1, 0]
    """

    def __init__(
        self,
        *,
        cardinality: int = 2,
        class_balance: Sequence[float] | None = None,
        prior_votes: float = 1.0,
        force: bool = False,
    ) -> None:
        self.cardinality = cardinality
        self.class_balance = class_balance
        self.prior_votes = prior_votes
        self.force = force

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Learn from votes, and from human labels where there are any (-1 where not)."""
        votes, labels, _ = self._start(L, Y)
        reason = unfit_for_dawid_skene(votes, self.cardinality)
        if reason and not self.force:
            raise ModelError(f"Dawid-Skene is not for these votes: {reason}. Use LabelModel, or force=True.")
        gold = np.flatnonzero(labels != ABSTAIN)
        free = np.flatnonzero(labels == ABSTAIN)
        rows, counts = distinct_rows(votes[free[spread_rows(len(free), _ROWS_TO_LEARN_FROM)]])
        known = self._counted(votes[gold], np.eye(self.cardinality)[labels[gold]].T)
        labelled = np.bincount(labels[gold], minlength=self.cardinality).astype(np.float64) + 1
        self._learn(rows, counts, known, labelled)
        return self

    def contributions(self, L: ArrayLike) -> Floats:
        """Return what each vote adds to the log-odds of ACCEPT, shape (n_examples, n_lfs); 0 where it abstains.

        Two classes only.
        """
        if self.cardinality != 2:
            raise ModelError(f"contributions are log-odds of two classes; this model has {self.cardinality}")
        votes, log = self._fitted_votes(L), np.log(self.confusion_)
        return sum((votes == k) * (log[:, k, ACCEPT] - log[:, k, REJECT]) for k in (REJECT, ACCEPT))

    @property
    def prior_log_odds(self) -> float:
        """Log-odds of ACCEPT before any vote counts."""
        return float(special.logit(self.class_balance_[ACCEPT]))

    def _probabilities(self, votes: Votes) -> Floats:
        evidence = np.log(self.confusion_)
        ones = planes(votes, self.cardinality)
        return softmax(np.log(self.class_balance_)[:, None] + sum(p @ evidence[:, k] for k, p in enumerate(ones)).T)

    def _learn(self, votes: Votes, counts: Floats, known: Floats, labelled: Floats) -> None:
        """Alternate the two steps of EM, at most 100 times."""
        proba = self._first_guess(votes, known, labelled)
        for _ in range(100):
            before = proba
            self._m_step(self._counted(votes, proba * counts) + known)
            if self.class_balance is None:
                share = (proba * counts).sum(axis=1) + labelled
                self.class_balance_ = share / share.sum()
            proba = self._e_step(votes)
            if np.abs(proba - before).max(initial=0.0) < 1e-4:
                break

    def _first_guess(self, votes: Votes, known: Floats, labelled: Floats) -> Floats:
        """Return the probabilities to start from: what human labels of every class say, else the majority vote."""
        if labelled.sum() >= 20 + self.cardinality and (labelled > 1).all():
            self._m_step(known)
            return self._e_step(votes)
        proba = np.empty((self.cardinality, len(votes)))
        for rows in blocks(votes):
            shares = vote_counts(votes[rows].T, self.cardinality)
            shares = shares == shares.max(axis=0)
            proba[:, rows] = shares / shares.sum(axis=0)
        return proba

    def _e_step(self, votes: Votes) -> Floats:
        """Return the probability of each class by the confusions so far, shape (cardinality, n)."""
        proba = np.empty((self.cardinality, len(votes)))
        for rows in blocks(votes):
            proba[:, rows] = self._probabilities(votes[rows])
        return proba

    def _m_step(self, counted: Floats) -> None:
        """Settle the confusions from how often each function voted v where the class was y, with the prior votes."""
        right = np.eye(self.cardinality)
        prior = 0.7 * right + 0.3 * (1 - right) / (self.cardinality - 1)
        counted = counted + self.prior_votes * prior + 1e-9
        self.confusion_ = counted / counted.sum(axis=1, keepdims=True)

    def _counted(self, votes: Votes, proba: Floats) -> Floats:
        """Return how often each function voted v where the class was y, shape (n_lfs, v, y)."""
        total = np.zeros((votes.shape[1], self.cardinality, self.cardinality))
        for rows in blocks(votes):
            for k, plane in enumerate(planes(votes[rows], self.cardinality)):
                total[:, k] += plane.T @ proba[:, rows].T
        return total


def unfit_for_dawid_skene(votes: Votes, cardinality: int = 2) -> str:
    """Return why Dawid and Skene's model is not for these votes, or nothing.

    >>> unfit_for_dawid_skene(np.array([[1, -1], [-1, 0]], np.int8))
    'rows with votes have 1 of them (median), 3 are needed to tell who errs'
    """
    per_row = np.count_nonzero(votes != ABSTAIN, axis=1)
    median = int(np.median(per_row[per_row > 0]))
    if median < _FEWEST_VOTES:
        return f"rows with votes have {median} of them (median), {_FEWEST_VOTES} are needed to tell who errs"
    by_class = vote_counts(votes, cardinality)
    single = (by_class > 0).sum(axis=0) == 1
    share = by_class[:, single].sum() / by_class.sum()
    if share > _MOST_SINGLE_CLASS:
        return (
            f"{share:.0%} of the votes come from the {single.sum()} functions that vote one class only, "
            "whose confusions cannot be learned"
        )
    return ""
