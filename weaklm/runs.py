"""The steps that a project has done: each filed under a hash of all that it was made from."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import weaklm
from weaklm.data import content_hash
from weaklm.errors import ProjectError
from weaklm.store import Store, now
from weaklm.store import runs as table

log = logging.getLogger("weaklm")

_VERBS = {"fit": "fit()", "curate": "curate(...)", "report": "report()", "compare": "compare(...)"}


class Runs:
    """The steps recorded in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def once(
        self,
        kind: str,
        run_id: str,
        make: Callable[[], dict[str, Any]],
        *,
        parents: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the outputs of a step: those of the recorded one from the same inputs, else what ``make()`` returns.

        Either way the step becomes the newest of its kind: it is what the next steps build on.
        """
        known = self.get(run_id)
        if known is not None and _is_there(self._store.folder, known["outputs"]):
            self._touch(run_id)
            log.info("%s: up to date (%s)", kind, run_id)
            return known["outputs"]
        started = time.monotonic()
        outputs = _plain(make())
        values = {"id": run_id, "kind": kind, "parents": list(parents), "settings": _plain(settings or {})}
        values |= {"outputs": outputs, "seconds": time.monotonic() - started, "created": now()}
        with self._store.write() as connection:
            connection.execute(table.delete().where(table.c.id == run_id))
            connection.execute(table.insert().values(**values, number=_next_number(connection)))
        return outputs

    def get(self, run_id: str) -> dict[str, Any] | None:
        """Return a recorded step by its id, or None."""
        return next(iter(self._store.rows(sa.select(table).where(table.c.id == run_id))), None)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the recorded steps of a kind, newest first."""
        return self._store.rows(sa.select(table).where(table.c.kind == kind).order_by(table.c.number.desc()))

    def newest(self, kind: str) -> dict[str, Any]:
        """Return the newest step of a kind; ProjectError says what to run when there is none."""
        steps = self.all(kind)
        if not steps:
            raise ProjectError(f"{self._store.folder} has no {kind} yet; run {_VERBS.get(kind, kind)} first")
        return steps[0]

    def _touch(self, run_id: str) -> None:
        with self._store.write() as connection:
            connection.execute(table.update().where(table.c.id == run_id).values(number=_next_number(connection)))


def run_key(kind: str, *parts: Any) -> str:
    """Return the id of a step from all that decides its result."""
    return content_hash(kind, weaklm.__version__, json.dumps(parts, sort_keys=True, default=str))


def fingerprint(model: str) -> list[tuple[str, int, int]]:
    """Return what tells two states of a model folder apart; empty for a name on a hub."""
    files = sorted(path for path in Path(model).glob("*") if path.is_file()) if Path(model).is_dir() else []
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _next_number(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0))).scalar_one()) + 1


def _is_there(folder: Path, outputs: Mapping[str, Any]) -> bool:
    return "folder" not in outputs or (folder / outputs["folder"]).is_dir()


def _plain(value: Any) -> Any:
    """Return the value as JSON reads it back, so that a new result and a recorded one are the same."""
    return json.loads(json.dumps(value, default=str))
