"""What models said, on disk: one SQLite file that several processes may read and write at once.

Texts are not stored, only hashes of them; beside the answers lies a random secret, from which judges make markers that
the author of a text cannot guess.
"""

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from weaklm.errors import DataError

DEFAULT_CACHE = "~/.cache/weaklm/judges.db"

_VERSION = 1
_AT_ONCE = 500  # keys in one query


@dataclass(frozen=True)
class Said:
    """What a model said of one prompt: raw, parsed, or why it could not be parsed."""

    output: str
    answer: str | None = None
    failure: str | None = None
    number: float | None = None  # the confidence of an answer; the score of a model that only scores
    seconds: float = 0.0


class JudgeCache:
    """An open cache file; made where there is none, readable by its owner only.

    Examples
    --------
    >>> import tempfile
    >>> with JudgeCache(Path(tempfile.mkdtemp()) / "judges.db") as cache:
    ...     cache.put("qwen3-8b", {key("Is it?"): Said("ANSWER: yes", "yes")})
    ...     cache.get([key("Is it?"), key("Is it not?")])[key("Is it?")].answer
    'yes'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def __enter__(self) -> "JudgeCache":
        with self._named():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def secret(self) -> bytes:
        """Return the 32 random bytes of this file."""
        with self._named():
            row = self._connection.execute("SELECT value FROM secret").fetchone()
            if row is None:
                raise sqlite3.DatabaseError("its secret is gone")
        return bytes(row[0])

    def get(self, keys: Iterable[str]) -> dict[str, Said]:
        """Return what is known of the keys."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Said] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            query = f"SELECT key, {_COLUMNS} FROM said WHERE key IN ({', '.join('?' * len(some))})"
            with self._named():
                found |= {key: Said(*values) for key, *values in self._connection.execute(query, some)}
        return found

    def put(self, model: str, said: Mapping[str, Said]) -> None:
        """Remember what a model said, by key, even if the process dies right after."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [(key, model, created, *astuple(one)) for key, one in said.items()]
        query = f"INSERT OR REPLACE INTO said (key, model, created, {_COLUMNS}) VALUES ({', '.join('?' * 8)})"
        with self._named(), self._transaction():
            self._connection.executemany(query, rows)

    def _prepare(self) -> None:
        with self._transaction():  # before anything is changed: the file may be somebody else's
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (n_tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and n_tables > 0:
                raise sqlite3.DatabaseError("it is a database of another program")
            if version == 0:
                self._create()
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"it has version {version}, this weaklm writes {_VERSION}")
        _patiently(self._connection, "PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _create(self) -> None:
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        self._connection.execute(_SAID)
        self._connection.execute("CREATE TABLE secret (value BLOB NOT NULL)")
        self._connection.execute("INSERT INTO secret VALUES (?)", [secrets.token_bytes(32)])

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which file is at fault."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"the cache {self.path} cannot be used: {error}. Name another file, or delete this one if it is a "
                "cache that broke."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


_COLUMNS = ", ".join(field.name for field in fields(Said))
_SAID = """
CREATE TABLE said (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, created TEXT NOT NULL,
    output TEXT NOT NULL, answer TEXT, failure TEXT, number REAL, seconds REAL NOT NULL
) WITHOUT ROWID
"""


def key(*parts: Any) -> str:
    """Return the sha256, as 64 hexadecimal digits, of parts that JSON can hold.

    >>> key("a", {"b": 1}) == key("a", {"b": 1}), key("a", "b") == key("ab")
    (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute a statement for which SQLite does not wait for other processes by itself."""
    for _ in range(300):
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        time.sleep(0.1)
    connection.execute(statement)
