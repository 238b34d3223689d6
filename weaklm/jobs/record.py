"""What is known of a job: a folder with its order, its state, its log, and the lock of the process that works on it.

::

    jobs/train-3f2a9c/
      job.json     the order: what to call with which arguments; written when the job is created
      state.json   how far it is; written by whoever holds the lock, and by nobody else
      exit.json    how the last process ended; written by the process that watched it
      log.txt      what it printed
      lock         held by the process that works

Each file appears whole or not at all, so that it can be read at any moment.
"""

import json
import signal
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weaklm.atomic import atomic_file
from weaklm.credentials import hidden_inside
from weaklm.errors import ProjectError, nearest
from weaklm.jobs.lock import is_held

PENDING, RUNNING, SUCCEEDED = "PENDING", "RUNNING", "SUCCEEDED"
FAILED, CANCELLED, DIED = "FAILED", "CANCELLED", "DIED"
STATUSES = (PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, DIED)
ALIVE = (PENDING, RUNNING)


@dataclass(frozen=True)
class Order:
    """What a job is to do: call ``target``, "module:function", with arguments that JSON can hold."""

    id: str
    kind: str
    target: str
    arguments: dict[str, Any]
    created: str


@dataclass
class State:
    """How far a job is.

    ``progress`` is a share from 0 to 1, ``trained_tokens`` a count, ``loss`` in nats a token, ``eta`` the time at
    which it will be done; times are UTC in ISO form. ``attempt`` counts how often the job was started.
    """

    status: str = PENDING
    attempt: int = 1
    progress: float = 0.0
    trained_tokens: int | None = None
    loss: float | None = None
    eta: str | None = None
    error: str | None = None
    base_model: str | None = None
    revision: str | None = None
    result: dict[str, Any] | None = None
    host: str | None = None
    pid: int | None = None
    has_own_process: bool = True
    started: str | None = None
    updated: str = ""
    ended: str | None = None


@dataclass(frozen=True)
class Record:
    """A job's folder."""

    folder: Path

    @property
    def lock(self) -> Path:
        """The file whose lock a living job holds."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        """The file of what the job printed."""
        return self.folder / "log.txt"

    def order(self) -> Order:
        """Return what the job is to do."""
        content = _read(self.folder / "job.json")
        return Order(**{name.name: content[name.name] for name in fields(Order)})

    def state(self) -> State:
        """Return the state as it was last written; :meth:`describe` says whether it still holds."""
        content = _read(self.folder / "state.json")
        return State(**{name.name: content[name.name] for name in fields(State) if name.name in content})

    def exists(self) -> bool:
        """Whether a job was created here."""
        return (self.folder / "state.json").is_file()

    def write_order(self, order: Order) -> None:
        """Write what the job is to do; by the holder of the lock."""
        _write(self.folder / "job.json", asdict(order))

    def write_state(self, state: State) -> None:
        """Write how far the job is, without secrets; by the holder of the lock."""
        state.updated = now()
        _write(self.folder / "state.json", hidden_inside(asdict(state)))

    def write_exit(self, attempt: int, code: int) -> None:
        """Write how the process of an attempt ended: its exit code, or minus the signal that killed it."""
        _write(self.folder / "exit.json", {"attempt": attempt, "code": code})

    def describe(self) -> dict[str, Any]:
        """Return all that is known of the job, with its status as it is at this moment."""
        before = self.state()
        is_alive = is_held(self.lock)
        state = before if is_alive else self.state()  # the last word may have been written in between
        if state.status in ALIVE and not is_alive:
            state.status, state.eta, state.error = DIED, None, self._cause_of_death(state.attempt)
        return {**asdict(self.order()), **asdict(state), "log": str(self.log)}

    def _cause_of_death(self, attempt: int) -> str:
        ended = _read(self.folder / "exit.json") if (self.folder / "exit.json").is_file() else {}
        code = ended.get("code") if ended.get("attempt") == attempt else None
        how = "ended without a word"
        if isinstance(code, int):
            how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        killed = " (by hand, or because memory ran out)" if code == -signal.SIGKILL else ""
        return f"the process {how}{killed}; its log may say more. Resume the job to go on from its last checkpoint."


def find(folder: Path, job_id: str) -> Record:
    """Return the record of a job by its id, or by a beginning of it that only one has.

    Raises
    ------
    ProjectError
        If there is no such job, or several begin so.
    """
    known = [record.folder.name for record in records(folder)]
    fitting = [name for name in known if name == job_id] or [name for name in known if name.startswith(job_id)]
    if len(fitting) != 1 or not job_id:
        said = "several jobs begin so: " + ", ".join(fitting[:5]) if job_id and fitting else nearest(job_id, known)
        raise ProjectError(f"there is no job {job_id!r} in {folder}; {said}")
    return Record(folder / fitting[0])


def records(folder: Path) -> list[Record]:
    """Return the records of all jobs in a folder of jobs."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [record for record in map(Record, inside) if record.exists()]


def now() -> str:
    """Return the time in UTC, to the millisecond, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProjectError(f"{path} is damaged: {error}; remove its folder to forget the job") from error
    if not isinstance(content, dict):
        raise ProjectError(f"{path} is damaged: a JSON object is expected; remove its folder to forget the job")
    return content
