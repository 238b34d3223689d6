"""Worker processes: the votes of a plain loop, and poison rows that cost nobody else a vote."""

import contextlib
import ctypes
import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weaklm.errors import FunctionError, SettingsError
from weaklm.functions import LabelingFunction, SlicingFunction, preprocessor
from weaklm.voting import Votes
from weaklm.workers import pool as module
from weaklm.workers.pool import Workers

GIB = 2**30


def vote(text: str) -> int:
    return len(text) % 3 - 1


# What a row tells a function to do. Local names travel to the workers by value, so that these need not import pytest.
def poisons() -> dict[str, Callable[[], Any]]:
    return {
        "raise": lambda: 1 // 0,
        "quit": lambda: sys.exit(5),
        "hang": lambda: time.sleep(60),
        "backtrack": lambda: re.match(r"(a|aa)+$", "a" * 60 + "b"),
        "exit": lambda: os._exit(3),
        "crash": lambda: ctypes.string_at(0),
        "allocate": lambda: bytearray(8 * GIB),
    }


REASONS = {
    "raise": "ZeroDivisionError: integer division or modulo by zero",
    "quit": "SystemExit: 5",
    "hang": "took longer than 0.6 seconds",
    "backtrack": "took longer than 0.6 seconds",
    "exit": "its worker exited (status 3)",
    "crash": "its worker died (signal 11)",
    "allocate": "MemoryError: ",
}


def made() -> list[Any]:
    acts = poisons()

    def sound(x: Any) -> int:
        return len(x.response) % 3 - 1

    def obedient(x: Any) -> int:
        if x.response in acts:
            acts[x.response]()
        return len(x.response) % 3 - 1

    def sure(x: Any) -> tuple[int, float]:
        return len(x.response) % 3 - 1, 0.5

    def slow(x: Any) -> int:
        time.sleep(0.05)
        return len(x.response) % 3 - 1

    def loud(x: Any) -> int:
        print("said", x.response)
        return -1

    def pid(x: Any) -> int:
        if x.response.startswith("/"):
            Path(x.response).write_text(str(os.getpid()), encoding="ascii")
            time.sleep(0.3)
        return len(x.response) % 3 - 1

    def wrong(x: Any) -> int:
        return 7

    @preprocessor
    def obeyed(x: Any) -> Any:
        if x.response in acts:
            acts[x.response]()
        return x

    functions = [LabelingFunction(f.__name__, f) for f in (sound, obedient, sure, slow, loud, pid, wrong)]
    return [*functions, LabelingFunction("prepared", sound, pre=[obeyed])]


SOUND, OBEDIENT, SURE, SLOW, LOUD, PID, WRONG, PREPARED = range(8)


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(made(), n_jobs=2, row_seconds=0.6, memory=GIB) as workers:
        yield workers


def holding(name: str, resource: Any) -> LabelingFunction:
    def f(x: Any, resource: Any) -> int:
        return len(x.response) % 3 - 1

    return LabelingFunction(name, f, {"resource": resource})


def chunk(*responses: str) -> dict[str, list[str]]:
    return {"id": [f"row-{i}" for i in range(len(responses))], "response": list(responses)}


def only(votes: Iterator[Votes]) -> Votes:
    (one,) = votes
    return one


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text("ab\n", max_size=4), max_size=40), max_size=9))
def test_chunks_get_the_votes_of_a_plain_loop_in_their_order(pool: Workers, responses: list[list[str]]) -> None:
    voted = pool.vote([chunk(*texts) for texts in responses], [SOUND, OBEDIENT])
    assert [v.values.tolist() for v in voted] == [[[vote(text)] * 2 for text in texts] for texts in responses]


def test_confidences_come_back_beside_functions_that_give_none(pool: Workers) -> None:
    votes = only(pool.vote([chunk(*["ab"] * 40)], [SOUND, SURE]))
    assert votes.confidence is not None
    np.testing.assert_array_equal(votes.confidence, [[np.nan, 0.5]] * 40)
    assert votes.seconds.shape == (2,)
    assert (votes.seconds > 0).all()


