"""The choice: of all rules that the searched half likes, a few that differ from each other and from yours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from weaklm.apply import SFApplier
from weaklm.discovery.conditions import Condition, Flags, Found
from weaklm.discovery.look import Look
from weaklm.discovery.search import search, worse

_TRIED = 2_000  # rules, the best, among which different ones are looked for
_SAME, _SHARED = 0.8, 0.6  # Jaccard index of rules with nearly the same rows; and with too many of the same
_NEWS = 2.0  # standard errors by which a slice must be worse even on rows that no better one has
_ALSO = 3  # rules with nearly the same rows that are named


@dataclass(frozen=True)
class Chosen:
    """A slice that the first half chose: its conditions, its members among all rows, and what is like it."""

    conditions: tuple[Condition, ...]
    members: Flags
    overlap: float
    overlaps_with: str | None
    also: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """Its members in words."""
        return " and ".join(condition.words for condition in self.conditions)

    @property
    def name(self) -> str:
        """What a function could be called, before it is made fit for Python."""
        return "_and_".join(condition.name for condition in self.conditions)


def members_of(slices: Sequence[Any] | None, rows: pd.DataFrame) -> dict[str, Flags]:
    """Return the members of the slices that are there already, by name."""
    if not slices:
        return {}
    applier = SFApplier(slices)
    S = applier.apply(rows)
    return {function.name: S[:, j] for j, function in enumerate(applier.functions)}


def choose(
    look: Look, found: Sequence[Found], known: Mapping[str, Flags], *, least: int, depth: int, n: int
) -> tuple[list[Chosen], list[str]]:
    """Return at most n different slices, those first for which most speaks, and the known slices that were met."""
    chosen: list[Chosen] = []
    met: dict[str, None] = {}
    holds = np.array([rows for _, rows in found], dtype=bool).reshape(len(found), len(look.rows))
    bad, is_left = look.bad[look.is_explored], np.ones(len(look.explored), dtype=bool)
    for rule in islice(search(holds[:, look.explored], bad, least=least, depth=depth), _TRIED):
        members = np.logical_and.reduce(holds[list(rule)])
        overlap, name = max(((_jaccard(members, rows), name) for name, rows in known.items()), default=(0.0, ""))
        one = Chosen(tuple(found[i][0] for i in rule), members, overlap, name if overlap else None)
        alike, place = max(((_jaccard(members, c.members), -i) for i, c in enumerate(chosen)), default=(0.0, 0))
        if overlap >= _SAME:
            met[name] = None
        elif alike >= _SAME and len(chosen[-place].also) < _ALSO:
            chosen[-place].also.append(one.rule)
        elif (
            len(chosen) < n
            and alike < _SHARED
            and members[look.held_out].sum() >= least / 2
            and worse(members[look.explored][is_left], bad[is_left]) >= _NEWS
        ):
            chosen.append(one)
            is_left &= ~members[look.explored]
    return chosen, list(met)


def _jaccard(a: Flags, b: Flags) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0
