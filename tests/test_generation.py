from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from tests.fake_completions import FakeServer, continued, echo
from tests.fake_llm import Asked, Reply
from tests.tiny_models import CHAT, rows, save_model
from weaklm.data import complete
from weaklm.endpoint import Endpoint
from weaklm.errors import ModelError, SettingsError, TemplateMismatchError
from weaklm.lm.adapter import merged
from weaklm.lm.decoding import _Sampling, continue_prompts
from weaklm.lm.generation import LanguageModel
from weaklm.lm.template import PROMPT_TOO_LONG
from weaklm.lm.train import QLoRATrainer

DATA = rows(16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "base", chat=CHAT)


@pytest.fixture(scope="module")
def plain(base: Path) -> LanguageModel:
    return LanguageModel.load(base, quantize=None)


@pytest.fixture(scope="module")
def tuned(base: Path) -> LanguageModel:
    return QLoRATrainer(base, learning_rate=2e-2, batch_size=8, max_steps=40).fit(DATA, progress=False)


def answers(model: LanguageModel, data: pd.DataFrame = DATA, **settings: Any) -> list[str]:
    return list(model.generate(data, **({"max_new_tokens": 24, "progress": False} | settings))["response"])


def test_a_batch_gives_the_answers_that_each_prompt_gets_alone(plain: LanguageModel) -> None:
    together = answers(plain, batch_size=16)
    assert together == answers(plain, batch_size=1) == answers(plain, batch_size=5)
    assert len(set(together)) > 10  # or the claim would be empty


def test_answers_come_in_the_order_of_the_rows(plain: LanguageModel) -> None:
    backwards = DATA.iloc[::-1]
    assert answers(plain, backwards) == answers(plain)[::-1]


def test_an_answer_is_what_greedy_decoding_by_hand_gives(plain: LanguageModel) -> None:
    row = plain.base.template.encode_prompts(DATA.head(1)).rows[0]
    ids = row.ids.tolist()
    with torch.no_grad():
        for _ in range(12):
            ids.append(int(plain.model(torch.tensor([ids])).logits[0, -1].argmax()))
    new = ids[row.n_prompt :]
    assert not set(new) & set(plain.base.stop_ids)
    assert answers(plain, DATA.head(1), max_new_tokens=12) == plain.base.decode([new])


def test_a_tuned_model_answers_in_its_training_s_form_and_stops(tuned: LanguageModel) -> None:
    texts = answers(tuned, max_new_tokens=60)
    assert sum(text.startswith("The answer is ") and text.endswith(".") for text in texts) >= 14


def test_new_rows_keep_the_instruction_and_get_new_ids_and_no_human_label(plain: LanguageModel) -> None:
    data = DATA.assign(source="base", human_label="ACCEPT", topic="sums", instruction_id=[f"q{i}" for i in range(16)])
    data.index = pd.Index(range(100, 116))
    new = plain.generate(data, "tuned-1", max_new_tokens=4, progress=False)
    assert new["instruction_id"].tolist() == data["instruction_id"].tolist()
    assert set(new["source"]) == {"tuned-1"} and set(new["topic"]) == {"sums"}
    assert not set(new["id"]) & set(data["id"]) and new["id"].is_unique
    assert "human_label" not in new.columns
    assert new.index.tolist() == data.index.tolist()
    again = plain.generate(data, "tuned-1", max_new_tokens=4, progress=False)
    pd.testing.assert_frame_equal(new, again)


def test_rows_with_the_same_prompt_have_one_greedy_answer_and_their_own_ids(plain: LanguageModel) -> None:
    twice = pd.concat([DATA.head(2), DATA.head(2).assign(id=["x", "y"], response="Other.")], ignore_index=True)
    new = plain.generate(twice, max_new_tokens=6, progress=False)
    assert new["response"][:2].tolist() == new["response"][2:].tolist()
    assert new["id"].is_unique


def test_no_response_column_is_needed(plain: LanguageModel) -> None:
    assert answers(plain, DATA.drop(columns="response")) == answers(plain)


def test_a_sample_depends_on_the_seed_and_not_on_the_batch(plain: LanguageModel) -> None:
    first = answers(plain, temperature=1.0, batch_size=16)
    assert first == answers(plain, temperature=1.0, batch_size=3)
    assert first == answers(plain, temperature=1.0, batch_size=16)
    assert first != answers(plain, temperature=1.0, random_state=1)
    assert first != answers(plain)


