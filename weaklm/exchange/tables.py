"""Tables: CSV and Parquet with every column, and the way back to the same types.

CSV has texts only. What a cell's text does not say (that it was a number, missing, a list) stands in one more column,
``weaklm``, which is there only where something needs it. Parquet has types; the few that it does not keep are noted in
the file's schema.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from weaklm.data import read_file
from weaklm.errors import DataError
from weaklm.exchange.cells import NOTE, column_json, dumps, from_json, is_missing, restored, schema
from weaklm.exchange.rows import read_note

# What a spreadsheet may run: a formula's first character, behind any apostrophes that were there before.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 (full-width signs count as well)


def write_csv(frame: pd.DataFrame, path: Path, *, spreadsheet_safe: bool = False, lossless: bool = True) -> None:
    """Write every column of a frame to a CSV file in UTF-8; texts are quoted, so that "" is not a missing value."""
    if NOTE in frame.columns:
        raise DataError(f"the frame has a column {NOTE!r}, the name of the one that restores types; rename it")
    cells = {str(column): column_json(frame, column) for column in frame.columns if not _is_text(frame[column])}
    dtypes = {column: dtype for column, dtype in schema(frame, ()).items() if dtype != "object"}
    shown = frame.assign(**{c: _shown(frame[c], values) for c, values in cells.items()})
    if lossless and (cells or dtypes or spreadsheet_safe):
        loose = {c: values for c, values in cells.items() if frame[c].dtype.kind not in "biufM"}
        notes = _csv_notes(frame, loose, {"dtypes": dtypes} | ({"safe": True} if spreadsheet_safe else {}))
        shown = shown.assign(**{NOTE: notes})
    if spreadsheet_safe:
        shown = shown.map(_defused).set_axis([_defused(column) for column in shown.columns], axis=1)
    # All quoted: readers then keep a lone carriage return and tell an empty text from a missing value.
    shown.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file as a frame: with the types it was written with, or all texts where it is of other hands."""
    frame = read_file(path)
    if NOTE not in frame.columns:
        return frame
    notes = [_csv_note(text, row, path) for row, text in enumerate(frame.pop(NOTE).tolist())]
    if any(note.get("safe") for note in notes):
        frame = frame.map(_armed).set_axis([_armed(column) for column in frame.columns], axis=1)
    dtypes: dict[str, Any] = {}
    for note in notes:
        dtypes |= note.get("dtypes", {})
    cells = [note.get("cells", {}) for note in notes]
    for column in frame.columns:
        dtype = dtypes.get(column, "object")
        frame[column] = restored(_cells(frame[column].tolist(), column, cells, dtype), dtype, column)
    return frame


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame to a Parquet file; DataError where a column mixes types."""
    try:
        frame.to_parquet(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise DataError(f"the frame cannot be written as Parquet: {error}. Give each column one type.") from error


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame to a Parquet file from which :func:`read_parquet` restores it."""
    table, note = to_arrow(frame)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), NOTE: dumps(note)}), path)


def read_parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet file as a frame: the very one that was written, or what pandas makes of one of other hands."""
    if not path.is_file() or path.stat().st_size == 0:
        return read_file(path)
    try:
        noted = (pq.read_schema(path).metadata or {}).get(NOTE.encode())
        if noted is None:
            return read_file(path)
        return from_arrow(pq.read_table(path), read_note(noted.decode()))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as .parquet: {str(error).strip()}") from error


def to_arrow(frame: pd.DataFrame) -> tuple[Any, dict[str, Any]]:
    """Return a frame as an Arrow table, and the note that :func:`from_arrow` restores it with.

    Objects, to which Arrow would give the keys of all others, and lists of mixed values are JSON texts in the table.
    """
    columns = {str(c): frame[c].map(lambda v: None if is_missing(v) else v) for c in frame if frame[c].dtype == object}
    nested = {column: column_json(frame, column) for column, series in columns.items() if _is_nested(series)}
    as_text = [column for column, values in nested.items() if not _keeps(values)]
    columns |= {c: pd.Series([None if v is None else dumps(v) for v in nested[c]], dtype=object) for c in as_text}
    note = {"dtypes": schema(frame, ()), "json": as_text}
    try:
        return pa.Table.from_pandas(frame.assign(**columns), preserve_index=False), note
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise DataError(f"the frame cannot be written as Parquet: {error}. Give each column one type.") from error


def from_arrow(table: Any, note: Mapping[str, Any]) -> pd.DataFrame:
    """Return the frame that a table and its note were made of."""
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        if name in note.get("json", ()):
            values = [None if value is None else from_json(json.loads(value)) for value in values]
        dtype = note.get("dtypes", {}).get(name)
        columns[name] = pd.Series(values, dtype=object) if dtype == "object" else restored(values, dtype, name)
    return pd.DataFrame(columns, index=range(table.num_rows))


def _is_text(series: pd.Series) -> bool:
    return pd.api.types.infer_dtype(series, skipna=False) == "string" and not series.hasnans


def _is_nested(series: pd.Series) -> bool:
    return any(isinstance(value, list | tuple | dict | set) or hasattr(value, "tolist") for value in series)


def _keeps(values: Sequence[Any]) -> bool:
    """Tell whether Arrow gives back the very values: lists of one type, without objects."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return False
    return "struct<" not in str(array.type) and dumps(array.to_pylist()) == dumps(values)


def _shown(series: pd.Series, values: Sequence[Any]) -> pd.Series:
    """Return the cells that people see in a CSV: numbers as they are, all else as text."""
    if series.dtype.kind in "biuf":
        return series
    return pd.Series([_cell_text(value) for value in values], index=series.index, dtype=object)


def _cell_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1 and (tag := next(iter(value))).startswith("$") and tag != "$object":
        return str(value[tag])
    return dumps(value) if isinstance(value, dict | list) else str(value)


def _csv_notes(frame: pd.DataFrame, loose: Mapping[str, Sequence[Any]], about: dict[str, Any]) -> list[str]:
    rows = ({c: values[row] for c, values in loose.items()} for row in range(len(frame)))
    return [dumps(about | {"cells": {c: v for c, v in cells.items() if not isinstance(v, str)}}) for cells in rows]


def _csv_note(text: str, row: int, path: Path) -> dict[str, Any]:
    try:
        return read_note(text)
    except DataError as error:
        raise DataError(f"{path}, row {row}: {error}") from error


def _cells(texts: Sequence[str], column: str, cells: Sequence[Mapping[str, Any]], dtype: Any) -> list[Any]:
    """Return the cells of a column as plain JSON: each as it was, unless its text was changed since."""
    kind = pd.api.types.pandas_dtype(dtype).kind if isinstance(dtype, str) else "O"
    parse = {"b": _truth, "i": _number, "u": _number, "f": _number}.get(kind, str)
    if kind in "biufM":
        return [parse(text) if text else None for text in texts]
    return [
        noted[column] if column in noted and (_cell_text(noted[column]) or "") == text else text
        for text, noted in zip(texts, cells, strict=True)
    ]


def _truth(text: str) -> Any:
    return {"true": True, "false": False}.get(text.lower(), text)


def _number(text: str) -> Any:
    """Return the number that a text is, or the text, of which the column then says that it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _armed(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value
