"""Rows, their slices and what was decided of each: what every step of a curation takes and gives, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.certificate import Certificate
from weaklm.curation.corrections import corrected
from weaklm.curation.decisions import Decisions, Detail, Flags, Integers, Numbers
from weaklm.curation.minhash import text_series
from weaklm.data import complete
from weaklm.errors import DataError, SettingsError, nearest
from weaklm.metrics import check_score
from weaklm.sampling import slice_strata


@dataclass(frozen=True)
class Table:
    """Rows with their decisions.

    Attributes
    ----------
    data
        (n) complete examples; every step shares them.
    S
        (n, n_slices) bool, a named column a slice.
    id_rank
        (n,) the place of each row when all are sorted by id: what makes steps independent of the order of rows.
    decisions
        The score, label and decision of each row, and the steps so far.
    facts
        What steps have to say, a sentence each.
    certificates
        Those that were asked for, granted or refused.
    """

    data: pd.DataFrame
    S: pd.DataFrame
    id_rank: Integers
    decisions: Decisions
    facts: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @classmethod
    def of(cls, data: pd.DataFrame, score: ArrayLike, slices: Sequence[Any] | pd.DataFrame | None) -> Self:
        """Return a table that keeps every row, with people's corrections in place."""
        frame = complete(data)
        frame, values = corrected(frame, check_score(score, len(frame)))
        return cls(frame, members(frame, slices), id_rank(frame), Decisions.of(values, frame.index))

    @property
    def kept(self) -> Flags:
        """(n,) whether each row is kept."""
        return self.decisions["kept"]

    @property
    def id(self) -> NDArray[Any]:
        """(n,) the id of each row."""
        return np.asarray(self.data["id"].to_numpy(dtype=object))

    def by_id(self) -> Integers:
        """Return the kept rows, sorted by id."""
        rows = np.flatnonzero(self.kept)
        return rows[np.argsort(self.id_rank[rows], kind="stable")]

    def best_first(self, column: str) -> Integers:
        """Return the kept rows, those with the highest value ("score" or "confidence") first; equal ones by id."""
        rows = self.by_id()
        return rows[np.argsort(-self.decisions[column][rows], kind="stable")]

    def drop(self, failing: Flags, step: str, detail: Detail | None = None) -> Self:
        """Return the table without the kept rows that fail a step."""
        return replace(self, decisions=self.decisions.drop(failing, step, detail))

    def keep(self, rows: Integers, step: str, detail: Detail | None = None) -> Self:
        """Return the table with no other rows than these."""
        failing = np.ones(len(self.data), dtype=bool)
        failing[rows] = False
        return self.drop(failing, step, detail)

    def drop_alike(self, rows: Integers, like: Integers, similarity: Numbers, step: str) -> Self:
        """Return the table without those of the rows that are like another of them (its place; -1: none)."""
        of_row, alike = np.full(len(self.data), -1, dtype=np.int64), np.zeros(len(self.data))
        near = like >= 0
        of_row[rows[near]], alike[rows[near]] = rows[like[near]], similarity[near]
        ids = self.id

        def detail(dropped: Integers) -> list[str]:
            told = zip(alike[dropped], ids[of_row[dropped]], strict=True)
            return [f"{share:.2f} like {name}" for share, name in told]

        return self.drop(of_row >= 0, step, detail)

    def note(self, *facts: str) -> Self:
        """Return the table with these sentences to say, each once."""
        return replace(self, facts=tuple(dict.fromkeys([*self.facts, *facts])))

    def strata(self) -> NDArray[Any]:
        """Return (n,) the rarest slice that each row is in, or "rest"."""
        if not len(self.S.columns):
            return np.full(len(self.data), "rest", dtype=object)
        return slice_strata(self.S.to_numpy(dtype=bool), list(self.S.columns))

    def groups(self, on: str) -> NDArray[Any]:
        """Return (n,) the group of each row: by "slice", by "label", or by a column of the data."""
        if on == "slice":
            return self.strata()
        if on == "label":
            return self.decisions["label"]
        if on not in self.data.columns:
            raise DataError(
                f"there is no column {on!r} to mix by; {nearest(on, ['slice', 'label', *self.data.columns])}"
            )
        return np.asarray(self.data[on].astype(str).to_numpy(dtype=object))

    def sure(self, threshold: float) -> pd.DataFrame:
        """Return the kept rows of at least this confidence, with score and label, sorted by id."""
        if not 0 <= threshold <= 1:
            raise SettingsError(f"confidence_threshold is {threshold!r}; a number from 0 to 1 was expected")
        rows = self.by_id()
        rows = rows[self.decisions["confidence"][rows] >= threshold]
        score, label = (self.decisions[column][rows] for column in ("score", "label"))
        return self.data.iloc[rows].assign(score=score, label=label)


