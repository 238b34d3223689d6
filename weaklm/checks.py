"""Check functions before they vote: what each one says, reads and needs, how it runs, and what is wrong with it.

Each function is shown odd rows (empty, very long, strange letters) and some of yours, twice, in a process of its own
with a time limit, so that one that hangs or kills its process is found; then it votes on all rows.
"""

import doctest
import inspect
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from weaklm.apply import LFApplier, SFApplier
from weaklm.checkup import Checked, Checkup, cast
from weaklm.code import needs, reads
from weaklm.data import COLUMNS, HUMAN_LABEL, complete, human_labels
from weaklm.errors import DataError, FunctionError, FunctionWarning, nearest
from weaklm.functions import load
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction
from weaklm.workers.pool import Workers

Judged = tuple[Any, Checked]  # a function, and what is known of it

_ROW_SECONDS = 5.0
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
    for function in functions:
        _run_examples(function, found[function.name])
        _hint(found[function.name])
    return Checkup(str(source), len(frame), list(found.values()))


def _is_slice(function: Any) -> bool:
    return isinstance(function, SnorkelSlicingFunction)


def _looked_at(function: Any, frame: pd.DataFrame) -> Checked:
    """Return what can be said of a function without asking it about rows."""
    says = (inspect.getdoc(function._f) or "").partition("\n")[0]
    resources = {name: _shortened(repr(value)) for name, value in getattr(function, "_resources", {}).items()}
    kind = "slicing" if _is_slice(function) else "labeling"
    checked = Checked(function.name, kind, says, sorted(reads(function)), resources)
    visible = [column for column in frame.columns if column != HUMAN_LABEL]
    for column in sorted(needs(function).difference(visible)):
        seen = "which functions never see" if column == HUMAN_LABEL else "which these rows do not have"
        checked.problems.append(f"reads column {column!r}, {seen}; {nearest(column, visible)}")
    try:
        cloudpickle.loads(cloudpickle.dumps(function))
    except Exception as error:  # pickling raises whatever the objects inside like
        checked.problems.append(f"cannot be sent to another process: {type(error).__name__}: {error}")
    return checked


def _try(functions: Sequence[Judged], frame: pd.DataFrame, *, slices: bool) -> None:
    """Note what goes wrong on odd rows and a sample, asked twice in another process."""
    if not functions:
        return
    columns = _rows(frame)
    with Workers([f for f, _ in functions], n_jobs=1, slices=slices, row_seconds=_ROW_SECONDS) as workers:
        for position, (function, checked) in enumerate(functions):
            try:
                (first,) = workers.vote([columns], [position])
                if first.failures:
                    failure = first.failures[0]
                    checked.problems.append(f"fails on {columns['id'][failure.row]}: {failure.reason}")
                    continue
                (again,) = workers.vote([columns], [position])
            except FunctionError as error:
                checked.problems.append(str(error).removeprefix(f"{function.name} "))
                continue
            if (first.values != again.values).any() and getattr(function, "cache", True):
                row = columns["id"][int(np.argmax(first.values != again.values))]
                said = "says another thing when it is asked again"
                checked.problems.append(f"{said}, first on {row}; if it must, mark it cache=False")


def _rows(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the odd rows and a sample of the data; what only the data have, the odd rows have from its first row."""
    sample = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, _SAMPLE).astype(int))]
    columns = {column: sample[column].tolist() for column in frame.columns if column != HUMAN_LABEL}
    rows = {column: [texts.get(column, "") for texts in _ODD.values()] for column in COLUMNS}
    rows |= {column: [values[0]] * len(_ODD) for column, values in columns.items() if column not in COLUMNS}
    rows["id"] = list(_ODD)
    columns["id"] = [f"example {name!r}" for name in columns["id"]]
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


def _run_examples(function: Any, checked: Checked) -> None:
    """Run the doctests of a function, and note what the first failure says."""
    f = function._f
    finder, runner, told = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False), io.StringIO()
    for test in finder.find(f, function.name, globs=dict(getattr(f, "__globals__", {}))):
        runner.run(test, out=told.write)
    checked.n_examples, checked.n_failed = runner.tries, runner.failures
    if runner.failures:
        first = " ".join(told.getvalue().partition("Failed example:")[2].partition("\n****")[0].split())
        what = f"{runner.failures} of {runner.tries} examples in its docstring fail"
        checked.problems.append(f"{what}, first {_shortened(first, 200)}")


def _hint(checked: Checked) -> None:
    """Note what could be better."""
    if not checked.says:
        checked.hints.append("has no docstring: say in a line how it votes and when, and show it (>>>)")
    elif not checked.n_examples:
        checked.hints.append("has no example (>>>) in its docstring: show one on which it votes and one on which not")
    if checked.ran and not checked.votes:
        checked.hints.append("votes on none of these rows")
    if checked.kind == "slicing" and "response" in checked.reads:
        checked.hints.append(
            "reads the response: its members change from model to model, which then cannot be compared"
        )


def _shortened(text: str, width: int = _SHOWN) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
