"""What AWS says of a training job, in our words."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from weaklm.jobs.record import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, State
from weaklm.providers.description import description

_STATUSES = {
    "InProgress": RUNNING,
    "Stopping": RUNNING,
    "Completed": SUCCEEDED,
    "Failed": FAILED,
    "Stopped": CANCELLED,
    "Deleting": FAILED,
}
_WAITING = ("Starting", "Pending", "LaunchingMLInstances", "PreparingTrainingStack", "Downloading", "Interrupted")
_OUT_OF_TIME = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


def described(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a job from the answer of DescribeTrainingJob."""
    said, detail = job["TrainingJobStatus"], job.get("SecondaryStatus", "")
    status = _STATUSES.get(said, RUNNING)
    if status == RUNNING and detail in _WAITING:
        status = PENDING
    if detail in _OUT_OF_TIME:
        status = FAILED
    metrics = {metric["MetricName"]: float(metric["Value"]) for metric in job.get("FinalMetricDataList", [])}
    progress = 1.0 if status == SUCCEEDED else min(max(metrics.get("progress", 0.0), 0.0), 1.0)
    hyperparameters = {name: _value(text) for name, text in job.get("HyperParameters", {}).items()}
    model = job.get("ModelArtifacts", {}).get("S3ModelArtifacts") if status == SUCCEEDED else None
    late = "it was stopped because its time was over; raise max_hours and create it again to go on"
    started = job.get("TrainingStartTime")
    state = State(
        status=status,
        progress=progress,
        trained_tokens=int(metrics["trained_tokens"]) if "trained_tokens" in metrics else None,
        loss=metrics.get("loss"),
        eta=_eta(started, progress) if status == RUNNING else None,
        error=job.get("FailureReason") or (late if detail in _OUT_OF_TIME else None),
        base_model=hyperparameters.pop("base_model", None),
        result={"model": model} if model else None,
        has_own_process=False,
        started=_iso(started),
        updated=_iso(job.get("LastModifiedTime")) or "",
        ended=_iso(job.get("TrainingEndTime")),
    )
    return description(
        job["TrainingJobName"],
        state,
        provider="sagemaker",
        provider_status=f"{said}: {detail}" if detail else said,
        created=_iso(job.get("CreationTime")) or "",
        arguments=hyperparameters,
    )


def _eta(started: datetime | None, progress: float) -> str | None:
    if started is None or progress <= 0:
        return None
    gone = datetime.now(UTC) - started.astimezone(UTC)
    return _iso(datetime.now(UTC) + timedelta(seconds=min(gone.total_seconds() * (1 - progress) / progress, 1e8)))


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat(timespec="seconds")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # of a job that was made elsewhere
        return text
