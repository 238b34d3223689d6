"""What reports and comparisons are made of, each against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from weaklm.errors import DataError
from weaklm.estimation import Estimate, paired_difference
from weaklm.reports.advice import labels_wanted
from weaklm.reports.agreement import kappa
from weaklm.reports.clusters import design_effect, influence, widened
from weaklm.reports.evidence import decide, evidence, needed, p_value
from weaklm.reports.scored import Scored, share
from weaklm.significance import paired_p_value

PAIRS = np.repeat(np.arange(50), 2)


def test_two_answers_that_always_agree_count_as_one() -> None:
    residuals = np.repeat([0.5, -0.5], 50)
    assert design_effect(residuals, np.repeat(np.arange(50), 2)) == 2


def test_answers_that_share_nothing_count_as_many() -> None:
    residuals = np.tile([0.5, -0.5], 50)
    assert design_effect(residuals, np.repeat(np.arange(50), 2)) == 1  # they cancel; never below 1


def test_rows_that_are_all_alike_are_no_proof_that_they_are_independent() -> None:
    assert design_effect(np.zeros(100), PAIRS, imagined=0.01) == 2


def test_one_row_an_instruction_is_plain_wilson() -> None:
    chosen = np.array([True, False] * 50)
    assert share(chosen, np.arange(100)).method == "Wilson"
    assert share(chosen, np.arange(100)).n_effective == 100


def test_an_interval_over_instructions_is_as_wide_as_that_of_half_the_rows() -> None:
    chosen = np.repeat([True, False] * 25, 2)
    found, once = share(chosen, PAIRS), share(chosen[::2], np.arange(50))
    assert found.method == "clustered Wilson"
    assert found.value == once.value == 0.5
    assert (found.high - found.low) / (once.high - once.low) == pytest.approx(1.02, abs=0.02)  # a t quantile


def test_an_effect_of_one_widens_nothing() -> None:
    estimate = Estimate(0.5, 0.4, 0.6, 90, "Wilson", 90.0)
    assert widened(estimate, 1.0, 90) is estimate


def test_the_influences_of_all_rows_sum_to_zero() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(300) < 0.7).astype(np.int8)
    score = np.clip(0.3 + 0.4 * truth + 0.2 * random.random(300), 0, 1)
    Y = np.where(np.arange(300) < 60, truth, -1).astype(np.int8)
    values = influence(Y, score, None)
    assert values.sum() == pytest.approx(0, abs=1e-9)
    assert np.abs(values[:60]).mean() > np.abs(values[60:]).mean()  # a labelled row stands for five


def test_labels_of_one_instruction_widen_the_corrected_rate() -> None:
    random = np.random.default_rng(1)
    one = (random.random(100) < 0.7).astype(int)
    truth = np.repeat(one, 3)
    noise = np.repeat(random.random(100), 3)
    labels = np.where(np.arange(300) < 120, np.array(["REJECT", "ACCEPT"])[truth], None)
    data = pd.DataFrame({"instruction": np.repeat(np.arange(100), 3).astype(str), "response": "Yes."})
    apart = data.assign(instruction=np.arange(300).astype(str))
    everything = np.ones(300, dtype=bool)
    widths = []
    for frame in (data, apart):
        scored = Scored.of(frame.assign(human_label=labels), 0.2 + 0.3 * truth + 0.3 * noise, 0.5)
        found = scored.corrected(everything)
        assert found is not None
        widths.append(found.high - found.low)
    assert 1.5 < widths[0] / widths[1] < 2  # three that always agree: the square root of 3


def test_kappa_has_an_interval_around_its_value() -> None:
    Y = np.array([1, 1, 1, 1, 0, 0, 0, 0] * 5)
    accepted = np.array([1, 1, 1, 0, 1, 0, 0, 0] * 5, dtype=bool)
    found = kappa(Y.astype(np.int8), accepted, np.arange(40))
    assert found.value == pytest.approx(0.5)  # 6 of 8 agree, 4 of 8 by chance
    # cells of 15, 5, 5 and 15, and one more in each: kappa 20/44, and each cell adds 1 or -1 to it
    assert (found.low + found.high) / 2 == pytest.approx(20 / 44)
    assert found.high - 20 / 44 == pytest.approx(2.0227 * np.sqrt((1 - (20 / 44) ** 2) / 44), abs=1e-3)


def test_one_class_has_no_kappa() -> None:
    assert np.isnan(kappa(np.ones(20, dtype=np.int8), np.ones(20, dtype=bool), np.arange(20)).value)


def test_the_p_value_is_that_of_the_paired_difference() -> None:
    before, after = np.array([0, 1, 0, 1, 0, 0, 1, 0, 1, 0]), np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 1])
    assert p_value(paired_difference(before, after)) == pytest.approx(paired_p_value(before, after))
    assert p_value(paired_difference([0], [1])) is None


def table(n: int, n_wins: int, n_labelled: int = 0) -> pd.DataFrame:
    """Return pairs of which tuned wins some by the score and by people, and loses none."""
    won = (np.arange(n) < n_wins).astype(float)
    human = np.where(np.arange(n) % max(n // max(n_labelled, 1), 1) == 0, 1.0, np.nan) if n_labelled else np.nan
    columns = {"accepted_base": 0.0, "accepted_tuned": won, "score_base": 0.2, "score_tuned": 0.2 + 0.6 * won}
    labels = {"human_base": 0 * human, "human_tuned": won * human, "chance_base": np.nan, "chance_tuned": np.nan}
    return pd.DataFrame(columns).assign(**labels)


def test_slices_are_decided_together() -> None:
    parts = [evidence(table(30, n_wins)) for n_wins in (8, 4, 0)]
    alone = [p["difference_p_value"] for p in parts]
    decide(parts, "proxy")
    assert [part["outcome"] for part in parts] == ["better", "undecided", "undecided"]
    assert alone[1] < 0.1
    assert parts[1]["p_adjusted"] == pytest.approx(2 * alone[1])
    assert parts[2]["p_adjusted"] == 1


def test_people_decide_where_they_are_asked() -> None:
    parts = [evidence(table(120, 60, n_labelled=40))]
    decide(parts, "people")
    assert parts[0]["people"]["method"] == "paired PPI++"
    assert (parts[0]["outcome"], parts[0]["score_outcome"]) == ("better", "better")


def test_more_pairs_are_asked_for_the_smaller_a_difference_is() -> None:
    small, large = (needed(paired_difference(np.zeros(40), np.arange(40) < n), 1) for n in (2, 3))
    assert small is not None
    assert large is not None
    assert small > large > 0
    assert needed(paired_difference(np.zeros(3), np.ones(3)), 1) is None  # too few to say how many
    assert needed(paired_difference(np.zeros(40), np.zeros(40)), 1) is None  # no number settles no difference


def part(n: int, n_labelled: int, low: float, high: float) -> dict[str, object]:
    human = Estimate((low + high) / 2, low, high, n_labelled, "Wilson", float(n_labelled)).to_dict()
    return {"n": n, "share": 0.5, "proxy": {"value": 0.5}, "human": human, "corrected": None}


def test_labels_are_asked_for_until_a_rate_is_within_ten_points() -> None:
    # 1.96**2 * .25 / .1**2 = 96.04 labels, 40 of them there
    assert labels_wanted(part(1000, 40, 0.35, 0.65), None) == 60
    assert labels_wanted(part(1000, 100, 0.41, 0.59), None) is None


def test_labels_are_asked_for_until_a_gate_is_decided() -> None:
    open_, decided = part(1000, 40, 0.4, 0.68), part(1000, 40, 0.4, 0.68)
    assert labels_wanted(decided, 0.7) is None
    wanted = labels_wanted(open_, 0.6)
    assert wanted is not None
    assert wanted > 60


def test_no_more_labels_are_asked_for_than_there_are_rows() -> None:
    assert labels_wanted(part(50, 40, 0.35, 0.65), None) == 10
    assert labels_wanted(part(40, 40, 0.35, 0.65), None) is None


def test_a_chance_is_needed_for_each_labelled_row() -> None:
    data = pd.DataFrame({"instruction": ["a", "b"], "response": "x", "human_label": ["ACCEPT", None]})
    with pytest.raises(DataError, match=r"labelled row 0 had a chance of 0\.0"):
        Scored.of(data, [0.5, 0.5], 0.5, inclusion=[0.0, 0.5])
