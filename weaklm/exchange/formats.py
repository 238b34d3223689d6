"""The formats by name, what they allow, and how rows that came without a name are recognised."""

from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.errors import DataError, nearest
from weaklm.exchange import chat, preference, tools
from weaklm.exchange.cells import NOTE
from weaklm.exchange.rows import Form, read_note

FORMS: dict[str, Form] = {**chat.FORMS, **preference.FORMS, **tools.FORMS}
FORMATS = ("csv", "parquet", *FORMS)
BY_ENDING = {".csv": "csv", ".parquet": "parquet"}
_CONVERSATIONAL = ("prompt_completion", "kto", "dpo")


def known(format: str | None) -> str | None:
    """Return the name of a format, or None; DataError for one that there is not."""
    if format is not None and format not in FORMATS:
        raise DataError(f"unknown format {format!r}; {nearest(format, FORMATS)}")
    return format


def check_options(format: str, **options: Any) -> None:
    """Raise for an option that the format has no use for."""
    allowed = {
        "spreadsheet_safe": ("csv",),
        "conversational": _CONVERSATIONAL,
        "votes": tuple(tools.FORMS),
        "fields": (*chat.FORMS, *preference.FORMS),
    }
    for name, value in options.items():
        if value is not None and value is not False and format not in allowed[name]:
            raise DataError(f"{name} is for {' and '.join(allowed[name])}; the rows are written as {format}")


def recognised(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the format of rows: the one noted, or the first whose fields they all have; None for plain examples."""
    if not rows:
        return None
    holders = (rows[0], *(rows[0].get(form.note_in) for form in FORMS.values() if form.note_in))
    for holder in holders:
        if isinstance(holder, Mapping) and NOTE in holder:
            return read_note(holder[NOTE]).get("format")
    return recognised_keys(rows[0])


def recognised_keys(keys: Sequence[str] | Mapping[str, Any]) -> str | None:
    """Return the format that has these fields; None for plain examples and what is unknown."""
    if {"instruction", "response"} <= set(keys):
        return None
    needed = {
        "messages": {"messages"},
        "sharegpt": {"conversations"},
        "dpo": {"prompt", "chosen", "rejected"},
        "kto": {"prompt", "completion", "label"},
        "prompt_completion": {"prompt", "completion"},
        "alpaca": {"instruction", "output"},
        "argilla": {"fields", "suggestions"},
        "label_studio": {"data", "annotations"},
    }
    return next((name for name, fields in needed.items() if fields <= set(keys)), None)
