"""Processes that vote, as their parent sees them: where new ones come from, and how they ended."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from weaklm.errors import FunctionError
from weaklm.workers.nursery import FORK, OUT_OF_MEMORY, REAP, REQUEST, Channel, Job

# On other systems their own libraries do not survive a fork; there a new voter loads the functions again.
FORKS = sys.platform == "linux"
_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from weaklm.workers.nursery import main; main()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


@dataclass(frozen=True)
class Voter:
    """A voter: the channel to it, and how to kill it and get its exit status (minus the signal that killed it)."""

    channel: Channel
    reap: Callable[[], int]

    def end(self) -> str:
        """Kill the voter, if it still lives, and tell how it ended."""
        self.channel.close()
        try:
            return _ending(self.reap())
        except (EOFError, OSError):
            return "died with the process that started it"


class Source:
    """Where voters come from: a nursery that forks them, or processes of their own."""

    def __init__(self, job: Job, n_jobs: int) -> None:
        self._job, self._lock, self._is_closed = job, threading.Lock(), False
        first = [_Process(job) for _ in range(1 if job.forks else n_jobs)]
        self._nursery = first.pop() if job.forks else None
        self._unused, self._used = first, list[_Process]()

    def voter(self) -> Voter:
        """Return a new voter; FunctionError when the functions do not load in its process."""
        with self._lock:
            if self._is_closed:
                raise FunctionError("the worker processes were stopped")
            if (forked := self._forked()) is not None:
                return forked
            self._used = [process for process in self._used if process.lives]
            self._used.append(process := self._unused.pop() if self._unused else _Process(self._job))
        return process.voter()

    def close(self) -> None:
        """Kill all processes."""
        self._is_closed = True
        while not self._lock.acquire(timeout=0.05):  # the thread that holds it waits for a process to load
            self._kill()
        self._kill()
        self._lock.release()

    def _forked(self) -> Voter | None:
        """Return a voter from the nursery; None where there is none, or the functions started threads in it."""
        if self._nursery is None:
            return None
        if self._nursery.forks():
            try:
                return self._nursery.fork(self._lock)
            except (EOFError, OSError):  # killed since
                self._nursery.kill()
                self._nursery = _Process(self._job)
        if self._nursery.forks():
            return self._nursery.fork(self._lock)
        self._unused.append(self._nursery)  # it can vote itself
        self._nursery, self._job = None, replace(self._job, forks=False)
        return None

    def _kill(self) -> None:
        for process in (self._nursery, *self._unused, *self._used):
            if process is not None:
                process.kill()


class _Process:
    """A process that loads the functions, and then forks voters or is one."""

    def __init__(self, job: Job) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = _spawned(theirs)
        self._channel = Channel(ours)
        self._forks: bool | None = None  # not known before it is ready
        with contextlib.suppress(OSError):  # gone already: forks() tells
            self._channel.send(job)

    @property
    def lives(self) -> bool:
        return self._popen.poll() is None

    def forks(self) -> bool:
        """Wait until the functions are loaded; tell whether the process forks voters."""
        if self._forks is None:
            try:
                kind, said = self._channel.receive()
            except (EOFError, OSError) as error:
                ending = _ending(self._popen.wait())
                raise FunctionError(f"a worker process {ending} while it loaded the functions") from error
            if kind == "failed":
                why = said.strip().rpartition("\n")[2]
                raise with_note(FunctionError(f"the functions do not load in a worker process: {why}"), said)
            self._forks = bool(said)
        return self._forks

    def voter(self) -> Voter:
        """Return the process itself as a voter."""
        self.forks()
        return Voter(self._channel, self._end)

    def fork(self, lock: threading.Lock) -> Voter:
        """Return a new child; EOFError or OSError when the process is gone. The lock keeps questions apart."""
        ours, theirs = socket.socketpair()
        with theirs:
            child = self._request(FORK, 0, [theirs.fileno()])

        def reap() -> int:
            with lock:
                return self._request(REAP, child, [])

        return Voter(Channel(ours), reap)

    def _request(self, order: bytes, child: int, handles: list[int]) -> int:
        connection = self._channel.connection
        socket.send_fds(connection, [REQUEST.pack(order, child)], handles)
        reply = connection.recv(REQUEST.size, socket.MSG_WAITALL)
        if len(reply) < REQUEST.size:
            raise EOFError
        return int(REQUEST.unpack(reply)[1])

    def _end(self) -> int:
        self._popen.kill()
        return self._popen.wait()

    def kill(self) -> None:
        """Kill the process, and on Linux with it the voters that it forked."""
        self._end()
        self._channel.close()


def _spawned(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start a Python that imports what this one can import, and answers on that end of a pair of sockets."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    path = json.dumps([str(folder) for folder in sys.path])
    handle = "" if sys.platform == "win32" else str(theirs.fileno())
    popen = subprocess.Popen(
        [sys.executable, *flags, "-c", _START, handle, path],
        stdin=subprocess.PIPE if sys.platform == "win32" else subprocess.DEVNULL,
        pass_fds=() if sys.platform == "win32" else (theirs.fileno(),),
        env=_ONE_THREAD | os.environ,
        start_new_session=True,  # Ctrl-C comes to the parent alone, which stops its workers
    )
    if sys.platform == "win32":
        assert popen.stdin is not None
        popen.stdin.write(theirs.share(popen.pid))
        popen.stdin.close()
    return popen


def with_note(error: FunctionError, trace: str) -> FunctionError:
    """Return the error with the traceback of a worker process beneath it."""
    error.add_note(f"In a worker process:\n{trace}")
    return error


def _ending(status: int) -> str:
    if status == OUT_OF_MEMORY:
        return "ran out of memory"
    return f"died (signal {-status})" if status < 0 else f"exited (status {status})"
