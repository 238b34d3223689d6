import math

import numpy as np
import pytest

from weaklm.errors import DataError
from weaklm.estimation import (
    Estimate,
    by_instruction,
    corrected_difference,
    corrected_rate,
    human_rate,
    label_worth,
    labels_needed,
    paired_difference,
    rate,
    wilson,
)
from weaklm.survey import score_strata


def test_wilson_of_eight_in_ten() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_takes_arrays_and_leaves_a_gap_without_observations() -> None:
    low, high = wilson(np.array([0, 5, 0]), np.array([5, 5, 0]))
    assert low == pytest.approx([0, 0.5655, math.nan], abs=1e-4, nan_ok=True)
    assert high == pytest.approx([0.4345, 1, math.nan], abs=1e-4, nan_ok=True)


def test_wilson_refuses_more_successes_than_trials() -> None:
    with pytest.raises(DataError, match="3 successes of 2"):
        wilson(3, 2)


def test_the_human_rate_leaves_unlabelled_rows_out() -> None:
    estimate = human_rate(np.array([1, -1, 0, 1, -1, 1]))
    assert (estimate.value, estimate.n, estimate.method) == (0.75, 4, "Wilson")


def test_without_observations_a_rate_may_be_anything() -> None:
    assert rate([]).to_dict() == {
        "value": None,
        "low": 0.0,
        "high": 1.0,
        "n_effective": 0.0,
        "n": 0,
        "method": "Wilson",
        "too_few": True,
    }


def labelled(n: int, n_reject: int, n_rest: int = 100) -> np.ndarray:
    return np.concatenate([np.zeros(n_reject), np.ones(n - n_reject), np.full(n_rest, -1)]).astype(int)


@pytest.mark.parametrize(
    "Y",
    [labelled(14, 5), labelled(40, 2), labelled(40, 20, n_rest=0), labelled(0, 0)],
    ids=["14 labels", "2 rejected", "all labelled", "no label"],
)
def test_there_is_no_correction_without_enough_labels(Y: np.ndarray) -> None:
    assert corrected_rate(Y, np.full(len(Y), 0.5)) is None


def test_the_correction_by_hand() -> None:
    # score = 0.8 for accepted and 0.4 for rejected rows: Cov = .4 Var(y), Var(f) = .16 Var(y), n / N = 1 -> weight 1
    Y = np.array([0] * 10 + [1] * 10 + [-1] * 20)
    score = np.array([0.4] * 10 + [0.8] * 10 + [0.8] * 15 + [0.4] * 5)
    estimate = corrected_rate(Y, score)
    assert estimate is not None
    # all rows: mean score .65, trusted twice; residuals y - 2 f: -.6 and -.8, mean -.7
    assert estimate.value == pytest.approx(2 * 0.65 - 0.7)
    # residuals' .1**2 over 20 of 40 rows; two imagined residuals; the rows' own .25
    variance = 19 / 22 * (0.5 * 0.01 / 19) + 0.5 * 0.25 / (20 * 22) + 0.25 / 40
    smoothed = (20 * 0.6 + 1) / 22
    assert estimate.n_effective == pytest.approx(smoothed * (1 - smoothed) / variance)
    centre, z2 = 0.6, 2.0930**2 / estimate.n_effective  # Wilson's formula with t(19)
    half = math.sqrt(z2 * centre * (1 - centre) + z2**2 / 4) / (1 + z2)
    assert estimate.high == pytest.approx((centre + z2 / 2) / (1 + z2) + half, abs=1e-4)


def test_a_useless_score_changes_nothing() -> None:
    estimate = corrected_rate(labelled(40, 10), np.full(140, 0.2))
    assert estimate is not None
    assert estimate.value == 0.75


def test_paired_difference_by_hand() -> None:
    estimate = paired_difference([0.2, 0.4, 0.6], [0.4, 0.4, 0.9], smooth=False)
    # differences .2, 0, .3: mean 1/6, sd .1528, t(2) = 4.3027
    assert estimate.value == pytest.approx(1 / 6)
    assert estimate.n == 3
    assert estimate.high == pytest.approx(1 / 6 + 4.3027 * 0.1528 / math.sqrt(3), abs=1e-3)


def test_ties_only_do_not_claim_certainty() -> None:
    estimate = paired_difference([1, 1, 1, 1, 1], [1, 1, 1, 1, 1])
    assert estimate.value == 0
    assert estimate.low < -0.3 < 0.3 < estimate.high


@pytest.mark.parametrize("n", [0, 1])
def test_below_two_pairs_there_is_no_interval(n: int) -> None:
    estimate = paired_difference(np.zeros(n), np.ones(n))
    assert estimate.method == "too few"
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_clusters_of_one_instruction_change_nothing() -> None:
    before, after = [0, 1, 0, 1, 0], [1, 1, 0, 1, 1]
    alone, clustered = paired_difference(before, after), paired_difference(before, after, clusters=list("abcde"))
    assert (clustered.value, clustered.low, clustered.high) == (alone.value, alone.low, alone.high)


def test_instructions_that_say_the_same_count_once() -> None:
    before, after = np.tile([0, 1, 0, 1, 0], 10), np.tile([1, 1, 0, 1, 1], 10)
    once = paired_difference(before[:5], after[:5])
    copies = paired_difference(before, after, clusters=np.tile(np.arange(5), 10))
    assert copies.n == 5
    assert copies.low == pytest.approx(once.low)
    assert copies.high == pytest.approx(once.high)


def test_several_answers_to_an_instruction_count_as_their_mean() -> None:
    ids, means = by_instruction([1, 0, 1, 1], ["q2", "q1", "q2", "q1"])
    assert ids.tolist() == ["q1", "q2"]
    assert means.tolist() == [0.5, 1.0]


