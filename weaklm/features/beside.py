"""Texts laid beside others, sentence by sentence: which sentence of a context has most of what a sentence says."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from weaklm.features.keyed import Integers, Numbers, sorted_distinct
from weaklm.features.words import Words

_MOST_PLACES = 256  # of one term in one context, so that a text that repeats itself costs no more than others


@dataclass(frozen=True)
class Best:
    """For each sentence of some texts, the sentence of another text that has most of its terms, by weight.

    Attributes
    ----------
    support
        The share of the terms that it has, from 0 to 1; NaN for a sentence without terms.
    sentence
        Its number among the sentences of the other texts, the first of equally good ones; -1 where none has any term.
    """

    support: Numbers
    sentence: Integers


def best_sentences(texts: Words, others: Words, other_of: Integers, weight: Numbers) -> Best:
    """Return the best sentence for each sentence; ``other_of`` says which other text belongs to each text.

    Weights are whole numbers, so that their sums do not depend on the order of the terms.
    """
    sentence, owner = texts.sentences
    bits = np.int64(len(weight).bit_length())
    asked = sorted_distinct(sentence[texts.is_term] << bits | texts.stem[texts.is_term])
    stem, asking = asked & ((1 << bits) - 1), asked >> bits
    total = np.bincount(asking, weight[stem], len(owner))
    support, best = np.where(total > 0, 0.0, np.nan), np.full(len(owner), -1)
    other = other_of[owner[asking]]
    is_there = others.has(other, stem, len(weight))
    asking, stem = asking[is_there], stem[is_there]
    term, place = _places(others, other[is_there], stem, len(weight))
    if not len(place):
        return Best(support, best)
    n_places = int(place.max()) + 1
    # Terms come sentence by sentence, and so do the pairs: those of one sentence stand together.
    at, pair = pd.factorize(asking[term] * n_places + place)
    overlap = np.bincount(at, weight[stem[term]])
    mine, theirs = pair // n_places, pair % n_places
    starts = np.flatnonzero(np.diff(mine, prepend=-1))
    most = np.maximum.reduceat(overlap, starts)
    is_best = overlap == np.repeat(most, np.diff(np.append(starts, len(mine))))
    support[mine[starts]] = most / total[mine[starts]]
    best[mine[starts]] = np.minimum.reduceat(np.where(is_best, theirs, n_places), starts)
    return Best(support, best)


def _places(others: Words, other: Integers, stem: Integers, n_stems: int) -> tuple[Integers, Integers]:
    """Return every pair of a term, by its place in the arguments, and a sentence of its other text that has it."""
    is_asked = np.zeros(others.n * n_stems, dtype=bool)
    is_asked[asked := other * n_stems + stem] = True
    there = np.flatnonzero(others.is_term)
    key = others.text[there] * n_stems + others.stem[there]
    there, key = there[is_asked[key]], key[is_asked[key]]
    code, different = pd.factorize(asked)
    sentence, owner = others.sentences
    bits = np.int64(len(owner).bit_length())
    pair = sorted_distinct(pd.Index(different).get_indexer(key) << bits | sentence[there])
    found, place = pair >> bits, pair & ((1 << bits) - 1)
    sizes = np.bincount(found, minlength=len(different))
    starts = np.cumsum(sizes) - sizes
    counts = np.minimum(sizes, _MOST_PLACES)[code]
    return np.repeat(np.arange(len(code)), counts), place[ranges(starts[code], counts)]


def ranges(starts: Integers, counts: Integers) -> Integers:
    """Return the numbers from each start on, so many of each.

    >>> ranges(np.array([5, 1]), np.array([3, 2])).tolist()
    [5, 6, 7, 1, 2]
    """
    return np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
