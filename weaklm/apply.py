"""Apply functions to data: LFApplier gives the votes L, SFApplier the slice membership S.

Functions that are declared over columns, or whose source can be compiled to that, run on whole columns; the others run
row by row, here or in worker processes. The votes are those of a plain loop in every mode, in the order of the frame,
whatever its index. Nothing is swallowed: a function that fails on a row abstains there, is counted and told, and ends
the run when it fails too often.
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.code import needs, reads
from weaklm.columnwise import evaluate, routes, row_columns
from weaklm.data import HUMAN_LABEL, UNDECIDED, complete
from weaklm.errors import FunctionError, FunctionWarning, nearest
from weaklm.functions import Function
from weaklm.memory import RowKeys, VoteMemory
from weaklm.snorkel_core import LabelingFunction as SnorkelLabelingFunction
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction
from weaklm.voting import Voters, Votes, most_failures

if TYPE_CHECKING:
    from distributed import Client

    from weaklm.workers.pool import Workers

MAX_ERROR_RATE = 0.01  # the default
_ROWS = 1024  # rows that are shown to row functions between two steps of the progress bar
_BATCH = 16_384  # rows that a batch function gets at most
_EXAMPLES = 3  # failures of a function that are kept with their traceback


@dataclass(frozen=True)
class ApplyMeta:
    """What happened while functions were applied.

    Attributes
    ----------
    ran
        How each function ran: "columns" (declared so), "compiled", "batch", "remembered", or "rows" and why.
    seconds
        Seconds that each function took, summed over worker processes.
    failures
        One row for each time that a function failed on an example: function, id, reason, and for the first three of
        a function the traceback.
    confidence
        Shape (n_examples, n_functions), float32, NaN where a function gave none; None where none gave any.
    """

    ran: dict[str, str]
    seconds: dict[str, float]
    failures: pd.DataFrame
    confidence: NDArray[np.float32] | None = None

    @property
    def n_failed(self) -> dict[str, int]:
        """Number of examples on which each function failed."""
        counts = self.failures["function"].value_counts()
        return {name: int(counts.get(name, 0)) for name in self.ran}


class _Applier:
    """What the two appliers share."""

    _slices: bool

    def __init__(
        self,
        functions: Iterable[Function],
        *,
        n_jobs: int | None = None,
        client: "Client | None" = None,
        cache: str | Path | None = None,
        on_error: Literal["abstain", "raise"] = "abstain",
        max_error_rate: float = MAX_ERROR_RATE,
        row_seconds: float | None = 60.0,
        worker_memory: int | None = None,
        progress: bool = False,
    ) -> None:
        self.functions = _checked(functions, slices=self._slices)
        if on_error not in ("abstain", "raise"):
            raise FunctionError(f"on_error is {on_error!r}; expected 'abstain' or 'raise'")
        if not isinstance(max_error_rate, int | float) or not 0 <= max_error_rate <= 1:
            raise FunctionError(f"max_error_rate is {max_error_rate!r}; a share of the rows from 0 to 1 was expected")
        if row_seconds is not None and not (isinstance(row_seconds, int | float) and row_seconds > 0):
            raise FunctionError(f"row_seconds is {row_seconds!r}; None (no limit) or a number over 0 was expected")
        if n_jobs is not None and not (isinstance(n_jobs, int) and n_jobs >= 1):
            raise FunctionError(f"n_jobs is {n_jobs!r}; None (in this process) or at least 1 worker was expected")
        self.n_jobs, self.on_error, self.max_error_rate = n_jobs, on_error, max_error_rate
        self.row_seconds, self.worker_memory, self.progress = row_seconds, worker_memory, progress
        self.client = client
        self._memory = None if cache is None else VoteMemory(cache)
        self._workers: Workers | None = None
        self._stays_open = False

    def __enter__(self) -> Self:
        """Keep the worker processes from one ``apply`` to the next."""
        self._stays_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Stop the worker processes."""
        self._stays_open = False
        self._close()

    def _close(self) -> None:
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def _apply(self, data: pd.DataFrame) -> tuple[NDArray[np.int8], ApplyMeta]:
        if self.n_jobs is not None and self.client is None:
            self._pool()  # they load the functions while the data are looked at
        try:
            frame = complete(data)
            _check_columns(self.functions, frame.columns)
            values, meta = self._apply_here(frame) if self.client is None else self._apply_there(frame)
        finally:
            if not self._stays_open:
                self._close()
        _warn(meta, len(frame))
        return values, meta

    def _apply_there(self, frame: pd.DataFrame) -> tuple[NDArray[np.int8], ApplyMeta]:
        from weaklm.cluster import apply_frame

        assert self.client is not None
        return apply_frame(self, frame, self.client)

    def _apply_here(self, frame: pd.DataFrame) -> tuple[NDArray[np.int8], ApplyMeta]:
        run = _Run(self.functions, frame, n_most=most_failures(self.max_error_rate, len(frame)))
        if self._memory is None:
            for rows, positions in run.unknown():
                self._compute(run, rows, positions)
        else:
            self._remember(run, self._memory)
        return run.values, run.meta()

    def _remember(self, run: "_Run", memory: VoteMemory) -> None:
        """Take the votes that are known, compute the others, and keep them, those of a run that fails too."""
        keys = RowKeys(run.frame)
        kept = {p: memory.version(f) for p, f in enumerate(self.functions) if getattr(f, "cache", True)}
        for position, version in kept.items():
            values, confidence = memory.recall(version, keys.of(self.functions[position]))
            run.values[:, position] = values
            run.ran[position] = "remembered"
            run.note_confidence(slice(None), [position], None if confidence is None else confidence[:, None])
        for rows, positions in run.unknown():
            try:
                self._compute(run, rows, positions)
            finally:
                for position in kept.keys() & positions:
                    sound = rows[run.values[rows, position] != UNDECIDED]
                    sound = sound[~np.isin(sound, run.failed_rows(position))]  # asked again next time
                    confidence = None if run.confidence is None else run.confidence[sound, position]
                    contents = keys.of(self.functions[position])[sound]
                    memory.keep(kept[position], contents, run.values[sound, position], confidence)

    def _compute(self, run: "_Run", rows: NDArray[np.intp], positions: Sequence[int]) -> None:
        """Ask functions about rows: on columns where that is possible, then row by row what is left."""
        frame = run.frame if len(rows) == len(run.frame) else run.frame.iloc[rows]

        def ask(number: int, columns: Mapping[str, Sequence[Any]]) -> Votes:
            """Let one of the functions vote on a few rows, where its limits hold."""
            if self.n_jobs is None:
                return Voters([self.functions[positions[number]]], slices=self._slices).vote(columns)
            (votes,) = self._pool().vote([columns], [positions[number]])
            return votes

        planned = routes([self.functions[position] for position in positions], frame, ask)
        for position, route in zip(positions, planned, strict=True):
            run.ran[position] = route.how
        fast = [(p, r.expression) for p, r in zip(positions, planned, strict=True) if r.expression is not None]
        if fast:
            self._look_at_columns(run, frame, rows, fast)
        for left, asked in run.left(rows, positions):
            self._ask(run, left, asked)

    def _look_at_columns(
        self, run: "_Run", frame: pd.DataFrame, rows: NDArray[np.intp], fast: Sequence[tuple[int, Any]]
    ) -> None:
        """Evaluate expressions over all rows in one pass, whose seconds they share."""
        positions = [position for position, _ in fast]
        began = time.perf_counter()
        with self._bar(len(rows), "whole columns") as bar:
            for chunk, values in evaluate([expression for _, expression in fast], frame):
                run.values[rows[chunk][:, None], positions] = values
                bar.update(len(values))
        run.seconds[positions] += (time.perf_counter() - began) / len(fast)

    def _ask(self, run: "_Run", rows: NDArray[np.intp], positions: list[int]) -> None:
        """Show rows to functions, here or in worker processes."""
        functions = [self.functions[position] for position in positions]
        columns = row_columns(functions, run.frame.iloc[rows])
        size = _BATCH if run.ran[positions[0]] == "batch" and self.n_jobs is None else _ROWS
        chunks = [slice(start, start + size) for start in range(0, len(rows), size)]
        parts = ({name: values[chunk] for name, values in columns.items()} for chunk in chunks)
        with self._bar(len(rows), "row by row") as bar:
            for chunk, votes in zip(chunks, self._votes(parts, positions, run), strict=True):
                run.take(rows[chunk], positions, votes)
                bar.update(len(votes.values))

    def _bar(self, n_rows: int, how: str) -> Any:
        from tqdm import tqdm

        return tqdm(total=n_rows, unit="rows", desc=how, disable=not self.progress)

    def _votes(self, parts: Iterator[dict[str, list[Any]]], positions: list[int], run: "_Run") -> Iterator[Votes]:
        if self.n_jobs is None:
            voters = Voters(self.functions, slices=self._slices, on_error=self.on_error)
            return (voters.vote(part, positions) for part in parts)
        return self._pool().vote(parts, positions, max_failures=run.n_most)

    def _pool(self) -> "Workers":
        """Return the worker processes, which start without being waited for."""
        if self._workers is None:
            from weaklm.workers.pool import Workers

            self._workers = Workers(
                self.functions,
                n_jobs=self.n_jobs or 1,
                slices=self._slices,
                on_error=self.on_error,
                row_seconds=self.row_seconds,
                memory=self.worker_memory,
            )
            self._workers.start()
        return self._workers


