"""Label models: literals, planted truth, invariance, parity with the formula and with Snorkel, messages."""

import json
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

from weaklm.data import ABSTAIN
from weaklm.errors import DataError, ModelError
from weaklm.gold_offset import ridge_offset
from weaklm.label_model import LabelModel
from weaklm.snorkel_model import SnorkelLabelModel
from weaklm.voter import MajorityLabelVoter

SHARED = Path(__file__).parents[2] / "shared" / "data"
LITTLE = np.array([[1, 1, 0], [1, -1, 1], [-1, 0, 0]], np.int8)

Votes = NDArray[np.int8]


def simulate(
    accuracy: list[float], coverage: float = 0.5, n: int = 4000, accept: float = 0.5, unipolar: bool = False
) -> tuple[Votes, Votes]:
    """Return votes of independent functions and the truth; unipolar ones vote one class only, by turns."""
    rng = np.random.default_rng(7)
    Y = (rng.random(n) < accept).astype(np.int8)
    right = rng.random((n, len(accuracy))) < accuracy
    L = np.where(right, Y[:, None], 1 - Y[:, None])
    silent = rng.random(L.shape) > coverage
    if unipolar:
        silent |= np.arange(len(accuracy)) % 2 != L
    return np.where(silent, ABSTAIN, L).astype(np.int8), Y


def log_loss(proba: NDArray[np.float64], Y: Votes) -> float:
    return float(-np.log(np.maximum(proba[np.arange(len(Y)), Y], 1e-6)).mean())


def accuracy(proba: NDArray[np.float64], Y: Votes) -> float:
    """Return the share of right decisions; a tie counts its share."""
    best = proba > proba.max(axis=1, keepdims=True) - 1e-9
    return float((best[np.arange(len(Y)), Y] / best.sum(axis=1)).mean())


def some_labels(Y: Votes, n: int) -> Votes:
    chosen = np.random.default_rng(1).choice(len(Y), n, replace=False)
    labels = np.full(len(Y), ABSTAIN, np.int8)
    labels[chosen] = Y[chosen]
    return labels


# Literals


def test_majority_vote_of_three_by_three() -> None:
    L = [[1, 1, 0], [1, -1, 0], [-1, -1, -1]]
    voter = MajorityLabelVoter().fit(L)
    assert voter.predict_proba(L).tolist() == [[0, 1], [0.5, 0.5], [0.5, 0.5]]
    assert voter.predict(L).tolist() == [1, -1, -1]
    assert voter.covered(L).tolist() == [True, True, False]


def test_classes_that_tie_share_by_the_class_balance() -> None:
    L = [[2, 0, -1], [2, 2, 0], [-1, -1, -1]]
    voter = MajorityLabelVoter(cardinality=3, class_balance=[0.3, 0.6, 0.1]).fit(L)
    assert voter.predict_proba(L) == pytest.approx(np.array([[0.75, 0, 0.25], [0, 0, 1], [0.3, 0.6, 0.1]]))
    assert voter.predict(L).tolist() == [0, 2, -1]


def test_functions_held_at_the_anchor_give_the_product_of_their_odds() -> None:
    # Odds 7:3 for each vote: one more vote for ACCEPT 7/10; two for REJECT 9/58; one each 1/2.
    L = np.array([[1, 1, 0], [0, -1, 0], [-1, 0, 1]], np.int8)
    model = LabelModel(anchor=0.7, anchor_weight=1e12).fit(L)
    assert model.predict_proba(L)[:, 1] == pytest.approx([7 / 10, 9 / 58, 1 / 2])
    assert model.weights_.tolist() == [1, 1, 1]


