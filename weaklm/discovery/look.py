"""The rows that discovery looks at, and the two halves of their instructions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import Example, examples
from weaklm.discovery.conditions import Flags

_FEWEST_INSTRUCTIONS = 40  # with a known quality
_KNOWN, _COUNTED = 5_000, 2_000  # rows that are looked at, at most: with a known quality, and for shares


@dataclass(frozen=True)
class Look:
    """The rows that are looked at.

    Attributes
    ----------
    rows
        A complete frame.
    is_counted
        The rows that are a random draw of all: shares are taken of them.
    known
        Places among the rows of those with a known quality; the others are about these.
    bad
        How bad each is, from 0 to 1.
    group
        Their instructions, 0, 1, 2, ...
    is_explored
        Whether they are of the half that is searched; the others test what was found.
    """

    rows: pd.DataFrame
    is_counted: Flags
    known: NDArray[np.int64]
    bad: NDArray[np.float64]
    group: NDArray[np.int64]
    is_explored: Flags

    @cached_property
    def examples(self) -> list[Example]:
        """The rows as functions see them."""
        return list(examples(self.rows))

    @classmethod
    def at(cls, data: pd.DataFrame, bad: NDArray[np.float64], rng: np.random.Generator) -> "Look":
        """Choose rows, all or some where there are too many, and halve the instructions."""
        group, names = pd.factorize(data["instruction_id"])
        turn = rng.permutation(len(names))  # instructions in a random order
        is_known = ~np.isnan(bad)
        order = np.argsort(turn[group], kind="stable")
        chosen, counted = order[is_known[order]][:_KNOWN], order[:_COUNTED]
        places = np.union1d(chosen, counted)
        known = np.flatnonzero(np.isin(places, chosen))
        _, of_known = np.unique(turn[group[places[known]]], return_inverse=True)
        is_explored = of_known < (of_known.max(initial=-1) + 1) // 2
        return cls(data.iloc[places], np.isin(places, counted), known, bad[places[known]], of_known, is_explored)

    def why_not(self) -> str:
        """Return why there is nothing to search, or an empty text."""
        n_instructions = len(np.unique(self.group))
        if n_instructions < _FEWEST_INSTRUCTIONS:
            return (
                f"{n_instructions} instructions have an answer of known quality; {_FEWEST_INSTRUCTIONS} are needed, "
                "half to search and half to test"
            )
        if self.bad.min() == self.bad.max():
            return f"all {len(self.bad):,} rows of known quality are equally bad ({self.bad[0]:g})"
        return ""

    @property
    def explored(self) -> NDArray[np.int64]:
        """Places among the rows of the half that is searched."""
        return self.known[self.is_explored]

    @property
    def held_out(self) -> NDArray[np.int64]:
        """Places among the rows of the half that tests."""
        return self.known[~self.is_explored]
