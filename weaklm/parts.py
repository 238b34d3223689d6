"""Data larger than memory: a Parquet part of examples in, a Parquet part of votes out, here or on a Dask cluster.

A part of votes holds the ids and one column a function; its metadata hold the code hash of each function and the
digest of the part of examples. It appears whole or not at all. So a run that was killed goes on where it stopped, an
edited function costs its own column, and nothing is lost or counted twice.
"""

import hashlib
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pandas as pd

from weaklm.atomic import atomic_file
from weaklm.cluster import check_rate, loaded, on_cluster, variant
from weaklm.code import all_known_reads, code_hash
from weaklm.data import COLUMNS, HUMAN_LABEL, TEXT_COLUMNS, complete
from weaklm.errors import DataError, FunctionError, FunctionWarning
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction
from weaklm.votefiles import Paths, Record, iterate_votes, parquet_files, read_votes
from weaklm.voting import most_failures

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["PartsApplied", "apply_parts", "iterate_votes", "read_votes"]

_BATCH_ROWS, _BATCH_BYTES = 32_768, 64 * 2**20  # in memory at a time: whichever is reached first
_SCAN_ROWS = 1024
_EXAMPLES = 3  # failures of a function that are told for each part


@dataclass(frozen=True)
class PartsApplied:
    """What :func:`apply_parts` did.

    Attributes
    ----------
    parts
        The parts of votes, in the order of the source.
    n_rows
        Rows in all of them.
    computed
        Function -> the rows that it was asked about in this run.
    n_failed
        Function -> the rows on which it failed, in this run and before.
    failures
        The first three failures of each function in each part: part, function, id, reason.
    """

    parts: list[Path]
    n_rows: int
    computed: dict[str, int]
    n_failed: dict[str, int]
    failures: pd.DataFrame


def apply_parts(
    applier: Any,
    source: Paths,
    target: str | Path,
    *,
    client: "Client | None" = None,
    id_column: str = "id",
    progress: bool = False,
) -> PartsApplied:
    """Apply functions to Parquet files, in memory that does not grow with them, and write their votes as Parquet files.

    Only what is missing is computed: parts without votes, parts that changed, functions whose code changed. Delete
    parts of votes to ask a function again that reads a clock or a file. Confidences are not written. One run at a
    time writes to a target.

    Parameters
    ----------
    applier
        An LFApplier or SFApplier. Its ``max_error_rate`` is judged over all parts together.
    source
        A folder of ``.parquet`` files, one file, or a list of files.
    target
        The folder for the parts of votes, each with the name of its part of examples.
    client
        A Dask client: each part is a task, which a worker does in its own process, or in worker processes of its own
        if the applier has ``n_jobs``. The workers must find ``source`` and ``target`` under the same paths.
    id_column
        The column with the ids; where there is none, ids are hashes of the content.
    progress
        Show progress on stderr: rows, rows a second, time left.

    Raises
    ------
    DataError
        If there are no parts, two of one name, or parts of votes whose part of examples is gone.
    FunctionError
        If a function fails too often, or a part kills every Dask worker that takes it; then the other parts are done.
    """
    from tqdm import tqdm

    target = Path(target).absolute()
    files = parquet_files(source)
    _check_places(source, files, target)
    tasks = _tasks(applier.functions, files, target, id_column, applier.max_error_rate)
    n_rows = sum(task.n_rows for task in tasks)
    votes: dict[str, Record] = {}
    n_failed: Counter[str] = Counter()
    with tqdm(total=n_rows, unit="rows", disable=not progress) as bar, _swept(tasks):
        done = _here(applier, tasks, bar.update) if client is None else _there(applier, tasks, client)
        for name, part in done:
            votes[name] = part
            n_failed.update({function: part.n_failed.get(function, 0) for function in tasks[0].hashes})
            check_rate(n_failed, n_rows, applier.max_error_rate)
            bar.update(part.n_rows if client is not None else 0)
    return _summary(applier, [votes[task.source.name] for task in tasks], tasks)


# The parts


@dataclass(frozen=True)
class _Task:
    """A part of examples, and what is to be known of it."""

    source: Path
    target: Path
    n_rows: int
    columns: list[str]  # to read
    floats: list[str]  # columns of integers with gaps, in this part or another, which pandas reads as floats
    id_column: str
    hashes: dict[str, str]  # function -> code hash; here, since a function sent elsewhere may have lost its source
    n_most: int  # rows of all parts on which a function may fail
    run: str


