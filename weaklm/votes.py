"""The votes of a project: one stored column a version of a function, so that an edit recomputes one column."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from weaklm import store as tables
from weaklm.apply import LFApplier
from weaklm.errors import ProjectError
from weaklm.functions import Function, code_hash
from weaklm.lineage import function_source
from weaklm.store import Store, now


@dataclass(frozen=True)
class Applied:
    """What apply did: how many votes there are, and how many of them had to be computed."""

    n_rows: int
    functions: list[str]
    computed: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        n_votes = sum(self.computed.values())
        what = f"computed {n_votes:,} votes of {len(self.computed)} functions" if n_votes else "up to date"
        return f"applied {len(self.functions)} functions to {self.n_rows:,} rows: {what}"


class Votes:
    """The votes in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def apply(self, functions: Sequence[Function], data: pd.DataFrame, *, progress: bool = False) -> Applied:
        """Compute and store the votes of the functions on the rows that are not there yet."""
        missing: dict[bytes, tuple[NDArray[np.bool_], list[Function]]] = {}
        for function in functions:
            stored = self._store.frame("votes", version(function))
            todo = ~data["id"].isin(stored["id"] if stored is not None else []).to_numpy()
            if todo.any():
                missing.setdefault(todo.tobytes(), (todo, []))[1].append(function)
        computed: dict[str, int] = {}
        for todo, lacking in missing.values():
            rows = data[todo]
            L = LFApplier(lacking, progress=progress).apply(rows)
            with self._store.write() as connection:
                for column, function in enumerate(lacking):
                    self._record(connection, function)
                    votes = pd.DataFrame({"id": rows["id"].to_numpy(), "vote": L[:, column]})
                    self._store.add_part(connection, "votes", version(function), votes)
                    computed[function.name] = len(rows)
        return Applied(len(data), [function.name for function in functions], computed)

    def matrix(self, functions: Sequence[Function], data: pd.DataFrame) -> NDArray[np.int8]:
        """Return L of shape (n_rows, n_functions) for the rows, from the stored votes."""
        columns = []
        for function in functions:
            stored = self._store.frame("votes", version(function))
            votes = stored.set_index("id")["vote"] if stored is not None else pd.Series(dtype="int8")
            lacking = ~data["id"].isin(votes.index)
            if lacking.any():
                raise ProjectError(f"{function.name} has not voted on {int(lacking.sum()):,} rows; run apply() first")
            columns.append(votes.loc[data["id"]].to_numpy(np.int8))
        return np.column_stack(columns) if columns else np.empty((len(data), 0), dtype=np.int8)

    def _record(self, connection: sa.Connection, function: Function) -> None:
        table = tables.function_versions
        key = {"name": function.name, "code_hash": code_hash(function)}
        known = sa.select(table).where(table.c.name == key["name"], table.c.code_hash == key["code_hash"])
        if connection.execute(known).first() is None:
            connection.execute(table.insert().values(**key, source=function_source(function), created=now()))


def version(function: Function) -> str:
    """Return the name under which the votes of this version of a function are filed."""
    return f"{function.name}-{code_hash(function)}"
