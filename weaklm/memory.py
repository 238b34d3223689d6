"""The memory of votes: what a version of a function said of a row is on disk, and never asked again.

A vote is kept under the function's code hash and the content of the columns that the function reads. So an edit of
one function recomputes one column, new rows are computed alone, and the order, index and other columns of a frame do
not matter.
"""

import hashlib
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray

from weaklm.atomic import atomic_file
from weaklm.code import code_hash, known_reads
from weaklm.data import HUMAN_LABEL, UNDECIDED, content_hash
from weaklm.errors import DataError
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction

_COLUMNS = ("low", "high", "value", "confidence")
_MOST_FILES = 8  # of one version of a function; then they are merged into one


class VoteMemory:
    """Votes in a folder, which several processes may share.

    Parameters
    ----------
    folder
        Made when the first vote is kept. It can be deleted at any time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.is_file():
            raise DataError(f"cache={str(folder)!r} is a file; a folder was expected")

    @staticmethod
    def version(function: Any) -> str:
        """Return the name under which votes of a function as it is now are kept; take it before the function runs.

        A function may change what it refers to as it runs: fill a table of its module, load a model.
        """
        kind = "slice" if isinstance(function, SnorkelSlicingFunction) else "vote"
        name = re.sub(r"[^\w.-]", "_", function.name)[:80]
        return f"{name}-{kind}-{code_hash(function)}"

    def recall(self, version: str, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int8], NDArray[np.float32] | None]:
        """Return what a version of a function said of rows (UNDECIDED: not known), and its confidences if any.

        Parameters
        ----------
        keys
            The contents of the rows, of shape (n_rows, 2), by :class:`RowKeys`.
        """
        kept = self._read(version)
        if len(kept) == len(keys) and (kept["low"].to_numpy() == keys[:, 0]).all():  # the same rows again
            place = np.arange(len(keys))
        else:
            place = pd.Index(kept["low"]).get_indexer(pd.Index(keys[:, 0]))
        found = np.zeros(len(keys), dtype=bool)
        found[place >= 0] = kept["high"].to_numpy()[place[place >= 0]] == keys[place >= 0, 1]
        values = np.full(len(keys), UNDECIDED, dtype=np.int8)
        values[found] = kept["value"].to_numpy()[place[found]]
        if kept["confidence"].isna().all():
            return values, None
        confidence = np.full(len(keys), np.nan, dtype=np.float32)
        confidence[found] = kept["confidence"].to_numpy()[place[found]]
        return values, confidence

    def keep(
        self,
        version: str,
        keys: NDArray[np.uint64],
        values: NDArray[np.int8],
        confidence: NDArray[np.float32] | None = None,
    ) -> None:
        """Keep what a version of a function said of rows."""
        known = np.full(len(keys), np.nan, dtype=np.float32) if confidence is None else confidence
        new = pd.DataFrame(
            dict(zip(_COLUMNS, (keys[:, 0], keys[:, 1], values, known), strict=True)), columns=list(_COLUMNS)
        ).drop_duplicates("low")
        files = self._files(version)
        if len(files) >= _MOST_FILES:
            new = pd.concat([self._read(version), new]).drop_duplicates("low", keep="last")
        digest = hashlib.sha256(new["low"].to_numpy().tobytes()).hexdigest()[:16]
        target = self._place(version) / f"{digest}.parquet"
        with atomic_file(target) as path:
            new.to_parquet(path, index=False)
        if len(files) >= _MOST_FILES:
            for file in files:
                if file != target:
                    file.unlink(missing_ok=True)

    def _read(self, version: str) -> pd.DataFrame:
        frames = []
        for file in self._files(version):
            try:
                frames.append(pd.read_parquet(file))
            except FileNotFoundError:  # another process has just merged it into one that holds as much
                continue
            except (pyarrow.ArrowException, OSError):  # damaged: what it held is computed again
                file.unlink(missing_ok=True)
        if not frames:
            return pd.DataFrame({"low": [], "high": [], "value": [], "confidence": []}).astype(
                {"low": "uint64", "high": "uint64", "value": "int8", "confidence": "float32"}
            )
        return frames[0] if len(frames) == 1 else pd.concat(frames).drop_duplicates("low", ignore_index=True)

    def _files(self, version: str) -> list[Path]:
        return sorted(self._place(version).glob("*.parquet"))

    def _place(self, version: str) -> Path:
        return self.folder / version


class RowKeys:
    """The contents of the rows of a frame as numbers: equal rows have equal keys, others (but for chance) have not.

    128 bits a row, so that a chance collision in a billion rows has odds of one in 10^20.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._hashes: dict[str, NDArray[np.uint64]] = {}

    def of(self, function: Any) -> NDArray[np.uint64]:
        """Return the keys of shape (n_rows, 2) of the columns that decide what a function says."""
        read = known_reads(function)
        visible = [column for column in self._frame.columns if column != HUMAN_LABEL]
        return self._keys(visible if read is None else sorted(read.intersection(visible)))

    def _keys(self, columns: Iterable[str]) -> NDArray[np.uint64]:
        keys = np.zeros((len(self._frame), 2), dtype=np.uint64)
        for column in columns:
            if column not in self._hashes:
                self._hashes[column] = _hashes(self._frame[column])
            seed = np.uint64(int(content_hash(column), 16))
            keys = _mix((keys + seed) ^ self._hashes[column])
        return keys


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers with every bit of the input in every bit of the output.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195).
    """
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _hashes(values: pd.Series) -> NDArray[np.uint64]:
    """Return two independent hashes of each value, of shape (n_rows, 2)."""
    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else "O"
    content = values.to_numpy() if kind in "biuf" else values.to_numpy(object)
    if kind in "biuf" or pd.api.types.infer_dtype(values, skipna=False) == "string":
        try:
            both = [pd.util.hash_array(content, hash_key=key, categorize=False) for key in _HASH_KEYS]
            return np.column_stack(both) ^ np.uint64(ord(kind))  # 1, 1.0 and True are not the same
        except UnicodeEncodeError:  # half a character
            pass
    digests = [hashlib.blake2b(pickle.dumps(value), digest_size=16).digest() for value in content]
    return np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)


_HASH_KEYS = ("weaklm vote key1", "weaklm vote key2")  # of SipHash; 16 bytes each