def members(data: pd.DataFrame, slices: Sequence[Any] | pd.DataFrame | None) -> pd.DataFrame:
    """Return which rows are in each slice, (n, n_slices) bool: by slicing functions, or as a frame says."""
    if slices is None:
        return pd.DataFrame(index=data.index)
    if isinstance(slices, pd.DataFrame):
        if len(slices) != len(data):
            raise DataError(f"the slices have {len(slices)} rows and the data {len(data)}; one for each was expected")
        return slices.astype(bool).set_axis(data.index, axis=0)
    from weaklm.apply import SFApplier

    applier = SFApplier(slices)
    names = [function.name for function in applier.functions]
    return pd.DataFrame(applier.apply(data), index=data.index, columns=names)


def id_rank(data: pd.DataFrame) -> Integers:
    """Return (n,) the place of each row when all are sorted by id."""
    rank = np.empty(len(data), dtype=np.int64)
    rank[text_series(data["id"].to_numpy(dtype=object)).arg_sort().to_numpy()] = np.arange(len(data))
    return rank


def joined(table: Table, other: Table) -> Table:
    """Return the rows of both, each with its decision; a row that both hold is there once, kept if either keeps it."""
    if list(table.S.columns) != list(other.S.columns):
        raise DataError(f"the sets have the slices {[*table.S]} and {[*other.S]}; make both with the same slices=...")
    twice, again = _shared(table.data, other.data)
    better = other.kept[again] & ~table.kept[twice]
    mine, theirs = np.ones(len(table.data), dtype=bool), np.ones(len(other.data), dtype=bool)
    mine[twice[better]], theirs[again[~better]] = False, False

    def both(one: pd.DataFrame, two: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([one[mine], two[theirs]], ignore_index=True)

    data = both(table.data, other.data)
    steps = tuple(dict.fromkeys([*table.decisions.steps, *other.decisions.steps]))
    decisions = Decisions(both(table.decisions.frame, other.decisions.frame), steps)
    made = Table(data, both(table.S, other.S), id_rank(data), decisions)
    made = replace(made, certificates=(*table.certificates, *other.certificates)).note(*table.facts, *other.facts)
    said = f"{len(twice):,} rows are in both of the sets that were joined, and count once."
    return made.note(said) if len(twice) else made


def _shared(data: pd.DataFrame, other: pd.DataFrame) -> tuple[Integers, Integers]:
    """Return the places of the rows that both frames hold, in each; DataError where one id has two responses."""
    place = pd.Series(np.arange(len(data)), index=data["id"].to_numpy(dtype=object))
    again = np.flatnonzero(other["id"].isin(data["id"]).to_numpy(dtype=bool))
    twice = place.loc[other["id"].to_numpy(dtype=object)[again]].to_numpy(dtype=np.int64)
    differs = data["response"].to_numpy(dtype=object)[twice] != other["response"].to_numpy(dtype=object)[again]
    if differs.any():
        row_id = data["id"].iloc[twice[np.argmax(differs)]]
        raise DataError(f"the id {row_id!r} has one response in this set and another in the other; ids must be unique")
    return twice, again
