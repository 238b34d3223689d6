"""Row functions as column functions: the source of a labeling or slicing function as one polars expression.

Most functions that people write are small: a word in a text, a pattern, a count against a threshold, and/or/if. Such
a function is run once, statement by statement (``frames``, ``expressions``), with symbols in the place of the columns
(``rows``, ``symbols``). What is the same for every row, Python computes as ever (``constants``); what differs becomes
an expression (``searches``, ``numbers``, ``lists``, ``logic``, ``texts``, ``regexes``, ``collections``; found by name
in ``tables``), which may be right on some rows only (``guards``). Both branches of an ``if`` are run, and what they
return is put together again. The first thing that has no equal on columns ends it, with its line as the reason.

A new method, function or operator is one entry in a table, with a function that takes symbols and returns one.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import polars as pl

from weaklm.compiler.collections import Items
from weaklm.compiler.expressions import Run
from weaklm.compiler.frames import Frame, prepare
from weaklm.compiler.guards import GUARDS
from weaklm.compiler.rows import Row
from weaklm.compiler.symbols import NOTHING, Symbol, Unsupported, false_of, lift, made, strictly
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction

__all__ = ["Compiled", "compile_function"]


@dataclass(frozen=True)
class Compiled:
    """A function as an expression, or the reason why it has none.

    ``expression`` gives votes as Int8, for slicing functions Boolean; null on rows where only the function can tell.
    """

    expression: pl.Expr | None
    reason: str = ""


def compile_function(function: Any, schema: Mapping[str, pl.DataType]) -> Compiled:
    """Return a labeling or slicing function, ours or Snorkel's, as an expression over columns of the given types.

    >>> from weaklm.functions import labeling_function
    >>> @labeling_function
    ... def says_sorry(x):
    ...     return 0 if "sorry" in x.response.lower() else -1
    >>> data = pl.DataFrame({"response": ["Sorry, no.", "Because it rained."]})
    >>> data.select(compile_function(says_sorry, data.schema).expression).to_series().to_list()
    [0, -1]
    """
    is_slice = isinstance(function, SnorkelSlicingFunction)
    run = Run()
    try:
        row = prepare(run, Row(schema), function._pre)
        said = Frame(run, function._f).called([row], function._resources, result=_member if is_slice else _vote)
        if row.needs and said is not NOTHING:
            said = strictly(lift(said), row.needs)
        return Compiled(_expression(said, pl.Boolean if is_slice else pl.Int8))
    except Unsupported as error:
        return Compiled(None, str(error))
    except RecursionError:
        return Compiled(None, "it is too long for one expression")
    except Exception as error:  # a mistake of ours must not keep the function from running row by row
        return Compiled(None, f"the compiler failed with {type(error).__name__}: {error}")


def _vote(value: Any) -> Any:
    """Return what a labeling function returned as -1, 0 or 1, null where it is none of them."""
    if isinstance(value, tuple | Items):
        raise Unsupported("a vote with its confidence")
    if not isinstance(value, Symbol):
        is_vote = isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= 1
        return int(value) if is_vote else NOTHING
    if value.kind != "int":
        return NOTHING
    if value.limit <= 1:
        return value
    return made("int", pl.when(value.expr.is_between(-1, 1)).then(value.expr), value, certain=False, limit=1)


def _member(value: Any) -> Any:
    """Return what a slicing function returned as a bool: only True is membership."""
    if isinstance(value, Items):
        raise Unsupported("a slicing function that returns no bool")
    if not isinstance(value, Symbol):
        return value is True
    return value if value.kind in ("bool", "null") else false_of(value)


def _expression(said: Any, dtype: Any) -> pl.Expr:
    """Return the votes, null on rows that do not meet what the expression takes for granted."""
    if said is NOTHING:
        raise Unsupported("it returns no vote")
    if not isinstance(said, Symbol):
        return pl.lit(said, dtype=dtype)
    votes = said.expr.cast(dtype)
    if not said.guards:
        return votes
    holds = (GUARDS[guard](pl.col(column)) for guard, column in sorted(said.guards))
    return pl.when(reduce(operator.and_, holds)).then(votes)
