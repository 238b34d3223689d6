"""The words of many texts as numbers, read off their UTF-8 bytes: no Python string is made for any of them.

A word of up to eight bytes is its own number, and a longer one a hash of 64 bits. The texts are taken in stretches
whose arrays stay in the processor's cache: over ten times as fast as a regular expression that collects the words.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]

_STRETCH = 1 << 19  # bytes


def count_words(texts: "pl.Series") -> "pl.Series":
    r"""Return for each text the number of its words as ``str.split`` finds them, uint32; null for a missing text.

    >>> import polars as pl
    >>> count_words(pl.Series(["two words", "", "one\u2003two\x1cthree "])).to_list()
    [2, 0, 3]
    """
    import polars as pl

    counts = [np.zeros(0, dtype=np.int64)]
    for data, offsets in _stretches(texts):
        counts.append(_counted(_begins(_not_spaces(data), offsets), offsets))
    counted = pl.Series(texts.name, np.concatenate(counts).astype(np.uint32))
    return counted.set(texts.is_null(), None) if texts.null_count() else counted


def word_keys(texts: "pl.Series") -> "pl.Series":
    r"""Return for each text one number for each word of ``re.findall(r"\w+", text.lower())``, as a list of uint64.

    >>> import polars as pl
    >>> keys = word_keys(pl.Series(["the fee, the card", "", "na\u00efve Fee"])).to_list()
    >>> [len(found) for found in keys], keys[0][0] == keys[0][2], keys[0][1] == keys[2][1]
    ([4, 0, 2], True, True)
    """
    return _remembered(_word_keys, texts)


def word_sets(texts: "pl.Series", *, n: int = 1, without: tuple[str, ...] = ()) -> "pl.Series":
    """Return for each text the different numbers of :func:`word_keys`, or one for each different run of n words.

    Words in lower case that are to be left out are dropped first.

    >>> import polars as pl
    >>> texts = pl.Series(["the fee, the card, the fee", ""])
    >>> word_sets(texts).list.len().to_list(), word_sets(texts, without=("the",)).list.len().to_list()
    ([3, 0], [2, 0])
    >>> word_sets(texts, n=2).list.len().to_list()
    [4, 0]
    """
    return _remembered(_word_sets, texts, n, without)


# Several functions look at the words of one column in turn, and polars would compute them again for each.
_KEPT = 3
_known: dict[Callable[..., Any], deque[tuple["pl.Series", tuple[Any, ...], "pl.Series"]]] = defaultdict(
    partial(deque, maxlen=_KEPT)
)


def forget() -> None:
    """Give back the memory of the last results."""
    _known.clear()


def _remembered(compute: Callable[..., "pl.Series"], texts: "pl.Series", *settings: Any) -> "pl.Series":
    """Return what is computed of texts, from memory if it was one of the last results."""
    for before, their_settings, result in list(_known[compute]):
        if settings == their_settings and before.equals(texts):
            return result
    result = compute(texts, *settings)
    _known[compute].append((texts, settings, result))
    return result


def _word_keys(texts: "pl.Series") -> "pl.Series":
    keys, sizes = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for data, offsets in _stretches(texts.str.to_lowercase()):
        flags = _word_characters(data)
        begins = np.flatnonzero(_begins(flags, offsets))
        lengths = np.flatnonzero(_ends(flags, offsets)) + 1 - begins
        keys.append(keys_of_words(data, begins, lengths))
        sizes.append(np.diff(np.searchsorted(begins, offsets)))
    return _lists(texts.name, np.concatenate(keys), np.concatenate(sizes))


def _word_sets(texts: "pl.Series", n: int, without: tuple[str, ...]) -> "pl.Series":
    words = word_keys(texts)
    if n == 1 and not without:
        return words.list.unique()
    found = [(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))]
    for stretch in stretches(words):
        kept = _without(*stretch, without) if without else stretch
        found.append(_runs(*kept, n) if n > 1 else kept)
    return _lists(texts.name, *map(np.concatenate, zip(*found, strict=True))).list.unique()


def stretches(words: "pl.Series") -> Iterator[tuple[Keys, Integers]]:
    """Yield the numbers of the words of some texts after others, and how many words each text has."""
    keys, sizes = np.asarray(words.to_arrow().flatten()), words.list.len().fill_null(0).to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, np.arange(_STRETCH // 8, ends[-1] if len(ends) else 0, _STRETCH // 8))
    for first, last in pairwise(np.unique([0, *cuts, len(words)])):
        start = ends[first - 1] if first else 0
        yield keys[start : ends[last - 1]], sizes[first:last]


def _without(keys: Keys, sizes: Integers, words: tuple[str, ...]) -> tuple[Keys, Integers]:
    kept = ~Table.of(words).has(keys)
    n_kept = np.concatenate([[0], np.cumsum(kept)])
    return keys[kept], np.diff(n_kept[np.cumsum(sizes)], prepend=0)


def _runs(keys: Keys, sizes: Integers, n: int) -> tuple[Keys, Integers]:
    """Return one number for each run of n words within a text, and how many runs each text has."""
    mixed = keys[: max(len(keys) - n + 1, 0)]
    for i in range(1, n):
        mixed = _mixed(mixed, keys[i : i + len(mixed)])
    left = np.repeat(np.cumsum(sizes), sizes)[: len(mixed)] - np.arange(len(mixed))  # words to the end of the text
    return mixed[left >= n], np.maximum(sizes - n + 1, 0)


def _lists(name: str, keys: Keys, sizes: Integers) -> "pl.Series":
    import polars as pl

    places = pyarrow.array(np.concatenate([[0], np.cumsum(sizes)]))
    return pl.Series(name, pl.from_arrow(pyarrow.LargeListArray.from_arrays(places, pyarrow.array(keys))))


class Table:
    """Finds numbers among a few that differ, by one look into a table in which each has a slot of its own."""

    def __init__(self, keys: Keys) -> None:
        n_slots, attempt = 256, 0
        while n_slots < len(keys) ** 2 // 8:  # at this size, one in some fifty multipliers gives each its own slot
            n_slots *= 2
        while True:
            self._shift = np.uint64(64 - n_slots.bit_length() + 1)
            self._multiplier = np.uint64(0x9E3779B97F4A7C15 * (2 * attempt + 1) % 2**64)
            slots, attempt = self._slots(keys), attempt + 1
            if len(np.unique(slots)) == len(keys):
                break
            n_slots *= 2 if attempt % 100 == 0 else 1
        self._keys, self._places = np.full(n_slots, ~keys[0]), np.full(n_slots, -1)
        self._keys[slots], self._places[slots] = keys, np.arange(len(keys))

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, words: tuple[str, ...]) -> "Table":
        """Return the table of different words in lower case, none of which is empty."""
        import polars as pl

        return cls(word_keys(pl.Series(words)).explode().to_numpy())

    def _slots(self, keys: Keys) -> NDArray[np.int64]:
        slots = keys * self._multiplier
        slots >>= self._shift
        return slots.view(np.int64)

    def has(self, keys: Keys) -> Flags:
        """Return for each number whether it is among the few."""
        return self._keys[self._slots(keys)] == keys

    def places(self, keys: Keys) -> Integers:
        """Return the place of each number among the few, -1 for one that is none of them."""
        slots = self._slots(keys)
        return np.where(self._keys[slots] == keys, self._places[slots], -1)


def _stretches(texts: "pl.Series") -> Iterator[tuple[Bytes, Integers]]:
    """Yield the UTF-8 bytes of some texts after others, and the places where each begins and the last one ends."""
    import polars as pl

    if not len(texts):
        return
    stored = texts.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offset_buffer, data_buffer = stored.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[stored.offset : stored.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    first = 0
    while first < len(texts):
        last = max(int(np.searchsorted(offsets, offsets[first] + _STRETCH, side="right")) - 1, first + 1)
        last = min(last, len(texts))
        yield data[offsets[first] : offsets[last]], offsets[first : last + 1] - offsets[first]
        first = last


# Characters


def _not_spaces(data: Bytes) -> Flags:
    """Return for each byte whether it belongs to a character that is no space for Python."""
    spaces = data - np.uint8(9) < 5
    spaces |= data - np.uint8(28) < 5
    flags = ~spaces
    _clear(flags, data, "isspace")
    return flags


def _word_characters(data: Bytes) -> Flags:
    r"""Return for each byte of texts in lower case whether it belongs to a character of ``\w``."""
    flags = data - np.uint8(97) < 26
    flags |= data - np.uint8(48) < 10
    flags |= data == 95
    flags |= data >= 128
    _clear(flags, data, "isalnum")
    return flags


def clear_others(flags: Flags | Bytes, data: Bytes) -> None:
    """Set to False, or 0, the flags of characters beyond ASCII that are neither letters nor digits."""
    _clear(flags, data, "isalnum")


def _clear(flags: Flags | Bytes, data: Bytes, kind: str) -> None:
    """Set to False the flags of characters beyond ASCII that are spaces, or are not alphanumeric."""
    if not len(data) or data.max() < 128:
        return
    leads = np.flatnonzero(data >= 0xC0)
    padded = np.concatenate([data, np.zeros(3, dtype=np.uint8)])
    first, second, third, fourth = (padded[leads + i].astype(np.int32) for i in range(4))
    sizes = np.select([first < 0xE0, first < 0xF0], [2, 3], 4)
    two = (first & 31) << 6 | second & 63
    three = (first & 15) << 12 | (second & 63) << 6 | third & 63
    four = (first & 7) << 18 | (second & 63) << 12 | (third & 63) << 6 | fourth & 63
    codes = np.select([sizes == 2, sizes == 3], [two, three], four)
    cleared = _characters(kind)[codes] == (kind == "isspace")
    leads, sizes = leads[cleared], sizes[cleared]
    for i in range(4):
        flags[leads[sizes > i] + i] = False


@lru_cache(maxsize=2)
def _characters(kind: str) -> Flags:
    """Return for each code point what the method of ``str`` says of it."""
    method = getattr(str, kind)
    return np.fromiter((method(chr(code)) for code in range(0x110000)), dtype=bool, count=0x110000)


# Words


def _begins(flags: Flags, offsets: Integers) -> Flags:
    """Return where a run of flags begins; none goes on from one text to the next."""
    begins = flags.copy()
    np.greater(flags[1:], flags[:-1], out=begins[1:])
    inner = offsets[(offsets > 0) & (offsets < len(flags))]
    begins[inner] = flags[inner]
    return begins


def _ends(flags: Flags, offsets: Integers) -> Flags:
    ends = flags.copy()
    np.greater(flags[:-1], flags[1:], out=ends[:-1])
    inner = offsets[(offsets > 0) & (offsets < len(flags))] - 1
    ends[inner] = flags[inner]
    return ends


def _counted(flags: Flags, offsets: Integers) -> Integers:
    """Return how many flags are set between each offset and the next: 64 of them at a time."""
    packed = np.packbits(flags, bitorder="little")
    bits = np.zeros(len(flags) // 64 + 1, dtype="<u8")
    bits.view(np.uint8)[: len(packed)] = packed
    before = np.concatenate([[0], np.cumsum(np.bitwise_count(bits), dtype=np.int64)])
    place, rest = offsets >> 6, (offsets & 63).astype(np.uint64)
    return np.diff(before[place] + np.bitwise_count(bits[place] & ((np.uint64(1) << rest) - np.uint64(1))))


_FIRST_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype="<u8")


def keys_of_words(data: Bytes, begins: Integers, lengths: Integers) -> Keys:
    """Return the number of each word, given where it begins in the bytes and how many it has."""
    padded = np.concatenate([data, np.zeros(8, dtype=np.uint8)])
    eight_from = np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))
    keys = eight_from[begins]
    keys &= _FIRST_BYTES[np.minimum(lengths, 8)]
    done, long = 8, np.flatnonzero(lengths > 8)
    while len(long):
        rest = lengths[long] - done
        keys[long] = _mixed(keys[long], eight_from[begins[long] + done] & _FIRST_BYTES[np.minimum(rest, 8)])
        done, long = done + 8, long[rest > 8]
    return keys


def _mixed(keys: Keys, others: Keys) -> Keys:
    """Return one number for each pair of numbers.

    Source: the steps of splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195).
    """
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed += others
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27))
