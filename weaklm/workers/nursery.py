"""What runs in worker processes: a nursery that loads the functions once and forks voters, which vote block by block.

A voter tells at which rows it is before it begins, so that the parent knows where it died. The nursery keeps to one
thread and loads everything before it forks: a new voter costs milliseconds, not the seconds of the imports.
"""

import contextlib
import gc
import importlib
import os
import pickle
import re
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weaklm.errors import FunctionError

REQUEST = struct.Struct("<cq")  # what the parent asks of a nursery: FORK, or REAP and a process id
FORK, REAP = b"f", b"r"
OUT_OF_MEMORY = 77  # the exit status of a voter whose memory limit leaves nothing for itself
_FIRST_ROWS, _MOST_ROWS = 16, 1024
_LENGTH = struct.Struct("<Q")


class Channel:
    """Messages, any objects that pickle, over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reader = connection.makefile("rb")

    def send(self, message: Any) -> None:
        """Send a message; OSError when the other side is gone."""
        data = pickle.dumps(message, protocol=5)
        self.connection.settimeout(None)
        self.connection.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, seconds: float | None = None) -> Any:
        """Return the next message; EOFError when the other side is gone, TimeoutError when it is silent for so long."""
        self.connection.settimeout(seconds)
        return pickle.loads(self._exactly(*_LENGTH.unpack(self._exactly(_LENGTH.size))))

    def _exactly(self, n_bytes: int) -> bytes:
        data = self._reader.read(n_bytes)
        if len(data) < n_bytes:
            raise EOFError
        return data

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self.connection.close()


@dataclass(frozen=True)
class Job:
    """What a worker process is for."""

    voters: bytes  # a pickled function that returns the Voters
    block_seconds: float
    memory: int | None  # bytes
    forks: bool  # it is a nursery


@dataclass(frozen=True)
class Request:
    """What a voter is asked: the votes of some functions on the rows of a chunk from ``first`` on."""

    columns: bytes  # pickled apart, since they are sent again when a voter dies
    positions: Sequence[int]
    first: int
    careful: int  # on rows before this one function after function, each answered alone
    known: Set[tuple[int, int]]  # (row, position of the function) not to be called


def main() -> None:
    """Load what the parent sends and serve it: the entry of a worker process, which ends with its parent."""
    importlib.import_module("weaklm.snorkel_core")  # first: it spares the functions the import of all of Snorkel
    channel = Channel(_connection(sys.argv[1]))
    job: Job = channel.receive()
    try:
        voters = pickle.loads(job.voters)()
    except BaseException:  # the parent turns it into its own error, whatever it is
        channel.send(("failed", traceback.format_exc()))
        return
    forks = job.forks and threading.active_count() == 1  # a forked child would wait for locks of the other threads
    channel.send(("ready", forks))
    if forks:
        _nurse(channel.connection, voters, job)
    else:
        _serve(channel, voters, job)


def _connection(handle: str) -> socket.socket:
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    return socket.socket(fileno=int(handle))


# The nursery


def _nurse(control: socket.socket, voters: Any, job: Job) -> None:
    """Fork a voter, or tell how one ended, whenever the parent asks; kill them all when the parent is gone."""
    children: set[int] = set()
    gc.collect()
    gc.freeze()  # the collector would write to every object, and so copy the memory that the voters share
    while True:
        request, handles, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(request) < REQUEST.size:
            for child in children:
                os.kill(child, signal.SIGKILL)
            return
        order, child = REQUEST.unpack(request)
        if order == FORK:
            child = _fork(control, handles[0], voters, job)
            children.add(child)
            control.sendall(REQUEST.pack(FORK, child))
        else:
            os.kill(child, signal.SIGKILL)  # without effect on one that has ended
            _, status = os.waitpid(child, 0)
            children.discard(child)
            control.sendall(REQUEST.pack(REAP, os.waitstatus_to_exitcode(status)))


def _fork(control: socket.socket, handle: int, voters: Any, job: Job) -> int:
    """Return the process id of a new voter, which serves the socket of that handle."""
    nursery = os.getpid()
    _flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that allocators in C start for themselves
        child = os.fork()
    if child:
        os.close(handle)
        return child
    status = 1
    try:
        os.close(control.detach())
        _end_with(nursery)
        _serve(Channel(socket.socket(fileno=handle)), voters, job)
        status = 0
    except OSError:  # the parent is gone
        pass
    finally:
        _flush()
        os._exit(status)  # what the nursery has to do at its end is not the child's


def _end_with(nursery: int) -> None:
    """Ask Linux to kill this process when the nursery ends, even in the middle of a regular expression."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != nursery:  # too late to be told
        os._exit(1)


# A voter


def _serve(channel: Channel, voters: Any, job: Job) -> None:
    """Vote on each chunk that comes, until the parent is gone."""
    if job.memory is not None:
        _limit_memory(job.memory)
    voter = _Voter(channel, voters, job)
    while True:
        try:
            voter.vote(channel.receive())
        except EOFError:
            return
        except MemoryError:  # of ours; the parent tries again with a new voter
            os._exit(OUT_OF_MEMORY)
        except Exception as error:
            ours = str(error) if isinstance(error, FunctionError) else ""
            channel.send(("failed", ours, traceback.format_exc()))
        _flush()


class _Voter:
    def __init__(self, channel: Channel, voters: Any, job: Job) -> None:
        self._channel, self._voters, self._job = channel, voters, job
        self._n_rows = _FIRST_ROWS  # of the next block

    def vote(self, request: Request) -> None:
        """Send the votes on all rows; before them, where the voter is."""
        columns = pickle.loads(request.columns)
        if request.first < request.careful:
            self._vote_carefully(columns, request)
        start, end = max(request.first, request.careful), len(next(iter(columns.values())))
        while start < end:
            stop = min(start + self._n_rows, end)
            self._channel.send(("block", stop))
            began = time.perf_counter()
            votes = self._voters.vote(_rows(columns, start, stop), request.positions)
            self._pace(stop - start, time.perf_counter() - began)
            if self._job.memory is not None and any(f.reason.startswith("MemoryError") for f in votes.failures):
                raise MemoryError  # earlier rows may have left too little: a new voter judges these again
            self._channel.send(("votes", stop, votes))
            start = stop

    def _vote_carefully(self, columns: Mapping[str, Any], request: Request) -> None:
        self._channel.send(("block", request.careful))
        for row in range(request.first, request.careful):
            for position in request.positions:
                if (row, position) not in request.known:
                    votes = self._voters.vote(_rows(columns, row, row + 1), [position])
                    self._channel.send(("vote", row, position, votes))

    def _pace(self, n_rows: int, seconds: float) -> None:
        """Choose the size of the next block, so that one takes about ``block_seconds``."""
        fitting = int(n_rows * self._job.block_seconds / max(seconds, 1e-6))
        self._n_rows = max(1, min(fitting, 4 * self._n_rows, _MOST_ROWS))
        if self._n_rows > _FIRST_ROWS:
            self._n_rows -= self._n_rows % _FIRST_ROWS  # the blocks of weaklm.voting


def _rows(columns: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: values[start:stop] for name, values in columns.items()}


def _limit_memory(extra: int) -> None:
    """Let this process allocate so many bytes more than it has now; beyond, Python raises MemoryError."""
    import resource

    status = Path("/proc/self/status").read_text(encoding="ascii")
    used = re.search(r"VmData:\s+(\d+) kB", status)
    assert used is not None
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(used[1]) * 1024 + extra
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # what a function printed, to a place that may be closed
            stream.flush()
