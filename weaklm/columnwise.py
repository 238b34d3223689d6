"""Functions that vote on whole columns at once: declared as an expression, or compiled from their source.

An expression leaves a row undecided (null) where only the Python function can tell; the caller asks it there. Every
expression is first compared with its function on a sample of rows: it is never trusted for speed alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.code import all_known_reads, is_plain
from weaklm.data import HUMAN_LABEL, UNDECIDED
from weaklm.voting import Votes
from weaklm.wordkeys import forget

if TYPE_CHECKING:
    import polars as pl

Columns = Mapping[str, Sequence[Any]]

_ROW = "\0row"  # no column of a frame is named so
_CHUNK = 8_192  # rows; the texts of a chunk are copied for polars, so that this bounds the memory
_HEAD = 1000  # rows, spread over the frame, from which that sample is taken
_SAMPLE = 100  # rows on which an expression is compared with its function,
_PER_VALUE = 10  # and as many more for each vote that the expression casts


@dataclass(frozen=True)
class Route:
    """How a function runs: by an expression over columns, or row by row and why."""

    how: str  # "columns", "compiled", "batch", "rows" or "rows: ..."
    expression: "pl.Expr | None" = None


def routes(functions: Sequence[Any], frame: pd.DataFrame, ask: Callable[[int, Columns], Votes]) -> list[Route]:
    """Return how each function is to run on a complete frame; expressions that fail their check are not taken.

    ``ask(number, columns)`` gives the votes of that one of the functions on rows, row by row.
    """
    schema = _schema(frame)
    planned = [_planned(function, schema) for function in functions]
    places = np.unique(np.linspace(0, len(frame) - 1, _HEAD).astype(int)) if len(frame) else np.array([], dtype=int)
    head = _Head(frame.iloc[places], planned)
    return [
        route if route.expression is None or frame.empty else head.verified(function, route, partial(ask, number))
        for number, (function, route) in enumerate(zip(functions, planned, strict=True))
    ]


def evaluate(expressions: Sequence["pl.Expr"], frame: pd.DataFrame) -> Iterator[tuple[slice, NDArray[np.int8]]]:
    """Yield for one chunk of rows after the other the votes of shape (n_rows, n_expressions), int8; -2 undecided."""
    try:
        for start in range(0, len(frame), _CHUNK):
            chunk = slice(start, min(start + _CHUNK, len(frame)))
            yield chunk, _evaluate(expressions, frame.iloc[chunk])
    finally:
        forget()


def _planned(function: Any, schema: Mapping[str, "pl.DataType"]) -> Route:
    if getattr(function, "batch", False):
        return Route("batch")
    if not is_plain(function):
        return Route("rows: its class has a call of its own")
    if (declared := getattr(function, "expression", None)) is not None:
        expression = declared()
        lacking = set(expression.meta.root_names()).difference(schema)
        if lacking:
            return Route(f"rows: column {min(lacking)!r} holds values of several types")
        return Route("columns", expression)
    if why := getattr(function, "why_rows", ""):
        return Route(f"rows: {why}")
    if not getattr(function, "compile", True):
        return Route("rows: compile=False")
    from weaklm.compiler import compile_function

    compiled = compile_function(function, schema)
    return (
        Route("compiled", compiled.expression) if compiled.expression is not None else Route(f"rows: {compiled.reason}")
    )


class _Head:
    """Some rows of a frame, on which expressions are compared with their functions."""

    def __init__(self, frame: pd.DataFrame, planned: Sequence[Route]) -> None:
        import polars as pl

        self._frame = frame
        expressions = [route.expression for route in planned if route.expression is not None]
        self._votes: dict[int, NDArray[np.int8]] = {}
        if len(frame) and expressions:
            try:
                votes = _evaluate(expressions, frame)
                self._votes = {id(e): column for e, column in zip(expressions, votes.T, strict=True)}
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
                pass  # one of them; each will say so when it is alone

    def verified(self, function: Any, route: Route, ask: Callable[[Columns], Votes]) -> Route:
        """Return the route if its expression agrees with the function, else rows."""
        import polars as pl

        assert route.expression is not None
        try:
            votes = (
                self._votes[id(route.expression)] if self._votes else _evaluate([route.expression], self._frame)[:, 0]
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            return Route(f"rows: its columns cannot be computed ({type(error).__name__}: {str(error)[:80]})")
        sample = set(range(0, len(votes), max(1, len(votes) // _SAMPLE)))
        for value in np.unique(votes):
            sample.update(np.flatnonzero(votes == value)[:_PER_VALUE].tolist())
        rows = np.array([row for row in sorted(sample) if votes[row] != UNDECIDED], dtype=int)
        if not len(rows):
            return route
        asked = ask(row_columns([function], self._frame.iloc[rows]))
        wrong = asked.values[:, 0] != votes[rows]
        wrong[[failure.row for failure in asked.failures]] = True  # it could not tell, so neither should columns
        if wrong.any():
            example = self._frame["id"].iloc[rows[np.argmax(wrong)]]
            return Route(f"rows: on columns it said something else of example {example!r}")
        return route


def row_columns(functions: Sequence[Any], frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns that the functions may look at as lists, and the ids."""
    read = all_known_reads(functions)
    visible = [column for column in frame.columns if column != HUMAN_LABEL]
    return {c: frame[c].tolist() for c in visible if read is None or c in read or c == "id"}


