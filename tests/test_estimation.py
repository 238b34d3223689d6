import math

import numpy as np
import pytest

from weaklm.errors import DataError
from weaklm.estimation import corrected_rate, human_rate, paired_difference, rate, wilson


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


def test_no_observation_is_no_number_in_json() -> None:
    assert rate([]).to_dict() == {
        "value": None,
        "low": None,
        "high": None,
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
    # rest: mean .7; residuals -.4 and .2: mean -.1
    assert estimate.value == pytest.approx(0.7 - 0.1)
    variance = 0.03 / 20 + (20 * 0.09 + 0.5) / 22 / 20  # the rest's .75 * .25 * .4**2; the residuals' .3**2
    assert estimate.high - estimate.value == pytest.approx(2.0930 * math.sqrt(variance), abs=1e-4)


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


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 100])
@pytest.mark.parametrize("bias", [0.0, 1.5], ids=["fair score", "generous score"])
def test_95_percent_intervals_cover_the_truth(n: int, bias: float) -> None:
    random, true_rate, n_runs = np.random.default_rng(n), 0.65, 2000
    covered = np.zeros(2)
    for _ in range(n_runs):
        truth = (random.random(500) < true_rate).astype(int)
        score = 1 / (1 + np.exp(-(2 * truth - 1 + random.normal(size=500) + bias)))
        Y = np.where(np.arange(500) < n, truth, -1)
        estimates = [human_rate(Y), corrected_rate(Y, score) or human_rate(Y)]
        covered += [estimate.low <= true_rate <= estimate.high for estimate in estimates]
    assert (covered / n_runs > 0.92).all()
    assert (covered / n_runs < 0.98).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 20, 50, 100])
def test_two_equal_sources_are_rarely_called_different(n: int) -> None:
    random = np.random.default_rng(n)
    wrong = 0
    for _ in range(2000):
        hard = random.random(n)  # some instructions are harder for both
        before, after = (random.random(n) < hard), (random.random(n) < hard)
        estimate = paired_difference(before, after)
        wrong += not estimate.low <= 0 <= estimate.high
    assert wrong / 2000 <= 0.06
