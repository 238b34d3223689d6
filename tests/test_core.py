"""The trainer's core computes what plain transformers and peft compute, in less memory, and gives the model back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn import functional

from tests.tiny_models import rows, save_model
from weaklm.errors import ModelError
from weaklm.lm import likelihood as likelihoods
from weaklm.lm import planner
from weaklm.lm.adapter import add_lora
from weaklm.lm.base_model import load_base
from weaklm.lm.checkpoints import trained
from weaklm.lm.engine import Engine, engine_of
from weaklm.lm.likelihood import TokenLogProbabilities, padded_likelihood, why_not_packed
from weaklm.lm.objectives import DPO, KTO, SFT, mismatch
from weaklm.lm.packing import bins, n_targets, pack
from weaklm.lm.parallel import Processes
from weaklm.lm.planner import Costs, Plan, lower, need, plan
from weaklm.lm.template import TokenRow

SHAPE: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = {"sliding_window": 6}
NARROW = {"head_dim": 8}

# What a configuration adds to SHAPE, and how many of its modules are replaced.
PACKED: dict[str, tuple[dict[str, Any], int]] = {
    "LlamaConfig": ({}, 21),
    "MistralConfig": (WINDOW, 21),
    "Qwen2Config": ({}, 21),
    "Qwen3Config": (NARROW, 25),
    "GemmaConfig": (NARROW, 21),
    "Gemma3TextConfig": (NARROW | WINDOW, 29),
    "Phi3Config": ({}, 13),
    "PhiConfig": ({}, 12),
}
PADDED: dict[str, tuple[dict[str, Any], str]] = {  # and why
    "Gemma2Config": (NARROW | WINDOW, "capped scores"),
    "GraniteConfig": ({"logits_scaling": 2.0}, "results differ"),
    "BloomConfig": ({}, "results differ"),
}


def documents() -> list[TokenRow]:
    rng = np.random.default_rng(0)
    shapes = [(20, 5), (9, 1), (30, 28), (12, 4)]
    return [TokenRow(str(i), rng.integers(3, 120, n).astype(np.int32), k) for i, (n, k) in enumerate(shapes)]


def random_lora(model: PeftModel, scale: float = 0.2) -> PeftModel:
    torch.manual_seed(1)
    for weight in trained(model).values():
        nn.init.normal_(weight, std=scale)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train()


def architecture(name: str, more: dict[str, Any]) -> PeftModel:
    torch.manual_seed(0)
    shape = SHAPE | more
    if name == "BloomConfig":
        shape = {"vocab_size": 120, "hidden_size": 32, "n_layer": 2, "n_head": 4, "attention_dropout": 0.0}
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**shape))
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return random_lora(get_peft_model(model, settings))


def tiny(folder: Path, quantize: str | None) -> tuple[PeftModel, list[TokenRow]]:
    base = load_base(folder, quantize=quantize)
    model = random_lora(add_lora(base, r=4, alpha=8, target_modules="all-linear"), 0.1)
    return model, base.template.encode(rows(16), 512).rows


def one_by_one(model: PeftModel, batch: Sequence[TokenRow]) -> torch.Tensor:
    """Return log-probabilities of responses, by transformers and peft alone, a row at a time."""
    found = []
    for row in batch:
        ids = torch.from_numpy(row.ids.astype(np.int64))
        logp = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float().log_softmax(-1)
        found.append(logp.gather(1, ids[1:, None])[row.n_prompt - 1 :].sum())
    return torch.stack(found)


def gradients(model: PeftModel) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in trained(model).items() if weight.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def difference(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> float:
    """Return the largest relative difference of a weight's gradient."""
    assert expected.keys() == found.keys() and expected
    largest = max(float(gradient.norm()) for gradient in expected.values())
    return max(
        float((gradient - found[name]).norm() / (gradient.norm() + 1e-6 * largest))
        for name, gradient in expected.items()
    )


