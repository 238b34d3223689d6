"""Votes and slice membership: order, checks, and messages that name the function and the example."""

import warnings
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.apply import LFApplier, SFApplier
from weaklm.data import ABSTAIN, ACCEPT, REJECT, Example
from weaklm.errors import DataError, FunctionError, FunctionWarning
from weaklm.functions import LabelingFunction, SlicingFunction, labeling_function, preprocessor, slicing_function


@labeling_function
def says_sorry(x: Any) -> int:
    return REJECT if "sorry" in x.response.lower() else ABSTAIN


@labeling_function
def gives_reason(x: Any) -> int:
    return ACCEPT if "because" in x.response.lower() else ABSTAIN


def frame(*responses: str, **columns: Any) -> pd.DataFrame:
    rows = {"id": [f"row-{i}" for i in range(len(responses))], "instruction": "Why?", "response": list(responses)}
    return pd.DataFrame(rows | columns)


def returning(value: Any) -> LabelingFunction:
    return LabelingFunction("odd_one", lambda _: value)


def test_votes_are_one_column_a_function_in_order() -> None:
    L = LFApplier([says_sorry, gives_reason]).apply(frame("Sorry.", "Because.", "Sorry, because.", "No."))
    assert L.dtype == np.int8
    assert L.tolist() == [[0, -1], [-1, 1], [0, 1], [-1, -1]]


@pytest.mark.parametrize(
    "index",
    [[3, 0, 2, 1], [7, 7, 7, 7], list("bdca"), pd.MultiIndex.from_product([["a", "b"], [1, 0]]), [1.5, np.nan, 2, 3]],
    ids=["shuffled", "repeated", "text", "levels", "gap"],
)
def test_row_order_is_the_order_of_the_frame_on_any_index(index: Any) -> None:
    data = frame("Sorry.", "Because.", "No.", "Sorry, because.").set_axis(index, axis=0)
    assert LFApplier([says_sorry, gives_reason]).apply(data).tolist() == [[0, -1], [-1, 1], [-1, -1], [0, 1]]


def test_a_frame_with_instruction_and_response_alone_is_enough() -> None:
    data = pd.DataFrame({"instruction": ["Why?"], "response": ["Sorry."]})
    assert LFApplier([says_sorry]).apply(data).tolist() == [[0]]


def test_the_frame_of_the_caller_stays_as_it_is() -> None:
    data = frame("Sorry.", tags=[["a"]])

    def grows(x: Any) -> int:
        x.tags.append("b")
        return len(x.tags) - 2

    appliers = [LabelingFunction("first", grows), LabelingFunction("second", grows)]
    assert LFApplier(appliers).apply(data).tolist() == [[0, 0]]
    assert data.columns.tolist() == ["id", "instruction", "response", "tags"]
    assert data.tags.tolist() == [["a"]]


