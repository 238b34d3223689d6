"""The project's memory: small facts in a database, bulk in Parquet parts that one database row makes visible.

A reader never sees half of anything: a part is written beside its place, synced and renamed, and counts only once
its row is committed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from weaklm.atomic import atomic_file
from weaklm.data import content_hash
from weaklm.errors import ProjectError
from weaklm.exchange import write_parquet

SCHEMA_VERSION = 3

_metadata = sa.MetaData()
_meta = sa.Table("meta", _metadata, sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.String))
parts = sa.Table(  # one Parquet file each; kind says what is in it, key which one (a source, a function, a model)
    "parts",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, index=True, nullable=False),
    sa.Column("key", sa.String, index=True, nullable=False),
    sa.Column("path", sa.String, unique=True, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
imports = sa.Table(
    "imports",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("dropped", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
annotations = sa.Table(  # append-only: the newest row of an example by an annotator counts
    "annotations",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("example_id", sa.String, index=True, nullable=False),
    sa.Column("annotator", sa.String, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
batches = sa.Table(  # rows that people were asked to label; a part of kind "batches" has the chance of each row
    "batches",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
function_versions = sa.Table(
    "function_versions",
    _metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("code_hash", sa.String, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
function_runs = sa.Table(  # each time that rows were shown to a version of a function
    "function_runs",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, index=True, nullable=False),
    sa.Column("code_hash", sa.String, nullable=False),
    sa.Column("ran", sa.String, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("n_failed", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
runs = sa.Table(  # every step that made something: its key says from what, its outputs say what
    "runs",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, index=True, nullable=False),
    sa.Column("parents", sa.JSON, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)


class Store:
    """A folder with ``project.db`` and Parquet parts beside it.

    Parameters
    ----------
    folder
        The project folder; it must exist.
    url
        A SQLAlchemy URL of another database; None for SQLite in the folder.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self._engine = sa.create_engine(url or f"sqlite:///{folder / 'project.db'}")
        if self._engine.dialect.name == "sqlite":
            _make_sqlite_safe(self._engine)
        try:
            with self.write() as connection:
                _metadata.create_all(connection)
                _check_version(connection, folder)
        except sa.exc.DatabaseError as error:
            raise ProjectError(
                f"{folder / 'project.db'} cannot be opened as the project's database: {error}"
            ) from error

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection that holds the write lock from its first statement; commits at the end."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one state of the database and takes no lock."""
        with self._engine.connect().execution_options(read_only=True) as connection, connection.begin():
            yield connection

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        with self.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_part(self, connection: sa.Connection, kind: str, key: str, frame: pd.DataFrame) -> None:
        """Write a frame as one more part; it becomes visible when the connection's transaction commits."""
        count = sa.select(sa.func.count()).where(parts.c.kind == kind, parts.c.key == key)
        number = connection.execute(count).scalar_one()
        path = Path(kind) / _safe(key) / f"part-{number:05d}.parquet"
        with atomic_file(self.folder / path) as temporary:
            write_parquet(frame.reset_index(drop=True), temporary)
        values = {"kind": kind, "key": key, "path": path.as_posix(), "n_rows": len(frame), "created": now()}
        connection.execute(parts.insert().values(values))

    def frame(self, kind: str, key: str) -> pd.DataFrame | None:
        """Return all visible parts of one kind and key as one frame, in order; None when there are none."""
        query = sa.select(parts.c.path).where(parts.c.kind == kind, parts.c.key == key).order_by(parts.c.id)
        paths = [self.folder / row["path"] for row in self.rows(query)]
        for path in paths:
            if not path.is_file():
                raise ProjectError(f"{path} is gone, but the project's database lists it; restore it from a backup")
        if not paths:
            return None
        frames = [pd.read_parquet(path).astype({"id": object}) for path in paths]
        return pd.concat(frames, ignore_index=True)

    def keys(self, kind: str) -> list[str]:
        """Return the keys that have parts of a kind, in order of appearance."""
        query = (
            sa.select(parts.c.key).where(parts.c.kind == kind).group_by(parts.c.key).order_by(sa.func.min(parts.c.id))
        )
        return [row["key"] for row in self.rows(query)]

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()


def now() -> str:
    """Return the time in UTC, to the second, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _make_sqlite_safe(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        connection.execute("PRAGMA busy_timeout = 30000")  # milliseconds
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred BEGIN takes the lock at the first write, too late to protect what was read before it.
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _check_version(connection: sa.Connection, folder: Path) -> None:
    query = sa.select(_meta.c.value).where(_meta.c.key == "schema_version")
    version = connection.execute(query).scalar_one_or_none()
    if version is None:
        connection.execute(_meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
    elif version in ("1", "2"):  # they lacked tables, which are there now
        connection.execute(_meta.update().where(_meta.c.key == "schema_version").values(value=str(SCHEMA_VERSION)))
    elif version != str(SCHEMA_VERSION):
        raise ProjectError(
            f"{folder / 'project.db'} has schema version {version}, this weaklm writes {SCHEMA_VERSION}; "
            "open it with the weaklm that made it"
        )


def _safe(key: str) -> str:
    """Return a folder name for a key: as it is where that is safe, else with a hash that keeps keys apart."""
    clean = "".join(c if c.isalnum() or c in "-_." else "_" for c in key).lstrip(".")
    return clean if clean == key else f"{clean}-{content_hash(key)[:8]}"
