"""Export: frames to files and data sets in the forms that other tools read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from weaklm.data import complete
from weaklm.errors import DataError
from weaklm.exchange import hub
from weaklm.exchange.cells import check_text
from weaklm.exchange.formats import BY_ENDING, FORMATS, FORMS, check_options, known
from weaklm.exchange.paths import written_to
from weaklm.exchange.preference import checked_kto, checked_pairs, is_pairs
from weaklm.exchange.rows import to_rows
from weaklm.exchange.tables import write_csv, write_parquet, write_table

if TYPE_CHECKING:
    from datasets import Dataset


class HasFrame(Protocol):
    """Whatever can give its rows as a frame, such as a QualityDataset."""

    def to_frame(self) -> pd.DataFrame:
        """Return the rows."""


def export(
    data: pd.DataFrame | HasFrame,
    path: str | Path,
    format: str | None = None,
    *,
    fields: Mapping[str, str] | None = None,
    conversational: bool = False,
    votes: pd.DataFrame | None = None,
    spreadsheet_safe: bool = False,
    lossless: bool = True,
) -> int:
    """Write the rows to a file, whole or not at all, and return their number; :func:`read` gives them back.

    Parameters
    ----------
    data
        A frame of examples, or a QualityDataset, of which the kept rows are written: for ``"kto"`` its ``kto_rows()``,
        for ``"dpo"`` its ``preference_pairs()``. A frame for these has such columns; tables take them as well.
    path
        The file; an older one is replaced. ``s3://`` and the like go through fsspec.
    format
        ``"csv"``, ``"parquet"``: a table of every column. ``"messages"``: chat messages. ``"prompt_completion"``: a
        prompt and its completion. ``"alpaca"``: instruction, input, output. ``"sharegpt"``: conversations. ``"kto"``,
        ``"dpo"``: for preference trainers. ``"argilla"``, ``"label_studio"``: for annotators, with the column
        ``score`` as a suggestion. All but tables are JSON: one object a line, or one array where the path ends in
        ``.json``. None: by the ending, ``.csv`` or ``.parquet``; other endings do not say enough.
    fields
        The format's field -> its name in the file, such as ``{"completion": "answer"}``.
    conversational
        Prompts and responses as chat messages, for models with a chat template; for ``"prompt_completion"``,
        ``"kto"`` and ``"dpo"``.
    votes
        (n_rows, n_functions) frame of votes, a column a function, for annotation tools to show.
    spreadsheet_safe
        Write an apostrophe before CSV cells that a spreadsheet would run as a formula. It changes the text (``read``
        takes it away again), so it is off unless a file is for a spreadsheet.
    lossless
        Add the field ``weaklm``, a JSON text with all that the format has no place for. False for tools that refuse
        what they do not know.

    Raises
    ------
    DataError
        An unknown format; text that is not valid Unicode, or a value that has no form in it, named by row and column.
        Nothing is written then.
    """
    chosen = _format(path, format)
    check_options(chosen, conversational=conversational, votes=votes, spreadsheet_safe=spreadsheet_safe, fields=fields)
    frame = _checked(data, chosen)
    with written_to(path) as place:
        if chosen == "csv":
            write_csv(frame, place, spreadsheet_safe=spreadsheet_safe, lossless=lossless)
        elif chosen == "parquet":
            (write_table if lossless else write_parquet)(frame, place)
        else:
            rows = to_rows(
                frame,
                FORMS[chosen],
                chosen,
                conversational=conversational,
                fields=fields,
                votes=_votes(votes, len(frame)),
                lossless=lossless,
            )
            _write_json(rows, place, as_array=str(path).lower().endswith(".json"))
    return len(frame)


def to_dataset(
    data: pd.DataFrame | HasFrame,
    format: str | None = None,
    *,
    fields: Mapping[str, str] | None = None,
    conversational: bool = False,
    lossless: bool = True,
) -> "Dataset":
    """Return the rows as a ``datasets.Dataset``: every column, or the fields of a format; see :func:`export`.

    Raises
    ------
    MissingExtraError
        Without the extra ``hf``.
    """
    chosen = known(format) or "parquet"
    check_options(chosen, conversational=conversational, fields=fields)
    frame = _checked(data, chosen)
    if chosen not in FORMS:
        return hub.dataset_of_columns(frame, lossless=lossless)
    rows = to_rows(frame, FORMS[chosen], chosen, conversational=conversational, fields=fields, lossless=lossless)
    return hub.dataset_of_rows(list(rows))


def _checked(data: pd.DataFrame | HasFrame, format: str) -> pd.DataFrame:
    """Return the rows with what a format needs, checked."""
    frame = (data if isinstance(data, pd.DataFrame) else _rows_of(data, format)).reset_index(drop=True)
    if format == "dpo" or (format not in FORMS and is_pairs(frame)):
        frame = checked_pairs(frame)
    else:
        frame = checked_kto(frame) if format == "kto" else complete(frame)
    check_text(frame)
    return frame


def _rows_of(data: HasFrame, format: str) -> pd.DataFrame:
    """Return the rows that a format is for: those with a verdict, pairs, or as they are."""
    ways = {"kto": "kto_rows", "dpo": "preference_pairs"}
    return getattr(data, ways.get(format, ""), data.to_frame)()


def _format(path: str | Path, format: str | None) -> str:
    if known(format) is not None:
        return str(format)
    ending = Path(str(path)).suffix.lower()
    if ending in BY_ENDING:
        return BY_ENDING[ending]
    choices = ", ".join(f"format={choice!r}" for choice in FORMATS)
    raise DataError(f"the ending of {str(path)!r} does not say in which form to write it; choose one: {choices}")


def _votes(votes: pd.DataFrame | None, n_rows: int) -> list[dict[str, int]] | None:
    if votes is None:
        return None
    if not isinstance(votes, pd.DataFrame) or len(votes) != n_rows:
        raise DataError(f"votes must be a frame of {n_rows} rows, a column a function; it is {votes!r:.60}")
    if not votes.isin([-1, 0, 1]).all(axis=None):
        raise DataError("votes holds something else than -1 (ABSTAIN), 0 (REJECT) and 1 (ACCEPT)")
    return [{str(name): int(vote) for name, vote in row.items()} for row in votes.to_dict("records")]


def _write_json(rows: Iterator[dict[str, Any]], path: Path, *, as_array: bool) -> None:
    between, first, last = (",\n", "[\n", "\n]\n") if as_array else ("\n", "", "\n")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(first)
        n_rows = 0
        for n_rows, row in enumerate(rows, start=1):
            file.write((between if n_rows > 1 else "") + json.dumps(row, ensure_ascii=False, allow_nan=False))
        file.write(last if n_rows or as_array else "")