class LFApplier(_Applier):
    """Labeling functions, ready to vote on data.

    Parameters
    ----------
    functions
        Labeling functions, ours or Snorkel's; their order is the order of the columns of L.
    n_jobs
        Number of worker processes for functions that run row by row; None runs them in this process. Only workers can
        enforce ``row_seconds`` and ``worker_memory``.
    client
        A Dask client: its workers vote on pieces of the frame. For data larger than memory see
        :func:`weaklm.apply_parts`.
    cache
        A folder that remembers votes from run to run: only edited functions and new rows are asked. Functions with
        ``cache=False`` are always asked.
    on_error
        "abstain": a function that raises abstains on that row, and is counted; "raise" ends the run at once.
    max_error_rate
        The greatest share of the rows on which a function may fail; above it the run ends, with its name.
    row_seconds
        Seconds that one function may take for one row, in a worker; None sets no limit.
    worker_memory
        Bytes that a function may allocate, in a worker; None sets no limit.
    progress
        Show progress on stderr: rows, rows a second, time left.

    Examples
    --------
    >>> from weaklm.functions import labeling_function
    >>> @labeling_function
    ... def says_sorry(x):
    ...     return 0 if "sorry" in x.response.lower() else -1
    >>> data = pd.DataFrame({"instruction": ["Why?", "Why?"], "response": ["Sorry, no.", "Because it rained."]})
    >>> LFApplier([says_sorry]).apply(data).tolist()
    [[0], [-1]]
    """

    _slices = False

    @overload
    def apply(self, data: pd.DataFrame) -> NDArray[np.int8]: ...
    @overload
    def apply(self, data: pd.DataFrame, return_meta: Literal[True]) -> tuple[NDArray[np.int8], ApplyMeta]: ...
    @overload
    def apply(self, data: pd.DataFrame, return_meta: Literal[False]) -> NDArray[np.int8]: ...
    def apply(
        self, data: pd.DataFrame, return_meta: bool = False
    ) -> NDArray[np.int8] | tuple[NDArray[np.int8], ApplyMeta]:
        """Return L of shape (n_examples, n_lfs), int8: -1 abstain, 0 reject, 1 accept; on request with an ApplyMeta.

        Raises
        ------
        FunctionError
            If a function fails too often, returns something else, changes the example, or reads a column that no row
            has; names the function and the example.
        """
        L, meta = self._apply(data)
        return (L, meta) if return_meta else L


