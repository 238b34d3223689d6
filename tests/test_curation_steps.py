"""Steps of a curation beyond conditions: repeats, leaks, diversity, mixes, corrections, joined sets, pairs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weaklm.certificate import LabelUse
from weaklm.curation import QualityDataset
from weaklm.data import Example
from weaklm.errors import DataError, SettingsError
from weaklm.functions import slicing_function

TOPICS = {
    "fees": "yearly card fee euro bank",
    "rain": "cloud storm wind valley flood",
    "bread": "flour oven yeast dough",
}


def made(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return n different rows on three topics, and a score for each."""
    generator = np.random.default_rng(seed)
    topics = np.array(list(TOPICS))[np.arange(n) % 3]
    responses = [
        " ".join([*generator.choice(TOPICS[topic].split(), 4), *(f"w{generator.integers(10_000)}" for _ in range(8))])
        for topic in topics
    ]
    data = pd.DataFrame({"id": [f"r{k:03}" for k in range(n)], "instruction": [f"About {t}?" for t in topics]})
    return data.assign(response=responses, topic=topics, source="base"), generator.uniform(0.5, 1, n)


def of(texts: list[str], score: list[float], **columns: object) -> QualityDataset:
    data = pd.DataFrame({"id": list("abcdefgh")[: len(texts)], "instruction": "How high is the fee?"})
    return QualityDataset(data.assign(response=pd.Series(texts, dtype=object), **columns), score)


def kept(dataset: QualityDataset) -> list[str]:
    return list(dataset.to_frame()["id"])


@slicing_function
def about_rain(x: Example) -> bool:
    return "rain" in x.instruction


LONG = "the yearly fee of the card is ninety five euro and it is due on the first of may each year at your branch"


# Repeats


def test_case_and_white_space_do_not_make_a_response_another() -> None:
    dataset = of(["It is 95 EUR.", " it is  95 eur.", "It is 95 EUR"], [0.8, 0.9, 0.7]).dedupe(near=None)
    assert kept(dataset) == ["b", "c"]


def test_of_near_duplicates_the_best_scored_stays_and_is_named_with_the_similarity() -> None:
    dataset = of([LONG, LONG + " office", "No."], [0.8, 0.9, 0.7]).dedupe()
    assert kept(dataset) == ["b", "c"]
    # 22 words of the response and 5 of the instruction have 23 runs of five words, with one more word 24.
    assert dataset.rows["detail"].iloc[0] == f"{23 / 24:.2f} like b"
    assert dataset.funnel()["dropped"].tolist() == [0, 1]


def test_the_same_response_over_another_context_is_no_repeat() -> None:
    contexts = ["Fees: the card costs 95 euro a year.", "Opening hours: from nine to five on weekdays."]
    assert len(of([LONG, LONG], [0.8, 0.9], context=contexts).dedupe()) == 2
    assert len(of([LONG, LONG + " office"], [0.8, 0.9], context=contexts).dedupe()) == 2
    assert len(of([LONG, LONG + " office"], [0.8, 0.9], context=contexts[:1] * 2).dedupe()) == 1


def test_a_row_that_nearly_repeats_a_dropped_row_only_stays() -> None:
    words = [f"w{k}" for k in range(98)]
    chain = [
        " ".join(words[k : k + 90]) for k in (0, 4, 8)
    ]  # neighbours share 83 of 99 runs of words, the ends 79 of 103
    assert kept(of(chain, [0.9, 0.8, 0.7]).dedupe()) == ["a", "c"]


def test_half_of_a_surrogate_pair_is_read_as_a_question_mark() -> None:
    assert len(of([LONG + chr(0xD83D), LONG + "?"], [0.8, 0.9]).dedupe()) == 1


@pytest.mark.parametrize("step", ["dedupe", "diversify", "mix", "sample", "decontaminate"])
def test_no_step_depends_on_the_order_of_the_rows(step: str) -> None:
    data, score = made()
    data.loc[51:, "response"] = (data.loc[:8, "response"] + " more").to_numpy()
    score[:] = 0.9  # all tied, so that only ids can decide
    take = {
        "dedupe": lambda dataset: dataset.dedupe(),
        "diversify": lambda dataset: dataset.diversify(20),
        "mix": lambda dataset: dataset.mix("topic", {"fees": 1, "rain": 2, "bread": 0}),
        "sample": lambda dataset: dataset.sample(20),
        "decontaminate": lambda dataset: dataset.decontaminate(data.iloc[:1]),
    }[step]
    order = np.random.default_rng(1).permutation(len(data))
    one, other = take(QualityDataset(data, score)), take(QualityDataset(data.iloc[order], score[order]))
    pd.testing.assert_frame_equal(one.rows, other.rows.sort_values("id"), check_dtype=False)
    assert 0 < len(one) < 60


