"""What one can do with jobs: create, run, resume, show, describe, wait, logs; and cancel, in a module of its own.

Each function takes the folder that holds a project's jobs. Results are plain dictionaries.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from weaklm.credentials import hidden, refuse_secrets
from weaklm.errors import ProjectError, SettingsError
from weaklm.jobs.lock import Lock, comes_free, is_held
from weaklm.jobs.process import LAST_WORDS, do_here, start
from weaklm.jobs.record import ALIVE, FAILED, SUCCEEDED, Order, Record, State, find, now, records
from weaklm.jobs.work import resolve, work

_PAUSE = 0.05  # seconds between two looks
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def create(
    folder: str | Path,
    kind: str,
    target: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    again: bool = False,
    base_model: str | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """Start a job in a process of its own, which outlives this one; return what :func:`describe` says of it.

    One thing is one job: where the same was tried before, the job is started again, so that its target can go on from
    what it saved; where it is done, the finished job is returned.

    Parameters
    ----------
    folder
        The folder of all jobs; made if need be.
    kind
        What kind of work it is: "train", "generate".
    target
        "module:function". It is called with a :class:`~weaklm.jobs.Reporter` and the arguments, and returns a
        dictionary or None. Ctrl-C (also SIGTERM) reaches it as KeyboardInterrupt.
    arguments
        Keyword arguments that JSON can hold. Secrets are refused.
    key
        What tells two jobs of a kind apart; from target and arguments without it.
    again
        Do it anew although it is done.
    base_model, revision
        What is trained or asked, as far as it is known.

    Raises
    ------
    ProjectError
        If somebody works on the same at this moment; names the job. If the process cannot be started.
    SettingsError
        If the arguments are nothing that JSON can hold, or hold a secret.
    """
    order = _order(kind, target, arguments, key)
    record = Record(Path(folder) / order.id)
    lock = _begin(record, order, again, base_model, revision)
    if lock is not None:
        _start(record, lock)
    return record.describe()


def run(
    folder: str | Path,
    kind: str,
    target: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    again: bool = False,
    base_model: str | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """Do the same as a job that :func:`create` makes, but in this process; return what :func:`describe` says of it.

    Ctrl-C ends it as CANCELLED and is raised on; what the target raises is raised on, too. Printed is where one sees
    it, and not logged.
    """
    order = _order(kind, target, arguments, key)
    record = Record(Path(folder) / order.id)
    lock = _begin(record, order, again, base_model, revision)
    if lock is not None:
        try:
            work(record, has_own_process=False)
        finally:
            lock.free()
    return record.describe()


def resume(folder: str | Path, job_id: str) -> dict[str, Any]:
    """Start a job again that failed, died or was cancelled; one that is done stays done.

    Raises
    ------
    ProjectError
        If there is no such job, or it is alive.
    """
    record = find(Path(folder), job_id)
    state = record.state()
    lock = _begin(record, record.order(), False, state.base_model, state.revision)
    if lock is not None:
        _start(record, lock)
    return record.describe()


def work_here(folder: Path) -> int:
    """Work on the job of one folder in this process and return the exit code: 0 done, 1 failed, 130 cancelled."""
    record = Record(folder)
    if not record.exists():
        raise ProjectError(f"{folder} is not the folder of a job")
    state = record.state()
    lock = _begin(record, record.order(), False, state.base_model, state.revision)
    return 0 if lock is None else do_here(record, lock)


def show(folder: str | Path, *, kind: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
    """Return the jobs in a folder, newest first, all or of one kind and status, each as :func:`describe` says it."""
    found = [record.describe() for record in records(Path(folder))]
    chosen = [job for job in found if kind in (None, job["kind"]) and status in (None, job["status"])]
    return sorted(chosen, key=lambda job: (job["started"] or job["created"], job["id"]), reverse=True)


def describe(folder: str | Path, job_id: str) -> dict[str, Any]:
    """Return all that is known of a job, by its id or a beginning of it that only one has.

    The keys are id, kind, target, arguments, created, status, attempt, progress (0 to 1), trained_tokens, loss (nats a
    token), eta, error, base_model, revision, result, host, pid, has_own_process, started, updated, ended and log.
    ``status`` is PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, or DIED: its process is gone without a word.
    """
    return find(Path(folder), job_id).describe()


def wait(
    folder: str | Path,
    job_id: str,
    *,
    timeout: float | None = None,
    on_change: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Return the description of a job once it is over, or ``timeout`` seconds have passed.

    Ctrl-C stops the waiting, not the job. ``on_change`` is called with the description each time that it has changed.
    """
    record = find(Path(folder), job_id)
    until = None if timeout is None else time.monotonic() + timeout
    last: dict[str, Any] = {}
    while True:
        job = record.describe()
        if on_change is not None and job != last:
            on_change(job)
        if job["status"] not in ALIVE or (until is not None and time.monotonic() >= until):
            break
        last = job
        time.sleep(_PAUSE)
    if job["status"] not in ALIVE:
        comes_free(record.log, LAST_WORDS)
    return record.describe()


