"""Rows that say what a better row says: which columns are compared, and how."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from weaklm.curation.minhash import Integers, Read, text_series
from weaklm.curation.near_duplicates import exact_keys, first_equal, near_duplicates
from weaklm.curation.table import Table

if TYPE_CHECKING:
    import polars as pl

_WHOLE = ("prompt_prefix", "instruction", "context", "response")
_SAID, _ABOUT = ("instruction", "response"), ("prompt_prefix", "context")


def dedupe(table: Table, near: float | None) -> Table:
    """Return the table with the best-scored of rows that are equal, or share ``near`` of their runs of words."""
    rows, ids = table.best_first("score"), table.id
    first = first_equal(exact_keys(reader(table.data, _WHOLE, rows), len(rows)))
    same = np.arange(len(ids))
    same[rows] = rows[first]
    repeats = same != np.arange(len(ids))
    step = "same response to the same instruction"
    table = table.drop(repeats, step, lambda dropped: [f"same as {name}" for name in ids[same[dropped]]])
    if near is None:
        return table
    rows = table.best_first("score")
    has_setting = any((table.data[column] != "").any() for column in _ABOUT)
    setting = reader(table.data, _ABOUT, rows) if has_setting else None
    like, similarity = near_duplicates(reader(table.data, _SAID, rows), len(rows), near, setting=setting)
    return table.drop_alike(rows, like, similarity, "nearly the same as a better row")


def reader(data: pd.DataFrame, columns: Sequence[str], rows: Integers) -> Read:
    r"""Return what reads some columns of some rows, joined, a few at a time.

    >>> data = pd.DataFrame({"instruction": ["Why?", "How?"], "response": ["Rain.", "So."]})
    >>> reader(data, ["instruction", "response"], np.array([1, 0]))(np.array([0])).to_list()
    ['How?\nSo.']
    """
    values = [data[column].to_numpy(dtype=object) for column in columns]

    def read(places: Integers) -> "pl.Series":
        chosen = rows[places]
        joined = np.empty(len(chosen), dtype=object)
        joined[:] = list(map("\n".join, zip(*(column[chosen] for column in values), strict=True)))
        return text_series(joined)

    return read
