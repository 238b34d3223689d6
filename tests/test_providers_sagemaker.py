"""Training jobs on SageMaker: against moto's AWS where it has one, against botocore's Stubber for all the rest."""

import io
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from weaklm import jobs
from weaklm.errors import DataError, ModelError, SettingsError
from weaklm.providers import SageMaker

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
stub = pytest.importorskip("botocore.stub")

SECRET = "planted/4711/do+not+tell/xxxxxxxxxxxxxxx"
ROLE = "arn:aws:iam::123456789012:role/trainer"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/weaklm:1"
LATE = "it was stopped because its time was over; raise max_hours and create it again to go on"
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def rows(n: int = 3) -> pd.DataFrame:
    texts = {"instruction": [f"What is {i}?" for i in range(n)], "response": [f"It is {i}." for i in range(n)]}
    return pd.DataFrame(texts)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED4711XXXX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws() -> Iterator[Any]:
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="eu-central-1")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield s3


def service(**settings: Any) -> SageMaker:
    return SageMaker(ROLE, "bucket", IMAGE, **{"region": "eu-central-1", **settings})


def job(status: str, detail: str = "", **more: Any) -> dict[str, Any]:
    """Return what AWS says of a training job."""
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:training-job/weaklm-1"
    said = {
        "TrainingJobName": "weaklm-1", "TrainingJobArn": arn, "CreationTime": BEGAN,
        "TrainingJobStatus": status, "SecondaryStatus": detail or status,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/a/m.tar.gz"},
        "ResourceConfig": {"VolumeSizeInGB": 1}, "StoppingCondition": {},
        "HyperParameters": {"base_model": '"tiny"', "r": "8"},
    }  # fmt: skip
    return said | more


def described(monkeypatch: pytest.MonkeyPatch, *said: tuple[str, Any]) -> SageMaker:
    """Return a SageMaker whose AWS gives these answers, in this order; an exception's name and message is an error."""
    client = boto3.client("sagemaker", region_name="eu-central-1")
    stubber = stub.Stubber(client)
    for method, answer in said:
        if isinstance(answer, str):
            stubber.add_client_error(method, "ValidationException", answer)
        else:
            stubber.add_response(method, answer)
    stubber.activate()
    monkeypatch.setattr(SageMaker, "_client", lambda *_: client)
    return service()


