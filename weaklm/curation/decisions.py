"""What was decided of each row, and by which step: a few cheap columns beside the data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DECISION_COLUMNS = ("score", "label", "confidence", "kept", "reason", "detail")

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]
Detail = Callable[[Integers], Sequence[str]]  # rows -> what to say of each; asked for dropped rows only


@dataclass(frozen=True)
class Decisions:
    """The decisions of all rows, and the steps in order.

    >>> decisions = Decisions.of(np.array([0.9, 0.2])).drop(np.array([False, True]), "bad", lambda rows: ["score 0.2"])
    >>> decisions.frame.values.tolist()
    [[0.9, 'ACCEPT', 0.9, True, '', ''], [0.2, 'REJECT', 0.8, False, 'bad', 'score 0.2']]
    """

    frame: pd.DataFrame
    steps: tuple[str, ...] = ()

    @classmethod
    def of(cls, score: Numbers, index: pd.Index | None = None) -> "Decisions":
        """Return decisions that keep every row."""
        text = np.full(len(score), "", dtype=object)
        columns: dict[str, Any] = {
            "score": score,
            "label": np.where(score >= 0.5, "ACCEPT", "REJECT").astype(object),
            "confidence": np.maximum(score, 1 - score),
            "kept": np.ones(len(score), dtype=bool),
            "reason": text,
            "detail": text,
        }
        return cls(_with(pd.DataFrame(index=index if index is not None else range(len(score))), columns))

    @classmethod
    def read(cls, frame: pd.DataFrame, steps: Sequence[str]) -> "Decisions":
        """Return decisions as they were written to a file."""
        return cls(frame.astype({"label": object, "reason": object, "detail": object}), tuple(steps))

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column as an array."""
        values: NDArray[Any] = self.frame[column].to_numpy()
        return values

    def drop(self, failing: Flags, step: str, detail: Detail | None = None) -> "Decisions":
        """Return decisions without the rows that fail a step; those that were out already keep their reason."""
        dropped = np.flatnonzero(failing & self["kept"])
        kept, reason, why = self["kept"].copy(), self["reason"].copy(), self["detail"]
        kept[dropped], reason[dropped] = False, step
        if detail is not None and len(dropped):
            why = why.copy()
            why[dropped] = list(detail(dropped))
        steps = self.steps if step in self.steps else (*self.steps, step)
        return replace(self, frame=_with(self.frame, {"kept": kept, "reason": reason, "detail": why}), steps=steps)


def _with(frame: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    return frame.assign(**{name: pd.Series(v, index=frame.index, dtype=v.dtype) for name, v in columns.items()})
