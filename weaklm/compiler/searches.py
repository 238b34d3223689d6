"""Constant texts at a place of a text: in it, at its start, at its end, all of it, among its words.

This is what most functions do, so several such searches of one text become one, and what is sought in the small
letters of a text is sought in the text itself, in small or capital letters: faster, and right for every character.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import polars as pl

from weaklm.columns import WHITESPACE, contains_any
from weaklm.compiler.guards import guarded
from weaklm.compiler.kernels import NOT_ONE_SPACE
from weaklm.compiler.symbols import (
    Lowered,
    Search,
    Split,
    Symbol,
    Unsupported,
    equal,
    false_of,
    made,
    storable,
)

PLACES = {"in": ("", ""), "start": (r"\A", ""), "end": ("", r"\z"), "all": (r"\A", r"\z")}  # before and after
_NEEDLES_LIMIT = 256


def search(text: Symbol, place: str, needles: Iterable[str]) -> Any:
    """Return the truth that one of the constants stands at a place of the text: a key of ``PLACES``."""
    return found(Search(text, place, tuple(dict.fromkeys(filter(storable, needles)))))


def found(wanted: Search) -> Any:
    """Return the truth of a search."""
    text, needles = wanted.text, wanted.needles
    if isinstance(text.origin, Lowered) and len(needles) <= _NEEDLES_LIMIT and all(map(str.isascii, needles)):
        text = text.origin.text
        is_open = wanted.place in ("in", "start")
        patterns = [caseless(needle, is_open) for needle in needles if needle == needle.lower()]  # others never occur
        expr = text.expr.str.contains(_pattern(wanted.place, patterns)) if patterns else None
    else:
        expr = _exactly(text.expr, wanted.place, needles) if needles else None
    if expr is None:
        return false_of(text)
    return made("bool", expr, text, origin=wanted)


def _exactly(text: pl.Expr, place: str, needles: tuple[str, ...]) -> pl.Expr:
    if place == "in":
        return contains_any(text, needles)
    if place == "all":
        return text == needles[0] if len(needles) == 1 else text.is_in(list(needles))
    if len(needles) == 1:
        return text.str.starts_with(needles[0]) if place == "start" else text.str.ends_with(needles[0])
    return text.str.contains(_pattern(place, map(escaped, needles)))


def together(a: Any, b: Any) -> Search | None:
    """Return one search for what two origins look for at one place of one text, if they do."""
    if not (isinstance(a, Search) and isinstance(b, Search)) or a.place != b.place:
        return None
    if len(a.needles) + len(b.needles) > _NEEDLES_LIMIT or not equal(a.text, b.text):
        return None
    return Search(a.text, a.place, tuple(dict.fromkeys(a.needles + b.needles)))


def search_words(text: Symbol, words: Iterable[str]) -> Any:
    """Return the truth that one of the constants is in ``text.split()``."""
    one = [word for word in words if word and not set(word) & set(WHITESPACE)]
    return search(_between_spaces(text), "in", [f" {word} " for word in one])


def _between_spaces(text: Symbol) -> Symbol:
    if isinstance(text.origin, Lowered):
        return lower(_between_spaces(text.origin.text))
    spaces = pl.lit(" ")
    return made("str", spaces + spaced(text).expr + spaces, text, columns=text.columns)


def spaced(text: Symbol) -> Symbol:
    """Return ``" ".join(text.split())``."""
    if text.inner:
        raise Unsupported("the words of an item of a list")
    if isinstance(text.origin, Lowered):  # in either order
        return lower(spaced(text.origin.text))
    expr = text.expr.str.replace_all(NOT_ONE_SPACE, " ").str.strip_chars(" ")
    return made("str", expr, text, columns=text.columns)


def lower(text: Symbol) -> Symbol:
    """Return ``text.lower()``."""
    if isinstance(text.origin, Lowered):
        return text
    small = made("str", text.expr.str.to_lowercase(), text, columns=text.columns, origin=Lowered(text))
    return guarded(small, text, "ordinary")


# Patterns for polars


def _pattern(place: str, alternatives: Iterable[str]) -> str:
    before, after = PLACES[place]
    return f"{before}(?:{'|'.join(alternatives)}){after}"


@lru_cache(maxsize=1024)
def escaped(text: str) -> str:
    """Return a pattern that matches the text and nothing else."""
    return "".join(char if char.isalnum() and char.isascii() else rf"\x{{{ord(char):x}}}" for char in text)


@lru_cache(maxsize=1024)
def caseless(needle: str, is_open: bool = True) -> str:
    r"""Return a pattern for texts in whose small letters the needle stands; the needle is ASCII, in small letters.

    Two other characters turn into ASCII: the Kelvin sign becomes k, and the dotted capital I an i with a dot after it,
    so that it can only be the end of what was found, and only where the text goes on (``is_open``).

    >>> caseless("ok!")
    '[oO][kK\\x{212a}]\\x{21}'
    """
    others = {"k": r"\x{212a}"}
    letters = [f"[{c}{c.upper()}{others.get(c, '')}]" if c.isalpha() else escaped(c) for c in needle]
    if needle.endswith("i") and is_open:
        letters[-1] = r"[iI\x{130}]"
    return "".join(letters)


def text_of_words(items: Symbol) -> Symbol | None:
    """Return the text whose words a list or set holds, if it is ``text.split()``."""
    return items.origin.text if isinstance(items.origin, Split) else None
