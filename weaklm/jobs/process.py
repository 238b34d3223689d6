"""The processes of a job: one that works, and one that watches it and writes its log.

The watcher is a child of nobody's, so it outlives the notebook that created the job. The worker leads a session and a
group of its own. When it ends, in whatever way, the watcher kills what is left of its group.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from weaklm.credentials import hidden, secrets
from weaklm.errors import ProjectError
from weaklm.jobs.lock import Lock
from weaklm.jobs.record import Record
from weaklm.jobs.work import work

# The path by which modules are found goes along: a notebook may have changed it, or its folder.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from weaklm.jobs.process import {0}; {0}()"
_LONGEST_LINE = 1 << 16  # bytes
_STARTING = 60  # seconds
LAST_WORDS = 10  # seconds; a process that left the group may hold the log open for ever


def start(record: Record, lock: Lock) -> None:
    """Start the processes of a job, which take over the lock.

    Raises
    ------
    ProjectError
        If they cannot be started.
    """
    assert lock.fd is not None, "a lock is given away once"
    try:
        with record.log.open("ab") as log:
            subprocess.run(
                _command("watch", record, lock.fd),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=_STARTING,
                pass_fds=[lock.fd],
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProjectError(
            f"the process of {record.folder.name} cannot be started: {error}; see {record.log}"
        ) from error
    finally:
        lock.leave()


def watch() -> None:
    """Be the watcher: leave the caller, start the worker, write its log and how it ended."""
    record, fd = _given()
    if os.fork():
        os._exit(0)  # the caller waits for this process only
    os.setsid()
    attempt = record.state().attempt
    writes = Lock.take(record.log)  # held until the last line is written, for those who wait for it
    worker = subprocess.Popen(
        _command("do", record, fd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
        start_new_session=True,
        pass_fds=[fd],
    )
    os.close(fd)  # the worker alone holds it now
    writing = threading.Thread(target=_write_log, args=[worker.stdout, record.log], daemon=True)
    writing.start()
    code = worker.wait()
    with suppress(ProcessLookupError, PermissionError):  # the number of a group stays its own while it has members
        os.killpg(worker.pid, signal.SIGKILL)
    record.write_exit(attempt, code)
    writing.join(LAST_WORDS)
    if writes is not None:
        writes.free()


def do() -> None:
    """Be the worker."""
    record, fd = _given()
    sys.exit(do_here(record, Lock(fd)))


def do_here(record: Record, lock: Lock) -> int:
    """Work in this process, free the lock and return the exit code; what goes wrong is printed."""
    try:
        work(record, has_own_process=True)
    except KeyboardInterrupt:
        print("cancelled; what was saved is kept", file=sys.stderr)
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        lock.free()
    return 0


def _command(role: str, record: Record, fd: int) -> list[str]:
    path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
    return [sys.executable, "-c", _START.format(role), str(record.folder.resolve()), str(fd), path]


def _given() -> tuple[Record, int]:
    folder, fd = sys.argv[1:]
    return Record(Path(folder)), int(fd)


def _write_log(output: IO[bytes], path: Path) -> None:
    """Write what a process prints, line by line and without secrets, until all who can print are gone."""
    known = secrets()
    n_lost = 0
    for line in _lines(output):
        clean = hidden(line.decode("utf-8", "replace"), known)
        try:
            with path.open("a", encoding="utf-8", newline="") as log:
                lost = f"[{n_lost} lines could not be written]\n" if n_lost else ""
                log.write(lost + clean)
            n_lost = 0
        except OSError:  # a full disk: a worker that is not listened to would wait for ever; the loss is counted
            n_lost += 1


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends; a progress bar ends its own with a carriage return."""
    rest = b""
    while chunk := os.read(output.fileno(), _LONGEST_LINE):
        *whole, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        yield from whole
        if len(rest) > _LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest + b"\n"
