"""Seventeen ways in which trainers go wrong without a word, each shown here to go right."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.tiny_models import CHAT, rows, save_model
from tests.tiny_models import tokenizer as tiny_tokenizer
from weaklm.data import examples
from weaklm.errors import ModelError
from weaklm.lm.adapter import add_lora, merged
from weaklm.lm.base_model import load_base
from weaklm.lm.checkpoints import trained
from weaklm.lm.engine import engine_of
from weaklm.lm.generation import LanguageModel
from weaklm.lm.objectives import SFT
from weaklm.lm.packing import n_targets, pack
from weaklm.lm.parallel import Processes
from weaklm.lm.template import RESPONSE_TOO_LONG, Template, TokenRow
from weaklm.lm.train import QLoRATrainer

DATA = rows(24)
SHORT: dict[str, Any] = {"r": 4, "learning_rate": 5e-3, "batch_size": 4, "max_steps": 6, "save_every": 2}
NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{% if "
    "message['role'] == 'assistant' %}<|end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("pitfalls") / "base")


def fit(base: Path, data: pd.DataFrame = DATA, objective: str = "sft", **settings: Any) -> LanguageModel:
    given = dict(settings)
    checkpoint_dir = given.pop("checkpoint_dir", None)
    trainer = QLoRATrainer(base, **(SHORT | given))
    return trainer.fit(data, objective, checkpoint_dir=checkpoint_dir, progress=False)


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.model.named_parameters() if "lora_" in name}


def same(one: LanguageModel, other: LanguageModel) -> bool:
    return all(torch.equal(weight, weights(other)[name]) for name, weight in weights(one).items())


def lora(base: Path, quantize: str | None, scale: float = 0.1) -> tuple[PeftModel, list[TokenRow]]:
    loaded = load_base(base, quantize=quantize)
    model = add_lora(loaded, r=4, alpha=8, target_modules="all-linear")
    torch.manual_seed(1)
    for weight in trained(model).values():
        torch.nn.init.normal_(weight, std=scale)
    return model.train(), loaded.template.encode(DATA.head(8), 512).rows


def gradients(model: PeftModel, batch: list[TokenRow], **settings: Any) -> list[torch.Tensor]:
    with engine_of(model, Processes(), **settings) as engine:
        engine.gradients(SFT(batch, np.ones(len(batch))), range(len(batch)))
    return [weight.grad.clone() for weight in trained(model).values() if weight.grad is not None]


def close(ones: list[torch.Tensor], others: list[torch.Tensor], share: float) -> bool:
    return all(float((a - b).norm()) <= share * float(a.norm()) for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize("chat", [None, CHAT, NO_SYSTEM])
def test_01_a_training_row_begins_with_exactly_what_generation_asks(chat: str | None) -> None:
    template = Template(tiny_tokenizer(chat))
    asked = template.encode_prompts(DATA).rows
    for row, prompt in zip(template.encode(DATA, 512).rows, asked, strict=True):
        assert row.n_prompt == len(prompt.ids) and np.array_equal(row.ids[: row.n_prompt], prompt.ids)


@pytest.mark.parametrize("chat", [None, CHAT])
def test_02_a_row_has_exactly_one_token_of_beginning(chat: str | None) -> None:
    for row in Template(tiny_tokenizer(chat)).encode(DATA, 512).rows:
        assert row.ids[0] == 0 and (row.ids == 0).sum() == 1


def test_03_the_end_token_is_trained_even_where_it_is_also_the_padding() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    batch = Template(tokenizer).encode(DATA, 512).rows
    packed = pack(batch)
    last = [int(packed.targets[packed.document == i][-1]) for i in range(len(batch))]
    assert last == [tokenizer.eos_token_id] * len(batch)


def test_04_the_targets_are_the_tokens_of_the_responses() -> None:
    tokenizer = tiny_tokenizer()
    batch = Template(tokenizer).encode(DATA, 512).rows
    packed = pack(batch)
    for i, x in enumerate(examples(DATA)):
        assert tokenizer.decode(packed.targets[packed.document == i][:-1]) == x.response
    assert len(packed.targets) == sum(map(n_targets, batch))


def test_05_a_long_context_is_cut_a_long_response_is_left_out_and_counted(base: Path) -> None:
    data = DATA.copy()
    data.loc[3, "context"] = "Long. " * 400
    data.loc[4, "response"] = "Long. " * 400
    model = fit(base, data, max_steps=1, max_length=200)
    assert model.dropped == {RESPONSE_TOO_LONG: ["row4"]} and list(model.context_cut) == ["row3"]
    encoded = model.base.template.encode(data, 200)
    assert all(row.ids[-1] == model.base.template.end_id for row in encoded.rows) and len(encoded.rows) == 23


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_06_no_document_sees_another_one_it_is_packed_with(base: Path, quantize: str | None) -> None:
    model, batch = lora(base, quantize)
    with engine_of(model, Processes()) as engine, torch.no_grad():
        together = engine.likelihood(batch)
        alone = torch.cat([engine.likelihood([row]) for row in batch])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-5)
    others = [TokenRow(row.id, row.ids[::-1].copy(), row.n_prompt) for row in batch[1:]]
    with engine_of(model, Processes()) as engine, torch.no_grad():
        assert float(engine.likelihood([batch[0], *others])[0]) == pytest.approx(float(alone[0]), rel=1e-6)


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_07_the_gradient_of_a_step_does_not_depend_on_its_split(base: Path, quantize: str | None) -> None:
    model, batch = lora(base, quantize)
    whole = gradients(model, batch)
    for split in ({"most_rows": 1}, {"most_rows": 3}, {"micro_batch_tokens": 150}):
        assert close(whole, gradients(model, batch, **split), 2e-6), split


def test_08_a_merged_model_answers_as_the_4_bit_model_with_its_adapter(base: Path) -> None:
    model, _ = lora(base, "nf4", 0.05)
    ids = torch.arange(5, 105).reshape(2, 50)
    with torch.no_grad():
        adapted = model.eval()(ids).logits
        with model.disable_adapter():
            plain = model(ids).logits
        difference = merged(model.get_base_model())(ids).logits - adapted
    assert float(difference.norm()) < 0.05 * float((adapted - plain).norm())


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
import weaklm.lm.checkpoints as checkpoints
from tests.test_pitfalls import SHORT, DATA
from weaklm.lm.train import QLoRATrainer

base, folder, when = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
write = checkpoints.save_file

def write_and_die(tensors, path):
    write(tensors, path)
    if "step-000004" in str(path):
        os.kill(os.getpid(), signal.SIGKILL)

def die(share, **_):
    if share > 0.8:
        os.kill(os.getpid(), signal.SIGKILL)

if when == "writing":
    checkpoints.save_file = write_and_die
QLoRATrainer(base, **SHORT, n_threads=1).fit(DATA, checkpoint_dir=folder, progress=False, report=die)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["writing", "between"])
def test_09_a_run_killed_at_any_moment_ends_with_the_weights_of_the_straight_run(
    base: Path, tmp_path: Path, when: str
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(base), str(tmp_path), when]
    died = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert left == (["step-000002"] if when == "writing" else ["step-000002", "step-000004"])
    resumed = fit(base, checkpoint_dir=tmp_path, n_threads=1)
    assert same(resumed, fit(base, n_threads=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000006"]


def test_10_every_lora_weight_moves_at_a_small_learning_rate_on_a_bfloat16_base(base: Path) -> None:
    still = weights(fit(base, learning_rate=1e-30, dtype="bfloat16", max_steps=1))
    after = weights(fit(base, learning_rate=2e-5, dtype="bfloat16", max_steps=4, warmup=0.0))
    moved = torch.cat([(still[name] != weight).flatten() for name, weight in after.items()])
    assert float(moved.float().mean()) > 0.999


def test_11_the_same_seed_gives_the_same_weights(base: Path) -> None:
    first, second = (fit(base, max_steps=3) for _ in range(2))
    assert same(first, second) and not same(first, fit(base, max_steps=3, random_state=1))


def test_12_recomputing_layers_changes_no_gradient(base: Path) -> None:
    model, batch = lora(base, "nf4")
    assert close(gradients(model, batch, recompute=False), gradients(model, batch, recompute=True), 1e-7)


def test_13_a_token_without_an_embedding_is_named_and_none_is_added(base: Path, tmp_path: Path) -> None:
    grown = save_model(tmp_path / "grown", chat=CHAT)
    tokenizer = tiny_tokenizer(CHAT)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    tokenizer.chat_template = CHAT.replace("<|start|>", "<|new|>")
    tokenizer.save_pretrained(grown)
    with pytest.raises(ModelError, match=r"has the token '<\|new\|>' \(id \d+\), but the model embeds \d+ tokens"):
        fit(grown)
    model = fit(base, max_steps=1)
    assert len(model.base.model.get_input_embeddings().weight) == len(tiny_tokenizer())


def test_14_a_forward_pass_in_eval_mode_leaves_later_gradients_as_they_were(base: Path) -> None:
    model, batch = lora(base, "nf4")
    before = gradients(model, batch)
    with torch.no_grad():
        model.eval()(torch.arange(5, 25)[None])
    assert all(torch.equal(a, b) for a, b in zip(before, gradients(model.train(), batch), strict=True))


def test_15_a_model_given_by_its_path_computes_in_the_dtype_that_was_asked_for(base: Path) -> None:
    loaded = load_base(str(base), quantize="nf4", dtype="bfloat16")
    model = add_lora(loaded, r=4, alpha=8, target_modules="all-linear")
    inner = model.get_base_model()
    states: list[torch.dtype] = []
    inner.model.layers[1].register_forward_hook(lambda _module, _args, out: states.append(out.dtype))
    batch = loaded.template.encode(DATA.head(2), 512).rows
    gradients(model.train(), batch)
    assert set(states) == {torch.bfloat16}
    assert inner.model.embed_tokens.weight.dtype == inner.lm_head.weight.dtype == torch.bfloat16
    assert {weight.dtype for weight in trained(model).values()} == {torch.float32}


@pytest.mark.parametrize("objective", ["kto", "apo_zero"])
def test_16_kto_after_sft_starts_from_the_sft_adapter_and_compares_with_it(
    base: Path, tmp_path: Path, objective: str
) -> None:
    adapter = fit(base, learning_rate=2e-2).save(tmp_path / "sft")
    labelled = DATA.assign(label=np.where(np.arange(24) % 4 > 0, "ACCEPT", "REJECT"))  # 18 and 6
    model = fit(base, labelled, objective, adapter=adapter, learning_rate=1e-30, batch_size=24, max_steps=1)
    # Both classes weigh 18 together; where nothing has moved, each row's loss is half its weight.
    assert model.history[0]["loss"] == pytest.approx(0.5 * 36 / 24, abs=1e-6)
    started = load_file(adapter / "adapter_model.safetensors")
    found = {name.replace(".default", ""): weight for name, weight in weights(model).items()}
    assert all(torch.equal(started[name], found[name]) for name in started)


def test_17_a_batch_of_prompts_is_answered_as_each_alone(base: Path) -> None:
    model = LanguageModel.load(base)
    together = model.generate(DATA, max_new_tokens=8, batch_size=24, progress=False)
    alone = model.generate(DATA, max_new_tokens=8, batch_size=1, progress=False)
    assert together["response"].tolist() == alone["response"].tolist()
    assert len(set(together["response"])) > 12
