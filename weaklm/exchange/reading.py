"""Read: the files and data sets of other tools as frames, and those that export wrote as the frames they were."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from weaklm import data as examples
from weaklm.data import read_file
from weaklm.errors import DataError
from weaklm.exchange import hub, tools
from weaklm.exchange.cells import NOTE, check_text, is_missing
from weaklm.exchange.formats import BY_ENDING, FORMS, known, recognised, recognised_keys
from weaklm.exchange.paths import read_from
from weaklm.exchange.preference import checked_pairs, is_pairs
from weaklm.exchange.rows import Read, from_rows
from weaklm.exchange.tables import read_csv, read_parquet

if TYPE_CHECKING:
    from datasets import Dataset


def read(
    path: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    format: str | None = None,
    fields: Mapping[str, str] | None = None,
    source: str | None = None,
    split: str | None = None,
    keep: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the examples of a file in any format of :func:`export`, or of a frame, with every standard column.

    A file that ``export`` wrote comes back as the frame that it was, whatever its format; ``format="dpo"`` gives pairs.
    From other files in a chat format the last question becomes the instruction, what was said before it the context,
    the system message the prompt prefix. ``result.attrs["dropped"]`` counts rows that are left out, by reason: those
    that repeat an earlier row, and chats that are no question with its answer.

    Parameters
    ----------
    path
        A file: .csv, .parquet, .jsonl (one object a line) or .json (one array); ``s3://`` and the like go through
        fsspec. Or a DataFrame.
    columns
        Standard name -> the file's name of the column, for those that differ:
        ``{"instruction": "questions", "human_label": "expert"}``.
    format
        One of the formats of :func:`export`. None: what the file's rows look like; rows with an instruction and a
        response are examples as they are.
    fields
        The format's field -> its name in the file, where they differ.
    source, split
        Written to every row. Without them the file's own columns are used, if it has them.
    keep
        Names of further columns to keep. None keeps all: name them when the file holds scores or labels
        that no function should see.

    Raises
    ------
    DataError
        Names the file, the row, the column and the value, and says what was expected.

    Examples
    --------
    >>> frame = pd.DataFrame({"q": ["Why?"], "response": ["Because."]})
    >>> read(frame, columns={"instruction": "q"}, source="llama")[["instruction", "response", "source"]].values.tolist()
    [['Why?', 'Because.', 'llama']]
    """
    if isinstance(path, pd.DataFrame):
        if format is not None or fields is not None:
            raise DataError("format and fields say how a file is read; a frame has its columns")
        return examples.read(path, columns, source=source, split=split, keep=keep)
    with _speaking_of(str(path)):
        return _finished(_read(path, format, fields, columns), columns, source, split, keep)


def read_labels(path: str | Path, format: str | None = None) -> pd.DataFrame:
    """Return what annotators said in a file of Argilla or Label Studio: columns id, label, annotator; a row an answer.

    ``project.add_labels`` takes it as it is. Skipped tasks, drafts and discarded responses do not count.

    Parameters
    ----------
    path
        The JSON that the tool exported.
    format
        ``"argilla"`` or ``"label_studio"``; None: what the rows look like.
    """
    known(format)
    with _speaking_of(str(path)):
        rows = _records(_raw(path))
        chosen = format or recognised(rows)
        if chosen not in tools.FORMS:
            choices = " or ".join(f"format={name!r}" for name in tools.FORMS)
            raise DataError(f"{path} does not look like an export of an annotation tool; name it with {choices}")
        return tools.labels_of(rows, chosen, str(path))


def from_dataset(
    dataset: "Dataset",
    columns: Mapping[str, str] | None = None,
    *,
    format: str | None = None,
    fields: Mapping[str, str] | None = None,
    source: str | None = None,
    split: str | None = None,
    keep: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the examples of a ``datasets.Dataset``, such as one that :func:`to_dataset` made; see :func:`read`."""
    if not hasattr(dataset, "column_names") or isinstance(dataset, dict):
        raise DataError(f"a datasets.Dataset was expected, not {type(dataset).__name__}; choose one split of it")
    chosen = known(format) or hub.format_of(dataset)
    if chosen is None and NOTE not in dataset.column_names and not columns:
        chosen = recognised_keys(dataset.column_names)
    with _speaking_of("the data set"):
        if chosen in FORMS:
            found = hub.frame_of_rows(dataset, FORMS[chosen], fields)
        else:
            found = Read(hub.frame_of_columns(dataset))
        return _finished(found, columns, source, split, keep)


def _read(
    path: str | Path, format: str | None, fields: Mapping[str, str] | None, columns: Mapping[str, str] | None
) -> Read:
    """Return the rows of a file as the columns that its format, given or recognised, has."""
    if known(format) in ("csv", "parquet") or (format is None and Path(str(path)).suffix.lower() in BY_ENDING):
        return Read(_table(path))
    frame = _raw(path)
    rows = _records(frame)
    chosen = format or (None if columns else recognised(rows))
    if chosen is None:
        return Read(frame)
    return from_rows(rows, FORMS[chosen], str(path), fields)


def _table(path: str | Path) -> pd.DataFrame:
    readers = {".csv": read_csv, ".parquet": read_parquet}
    with read_from(path) as place:
        return readers.get(place.suffix.lower(), read_file)(place)


def _raw(path: str | Path) -> pd.DataFrame:
    with read_from(path) as place:
        if place.suffix.lower() != ".json" or not place.is_file():
            return read_file(place)
        try:
            rows = json.loads(place.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise DataError(f"{path} is not JSON ({error}); one array of objects is expected") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} is JSON, but not one array of objects")
    frame = pd.DataFrame(rows)
    check_text(frame)
    return frame


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row's fields, without those that it does not have and others do."""
    rows = zip(*(frame[column].tolist() for column in frame.columns), strict=True)
    return [{c: v for c, v in zip(frame.columns, row, strict=True) if not is_missing(v)} for row in rows]


def _finished(
    found: Read,
    columns: Mapping[str, str] | None,
    source: str | None,
    split: str | None,
    keep: Sequence[str] | None,
) -> pd.DataFrame:
    """Return what was read as examples, or as pairs, with the rows left out counted."""
    if found.dropped and found.frame.empty:
        raise DataError(f"the frame has no row that is an example: {found.dropped}")
    if is_pairs(found.frame) and not columns:
        given = {"source": source, "split": split, "keep": keep}
        if any(value is not None for value in given.values()):
            raise DataError("the frame holds pairs; source, split and keep are for examples")
        frame = checked_pairs(found.frame)
    else:
        frame = examples.read(found.frame, columns, source=source, split=split, keep=keep)
    frame.attrs["dropped"] = {**found.dropped, **frame.attrs.get("dropped", {})}
    return frame


@contextmanager
def _speaking_of(name: str) -> Iterator[None]:
    """Raise errors that speak of "the frame", or of a copy of a remote file, with the name that the user gave."""
    try:
        yield
    except DataError as error:
        text = str(error)
        if not text.startswith("the frame"):
            raise
        raise DataError(name + text.removeprefix("the frame")) from error
