"""Features: values by hand, agreement with weaklm.text, and what must not change them."""

import json

import numpy as np
import pandas as pd
import pytest

from weaklm import form, questions
from weaklm.errors import ModelError
from weaklm.features import DIRECTIONS, FeatureExtractor, extractor
from weaklm.features.corpus import Vocabulary
from weaklm.text import admissions, names, numbers, refusals, sentence_words, stem, substance, terms, words

CONTEXT = "The yearly fee is $95. Ada Lovelace leads the fraud desk in Leeds."


def frame(*responses: str, context: str = CONTEXT, instruction: str = "How high is the yearly fee?") -> pd.DataFrame:
    return pd.DataFrame({"instruction": instruction, "context": context, "response": responses})


def measured(*responses: str, context: str = CONTEXT) -> pd.DataFrame:
    data = frame(*responses, context=context)
    return FeatureExtractor().fit(frame(CONTEXT, "The fee.")).transform(data)


def test_a_copy_of_the_context_is_fully_supported() -> None:
    x = measured("The yearly fee is $95.").iloc[0]
    assert [x.novel_terms, x.novel_share, x.novel_bigrams, x.copied_share] == [0, 0, 0, 1]
    assert [x.support_min, x.best_support_min, x.missing_numbers, x.copied_longest] == [1, 1, 0, 5]


def test_novelty_counts_terms_that_the_context_lacks() -> None:
    x = measured("The yearly bonus is a golden watch.").iloc[0]  # terms: yearly, bonus, golden, watch
    assert (x.novel_terms, x.novel_share) == (3, 0.75)
    assert x.novel_bigrams == pytest.approx(5 / 6)  # of its six pairs, only "the yearly" is in the context


def test_support_is_that_of_the_weakest_sentence_and_of_one_sentence_of_the_context() -> None:
    x = measured("The yearly fee is $95. Ada Lovelace pays the yearly fee.").iloc[0]
    assert x.support_mean == pytest.approx((1 + x.support_min) / 2)
    assert 0.5 < x.support_min < 1  # all but "pays" is somewhere in the context
    assert x.best_support_min < x.support_min  # but in two different sentences


def test_missing_numbers_and_names_are_those_of_neither_context_nor_instruction_nor_prefix() -> None:
    data = frame("In 1999 the fee was 120, says Ann Smith, 7 or $95.").assign(prompt_prefix="user: Since 1999?")
    x = FeatureExtractor().fit(data).transform(data).iloc[0]
    assert (x.numbers, x.missing_numbers, x.missing_names) == (4, 2, 2)  # 120, 7; Ann, Smith


def test_repetition_echo_and_relevance_by_hand() -> None:
    said = "How high is the yearly fee? It is due each May again. It is due each May again."
    x = measured(said, "Call the desk.").iloc[0]
    assert (x.repeated_sentences, x.echoed_sentences, x.instruction_taken_up) == (1, 1, 1)
    assert measured("Call the desk.").iloc[0].instruction_taken_up == 0


def test_courtesies_count_neither_for_nor_against_support() -> None:
    polite = measured("\n1. Thank you for asking.\nThe yearly fee is $95. I hope this helps!", "The yearly fee is $95.")
    columns = ["novel_share", "copied_share", "support_min", "best_support_mean", "offered_terms"]
    assert polite[columns].iloc[0].tolist() == polite[columns].iloc[1].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "Yesterday Ada Lovelace met Mr Babbage in London. The Bank of England was closed.",
        "\n\n1. Pay $1,000.50 by 5 May.\n2) Wait, e.g. twelve days: then 1) call the U.S. desk 2) ask Ann.\n\n- Done",
        "CAF\u00c9 \u4f60\u597d caf\u00e9! v2.5 is out?! Really... (See Mr. Stone's note.) i'm sorry",
        "Thanks! The fee is $5. I hope this helps",
    ],
)
def test_words_of_a_corpus_are_those_of_the_text(text: str) -> None:
    vocabulary = Vocabulary()
    reading = vocabulary.read(["Before it ends. ", text, "After"])
    table = reading.tables[0]
    stems, own = np.array([*vocabulary.names(reading.stems), ""]), table.text == 1
    assert stems[table.stem[own]].tolist() == [stem(word) for word in words(text)]
    assert stems[table.stem[own & table.is_term]].tolist() == list(terms(text))
    assert stems[table.stem[own & table.is_number]].tolist() == list(numbers(text))
    assert stems[table.stem[own & table.is_name]].tolist() == [t for name in names(text) for t in terms(name)]
    assert len(np.unique(table.sentence[own])) == len(sentence_words(text))


