"""Apply functions to data: LFApplier gives the votes L, SFApplier the slice membership S.

Row order is the order of the frame, whatever its index. Nothing is swallowed: a function that fails, votes something
else, or changes the example that the next function will see stops the run with its name and the example's id.
"""

import copy
from collections.abc import Callable, Iterable
from operator import is_not
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from snorkel.labeling import LabelingFunction as SnorkelLabelingFunction

from weaklm.code import needs, reads
from weaklm.data import COLUMNS, HUMAN_LABEL, Example, complete, examples
from weaklm.errors import FunctionError, nearest
from weaklm.functions import Function, SnorkelSlicingFunction


class LFApplier:
    """Labeling functions, ready to vote on data.

    Parameters
    ----------
    functions
        Labeling functions, ours or Snorkel's; their order is the order of the columns of L.
    progress
        Show a progress bar on stderr, or in the notebook.

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

    def __init__(self, functions: Iterable[Function], *, progress: bool = False) -> None:
        self.functions = _checked(functions, slices=False)
        self.progress = progress

    def apply(self, data: pd.DataFrame) -> NDArray[np.int8]:
        """Return L of shape (n_examples, n_lfs), int8: -1 abstain, 0 reject, 1 accept.

        Raises
        ------
        FunctionError
            If a function fails, returns something else, changes the example, or reads a column that no row has;
            names the function and the example.
        """
        return _by_row(self.functions, complete(data), _vote, self.progress).astype(np.int8)


class SFApplier:
    """Slicing functions, ready to say which examples are members of their slices.

    Parameters
    ----------
    functions
        Slicing functions, ours or Snorkel's; their order is the order of the columns of S.
    progress
        Show a progress bar on stderr, or in the notebook.

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

    def __init__(self, functions: Iterable[Function], *, progress: bool = False) -> None:
        self.functions = _checked(functions, slices=True)
        self.progress = progress

    @property
    def reads_response(self) -> list[str]:
        """Names of the slices whose members depend on the response, so that sources cannot be compared on them."""
        return [function.name for function in self.functions if "response" in reads(function)]

    def apply(self, data: pd.DataFrame) -> NDArray[np.bool_]:
        """Return S of shape (n_examples, n_slices), bool; only True is membership, not 1, None or "yes".

        Raises
        ------
        FunctionError
            If a function fails, changes the example, or reads a column that no row has; names the function and
            the example.
        """
        return _by_row(self.functions, complete(data), _member, self.progress).astype(bool)


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


def _by_row(
    functions: list[Any], frame: pd.DataFrame, result: Callable[[Any, Any, Example], int], progress: bool
) -> NDArray[np.int8]:
    """Return the functions' results on each row of a complete frame, one column a function."""
    from tqdm import tqdm

    _check_columns(functions, frame.columns)
    # Lists and arrays can be changed in place, which no comparison below would see: copies keep functions apart.
    own = copy.deepcopy if _holds_containers(frame) else None
    results = np.empty((len(frame), len(functions)), dtype=np.int8)
    for row, x in zip(results, tqdm(examples(frame), total=len(frame), unit="rows", disable=not progress), strict=True):
        row[:] = [result(function, _call(function, own(x) if own else x), x) for function in functions]
    return results


def _holds_containers(frame: pd.DataFrame) -> bool:
    others = [column for column in frame.columns if column not in COLUMNS and frame[column].dtype == object]
    return any(isinstance(value, list | dict | set | np.ndarray) for column in others for value in frame[column])


def _call(function: Any, x: Example) -> Any:
    """Return what the function returns; raise when it fails, or leaves the example changed for the next one."""
    before = vars(x).copy()
    try:
        value = function(x)
    except (Exception, SystemExit) as error:
        raise FunctionError(f"{function.name} failed on example {x.id!r}: {type(error).__name__}: {error}") from error
    after = vars(x)
    if len(after) != len(before) or any(map(is_not, after.values(), before.values())):
        changed = [column for column in before | after if after.get(column, before) is not before.get(column, before)]
        raise FunctionError(
            f"{function.name} changed {', '.join(map(repr, changed))} of example {before['id']!r}; "
            "functions only look. Let a preprocessor (@preprocessor, pre=[...]) add columns."
        )
    return value


def _vote(function: Any, vote: Any, x: Example) -> int:
    if type(vote) is int and -1 <= vote <= 1:  # nearly always
        return vote
    if isinstance(vote, int | np.integer) and not isinstance(vote, bool) and -1 <= vote <= 1:
        return int(vote)
    raise FunctionError(
        f"{function.name} returned {vote!r} on example {x.id!r}, not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT)"
        + ("; does every branch return a vote?" if vote is None else "")
    )


def _member(function: Any, value: Any, x: Example) -> int:  # noqa: ARG001 (the signature of _vote)
    return isinstance(value, bool | np.bool_) and bool(value)
