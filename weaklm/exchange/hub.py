"""Frames as ``datasets.Dataset``, and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from weaklm.errors import DataError, MissingExtraError
from weaklm.exchange.cells import NOTE, dumps
from weaklm.exchange.rows import Form, Read, from_rows, read_note
from weaklm.exchange.tables import from_arrow, to_arrow

if TYPE_CHECKING:
    from datasets import Dataset


def dataset_of_rows(rows: list[dict[str, Any]]) -> "Dataset":
    """Return rows of JSON as a data set."""
    return _datasets().Dataset.from_list(rows)


def dataset_of_columns(frame: pd.DataFrame, *, lossless: bool = True) -> "Dataset":
    """Return every column of a frame as a data set; what restores the frame stands in one more column."""
    if NOTE in frame.columns:
        raise DataError(f"the frame has a column {NOTE!r}, the name of the one that restores types; rename it")
    datasets = _datasets()
    table, note = to_arrow(frame)
    table = table.replace_schema_metadata(None)
    if lossless:
        table = table.append_column(NOTE, [[dumps(note)] * table.num_rows])
    return datasets.Dataset(datasets.table.InMemoryTable(table))


def format_of(dataset: "Dataset") -> str | None:
    """Return the format that weaklm gave a data set; None for plain columns, and those of other hands."""
    if NOTE not in dataset.column_names or not len(dataset):
        return None
    return read_note(dataset[0][NOTE]).get("format")


def frame_of_rows(dataset: "Dataset", form: Form, fields: Mapping[str, str] | None) -> Read:
    """Return the frame of a data set whose rows are of a form."""
    return from_rows(_without_nulls(dataset), form, "the data set", fields)


def frame_of_columns(dataset: "Dataset") -> pd.DataFrame:
    """Return the columns of a data set as a frame."""
    table = dataset.with_format("arrow")[:].replace_schema_metadata(None)
    if NOTE not in table.column_names:
        return table.to_pandas()
    notes = [read_note(text) for text in table.column(NOTE).unique().to_pylist()]
    merged = {
        "dtypes": {c: d for note in reversed(notes) for c, d in note.get("dtypes", {}).items()},
        "json": [c for note in notes for c in note.get("json", ())],
    }
    return from_arrow(table.drop_columns([NOTE]), merged)


def _without_nulls(dataset: "Dataset") -> list[dict[str, Any]]:
    """Return the rows without the fields that a row lacks and others have: a data set fills them with None."""
    return [{key: value for key, value in row.items() if value is not None} for row in dataset.to_list()]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets.Dataset", "hf") from error
    return datasets
