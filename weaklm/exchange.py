"""Export data for other tools: CSV, Parquet, and JSONL as chat messages or prompt and completion."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from weaklm.atomic import atomic_file
from weaklm.data import TEXT_COLUMNS, complete
from weaklm.errors import DataError, nearest

FORMATS = ("csv", "parquet", "messages", "prompt_completion")
_BY_ENDING = {".csv": "csv", ".parquet": "parquet"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class HasFrame(Protocol):
    """Whatever can give its rows as a frame, such as a QualityDataset."""

    def to_frame(self) -> pd.DataFrame:
        """Return the rows."""


def export(
    data: pd.DataFrame | HasFrame, path: str | Path, format: str | None = None, *, spreadsheet_safe: bool = False
) -> int:
    """Write the rows to a file, whole or not at all, and return their number.

    Parameters
    ----------
    data
        A frame of examples, or a QualityDataset, of which the kept rows are written.
    path
        The file; an older one is replaced.
    format
        ``"csv"``: every column. ``"parquet"``: every column with its type. ``"messages"``: JSONL for chat trainers, one
        ``{"messages": [...]}`` a row. ``"prompt_completion"``: JSONL, one ``{"prompt": ..., "completion": ...}`` a
        row. None: by the ending, ``.csv`` or ``.parquet``; other endings do not say enough.
    spreadsheet_safe
        Write an apostrophe before CSV cells that a spreadsheet would run as a formula. It changes the text, so it is
        off unless a file is for a spreadsheet.

    Raises
    ------
    DataError
        An unknown format; or text that is not valid Unicode, named by row and column. Nothing is written then.
    """
    path = Path(path)
    chosen = _format(path, format)
    if spreadsheet_safe and chosen != "csv":
        raise DataError(f"spreadsheet_safe is for CSV; {path} is written as {chosen}")
    frame = complete(data if isinstance(data, pd.DataFrame) else data.to_frame()).reset_index(drop=True)
    check_text(frame)
    with atomic_file(path) as temporary:
        if chosen == "csv":
            _write_csv(frame, temporary, spreadsheet_safe)
        elif chosen == "parquet":
            write_parquet(frame, temporary)
        else:
            _write_jsonl(frame, temporary, messages if chosen == "messages" else prompt_completion)
    return len(frame)


def prompt_messages(x: Mapping[str, str], *, system_role: bool = True) -> list[dict[str, str]]:
    """Return the chat messages that ask for a response, from a row's texts; empty parts are left out.

    ``prompt_prefix`` is the system message, or opens the user's where there is no system role; instruction and
    context are the user's, with an empty line between. The trainer's template speaks to chat models the same way.

    >>> prompt_messages({"prompt_prefix": "Be brief.", "instruction": "What is the fee?", "context": "Fees: 5 EUR."})
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'What is the fee?\\n\\nFees: 5 EUR.'}]
    """
    prefix, parts = x["prompt_prefix"], [x["instruction"], x["context"]]
    has_system = system_role and bool(prefix.strip())
    user = _joined(parts if has_system else [prefix, *parts])
    system = [{"role": "system", "content": prefix}] if has_system else []
    return [*system, {"role": "user", "content": user}]


def messages(x: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """Return one row as a chat: the prompt's messages and the response as the assistant's."""
    return {"messages": [*prompt_messages(x), {"role": "assistant", "content": x["response"]}]}


def prompt_completion(x: Mapping[str, str]) -> dict[str, str]:
    """Return one row as a prompt (prefix, instruction and context, empty lines between) and its completion."""
    return {"prompt": _joined([x["prompt_prefix"], x["instruction"], x["context"]]), "completion": x["response"]}


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame to a Parquet file; DataError where a column mixes types."""
    import pyarrow as pa

    try:
        frame.to_parquet(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the frame cannot be written as Parquet: {error}. Give each column one type.") from error


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part.strip())


def _format(path: Path, format: str | None) -> str:
    if format is not None:
        if format not in FORMATS:
            raise DataError(f"unknown format {format!r}; {nearest(format, FORMATS)}")
        return format
    if path.suffix.lower() in _BY_ENDING:
        return _BY_ENDING[path.suffix.lower()]
    choices = ", ".join(f"format={choice!r}" for choice in FORMATS)
    raise DataError(f"the ending of {str(path)!r} does not say in which form to write it; choose one: {choices}")


def check_text(frame: pd.DataFrame) -> None:
    """Raise where a text cannot be written as UTF-8: half of a surrogate pair, left by a cut in UTF-16."""
    for column in frame.columns:
        for row, value in enumerate(frame[column].tolist()):
            if isinstance(value, str) and not _is_unicode(value):
                raise DataError(
                    f"row {row}, column {column!r}: {value[:60]!r} holds half of a surrogate pair, which is no "
                    "character and cannot be written as UTF-8; remove it, or leave the row out"
                )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_csv(frame: pd.DataFrame, path: Path, spreadsheet_safe: bool) -> None:
    import csv

    if spreadsheet_safe:
        frame = frame.map(lambda v: f"'{v}" if isinstance(v, str) and v.startswith(_FORMULA_STARTS) else v)
    # All quoted: readers then keep a lone carriage return and tell an empty text from a missing value.
    frame.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def _write_jsonl(frame: pd.DataFrame, path: Path, row: Any) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for x in _texts(frame):
            file.write(json.dumps(row(x), ensure_ascii=False) + "\n")


def _texts(frame: pd.DataFrame) -> Iterator[dict[str, str]]:
    for values in zip(*(frame[column].tolist() for column in TEXT_COLUMNS), strict=True):
        yield dict(zip(TEXT_COLUMNS, values, strict=True))