def test_samples_follow_the_model_s_distribution(plain: LanguageModel) -> None:
    prompt = plain.base.template.encode_prompts(DATA.head(1)).rows[0].ids
    with torch.no_grad():
        logits = plain.model(torch.tensor(prompt[None].astype(np.int64))).logits[0, -1]
    expected = torch.softmax(logits / 2, -1).numpy()
    n = 2000
    drawn = continue_prompts(
        plain.model, [prompt] * n, [str(i) for i in range(n)], stop_ids=[2], max_new_tokens=1, temperature=2.0,
        batch_size=500, progress=False,
    )  # fmt: skip
    counts = np.bincount([ids[0] for ids in drawn if ids], minlength=len(expected))
    top = np.argsort(-expected)[:5]
    error = np.sqrt(expected[top] * (1 - expected[top]) / n)
    assert (np.abs(counts[top] / n - expected[top]) < 4 * error).all()


def test_only_the_tokens_that_make_up_top_p_are_drawn() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = {int(_Sampling([f"{i:015x}"], 1.0, 0.75, scores.device)(scores, scores).argmax()) for i in range(200)}
    assert drawn == {0, 1}


def test_several_answers_to_a_row_stand_below_each_other(plain: LanguageModel) -> None:
    data = complete(rows(2))
    answers = plain.generate(data, n_answers=3, temperature=1.0, max_new_tokens=8, progress=False)
    assert answers["instruction_id"].tolist() == data["instruction_id"].repeat(3).tolist()
    assert answers["id"].is_unique
    assert answers["response"].nunique() > 2


def test_several_answers_need_sampling(plain: LanguageModel) -> None:
    with pytest.raises(SettingsError, match="n_answers is 2 at temperature 0"):
        plain.generate(rows(2), n_answers=2, progress=False)


def test_what_the_model_brings_as_generation_settings_changes_no_answer(plain: LanguageModel) -> None:
    before, own = answers(plain), plain.model.generation_config
    plain.model.generation_config = GenerationConfig(repetition_penalty=9.0, do_sample=True, eos_token_id=4)
    try:
        assert answers(plain) == before
    finally:
        plain.model.generation_config = own


def test_contexts_are_cut_and_prompts_that_do_not_fit_are_left_out_by_name(plain: LanguageModel) -> None:
    data = DATA.head(3).copy()
    data.loc[0, "context"] = "Long. " * 500
    data.loc[1, "instruction"] = "Long? " * 500
    new = plain.generate(data, max_new_tokens=8, progress=False)
    assert len(new) == 2
    assert new.attrs["dropped"] == {PROMPT_TOO_LONG: 1}
    assert new.attrs["dropped_ids"] == {PROMPT_TOO_LONG: ["row1"]}
    assert list(new.attrs["context_cut"]) == ["row0"]
    with pytest.raises(ModelError, match="max_new_tokens=512 leaves no room"):
        plain.generate(data, max_new_tokens=512, progress=False)


def test_a_4_bit_model_generates_as_it_was_trained(tuned: LanguageModel) -> None:
    ids = torch.arange(5, 65).reshape(2, 30)
    with torch.no_grad():
        with_adapter = tuned.model(ids).logits
        with tuned.model.disable_adapter():
            without = tuned.model(ids).logits
        error = merged(tuned.model.get_base_model())(ids).logits - with_adapter
    assert float(error.norm() / (with_adapter - without).norm()) < 1e-4


def test_a_merged_model_is_a_normal_model_with_the_same_answers(tuned: LanguageModel, tmp_path: Path) -> None:
    folder = tuned.merge(tmp_path / "merged")
    ids = torch.arange(5, 65).reshape(2, 30)
    with torch.no_grad():
        stored = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        torch.testing.assert_close(stored, tuned.model(ids).logits, rtol=1e-3, atol=1e-3)
    assert answers(LanguageModel.load(folder, quantize=None)) == answers(tuned)


