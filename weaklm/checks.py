"""Check functions before they vote: what each one says, reads and needs, how it runs, and what is wrong with it.

Each function is shown odd rows (empty, very long, strange letters) and some of yours, twice, in a process of its own
with a time limit, so that one that hangs or kills its process is found; then it votes on all rows, and the examples in
its docstring run in such a process too. What functions print goes to stderr, for stdout is the report's.
"""

import doctest
import inspect
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from weaklm.apply import LFApplier, SFApplier
from weaklm.checkup import Checked, Checkup, cast
from weaklm.code import needs, reads
from weaklm.data import ABSTAIN, COLUMNS, HUMAN_LABEL, complete, human_labels
from weaklm.errors import DataError, FunctionError, FunctionWarning, nearest
from weaklm.functions import LabelingFunction, load
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction
from weaklm.workers.pool import Workers

Judged = tuple[Any, Checked]  # a function, and what is known of it

_ROW_SECONDS = 5.0  # for a row, or the examples of one docstring
_LATE = "took longer than"  # as workers say it
_SAMPLE = 100  # rows of the data that each function is asked about twice
_SHOWN = 60  # characters of a resource

# What models write and data sets hold sooner or later; the names stand in messages.
_ODD = {
    "an empty response": {"instruction": "How much is it?", "context": "It is $5.", "response": ""},
    "a blank response": {"instruction": "?", "context": " ", "response": " \n\t "},
    "no context": {"instruction": "How much is it?", "response": "Yes, 5.\n1. One\n2) Two | ``` <p> {} []"},
    "strange letters": {
        "instruction": "Why?",
        "context": "\u0661\u0662 \u00bd \ud800",
        "response": "\u4f60\u597d\u4e16\u754c caf\u00e9 \U0001f600 \ud800 \u0130 \x00",
    },
    "one very long word": {"instruction": "Why?", "context": "a" * 50_000, "response": "x" * 50_000},
    "very many words": {"instruction": "Why?", "context": "a b " * 10_000, "response": "No, no. " * 10_000},
}


def check(source: str | Path, data: pd.DataFrame) -> Checkup:
    """Return what is to be said of the functions in a file, a folder or a module, tried on the rows of ``data``.

    Raises
    ------
    FunctionError
        If the file does not load, or holds no function.
    DataError
        If ``data`` has no rows.
    """
    with _printing_to_stderr():
        return _check(source, data)


def _check(source: str | Path, data: pd.DataFrame) -> Checkup:
    functions = load(source)
    if not functions:
        raise FunctionError(
            f"{source} holds no function; decorate yours with @labeling_function or @slicing_function of weaklm"
        )
    frame = complete(data)
    if frame.empty:
        raise DataError("there are no rows to try the functions on; at least one response is needed")
    found = {function.name: _looked_at(function, frame) for function in functions}
    for slices in (False, True):
        kind = [f for f in functions if _is_slice(f) is slices and not found[f.name].problems]
        _try([(f, found[f.name]) for f in kind], frame, slices=slices)
        _vote([(f, found[f.name]) for f in kind if not found[f.name].problems], frame, slices=slices)
    _run_examples([(f, found[f.name]) for f in functions if found[f.name].n_examples and not found[f.name].n_failed])
    for function in functions:
        _hint(found[function.name], is_declared=_is_declared(function))
    return Checkup(str(source), len(frame), list(found.values()))


@contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Send what is printed meanwhile, here and in processes that start, to stderr."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _is_slice(function: Any) -> bool:
    return isinstance(function, SnorkelSlicingFunction)


def _looked_at(function: Any, frame: pd.DataFrame) -> Checked:
    """Return what can be said of a function without asking it about rows."""
    says = _doc(function).partition("\n")[0]
    resources = {name: _shortened(repr(value)) for name, value in getattr(function, "_resources", {}).items()}
    kind = "slicing" if _is_slice(function) else "labeling"
    n_examples = len(_examples(function).examples)
    checked = Checked(function.name, kind, says, sorted(reads(function)), resources, n_examples)
    visible = [column for column in frame.columns if column != HUMAN_LABEL]
    for column in sorted(needs(function).difference(visible)):
        seen = "which functions never see" if column == HUMAN_LABEL else "which these rows do not have"
        checked.problems.append(f"reads column {column!r}, {seen}; {nearest(column, visible)}")
    try:
        cloudpickle.loads(cloudpickle.dumps(function))
    except Exception as error:  # pickling raises whatever the objects inside like
        checked.problems.append(f"cannot be sent to another process: {type(error).__name__}: {error}")
        checked.n_failed = n_examples
    return checked


def _doc(function: Any) -> str:
    """Return the docstring of a function: its own where it was declared, else that of what was decorated."""
    return inspect.getdoc(function if "__doc__" in vars(function) else function._f) or ""


def _is_declared(function: Any) -> bool:
    return getattr(function, "expression", None) is not None or "why_rows" in vars(function)


def _examples(function: Any) -> doctest.DocTest:
    names = {function.name: function} | dict(getattr(function._f, "__globals__", {}))
    return doctest.DocTestParser().get_doctest(_doc(function), names, function.name, None, None)


