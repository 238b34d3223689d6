"""compare_label_models: what it advises, with and without human labels, and that labels do not judge themselves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from weaklm.data import ABSTAIN
from weaklm.errors import DataError
from weaklm.model_choice import compare_label_models
from weaklm.voter import MajorityLabelVoter

Votes = NDArray[np.int8]


def crowd(n: int = 3000, lenient: int = 5) -> tuple[Votes, Votes]:
    """Return dense votes of two careful functions and of ones that mistake REJECT for ACCEPT, and the truth."""
    rng = np.random.default_rng(0)
    Y = (rng.random(n) < 0.5).astype(np.int8)
    right = np.where(Y[:, None] == 1, [0.9] * 2 + [0.95] * lenient, [0.9] * 2 + [0.35] * lenient)
    L = np.where(rng.random(right.shape) < right, Y[:, None], 1 - Y[:, None])
    return np.where(rng.random(L.shape) < 0.8, L, ABSTAIN).astype(np.int8), Y


def some(Y: Votes, n: int) -> Votes:
    return np.where(np.arange(len(Y)) < n, Y, ABSTAIN).astype(np.int8)


def test_without_labels_the_default_is_advised_with_a_caution() -> None:
    L, _ = crowd()
    found = compare_label_models(L)
    assert found.choice == "LabelModel"
    assert "there are no human labels" in found.reason
    assert "dense and of every class, where DawidSkene is often better" in found.reason
    assert found.caution.startswith("Caution: No human label was seen: where most functions share an error")
    assert "accuracy" not in found.table
    assert str(found).endswith(found.caution)


def test_on_labels_a_better_model_is_advised_and_no_caution_is_left() -> None:
    L, Y = crowd()
    found = compare_label_models(L, some(Y, 400))
    assert found.choice == "DawidSkene"
    assert "its log loss is" in found.reason
    assert found.caution == ""
    assert found.table.loc["DawidSkene", "low"] > 0.05
    assert found.table.loc["MajorityLabelVoter", ["gain", "low", "high"]].tolist() == [0, 0, 0]


def test_the_table_shows_the_figures_of_each_model_on_held_out_labels() -> None:
    L, Y = crowd(800)
    labels = some(Y, 300)
    found = compare_label_models(L, labels)
    judged = (labels != ABSTAIN) & (L != ABSTAIN).any(axis=1)
    majority = MajorityLabelVoter().fit(L).predict_proba(L)[judged]
    best = majority == majority.max(axis=1, keepdims=True)
    expected = (best / best.sum(axis=1, keepdims=True))[np.arange(judged.sum()), Y[judged]].mean()
    assert found.table.loc["MajorityLabelVoter", "accuracy"] == pytest.approx(expected)
    proba = found.proba["LabelModel"][judged]
    assert found.table.loc["LabelModel", "accuracy"] == pytest.approx((proba.argmax(axis=1) == Y[judged]).mean())
    assert found.table.loc["LabelModel", "brier"] == pytest.approx(((proba[:, 1] - Y[judged]) ** 2).mean())


def test_labels_that_have_nothing_to_do_with_votes_make_no_model_look_good() -> None:
    # A model judged on labels that it was fitted on would look better than a coin here.
    L = np.random.default_rng(1).integers(0, 2, (200, 40)).astype(np.int8)
    Y = np.random.default_rng(2).integers(0, 2, 200).astype(np.int8)
    found = compare_label_models(L, Y)
    assert found.table.loc["LabelModel", "accuracy"] < 0.6


def test_too_few_labels_judge_nothing() -> None:
    L, Y = crowd(300)
    found = compare_label_models(L, some(Y, 10))
    assert "accuracy" not in found.table
    assert "human labels with votes are too few to judge by" in found.reason


def test_models_that_are_not_for_these_votes_say_why() -> None:
    L = np.array([[1, -1], [-1, 0], [1, 0], [0, -1]] * 10, np.int8)
    found = compare_label_models(L)
    assert "3 are needed to tell who errs" in found.table.loc["DawidSkene", "note"]
    assert found.table.loc["SnorkelLabelModel", "note"] == "needs 3 functions"
    assert set(found.proba) == {"MajorityLabelVoter", "LabelModel"}


def test_a_lean_of_the_votes_is_part_of_the_caution() -> None:
    L = np.array([[1, 1, -1], [1, 1, 1], [1, -1, 1], [1, 1, 0]] * 10, np.int8)
    assert compare_label_models(L).caution.endswith("90% of the votes are for class 1.")


def test_more_than_two_classes() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 3, 500).astype(np.int8)
    L = np.where(rng.random((500, 4)) < 0.7, Y[:, None], rng.integers(0, 3, (500, 4)))
    found = compare_label_models(L, some(Y, 200), cardinality=3)
    assert found.table.loc["LabelModel", "accuracy"] > 0.75
    with pytest.raises(DataError, match="L holds 2"):
        compare_label_models(L)
