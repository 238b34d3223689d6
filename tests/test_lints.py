"""Lints: each on votes that deserve it, and silence on votes that do not."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from weaklm.analysis import LFAnalysis, lints
from weaklm.data import ABSTAIN, ACCEPT, REJECT, Batch
from weaklm.functions import LabelingFunction, labeling_function

RNG = np.random.default_rng(0)
N = 400
HALF = RNG.permutation(N) < N // 2


def fired(where: Any, vote: int = REJECT) -> Any:
    return np.where(where, vote, ABSTAIN)


def found(*columns: Any, **arguments: Any) -> dict[str, str]:
    """Return the lints of votes, by function; functions are named a, b, c ..."""
    functions = [LabelingFunction(name, len) for name in "abcdefgh"[: len(columns)]]
    table = LFAnalysis(np.stack(columns, axis=1), functions, arguments.pop("meta", None)).lints(**arguments)
    assert all(detail.endswith(".") and ": " in detail for detail in table["detail"])  # finding: what to do
    return dict(zip(table["function"], table["lint"], strict=True))


def test_nothing_is_found_in_two_independent_functions_of_both_votes() -> None:
    other = RNG.permutation(HALF)
    data = pd.DataFrame({"instruction": "Why?", "response": ["x" * k for k in RNG.integers(1, 900, N)]})
    assert found(fired(HALF), fired(other, ACCEPT), Y=np.where(HALF, 0, 1), data=data) == {}


def test_a_set_of_one_vote_is_told() -> None:
    assert found(fired(HALF), fired(RNG.permutation(HALF))) == {"all functions": "only REJECT"}


def test_functions_that_always_or_never_vote_are_told() -> None:
    always = fired(np.arange(N) > 5, ACCEPT)
    assert found(fired(HALF), always, fired(HALF & ~HALF)) == {"b": "votes nearly always", "c": "never votes"}


def test_a_function_that_repeats_another_is_told_once() -> None:
    again = HALF.copy()
    again[:5] = ~again[:5]
    assert found(fired(HALF), fired(again), fired(RNG.permutation(HALF), ACCEPT)) == {"b": "redundant"}


def test_two_thresholds_on_one_thing_are_told() -> None:
    value = RNG.random(N)
    assert found(fired(value > 0.6), fired(value > 0.9), fired(HALF, ACCEPT)) == {"b": "nested"}


def test_a_few_rows_inside_a_common_function_are_chance() -> None:
    most = RNG.permutation(N) < 300
    few = np.zeros(N, bool)
    few[np.flatnonzero(most)[:5]] = True
    assert found(fired(most), fired(few), fired(HALF, ACCEPT)) == {}


def test_votes_worse_than_a_guess_are_told() -> None:
    Y = np.where(RNG.permutation(N) < 40, REJECT, ACCEPT)
    wrong = fired(Y == REJECT, ACCEPT)  # right on none of 40, where a guess is right on nine in ten
    assert found(fired(HALF), wrong, Y=Y) == {"b": "worse than its base rate"}


def test_a_function_that_raises_is_told() -> None:
    meta = SimpleNamespace(seconds={}, ran={}, n_failed={"a": 3})
    assert found(fired(HALF), fired(RNG.permutation(HALF), ACCEPT), meta=meta) == {"a": "fails"}


def test_rules_that_length_alone_would_give_are_told_unless_they_say_so() -> None:
    length = RNG.permutation(N) + 1
    data = pd.DataFrame({"instruction": "Why?", "response": ["x" * k for k in length]})
    long, band = fired(length > 300), fired((length > 100) & (length < 200), ACCEPT)
    told = {"a": "a length rule in disguise", "b": "a length rule in disguise"}
    assert found(long, band, fired(HALF), data=data) == told
    functions = [LabelingFunction(name, len) for name in ("too_long", "fits")]
    functions[1].__doc__ = "ACCEPT when the response has 100 to 200 characters."
    assert LFAnalysis(np.stack([long, band], axis=1), functions).lints(data=data).empty


@labeling_function(batch=True)
def over_the_median(batch: Batch) -> Any:
    sizes = np.array([len(text) for text in batch.response])
    return np.where(sizes > np.median(sizes), REJECT, ABSTAIN)


@labeling_function(batch=True, resources={"most": 20})
def over_twenty(batch: Batch, most: int) -> Any:
    return np.where([len(text) > most for text in batch.response], ACCEPT, ABSTAIN)


def test_a_threshold_that_moves_with_the_batch_is_told() -> None:
    data = pd.DataFrame({"instruction": "Why?", "response": ["x" * k for k in range(40)], "human_label": "ACCEPT"})
    functions = [over_the_median, over_twenty]
    assert [lint[:2] for lint in lints.of_batches(functions, data)] == [("over_the_median", "moves with the batch")]


def test_findings_are_shown_whole() -> None:
    table = LFAnalysis(np.full((300, 2), ABSTAIN)).lints()
    assert "widen its condition, or leave it out." in repr(table)
    assert "widen its condition, or leave it out." in table._repr_html_()
    assert repr(LFAnalysis(np.stack([fired(HALF), fired(~HALF, ACCEPT)], axis=1)).lints()) == "nothing found"
