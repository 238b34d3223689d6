"""LFAnalysis: literals on a small L, parity with Snorkel, human labels that cover a part only."""

import warnings

import numpy as np
import pandas as pd
import pytest

from weaklm.analysis import LFAnalysis
from weaklm.data import ABSTAIN
from weaklm.errors import DataError
from weaklm.functions import labeling_function

L = np.array([[-1, 0, 0], [-1, -1, -1], [1, 0, -1], [-1, 0, -1], [0, 0, 0]], np.int8)


@labeling_function
def first(x: object) -> int:
    return ABSTAIN


@labeling_function
def second(x: object) -> int:
    return ABSTAIN


@labeling_function
def third(x: object) -> int:
    return ABSTAIN


FUNCTIONS = [first, second, third]


def test_the_summary_of_five_rows() -> None:
    summary = LFAnalysis(L, FUNCTIONS).lf_summary()
    assert summary.index.tolist() == ["first", "second", "third"]
    assert summary.to_dict("list") == {
        "j": [0, 1, 2],
        "Polarity": [[0, 1], [0], [0]],
        "Coverage": [0.4, 0.8, 0.4],
        "Overlaps": [0.4, 0.6, 0.4],
        "Conflicts": [0.2, 0.2, 0.0],
    }


def test_rows_without_a_human_label_do_not_count() -> None:
    summary = LFAnalysis(L, FUNCTIONS).lf_summary(np.array([0, 1, 0, -1, -1]))
    assert summary["Correct"].tolist() == [0, 2, 1]
    assert summary["Incorrect"].tolist() == [1, 0, 0]
    assert summary["Emp. Acc."].tolist() == [0, 1, 1]


def test_the_accuracy_has_its_wilson_interval() -> None:
    votes = np.array([[0], [0], [0], [1], [-1]])
    summary = LFAnalysis(votes).lf_summary([0, 0, 0, 0, 0])
    # Wilson 1927 for 3 of 4.
    assert summary.loc[0, ["Acc. low", "Acc. high"]].tolist() == pytest.approx([0.3006, 0.9544], abs=1e-4)


def test_a_function_that_no_label_judges_has_no_interval() -> None:
    summary = LFAnalysis(np.array([[0, -1], [1, -1]])).lf_summary([0, 1])
    assert summary.loc[1, ["Correct", "Incorrect", "Emp. Acc."]].tolist() == [0, 0, 0]
    assert summary.loc[1, ["Acc. low", "Acc. high"]].isna().all()


@pytest.mark.parametrize("with_labels", [False, True])
@pytest.mark.parametrize("with_functions", [False, True])
def test_values_equal_snorkels(with_labels: bool, with_functions: bool) -> None:
    from snorkel.labeling import LFAnalysis as Theirs

    rng = np.random.default_rng(0)
    votes = rng.choice([-1, 0, 1], size=(200, 3), p=[0.6, 0.25, 0.15])
    votes[:, 2] = np.where(votes[:, 2] == 1, -1, votes[:, 2])
    Y = rng.integers(0, 2, 200) if with_labels else None
    functions = FUNCTIONS if with_functions else None
    with warnings.catch_warnings():
        # Raised inside snorkel/analysis.py by pandas and scikit-learn.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(snorkel|sklearn|pandas)\.")
        theirs = Theirs(votes, functions).lf_summary(Y)
        analysis, their_analysis = LFAnalysis(votes, functions), Theirs(votes, functions)
    ours = analysis.lf_summary(Y)
    assert ours.columns.tolist()[: len(theirs.columns)] == theirs.columns.tolist()
    assert ours.columns.tolist()[len(theirs.columns) :] == (["Acc. low", "Acc. high"] if with_labels else [])
    pd.testing.assert_frame_equal(ours[theirs.columns], theirs)
    for name in ("label_coverage", "label_overlap", "label_conflict"):
        assert getattr(analysis, name)() == pytest.approx(getattr(their_analysis, name)())


def test_shapes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(DataError, match="L has 3 columns, but there are 2 functions"):
        LFAnalysis(L, FUNCTIONS[:2])
    with pytest.raises(DataError, match=r"L has shape \(0, 3\)"):
        LFAnalysis(L[:0])
    with pytest.raises(DataError, match=r"Y has shape \(2,\); one label for each of the 5 rows of L is expected"):
        LFAnalysis(L).lf_summary([0, 1])
