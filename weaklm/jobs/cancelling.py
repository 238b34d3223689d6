"""The end of a job before its time: SIGTERM, time to save, SIGKILL for its process group."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from weaklm.errors import ProjectError
from weaklm.jobs.lock import Lock, comes_free, is_held
from weaklm.jobs.record import ALIVE, CANCELLED, Record, find, now

_PAUSE = 0.05  # seconds between two looks


def cancel(folder: str | Path, job_id: str, *, grace: float = 30.0) -> dict[str, Any]:
    """End a job and return its description; one that is over stays as it is.

    The job's process gets SIGTERM, which its target sees as Ctrl-C and may save on. What is left of its process group
    after ``grace`` seconds is killed.

    Raises
    ------
    ProjectError
        If it runs on another machine, or within a process that does other things, too (a notebook); or lives on.
    """
    record = find(Path(folder), job_id)
    job = record.describe()
    if job["status"] not in ALIVE:
        return job
    _check_reachable(record, grace)
    _signal(record, signal.SIGTERM)
    if not comes_free(record.lock, grace):
        _signal(record, signal.SIGKILL)
        comes_free(record.lock, grace)
    _note_cancelled(record)
    if (job := record.describe())["status"] in ALIVE:
        raise ProjectError(f"{job['id']} is still {job['status']}, as process {job['pid']}; try again in a moment")
    return job


def _check_reachable(record: Record, grace: float) -> None:
    """Wait until a job's process is known; raise where it must not be killed from here."""
    until = time.monotonic() + max(grace, 10)
    while is_held(record.lock) and record.state().pid is None and time.monotonic() < until:
        time.sleep(_PAUSE)
    state = record.state()
    if state.host not in (None, socket.gethostname()):
        raise ProjectError(f"{record.folder.name} runs on {state.host}; cancel it there")
    if not state.has_own_process:
        raise ProjectError(
            f"{record.folder.name} runs within process {state.pid}, which may do other things, too: press Ctrl-C there"
        )


def _signal(record: Record, number: signal.Signals) -> None:
    """Send a signal to a job's process, SIGKILL to its whole group; none where it is over."""
    pid = record.state().pid
    if pid is not None and is_held(record.lock):  # then the number is still its own
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL and os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)


def _note_cancelled(record: Record) -> None:
    """Write CANCELLED where a job's process had no time to."""
    lock = Lock.take(record.lock)
    if lock is not None:
        state = record.state()
        if state.status in ALIVE:
            state.status, state.eta, state.ended = CANCELLED, None, now()
            record.write_state(state)
        lock.free()
