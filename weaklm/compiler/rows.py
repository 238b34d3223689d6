"""The example that a function is given, and its columns."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from weaklm.compiler.symbols import FLOAT_LIMIT, Symbol, Unsupported
from weaklm.data import HUMAN_LABEL


class Row:
    """The example that a function is given, with what preprocessors have added, and what they fail without."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._schema = schema
        self.added: dict[str, Any] = {}
        self.needs: list[Symbol] = []

    def column(self, name: str) -> Any:
        """Return a column of the example."""
        if name in self.added:
            return self.added[name]
        if name == HUMAN_LABEL or name.startswith("__"):
            raise Unsupported(f"{name!r}, which functions never see")
        if name not in self._schema:
            raise Unsupported(f"column {name!r}, which no row has or polars cannot hold")
        return _column(name, self._schema[name])


def _column(name: str, dtype: pl.DataType) -> Symbol:
    if name == "*" or name.startswith("^"):
        raise Unsupported(f"column {name!r}, whose name polars takes for a pattern")
    column = pl.col(name)
    if dtype == pl.String:
        return Symbol("str", column, columns=frozenset([name]))
    if dtype == pl.Boolean:
        return Symbol("bool", column, certain=False, limit=1)
    if dtype.is_integer():
        is_safe = column.is_between(-FLOAT_LIMIT, FLOAT_LIMIT)
        return Symbol("int", pl.when(is_safe).then(column.cast(pl.Int64, strict=False)), False, limit=FLOAT_LIMIT)
    if dtype.is_float():
        return Symbol("float", pl.when(column.is_not_nan()).then(column.cast(pl.Float64)), False)
    raise Unsupported(f"column {name!r} of type {dtype}")
