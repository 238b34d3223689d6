"""The work of a job, in the process that does it: call the target, write down how far it is and how it ended."""

import importlib
import json
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from weaklm.credentials import hidden
from weaklm.errors import ProjectError, WeaklmError
from weaklm.jobs.record import CANCELLED, FAILED, RUNNING, SUCCEEDED, Record, State, now

_EVERY = 0.5  # seconds between two writes of the progress


class Reporter:
    """What a target tells about its progress, by calling it; cheap enough for every step."""

    def __init__(self, record: Record, state: State) -> None:
        self._record, self.state = record, state
        self._written = -math.inf
        self._first: tuple[float, float] | None = None  # time and progress of the first report
        self._has_failed = False

    def __call__(
        self,
        progress: float | None = None,
        *,
        trained_tokens: int | None = None,
        loss: float | None = None,
        base_model: str | None = None,
        revision: str | None = None,
    ) -> None:
        """Take note of what is given; it is written to disk at most twice a second.

        Parameters
        ----------
        progress
            The share that is done, from 0 to 1.
        trained_tokens, loss
            Tokens so far; nats a token, now. A loss that is no number is noted as None.
        base_model, revision
            What is trained or asked, once it is known.
        """
        state, moment = self.state, time.monotonic()
        if progress is not None:
            state.progress = min(max(float(progress), 0.0), 1.0)
            state.eta = self._eta(state.progress, moment)
        if trained_tokens is not None:
            state.trained_tokens = int(trained_tokens)
        if loss is not None:
            state.loss = float(loss) if math.isfinite(loss) else None
        state.base_model = state.base_model if base_model is None else str(base_model)
        state.revision = state.revision if revision is None else str(revision)
        if moment - self._written >= _EVERY:
            self._written = moment
            self._write()

    def _eta(self, progress: float, moment: float) -> str | None:
        """Return when it will be done, at the pace of this attempt, which may have begun halfway."""
        self._first = self._first or (moment, progress)
        gained = progress - self._first[1]
        if gained <= 0:
            return None
        seconds = (moment - self._first[0]) * (1 - progress) / gained
        return (datetime.now(UTC) + timedelta(seconds=min(seconds, 1e8))).isoformat(timespec="seconds")

    def _write(self) -> None:
        try:
            self._record.write_state(self.state)
        except OSError as error:  # a full disk is no reason to stop a training
            if not self._has_failed:
                print(f"the job's progress cannot be written: {error}", file=sys.stderr)
            self._has_failed = True


def work(record: Record, *, has_own_process: bool) -> State:
    """Do what a job's order says, under its lock, which the caller holds; return its last state.

    Raises
    ------
    BaseException
        What the target raised, after it was written down: Ctrl-C and SIGTERM as CANCELLED, all else as FAILED.
    """
    state = record.state()
    state.pid, state.host, state.has_own_process = os.getpid(), socket.gethostname(), has_own_process
    state.status, state.started = RUNNING, now()
    if has_own_process:
        signal.signal(signal.SIGTERM, _interrupt)
    record.write_state(state)
    reporter = Reporter(record, state)
    try:
        order = record.order()
        result = _plain(resolve(order.target)(reporter, **order.arguments), order.target)
    except KeyboardInterrupt:
        _end(record, replace(state, status=CANCELLED))
        raise
    except BaseException as error:
        _end(record, replace(state, status=FAILED, error=_said(error)))
        raise
    return _end(record, replace(state, status=SUCCEEDED, progress=1.0, result=result))


def resolve(target: str) -> Callable[..., Any]:
    """Return the function that "module:function" names.

    >>> resolve("math:sqrt")(9)
    3.0
    """
    module, _, name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ProjectError(
            f"the job's target {target!r} is not there, 'module:function' is expected: {error}"
        ) from error
    if not callable(function):
        raise ProjectError(f"the job's target {target!r} is no function")
    return function


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 (the signature of a handler)
    """Turn SIGTERM into Ctrl-C, once: a second one must not disturb the saving that the first one began."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end(record: Record, state: State) -> State:
    """Write the last state, undisturbed."""
    if state.has_own_process and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    state.ended, state.eta = now(), None
    record.write_state(state)
    return state


def _said(error: BaseException) -> str:
    said = str(error) if isinstance(error, WeaklmError) else "".join(traceback.format_exception_only(error)).strip()
    return hidden(said or type(error).__name__)[:4000]


def _plain(result: Any, target: str) -> dict[str, Any] | None:
    """Return the result as JSON reads it back; numbers that JSON does not have and other objects as text."""
    if result is not None and not isinstance(result, dict):
        raise ProjectError(f"{target} returned a {type(result).__name__}; a dictionary or None is expected")
    plain: dict[str, Any] | None = json.loads(json.dumps(result, default=str), parse_constant=str)
    return plain