def test_x_has_named_float32_columns_on_the_index_of_the_data() -> None:
    data = frame("A fee.", "No fee.").set_index(pd.Index(["b", "b"]))
    X = FeatureExtractor().fit(data).transform(data)
    assert X.index.tolist() == ["b", "b"]
    assert set(X.dtypes.astype(str)) == {"float32"}
    assert X.columns.is_unique
    assert set(DIRECTIONS) <= set(X.columns)


def test_only_the_four_texts_are_seen() -> None:
    data = frame("A fee of $95.", "Nothing.")
    more = data.assign(human_label=["ACCEPT", "REJECT"], source=["a", "b"], id=["1", "2"], votes=[1, 0])
    extractor = FeatureExtractor().fit(data)
    pd.testing.assert_frame_equal(extractor.transform(more), extractor.transform(data))
    assert FeatureExtractor().fit(more).to_dict() == extractor.to_dict()


def test_rows_are_measured_alike_in_any_order_and_in_chunks_of_any_size_by_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = frame("The fee is $95.", "", "Ada said so. Ada said so.", "I am sorry, but no.", "1. Pay\n2. Go", "Leeds")
    data = data.assign(context=[CONTEXT, CONTEXT, "Ada.", "", CONTEXT, "The fee."])
    fitted = FeatureExtractor(n_threads=1).fit(data)
    X = fitted.transform(data)
    pd.testing.assert_frame_equal(fitted.transform(data[::-1])[::-1], X)
    monkeypatch.setattr(extractor, "_ROWS_AT_ONCE", 2)
    pd.testing.assert_frame_equal(fitted.transform(data), X)
    in_threads = FeatureExtractor(n_threads=3).fit(data)
    pd.testing.assert_frame_equal(in_threads.transform(data), X)
    assert json.dumps(in_threads.to_dict()) == json.dumps(fitted.to_dict())


def test_what_it_learned_survives_json() -> None:
    data = frame("The fee is $95.", "The fee is low.", "A bonus.")
    extractor = FeatureExtractor().fit(data)
    again = FeatureExtractor.from_dict(json.loads(json.dumps(extractor.to_dict())))
    pd.testing.assert_frame_equal(again.transform(data), extractor.transform(data))


def test_a_term_that_the_corpus_does_not_know_weighs_as_the_rarest() -> None:
    extractor = FeatureExtractor().fit(frame("Fee one.", "Fee two.", "Fee bonus."))
    rare, unknown, common = (
        extractor.transform(frame(f"{word} 7.", context="There are 7.")).iloc[0].novel_weight_sum
        for word in ("bonus", "zeppelin", "fee")
    )
    assert rare == unknown
    assert common < rare


def test_grounding_has_no_meaning_where_the_corpus_has_no_contexts() -> None:
    X = FeatureExtractor().fit(frame("A fee.", context="")).transform(frame("A fee.", context=""))
    assert np.isnan(X[["novel_share", "copied_share", "support_min", "missing_numbers"]].to_numpy()).all()
    assert X.words.tolist() == [2]


def test_without_its_context_a_row_of_a_corpus_of_contexts_has_no_support() -> None:
    extractor = FeatureExtractor().fit(frame(*(f"Fee {i}." for i in range(20))))
    x = extractor.transform(frame("The desk charges $95.", context=" ")).iloc[0]
    assert (x.novel_share, x.copied_share, x.support_min, x.missing_numbers) == (1, 0, 0, 1)


def test_empty_texts_are_measured() -> None:
    data = pd.DataFrame({"instruction": ["?", "?"], "context": ["", "."], "response": ["", " \n"]})
    X = FeatureExtractor().fit(data).transform(data)
    assert X.words.tolist() == [0, 0]


def test_says_what_to_do_before_fit_and_without_rows() -> None:
    with pytest.raises(ModelError, match=r"call fit\(data\) first"):
        FeatureExtractor().transform(frame("A fee."))
    with pytest.raises(ModelError, match="no rows"):
        FeatureExtractor().fit(frame("A fee.")).transform(frame("A fee.")[:0])


def test_a_refusal_is_no_courtesy() -> None:
    assert substance("I'm sorry, but I cannot help. Thanks!") == "I'm sorry, but I cannot help. "


