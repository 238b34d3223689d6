"""Truth, ``and``, ``or``, ``not``, ``if`` and comparisons: both branches are known, and each row takes its own."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from weaklm.compiler.lists import combine_sets, has_any, is_filled
from weaklm.compiler.numbers import NUMBERS, add, as_float, as_int, as_numbers, multiply
from weaklm.compiler.searches import found, search, together
from weaklm.compiler.symbols import (
    NOTHING,
    Choice,
    Lowered,
    Sum,
    Symbol,
    Unsupported,
    described,
    false_of,
    kind_of,
    lift,
    made,
    same,
    strictly,
)


def truth(value: Any) -> Any:
    """Return ``bool(value)``: a bool, or a symbol of kind bool or null."""
    if not isinstance(value, Symbol):
        return bool(value)
    if value.kind in ("int", "float"):
        return made("bool", value.expr != 0, value)
    if value.kind == "str":
        text = value.origin.text if isinstance(value.origin, Lowered) else value
        return made("bool", text.expr.str.len_bytes() > 0, text)
    if value.kind in ("list", "set"):
        return is_filled(value)
    if value.kind not in ("bool", "match", "null"):
        raise Unsupported(f"the truth of {described(value)}")
    return replace(value, kind="bool") if value.kind == "match" else value


def negate(value: Any) -> Any:
    """Return ``not value``."""
    test = truth(value)
    if not isinstance(test, Symbol):
        return not test
    return test if test is NOTHING else made("bool", ~test.expr, test)


def both(a: Any, b: Any) -> Any:
    """Return the truth of ``a and b`` for two truths, where ``b`` counts only if ``a`` is true."""
    if not isinstance(a, Symbol):
        return b if a else False
    if a is NOTHING or b is True:
        return a
    if a.certain and isinstance(b, Symbol) and b is not NOTHING:
        return made("bool", a.expr & b.expr, a, b)
    return choose(a, b, False)


def either(a: Any, b: Any) -> Any:
    """Return the truth of ``a or b`` for two truths, where ``b`` counts only if ``a`` is false."""
    if not isinstance(a, Symbol):
        return True if a else b
    if a is NOTHING or b is False:
        return a
    if isinstance(b, Symbol) and (wanted := together(a.origin, b.origin)):
        return found(wanted)
    if a.certain and isinstance(b, Symbol) and b is not NOTHING:
        return made("bool", a.expr | b.expr, a, b)
    return choose(a, True, b)


def choose(test: Any, yes: Any, no: Any) -> Any:
    """Return ``yes if test else no`` for a truth."""
    if not isinstance(test, Symbol):
        return yes if test else no
    if test is NOTHING or yes is no is NOTHING:
        return NOTHING
    if test.certain and same(yes, no):
        return yes
    if (shorter := _shorter(test, yes, no)) is not None:
        return shorter
    a, b = _alike(lift(yes), lift(no))
    if test.certain:
        expr = pl.when(test.expr).then(a.expr).otherwise(b.expr)
    elif type(yes) is type(no) is int:  # without naming the test twice, which would be computed twice
        expr = test.expr.cast(pl.Int64) * (yes - no) + no
    else:
        expr = pl.when(test.expr).then(a.expr).when(~test.expr).then(b.expr)
    return made(
        b.kind if a is NOTHING else a.kind,
        expr,
        *(part for part in (test, a, b) if part is not NOTHING),
        certain=NOTHING not in (a, b),
        columns=a.columns | b.columns if a.columns and b.columns else frozenset(),
        limit=max(part.limit for part in (a, b) if part is not NOTHING),
        item=a.item or b.item,
        origin=Choice(test, yes, no),
    )


def _shorter(test: Symbol, yes: Any, no: Any) -> Any:
    """Return a choice in a simpler form where its branches repeat each other, else None."""
    if isinstance(yes, Symbol) and isinstance(yes.origin, Sum) and same(yes.origin.before, no):
        return add(no, multiply(as_int(test), yes.origin.added))  # if test: count += 1
    if isinstance(no, Symbol) and isinstance(no.origin, Choice) and same(no.origin.yes, yes):
        return choose(either(test, no.origin.test), yes, no.origin.no)  # if a: return 0; if b: return 0
    if isinstance(yes, Symbol) and isinstance(yes.origin, Choice) and same(yes.origin.no, no):
        return choose(both(test, yes.origin.test), yes.origin.yes, no)  # if a: if b: return 0
    return None


def _alike(a: Symbol, b: Symbol) -> tuple[Symbol, Symbol]:
    """Return two symbols of one kind, whichever of them a row has."""
    if NOTHING in (a, b) or (a.kind == b.kind and kind_of(a.item) == kind_of(b.item)):
        return a, b
    if {a.kind, b.kind} == {"int", "float"}:
        return as_float(a), as_float(b)
    raise Unsupported(f"a value that is {a.kind} on some rows and {b.kind} on others")


def bitwise(sign: str) -> Callable[[Any, Any], Any]:
    """Return the function ``a & b`` or ``a | b`` of two bools, both of which Python computes, or of two sets."""
    combine, method = (both, "set_intersection") if sign == "&" else (either, "set_union")

    def combined(a: Any, b: Any) -> Any:
        if "set" in (kind_of(a), kind_of(b)):
            return combine_sets(method, a, b)
        if not kind_of(a) == kind_of(b) == "bool":
            raise Unsupported(f"{sign} between {described(a)} and {described(b)}")
        return strictly(lift(combine(a, b)), (a, b))

    return combined


# Comparisons

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FAMILIES = [NUMBERS, {"str"}, {"list"}, {"set", "frozenset"}, {"tuple"}, {"dict"}]  # what can be equal


def compare(sign: str, a: Any, b: Any) -> Any:
    """Return ``a < b`` and the like."""
    if not (isinstance(a, Symbol) or isinstance(b, Symbol)):
        return _SIGNS[sign](a, b)
    if sign == "!=":
        return negate(compare("==", a, b))
    symbol, other = (a, b) if isinstance(a, Symbol) else (b, a)
    kinds = {kind_of(a), kind_of(b)}
    if sign == "==" and kinds == {"str"} and not isinstance(other, Symbol):
        return search(symbol, "all", [other])
    if kinds == {"str"} or kinds <= NUMBERS | {"null"}:
        a, b = (lift(a), lift(b)) if kinds == {"str"} else as_numbers(a, b)
        return NOTHING if NOTHING in (a, b) else made("bool", _SIGNS[sign](a.expr, b.expr), a, b)
    if sign == "==":
        return _equals(symbol, other)
    raise Unsupported(f"{sign} between {described(a)} and {described(b)}")


def _equals(value: Symbol, other: Any) -> Any:
    """Return ``value == other`` where they cannot be equal, or the other is None or empty."""
    if other is None:
        return is_none(value)
    if value.kind in ("list", "set") and kind_of(other) == value.kind and not isinstance(other, Symbol) and not other:
        return negate(value)
    own = next((family for family in _FAMILIES if value.kind in family), set())
    if own and any(kind_of(other) in family for family in _FAMILIES if family is not own):
        return strictly(lift(False), (value, other))
    raise Unsupported(f"== between {described(value)} and {described(other)}")


def is_none(value: Symbol) -> Any:
    """Return ``value is None``: of all that a row may hold, only a match may be."""
    if value is NOTHING:
        return NOTHING
    return negate(value) if value.kind == "match" else false_of(value)


def identical(a: Any, b: Any) -> Any:
    """Return ``a is b`` for None, True or False."""
    symbol, constant = (a, b) if isinstance(a, Symbol) else (b, a)
    if not isinstance(symbol, Symbol):
        return a is b
    if constant is None:
        return is_none(symbol)
    if symbol.kind == "bool" and isinstance(constant, bool):
        return symbol if constant else negate(symbol)
    raise Unsupported(f"`is` between {described(a)} and {described(b)}")


def is_in(item: Any, container: Any) -> Any:
    """Return ``item in container``: a text in a text, anything in a list, a set or a constant collection."""
    if kind_of(container) == "str":
        return _is_part(item, container)
    if isinstance(container, Symbol):
        return _is_item(item, container)
    if type(container) not in (list, tuple, set, frozenset, dict, range):
        raise Unsupported(f"`in` {described(container)}")
    if kind_of(item) == "str":
        if not all(type(other) in (str, int, float, bool, type(None), tuple) for other in container):
            raise Unsupported("`in` a collection that holds more than texts and numbers")
        return search(item, "all", [other for other in container if type(other) is str])
    return is_one_of(item, list(container))


def is_one_of(item: Any, values: list[Any]) -> Any:
    """Return the truth that an item equals one of the values, which are compared in order."""
    result: Any = false_of(item) if isinstance(item, Symbol) else False
    for value in reversed(values):
        result = either(compare("==", item, value), result)
    return result


def _is_part(part: Any, text: Any) -> Any:
    if kind_of(part) != "str":
        raise Unsupported(f"{described(part)} `in` a text")
    if not isinstance(part, Symbol):
        return search(text, "in", [part])
    whole = lift(text)
    return strictly(made("bool", whole.expr.str.contains(part.expr, literal=True), whole, part), (whole, part))


def _is_item(item: Any, items: Symbol) -> Any:
    if items.item is None or items.item.kind != "str" or kind_of(item) != "str":
        raise Unsupported(f"`in` {described(items)}")
    if not isinstance(item, Symbol):
        return has_any(items, [item])
    return strictly(made("bool", items.expr.list.contains(item.expr), items, item), (items, item))
