"""The methods of texts on columns, slices and indices."""

from collections.abc import Callable
from typing import Any

import polars as pl

from weaklm.columns import WHITESPACE, strip
from weaklm.compiler.constants import constant
from weaklm.compiler.guards import ascii_only, guarded
from weaklm.compiler.kernels import SPACES, n_bytes
from weaklm.compiler.lists import split_words
from weaklm.compiler.logic import choose
from weaklm.compiler.numbers import add
from weaklm.compiler.searches import caseless, lower, search, text_of_words
from weaklm.compiler.symbols import (
    ITEM,
    TEXT_LIMIT,
    Lowered,
    Symbol,
    Unsupported,
    described,
    lift,
    made,
)


def join_texts(a: Any, b: Any) -> Symbol:
    """Return ``a + b`` of texts."""
    a, b = lift(a), lift(b)
    return made("str", a.expr + b.expr, a, b)


def _part(text: Symbol, expr: pl.Expr) -> Symbol:
    return made("str", expr, text, columns=text.columns)


# Methods


def _upper(text: Symbol) -> Symbol:
    return guarded(made("str", text.expr.str.to_uppercase(), text), text, "ordinary")


def _casefold(text: Symbol) -> Symbol:
    small = made("str", text.expr.str.to_lowercase(), text, columns=text.columns)
    return guarded(small, text, "ascii")  # the sharp s, say, folds into two letters


def _stripper(name: str) -> Callable[..., Symbol]:
    def stripped(text: Symbol, chars: Any = None) -> Symbol:
        if chars is not None:
            chars = constant(chars, str, "characters to strip")
            return _part(text, getattr(text.expr.str, name)(chars)) if chars else text
        if isinstance(text.origin, Lowered):  # in either order
            return lower(stripped(text.origin.text))
        if name == "strip_chars":
            return _part(text, strip(text.expr))
        return _part(text, getattr(text.expr.str, name)(WHITESPACE))

    return stripped


def _remover(name: str) -> Callable[..., Symbol]:
    def removed(text: Symbol, affix: Any) -> Symbol:
        return _part(text, getattr(text.expr.str, name)(constant(affix, str, "a text to remove")))

    return removed


def _at(place: str) -> Callable[..., Any]:
    def is_at(text: Symbol, affix: Any) -> Any:
        affixes = affix if isinstance(affix, tuple) else (affix,)
        return search(text, place, [constant(one, str, "a text to begin or end with") for one in affixes])

    return is_at


def _not_empty(value: Any, what: str) -> str:
    if not constant(value, str, what):
        raise Unsupported(f"{what} that is empty")
    return str(value)


def _count(text: Symbol, part: Any) -> Symbol:
    part = constant(part, str, "a text to count")
    if not part:
        return add(_length(text), 1)
    if isinstance(text.origin, Lowered) and part.isascii() and part == part.lower():
        return _counted(text.origin.text, text.origin.text.expr.str.count_matches(caseless(part)))
    if len(part) == 1 and part.isascii() and not text.inner:
        return _counted(text, n_bytes(text.expr, (ord(part), ord(part))))
    return _counted(text, text.expr.str.count_matches(part, literal=True))


def _counted(text: Symbol, expr: pl.Expr) -> Symbol:
    return made("int", expr.cast(pl.Int64), text, limit=TEXT_LIMIT)


def _length(text: Symbol) -> Symbol:
    return _counted(text, text.expr.str.len_chars())


def _find(text: Symbol, part: Any) -> Any:
    before = text.expr.str.splitn(_not_empty(part, "a text to find"), 2).struct[0]
    return choose(search(text, "in", [part]), _counted(text, before.str.len_chars()), -1)


def _split(text: Symbol, sep: Any = None) -> Symbol:
    if text.inner:
        raise Unsupported("a list in a list")
    if sep is None:
        return split_words(text)
    return _parts(text, text.expr.str.split(_not_empty(sep, "a separator")))


def _parts(text: Symbol, expr: pl.Expr) -> Symbol:
    return made("list", expr, text, columns=text.columns, item=ITEM)


def _splitlines(text: Symbol) -> Symbol:
    if text.inner:
        raise Unsupported("a list in a list")
    lines = text.expr.str.strip_suffix("\n").str.split("\n")
    expr = pl.when(text.expr == "").then(pl.lit([], dtype=pl.List(pl.String))).otherwise(lines)
    return guarded(_parts(text, expr), text, "one kind of line end")


