"""Fine-tuning by an OpenAI-compatible service, and files for all others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.fake_tuning import FakeTuning
from weaklm import jobs
from weaklm.errors import DataError, ModelError, SettingsError
from weaklm.jobs.record import Record, State
from weaklm.providers import FineTuningService, write_files

SECRET = "sk-planted-4711-do-not-tell"


def rows(n: int = 3, start: int = 0) -> pd.DataFrame:
    numbers = range(start, start + n)
    return pd.DataFrame(
        {
            "instruction": [f"What is {i}?" for i in numbers],
            "context": ["Numbers."] * n,
            "prompt_prefix": ["Be brief."] * n,
            "response": [f"It is {i}." for i in numbers],
        }
    )


@pytest.fixture
def fake() -> Iterator[FakeTuning]:
    with FakeTuning() as server:
        yield server


@pytest.fixture
def service(fake: FakeTuning, monkeypatch: pytest.MonkeyPatch) -> FineTuningService:
    monkeypatch.setenv("TUNING_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-planted")
    return FineTuningService(fake.url, "TUNING_KEY")


def test_rows_are_uploaded_as_messages_and_a_job_is_created(fake: FakeTuning, service: FineTuningService) -> None:
    job = service.create(rows(), "small", valid=rows(2, start=9), suffix="mine", settings={"seed": 7})
    assert (job["id"], job["status"], job["provider_status"]) == ("ftjob-1", "PENDING", "validating_files")
    assert (job["base_model"], job["created"]) == ("small", "2023-11-14T22:13:20+00:00")
    body = next(body for method, path, _, body in fake.requests if (method, path) == ("POST", "/fine_tuning/jobs"))
    assert body == {
        "model": "small", "training_file": "file-1", "validation_file": "file-2", "suffix": "mine", "seed": 7
    }  # fmt: skip
    first = json.loads(fake.contents["file-1"].decode().splitlines()[0])
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 0?\n\nNumbers."},
        {"role": "assistant", "content": "It is 0."},
    ]


def test_a_job_of_a_service_has_the_keys_of_a_job_of_this_machine(service: FineTuningService, tmp_path: Path) -> None:
    job = service.create(rows(), "small")
    here = jobs.run(tmp_path, "toy", "tests.job_tasks:add", {"numbers": [1]})
    assert set(job) == set(here) | {"provider_status"}


def test_a_job_is_followed_to_its_end(fake: FakeTuning, service: FineTuningService) -> None:
    service.create(rows(), "small")
    fake.jobs["ftjob-1"] |= {"status": "running", "estimated_finish": 1700000600}
    metrics = [{"step": i, "total_steps": 4, "train_loss": 2.0 - i / 2, "x": None} for i in (1, 2, 3)]
    fake.events["ftjob-1"] = [
        {
            "id": f"e{i}",
            "object": "e",
            "created_at": 1700000000 + i,
            "level": "info",
            "message": f"step {i}",
            "data": data,
        }
        for i, data in enumerate(metrics, start=1)
    ]
    job = service.describe("ftjob-1")
    assert (job["status"], job["progress"], job["loss"]) == ("RUNNING", 0.75, 0.5)
    assert job["eta"] == "2023-11-14T22:23:20+00:00"
    assert service.logs("ftjob-1", last=2) == (
        "2023-11-14T22:13:22+00:00 info step 2\n2023-11-14T22:13:23+00:00 info step 3\n"
    )
    fake.jobs["ftjob-1"] |= {
        "status": "succeeded", "fine_tuned_model": "ft:small:mine", "trained_tokens": 900, "finished_at": 1700000900
    }  # fmt: skip
    done = service.wait("ftjob-1", every=0.01)
    assert (done["status"], done["progress"], done["trained_tokens"], done["eta"]) == ("SUCCEEDED", 1.0, 900, None)
    assert (done["result"], done["ended"]) == ({"model": "ft:small:mine"}, "2023-11-14T22:28:20+00:00")
    assert [job["id"] for job in service.show()] == ["ftjob-1"]


def test_a_job_that_failed_says_why_without_the_key(fake: FakeTuning, service: FineTuningService) -> None:
    service.create(rows(), "small")
    fake.jobs["ftjob-1"] |= {
        "status": "failed",
        "error": {"code": "x", "message": f"bad rows; {SECRET}", "param": None},
    }
    job = service.describe("ftjob-1")
    assert (job["status"], job["error"], job["result"]) == ("FAILED", "bad rows; [TUNING_KEY]", None)


def test_cancelling_twice_is_cancelling_once(fake: FakeTuning, service: FineTuningService) -> None:
    service.create(rows(), "small")
    assert service.cancel("ftjob-1")["status"] == service.cancel("ftjob-1")["status"] == "CANCELLED"
    assert fake.asked("POST", "/fine_tuning/jobs/ftjob-1/cancel") == 1


def test_a_job_that_ends_while_it_is_cancelled_stays_as_it_ended(fake: FakeTuning, service: FineTuningService) -> None:
    service.create(rows(), "small")
    answer = fake.answer

    def end_first(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.endswith("/cancel"):
            fake.jobs["ftjob-1"]["status"] = "succeeded"
        return answer(method, path, body)

    fake.answer = end_first  # type: ignore[method-assign]
    assert service.cancel("ftjob-1")["status"] == "SUCCEEDED"


def test_the_second_of_two_that_train_the_same_is_refused_by_name_and_uploads_nothing(
    fake: FakeTuning, service: FineTuningService
) -> None:
    service.create(rows(), "small")
    with pytest.raises(ModelError, match=r"the job ftjob-1 at .* trains 'small' on the same rows at this moment"):
        service.create(rows(), "small")
    assert len(fake.files) == 1
    service.cancel("ftjob-1")
    assert service.create(rows(), "small")["id"] == "ftjob-2"
    assert service.create(rows(2), "small")["id"] == "ftjob-3"


def test_a_service_that_lists_nothing_can_be_used(fake: FakeTuning, service: FineTuningService) -> None:
    fake.faults = {"GET /files": [(404, "?")], "GET /fine_tuning/jobs": [(405, "?")]}
    service.create(rows(), "small")
    fake.faults["GET /fine_tuning/jobs/ftjob-1/events"] = [(404, "?")]
    assert service.describe("ftjob-1")["status"] == "PENDING"


def test_questions_are_asked_again_and_a_job_is_created_once(
    fake: FakeTuning, service: FineTuningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_: 0.01)
    fake.faults["POST /fine_tuning/jobs"] = [(503, "busy")]
    with pytest.raises(ModelError, match=r"creating the job at .* failed: .*busy"):
        service.create(rows(), "small")
    assert fake.asked("POST", "/fine_tuning/jobs") == 1
    fake.faults = {}
    service.create(rows(), "small")
    answer, failures = fake.answer, [503, 429]

    def busy_twice(method: str, path: str, body: Any) -> tuple[int, Any]:
        return (failures.pop(), {"error": {"message": "busy"}}) if failures else answer(method, path, body)

    fake.answer = busy_twice  # type: ignore[method-assign]
    assert service.describe("ftjob-1")["status"] == "PENDING"


def test_the_key_goes_to_the_service_and_nowhere_else(
    fake: FakeTuning, service: FineTuningService, tmp_path: Path
) -> None:
    job = service.create(rows(), "small")
    assert {headers["authorization"] for _, _, headers, _ in fake.requests} == {f"Bearer {SECRET}"}
    assert "org-planted" not in repr(fake.requests)
    Record(tmp_path).write_state(State(result={"job": job, "service": repr(service)}))
    fake.faults["GET /fine_tuning/jobs/ftjob-1"] = [(401, f"Incorrect API key provided: {SECRET}")]
    with pytest.raises(ModelError, match="Incorrect API key provided: \\[TUNING_KEY\\]") as error:
        service.describe("ftjob-1")
    shown = (tmp_path / "state.json").read_text() + repr(job) + str(error.value) + repr(error.value.__cause__)
    assert SECRET not in shown


def test_no_key_no_service_and_no_address_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(SettingsError, match="the environment variable NO_SUCH_KEY is not set"):
        FineTuningService("http://127.0.0.1:9/v1", "NO_SUCH_KEY").show()
    with pytest.raises(SettingsError, match="base_url is 'nowhere'"):
        FineTuningService("nowhere")
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_: 0.01)
    with pytest.raises(ModelError, match=r"listing the jobs at http://127.0.0.1:9/v1 failed: .*; show\(\) tells"):
        FineTuningService("http://127.0.0.1:9/v1").show()


def test_files_for_services_of_both_kinds(tmp_path: Path) -> None:
    written = write_files(rows(3), tmp_path / "chat", valid=rows(1, start=5))
    assert list(written.values()) == [3, 1]
    assert set(json.loads((tmp_path / "chat" / "valid.jsonl").read_text())) == {"messages"}
    write_files(rows(1), tmp_path / "sql", service="sql")
    row = json.loads((tmp_path / "sql" / "train.jsonl").read_text())
    assert row == {"prompt": "Be brief.\n\nWhat is 0?\n\nNumbers.", "completion": "It is 0."}


def test_data_that_nobody_should_train_on_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown kind of service 'sq'; did you mean 'sql'"):
        write_files(rows(), tmp_path / "x", service="sq")
    with pytest.raises(DataError, match="there is no row to train on"):
        write_files(rows(0), tmp_path / "x")
    with pytest.raises(DataError, match="1 of the 3 rows to train on have an empty response"):
        write_files(rows().assign(response=["a", " ", "b"]), tmp_path / "x")
    with pytest.raises(DataError, match=r"1 instructions are in both parts, such as 'What is 2\?'"):
        write_files(rows(3), tmp_path / "x", valid=rows(3, start=2))
    assert not (tmp_path / "x").exists()