def _try(functions: Sequence[Judged], frame: pd.DataFrame, *, slices: bool) -> None:
    """Note what goes wrong on odd rows and a sample, asked twice in another process."""
    if not functions:
        return
    columns = _rows(frame)
    with Workers(
        [f for f, _ in functions], n_jobs=1, slices=slices, on_error="raise", row_seconds=_ROW_SECONDS
    ) as workers:
        for position, (function, checked) in enumerate(functions):
            try:
                (first,), (again,) = (tuple(workers.vote([columns], [position])) for _ in range(2))
            except FunctionError as error:  # at its first failure: one that hangs on all rows would take hours
                checked.problems.append(str(error).removeprefix(f"{function.name} "))
                checked.n_failed = checked.n_examples if _LATE in str(error) else 0
                continue
            if (first.values != again.values).any() and getattr(function, "cache", True):
                row = f"example {columns['id'][int(np.argmax(first.values != again.values))]!r}"
                said = "says another thing when it is asked again"
                checked.problems.append(f"{said}, first on {row}; if it must, mark it cache=False")


def _rows(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the odd rows and a sample of the data; what only the data have, the odd rows have from its first row."""
    sample = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, _SAMPLE).astype(int))]
    columns = {column: sample[column].tolist() for column in frame.columns if column != HUMAN_LABEL}
    rows = {column: [texts.get(column, "") for texts in _ODD.values()] for column in COLUMNS}
    rows |= {column: [values[0]] * len(_ODD) for column, values in columns.items() if column not in COLUMNS}
    rows["id"] = list(_ODD)
    return {column: [*rows[column], *columns[column]] for column in columns}


def _vote(functions: Sequence[Judged], frame: pd.DataFrame, *, slices: bool) -> None:
    """Let functions vote on all rows and note how; alone where one of them does what it must not."""
    if not functions:
        return
    applier = SFApplier if slices else LFApplier
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FunctionWarning)  # failures are told as problems
            votes, meta = applier([f for f, _ in functions], max_error_rate=1.0).apply(frame, return_meta=True)
    except FunctionError as error:
        if len(functions) == 1:
            ((function, checked),) = functions
            checked.problems.append(str(error).removeprefix(f"{function.name} "))
        for pair in functions if len(functions) > 1 else ():
            _vote([pair], frame, slices=slices)
        return
    Y = human_labels(frame)
    for (function, checked), column in zip(functions, votes.T, strict=True):
        checked.votes = cast(column.astype(np.int8), Y, slices=slices)
        checked.ran, checked.seconds = meta.ran[function.name], meta.seconds[function.name]
        failed = meta.failures[meta.failures["function"] == function.name]
        if len(failed):
            first = f"first on example {failed['id'].iloc[0]!r}: {failed['reason'].iloc[0]}"
            checked.problems.append(f"fails on {len(failed):,} of {len(frame):,} rows, {first}")


def _run_examples(functions: Sequence[Judged]) -> None:
    """Run the doctests of functions in another process, and note what the first failure of each says."""
    if not functions:
        return
    tests = [LabelingFunction(f.name, _tried, {"function": f}, compile=False, cache=False) for f, _ in functions]
    with Workers(tests, n_jobs=1, row_seconds=_ROW_SECONDS) as workers:
        for position, (_, checked) in enumerate(functions):
            (votes,) = workers.vote([{"response": [""]}], [position])
            if votes.failures:
                reason = votes.failures[0].reason
                failed = re.match(r"AssertionError: (\d+) of ", reason)
                checked.n_failed = int(failed[1]) if failed else checked.n_examples
                stopped = f"its {checked.n_examples} example(s) in the docstring did not end well: {reason}"
                checked.problems.append(reason.removeprefix("AssertionError: ") if failed else stopped)


def _tried(_: Any, function: Any) -> int:
    """Run the doctests of a function; an AssertionError says which of them fail."""
    runner, told = doctest.DocTestRunner(verbose=False), io.StringIO()
    runner.run(_examples(function), out=told.write)
    if runner.failures:
        first = " ".join(told.getvalue().partition("Failed example:")[2].partition("\n****")[0].split())
        what = f"{runner.failures} of {runner.tries} examples in its docstring fail"
        raise AssertionError(f"{what}, first {_shortened(first, 200)}")
    return ABSTAIN


def _hint(checked: Checked, *, is_declared: bool) -> None:
    """Note what could be better."""
    if not checked.says:
        checked.hints.append("has no docstring: say in a line how it votes and when, and show it (>>>)")
    elif not checked.n_examples and not is_declared:
        checked.hints.append("has no example (>>>) in its docstring: show one on which it votes and one on which not")
    if checked.ran and not checked.votes:
        checked.hints.append("votes on none of these rows")
    if checked.kind == "slicing" and "response" in checked.reads:
        checked.hints.append(
            "reads the response: its members change from model to model, which then cannot be compared"
        )


def _shortened(text: str, width: int = _SHOWN) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
