"""What one labeling function does to the labels: the rows that it tips, and their scores without it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT
from weaklm.errors import ModelError
from weaklm.vote_matrix import Floats, Votes, check_labels, check_votes
from weaklm.voter import Voter


@dataclass(frozen=True)
class Blame:
    """One entry for each row on which the function votes; what :func:`blame` returns.

    Attributes
    ----------
    rows, votes
        The rows' numbers in L, and the function's vote on each.
    score, without
        P(ACCEPT) with the vote, and with an abstain in its place.
    tipped
        Whether the two lie on different sides of ``threshold`` (a score at the threshold is kept).
    labels
        What people said, -1 where they did not.
    """

    rows: NDArray[np.int64]
    votes: Votes
    score: Floats
    without: Floats
    tipped: NDArray[np.bool_]
    labels: Votes
    threshold: float

    @property
    def kept_by_it(self) -> NDArray[np.int64]:
        """Numbers of the rows that reach the threshold because of its vote."""
        return self.rows[self.tipped & (self.score >= self.threshold)]

    @property
    def dropped_by_it(self) -> NDArray[np.int64]:
        """Numbers of the rows that would reach the threshold without its vote."""
        return self.rows[self.tipped & (self.score < self.threshold)]

    def __str__(self) -> str:
        if len(self.rows) == 0:
            return "It votes on no row."
        judged = self.tipped & (self.labels != ABSTAIN)
        wrong = ((self.score >= self.threshold) != (self.labels == ACCEPT))[judged].sum()
        by_people = f"; people call {wrong} of the {judged.sum()} labelled ones wrong" if judged.any() else ""
        moved = np.abs(self.score - self.without).mean()
        return (
            f"It votes on {len(self.rows)} rows and moves their score by {moved:.3f} on average. It tips "
            f"{self.tipped.sum()} of them over {self.threshold:g}: {len(self.kept_by_it)} are kept and "
            f"{len(self.dropped_by_it)} dropped because of it{by_people}."
        )


def blame(model: Voter, L: ArrayLike, function: int, *, Y: ArrayLike | None = None, threshold: float = 0.5) -> Blame:
    """Return which rows the function in column ``function`` of L tips, and what their scores are without its vote.

    The model stays as it was fitted: this is what the function's votes do, not what a model without it would learn.

    Parameters
    ----------
    threshold
        The score from which a row is kept: 0.5 for the label, curation's threshold for the curated set.

    Examples
    --------
    >>> from weaklm.label_model import LabelModel
    >>> L = np.array([[1, 1, 0], [0, 0, 1], [1, -1, 0], [0, 0, 0]])
    >>> first = blame(LabelModel().fit(L), L, 0)
    >>> first.rows.tolist(), first.kept_by_it.tolist()
    ([0, 1, 2, 3], [2])
    """
    if model.cardinality != 2:
        raise ModelError(f"blame is about the score, P(ACCEPT); this model has {model.cardinality} classes")
    votes = check_votes(L, 2)
    if not 0 <= function < votes.shape[1]:
        raise ModelError(f"function is {function}; a column of L from 0 to {votes.shape[1] - 1} is expected")
    labels = check_labels(Y, len(votes), 2)
    rows = np.flatnonzero(votes[:, function] != ABSTAIN)
    silenced = votes[rows]
    silenced[:, function] = ABSTAIN
    score, without = (model.predict_proba(v)[:, ACCEPT] for v in (votes[rows], silenced))
    tipped = (score >= threshold) != (without >= threshold)
    return Blame(rows, votes[rows, function], score, without, tipped, labels[rows], threshold)
