"""Examples: one response of one model to one instruction a row; read, check, ids, split by instruction.

A data set is a DataFrame with the columns of :data:`COLUMNS` and any others. Only ``instruction`` and ``response``
are required; :func:`complete` fills in the rest.
"""

import copy
import csv
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray

from weaklm.errors import DataError, nearest

ABSTAIN, REJECT, ACCEPT = -1, 0, 1
UNDECIDED = -2  # no vote: the place of one that is still to be asked for
LABEL_NAMES = {REJECT: "REJECT", ACCEPT: "ACCEPT"}

TEXT_COLUMNS = ("instruction", "context", "prompt_prefix", "response")
COLUMNS = ("id", "instruction_id", *TEXT_COLUMNS, "source", "split")
HUMAN_LABEL = "human_label"  # ground truth by people; no function and no feature ever sees this column

_LABEL_VALUES = {
    "accept": "ACCEPT",
    "1": "ACCEPT",
    "true": "ACCEPT",
    "reject": "REJECT",
    "0": "REJECT",
    "false": "REJECT",
}


class Example(SimpleNamespace):
    """One row as a function sees it: each column is an attribute.

    >>> x = Example(instruction="How old is it?", response="Ten years.")
    >>> x.response, x["context"]
    ('Ten years.', '')
    >>> x.respones
    Traceback (most recent call last):
        ...
    AttributeError: this example has no column 'respones'; did you mean 'response'?
    """

    id: str
    instruction_id: str
    instruction: str
    context: str
    prompt_prefix: str
    response: str
    source: str
    split: str

    def __init__(self, /, **columns: Any) -> None:  # a column may be named self
        super().__init__(**(dict.fromkeys(COLUMNS, "") | columns))

    def __getitem__(self, column: str) -> Any:
        return getattr(self, column)

    def __getattr__(self, name: str) -> Any:  # reached only when the attribute is not there
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"this example has no column {name!r}; {nearest(name, vars(self))}")


class Batch(SimpleNamespace):
    """Rows as a batch function sees them: each column is an attribute, an array of shape (n_rows,); text is object.

    >>> batch = Batch(response=np.array(["Ten years.", "No."], dtype=object))
    >>> len(batch), batch.response[1]
    (2, 'No.')
    """

    @classmethod
    def of_one(cls, x: Any) -> "Batch":
        """Return a batch of one row: an Example, or a row as Snorkel's appliers hand it over."""
        columns = vars(x) if isinstance(x, Example) else x._asdict() if hasattr(x, "_asdict") else dict(x)
        return cls(**{name: array([value]) for name, value in columns.items()})

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def __getitem__(self, column: str) -> NDArray[Any]:
        return getattr(self, column)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"this batch has no column {name!r}; {nearest(name, vars(self))}")


def array(values: Sequence[Any]) -> NDArray[Any]:
    """Return values as an array of shape (n,): numbers and booleans in their own type, all else as object.

    >>> array(["a", "b"]).dtype, array([1, 2]).dtype, array([["a"], ["b"]]).shape
    (dtype('O'), dtype('int64'), (2,))
    """
    if values and all(isinstance(value, bool | int | float | np.number | np.bool_) for value in values):
        return np.asarray(values)
    filled = np.empty(len(values), dtype=object)
    filled[:] = list(values)
    return filled


def copied(x: Example) -> Example:
    """Return an example that can be changed, lists and all, without a trace in this one.

    >>> x = Example(response="Yes.", tags=["a"])
    >>> y = copied(x)
    >>> y.tags.append("b")
    >>> x.tags
    ['a']
    """
    return Example(**{name: v if isinstance(v, UNCHANGING) else copy.deepcopy(v) for name, v in vars(x).items()})


UNCHANGING = (str, int, float, bool, type(None), np.generic)


def examples(data: pd.DataFrame) -> Iterator[Example]:
    """Yield each row of a complete frame as an Example, in order, without its human label."""
    visible = [column for column in data.columns if column != HUMAN_LABEL]
    for values in zip(*(data[column].tolist() for column in visible), strict=True):
        yield Example(**dict(zip(visible, values, strict=True)))


