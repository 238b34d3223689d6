"""Simulations: do intervals cover as often as they say, are certificates kept, do tests err no more than they may.

The true rate is drawn anew in each run, from a range. At one fixed rate no interval of a few counts can keep to .95:
of 10 rows with a reject rate of .05, an interval covers in .91 or in .99 of cases, and nothing between.
"""

from typing import Any

import numpy as np
import pytest

from weaklm.certificate import LabelUse, certify
from weaklm.estimation import Estimate, corrected_rate, human_rate, paired_difference
from weaklm.evaluation import METRICS, evaluate
from weaklm.metrics import auc, balanced_accuracy, brier, f1
from weaklm.sampling import draw
from weaklm.significance import mcnemar
from weaklm.survey import score_strata

pytestmark = pytest.mark.slow

REJECT_RATES = {"rare reject": (0.01, 0.1), "some reject": (0.02, 0.2), "any": (0.1, 0.9)}
SCORES = {"fair": (0.0, 1.0), "generous": (1.5, 1.0), "sharp": (0.0, 2.0), "severe and vague": (-2.0, 0.5)}


def rows(random: np.random.Generator, n: int, reject_rate: float, bias: float, sharpness: float) -> tuple[Any, Any]:
    """Return labels (n,) and scores (n,) that follow them."""
    truth = (random.random(n) >= reject_rate).astype(int)
    return truth, 1 / (1 + np.exp(-(sharpness * (2 * truth - 1) + random.normal(size=n) + bias)))


def covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("n", [0, 5, 10, 20, 50, 100, 400])
@pytest.mark.parametrize("rates", REJECT_RATES)
@pytest.mark.parametrize("score", SCORES)
def test_rates_are_covered(n: int, rates: str, score: str) -> None:
    random, runs = np.random.default_rng(n), 1000
    found = np.zeros((runs, 5))
    for run in range(runs):
        rate = 1 - random.uniform(*REJECT_RATES[rates])
        truth, f = rows(random, 600, 1 - rate, *SCORES[score])
        Y = np.where(np.arange(600) < n, truth, -1)
        human, human_finite = human_rate(Y), human_rate(Y, finite=True)
        found[run] = (
            covers(human, rate),
            covers(corrected_rate(Y, f) or human, rate),
            covers(corrected_rate(Y, f, strata=score_strata(f)) or human, rate),
            covers(human_finite, truth.mean()),
            covers(corrected_rate(Y, f, finite=True) or human_finite, truth.mean()),
        )
    covered = found.mean(axis=0)
    assert (covered == 1 if n == 0 else (covered >= 0.925) & (covered <= 0.985)).all(), covered


@pytest.mark.parametrize("n", [20, 50, 100, 400])
@pytest.mark.parametrize("rates", ["some reject", "any"])
@pytest.mark.parametrize("score", SCORES)
def test_rates_from_uneven_draws_are_covered_and_unbiased(n: int, rates: str, score: str) -> None:
    random, runs = np.random.default_rng(n), 500
    found, errors = np.zeros((runs, 2)), []
    for run in range(runs):
        rate = 1 - random.uniform(*REJECT_RATES[rates])
        truth, f = rows(random, 800, 1 - rate, *SCORES[score])
        part = random.integers(0, 4, 800)
        batch = draw(f, n, strata=part, random_state=run)
        Y = np.full(800, -1)
        Y[batch.rows] = truth[batch.rows]
        human = human_rate(Y, inclusion=batch.inclusion)
        corrected = corrected_rate(Y, f, strata=part, inclusion=batch.inclusion) or human
        found[run] = covers(human, rate), covers(corrected, rate)
        errors.append(human.value - truth.mean())
    covered = found.mean(axis=0)
    assert ((covered >= 0.92) & (covered <= 0.99)).all(), covered
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(runs)


