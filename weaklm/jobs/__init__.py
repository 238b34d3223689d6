"""Long work in a process of its own: create, show, describe, cancel, logs."""

from weaklm.jobs.cancelling import cancel
from weaklm.jobs.record import ALIVE, CANCELLED, DIED, FAILED, PENDING, RUNNING, STATUSES, SUCCEEDED
from weaklm.jobs.verbs import create, describe, follow, logs, resume, run, show, wait
from weaklm.jobs.work import Reporter

__all__ = [
    "ALIVE",
    "CANCELLED",
    "DIED",
    "FAILED",
    "PENDING",
    "RUNNING",
    "STATUSES",
    "SUCCEEDED",
    "Reporter",
    "cancel",
    "create",
    "describe",
    "follow",
    "logs",
    "resume",
    "run",
    "show",
    "wait",
]
