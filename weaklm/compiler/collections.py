"""What ``any``, ``all``, ``sum``, ``len``, ``min`` and ``max`` make of collections that differ from row to row.

There are three: a list of the row; the items of a comprehension over constants, each under its own condition; and what
a comprehension gives for each character of a text.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import polars as pl

from weaklm.compiler.guards import guarded, unless_ascii
from weaklm.compiler.kernels import n_bytes
from weaklm.compiler.lists import each, has_any, length
from weaklm.compiler.logic import both, choose, compare, either, negate, truth
from weaklm.compiler.numbers import add, as_int, multiply, within
from weaklm.compiler.searches import lower, search_words, text_of_words
from weaklm.compiler.symbols import (
    ITEM,
    TEXT_LIMIT,
    Lowered,
    Mapped,
    Search,
    Symbol,
    Unsupported,
    described,
    equal,
    lift,
    made,
    strictly,
)


@dataclass(frozen=True, eq=False)
class Items:
    """The items of a tuple, a list or a comprehension over constants."""

    items: tuple[tuple[Any, Any], ...]  # (the condition under which it is there, the value)
    is_lazy: bool = False  # a generator: what comes after the answer is not computed

    def values(self) -> list[Any]:
        """Return the values, if all are there on every row."""
        if any(condition is not True or doubtful(value) for condition, value in self.items):
            raise Unsupported("a list whose items are missing on some rows")
        return [value for _, value in self.items]

    def computed(self, result: Any) -> Any:
        """Return the result, null where Python fails on some item, unless it may stop before that one."""
        parts = doubtful(self)
        return result if self.is_lazy or not parts else strictly(lift(result), parts)


@dataclass(frozen=True, eq=False)
class Characters:
    """What a comprehension gives for the characters of a text: value -> the characters that give it."""

    text: Symbol
    values: dict[Any, str]

    def count(self, values: Iterable[Any]) -> Symbol:
        """Return how many characters give one of the values."""
        spans = _spans("".join(self.values[value] for value in values))
        text = self.text
        if text.inner:
            expr = text.expr.str.count_matches(_class(spans))
        else:  # the first 128 by their bytes, the others in the few texts that have any
            ascii_spans = [span for span in spans if span[1] < 128]
            expr = unless_ascii(text.expr).str.count_matches(_class([span for span in spans if span[1] > 127]))
            expr = n_bytes(text.expr, *ascii_spans) + expr if ascii_spans else expr
        return guarded(made("int", expr.cast(pl.Int64), text, limit=TEXT_LIMIT), text, "in the alphabet")

    def any_of(self, values: Iterable[Any]) -> Symbol:
        """Return the truth that some character gives one of the values."""
        return truth(self.count(values))


def doubtful(value: Any) -> list[Symbol]:
    """Return the symbols of which a value was made, and that are null on the rows where Python cannot make it."""
    if isinstance(value, Items):
        return [symbol for pair in value.items for part in pair for symbol in doubtful(part)]
    symbol = value.text if isinstance(value, Characters) else value
    return [symbol] if isinstance(symbol, Symbol) and not symbol.certain else []


def _spans(chars: str) -> list[tuple[int, int]]:
    """Return the characters as spans of code points, none of which goes beyond ASCII and not."""
    codes = sorted(map(ord, chars))
    grouped = groupby(enumerate(codes), key=lambda pair: (pair[1] - pair[0], pair[1] > 127))
    runs = [[code for _, code in run] for _, run in grouped]
    return [(run[0], run[-1]) for run in runs]


def _class(spans: Iterable[tuple[int, int]]) -> str:
    found = "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in spans)
    return f"[{found}]" if found else r"[^\x{0}-\x{10ffff}]"


# any, all


def any_of(items: Any) -> Any:
    """Return ``any(items)``."""
    if isinstance(items, Symbol):
        return _is_any(items)
    if isinstance(items, Characters):
        return items.any_of(filter(None, items.values))
    result: Any = False
    for condition, value in reversed(items.items):
        result = either(both(condition, truth(value)), result)
    return items.computed(result)


def _is_any(items: Symbol) -> Any:
    """Return ``any(items)``; where words are looked up among constants, the constants are looked for instead."""
    if isinstance(items.origin, Mapped) and isinstance(wanted := getattr(items.origin.value, "origin", None), Search):
        words, is_all = items.origin.items, wanted.place == "all"
        if is_all and equal(wanted.text, ITEM):
            return has_any(words, wanted.needles)
        text, lowered = text_of_words(words), wanted.text.origin
        if is_all and text is not None and isinstance(lowered, Lowered) and equal(lowered.text, ITEM):
            return search_words(lower(text), wanted.needles)
    return made("bool", _truths(items).list.any(), items)


def all_of(items: Any) -> Any:
    """Return ``all(items)``."""
    if isinstance(items, Symbol):
        return made("bool", _truths(items).list.all(), items)
    if isinstance(items, Characters):
        return negate(items.any_of(value for value in items.values if not value))
    result: Any = True
    for condition, value in reversed(items.items):
        result = both(either(negate(condition), truth(value)), result)
    return items.computed(result)


def _truths(items: Symbol) -> pl.Expr:
    if items.item is None:
        raise Unsupported("the groups of a pattern")
    return items.expr if items.item.kind == "bool" else each(items, truth(items.item).expr, "bool")


# sum, len


def sum_of(items: Any) -> Any:
    """Return ``sum(items)`` of whole numbers and truths."""
    if isinstance(items, Symbol):
        return _sum_of_list(items)
    if isinstance(items, Characters):
        return _total([multiply(items.count([value]), as_int(value)) for value in items.values if value])
    return items.computed(_total([_term(condition, value) for condition, value in items.items]))


def _sum_of_list(items: Symbol) -> Any:
    made_of = items.origin.value if isinstance(items.origin, Mapped) else None
    if isinstance(made_of, int):
        looped = items.origin.items
        return multiply(length(replace(looped, kind="list") if looped.kind == "iterator" else looped), made_of)
    if items.item is None or items.item.kind not in ("bool", "int"):
        raise Unsupported(f"a sum of {described(items)}")
    is_length = made_of is not None and equal(made_of, length(ITEM))  # the parts are no longer than the text
    most = 1 if items.item.kind == "bool" else items.item.limit
    limit = TEXT_LIMIT if is_length else within(most * TEXT_LIMIT)
    return made("int", items.expr.list.sum().cast(pl.Int64), items, limit=limit)


def _term(condition: Any, value: Any) -> Any:
    """Return what an item adds to a sum."""
    if not isinstance(value, bool | int | Symbol):
        raise Unsupported(f"a sum with {described(value)}")
    value = as_int(value) if isinstance(value, Symbol) else value
    if isinstance(condition, Symbol) and condition.certain and not isinstance(value, Symbol):
        return multiply(as_int(condition), value)
    return choose(condition, value, 0)


def _total(terms: list[Any]) -> Any:
    known = sum(term for term in terms if not isinstance(term, Symbol))
    symbols = [term for term in terms if isinstance(term, Symbol)]
    if not all(symbol.certain for symbol in symbols):
        for symbol in symbols:
            known = add(symbol, known)
        return known
    if not symbols:
        return known
    limit = within(sum(symbol.limit for symbol in symbols))
    total = made("int", pl.sum_horizontal([symbol.expr for symbol in symbols]), *symbols, limit=limit)
    return add(total, known) if known else total


def len_of(value: Any) -> Any:
    """Return ``len(value)``."""
    if isinstance(value, Symbol):
        return length(value)
    if isinstance(value, Characters):
        return value.count(value.values)
    return value.computed(_total([_term(condition, 1) for condition, _ in value.items]))


def truth_of(value: Any) -> Any:
    """Return ``bool(value)``."""
    if isinstance(value, Characters):
        return value.any_of(value.values)
    return truth(len_of(value) if isinstance(value, Items) else value)


# min, max


def extreme(sign: str, method: str) -> Callable[..., Any]:
    """Return the function ``min`` or ``max`` of numbers or texts."""

    def extreme_of(*values: Any, default: Any = None) -> Any:
        if len(values) == 1 and isinstance(values[0], Symbol):
            return _extreme_item(values[0], method, default)
        if default is not None or isinstance(values[0], Characters):
            raise Unsupported(f"{method} with a default, or of characters")
        found, *others = values[0].values() if len(values) == 1 else values
        if all(type(value) is int or _is_certain_int(value) for value in (found, *others)):
            return _extreme_int(method, [as_int(value) for value in (found, *others)])
        for other in others:
            found = choose(compare(sign, other, found), other, found)
        return found

    return extreme_of


def _is_certain_int(value: Any) -> bool:
    return isinstance(value, Symbol) and value.kind == "int" and value.certain


def _extreme_int(method: str, values: list[Symbol]) -> Symbol:
    expr = getattr(pl, f"{method}_horizontal")([value.expr for value in values])
    return made("int", expr, *values, limit=max(value.limit for value in values))


def _extreme_item(items: Symbol, method: str, default: Any) -> Any:
    if items.item is None or items.item.kind not in ("int", "float"):
        raise Unsupported(f"{method} of {described(items)}")
    expr = getattr(items.expr.list, method)()  # null where there is no item
    found = made(items.item.kind, expr, items, certain=False, limit=items.item.limit)
    if isinstance(default, Symbol) and not default.certain:
        raise Unsupported("a default that is missing on some rows")
    return found if default is None else choose(truth(items), found, default)
