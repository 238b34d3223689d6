"""A question in two forms becomes a labeling or slicing function; its arguments are checked and put into words."""

import math
import numbers
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from weaklm import conditions
from weaklm.conditions import Bounds, is_within
from weaklm.data import ABSTAIN, LABEL_NAMES, content_hash
from weaklm.dialect import Unportable
from weaklm.errors import FunctionError
from weaklm.functions import Function, LabelingFunction, SlicingFunction

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Question:
    """What a function asks of a row, and of columns unless a text says why it cannot."""

    row: Callable[..., Any]
    columns: "Callable[..., pl.Expr] | str"
    asked: Mapping[str, Any]
    which: str
    default: str  # the name, unless the user has a better one

    def function(self, vote: int | None, otherwise: int, name: str | None) -> Function:
        """Return the labeling or slicing function that asks it."""
        if name is not None and not isinstance(name, str):
            raise FunctionError(f"{self.default} got name={name!r}; a text is expected")
        name = name or self.default
        columns = _columns_of(self.asked)
        _check(name, vote, otherwise, columns)
        answers: dict[str, Any] = {"vote": vote, "otherwise": otherwise}
        said = f"{_VOTES[vote]} when {self.which}, otherwise {_VOTES[otherwise]}." if vote is not None else ""
        if vote is None:
            answers, said = {"vote": True, "otherwise": False}, f"Examples where {self.which}."
        why = self.columns if isinstance(self.columns, str) else _why_not(self.columns, self.asked)
        expression = None if why else partial(_expression, self.columns, self.asked, answers)  # type: ignore[arg-type]
        kind: Any = SlicingFunction if vote is None else LabelingFunction
        function = kind(name, self.row, {**self.asked, **answers}, expression=expression)
        # As if it had been written where it was asked for: collect() takes the functions that a module defines.
        caller = sys._getframe(2).f_globals.get("__name__", "__main__")
        known = {"columns": frozenset(columns), "why_rows": why}
        vars(function).update(known, __doc__=said, __module__=caller, __name__=name)
        return function


def _columns_of(settings: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns that the settings of a function name."""
    others = settings.get("others", (settings["other"],) if "other" in settings else ())
    return settings["column"], *others


_VOTES = {ABSTAIN: "ABSTAIN", **LABEL_NAMES}


def _expression(columns: "Callable[..., pl.Expr]", asked: Mapping[str, Any], answers: Mapping[str, Any]) -> "pl.Expr":
    return conditions.votes(columns(**asked), **answers)


def _why_not(columns: "Callable[..., pl.Expr]", asked: Mapping[str, Any]) -> str:
    """Return why a question cannot be asked of columns, "" if it can."""
    try:
        columns(**asked)
    except Unportable as error:
        return f"the pattern cannot run on columns: {error}"
    return ""


def _check(name: str, vote: int | None, otherwise: int, columns: Sequence[str]) -> None:
    """Raise for arguments that no function of this module can have."""
    for column in columns:
        if not isinstance(column, str) or not column:
            raise FunctionError(f"{name} got the column {column!r}; the name of a column is expected")
    if vote is not None and not _is_one_of(vote, LABEL_NAMES):
        raise FunctionError(f"{name} got vote={vote!r}; expected ACCEPT, REJECT, or None for a slicing function")
    if not _is_one_of(otherwise, _VOTES) or otherwise == vote:
        raise FunctionError(f"{name} got otherwise={otherwise!r}; expected ABSTAIN, or the vote that is not {vote!r}")
    if vote is None and otherwise != ABSTAIN:
        raise FunctionError(f"{name} is a slicing function (vote=None): it has no other vote, so leave otherwise out")


def _is_one_of(vote: Any, known: Mapping[int, str]) -> bool:
    return isinstance(vote, numbers.Integral) and not isinstance(vote, bool) and vote in known


def checked_texts(texts: str | Iterable[str], who: str, what: str) -> tuple[str, ...]:
    """Return one text or several as a tuple of different texts, none of them empty."""
    found = (texts,) if isinstance(texts, str) else tuple(texts) if isinstance(texts, Iterable) else ()
    if not found or not all(isinstance(text, str) and text for text in found):
        raise FunctionError(
            f"{who} got the {what} {texts!r}; a text or a list of texts is expected, none of them empty"
        )
    return tuple(dict.fromkeys(found))


def checked_bounds(
    low: float | None,
    high: float | None,
    who: str,
    names: tuple[str, str] = ("at_least", "at_most"),
    *,
    lowest: float | None = None,
    highest: float | None = None,
    optional: bool = False,
) -> Bounds:
    """Return the two bounds, of which one may be None."""
    for name, bound in zip(names, (low, high), strict=True):
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool) and not math.isnan(bound)
        if bound is not None and not (is_number and is_within(bound, (lowest, highest))):
            expected = (
                "a number" if lowest is None else f"a number from {lowest} {f'to {highest}' if highest else 'on'}"
            )
            raise FunctionError(f"{who} got {name}={bound!r}; {expected} is expected")
    if low is None and high is None and not optional:
        raise FunctionError(f"{who} got no bound; {names[0]}, {names[1]} or both are needed")
    if low is not None and high is not None and low > high:
        raise FunctionError(f"{who} got {names[0]}={low!r} and {names[1]}={high!r}: nothing lies between them")
    return low, high


def said_bounds(bounds: Bounds) -> str:
    """Return bounds as words: "at least 2", "2 to 3"."""
    low, high = bounds
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}"


def listed(values: Sequence[Any]) -> str:
    """Return the first three values as words, and how many more there are."""
    shown = ", ".join(map(repr, values[:3]))
    return shown if len(values) <= 3 else f"{shown} or {len(values) - 3} more"


def slug(text: str, least: int = 1) -> str:
    """Return a text as part of a name; six digits of its hash where fewer than ``least`` characters are left of it."""
    found = re.sub(r"\W+", "_", text.lower()).strip("_")[:30].strip("_")
    return found if len(found) >= least else content_hash(text)[:6]