def read(
    path: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    source: str | None = None,
    split: str | None = None,
    keep: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the examples of a CSV, JSONL or Parquet file, or of a DataFrame, with every standard column.

    Rows that repeat the id, texts and label of an earlier row are dropped; ``result.attrs["dropped"]`` counts them.

    Parameters
    ----------
    path
        A file (its ending says the format: .csv, .jsonl / .ndjson, .parquet) or a DataFrame.
    columns
        Standard name -> the file's name of the column, for those that differ:
        ``{"instruction": "questions", "human_label": "expert"}``.
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
    name = "the frame" if isinstance(path, pd.DataFrame) else str(path)
    frame = _named(path if isinstance(path, pd.DataFrame) else read_file(Path(path)), name)
    if frame.empty:
        raise DataError(f"{name} has no rows; at least one row with an instruction and a response is expected")
    frame = _rename(frame, columns or {}, keep, name)
    if source is not None:
        frame["source"] = source
    if split is not None:
        frame["split"] = split
    return _drop_repeats(complete(frame, name), name)


def complete(data: pd.DataFrame, name: str = "the frame") -> pd.DataFrame:
    """Return the frame with every standard column present, as checked strings; other columns and the index stay.

    A missing ``context``, ``prompt_prefix``, ``source`` or ``split`` becomes an empty string. A missing
    ``instruction_id`` becomes a hash of prompt_prefix, instruction and context; a missing ``id`` a hash of the
    content.
    """
    data = _named(data, name)
    for column in ("instruction", "response"):
        if column not in data.columns:
            raise DataError(
                f"{name} has no column {column!r}; {nearest(column, data.columns)} "
                f"Name yours with columns={{{column!r}: ...}}."
            )
    for column in TEXT_COLUMNS:
        required = column in ("instruction", "response")
        data[column] = _strings(data, column, name, required=required)
    for column in ("source", "split"):
        data[column] = _strings(data, column, name, required=False)
    for column, parts in {
        "instruction_id": ("prompt_prefix", "instruction", "context"),
        "id": ("instruction_id", "prompt_prefix", "instruction", "context", "response", "source"),
    }.items():
        data[column] = _identifiers(data, column, name) if column in data.columns else _hashes(data, parts)
    if HUMAN_LABEL in data.columns:
        data[HUMAN_LABEL] = _labels(data[HUMAN_LABEL], name)
    return data[[*COLUMNS, *(column for column in data.columns if column not in COLUMNS)]]


def split(data: pd.DataFrame, test: float = 0.25, random_state: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (train, test) frames that share no instruction; ``test`` is the share of instructions, from 0 to 1.

    >>> frame = pd.DataFrame({"instruction": list("aabbccdd"), "response": list("12345678")})
    >>> train, held_out = split(frame, test=0.25)
    >>> len(train), len(held_out), set(train.instruction) & set(held_out.instruction)
    (6, 2, set())
    """
    if not 0 < test < 1:
        raise DataError(f"test is {test!r}; a share of the instructions between 0 and 1 was expected")
    data = complete(data)
    instructions = np.sort(data["instruction_id"].unique())
    if len(instructions) < 2:
        raise DataError("the data hold one instruction only; a split by instruction needs at least two")
    n_test = min(max(1, round(test * len(instructions))), len(instructions) - 1)
    chosen = np.random.default_rng(random_state).permutation(instructions)[:n_test]
    is_test = data["instruction_id"].isin(chosen)
    return data[~is_test].assign(split="train"), data[is_test].assign(split="test")


def human_labels(data: pd.DataFrame) -> NDArray[np.int8]:
    """Return the human labels of a frame as int8: 0 REJECT, 1 ACCEPT, -1 where people did not label.

    >>> human_labels(pd.DataFrame({"human_label": ["ACCEPT", None, "REJECT"]})).tolist()
    [1, -1, 0]
    """
    if HUMAN_LABEL not in data.columns:
        return np.full(len(data), ABSTAIN, dtype=np.int8)
    values = {"ACCEPT": ACCEPT, "REJECT": REJECT}
    return np.array([values.get(label, ABSTAIN) for label in _labels(data[HUMAN_LABEL], "the frame")], dtype=np.int8)


def content_hash(*parts: str) -> str:
    """Return 16 hexadecimal digits that depend on every part and on where one ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:16]


def _named(data: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a copy whose column names are strings, each there once."""
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"{name} is a {type(data).__name__}; a pandas DataFrame was expected. wl.read(...) reads files")
    data = data.set_axis(data.columns.map(str), axis=1)
    if (twice := data.columns.duplicated()).any():
        raise DataError(f"{name} has two columns named {data.columns[twice][0]!r}; names must be unique")
    return data


def read_file(path: Path) -> pd.DataFrame:
    """Return a CSV, JSONL or Parquet file as a frame, unchecked; DataError when there is none or it cannot be read."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; a .csv, .jsonl or .parquet file was expected")
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}; {nearest(path.name, beside)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; at least one row with an instruction and a response is expected")
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(readers)}")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: byte {error.start} cannot be read. Save it as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix.lower()}: {str(error).strip()}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    """Read every value as a string, so that the answers "5", "NA" and "null" stay what the model wrote."""
    limit = csv.field_size_limit(sys.maxsize)  # contexts may be long
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except csv.Error as error:
        raise DataError(f"{path} is not valid CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)
    header = rows[0] if rows else []
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: {len(row)} values, but the header names {len(header)} columns; quote values "
                f"that hold a comma. The row begins with {', '.join(row)[:60]!r}"
            )
    return pd.DataFrame(rows[1:], columns=header, dtype=object)


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error}); one object a line is expected") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: {line.strip()[:60]!r} is not a JSON object")
            if "\\u" in line and re.search("[\ud800-\udfff]", json.dumps(row, ensure_ascii=False)):
                raise DataError(
                    f"{path}, line {number}: an escape such as \\ud83d stands alone; it is half a character"
                )
            rows.append(row)
    return pd.DataFrame(rows)


def _rename(frame: pd.DataFrame, columns: Mapping[str, str], keep: Sequence[str] | None, name: str) -> pd.DataFrame:
    standard = (*COLUMNS, HUMAN_LABEL)
    for ours, theirs in columns.items():
        if ours not in standard:
            raise DataError(f"columns names {ours!r}, which is no standard column; {nearest(ours, standard)}")
        if theirs not in frame.columns:
            raise DataError(f"{name} has no column {theirs!r} (for {ours!r}); {nearest(theirs, frame.columns)}")
    for column in keep or ():
        if column not in frame.columns:
            raise DataError(f"{name} has no column {column!r} to keep; {nearest(column, frame.columns)}")
    named = {ours: frame[theirs] for ours, theirs in columns.items()}
    used = set(columns.values())
    rest = [column for column in frame.columns if column not in named and column not in used]
    # A human label is taken when it is asked for by name, or when nothing says which columns to keep.
    wanted = rest if keep is None else [column for column in rest if column in keep or column in COLUMNS]
    kept = {str(column): frame[column] for column in wanted} | {c: frame[c] for c in keep or () if c in used}
    return pd.DataFrame(named | kept, index=frame.index)


def _strings(data: pd.DataFrame, column: str, name: str, *, required: bool) -> pd.Series:
    if column not in data.columns:
        return pd.Series("", index=data.index, dtype=object)
    values = data[column].astype(object)
    if not _is_all_text(values):
        values = _texts(values, column, name, required=required)
    if column == "instruction" and any(not text or text.isspace() for text in values):
        row = next(row for row, text in enumerate(values) if not text or text.isspace())
        raise DataError(f"{name}, row {row}, column 'instruction': the instruction is empty")
    return values


def _is_all_text(values: pd.Series) -> bool:
    return pd.api.types.infer_dtype(values, skipna=False) == "string"


def _texts(values: pd.Series, column: str, name: str, *, required: bool) -> pd.Series:
    """Return the values with an empty string where one is missing and may be."""
    missing = values.isna()
    if required and missing.any():
        row = int(np.argmax(missing.to_numpy()))
        raise DataError(
            f"{name}, row {row}, column {column!r}: the value is missing. Fill it in or leave the row out; "
            "an empty response is written as an empty string."
        )
    values = values.where(~missing, "")
    is_text = values.map(lambda value: isinstance(value, str)).to_numpy(bool)
    if not is_text.all():
        row = int(np.argmin(is_text))
        value = values.iloc[row]
        raise DataError(f"{name}, row {row}, column {column!r}: {value!r} is {type(value).__name__}, not text")
    return values


def _identifiers(data: pd.DataFrame, column: str, name: str) -> pd.Series:
    values = data[column].astype(object)
    if _is_all_text(values) and not any(not text or text.isspace() for text in values):
        return values
    missing = (values.isna() | (values.astype(str).str.strip() == "")).to_numpy(bool)
    if missing.any():
        raise DataError(
            f"{name}, row {int(np.argmax(missing))}, column {column!r}: the id is missing. Give every row one, "
            "or leave the column out to get ids from the content."
        )
    # Ids are strings, always: 7, "7" and 7.0 (an integer column that once held a gap) are one id.
    return values.map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)).astype(object)


def _hashes(data: pd.DataFrame, parts: Sequence[str]) -> pd.Series:
    rows = zip(*(data[part].tolist() for part in parts), strict=True)
    return pd.Series([content_hash(*row) for row in rows], index=data.index, dtype=object)


def _labels(values: pd.Series, name: str) -> pd.Series:
    known: list[str | None] = []
    for row, value in enumerate(values.tolist()):
        if value is None or value is pd.NA or value != value or str(value).strip() == "":  # noqa: PLR0124 (NaN)
            known.append(None)
            continue
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
        if text not in _LABEL_VALUES:
            raise DataError(
                f"{name}, row {row}, column {HUMAN_LABEL!r}: {value!r} is no label; "
                "expected ACCEPT or REJECT (or 1 / 0, true / false), empty where people did not label"
            )
        known.append(_LABEL_VALUES[text])
    return pd.Series(known, index=values.index, dtype=object)


def _drop_repeats(data: pd.DataFrame, name: str) -> pd.DataFrame:
    repeated = data.duplicated("id", keep="first")
    dropped = int(repeated.sum())
    if dropped:
        content = [*COLUMNS, *([HUMAN_LABEL] if HUMAN_LABEL in data.columns else [])]
        first = data.drop_duplicates("id").set_index("id")
        again = data[repeated]
        for column in content[1:]:
            before = first.loc[again["id"], column].fillna("").to_numpy()
            differs = before != again[column].fillna("").to_numpy()
            if differs.any():
                place = int(np.argmax(differs))
                raise DataError(
                    f"{name}: id {again['id'].iloc[place]!r} stands for two different rows; their {column!r} is "
                    f"{before[place]!r:.80} and {again[column].iloc[place]!r:.80}. Ids must be unique."
                )
        data = data[~repeated]
    data = data.reset_index(drop=True)
    data.attrs["dropped"] = {"repeats another row": dropped} if dropped else {}
    return data