def test_a_class_that_single_class_functions_vote_for_less_gets_a_head_start_where_contradicted() -> None:
    L = np.array([[1, -1]] * 500 + [[1, 0]] * 100 + [[-1, -1]], np.int8)
    model = LabelModel(anchor=0.7, anchor_weight=1e12).fit(L)
    # With ten votes more in the usual proportion 1:6 the functions count as 0.959 and 0.773 one-sided: 575 votes for
    # ACCEPT and 77 for REJECT, each counted once more, are shares 0.880 and 0.120 with the mean logarithm -0.366.
    # Half the way from log(0.880) by 653 of 700 votes; REJECT is cut to a quarter of log(7/3).
    assert model.head_start_ == pytest.approx([np.log(7 / 3) / 4, (-0.366 - np.log(0.880)) / 2 * 653 / 700], abs=1e-3)
    assert model.predict_proba(L[:1])[:, 1] == pytest.approx([7 / 10])  # a lone vote is as sure as its function
    assert model.predict(L[[500, -1]]).tolist() == [0, -1]


def test_the_class_balance_strengthens_votes_and_fills_rows_without_any() -> None:
    model = LabelModel(class_balance=[0.2, 0.8], anchor_weight=1e12).fit(LITTLE)
    L = np.array([[1, -1, -1], [0, -1, -1], [-1, -1, -1]])
    # ACCEPT 4:1 times 7:3 is 28:3; a lone vote for the rare REJECT is as sure as its function; no vote: 4:1.
    assert model.predict_proba(L)[:, 1] == pytest.approx([28 / 31, 3 / 10, 8 / 10])


def test_the_class_balance_of_human_labels_counts_each_class_once_more() -> None:
    model = LabelModel().fit(LITTLE, [1, 1, -1])
    assert model.class_balance_ == pytest.approx([0.25, 0.75])
    assert LabelModel().fit(LITTLE).class_balance_ == pytest.approx([0.5, 0.5])
    assert LabelModel(class_balance=[0.4, 0.6]).fit(LITTLE, [0, 0, 0]).class_balance_ == pytest.approx([0.4, 0.6])


# The formula


def by_the_formula(L: Votes, balance: list[float], a0: float, rho: float) -> NDArray[np.float64]:
    """Return P(class 1) as the docstrings define it, row by row and function by function."""
    n, m = L.shape

    def posterior(a: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
        q = np.empty(n)
        for i in range(n):
            score = np.log(balance)
            for y in (0, 1):
                score[y] += sum(w[j] * np.log(a[j] / (1 - a[j])) for j in range(m) if L[i, j] == y)
                if (L[i] == y).any() and balance[y] < 0.5:
                    score[y] += np.log((1 - balance[y]) / balance[y])
            q[i] = 1 / (1 + np.exp(score[0] - score[1]))
        return q

    def accuracy(q: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
        a = np.empty(m)
        for j in range(m):
            voted = L[:, j] != -1
            right = np.where(L[voted, j] == 1, q[voted], 1 - q[voted]).sum()
            held = 10 + rho * voted.sum()
            a[j] = np.clip((right + held * a0) / (voted.sum() + held), 0.5, 0.95)
        return a

    w, q = np.ones(m), posterior(np.full(m, a0), np.ones(m))
    classes = np.stack([1 - q, q])
    for j in range(m):
        for k in range(m):
            either, both = (L[:, j] != -1) | (L[:, k] != -1), (L[:, j] != -1) & (L[:, k] != -1)
            n_both, n_same = both.sum(), (both & (L[:, j] == L[:, k])).sum()
            by_chance = [
                sum((p * (L[:, j] == v)).sum() * (p * (L[:, k] == u)).sum() / p.sum() for p in classes)
                for v, u in ((0, 0), (1, 1), (0, 1), (1, 0))
            ]
            rate, chance = sum(by_chance[:2]) / sum(by_chance), sum(by_chance)
            if k != j:
                agree = max(0.0, n_same / n_both - rate - 2 * np.sqrt(rate * (1 - rate) / n_both)) / (1 - rate)
                rarer = min((L[:, j] != -1).sum(), (L[:, k] != -1).sum())
                join = min(1.0, max(0.0, n_both - chance - 2 * np.sqrt(chance)) / (rarer - chance))
                w[j] += (agree + join * n_same / n_both) * n_both / either.sum()
    for _ in range(30):
        q = posterior(accuracy(q, rho), 1 / np.sqrt(w))
    return q


@pytest.mark.parametrize("balance", [[0.5, 0.5], [0.25, 0.75]])
def test_the_fit_follows_the_formula(balance: list[float]) -> None:
    L, _ = simulate([0.9, 0.8, 0.6, 0.7, 0.55], n=150)
    L = np.hstack([L, L[:, :1]])  # a copy, so that weights matter
    proba = LabelModel(class_balance=balance, anchor=0.65, anchor_weight=0.5).fit(L).predict_proba(L)
    assert proba[:, 1] == pytest.approx(by_the_formula(L, balance, 0.65, 0.5), abs=1e-5)
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(L)))