class SFApplier(_Applier):
    """Slicing functions, ready to say which examples are members of their slices.

    The parameters are those of :class:`LFApplier`, for slicing functions; one that fails on a row has no member there.

    Examples
    --------
    >>> from weaklm.functions import slicing_function
    >>> @slicing_function
    ... def asks_how(x):
    ...     return x.instruction.startswith("How")
    >>> data = pd.DataFrame({"instruction": ["How?", "Why?"], "response": ["So.", "Because."]})
    >>> SFApplier([asks_how]).apply(data).tolist()
    [[True], [False]]
    """

    _slices = True

    @property
    def reads_response(self) -> list[str]:
        """Names of the slices whose members depend on the response, so that sources cannot be compared on them."""
        return [function.name for function in self.functions if "response" in reads(function)]

    @overload
    def apply(self, data: pd.DataFrame) -> NDArray[np.bool_]: ...
    @overload
    def apply(self, data: pd.DataFrame, return_meta: Literal[True]) -> tuple[NDArray[np.bool_], ApplyMeta]: ...
    @overload
    def apply(self, data: pd.DataFrame, return_meta: Literal[False]) -> NDArray[np.bool_]: ...
    def apply(
        self, data: pd.DataFrame, return_meta: bool = False
    ) -> NDArray[np.bool_] | tuple[NDArray[np.bool_], ApplyMeta]:
        """Return S of shape (n_examples, n_slices), bool; only True is membership, not 1, None or "yes".

        Raises
        ------
        FunctionError
            If a function fails too often, changes the example, or reads a column that no row has; names the function
            and the example.
        """
        S, meta = self._apply(data)
        return (S.astype(bool), meta) if return_meta else S.astype(bool)