def _replace(text: Symbol, old: Any, new: Any) -> Symbol:
    old, new = _not_empty(old, "a text to replace"), constant(new, str, "a replacement")
    return made("str", text.expr.str.replace_all(old, new, literal=True), text)


def _matching(pattern: str) -> Callable[[Symbol], Symbol]:
    """Return a method that tells whether a text matches a pattern."""

    def matches(text: Symbol) -> Symbol:
        return guarded(made("bool", text.expr.str.contains(pattern), text), text, "ordinary")

    return matches


def _cased(letter: str, others: str) -> Callable[[Symbol], Symbol]:
    """Return a method that tells whether a text has one kind of letter and not the others."""
    matches = _matching(rf"\A[^{others}]*{letter}[^{others}]*\z")
    return lambda text: guarded(matches(text), text, "case of letters only")


def _is_space(text: Symbol) -> Symbol:
    return made("bool", text.expr.str.contains(rf"\A[{SPACES}]+\z"), text)


def _is_ascii(text: Symbol) -> Symbol:
    return made("bool", ascii_only(text.expr), text)


METHODS: dict[str, Callable[..., Any]] = {
    "lower": lower,
    "upper": _upper,
    "casefold": _casefold,
    "strip": _stripper("strip_chars"),
    "lstrip": _stripper("strip_chars_start"),
    "rstrip": _stripper("strip_chars_end"),
    "removeprefix": _remover("strip_prefix"),
    "removesuffix": _remover("strip_suffix"),
    "startswith": _at("start"),
    "endswith": _at("end"),
    "count": _count,
    "find": _find,
    "split": _split,
    "splitlines": _splitlines,
    "replace": _replace,
    "isupper": _cased(r"\p{Lu}", r"\p{Ll}\p{Lt}"),
    "islower": _cased(r"\p{Ll}", r"\p{Lu}\p{Lt}"),
    "isalpha": _matching(r"\A\p{L}+\z"),
    "isdigit": _matching(r"\A\p{Nd}+\z"),
    "isdecimal": _matching(r"\A\p{Nd}+\z"),
    "isalnum": _matching(r"\A[\p{L}\p{N}]+\z"),
    "isspace": _is_space,
    "isascii": _is_ascii,
}


# Slices and indices


def slice_of(value: Symbol, start: Any, stop: Any) -> Symbol:
    """Return ``value[start:stop]`` of a text or a list, for constant bounds."""
    for bound in (start, stop):
        constant(bound, (int, type(None)), "a bound")
    if value.kind not in ("str", "list") or (value.kind == "list" and value.item is None):
        raise Unsupported(f"a slice of {described(value)}")
    parts = value.expr.str if value.kind == "str" else value.expr.list
    start, is_short = start or 0, False
    if stop is None:
        expr = parts.tail(-start) if start < 0 else parts.slice(start)
        is_short = start < 0
    elif start == 0 and (stop >= 0 or value.kind == "str"):
        expr = parts.head(stop)
        is_short = stop >= 0
    elif start > 0 and stop >= 0:
        expr = parts.slice(start, max(0, stop - start))
        is_short = True
    else:
        raise Unsupported("a slice with bounds from both ends")
    # What a guard must hold of, a short part, is cheaper to look at than the column.
    return made(value.kind, expr, value, columns=frozenset() if is_short else value.columns, item=value.item)


def item_at(value: Symbol, index: Any) -> Symbol:
    """Return ``value[index]`` of a text or a list, null where there is none."""
    index = int(constant(index, int, "an index"))
    if value.kind == "str":
        is_there = value.expr.str.len_chars() >= (index + 1 if index >= 0 else -index)
        return made("str", pl.when(is_there).then(value.expr.str.slice(index, 1)), value, certain=False)
    if value.kind == "list" and (text := text_of_words(value)) is not None and index == 0:
        return _first_word(text)
    if value.kind == "list" and (item := value.item) is not None and item.kind != "match":
        expr = value.expr.list.get(index, null_on_oob=True)
        return made(item.kind, expr, value, certain=False, limit=item.limit)
    raise Unsupported(f"an index of {described(value)}")


def _first_word(text: Symbol) -> Symbol:
    if isinstance(text.origin, Lowered):  # in either order
        return lower(_first_word(text.origin.text))
    expr = text.expr.str.extract(rf"\A[{SPACES}]*([^{SPACES}]+)")
    return made("str", expr, text, certain=False)
