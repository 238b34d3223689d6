"""A job of a service, described by the keys that jobs of this machine have, too."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from weaklm.credentials import hidden_inside
from weaklm.jobs.record import ALIVE, State


def description(
    job_id: str, state: State, *, provider: str, provider_status: str, created: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return what :func:`weaklm.jobs.describe` would, and what the service itself calls the status; no secrets."""
    order = {"id": job_id, "kind": "train", "target": provider, "arguments": arguments, "created": created}
    known: dict[str, Any] = hidden_inside({**order, **asdict(state), "log": None, "provider_status": provider_status})
    return known


def wait(describe: Callable[[], dict[str, Any]], every: float, timeout: float | None) -> dict[str, Any]:
    """Return the description of a job once it is over, or ``timeout`` seconds have passed; ask ``every`` so often."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        job = describe()
        if job["status"] not in ALIVE or (until is not None and time.monotonic() >= until):
            return job
        time.sleep(every)


def moment(seconds: object) -> str | None:
    """Return seconds since 1970 as UTC in ISO form; None where it is no time.

    >>> moment(1700000000), moment(None), moment("soon")
    ('2023-11-14T22:13:20+00:00', None, None)
    """
    if not isinstance(seconds, int | float) or seconds <= 0:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
