"""Rows of JSON: a frame in one of the forms that trainers and annotation tools read, and back without a loss.

A form says what a row looks like. What it has no place for (ids, source, split, score, other columns, where the
instruction ends and the context begins) goes into one more field, ``weaklm``, as a JSON text: tools that read the form
pass over it, and :func:`from_rows` restores the frame with it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from weaklm.data import COLUMNS, TEXT_COLUMNS
from weaklm.errors import DataError, nearest
from weaklm.exchange.cells import NOTE, as_frame, column_json, dumps, schema
from weaklm.exchange.prompts import PROMPT_PARTS, left_out, lengths

_PROMPTS: dict[str, tuple[str, ...]] = {"parts": (), "text": PROMPT_PARTS, "chat": PROMPT_PARTS[1:]}


class LeftOutError(Exception):
    """A row that cannot be an example; its text is the reason, by which such rows are counted."""


@dataclass(frozen=True)
class Form:
    """What a row of one format looks like.

    Attributes
    ----------
    write
        The columns of a row, and whether its prompt is to be chat messages -> the fields.
    read
        The fields, and the lengths of the parts that were joined to a prompt -> columns.
    fields
        Names of the fields, all that the format knows.
    shows
        The columns that they hold.
    prompt
        "parts": prefix, instruction and context have fields of their own; "text": they are joined to one text, or to
        chat messages where that is asked for; "chat": they are always chat messages.
    note_in
        The field in which the note lies; None: beside them.
    add_votes
        Adds the votes of named functions to a row, for tools that show them.
    """

    write: Callable[[Mapping[str, Any], bool], dict[str, Any]]
    read: Callable[[Mapping[str, Any], Mapping[str, int]], dict[str, Any]]
    fields: tuple[str, ...]
    shows: tuple[str, ...] = TEXT_COLUMNS
    prompt: Literal["parts", "text", "chat"] = "text"
    note_in: str | None = None
    add_votes: Callable[[dict[str, Any], Mapping[str, int]], None] | None = None


@dataclass
class Read:
    """Rows that were read: the frame, and the number of rows left out by reason."""

    frame: pd.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)


def to_rows(
    frame: pd.DataFrame,
    form: Form,
    format: str,
    *,
    conversational: bool = False,
    fields: Mapping[str, str] | None = None,
    votes: Sequence[Mapping[str, int]] | None = None,
    lossless: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield each row of a checked frame in a form; the parameters are those of :func:`weaklm.export`."""
    is_chat = conversational or form.prompt == "chat"
    standard = COLUMNS if "response" in form.shows else form.shows
    names = _field_names(form, fields)
    about = {"format": format, **({"fields": dict(fields)} if fields else {}), "dtypes": schema(frame, standard)}
    hidden = {str(c): column_json(frame, c) for c in frame.columns if c not in form.shows} if lossless else {}
    parts = _PROMPTS["chat" if is_chat else form.prompt]
    for number, values in enumerate(zip(*(frame[column].tolist() for column in frame.columns), strict=True)):
        x = dict(zip(frame.columns, values, strict=True))
        row = {names.get(key, key): value for key, value in form.write(x, is_chat).items()}
        if votes is not None and form.add_votes is not None:
            form.add_votes(row, votes[number])
        if lossless:
            columns = {column: cells[number] for column, cells in hidden.items()}
            blank = left_out(x, PROMPT_PARTS) if parts else {}
            note = about | {"columns": columns | blank, "lengths": lengths(x, parts)}
            (row if form.note_in is None else row[form.note_in])[NOTE] = dumps(note)
        yield row


def from_rows(
    rows: Iterable[Mapping[str, Any]], form: Form, name: str, fields: Mapping[str, str] | None = None
) -> Read:
    """Return the frame that :func:`to_rows` wrote; rows of other hands give their texts, and what else they hold.

    Raises
    ------
    DataError
        Names ``name``, the row and the field that is not as the form has it.
    """
    read: list[dict[str, Any]] = []
    dtypes: dict[str, Any] = {}
    dropped: Counter[str] = Counter()
    for number, row in enumerate(rows):
        try:
            note = note_of(row, form)
            read.append(_columns(row, form, note, fields))
        except LeftOutError as reason:
            dropped[str(reason)] += 1
        except DataError as error:
            raise DataError(f"{name}, row {number}: {error}") from error
        else:
            for column, dtype in note.get("dtypes", {}).items():  # files that were put together may differ
                dtypes[column] = dtype if dtypes.get(column, dtype) == dtype else "object"
    columns = {column: [x.get(column) for x in read] for column in dict.fromkeys(c for x in read for c in x)}
    return Read(as_frame(columns, dtypes), dict(dropped))


def note_of(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Return what a row notes beside the fields of its form; empty for rows of other hands."""
    holder = row if form.note_in is None else row.get(form.note_in)
    return read_note(holder.get(NOTE)) if isinstance(holder, Mapping) else {}


def read_note(text: Any) -> dict[str, Any]:
    """Return a note from its text; DataError where it is none."""
    if text is None or text != text or text == "":  # noqa: PLR0124 (NaN)
        return {}
    try:
        note = json.loads(text)
    except (TypeError, ValueError) as error:
        raise DataError(f"what stands in {NOTE!r} is no note of weaklm: {text!r:.60}") from error
    if not isinstance(note, dict):
        raise DataError(f"what stands in {NOTE!r} is no note of weaklm: {text!r:.60}")
    return note


def taken(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...], words: str) -> Any:
    """Return a field of a row; DataError where it is not there, or is something else than ``words`` say."""
    if row.get(name) is None:
        raise DataError(f"it has no field {name!r}; {nearest(name, [key for key in row if key != NOTE])}")
    if not isinstance(row[name], kind):
        raise DataError(f"the field {name!r} is {row[name]!r:.60}; {words} was expected")
    return row[name]


def _columns(
    row: Mapping[str, Any], form: Form, note: Mapping[str, Any], fields: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return the columns of one row: what the form shows counts before what the note says."""
    theirs = {name: ours for ours, name in _field_names(form, fields or note.get("fields")).items()}
    named = {theirs.get(key, key): value for key, value in row.items()}
    known = note.get("columns", {})
    others = {} if note else {k: v for k, v in named.items() if k not in form.fields and k != NOTE}
    return {**known, **others, **form.read(named, note.get("lengths", {}))}


def _field_names(form: Form, fields: Mapping[str, str] | None) -> dict[str, str]:
    names = dict(fields or {})
    for ours, theirs in names.items():
        if ours not in form.fields:
            raise DataError(f"fields names {ours!r}, which the format does not have; {nearest(ours, form.fields)}")
        if theirs == NOTE or [*names.values(), *(f for f in form.fields if f not in names)].count(theirs) > 1:
            raise DataError(f"fields gives the name {theirs!r} to {ours!r}, but another field has it")
    return names