@pytest.mark.parametrize("poison", REASONS)
def test_a_poison_row_is_named_and_costs_nobody_else_a_vote(pool: Workers, poison: str) -> None:
    texts = ["ok"] * 100
    texts[37] = poison
    others, votes = pool.vote([chunk("a", "ab"), chunk(*texts)], [SOUND, OBEDIENT, SURE])
    expected = np.array([[vote(text)] * 3 for text in texts])
    expected[37, 1] = -1
    assert [(f.row, f.function, f.reason) for f in votes.failures] == [(37, "obedient", REASONS[poison])]
    assert votes.values.tolist() == expected.tolist()
    assert others.values.tolist() == [[0] * 3, [1] * 3]


def test_several_poison_rows_of_a_chunk_are_all_found(pool: Workers) -> None:
    texts = ["exit", "ok", "raise", *["ok"] * 60, "crash", "exit"]
    votes = only(pool.vote([chunk(*texts)], [OBEDIENT]))
    found = [(f.row, f.reason) for f in votes.failures]
    assert found == [(row, REASONS[text]) for row, text in enumerate(texts) if text in REASONS]


@pytest.mark.parametrize("poison", ["raise", "hang", "exit"])
def test_a_row_that_poisons_a_preprocessor_is_blamed_on_the_function_that_names_it(pool: Workers, poison: str) -> None:
    votes = only(pool.vote([chunk("ok", poison, "ok")], [SOUND, PREPARED]))
    assert [(f.row, f.function, f.reason) for f in votes.failures] == [(1, "prepared", REASONS[poison])]
    assert votes.values[[0, 2]].tolist() == [[vote("ok")] * 2] * 2


def test_a_block_of_slow_rows_that_keep_to_the_limit_is_not_blamed(pool: Workers) -> None:
    votes = only(pool.vote([chunk(*["ok"] * 20)], [SLOW]))  # together longer than the limit of one
    assert votes.failures == []
    assert votes.values.tolist() == [[vote("ok")]] * 20


