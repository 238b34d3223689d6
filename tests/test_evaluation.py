import json
import math

import numpy as np
import pytest

from weaklm import metrics
from weaklm.errors import DataError, SettingsError
from weaklm.evaluation import METRICS, evaluate

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(400) < 0.7).astype(int)
SCORE = 1 / (1 + np.exp(-(2 * Y - 0.5 + RANDOM.normal(size=400))))
LENGTH = RANDOM.integers(5, 300, 400)


def test_the_values_are_those_of_the_metrics() -> None:
    table = evaluate(Y, SCORE, n_resamples=100).metrics
    assert tuple(table.index) == METRICS
    assert table.loc["auc", "value"] == pytest.approx(metrics.auc(Y, SCORE))
    assert table.loc["balanced_accuracy", "value"] == pytest.approx(metrics.balanced_accuracy(Y, SCORE >= 0.5))
    assert table.loc["f1_accept", "value"] == pytest.approx(metrics.f1(Y, SCORE >= 0.5))
    assert table.loc["f1_reject", "value"] == pytest.approx(metrics.f1(Y, SCORE >= 0.5, of=0))
    assert table.loc["brier", "value"] == pytest.approx(metrics.brier(Y, SCORE))


def test_every_value_lies_in_its_interval() -> None:
    table = evaluate(Y, SCORE, n_resamples=100).metrics
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_rejecting_everything_is_the_first_baseline() -> None:
    share = (Y == 0).mean()
    table = evaluate(Y, SCORE, n_resamples=100).metrics["reject_everything"]
    assert table["auc"] == table["balanced_accuracy"] == 0.5
    assert table["f1_reject"] == pytest.approx(2 * share / (1 + share))
    assert table["f1_accept"] == 0
    assert (table["brier"], table["ece"]) == pytest.approx((1 - share, 1 - share))


def test_a_score_that_is_the_length_is_a_shortcut() -> None:
    length = np.where(Y == 1, 200, 100) + LENGTH // 3
    score = (length - length.min()) / np.ptp(length)
    evaluation = evaluate(Y, score, length=length, n_resamples=100)
    assert evaluation.is_shortcut
    assert evaluation.over_length is not None
    assert evaluation.over_length.value == pytest.approx(0)
    assert evaluation.metrics.loc["auc", "length_only"] == pytest.approx(metrics.auc(Y, length))


def test_a_score_that_ranks_better_than_the_length_is_none() -> None:
    evaluation = evaluate(Y, SCORE, length=LENGTH, n_resamples=100)
    assert not evaluation.is_shortcut
    assert evaluation.metrics.loc["auc", "length_only"] < 0.6 < evaluation.metrics.loc["auc", "low"]


def test_rows_of_one_group_are_drawn_together() -> None:
    once = evaluate(Y, SCORE, n_resamples=400).metrics
    copied = (np.repeat(values, 4) for values in (Y, SCORE))
    grouped = evaluate(*copied, groups=np.repeat(np.arange(400), 4), n_resamples=400)
    alone = evaluate(np.repeat(Y, 4), np.repeat(SCORE, 4), n_resamples=400).metrics
    assert (grouped.n, grouped.n_groups) == (1600, 400)
    width = {name: (t["high"] - t["low"]).drop("ece") for name, t in [("once", once), ("alone", alone)]}
    together = (grouped.metrics["high"] - grouped.metrics["low"]).drop("ece")
    assert (together / width["once"]).to_numpy() == pytest.approx(np.ones(5), abs=0.15)
    assert (width["alone"] / width["once"]).to_numpy() == pytest.approx(np.full(5, 0.5), abs=0.15)


def test_unlabelled_rows_are_left_out() -> None:
    some = np.where(np.arange(400) < 300, Y, -1)
    whole, part = evaluate(some, SCORE, n_resamples=100), evaluate(Y[:300], SCORE[:300], n_resamples=100)
    assert whole.metrics.equals(part.metrics)
    assert whole.n == 300


def test_a_perfect_ranking_of_few_rows_is_not_certain() -> None:
    table = evaluate([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], n_resamples=100).metrics
    assert table.loc["auc", "value"] == table.loc["auc", "high"] == 1
    assert table.loc["auc", "low"] < 0.7


def test_a_perfect_ranking_of_few_groups_is_as_uncertain_as_of_few_rows() -> None:
    labels, score, groups = np.repeat([0, 0, 1, 1], 25), np.repeat([0.1, 0.2, 0.8, 0.9], 25), np.repeat(range(4), 25)
    assert evaluate(labels, score, groups=groups, n_resamples=100).metrics.loc["auc", "low"] < 0.6


def test_a_calibrated_score_shows_no_calibration_error() -> None:
    random, raw, corrected = np.random.default_rng(3), [], []
    for seed in range(8):
        score = random.random(300)
        labels = (random.random(300) < score).astype(int)
        table = evaluate(labels, score, n_resamples=100, random_state=seed).metrics
        assert table.loc["ece", "low"] == 0
        raw.append(metrics.ece(labels, score))
        corrected.append(table.loc["ece", "value"])
    assert np.mean(raw) > 0.06
    assert np.mean(corrected) < 0.03


def test_under_fifty_rows_there_is_no_calibration_error() -> None:
    assert math.isnan(evaluate(Y[:49], SCORE[:49], n_resamples=100).metrics.loc["ece", "value"])


def test_the_reliability_curve_has_equally_many_rows_a_bin() -> None:
    curve = evaluate(Y, SCORE, n_resamples=100).reliability
    assert curve["n"].tolist() == [40] * 10
    assert curve["mean_score"].is_monotonic_increasing
    assert ((curve["low"] <= curve["share_accepted"]) & (curve["share_accepted"] <= curve["high"])).all()


def test_the_order_of_rows_does_not_count() -> None:
    order = np.random.default_rng(1).permutation(400)
    first, second = evaluate(Y, SCORE, n_resamples=100), evaluate(Y[order], SCORE[order], n_resamples=100)
    assert first.metrics["value"].drop("ece").to_numpy() == pytest.approx(
        second.metrics["value"].drop("ece").to_numpy()
    )


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert evaluate(Y, SCORE, n_resamples=100).metrics.equals(evaluate(Y, SCORE, n_resamples=100).metrics)


@pytest.mark.parametrize("labels", [[], [1], [0, 0, 0], [-1, -1]], ids=["no row", "one row", "one class", "no label"])
def test_what_cannot_be_said_is_nan_and_null_in_json(labels: list[int]) -> None:
    evaluation = evaluate(labels, np.full(len(labels), 0.7), length=np.ones(len(labels)), n_resamples=100)
    assert math.isnan(evaluation.metrics.loc["auc", "low"])
    facts = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert facts["metrics"]["auc"] == dict.fromkeys(facts["metrics"]["auc"])


def test_few_resamples_are_refused() -> None:
    with pytest.raises(SettingsError, match="n_resamples is 10"):
        evaluate(Y, SCORE, n_resamples=10)


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"groups have shape \(3,\)"):
        evaluate(Y, SCORE, groups=[1, 2, 3])
