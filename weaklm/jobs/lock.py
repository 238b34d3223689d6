"""The lock that a living job holds: a free one means that nobody works, however the process ended.

The operating system frees a ``flock`` when the last process that has it open is gone, also after kill -9. So nothing
has to be guessed from process numbers or from the age of files, and a lock file that lies around means nothing.
"""

import os
import time
import weakref
from pathlib import Path
from typing import Any

from weaklm.errors import ProjectError

_READERS_PATIENCE = 50  # times; a reader has the lock for microseconds
_PAUSE = 0.01  # seconds


class Lock:
    """A lock that this process holds, as an open file ``fd``."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        os.set_inheritable(fd, False)
        _keep_from_forked_children(self)

    @classmethod
    def take(cls, path: Path) -> "Lock | None":
        """Take the lock of a file, which is made if need be; None where somebody works under it."""
        fcntl = _fcntl()
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(_READERS_PATIENCE):
            if _try(fcntl, fd, fcntl.LOCK_EX):
                return cls(fd)
            if not _try(fcntl, fd, fcntl.LOCK_SH):
                break
            fcntl.flock(fd, fcntl.LOCK_UN)  # only readers were in the way
            time.sleep(_PAUSE)
        os.close(fd)
        return None

    def free(self) -> None:
        """Free the lock, also where a child still has the file open."""
        if self.fd is not None:
            fcntl = _fcntl()
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            self.leave()

    def leave(self) -> None:
        """Close the file here; the lock stays held as long as another process has it open."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    fcntl = _fcntl()
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try(fcntl, fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def comes_free(path: Path, seconds: float) -> bool:
    """Wait until nobody holds the lock of a file any more; whether that was so in time."""
    until = time.monotonic() + seconds
    while is_held(path):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)
    return True


def _try(fcntl: Any, fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _keep_from_forked_children(lock: Lock) -> None:
    """Close the file in each forked child: one that outlives the job must not look like the job."""
    kept = weakref.ref(lock)

    def leave() -> None:
        held = kept()
        if held is not None:
            held.leave()

    os.register_at_fork(after_in_child=leave)


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError as error:
        raise ProjectError(
            "jobs need the file locks of Linux and macOS, which this system does not have; on Windows use WSL, or do "
            "the work in this process instead"
        ) from error
    return fcntl
