import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from weaklm.quality.ridge import fit_line
from weaklm.quality.scale import Scale
from weaklm.quality.stack import Stack, Taught, learn_from_people

Numbers = NDArray[np.float64]
FREE = np.zeros(6, dtype=np.int64)


def rows(n: int, seed: int) -> tuple[Numbers, Numbers]:
    """Return features and a weak logit that is made of the first two."""
    Z = np.random.default_rng(seed).normal(size=(n, 6))
    return Z, Z[:, 0] + Z[:, 1]


def draw(logit: Numbers, seed: int) -> Numbers:
    return (np.random.default_rng(seed).random(len(logit)) < expit(logit)).astype(np.float64)


def fit(weak: Numbers, Z: Numbers, Y: Numbers, signs: NDArray[np.int64] = FREE) -> Stack:
    return Stack.fit(weak, Z, Y, prior=np.array([1.0, 1, 0, 0, 0, 0]), signs=signs, weights=np.ones(len(Y)))


def log_loss(logit: Numbers, Y: Numbers) -> float:
    return float(np.mean(np.logaddexp(0, logit) - Y * logit))


def test_a_line_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    Z, weak = rows(300, 0)
    Y = draw(weak, 1)
    theirs = LogisticRegression(C=0.2, tol=1e-10).fit(Z, Y)
    ours = fit_line(Z, Y, ridge=5.0)
    assert ours.slopes == pytest.approx(theirs.coef_[0], abs=0.01)  # they do not hold the intercept


@pytest.mark.parametrize("n", [12, 20, 40, 100])
def test_it_is_no_worse_than_the_weak_logit_where_that_is_right(n: int) -> None:
    Z_new, weak_new = rows(5000, 99)
    extra = []
    for seed in range(40):
        Z, weak = rows(n, seed)
        stack = fit(weak, Z, draw(weak, 1000 + seed))
        p = expit(weak_new)
        logit = stack.logit(weak_new, Z_new)
        extra.append(np.mean(np.logaddexp(0, logit) - p * logit) - np.mean(np.logaddexp(0, weak_new) - p * weak_new))
    assert np.mean(extra) < 0.035  # of a log loss of .52; a logistic regression on the same labels costs ten times that


def test_many_labels_teach_what_the_weak_labels_missed() -> None:
    Z, weak = rows(2000, 0)
    truth = 2 * weak - 1 + 2 * Z[:, 4]
    stack = fit(weak, Z, draw(truth, 1))
    assert stack.ridge == 20.0
    assert log_loss(stack.logit(weak, Z), draw(truth, 2)) < log_loss(truth, draw(truth, 2)) + 0.01


def test_where_features_say_nothing_more_only_scale_and_level_move() -> None:
    Z, weak = rows(400, 0)
    stack = fit(weak, Z, draw(0.5 * weak - 1, 1))
    assert stack.ridge is not None
    assert stack.ridge >= 1000
    assert np.abs(stack.slopes).max() < 0.05
    assert stack.scale == pytest.approx(0.5, abs=0.15)
    assert stack.intercept == pytest.approx(-1, abs=0.25)


def test_weak_and_human_slopes_together_keep_the_direction() -> None:
    Z, weak = rows(500, 0)
    signs = np.array([1, 1, 0, 0, 1, -1])
    stack = fit(weak, Z, draw(-3 * Z[:, 0] - 3 * Z[:, 4] + 3 * Z[:, 5], 1), signs)
    total = np.array(stack.slopes) + stack.scale * np.array([1.0, 1, 0, 0, 0, 0])
    assert total[0] == pytest.approx(0, abs=1e-9)
    assert total[4] == pytest.approx(0, abs=1e-9)
    assert total[5] == pytest.approx(0, abs=1e-9)


def test_contributions_sum_to_the_logit() -> None:
    Z, weak = rows(200, 0)
    stack = fit(weak, Z, draw(weak + Z[:, 3], 1))
    parts = np.column_stack([Z[:, :2], np.zeros((200, 4)), np.zeros(200)])
    np.testing.assert_allclose(stack.contributions(parts, Z).sum(axis=1), stack.logit(weak, Z))


def taught(n: int, Y: NDArray[np.int8], min_human: int = 10) -> Taught:
    Z, weak = rows(n, 0)
    return learn_from_people(
        weak,
        Z,
        Y,
        np.arange(n) % 5,
        group=np.arange(n),
        prior=np.zeros(6),
        signs=FREE,
        weights=np.ones(int((Y >= 0).sum())),
        min_human=min_human,
    )


@pytest.mark.parametrize("n", [100, 1300])  # with the stack's own line, and with Venn-ABERS
def test_no_label_of_a_fold_reaches_its_scores(n: int) -> None:
    Y, third = draw(rows(n, 0)[1], 1).astype(np.int8), np.arange(n) % 5 == 3
    before, after = taught(n, Y), taught(n, np.where(third, 1 - Y, Y).astype(np.int8))
    np.testing.assert_array_equal(before.oof_score[third], after.oof_score[third])
    assert (before.oof_score[~third] != after.oof_score[~third]).mean() > 0.3  # Venn-ABERS has steps


def test_too_few_labels_change_nothing() -> None:
    Y = np.where(np.arange(100) < 19, np.arange(100) % 2, -1).astype(np.int8)
    found = taught(100, Y)
    assert (found.stack, found.calibration.from_labels) == (Stack(), False)  # type: ignore[union-attr]
    assert taught(100, Y, min_human=9).stack.ridge is not None


def test_ranks_do_not_follow_outliers() -> None:
    X = np.arange(1001.0)[:, None]
    scale = Scale.fit(X.astype(np.float32))
    inside, far = scale.apply(np.array([[1000.0], [1e9]]))
    assert inside == far == pytest.approx(1.47, abs=0.01)  # .5 over .289 + .05


def test_a_gap_is_filled_with_the_median() -> None:
    scale = Scale.fit(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [5.0, np.nan]], dtype=np.float32))
    assert scale.fill(np.full((1, 2), np.nan)).tolist() == [[3.0, 0.0]]
    assert np.isfinite(scale.apply(np.array([[2.0, 7.0]]))).all()