def test_the_offset_is_the_minimum_of_its_objective() -> None:
    rng = np.random.default_rng(0)
    logit, design = rng.normal(size=60), rng.integers(0, 2, (60, 3)).astype(float)
    y = (rng.random(60) < special.expit(1 + 2 * logit - design[:, 0])).astype(np.int8)

    weight = rng.uniform(0.2, 3, 60)

    def objective(theta: NDArray[np.float64]) -> float:
        z = np.exp(theta[0]) * logit + theta[1] + design @ theta[2:]
        loss = -weight @ np.log(np.where(y == 1, special.expit(z), special.expit(-z)))
        return float(loss + theta[2:] @ theta[2:] + 2 * theta[0] ** 2 + theta[1] ** 2 / 2)

    best = optimize.minimize(objective, np.zeros(5), method="Powell", options={"xtol": 1e-8, "ftol": 1e-12}).x
    learned = ridge_offset(np.stack([np.zeros(60), logit], axis=1), design, y, weight)
    binary = [np.log(learned.scale), *np.diff(learned.intercept), *np.diff(learned.weights, axis=1)[:, 0]]
    assert binary == pytest.approx(best, abs=1e-3)


def test_labels_count_by_one_over_their_chance() -> None:
    L, truth = simulate([0.7, 0.7, 0.7], n=4000)
    chance = np.where(truth == 1, 0.01, 0.04)
    Y = np.where(np.random.default_rng(1).random(4000) < chance, truth, ABSTAIN)
    share = (truth == 1).mean()
    assert LabelModel().fit(L, Y, chance).class_balance_[1] == pytest.approx(share, abs=0.06)
    assert LabelModel().fit(L, Y).class_balance_[1] < share - 0.2


# Planted truth


def test_recovers_the_order_of_planted_accuracies() -> None:
    planted = [0.85, 0.55, 0.75, 0.65, 0.95]
    L, _ = simulate(planted)
    assert np.argsort(LabelModel().fit(L).accuracy_).tolist() == np.argsort(planted).tolist()


def test_a_copied_function_shares_its_weight() -> None:
    L, _ = simulate([0.7, 0.7, 0.7], coverage=0.9)
    model = LabelModel().fit(np.hstack([L, L[:, [0]], L[:, [0]]]))
    assert model.weights_[[0, 3, 4]].max() < 0.5
    assert model.weights_[[1, 2]].min() > 0.9


def test_a_copy_of_a_function_that_votes_one_class_shares_its_weight() -> None:
    L, _ = simulate([0.8] * 8, coverage=0.3, unipolar=True)
    model = LabelModel().fit(np.hstack([L, L[:, [0]]]))
    assert model.weights_[[0, 8]] == pytest.approx([2**-0.5, 2**-0.5], abs=0.03)
    assert model.weights_[1:8].min() > 0.9  # which vote together only because the class makes them


