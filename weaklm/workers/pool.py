"""Functions vote in worker processes, which alone can limit time and memory: a row that kills its worker is found.

Functions travel by cloudpickle to a *nursery*, a process that loads them once and forks the *voters*
(:mod:`weaklm.workers.nursery`). A voter announces each block of rows before it votes. When it dies, or is silent for
too long, a new one goes through that block call by call; the call at which it dies too is the poison: it is named,
left out, and the rest goes on.
"""

import pickle
import queue
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from types import CodeType, TracebackType
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from weaklm.data import ABSTAIN
from weaklm.errors import FunctionError, SettingsError
from weaklm.voting import Failure, Voters, Votes
from weaklm.workers.nursery import Job, Request
from weaklm.workers.processes import FORKS, Source, Voter, with_note

Columns = Mapping[str, Sequence[Any]]

_BLOCK_SECONDS = 0.1  # of work that is done again when a voter dies
_TRIES = 3  # deaths at one place that no call explains: of a full machine, say


class Workers:
    """Worker processes in which functions vote; a context manager, for many chunks of rows.

    Parameters
    ----------
    functions
        Labeling functions or slicing functions. They see a chunk in blocks whose size depends on their speed.
    n_jobs
        The number of processes that vote at a time.
    slices, on_error
        As for :class:`~weaklm.voting.Voters`.
    row_seconds
        The longest that a function may take on one row, in seconds; one that takes longer fails there.
    memory
        The bytes that each process may allocate beyond what it holds when the functions are loaded; a function that
        needs more fails on that row. On Linux only.

    Examples
    --------
    >>> from weaklm.functions import labeling_function
    >>> @labeling_function
    ... def says_sorry(x):
    ...     return 0 if "sorry" in x.response.lower() else -1
    >>> with Workers([says_sorry], n_jobs=1, row_seconds=10) as workers:
    ...     [votes.values.tolist() for votes in workers.vote([{"response": ["Sorry.", "No."]}])]
    [[[0], [-1]]]
    """

    def __init__(
        self,
        functions: Sequence[Any],
        *,
        n_jobs: int,
        slices: bool = False,
        on_error: str = "abstain",
        row_seconds: float | None = None,
        memory: int | None = None,
    ) -> None:
        if n_jobs < 1:
            raise SettingsError(f"n_jobs is {n_jobs!r}; at least one worker process was expected")
        if row_seconds is not None and row_seconds <= 0:
            raise SettingsError(f"row_seconds is {row_seconds!r}; a positive number of seconds was expected")
        if memory is not None and sys.platform != "linux":
            raise SettingsError("only Linux can limit the memory of worker processes; leave the memory limit out here")
        self.functions, self.n_jobs = list(functions), n_jobs
        self.slices, self.raises, self.row_seconds = slices, on_error == "raise", row_seconds
        codes = [_code(function) for function in self.functions]
        voters = partial(_voters, self.functions, codes, slices=slices, on_error=on_error)
        block_seconds = _BLOCK_SECONDS if row_seconds is None else min(_BLOCK_SECONDS, row_seconds / 4)
        self._job = Job(_pickled(voters), block_seconds, memory, FORKS)
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the processes without waiting for them; :meth:`vote` does so where it was forgotten."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.n_jobs, "weaklm-workers")
            self._source = Source(self._job, self.n_jobs)
            self._idle: queue.SimpleQueue[_Seat] = queue.SimpleQueue()
            for _ in range(self.n_jobs):
                self._idle.put(_Seat(self, self._source))

    def close(self) -> None:
        """Kill the processes, whatever they are doing, and wait until they are gone."""
        if self._threads is not None:
            self._source.close()
            self._threads.shutdown(cancel_futures=True)
            while not self._idle.empty():
                self._idle.get().close()
            self._threads = None

    def vote(
        self, chunks: Iterable[Columns], positions: Sequence[int] | None = None, *, max_failures: int | None = None
    ) -> Iterator[Votes]:
        """Yield the votes on each chunk of rows, in order; few chunks more than processes are taken ahead.

        Parameters
        ----------
        chunks
            Rows as equally long lists, one a column, at least one column; about 2,000 rows keep everyone busy.
        positions
            Which of the functions to ask, and the columns of the votes; None asks all.
        max_failures
            The most rows on which one function may fail before the run ends.

        Raises
        ------
        FunctionError
            If the functions do not load in another process, one returns or does what it must not, or one fails too
            often. The processes are gone then, as after Ctrl-C; the next call starts new ones.
        """
        self.start()
        assert self._threads is not None
        asked = range(len(self.functions)) if positions is None else positions
        failures = _Failures(max_failures)
        pending: deque[Future[Votes]] = deque()
        try:
            for columns in chunks:
                pending.append(self._threads.submit(self._vote, columns, asked, failures))
                if len(pending) > 2 * self.n_jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:  # Ctrl-C, a function's error, a caller who has seen enough
            self.close()
            raise

    def _vote(self, columns: Columns, positions: Sequence[int], failures: "_Failures") -> Votes:
        seat = self._idle.get()
        try:
            return seat.vote(columns, positions, failures)
        finally:
            self._idle.put(seat)