def test_a_raising_function_is_named_with_the_example_and_the_cause() -> None:
    divides = LabelingFunction("divides", lambda x: 1 // len(x.response))
    with pytest.raises(FunctionError, match=r"^divides failed on example 'row-1': ZeroDivisionError: ") as caught:
        LFApplier([says_sorry, divides], on_error="raise").apply(frame("a", "", "b"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_function_that_fails_too_often_ends_the_run() -> None:
    divides = LabelingFunction("divides", lambda x: 1 // len(x.response))
    with pytest.raises(FunctionError) as caught:
        LFApplier([says_sorry, divides], max_error_rate=0.25).apply(frame("a", "", "b", ""))
    message = str(caught.value)
    assert message.startswith(
        "divides failed on examples 'row-1', 'row-3' (2 of 4): ZeroDivisionError: integer division or modulo by zero. "
        "That is above max_error_rate;"
    )
    assert "1 // len(x.response)" in message  # the traceback
    assert "voting.py" not in message


def test_a_function_that_fails_on_few_rows_abstains_there_and_is_told() -> None:
    divides = LabelingFunction("divides", lambda x: 1 // len(x.response))
    with pytest.warns(FunctionWarning, match=r"^divides failed on example 'row-1' \(1 of 4\): ZeroDivisionError: "):
        L, meta = LFApplier([says_sorry, divides], max_error_rate=0.25).apply(frame("a", "", "bb", "c"), True)
    assert L.tolist() == [[-1, 1], [-1, -1], [-1, 0], [-1, 1]]
    assert meta.n_failed == {"says_sorry": 0, "divides": 1}
    assert meta.failures[["function", "id", "reason"]].values.tolist() == [
        ["divides", "row-1", "ZeroDivisionError: integer division or modulo by zero"]
    ]


def test_a_slicing_function_that_fails_has_no_member_there() -> None:
    divides = SlicingFunction("divides", lambda x: 1 // len(x.response) == 1)
    with pytest.warns(FunctionWarning, match=r"^divides failed on example 'row-1'"):
        assert SFApplier([divides], max_error_rate=0.5).apply(frame("a", "")).tolist() == [[True], [False]]


def test_confidences_come_with_the_meta() -> None:
    @labeling_function
    def unsure(x: Any) -> Any:
        return (REJECT, 0.75) if "sorry" in x.response else ABSTAIN

    L, meta = LFApplier([says_sorry, unsure]).apply(frame("sorry", "no"), return_meta=True)
    assert L.tolist() == [[0, 0], [-1, -1]]
    assert meta.confidence is not None
    np.testing.assert_array_equal(meta.confidence, np.array([[np.nan, 0.75], [np.nan, np.nan]], dtype=np.float32))


def test_a_confidence_beyond_one_is_named() -> None:
    with pytest.raises(FunctionError, match=r"odd_one returned the confidence 1.5 on example 'row-0'; a number from 0"):
        LFApplier([returning((1, 1.5))]).apply(frame("a"))


@labeling_function(batch=True)
def long_batch(batch: Any) -> Any:
    return np.array([ACCEPT if len(response) > 3 else ABSTAIN for response in batch.response])


def test_a_batch_function_votes_on_arrays_and_on_one_example() -> None:
    assert LFApplier([long_batch]).apply(frame("a", "Because")).tolist() == [[-1], [1]]
    assert long_batch(Example(response="Because")) == 1


def test_a_batch_function_that_fails_on_a_row_loses_that_row_alone() -> None:
    @labeling_function(batch=True)
    def shaky(batch: Any) -> Any:
        return np.array([8 // len(response) - 7 for response in batch.response])

    with pytest.warns(FunctionWarning, match=r"^shaky failed on example 'row-2' \(1 of 5\)"):
        L = LFApplier([shaky], max_error_rate=0.2).apply(frame("a", "a", "", "a", "a"))
    assert L.ravel().tolist() == [1, 1, -1, 1, 1]


def test_a_batch_function_of_the_wrong_length_is_named() -> None:
    short = LabelingFunction("short", lambda _: np.zeros(1, dtype=int), batch=True)
    with pytest.raises(FunctionError, match="short returned ndarray of length 1 for a batch of 2 rows"):
        LFApplier([short]).apply(frame("a", "b"))


def test_a_batch_function_with_confidences_can_be_called_on_one_example() -> None:
    both = LabelingFunction("both", lambda batch: (np.zeros(len(batch), dtype=int), np.ones(len(batch))), batch=True)
    assert both(Example(response="a")) == (0, 1.0)


def test_a_batch_slicing_function_must_return_booleans() -> None:
    ones = SlicingFunction("ones", lambda batch: np.ones(len(batch), dtype=int), batch=True)
    with pytest.raises(FunctionError, match="ones returned 1 for example 'row-0'; a batch slicing function returns"):
        SFApplier([ones]).apply(frame("a"))


def test_a_batch_function_that_always_fails_is_not_asked_for_every_row() -> None:
    n_asked = []

    def broken(batch: Any) -> Any:
        n_asked.append(len(batch))
        raise OSError("no model")

    with pytest.raises(FunctionError, match=r"broken failed on examples .* \(5,000 of 5,000\): OSError: no model"):
        LFApplier([LabelingFunction("broken", broken, batch=True)]).apply(frame(*["a"] * 5000))
    assert len(n_asked) < 250


def test_a_stop_iteration_is_a_failure_like_any_other() -> None:
    longest = LabelingFunction("digits", lambda x: int(next(w for w in x.response.split() if w.isdigit())) % 2)
    with pytest.warns(FunctionWarning, match=r"digits failed on example 'row-1' \(1 of 2\): StopIteration"):
        assert LFApplier([longest], max_error_rate=0.5).apply(frame("a 3", "b")).tolist() == [[1], [-1]]


def test_a_column_that_a_preprocessor_writes_on_some_rows_is_still_read() -> None:
    @preprocessor
    def blanks(x: Any) -> Any:
        if x.source == "gpt":
            x.response = ""
        return x

    empty = labeling_function(pre=[blanks])(lambda x: REJECT if not x.response else ABSTAIN)
    assert LFApplier([empty]).apply(frame("a", "b", source=["gpt", "llama"])).tolist() == [[0], [-1]]


def test_a_subclass_with_a_call_of_its_own_is_called() -> None:
    class Negated(LabelingFunction):
        def __call__(self, x: Any) -> int:
            return {REJECT: ACCEPT, ACCEPT: REJECT}.get(super().__call__(x), ABSTAIN)

    negated = Negated("negated", says_sorry._f)
    L, meta = LFApplier([negated, says_sorry]).apply(frame("sorry", "no"), return_meta=True)
    assert L.tolist() == [[1, 0], [-1, -1]]
    assert meta.ran["negated"] == "rows: its class has a call of its own"


def test_a_bound_method_is_a_function_too() -> None:
    class Rules:
        limit = 3

        def longer(self, x: Any) -> int:
            return REJECT if len(x.response) > self.limit else ABSTAIN

    assert LFApplier([LabelingFunction("longer", Rules().longer)]).apply(frame("abcd", "a")).tolist() == [[0], [-1]]


def test_exactly_the_greatest_rate_of_failures_is_tolerated() -> None:
    divides = LabelingFunction("divides", lambda x: 1 // len(x.response))
    with pytest.warns(FunctionWarning, match=r"\(29 of 100\)"):
        LFApplier([divides], max_error_rate=0.29).apply(frame(*[""] * 29, *["a"] * 71))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error_rate": "a"}, "max_error_rate is 'a'"),
        ({"n_jobs": "2"}, "n_jobs is '2'"),
        ({"row_seconds": -1}, "row_seconds is -1"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FunctionError, match=f"^{message}"):
        LFApplier([says_sorry], **options)


def test_something_that_is_no_frame_is_named() -> None:
    with pytest.raises(DataError, match="the frame is a list; a pandas DataFrame was expected"):
        LFApplier([says_sorry]).apply(["a"])


def test_a_batch_function_cannot_write_to_its_columns() -> None:
    def writes(batch: Any) -> Any:
        batch.response[0] = "b"
        return np.zeros(len(batch), dtype=int)

    with pytest.raises(FunctionError, match="read-only"):
        LFApplier([LabelingFunction("writes", writes, batch=True)]).apply(frame("a"))


@pytest.mark.parametrize("vote", [2, -2, True, False, 1.0, "1", float("nan"), np.bool_(True), np.int64(3), [1]])
def test_a_vote_that_is_none_is_named(vote: Any) -> None:
    with pytest.raises(FunctionError) as caught:
        LFApplier([returning(vote)]).apply(frame("a"))
    assert str(caught.value) == (
        f"odd_one returned {vote!r} on example 'row-0', not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT)"
    )


def test_a_missing_return_is_explained() -> None:
    with pytest.raises(FunctionError, match=r"odd_one returned None .*; does every branch return a vote\?"):
        LFApplier([returning(None)]).apply(frame("a"))


def test_numpy_and_enum_integers_are_votes() -> None:
    class Vote(IntEnum):
        NO = 0

    votes = [LabelingFunction(str(i), lambda _, v=v: v) for i, v in enumerate([np.int64(1), np.int8(-1), Vote.NO])]
    assert LFApplier(votes).apply(frame("a")).tolist() == [[1, -1, 0]]


@pytest.mark.parametrize("value", [None, 1, "yes", float("nan"), np.int64(1), [True], False, np.bool_(False)])
def test_only_true_is_membership(value: Any) -> None:
    S = SFApplier([SlicingFunction("odd", lambda _: value), SlicingFunction("all", lambda _: True)]).apply(frame("a"))
    assert S.dtype == np.bool_
    assert S.tolist() == [[False, True]]


def test_a_numpy_true_is_membership() -> None:
    numpy_true: Any = np.bool_(True)
    assert SFApplier([SlicingFunction("all", lambda _: numpy_true)]).apply(frame("a")).all()


def sets_a_column(x: Any) -> int:
    x.seen = True
    return ABSTAIN


def changes_a_column(x: Any) -> int:
    x.response = x.response.lower()
    return ABSTAIN


def drops_a_column(x: Any) -> int:
    del x.context
    return ABSTAIN


@pytest.mark.parametrize(
    ("f", "column"), [(sets_a_column, "seen"), (changes_a_column, "response"), (drops_a_column, "context")]
)
def test_a_function_that_changes_the_example_is_named(f: Callable[[Any], int], column: str) -> None:
    with pytest.raises(FunctionError, match=rf"^meddles changed '{column}' of example 'row-0'; .*pre=\[...\]"):
        LFApplier([LabelingFunction("meddles", f), says_sorry]).apply(frame("Sorry."))


def test_a_preprocessor_runs_once_a_row_and_its_functions_do_not_see_each_others_changes() -> None:
    runs = []

    @preprocessor
    def lowered(x: Any) -> Any:
        runs.append(x.id)
        x.words = x.response.lower().split()
        return x

    @labeling_function(pre=[lowered])
    def empties(x: Any) -> int:
        x.words.clear()
        return ABSTAIN

    @labeling_function(pre=[lowered])
    def sorry(x: Any) -> int:
        return REJECT if "sorry" in x.words else ABSTAIN

    assert LFApplier([empties, sorry]).apply(frame("SORRY", "No")).tolist() == [[-1, 0], [-1, -1]]
    assert runs == ["row-0", "row-1"]


def test_a_preprocessor_that_fails_fails_its_functions_and_no_other() -> None:
    @preprocessor
    def halves(x: Any) -> Any:
        x.half = 1 // len(x.response)
        return x

    behind = labeling_function(pre=[halves])(lambda x: x.half)
    behind.name = "behind"
    with pytest.warns(FunctionWarning, match=r"^behind failed on example 'row-0' \(1 of 2\): ZeroDivisionError"):
        L = LFApplier([says_sorry, behind], max_error_rate=0.5).apply(frame("", "a"))
    assert L.tolist() == [[-1, -1], [-1, 1]]


def test_a_column_that_no_row_has_is_an_error_before_the_first_row() -> None:
    calls = []

    @labeling_function
    def counts(x: Any) -> int:
        calls.append(x.id)
        return ABSTAIN

    @labeling_function
    def misspelled(x: Any) -> int:
        return REJECT if x.respones == "" else ABSTAIN

    with pytest.raises(FunctionError, match=r"misspelled reads column 'respones', which no row has; .*'response'"):
        LFApplier([counts, misspelled]).apply(frame("a"))
    assert calls == []


def test_a_misspelled_column_in_a_helper_is_found_too() -> None:
    with pytest.raises(FunctionError, match=r"uses_helper reads column 'contxt', which no row has; .*'context'"):
        LFApplier([uses_helper]).apply(frame("a"))


def helper(x: Any) -> str:
    return str(x.contxt)


@labeling_function
def uses_helper(x: Any) -> int:
    return REJECT if helper(x) else ABSTAIN


def test_columns_that_a_function_tests_for_may_be_missing() -> None:
    @labeling_function
    def by_has(x: Any) -> int:
        return int(x.device == "phone") if hasattr(x, "device") else ABSTAIN

    @labeling_function
    def by_get(x: Any) -> int:
        return REJECT if getattr(x, "locale", "en") == "de" else ABSTAIN

    @labeling_function
    def by_try(x: Any) -> int:
        try:
            return int(x.rating > 3)
        except AttributeError:
            return ABSTAIN

    @labeling_function
    def by_in(x: Any) -> int:
        return int(x.rank) if "rank" in vars(x) else ABSTAIN

    @labeling_function
    def by_another_name(x: Any) -> int:
        return REJECT if any(x.isupper() for x in x.response.split()) else ABSTAIN

    functions = [by_has, by_get, by_try, by_in, by_another_name]
    assert LFApplier(functions).apply(frame("a")).tolist() == [[-1] * 5]


def test_the_human_label_is_hidden() -> None:
    @labeling_function
    def cheats(x: Any) -> int:
        return int(x.human_label == "ACCEPT")

    sneaks = LabelingFunction("sneaks", lambda x: int(getattr(x, "human_" + "label") == "ACCEPT"))
    data = frame("a", human_label=["ACCEPT"])
    with pytest.raises(FunctionError, match="cheats reads column 'human_label', which functions never see"):
        LFApplier([cheats]).apply(data)
    with pytest.raises(FunctionError, match=r"sneaks failed on example 'row-0' .*AttributeError: .*'human_label'"):
        LFApplier([sneaks]).apply(data)


def test_slices_that_read_the_response_are_flagged() -> None:
    @preprocessor
    def tokens(x: Any) -> Any:
        x.tokens = x.response.split()
        return x

    @slicing_function
    def long_answer(x: Any) -> bool:
        return len(x.response) > 500

    @slicing_function(pre=[tokens])
    def many_words(x: Any) -> bool:
        return len(x.tokens) > 50

    @slicing_function
    def asks_how(x: Any) -> bool:
        return bool(x["instruction"].startswith("How"))

    assert SFApplier([long_answer, many_words, asks_how]).reads_response == ["long_answer", "many_words"]


def test_the_wrong_kind_of_function_is_refused() -> None:
    asks = SlicingFunction("asks", lambda _: True)
    with pytest.raises(FunctionError, match="LFApplier got the slicing function 'asks'; it takes labeling functions"):
        LFApplier([asks])
    with pytest.raises(FunctionError, match="SFApplier got the labeling function 'says_sorry'; it takes slicing"):
        SFApplier([says_sorry])
    with pytest.raises(FunctionError, match=r"LFApplier got <function .*; decorate it with @labeling_function"):
        LFApplier([helper])  # type: ignore[list-item]
    with pytest.raises(FunctionError, match="a list of labeling functions was expected"):
        LFApplier(says_sorry)


def test_no_function_and_equal_names_are_refused() -> None:
    with pytest.raises(FunctionError, match="SFApplier got no function; at least one slicing function is needed"):
        SFApplier([])
    with pytest.raises(FunctionError, match="LFApplier got two functions named 'odd_one'; names must be unique"):
        LFApplier([returning(0), returning(1)])


def test_data_without_responses_is_refused() -> None:
    with pytest.raises(DataError, match="the frame has no column 'response'; did you mean 'responses'"):
        LFApplier([says_sorry]).apply(pd.DataFrame({"instruction": ["a"], "responses": ["b"]}))


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LFApplier([says_sorry], progress=True).apply(frame("a", "b"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2/2" in printed.err


def test_no_rows_give_no_votes() -> None:
    assert LFApplier([says_sorry, gives_reason]).apply(frame("a")[:0]).shape == (0, 2)