def test_functions_that_err_together_share_weight_though_they_vote_apart() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, 5000).astype(np.int8)
    right = rng.random((5000, 9)) < 0.7
    right[:, :5] = np.where(rng.random((5000, 5)) < 0.9, right[:, :1], right[:, :5])
    L = np.where(rng.random(right.shape) < 0.4, np.where(right, Y[:, None], 1 - Y[:, None]), ABSTAIN).astype(np.int8)
    model, majority = LabelModel().fit(L), MajorityLabelVoter().fit(L)
    rows = model.covered(L)
    ours, theirs = (accuracy(m.predict_proba(L)[rows], Y[rows]) for m in (model, majority))
    assert ours > theirs - 0.02
    assert model.weights_[:5].max() < 0.9 < model.weights_[5:].min()


@pytest.mark.parametrize("accept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("balance_is_given", [False, True])
def test_functions_that_vote_one_class_only_do_not_collapse(accept: float, balance_is_given: bool) -> None:
    L, Y = simulate([0.8] * 8, coverage=0.25, accept=accept, unipolar=True)
    model = LabelModel(class_balance=[1 - accept, accept] if balance_is_given else None).fit(L)
    voted = model.covered(L)
    decided, majority = model.predict(L)[voted], MajorityLabelVoter().fit(L).predict(L)[voted]
    assert abs((decided == 1).mean() - (majority == 1).mean()) < 0.15
    assert (decided == Y[voted]).mean() > (majority == Y[voted]).mean()


def test_human_labels_turn_a_function_that_is_mostly_wrong() -> None:
    L, Y = simulate([0.2, 0.2, 0.75, 0.7], coverage=0.8)
    labels = some_labels(Y, 200)
    blind, seeing = LabelModel().fit(L), LabelModel().fit(L, labels)
    rest = (labels == ABSTAIN) & seeing.covered(L)
    assert (blind.predict(L)[rest] == Y[rest]).mean() < 0.6
    assert (seeing.predict(L)[rest] == Y[rest]).mean() > 0.8
    assert log_loss(seeing.predict_proba(L)[rest], Y[rest]) < 0.5


def test_few_labels_or_one_class_change_the_class_balance_only() -> None:
    L, Y = simulate([0.2, 0.2, 0.75, 0.7], coverage=0.8)
    for labels in (some_labels(Y, 19), np.where(some_labels(Y, 200) == 1, 1, ABSTAIN)):
        seeing = LabelModel().fit(L, labels)
        assert (seeing.scale_, np.abs(seeing.intercept_).max(), np.abs(seeing.offsets_).max()) == (1, 0, 0)
        blind = LabelModel(class_balance=seeing.class_balance_.tolist()).fit(L)
        assert seeing.predict_proba(L).tolist() == blind.predict_proba(L).tolist()


def test_more_than_two_classes() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 4, 3000).astype(np.int8)
    L = np.where(rng.random((3000, 5)) < [0.8, 0.7, 0.6, 0.6, 0.5], Y[:, None], rng.integers(0, 4, (3000, 5)))
    L = np.where(rng.random(L.shape) < 0.5, ABSTAIN, L)
    model = LabelModel(cardinality=4).fit(L)
    rows = model.covered(L)
    assert model.predict_proba(L).shape == (3000, 4)
    assert np.argsort(model.accuracy_)[[0, -1]].tolist() == [4, 0]
    majority = MajorityLabelVoter(cardinality=4).fit(L)
    assert (model.predict(L)[rows] == Y[rows]).mean() > (majority.predict(L)[rows] == Y[rows]).mean()


def test_human_labels_turn_functions_that_are_mostly_wrong_among_four_classes() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 4, 3000).astype(np.int8)
    shifted = (Y + 1) % 4  # three functions call each class by the next one's name, two are mostly right
    told = np.stack([shifted, shifted, shifted, Y, Y], axis=1)
    L = np.where(rng.random(told.shape) < 0.75, told, rng.integers(0, 4, told.shape)).astype(np.int8)
    labels = some_labels(Y, 300)
    rest = labels == ABSTAIN
    blind, seeing = LabelModel(cardinality=4).fit(L), LabelModel(cardinality=4).fit(L, labels)
    assert accuracy(blind.predict_proba(L)[rest], Y[rest]) < 0.4
    assert accuracy(seeing.predict_proba(L)[rest], Y[rest]) > 0.85


