"""Rows whose instruction is held out: trained on, it would be a test no longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.curation.decisions import Integers, Numbers
from weaklm.curation.minhash import text_series
from weaklm.curation.near_duplicates import exact_keys, first_equal, near_duplicates
from weaklm.curation.table import Table
from weaklm.errors import DataError, nearest

if TYPE_CHECKING:
    import polars as pl

_WORDS = 2  # instructions are short: one other word in the middle is five of its runs of five words, but two of two


def decontaminate(table: Table, eval_data: pd.DataFrame, columns: Sequence[str], threshold: float) -> Table:
    """Return the table without rows that ask what a held-out row asks."""
    if not isinstance(eval_data, pd.DataFrame):
        raise DataError(f"the held-out data are a {type(eval_data).__name__}; a pandas DataFrame was expected")
    rows = np.flatnonzero(table.kept)
    found = leakage(table.data.iloc[rows], eval_data, columns=columns, threshold=threshold)
    place, similarity = np.full(len(table.data), -1, dtype=np.int64), np.zeros(len(table.data))
    exact = np.zeros(len(table.data), dtype=bool)
    place[rows], similarity[rows], exact[rows] = found.place, found.similarity, found.is_exact
    names = eval_data["id"].astype(str).to_numpy() if "id" in eval_data.columns else np.arange(len(eval_data))
    asked = eval_data[columns[0]].to_numpy(dtype=object)

    def detail(dropped: Integers) -> list[str]:
        told = zip(similarity[dropped], names[place[dropped]], asked[place[dropped]], strict=True)
        return [f"{alike:.2f} like {name}: {str(text)[:80]}" for alike, name, text in told]

    table = table.drop(exact, "its instruction is held out", detail)
    table = table.drop(place >= 0, "its instruction is nearly one that is held out", detail)
    return table.note(*_general(place[place >= 0], names, len(rows)))


@dataclass(frozen=True)
class Leakage:
    """Which rows leak.

    Attributes
    ----------
    place
        (n_rows,) the held-out row that each matches; -1: none.
    similarity
        (n_rows,) the Jaccard similarity of the two; 1 where they are equal.
    is_exact
        (n_rows,) bool: they differ in case and white space at most.
    """

    place: Integers
    similarity: Numbers
    is_exact: NDArray[np.bool_]


def leakage(
    data: pd.DataFrame, eval_data: pd.DataFrame, *, columns: Sequence[str] = ("instruction",), threshold: float = 0.8
) -> Leakage:
    """Return which rows of data ask what a row of ``eval_data`` asks: equal, or from the similarity threshold on.

    Similar is by the share of pairs of neighbouring words that both have (Jaccard).

    >>> data = pd.DataFrame({"instruction": ["How high is the fee?", "Why?"]})
    >>> leakage(data, pd.DataFrame({"instruction": ["how high is  the fee?"]})).place.tolist()
    [0, -1]
    """
    for name, frame in {"the data": data, "the held-out data": eval_data}.items():
        for column in columns:
            if column not in frame.columns:
                raise DataError(f"{name} has no column {column!r}; {nearest(column, frame.columns)}")
    asked, place_of_asked = _different(eval_data, columns)
    texts, place = _different(data, columns)
    row_of_asked = np.unique(place_of_asked, return_index=True)[1]
    like, similarity, is_exact = _matches(asked, texts, threshold)
    row = np.where(like >= 0, row_of_asked[like], -1) if len(asked) else like
    return Leakage(row[place], similarity[place], is_exact[place])


def _different(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[Any], Integers]:
    """Return the different texts of some columns, joined, in order of appearance, and the place of each row's."""
    parts = [frame[column].astype(object).where(frame[column].notna(), "").astype(str) for column in columns]
    joined = parts[0] if len(parts) == 1 else pd.Series(map("\n".join, zip(*parts, strict=True)), dtype=object)
    place, texts = pd.factorize(joined.to_numpy(dtype=object))
    return texts, place.astype(np.int64)


def _matches(asked: NDArray[Any], texts: NDArray[Any], threshold: float) -> tuple[Integers, Numbers, NDArray[np.bool_]]:
    """Return for each text the place of the one asked that it matches (or -1), how nearly, and whether exactly."""
    both, n = np.concatenate([asked, texts]), len(asked)

    def read(rows: Integers) -> "pl.Series":
        return text_series(both[rows])

    keys = exact_keys(read, len(both))
    first = first_equal(keys)[n:]
    is_exact = first < n
    like, similarity = near_duplicates(read, len(both), threshold, n_words=_WORDS, n_fixed=n)
    return np.where(is_exact, first, like[n:]), np.where(is_exact, 1.0, similarity[n:]), is_exact


def _general(place: Integers, names: NDArray[Any], n_rows: int) -> list[str]:
    """Return a warning where one held-out instruction makes much go: it is one that fits any text."""
    if not len(place):
        return []
    most = int(np.bincount(place).argmax())
    n_most = int((place == most).sum())
    if n_most < max(0.1 * n_rows, 20):
        return []
    return [
        f"The held-out row {names[most]} alone matches {n_most:,} of {n_rows:,} rows. If its instruction is a general "
        'one, compare contexts too: decontaminate(..., columns=("instruction", "context")).'
    ]