def _voters(functions: Sequence[Any], codes: Sequence[CodeType | None], *, slices: bool, on_error: str) -> Voters:
    """Return the voters of a worker process, which must run the code that its parent has."""
    for function, code in zip(functions, codes, strict=True):
        if _code(function) != code:
            raise FunctionError(f"the file of {function.name} was edited after it was imported; import it anew")
    return Voters(functions, slices=slices, on_error=on_error)


def _code(function: Any) -> CodeType | None:
    return getattr(getattr(function, "_f", None), "__code__", None)


def _pickled(job: Any) -> bytes:
    """Return functions as bytes, or say which of them cannot travel."""
    try:
        return cloudpickle.dumps(job)
    except Exception:
        for function in job.args[0]:
            try:
                cloudpickle.dumps(function)
            except Exception as error:
                raise FunctionError(
                    f"{function.name} cannot be sent to worker processes: {type(error).__name__}: {error}. "
                    "Let it make what cannot travel on its first call, or use n_jobs=1."
                ) from error
        raise


class _Failures:
    """How often each function failed, in all processes."""

    def __init__(self, most: int | None) -> None:
        self._most, self._lock = most, threading.Lock()
        self._counts: Counter[str] = Counter()

    def add_all(self, votes: Votes) -> None:
        for failure in votes.failures:
            self.add(failure.function, failure.reason)

    def add(self, name: str, reason: str) -> None:
        with self._lock:
            self._counts[name] += 1
            if self._most is not None and self._counts[name] > self._most:
                raise FunctionError(
                    f"{name} failed on {self._counts[name]:,} examples, more than the {self._most:,} that it may; "
                    f"the last one: {reason}"
                )


@dataclass
class _Task:
    """A chunk of rows: the votes so far, and what is known of the rest."""

    columns: Columns
    positions: Sequence[int]
    votes: list[Votes] = field(default_factory=list)
    first: int = 0  # the first row without votes
    careful: int = 0  # the functions are called one by one on rows before this one,
    called: dict[tuple[int, int], Votes] = field(default_factory=dict)  # row, position: with these votes so far
    block: int = 0  # where the block ends that a voter has begun
    unexplained: int = 0  # deaths since something was learned

    @property
    def n_rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def next_call(self) -> tuple[int, int]:
        """Return the row and function that a careful voter is at."""
        calls = ((row, position) for row in range(self.first, self.careful) for position in self.positions)
        return next(call for call in calls if call not in self.called)

    def add(self, votes: Votes, stop: int) -> None:
        """Take the votes on all rows from ``first`` to ``stop``."""
        self.votes.append(votes)
        self.first, self.unexplained = stop, 0

    def add_call(self, row: int, position: int, votes: Votes) -> None:
        """Take the vote of one function on one row."""
        self.called[row, position] = votes
        self.unexplained = 0
        if len(self.called) == (self.careful - self.first) * len(self.positions):
            rows = range(self.first, self.careful)
            self.add(_below([_beside([self.called[row, p] for p in self.positions]) for row in rows]), self.careful)
            self.called = {}