class _Run:
    """The votes of one call of ``apply`` as they come in, and what went wrong."""

    def __init__(self, functions: Sequence[Any], frame: pd.DataFrame, n_most: int) -> None:
        self.functions, self.frame, self.n_most = functions, frame, n_most
        self.values = np.full((len(frame), len(functions)), UNDECIDED, dtype=np.int8)
        self.confidence: NDArray[np.float32] | None = None
        self.seconds = np.zeros(len(functions))
        self.ran = [""] * len(functions)
        self._failures: list[list[tuple[int, str, str]]] = [[] for _ in functions]  # row, reason, traceback

    def unknown(self) -> Iterator[tuple[NDArray[np.intp], list[int]]]:
        """Yield rows, and the positions of the functions that are to be asked about just these rows."""
        yield from self._alike((self.values == UNDECIDED).T, range(len(self.functions)), np.arange(len(self.frame)))

    def left(self, rows: NDArray[np.intp], positions: Sequence[int]) -> Iterator[tuple[NDArray[np.intp], list[int]]]:
        """Yield rows that columns could not decide, and the functions to show them to; batch functions alone."""
        for batch in (True, False):
            those = [position for position in positions if (self.ran[position] == "batch") is batch]
            yield from self._alike((self.values[rows[:, None], those] == UNDECIDED).T, those, rows)

    @staticmethod
    def _alike(
        masks: NDArray[np.bool_], positions: Sequence[int], rows: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.intp], list[int]]]:
        groups: dict[bytes, list[int]] = {}
        for number, mask in enumerate(masks):
            groups.setdefault(mask.tobytes(), []).append(number)
        for numbers in groups.values():
            if (mask := masks[numbers[0]]).any():
                yield rows[mask], [positions[number] for number in numbers]

    def take(self, rows: NDArray[np.intp], positions: list[int], votes: Votes) -> None:
        """Write down the votes on some rows; raise when a function has failed too often."""
        self.values[rows[:, None], positions] = votes.values
        self.seconds[positions] += votes.seconds
        self.note_confidence(rows, positions, votes.confidence)
        names = {self.functions[position].name: position for position in positions}
        for failure in votes.failures:
            failures = self._failures[names[failure.function]]
            told = failure.traceback if len(failures) < _EXAMPLES else ""
            failures.append((int(rows[failure.row]), failure.reason, told))
        for position in positions:
            if len(self._failures[position]) > self.n_most:
                raise FunctionError(
                    f"{self._told(position)} That is above max_error_rate; mend it, or let it abstain where it cannot "
                    f"tell.{self._traceback(position)}"
                )

    def note_confidence(self, rows: Any, positions: list[int], confidence: NDArray[np.float32] | None) -> None:
        if confidence is not None:
            if self.confidence is None:
                self.confidence = np.full(self.values.shape, np.nan, dtype=np.float32)
            whole = np.arange(len(self.frame))[rows]
            self.confidence[whole[:, None], positions] = confidence

    def failed_rows(self, position: int) -> list[int]:
        return [row for row, _, _ in self._failures[position]]

    def meta(self) -> ApplyMeta:
        ids = self.frame["id"].to_numpy()
        failures = [
            (self.functions[position].name, ids[row], reason, told)
            for position, own in enumerate(self._failures)
            for row, reason, told in own
        ]
        names = [function.name for function in self.functions]
        return ApplyMeta(
            ran=dict(zip(names, self.ran, strict=True)),
            seconds=dict(zip(names, self.seconds.tolist(), strict=True)),
            failures=pd.DataFrame(failures, columns=["function", "id", "reason", "traceback"]),
            confidence=self.confidence,
        )

    def _told(self, position: int) -> str:
        failures = [(self.frame["id"].iloc[row], reason) for row, reason, _ in self._failures[position]]
        return _told(self.functions[position].name, failures, len(self.frame))

    def _traceback(self, position: int) -> str:
        told = self._failures[position][0][2]
        return f" The first traceback:\n{told}" if told else ""


