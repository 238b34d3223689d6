"""Texts as columns: what polars and Python's ``str`` and ``re`` agree on, so that a column gives the answers of rows.

:func:`ordinary` tells which texts hold only characters that both sides see alike: nearly all. On those, polars'
``str.to_lowercase`` and ``str.to_uppercase`` and what :func:`~weaklm.dialect.portable` makes of a pattern agree with
Python; on any text, so do ``str.len_chars``, ``str.starts_with``, ``str.ends_with`` and
``str.contains(literal=True)``. The other functions here are Python's own on columns of any texts.
"""

import re
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

from weaklm.dialect import WORD, Unportable, Use, literal, portable
from weaklm.wordkeys import count_words

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "WHITESPACE",
    "Unportable",
    "Use",
    "assigned",
    "contains_any",
    "n_words",
    "ordinary",
    "portable",
    "search",
    "strip",
]

# str.isspace and the \s of re; polars does not take \x1c to \x1f for spaces.
WHITESPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + ("\u2028\u2029\u202f\u205f\u3000")
)

_NEW = r"[^\p{Age=14.0}]"  # newer than the Unicode version of some supported Python
_ODD = "|".join(
    (
        _NEW,
        r"[\x{131}\x{130}\x{17F}\x{212A}\x{345}]",  # equal to i, s, k and iota for the (?i) of Python
        r"[\x{19B}\x{264}\x{A7D3}\x{A7D5}]",  # got their capitals late
        r"[\d--0-9]",
        rf"[{WORD}--\w]",
        rf"{WORD}[\w--{WORD}]|[\w--{WORD}]{WORD}",  # \b differs
    )
)


def ordinary(text: "pl.Expr") -> "pl.Expr":
    r"""Return a Boolean column: true where a text holds only characters that polars and Python see alike.

    Alike are ``\w \d \s \b``, case, and matching without regard to case. All ASCII is ordinary, as are letters with
    accents, all alphabets, ideographs, typographic marks and emoji; not ordinary are digits of other scripts, numbers
    such as "\u00bd", letters with separate accents (as in Hindi and Thai), the dotless i of Turkish, and missing texts.

    >>> import polars as pl
    >>> data = pl.DataFrame({"text": ["It\u2019s 5 \u20ac, na\xefve", "\xbd cup", None]})
    >>> data.select(ordinary(pl.col("text")))["text"].to_list()
    [True, False, False]
    """
    return _computed(text.meta.serialize(), "ordinary")


def assigned(text: "pl.Expr") -> "pl.Expr":
    """Return a Boolean column: true where a text holds only characters that every supported Unicode version has.

    In those, :mod:`weaklm.wordkeys` finds Python's words, also where they are not ordinary.

    >>> import polars as pl
    >>> data = pl.DataFrame({"text": ["\xbd cup", "\U0001fae8", None]})
    >>> data.select(assigned(pl.col("text")))["text"].to_list()
    [True, False, False]
    """
    return _computed(text.meta.serialize(), "assigned")


def _are_without(odd: str, texts: "pl.Series") -> "pl.Series":
    said = (texts.str.len_bytes() == texts.str.len_chars()).fill_null(False)  # all of ASCII, which most texts are
    others = (texts.is_not_null() & ~said).arg_true()
    return said.scatter(others, ~texts.gather(others).str.contains(odd)) if len(others) else said


def search(text: "pl.Expr", pattern: str | re.Pattern[str], flags: int = 0) -> "pl.Expr":
    r"""Return a Boolean column that tells whether ``re.search`` finds a match; for ordinary texts.

    >>> import polars as pl
    >>> data = pl.DataFrame({"text": ["One:\n- two", "one-two"]})
    >>> data.select(search(pl.col("text"), r"(?m)^- "))["text"].to_list()
    [True, False]

    Raises
    ------
    Unportable
        If polars' engine lacks what the pattern uses.
    """
    if re.compile(pattern, flags).flags & re.IGNORECASE:
        try:
            return _contains(text.str.to_lowercase(), portable(pattern, flags, use="search", lowered=True))
        except Unportable:  # regards case in part
            pass
    return _contains(text, portable(pattern, flags, use="search"))


def _contains(text: "pl.Expr", pattern: str) -> "pl.Expr":
    if not pattern.startswith(_LINE_START):
        return text.str.contains(pattern)
    # The engine looks for line starts one character at a time, but leaps from one "\n- " to the next.
    rest = pattern.removeprefix(_LINE_START)
    return text.str.contains(rf"\A{rest}") | text.str.contains(rf"\n{rest}")


_LINE_START = "(?m:^)"


def contains_any(text: "pl.Expr", needles: Iterable[str]) -> "pl.Expr":
    """Return a Boolean column equal to ``any(needle in text for needle in needles)``.

    >>> import polars as pl
    >>> data = pl.DataFrame({"text": ["a.c", "abc"]})
    >>> data.select(contains_any(pl.col("text"), ["b", "xyz"]))["text"].to_list()
    [False, True]
    """
    # No text of a column holds half a character.
    sought = sorted({needle for needle in needles if not any("\ud800" <= char <= "\udfff" for char in needle)})
    if not sought:
        return text.str.len_bytes() < 0
    if "" in sought:
        return text.str.len_bytes() >= 0
    if len(sought) > _MANY:
        return text.str.contains_any(sought)
    parts = [sought[start : start + _TOGETHER] for start in range(0, len(sought), _TOGETHER)]
    found = [text.str.contains("|".join(map(literal, part))) for part in parts]
    return found[0].or_(*found[1:])


# Up to here the regex engine looks for all needles with a few vector instructions; several such searches are still
# faster than one automaton.
_TOGETHER, _MANY = 48, 256


def n_words(text: "pl.Expr") -> "pl.Expr":
    r"""Return a column of integers equal to ``len(text.split())``.

    >>> import polars as pl
    >>> data = pl.DataFrame({"text": ["two\x1cwords", " "]})
    >>> data.select(n_words(pl.col("text")))["text"].to_list()
    [2, 0]
    """
    return _computed(text.meta.serialize(), "n_words")


# Polars computes only once what several expressions share, if it is one and the same object.
@lru_cache(maxsize=256)
def _computed(text: bytes, what: Literal["ordinary", "assigned", "n_words"]) -> "pl.Expr":
    import polars as pl

    column = pl.Expr.deserialize(text)
    if what == "n_words":
        return column.map_batches(count_words, return_dtype=pl.UInt32, is_elementwise=True)
    without = partial(_are_without, _ODD if what == "ordinary" else _NEW)
    return column.map_batches(without, return_dtype=pl.Boolean, is_elementwise=True)


def strip(text: "pl.Expr") -> "pl.Expr":
    """Return a column equal to ``text.strip()``."""
    return text.str.strip_chars(WHITESPACE)
