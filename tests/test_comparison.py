import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weaklm.comparison import Comparison
from weaklm.data import Example
from weaklm.errors import DataError
from weaklm.functions import slicing_function


@slicing_function
def even(x: Example) -> bool:
    return int(x.instruction.split()[1]) % 2 == 0


@slicing_function
def long_answer(x: Example) -> bool:
    return len(x.response) > 5


@slicing_function
def from_base(x: Example) -> bool:
    return x.source == "base"


def answers(source: str, numbers: range, response: str = "It rained.") -> pd.DataFrame:
    return pd.DataFrame({"instruction": [f"Question {i}" for i in numbers], "response": response, "source": source})


BASE, TUNED = answers("base", range(40)), answers("tuned", range(40))
LOW = np.where(np.arange(40) < 20, 0.9, 0.1)  # accepts the first 20
HIGH = np.where(np.arange(40) < 35, 0.8, 0.2)  # accepts the first 35


def test_the_difference_is_paired_whatever_the_order_of_rows() -> None:
    comparison = Comparison(BASE, LOW, TUNED[::-1], HIGH[::-1])
    summary = comparison.summary()
    assert (summary["wins"], summary["losses"], summary["ties"]) == (15, 0, 25)
    assert (summary["base"]["value"], summary["tuned"]["value"]) == (0.5, 0.875)
    assert summary["difference"]["value"] == pytest.approx(0.375)
    assert summary["score_difference"]["value"] == pytest.approx((20 * -0.1 + 15 * 0.7 + 5 * 0.1) / 40)


def test_the_verdict_is_a_sentence() -> None:
    assert Comparison(BASE, LOW, TUNED, HIGH).verdict == (
        "tuned is better than base by the quality model: +37.5 points [+20.9, +54.1] on 40 paired instructions."
    )
    worse = Comparison(TUNED, HIGH, BASE, LOW, judge="the truth checks")
    assert worse.verdict.startswith("base is worse than tuned by the truth checks: -37.5 points [-54.1, -20.9]")


def test_the_same_answers_show_no_difference() -> None:
    comparison = Comparison(BASE, LOW, TUNED, LOW)
    assert comparison.outcome == "undecided"
    assert comparison.verdict.startswith("No difference shown between tuned and base by the quality model: +0.0 points")


def test_one_pair_is_too_few_to_tell() -> None:
    comparison = Comparison(BASE[:1], [0.1], TUNED[:1], [0.9])
    assert comparison.outcome == "undecided"
    assert comparison.verdict == "Too few to tell tuned from base: +100.0 points on 1 paired instruction."


def test_unpaired_instructions_are_counted_with_the_reason() -> None:
    comparison = Comparison(BASE, LOW, answers("tuned", range(30, 45)), np.full(15, 0.9))
    assert comparison.summary()["n_pairs"] == 10
    assert comparison.summary()["unpaired"] == [
        {"reason": "not answered by tuned", "instructions": 30, "rows": 30},
        {"reason": "not answered by base", "instructions": 5, "rows": 5},
    ]


def test_nothing_in_common_is_an_error_with_an_id_of_each() -> None:
    with pytest.raises(DataError, match="base and tuned answered no instruction in common"):
        Comparison(BASE, LOW, answers("tuned", range(50, 60)), np.full(10, 0.9))


def test_several_answers_to_an_instruction_count_as_one() -> None:
    doubled = pd.concat([TUNED, TUNED])
    once, twice = Comparison(BASE, LOW, TUNED, HIGH), Comparison(BASE, LOW, doubled, np.tile(HIGH, 2))
    assert once.summary()["difference"] == twice.summary()["difference"]
    assert "tuned has 80 answers to 40 instructions; their mean counts." in twice.summary()["notes"]


def test_slices_are_paired_where_their_members_do_not_depend_on_the_answer() -> None:
    comparison = Comparison(BASE, LOW, TUNED, HIGH, slices=[even, long_answer, from_base])
    slices = comparison.slices().set_index("name")
    assert slices["reason"].to_dict() == {
        "even": "",
        "long_answer": "reads the response",
        "from_base": "has other members in each source",
    }
    summary = comparison.summary()["slices"][0]["difference"]
    assert (summary["value"], summary["n"]) == (pytest.approx(8 / 20), 20)
    assert "not comparable: reads the response" in repr(comparison)


def test_the_instructions_that_got_worse_come_with_both_answers() -> None:
    base = BASE.assign(response="good")
    tuned = TUNED.assign(response="bad")
    score = np.where(np.arange(40) < 2, [0.3, 0.1] * 20, 0.9)  # the first two are lost
    worse = Comparison(base, np.full(40, 0.9), tuned, score).worse()
    assert worse["instruction"].tolist() == ["Question 1", "Question 0"]
    assert worse["base_response"].tolist() == ["good", "good"]
    assert worse["tuned_score"].tolist() == [0.1, 0.3]
    assert Comparison(base, np.full(40, 0.9), tuned, score).better().empty


def test_people_who_labelled_both_are_heard() -> None:
    base, tuned = BASE.assign(human_label="REJECT"), TUNED.assign(human_label="ACCEPT")
    tuned.loc[20:, "human_label"] = None
    summary = Comparison(base, LOW, tuned, LOW).summary()
    assert (summary["human_difference"]["value"], summary["human_difference"]["n"]) == (1, 20)
    assert any(note.startswith("People, who labelled both sources on 20 of the instr") for note in summary["notes"])


def test_another_text_under_the_same_instruction_id_is_noted() -> None:
    base, tuned = BASE.assign(instruction_id="q"), TUNED.assign(instruction_id="q", instruction="Other?")
    notes = Comparison(base, LOW, tuned, LOW).summary()["notes"]
    assert "1 paired instructions differ in their text between the two, under one instruction_id." in notes


def test_names_are_the_sources_or_given_or_plain() -> None:
    assert Comparison(BASE, LOW, TUNED, HIGH).summary()["names"] == ["base", "tuned"]
    assert Comparison(BASE, LOW, TUNED, HIGH, names=("v1", "v2")).summary()["names"] == ["v1", "v2"]
    assert Comparison(TUNED, LOW, TUNED, HIGH).summary()["names"] == ["base", "tuned"]


def test_every_view_is_honest_and_escaped(tmp_path: Path) -> None:
    response = pd.Series(["<img src=x onerror=y> \ud83d"] * 40, dtype=object)
    base = BASE.assign(source="<script>alert(1)</script>", response=response)
    comparison = Comparison(base, LOW, TUNED, HIGH, slices=[even, long_answer])
    assert comparison.save(tmp_path) == tmp_path / "comparison.html"
    page = (tmp_path / "comparison.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert json.loads((tmp_path / "comparison.json").read_text("utf-8"))["outcome"] == "better"
    assert not re.search(r"\b(nan|None)\b", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert "<html" not in comparison._repr_html_()