def test_rows_are_uploaded_and_a_job_is_created(aws: Any) -> None:
    created = service(spot=True).create(
        rows().assign(who="Ann"), "tiny", settings={"r": 8, "target_modules": "all-linear"}
    )
    (file,) = [entry["Key"] for entry in aws.list_objects_v2(Bucket="bucket")["Contents"]]
    assert file == f"weaklm/{created['id']}/train/train.parquet"
    sent = pd.read_parquet(io.BytesIO(aws.get_object(Bucket="bucket", Key=file)["Body"].read()))
    assert sent["response"].tolist() == rows()["response"].tolist()
    assert "who" not in sent.columns
    said = boto3.client("sagemaker", region_name="eu-central-1").describe_training_job(TrainingJobName=created["id"])
    assert said["HyperParameters"] == {"r": "8", "target_modules": '"all-linear"', "base_model": '"tiny"'}
    place = f"s3://bucket/weaklm/{created['id']}"
    assert said["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == f"{place}/train/"
    assert said["CheckpointConfig"] == {"S3Uri": f"{place}/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
    assert said["RoleArn"] == ROLE and SECRET not in json.dumps(said, default=str)
    assert (created["base_model"], created["arguments"]) == ("tiny", {"r": 8, "target_modules": "all-linear"})


def test_a_job_on_aws_has_the_keys_of_a_job_of_this_machine(aws: Any, tmp_path: Path) -> None:
    created = service().create(rows(), "tiny")
    here = jobs.run(tmp_path, "toy", "tests.job_tasks:add", {"numbers": [1]})
    assert set(created) == set(here) | {"provider_status"}


def test_what_is_done_is_not_trained_again_and_other_settings_are_another_job(aws: Any) -> None:
    first = service().create(rows(), "tiny")
    assert first["status"] == "SUCCEEDED"  # moto's jobs are done at once
    assert service().create(rows(), "tiny")["id"] == first["id"]
    others = [service().create(rows(), "tiny", settings={"r": 4}), service().create(rows(2), "tiny")]
    ids = [first["id"], *(job["id"] for job in others)]
    assert len(set(ids)) == 3
    assert sorted(job["id"] for job in service().show()) == sorted(ids)


def test_a_base_model_in_the_bucket_goes_in_as_a_channel(aws: Any) -> None:
    request = service()._request("weaklm-1", "weaklm-1", "s3://bucket/models/llama", {})
    assert request["HyperParameters"] == {"base_model": '"/opt/ml/input/data/model"'}
    assert request["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://bucket/models/llama/"


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        (job("InProgress", "Starting"), "PENDING", None),
        (job("InProgress", "Interrupted"), "PENDING", None),
        (job("InProgress", "Training"), "RUNNING", None),
        (job("Stopping"), "RUNNING", None),
        (job("Completed"), "SUCCEEDED", None),
        (job("Stopped"), "CANCELLED", None),
        (job("Failed", FailureReason=f"no {SECRET}"), "FAILED", "no [AWS_SECRET_ACCESS_KEY]"),
        (job("Stopped", "MaxRuntimeExceeded"), "FAILED", LATE),
    ],
)
def test_each_status_of_aws_is_one_of_ours(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], status: str, error: str | None
) -> None:
    found = described(monkeypatch, ("describe_training_job", said)).describe("weaklm-1")
    assert (found["status"], found["error"]) == (status, error)
    assert found["result"] == ({"model": "s3://bucket/a/m.tar.gz"} if status == "SUCCEEDED" else None)


def test_progress_is_what_the_container_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = [
        {"MetricName": name, "Value": value, "Timestamp": BEGAN}
        for name, value in {"progress": 0.25, "loss": 1.5, "trained_tokens": 4096.0}.items()
    ]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    said = job("InProgress", "Training", FinalMetricDataList=metrics, TrainingStartTime=hour_ago)
    found = described(monkeypatch, ("describe_training_job", said)).describe("weaklm-1")
    assert (found["progress"], found["loss"], found["trained_tokens"]) == (0.25, 1.5, 4096)
    left = datetime.fromisoformat(found["eta"]) - datetime.now(UTC)
    assert 2.9 < left.total_seconds() / 3600 < 3.1


def test_the_second_of_two_that_train_the_same_is_refused_by_name(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: dict[str, Any] = {"TrainingJobSummaries": []}
    monkeypatch.setattr(SageMaker, "_name", lambda *_: "weaklm-1")
    for name in ("weaklm-1-2", "weaklm-1"):
        summary = {"TrainingJobName": name, "TrainingJobArn": "arn:aws:sagemaker:x:123456789012:training-job/x"}
        listed["TrainingJobSummaries"].append(summary | {"CreationTime": BEGAN, "TrainingJobStatus": "InProgress"})
    running = job("InProgress", "Training", TrainingJobName="weaklm-1-2")
    where = described(monkeypatch, ("list_training_jobs", listed), ("describe_training_job", running))
    with pytest.raises(ModelError, match="the training job weaklm-1-2 does the same at this moment"):
        where.create(rows(), "tiny")


def test_a_stopped_job_is_tried_again_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SageMaker, "_names", lambda *_: ["weaklm-1-2", "weaklm-1", "weaklm-1x"])
    where = described(monkeypatch, ("describe_training_job", job("Stopped", TrainingJobName="weaklm-1-2")))
    number, before = where._attempts("weaklm-1")
    assert number == 2 and before is not None and before["status"] == "CANCELLED"