@pytest.mark.parametrize("n", [20, 50, 100, 400])
@pytest.mark.parametrize(("bias", "sharpness"), [(0.0, 1.2), (1.0, 0.6)], ids=["calibrated", "generous"])
def test_metrics_are_covered(n: int, bias: float, sharpness: float) -> None:
    random, runs = np.random.default_rng(n), 400

    def sample(size: int, reject_rate: float) -> tuple[Any, Any]:
        truth, z = (labels := random.random(size) >= reject_rate).astype(int), random.normal(size=size)
        logit = 2 * sharpness * (sharpness * (2 * labels - 1) + z) + np.log((1 - reject_rate) / reject_rate) + bias
        return truth, 1 / (1 + np.exp(-logit))

    n_bins, expected = min(max(n // 20, 1), 10), {}
    found = np.full((runs, len(METRICS)), np.nan)
    for run in range(runs):
        reject_rate = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)[run % 9]
        if reject_rate not in expected:
            truth, f = sample(100_000, reject_rate)
            decided = f >= 0.5
            bins = np.array_split(np.argsort(f), n_bins)
            gap = sum(abs((truth[part] - f[part]).mean()) for part in bins) / n_bins
            shares = (auc(truth, f), balanced_accuracy(truth, decided), f1(truth, decided), f1(truth, decided, of=0))
            expected[reject_rate] = np.array([*shares, brier(truth, f), gap])
        table = evaluate(*sample(n, reject_rate), n_resamples=200, random_state=run).metrics
        inside = (table["low"] <= expected[reject_rate]) & (expected[reject_rate] <= table["high"])
        found[run] = np.where(table["low"].isna(), np.nan, inside)
    covered = np.nanmean(found[:, :5] if n < 50 else found, axis=0)
    assert ((covered >= 0.92) & (covered <= 0.99)).all(), covered


@pytest.mark.parametrize("n", [60, 100, 200, 400])
@pytest.mark.parametrize("how", ["evenly", "in the upper half", "half where unsure"])
@pytest.mark.parametrize("max_bad_rate", [0.1, 0.2])
def test_certificates_are_broken_no_more_often_than_delta(n: int, how: str, max_bad_rate: float) -> None:
    random, runs, delta = np.random.default_rng(n), 250, 0.1
    large, f = rows(random, 400_000, 0.5, 0.0, 1.5)
    order = np.argsort(-f)
    bad_above, scores = np.cumsum(1 - large[order]) / np.arange(1, 400_001), f[order]
    broken = certified = 0
    for run in range(runs):
        truth, f = rows(random, 2000, 0.5, 0.0, 1.5)
        start, inclusion = 0.0, None
        if how == "half where unsure":
            batch = draw(f, n, random_state=run)
            labelled, inclusion = batch.rows, batch.inclusion
        else:
            start = 0.0 if how == "evenly" else float(np.median(f))
            labelled = random.permutation(np.flatnonzero(f >= start))[:n]
        Y = np.full(2000, -1)
        Y[labelled] = truth[labelled]
        certificate = certify(
            f,
            Y,
            range(2000),
            LabelUse(),
            max_bad_rate=max_bad_rate,
            delta=delta,
            drawn_from=start,
            inclusion=inclusion,
            random_state=run,
        )
        certified += certificate.is_certified
        if certificate.threshold is not None:
            broken += bad_above[np.searchsorted(-scores, -certificate.threshold, side="right") - 1] > max_bad_rate
    assert broken / runs <= delta
    assert certified / runs > 0.8 or n < 400


@pytest.mark.parametrize("n", [5, 10, 20, 50, 100, 400])
@pytest.mark.parametrize("rates", REJECT_RATES)
def test_two_equal_sources_are_rarely_called_different(n: int, rates: str) -> None:
    random, runs = np.random.default_rng(n), 3000
    wrong = np.zeros(3)
    low, high = REJECT_RATES[rates]
    for _ in range(runs):
        chance = 1 - random.uniform(low, high, n)  # some instructions are harder for both
        before, after = random.random(n) < chance, random.random(n) < chance
        documents = np.arange(n) // 4
        shift = random.random(n // 4 + 1)[documents] < 0.5  # whole documents rise and fall together
        shaken = np.where(shift, after, before)
        clustered = paired_difference(before, shaken, clusters=documents)
        wrong += [
            not covers(paired_difference(before, after), 0),
            not (np.isnan(clustered.low) or covers(clustered, 0)),
            mcnemar(before, after).p_value <= 0.05,
        ]
    assert (wrong / runs <= [0.055, 0.055, 0.05]).all(), wrong / runs


@pytest.mark.parametrize("n", [20, 50, 100, 400])
@pytest.mark.parametrize("gain", [0.1, 0.4])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "by document"])
def test_differences_are_covered(n: int, gain: float, shared: bool) -> None:
    random, runs = np.random.default_rng(n), 1500
    found = np.zeros((runs, 2))
    for run in range(runs):
        documents = np.arange(n) // 2 if shared else np.arange(n)
        hard = random.random(n)[documents] * (1 - gain)  # the instructions of a document are equally hard
        luck = random.random(n)[documents] if shared else random.random(n)
        before, after = luck < hard, random.random(n) < hard + gain
        found[run, 0] = covers(paired_difference(before, after, clusters=documents), gain)
        found[run, 1] = shared or covers(
            paired_difference(hard, hard + gain * random.exponential(size=n), smooth=False), gain
        )
    covered = found.mean(axis=0)[: 1 if shared else 2]
    assert ((covered >= 0.925) & (covered <= 0.985)).all(), covered
