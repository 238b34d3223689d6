"""Votes counted in one pass over L: each function's alone, and those of every pair of functions.

A million rows of a hundred functions take seconds: the counts of pairs are products of matrices, made block by block,
so that the memory does not grow with the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from weaklm.data import ABSTAIN

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]

_ROWS_AT_ONCE = 16_384  # counts of a block stay exact in float32 (below 2 ** 24), and a block of 100 functions in cache


@dataclass(frozen=True)
class Tally:
    """Counts of rows.

    Attributes
    ----------
    n_rows, n_covered, n_overlapped, n_conflicted
        All rows, those with a vote, with two votes or more, with two different votes.
    votes
        (n_lfs, n_classes): the function votes for the class.
    overlapped, conflicted, alone
        (n_lfs,): it votes and another does too; does, and two votes on the row differ; no other votes.
    both
        (n_lfs, n_lfs): both vote.
    agreed
        (n_classes, n_lfs, n_lfs): both vote for the class.

    Examples
    --------
    >>> tally = Tally.of(np.array([[0, 0, 1], [0, 0, -1], [-1, -1, 1], [-1, -1, -1]], np.int8))
    >>> tally.votes.tolist(), tally.conflicted.tolist(), tally.alone.tolist()
    ([[2, 0], [2, 0], [0, 2]], [1, 1, 1], [0, 0, 1])
    >>> tally.differed[0].tolist(), tally.phi[0].tolist()
    ([0, 0, 1], [1.0, 1.0, 0.0])
    """

    n_rows: int
    n_covered: int
    n_overlapped: int
    n_conflicted: int
    votes: Counts
    overlapped: Counts
    conflicted: Counts
    alone: Counts
    both: Counts
    agreed: Counts

    @classmethod
    def of(cls, L: NDArray[np.integer]) -> "Tally":
        """Count the votes L (n_rows, n_lfs): -1 is an abstain, classes are 0, 1, ...; two classes are always there."""
        n_classes, m = max(2, int(L.max()) + 1), L.shape[1]
        n_covered = n_overlapped = n_conflicted = 0
        votes, singles = np.zeros((m, n_classes), np.int64), np.zeros((3, m), np.int64)
        both, agreed = np.zeros((m, m), np.int64), np.zeros((n_classes, m, m), np.int64)
        for block in _blocks(L):
            voted, n_votes = _flags(block != ABSTAIN)
            n_different = np.zeros(len(block))
            for k in range(n_classes):
                cast, n_cast = _flags(block == k)
                votes[:, k] += cast.sum(axis=0).astype(np.int64)
                agreed[k] += (cast.T @ cast).astype(np.int64)
                n_different += n_cast > 0
            both += (voted.T @ voted).astype(np.int64)
            kinds = np.stack([n_votes > 1, n_different > 1, n_votes == 1]).astype(np.float32)
            singles += (kinds @ voted).astype(np.int64)
            n_covered += int((n_votes > 0).sum())
            n_overlapped += int((n_votes > 1).sum())
            n_conflicted += int((n_different > 1).sum())
        overlapped, conflicted, alone = singles
        return cls(len(L), n_covered, n_overlapped, n_conflicted, votes, overlapped, conflicted, alone, both, agreed)

    @cached_property
    def coverage(self) -> Shares:
        """The share of all rows on which each function votes, (n_lfs,)."""
        return self.votes.sum(axis=1) / self.n_rows

    @cached_property
    def differed(self) -> Counts:
        """The number of rows on which two functions vote differently, (n_lfs, n_lfs)."""
        return self.both - self.agreed.sum(axis=0)

    @cached_property
    def phi(self) -> Shares:
        """The correlation of the votes of two functions, (n_lfs, n_lfs), -1 to 1; 0 where one always says the same.

        Each class is one indicator; covariances and variances are summed over the classes. So it is the phi
        coefficient of two functions of one polarity, and of two that never abstain.
        """
        share = self.votes / self.n_rows
        covariance = self.agreed.sum(axis=0) / self.n_rows - share @ share.T
        variance = np.diag(covariance)
        scale = np.sqrt(np.outer(variance, variance))
        moves = scale > 1e-12
        return np.clip(np.divide(covariance, scale, out=np.zeros_like(scale), where=moves), -1, 1).round(12)


def _blocks(L: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    for start in range(0, len(L), _ROWS_AT_ONCE):
        yield np.ascontiguousarray(L[start : start + _ROWS_AT_ONCE])


def _flags(is_set: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return flags as numbers that can be multiplied, and how many are set in each row."""
    numbers = is_set.astype(np.float32)
    return numbers, numbers @ np.ones(numbers.shape[1], np.float32)
