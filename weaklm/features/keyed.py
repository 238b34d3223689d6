"""Numbers that stand for things, many at once: what is known of each, which are among others, which come first."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]


class Facts:
    """A whole number from 0 on for each key, found out once, in whatever thread a key comes first.

    A hash table with open addressing whose every step is one array operation over all keys that are looked up.
    """

    def __init__(self) -> None:
        self._table = _empty_table(14)
        self._lock = Lock()
        self.n = 0

    def of(self, keys: Hashes, find_out: Callable[[Integers], list[int]]) -> Integers:
        """Return the number of each key; ``find_out`` gives those of the keys at some places."""
        found = _found(self._table, keys)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            with self._lock:
                unknown = unknown[_found(self._table, keys[unknown]) < 0]
                new = unknown[first_of(keys[unknown])]
                if len(new):
                    self._learn(keys[new], np.array(find_out(new), dtype=np.int64))
            found = _found(self._table, keys)
        return found

    def _learn(self, keys: Hashes, values: Integers) -> None:
        table, self.n = self._table, self.n + len(keys)
        if self.n > len(table[0]) // 4:
            known = table[1] >= 0
            grown = _empty_table((4 * self.n).bit_length() + 1)
            _insert(grown, table[0][known], table[1][known])
            table = grown
        _insert(table, keys, values)
        self._table = table


_Table = tuple[Hashes, Integers]  # slots: a key, and its number or -1


def _empty_table(bits: int) -> _Table:
    return np.zeros(1 << bits, dtype=np.uint64), np.full(1 << bits, -1)


def _slots(table: _Table, keys: Hashes) -> Integers:
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    mixed >>= np.uint64(65 - len(table[0]).bit_length())
    return mixed.view(np.int64)


def _found(table: _Table, keys: Hashes) -> Integers:
    """Return the number of each key, -1 for one that the table lacks, or that another thread is about to put there."""
    taken, value = table
    slots = _slots(table, keys)
    values = value[slots]
    astray = np.flatnonzero(taken[slots] != keys)
    while len(astray := astray[values[astray] >= 0]):
        slots[astray] = (slots[astray] + 1) & (len(taken) - 1)
        values[astray] = value[slots[astray]]
        astray = astray[taken[slots[astray]] != keys[astray]]
    return values


def _insert(table: _Table, keys: Hashes, values: Integers) -> None:
    """Put different keys that the table lacks into it."""
    taken, value = table
    slots = _slots(table, keys)
    left = np.arange(len(keys))
    while len(left):
        free = left[value[slots[left]] < 0]
        taken[slots[free]] = keys[free]  # of several keys for one slot, the last stays
        won = free[taken[slots[free]] == keys[free]]
        value[slots[won]] = values[won]  # after its key, since another thread may look it up at once
        left = left[taken[slots[left]] != keys[left]]
        slots[left] = (slots[left] + 1) & (len(taken) - 1)


def mix(a: NDArray[Any], b: NDArray[Any]) -> Hashes:
    """Return a hash of 40 bits of each pair of numbers.

    Source: the multiply and shift steps of splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195).
    """
    key = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key += b.astype(np.uint64)
    key ^= key >> np.uint64(30)
    key *= np.uint64(0xBF58476D1CE4E5B9)
    key ^= key >> np.uint64(27)
    key >>= np.uint64(24)
    return key


def keys_of(text: Integers, word: NDArray[Any]) -> Hashes:
    """Return a key for each pair of a text and a number below 2 ** 40, such as a stem or the hash of a run of words."""
    return (text.astype(np.uint64) << np.uint64(40)) | word.astype(np.uint64)


def text_of(keys: Hashes) -> Integers:
    """Return the text of each key of :func:`keys_of`."""
    return (keys >> np.uint64(40)).astype(np.int64)


def found_in(keys: NDArray[Any], known: NDArray[Any]) -> Flags:
    """Tell for each key whether it is among the known ones."""
    return pd.Index(keys).isin(known)


def first_of(keys: NDArray[Any]) -> Flags:
    """Flag the first of equal keys."""
    return ~pd.Index(keys).duplicated()


def sorted_distinct(keys: Integers) -> Integers:
    """Return the different keys, ascending: faster than ``np.unique``, which hashes them first."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Numbers:
    """Return part / whole, NaN where the whole is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """
    result = np.full(len(part), np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result
