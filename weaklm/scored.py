"""Scored answers: examples with a score, a decision and what people said; the rates of any part of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, complete, human_labels
from weaklm.errors import DataError, SettingsError, nearest
from weaklm.estimation import corrected_rate, human_rate, rate
from weaklm.metrics import check_score

_EXCERPT = 700  # characters of a text that a report shows


@dataclass(frozen=True)
class Scored:
    """Answers with their scores.

    Attributes
    ----------
    data
        Examples with every standard column.
    score
        (n,) probability of ACCEPT.
    accepted
        (n,) bool: whether the score reaches the threshold.
    Y
        (n,) int8 labels by people: 0 REJECT, 1 ACCEPT, -1 none.
    """

    data: pd.DataFrame
    score: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    Y: NDArray[np.int8]

    @classmethod
    def of(cls, data: pd.DataFrame, score: ArrayLike, threshold: float, Y: ArrayLike | None = None) -> "Scored":
        """Return checked answers; without ``Y`` the labels are those of the column ``human_label``."""
        if not 0 <= threshold <= 1:
            raise SettingsError(f"threshold is {threshold!r}; a number from 0 to 1 was expected")
        data = complete(data)
        values = check_score(score, len(data))
        labels = human_labels(data) if Y is None else np.asarray(Y)
        if labels.shape != (len(data),) or not np.isin(labels, (-1, 0, 1)).all():
            raise DataError(f"Y has shape {labels.shape}; one of -1, 0 and 1 a row, ({len(data)},), was expected")
        return cls(data, values, values >= threshold, labels.astype(np.int8))

    def rates(self, part: NDArray[np.bool_]) -> dict[str, Any]:
        """Return the numbers of a part of the rows, (n,) bool: its size, and its rates as plain values."""
        score, Y = self.score[part], self.Y[part]
        corrected = corrected_rate(Y, score)
        return {
            "n": int(part.sum()),
            "share": float(part.mean()) if len(part) else None,
            "proxy": rate(self.accepted[part]).to_dict(),
            "mean_score": float(score.mean()) if len(score) else None,
            "human": human_rate(Y).to_dict(),
            "corrected": None if corrected is None else corrected.to_dict(),
        }

    def example(self, row: int) -> dict[str, Any]:
        """Return what a report shows of one row; long texts are cut."""
        x = self.data.iloc[row]
        label = int(self.Y[row])
        texts = {column: excerpt(x[column]) for column in ("instruction", "context", "response")}
        return {
            "id": x["id"],
            "source": x["source"],
            "score": float(self.score[row]),
            "decision": "ACCEPT" if self.accepted[row] else "REJECT",
            "human_label": None if label == ABSTAIN else ("REJECT", "ACCEPT")[label],
            **texts,
        }


@dataclass(frozen=True)
class Members:
    """Who is in which slice: ``S`` (n, k) bool, a column a name; ``on_response`` the slices that read the response."""

    names: tuple[str, ...]
    S: NDArray[np.bool_]
    on_response: frozenset[str]

    @classmethod
    def of(cls, data: pd.DataFrame, slices: Sequence[Any] | None) -> "Members":
        """Return the members of the slicing functions' slices."""
        if not slices:
            return cls((), np.zeros((len(data), 0), dtype=bool), frozenset())
        from weaklm.apply import SFApplier

        applier = SFApplier(slices)
        names = tuple(function.name for function in applier.functions)
        return cls(names, applier.apply(data), frozenset(applier.reads_response))

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        if name not in self.names:
            raise DataError(f"there is no slice {name!r}; {nearest(name, self.names)}")
        return self.S[:, self.names.index(name)]


def excerpt(text: str) -> str:
    """Return the beginning of a long text, and how much is missing.

    >>> excerpt("ab" * 400)[-26:]
    'ab … (100 more characters)'
    """
    missing = len(text) - _EXCERPT
    return text if missing <= 0 else f"{text[:_EXCERPT]} … ({missing:,} more characters)"


def flat(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return summaries as a table; an estimate ``rate`` becomes ``rate``, ``rate_low``, ``rate_high``, ``rate_n``."""
    return pd.DataFrame([dict(_cells(record)) for record in records])


def _cells(record: dict[str, Any]) -> list[tuple[str, Any]]:
    cells: list[tuple[str, Any]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            cells += [(key, value["value"]), *((f"{key}_{part}", value[part]) for part in ("low", "high", "n"))]
        else:
            cells.append((key, value))
    return cells
