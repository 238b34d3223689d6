import numpy as np
import pandas as pd
import pytest

from weaklm.demo import loop, stand_in
from weaklm.demo.dataset import DemoData, load
from weaklm.demo.knowledge import passages, questions, variant
from weaklm.demo.truth import accepts, check, figures
from weaklm.errors import DataError
from weaklm.metrics import auc


@pytest.fixture(scope="module")
def data() -> DemoData:
    return load(0)


def test_every_fact_of_a_passage_stands_in_its_text() -> None:
    for passage in passages():
        assert all(fact.value in passage.text for fact in passage.facts), passage.id
        assert passage.notes, passage.id


def test_knowledge_covers_what_the_demo_promises(data: DemoData) -> None:
    assert len(passages()) >= 60
    assert data.responses["instruction_id"].nunique() >= 150
    assert len(data.responses) >= 1200
    assert data.responses["source"].nunique() >= 2


def test_same_seed_gives_the_same_data_and_another_seed_does_not(data: DemoData) -> None:
    pd.testing.assert_frame_equal(load(0).responses, data.responses)
    assert set(load(1).responses["response"]) != set(data.responses["response"])


def test_truth_is_kept_out_of_the_rows_that_functions_see(data: DemoData) -> None:
    assert not {"label", "defect", "annotator", "human_label"} & set(data.responses.columns)
    assert data.responses["id"].tolist() == data.truth["id"].tolist()
    assert data.responses["id"].is_unique


def test_between_55_and_65_percent_of_the_responses_are_good(data: DemoData) -> None:
    assert 0.55 <= (data.truth["label"] == "ACCEPT").mean() <= 0.65


def test_at_least_50_instructions_are_held_out_and_none_is_in_both_splits(data: DemoData) -> None:
    splits = data.responses.groupby("instruction_id")["split"].unique()
    assert (splits.str.len() == 1).all()
    assert (splits.str[0] == "test").sum() >= 50


def test_no_held_out_question_or_answer_is_in_what_the_stand_in_learns_from(
    data: DemoData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "N_STEPS", 400)
    texts = stand_in.pretraining_texts(0)
    held_out = data.responses[data.responses["split"] == "test"]
    train = data.responses[data.responses["split"] == "train"]
    assert len(texts) == 400 * stand_in.BATCH_SIZE
    assert not set(texts["instruction"]) & set(held_out["instruction"])
    assert not set(texts["response"]) & set(held_out["response"])
    assert not set(train["response"]) & set(held_out["response"])


def test_the_demo_reports_a_model_that_got_worse() -> None:
    assert "WORSE" in loop._verdict({"low": -0.2, "high": -0.1})
    assert "not shown" in loop._verdict({"low": -0.1, "high": 0.1})


def test_several_answers_to_an_instruction_count_once() -> None:
    answers = pd.DataFrame({"instruction_id": ["a", "a", "b", "b"]})
    base = loop._by_instruction(answers, np.array([True, False, False, False]))
    tuned = loop._by_instruction(answers, np.array([True, True, True, False]))
    summary = loop._summary(base, tuned)
    assert (summary["base"], summary["tuned"], summary["difference"]["n"]) == (0.25, 0.75, 2)


def test_annotators_share_rows_and_err_each_in_their_own_way(data: DemoData) -> None:
    judged = data.annotations.merge(data.truth, on="id", suffixes=("", "_true"))
    bad = judged[judged["label_true"] == "REJECT"]
    passed = (bad["label"] == "ACCEPT").groupby(bad["annotator"]).mean()
    assert passed["ben"] > passed["ana"]
    assert passed["ben"] > passed["cleo"]
    assert (data.annotations.groupby("id").size() == 3).sum() > 100


def test_length_alone_does_not_tell_good_from_bad(data: DemoData) -> None:
    length = data.responses["response"].str.split().str.len().to_numpy(float)
    is_good = (data.truth["label"] == "ACCEPT").to_numpy(int)
    assert max(auc(is_good, length), auc(is_good, -length)) < 0.85


def test_no_single_ready_function_tells_good_from_bad(data: DemoData) -> None:
    import weaklm as wl

    is_good = (data.truth["label"] == "ACCEPT").to_numpy(int)
    votes = wl.LFApplier(wl.load("lfs")).apply(data.responses)
    assert max(auc(is_good, np.where(vote == wl.ABSTAIN, 0.5, vote)) for vote in votes.T) < 0.85


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_truth_checks_agree_with_how_the_answers_were_composed(seed: int) -> None:
    data = load(seed)
    agrees = accepts(data.responses) == (data.truth["label"] == "ACCEPT").to_numpy()
    assert agrees.mean() >= 0.99


@pytest.mark.parametrize(
    ("response", "failures"),
    [
        ("It costs forty dollars to wire money to another country.", []),
        ("A wire costs $40 and it usually arrives within 4 business days.", []),
        ("Sorry to hear that. The fee for a wire abroad is $40.", []),
        ("The fee for a wire abroad is $45.", ["figure", "missing"]),
        ("I can't help with that.", ["refusal", "missing", "topic"]),
        ("The fee for a wire abroad is $40", ["cut"]),
        ("<p>The fee for a wire abroad is $40.</p>", ["format", "cut"]),
        ("The fee for a wire abroad is $40. This is always waived.", ["claim"]),
        ("A wire abroad costs $40. A wire abroad costs $40.", ["repetition"]),
    ],
)
def test_truth_checks_judge_answers_that_nobody_composed(response: str, failures: list[str]) -> None:
    assert check("wire-abroad.fee.1", response) == failures


def test_truth_checks_want_every_step_in_order() -> None:
    steps = "To send a wire abroad, {}, then {}, and last {}."
    a, b, c = "type the bank code", "choose the currency", "approve it with a code"
    assert check("wire-abroad.steps.1", steps.format(a, b, c)) == []
    assert check("wire-abroad.steps.1", steps.format(b, a, c)) == ["missing"]
    assert check("wire-abroad.steps.1", f"To send a wire abroad, {a}, and {c}.") == ["missing"]


def test_figures_keep_number_and_unit_together() -> None:
    assert figures("Pay $5 in 10 business days or 3 hours.") == [("5", "$"), ("10", "business day"), ("3", "hour")]


def test_unknown_instruction_offers_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no instruction 'wire-abroad\.fees\.1'; did you mean 'wire-abroad\.fee\.1'"):
        check("wire-abroad.fees.1", "It costs $40.")


def test_variant_changes_the_figures_but_not_what_is_asked() -> None:
    question = next(question for question in questions() if question.id == "wire-abroad.fee.1")
    other = variant(question, np.random.default_rng(0))
    assert (other.passage.id, other.fact.slot) == (question.passage.id, question.fact.slot)
    assert other.fact.value != "$40"
    assert other.fact.value in other.passage.text
