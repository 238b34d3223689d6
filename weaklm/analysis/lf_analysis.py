"""LFAnalysis: what each labeling function covers, how often functions overlap and conflict, how often each is right.

It reads the votes of any label model's input; with the data at hand it shows the rows behind a number, warns of what is
likely wrong (:mod:`weaklm.analysis.lints`), and draws which functions repeat or contradict each other.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.analysis import lints
from weaklm.analysis.graph import Graph
from weaklm.analysis.tally import Tally
from weaklm.data import ABSTAIN, HUMAN_LABEL, LABEL_NAMES
from weaklm.errors import DataError, nearest
from weaklm.estimation import wilson
from weaklm.functions import Function

_SHOWN = ("id", "source", "instruction", "context", "prompt_prefix", "response")


class Run(Protocol):
    """How the functions ran, by name: what ``LFApplier.apply(data, return_meta=True)`` gives as its second result."""

    @property
    def seconds(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def ran(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def n_failed(self) -> Mapping[str, int]: ...  # noqa: D102


class LFAnalysis:
    """Statistics of the votes L of shape (n_examples, n_lfs); -1 is an abstain.

    Parameters
    ----------
    L
        The votes.
    functions
        The labeling functions that voted, in the order of the columns; their names label the rows of the summary.
    meta
        How they ran: the second result of ``LFApplier(functions).apply(data, return_meta=True)``.

    Examples
    --------
    >>> L = np.array([[-1, 0, 0], [-1, -1, -1], [1, 0, -1], [-1, 0, -1], [0, 0, 0]])
    >>> analysis = LFAnalysis(L)
    >>> analysis.label_coverage(), analysis.label_overlap(), analysis.label_conflict()
    (0.8, 0.6, 0.2)
    >>> data = pd.DataFrame({"response": ["Yes.", "No.", "It may.", "Ask us.", "Sorry."]})
    >>> analysis.conflicts(0, 1, data)
            0       1 response
    2  ACCEPT  REJECT  It may.
    """

    def __init__(self, L: ArrayLike, functions: Sequence[Function] | None = None, meta: Run | None = None) -> None:
        self.L: NDArray[np.int8] = _checked(np.asarray(L))
        if functions is not None and len(functions) != self.L.shape[1]:
            raise DataError(f"L has {self.L.shape[1]} columns, but there are {len(functions)} functions")
        if meta is not None and functions is None:
            raise DataError("meta tells of functions by name; give LFAnalysis the functions too")
        self.functions, self.meta = None if functions is None else list(functions), meta
        self.names = None if functions is None else [function.name for function in functions]

    @cached_property
    def tally(self) -> Tally:
        """The counts behind all statistics, of functions and of pairs of them."""
        return Tally.of(self.L)

    def label_coverage(self) -> float:
        """Return the share of examples with at least one vote."""
        return self.tally.n_covered / self.tally.n_rows

    def label_overlap(self) -> float:
        """Return the share of examples with at least two votes."""
        return self.tally.n_overlapped / self.tally.n_rows

    def label_conflict(self) -> float:
        """Return the share of examples with two different votes."""
        return self.tally.n_conflicted / self.tally.n_rows

    def lf_summary(self, Y: ArrayLike | None = None) -> pd.DataFrame:
        """Return one row a function: Snorkel's columns, how sure its accuracy is, what it adds, and how it ran.

        Columns: ``j`` (the column of L; with ``functions`` only), ``Polarity`` (the votes that it ever casts), and as
        shares of all examples ``Coverage`` (it votes), ``Overlaps`` (another votes too), ``Conflicts`` (another votes
        differently). With Y: ``Correct`` and ``Incorrect`` votes on human-labelled rows, their share ``Emp. Acc.``
        (0 without such a vote), and its Wilson interval ``Acc. low`` to ``Acc. high`` (95 %). Then ``Only vote`` (the
        share of all examples where no other votes), ``Redundancy`` (the largest absolute phi with another function;
        1 says the same on every row) and ``Redundant with`` (that function). With ``meta``: ``Seconds``, ``Errors``
        (the rows where it raised), ``Ran`` (on columns, or row by row and why).

        Parameters
        ----------
        Y
            Human labels of shape (n_examples,), -1 where there is none; those rows do not count.
        """
        tally, names = self.tally, self._labels()
        columns: dict[str, object] = {} if self.names is None else {"j": range(len(names))}
        columns |= {
            "Polarity": [np.flatnonzero(votes).tolist() for votes in tally.votes],
            "Coverage": tally.coverage,
            "Overlaps": tally.overlapped / tally.n_rows,
            "Conflicts": tally.conflicted / tally.n_rows,
        }
        columns |= {} if Y is None else self._against(self._labels_of(Y))
        columns |= {"Only vote": tally.alone / tally.n_rows} | self._redundancy()
        if self.meta is not None and self.names is not None:
            columns["Seconds"] = [self.meta.seconds.get(name, np.nan) for name in self.names]
            columns["Errors"] = [self.meta.n_failed.get(name, 0) for name in self.names]
            columns["Ran"] = [self.meta.ran.get(name, "") for name in self.names]
        return pd.DataFrame(columns, index=pd.Index(names))

    def conflicts(self, lf_a: str | int, lf_b: str | int, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``data`` where two functions vote differently: both votes, then the texts.

        Functions are named, or counted from 0 as in the columns of L.
        """
        a, b = self._position(lf_a), self._position(lf_b)
        both = (self.L[:, a] != ABSTAIN) & (self.L[:, b] != ABSTAIN)
        return self._rows(both & (self.L[:, a] != self.L[:, b]), data, {a: self.L[:, a], b: self.L[:, b]})

    def mistakes(self, lf: str | int, Y: ArrayLike, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``data`` where a function votes against the human label: vote, label, texts."""
        j, labels = self._position(lf), self._labels_of(Y)
        wrong = (self.L[:, j] != ABSTAIN) & (labels != ABSTAIN) & (self.L[:, j] != labels)
        return self._rows(wrong, data, {j: self.L[:, j], HUMAN_LABEL: labels})

    def only_votes(self, lf: str | int, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``data`` where a function is the only one that votes: what would be lost without it."""
        j = self._position(lf)
        alone = (self.L[:, j] != ABSTAIN) & ((self.L != ABSTAIN).sum(axis=1) == 1)
        return self._rows(alone, data, {j: self.L[:, j]})

    def uncovered(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``data`` where no function votes: where a new one has most to add."""
        return self._rows((self.L == ABSTAIN).all(axis=1), data, {})

    def lints(self, Y: ArrayLike | None = None, data: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return what is likely wrong, one finding a row: ``function``, ``lint`` and ``detail``, which says what to do.

        Always: a set that knows one vote only; functions that never or nearly always vote, repeat another, or vote on
        a part of another's rows. With Y: votes worse than the base rate. With ``meta``: functions that raise. With
        ``data``: rules that length alone would give; with ``functions`` too, batch functions whose votes depend on
        the batch (they are applied again, to halves of up to 2,000 rows).
        """
        names = [str(name) for name in self._labels()]
        found = list(lints.of_votes(names, self.tally))
        if Y is not None:
            labels = self._labels_of(Y)
            found += lints.of_labels(names, self.L[labels != ABSTAIN], labels[labels != ABSTAIN])
        if self.meta is not None:
            found += lints.of_run(names, self.meta.n_failed, len(self.L))
        if data is not None:
            self._check_rows(data)
            found += lints.of_length(names, self.functions, self.L, data["response"])
            found += lints.of_batches(self.functions or (), data)
        return _Findings(found, columns=["function", "lint", "detail"])

    def graph(self) -> Graph:
        """Return a picture of the functions: which repeat each other, and which conflict; shows in a notebook."""
        return Graph.of([str(name) for name in self._labels()], self.tally)

    def _labels(self) -> Sequence[Any]:
        return range(self.L.shape[1]) if self.names is None else self.names

    def _labels_of(self, Y: ArrayLike) -> NDArray[np.integer]:
        labels = np.asarray(Y)
        if labels.shape != self.L.shape[:1]:
            raise DataError(
                f"Y has shape {labels.shape}; one label for each of the {len(self.L)} rows of L is expected"
            )
        n_classes = self.tally.votes.shape[1]
        if labels.dtype.kind not in "biufO" or not (known := np.isin(labels, range(ABSTAIN, n_classes))).all():
            value = labels.tolist()[0 if labels.dtype.kind not in "biufO" else int(np.argmin(known))]
            raise DataError(
                f"Y holds {value!r}, which is no label; -1 (no label, NaN is none either) and the classes of L, 0 to "
                f"{n_classes - 1}, are expected"
            )
        return labels.astype(np.int64)

    def _against(self, Y: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
        """Return the columns that compare votes with human labels."""
        L, labels = self.L[Y != ABSTAIN], Y[Y != ABSTAIN]
        n_judged = (L != ABSTAIN).sum(axis=0)
        correct = np.equal(L, labels[:, None]).sum(axis=0)
        low, high = wilson(correct, n_judged)
        accuracy = correct / np.maximum(n_judged, 1)
        return {
            "Correct": correct,
            "Incorrect": n_judged - correct,
            "Emp. Acc.": accuracy,
            "Acc. low": low,
            "Acc. high": high,
        }

    def _redundancy(self) -> dict[str, object]:
        """Return the largest phi of each function with another, and the other."""
        phi = np.abs(self.tally.phi) * (1 - np.eye(self.L.shape[1]))
        largest, with_ = phi.max(axis=1), phi.argmax(axis=1)
        others = [self._labels()[j] if value > 0 else None for j, value in zip(with_, largest, strict=True)]
        return {"Redundancy": largest, "Redundant with": pd.Series(others, index=self._labels(), dtype=object)}

    def _position(self, lf: str | int) -> int:
        """Return the column of a function by its name or number."""
        names = self._labels()
        if isinstance(lf, int) and 0 <= lf < len(names):
            return lf
        if lf not in names:
            said = nearest(str(lf), map(str, names)) if self.names else f"L has {len(names)} columns, from 0 on"
            raise DataError(f"there is no labeling function {lf!r}; {said}")
        return list(names).index(lf)

    def _check_rows(self, data: pd.DataFrame) -> None:
        if len(data) != len(self.L):
            raise DataError(f"data has {len(data)} rows, but L has {len(self.L)}; give the rows that were voted on")

    def _rows(
        self, chosen: NDArray[np.bool_], data: pd.DataFrame, votes: Mapping[Any, NDArray[np.integer]]
    ) -> pd.DataFrame:
        """Return the chosen rows of the data: votes by name, then the texts, on the index of the data."""
        self._check_rows(data)
        rows = data.loc[chosen, [column for column in _SHOWN if column in data.columns]]
        said = {name if isinstance(name, str) else self._labels()[name]: array[chosen] for name, array in votes.items()}
        words = {name: [LABEL_NAMES.get(int(vote), str(vote)) for vote in array] for name, array in said.items()}
        return pd.concat([pd.DataFrame(words, index=rows.index), rows], axis=1)


class _Findings(pd.DataFrame):
    """A frame that shows its sentences whole."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return self.to_string(index=False) if len(self) else "nothing found"

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return self.to_html(index=False) if len(self) else "<p>nothing found</p>"


def _checked(L: NDArray[Any]) -> NDArray[Any]:
    """Return the votes as integers, or say what is wrong with them."""
    if L.ndim != 2 or 0 in L.shape:
        raise DataError(f"L has shape {L.shape}; votes of shape (n_examples, n_lfs), both over 0, are expected")
    votes = L.astype(np.int64) if L.dtype.kind == "f" and np.isfinite(L).all() else L
    if votes.dtype.kind not in "iu" or votes.min() < ABSTAIN or (votes is not L and (votes != L).any()):
        raise DataError("L holds something that is no vote; -1 for an abstain and 0, 1, ... for a class are expected")
    return votes