def _told(name: str, failures: Sequence[tuple[str, str]], n_rows: int) -> str:
    """Return in words how often a function failed, from the id and reason of each failure."""
    ids = ", ".join(repr(row_id) for row_id, _ in failures[:_EXAMPLES]) + (", ..." if len(failures) > _EXAMPLES else "")
    examples = "examples" if len(failures) > 1 else "example"
    return f"{name} failed on {examples} {ids} ({len(failures):,} of {n_rows:,}): {failures[0][1]}."


def _warn(meta: ApplyMeta, n_rows: int) -> None:
    """Tell which functions failed on a few rows."""
    for name, failures in meta.failures.groupby("function", sort=False):
        told = _told(str(name), list(zip(failures["id"], failures["reason"], strict=True)), n_rows)
        advice = "It abstains there; apply(..., return_meta=True) gives every failure."
        warnings.warn(f"{told} {advice}", FunctionWarning, stacklevel=4)


def _checked(functions: Iterable[Function], *, slices: bool) -> list[Any]:
    """Return the functions as a list, or say which one is of the wrong kind or has another's name."""
    kind, applier = ("slicing", "SFApplier") if slices else ("labeling", "LFApplier")
    if not isinstance(functions, Iterable):
        raise FunctionError(f"{applier} got {functions!r}; a list of {kind} functions was expected")
    checked: dict[str, Any] = {}
    for function in functions:
        if not isinstance(function, SnorkelLabelingFunction):
            raise FunctionError(f"{applier} got {function!r}; decorate it with @{kind}_function")
        if isinstance(function, SnorkelSlicingFunction) is not slices:
            theirs = "labeling" if slices else "slicing"
            raise FunctionError(f"{applier} got the {theirs} function {function.name!r}; it takes {kind} functions")
        if function.name in checked:
            raise FunctionError(f"{applier} got two functions named {function.name!r}; names must be unique")
        checked[function.name] = function
    if not checked:
        raise FunctionError(f"{applier} got no function; at least one {kind} function is needed")
    return list(checked.values())


def _check_columns(functions: list[Any], columns: Iterable[str]) -> None:
    """Raise before the first row when a function reads a column that no row has."""
    visible = [column for column in columns if column != HUMAN_LABEL]
    for function in functions:
        for column in sorted(needs(function).difference(visible)):
            why = "which functions never see" if column == HUMAN_LABEL else "which no row has"
            raise FunctionError(f"{function.name} reads column {column!r}, {why}; {nearest(column, visible)}")
