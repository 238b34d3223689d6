"""The votes of a project: one stored column a version of a function, so that an edit recomputes one column."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from weaklm import store as tables
from weaklm.apply import MAX_ERROR_RATE, ApplyMeta, LFApplier
from weaklm.errors import ProjectError
from weaklm.functions import Function, code_hash
from weaklm.lineage import function_source
from weaklm.store import Store, now


@dataclass(frozen=True)
class Applied:
    """What apply did: how many votes there are, how many of them had to be computed, and how often it failed.

    ``ran`` says how each function that had to be asked ran: "columns", "compiled", "batch", or "rows" and why.
    """

    n_rows: int
    functions: list[str]
    computed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    ran: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        n_votes = sum(self.computed.values())
        what = f"computed {n_votes:,} votes of {len(self.computed)} functions" if n_votes else "up to date"
        failed = "".join(f"; {name} failed on {n:,} rows and abstains there" for name, n in self.failed.items() if n)
        return f"applied {len(self.functions)} functions to {self.n_rows:,} rows: {what}{failed}"


class Votes:
    """The votes in a store.

    Parameters
    ----------
    options
        Keyword arguments of :class:`~weaklm.apply.LFApplier`: worker processes, limits, errors.
    """

    def __init__(self, store: Store, **options: Any) -> None:
        self._store, self._options = store, options
        # The versions of the functions that were applied, by id: a function may change what it refers to as it runs.
        self._versions: dict[int, tuple[Function, str]] = {}

    def version(self, function: Function) -> str:
        """Return the name under which the votes of a function are filed: as it was when it was applied, or is now."""
        known, name = self._versions.get(id(function), (None, ""))
        return name if known is function else version(function)

    def apply(self, functions: Sequence[Function], data: pd.DataFrame, *, progress: bool = False) -> Applied:
        """Compute and store the votes of the functions on the rows that are not there yet, or failed last time."""
        self._versions |= {id(function): (function, version(function)) for function in functions}
        missing: dict[bytes, tuple[NDArray[np.bool_], list[Function]]] = {}
        for function in functions:
            todo = ~data["id"].isin(self._settled(function)).to_numpy()
            if todo.any():
                missing.setdefault(todo.tobytes(), (todo, []))[1].append(function)
        applied = Applied(len(data), [function.name for function in functions])
        for todo, lacking in missing.values():
            rate = (
                self._options.get("max_error_rate", MAX_ERROR_RATE) * len(data) / todo.sum()
            )  # of all rows, not of these few
            options = self._options | {"max_error_rate": min(1.0, rate)}
            L, meta = LFApplier(lacking, progress=progress, **options).apply(data[todo], return_meta=True)
            self._keep(lacking, data.loc[todo, "id"], L, meta)
            applied.computed.update(dict.fromkeys(meta.ran, int(todo.sum())))
            applied.failed.update(meta.n_failed)
            applied.ran.update(meta.ran)
            applied.seconds.update(meta.seconds)
        return applied

    def has(self, functions: Sequence[Function], data: pd.DataFrame) -> bool:
        """Return whether every function has voted on every row."""
        stored = (set(self._stored(function)["id"]) for function in functions)
        return all(data["id"].isin(ids).all() for ids in stored) and bool(functions)

    def matrix(self, functions: Sequence[Function], data: pd.DataFrame) -> NDArray[np.int8]:
        """Return L of shape (n_rows, n_functions) for the rows, from the stored votes."""
        columns = []
        for function in functions:
            stored = self._stored(function)
            # The newest vote counts: a function that is never remembered, or that failed, was asked again.
            votes = stored.drop_duplicates("id", keep="last")
            place = pd.Index(votes["id"]).get_indexer(data["id"])
            if (place < 0).any():
                raise ProjectError(
                    f"{function.name} has not voted on {int((place < 0).sum()):,} rows; run apply() first"
                )
            columns.append(votes["vote"].to_numpy(np.int8)[place])
        return np.column_stack(columns) if columns else np.empty((len(data), 0), dtype=np.int8)

    def history(self, functions: Sequence[Function]) -> ApplyMeta:
        """Return how the functions ran when they were asked, and where they failed, from the store."""
        ran, seconds, failures = {}, {}, []
        table = tables.function_runs
        for function in functions:
            own = sa.select(table).where(table.c.name == function.name, table.c.code_hash == self._hash(function))
            runs = self._store.rows(own.order_by(table.c.id))
            ran[function.name] = runs[-1]["ran"] if runs else ""
            seconds[function.name] = float(sum(run["seconds"] for run in runs))
            newest = self._stored(function).drop_duplicates("id", keep="last")
            failures += [(function.name, row_id, "", "") for row_id in newest.loc[newest["failed"], "id"]]
        columns = ["function", "id", "reason", "traceback"]
        return ApplyMeta(ran=ran, seconds=seconds, failures=pd.DataFrame(failures, columns=columns))

    def _settled(self, function: Function) -> NDArray[Any]:
        """Return the ids of the rows that the function need not be asked about."""
        stored = self._stored(function)
        settled = ~stored["failed"] & getattr(function, "cache", True)
        return stored.loc[settled, "id"].to_numpy()

    def _stored(self, function: Function) -> pd.DataFrame:
        stored = self._store.frame("votes", self.version(function))
        if stored is None:
            return pd.DataFrame({"id": [], "vote": [], "failed": []}).astype({"vote": "int8", "failed": bool})
        return stored if "failed" in stored else stored.assign(failed=False)  # of the first schema

    def _keep(self, functions: Sequence[Function], ids: pd.Series, L: NDArray[np.int8], meta: ApplyMeta) -> None:
        failed = meta.failures.groupby("function")["id"].agg(set).to_dict()
        with self._store.write() as connection:
            for column, function in enumerate(functions):
                self._record(connection, function)
                own = ids.isin(failed.get(function.name, set())).to_numpy()
                votes = pd.DataFrame({"id": ids.to_numpy(), "vote": L[:, column], "failed": own})
                self._store.add_part(connection, "votes", self.version(function), votes)
                run = {"ran": meta.ran[function.name], "seconds": meta.seconds[function.name], "n_rows": len(ids)}
                key = {"name": function.name, "code_hash": self._hash(function), "n_failed": int(own.sum())}
                connection.execute(tables.function_runs.insert().values(**key, **run, created=now()))

    def _hash(self, function: Function) -> str:
        return self.version(function).rpartition("-")[2]

    def _record(self, connection: sa.Connection, function: Function) -> None:
        table = tables.function_versions
        key = {"name": function.name, "code_hash": self._hash(function)}
        known = sa.select(table).where(table.c.name == key["name"], table.c.code_hash == key["code_hash"])
        if connection.execute(known).first() is None:
            connection.execute(table.insert().values(**key, source=function_source(function), created=now()))


def version(function: Function) -> str:
    """Return the name under which the votes of this version of a function are filed."""
    return f"{function.name}-{code_hash(function)}"
