import math

import numpy as np
import pytest

from weaklm import metrics
from weaklm.errors import DataError

Y = [1, 1, 1, 0, 0]
SCORE = [0.9, 0.6, 0.3, 0.6, 0.1]
DECISIONS = [1, 1, 0, 1, 0]


def test_auc_counts_pairs_and_ties_by_half() -> None:
    # of 6 pairs: 0.9 beats both, 0.6 ties one and beats one, 0.3 beats one
    assert metrics.auc(Y, SCORE) == pytest.approx((2 + 1.5 + 1) / 6)


def test_auc_of_one_class_is_nan() -> None:
    assert math.isnan(metrics.auc([1, 1], [0.2, 0.8]))


def test_auc_and_brier_agree_with_sklearn_on_tied_scores() -> None:
    from sklearn.metrics import brier_score_loss, cohen_kappa_score, f1_score, roc_auc_score

    random = np.random.default_rng(0)
    labels, score = random.integers(0, 2, 200), random.integers(0, 11, 200) / 10
    assert metrics.auc(labels, score) == pytest.approx(roc_auc_score(labels, score))
    assert metrics.brier(labels, score) == pytest.approx(brier_score_loss(labels, score))
    assert metrics.f1(labels, score > 0.5, of=0) == pytest.approx(f1_score(labels, score > 0.5, pos_label=0))
    assert metrics.agreement(labels, score > 0.5) == pytest.approx(cohen_kappa_score(labels, score > 0.5))


def test_balanced_accuracy_weighs_both_classes_equally() -> None:
    assert metrics.balanced_accuracy(Y, DECISIONS) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_f1_of_both_classes() -> None:
    assert metrics.f1(Y, DECISIONS) == pytest.approx(2 * 2 / (3 + 3))
    assert metrics.f1(Y, DECISIONS, of=0) == pytest.approx(2 * 1 / (2 + 2))


def test_brier_is_the_mean_squared_distance() -> None:
    assert metrics.brier(Y, SCORE) == pytest.approx((0.01 + 0.16 + 0.49 + 0.36 + 0.01) / 5)


def test_ece_compares_score_and_share_in_bins_of_equal_mass() -> None:
    # bins: scores .1 .2 (none accepted), .8 .9 (all accepted)
    assert metrics.ece([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], bins=2) == pytest.approx(0.15)


def test_ece_does_not_depend_on_the_order_of_tied_rows() -> None:
    labels, score = np.array([0, 1, 0, 1, 1, 0]), np.full(6, 0.5)
    assert metrics.ece(labels, score, bins=3) == metrics.ece(np.sort(labels), score, bins=3) == 0


def test_kappa_is_zero_at_chance_and_nan_when_nothing_varies() -> None:
    assert metrics.agreement([1, 1, 0, 0], [1, 0, 1, 0]) == 0
    assert math.isnan(metrics.agreement([1, 1], [1, 1]))


@pytest.mark.parametrize("metric", [metrics.auc, metrics.brier, metrics.ece, metrics.f1, metrics.balanced_accuracy])
def test_a_row_without_label_is_refused(metric: object) -> None:
    with pytest.raises(DataError, match="leave rows without a label"):
        metric([1, -1], [0.5, 0.5])  # type: ignore[operator]


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(2,\) and \(3,\)"):
        metrics.auc([0, 1], [0.1, 0.2, 0.3])