def test_a_broad_function_does_not_win_ties_against_specific_ones() -> None:
    # One function calls half of all rows class 0; five narrow ones are mostly right and often contradict it.
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 6, 6000).astype(np.int8)
    broad = np.where(rng.random(6000) < 0.5, 0, ABSTAIN)
    narrow = [np.where((k == Y) & (rng.random(6000) < 0.6) | (rng.random(6000) < 0.03), k, -1) for k in range(1, 6)]
    L = np.column_stack([broad, *narrow]).astype(np.int8)
    model, majority = LabelModel(cardinality=6).fit(L), MajorityLabelVoter(cardinality=6).fit(L)
    rows = model.covered(L)
    ours, theirs = (accuracy(m.predict_proba(L)[rows], Y[rows]) for m in (model, majority))
    assert ours > theirs + 0.05


@pytest.mark.parametrize("leak", [0.0, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("accept", [0.2, 0.5, 0.8])
def test_dense_functions_that_mostly_vote_one_class_do_not_silence_those_of_another(leak: float, accept: float) -> None:
    # Eight functions for one class, seven for the other, 4 votes a row; some of their votes leak to the other class.
    rng = np.random.default_rng(0)
    Y = (rng.random(5000) < accept).astype(np.int8)
    own = np.arange(15) % 2
    fires = rng.random((5000, 15)) < 0.6 * np.where(Y[:, None] == own, 0.72, 0.28)
    L = np.where(fires, np.where(rng.random(fires.shape) < leak, 1 - own, own), ABSTAIN).astype(np.int8)
    model, majority = LabelModel().fit(L), MajorityLabelVoter().fit(L)
    rows = model.covered(L)
    ours, theirs = (accuracy(m.predict_proba(L)[rows], Y[rows]) for m in (model, majority))
    assert ours > theirs - 0.03


# Size


def test_many_rows_are_learned_from_a_sample_and_give_nearly_the_same() -> None:
    L, _ = simulate([0.9, 0.8, 0.6, 0.7, 0.55, 0.75, 0.65, 0.85], n=200_000, coverage=0.3)
    model = LabelModel().fit(L)
    whole = LabelModel().fit(L[:60_000])  # below the limit: all rows
    assert model.accuracy_ == pytest.approx(whole.accuracy_, abs=0.01)
    assert model.predict_proba(L[:60_000]) == pytest.approx(whole.predict_proba(L[:60_000]), abs=0.02)


def test_rows_one_by_one_score_as_all_at_once() -> None:
    L, Y = simulate([0.9, 0.8, 0.6, 0.7], n=300)
    model = LabelModel().fit(L, some_labels(Y, 100))
    single = np.concatenate([model.predict_proba(L[i : i + 1]) for i in range(300)])
    assert model.predict_proba(L) == pytest.approx(single)


# Invariance


def test_the_order_of_functions_and_rows_does_not_matter() -> None:
    L, _ = simulate([0.9, 0.8, 0.6, 0.7, 0.55], n=500)
    functions, rows = np.array([3, 0, 4, 1, 2]), np.random.default_rng(0).permutation(500)
    straight, shuffled = LabelModel().fit(L), LabelModel().fit(L[rows][:, functions])
    assert shuffled.accuracy_ == pytest.approx(straight.accuracy_[functions])
    assert shuffled.predict_proba(L[:, functions]) == pytest.approx(straight.predict_proba(L))


def test_many_functions_fit_into_several_codes() -> None:
    L, Y = simulate([0.6] * 130, coverage=0.3, n=800)
    model = LabelModel().fit(L, some_labels(Y, 100))
    assert np.isfinite(model.predict_proba(L)).all()
    assert (model.predict(L) == Y).mean() > 0.85


@pytest.mark.parametrize("model", [LabelModel(), SnorkelLabelModel(), LabelModel(class_balance=[0.3, 0.7])])
@pytest.mark.parametrize("n_labels", [0, 100])
def test_contributions_and_the_prior_sum_to_the_logit(model: Any, n_labels: int) -> None:
    L, Y = simulate([0.9, 0.8, 0.6, 0.7], n=1000)
    model.fit(L, some_labels(Y, n_labels))
    rows = model.covered(L)
    logit = model.prior_log_odds + model.contributions(L).sum(axis=1)
    assert special.logit(model.predict_proba(L)[rows, 1]) == pytest.approx(logit[rows])
    assert (model.contributions(L)[L == ABSTAIN] == 0).all()
    assert model.predict_proba(L)[~rows] == pytest.approx(np.tile(model.class_balance_, ((~rows).sum(), 1)))


@pytest.mark.parametrize("model", [LabelModel(anchor=0.8), MajorityLabelVoter(), SnorkelLabelModel(n_epochs=5)])
def test_models_come_back_from_json(model: Any) -> None:
    L, Y = simulate([0.9, 0.8, 0.6], n=300)
    model.fit(L, some_labels(Y, 50))
    again = type(model).from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.get_params() == model.get_params()
    assert again.predict_proba(L).tolist() == model.predict_proba(L).tolist()


def test_settings_are_scikit_learns() -> None:
    from sklearn.base import clone

    model = clone(LabelModel(anchor=0.8).fit(LITTLE))
    assert not hasattr(model, "accuracy_")
    assert model.set_params(anchor=0.6).get_params() == {
        "cardinality": 2,
        "class_balance": None,
        "anchor": 0.6,
        "anchor_weight": 1.0,
    }
    with pytest.raises(ModelError, match="LabelModel has no setting 'ancor'; did you mean 'anchor'"):
        model.set_params(ancor=0.6)


# Parity with Snorkel


def test_snorkels_model_gives_snorkels_probabilities_and_leaves_no_trace() -> None:
    from snorkel.labeling.model import LabelModel as Theirs

    L, _ = simulate([0.9, 0.8, 0.6, 0.7], n=500)
    theirs = Theirs(verbose=False)
    theirs.fit(L, class_balance=[0.3, 0.7], seed=5, progress_bar=False)
    states = random.getstate(), str(np.random.get_state())
    handlers = list(logging.getLogger().handlers)
    ours = SnorkelLabelModel(class_balance=[0.3, 0.7], random_state=5).fit(L)
    assert (random.getstate(), str(np.random.get_state())) == states
    assert logging.getLogger().handlers == handlers
    assert ours.predict_proba(L) == pytest.approx(theirs.predict_proba(L), abs=1e-6)


# Real votes


def read_votes(name: str) -> tuple[Votes, Votes, int]:
    path = SHARED / name / "votes.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    data = pd.read_parquet(path).query("split != 'train_labeled'")
    Y = data["gold"].to_numpy(np.int8)
    return data.filter(like="lf_").to_numpy(np.int8), Y, int(Y.max()) + 1


@pytest.mark.parametrize("given", [False, True], ids=["balance unknown", "balance given"])
@pytest.mark.parametrize("name", ["ws_youtube", "ws_sms", "ws_trec", "ws_semeval", "crowd_product"])
def test_on_real_votes_log_loss_is_far_below_majority_votes_and_accuracy_is_not(name: str, given: bool) -> None:
    L, Y, cardinality = read_votes(name)
    balance = (np.bincount(Y) / len(Y)).tolist() if given else None
    model = LabelModel(cardinality=cardinality, class_balance=balance).fit(L)
    majority = MajorityLabelVoter(cardinality=cardinality).fit(L)
    rows = model.covered(L)
    ours, theirs = (m.predict_proba(L)[rows] for m in (model, majority))
    assert log_loss(ours, Y[rows]) < 0.7 * log_loss(theirs, Y[rows])
    assert accuracy(ours, Y[rows]) > accuracy(theirs, Y[rows]) - 0.02
    shares = [np.bincount(p.argmax(axis=1)).max() / rows.sum() for p in (ours, theirs)]
    assert shares[0] < shares[1] + 0.05  # no class swallows the others


# Caution


@pytest.mark.parametrize("kind", [LabelModel, MajorityLabelVoter])
def test_a_model_without_human_labels_cautions_in_an_attribute(kind: Any) -> None:
    assert kind().fit(LITTLE).caution.startswith("No human label was seen")
    assert kind().fit(LITTLE, [1, -1, 0]).caution == ""


# Messages

Bad = tuple[Any, type[Exception], str]
BAD_VOTES: dict[str, Bad] = {
    "flat": ([0, 1, 1], DataError, r"L has shape \(3,\); votes of shape \(n_examples, n_lfs\), both over 0, are exp"),
    "empty": (np.empty((0, 3)), DataError, r"L has shape \(0, 3\)"),
    "class": ([[0, 1], [-1, 2]], DataError, r"L holds 2 at \[1, 1\]; expected -1 \(ABSTAIN\) or a class from 0 to 1"),
    "share": ([[0, 0.5]], DataError, r"L holds 0\.5 at \[0, 1\]"),
    "nan": ([[np.nan, 0]], DataError, r"L holds nan at \[0, 0\]"),
    "slices": ([[True, False]], DataError, r"L holds True at \[0, 0\]"),
    "silent": ([[-1, -1], [-1, -1]], ModelError, "none of the 2 labeling functions ever votes on these 2 examples"),
}


@pytest.mark.parametrize("kind", [LabelModel, MajorityLabelVoter, SnorkelLabelModel])
@pytest.mark.parametrize("case", BAD_VOTES)
def test_bad_votes_are_explained(kind: Any, case: str) -> None:
    L, error, message = BAD_VOTES[case]
    with pytest.raises(error, match=message):
        kind().fit(L)


def test_whole_numbers_stored_as_floats_are_votes() -> None:
    assert MajorityLabelVoter().fit([[1.0, -1.0, 1.0]]).predict([[1.0, -1.0, 1.0]]).tolist() == [1]


@pytest.mark.parametrize("kind", [LabelModel, MajorityLabelVoter, SnorkelLabelModel])
def test_other_functions_than_at_fit_are_refused(kind: Any) -> None:
    with pytest.raises(ModelError, match=f"this {kind.__name__} is not fitted yet"):
        kind().predict(LITTLE)
    with pytest.raises(ModelError, match=r"L has 2 columns, but .* was fitted on the votes of 3 functions"):
        kind().fit(LITTLE).predict_proba(LITTLE[:, :2])


def test_bad_labels_and_settings_are_explained() -> None:
    with pytest.raises(DataError, match=r"Y has shape \(2,\); one label for each of the 3 rows of L is expected"):
        LabelModel().fit(LITTLE, [0, 1])
    with pytest.raises(DataError, match=r"Y holds 7 at \[2\]"):
        LabelModel().fit(LITTLE, [0, 1, 7])
    for balance in ([0.5, 0.6], [1.0, 0.0], [0.2, 0.3, 0.5]):
        with pytest.raises(ModelError, match=r"class_balance is \[.*\]; 2 positive shares that sum to 1 are expected"):
            LabelModel(class_balance=balance).fit(LITTLE)
    with pytest.raises(ModelError, match=r"anchor is 0\.5 .*over 0\.50 and up to 0\.95"):
        LabelModel(anchor=0.5).fit(LITTLE)


def test_snorkels_model_needs_three_functions() -> None:
    with pytest.raises(ModelError, match="at least 3 functions, L has 2; use LabelModel or MajorityLabelVoter"):
        SnorkelLabelModel().fit(LITTLE[:, :2])


def test_another_models_state_is_refused() -> None:
    state = MajorityLabelVoter().fit(LITTLE).to_dict()
    with pytest.raises(ModelError, match="the stored label model is a 'MajorityLabelVoter', not a LabelModel"):
        LabelModel.from_dict(state)
    with pytest.raises(ModelError, match="was stored by another version of weaklm; fit it again"):
        MajorityLabelVoter.from_dict(state | {"format": 1})
