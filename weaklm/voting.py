"""Functions vote on rows, one call a row: every call checked, every failure told, no row changed.

A block of rows is shown to one function after the other, so that what they share (the tokens of a text, the work of a
preprocessor) is computed once a row and still at hand.
"""

import copy
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.code import is_plain
from weaklm.data import ABSTAIN, UNCHANGING, Batch, Example, array
from weaklm.errors import DataError, FunctionError
from weaklm.functions import Preprocessor, code_hash, unpacked

# Small enough for the caches of weaklm.text, which hold the texts of one block; large enough to make loops cheap.
_BLOCK = 16

_FAILED_ALONE = 100  # rows on which a batch function fails by itself before it is not asked again


@dataclass(frozen=True)
class Failure:
    """One function failed on one row."""

    row: int  # its place among the rows that were shown
    function: str
    reason: str  # "ZeroDivisionError: division by zero"
    traceback: str = ""


@dataclass(frozen=True)
class Votes:
    """What functions said of rows: ``values`` of shape (n_rows, n_functions), int8; 0 or 1 for slicing functions.

    ``confidence`` has the same shape, float32, NaN where a function gave none; None where none gave any.
    ``seconds`` has shape (n_functions,). A function that failed on a row abstains there, or is no member.
    """

    values: NDArray[np.int8]
    confidence: NDArray[np.float32] | None
    failures: list[Failure]
    seconds: NDArray[np.float64]


def most_failures(max_error_rate: float, n_rows: int) -> int:
    """Return on how many of so many rows a function may fail.

    >>> most_failures(0.29, 100)
    29
    """
    return math.floor(max_error_rate * n_rows + 1e-9)  # 0.29 * 100 is a little less than 29


class Voters:
    """Functions, ready to vote on rows.

    Parameters
    ----------
    functions
        Labeling functions or slicing functions, ours or Snorkel's.
    slices
        They are slicing functions.
    on_error
        "abstain": a function that raises abstains on that row, and the failure is listed; "raise": it ends the run.
    """

    def __init__(self, functions: Sequence[Any], *, slices: bool = False, on_error: str = "abstain") -> None:
        self.functions = list(functions)
        self.slices = slices
        self.raises = on_error == "raise"
        self.calls = [_Call(function) for function in self.functions]

    def vote(
        self,
        columns: Mapping[str, Sequence[Any]],
        positions: Sequence[int] | None = None,
    ) -> Votes:
        """Return what the functions say of the rows.

        Parameters
        ----------
        columns
            The rows as equally long lists, one a column.
        positions
            Which of the functions to ask, and the columns of the votes; None asks all.
        """
        asked = list(range(len(self.functions))) if positions is None else list(positions)
        ballot = _Ballot(self, columns)
        batch = [position for position in asked if self.calls[position].batch]
        single = [position for position in asked if not self.calls[position].batch]
        for position in batch:
            ballot.ask_at_once(position)
        for start in range(0, ballot.n_rows if single else 0, _BLOCK):
            ballot.ask_row_by_row(start, single)
        confidence = None if ballot.confidence is None else ballot.confidence[:, asked]
        return Votes(ballot.values[:, asked], confidence, ballot.failures, ballot.seconds[asked])


class _Call:
    """How to call a function: its preprocessors, which others may share, and what comes after them."""

    def __init__(self, function: Any) -> None:
        self.name, self.batch = function.name, getattr(function, "batch", False)
        self.chain: list[Any] = list(getattr(function, "_pre", ()))
        self.f = function
        if all(isinstance(step, Preprocessor) for step in self.chain) and is_plain(function):
            self.f = partial(function._f, **function._resources) if function._resources else function._f
        else:  # Snorkel's preprocessors run inside their functions, as Snorkel does it
            self.chain = []
        self.key = tuple(code_hash(step) for step in self.chain)


