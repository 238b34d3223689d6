"""Parts: the votes of one run over all data, whatever was killed, changed or done before."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm import parts as module
from weaklm.apply import LFApplier, SFApplier
from weaklm.cluster import apply_frame
from weaklm.data import complete
from weaklm.errors import DataError, FunctionError, FunctionWarning
from weaklm.functions import LabelingFunction, SlicingFunction, labeling_function
from weaklm.parts import apply_parts, iterate_votes, read_votes


def voter(name: str, modulus: int = 3) -> LabelingFunction:
    def by_length(x: Any) -> int:
        return len(x.response) % modulus - 1 if modulus < 4 else -1

    return LabelingFunction(name, by_length, compile=False)


def from_year(x: Any) -> int:
    return 1 if str(x.year) == "1999.0" else 0 if str(x.year) == "1999" else -1


def by_instruction(x: Any) -> int:
    return int(x.instruction_id, 16) % 3 - 1


def brittle(x: Any) -> int:
    return {"bad": 1 // (len(x.response) - 3)}.get(x.response, 0)


VOTERS = [
    voter("by_length"),
    LabelingFunction("from_year", from_year, compile=False),
    LabelingFunction("by_instruction", by_instruction, compile=False),
]


def frame(n_rows: int, start: int = 0) -> pd.DataFrame:
    rows = range(start, start + n_rows)
    columns = {"id": [f"r{i}" for i in rows], "instruction": "Why?", "response": ["ab" * (i % 7) for i in rows]}
    return pd.DataFrame(columns | {"year": [1999] * n_rows})


def write(folder: Path, *frames: pd.DataFrame) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"part-{number:03}.parquet" for number in range(len(frames))]
    for file, part in zip(files, frames, strict=True):
        part.to_parquet(file)
    return files


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=5), st.none() | st.just(1999))), min_size=1),
    st.sampled_from([2, 5, 1000]),
)
def test_parts_give_the_votes_on_the_whole(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[tuple[str, str, int | None]]], n_batch: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    frames = [pd.DataFrame(rows, columns=["instruction", "response", "year"]) for rows in parts]
    frames = [part.astype({"instruction": str, "response": str, "year": "Int64"}) for part in frames]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_ROWS", n_batch)
        patch.setattr(module, "_SCAN_ROWS", 1)
        applied = apply_parts(LFApplier(VOTERS), write(folder / "in", *frames), folder / "out")
    whole = pd.concat([pd.read_parquet(file) for file in sorted((folder / "in").iterdir())], ignore_index=True)
    whole["year"] = whole["year"].astype(float) if whole["year"].isna().any() else whole["year"].astype(int)
    assert read_votes(applied.parts, VOTERS).tolist() == LFApplier(VOTERS).apply(whole).tolist()
    ids = [id for part_ids, _ in iterate_votes(folder / "out", VOTERS) for id in part_ids]
    assert ids == complete(whole)["id"].tolist()
    assert applied.n_rows == len(whole)


def test_votes_are_bytes_and_membership_is_boolean(tmp_path: Path) -> None:
    write(tmp_path / "in", frame(3))
    apply_parts(LFApplier([voter("long")]), tmp_path / "in", tmp_path / "votes")
    apply_parts(SFApplier([SlicingFunction("long", lambda x: x.response != "")]), tmp_path / "in", tmp_path / "slices")
    votes, slices = (pd.read_parquet(tmp_path / kind / "part-000.parquet") for kind in ("votes", "slices"))
    assert votes.to_dict("list") == {"id": ["r0", "r1", "r2"], "long": [-1, 1, 0]}
    assert votes["long"].dtype == np.int8
    assert slices["long"].tolist() == [False, True, True]
    assert slices["long"].dtype == bool


def test_a_rerun_computes_nothing(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(5), frame(4, 5))
    assert apply_parts(LFApplier(VOTERS), files, tmp_path / "out").computed == dict.fromkeys(names(VOTERS), 9)
    before = [path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()]
    assert apply_parts(LFApplier(VOTERS), files, tmp_path / "out").computed == dict.fromkeys(names(VOTERS), 0)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()] == before


def test_an_edited_function_and_a_changed_part_cost_their_votes_alone(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(5), frame(4, 5))
    apply_parts(LFApplier([voter("a"), voter("b")]), files, tmp_path / "out")
    edited = [voter("a"), voter("b", modulus=2)]
    with pytest.raises(DataError, match=r"part-000.parquet has the votes of another version of b; run apply_parts"):
        read_votes(tmp_path / "out", edited)
    assert apply_parts(LFApplier(edited), files, tmp_path / "out").computed == {"a": 0, "b": 9}
    assert read_votes(tmp_path / "out", edited).tolist() == whole_votes(edited, files)
    frame(3, 50).to_parquet(files[1])
    assert apply_parts(LFApplier(edited), files, tmp_path / "out").computed == {"a": 3, "b": 3}
    assert read_votes(tmp_path / "out", edited).tolist() == whole_votes(edited, files)


def test_votes_of_functions_that_are_not_asked_stay(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(5))
    apply_parts(LFApplier([voter("a"), voter("b")]), files, tmp_path / "out")
    apply_parts(LFApplier([voter("c", 2)]), files, tmp_path / "out")
    three = [voter("a"), voter("b"), voter("c", 2)]
    assert apply_parts(LFApplier(three), files, tmp_path / "out").computed == {"a": 0, "b": 0, "c": 0}
    assert read_votes(tmp_path / "out", three).tolist() == whole_votes(three, files)


def test_only_columns_that_functions_read_are_read(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(4).assign(human_label="no such label"))
    functions = [LabelingFunction("short", short)]
    assert apply_parts(LFApplier(functions), files, tmp_path / "out").n_rows == 4
    with pytest.raises(DataError, match=r"part-000.parquet from row 0 on, row 0, column 'human_label'"):
        complete(pd.read_parquet(files[0]), f"{files[0]} from row 0 on")


def short(x: Any) -> int:
    return 0 if len(x.response) < 3 else -1


def test_ids_may_have_another_name(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(2).rename(columns={"id": "key"}))
    apply_parts(LFApplier(VOTERS), files, tmp_path / "out", id_column="key")
    assert pd.read_parquet(tmp_path / "out" / "part-000.parquet")["id"].tolist() == ["r0", "r1"]


def test_failures_add_up_over_parts_and_are_judged_over_all(tmp_path: Path) -> None:
    bad = frame(29).assign(response="bad")
    files = write(tmp_path / "in", frame(30), bad, frame(41, 59))
    functions = [LabelingFunction("brittle", brittle, compile=False)]
    with pytest.warns(FunctionWarning, match=r"brittle failed on 29 of 100 examples, first on 'r0' of part-001"):
        applied = apply_parts(LFApplier(functions, max_error_rate=0.29), files, tmp_path / "out")
    assert applied.n_failed == {"brittle": 29}
    assert applied.failures["id"].tolist() == ["r0", "r1", "r2"]
    with pytest.raises(FunctionError, match=r"brittle failed on 29 of 100 examples, above max_error_rate=0.28"):
        apply_parts(LFApplier(functions, max_error_rate=0.28), files, tmp_path / "out")
    with pytest.raises(FunctionError, match=r"brittle failed on 29 examples of part-001.parquet, above max_error_rate"):
        apply_parts(LFApplier(functions, max_error_rate=0.28), files, tmp_path / "new")


def test_worker_processes_serve_all_parts(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(3), frame(30, 3).assign(response="exit"), frame(3, 33))

    def deadly(x: Any) -> int:
        return os._exit(7) if (x.response, x.id) == ("exit", "r9") else 1

    functions = [LabelingFunction("deadly", deadly), voter("by_length")]
    with pytest.warns(
        FunctionWarning, match=r"deadly failed on 1 of 36 .* 'r9' of part-001.parquet: its worker exited"
    ):
        applied = apply_parts(LFApplier(functions, n_jobs=2, max_error_rate=0.1), files, tmp_path / "out")
    L = read_votes(applied.parts, functions)
    assert np.flatnonzero(L[:, 0] != 1).tolist() == [9]
    assert L[:, 1:].tolist() == whole_votes(functions[1:], files)


def test_what_is_wrong_with_files_is_said(tmp_path: Path) -> None:
    files = write(tmp_path / "in", frame(2), frame(2, 2))
    other = write(tmp_path / "other", frame(2))
    applier, out = LFApplier([voter("a")]), tmp_path / "out"
    with pytest.raises(DataError, match=r"two parts are named 'part-000.parquet'"):
        apply_parts(applier, [*files, *other], out)
    with pytest.raises(DataError, match=r"in holds the examples; the votes need a folder of their own"):
        apply_parts(applier, files, tmp_path / "in")
    with pytest.raises(DataError, match=r"there is no file .*part-00.parquet; did you mean 'part-00"):
        apply_parts(applier, tmp_path / "in" / "part-00.parquet", out)
    with pytest.raises(DataError, match=r"holds no .parquet file"):
        apply_parts(applier, tmp_path, out)
    with pytest.raises(DataError, match=r"part-000.parquet holds no votes"):
        read_votes(files, [voter("a")])
    with pytest.raises(DataError, match=r"other.part-000.parquet is in the way: it holds no votes"):
        apply_parts(applier, files, tmp_path / "other")
    apply_parts(applier, tmp_path / "in", out)
    with pytest.raises(DataError, match=r"has no votes of b; there are: 'a'"):
        read_votes(out, [voter("b")])
    files[1].unlink()
    with pytest.raises(DataError, match=r"out holds votes on parts that .*in no longer has: part-001.parquet"):
        apply_parts(applier, tmp_path / "in", out)


SCRIPT = """
    import sys, time
    from weaklm import LFApplier, labeling_function
    from weaklm.parts import apply_parts

    @labeling_function(compile=False)
    def by_length(x):
        time.sleep(float(sys.argv[1]))
        return len(x.response) % 3 - 1

    applied = apply_parts(LFApplier([by_length]), "in", "out")
    print(applied.computed)