def _check_places(source: Paths, files: Sequence[Path], target: Path) -> None:
    """Raise where parts would overwrite each other or the examples, or where parts of votes are left over."""
    names = Counter(file.name for file in files)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise DataError(f"two parts are named {name!r}; their votes need different names")
    if any(file.parent.resolve() == target.resolve() for file in files):
        raise DataError(f"{target} holds the examples; the votes need a folder of their own")
    for file in files:
        if (place := target / file.name).exists() and Record.read(place) is None:
            raise DataError(f"{place} is in the way: it holds no votes. Delete it, or choose another folder.")
    if isinstance(source, str | Path) and Path(source).is_dir():
        left_over = sorted({path.name for path in target.glob("*.parquet")}.difference(names))
        if left_over:
            raise DataError(
                f"{target} holds votes on parts that {source} no longer has: {', '.join(left_over[:5])}. Delete them, "
                "or choose another folder; they would be read together with the others."
            )


def _tasks(
    functions: Sequence[Any], files: Sequence[Path], target: Path, id_column: str, max_error_rate: float
) -> list[_Task]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    hashes = {function.name: code_hash(function) for function in functions}
    if "id" in hashes:
        raise FunctionError("a function is named 'id', as the column of ids in the parts of votes; rename it")
    metadata = {}
    for file in files:
        try:
            metadata[file] = pq.read_metadata(file)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file} cannot be read as Parquet: {error}") from error
    floats = sorted(set().union(*(_integers_with_gaps(said) for said in metadata.values())))
    run = uuid.uuid4().hex
    n_most = most_failures(max_error_rate, sum(said.num_rows for said in metadata.values()))
    return [
        _Task(
            source=file,
            target=target / file.name,
            n_rows=said.num_rows,
            columns=_columns(functions, said.schema.to_arrow_schema().names, id_column),
            floats=floats,
            id_column=id_column,
            hashes=hashes,
            n_most=n_most,
            run=run,
        )
        for file, said in metadata.items()
    ]


def _integers_with_gaps(metadata: Any) -> set[str]:
    """Return the columns of integers that hold a null somewhere in a file."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    whole = {name for name, kind in zip(*_schema(metadata), strict=True) if kind.startswith(("int", "uint"))}
    return {c.path_in_schema for c in chunks if c.statistics is not None and c.statistics.null_count} & whole


def _schema(metadata: Any) -> tuple[list[str], list[str]]:
    schema = metadata.schema.to_arrow_schema()
    return schema.names, [str(kind) for kind in schema.types]


def _columns(functions: Sequence[Any], names: Sequence[str], id_column: str) -> list[str]:
    """Return the columns of a file that decide the votes and the ids; all where the functions do not tell."""
    read = all_known_reads(functions)
    wanted = {"instruction", "response", id_column} | (read or set())
    if id_column not in names or ("instruction_id" in wanted and "instruction_id" not in names):
        wanted |= {*TEXT_COLUMNS, "instruction_id", "source"}  # hashes of these stand in
    known = read is not None and wanted.issubset({*names, *COLUMNS, id_column})
    visible = [name for name in names if not name.startswith("__index_level_") and (known or name != HUMAN_LABEL)]
    return [name for name in visible if name in wanted or not known]


@contextmanager
def _swept(tasks: Sequence[_Task]) -> Iterator[None]:
    """Remove in the end what killed processes left half written, in this run and before."""
    try:
        yield
    finally:
        for task in tasks:
            for left in task.target.parent.glob(f".{escape(task.target.name)}.*.tmp"):
                left.unlink(missing_ok=True)


# Here and there


def _here(applier: Any, tasks: Iterable[_Task], tick: Callable[[int], Any]) -> Iterator[tuple[str, Record]]:
    """Yield the name of each part and its votes, computed in this process or its workers, which stay open."""
    variants: dict[tuple[str, ...], Any] = {}
    with ExitStack() as stack:

        def asked(functions: Sequence[Any]) -> Any:
            names = tuple(function.name for function in functions)
            if names not in variants:
                variants[names] = stack.enter_context(variant(applier, functions))
            return variants[names]

        for task in tasks:
            yield task.source.name, _vote(task, applier.functions, asked, tick)


def _there(applier: Any, tasks: Iterable[_Task], client: "Client") -> Iterator[tuple[str, Record]]:
    """Yield the name of each part and its votes, computed by the workers of a Dask client, as they are done."""
    sent = cloudpickle.dumps(variant(applier, applier.functions))
    return on_cluster(client, _vote_there, {task.source.name: (sent, task) for task in tasks})


def _vote_there(sent: bytes, task: _Task) -> Record:
    with ExitStack() as stack:
        applier = loaded(sent)
        return _vote(task, applier.functions, lambda functions: stack.enter_context(variant(applier, functions)))


# One part


def _vote(
    task: _Task, functions: Sequence[Any], asked: Callable[[Sequence[Any]], Any], tick: Callable[[int], Any] = int
) -> Record:
    """Write the part of votes, or what it lacks, and return what it says."""
    digest = _digest(task)
    old = Record.read(task.target)
    if old is None or old.source != digest:
        old = Record(digest, task.n_rows, {}, {}, [])
    lacking = [function for function in functions if old.hashes.get(function.name) != task.hashes[function.name]]
    if not lacking:
        tick(task.n_rows)
        return old if old.run == task.run else replace(old, computed=[])  # Dask may repeat a task
    kept = [name for name in old.hashes if name not in {function.name for function in lacking}]
    new = Record(
        source=digest,
        n_rows=task.n_rows,
        hashes={name: old.hashes[name] for name in kept} | {f.name: task.hashes[f.name] for f in lacking},
        n_failed={name: old.n_failed[name] for name in kept if name in old.n_failed},
        failures=[failure for failure in old.failures if failure[0] in kept],
        run=task.run,
        computed=[function.name for function in lacking],
    )
    _write(task, new, kept, asked(lacking), tick)
    return new


def _digest(task: _Task) -> str:
    with task.source.open("rb") as file:
        return hashlib.sha256(hashlib.file_digest(file, "sha256").digest() + task.id_column.encode()).hexdigest()


def _write(task: _Task, new: Record, kept: Sequence[str], applier: Any, tick: Callable[[int], Any]) -> None:
    """Write the votes frame by frame, beside the columns that are kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pq.read_table(task.target, columns=list(kept)) if kept else None
    new_columns = {
        f.name: pa.bool_() if isinstance(f, SnorkelSlicingFunction) else pa.int8() for f in applier.functions
    }
    old_columns = {} if old is None else {column.name: column.type for column in old.schema}
    schema = pa.schema({"id": pa.string()} | old_columns | new_columns)
    with atomic_file(task.target) as place, pq.ParquetWriter(place, schema) as writer:
        start = 0
        for frame in _frames(task):
            columns = _voted(applier, frame, new, task)
            if old is not None:
                columns |= {name: old.column(name).slice(start, len(frame)) for name in kept}
            start += len(frame)
            writer.write_table(pa.table(columns, schema))
            tick(len(frame))
        writer.add_key_value_metadata(new.metadata())


