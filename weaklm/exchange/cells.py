"""Cells as JSON and back: what a value is in a format that has no place for it, without a loss.

Text, whole and other numbers, true and false, lists and objects are JSON by themselves. A date is
``{"$date": "2026-01-31"}``, and so are the few others of :data:`_TAGS`. A missing value is null, and comes back as
the column's dtype has it: None among objects.
"""

import datetime
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from weaklm.errors import DataError

NOTE = "weaklm"  # the field, or column, that holds what a format has no place for

_TAGS: dict[str, Callable[[Any], Any]] = {
    "$float": float,  # nan, inf and -inf, which JSON does not have
    "$date": datetime.date.fromisoformat,
    "$datetime": datetime.datetime.fromisoformat,
    "$timestamp": pd.Timestamp,  # nanoseconds, which Python's own datetime does not have
    "$object": dict,  # an object that looks like one of these
}


def to_json(value: Any) -> Any:
    """Return a value as plain JSON; TypeError where it is none and has no tag.

    >>> to_json([1.5, float("inf"), datetime.date(2026, 1, 31)])
    [1.5, {'$float': 'inf'}, {'$date': '2026-01-31'}]
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, pd.Timestamp):
        return {"$timestamp": value.isoformat()}
    if isinstance(value, datetime.datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"$date": value.isoformat()}
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, list | tuple | np.ndarray):
        return [to_json(inner) for inner in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inner = {key: to_json(item) for key, item in value.items()}
        return {"$object": inner} if _is_tag(inner) else inner
    raise TypeError(f"{value!r:.60} is {type(value).__name__}")


def from_json(value: Any) -> Any:
    """Return the value that :func:`to_json` made JSON of; tuples and arrays are lists from then on.

    >>> from_json([1.5, {"$float": "inf"}, {"$date": "2026-01-31"}])
    [1.5, inf, datetime.date(2026, 1, 31)]
    """
    if isinstance(value, list):
        return [from_json(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if not _is_tag(value):
        return {key: from_json(inner) for key, inner in value.items()}
    ((tag, inner),) = value.items()
    return _TAGS[tag]({key: from_json(item) for key, item in inner.items()} if tag == "$object" else inner)


def dumps(value: Any) -> str:
    """Return JSON text of a plain value, on one line, every character as it is."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def column_json(frame: pd.DataFrame, column: str) -> list[Any]:
    """Return the values of a column as plain JSON; DataError names the row of one that has none."""
    series = frame[column]
    if series.dtype.kind == "M":
        in_utc = series if getattr(series.dtype, "tz", None) is None else series.dt.tz_convert("UTC")
        return [None if pd.isna(moment) else moment.isoformat() for moment in in_utc]
    values = []
    for row, value in enumerate(series.tolist()):
        try:
            values.append(None if is_missing(value) else to_json(value))
        except TypeError as error:
            raise DataError(
                f"row {row}, column {column!r}: {error}, which cannot be written; make it text, a number or a date"
            ) from error
    return values


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: None, NaN, NaT or NA."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def schema(frame: pd.DataFrame, standard: Sequence[str]) -> dict[str, Any]:
    """Return the dtype, as JSON, of every column that is not a standard one, in order.

    >>> schema(pd.DataFrame({"id": ["a"], "score": [0.5]}), ["id"])
    {'score': 'float64'}
    """
    return {str(column): _dtype_json(frame[column]) for column in frame.columns if column not in standard}


def restored(values: Sequence[Any], dtype: Any, column: str) -> pd.Series:
    """Return plain JSON values as a column of a dtype that :func:`schema` gave."""
    try:
        if isinstance(dtype, Mapping):
            return pd.Series(values, dtype=pd.CategoricalDtype(dtype["categories"], dtype["ordered"]))
        target = pd.api.types.pandas_dtype(dtype)
        if target.kind == "M":
            return _moments(values, target)
        return pd.Series([from_json(value) for value in values], dtype=target)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(f"column {column!r} was written as {dtype}, which its values are not: {error}") from error


def as_frame(columns: Mapping[str, Sequence[Any]], dtypes: Mapping[str, Any]) -> pd.DataFrame:
    """Return columns of plain JSON values as a frame: of the given dtypes first and in their order, else objects."""
    order = [*dtypes, *(column for column in columns if column not in dtypes)]
    return pd.DataFrame(
        {c: restored(columns[c], dtypes.get(c, "object"), c) for c in order if c in columns},
        index=range(len(next(iter(columns.values()), ()))),
    )


def check_text(frame: pd.DataFrame) -> None:
    """Raise where a text cannot be written as UTF-8: half of a surrogate pair, left by a cut in UTF-16."""
    for column in frame.columns:
        if not _is_unicode(str(column)):
            raise DataError(f"the name of the column {column!r} holds half of a surrogate pair; rename it")
        for row, value in enumerate(_with_text(frame[column])):
            text = value if isinstance(value, str) else _nested_text(value)
            if not _is_unicode(text):
                raise DataError(
                    f"row {row}, column {column!r}: {text[:60]!r} holds half of a surrogate pair, which is no "
                    "character and cannot be written as UTF-8; remove it, or leave the row out"
                )


def _with_text(series: pd.Series) -> Iterable[Any]:
    return series.tolist() if series.dtype == object or pd.api.types.is_string_dtype(series) else ()


def _nested_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | tuple) else ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_tag(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _TAGS


def _dtype_json(series: pd.Series) -> Any:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return {"categories": [to_json(value) for value in series.cat.categories], "ordered": series.cat.ordered}
    if series.dtype.kind not in "OUMbiuf":
        raise DataError(f"column {series.name!r} is {series.dtype}, which cannot be written; make it text or numbers")
    return str(series.dtype)


def _moments(values: Sequence[Any], dtype: Any) -> pd.Series:
    """Return moments as ISO text in a column of dates and times, to the last digit of its unit."""
    unit = getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]
    zone = getattr(dtype, "tz", None)
    moments = [pd.NaT if value is None else pd.Timestamp(value) for value in values]
    naive = [m if m is pd.NaT or zone is None else m.tz_convert("UTC").tz_localize(None) for m in moments]
    exact = [np.datetime64("NaT") if m is pd.NaT else m.as_unit(unit).to_datetime64() for m in naive]
    series = pd.Series(np.array(exact, dtype=f"M8[{unit}]"))
    return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)