"""


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    files = write(tmp_path / "in", *(frame(20, 20 * i) for i in range(6)))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "script.py"]
    process = subprocess.Popen([*command, "0.01"], cwd=tmp_path, env=environment)
    out = tmp_path / "out"
    wait_until(lambda: len(list(out.glob("*.parquet"))) >= 2 and len(list(out.glob(".*.tmp"))) == 1)
    process.kill()
    process.wait()
    n_done = len(list(out.glob("*.parquet")))
    assert 2 <= n_done < 6
    assert len(list(out.glob(".*.tmp"))) == 1  # what the kill left
    again = subprocess.run([*command, "0"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout == f"{{'by_length': {20 * (6 - n_done)}}}\n"
    assert sorted(path.name for path in out.iterdir()) == [file.name for file in files]
    table = pq.read_table(out)
    assert [[vote] for vote in table["by_length"].to_pylist()] == whole_votes([voter("by_length")], files)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    # The death of a worker costs seconds; and a LocalCluster would give up a worker that is dead at a bad moment.
    fewer = {"distributed.scheduler.allowed-failures": 1, "distributed.deploy.lost-worker-timeout": "120s"}
    with (
        dask.config.set(fewer),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.slow
def test_a_cluster_gives_the_same_votes_though_a_worker_is_killed(tmp_path: Path, client: Any) -> None:
    files = write(tmp_path / "in", *(frame(20, 20 * i) for i in range(10)))
    marker = tmp_path / "marker"

    def killed_once(x: Any) -> int:
        if x.id == "r77" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(x.response) % 3 - 1

    functions = [LabelingFunction("killed_once", killed_once), voter("by_length")]
    applied = apply_parts(LFApplier(functions), files, tmp_path / "out", client=client)
    assert marker.exists()
    expected = [[vote] * 2 for (vote,) in whole_votes([voter("by_length")], files)]
    assert read_votes(applied.parts, functions).tolist() == expected
    assert applied.computed == {"killed_once": 200, "by_length": 200}


@pytest.mark.slow
def test_a_part_that_always_kills_its_worker_fails_alone_by_name(tmp_path: Path, client: Any) -> None:
    files = write(tmp_path / "in", *(frame(5, 5 * i) for i in range(6)))

    def deadly(x: Any) -> int:
        return os._exit(7) if x.id == "r11" else 1

    functions = [LabelingFunction("deadly", deadly)]
    with pytest.raises(FunctionError, match=r"every Dask worker that took part-002.parquet died; the rest is done"):
        apply_parts(LFApplier(functions), files, tmp_path / "out", client=client)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f.name for i, f in enumerate(files) if i != 2]
    with pytest.warns(FunctionWarning, match=r"deadly failed on 1 of 30 .* its worker exited"):
        guarded = LFApplier(functions, n_jobs=1, max_error_rate=0.1)
        assert apply_parts(guarded, files, tmp_path / "out", client=client).computed == {"deadly": 5}


@pytest.mark.slow
def test_a_frame_gets_the_votes_of_this_process_from_a_cluster(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weaklm.cluster._PIECE_ROWS", 7)

    @labeling_function
    def sure(x: Any) -> Any:
        return (1, 0.5) if x.response else -1

    data = frame(40).drop(columns="id").set_axis([3] * 40, axis=0)
    functions = [*VOTERS, sure, LabelingFunction("brittle", brittle, compile=False)]
    with pytest.warns(FunctionWarning):
        L, meta = LFApplier(functions, max_error_rate=1).apply(data.assign(response="bad"), return_meta=True)
    M, theirs = apply_frame(LFApplier(functions, max_error_rate=1), data.assign(response="bad"), client)
    assert M.tolist() == L.tolist()
    assert theirs.ran == meta.ran
    pd.testing.assert_frame_equal(
        theirs.failures[["function", "id", "reason"]], meta.failures[["function", "id", "reason"]]
    )
    np.testing.assert_array_equal(theirs.confidence, meta.confidence)
    with pytest.raises(FunctionError, match=r"brittle failed on .* of 40 examples, above max_error_rate=0"):
        apply_frame(LFApplier(functions, max_error_rate=0), data.assign(response="bad"), client)


def names(functions: list[Any]) -> list[str]:
    return [function.name for function in functions]


def whole_votes(functions: list[Any], files: list[Path]) -> Any:
    return LFApplier(functions).apply(pd.concat([pd.read_parquet(file) for file in files])).tolist()


def wait_until(holds: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)
