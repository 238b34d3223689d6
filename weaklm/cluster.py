"""Work on a Dask cluster: tasks with names, and a data frame whose rows are voted on by its workers.

A worker that dies loses nothing: Dask gives its tasks to another. A task that kills every worker which takes it is
found by trying it alone, after all others are done.
"""

import copy
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import complete
from weaklm.errors import FunctionError
from weaklm.voting import most_failures

if TYPE_CHECKING:
    from distributed import Client

_PIECE_BYTES, _PIECE_ROWS = 4 * 2**20, 8192  # of a frame, sent to a worker at a time
_PATIENCE = 30  # seconds without a result, before the workers are looked after


def on_cluster(
    client: "Client", f: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, Any]]:
    """Yield (name, result) of each task, a call of ``f`` with its arguments, in the order in which they are done.

    Few tasks more than the cluster has threads are on their way, so that large arguments do not pile up.

    Raises
    ------
    FunctionError
        When all other tasks are done, with the names of those whose workers always died; or when no worker is left.
    """
    n_ahead = 2 * max(1, sum(client.nthreads().values()))
    killed: list[str] = []
    yield from _run(client, f, tasks, n_ahead, killed)
    guilty: list[str] = []
    yield from _run(client, f, {name: tasks[name] for name in killed}, 1, guilty)
    if guilty:
        raise FunctionError(f"every Dask worker that took {', '.join(guilty)} died; the rest is done. {_ADVICE}")


_ADVICE = (
    "With n_jobs=1 each worker lets a process of its own vote, and the function and example that kill it are found "
    "and named."
)


def _run(
    client: "Client", f: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], n_ahead: int, killed: list[str]
) -> Iterator[tuple[str, Any]]:
    """Yield the results of tasks; note those whose workers died: by their doing, or that of one beside them."""
    from distributed import KilledWorker, wait

    waiting, running, n_idle = iter(tasks), dict[Any, str](), 0
    try:
        while True:
            for name in islice(waiting, n_ahead - len(running)):
                running[client.submit(f, *tasks[name], pure=False)] = name
            if not running:
                return
            try:
                finished = wait(list(running), timeout=_PATIENCE, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                n_idle = 0 if client.nthreads() else n_idle + 1
                if n_idle == 2:  # a worker that died has long been replaced, if it ever is
                    names = ", ".join(running.values())
                    raise FunctionError(f"the Dask cluster lost its workers at {names}. {_ADVICE}") from None
                continue
            for future in finished:
                name = running.pop(future)
                try:
                    yield name, future.result()
                except KilledWorker:
                    killed.append(name)
    finally:
        client.cancel(list(running))


def apply_frame(applier: Any, data: pd.DataFrame, client: "Client") -> tuple[NDArray[Any], Any]:
    """Return what ``applier.apply(data, return_meta=True)`` does, an applier without a client, done by a cluster."""
    frame = complete(data)
    own = variant(applier, applier.functions)
    if frame.empty:
        return own.apply(frame, return_meta=True)
    sent, size = cloudpickle.dumps(own), _piece_rows(frame)
    starts = {f"rows {start} to {start + size - 1}": start for start in range(0, len(frame), size)}
    tasks = {name: (sent, frame.iloc[start : start + size]) for name, start in starts.items()}
    results: dict[int, tuple[NDArray[Any], Any]] = {}
    n_failed: Counter[str] = Counter()
    for name, (matrix, meta) in on_cluster(client, _apply, tasks):
        results[starts[name]] = matrix, meta
        n_failed.update(meta.failures["function"])
        check_rate(n_failed, len(frame), applier.max_error_rate)
    matrices, metas = zip(*(results[start] for start in sorted(results)), strict=True)
    return np.concatenate(matrices), _merged(metas, [len(matrix) for matrix in matrices])


def variant(applier: Any, functions: Sequence[Any]) -> Any:
    """Return an applier for some of the functions that counts failures, and leaves it to the caller to judge them."""
    own = copy.copy(applier)
    vars(own).update(functions=list(functions), max_error_rate=1.0, progress=False, client=None, _workers=None)
    return own


def check_rate(n_failed: Mapping[str, int], n_rows: int, max_error_rate: float) -> None:
    """Raise a FunctionError for a function that failed on a greater share of the rows than it may."""
    for name, count in n_failed.items():
        if count > most_failures(max_error_rate, n_rows):
            raise FunctionError(
                f"{name} failed on {count:,} of {n_rows:,} examples, above max_error_rate={max_error_rate:g}; mend it, "
                "or let it abstain where it cannot tell"
            )


@lru_cache(maxsize=2)
def loaded(sent: bytes) -> Any:
    """Return an applier that was pickled; a process loads its resources once."""
    return pickle.loads(sent)


def _apply(sent: bytes, frame: pd.DataFrame) -> Any:
    applier = loaded(sent)
    return variant(applier, applier.functions).apply(frame, return_meta=True)


def _piece_rows(frame: pd.DataFrame) -> int:
    sample = frame.iloc[:: max(1, len(frame) // 100)]
    row_bytes = len(pickle.dumps(sample)) / len(sample)
    return max(1, min(_PIECE_ROWS, int(_PIECE_BYTES / row_bytes)))


def _merged(metas: Sequence[Any], n_rows: Sequence[int]) -> Any:
    """Return what happened to consecutive rows as what happened to all of them."""
    confidence = None
    if any(meta.confidence is not None for meta in metas):
        shapes = [(n, len(meta.ran)) for n, meta in zip(n_rows, metas, strict=True)]
        none = [np.full(shape, np.nan, dtype=np.float32) for shape in shapes]
        known = [meta.confidence for meta in metas]
        confidence = np.concatenate([n if c is None else c for c, n in zip(known, none, strict=True)])
    return replace(
        metas[0],
        seconds={name: sum(meta.seconds[name] for meta in metas) for name in metas[0].seconds},
        failures=pd.concat([meta.failures for meta in metas], ignore_index=True),
        confidence=confidence,
    )