FACTS = (
    "The yearly fee is $95 and is due before 5 May. Refunds are never paid after 30 days. "
    "Ada Lovelace beat Alan Turing in 1912 by 3 points."
)


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("The yearly fee is $95 and is due before 5 May.", {}),
        ("The yearly fee is $95 and is due after 5 May.", {"antonym_flips": 1}),
        ("The yearly fee is not $95.", {"negation_flips": 1}),
        ("Refunds are paid after 30 days.", {"negation_flips": 1}),
        ("The yearly fee is $120 and is due.", {"other_values": 1, "missing_numbers": 1}),
        ("Alan Turing beat Ada Lovelace in 1912.", {"swapped_entities": 1}),
        ("Ada Lovelace beat Alan Turing in 1912.", {}),
        ("Refunds are never paid after 30 hours.", {"missing_units": 1}),
        ("Refunds are never paid since 1913.", {"missing_numbers": 1, "missing_dates": 1}),
        ("Refunds are never paid in June.", {"missing_names": 1, "missing_dates": 1}),
    ],
)
def test_contradictions_are_found_beside_the_sentence_that_supports_best(response: str, found: dict[str, int]) -> None:
    x = measured(response, context=FACTS).iloc[0]
    names = ["negation_flips", "antonym_flips", "other_values", "swapped_entities"]
    names += ["missing_numbers", "missing_names", "missing_units", "missing_dates"]
    assert {name: int(x[name]) for name in names if x[name]} == found


def test_a_sentence_without_support_contradicts_nothing() -> None:
    x = measured("No bonus was ever paid out to golden visitors after lunch.", context=FACTS).iloc[0]
    assert (x.negation_flips, x.antonym_flips, x.other_values, x.swapped_entities) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("instruction", "response", "missing"),
    [
        ("How high is the fee?", "It is due in the spring.", 1),
        ("How high is the fee?", "It is $95.", 0),
        ("Who leads the desk?", "The desk has a lead.", 1),
        ("Who leads the desk?", "The desk is led by Ada.", 0),
        ("Is there a fee?", "Every card has one.", 1),
        ("Is there a fee?", "Yes, every card has one.", 0),
        ("Tell me of the fee.", "Every card has one.", 0),
    ],
)
def test_an_answer_is_of_the_type_that_the_question_asks_for(instruction: str, response: str, missing: int) -> None:
    data = frame(response, instruction=instruction)
    assert FeatureExtractor().fit(data).transform(data).answer_type_missing.tolist() == [missing]


def test_novel_words_count_words_of_every_kind() -> None:
    x = measured("I like the yearly fee.").iloc[0]
    assert x.novel_words == pytest.approx(2 / 5)  # "I" and "like", which are no terms
    assert x.novel_share == 0


ODD = [
    "The fee is $5 a month. <|im_end|>",
    "Dear [NAME], the fee is {{fee}}.\nResponse: done",
    "### Response\nThe fee is $5.",
    '{"fee": 5}',
    "```\nfee\n``` ",
    "<p>The fee</p>",
    "You have 60 days. Call the number on",
    "You have 60 days",
    "One. Two\n- three",
    "I'm sorry, but I can\u2019t help. The text does not mention it.",
    "AS AN AI LANGUAGE MODEL, we cannot answer. There is no information about that in the text.",
    "one two three four five six seven",
    " ",
    "What is it? ",
    'He said "yes"',
]


def test_columns_of_phrases_are_the_measures_of_single_texts() -> None:
    asked = ["Use at most 3 words.", "Give JSON or HTML.", "Up to 4 words please, why?"]
    data = pd.DataFrame([(question, CONTEXT, text) for question in asked for text in ODD])
    data.columns = ["instruction", "context", "response"]
    X = FeatureExtractor().fit(data).transform(data)
    for name, measure in {"refusals": refusals, "admissions": admissions}.items():
        assert X[name].tolist() == [len(measure(text)) for text in data.response]
    for name, judge in {"breaks_off": form.breaks_off, "machine_tokens": form.has_machine_tokens}.items():
        assert X[name].tolist() == [judge(text) for text in data.response]
    prompted = list(zip(data.response, data.instruction, strict=True))
    assert X.wrapped.tolist() == [form.is_wrapped(*texts) for texts in prompted]
    assert X.words_to_limit.tolist() == pytest.approx([form.length_to_limit(*texts) for texts in prompted])
    assert X.asks_figure.tolist() == [questions.asks_figure(text) for text in data.instruction]
    assert X.ends_complete[:15].tolist() == [0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1]
    assert X.lines.tolist() == [text.count("\n") for text in data.response]


def test_half_a_surrogate_pair_costs_no_row() -> None:
    data = frame("The fee is $95.", "The fee is $95.").astype(object)
    data.loc[0, "response"] = "The fee \ud800 is $95."
    X = FeatureExtractor().fit(data).transform(data)
    assert X.words.tolist() == [4, 4]
