"""Values that differ from row to row, as polars expressions.

A function that is compiled runs once, on symbols in the place of values. One rule makes the columns right: a symbol is
null on the rows where Python would raise, or where only Python can tell. Null goes on through every operation, and
every operation keeps it only where Python would get to it: in ``a and b``, what ``b`` does counts where ``a`` is true.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

TEXT_LIMIT = 2**31 - 1  # no text is longer, so that lengths and counts can be multiplied in 64 bits
INT_LIMIT = 2**62
FLOAT_LIMIT = 2**53  # an integer up to here is a float without rounding
_SIZE_LIMIT = 800  # of an expression, in operations: polars plans deep ones in quadratic time


class Unsupported(Exception):  # noqa: N818 (a finding, no mistake)
    """A function, or a part of it, cannot run on columns; the message says why, and inside which other function."""

    def __init__(self, why: str, inside: str = "") -> None:
        super().__init__(f"in {inside}: {why}" if inside else why)
        self.why, self.inside = why, inside


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value that differs from row to row.

    ``kind`` is bool, int, float, str, list, set or iterator (of such), match (of a pattern, or None) or null (known on
    no row).
    """

    kind: str
    expr: pl.Expr  # null where only Python can tell
    certain: bool = True  # never null
    columns: frozenset[str] = frozenset()  # what a text, or the texts of a list, is a part of, or in small letters
    guards: frozenset[tuple[str, str]] = frozenset()  # (what must hold, of which column) for it to be right
    limit: float = math.inf  # a number is never further from zero
    item: "Symbol | None" = None  # what a list or set holds; None: nothing but its size is known
    inner: bool = False  # it belongs to an item of a list, not to a row
    size: int = 1  # operations in the expression
    origin: Any = None  # how it was made, for operations that know a shorter way from there


NOTHING = Symbol("null", pl.lit(None), certain=False)  # what raises
ITEM = Symbol("str", pl.element(), inner=True)  # a text in a list
MATCH = Symbol("match", pl.element().is_not_null(), inner=True)  # in a list of matches; true


def made(kind: str, expr: pl.Expr, *parts: Any, certain: bool = True, **known: Any) -> Symbol:
    """Return the symbol of an operation on others: null where a part is null, right where the parts are right."""
    symbols = [part for part in parts if isinstance(part, Symbol)]
    if len({symbol.inner for symbol in symbols}) > 1:
        raise Unsupported("the items of a list together with other columns")
    if (size := 1 + sum(symbol.size for symbol in symbols)) > _SIZE_LIMIT:
        raise Unsupported("too many steps for one expression")
    return Symbol(
        kind,
        expr,
        certain=certain and all(symbol.certain for symbol in symbols),
        guards=frozenset[tuple[str, str]]().union(*(symbol.guards for symbol in symbols)),
        inner=any(symbol.inner for symbol in symbols),
        size=size,
        **known,
    )


def strictly(symbol: Symbol, parts: Iterable[Any]) -> Symbol:
    """Return the symbol, null where one of the parts is: Python computes them all."""
    doubtful = [part for part in parts if isinstance(part, Symbol) and not part.certain]
    if not doubtful:
        return symbol
    known = pl.all_horizontal([part.expr.is_not_null() for part in doubtful])
    expr = pl.when(known).then(symbol.expr)
    return made(
        symbol.kind,
        expr,
        symbol,
        *doubtful,
        columns=symbol.columns,
        limit=symbol.limit,
        item=symbol.item,
    )


def false_of(value: Symbol) -> Any:
    """Return False, null where the value is."""
    return strictly(lift(False), [value]) if not value.certain else False


def lift(value: Any) -> Symbol:
    """Return a constant as a symbol; a symbol as it is."""
    if isinstance(value, Symbol):
        return value
    if type(value) is bool:
        return Symbol("bool", pl.lit(value), limit=1)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < INT_LIMIT:
        return Symbol("int", pl.lit(int(value), dtype=pl.Int64), limit=abs(int(value)))
    if isinstance(value, float) and not math.isnan(value):
        return Symbol("float", pl.lit(float(value), dtype=pl.Float64), limit=abs(value))
    if type(value) is str and storable(value):
        return Symbol("str", pl.lit(value, dtype=pl.String))
    raise Unsupported(f"{described(value)} beside a column")


def storable(text: str) -> bool:
    """Tell whether a column can hold a text: no half of a character."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def kind_of(value: Any) -> str:
    """Return the kind of a symbol, or the name of the type of a constant, which is the same where they are alike."""
    return value.kind if isinstance(value, Symbol) else type(value).__name__


def described(value: Any) -> str:
    """Return a value as the reason why something cannot be compiled speaks of it."""
    return f"a {value.kind} of the row" if isinstance(value, Symbol) else f"the constant {value!r:.40}"


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are surely one: the same object, or equal constants of one type."""
    return a is b or (type(a) is type(b) and isinstance(a, bool | int | float | str) and a == b)


def equal(a: Symbol, b: Symbol) -> bool:
    """Tell whether two symbols are the same expression."""
    return a is b or a.expr.meta.eq(b.expr)


# Origins: how a symbol was made


@dataclass(frozen=True, eq=False)
class Lowered:
    """``text.lower()``."""

    text: Symbol


@dataclass(frozen=True, eq=False)
class Split:
    """``text.split()``, or a set of it."""

    text: Symbol


@dataclass(frozen=True, eq=False)
class Matches:
    """``re.findall(pattern, text)``; the pattern is in the dialect of polars."""

    text: Symbol
    pattern: str


@dataclass(frozen=True, eq=False)
class Mapped:
    """``[value for item in items]``."""

    items: Symbol
    value: Any


@dataclass(frozen=True, eq=False)
class Sum:
    """``before + added``, for a constant number."""

    before: Any
    added: Any


@dataclass(frozen=True, eq=False)
class Choice:
    """``yes if test else no``."""

    test: Symbol
    yes: Any
    no: Any


@dataclass(frozen=True, eq=False)
class Search:
    """The truth that one of some constant texts stands at a place of a text: a key of ``searches.PLACES``."""

    text: Symbol
    place: str
    needles: tuple[str, ...]
