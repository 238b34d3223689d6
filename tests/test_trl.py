"""KTO, APO-zero and DPO against TRL: the same rows, the same weights, one batch; skipped where TRL is not installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer

from tests.tiny_models import CHAT, rows, save_model
from weaklm.lm.adapter import add_lora
from weaklm.lm.base_model import BaseModel, load_base
from weaklm.lm.checkpoints import trained
from weaklm.lm.engine import engine_of
from weaklm.lm.objectives import KTO, Objective
from weaklm.lm.parallel import Processes
from weaklm.lm.supervision import Supervision
from weaklm.lm.template import TokenRow

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

DATA = rows(8)
IS_ACCEPTED = np.arange(8) % 3 != 0
PAIRS = DATA.assign(chosen=DATA["response"], rejected=[x.replace("answer", "result is not") for x in DATA["response"]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("trl") / "base", chat=CHAT)


def start(folder: Path) -> tuple[BaseModel, PeftModel]:
    """Return a base and its model with an adapter as if it had been trained before."""
    base = load_base(folder, quantize=None)
    torch.manual_seed(3)
    model = add_lora(base, r=4, alpha=8, target_modules="all-linear")
    for name, weight in trained(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    return base, model.train()


def move(model: PeftModel) -> None:
    """Move the adapter away from the reference; the seed is one where KTO's divergence is above 0."""
    rng = torch.Generator().manual_seed(2)
    for name, weight in sorted(trained(model).items()):
        if "lora_B.default" in name:
            weight.data += torch.randn(weight.shape, generator=rng) * 0.05


def gradients(model: PeftModel) -> dict[str, torch.Tensor]:
    found = trained(model).items()
    return {name: weight.grad for name, weight in found if ".default." in name and weight.grad is not None}


def prompts() -> Iterator[list[dict[str, str]]]:
    for row in DATA.to_dict("records"):
        system = [{"role": "system", "content": row["prompt_prefix"]}] if row["prompt_prefix"] else []
        user = "\n\n".join(part for part in (row["instruction"], row["context"]) if part.strip())
        yield [*system, {"role": "user", "content": user}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def theirs(kind: str, folder: Path, data: list[dict[str, Any]], out: Path, **settings: Any) -> tuple[float, Any]:
    """Return loss and gradients of TRL's trainer of a kind, over one batch of all rows."""
    shared = {"max_length": 512, "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    given = getattr(trl, f"{kind}Config")(str(out), per_device_train_batch_size=8, **shared, **settings)
    _, model = start(folder)
    trainer = getattr(trl, f"{kind}Trainer")(
        model,
        args=given,
        train_dataset=datasets.Dataset.from_list(data),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    move(trainer.model)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item(), gradients(trainer.model)


def ours(objective: Objective, model: PeftModel) -> tuple[float, Any]:
    with engine_of(model, Processes(), micro_batch_tokens=300) as engine:
        objective.reference = engine.measure(objective.compared)
        move(model)
        return engine.gradients(objective, range(len(objective.units))), gradients(model)


def check(expected: tuple[float, Any], found: tuple[float, Any]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert expected[1].keys() == found[1].keys()
    for name, gradient in expected[1].items():
        assert float((gradient - found[1][name]).norm()) <= 1e-5 * float(gradient.norm()), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kto", "apo_zero_unpaired"])
def test_kto_is_trl_s(folder: Path, tmp_path: Path, kind: str) -> None:
    data = [
        {"prompt": prompt, "completion": assistant(response), "label": bool(label)}
        for prompt, response, label in zip(prompts(), DATA["response"], IS_ACCEPTED, strict=True)
    ]
    settings = {"loss_type": kind, "desirable_weight": 0.7, "undesirable_weight": 1.3}
    expected = theirs("KTO", folder, data, tmp_path, **settings)
    base, model = start(folder)
    encoded = base.template.encode(DATA, 512).rows
    donors = [encoded[-1], *encoded[:-1]]  # as TRL pairs them within a batch
    mismatched = [
        TokenRow(row.id, np.concatenate([row.ids[: row.n_prompt], donor.ids[donor.n_prompt :]]), row.n_prompt)
        for row, donor in zip(encoded, donors, strict=True)
    ]
    weights = np.where(IS_ACCEPTED, 0.7, 1.3)
    check(expected, ours(KTO(encoded, IS_ACCEPTED, weights, mismatched=mismatched if kind == "kto" else ()), model))


@pytest.mark.slow
def test_dpo_is_trl_s(folder: Path, tmp_path: Path) -> None:
    data = [
        {"prompt": prompt, "chosen": assistant(chosen), "rejected": assistant(rejected)}
        for prompt, chosen, rejected in zip(prompts(), PAIRS["chosen"], PAIRS["rejected"], strict=True)
    ]
    expected = theirs("DPO", folder, data, tmp_path)
    base, model = start(folder)
    supervision = Supervision("dpo", None, 0.1, 512, 0)
    objective, _ = supervision.encode(supervision.frame(pd.DataFrame(PAIRS)), base.template)
    check(expected, ours(objective, model))
