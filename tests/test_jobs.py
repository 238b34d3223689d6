"""Jobs as real processes: what they do, how they end, and what is known of them."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import job_tasks
from tests.fake_llm import ctrl_c
from weaklm import jobs
from weaklm.errors import ProjectError, SettingsError
from weaklm.jobs.lock import Lock, is_held
from weaklm.jobs.record import Order, Record, State
from weaklm.jobs.work import Reporter

TASKS = "tests.job_tasks:"
SECRET = "sk-planted-4711-do-not-tell"


def create(folder: Path, task: str, **arguments: Any) -> dict[str, Any]:
    return jobs.create(folder, "toy", TASKS + task, arguments, key=task)


def finish(folder: Path, task: str, **arguments: Any) -> dict[str, Any]:
    return jobs.wait(folder, create(folder, task, **arguments)["id"], timeout=20)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_runs_in_a_process_of_its_own_and_tells_what_came_of_it(tmp_path: Path) -> None:
    created = create(tmp_path, "add", numbers=[1, 2, 3])
    assert created["id"] == "toy-add" and created["status"] in jobs.STATUSES
    done = jobs.wait(tmp_path, "toy-add", timeout=20)
    assert done["status"] == "SUCCEEDED" and done["progress"] == 1.0
    assert done["result"] == {"sum": 6, "pid": done["pid"], "folder": str(Path.cwd())}
    assert done["pid"] != os.getpid()
    assert (done["trained_tokens"], done["loss"], done["base_model"], done["revision"]) == (3, 1.5, "tiny", "abc")
    assert (done["arguments"], done["attempt"], done["error"], done["eta"]) == ({"numbers": [1, 2, 3]}, 1, None, None)
    assert done["created"] <= done["started"] <= done["ended"]
    assert jobs.logs(tmp_path, "toy-add") == "adding [1, 2, 3]\n"


def test_a_job_outlives_the_process_that_created_it(tmp_path: Path) -> None:
    arguments = {"place": str(tmp_path / "n"), "until": 40}
    code = f"from weaklm import jobs; jobs.create({str(tmp_path)!r}, 'toy', '{TASKS}count', {arguments!r}, key='count')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert jobs.describe(tmp_path, "toy-count")["status"] in jobs.ALIVE
    assert jobs.wait(tmp_path, "toy-count", timeout=20)["status"] == "SUCCEEDED"


def test_a_killed_job_is_reported_within_a_second_and_resumed_from_what_it_saved(tmp_path: Path) -> None:
    create(tmp_path, "count", place=str(tmp_path / "n"), until=12, seconds=0.05)
    until(lambda: jobs.describe(tmp_path, "toy-count")["progress"] > 0.1)
    os.kill(jobs.describe(tmp_path, "toy-count")["pid"], signal.SIGKILL)
    until(lambda: jobs.describe(tmp_path, "toy-count")["status"] == "DIED", seconds=1)
    until(lambda: "was killed by SIGKILL" in jobs.describe(tmp_path, "toy-count")["error"], seconds=5)
    assert jobs.resume(tmp_path, "toy-count")["attempt"] == 2
    done = jobs.wait(tmp_path, "toy-count", timeout=20)
    assert done["status"] == "SUCCEEDED" and done["result"]["began"] > 0 and done["error"] is None
    assert (tmp_path / "n").read_text() == "12"


@pytest.mark.slow
def test_a_training_that_was_killed_ends_with_the_same_adapter(tmp_path: Path) -> None:
    save_model = pytest.importorskip("tests.tiny_models").save_model
    base = str(save_model(tmp_path / "base"))
    job_tasks.train(lambda *_, **__: None, base=base, folder=str(tmp_path / "straight"))  # type: ignore[arg-type]
    jobs.create(
        tmp_path, "train", TASKS + "train", {"base": base, "folder": str(tmp_path / "cut"), "die_at": 0.5}, key="a"
    )
    until(lambda: jobs.describe(tmp_path, "train-a")["status"] not in jobs.ALIVE, seconds=300)
    died = jobs.describe(tmp_path, "train-a")
    assert died["status"] == "DIED" and died["trained_tokens"] > 0 and not (tmp_path / "cut" / "adapter").exists()
    jobs.resume(tmp_path, "train-a")
    done = jobs.wait(tmp_path, "train-a", timeout=300)
    assert (done["status"], done["attempt"]) == ("SUCCEEDED", 2)
    straight, cut = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("straight", "cut"))
    assert straight.read_bytes() == cut.read_bytes()


def test_a_child_that_is_left_over_does_not_look_like_the_job_and_dies_unless_it_left_the_group(tmp_path: Path) -> None:
    died = finish(tmp_path, "leave_forked_children", place=str(tmp_path / "children"))
    stayed, left = (int(pid) for pid in (tmp_path / "children").read_text().split())
    assert died["status"] == "DIED"
    assert is_alive(left)
    os.kill(left, signal.SIGKILL)
    until(lambda: not is_alive(stayed))


def test_a_job_that_cannot_be_started_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ProjectError, match=r"the process of toy-add cannot be started: .*no-python.*; see .*log\.txt"):
        create(tmp_path, "add", numbers=[1])
    failed = jobs.describe(tmp_path, "toy-add")
    assert failed["status"] == "FAILED" and "cannot be started" in failed["error"]


def test_a_cancelled_job_has_time_to_save(tmp_path: Path) -> None:
    create(tmp_path, "save_when_cancelled", place=str(tmp_path / "state"))
    until(lambda: jobs.describe(tmp_path, "toy-save_when_cancelled")["progress"] > 0)
    cancelled = jobs.cancel(tmp_path, "toy-save_when_cancelled")
    assert cancelled["status"] == "CANCELLED" and cancelled["error"] is None
    assert (tmp_path / "state").read_text() == "saved"
    assert jobs.cancel(tmp_path, "toy-save_when_cancelled") == cancelled


def test_two_who_cancel_at_once_do_not_disturb_the_saving(tmp_path: Path) -> None:
    create(tmp_path, "save_when_cancelled", place=str(tmp_path / "state"))
    until(lambda: jobs.describe(tmp_path, "toy-save_when_cancelled")["progress"] > 0)
    threads = [threading.Thread(target=jobs.cancel, args=[tmp_path, "toy-save_when_cancelled"]) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert jobs.describe(tmp_path, "toy-save_when_cancelled")["status"] == "CANCELLED"
    assert (tmp_path / "state").read_text() == "saved"


def test_a_job_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    create(tmp_path, "deaf_with_children", place=str(tmp_path / "pids"))
    until(lambda: jobs.describe(tmp_path, "toy-deaf")["progress"] > 0)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(is_alive, pids))
    assert jobs.cancel(tmp_path, "toy-deaf", grace=0.3)["status"] == "CANCELLED"
    until(lambda: not any(map(is_alive, pids)))


def test_a_job_can_be_cancelled_as_soon_as_it_is_created(tmp_path: Path) -> None:
    create(tmp_path, "count", place=str(tmp_path / "n"), until=10_000)
    assert jobs.cancel(tmp_path, "toy-count")["status"] == "CANCELLED"


def test_a_job_that_is_over_is_not_cancelled_any_more(tmp_path: Path) -> None:
    done = finish(tmp_path, "add", numbers=[1])
    assert jobs.cancel(tmp_path, done["id"]) == done


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ours", "the model is too small; take a larger one"),
        ("other", "ZeroDivisionError: division by zero"),
        ("exit", "SystemExit: 3"),
        ("list", "tests.job_tasks:fail returned a list; a dictionary or None is expected"),
    ],
)
def test_a_job_that_fails_says_why(tmp_path: Path, kind: str, said: str) -> None:
    failed = finish(tmp_path, "fail", kind=kind)
    assert (failed["status"], failed["error"]) == ("FAILED", said)
    assert "Traceback" in jobs.logs(tmp_path, "toy-fail")
    assert said.rpartition(": ")[2] in jobs.logs(tmp_path, "toy-fail", last=1)


def test_a_job_whose_process_leaves_without_a_word_died_with_its_exit_code(tmp_path: Path) -> None:
    finish(tmp_path, "fail", kind="hard")
    until(lambda: "the process ended with exit code 4" in jobs.describe(tmp_path, "toy-fail")["error"])
    assert jobs.describe(tmp_path, "toy-fail")["status"] == "DIED"


def test_the_second_of_two_that_do_the_same_is_refused_by_name(tmp_path: Path) -> None:
    create(tmp_path, "count", place=str(tmp_path / "n"), until=10_000)
    with pytest.raises(ProjectError, match="the job toy-count does the same at this moment"):
        create(tmp_path, "count", place=str(tmp_path / "n"), until=10_000)
    with pytest.raises(ProjectError, match="toy-count does the same"):
        jobs.run(tmp_path, "toy", TASKS + "count", {"place": "n", "until": 1}, key="count")
    with pytest.raises(ProjectError, match="toy-count does the same"):
        jobs.resume(tmp_path, "toy-count")
    jobs.cancel(tmp_path, "toy-count")


def test_of_many_that_create_the_same_job_at_once_one_wins(tmp_path: Path) -> None:
    arguments = {"place": str(tmp_path / "n"), "until": 10_000}
    won: list[int] = []

    def try_it() -> None:
        try:
            won.append(jobs.create(tmp_path, "toy", TASKS + "count", arguments)["attempt"])
        except ProjectError as error:
            assert "does the same at this moment" in str(error)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    readers = [threading.Thread(target=lambda: [jobs.show(tmp_path) for _ in range(50)]) for _ in range(2)]
    for thread in threads + readers:
        thread.start()
    for thread in threads + readers:
        thread.join()
    (job,) = jobs.show(tmp_path)
    assert won == [1] and job["status"] in jobs.ALIVE
    jobs.cancel(tmp_path, job["id"])


def test_what_is_done_is_done_again_only_when_asked(tmp_path: Path) -> None:
    first = finish(tmp_path, "add", numbers=[1])
    assert create(tmp_path, "add", numbers=[1]) == first
    assert jobs.resume(tmp_path, "toy-add") == first
    jobs.create(tmp_path, "toy", TASKS + "add", {"numbers": [2]}, key="add", again=True)
    second = jobs.wait(tmp_path, "toy-add", timeout=20)
    assert (second["attempt"], second["result"]["sum"]) == (2, 2)


def test_a_lock_file_that_lies_around_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "toy-add").mkdir()
    (tmp_path / "toy-add" / "lock").write_text("12345")
    assert jobs.show(tmp_path) == []  # nothing was created there
    assert finish(tmp_path, "add", numbers=[1])["status"] == "SUCCEEDED"


def test_a_job_whose_creator_died_before_it_started_is_dead(tmp_path: Path) -> None:
    finish(tmp_path, "add", numbers=[1])
    record = Record(tmp_path / "toy-add")
    record.write_state(State(attempt=2))
    died = record.describe()
    assert died["status"] == "DIED" and "the process ended without a word" in died["error"]


def test_reading_while_it_is_written_never_sees_half_of_anything(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.write_order(_order())
    record.write_state(State())

    def write() -> None:
        for _ in range(100):
            record.write_state(State(error="x" * 50_000))

    writer = threading.Thread(target=write)
    writer.start()
    n_read = 0
    while writer.is_alive() or n_read < 10:
        assert record.describe()["status"] == "DIED"
        n_read += 1
    writer.join()


def test_jobs_are_shown_newest_first_and_found_by_a_beginning(tmp_path: Path) -> None:
    finish(tmp_path, "add", numbers=[1])
    finish(tmp_path, "fail", kind="ours")
    assert [job["id"] for job in jobs.show(tmp_path)] == ["toy-fail", "toy-add"]
    assert [job["id"] for job in jobs.show(tmp_path, status="SUCCEEDED")] == ["toy-add"]
    assert jobs.show(tmp_path, kind="train") == jobs.show(tmp_path / "none") == []
    assert jobs.describe(tmp_path, "toy-f")["id"] == "toy-fail"
    with pytest.raises(ProjectError, match=r"there is no job 'toy-' in .*; several jobs begin so: toy-add, toy-fail"):
        jobs.describe(tmp_path, "toy-")
    with pytest.raises(ProjectError, match=r"there is no job 'toy-ad_d' in .*; did you mean 'toy-add'"):
        jobs.describe(tmp_path, "toy-ad_d")


def test_a_secret_of_the_environment_is_nowhere_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in {"PLANTED_API_KEY": SECRET, "PLANTED_TOKEN": SECRET + "-fail"}.items():
        monkeypatch.setenv(name, secret)
        done = jobs.create(tmp_path, "toy", TASKS + "tell_secrets", {"name": name}, key=name)
        jobs.wait(tmp_path, done["id"], timeout=20)
    kept = jobs.describe(tmp_path, "toy-PLANTED_API_KEY")
    assert kept["result"] == {"key": "[PLANTED_API_KEY]", "nested": [{"deep": "x[PLANTED_API_KEY]x"}]}
    failed = jobs.describe(tmp_path, "toy-PLANTED_TOKEN")
    assert failed["error"] == "RuntimeError: cannot log in with [PLANTED_TOKEN]"
    log = jobs.logs(tmp_path, "toy-PLANTED_TOKEN")
    for said in ("printed [PLANTED_TOKEN]", "written [PLANTED_TOKEN]", "by a child [PLANTED_TOKEN]"):
        assert said in log
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 8
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []


def test_a_secret_among_the_arguments_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)
    with pytest.raises(SettingsError, match=r"an argument of the toy job holds .* PLANTED_API_KEY") as refused:
        create(tmp_path, "count", place="n", until=[{"key": f"Bearer {SECRET}"}])
    assert SECRET not in str(refused.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"numbers": {1, 2}}, "cannot be written as JSON"),
        ({"numbers": float("nan")}, "cannot be written as JSON"),
        ({"numbers": (1, 2)}, "change when they are written as JSON"),
        ({"numbers": {1: 2}}, "change when they are written as JSON"),
    ],
)
def test_arguments_that_json_cannot_hold_are_refused(tmp_path: Path, arguments: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        create(tmp_path, "add", **arguments)


@pytest.mark.parametrize("target", ["tests.job_tasks:ad", "tests.nowhere:add", "add", "tests.job_tasks:TASK"])
def test_a_target_that_is_not_there_is_refused_at_once(tmp_path: Path, target: str) -> None:
    with pytest.raises(ProjectError, match="is not there, 'module:function' is expected"):
        jobs.create(tmp_path, "toy", target)


def test_a_job_s_name_stays_within_its_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a job cannot be called 'toy-\.\./\.\./x'"):
        jobs.create(tmp_path, "toy", TASKS + "add", key="../../x")


def test_work_in_this_process_has_the_same_record(tmp_path: Path) -> None:
    done = jobs.run(tmp_path, "toy", TASKS + "add", {"numbers": [4]}, key="add")
    assert (done["status"], done["result"]["pid"], done["has_own_process"]) == ("SUCCEEDED", os.getpid(), False)
    assert not is_held(Record(tmp_path / "toy-add").lock)
    with pytest.raises(ZeroDivisionError):
        jobs.run(tmp_path, "toy", TASKS + "fail", {"kind": "other"}, key="fail")
    assert jobs.describe(tmp_path, "toy-fail")["status"] == "FAILED"


def test_ctrl_c_leaves_a_job_of_this_process_cancelled_and_resumable(tmp_path: Path) -> None:
    arguments = {"place": str(tmp_path / "n"), "until": 60}
    with ctrl_c() as press:

        def press_once_it_works() -> None:
            until((tmp_path / "n").exists)
            press()

        threading.Thread(target=press_once_it_works).start()
        with pytest.raises(KeyboardInterrupt):
            jobs.run(tmp_path, "toy", TASKS + "count", arguments, key="count")
    assert jobs.describe(tmp_path, "toy-count")["status"] == "CANCELLED"
    jobs.resume(tmp_path, "toy-count")
    assert jobs.wait(tmp_path, "toy-count", timeout=20)["result"]["began"] > 0


def test_ctrl_c_while_waiting_leaves_the_job_alone(tmp_path: Path) -> None:
    create(tmp_path, "count", place=str(tmp_path / "n"), until=10_000)
    with ctrl_c() as press:
        threading.Timer(0.2, press).start()
        with pytest.raises(KeyboardInterrupt):
            jobs.wait(tmp_path, "toy-count")
    assert jobs.describe(tmp_path, "toy-count")["status"] in jobs.ALIVE
    jobs.cancel(tmp_path, "toy-count")


def test_a_job_within_a_notebook_is_not_killed_from_elsewhere(tmp_path: Path) -> None:
    record, lock = _held(tmp_path, State(status="RUNNING", pid=os.getpid(), has_own_process=False))
    with pytest.raises(ProjectError, match=r"runs within process \d+, .* press Ctrl-C there"):
        jobs.cancel(tmp_path, record.folder.name)
    lock.free()


def test_a_job_on_another_machine_is_not_killed_from_here(tmp_path: Path) -> None:
    record, lock = _held(tmp_path, State(status="RUNNING", pid=os.getpid(), host="node-7"))
    with pytest.raises(ProjectError, match="toy-held runs on node-7; cancel it there"):
        jobs.cancel(tmp_path, record.folder.name)
    lock.free()


def test_a_batch_system_can_run_a_job_in_the_foreground(tmp_path: Path) -> None:
    create(tmp_path, "count", place=str(tmp_path / "n"), until=5, die_at=3)
    until(lambda: jobs.describe(tmp_path, "toy-count")["status"] == "DIED")
    command = [sys.executable, "-m", "weaklm.jobs"]
    done = subprocess.run([*command, str(tmp_path / "toy-count")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert jobs.describe(tmp_path, "toy-count")["result"] == {"began": 3}
    wrong = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (1, f"error: {tmp_path} is not the folder of a job\n")


def test_progress_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    assert finish(tmp_path, "with_a_full_disk")["result"] == {"went_on": True}
    assert "progress cannot be written: [Errno 28] No space left" in jobs.logs(tmp_path, "toy-with_a_full_disk")


def test_progress_is_a_share_and_its_end_is_foretold_from_the_pace_of_this_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr("weaklm.jobs.work.time", SimpleNamespace(monotonic=lambda: next(clock)))
    report = Reporter(Record(tmp_path), State())
    report(0.5)
    assert (report.state.progress, report.state.eta) == (0.5, None)  # halfway from the start: no pace yet
    report(0.75, loss=float("nan"))
    assert report.state.loss is None and report.state.eta is not None
    ahead = time.mktime(time.strptime(report.state.eta[:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 8 <= ahead <= 11
    report(1.7)
    assert Record(tmp_path).state().progress == 1.0


def test_a_log_is_followed_to_its_end(tmp_path: Path) -> None:
    create(tmp_path, "add", numbers=[1])
    assert "".join(jobs.follow(tmp_path, "toy-add")) == "adding [1]\n"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    finish(tmp_path, "add", numbers=[1])
    (tmp_path / "toy-add" / "state.json").write_text('{"status": "RUN')
    with pytest.raises(ProjectError, match=r"state\.json is damaged: .*; remove its folder to forget the job"):
        jobs.describe(tmp_path, "toy-add")


def test_a_system_without_file_locks_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ProjectError, match=r"jobs need the file locks of Linux and macOS, .* on Windows use WSL"):
        create(tmp_path, "add", numbers=[1])


def _held(folder: Path, state: State) -> tuple[Record, Lock]:
    record = Record(folder / "toy-held")
    record.folder.mkdir()
    record.write_order(_order())
    record.write_state(state)
    lock = Lock.take(record.lock)
    assert lock is not None
    return record, lock


def _order() -> Order:
    return Order("toy-held", "toy", TASKS + "add", {"numbers": [1]}, "2026-01-01T00:00:00+00:00")


def test_the_page_on_jobs_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "jobs.md").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.path", list(sys.path))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
        exec(compile(code, "jobs.md", "exec"), {"__name__": "jobs"})
    said = output.getvalue()
    assert "count-first SUCCEEDED {'counted': 20, 'began': 0}" in said
    assert "the job count-second does the same at this moment" in said
    assert "[('count-second', 'CANCELLED'), ('count-first', 'SUCCEEDED')]" in said
    assert '{"prompt": "What is the fee?\\n\\nFees: 5 EUR.", "completion": "It is 5 EUR."}' in said
    assert [status for status in jobs.STATUSES if f"| {status} |" not in page] == []
