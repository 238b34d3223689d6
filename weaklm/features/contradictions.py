"""Where a response says something else than the sentence of the context that supports it best.

Each sentence of a response is laid beside one sentence of its context: a negation that only one of them has, a word and
its opposite, a number of the same unit with another value, names and numbers in another order. All columns count
sentences, words or pairs; a response of which no sentence has support enough has 0.
"""

import numpy as np
import pandas as pd

from weaklm.features.chunk import Chunk, Columns
from weaklm.features.keyed import Flags, Integers, first_of, found_in
from weaklm.features.wordfacts import DENIAL, NUMBER, UPPER, side_of
from weaklm.features.words import Words

_SUPPORT = 0.5  # a sentence with less support is beside the matter, not against it


def contradictions(chunk: Chunk) -> Columns:
    """Negations, opposites, values and orders that differ from the best sentence of the context."""
    sentence, owner = chunk.response.sentences
    beside = np.where(chunk.counted & (chunk.best.support >= _SUPPORT), chunk.best.sentence, -1)
    found = {
        "negation_flips": owner[_negation_flips(chunk, beside)],
        "antonym_flips": owner[_antonym_flips(chunk, beside)],
        "other_values": owner[sentence[_other_values(chunk, beside)]],
        "swapped_entities": owner[sentence[_swapped(chunk, beside)]],
    }
    n = chunk.response.n
    return {name: chunk.grounded(np.bincount(rows, minlength=n).astype(float)) for name, rows in found.items()}


def _negation_flips(chunk: Chunk, beside: Integers) -> Flags:
    """Tell for each sentence of the responses whether either it or the one beside it has a negation, not both."""
    own, other = (_has_denial(words) for words in (chunk.response, chunk.context))
    return (beside >= 0) & (own != np.append(other, False)[beside])


def _has_denial(words: Words) -> Flags:
    sentence, owner = words.sentences
    has = np.zeros(len(owner), dtype=bool)
    has[sentence[words.is_kind(DENIAL)]] = True
    return has


def _antonym_flips(chunk: Chunk, beside: Integers) -> Flags:
    """Tell for each sentence whether it has a word whose opposite the one beside it has, and not the word itself."""
    sentence, side = _sides(chunk.response)
    other_sentence, other_side = _sides(chunk.context)
    known = _pair(other_sentence, other_side)
    place = beside[sentence]
    is_against = found_in(_pair(place, -side), known) & ~found_in(_pair(place, side), known) & (place >= 0)
    flags = np.zeros(len(beside), dtype=bool)
    flags[sentence[is_against]] = True
    return flags


def _sides(words: Words) -> tuple[Integers, Integers]:
    side = side_of(words.facts)
    at = np.flatnonzero(side)
    return words.sentences[0][at], side[at]


def _other_values(chunk: Chunk, beside: Integers) -> Integers:
    """Return which words are numbers that the sentence beside theirs lacks, while it has another one of their unit."""
    r, c = chunk.response, chunk.context
    own, other = (np.flatnonzero(words.is_number & (words.unit > 0)) for words in (r, c))
    place, there = beside[r.sentences[0][own]], c.sentences[0][other]
    has_value = found_in(_pair(place, r.stem[own]), _pair(c.sentences[0][c.is_number], c.stem[c.is_number]))
    has_unit = found_in(_pair(place, r.unit[own]), _pair(there, c.unit[other]))
    return own[(place >= 0) & has_unit & ~has_value]


def _swapped(chunk: Chunk, beside: Integers) -> Integers:
    """Return which capitalised terms and numbers come after one that they precede in the sentence beside theirs."""
    r, c = chunk.response, chunk.context
    own, other = (np.flatnonzero(words.is_term & words.is_kind(UPPER | NUMBER)) for words in (r, c))
    there = _pair(c.sentences[0][other], c.stem[other])
    is_first = first_of(there)
    at = pd.Index(there[is_first]).get_indexer(_pair(beside[r.sentences[0][own]], r.stem[own]))
    own, position = own[at >= 0], other[is_first][at[at >= 0]]
    sentence = r.sentences[0][own]
    return own[1:][(position[1:] < position[:-1]) & (sentence[1:] == sentence[:-1])]


def _pair(sentence: Integers, number: Integers) -> Integers:
    return sentence << 32 | (number + (1 << 20))
