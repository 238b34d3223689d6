"""LFAnalysis: what each labeling function covers, how often functions overlap and conflict, how often each is right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN
from weaklm.errors import DataError
from weaklm.estimation import wilson
from weaklm.functions import Function


class LFAnalysis:
    """Statistics of the votes L of shape (n_examples, n_lfs); -1 is an abstain.

    Parameters
    ----------
    L
        The votes.
    functions
        The labeling functions that voted, in the order of the columns; their names label the rows of the summary.

    Examples
    --------
    >>> L = np.array([[-1, 0, 0], [-1, -1, -1], [1, 0, -1], [-1, 0, -1], [0, 0, 0]])
    >>> analysis = LFAnalysis(L)
    >>> analysis.label_coverage(), analysis.label_overlap(), analysis.label_conflict()
    (0.8, 0.6, 0.2)
    """

    def __init__(self, L: ArrayLike, functions: Sequence[Function] | None = None) -> None:
        self.L: NDArray[np.int8] = np.asarray(L)
        if self.L.ndim != 2 or 0 in self.L.shape:
            raise DataError(
                f"L has shape {self.L.shape}; votes of shape (n_examples, n_lfs), both over 0, are expected"
            )
        if functions is not None and len(functions) != self.L.shape[1]:
            raise DataError(f"L has {self.L.shape[1]} columns, but there are {len(functions)} functions")
        self.names = None if functions is None else [function.name for function in functions]
        self._voted = self.L != ABSTAIN
        self._overlapped = self._voted.sum(axis=1) > 1
        highest = self.L.max(axis=1, keepdims=True)
        self._conflicted = (self._voted & (highest != self.L)).any(axis=1)

    def label_coverage(self) -> float:
        """Return the share of examples with at least one vote."""
        return float(self._voted.any(axis=1).mean())

    def label_overlap(self) -> float:
        """Return the share of examples with at least two votes."""
        return float(self._overlapped.mean())

    def label_conflict(self) -> float:
        """Return the share of examples with two different votes."""
        return float(self._conflicted.mean())

    def lf_summary(self, Y: ArrayLike | None = None) -> pd.DataFrame:
        """Return one row a function with Snorkel's columns, and with human labels how sure its accuracy is.

        Columns: ``j`` (the column of L; with ``functions`` only), ``Polarity`` (the votes that it ever casts), and as
        shares of all examples ``Coverage`` (it votes), ``Overlaps`` (another votes too), ``Conflicts`` (another votes
        differently). With Y: ``Correct`` and ``Incorrect`` votes on human-labelled rows, their share ``Emp. Acc.``
        (0 without such a vote), and its Wilson interval ``Acc. low`` to ``Acc. high`` (95 %).

        Parameters
        ----------
        Y
            Human labels of shape (n_examples,), -1 where there is none; those rows do not count.
        """
        names = range(self.L.shape[1]) if self.names is None else self.names
        columns: dict[str, object] = {} if self.names is None else {"j": range(len(names))}
        columns |= {
            "Polarity": [np.unique(votes[votes != ABSTAIN]).tolist() for votes in self.L.T],
            "Coverage": self._voted.mean(axis=0),
            "Overlaps": (self._voted & self._overlapped[:, None]).mean(axis=0),
            "Conflicts": (self._voted & self._conflicted[:, None]).mean(axis=0),
        }
        return pd.DataFrame(columns | ({} if Y is None else self._against(np.asarray(Y))), index=pd.Index(names))

    def _against(self, Y: NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
        """Return the columns that compare votes with human labels."""
        if Y.shape != self.L.shape[:1]:
            raise DataError(f"Y has shape {Y.shape}; one label for each of the {len(self.L)} rows of L is expected")
        judged = self._voted & (Y != ABSTAIN)[:, None]
        correct = (judged & (Y[:, None] == self.L)).sum(axis=0)
        n_judged = judged.sum(axis=0)
        low, high = wilson(correct, n_judged)
        accuracy = correct / np.maximum(n_judged, 1)
        return {
            "Correct": correct,
            "Incorrect": n_judged - correct,
            "Emp. Acc.": accuracy,
            "Acc. low": low,
            "Acc. high": high,
        }
