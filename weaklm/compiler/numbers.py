"""Arithmetic: whole numbers stay in 64 bits, no float is rounded or "not a number", and a division by zero is null."""

import math
from dataclasses import replace
from typing import Any

import polars as pl

from weaklm.compiler.symbols import (
    FLOAT_LIMIT,
    INT_LIMIT,
    NOTHING,
    Sum,
    Symbol,
    Unsupported,
    described,
    lift,
    made,
)

NUMBERS = {"bool", "int", "float"}  # kinds
_FINITE = 1e300


def as_int(value: Any) -> Symbol:
    """Return a symbol of kind int for one of kind int or bool."""
    symbol = lift(value)
    if symbol.kind == "bool":
        return made("int", symbol.expr.cast(pl.Int64), symbol, limit=1)
    if symbol.kind not in ("int", "null"):
        raise Unsupported(f"{described(value)} in the place of a whole number")
    return symbol


def as_float(value: Any) -> Symbol:
    """Return a symbol of kind float for any number that a float holds without rounding."""
    symbol = lift(value)
    if symbol.kind in ("float", "null"):
        return symbol
    symbol = as_int(symbol)
    if symbol.limit > FLOAT_LIMIT:
        raise Unsupported("a whole number that may be too large for a float")
    return made("float", symbol.expr.cast(pl.Float64), symbol, limit=symbol.limit)


def as_numbers(a: Any, b: Any) -> tuple[Symbol, Symbol]:
    """Return two numbers of one kind, int or float."""
    symbols = lift(a), lift(b)
    for symbol, value in zip(symbols, (a, b), strict=True):
        if symbol.kind not in NUMBERS | {"null"}:
            raise Unsupported(f"{described(value)} in the place of a number")
    convert = as_float if "float" in (symbols[0].kind, symbols[1].kind) else as_int
    return convert(symbols[0]), convert(symbols[1])


def within(limit: float) -> float:
    """Return the limit of a whole number, or refuse: it may be too large for 64 bits."""
    if not limit < INT_LIMIT:
        raise Unsupported("whole numbers that may be too large for 64 bits")
    return limit


def _number(expr: pl.Expr, a: Symbol, b: Symbol, limit: float, **known: Any) -> Symbol:
    if NOTHING in (a, b):
        return NOTHING
    if a.kind == "int":
        return made("int", expr, a, b, limit=within(limit), **known)
    if limit < _FINITE:
        return made("float", expr, a, b, limit=limit, **known)
    return made("float", pl.when(expr.is_not_nan()).then(expr), a, b, certain=False)


def add(a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    origin = None if isinstance(b, Symbol) else Sum(a, b)
    a, b = as_numbers(a, b)
    return _number(a.expr + b.expr, a, b, a.limit + b.limit, origin=origin)


def subtract(a: Any, b: Any) -> Any:
    """Return ``a - b``."""
    a, b = as_numbers(a, b)
    return _number(a.expr - b.expr, a, b, a.limit + b.limit)


def multiply(a: Any, b: Any) -> Any:
    """Return ``a * b``."""
    a, b = as_numbers(a, b)
    limit = a.limit * b.limit
    return _number(a.expr * b.expr, a, b, math.inf if math.isnan(limit) else limit)


def power(a: Any, b: Any) -> Any:
    """Return ``a ** 2``."""
    if isinstance(b, Symbol) or b != 2:
        raise Unsupported("a power other than 2")
    square = multiply(a, a)
    if square.kind == "float" and not square.limit < _FINITE:  # Python raises where it is too large
        return replace(square, expr=pl.when(square.expr.is_finite()).then(square.expr), certain=False)
    return square


def divide(a: Any, b: Any) -> Any:
    """Return ``a / b``, null where b is zero."""
    limit = lift(a).limit if as_numbers(a, b)[1].kind == "int" else math.inf
    return _divided("truediv", as_float(a), as_float(b), b, limit)


def floor_divide(a: Any, b: Any) -> Any:
    """Return ``a // b`` of whole numbers, null where b is zero."""
    return _divided("floordiv", as_int(a), as_int(b), b, lift(a).limit)


def remainder(a: Any, b: Any) -> Any:
    """Return ``a % b`` of whole numbers, null where b is zero."""
    return _divided("mod", as_int(a), as_int(b), b, lift(b).limit)


def _divided(method: str, a: Symbol, b: Symbol, divisor: Any, limit: float) -> Symbol:
    if not isinstance(divisor, Symbol):
        return _number(getattr(a.expr, method)(b.expr), a, b, limit) if divisor != 0 else NOTHING
    zero: Any = 0 if b.kind == "int" else 0.0
    symbol = _number(getattr(a.expr, method)(b.expr.replace(zero, None)), a, b, limit)
    return replace(symbol, certain=False)


def minus(value: Any) -> Any:
    """Return ``-value``."""
    return multiply(value, -1)


def plus(value: Any) -> Any:
    """Return ``+value``."""
    return multiply(value, 1)


def absolute(value: Any) -> Any:
    """Return ``abs(value)``."""
    number, _ = as_numbers(value, 0)
    return made(number.kind, number.expr.abs(), number, limit=number.limit)