@contextmanager
def engine(model: PeftModel, **settings: Any) -> Iterator[Engine]:
    with engine_of(model, Processes(), **settings) as made:
        yield made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("core") / "base")


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_packed_and_fused_gradients_are_those_of_plain_peft_row_by_row(base: Path, quantize: str | None) -> None:
    model, batch = tiny(base, quantize)
    n_tokens = sum(n_targets(row) for row in batch)
    (-one_by_one(model, batch).sum() / n_tokens).backward()
    expected = gradients(model)
    for level in planner.LEVELS:
        with engine(model, micro_batch_tokens=300) as made:
            made.set(Plan(300, (level,) * 2))
            made.gradients(SFT(batch, np.ones(len(batch))), range(len(batch)))
        assert difference(expected, gradients(model)) < 1e-6, level


@pytest.mark.parametrize("name", PACKED)
def test_an_architecture_is_packed_and_fused_by_its_structure(name: str) -> None:
    more, n_replaced = PACKED[name]
    model = architecture(name, more)
    one_by_one(model, documents()).sum().backward()
    expected = gradients(model)
    with engine(model) as made:
        assert sum("forward" in vars(module) for module in model.modules()) == n_replaced
        assert made.likelihood.func is likelihoods.packed_likelihood  # type: ignore[attr-defined]
        made.likelihood(documents()).sum().backward()
    assert difference(expected, gradients(model)) < 2e-6


