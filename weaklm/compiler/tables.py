"""Which of Python's functions, methods and operators have an equal on columns.

An entry is called like what it stands for, with symbols in the place of some arguments. What a table lacks, or an
entry refuses with ``Unsupported``, runs row by row.
"""

import ast
import inspect
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weaklm.compiler import regexes, texts
from weaklm.compiler.collections import Characters, Items, all_of, any_of, extreme, len_of, sum_of, truth_of
from weaklm.compiler.constants import constant, is_plain, python
from weaklm.compiler.lists import as_set, combine_sets, is_filled
from weaklm.compiler.logic import bitwise, negate
from weaklm.compiler.numbers import (
    absolute,
    add,
    as_float,
    as_int,
    divide,
    floor_divide,
    minus,
    multiply,
    plus,
    power,
    remainder,
    subtract,
)
from weaklm.compiler.searches import spaced, text_of_words
from weaklm.compiler.symbols import Symbol, Unsupported, described, kind_of, lift, made, strictly

# Functions


def _is_instance(value: Any, kinds: Any) -> Any:
    if kind_of(value) != "str":
        raise Unsupported(f"the type of {described(value)}")
    return strictly(lift(isinstance("", constant(kinds, (type, tuple), "a type"))), [value])


def _str(value: Any) -> Symbol:
    if kind_of(value) != "str":
        raise Unsupported(f"the text of {described(value)}")
    return value


def _list(value: Any) -> Any:
    if isinstance(value, Items):
        return replace(value, is_lazy=False)
    if kind_of(value) not in ("list", "iterator"):
        raise Unsupported(f"a list of {described(value)}")
    return replace(value, kind="list")


def _set(value: Any) -> Symbol:
    if kind_of(value) not in ("list", "set"):
        raise Unsupported(f"a set of {described(value)}")
    return as_set(value)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    len: len_of,
    any: any_of,
    all: all_of,
    sum: sum_of,
    min: extreme("<", "min"),
    max: extreme(">", "max"),
    abs: absolute,
    bool: truth_of,
    int: as_int,
    float: as_float,
    str: _str,
    list: _list,
    set: _set,
    frozenset: _set,
    isinstance: _is_instance,
    **regexes.FUNCTIONS,
}
_OF_COLLECTIONS = {len, any, all, sum, min, max, bool, list}
_KEYWORDS = {"default", "sep", "pattern", "string", "repl", "count", "flags"}  # other arguments have no name in Python

# Methods


def _set_method(name: str) -> Callable[[Any, Any], Symbol]:
    def combined(own: Any, other: Any) -> Symbol:
        sides = [
            as_set(side) if kind_of(side) == "list" and isinstance(side, Symbol) else side for side in (own, other)
        ]
        return combine_sets(name, *(set(side) if isinstance(side, list | tuple | dict) else side for side in sides))

    return combined


def _is_disjoint(own: Any, other: Any) -> Any:
    return negate(is_filled(_set_method("set_intersection")(own, other)))


def _join(separator: str, items: Any) -> Symbol:
    if not isinstance(items, Symbol) or items.kind != "list" or items.item is None or items.item.kind != "str":
        raise Unsupported(f"a join of {described(items)}")
    if separator == " " and (text := text_of_words(items)) is not None:
        return spaced(text)
    return made("str", items.expr.list.join(constant(separator, str, "a separator")), items)


_SET_METHODS: dict[str, Callable[..., Any]] = {
    "intersection": _set_method("set_intersection"),
    "union": _set_method("set_union"),
    "difference": _set_method("set_difference"),
    "isdisjoint": _is_disjoint,
}
_METHODS = {"str": texts.METHODS, "set": _SET_METHODS}  # of a symbol of that kind
_CONSTANT_METHODS: dict[type, dict[str, Callable[..., Any]]] = {  # of a constant, given a symbol
    str: {"join": _join},
    set: _SET_METHODS,
    frozenset: _SET_METHODS,
    re.Pattern: regexes.METHODS,
}


def translated(entry: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
    """Return what the entry of a function or method makes of arguments, some of which differ from row to row."""
    if any(isinstance(arg, Items | Characters) for arg in args) and entry not in map(FUNCTIONS.get, _OF_COLLECTIONS):
        raise Unsupported(f"{name} with a collection")
    try:
        inspect.signature(entry).bind(*args, **kwargs)
        if not _KEYWORDS.issuperset(kwargs):
            raise TypeError
    except TypeError as error:
        raise Unsupported(f"these arguments of {name}") from error
    return entry(*args, **kwargs)


def method_of(value: Any, name: str) -> Callable[..., Any] | None:
    """Return the entry for a method of a symbol, or of a constant that is given a symbol."""
    methods = _METHODS.get(value.kind, {}) if isinstance(value, Symbol) else _CONSTANT_METHODS.get(type(value), {})
    return methods.get(name)


# Operators


def _add(a: Any, b: Any) -> Any:
    return texts.join_texts(a, b) if kind_of(a) == kind_of(b) == "str" else add(a, b)


def _subtract(a: Any, b: Any) -> Any:
    return combine_sets("set_difference", a, b) if "set" in (kind_of(a), kind_of(b)) else subtract(a, b)


_OPERATORS: dict[type[ast.AST], tuple[Callable[..., Any], Callable[..., Any]]] = {  # of constants, of symbols
    ast.Add: (operator.add, _add),
    ast.Sub: (operator.sub, _subtract),
    ast.Mult: (operator.mul, multiply),
    ast.Div: (operator.truediv, divide),
    ast.FloorDiv: (operator.floordiv, floor_divide),
    ast.Mod: (operator.mod, remainder),
    ast.Pow: (operator.pow, power),
    ast.BitAnd: (operator.and_, bitwise("&")),
    ast.BitOr: (operator.or_, bitwise("|")),
    ast.USub: (operator.neg, minus),
    ast.UAdd: (operator.pos, plus),
}


def operated(sign: ast.AST, *values: Any) -> Any:
    """Return what an operator makes of values."""
    if type(sign) not in _OPERATORS or any(isinstance(value, Items | Characters) for value in values):
        raise Unsupported(f"the operator {type(sign).__name__}")
    of_constants, of_symbols = _OPERATORS[type(sign)]
    if any(isinstance(value, Symbol) for value in values):
        return of_symbols(*values)
    if not all(map(is_plain, values)):
        raise Unsupported(f"the operator {type(sign).__name__} between objects")
    return python(of_constants, *values)