def logs(folder: str | Path, job_id: str, *, last: int | None = None) -> str:
    """Return what a job printed, in all its attempts, or the last lines of it."""
    record = find(Path(folder), job_id)
    text = record.log.read_text(encoding="utf-8", errors="replace") if record.log.is_file() else ""
    lines = hidden(text).splitlines(keepends=True)
    return "".join(lines if last is None else lines[len(lines) - min(last, len(lines)) :])


def follow(folder: str | Path, job_id: str) -> Iterator[str]:
    """Yield what a job prints, as it comes, from the beginning until the job is over."""
    record = find(Path(folder), job_id)
    place, is_alive = 0, True
    while is_alive:
        is_alive = record.describe()["status"] in ALIVE or is_held(record.log)
        if record.log.is_file():
            with record.log.open("rb") as log:
                log.seek(place)
                new = log.read()
            place += len(new)
            if new:
                yield hidden(new.decode("utf-8", "replace"))
        time.sleep(_PAUSE if is_alive else 0)


def _order(kind: str, target: str, arguments: Mapping[str, Any] | None, key: str | None) -> Order:
    try:
        given = json.dumps(dict(arguments or {}), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the arguments of a {kind} job cannot be written as JSON: {error}") from error
    if json.loads(given) != dict(arguments or {}):
        raise SettingsError(f"the arguments of a {kind} job change when they are written as JSON: {given:.200}")
    refuse_secrets(arguments, f"an argument of the {kind} job")
    resolve(target)
    name = f"{kind}-{key or hashlib.sha256(f'{target} {given}'.encode()).hexdigest()[:12]}"
    if not _NAME.fullmatch(name):
        raise SettingsError(f"a job cannot be called {name!r}: letters, digits and -_. are expected, 64 at most")
    return Order(name, kind, target, json.loads(given), now())


def _begin(record: Record, order: Order, again: bool, base_model: str | None, revision: str | None) -> Lock | None:
    """Take a job's lock and write its order as PENDING; None where it is done already."""
    record.folder.mkdir(parents=True, exist_ok=True)
    lock = Lock.take(record.lock)
    if lock is None:
        since = record.state().started if record.exists() else None
        raise ProjectError(
            f"the job {order.id} does the same at this moment{f', since {since}' * bool(since)}: wait for it, or "
            "cancel it first"
        )
    try:
        before = record.state() if record.exists() else None
        if before is not None and before.status == SUCCEEDED and not again:
            lock.free()
            return None
        record.write_order(order)
        attempt = 1 if before is None else before.attempt + 1
        record.write_state(State(attempt=attempt, base_model=base_model, revision=revision))
    except BaseException:
        lock.free()
        raise
    return lock


def _start(record: Record, lock: Lock) -> None:
    try:
        start(record, lock)
    except ProjectError as error:
        own = Lock.take(record.lock)
        if own is not None:
            state = record.state()
            state.status, state.error, state.ended = FAILED, str(error), now()
            record.write_state(state)
            own.free()
        raise
