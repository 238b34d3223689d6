"""Where files are: on this machine, or wherever fsspec reaches (``s3://``, ``gs://``, ``memory://`` and others).

A file appears whole or not at all: here by a rename, elsewhere because an upload counts once it is complete.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weaklm.atomic import atomic_file
from weaklm.errors import DataError, MissingExtraError

_EXTRAS = {"s3": "aws", "s3a": "aws"}


def protocol(path: str | Path) -> str:
    """Return the protocol of a path; empty for one on this machine.

    >>> protocol("s3://bucket/rows.csv"), protocol("rows.csv")
    ('s3', '')
    """
    if isinstance(path, Path) and re.match(r"\w{2,}:/", path.as_posix()):
        raise DataError(f"{path} was made a Path, which loses a slash; give it as text, such as 's3://bucket/file.csv'")
    found = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+)://", str(path))
    return found[1].lower() if found and found[1] != "file" else ""


def local(path: str | Path) -> Path:
    """Return a path on this machine, ``file://`` or not, as a Path."""
    return Path(str(path).removeprefix("file://"))


@contextmanager
def written_to(path: str | Path) -> Iterator[Path]:
    """Yield a place on this machine to write to; on success its content is at ``path``, on failure nothing is there."""
    if not protocol(path):
        with atomic_file(local(path)) as temporary:
            yield temporary
        return
    system, place = _remote(path)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / Path(place).name
        yield temporary
        with _named(path, "written"):
            system.put_file(str(temporary), place)


@contextmanager
def read_from(path: str | Path) -> Iterator[Path]:
    """Yield a place on this machine where the content of ``path`` is."""
    if not protocol(path):
        yield local(path)
        return
    system, place = _remote(path)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / Path(place).name
        with _named(path, "read"):
            system.get_file(place, str(temporary))
        try:
            yield temporary
        except DataError as error:  # it speaks of a place that nobody knows
            raise DataError(str(error).replace(str(temporary), str(path))) from error


def _remote(path: str | Path) -> tuple[Any, str]:
    """Return the file system that a path is on, and its place there."""
    name = protocol(path)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"{name}:// paths", _EXTRAS.get(name, "hf")) from error
    try:
        return url_to_fs(str(path))
    except ImportError as error:
        if name in _EXTRAS:
            raise MissingExtraError(f"{name}:// paths", _EXTRAS[name]) from error
        raise DataError(f"{path}: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _named(path: str | Path, done: str) -> Iterator[None]:
    """Raise what a file system raises as DataError: every one of them has its own exceptions."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path} cannot be {done}: {type(error).__name__}: {error}") from error
