"""Texts as sets of runs of words, and as a few numbers that are likely equal where the sets are much alike."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weaklm.wordkeys import word_keys, word_sets

if TYPE_CHECKING:
    import polars as pl

Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]
# Texts are read a few thousand at a time: (rows) -> their texts, so that a million are never there twice.
Read = Callable[[Integers], "pl.Series"]

_ROWS_AT_ONCE = 20_000
_N_PERMUTATIONS = 64
_LEAST_RECALL = 0.99
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def text_series(values: NDArray[Any]) -> "pl.Series":
    """Return strings as a polars series; half of a surrogate pair, which is no character, becomes "?".

    >>> text_series(np.array(["a", "b" + chr(0xD83D)], dtype=object)).to_list()
    ['a', 'b?']
    """
    import polars as pl

    try:
        return pl.Series(values.tolist(), dtype=pl.String)
    except UnicodeEncodeError:
        return pl.Series([text.encode("utf-8", "replace").decode() for text in values], dtype=pl.String)


def chunks(n: int) -> list[Integers]:
    """Return the places of n texts, a few thousand at a time."""
    return [np.arange(at, min(at + _ROWS_AT_ONCE, n)) for at in range(0, n, _ROWS_AT_ONCE)]


def shingles(texts: "pl.Series", n_words: int) -> tuple[Keys, Integers]:
    """Return one number for each different run of n words of each text, and how many each text has.

    A text of fewer words has one run, all of it; one without a word has none.

    >>> import polars as pl
    >>> shingles(pl.Series(["a b c", "a b a b", "b", ""]), 2)[1].tolist()
    [2, 2, 1, 0]
    """
    import polars as pl

    n_of_text = word_keys(texts).list.len().to_numpy()
    sets = word_sets(texts, n=n_words)
    short = np.flatnonzero((n_of_text > 0) & (n_of_text < n_words))
    if len(short):
        parts, places = [sets.filter(pl.Series(sets.list.len() > 0))], [np.flatnonzero(n_of_text >= n_words)]
        for k in np.unique(n_of_text[short]):
            places.append(np.flatnonzero(n_of_text == k))
            parts.append(word_sets(texts.gather(places[-1]), n=int(k)))
        sizes = np.zeros(len(texts), dtype=np.int64)
        joined = pl.concat(parts).gather(np.argsort(order := np.concatenate(places)))
        sizes[np.sort(order)] = joined.list.len()
        return np.asarray(joined.to_arrow().flatten()), sizes
    return np.asarray(sets.to_arrow().flatten()), sets.list.len().to_numpy().astype(np.int64)


def bands_of(read: Read, n: int, threshold: float, n_words: int, random_state: int) -> tuple[list[Keys], Integers]:
    """Return for each band a number for each text, equal for those to compare; and how many runs each text has."""
    n_rows = _rows_of_a_band(threshold)
    n_bands = _N_PERMUTATIONS // n_rows
    draws = np.random.default_rng(random_state).integers(1, 2**32, n_rows * n_bands, dtype=np.uint32)
    bands = [np.zeros(n, dtype=np.uint64) for _ in range(n_bands)]
    n_runs = np.zeros(n, dtype=np.int64)
    for rows in chunks(n):
        keys, sizes = shingles(read(rows), n_words)
        n_runs[rows] = sizes
        signatures = _signatures(keys, sizes, draws | np.uint32(1))
        for band, numbers in enumerate(signatures.reshape(n_bands, n_rows, -1)):
            bands[band][rows[sizes > 0]] = _folded(numbers)
    return bands, n_runs


def _rows_of_a_band(threshold: float) -> int:
    """Return the most numbers a band may have that pairs at the threshold still share one of the bands, 99 in 100."""
    sizes = np.arange(1, _N_PERMUTATIONS + 1)
    recall = 1 - (1 - threshold**sizes) ** (_N_PERMUTATIONS // sizes)
    return int(sizes[recall >= _LEAST_RECALL].max(initial=1))


def _signatures(keys: Keys, sizes: Integers, multipliers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return (n_permutations, n_texts with a run) the least of a text's runs by each permutation."""
    sizes = sizes[sizes > 0]
    starts = np.cumsum(sizes) - sizes
    short = (keys >> np.uint64(32)).astype(np.uint32)
    signatures = np.empty((len(multipliers), len(sizes)), dtype=np.uint32)
    cuts = np.unique([*np.searchsorted(starts, np.arange(0, len(keys), 1 << 16)), len(sizes)])
    for first, last in pairwise(cuts):  # stretches that stay in the processor's cache
        stretch = short[starts[first] : starts[last - 1] + sizes[last - 1]]
        begins, permuted = starts[first:last] - starts[first], np.empty_like(stretch)
        for k, multiplier in enumerate(multipliers):
            np.multiply(stretch, multiplier, out=permuted)
            np.minimum.reduceat(permuted, begins, out=signatures[k, first:last])
    return signatures


def _folded(numbers: NDArray[np.uint32]) -> Keys:
    """Return one number for each column."""
    keys = np.full(numbers.shape[1], 1, dtype=np.uint64)
    for row in numbers:
        keys = (keys ^ row) * _MIX
        keys ^= keys >> np.uint64(31)
    return keys