@pytest.mark.parametrize("name", PADDED)
def test_an_architecture_that_cannot_be_packed_is_padded_to_the_same_result(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    more, reason = PADDED[name]
    model = architecture(name, more)
    one_by_one(model, documents()).sum().backward()
    expected = gradients(model)
    with engine(model) as made:
        made.likelihood(documents()).sum().backward()
    assert "rows are padded" in caplog.text and reason in caplog.text
    assert difference(expected, gradients(model)) < 1e-5


def test_what_is_not_plain_lora_stays_as_peft_made_it(base: Path) -> None:
    loaded = load_base(base, quantize=None)
    odd = LoraConfig(r=4, target_modules=["q_proj", "lm_head"], use_dora=True, task_type="CAUSAL_LM")
    model = random_lora(get_peft_model(loaded.model, odd))
    assert why_not_packed(model) == "the head is not a frozen linear layer"
    with engine(model):
        replaced = [type(module).__name__ for module in model.modules() if "forward" in vars(module)]
    assert set(replaced) == {"LlamaRMSNorm"}


def test_the_model_is_its_own_again_after_the_block(base: Path) -> None:
    model, _ = tiny(base, None)
    before = model.get_base_model().config._attn_implementation
    with pytest.raises(KeyboardInterrupt), engine(model, recompute=True):
        assert model.get_base_model().config._attn_implementation != before
        raise KeyboardInterrupt
    assert model.get_base_model().config._attn_implementation == before
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


@pytest.mark.parametrize("n", [5, 1500])  # one chunk, two chunks
@pytest.mark.parametrize("has_bias", [False, True])
def test_token_log_probabilities_and_their_gradient_are_those_of_a_softmax(n: int, has_bias: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    states = torch.randn(n, 8, generator=rng).requires_grad_()
    weight, bias = torch.randn(30, 8, generator=rng), torch.randn(30, generator=rng) if has_bias else None
    targets, slopes = torch.randint(30, (n,), generator=rng), torch.randn(n, generator=rng)
    expected = functional.linear(states, weight, bias).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    (d_expected,) = torch.autograd.grad(expected, states, slopes)
    found = TokenLogProbabilities.apply(states, weight, bias, targets)
    (d_found,) = torch.autograd.grad(found, states, slopes)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(d_found, d_expected)


def test_a_model_keeps_less_for_the_backward_pass_than_peft_keeps(base: Path) -> None:
    model, batch = tiny(base, "nf4")
    with engine(model) as made:
        kept = [planner._bytes_kept(model, made.likelihood, batch[1])]
        for layer in made.layers:
            layer.set(1)
        kept.append(planner._bytes_kept(model, made.likelihood, batch[1]))
    peft = planner._bytes_kept(model, lambda few: padded_likelihood(model, few), batch[1])
    assert kept[1] < kept[0] < 0.7 * peft


def test_packing_keeps_every_row_whole_and_within_the_budget() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 90, 200).tolist()
    for most in (None, 3):
        packed = bins(lengths, 64, most)
        assert sorted(i for part in packed for i in part) == list(range(200))
        assert all(sum(lengths[i] for i in part) <= 64 or len(part) == 1 for part in packed)
        assert max(map(len, packed)) == 3 or most is None
    assert len(bins(lengths, 64)) <= 1.25 * sum(min(n, 64) for n in lengths) / 64


def test_the_first_token_of_a_document_is_never_a_target() -> None:
    packed = pack(
        [TokenRow("a", np.array([5, 6], dtype=np.int32), 0), TokenRow("b", np.array([7, 8], dtype=np.int32), 1)]
    )
    assert packed.targets.tolist() == [6, 8] and packed.predicting.tolist() == [0, 2]


def test_a_plan_fits_into_memory_and_recomputes_no_more_than_it_must() -> None:
    costs = Costs(kept=(100.0, 50.0, 10.0), for_a_token=100.0, fixed=1000.0)
    for free in np.linspace(5e4, 1e6, 40):
        chosen = plan(1000, 6, costs, float(free))
        assert need(chosen, costs) <= free
        one_less = [level - (i == int(np.argmax(chosen.levels))) for i, level in enumerate(chosen.levels)]
        assert sum(chosen.levels) == 0 or need(Plan(chosen.n_tokens, tuple(one_less)), costs) > free
    assert plan(1000, 6, costs, None).levels == (0,) * 6


def test_running_out_of_memory_steps_down_to_the_same_gradient(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, batch = tiny(base, None)
    objective = SFT(batch, np.ones(len(batch)))
    with engine(model, micro_batch_tokens=1024) as made:
        whole = made.gradients(objective, range(len(batch)))
        expected = gradients(model)
        compute = made.likelihood

        def small(few: Sequence[TokenRow]) -> torch.Tensor:
            if sum(len(row.ids) for row in few) > 300:
                raise torch.OutOfMemoryError
            return compute(few)

        made.likelihood = small
        assert made.gradients(objective, range(len(batch))) == pytest.approx(whole, rel=1e-6)
        assert made.plan.n_tokens <= 300
    assert difference(expected, gradients(model)) < 2e-6
    assert "memory ran out; going on with" in caplog.text


def test_a_row_that_never_fits_is_an_error_with_advice(base: Path) -> None:
    model, batch = tiny(base, None)

    def never(few: Sequence[TokenRow]) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with engine(model) as made, pytest.raises(ModelError, match=r"a row of \d+ tokens .* lower max_length"):
        made.likelihood = never
        made.gradients(SFT(batch, np.ones(len(batch))), range(len(batch)))
    assert lower(Plan(50, (2, 2)), Costs((3.0, 2.0, 1.0), 1.0, 1.0), longest=50) is None


def test_row_weights_weigh_rows_and_only_against_each_other(base: Path) -> None:
    model, batch = tiny(base, None)
    few = batch[:2]
    with engine(model) as made:
        made.gradients(SFT([few[0]], np.ones(1)), [0])
        alone = gradients(model)
        made.gradients(SFT(few, np.array([1.0, 0.0])), [0, 1])
        weighted = gradients(model)
        made.gradients(SFT(few, np.array([20.0, 0.0])), [0, 1])
        scaled = gradients(model)
    name = next(iter(alone))
    # The weights' mean over tokens is 1, so the one row that counts counts for both.
    torch.testing.assert_close(weighted[name], alone[name], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(scaled[name], weighted[name])


def moved(model: PeftModel, by: float) -> None:
    """Move the LoRA weights a little away from where the reference was taken."""
    rng = torch.Generator().manual_seed(2)
    for weight in trained(model).values():
        weight.data += by * torch.randn(weight.shape, generator=rng)


@pytest.mark.parametrize("estimates_divergence", [True, False])
def test_kto_has_the_loss_and_gradient_of_its_formula(base: Path, estimates_divergence: bool) -> None:
    model, batch = tiny(base, None)
    is_accepted = np.arange(len(batch)) % 3 > 0
    weights = np.where(is_accepted, 0.7, 1.3)
    mismatched = mismatch(batch, 512, 0) if estimates_divergence else []
    objective = KTO(batch, is_accepted, weights, beta=0.1, mismatched=mismatched)
    with torch.no_grad():
        reference = one_by_one(model, batch)
        reference_mismatched = one_by_one(model, mismatched) if mismatched else torch.zeros(1)
    with engine(model, micro_batch_tokens=300) as made:
        objective.reference = made.measure(objective.compared)
        moved(model, 0.03)
        loss = made.gradients(objective, range(len(batch)))
    found = gradients(model)
    divergence = torch.zeros(())
    if mismatched:
        with torch.no_grad():
            divergence = (one_by_one(model, mismatched) - reference_mismatched).mean().clamp(min=0)
    ratio = one_by_one(model, batch) - reference
    value = torch.where(
        torch.from_numpy(is_accepted),
        0.7 * (1 - torch.sigmoid(0.1 * (ratio - divergence))),
        1.3 * (1 - torch.sigmoid(0.1 * (divergence - ratio))),
    ).mean()
    value.backward()
    assert loss == pytest.approx(value.item(), rel=1e-5)
    assert difference(gradients(model), found) < 1e-5


def test_dpo_has_the_loss_and_gradient_of_its_formula(base: Path) -> None:
    model, batch = tiny(base, None)
    chosen, rejected = batch[::2], batch[1::2]
    objective = DPO(list(zip(chosen, rejected, strict=True)), beta=0.2)
    with torch.no_grad():
        reference = one_by_one(model, chosen) - one_by_one(model, rejected)
    with engine(model, micro_batch_tokens=300) as made:
        objective.reference = made.measure(objective.compared)
        moved(model, 0.03)
        loss = made.gradients(objective, range(len(objective.units)))
    found = gradients(model)
    ratio = one_by_one(model, chosen) - one_by_one(model, rejected) - reference
    value = -functional.logsigmoid(0.2 * ratio).mean()
    value.backward()
    assert loss == pytest.approx(value.item(), rel=1e-5)
    assert difference(gradients(model), found) < 1e-5


def test_mismatched_rows_have_their_own_prompt_and_the_response_of_another() -> None:
    batch = documents()
    mixed = mismatch(batch, 25, random_state=0)
    answers = {row.ids[row.n_prompt :].tobytes() for row in batch}
    for row, new in zip(batch, mixed, strict=True):
        assert np.array_equal(new.ids[: row.n_prompt], row.ids[: row.n_prompt])
        assert new.ids[row.n_prompt :].tobytes() != row.ids[row.n_prompt :].tobytes()
        assert len(new.ids) <= 29  # the prompt of 28 tokens and one more
    assert sum(new.ids[new.n_prompt :].tobytes() in answers for new in mixed) >= 2  # those that were not cut


def test_stepping_down_for_a_long_row_recomputes_more_rather_than_halving_in_vain() -> None:
    costs = Costs(kept=(100.0, 50.0, 10.0), for_a_token=100.0, fixed=1000.0)
    chosen: Plan | None = Plan(500, (0, 0, 0, 0))
    needs, steps = [], 0
    while chosen is not None:
        needs.append(need(Plan(max(chosen.n_tokens, 1000), chosen.levels), costs))
        assert chosen.n_tokens >= 1000 or steps == 0
        chosen, steps = lower(chosen, costs, longest=1000), steps + 1
    assert needs == sorted(needs, reverse=True) and needs[-1] == need(Plan(1000, (2,) * 4), costs)
