"""The memory of votes is never stale, and asks only what it does not know."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.apply import LFApplier, SFApplier
from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import FunctionError, FunctionWarning
from weaklm.functions import LabelingFunction, SlicingFunction, labeling_function, preprocessor, slicing_function

asked: list[str] = []
note = asked.append  # a bound method: what the list holds is no part of the functions that call it


@pytest.fixture(autouse=True)
def _nothing_asked() -> Iterator[None]:
    asked.clear()
    yield
    asked.clear()


def frame(*responses: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"instruction": "Why?", "response": list(responses)} | columns)


def votes(function: Any, data: pd.DataFrame, cache: Path) -> list[int]:
    return [int(vote) for vote in LFApplier([function], cache=cache).apply(data)[:, 0]]


def function(name: str, source: str, **names: Any) -> LabelingFunction:
    """Return a labeling function whose body is the source, and which notes what it is asked."""
    space: dict[str, Any] = {"note": note} | names
    exec(f"def {name}(x, **resources):\n    note(x.response)\n{source}", space)
    return LabelingFunction(name, space[name], names.get("resources"), names.get("pre"), compile=False)


SORRY = "    return 0 if 'sorry' in x.response else -1"


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    data = frame("sorry", "no")
    assert votes(function("f", SORRY), data, tmp_path) == [0, -1]
    assert asked == ["sorry", "no"]
    assert votes(function("f", SORRY), data, tmp_path) == [0, -1]
    assert asked == ["sorry", "no"]


def test_an_edited_body_is_asked_again(tmp_path: Path) -> None:
    data = frame("sorry", "no")
    votes(function("f", SORRY), data, tmp_path)
    assert votes(function("f", "    return 0 if 'no' in x.response else -1"), data, tmp_path) == [-1, 0]


def test_an_edited_body_of_one_function_asks_that_one_alone(tmp_path: Path) -> None:
    data = frame("sorry", "no")
    others = [function(f"f{i}", SORRY) for i in range(3)]
    LFApplier(others, cache=tmp_path).apply(data)
    asked.clear()
    edited = [*others[:2], function("f2", SORRY.replace("0 if", "1 if"))]
    L, meta = LFApplier(edited, cache=tmp_path).apply(data, return_meta=True)
    assert L.tolist() == [[0, 0, 1], [-1, -1, -1]]
    assert asked == ["sorry", "no"]
    assert {name: how.split(":")[0] for name, how in meta.ran.items()} == {
        "f0": "remembered",
        "f1": "remembered",
        "f2": "rows",
    }


def test_another_closure_value_is_asked_again(tmp_path: Path) -> None:
    def containing(word: str) -> LabelingFunction:
        return LabelingFunction("f", lambda x: REJECT if word in x.response else ABSTAIN)

    data = frame("sorry", "no")
    assert votes(containing("sorry"), data, tmp_path) == [0, -1]
    assert votes(containing("no"), data, tmp_path) == [-1, 0]


def test_another_resource_is_asked_again(tmp_path: Path) -> None:
    def longer(x: Any, than: int) -> int:
        return REJECT if len(x.response) > than else ABSTAIN

    data = frame("sorry", "no")
    assert votes(LabelingFunction("f", longer, {"than": 3}), data, tmp_path) == [0, -1]
    assert votes(LabelingFunction("f", longer, {"than": 1}), data, tmp_path) == [0, 0]


def test_another_helper_function_is_asked_again(tmp_path: Path) -> None:
    source = "    return 0 if helper(x.response) else -1"
    data = frame("sorry", "no")
    space: dict[str, Any] = {}
    exec("def first(text):\n    return 'sorry' in text\ndef second(text):\n    return 'no' in text", space)
    assert votes(function("f", source, helper=space["first"]), data, tmp_path) == [0, -1]
    assert votes(function("f", source, helper=space["second"]), data, tmp_path) == [-1, 0]


def test_another_preprocessor_is_asked_again(tmp_path: Path) -> None:
    @preprocessor
    def upper(x: Any) -> Any:
        x.text = x.response.upper()
        return x

    @preprocessor
    def same(x: Any) -> Any:
        x.text = x.response
        return x

    source = "    return 0 if 'SORRY' in x.text else -1"
    data = frame("sorry", "no")
    assert votes(function("f", source, pre=[upper]), data, tmp_path) == [0, -1]
    assert votes(function("f", source, pre=[same]), data, tmp_path) == [-1, -1]


def test_a_changed_column_that_is_read_is_asked_again(tmp_path: Path) -> None:
    from_phone = function("f", "    return 0 if x.device == 'phone' else -1")
    assert votes(from_phone, frame("a", "b", device=["phone", "desk"]), tmp_path) == [0, -1]
    assert votes(from_phone, frame("a", "b", device=["phone", "phone"]), tmp_path) == [0, 0]
    assert asked == ["a", "b", "b"]


def test_a_changed_column_that_is_not_read_is_not(tmp_path: Path) -> None:
    @labeling_function(compile=False)
    def says_sorry(x: Any) -> int:
        note(x.response)
        return REJECT if "sorry" in x.response else ABSTAIN

    votes(says_sorry, frame("sorry", context=["old"]), tmp_path)
    assert votes(says_sorry, frame("sorry", context=["new"], id=["1"]), tmp_path) == [0]
    assert asked == ["sorry"]


def test_a_function_that_looks_at_everything_is_asked_again_when_anything_changes(tmp_path: Path) -> None:
    counts = function("f", "    return 0 if 'old' in vars(x).values() else -1")
    assert votes(counts, frame("a", mood=["old"]), tmp_path) == [0]
    assert votes(counts, frame("a", mood=["new"]), tmp_path) == [-1]


@pytest.mark.parametrize("value", [(1, 1.0), (1, True), (1, "1"), ("a", ["a"])])
def test_values_that_look_alike_are_not_the_same(value: tuple[Any, Any], tmp_path: Path) -> None:
    kinds = function("f", "    return [int, float, bool, str, list].index(type(x.n)) % 2")
    first, second = (votes(kinds, frame("a", n=pd.Series([one])), tmp_path) for one in value)
    assert len(asked) == 2
    assert (first, second) == tuple([[int, float, bool, str, list].index(type(one)) % 2] for one in value)


def test_order_index_and_repeats_do_not_matter(tmp_path: Path) -> None:
    data = frame("sorry", "no", "sorry", "sorry me")
    votes(function("f", SORRY), data, tmp_path)
    shuffled = data.iloc[[3, 1, 1, 0]].set_axis(["x", "x", "y", "z"])
    assert votes(function("f", SORRY), shuffled, tmp_path) == [0, -1, -1, 0]
    assert len(asked) == 4


def test_new_rows_are_asked_alone(tmp_path: Path) -> None:
    votes(function("f", SORRY), frame("sorry", "no"), tmp_path)
    asked.clear()
    assert votes(function("f", SORRY), frame("new", "no", "sorry you"), tmp_path) == [-1, -1, 0]
    assert asked == ["new", "sorry you"]


def test_the_number_of_a_notebook_cell_does_not_matter(tmp_path: Path) -> None:
    """The name of the file or notebook cell that holds the source is no part of it."""
    data = frame("sorry")
    for cell in ("<ipython-input-1>", "<ipython-input-2>"):
        space: dict[str, Any] = {"note": note}
        exec(compile("def f(x):\n    note(1)\n    return 0", cell, "exec"), space)
        assert votes(LabelingFunction("f", space["f"], compile=False), data, tmp_path) == [0]
    assert len(asked) == 1


def test_a_function_that_is_marked_is_always_asked(tmp_path: Path) -> None:
    ticks = iter([0, 1, -1])
    clock = LabelingFunction("clock", lambda _: next(ticks), cache=False, compile=False)
    assert [votes(clock, frame("a"), tmp_path) for _ in range(3)] == [[0], [1], [-1]]


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    broken = [True]

    def flaky(x: Any) -> int:
        if broken[0] and x.response == "b":
            raise OSError("no connection")
        return ACCEPT

    data = frame(*"abc")
    lf = LabelingFunction("flaky", flaky, compile=False)
    with pytest.warns(FunctionWarning, match="flaky failed on example"):
        first = LFApplier([lf], cache=tmp_path, max_error_rate=0.5).apply(data)
    assert first.ravel().tolist() == [1, -1, 1]
    broken[0] = False
    assert LFApplier([lf], cache=tmp_path).apply(data).ravel().tolist() == [1, 1, 1]


def test_confidences_are_remembered(tmp_path: Path) -> None:
    unsure = function("f", "    return (1, 0.25) if x.response == 'a' else -1")
    for _ in range(2):
        L, meta = LFApplier([unsure], cache=tmp_path).apply(frame("a", "b"), return_meta=True)
        assert L.ravel().tolist() == [1, -1]
        assert meta.confidence is not None
        np.testing.assert_array_equal(meta.confidence, np.array([[0.25], [np.nan]], dtype=np.float32))
    assert asked == ["a", "b"]


def test_slices_are_remembered(tmp_path: Path) -> None:
    @slicing_function(compile=False)
    def short(x: Any) -> bool:
        note(x.response)
        return len(x.response) < 3

    for _ in range(2):
        assert SFApplier([short], cache=tmp_path).apply(frame("a", "abc")).tolist() == [[True], [False]]
    assert len(asked) == 2


def test_many_small_runs_are_merged_into_few_files(tmp_path: Path) -> None:
    lf = function("f", SORRY)
    for number in range(20):
        votes(lf, frame(f"sorry {number}"), tmp_path)
    assert len(list(tmp_path.rglob("*.parquet"))) <= 8
    asked.clear()
    assert votes(lf, frame(*(f"sorry {number}" for number in range(20))), tmp_path) == [0] * 20
    assert asked == []


def test_half_a_character_can_be_remembered(tmp_path: Path) -> None:
    data = frame("a", "no").assign(response=pd.Series(["sorry \ud800", "no"], dtype=object))
    for _ in range(2):
        assert votes(function("f", SORRY), data, tmp_path) == [0, -1]
    assert len(asked) == 2


def test_a_compiled_function_remembers_the_same_votes(tmp_path: Path) -> None:
    @labeling_function
    def says_sorry(x: Any) -> int:
        return REJECT if "sorry" in x.response.lower() else ABSTAIN

    data = frame("SORRY", "no", "İ sorry")
    assert [votes(says_sorry, data, tmp_path) for _ in range(2)] == [[0, -1, 0]] * 2


def test_a_slice_and_a_vote_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    def short(x: Any) -> Any:
        return -1 if len(x.response) > 3 else 0

    data = frame("a", "abcd")
    LFApplier([LabelingFunction("short", short)], cache=tmp_path).apply(data)
    assert SFApplier([SlicingFunction("short", short)], cache=tmp_path).apply(data).tolist() == [[False], [False]]


def test_a_function_that_fills_a_table_as_it_runs_is_filed_under_what_it_was(tmp_path: Path) -> None:
    def remembering(table: dict[str, int]) -> LabelingFunction:
        return LabelingFunction("f", lambda x: table.setdefault(x.response, len(x.response) % 2))

    data = frame("a", "bb")
    assert votes(remembering({}), data, tmp_path) == [1, 0]
    L, meta = LFApplier([remembering({})], cache=tmp_path).apply(data, return_meta=True)  # as in a new process
    assert L.ravel().tolist() == [1, 0]
    assert meta.ran == {"f": "remembered"}


def test_what_was_computed_before_a_failure_is_kept(tmp_path: Path) -> None:
    broken = LabelingFunction("broken", lambda _: 1 // 0, compile=False)
    with pytest.raises(FunctionError, match="broken failed"):
        LFApplier([function("f", SORRY), broken], cache=tmp_path).apply(frame("sorry", "no"))
    assert votes(function("f", SORRY), frame("sorry", "no"), tmp_path) == [0, -1]
    assert asked == ["sorry", "no"]


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    votes(function("f", SORRY), frame("sorry"), tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(b"PAR1 and then nothing")
    assert votes(function("f", SORRY), frame("sorry"), tmp_path) == [0]
    assert len(asked) == 2
