"""Rows drawn at random, so many of each group: by weights that the rows can meet, or as evenly as they allow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.curation.decisions import Integers, Numbers
from weaklm.curation.table import Table
from weaklm.errors import DataError, SettingsError, nearest


def mix(table: Table, on: str, weights: Mapping[str, float] | None, seed: int) -> Table:
    """Return the table with the most rows whose groups stand to each other as the weights do; drawn at random."""
    groups = table.groups(on).astype(str)
    rows = table.by_id()
    step = f"more than its share in the mix by {on}"
    if not len(rows):
        return table.keep(rows, step)
    names, sizes = np.unique(groups[rows], return_counts=True)
    available = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    counts = mixed(available, dict.fromkeys(available, 1.0) if weights is None else weights)
    drawn = np.random.default_rng(seed).permutation(rows)

    def detail(dropped: Integers) -> list[str]:
        return [f"{counts[group]} of {available[group]} of {group} drawn" for group in groups[dropped]]

    return table.keep(drawn[first_of_groups(groups[drawn], counts)], step, detail)


def sample(table: Table, n: int, seed: int) -> Table:
    """Return the table with n of its rows, drawn at random."""
    drawn = np.random.default_rng(seed).choice(table.by_id(), size=n, replace=False)
    return table.keep(drawn, f"not among the {n} drawn with seed {seed}")


def quotas(available: ArrayLike, weights: ArrayLike, n: int) -> Integers:
    """Return how many of n rows each group gives: by weight, none more than it has; what one lacks, the others give.

    >>> quotas([10, 10, 1], [1, 1, 1], 9).tolist()
    [4, 4, 1]
    >>> quotas([10, 10], [3, 1], 8).tolist()
    [6, 2]
    """
    has, weight = np.asarray(available, dtype=np.int64), np.asarray(weights, dtype=float)
    share = np.zeros(len(has))
    open_groups = (weight > 0) & (has > 0)
    while open_groups.any():  # each round closes a group at least
        left = min(n, int(has[weight > 0].sum())) - share[~open_groups].sum()
        share[open_groups] = left * weight[open_groups] / weight[open_groups].sum()
        full = open_groups & (share >= has)
        if not full.any():
            break
        share[full] = has[full]
        open_groups &= ~full
    return _whole(share, has)


def _whole(share: Numbers, has: Integers) -> Integers:
    """Return whole numbers of the same sum: those with the largest remainders are rounded up."""
    whole = np.floor(share + 1e-9).astype(np.int64)
    left = round(float(share.sum())) - int(whole.sum())
    by_rest = np.argsort(-(share - whole), kind="stable")
    by_rest = by_rest[(whole < has)[by_rest] & (share > 0)[by_rest]]
    whole[by_rest[:left]] += 1
    return whole


def mixed(available: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Return how many rows each group gives to the largest set in which groups stand as their weights do.

    Raises
    ------
    DataError, SettingsError
        A group without a weight, a weight without a group, or weights that are no mix.

    >>> mixed({"fees": 100, "cards": 30}, {"fees": 1, "cards": 1})
    {'cards': 30, 'fees': 30}
    """
    for name in weights:
        if name not in available:
            raise DataError(f"no kept row is in {name!r}, so it cannot be mixed in; {nearest(name, available)}")
    for name in available:
        if name not in weights:
            raise SettingsError(f"the weights do not name {name!r}; give it one (0 leaves its rows out)")
    for name, weight in weights.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise SettingsError(f"the weight of {name!r} is {weight!r}; a number of 0 or more was expected")
    if not any(weights.values()):
        raise SettingsError("every weight is 0, which leaves no row; expected one above 0 at least")
    size = min(available[name] / weight for name, weight in weights.items() if weight > 0)
    return {name: int(size * weights[name] + 1e-9) for name in sorted(available)}


def first_of_groups(groups: NDArray[Any], counts: Mapping[Any, int] | Sequence[int]) -> NDArray[np.bool_]:
    """Return which rows are among the first so many of their group, in the order of the rows.

    >>> first_of_groups(np.array(["a", "b", "a", "a"]), {"a": 2, "b": 0}).tolist()
    [True, False, True, False]
    """
    names, place = np.unique(groups, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(names)))[:-1]])
    number = np.empty(len(groups), dtype=np.int64)
    number[order] = np.arange(len(groups)) - starts[place[order]]
    return number < np.array([counts[name] for name in names.tolist()], dtype=np.int64)[place]