class _Ballot:
    """The votes on one set of rows, as they come in."""

    def __init__(self, voters: Voters, columns: Mapping[str, Sequence[Any]]) -> None:
        self._voters, self._columns = voters, columns
        self.n_rows = len(next(iter(columns.values())))
        shape = (self.n_rows, len(voters.functions))
        self.values = np.full(shape, 0 if voters.slices else ABSTAIN, dtype=np.int8)
        self.confidence: NDArray[np.float32] | None = None
        self.failures: list[Failure] = []
        self.seconds = np.zeros(shape[1])
        self._ids = columns.get("id") or range(self.n_rows)
        self._is_plain = all(set(map(type, column)) <= _PLAIN for column in columns.values())

    def ask_row_by_row(self, start: int, positions: Iterable[int]) -> None:
        """Show the rows of one block to one function after the other."""
        rows = self._rows(start, start + _BLOCK)
        shown: dict[tuple[str, ...], _Shown] = {}
        for position in positions:
            began = time.perf_counter()
            call = self._voters.calls[position]
            if call.key not in shown:
                mapped = [_mapped(call.chain, row) for row in rows] if call.chain else rows
                shown[call.key] = _Shown(mapped, is_plain=self._is_plain and not call.chain)
            self._write(start, position, self._said(call.f, shown[call.key].rows(), start, position))
            self.seconds[position] += time.perf_counter() - began
        for key, these in shown.items():
            if (place := these.changed()) is not None:
                self._name_who_changed(key, start + place)

    def ask_at_once(self, position: int) -> None:
        """Show all rows to a batch function; where it raises, look for the row by halves."""
        began = time.perf_counter()
        todo, n_failed = [(0, self.n_rows)] if self.n_rows else [], 0
        while todo:
            start, stop = todo.pop()
            try:
                said = self._said_at_once(position, start, stop)
            except _ChangedError as error:
                raise self._changed(position, start, str(error)) from error
            except (Exception, SystemExit) as error:
                n_failed += stop - start == 1
                if n_failed > _FAILED_ALONE:  # it is the function, not a row
                    for row in range(start, stop):
                        self._failed(error, row, position)
                elif stop - start > 1:
                    todo += [(start, (start + stop) // 2), ((start + stop) // 2, stop)]
                else:
                    self._failed(error, start, position)
            else:
                self._write(start, position, unpacked(self._voters.calls[position].name, said, stop - start))
        self.seconds[position] += time.perf_counter() - began

    def _rows(self, start: int, stop: int) -> list[Any]:
        values = zip(*(column[start:stop] for column in self._columns.values()), strict=True)
        return [_Row(**dict(zip(self._columns, row, strict=True))) for row in values]

    def _said(self, f: Callable[[Any], Any], rows: list[Any], start: int, position: int) -> list[Any]:
        """Return what a function says of each row, ``_FAILED`` where it raised."""
        said: list[Any] = []
        ask = _raising(f) if any(isinstance(x, _Broken) for x in rows) else f
        while len(said) < len(rows):
            try:
                said.extend(map(ask, rows[len(said) :]))  # keeps what came before an exception
            except _ChangedError as error:
                raise self._changed(position, start + len(said), str(error)) from error
            except (Exception, SystemExit) as error:
                said.append(self._failed(error, start + len(said), position))
            else:
                if len(said) < len(rows):  # `map` takes a StopIteration for its own end
                    nothing = StopIteration("next(...) found nothing; give it a default")
                    said.append(self._failed(nothing, start + len(said), position))
        return said

    def _said_at_once(self, position: int, start: int, stop: int) -> Any:
        """Return what a batch function says; an exception where it, or a preprocessor, cannot do a row."""
        call = self._voters.calls[position]
        columns: dict[str, Any] = {name: column[start:stop] for name, column in self._columns.items()}
        if call.chain:
            rows = [_mapped(call.chain, x) for x in self._rows(start, stop)]
            for x in rows:
                if isinstance(x, _Broken):
                    raise x.error
            columns = {name: [getattr(x, name) for x in rows] for name in vars(rows[0])}
        return call.f(Batch(**{name: _frozen(values) for name, values in columns.items()}))

    def _failed(self, error: BaseException, row: int, position: int) -> Any:
        name, reason = self._voters.functions[position].name, f"{type(error).__name__}: {error}"
        if self._voters.raises:
            raise FunctionError(f"{name} failed on example {self._ids[row]!r}: {reason}") from error
        self.failures.append(Failure(row, name, reason, _told(error)))
        return _FAILED

    def _write(self, start: int, position: int, said: list[Any]) -> None:
        """Check what a function said of the rows from ``start`` on, and write it down."""
        expected = bool if self._voters.slices else int
        if set(map(type, said)) == {expected} and min(said) >= -1 and max(said) <= 1:  # nearly always
            self.values[start : start + len(said), position] = said
            return
        for row, value in enumerate(said, start):
            if value is not _FAILED:
                self.values[row, position] = self._checked(value, row, position)

    def _checked(self, value: Any, row: int, position: int) -> int:
        if self._voters.slices:
            if self._voters.calls[position].batch and not isinstance(value, bool | np.bool_):
                raise FunctionError(
                    f"{self._voters.functions[position].name} returned {value!r} for example {self._ids[row]!r}; "
                    "a batch slicing function returns an array of booleans"
                )
            return isinstance(value, bool | np.bool_) and bool(value)
        vote = value
        if isinstance(value, tuple) and len(value) == 2:
            vote = value[0]
            self._note_confidence(value[1], row, position)
        if isinstance(vote, int | np.integer) and not isinstance(vote, bool) and -1 <= vote <= 1:
            return int(vote)
        raise FunctionError(
            f"{self._voters.functions[position].name} returned {value!r} on example {self._ids[row]!r}, "
            "not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT)"
            + ("; does every branch return a vote?" if vote is None else "")
        )

    def _note_confidence(self, confidence: Any, row: int, position: int) -> None:
        is_number = isinstance(confidence, int | float | np.number) and not isinstance(confidence, bool)
        if not is_number or not 0 <= confidence <= 1:
            raise FunctionError(
                f"{self._voters.functions[position].name} returned the confidence {confidence!r} on example "
                f"{self._ids[row]!r}; a number from 0 to 1 was expected"
            )
        if self.confidence is None:
            self.confidence = np.full(self.values.shape, np.nan, dtype=np.float32)
        self.confidence[row, position] = confidence

    def _changed(self, position: int, row: int, column: str) -> FunctionError:
        return FunctionError(
            f"{self._voters.functions[position].name} changed {column} of example {self._ids[row]!r}; "
            "functions only look. Let a preprocessor (@preprocessor, pre=[...]) add columns."
        )

    def _name_who_changed(self, key: tuple[str, ...], row: int) -> None:
        """Raise for a row that was changed past its guard, by ``vars(x)[...] = ...``."""
        for position, call in enumerate(self._voters.calls):
            if call.key == key and not call.batch:
                (x,) = self._rows(row, row + 1)
                shown = _Shown([_mapped(call.chain, x)], is_plain=False)
                self._said(call.f, shown.rows(), row, position)
                if shown.changed() is not None:
                    raise self._changed(position, row, "a column")
        raise FunctionError(f"a function changed example {self._ids[row]!r}; functions only look")


_FAILED = object()


class _ChangedError(Exception):
    """A function wrote to its example."""


class _Row(Example):
    """An example that functions can only look at; a copy of it may be written to."""

    def __init__(self, /, **columns: Any) -> None:
        SimpleNamespace.__init__(self, **columns)  # complete already

    def __setattr__(self, name: str, value: Any) -> None:
        raise _ChangedError(repr(name))

    def __delattr__(self, name: str) -> None:
        raise _ChangedError(repr(name))

    def __reduce__(self) -> tuple[Any, ...]:
        return _example, (dict(vars(self)),)


def _example(columns: dict[str, Any]) -> Example:
    return Example(**columns)


@dataclass(frozen=True)
class _Broken:
    """The place of a row whose preprocessor failed."""

    error: BaseException


def _raising(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function, but failing where the preprocessor of a row has failed."""

    def ask(x: Any) -> Any:
        if isinstance(x, _Broken):
            raise x.error
        return f(x)

    return ask


def _mapped(chain: Sequence[Preprocessor], x: Any) -> Any:
    """Return a row after its preprocessors, which only they may write to."""
    try:
        for step in chain:
            x = step(x)
            if x is None:
                raise FunctionError(f"the preprocessor {step.name} returned None; return the example")
    except (Exception, SystemExit) as error:
        return _Broken(error)
    return _Row(**vars(x)) if isinstance(x, Example) and chain else x


class _Shown:
    """Rows as one function after the other sees them: none sees what another does to a list in them.

    ``is_plain`` says that the rows are known to hold nothing that can be changed in place.
    """

    def __init__(self, rows: list[Any], *, is_plain: bool) -> None:
        self._rows = rows
        self._before = [[*vars(x).values()] for x in rows]
        self._copiers = [] if is_plain else [_copiers(x) for x in rows]

    def rows(self) -> list[Any]:
        if not any(self._copiers):
            return self._rows
        return [_copy(x, copiers) if copiers else x for x, copiers in zip(self._rows, self._copiers, strict=True)]

    def changed(self) -> int | None:
        """Return the place of the first row whose columns are not what they were."""
        for place, (x, before) in enumerate(zip(self._rows, self._before, strict=True)):
            if [*vars(x).values()] != before:
                return place
        return None


def _copiers(x: Any) -> dict[str, Callable[[Any], Any]]:
    """Return how to copy each column that can be changed in place: one level where that is enough."""
    copiers: dict[str, Callable[[Any], Any]] = {}
    for name, value in vars(x).items():
        if not isinstance(value, _FIXED):
            flat = isinstance(value, list | set | tuple) and all(isinstance(item, UNCHANGING) for item in value)
            copiers[name] = copy.copy if flat else partial(_deep_copy, name)
    return copiers


def _deep_copy(column: str, value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise DataError(
            f"column {column!r} holds a {type(value).__name__}, which cannot be copied ({error}), so that functions "
            "would share it; leave the column out"
        ) from error


_FIXED = (*UNCHANGING, BaseException)
_PLAIN = {str, int, float, bool, type(None)}


def _copy(x: Any, copiers: Mapping[str, Callable[[Any], Any]]) -> Any:
    return _Row(**(vars(x) | {name: copier(vars(x)[name]) for name, copier in copiers.items()}))


def _told(error: BaseException) -> str:
    """Return the traceback of an error from the function on; the way there is ours."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _frozen(values: Sequence[Any]) -> NDArray[Any]:
    """Return values as an array that functions can only look at."""
    own = array(values if all(isinstance(value, UNCHANGING) for value in values) else copy.deepcopy(values))
    own.flags.writeable = False
    return own
