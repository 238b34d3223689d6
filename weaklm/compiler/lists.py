"""Lists and sets: the words or parts of a text, the matches of a pattern, and what comprehensions make of them.

What is done to each item runs as one function over the column of lists: polars computes a column that several
functions share once, except under an expression for list items.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import polars as pl

from weaklm.columns import n_words
from weaklm.compiler.kernels import N_DIFFERENT, SPACES, WORDS, computed
from weaklm.compiler.searches import search_words, text_of_words
from weaklm.compiler.symbols import (
    ITEM,
    TEXT_LIMIT,
    Lowered,
    Mapped,
    Matches,
    Search,
    Split,
    Symbol,
    Unsupported,
    described,
    made,
    storable,
    strictly,
)

_TYPES: dict[str, Any] = {
    "bool": pl.Boolean,
    "match": pl.Boolean,
    "int": pl.Int64,
    "float": pl.Float64,
    "str": pl.String,
}


def split_words(text: Symbol) -> Symbol:
    """Return ``text.split()``."""
    if text.inner:
        raise Unsupported("a list in a list")
    return made("list", computed(text.expr, WORDS), text, columns=text.columns, item=ITEM, origin=Split(text))


def length(value: Symbol) -> Symbol:
    """Return ``len(value)`` of a text, a list or a set."""
    part, words = value, _unlowered(text_of_words(value))
    if value.kind == "str":
        expr = value.expr.str.len_chars()
    elif value.kind == "list" and words is not None:
        part, expr = words, n_words(words.expr)
    elif value.kind == "set" and isinstance(value.origin, Split):
        part, expr = value.origin.text, computed(value.origin.text.expr, WORDS, N_DIFFERENT)
    elif value.kind == "list" and isinstance(value.origin, Matches):
        part, expr = value.origin.text, value.origin.text.expr.str.count_matches(value.origin.pattern)
    elif value.kind in ("list", "set") and value.item is not None:
        expr = value.expr.list.len()
    else:
        raise Unsupported(f"the length of {described(value)}")
    return made("int", expr.cast(pl.Int64), part, limit=TEXT_LIMIT)


def _unlowered(text: Symbol | None) -> Symbol | None:
    """Return the text before it was put in small letters, which has as many words."""
    return text.origin.text if text is not None and isinstance(text.origin, Lowered) else text


def is_filled(value: Symbol) -> Any:
    """Return the truth that a list or set is not empty."""
    if (text := _unlowered(text_of_words(value))) is not None:
        return made("bool", text.expr.str.contains(f"[^{SPACES}]"), text)
    if isinstance(value.origin, Matches):
        return made("bool", value.origin.text.expr.str.contains(value.origin.pattern), value.origin.text)
    if isinstance(value.origin, Search):
        return search_words(value.origin.text, value.origin.needles)
    return made("bool", value.expr.list.len() > 0, value)


def as_set(items: Symbol) -> Symbol:
    """Return ``set(items)``."""
    if items.item is None or items.item.kind != "str":
        raise Unsupported(f"a set of {described(items)}")
    origin = items.origin if isinstance(items.origin, Split) else None
    return made("set", items.expr.list.unique(), items, columns=items.columns, item=ITEM, origin=origin)


def combine_sets(method: str, a: Any, b: Any) -> Symbol:
    """Return the union, intersection or difference of two sets of texts, as polars names it."""
    left, right = _set_of_texts(a), _set_of_texts(b)
    origin = None  # of an intersection of words and constants: the search that tells whether it is empty
    for words, others in ((a, b), (b, a)):
        text = text_of_words(words) if isinstance(words, Symbol) else None
        if method == "set_intersection" and text is not None and not isinstance(others, Symbol):
            origin = Search(text, "word", tuple(others))
    combined = made("set", getattr(left.expr.list, method)(right.expr), left, right, item=ITEM, origin=origin)
    return strictly(combined, (left, right))


def _set_of_texts(value: Any) -> Symbol:
    if isinstance(value, Symbol) and value.kind == "set":
        return value
    if isinstance(value, set | frozenset) and all(type(item) is str for item in value):
        return Symbol("set", pl.lit(sorted(filter(storable, value)), dtype=pl.List(pl.String)))
    raise Unsupported(f"a set together with {described(value)}")


def has_any(items: Symbol, needles: Iterable[str]) -> Any:
    """Return the truth that one of the constants is in a list or set of texts."""
    if (text := text_of_words(items)) is not None:
        return search_words(text, needles)
    known = list(filter(storable, needles))
    return made("bool", each(items, pl.element().is_in(known), "bool").list.any(), items)


# Each item


def each(items: Symbol, value: pl.Expr, kind: str) -> pl.Expr:
    """Return the column of lists that hold the value, an expression of ``pl.element()``, for each item."""
    compute: Callable[[pl.Series], pl.Series] = lambda lists: lists.list.eval(value)  # noqa: E731
    return items.expr.map_batches(compute, return_dtype=pl.List(_TYPES[kind]), is_elementwise=True)


def item_of(items: Symbol) -> Symbol:
    """Return the symbol that stands for each item while a comprehension goes through a list or set."""
    if items.kind not in ("list", "set", "iterator") or items.item is None:
        raise Unsupported(f"a loop over {described(items)}")
    if items.inner or not items.certain:
        raise Unsupported("a loop over a list that is in a list, or missing on some rows")
    return replace(items.item, columns=items.columns)


def mapped(items: Symbol, value: Any, condition: Any) -> Symbol:
    """Return the list ``[value for item in items if condition]``, where both speak of :func:`item_of`."""
    if condition is False:
        raise Unsupported("a condition that never holds")
    item = value if isinstance(value, Symbol) else _constant_item(value)
    parts = [part for part in (item, condition) if isinstance(part, Symbol)]
    if not all(part.inner and part.certain for part in parts):
        raise Unsupported("the items of a list together with other columns")
    expr = item.expr.filter(condition.expr) if isinstance(condition, Symbol) else item.expr
    return made(
        "list",
        each(items, expr, item.kind),
        items,
        *(replace(part, inner=False) for part in parts),
        columns=item.columns,
        item=replace(item, expr=pl.element(), guards=frozenset(), size=1, origin=None),
        origin=None if isinstance(condition, Symbol) else Mapped(items, value),
    )


def _constant_item(value: Any) -> Symbol:
    if not isinstance(value, bool | int):
        raise Unsupported(f"a list that repeats {described(value)}")
    number = int(value)
    return Symbol("int", pl.element().is_not_null().cast(pl.Int64) * number, inner=True, limit=abs(number))
