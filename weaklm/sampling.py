"""Which rows to label next: a random draw with known chances, half even, half where the score is unsure.

A fixed choice of the least certain rows learns little faster and makes the labels useless for anything else. Where
every row had a known chance, one batch serves all: training (weight 1 / chance), rates (:mod:`weaklm.estimation`) and
the audit of functions. So the chance is stored with each label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError, SettingsError
from weaklm.survey import chances

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """Rows to label, and the chance that every row had to be among them.

    Attributes
    ----------
    rows
        (n,) places of the drawn rows, in random order: the first k are as good a batch as all.
    inclusion
        (n_rows,) the chance of each row, drawn or not; 0 for rows that could not be drawn. They sum to n over the
        rows that were not labelled before.
    """

    rows: NDArray[np.int64]
    inclusion: Numbers


def draw(
    score: ArrayLike,
    n: int,
    *,
    strata: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
    uncertain_share: float = 0.5,
    random_state: int = 0,
) -> Draw:
    """Return ``n`` rows to label out of those with a score (n_rows,), from 0 to 1.

    Parameters
    ----------
    strata
        (n_rows,) the part of each row (:func:`slice_strata`): each gets labels by its number of rows and by how unsure
        the score is there, and at least 3. Where n is too few for that, the smallest parts are joined, so that every
        row has a chance. None: all rows are one part.
    labelled
        (n_rows,) bool: rows that have a label already; they are not drawn again.
    uncertain_share
        How much of the chance goes by sqrt(score * (1 - score)); the rest is even. Half: with more, a biased score
        makes estimates worse than no score at all.

    Source: allocation after Neyman 1934, tempered by half; systematic sampling in random order with unequal chances
    (Madow 1949), which keeps every chance exact and the number of rows fixed.

    >>> batch = draw([0.1, 0.5, 0.9, 0.5], n=2, random_state=1)
    >>> len(batch.rows), batch.inclusion.round(2).tolist()
    (2, [0.44, 0.56, 0.44, 0.56])
    """
    values = np.asarray(score, dtype=float)
    if not ((values >= 0) & (values <= 1)).all() or values.ndim != 1:
        raise DataError("a score is no number from 0 to 1; expected the probability of ACCEPT of each row, (n_rows,)")
    if not 0 <= uncertain_share < 1:
        raise SettingsError(
            f"uncertain_share is {uncertain_share!r}; expected 0 or more, and less than 1: every row needs a chance"
        )
    free = np.ones(len(values), dtype=bool) if labelled is None else ~np.asarray(labelled, dtype=bool)
    if not 0 <= n <= free.sum():
        raise SettingsError(f"{n} rows are to be drawn; {int(free.sum())} rows without a label are there")
    part = np.zeros(len(values), dtype=np.int64)
    if strata is not None:
        _, part = np.unique(np.asarray(strata), return_inverse=True)
        part = _joined(part, free, n)
    unsure = np.sqrt(values * (1 - values))
    quota = _allocation(unsure, part, free, n)
    generator = np.random.default_rng(random_state)
    inclusion, drawn = np.zeros(len(values)), []
    for stratum, count in enumerate(quota):
        inside = np.flatnonzero(part == stratum)
        inclusion[inside] = _chance(unsure[inside], free[inside], int(count), uncertain_share)
        drawn.append(_systematic(inside[free[inside]], inclusion, generator))
    return Draw(generator.permutation(np.concatenate(drawn)) if drawn else np.zeros(0, dtype=np.int64), inclusion)


def slice_strata(S: ArrayLike, names: Sequence[str] | None = None) -> NDArray[Any]:
    """Return the stratum (n_rows,) of each row of S (n_rows, n_slices): the rarest slice it is in, or "rest".

    Slices overlap and strata do not; the rarest slice has most need of labels of its own.

    >>> slice_strata([[True, False], [True, True], [False, False]], ["long", "legal"]).tolist()
    ['long', 'legal', 'rest']
    """
    members = np.asarray(S, dtype=bool)
    labels = np.array([*(names if names is not None else map(str, range(members.shape[1]))), "rest"], dtype=object)
    order = np.argsort(members.sum(axis=0), kind="stable")
    first = np.argmax(members[:, order], axis=1) if len(order) else np.zeros(len(members), dtype=np.int64)
    found = members.any(axis=1)
    return labels[np.where(found, order[first] if len(order) else 0, len(labels) - 1)]


def combined(*inclusions: ArrayLike) -> Numbers:
    """Return the chance (n_rows,) that each row had to be labelled in any of several draws.

    ``inclusion`` of a later draw also says what chance a row would have had that was labelled before.

    >>> combined([0.5, 0.1], [0.5, 0.2]).round(2).tolist()
    [0.75, 0.28]
    """
    missed = np.prod([1 - np.asarray(inclusion, dtype=float) for inclusion in inclusions], axis=0)
    return np.asarray(1 - missed, dtype=np.float64)


def label_weights(labelled: ArrayLike, inclusion: ArrayLike | None = None, *, most: float = 5.0) -> Numbers:
    """Return the weight (n_rows,) of each label in training: 1 / chance up to a factor; 0 for rows without a label.

    Weights above ``most`` times the median are cut to that: a row that was hardly ever drawn shall not decide alone
    (trimming; it trades a little bias for much variance). All together weigh as much as that many equal ones would
    tell: (sum of weights)² / sum of weights² (Kish 1965). Without chances all labels weigh 1.

    >>> label_weights([True, True, False, True, True], [0.5, 0.25, 0.1, 0.25, 0.5]).round(2).tolist()
    [0.6, 1.2, 0.0, 1.2, 0.6]
    """
    is_labelled = np.asarray(labelled, dtype=bool)
    chance = np.ones(len(is_labelled)) if inclusion is None else chances(inclusion, is_labelled)
    if inclusion is None or not is_labelled.any():
        return is_labelled.astype(np.float64)
    weight = np.where(is_labelled, 1 / np.where(is_labelled, chance, 1.0), 0.0)
    weight = np.minimum(weight, most * np.median(weight[is_labelled]))
    return np.asarray(weight * weight.sum() / (weight @ weight), dtype=np.float64)


def _joined(part: NDArray[np.int64], free: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return the strata 0, 1, 2, ... with the smallest ones joined, until n rows give each at least three."""
    counts = np.bincount(part[free], minlength=int(part.max(initial=-1)) + 1)
    while (counts > 0).sum() > max(n // 3, 1):
        smallest, second = np.argsort(np.where(counts > 0, counts, np.inf), kind="stable")[:2]
        part = np.where(part == smallest, second, part)
        counts[second] += counts[smallest]
        counts[smallest] = 0
    return part


def _allocation(unsure: Numbers, part: NDArray[np.int64], free: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return how many of n rows each stratum gives, no more than it has."""
    available = np.bincount(part[free], minlength=int(part.max(initial=0)) + 1)
    total = np.bincount(part[free], unsure[free], minlength=len(available))
    mean = np.divide(total, available, out=np.zeros(len(available)), where=available > 0)
    overall = total.sum() / max(available.sum(), 1)
    wish = available * (0.5 + 0.5 * (mean / overall if overall > 0 else 1.0))
    quota = (
        np.minimum(3, available) if n >= np.minimum(3, available).sum() else np.zeros(len(available), dtype=np.int64)
    )
    while (left := n - quota.sum()) > 0:  # each time to the stratum that is furthest behind its wish
        behind = np.where(quota < available, wish / wish.sum() * n - quota, -np.inf)
        step = max(int(left) // (2 * len(quota)), 1)
        best = int(np.argmax(behind))
        quota[best] += min(step, int(available[best] - quota[best]))
    return quota


def _chance(unsure: Numbers, free: NDArray[np.bool_], count: int, uncertain_share: float) -> Numbers:
    """Return chances that sum to ``count`` over the free rows, none above 1."""
    if count == 0:
        return np.zeros(len(unsure))
    n_free = int(free.sum())
    total = unsure[free].sum()
    lean = unsure / total if total > 0 else np.full(len(unsure), 1 / n_free)
    size = (1 - uncertain_share) / n_free + uncertain_share * lean
    chance = np.minimum(count * size, 1.0)
    while (short := count - chance[free].sum()) > 1e-9 and (rest := free & (chance < 1)).any():
        chance = np.where(chance < 1, np.minimum(chance * (1 + short / chance[rest].sum()), 1.0), chance)
    return chance


def _systematic(rows: NDArray[np.int64], inclusion: Numbers, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return rows, each with its own chance; their number is the chances' sum."""
    shuffled = generator.permutation(rows)
    ends = np.cumsum(inclusion[shuffled])
    count = round(float(ends[-1])) if len(ends) else 0
    marks = generator.random() + np.arange(count)
    places = np.searchsorted(ends * (count / ends[-1] if count else 1.0), marks, side="right")
    return shuffled[np.minimum(places, len(shuffled) - 1)] if count else shuffled[:0]
