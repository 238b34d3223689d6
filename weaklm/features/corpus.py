"""The words of a corpus: read many texts at once, number their stems, give them weights.

Words, stems, terms, numbers, names and sentences mean here what they mean in :mod:`weaklm.text`; tests hold the two
together. In one thing they differ: after an item of a list that ends its line, the number of the next item counts as a
word there, and here it does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd

from weaklm.features.keyed import Facts, Flags, Integers, Numbers
from weaklm.features.spans import (
    BREAK,
    BREAK_AFTER_LETTER,
    CLOSES_ITEM,
    CLOSES_LINE_ITEM,
    GLUES,
    IS_PLAIN,
    OPENS_ITEM,
    OPENS_LINE,
    Spans,
    gap_facts,
    units_in_gaps,
)
from weaklm.features.wordfacts import LETTER, facts_of, unit_of
from weaklm.features.words import Words

_STEM_BITS = 32  # the number of a word's stem stands above what is known of it


@dataclass(frozen=True)
class Reading:
    """Some columns of texts read together: a table of words for each, and which stems of the vocabulary they have."""

    spans: Spans
    tables: tuple[Words, ...]
    stems: Integers


class Vocabulary:
    """Number the stems of a corpus, and read texts; threads may share one.

    >>> vocabulary = Vocabulary()
    >>> reading = vocabulary.read(["Fees apply.", "The fee"])
    >>> table = reading.tables[0]
    >>> table.stem.tolist(), table.text.tolist(), table.is_term.tolist()
    ([0, 1, 2, 0], [0, 0, 1, 1], [True, True, False, True])
    >>> vocabulary.names(reading.stems)
    ['fee', 'apply', 'the']
    """

    def __init__(self) -> None:
        self._words, self._gaps = Facts(), Facts()
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._n_characters = 0

    @property
    def size(self) -> int:
        """How much it remembers: words, gaps, and characters of stems."""
        return self._words.n + self._gaps.n + self._n_characters

    @property
    def n_stems(self) -> int:
        """The number of different stems."""
        return len(self._names)

    def names(self, stems: Integers) -> list[str]:
        """Return the stems that have some numbers."""
        return list(map(self._names.__getitem__, stems.tolist()))

    def read(self, *columns: Sequence[str]) -> Reading:
        """Return a table of the words of each column of texts."""
        spans = Spans.of([text for column in columns for text in column])
        facts, gap = self._word_facts(spans), self._gap_facts(spans)
        stem, stems = pd.factorize(facts >> _STEM_BITS)
        text = np.repeat(np.arange(len(spans.counts)), spans.counts)
        marker, unit = _list_markers(spans, gap), _units(spans, gap, facts)
        begins = _breaks(facts, gap)
        begins[np.flatnonzero(np.diff(text, prepend=-1))] = True
        begins[marker[marker + 1 < len(begins)] + 1] = True
        words = Words(len(spans.counts), text, stem, np.cumsum(begins), facts, unit, spans.begins, spans.ends)
        if len(marker):
            kept = np.ones(len(text), dtype=bool)
            kept[marker] = False
            words = words.only(kept)
        bounds = np.cumsum([0, *map(len, columns)])
        return Reading(spans, tuple(words.texts(first, last) for first, last in pairwise(bounds)), stems)

    def _word_facts(self, spans: Spans) -> Integers:
        """Return the facts of each word, the number of its stem in the higher bits."""

        def find_out(places: Integers) -> list[int]:
            bounds = zip(spans.begins[places].tolist(), spans.ends[places].tolist(), strict=True)
            found = (facts_of(spans.raw[begin:end].decode()) for begin, end in bounds)
            return [self._number(stem) << _STEM_BITS | facts for stem, facts in found]

        return self._words.of(spans.words(), find_out)

    def _number(self, stem: str) -> int:
        number = self._numbers.get(stem)
        if number is None:
            number = self._numbers[stem] = len(self._names)
            self._names.append(stem)
            self._n_characters += len(stem)
        return number

    def _gap_facts(self, spans: Spans) -> Integers:
        """Return what each gap does, the one before the first word first."""
        keys, begins, ends = spans.gaps()

        def find_out(places: Integers) -> list[int]:
            bounds = zip(begins[places].tolist(), ends[places].tolist(), strict=True)
            return [gap_facts(spans.raw[begin:end].decode("utf-8", "surrogatepass")) for begin, end in bounds]

        return self._gaps.of(keys, find_out)


_MOST = 1 << 23  # about 100 MB


def vocabulary() -> Vocabulary:
    """Return the vocabulary of this process: a word is looked at once, not once in each data set."""
    if _kept().size > _MOST:
        _kept.cache_clear()
    return _kept()


@lru_cache(maxsize=1)
def _kept() -> Vocabulary:
    return Vocabulary()


class Weights:
    """The weight of each stem of a vocabulary; ``unknown`` is that of a stem without one."""

    def __init__(self, known: Vocabulary, weights: Mapping[str, float], unknown: float) -> None:
        self._known, self._weights, self._unknown = known, weights, unknown
        self._found = np.zeros(0)

    def of(self, stems: Integers) -> Numbers:
        """Return the weights of the stems of some numbers, in millionths and without fractions.

        Sums of whole numbers are the same in whatever order, and so for chunks of whatever size.
        """
        known = self._found
        if (n_new := self._known.n_stems - len(known)) > 0:
            # What another thread adds meanwhile may be lost; it is then looked up again.
            known = self._found = np.concatenate([known, np.full(n_new, np.nan)])
        weights = known[stems]
        new = np.flatnonzero(np.isnan(weights))
        listed = [self._weights.get(stem, self._unknown) for stem in self._known.names(stems[new])]
        weights[new] = np.rint(1e6 * np.array(listed, dtype=np.float64))
        known[stems[new]] = weights[new]
        return weights


def _list_markers(spans: Spans, gap: Integers) -> Integers:
    """Return which numbers only count the items of a list."""
    short = np.flatnonzero(spans.is_number & (spans.ends - spans.begins <= 2))
    before, after = gap[short], gap[short + 1]
    opens_line = (before & OPENS_LINE != 0) & (after & CLOSES_LINE_ITEM != 0)
    opens_item = (before & OPENS_ITEM != 0) & (after & CLOSES_ITEM != 0)
    return short[opens_line | opens_item]


def _breaks(facts: Integers, gap: Integers) -> Flags:
    """Return before which words a sentence or line ends; a point after a single letter ends none, as in "U.S."."""
    begins = gap[:-1] & BREAK != 0
    at = np.flatnonzero(begins[1:]) + 1
    at = at[(facts[at - 1] & LETTER != 0) & (gap[at - 1] & GLUES == 0)]
    begins[at] = gap[at] & BREAK_AFTER_LETTER != 0
    return begins


def _units(spans: Spans, gap: Integers, facts: Integers) -> Integers:
    """Return the unit of each number: its currency or percent sign, or the word after it; 0 for none."""
    units = np.zeros(len(facts), dtype=np.int64)
    at = np.flatnonzero(spans.is_number)
    before, after = units_in_gaps(gap[at])[0], units_in_gaps(gap[at + 1])[1]
    follows = np.where(gap[at + 1] & IS_PLAIN != 0, unit_of(np.append(facts, 0)[at + 1]), 0)
    units[at] = np.where(before > 0, before, np.where(after > 0, after, follows))
    return units
