"""LFAnalysis: literals on a small L, parity with Snorkel, human labels that cover a part only."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.analysis import LFAnalysis, tally
from weaklm.analysis.tally import Tally
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
        "Only vote": [0.0, 0.2, 0.0],
        "Redundancy": pytest.approx([0.433, 0.408, 0.433], abs=1e-3),
        "Redundant with": ["third", "third", "first"],
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
    added = [*(["Acc. low", "Acc. high"] if with_labels else []), "Only vote", "Redundancy", "Redundant with"]
    assert ours.columns.tolist()[len(theirs.columns) :] == added
    pd.testing.assert_frame_equal(ours[theirs.columns], theirs)
    for name in ("label_coverage", "label_overlap", "label_conflict"):
        assert getattr(analysis, name)() == pytest.approx(getattr(their_analysis, name)())


@dataclass
class Meta:
    seconds: dict[str, float] = field(default_factory=lambda: {"first": 0.5, "second": 2.0, "third": 0.1})
    ran: dict[str, str] = field(
        default_factory=lambda: {"first": "columns", "second": "rows: a loop", "third": "batch"}
    )
    n_failed: dict[str, int] = field(default_factory=lambda: {"second": 1})


def test_how_the_functions_ran_is_shown_with_meta_only() -> None:
    summary = LFAnalysis(L, FUNCTIONS, Meta()).lf_summary()
    assert summary["Seconds"].tolist() == [0.5, 2.0, 0.1]
    assert summary["Errors"].tolist() == [0, 1, 0]
    assert summary["Ran"].tolist() == ["columns", "rows: a loop", "batch"]
    assert not {"Seconds", "Errors", "Ran"} & set(LFAnalysis(L, FUNCTIONS).lf_summary().columns)
    with pytest.raises(DataError, match="give LFAnalysis the functions too"):
        LFAnalysis(L, meta=Meta())


def test_phi_of_one_polarity_is_the_correlation_of_firing() -> None:
    votes = np.random.default_rng(0).choice([-1, 0], size=(500, 4))
    phi = Tally.of(votes).phi
    assert phi == pytest.approx(np.corrcoef(votes.T))


def test_phi_of_functions_that_never_abstain_is_the_correlation_of_votes() -> None:
    votes = np.random.default_rng(0).choice([0, 1], size=(500, 4))
    assert Tally.of(votes).phi == pytest.approx(np.corrcoef(votes.T))


def test_counts_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = np.random.default_rng(0).choice([-1, 0, 1, 2], size=(100, 5)).astype(np.int8)
    whole = Tally.of(votes)
    monkeypatch.setattr(tally, "_ROWS_AT_ONCE", 7)
    parts = Tally.of(votes)
    for name, value in vars(parts).items():
        assert np.array_equal(value, getattr(whole, name)), name
    a, b = votes[:, 0], votes[:, 1]
    assert whole.differed[0, 1] == ((a != -1) & (b != -1) & (a != b)).sum()
    assert whole.alone[0] == ((a != -1) & (votes[:, 1:] == -1).all(axis=1)).sum()


DATA = pd.DataFrame({"response": list("abcde"), "score": [1, 2, 3, 4, 5]}, index=[9, 8, 7, 6, 5])


def test_conflicts_are_the_rows_where_two_functions_differ() -> None:
    rows = LFAnalysis(L, FUNCTIONS).conflicts("first", "second", DATA)
    assert rows.to_dict("index") == {7: {"first": "ACCEPT", "second": "REJECT", "response": "c"}}
    assert LFAnalysis(L).conflicts(0, 1, DATA).index.tolist() == [7]


def test_mistakes_only_votes_and_uncovered_rows_are_found() -> None:
    analysis = LFAnalysis(L, FUNCTIONS)
    assert analysis.mistakes("first", [0, 0, 0, 1, -1], DATA).to_dict("index") == {
        7: {"first": "ACCEPT", "human_label": "REJECT", "response": "c"}
    }
    assert analysis.only_votes("second", DATA).to_dict("index") == {6: {"second": "REJECT", "response": "d"}}
    assert analysis.uncovered(DATA).to_dict("index") == {8: {"response": "b"}}


def test_an_unknown_function_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="there is no labeling function 'frist'; did you mean 'first'"):
        LFAnalysis(L, FUNCTIONS).conflicts("frist", "second", DATA)
    with pytest.raises(DataError, match="there is no labeling function 3; L has 3 columns, from 0 on"):
        LFAnalysis(L).only_votes(3, DATA)
    with pytest.raises(DataError, match="data has 2 rows, but L has 5"):
        LFAnalysis(L).uncovered(DATA[:2])


def test_shapes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(DataError, match="L has 3 columns, but there are 2 functions"):
        LFAnalysis(L, FUNCTIONS[:2])
    with pytest.raises(DataError, match=r"L has shape \(0, 3\)"):
        LFAnalysis(L[:0])
    with pytest.raises(DataError, match=r"Y has shape \(2,\); one label for each of the 5 rows of L is expected"):
        LFAnalysis(L).lf_summary([0, 1])
    with pytest.raises(DataError, match="L holds something that is no vote"):
        LFAnalysis(np.array([[0.5, np.nan]]))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, float("nan"), 1, 0], r"Y holds nan, which is no label; -1 \(no label, NaN is none either\)"),
        ([0, 1, 5, 1, 0], "Y holds 5, which is no label; .* the classes of L, 0 to 1"),
        ([0, 1, 0.5, 1, 0], "Y holds 0.5"),
        (["0", "1", "1", "0", "1"], "Y holds '0'"),
        (["REJECT", "ACCEPT", None, None, None], "Y holds 'REJECT'"),
    ],
)
def test_a_label_that_is_none_is_named(labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        LFAnalysis(L, FUNCTIONS).lf_summary(labels)
    with pytest.raises(DataError, match=said):
        LFAnalysis(L, FUNCTIONS).lints(labels)
    with pytest.raises(DataError, match=said):
        LFAnalysis(L, FUNCTIONS).mistakes(0, labels, pd.DataFrame({"response": list("abcde")}))