# Leaks


def test_held_out_instructions_leave_exactly_and_nearly_with_what_they_match() -> None:
    instructions = [
        "How high is the yearly fee?",
        "how high is the  yearly fee?",
        "Please: how high is the yearly fee?",
        "Why?",
    ]
    data = pd.DataFrame({"id": list("abcd"), "instruction": instructions, "response": "So."})
    held_out = pd.DataFrame({"id": ["t1"], "instruction": ["How high is the yearly fee?"]})
    dataset = QualityDataset(data, [0.9] * 4).decontaminate(held_out)
    assert kept(dataset) == ["d"]
    assert dataset.funnel().to_numpy().tolist() == [
        ["its instruction is held out", 4, 2, 2],
        ["its instruction is nearly one that is held out", 2, 1, 1],
    ]
    assert dataset.rows["detail"].iloc[2] == f"{5 / 6:.2f} like t1: How high is the yearly fee?"


def test_rows_are_compared_with_held_out_rows_only() -> None:
    data, score = made(30)
    assert len(QualityDataset(data, score).decontaminate(pd.DataFrame({"instruction": ["Who?"]}))) == 30
    assert len(QualityDataset(data, score).decontaminate(data.iloc[:0])) == 30


def test_a_general_instruction_that_matches_much_is_pointed_out() -> None:
    data = pd.DataFrame({"instruction": "Summarise.", "context": [f"text {k}" for k in range(40)], "response": "So."})
    held_out = data.iloc[:1].assign(id="t1")
    dataset = QualityDataset(data, [0.9] * 40).decontaminate(held_out)
    assert "The held-out row t1 alone matches 40 of 40 rows" in repr(dataset).replace("\n  ", " ")
    both = QualityDataset(data, [0.9] * 40).decontaminate(held_out, columns=("instruction", "context"))
    assert len(both) == 39


def test_a_held_out_set_without_instructions_is_refused() -> None:
    with pytest.raises(DataError, match="the held-out data has no column 'instruction'; did you mean 'instructions'"):
        of(["So."], [0.9]).decontaminate(pd.DataFrame({"instructions": ["Why?"]}))


# Diversity


def test_diverse_rows_keep_the_shares_of_slices_and_have_a_random_baseline_beside_them() -> None:
    data, score = made(90)
    dataset = QualityDataset(data, score, [about_rain]).diversify(30)
    assert len(dataset) == 30
    assert (dataset.to_frame()["topic"] == "rain").sum() == 10
    assert dataset.baseline is not None
    assert len(dataset.baseline) == 30
    assert set(kept(dataset.baseline)) != set(kept(dataset))
    assert "30 rows chosen at random" in repr(dataset)


def test_near_neighbours_of_a_better_row_are_skipped() -> None:
    embedding = np.array([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [0.1, 2.0]])
    dataset = of(list("stuv"), [0.6, 0.9, 0.8, 0.7]).diversify(4, embedding)
    assert kept(dataset) == ["b", "c"]
    assert dataset.rows["reason"].iloc[0] == "near neighbour of a better row (cosine above 0.9)"
    assert dataset.rows["detail"].iloc[0] == "0.99 like b"
    assert "Only 2 of the 4 rows asked for differ enough" in repr(dataset)


