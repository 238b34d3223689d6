"""What is computed from a column in several steps, each step one object.

Polars computes what several expressions share once, but only the largest that they share, and nothing that has an
expression for list items in it. So the words of a text and what is counted in it are hidden from it here, and there is
one object for one text and one computation.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import polars as pl

from weaklm.columns import WHITESPACE

SPACES = "".join(rf"\x{{{ord(char):x}}}" for char in WHITESPACE)  # for a class in a pattern
NOT_ONE_SPACE = rf"[{SPACES}]{{2,}}|[{SPACES}--\x20]"


class Step(NamedTuple):
    """A function of a column (and of constants), and the type of column that it returns."""

    compute: Callable[..., pl.Series]
    dtype: Any
    constants: tuple[Any, ...] = ()


def computed(text: pl.Expr, *steps: Step) -> pl.Expr:
    """Return what steps make of a text, one after the other; null where the text is."""
    return _computed(text.meta.serialize(), steps)


@lru_cache(maxsize=256)
def _computed(text: bytes, steps: tuple[Step, ...]) -> pl.Expr:
    if not steps:
        return pl.Expr.deserialize(text)
    step = steps[-1]
    compute = partial(_called, step.compute, step.constants)
    return _computed(text, steps[:-1]).map_batches(compute, return_dtype=step.dtype, is_elementwise=True)


def _called(compute: Callable[..., pl.Series], constants: tuple[Any, ...], column: pl.Series) -> pl.Series:
    return compute(column, *constants)


def _split(texts: pl.Series) -> pl.Series:
    words = texts.str.replace_all(NOT_ONE_SPACE, " ").str.strip_chars(" ").str.split(" ")
    return words.list.eval(pl.element().filter(pl.element() != ""))


def _n_different(lists: pl.Series) -> pl.Series:
    return lists.list.n_unique()


def _n_bytes(texts: pl.Series, spans: tuple[tuple[int, int], ...]) -> pl.Series:
    chosen = [pl.element().is_between(first, last) for first, last in spans]
    return texts.cast(pl.Binary).cast(pl.List(pl.UInt8)).list.eval(pl.any_horizontal(chosen)).list.sum()


WORDS = Step(_split, pl.List(pl.String))  # text.split()
N_DIFFERENT = Step(_n_different, pl.UInt32)  # len(set(words))


def n_bytes(text: pl.Expr, *spans: tuple[int, int]) -> pl.Expr:
    """Return how many bytes of a text are in one of some spans: many times as fast as a pattern for characters."""
    return computed(text, Step(_n_bytes, pl.UInt32, (spans,)))
