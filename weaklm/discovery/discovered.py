"""What was discovered: slices with the evidence for them, and the slicing function that each would be."""

import builtins
import html
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weaklm.data import Example
from weaklm.discovery.conditions import Condition, Flags
from weaklm.errors import FunctionError
from weaklm.functions import SlicingFunction
from weaklm.suggestions import writing

_COLUMNS = (
    *("name", "rule", "n", "n_instructions", "share", "rate", "low", "high", "rest_rate", "p", "p_adjusted"),
    *("overlap", "overlaps_with", "also"),
)
_LONGEST_NAME = 60  # characters
_LINE = 100  # characters of a condition on one line


@dataclass(frozen=True, repr=False)
class DiscoveredSlice:
    """A slice that is worse than the rest, and the evidence for it, all of it from the half that did not choose it.

    Attributes
    ----------
    name
        The name that the function gets.
    rule
        Its members in words.
    n, n_instructions
        How many rows of the held-out half with a known quality it has, and how many instructions these answer.
    share
        The share of all rows that it has.
    rate, low, high
        How bad its rows are on average, and the interval of that.
    rest_rate
        How bad the other rows are.
    p, p_adjusted
        The one-sided p-value that it is no worse than the rest: alone, and among all slices that were tested.
    overlap, overlaps_with
        The largest Jaccard index of its rows with those of a slice of yours, and that slice; 0 and None without any.
    also
        Rules that were found too and have nearly the same rows.
    """

    name: str
    rule: str
    n: int
    n_instructions: int
    share: float
    rate: float
    low: float
    high: float
    rest_rate: float
    p: float
    p_adjusted: float
    overlap: float
    overlaps_with: str | None
    also: tuple[str, ...]
    _conditions: tuple[Condition, ...]
    _basis: str
    _members: Flags = field(compare=False)
    _rows: list[Example] = field(compare=False)

    @property
    def source(self) -> str:
        """The source code of the slicing function."""
        return self._source(self.name)

    def accept(self, path: str | Path, name: str | None = None) -> SlicingFunction:
        """Write the function to a file of yours, such as ``slices/mine.py``, and return it.

        The file is made with the imports, or gets the function at its end; what it holds is not touched.

        Raises
        ------
        FunctionError
            If the name is taken in the file, or the file does not load; then nothing is written.
        """
        source = self._source(name or self.name)
        self._check(source, name or self.name)
        accepted: SlicingFunction = writing.append(source, name or self.name, path, new_file=writing.NEW_SLICES)
        return accepted

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence and the source as plain values."""
        return {
            **{column: getattr(self, column) for column in _COLUMNS},
            "also": list(self.also),
            "source": self.source,
        }

    def _source(self, name: str) -> str:
        condition, resources = _code(self._conditions)
        evidence = (
            f"discovered: {_percent(self.rate)} of {self.n:,} held-out rows are bad ({_percent(self.low)} to "
            f"{_percent(self.high)}), {_percent(self.rest_rate)} of the others; p = {self.p_adjusted:.2g} after "
            f"{self._basis}. Has {_percent(self.share)} of the rows."
        )
        doc = f"Rows where {self.rule}.".replace("\\", "\\\\").replace('"""', "'''")
        return writing.slice_source(name, condition=condition, resources=resources, doc=doc, source=evidence)

    def _check(self, source: str, name: str) -> None:
        """Raise when the function that is written has other members than the slice that was tested."""
        made: dict[str, Any] = {"__name__": "weaklm_discovery"}
        exec(compile(writing.with_imports(source), "<discovery>", "exec"), made)
        if not np.array_equal([made[name](x) for x in self._rows], self._members):
            raise FunctionError(f"{name} has other members than the slice that was discovered; please report this")

    def __repr__(self) -> str:
        return (
            f"{self.rule}: {_percent(self.rate)} bad [{self.low * 100:.1f}, {self.high * 100:.1f}] on {self.n:,} "
            f"held-out rows, {_percent(self.rest_rate)} elsewhere (p = {self.p_adjusted:.2g}); "
            f"{_percent(self.share)} of the rows"
        )


class Discovered(Sequence[DiscoveredSlice]):
    """Discovered slices, the worst first; shows itself in a notebook.

    Attributes
    ----------
    basis
        What was searched and tested, in words; where nothing could be, why.
    """

    def __init__(self, found: Sequence[DiscoveredSlice], basis: str, tested: Sequence[DiscoveredSlice] = ()) -> None:
        self._found, self.basis, self._tested = list(found), basis, list(tested)

    def __getitem__(self, i: Any) -> Any:
        return self._found[i]

    def __len__(self) -> int:
        return len(self._found)

    @property
    def tested(self) -> pd.DataFrame:
        """One row a slice that was tested with its evidence, also those that are not worse beyond chance."""
        return _frame(self._tested)

    def source(self, i: int) -> str:
        """Return the source code of slice ``i`` as a slicing function."""
        return self._found[i].source

    def accept(self, i: int, path: str | Path, name: str | None = None) -> SlicingFunction:
        """Write slice ``i`` to a file of yours: see :meth:`DiscoveredSlice.accept`."""
        return self._found[i].accept(path, name)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a slice with its evidence."""
        return _frame(self._found)

    def summary(self) -> list[dict[str, Any]]:
        """Return one dict a slice, of plain values, with its source code."""
        return [found.to_dict() for found in self._found]

    def __repr__(self) -> str:
        return "\n".join([f"{len(self)} slices discovered: {self.basis}", *map(repr, self._found)])

    def _repr_html_(self) -> str:
        said = [(html.escape(repr(found)), html.escape(found.source)) for found in self._found]
        shown = [f"<details><summary>{i}: {a}</summary><pre>{b}</pre></details>" for i, (a, b) in enumerate(said)]
        return f"<p>{len(self)} slices discovered: {html.escape(self.basis)}</p>{''.join(shown)}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _frame(found: Sequence[DiscoveredSlice]) -> pd.DataFrame:
    return pd.DataFrame([[getattr(one, column) for column in _COLUMNS] for one in found], columns=list(_COLUMNS))


def _code(conditions: Sequence[Condition]) -> tuple[str, dict[str, str | float]]:
    """Return conditions as one expression, and the values that it compares with by name."""
    resources: dict[str, str | float] = {}
    codes = []
    for condition in conditions:
        if condition.value is None:
            codes.append(condition.code)
            continue
        names = (condition.key, *(f"{condition.key}_{k}" for k in range(2, len(conditions) + 2)))
        name = next(name for name in names if name not in resources)
        resources[name] = condition.value
        codes.append(condition.code.replace("{}", name))
    joined = " and ".join(codes)
    lines = "\n        and ".join(codes)
    return (joined if len(joined) <= _LINE else f"(\n        {lines}\n    )"), resources


def free_name(words: str, taken: set[str]) -> str:
    """Return a name for a function that Python allows and that is not taken yet.

    >>> free_name("topic_late fees", set()), free_name("topic_3", {"topic_3"}), free_name("3d_yes", set())
    ('topic_late_fees', 'topic_3_2', 'slice_3d_yes')
    """
    name = re.sub("[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST_NAME].strip("_")
    if not name.isidentifier() or keyword.iskeyword(name) or hasattr(builtins, name):
        name = f"slice_{name}".strip("_")
    names = (name, *(f"{name}_{k}" for k in range(2, len(taken) + 3)))
    return next(free for free in names if free not in taken)