def test_a_quota_is_filled_by_confidence() -> None:
    embedding = np.eye(4)
    assert kept(of(list("stuv"), [0.6, 0.9, 0.8, 0.02]).diversify(1, embedding)) == ["d"]


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\); one vector for each of the 4 rows"),
        (np.full((4, 1), np.nan), "row 0 is not"),
    ],
)
def test_an_embedding_that_does_not_fit_is_refused(embedding: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(list("stuv"), [0.9] * 4).diversify(2, embedding)


def test_texts_without_words_are_no_obstacle() -> None:
    dataset = QualityDataset(pd.DataFrame({"instruction": ["?", "!", "..."], "response": ["", "👍", "-"]}), [0.9] * 3)
    assert len(dataset.dedupe().diversify(3)) == 3


# Mixes


def test_a_mix_has_the_weights_asked_for_and_as_many_rows_as_they_allow() -> None:
    data, score = made(60)
    mixed = QualityDataset(data, score).mix("topic", {"fees": 2, "rain": 1, "bread": 0})
    assert mixed.to_frame()["topic"].value_counts().to_dict() == {"fees": 20, "rain": 10}
    assert set(mixed.rows.loc[mixed.rows["topic"] == "bread", "detail"]) == {"0 of 20 of bread drawn"}


def test_a_mix_by_slice_has_a_rest() -> None:
    data, score = made(60)
    mixed = QualityDataset(data, score, [about_rain]).mix(weights={"about_rain": 1, "rest": 1})
    assert (mixed.to_frame()["topic"] == "rain").mean() == 0.5
    assert len(mixed) == 40


def test_labels_are_balanced() -> None:
    dataset = of(list("stuvw"), [0.9, 0.8, 0.7, 0.2, 0.1]).balance()
    assert dataset.rows.loc[dataset.rows["kept"], "label"].value_counts().to_dict() == {"ACCEPT": 2, "REJECT": 2}


@pytest.mark.parametrize(
    ("on", "weights", "message"),
    [
        ("topc", None, "no column 'topc' to mix by; did you mean 'topic'"),
        (
            "topic",
            {"fees": 1, "rain": 1, "bred": 1},
            "no kept row is in 'bred', so it cannot be mixed in; did you mean 'b",
        ),
        ("topic", {"fees": 1}, "the weights do not name 'bread'; give it one"),
        ("topic", {"fees": 1, "rain": -1, "bread": 1}, "the weight of 'rain' is -1"),
        ("topic", {"fees": 0, "rain": 0, "bread": 0}, "every weight is 0"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(on: str, weights: dict[str, float] | None, message: str) -> None:
    with pytest.raises((DataError, SettingsError), match=message):
        QualityDataset(*made(9)).mix(on, weights)


# Corrections


def test_a_correction_replaces_the_response_and_says_so() -> None:
    better = [None, "It is 95 EUR.", " "]
    dataset = of(["No idea.", "It is 59 EUR.", "Sorry."], [0.9, 0.2, 0.1], corrected_response=better)
    rows = dataset.filter(["ACCEPT"], 0.9).to_frame()
    assert rows["response"].tolist() == ["No idea.", "It is 95 EUR."]
    assert rows["response_provenance"].tolist() == ["model", "human correction"]
    assert rows["original_response"].tolist() == [None, "It is 59 EUR."]
    assert rows["original_score"].iloc[1] == 0.2
    assert "1 kept responses are people's corrections" in repr(dataset)


def test_a_set_with_corrections_comes_back_as_it_was(tmp_path: Path) -> None:
    dataset = of(["a", "b"], [0.9, 0.2], corrected_response=["c", None]).filter(["ACCEPT"])
    loaded = QualityDataset.load(dataset.save(tmp_path / "set"))
    expected = dataset.rows.astype(object).where(dataset.rows.notna(), None)
    pd.testing.assert_frame_equal(loaded.rows.astype(object).where(loaded.rows.notna(), None), expected)
    assert loaded.summary() == dataset.summary()


def test_a_label_of_what_was_corrected_still_counts_against_the_certificate() -> None:
    n = 400
    bad = np.arange(n) % 4 == 0
    data = pd.DataFrame({"id": [f"r{k}" for k in range(n)], "instruction": "Why?", "response": "It rained."})
    is_labelled = np.arange(n) % 2 == 0
    data["human_label"] = pd.Series(np.where(bad, "REJECT", "ACCEPT")).where(is_labelled)
    data["corrected_response"] = pd.Series("Better.", index=data.index).where(bad & is_labelled)  # all that they reject
    score = np.linspace(0.6, 1, n)
    dataset = QualityDataset(data, score).filter(max_bad_rate=0.1, label_use=LabelUse())
    assert dataset.certificate is not None
    assert not dataset.certificate.is_certified
    assert len(dataset) == 100  # the corrections, and nothing else


# Slices, joined sets, storage


def test_a_slice_that_loses_more_than_half_of_its_share_is_named() -> None:
    data, score = made(60)
    score[data["topic"] == "rain"] = 0.1
    dataset = QualityDataset(data, score, [about_rain]).filter(["ACCEPT"])
    assert "The slice about_rain is 33.3 % of all rows and 0.0 % of those kept (0 of 20 rows)" in " ".join(
        dataset.summary()["notes"]
    )
    assert dataset.slice_funnel().to_numpy().tolist() == [["about_rain", "label is not ACCEPT", 20, 20, 0]]
    assert "lost half of its share" in dataset._repr_html_()


def test_an_empty_slice_and_no_rows_at_all_give_no_nan() -> None:
    dataset = QualityDataset(*made(3), slices=pd.DataFrame({"none": [False] * 3})).filter(confidence_threshold=1)
    assert "nan" not in dataset._repr_html_().lower()
    assert dataset.summary()["by_slice"][0] == {
        "slice": "none", "rows in": 0, "rows out": 0, "share before": 0.0, "share after": None, "lost_half": False,
    }  # fmt: skip


def test_joined_sets_keep_their_decisions_and_count_a_shared_row_once() -> None:
    data, score = made(6)
    first = QualityDataset(data.iloc[:4], score[:4]).filter(ids=["r000", "r001"])
    second = QualityDataset(data.iloc[2:], score[2:]).filter(ids=["r002", "r005"])
    joined = first.append(second)
    assert sorted(kept(joined)) == ["r000", "r001", "r002", "r005"]
    assert sorted(joined.rows["id"]) == sorted(data["id"])
    assert joined.funnel()["rows out"].tolist() == [4]
    assert "2 rows are in both of the sets" in repr(joined)
    assert len(joined.sample(2)) == 2


def test_joined_sets_may_not_disagree_on_a_response_or_on_slices() -> None:
    data, score = made(6)
    with pytest.raises(DataError, match="the id 'r000' has one response in this set and another"):
        QualityDataset(data, score).append(QualityDataset(data.assign(response="Other."), score))
    with pytest.raises(DataError, match=r"the slices \[\] and \['about_rain'\]"):
        QualityDataset(data, score).append(QualityDataset(data, score, [about_rain]))


def test_a_saved_set_keeps_slices_baseline_certificate_and_notes(tmp_path: Path) -> None:
    data, score = made(30)
    whole = QualityDataset(data, score, [about_rain]).filter(max_bad_rate=0.5, label_use=LabelUse(), Y=np.ones(30, int))
    dataset = whole.diversify(6)
    loaded = QualityDataset.load(dataset.save(tmp_path / "set"))
    assert loaded.summary() == dataset.summary()
    assert loaded.certificate == dataset.certificate
    assert loaded.baseline is not None
    assert dataset.baseline is not None
    assert kept(loaded.baseline) == kept(dataset.baseline)
    pd.testing.assert_frame_equal(loaded.slice_funnel(), dataset.slice_funnel())


def test_a_kept_row_that_people_rejected_is_noted() -> None:
    dataset = of(["s", "t"], [0.9, 0.9], human_label=["REJECT", "ACCEPT"])
    assert "1 kept rows count as ACCEPT by their score, and people rejected them" in repr(dataset)


def test_steps_share_the_texts() -> None:
    dataset = QualityDataset(*made(9))
    later = dataset.filter(["ACCEPT"]).dedupe().sample(3)
    assert later._table.data is dataset._table.data


# Preferences

ANSWERS = pd.DataFrame(
    {
        "id": list("abcdef"),
        "instruction": ["How?"] * 4 + ["Why?"] * 2,
        "context": "c",
        "prompt_prefix": "p",
        "response": ["good", "better", "bad", "unsure", "fine", "also fine"],
        "source": ["base", "tuned", "base", "tuned", "base", "tuned"],
    }
)
SURE = [0.9, 0.95, 0.05, 0.4, 0.9, 0.9]


def test_a_pair_is_the_best_and_the_worst_sure_response_to_one_prompt() -> None:
    pairs = QualityDataset(ANSWERS, SURE).preference_pairs()
    assert pairs.to_dict("records") == [
        {
            "instruction": "How?", "context": "c", "prompt_prefix": "p", "chosen": "better", "rejected": "bad",
            "chosen_id": "b", "rejected_id": "c", "chosen_score": 0.95, "rejected_score": 0.05,
            "margin": pytest.approx(0.9), "chosen_source": "tuned", "rejected_source": "base", "origin": "responses",
        }
    ]  # fmt: skip


def test_scores_of_pairs_are_numbers_with_corrections_and_without() -> None:
    for better in ([None] * 6, ["Better."] + [None] * 5):
        pairs = QualityDataset(ANSWERS.assign(corrected_response=better), SURE).reward_pairs()
        assert set(pairs[["chosen_score", "rejected_score", "margin", "weight"]].dtypes.astype(str)) == {"float64"}


def test_a_reward_model_gets_every_pair_and_each_prompt_weighs_one() -> None:
    pairs = QualityDataset(ANSWERS, SURE).reward_pairs(confidence_threshold=0.5)
    assert pairs[["chosen_id", "rejected_id"]].to_numpy().tolist() == [["a", "c"], ["a", "d"], ["b", "c"], ["b", "d"]]
    assert pairs["weight"].tolist() == [0.25] * 4


def test_a_correction_is_a_pair_with_what_it_replaced() -> None:
    pairs = of(["It is 59 EUR."], [0.2], corrected_response=["It is 95 EUR."]).preference_pairs()
    assert pairs[["chosen", "rejected", "chosen_id", "rejected_id", "origin"]].to_numpy().tolist() == [
        ["It is 95 EUR.", "It is 59 EUR.", "a", "a", "correction"]
    ]


def test_both_classes_weigh_the_same_for_kto() -> None:
    rows = QualityDataset(ANSWERS, SURE).kto_rows()
    assert list(rows) == ["instruction", "context", "prompt_prefix", "response", "label", "id", "weight"]
    assert rows["label"].tolist() == [True, True, False, True, True]
    assert rows["weight"].tolist() == [1, 1, 4, 1, 1]


def test_a_view_that_lacks_a_class_or_a_prompt_with_both_says_so() -> None:
    accepted = QualityDataset(ANSWERS, SURE).filter(["ACCEPT"])
    for view in (accepted.kto_rows, accepted.preference_pairs, accepted.reward_pairs):
        with pytest.raises(DataError, match="4 ACCEPT and 0 REJECT rows are kept and sure enough"):
            view()
    with pytest.raises(DataError, match="no prompt has both an ACCEPT and a REJECT response among these 3 rows"):
        QualityDataset(ANSWERS, SURE).filter(ids=["c", "e", "f"]).preference_pairs()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda dataset: dataset.dedupe(near=5), "near is 5; a number from 0 to 1"),
        (lambda dataset: dataset.decontaminate(ANSWERS, threshold=9), "threshold is 9; a number from 0 to 1"),
        (lambda dataset: dataset.decontaminate(["Why?"]), "the held-out data are a list; a pandas DataFrame"),
        (lambda dataset: dataset.diversify(7), r"diversify\(7\): 6 rows are kept, so n must be from 0 to 6"),
        (lambda dataset: dataset.diversify(1.5), r"diversify\(1.5\): 6 rows are kept"),
        (lambda dataset: dataset.diversify(2, max_similarity="0.9"), "max_similarity is '0.9'; a number from 0 to 1"),
        (lambda dataset: dataset.kto_rows(90), "confidence_threshold is 90; a number from 0 to 1"),
    ],
)  # fmt: skip
def test_what_a_step_cannot_use_is_named(step: Callable[[QualityDataset], object], message: str) -> None:
    with pytest.raises((DataError, SettingsError), match=message):
        step(QualityDataset(ANSWERS, SURE))


def test_slices_and_corrections_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="the slices have 1 rows and the data 6"):
        QualityDataset(ANSWERS, SURE, pd.DataFrame({"short": [True]}))
    with pytest.raises(DataError, match="row 0, column 'corrected_response': 3 is int; a text was expected"):
        QualityDataset(ANSWERS.assign(corrected_response=3), SURE)


@pytest.mark.parametrize("step", ["dedupe", "balance"])
def test_a_set_without_a_kept_row_stays_one(step: str) -> None:
    nothing = QualityDataset(ANSWERS, SURE).filter(confidence_threshold=1)
    assert len(getattr(nothing, step)()) == 0
    assert len(nothing.diversify(0).decontaminate(ANSWERS).mix(on="source").sample(0)) == 0
