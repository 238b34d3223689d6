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
def odd(x: Example) -> bool:
    return int(x.instruction.split()[1]) % 2 == 1


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
    assert (summary["judged_by"], summary["outcome"], summary["score_outcome"]) == ("people", "better", "undecided")
    assert any(note.startswith("By the quality model: +0.0 points") for note in summary["notes"])


def test_pairs_that_were_drawn_twice_as_often_count_half() -> None:
    random = np.random.default_rng(0)
    base, tuned = answers("base", range(400)), answers("tuned", range(400))
    is_even = np.arange(400) % 2 == 0  # people see a rise on the even ones only, and these are labelled more often
    chance = np.where(is_even, 0.8, 0.4)
    Y = [np.where(random.random(400) < chance, label, -1) for label in (0, is_even.astype(int))]
    score = np.full(400, 0.5)
    naive = Comparison(base, score, tuned, score, Y=(Y[0], Y[1])).summary()["people"]
    weighed = Comparison(base, score, tuned, score, Y=(Y[0], Y[1]), inclusion=(chance, chance)).summary()["people"]
    n_even, n_odd = (((Y[0] >= 0) & (Y[1] >= 0) & part).sum() for part in (is_even, ~is_even))
    assert naive["value"] == pytest.approx(n_even / (n_even + n_odd))  # about .8
    assert weighed["value"] == pytest.approx(n_even / (n_even + 4 * n_odd))  # about .5, as it is
    assert weighed["low"] < 0.5 < weighed["high"]


def test_few_labels_are_told_and_decide_nothing() -> None:
    base, tuned = BASE.assign(human_label="REJECT"), TUNED.assign(human_label="ACCEPT")
    tuned.loc[14:, "human_label"] = None
    summary = Comparison(base, LOW, tuned, LOW).summary()
    assert (summary["judged_by"], summary["outcome"]) == ("proxy", "undecided")
    assert any(note.startswith("People, who labelled both sources on 14 of the instr") for note in summary["notes"])


def test_a_rise_that_only_the_score_sees_raises_an_alarm() -> None:
    base, tuned = BASE.assign(human_label="REJECT"), TUNED.assign(human_label="REJECT")
    comparison = Comparison(base, LOW, tuned, HIGH)
    gap = comparison.summary()["gap"]
    assert (gap["state"], gap["gap"]["value"], gap["human"]["value"]) == ("rises alone", 0.375, 0)
    assert comparison.verdict.endswith("The quality model says better: +37.5 points [+20.9, +54.1].")
    assert any(
        note.startswith("Alarm: the quality model sees a rise that people") for note in comparison.summary()["notes"]
    )
    assert comparison.outcome == "undecided"


def test_labels_of_different_instructions_tell_of_a_gap_too() -> None:
    base, tuned = BASE.assign(human_label="REJECT"), TUNED.assign(human_label="REJECT")
    base.loc[20:, "human_label"] = None
    tuned.loc[:19, "human_label"] = None
    gap = Comparison(base, LOW, tuned, HIGH).summary()["gap"]
    assert (gap["paired"], gap["gap"]["n"], gap["gap"]["method"]) == (False, 20, "Welch")
    assert gap["gap"]["value"] == pytest.approx(15 / 20 - 1)


def test_a_second_score_is_compared_with_the_first() -> None:
    second = Comparison(BASE, LOW, TUNED, HIGH, second_scores=(LOW, LOW)).summary()["gap"]["second"]
    assert (second["difference"]["value"], second["gap"]["value"]) == (0, 0.375)


def test_instructions_that_were_trained_on_are_counted_and_left_out() -> None:
    ids = [f"q{i}" for i in range(40)]
    base, tuned = BASE.assign(instruction_id=ids), TUNED.assign(instruction_id=ids)
    comparison = Comparison(base, LOW, tuned, HIGH, trained_on=ids[20:35])
    leak = comparison.summary()["leakage"]
    assert (leak["n"], leak["difference"]["n"], leak["difference"]["value"]) == (15, 25, 0)
    assert comparison.summary()["notes"][0].startswith("Warning: 15 of 40 compared instructions were trained on")
    assert Comparison(base, LOW, tuned, HIGH, trained_on=["elsewhere"]).summary()["leakage"] is None


def test_several_sources_are_compared_with_the_base_and_decided_together() -> None:
    comparison = Comparison(BASE, LOW, TUNED, HIGH, slices=[even], others={"v3": (TUNED, LOW), "v4": (TUNED, 1 - LOW)})
    sources = comparison.sources().set_index("name")
    assert sources["outcome"].to_dict() == {"tuned": "better", "v3": "undecided", "v4": "undecided"}
    assert sources["difference"].to_dict() == {"tuned": pytest.approx(0.375), "v3": 0, "v4": 0}
    alone = Comparison(BASE, LOW, TUNED, HIGH).summary()["p_adjusted"]
    assert comparison.summary()["p_adjusted"] == pytest.approx(3 * alone)
    page = comparison.to_html()
    assert "All sources" in page
    assert 'aria-label="Accept rates of 1 slices within base, tuned, v3, v4.' in page


def test_the_verdict_counts_slices_and_says_what_would_settle_the_rest() -> None:
    base, tuned = answers("base", range(200)), answers("tuned", range(200))
    place = np.arange(200)
    before = place % 4 < 2  # half of the even and half of the odd ones
    is_odd = place % 2 == 1
    after = np.where(is_odd, np.where(place < 40, place < 28, before), True)  # all even ones; 7 odd ones won, 3 lost
    comparison = Comparison(base, np.where(before, 0.9, 0.1), tuned, np.where(after, 0.9, 0.1), slices=[even, odd])
    assert "Better on 1 slice (even), worse on none, undecided on 1; about" in comparison.verdict
    assert comparison.verdict.endswith("more paired instructions would settle odd.")


def test_another_text_under_the_same_instruction_id_is_noted() -> None:
    base, tuned = BASE.assign(instruction_id="q"), TUNED.assign(instruction_id="q", instruction="Other?")
    notes = Comparison(base, LOW, tuned, LOW).summary()["notes"]
    assert "1 paired instructions differ in their text between the two, under one instruction_id." in notes


def test_names_are_the_sources_or_given_or_plain() -> None:
    assert Comparison(BASE, LOW, TUNED, HIGH).summary()["names"] == ["base", "tuned"]
    assert Comparison(BASE, LOW, TUNED, HIGH, names=("v1", "v2")).summary()["names"] == ["v1", "v2"]
    assert Comparison(TUNED, LOW, TUNED, HIGH).summary()["names"] == ["base", "tuned"]


@slicing_function
def nobody(x: Example) -> bool:
    return x.instruction == "never asked"


@slicing_function
def one_pair(x: Example) -> bool:
    return x.instruction == "Question 0"


@pytest.mark.parametrize("labels", [None, "REJECT", "ACCEPT"])
@pytest.mark.parametrize("score", [0.0, 1.0, 0.7])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_no_view_shows_a_number_that_is_none(labels: str | None, score: float, n: int) -> None:
    base, tuned = (frame[:n].assign(human_label=labels) for frame in (BASE, TUNED))
    slices = [even, long_answer, nobody, one_pair]
    comparison = Comparison(base, np.full(n, score), tuned, HIGH[:n], slices=slices, others={"v3": (tuned, LOW[:n])})
    json.dumps(comparison.summary(), allow_nan=False)
    page = re.sub(r"<style>.*?</style>|<[^>]*>", " ", comparison.to_html(), flags=re.DOTALL)
    for text in (page, repr(comparison), comparison.verdict):
        assert not re.search(r"\b(nan|None|inf)\b", text)


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