def test_a_rate_of_exactly_these_rows_is_known_when_all_are_labelled() -> None:
    estimate = human_rate(np.array([1, 0, 1, 1]), finite=True)
    assert (estimate.low, estimate.value, estimate.high) == (0.75, 0.75, 0.75)


def test_the_finite_population_factor_by_hand() -> None:
    # 50 of 101: (101 - 1) / (101 - 50) = 1.961 times as many rows
    estimate = rate([True] * 40 + [False] * 10, population=101)
    low, high = wilson(40 * 100 / 51, 50 * 100 / 51)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_a_population_smaller_than_the_sample_is_refused() -> None:
    with pytest.raises(DataError, match="4 observations of a population of 3"):
        rate([True] * 4, population=3)


def test_rows_drawn_twice_as_often_count_half() -> None:
    Y = np.array([1, 1, 0, -1])
    estimate = human_rate(Y, inclusion=[0.5, 0.5, 0.25, 0.25])
    assert estimate.value == pytest.approx((2 + 2) / (2 + 2 + 4))
    assert estimate.n_effective == pytest.approx(8**2 / (4 + 4 + 16))
    assert estimate.method == "weighted Wilson"


def test_a_labelled_row_without_a_chance_is_refused() -> None:
    with pytest.raises(DataError, match=r"labelled row 1 had a chance of 0\.0"):
        human_rate(np.array([1, 0, -1]), inclusion=[0.5, 0.0, 0.0])


def test_strata_count_by_their_rows_and_not_by_their_labels() -> None:
    # 80 rows of which 20 of 20 labelled are accepted; 20 rows of which 0 of 20 labelled are: 80 %
    strata = np.repeat([0, 1], [80, 20])
    Y = np.full(100, -1)
    Y[:20], Y[80:] = 1, 0
    estimate = corrected_rate(Y, np.full(100, 0.5), strata=strata)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.8)
    assert estimate.method == "stratified PPI++"


def test_equal_chances_are_no_weights() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(200) < 0.6).astype(int)
    score = np.clip(0.3 + 0.4 * truth + 0.1 * random.normal(size=200), 0, 1)
    Y = np.where(np.arange(200) < 50, truth, -1)
    plain, weighted = corrected_rate(Y, score), corrected_rate(Y, score, inclusion=np.full(200, 0.25))
    assert plain is not None
    assert weighted is not None
    assert (plain.value, plain.low, plain.high) == pytest.approx((weighted.value, weighted.low, weighted.high))


def test_strata_by_score_hold_equally_many_rows() -> None:
    assert np.bincount(score_strata(np.random.default_rng(0).random(1000))).tolist() == [250] * 4


def test_a_score_that_follows_the_labels_makes_each_label_worth_more() -> None:
    random = np.random.default_rng(1)
    truth = (random.random(2000) < 0.6).astype(int)
    score = np.clip(0.2 + 0.6 * truth + 0.1 * random.normal(size=2000), 0, 1)
    Y = np.where(np.arange(2000) < 100, truth, -1)
    estimate = corrected_rate(Y, score)
    assert estimate is not None
    assert estimate.label_worth > 4
    assert label_worth(Y, score) > 8  # for endlessly many unlabelled rows
    assert math.isnan(label_worth([1, 1, 1], [0.1, 0.2, 0.3]))


def test_no_more_labels_are_needed_once_the_interval_is_to_one_side() -> None:
    assert labels_needed(Estimate(0.8, 0.75, 0.85, 200, "Wilson"), boundary=0.7) == 0


def test_labels_needed_by_hand() -> None:
    # one observation spreads by .2 / (2 * 1.96) * sqrt(100) = .5102; (2.8016 * .5102 / .05)**2 = 817.2 in all
    assert labels_needed(Estimate(0.75, 0.65, 0.85, 100, "Wilson"), boundary=0.7) == 818 - 100


@pytest.mark.parametrize("value", [0.7, math.nan])
def test_no_number_of_labels_decides_a_tie(value: float) -> None:
    assert labels_needed(Estimate(value, 0.6, 0.8, 100, "Wilson"), boundary=0.7) is None


def test_people_s_difference_is_corrected_by_the_scores_of_unlabelled_pairs() -> None:
    random = np.random.default_rng(2)
    before, after = (random.random(1000) < 0.5).astype(float), (random.random(1000) < 0.7).astype(float)
    labelled = np.arange(1000) < 100
    noise = random.normal(size=(2, 1000)) * 0.05
    people = np.where(labelled, before, np.nan), np.where(labelled, after, np.nan)
    estimate = corrected_difference(*people, 0.2 + 0.5 * before + noise[0], 0.3 + 0.5 * after + noise[1])
    alone = paired_difference(before[labelled], after[labelled])
    assert estimate is not None
    assert estimate.low < float((after - before).mean()) < estimate.high
    assert estimate.high - estimate.low < 0.6 * (alone.high - alone.low)


def test_the_correction_agrees_with_ppi_python() -> None:
    ppi = pytest.importorskip("ppi_py", reason="the reference implementation of PPI++, an extra of tests")
    random = np.random.default_rng(3)
    truth = (random.random(3000) < 0.7).astype(int)
    score = 1 / (1 + np.exp(-(2 * truth - 1 + random.normal(size=3000))))
    Y = np.where(np.arange(3000) < 500, truth, -1)
    estimate = corrected_rate(Y, score)
    assert estimate is not None
    arrays = (truth[:500].astype(float), score[:500], score[500:])
    low, high = (float(end[0]) for end in ppi.ppi_mean_ci(*arrays, alpha=0.05))
    assert estimate.value == pytest.approx(float(ppi.ppi_mean_pointestimate(*arrays)[0]), abs=2e-3)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=4e-3)