def _schema(frame: pd.DataFrame) -> dict[str, "pl.DataType"]:
    """Return the polars type of each column that polars can hold as functions see it."""
    import polars as pl

    types: dict[str, pl.DataType] = {}
    numbers = {"b": pl.Boolean(), "i": pl.Int64(), "f": pl.Float64()}
    for column in frame.columns:
        dtype = frame[column].dtype
        if column == HUMAN_LABEL:
            continue
        if isinstance(dtype, np.dtype) and dtype.kind in numbers:
            types[column] = numbers[dtype.kind]
        elif pd.api.types.infer_dtype(frame[column], skipna=True) == "string":
            types[column] = pl.String()
    return types


def _evaluate(expressions: Sequence["pl.Expr"], frame: pd.DataFrame) -> NDArray[np.int8]:
    """Return the votes of shape (n_rows, n_expressions), int8; -2 where only the function can tell."""
    import polars as pl

    columns = sorted({name for expression in expressions for name in expression.meta.root_names()})
    series, unfit = {}, {}
    for column in columns:
        series[column], unfit[column] = _series(frame[column])
    named = [expression.cast(pl.Int8).fill_null(UNDECIDED).alias(str(i)) for i, expression in enumerate(expressions)]
    # A constant function gives one value for all rows; the row number makes it as long as the others.
    table = pl.DataFrame(series | {_ROW: np.arange(len(frame))})
    votes = table.lazy().select(pl.col(_ROW), *named).collect().drop(_ROW).to_numpy().astype(np.int8)
    for number, expression in enumerate(expressions):
        for column in expression.meta.root_names():
            votes[unfit[column], number] = UNDECIDED
    return votes


def _series(values: pd.Series) -> tuple["pl.Series", NDArray[np.bool_]]:
    """Return a column for polars, and the rows that it cannot hold: no text at all, or half a character."""
    import polars as pl

    if isinstance(values.dtype, np.dtype) and values.dtype.kind in _WIDEST:
        return pl.Series(values.to_numpy().astype(_WIDEST[values.dtype.kind])), np.zeros(len(values), dtype=bool)
    unfit = values.isna().to_numpy()
    texts = values.tolist() if not unfit.any() else values.where(~unfit, "").tolist()
    try:
        return pl.Series(texts, dtype=pl.String), unfit
    except UnicodeEncodeError:
        unfit = unfit | np.array([not _is_encodable(text) for text in texts])
        return pl.Series(["" if is_unfit else text for text, is_unfit in zip(texts, unfit, strict=True)]), unfit


_WIDEST = {"b": bool, "i": np.int64, "f": np.float64}


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
