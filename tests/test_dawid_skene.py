"""Dawid and Skene's model: a literal, planted confusions, parity with crowd-kit, and the votes that it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from weaklm.data import ABSTAIN
from weaklm.dawid_skene import DawidSkene
from weaklm.errors import ModelError
from weaklm.voter import MajorityLabelVoter

Votes = NDArray[np.int8]


def raters(confusions: list[list[list[float]]], balance: list[float], n: int = 4000) -> tuple[Votes, Votes]:
    """Return the votes of raters with confusions [y][v] = P(vote v | class y) on four rows in five, and the classes."""
    rng = np.random.default_rng(3)
    Y = rng.choice(len(balance), n, p=balance).astype(np.int8)
    L = np.stack([(rng.random(n)[:, None] > np.cumsum(c, axis=1)[Y]).sum(axis=1) for c in map(np.array, confusions)], 1)
    return np.where(rng.random(L.shape) < 0.8, L, ABSTAIN).astype(np.int8), Y


CAREFUL, LENIENT, NOISY = [[0.9, 0.1], [0.1, 0.9]], [[0.4, 0.6], [0.05, 0.95]], [[0.7, 0.3], [0.3, 0.7]]


def test_finds_planted_confusions_and_class_balance() -> None:
    L, Y = raters([CAREFUL, LENIENT, LENIENT, NOISY, CAREFUL], [0.7, 0.3])
    model = DawidSkene().fit(L)
    planted = [np.array(c).T for c in (CAREFUL, LENIENT, LENIENT, NOISY, CAREFUL)]
    assert model.confusion_ == pytest.approx(np.array(planted), abs=0.05)
    assert model.class_balance_ == pytest.approx([0.7, 0.3], abs=0.03)
    rows = model.covered(L)
    right, by_majority = ((m.predict(L)[rows] == Y[rows]).mean() for m in (model, MajorityLabelVoter().fit(L)))
    assert right > by_majority + 0.05


def test_is_crowd_kits_without_the_prior_votes() -> None:
    crowdkit = pytest.importorskip("crowdkit.aggregation", reason="the bench extra brings crowd-kit")
    L, _ = raters([CAREFUL, LENIENT, NOISY, NOISY, CAREFUL], [0.6, 0.4], n=1500)
    rows, workers = np.nonzero(L != ABSTAIN)
    answers = pd.DataFrame({"task": rows, "worker": workers, "label": L[rows, workers]})
    theirs = crowdkit.DawidSkene(n_iter=200, tol=1e-9).fit_predict_proba(answers)
    ours = DawidSkene(prior_votes=0.0).fit(L).predict_proba(L)[theirs.index]
    assert ours[:, 1] == pytest.approx(theirs[1].to_numpy(), abs=0.01)


def test_three_classes() -> None:
    biased = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]
    sure = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    L, Y = raters([sure, sure, sure, biased, biased], [0.4, 0.3, 0.3])
    model = DawidSkene(cardinality=3).fit(L)
    assert model.confusion_[3] == pytest.approx(np.array(biased).T, abs=0.06)
    assert (model.predict(L) == Y).mean() > 0.85


def test_human_labels_settle_which_side_is_right() -> None:
    L, Y = raters([NOISY] * 3 + [[[0.2, 0.8], [0.8, 0.2]]] * 3, [0.5, 0.5])  # three against three
    labels = np.where(np.arange(len(Y)) < 100, Y, ABSTAIN)
    assert (DawidSkene().fit(L, labels).predict(L)[100:] == Y[100:]).mean() > 0.8


def test_a_given_class_balance_is_kept_and_rows_without_votes_get_it() -> None:
    L, _ = raters([CAREFUL] * 4, [0.7, 0.3], n=500)
    model = DawidSkene(class_balance=[0.6, 0.4]).fit(L)
    assert model.class_balance_.tolist() == [0.6, 0.4]
    assert model.predict_proba([[-1, -1, -1, -1]]) == pytest.approx(np.array([[0.6, 0.4]]))
    assert model.predict([[-1, -1, -1, -1]]).tolist() == [-1]


def test_contributions_and_the_prior_sum_to_the_logit() -> None:
    L, _ = raters([CAREFUL, LENIENT, NOISY, NOISY], [0.6, 0.4], n=300)
    model = DawidSkene().fit(L)
    proba = model.predict_proba(L)
    logit = model.prior_log_odds + model.contributions(L).sum(axis=1)
    assert logit == pytest.approx(np.log(proba[:, 1] / proba[:, 0]))


def test_comes_back_from_json() -> None:
    L, _ = raters([CAREFUL, LENIENT, NOISY, NOISY], [0.6, 0.4], n=300)
    model = DawidSkene().fit(L)
    again = DawidSkene.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.predict_proba(L).tolist() == model.predict_proba(L).tolist()


def test_sparse_votes_are_refused() -> None:
    L, _ = raters([CAREFUL] * 10, [0.5, 0.5])
    L[:, 2:] = ABSTAIN
    with pytest.raises(ModelError, match=r"rows with votes have 2 of them \(median\), 3 are needed .*Use LabelModel"):
        DawidSkene().fit(L)


def test_functions_of_one_class_are_refused_unless_forced() -> None:
    L, _ = raters([CAREFUL] * 10, [0.5, 0.5])
    L[:, :3] = np.where(L[:, :3] == 1, 1, ABSTAIN)
    with pytest.raises(ModelError, match="of the votes come from the 3 functions that vote one class only"):
        DawidSkene().fit(L)
    assert np.isfinite(DawidSkene(force=True).fit(L).predict_proba(L)).all()
