"""The vote matrix: L checked and as int8, its distinct rows, a sample of them, and the blocks that models sweep over.

L is (n_examples, n_lfs) with -1 for an abstain and a class from 0 to ``cardinality - 1`` for a vote. A sweep over a
million rows costs a fraction of a second and a few MiB, since only a block at a time is spread into ones and zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from weaklm.data import ABSTAIN
from weaklm.errors import DataError

Floats = NDArray[np.float64]
Votes = NDArray[np.int8]

_BLOCK_VOTES = 2**18  # one class of a block as float64 fills 2 MiB, about one core's cache


def check_votes(L: ArrayLike, cardinality: int, *, some: bool = False) -> Votes:
    """Return L as int8 of shape (n_examples, n_lfs), or say where it is no matrix of votes, ``some``: of any rows.

    >>> check_votes([[1.0, -1.0]], 2).tolist()
    [[1, -1]]
    """
    votes = np.asarray(L)
    if votes.ndim != 2 or votes.shape[1] == 0 or (some and len(votes) == 0):
        raise DataError(f"L has shape {votes.shape}; votes of shape (n_examples, n_lfs), both over 0, are expected")
    return _classes(votes, "L", cardinality)


def check_labels(Y: ArrayLike | None, n: int, cardinality: int) -> Votes:
    """Return human labels as int8 of shape (n,), all -1 for None, or say which is neither a class nor -1."""
    if Y is None:
        return np.full(n, ABSTAIN, np.int8)
    labels = _classes(np.asarray(Y), "Y", cardinality)
    if labels.shape != (n,):
        raise DataError(f"Y has shape {labels.shape}; one label for each of the {n} rows of L is expected")
    return labels


def _classes(values: NDArray[Any], name: str, cardinality: int) -> Votes:
    """Return votes or labels as int8, or say which one is neither an abstain nor a class."""
    whole = values.dtype.kind in "iu"
    if not (whole and (values.size == 0 or (values.min() >= ABSTAIN and values.max() < cardinality))):
        number = whole or values.dtype.kind == "f"
        known = np.isin(values, range(ABSTAIN, cardinality)) if number else np.zeros(values.shape, bool)
        if not known.all():
            place = tuple(int(i[0]) for i in np.nonzero(~known))
            value = values[place]
            shown = value.item() if isinstance(value, np.generic) else value
            raise DataError(
                f"{name} holds {shown!r} at {list(place)}; expected -1 (ABSTAIN) or a class from 0 to {cardinality - 1}"
            )
    return values.astype(np.int8, copy=False)


def spread_rows(n: int, at_most: int) -> NDArray[np.int64]:
    """Return the numbers of all rows, or of one random row out of each of ``at_most`` equal stretches; always the same.

    >>> spread_rows(3, 5).tolist(), len(spread_rows(1000, 5))
    ([0, 1, 2], 5)
    """
    if n <= at_most:
        return np.arange(n)
    within = np.random.default_rng(0).random(at_most)
    return ((np.arange(at_most) + within) * (n / at_most)).astype(np.int64)


def distinct_rows(votes: Votes) -> tuple[Votes, Floats]:
    """Return the distinct rows and how often each occurs, or the rows as they are where most of them differ.

    >>> rows, counts = distinct_rows(np.array([[1, 0], [1, 0], [0, -1], [1, 0]], np.int8))
    >>> rows.tolist(), counts.tolist()
    ([[0, -1], [1, 0]], [1.0, 3.0])
    """
    keys = np.ascontiguousarray(votes).view(np.dtype((np.void, votes.shape[1]))).ravel()
    glance = keys[:2000]  # sorting all is for nothing where these already differ
    if len(np.unique(glance)) <= 0.7 * len(glance):
        keys, counts = np.unique(keys, return_counts=True)
        return keys.view(np.int8).reshape(-1, votes.shape[1]), counts.astype(np.float64)
    return votes, np.ones(len(votes))


def blocks(votes: Votes) -> Iterator[slice]:
    """Yield slices of rows that together are all rows, each small enough for a core's cache."""
    size = max(256, _BLOCK_VOTES // votes.shape[1])
    for start in range(0, len(votes), size):
        yield slice(start, start + size)


def planes(votes: Votes, cardinality: int) -> list[Any]:
    """Return for each class the matrix (n, n_lfs) of ones where it was voted; sparse where few functions vote.

    Both kinds know ``plane @ x`` and ``plane.T @ x``.
    """
    few = np.count_nonzero(votes != ABSTAIN) < 0.03 * votes.size
    if few:
        return [sparse.csr_matrix(votes == k, dtype=np.float64) for k in range(cardinality)]
    return [(votes == k).astype(np.float64) for k in range(cardinality)]


@dataclass(frozen=True)
class Agreement:
    """How often functions vote, and agree: ``votes`` (cardinality, n_lfs), ``both`` and ``same`` (n_lfs, n_lfs)."""

    n_rows: float
    votes: Floats
    both: Floats
    same: Floats


def agreement(votes: Votes, counts: Floats, cardinality: int) -> Agreement:
    """Return on how many examples each pair of functions votes and agrees, for rows that occur ``counts`` times.

    >>> pairs = agreement(np.array([[1, 0], [1, -1]], np.int8), np.array([2.0, 1.0]), 2)
    >>> pairs.votes.tolist(), pairs.both.tolist(), pairs.same.tolist()
    ([[0.0, 2.0], [3.0, 0.0]], [[3.0, 2.0], [2.0, 2.0]], [[3.0, 0.0], [0.0, 2.0]])
    """
    n_lfs = votes.shape[1]
    by_class, both, same = np.zeros((cardinality, n_lfs)), np.zeros((n_lfs, n_lfs)), np.zeros((n_lfs, n_lfs))
    for rows in blocks(votes):
        ones = planes(votes[rows], cardinality)
        for k, plane in enumerate(ones):
            by_class[k] += plane.T @ counts[rows]
            same += _product(plane, counts[rows])
        both += _product(sum(ones[1:], ones[0]), counts[rows])
    return Agreement(float(counts.sum()), by_class, both, same)


def _product(plane: Any, counts: Floats) -> Floats:
    """Return plane.T @ diag(counts) @ plane, dense."""
    if isinstance(plane, np.ndarray):
        return plane.T @ (plane * counts[:, None])
    return (plane.T @ plane.multiply(counts[:, None]).tocsr()).toarray()


def vote_counts(votes: Votes, cardinality: int) -> Floats:
    """Return how often each column holds each class, shape (cardinality, n_columns).

    >>> vote_counts(np.array([[1, 0], [1, -1]], np.int8), 2).tolist()
    [[0.0, 1.0], [2.0, 0.0]]
    """
    return np.stack([np.count_nonzero(votes == k, axis=0) for k in range(cardinality)]).astype(np.float64)


def softmax(scores: Floats) -> Floats:
    """Return exp(scores) with columns that sum to 1, shape (cardinality, n)."""
    proba = np.exp(scores - scores.max(axis=0))
    proba /= proba.sum(axis=0)
    return proba
