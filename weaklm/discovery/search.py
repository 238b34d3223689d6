"""The search: of all conditions, and pairs and triples of them, those whose rows are worse beyond chance.

Source: SliceLine (Sagadeeva and Boehm 2021, doi:10.1145/3448016.3457323): levels, pruning by size, and sizes and errors
of a whole level from matrix products. Two departures, measured in benchmarks/discovery.py. Its score weighs how bad a
slice is against how small, by a number that somebody must choose, and takes the noise of small slices for badness; here
the evidence counts, less what the best of so many slices shows by chance. And a slice must be worse than what it was
cut from, or a third of the rules would be the true one and something that goes with nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weaklm.discovery.conditions import MOST, Flags, Found, is_word

Numbers = NDArray[np.float64]
Rule = tuple[int, ...]  # places of conditions: all of them hold

_WORDS = 150  # words and phrases that are looked at, those that lean most towards bad
_PRIOR = 20.0  # rows, as if seen before: a word's share of them is that of all rows
_GAIN = 2.5  # standard errors by which a slice must be worse than the rest of what it was cut from
_PAIRS = 200  # pairs that triples are made of


def with_telling_words(found: Sequence[Found], rows: NDArray[np.int64], bad: Numbers) -> list[Found]:
    """Return the conditions without the words and phrases that lean little towards bad on these rows."""
    leans = {i: lean(holds[rows], bad) for i, (condition, holds) in enumerate(found) if is_word(condition)}
    kept = {*sorted(leans, key=lambda i: (-leans[i], i))[:_WORDS]}
    return [one for i, one in enumerate(found) if i in kept or not is_word(one[0])]


def lean(has: Flags, bad: Numbers) -> float:
    """Return how far the rows that have a word lean towards bad: a z score of log-odds.

    Source: Monroe, Colaresi and Quinn 2008 (doi:10.1093/pan/mpn018), equations 15 to 22, on rows that have the word in
    place of counts of words; a row that is bad by half counts half on either side.

    >>> bad = np.array([1.0, 1, 1, 0, 0, 0])
    >>> lean(bad > 0, bad) > 0 > lean(bad < 1, bad)
    True
    """
    share = has.mean()
    there = np.array([bad[has].sum(), (1 - bad)[has].sum()]) + _PRIOR * share
    lacking = np.array([bad[~has].sum(), (1 - bad)[~has].sum()]) + _PRIOR * (1 - share)
    difference = np.log(there[0] / lacking[0]) - np.log(there[1] / lacking[1])
    return float(difference / np.sqrt((1 / there + 1 / lacking).sum()))


@dataclass(frozen=True)
class _Level:
    """Rules of so many conditions: ``rules`` (n_rules, depth), their rows, how bad these are together, and their gain.

    ``gain`` is by how many standard errors a rule is worse than the rest of the rule with one condition less, the
    least of these.
    """

    rules: NDArray[np.int64]
    size: Numbers
    error: Numbers
    gain: Numbers


def search(holds: Flags, bad: Numbers, *, least: int, depth: int) -> Iterator[Rule]:
    """Yield rules over conditions, those first for which there is most evidence that they are worse than all rows.

    Parameters
    ----------
    holds, bad
        (n_conditions, n_rows) where each condition holds; (n_rows,) from 0 to 1.
    least
        Rows that a rule must have; at most half of all.
    depth
        Conditions that a rule may have: 1, 2 or 3.
    """
    n, spread = len(bad), float(bad.std())
    levels = [_singles(holds, bad)]
    if depth > 1:
        levels.append(_pairs(holds, bad, levels[0]))
    if depth > 2:
        levels.append(_triples(holds, bad, levels[1], least))
    evidence: list[tuple[float, Rule]] = []
    for level in levels:
        is_sized = (level.size >= least) & (level.size <= MOST * n)
        apart = _apart(level.size, level.error, float(n), float(bad.sum()), spread)
        by_chance = 2 * np.log(max(int(is_sized.sum()), 1))  # about the square of the largest of so many normal scores
        for i in np.flatnonzero(is_sized & (level.gain >= _GAIN) & (apart > 0)):
            evidence.append((by_chance - float(apart[i]) ** 2, tuple(level.rules[i].tolist())))
    for _, rule in sorted(evidence):
        yield rule


def worse(members: Flags, bad: Numbers) -> float:
    """Return by how many standard errors members (n_rows,) are worse than the other rows; -inf where none is left.

    >>> round(worse(np.array([True, True, False, False]), np.array([1.0, 1, 0, 0])), 3)
    2.0
    """
    if members.all() or not members.any():
        return -np.inf
    size, error = np.array([members.sum()], dtype=float), np.array([bad[members].sum()])
    return float(_apart(size, error, float(len(bad)), float(bad.sum()), float(bad.std()) or 1.0)[0])


def _apart(
    size: Numbers, error: Numbers, whole: Numbers | float, whole_error: Numbers | float, spread: float
) -> Numbers:
    """Return by how many standard errors a part of rows is worse than the rest of the whole; -inf without a rest."""
    rest = whole - size
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = error / size - (whole_error - error) / rest
        z = difference / (spread * np.sqrt(1 / size + 1 / rest))
    return np.where((size > 0) & (rest > 0), z, -np.inf)


def _singles(holds: Flags, bad: Numbers) -> _Level:
    size, error = holds.sum(axis=1).astype(float), holds @ bad
    return _Level(np.arange(len(holds))[:, None], size, error, np.full(len(holds), np.inf))


def _pairs(holds: Flags, bad: Numbers, singles: _Level) -> _Level:
    first, second = np.triu_indices(len(holds), 1)
    sizes, errors = _crossed(holds, holds, bad)
    size, error = sizes[first, second], errors[first, second]
    spread = float(bad.std())
    gains = [_apart(size, error, singles.size[one], singles.error[one], spread) for one in (first, second)]
    return _Level(np.column_stack([first, second]), size, error, np.minimum(*gains))


def _triples(holds: Flags, bad: Numbers, pairs: _Level, least: int) -> _Level:
    """Return the best pairs with one condition more, which comes after theirs or is in no better pair."""
    n, k, spread = len(bad), len(holds), float(bad.std())
    apart = _apart(pairs.size, pairs.error, float(n), float(bad.sum()), spread)
    known = np.flatnonzero((pairs.size >= least) & (apart > 0))
    best = known[np.argsort(-apart[known], kind="stable")[:_PAIRS]]
    sizes, errors = _crossed(holds[pairs.rules[best, 0]] & holds[pairs.rules[best, 1]], holds, bad)
    parts = np.full((k, k), -1)
    parts[pairs.rules[:, 0], pairs.rules[:, 1]] = parts[pairs.rules[:, 1], pairs.rules[:, 0]] = np.arange(
        len(pairs.size)
    )
    row, third = (places.ravel() for places in np.indices((len(best), k)))
    first, second = pairs.rules[best[row]].T
    is_new = (third != first) & (third != second)
    row, third, first, second = row[is_new], third[is_new], first[is_new], second[is_new]
    size, error = sizes[row, third], errors[row, third]
    parents = (best[row], parts[first, third], parts[second, third])
    gain = np.min([_apart(size, error, pairs.size[p], pairs.error[p], spread) for p in parents], axis=0, initial=np.inf)
    rules = np.sort(np.column_stack([first, second, third]), axis=1)
    _, once = np.unique(rules, axis=0, return_index=True)
    return _Level(rules[once], size[once], error[once], gain[once])


def _crossed(some: Flags, others: Flags, bad: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rows that each of some has in common with each of others, and how bad these are together."""
    left, right = some.astype(np.float32), others.astype(np.float32).T
    return (left @ right).astype(float), ((left * bad.astype(np.float32)) @ right).astype(float)
