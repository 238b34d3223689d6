import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.curation import curate
from weaklm.errors import DataError, ModelError, ProjectError
from weaklm.functions import code_hash, labeling_function
from weaklm.label_model import LabelModel
from weaklm.lineage import adapter_lineage, blame_function, explain, people_on_alike, scores_without, trace
from weaklm.quality import QualityModel

NAMES = ["long_enough", "refuses", "wrong"]
N = 120


@labeling_function
def refuses(x: Any) -> int:
    """REJECT an answer that refuses."""
    return 0 if "sorry" in x.response else -1


def loop() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Return answers, a third of them refusals, and votes; the third function calls every fifth good answer bad."""
    refused, n = np.arange(N) % 3 == 0, np.arange(N)
    response = np.where(refused, "sorry, I cannot", "The fee is due on the first day of each month, as the page says")
    data = pd.DataFrame({"id": [f"r{i}" for i in n], "instruction": [f"What is fee {i}?" for i in n]})
    data["response"] = [f"{text} {i}." for text, i in zip(response, n, strict=True)]
    data["human_label"] = [None if i % 2 else "REJECT" if r else "ACCEPT" for i, r in zip(n, refused, strict=True)]
    wrong = np.where(~refused & (n % 5 == 0), 0, -1)
    votes = [np.where(refused, -1, 1), np.where(refused, 0, -1), wrong]
    return data, np.column_stack(votes).astype(np.int8)


@pytest.fixture(scope="module")
def model() -> LabelModel:
    return LabelModel().fit(loop()[1])


def test_a_score_is_held_to_what_people_said_of_rows_like_it() -> None:
    scores, Y = np.repeat([0.2, 0.7, 0.9], 20), np.repeat([0, 1, 1], 20)
    Y[20:25] = 0
    found = people_on_alike(0.72, scores, Y, n=20)
    assert found is not None
    assert (found["value"], found["n"], found["from"], found["to"]) == (0.75, 20, 0.7, 0.7)
    assert found["low"] < 0.75 < found["high"]


def test_few_labels_hold_a_score_to_nothing() -> None:
    assert people_on_alike(0.5, np.full(40, 0.5), np.r_[np.ones(14), np.full(26, -1)]) is None


def test_an_explanation_says_the_interval_and_the_detail_of_the_decision(model: LabelModel) -> None:
    data, L = loop()
    quality = QualityModel(random_state=0).fit(data, model.predict_proba(L))
    decisions = pd.DataFrame({"id": ["r1"], "kept": [False], "reason": ["near-duplicate"], "detail": ["of r4"]})
    row = data.iloc[[1]].assign(source="m", split="train", context="", human_label=None)
    why = explain(
        row,
        functions=[refuses] * 3,
        L=L[[1]],
        label_model=model,
        quality=quality,
        score=0.8,
        slices=[],
        decisions=decisions,
        runs={"fit": [{"id": "f"}], "curate": [{"id": "c"}], "train": [], "generate": []},
        judged=(np.full(40, 0.8), np.r_[np.ones(30), np.zeros(10)]),
    )
    assert why.curation == {"kept": False, "reason": "near-duplicate", "detail": "of r4"}
    assert "out: near-duplicate (of r4)" in str(why)
    assert "people accept 75 % [60, 86] of 40 rows with a score from 0.80 to 0.80" in str(why)
    json.dumps(why.to_dict())


def test_blame_counts_the_labels_that_a_function_tips_and_what_people_say_of_them() -> None:
    data, L = loop()
    L = np.column_stack([L[:, 1], L[:, 2]])  # without the function that says ACCEPT, "wrong" decides alone
    effect = blame_function(data, L, ["refuses", "wrong"], "wrong", LabelModel().fit(L), threshold=0.4)
    said = effect.to_dict()
    voted = (L[:, 1] == 0) & (np.arange(N) % 2 == 0)
    assert (said["n_votes"], said["n_judged"], said["n_right"]) == (16, int(voted.sum()), 0)
    assert said["n_kept"] is None
    assert set(effect.rows["id"]) == {f"r{i}" for i in np.flatnonzero(L[:, 1] == 0)}
    assert effect.rows["label"].lt(effect.rows["label_without"]).all()


def test_blame_names_the_rows_that_leave_and_enter_the_curated_set(model: LabelModel) -> None:
    data, L = loop()
    with_it, without = np.linspace(0, 1, N), np.linspace(1, 0, N)
    before, after = (curate(data, score, confidence_threshold=0.9).rows for score in (with_it, without))
    effect = blame_function(
        data, L, NAMES, "wrong", model, score=with_it, score_without=without, decisions=before, decisions_without=after
    )
    n_in = int((with_it >= 0.9).sum())
    assert set(effect.kept_by_it) == {f"r{i}" for i in range(N - n_in, N)}
    assert set(effect.dropped_by_it) == {f"r{i}" for i in range(n_in)}
    assert effect.to_dict()["n_kept"] == n_in
    assert f"{n_in} rows would leave the curated set and {n_in} would come in" in str(effect)
    left = effect.rows.set_index("id").loc["r0"]
    assert (left["reason"], left["reason_without"], bool(left["kept_without"])) == ("label is not ACCEPT", "", True)


def test_a_row_that_was_not_up_for_curation_is_out_of_both_sets(model: LabelModel) -> None:
    data, L = loop()
    rows, score = curate(data[:60], np.full(60, 0.95)).rows, np.full(N, 0.95)
    effect = blame_function(
        data, L, NAMES, "wrong", model, score=score, score_without=score, decisions=rows, decisions_without=rows
    )
    last = effect.rows.set_index("id").loc["r115"]
    assert (bool(last["kept"]), last["reason"]) == (False, "not up for curation")
    assert effect.kept_by_it == []


def test_scores_without_a_function_are_those_of_a_loop_that_never_had_it() -> None:
    data, L = loop()
    rest = L[:, [0, 1]]
    fitted = LabelModel().fit(rest)
    quality = QualityModel(random_state=0).fit(data, fitted.predict_proba(rest), covered=fitted.covered(rest))
    assert scores_without(data, L, 2, quality_model={"random_state": 0}) == pytest.approx(quality.oof_score_)


def test_there_are_no_scores_without_the_only_function() -> None:
    data, L = loop()
    with pytest.raises(ModelError, match="it is the only function"):
        scores_without(data, L[:, :1], 0)


def test_blame_of_what_is_not_there_is_refused(model: LabelModel) -> None:
    data, L = loop()
    with pytest.raises(DataError, match=r"no function 'refuse'.*'refuses'"):
        blame_function(data, L, NAMES, "refuse", model)
    with pytest.raises(DataError, match="score_without, decisions, decisions_without is missing"):
        blame_function(data, L, NAMES, "refuses", model, score=np.zeros(N))
    with pytest.raises(ModelError, match="was not run without the function"):
        _ = blame_function(data, L, NAMES, "refuses", model).kept_by_it


def test_a_function_that_never_votes_does_nothing(model: LabelModel) -> None:
    data, L = loop()
    L[:, 2] = -1
    effect = blame_function(data, L, NAMES, "wrong", model)
    assert len(effect.rows) == 0
    assert str(effect) == "wrong votes on 0 rows and tips the label of 0."


HASH = code_hash(refuses)
VERSIONS = [{"name": "refuses", "code_hash": HASH, "source": "def refuses"}]
VERSIONS += [
    {"name": "long-one", "code_hash": "abc", "source": "def long"},
    {"name": "old", "code_hash": "1", "source": ""},
]
RUNS: list[dict[str, Any]] = [
    {
        "id": "t1",
        "kind": "train",
        "parents": ["c1"],
        "settings": {"base_model": "tiny"},
        "outputs": {"dropped": {"long": 2}},
    },
    {"id": "c1", "kind": "curate", "parents": ["f1"], "settings": {"confidence_threshold": 0.9}, "outputs": {}},
    {"id": "f1", "kind": "fit", "parents": [f"refuses-{HASH}", "long-one-abc"], "settings": {}, "outputs": {}},
    {"id": "g1", "kind": "generate", "parents": ["t1"], "settings": {}, "outputs": {"source": "tuned"}},
]
ROWS = {"c1": pd.DataFrame({"id": ["r1", "r2", "r3"]})}


def test_an_adapter_leads_back_to_its_rows_and_the_code_of_every_function() -> None:
    made = adapter_lineage("t1", runs=RUNS, versions=VERSIONS, rows=ROWS)
    assert [step.kind for step in made.steps] == ["train", "curate", "fit"]
    assert made.rows["id"].tolist() == ["r1", "r2", "r3"]
    assert made.functions[["name", "code_hash"]].to_numpy().tolist() == [["refuses", HASH], ["long-one", "abc"]]
    assert "3 rows, less 2 that the training left out" in str(made)
    json.dumps(made.to_dict())


def test_a_function_that_changed_since_is_marked() -> None:
    made = adapter_lineage("t1", runs=RUNS, versions=VERSIONS, rows=ROWS, now={"refuses": "other"})
    assert made.functions["now"].tolist() == ["changed", "gone"]
    assert f"refuses  (code {HASH})  changed since" in str(made)


def test_a_generated_answer_leads_back_through_its_adapter() -> None:
    assert [step.id for step in trace("g1", RUNS)] == ["g1", "t1", "c1", "f1"]


def test_a_parent_that_is_recorded_nowhere_is_named() -> None:
    made = adapter_lineage("t1", runs=RUNS, versions=VERSIONS[:1], rows=ROWS)
    assert made.steps[-1].missing == ("long-one-abc",)
    assert "missing    long-one-abc, which fit f1 was made from" in str(made)


@pytest.mark.parametrize(
    ("run_id", "rows", "message"),
    [
        ("t2", ROWS, "no step has the id 't2'; "),
        ("c1", ROWS, "c1 is a step of the kind 'curate'; the id of a training"),
        ("t1", {}, "the curated set that t1 was trained on is not there: c1"),
    ],
)
def test_what_has_no_lineage_says_so(run_id: str, rows: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        adapter_lineage(run_id, runs=RUNS, versions=VERSIONS, rows=rows)
