"""Features: values by hand, agreement with weaklm.text, and what must not change them."""

import json

import numpy as np
import pandas as pd
import pytest

from weaklm import features
from weaklm.corpus import Vocabulary
from weaklm.errors import ModelError
from weaklm.features import DIRECTIONS, FeatureExtractor
from weaklm.text import names, numbers, sentence_words, stem, substance, terms, words

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
def test_tokens_of_a_corpus_are_those_of_the_text(text: str) -> None:
    vocabulary = Vocabulary()
    table = vocabulary.read(["Before it ends. ", text, "After"])
    stems, own = np.array([*vocabulary.stems, ""]), table.text == 1
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


def test_rows_are_measured_alike_in_any_order_and_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frame("The fee is $95.", "", "Ada said so. Ada said so.", "I am sorry, but no.", "1. Pay\n2. Go", "Leeds")
    data = data.assign(context=[CONTEXT, CONTEXT, "Ada.", "", CONTEXT, "The fee."])
    extractor = FeatureExtractor().fit(data)
    X = extractor.transform(data)
    pd.testing.assert_frame_equal(extractor.transform(data[::-1])[::-1], X)
    monkeypatch.setattr(features, "_ROWS_AT_ONCE", 2)
    pd.testing.assert_frame_equal(extractor.transform(data), X)
    assert FeatureExtractor().fit(data).to_dict() == extractor.to_dict()


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