class _Seat:
    """A place for one voter after the other: chunks come in, votes go out, whatever happens to the voter."""

    def __init__(self, pool: Workers, source: Source) -> None:
        self._pool, self._source = pool, source
        self._voter: Voter | None = None

    def vote(self, columns: Columns, positions: Sequence[int], failures: _Failures) -> Votes:
        task = _Task(columns, positions)
        data = pickle.dumps(dict(columns), protocol=5)
        while task.first < task.n_rows:
            voter = self._voter = self._voter or self._source.voter()
            task.block = task.first
            try:
                voter.channel.send(Request(data, positions, task.first, task.careful, task.called.keys() | ()))
                while task.first < task.n_rows:
                    _take(task, voter.channel.receive(self._pool.row_seconds), failures)
            except (EOFError, OSError) as error:  # a TimeoutError is one
                self._voter, ending = None, voter.end()
                is_late = isinstance(error, TimeoutError)
                reason = f"took longer than {self._pool.row_seconds:g} seconds" if is_late else f"its worker {ending}"
                self._mourn(task, reason, failures)
        return _below([_nothing(0, len(positions)), *task.votes])

    def close(self) -> None:
        if self._voter is not None:
            self._voter.channel.close()

    def _mourn(self, task: _Task, reason: str, failures: _Failures) -> None:
        """Learn from the death of a voter: which call it was, or which block to go through call by call."""
        if task.block > task.careful:
            task.careful = task.block
        elif task.block > task.first:
            self._blame(task, *task.next_call(), reason, failures)
        else:
            task.unexplained += 1
            if task.unexplained == _TRIES:
                raise FunctionError(f"{_TRIES} worker processes died before they voted; the last {reason}")

    def _blame(self, task: _Task, row: int, position: int, reason: str, failures: _Failures) -> None:
        name = self._pool.functions[position].name
        if self._pool.raises:
            example = task.columns["id"][row] if "id" in task.columns else row
            raise FunctionError(f"{name} failed on example {example!r}: {reason}")
        failures.add(name, reason)
        votes = _nothing(1, 1) if not self._pool.slices else replace(_nothing(1, 1), values=np.zeros((1, 1), np.int8))
        task.add_call(row, position, replace(votes, failures=[Failure(0, name, reason)]))


def _take(task: _Task, message: tuple[Any, ...], failures: _Failures) -> None:
    """Note what a voter says: where it is, or votes."""
    match message:
        case "block", stop:
            task.block = stop
        case "votes", stop, votes:
            failures.add_all(votes)
            task.add(votes, stop)
        case "vote", row, position, votes:
            failures.add_all(votes)
            task.add_call(row, position, votes)
        case "failed", error, trace:
            raise with_note(FunctionError(error or "the functions cannot vote in a worker process"), trace)


def _nothing(n_rows: int, n_functions: int) -> Votes:
    return Votes(np.full((n_rows, n_functions), ABSTAIN, np.int8), None, [], np.zeros(n_functions))


def _below(parts: list[Votes]) -> Votes:
    """Return the votes on blocks of rows as the votes on all of them."""
    starts = np.cumsum([0, *(len(part.values) for part in parts)]).tolist()
    failures = [
        replace(f, row=start + f.row) for start, part in zip(starts, parts, strict=False) for f in part.failures
    ]
    seconds = np.sum([part.seconds for part in parts], axis=0)
    return Votes(np.concatenate([part.values for part in parts]), _confidence(parts, 0), failures, seconds)


def _beside(parts: list[Votes]) -> Votes:
    """Return the votes of single functions on one row as the votes of all of them."""
    failures = [failure for part in parts for failure in part.failures]
    seconds = np.concatenate([part.seconds for part in parts])
    return Votes(np.concatenate([part.values for part in parts], axis=1), _confidence(parts, 1), failures, seconds)


def _confidence(parts: list[Votes], axis: int) -> NDArray[np.float32] | None:
    if all(part.confidence is None for part in parts):
        return None
    known = ((part.confidence, np.full(part.values.shape, np.nan, np.float32)) for part in parts)
    return np.concatenate([none if some is None else some for some, none in known], axis=axis)