def test_an_adapter_is_loaded_with_its_base_as_it_was_trained(base: Path, tuned: LanguageModel, tmp_path: Path) -> None:
    tuned.save(tmp_path / "four")
    QLoRATrainer(base, quantize=None, max_steps=1).fit(DATA, progress=False).save(tmp_path / "plain")
    assert LanguageModel.load(tmp_path / "four").base.quantize == "nf4"
    assert LanguageModel.load(tmp_path / "plain").base.quantize is None
    assert answers(LanguageModel.load(tmp_path / "four")) == answers(tuned)


def test_a_base_model_has_no_adapter_to_save(plain: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no adapter to save; merge"):
        plain.save(tmp_path / "adapter")


def test_a_damaged_adapter_is_named(tuned: LanguageModel, tmp_path: Path) -> None:
    folder = tuned.save(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelError, match=r"adapter .*adapter cannot be loaded onto the base model"):
        LanguageModel.load(folder)
    (folder / "weaklm.json").write_text("{")
    with pytest.raises(ModelError, match=r"weaklm\.json is damaged"):
        LanguageModel.load(folder)


def test_a_server_with_the_same_model_gives_the_same_rows_from_the_same_tokens(
    base: Path, plain: LanguageModel, tmp_path: Path
) -> None:
    def serve(asked: Asked) -> Reply:
        ids = np.array(asked.body["prompt"], dtype=np.int32)
        settings: dict[str, Any] = {
            "stop_ids": asked.body["stop_token_ids"],
            "max_new_tokens": asked.body["max_tokens"],
        }
        return continued(plain.base.decode(continue_prompts(plain.model, [ids], ["a"], **settings, progress=False))[0])

    data = DATA.head(5).copy()
    data.loc[1, "instruction"] = "Long? " * 500
    without_weights = LanguageModel.load(base, weights=False)
    with FakeServer(serve) as server:
        served = without_weights.generate(
            data, max_new_tokens=8, engine="server", keep=tmp_path / "kept.jsonl", progress=False,
            endpoint={"model": "fake", "base_url": server.url, "concurrency": 1},
        )  # fmt: skip
    local = plain.generate(data, max_new_tokens=8, progress=False)
    pd.testing.assert_frame_equal(served, local)
    assert served.attrs == local.attrs and served.attrs["dropped"] == {PROMPT_TOO_LONG: 1}


def test_several_answers_of_a_server_have_seeds_of_their_own(plain: LanguageModel, tmp_path: Path) -> None:
    with FakeServer(echo) as server:
        served = plain.generate(
            DATA.head(2), n_answers=2, temperature=1.0, engine="server", endpoint=Endpoint("fake", server.url),
            keep=tmp_path / "kept.jsonl", progress=False,
        )  # fmt: skip
    assert len({text.split()[-1] for text in served["response"]}) == 4


def test_a_server_is_not_asked_in_another_template_than_the_adapter_s(
    base: Path, tuned: LanguageModel, tmp_path: Path
) -> None:
    folder = tuned.save(tmp_path / "adapter")
    other = save_model(tmp_path / "other")
    assert LanguageModel.load(folder, base_model=base, weights=False).manifest["template"] == tuned.manifest["template"]
    with pytest.raises(TemplateMismatchError, match="was trained with the prompt template"):
        LanguageModel.load(folder, base_model=other, weights=False)


def test_what_is_loaded_without_weights_answers_by_a_server_only(base: Path, tmp_path: Path) -> None:
    model = LanguageModel.load(base, weights=False)
    for use in (lambda: model.generate(DATA.head(1), progress=False), lambda: model.merge(tmp_path / "merged")):
        with pytest.raises(ModelError, match="was loaded without its weights, to ask a server with engine='server'"):
            use()
    with pytest.raises(ModelError, match=r"the tokenizer of .* cannot be loaded"):
        LanguageModel.load(tmp_path, weights=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"engine": "servr"}, "there is no engine 'servr'; did you mean 'server'"),
        ({"engine": "server"}, r"engine='server' needs endpoint=Endpoint\(model, base_url\).* and keep="),
        ({"engine": "server", "keep": "k", "endpoint": {"modl": "m"}}, "no setting 'modl'; did you mean 'model'"),
        ({"engine": "server", "keep": "k", "endpoint": {"model": "m"}}, "endpoint does not say base_url"),
    ],
)
def test_an_engine_that_cannot_be_asked_is_told(plain: LanguageModel, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plain.generate(DATA.head(1), progress=False, **settings)
