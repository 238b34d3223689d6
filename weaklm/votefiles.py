"""Parquet files of votes: the ids, one column a function, and a record of what they are the votes of."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.code import code_hash
from weaklm.errors import DataError, nearest

Paths = str | Path | Sequence[str | Path]

_KEY = b"weaklm"


def read_votes(parts: Paths, functions: Sequence[Any]) -> NDArray[Any]:
    """Return L of shape (n_rows, n_functions), int8, or S, bool, from parts of votes: a folder, a file or a list."""
    return np.concatenate([matrix for _, matrix in iterate_votes(parts, functions)])


def iterate_votes(parts: Paths, functions: Sequence[Any]) -> Iterator[tuple[NDArray[np.object_], NDArray[Any]]]:
    """Yield part by part the ids, of shape (n_rows,), and the votes or membership, of shape (n_rows, n_functions).

    Raises
    ------
    DataError
        If a part lacks a function, or holds the votes of another version of it.
    """
    import pyarrow.parquet as pq

    hashes = {function.name: code_hash(function) for function in functions}
    for part in parquet_files(parts):
        record = Record.read(part)
        if record is None:
            raise DataError(f"{part} holds no votes; apply_parts() writes parts that do")
        for name, version in hashes.items():
            if name not in record.hashes:
                raise DataError(f"{part} has no votes of {name}; {nearest(name, record.hashes)}")
            if record.hashes[name] != version:
                raise DataError(f"{part} has the votes of another version of {name}; run apply_parts() again")
        table = pq.read_table(part, columns=["id", *hashes])
        matrix = np.column_stack([table.column(name).to_numpy() for name in hashes])
        yield table.column("id").to_numpy().astype(object), matrix


@dataclass(frozen=True)
class Record:
    """What a file of votes says of itself."""

    source: str  # digest of the part of examples
    n_rows: int
    hashes: dict[str, str]
    n_failed: dict[str, int]
    failures: list[list[str]]  # function, id, reason; the first of each function
    run: str = ""  # that wrote the part
    computed: list[str] = field(default_factory=list)  # functions that were asked then

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """Return what a file says, None where it is missing, broken, or no part of votes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            said = (pq.read_metadata(path).metadata or {}).get(_KEY)
        except (OSError, pa.ArrowException):
            return None
        return None if said is None else cls(**json.loads(said))

    def metadata(self) -> dict[bytes, str]:
        """Return the record as metadata for a file."""
        return {_KEY: json.dumps(asdict(self))}


def parquet_files(source: Paths) -> list[Path]:
    """Return the Parquet files that are meant, as absolute paths."""
    if isinstance(source, str | Path):
        path = Path(source).absolute()
        files = sorted(path.glob("[!._]*.parquet")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path} holds no .parquet file")
    else:
        files = [Path(file).absolute() for file in source]
        if not files:
            raise DataError("the list of Parquet files is empty")
    for file in files:
        if not file.is_file():
            beside = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
            raise DataError(f"there is no file {file}; {nearest(file.name, beside)}")
    return files
