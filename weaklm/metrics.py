"""How good a score is, in numbers: arrays in, numbers out.

``Y`` holds labels, 0 REJECT or 1 ACCEPT; ``score`` probabilities of ACCEPT; ``decisions`` 0 or 1. All are (n,). Rows
without a label (-1) are for the caller to leave out.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError

Labels = NDArray[np.int64]


def auc(Y: ArrayLike, score: ArrayLike) -> float:
    """Return the probability that a random accepted row scores above a random rejected one; a tie counts one half.

    nan when only one class is there.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    labels, values = _pair(Y, score)
    n_accept = int(labels.sum())
    n_pairs = n_accept * (len(labels) - n_accept)
    if n_pairs == 0:
        return math.nan
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # tied rows share their mean rank
    return float((ranks[labels == 1].sum() - n_accept * (n_accept + 1) / 2) / n_pairs)


def balanced_accuracy(Y: ArrayLike, decisions: ArrayLike) -> float:
    """Return the mean of the share of accepted rows and of rejected rows that are decided rightly; nan for one class.

    >>> balanced_accuracy([1, 1, 1, 0], [1, 1, 1, 1])
    0.5
    """
    labels, chosen = _pair(Y, decisions)
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(np.mean([(chosen[labels == label] == label).mean() for label in (0, 1)]))


def f1(Y: ArrayLike, decisions: ArrayLike, of: int = 1) -> float:
    """Return F1 (harmonic mean of precision and recall) of one class: 1 ACCEPT or 0 REJECT.

    nan when the class is neither among the labels nor among the decisions.

    >>> round(f1([1, 1, 0, 0], [1, 0, 0, 0]), 3), f1([1, 1, 0, 0], [1, 0, 0, 0], of=0)
    (0.667, 0.8)
    """
    labels, chosen = _pair(Y, decisions)
    total = int((labels == of).sum() + (chosen == of).sum())
    return 2 * int(((labels == of) & (chosen == of)).sum()) / total if total else math.nan


def brier(Y: ArrayLike, score: ArrayLike) -> float:
    """Return the mean squared distance of score and label, from 0 (perfect) to 1; 0.25 is a coin's.

    >>> brier([1, 0], [1.0, 0.5])
    0.125
    """
    labels, values = _pair(Y, score)
    return float(np.mean((values - labels) ** 2)) if len(labels) else math.nan


def ece(Y: ArrayLike, score: ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance, over bins, of mean score and share accepted.

    Bins hold equally many rows, since equally wide ones are mostly empty where scores crowd. With n = 100 rows even
    a perfect score shows about 0.03 to 0.05.

    >>> round(ece([1, 0, 0, 0], [0.5, 0.5, 0.1, 0.1], bins=2), 3)
    0.05
    """
    labels, values = _pair(Y, score)
    if len(labels) == 0:
        return math.nan
    _, place = np.unique(values, return_inverse=True)
    # Rows with the same score share their mean label, so that their order does not count.
    share = (np.bincount(place, labels) / np.bincount(place))[place]
    parts = np.array_split(np.argsort(values, kind="stable"), min(bins, len(labels)))
    return float(sum(abs(values[part].mean() - share[part].mean()) * len(part) for part in parts) / len(labels))


def agreement(a: ArrayLike, b: ArrayLike) -> float:
    """Return Cohen's kappa of two raters: 1 where they agree always, 0 where no more than by chance.

    nan when both give the same answer to everything, since then chance explains all.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".

    >>> agreement([1, 1, 0, 0], [1, 0, 0, 0])
    0.5
    """
    first, second = np.asarray(a), np.asarray(b)
    _same_length(first, second)
    classes = np.union1d(first, second)
    if len(classes) < 2:
        return math.nan
    by_chance = sum(float((first == c).mean() * (second == c).mean()) for c in classes)
    return float(((first == second).mean() - by_chance) / (1 - by_chance))


def check_score(score: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return the score as an array (n,); raise where it is not one number from 0 to 1 a row.

    >>> check_score([0.5, 7.0], 2)
    Traceback (most recent call last):
        ...
    weaklm.errors.DataError: the score of row 1 is 7.0; the probability of ACCEPT, from 0 to 1, was expected
    """
    values = np.asarray(score, dtype=np.float64)
    if values.shape != (n,):
        hint = "; pass its column ACCEPT, proba[:, 1]" if values.shape == (n, 2) else ""
        raise DataError(f"the score has shape {values.shape}; one number a row, ({n},), was expected{hint}")
    outside = ~((values >= 0) & (values <= 1))  # nan is outside, too
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"the score of row {row} is {values[row]}; the probability of ACCEPT, from 0 to 1, was expected"
        )
    return values


def _pair(Y: ArrayLike, values: ArrayLike) -> tuple[Labels, NDArray[np.float64]]:
    labels, numbers = np.asarray(Y), np.asarray(values, dtype=np.float64)
    _same_length(labels, numbers)
    strange = labels[~np.isin(labels, (0, 1))]
    if len(strange):
        raise DataError(f"{strange[0]!r} is no label; expected 0 or 1 only (leave rows without a label, -1, out)")
    if not np.isfinite(numbers).all():
        raise DataError(
            f"row {int(np.argmin(np.isfinite(numbers)))} has no finite score; expected a number in each row"
        )
    return labels.astype(np.int64), numbers


def _same_length(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"arrays of shape {a.shape} and {b.shape} were given; expected two of the same length")
