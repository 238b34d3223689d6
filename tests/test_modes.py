"""Every way to apply functions gives the votes of a plain Python loop."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weaklm import patterns
from weaklm.apply import LFApplier, SFApplier
from weaklm.data import ABSTAIN, ACCEPT, REJECT, Batch, Example, complete, examples
from weaklm.functions import labeling_function, preprocessor, slicing_function

WORDS = ("sorry", "apolog", "ich", "ς")


@labeling_function
def says_sorry(x: Any) -> int:
    return REJECT if any(word in x.response.lower() for word in WORDS) else ABSTAIN


@labeling_function(resources={"at_least": 3})
def long_enough(x: Any, at_least: int) -> int:
    n_words = len(x.response.split())
    if n_words == 0:
        return REJECT
    return ACCEPT if n_words >= at_least and not x.response.endswith("?") else ABSTAIN


@labeling_function
def ends_in_number(x: Any) -> int:
    return ACCEPT if re.search(r"\d+\s*$", x.response) else ABSTAIN


@labeling_function
def counts_down(x: Any) -> int:
    n = 0
    for character in x.response:
        n += character in "aeiou"
    return (REJECT, ABSTAIN, ACCEPT)[n % 3]


@labeling_function(batch=True)
def in_capitals(batch: Batch) -> Any:
    return np.array([REJECT if text.isupper() else ABSTAIN for text in batch.response])


@preprocessor
def lines(x: Any) -> Any:
    x.lines = x.response.splitlines()
    return x


@labeling_function(pre=[lines])
def many_lines(x: Any) -> int:
    x.lines.append("mine")
    return REJECT if len(x.lines) > 2 else ABSTAIN


@labeling_function
def from_phone(x: Any) -> int:
    return ACCEPT if x.device == "phone" else ABSTAIN


@slicing_function
def asks_why(x: Any) -> bool:
    return x.instruction.lower().startswith("why")


FUNCTIONS: list[Any] = [
    *(says_sorry, long_enough, ends_in_number, counts_down, in_capitals, many_lines, from_phone),
    patterns.keyword(["sorry", "no"], vote=REJECT, name="keyword"),
    patterns.regex(r"(?i)\bwhy\b.*\?$", vote=REJECT, name="regex"),
    patterns.length(max_words=2, vote=REJECT, name="length"),
]

text = st.text(
    st.one_of(st.sampled_from("abcSorry WHY?.\n 12"), st.characters(exclude_categories=["Cs"])), max_size=40
) | st.sampled_from(["Sorry, no.", "WHY?", "İstanbul sorry", "ΣΑΣ", "so\x1crry 7", "12\n", "", " ", "NO", "\u00b2"])
rows = st.lists(st.tuples(text, st.sampled_from(["phone", "desk"])), min_size=1, max_size=12)
indexes = st.sampled_from(["range", "shuffled", "repeated", "text", "levels"])


def frame(values: list[tuple[str, str]], index: str) -> pd.DataFrame:
    """Return a frame with some kind of index, rows doubled where it repeats."""
    data = pd.DataFrame(values, columns=["response", "device"]).astype(object).assign(instruction="Why?")
    n = len(data)
    if index == "shuffled":
        return data.set_axis(np.random.default_rng(n).permutation(n))
    if index == "repeated":
        return pd.concat([data, data]).assign(id=[str(i) for i in range(2 * n)])
    if index == "text":
        return data.set_axis([f"row {i % 3}" for i in range(n)])
    if index == "levels":
        return data.set_axis(pd.MultiIndex.from_arrays([["a"] * n, range(n, 0, -1)]))
    return data


def by_loop(functions: list[Any], data: pd.DataFrame) -> list[list[Any]]:
    """Return the votes of a plain Python loop."""
    return [[int(function(Example(**vars(x)))) for function in functions] for x in examples(complete(data))]


@given(rows, indexes)
@settings(max_examples=150, deadline=None)
def test_in_process(values: list[tuple[str, str]], index: str) -> None:
    data = frame(values, index)
    assert LFApplier(FUNCTIONS).apply(data).tolist() == by_loop(FUNCTIONS, data)


@pytest.fixture(scope="module")
def workers() -> Iterator[LFApplier]:
    with LFApplier(FUNCTIONS, n_jobs=2) as applier:
        yield applier


@given(rows, indexes)
@settings(max_examples=50, deadline=None)
def test_in_worker_processes(workers: LFApplier, values: list[tuple[str, str]], index: str) -> None:
    data = frame(values, index)
    assert workers.apply(data).tolist() == by_loop(FUNCTIONS, data)


@given(rows, indexes, indexes)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_from_the_cache(tmp_path: Path, values: list[tuple[str, str]], index: str, again: str) -> None:
    for kind in (index, again):
        data = frame(values, kind)
        assert LFApplier(FUNCTIONS, cache=tmp_path).apply(data).tolist() == by_loop(FUNCTIONS, data)


@given(rows, indexes)
@settings(max_examples=50, deadline=None)
def test_slices(values: list[tuple[str, str]], index: str) -> None:
    data = frame(values, index).assign(instruction=lambda f: f["response"])
    data = data[data["instruction"].str.strip() != ""]
    if len(data):
        assert SFApplier([asks_why]).apply(data).astype(int).tolist() == by_loop([asks_why], data)


def test_the_functions_take_the_ways_that_they_should() -> None:
    _, meta = LFApplier(FUNCTIONS).apply(frame([("Sorry", "phone")] * 3, "range"), return_meta=True)
    assert {name: how.partition(":")[0] for name, how in meta.ran.items()} == {
        "says_sorry": "compiled",
        "long_enough": "compiled",
        "ends_in_number": "compiled",
        "counts_down": "rows",
        "in_capitals": "batch",
        "many_lines": "rows",
        "from_phone": "compiled",
        "keyword": "columns",
        "regex": "columns",
        "length": "columns",
    }
