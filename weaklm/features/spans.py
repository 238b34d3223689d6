"""Where the words of many texts stand, read off their UTF-8 bytes: no Python string is made for any of them.

The texts are one row of bytes; words and numbers are runs of letters and digits in it, and all else are gaps. There
are few different gaps, so each is looked at once: whether it ends a sentence, opens a list, makes a number an amount.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weaklm.features.keyed import Flags, Hashes, Integers
from weaklm.features.wordfacts import UNITS
from weaklm.text import is_break, tokens
from weaklm.wordkeys import clear_others, keys_of_words

# Stands between two texts; it is no space and no letter. A text that has it gets another mark in its place.
SEPARATOR, _STAND_IN = "\x02", "\x01"
_LETTER, _DIGIT = 1, 2
_DIGITS = re.compile(rb"[0-9]*")
_KINDS = bytes(
    _DIGIT if byte in b"0123456789" else _LETTER if byte >= 128 or chr(byte).isalpha() else 0 for byte in range(256)
)

# What a gap does: one bit each.
BREAK, BREAK_AFTER_LETTER, GLUES, OPENS_LINE, OPENS_ITEM, CLOSES_LINE_ITEM, CLOSES_ITEM, IS_PLAIN = (
    1 << bit for bit in range(8)
)
_UNIT_BEFORE, _UNIT_AFTER = 8, 16  # the unit of a number after the gap, and before it, stand in the higher bits


@dataclass(frozen=True)
class Spans:
    """Words and numbers of ``n`` texts, one after another.

    Attributes
    ----------
    raw
        The bytes of all texts, a separator before, between and after them.
    begins, ends
        Of each word or number in ``raw``.
    is_number
        Whether it consists of digits, and points and commas between them.
    counts
        The number of words of each text.
    bounds
        Where the separators are.
    """

    raw: bytes
    begins: Integers
    ends: Integers
    is_number: Flags
    counts: Integers
    bounds: Integers

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Spans":
        """Return the words of the texts."""
        joined = SEPARATOR.join(("", *texts, ""))
        if joined.count(SEPARATOR) > len(texts) + 1:
            joined = SEPARATOR.join(("", *(text.replace(SEPARATOR, _STAND_IN) for text in texts), ""))
        raw = joined.encode("utf-8", "surrogatepass")
        kind = np.frombuffer(raw.translate(_KINDS), dtype=np.uint8)
        data = np.frombuffer(raw, dtype=np.uint8)
        if not joined.isascii():
            kind = kind.copy()
            clear_others(kind, data)
        begins, ends, is_number = _runs(raw, kind, data)
        bounds = np.flatnonzero(data == ord(SEPARATOR))
        return cls(raw, begins, ends, is_number, np.diff(np.searchsorted(begins, bounds)), bounds)

    def words(self) -> Hashes:
        """Return a number for each word: equal for equal words, as they are written."""
        return keys_of_words(self._data, self.begins, self.ends - self.begins)

    def count(self, characters: bytes, n_texts: int) -> Integers:
        """Return how many of some ASCII characters each of the first texts has."""
        is_one = bytes(byte in characters for byte in range(256))
        raw = self.raw[: self.bounds[n_texts]]
        places = np.flatnonzero(np.frombuffer(raw.translate(is_one), dtype=bool))
        return np.diff(np.searchsorted(places, self.bounds[: n_texts + 1]))

    def gaps(self) -> tuple[Hashes, Integers, Integers]:
        """Return a number for the gap before each word and the one after the last; where they begin and end."""
        begins = np.concatenate([np.zeros(1, dtype=np.int64), self.ends])
        ends = np.append(self.begins, len(self.raw))
        lengths = ends - begins
        keys = self._data[begins.clip(max=len(self.raw) - 1)].astype(np.uint64)  # right for gaps of one byte
        others = np.flatnonzero(lengths != 1)
        # The length tells apart what zero bytes at the end would not.
        keys[others] = keys_of_words(self._data, begins[others], lengths[others])
        keys[others] += (lengths[others] + 1).astype(np.uint64) << np.uint64(56)
        return keys, begins, ends

    @property
    def _data(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.raw, dtype=np.uint8)


def _runs(raw: bytes, kind: NDArray[np.uint8], data: NDArray[np.uint8]) -> tuple[Integers, Integers, Flags]:
    """Return where words and numbers begin and end, and which are numbers.

    A run of letters and digits that begins with digits is a number and a word ("5th"); numbers with a point or comma
    between them are one ("1,000.50").
    """
    is_word = kind != 0
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    begins, ends = edges[::2], edges[1::2].copy()
    is_number = kind[begins] == _DIGIT
    led = np.flatnonzero(is_number)
    stops = _ends_of_digits(raw, kind, begins[led])
    rest = np.flatnonzero(stops < ends[led])
    places, rest_ends = led[rest] + 1, ends[led[rest]]
    ends[led] = stops
    if len(places):
        begins, ends = np.insert(begins, places, stops[rest]), np.insert(ends, places, rest_ends)
        is_number = np.insert(is_number, places, False)
    return _joined(begins, ends, is_number, data)


def _ends_of_digits(raw: bytes, kind: NDArray[np.uint8], begins: Integers) -> Integers:
    """Return where the digits end that begin at some places."""
    ends, left = begins.copy(), np.arange(len(begins))
    for _ in range(32):
        left = left[kind[ends[left]] == _DIGIT]
        ends[left] += 1
    for at in left.tolist():  # few: longer than any number that means something
        match = _DIGITS.match(raw, ends[at])
        ends[at] = match.end() if match else ends[at]
    return ends


def _joined(
    begins: Integers, ends: Integers, is_number: Flags, data: NDArray[np.uint8]
) -> tuple[Integers, Integers, Flags]:
    """Join "1", "000" and "50" to "1,000.50"."""
    first = np.flatnonzero(is_number[1:] & is_number[:-1])
    first = first[begins[first + 1] - ends[first] == 1]
    mark = data[ends[first]]
    later = first[(mark == ord(".")) | (mark == ord(","))] + 1
    if not len(later):
        return begins, ends, is_number
    kept = np.ones(len(begins), dtype=bool)
    kept[later] = False
    last = np.append(np.flatnonzero(kept)[1:], len(begins)) - 1
    return begins[kept], ends[last], is_number[kept]


_OPENS_LINE = re.compile(r"(?:\A|\n)\s*\Z")
_OPENS_ITEM = re.compile(r"\s\(?\Z")
_CLOSES_LINE_ITEM = re.compile(r"[.)]\s")
_CLOSES_ITEM = re.compile(r"\)\s")


def gap_facts(gap: str) -> int:
    """Return what a gap does, as bits; separators in it stand for the ends of texts.

    >>> bool(gap_facts(". ") & BREAK), bool(gap_facts(". ") & BREAK_AFTER_LETTER), bool(gap_facts(", ") & BREAK)
    (True, False, False)
    """
    head, *others = gap.split(SEPARATOR)
    tail = others[-1] if others else head
    facts = (
        _flag(BREAK, not others and _breaks("ab", gap))
        | _flag(BREAK_AFTER_LETTER, not others and _breaks("a", gap))
        | _flag(GLUES, not gap or gap.endswith("_"))
        | _flag(OPENS_LINE, _OPENS_LINE.search(tail) is not None and (bool(others) or "\n" in tail))
        | _flag(OPENS_ITEM, _OPENS_ITEM.search(tail) is not None)
        | _flag(CLOSES_LINE_ITEM, _CLOSES_LINE_ITEM.match(head) is not None)
        | _flag(CLOSES_ITEM, _CLOSES_ITEM.match(head) is not None)
        | _flag(IS_PLAIN, gap in (" ", "-", ""))
    )
    before, after = UNITS.get(tail.rstrip(" ")[-1:], 0), UNITS.get(head.lstrip(" ")[:1], 0)
    return facts | before << _UNIT_BEFORE | after << _UNIT_AFTER


def units_in_gaps(facts: Integers) -> tuple[Integers, Integers]:
    """Return the unit that a gap gives to a number after it, and to one before it; 0 for none."""
    return facts >> _UNIT_BEFORE & 255, facts >> _UNIT_AFTER & 255


def _flag(bit: int, is_so: bool) -> int:
    return bit if is_so else 0


def _breaks(before: str, gap: str) -> bool:
    return any(is_break(token) for token in tokens(f"{before}{gap}c"))