def _frames(task: _Task) -> Iterator[pd.DataFrame]:
    """Yield the rows of a part as complete frames that fit into memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start, batches = 0, list[Any]()
    with pq.ParquetFile(task.source, buffer_size=2**20, pre_buffer=False) as file:
        for batch in file.iter_batches(_SCAN_ROWS, columns=task.columns):
            batches.append(batch)
            if sum(map(len, batches)) >= _BATCH_ROWS or sum(b.nbytes for b in batches) >= _BATCH_BYTES:
                yield (frame := _frame(task, pa.Table.from_batches(batches), start))
                start, batches = start + len(frame), []
        if batches:
            yield _frame(task, pa.Table.from_batches(batches), start)


def _frame(task: _Task, table: Any, start: int) -> pd.DataFrame:
    for name in set(task.floats).intersection(table.column_names):
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast("float64"))
    frame = table.to_pandas(ignore_metadata=True)  # no column becomes the index
    if task.id_column in frame.columns:
        frame["id"] = frame[task.id_column]
    return complete(frame, f"{task.source} from row {start} on")


def _voted(applier: Any, frame: pd.DataFrame, new: Record, task: _Task) -> dict[str, Any]:
    """Return ids and votes as columns, and note the failures; FunctionError when they are too many already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunctionWarning)  # of one frame; the summary warns
        matrix, meta = applier.apply(frame, return_meta=True)
    for name, id, reason in meta.failures[["function", "id", "reason"]].itertuples(index=False):
        new.n_failed[name] = count = new.n_failed.get(name, 0) + 1
        if count <= _EXAMPLES:
            new.failures.append([name, id, reason])
        if count > task.n_most:
            raise FunctionError(
                f"{name} failed on {count:,} examples of {task.source.name}, above max_error_rate of all parts; the "
                f"last was {id!r}: {reason}"
            )
    return {"id": frame["id"].tolist()} | dict(zip((f.name for f in applier.functions), matrix.T, strict=True))


def _summary(applier: Any, parts: Sequence[Record], tasks: Sequence[_Task]) -> PartsApplied:
    names = [function.name for function in applier.functions]
    n_rows = sum(part.n_rows for part in parts)
    n_failed = {name: sum(part.n_failed.get(name, 0) for part in parts) for name in names}
    failures = [
        (task.source.name, *failure)
        for part, task in zip(parts, tasks, strict=True)
        for failure in part.failures
        if failure[0] in names
    ]
    for name, count in n_failed.items():
        if count:
            where, _, example, reason = next(failure for failure in failures if failure[1] == name)
            message = f"{name} failed on {count:,} of {n_rows:,} examples, first on {example!r} of {where}: {reason}"
            warnings.warn(f"{message}. It abstains there.", FunctionWarning, stacklevel=3)
    return PartsApplied(
        parts=[task.target for task in tasks],
        n_rows=n_rows,
        computed={name: sum(part.n_rows for part in parts if name in part.computed) for name in names},
        n_failed=n_failed,
        failures=pd.DataFrame(failures, columns=["part", "function", "id", "reason"]),
    )