def test_cancelling_twice_is_cancelling_once(monkeypatch: pytest.MonkeyPatch) -> None:
    where = described(
        monkeypatch,
        ("describe_training_job", job("InProgress", "Training")),
        ("stop_training_job", {}),
        ("describe_training_job", job("Stopping")),
        ("describe_training_job", job("Stopped")),
        ("describe_training_job", job("Stopped")),
    )
    assert where.cancel("weaklm-1")["provider_status"] == "Stopping: Stopping"
    assert where.wait("weaklm-1", every=0.01)["status"] == "CANCELLED"
    assert where.cancel("weaklm-1")["status"] == "CANCELLED"


def test_a_job_that_ends_while_it_is_cancelled_stays_as_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    where = described(
        monkeypatch,
        ("describe_training_job", job("InProgress", "Training")),
        ("stop_training_job", "The request was rejected because the training job is in status Completed"),
        ("describe_training_job", job("Completed")),
    )
    assert where.cancel("weaklm-1")["status"] == "SUCCEEDED"


def test_logs_are_read_in_order_and_without_secrets(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert service().logs("weaklm-1") == ""  # nobody has printed anything yet
    logs = boto3.client("logs", region_name="eu-central-1")
    logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    logs.create_log_stream(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="weaklm-1/algo-1-1")
    now = int(datetime.now(UTC).timestamp() * 1000)
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)  # moto has keys of its own
    lines = ["first", f"key {SECRET}", "progress=0.5 loss=1.0"]
    events = [{"timestamp": now + i, "message": line} for i, line in enumerate(lines)]
    where = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": "weaklm-1/algo-1-1"}
    logs.put_log_events(**where, logEvents=events)
    assert service().logs("weaklm-1") == "first\nkey [PLANTED_TOKEN]\nprogress=0.5 loss=1.0\n"
    assert service().logs("weaklm-1", last=1) == "progress=0.5 loss=1.0\n"


def archive(name: str, text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        file.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def test_an_adapter_is_fetched_whole_or_not_at_all(aws: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = {"status": "SUCCEEDED", "result": {"model": "s3://bucket/out/model.tar.gz"}, "error": None}
    monkeypatch.setattr(SageMaker, "describe", lambda *_: said)
    aws.put_object(Bucket="bucket", Key="out/model.tar.gz", Body=archive("adapter_config.json", b"{}"))
    folder = service().download("weaklm-1", tmp_path / "adapter")
    assert [path.name for path in folder.iterdir()] == ["adapter_config.json"]
    with pytest.raises(ModelError, match="holds other files"):
        service().download("weaklm-1", folder)
    for body in (archive("../outside", b"x"), b"no archive"):
        aws.put_object(Bucket="bucket", Key="out/model.tar.gz", Body=body)
        with pytest.raises(ModelError, match="cannot be unpacked"):
            service().download("weaklm-1", tmp_path / "other")
    assert not (tmp_path / "other").exists() and not (tmp_path / "outside").exists()


def test_what_is_not_there_is_told(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="asking for the training job weaklm-none failed"):
        service().describe("weaklm-none")
    with pytest.raises(SettingsError, match="no region is named; pass region="):
        service(region=None).describe("weaklm-1")
    with pytest.raises(DataError, match="there is no row to train on"):
        service().create(rows(0), "tiny")


def test_without_credentials_it_is_said_where_they_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="there are no AWS credentials; set AWS_ACCESS_KEY_ID"):
        service().describe("weaklm-1")


def test_a_secret_in_settings_is_refused_and_not_repeated(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)
    with pytest.raises(SettingsError, match=r"settings holds the value of .* PLANTED_TOKEN") as refused:
        service().create(rows(), "tiny", settings={"token": SECRET})
    with pytest.raises(SettingsError, match="request holds the value of"):
        service(request={"Environment": {"KEY": SECRET}})
    assert SECRET not in str(refused.value) and SECRET not in repr(service())
    assert "Contents" not in aws.list_objects_v2(Bucket="bucket")
