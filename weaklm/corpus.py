"""Many texts as flat arrays of tokens, so that a measure of all texts is a few array operations.

Tokens, stems, terms, numbers and names mean here what they mean in :mod:`weaklm.text`; tests hold the two together.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.text import is_break, is_term, normal, stem, tokens

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]


class Vocabulary:
    """Number the words of a corpus: tokens as written get a number as they come; equal stems share one.

    >>> vocabulary = Vocabulary()
    >>> table = vocabulary.read(["Fees apply.", "The fee"])
    >>> table.stem.tolist(), table.text.tolist(), table.is_term.tolist()
    ([0, 1, 2, 0], [0, 0, 1, 1], [True, True, False, True])
    """

    def __init__(self) -> None:
        self._written: defaultdict[str, int] = defaultdict()
        self._written.default_factory = self._written.__len__
        self._stems: dict[str, int] = {}
        self._facts: list[tuple[int, bool, bool, bool, bool, bool, bool]] = []

    @property
    def stems(self) -> list[str]:
        """The stems, in order of their numbers."""
        return list(self._stems)

    def read(self, texts: Sequence[str]) -> "Tokens":
        """Return the tokens of the texts."""
        number = self._written.__getitem__
        numbered = [list(map(number, tokens(text))) for text in texts]
        lengths = np.fromiter(map(len, numbered), np.int64, len(numbered))
        flat = np.fromiter((i for row in numbered for i in row), np.int64, int(lengths.sum()))
        self._learn()
        facts = np.array(self._facts, dtype=np.int64).reshape(-1, 7)[flat]
        return Tokens.of(np.repeat(np.arange(len(numbered)), lengths), facts, len(numbered))

    def _learn(self) -> None:
        for token in list(self._written)[len(self._facts) :]:
            word = normal(token)
            if not token[-1].isalnum():
                self._facts.append((-1, False, False, False, False, False, is_break(token)))
                continue
            place = self._stems.setdefault(stem(word), len(self._stems))
            opens = token[0].isupper(), token[0].islower()
            capitals = len(token) > 1 and token.isupper()
            self._facts.append((place, is_term(word), word[0].isdecimal(), *opens, capitals, False))


@dataclass(frozen=True)
class Tokens:
    """The words of ``n`` texts, one after another; every array has one entry a word.

    Attributes
    ----------
    stem
        The number of its stem in the vocabulary.
    text
        The number of its text, ascending.
    sentence
        The number of its sentence, ascending over all texts.
    part
        How many breaks stand before it in its text.
    is_term, is_number, is_name, is_capitals
        As :mod:`weaklm.text` says; a name is a capitalised term that does not begin a sentence.
    """

    n: int
    stem: Integers
    text: Integers
    sentence: Integers
    part: Integers
    is_term: Flags
    is_number: Flags
    is_name: Flags
    is_capitals: Flags

    @classmethod
    def of(cls, text: Integers, facts: Integers, n: int) -> "Tokens":
        """Return the words among tokens, given each token's text and the vocabulary's facts about it."""
        place, (term, number, upper, lower, capitals, ends) = facts[:, 0], facts[:, 1:].T.astype(bool)
        opens = np.diff(text, prepend=-1) > 0
        follows_end = np.concatenate([[False], ends[:-1]]) if len(ends) else ends
        sentence = np.cumsum(opens | follows_end)
        # A heading or an opening word shows no name: nothing in small letters came yet.
        at = np.arange(len(text))
        start = np.maximum.accumulate(np.where(opens | follows_end, at, 0))
        small = np.maximum.accumulate(np.where(lower, at, -1))
        is_opening = small < start
        is_name = upper & term & ~is_opening
        n_breaks = np.cumsum(follows_end)
        part = n_breaks - n_breaks[opens][np.cumsum(opens) - 1]
        return cls(n, place, text, sentence, part, term, number, is_name, capitals)._only(place >= 0)

    def without(self, parts: Sequence[tuple[int, ...]]) -> "Tokens":
        """Return the tokens without some parts between breaks: for each text their numbers, the first part being 0."""
        dropped = [(text, part) for text, numbers in enumerate(parts) for part in numbers]
        if not dropped:
            return self
        known = keys_of(*np.array(dropped, dtype=np.int64).T)
        return self._only(~found_in(keys_of(self.text, self.part), np.sort(known)))

    def _only(self, w: Flags) -> "Tokens":
        flags = (self.is_term[w], self.is_number[w], self.is_name[w], self.is_capitals[w])
        return Tokens(self.n, self.stem[w], self.text[w], self.sentence[w], self.part[w], *flags)

    def total(self, values: NDArray[np.generic]) -> Numbers:
        """Return for every text the sum of one value a word."""
        return np.bincount(self.text, weights=values, minlength=self.n).astype(np.float64)

    def share(self, values: NDArray[np.generic], among: NDArray[np.generic]) -> Numbers:
        """Return for every text the sum of ``values`` over the sum of ``among``; NaN where that is 0."""
        return ratio(self.total(values), self.total(among))

    def sentences(self) -> tuple[Integers, Integers]:
        """Return the number of each word's sentence, from 0 without gaps, and the text of each sentence."""
        begins = np.diff(self.sentence, prepend=-1) > 0
        return np.cumsum(begins) - 1, self.text[begins]

    def signatures(self, min_words: int) -> tuple[Hashes, Integers]:
        """Return a hash below 2 ** 40 of the stems of each sentence of ``min_words`` words or more, and its text."""
        sentence, owner = self.sentences()
        sizes = np.bincount(sentence, minlength=len(owner))
        position = np.arange(len(sentence)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        added = np.bincount(sentence, mix(position, self.stem), len(owner))  # sums of 40-bit hashes: exact as floats
        long = sizes >= min_words
        return mix(added, sizes)[long], owner[long]

    def ngrams(self, n: int) -> tuple[Hashes, Integers]:
        """Return a hash below 2 ** 40 of each run of n stems of one text, and the place where the run begins."""
        places = np.arange(max(len(self.stem) - n + 1, 0))
        places = places[self.text[places] == self.text[places + n - 1]]
        key = self.stem[places].astype(np.uint64)
        for step in range(1, n):
            key = mix(key, self.stem[places + step])
        return key, places


def mix(a: NDArray[np.generic], b: NDArray[np.generic]) -> Hashes:
    """Return a hash of 40 bits of each pair of numbers.

    Source: the multiply and shift steps of splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195).
    """
    key = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + b.astype(np.uint64)
    key ^= key >> np.uint64(30)
    key *= np.uint64(0xBF58476D1CE4E5B9)
    return (key ^ (key >> np.uint64(27))) >> np.uint64(24)


def keys_of(text: Integers, word: NDArray[np.generic]) -> Hashes:
    """Return one key for each pair of a text and a number below 2 ** 40, such as a stem or the hash of a run of words.

    Keys ascend with the text, so that looking them up stays within one part of the memory.
    """
    return (text.astype(np.uint64) << np.uint64(40)) | word.astype(np.uint64)


def found_in(keys: Hashes, known: Hashes) -> Flags:
    """Tell for each key whether it is among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    places = np.searchsorted(known, keys)
    return known[np.minimum(places, len(known) - 1)] == keys


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Numbers:
    """Return part / whole, NaN where the whole is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """
    result = np.full(len(part), np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result