def test_a_worker_killed_from_outside_loses_nothing(pool: Workers, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    votes = pool.vote([chunk(*["ok"] * 50, str(place), *["ok"] * 50)], [PID])
    killer = threading.Thread(target=lambda: os.kill(int(read_when_there(place)), signal.SIGKILL))
    killer.start()
    voted = only(votes)
    killer.join()
    assert voted.failures == []
    assert voted.values.tolist() == [[vote("ok")]] * 50 + [[vote(str(place))]] + [[vote("ok")]] * 50


def test_what_functions_print_is_printed(pool: Workers, capfd: pytest.CaptureFixture[str]) -> None:
    only(pool.vote([chunk("this", "that")], [LOUD]))
    assert capfd.readouterr().out.count("said") in (0, 2)  # 0: the pool was started under another test's capture


def test_a_vote_that_is_none_ends_the_run_with_its_function_and_example(pool: Workers) -> None:
    with pytest.raises(FunctionError, match="wrong returned 7 on example 'row-0'"):
        only(pool.vote([chunk("a")], [WRONG]))


def test_a_function_that_fails_more_often_than_it_may_ends_the_run(pool: Workers) -> None:
    chunks = [chunk("exit"), chunk("raise", "ok"), chunk("raise", "exit")]
    assert len(list(pool.vote(chunks, [SOUND, OBEDIENT], max_failures=4))) == 3
    with pytest.raises(FunctionError, match=r"obedient failed on 4 examples, more than the 3 that it may"):
        list(pool.vote(chunks, [SOUND, OBEDIENT], max_failures=3))


def test_a_caller_may_stop_early_and_come_back(pool: Workers) -> None:
    votes = pool.vote([chunk("ok"), chunk("hang"), chunk("hang")], [OBEDIENT])
    assert next(votes).values.tolist() == [[vote("ok")]]
    votes.close()  # type: ignore[attr-defined]
    assert only(pool.vote([chunk("ok")], [OBEDIENT])).values.tolist() == [[vote("ok")]]


def test_slicing_functions_give_membership() -> None:
    functions = [SlicingFunction("long", lambda x: len(x.response) > 3)]
    with Workers(functions, n_jobs=1, slices=True) as workers:
        assert only(workers.vote([chunk("short", "not")])).values.tolist() == [[1], [0]]


def test_without_abstaining_a_death_ends_the_run() -> None:
    with (
        Workers(made(), n_jobs=1, on_error="raise") as workers,
        pytest.raises(FunctionError, match=re.escape("obedient failed on example 'row-1': its worker exited (stat")),
    ):
        only(workers.vote([chunk("ok", "exit")], [OBEDIENT]))


@pytest.mark.parametrize("threads", [False, True], ids=["elsewhere", "threads"])
def test_the_same_holds_where_processes_cannot_be_forked(threads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if threads:
        functions = [holding("threaded", _Thread())]
    else:
        monkeypatch.setattr(module, "FORKS", False)
        functions = made()
    with Workers(functions, n_jobs=1, row_seconds=5) as workers:
        votes = only(workers.vote([chunk("ab", "a" if threads else "exit", "abc")], [0 if threads else OBEDIENT]))
    assert votes.values.tolist() == [[1], [0 if threads else -1], [-1]]
    assert [f.reason for f in votes.failures] == ([] if threads else [REASONS["exit"]])


class _Thread:
    """A resource that starts a thread in each process that loads it."""

    def __reduce__(self) -> Any:
        return _started, ()


def _started() -> _Thread:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return _Thread()


def test_functions_that_do_not_load_are_an_error_with_the_workers_traceback() -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return exec, ("raise KeyError('no such word list')",)

    with (
        Workers([holding("reader", Bad())], n_jobs=2) as workers,
        pytest.raises(FunctionError, match="do not load in a worker process: KeyError: 'no such") as caught,
    ):
        list(workers.vote([chunk("a")] * 9))
    assert "Traceback (most recent call last)" in caught.value.__notes__[0]


def test_workers_do_not_run_other_code_than_their_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "rules_of_mine.py"
    rules.write_text("from weaklm import labeling_function\n\n@labeling_function\ndef rule(x):\n    return 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    functions = [importlib.import_module("rules_of_mine").rule]
    rules.write_text(rules.read_text().replace("return 0", "return -1"))
    with (
        Workers(functions, n_jobs=1) as workers,
        pytest.raises(FunctionError, match="the file of rule was edited after it was imported; import it anew"),
    ):
        only(workers.vote([chunk("a")]))


def test_a_function_that_cannot_travel_is_named() -> None:
    with pytest.raises(FunctionError, match="held cannot be sent to worker processes: TypeError"):
        Workers([holding("fine", 1), holding("held", threading.Lock())], n_jobs=1)


@pytest.mark.parametrize("wrong", [{"n_jobs": 0}, {"n_jobs": 1, "row_seconds": 0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{list(wrong)[-1]} is 0"):
        Workers(made(), **wrong)


SCRIPT = """
    import os, sys, time
    from weaklm import REJECT, labeling_function
    from weaklm.workers.pool import Workers

    @labeling_function
    def sleepy(x):
        os.write(1, f"pid {os.getpid()} {os.getppid()}\\n".encode())
        time.sleep(float(x.response))
        return REJECT

    workers = Workers([sleepy], n_jobs=2)
    try:
        for votes in workers.vote([{"response": [seconds]} for seconds in sys.argv[1:]]):
            os.write(1, f"votes {votes.values.tolist()}\\n".encode())
    except KeyboardInterrupt:
        print("interrupted")
"""


def start_script(folder: Path, *seconds: str) -> "subprocess.Popen[str]":
    script = folder / "script.py"  # without a guard of __main__
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    command = [sys.executable, str(script), *seconds]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_script_without_a_guard_votes_and_takes_its_workers_with_it(tmp_path: Path, number: signal.Signals) -> None:
    process = start_script(tmp_path, "0", "600", "600")
    assert process.stdout is not None
    said = [process.stdout.readline().split() for _ in range(4)]
    pids = {int(pid) for line in said if line[0] == "pid" for pid in line[1:]}
    assert len(pids) == 3  # two voters and their nursery
    assert ["votes", "[[0]]"] in said
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("interrupted\n" if number == signal.SIGINT else "", "")
    wait_until(lambda: not any(map(is_alive, pids)))


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return False


def read_when_there(place: Path) -> str:
    wait_until(lambda: place.exists() and place.read_text(encoding="ascii") != "")
    return place.read_text(encoding="ascii")


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
