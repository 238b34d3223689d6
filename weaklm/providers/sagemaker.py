"""Training jobs on AWS SageMaker, by plain boto3: upload the rows, start a container, ask, cancel, fetch the adapter.

What is run in the container is :mod:`weaklm.providers.container`, unless an image has a program of its own.
"""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from weaklm.atomic import atomic_folder
from weaklm.credentials import hidden, refuse_secrets
from weaklm.data import TEXT_COLUMNS, complete
from weaklm.errors import MissingExtraError, ModelError, SettingsError
from weaklm.exchange import HasFrame, export
from weaklm.jobs.record import ALIVE, SUCCEEDED
from weaklm.providers.description import wait
from weaklm.providers.files import as_frame, check_parts
from weaklm.providers.sagemaker_status import described

_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_METRICS = ("progress", "loss", "trained_tokens")  # as the container prints them: "progress=0.25 loss=1.5"
_OPT = "/opt/ml/"  # where SageMaker puts things into a container, and takes them from


@dataclass(frozen=True)
class SageMaker:
    """Where and on what to train.

    Credentials and, without ``region``, the region are boto3's own: from the environment, or the role of the machine.
    None are taken as arguments, kept or shown; none are handed to the container, whose role is ``role``.

    Parameters
    ----------
    role
        The ARN of the role that the container has; it must be allowed to read and write the bucket.
    bucket
        The S3 bucket of data, checkpoints and adapters.
    image
        The container image, by its address in ECR; with weaklm and its extra ``train``, unless ``entrypoint`` says
        otherwise.
    entrypoint
        What the container runs; None leaves it to the image.
    prefix
        Begins each job's name and each key in the bucket.
    instance, volume_gb, max_hours
        What to train on, how much disk it has, and when it is stopped.
    spot
        Take spare capacity, which may be taken back: the job goes on from its checkpoint.
    request
        Further fields of CreateTrainingJob: ``{"VpcConfig": {...}, "Tags": [...]}``.
    """

    role: str
    bucket: str
    image: str
    region: str | None = None
    entrypoint: tuple[str, ...] | None = ("python", "-m", "weaklm.providers.container")
    prefix: str = "weaklm"
    instance: str = "ml.g5.2xlarge"
    volume_gb: int = 200
    max_hours: float = 24.0
    spot: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}", self.prefix):
            raise SettingsError(f"prefix is {self.prefix!r}; at most 40 letters, digits and hyphens are expected")
        if not self.max_hours > 0:
            raise SettingsError(f"max_hours is {self.max_hours!r}; a number above 0 is expected")
        refuse_secrets(dict(self.request), "request")

    def create(
        self,
        data: pd.DataFrame | HasFrame,
        base_model: str,
        *,
        settings: Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Upload the rows, start a training job, and return its description.

        One thing is one job: where it is done, the finished job is returned; where it failed or was stopped, another
        attempt is started, which goes on from the last checkpoint.

        Parameters
        ----------
        data
            A frame of examples, or a QualityDataset, of which the kept rows are sent.
        base_model
            A name on the Hugging Face hub, or an S3 address of a model folder, which the container gets as one.
        settings
            Keyword arguments of :class:`weaklm.QLoRATrainer`, and ``objective``; an image of one's own gets them as
            hyperparameters, each in JSON.
        columns
            Columns that are sent besides id and texts, such as a ``row_weight``.

        Raises
        ------
        ModelError
            If AWS works on the same at this moment (names the job), or refuses.
        """
        given = dict(settings or {})
        refuse_secrets(given, "settings")
        frame = as_frame(data)
        check_parts({"train": frame})
        sent = complete(frame)[["id", *TEXT_COLUMNS, *columns]]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.parquet"
            export(sent, file, format="parquet", lossless=False)
            base = self._name(file, base_model, given)
            number, before = self._attempts(base)
            if before is not None and before["status"] in ALIVE:
                raise ModelError(
                    f"the training job {before['id']} does the same at this moment: wait for it, or cancel it first"
                )
            if before is not None and before["status"] == SUCCEEDED:
                return before
            with self._named(f"uploading to {self.bucket}"):
                self._client("s3").upload_file(str(file), self.bucket, f"{self.prefix}/{base}/train/{file.name}")
        name = base if number == 0 else f"{base}-{number + 1}"
        with self._named(f"creating the training job {name}"):
            self._client("sagemaker").create_training_job(**self._request(base, name, base_model, given))
        return self.describe(name)

    def show(self, *, last: int = 20) -> list[dict[str, Any]]:
        """Return the last jobs that were created with this prefix, newest first."""
        return [self.describe(name) for name in self._names(f"{self.prefix}-")[:last]]

    def describe(self, job_id: str) -> dict[str, Any]:
        """Return all that is known of a job; the keys are those of :func:`weaklm.jobs.describe`.

        ``result["model"]`` is the S3 address of the adapter; ``provider_status`` is what AWS says.
        """
        with self._named(f"asking for the training job {job_id}"):
            job = self._client("sagemaker").describe_training_job(TrainingJobName=job_id)
        return described(job)

    def wait(self, job_id: str, *, every: float = 30.0, timeout: float | None = None) -> dict[str, Any]:
        """Return the description of a job once it is over, or ``timeout`` seconds have passed."""
        return wait(lambda: self.describe(job_id), every, timeout)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Ask for the end of a job and return its description; one that is over stays as it is.

        The container gets SIGTERM, and two minutes to save.
        """
        job = self.describe(job_id)
        if job["status"] not in ALIVE:
            return job
        try:
            with self._named(f"stopping the training job {job_id}"):
                self._client("sagemaker").stop_training_job(TrainingJobName=job_id)
        except ModelError:
            if (now := self.describe(job_id))["status"] in ALIVE:
                raise
            return now  # it was over before the request came
        return self.describe(job_id)

    def logs(self, job_id: str, *, last: int | None = None) -> str:
        """Return what a job's container printed, or the last lines of it; nothing where it has not begun to."""
        client = self._client("logs")
        lines: list[str] = []
        with self._named(f"asking for the log of {job_id}"):
            try:
                pages = client.get_paginator("filter_log_events").paginate(
                    logGroupName=_LOG_GROUP, logStreamNamePrefix=f"{job_id}/"
                )
                lines = [event["message"].rstrip("\n") + "\n" for page in pages for event in page["events"]]
            except client.exceptions.ResourceNotFoundException:  # no job has printed anything yet
                pass
        return hidden("".join(lines if last is None else lines[len(lines) - min(last, len(lines)) :]))

    def download(self, job_id: str, folder: str | Path) -> Path:
        """Fetch what a finished job made (an adapter folder), whole or not at all, and return the folder."""
        job = self.describe(job_id)
        if job["result"] is None:
            raise ModelError(f"the training job {job_id} is {job['status']} and made nothing: {job['error'] or ''}")
        bucket, _, key = job["result"]["model"].removeprefix("s3://").partition("/")
        place = Path(folder)
        if place.exists() and any(place.iterdir()):
            raise ModelError(f"{place} holds other files and would be overwritten; name a folder that is new or empty")
        with atomic_folder(place) as temporary, tempfile.TemporaryDirectory() as beside:
            archive = Path(beside) / "model.tar.gz"
            with self._named(f"fetching {job['result']['model']}"):
                self._client("s3").download_file(bucket, key, str(archive))
            try:
                with tarfile.open(archive) as packed:
                    packed.extractall(temporary, filter="data")  # nothing outside the folder, no links to there
            except (tarfile.TarError, EOFError, OSError) as error:
                raise ModelError(f"{job['result']['model']} cannot be unpacked: {error}") from error
        return place

    def _client(self, service: str) -> Any:
        boto3, botocore = _aws()
        settings = botocore.config.Config(retries={"mode": "standard", "max_attempts": 5}, region_name=self.region)
        with self._named(f"reaching {service}"):
            return boto3.Session().client(service, config=settings)

    def _name(self, file: Path, base_model: str, settings: Mapping[str, Any]) -> str:
        """Return the name of a job from all that shapes its result."""
        shaping = json.dumps([base_model, self.image, settings], sort_keys=True)
        return f"{self.prefix}-{sha256(shaping.encode() + file.read_bytes()).hexdigest()[:12]}"

    def _names(self, beginning: str) -> list[str]:
        """Return the names of the jobs that begin so, newest first."""
        with self._named("listing the training jobs"):
            pages = (
                self._client("sagemaker")
                .get_paginator("list_training_jobs")
                .paginate(NameContains=beginning, SortBy="CreationTime", SortOrder="Descending")
            )
            names = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
        return [name for name in names if name.startswith(beginning)]

    def _attempts(self, base: str) -> tuple[int, dict[str, Any] | None]:
        """Return how often a job was tried, and the newest attempt: names are taken for ever."""
        names = [name for name in self._names(base) if re.fullmatch(rf"{base}(-\d+)?", name)]
        numbers = {int(name[len(base) + 1 :] or 1): name for name in names}
        return max(numbers, default=0), self.describe(numbers[max(numbers)]) if numbers else None

    def _request(self, base: str, name: str, base_model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        place = f"s3://{self.bucket}/{self.prefix}/{base}"
        channels = {"train": f"{place}/train/"}
        if base_model.startswith("s3://"):
            channels["model"] = base_model.rstrip("/") + "/"
        stop = {"MaxRuntimeInSeconds": int(self.max_hours * 3600)}
        if self.spot:
            stop["MaxWaitTimeInSeconds"] = 2 * stop["MaxRuntimeInSeconds"]
        algorithm: dict[str, Any] = {
            "TrainingImage": self.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": metric, "Regex": rf"\b{metric}=([0-9.e+-]+)"} for metric in _METRICS],
        }
        if self.entrypoint is not None:
            algorithm["ContainerEntrypoint"] = list(self.entrypoint)
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": algorithm,
            "RoleArn": self.role,
            "HyperParameters": {
                key: json.dumps(value) for key, value in {**settings, "base_model": _inside(base_model)}.items()
            },
            "InputDataConfig": [_channel(channel, uri) for channel, uri in channels.items()],
            "OutputDataConfig": {"S3OutputPath": f"{place}/output"},
            "CheckpointConfig": {"S3Uri": f"{place}/checkpoints", "LocalPath": f"{_OPT}checkpoints"},
            "ResourceConfig": {"InstanceType": self.instance, "InstanceCount": 1, "VolumeSizeInGB": self.volume_gb},
            "StoppingCondition": stop,
            "EnableManagedSpotTraining": self.spot,
            **self.request,
        }

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        """Say what failed, without secrets."""
        said = _aws()[1].exceptions
        try:
            yield
        except said.NoCredentialsError:
            raise SettingsError(
                f"{doing} failed: there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
                "AWS_SESSION_TOKEN) in the environment, or give this machine a role"
            ) from None
        except said.NoRegionError:
            raise SettingsError(f"{doing} failed: no region is named; pass region=... or set AWS_REGION") from None
        except (said.BotoCoreError, said.ClientError) as error:
            raise ModelError(f"{doing} failed: {hidden(str(error))}") from None


def _aws() -> tuple[Any, Any]:
    """Return boto3 and botocore."""
    try:
        import boto3
        import botocore.config
        import botocore.exceptions
    except ImportError as error:
        raise MissingExtraError("Training on SageMaker", "aws") from error
    return boto3, botocore


def _inside(base_model: str) -> str:
    """Return what a base model is called inside the container."""
    return f"{_OPT}input/data/model" if base_model.startswith("s3://") else base_model


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
