"""The words of many texts as flat arrays, so that a measure of all texts is a few array operations."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.features.keyed import Flags, Hashes, Integers, Numbers, mix, ratio
from weaklm.features.wordfacts import LOWER, NUMBER, TERM, UPPER


@dataclass(frozen=True)
class Words:
    """The words of ``n`` texts, one after another; every array has one entry a word.

    Attributes
    ----------
    text
        The number of its text, ascending.
    stem
        The number of its stem in the reading.
    sentence
        The number of its sentence, ascending over all texts.
    facts
        What :mod:`weaklm.features.wordfacts` says of it.
    unit
        Of a number, what it counts; 0 for none.
    begins, ends
        Where it begins and ends in the bytes that were read.
    """

    n: int
    text: Integers
    stem: Integers
    sentence: Integers
    facts: Integers
    unit: Integers
    begins: Integers
    ends: Integers

    @cached_property
    def is_term(self) -> Flags:
        """Whether it carries meaning."""
        return self.facts & TERM != 0

    @cached_property
    def is_number(self) -> Flags:
        """Whether it is a number, be it in letters."""
        return self.facts & NUMBER != 0

    @cached_property
    def is_name(self) -> Flags:
        """Whether it is a capitalised term that does not begin a sentence.

        A heading or an opening word shows no name: nothing in small letters came yet.
        """
        at = np.arange(len(self.text))
        start = np.maximum.accumulate(np.where(np.diff(self.sentence, prepend=-1) > 0, at, 0))
        small = np.maximum.accumulate(np.where(self.facts & LOWER != 0, at, -1))
        return (self.facts & (UPPER | TERM) == UPPER | TERM) & (small >= start)

    @cached_property
    def n_words(self) -> Numbers:
        """The number of words of each text."""
        return np.bincount(self.text, minlength=self.n).astype(np.float64)

    @cached_property
    def sentences(self) -> tuple[Integers, Integers]:
        """The number of each word's sentence, from 0 without gaps, and the text of each sentence."""
        begins = np.diff(self.sentence, prepend=-1) > 0
        return np.cumsum(begins) - 1, self.text[begins]

    def is_kind(self, kind: int) -> Flags:
        """Tell for each word whether it is of a kind."""
        return self.facts & kind != 0

    def has(self, text: Integers, stem: Integers, n_stems: int) -> Flags:
        """Tell for each pair whether the text has the stem."""
        flags = np.zeros(self.n * n_stems, dtype=bool)
        flags[self.text * n_stems + self.stem] = True
        return flags[text * n_stems + stem]

    def first_in_text(self, n_stems: int) -> Flags:
        """Tell for each word whether no word before it, in its text, has its stem."""
        at = np.arange(len(self.text), dtype=np.int32)
        first = np.empty(self.n * n_stems, dtype=np.int32)
        key = self.text * n_stems + self.stem
        first[key[::-1]] = at[::-1]  # of several words for one place, the last given stays
        return first[key] == at

    def only(self, kept: Flags) -> "Words":
        """Return some of the words."""
        arrays = (self.text, self.stem, self.sentence, self.facts, self.unit, self.begins, self.ends)
        return Words(self.n, *(values[kept] for values in arrays))

    def texts(self, first: int, last: int) -> "Words":
        """Return the words of some texts."""
        low, high = np.searchsorted(self.text, [first, last])
        arrays = (self.stem, self.sentence, self.facts, self.unit, self.begins, self.ends)
        return Words(last - first, self.text[low:high] - first, *(values[low:high] for values in arrays))

    def total(self, values: NDArray[Any]) -> Numbers:
        """Return for every text the sum of one value a word, or the number of words flagged."""
        if values.dtype == bool:
            return np.bincount(self.text[values], minlength=self.n).astype(np.float64)
        return np.bincount(self.text, weights=values, minlength=self.n).astype(np.float64)

    def share(self, values: NDArray[Any], among: NDArray[Any]) -> Numbers:
        """Return for every text the sum of ``values`` over the sum of ``among``; NaN where that is 0."""
        return ratio(self.total(values), self.total(among))

    def ngrams(self, n: int) -> tuple[Hashes, Integers]:
        """Return a hash below 2 ** 40 of each run of n stems of one text, and the place where the run begins."""
        keys = self._runs[n]
        places = np.flatnonzero(self.text[: len(keys)] == self.text[len(self.text) - len(keys) :])
        return keys[places], places

    @cached_property
    def _runs(self) -> dict[int, Hashes]:
        """Hashes of each run of one, two, three and four stems."""
        runs = {1: self.stem.astype(np.uint64)}
        for n in (2, 3, 4):
            longer = self.stem[n - 1 :]
            runs[n] = mix(runs[n - 1][: len(longer)], longer)
        return runs

    def signatures(self, min_words: int) -> tuple[Hashes, Integers]:
        """Return a hash below 2 ** 40 of the stems of each sentence of ``min_words`` words or more, and its text."""
        sentence, owner = self.sentences
        sizes = np.bincount(sentence, minlength=len(owner))
        position = np.arange(len(sentence)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        added = np.bincount(sentence, mix(position, self.stem), len(owner))  # sums of 40-bit hashes: exact as floats
        long = sizes >= min_words
        return mix(added, sizes)[long], owner[long]
