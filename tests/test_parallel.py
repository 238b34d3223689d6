"""Two processes over gloo compute what one computes. Run as a script, this file is one of the two."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tests.tiny_models import rows, save_model
from weaklm.lm.adapter import add_lora
from weaklm.lm.attention import packed_attention
from weaklm.lm.base_model import load_base
from weaklm.lm.checkpoints import trained
from weaklm.lm.engine import engine_of
from weaklm.lm.likelihood import packed_likelihood
from weaklm.lm.lora import fused_layers
from weaklm.lm.objectives import DPO, KTO, SFT, Objective, mismatch
from weaklm.lm.packing import n_targets
from weaklm.lm.parallel import processes
from weaklm.lm.train import QLoRATrainer

SETTINGS: dict[str, Any] = {"r": 4, "learning_rate": 5e-3, "batch_size": 4, "max_steps": 4, "save_every": 2}


def compute(base: Path) -> dict[str, torch.Tensor]:
    """Return losses and gradients of a step of each objective, with the NF4 base of a folder."""
    torch.set_num_threads(1)
    found: dict[str, torch.Tensor] = {}
    loaded = load_base(base, quantize="nf4")
    model = add_lora(loaded, r=4, alpha=8, target_modules="all-linear")
    torch.manual_seed(1)
    for weight in trained(model).values():
        torch.nn.init.normal_(weight, std=0.1)
    batch = loaded.template.encode(rows(13), 512).rows
    ones, is_accepted = np.ones(len(batch)), np.arange(len(batch)) % 3 > 0
    objectives: dict[str, Objective] = {
        "sft": SFT(batch, ones),
        "kto": KTO(batch, is_accepted, ones, mismatched=mismatch(batch, 512, 0)),
        "dpo": DPO(list(zip(batch[:6], batch[6:12], strict=True))),
    }
    with processes() as group, engine_of(model.train(), group, micro_batch_tokens=250) as engine:
        for name, objective in objectives.items():
            objective.reference = engine.measure(objective.compared) - 1.0 if objective.compared else torch.zeros(0)
            found[name] = torch.tensor(engine.gradients(objective, range(len(objective.units))))
            found[f"{name} held out"] = torch.tensor(engine.loss(objective, range(len(objective.units))))
            for place, weight in trained(model).items():
                assert weight.grad is not None
                found[f"{name} {place}"] = weight.grad.clone()
    return found


def compute_sharded(base: Path) -> dict[str, torch.Tensor]:
    """Return the gradient of a step whose NF4 weights are cut over the processes by torch's FSDP2, if there are two."""
    torch.set_num_threads(1)
    rows_here = load_base(base, quantize=None).template.encode(rows(8), 512).rows
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        bnb_4bit_quant_storage=torch.bfloat16,  # bytes cannot be cut
    )
    inner = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, quantization_config=settings)
    torch.manual_seed(1)
    model = get_peft_model(inner, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).train()
    n_tokens = sum(map(n_targets, rows_here))
    with processes() as group, packed_attention(inner), fused_layers(model):
        if group.n > 1:
            mesh = init_device_mesh("cpu", (group.n,))
            for part in (*inner.model.layers, inner.model):
                whole = {weight for weight in part.parameters() if not weight.is_floating_point()}
                fully_shard(part, mesh=mesh, ignored_params=whole)
        for part in group.share([rows_here[:3], rows_here[3:]]):
            # FSDP takes the mean over processes.
            (-packed_likelihood(model, part).sum() * group.n / n_tokens).backward()
        found = {}
        for name, weight in trained(model).items():
            assert weight.grad is not None
            found[name] = weight.grad.full_tensor() if isinstance(weight.grad, DTensor) else weight.grad
        n_cut = sum(isinstance(weight, DTensor) and weight.dtype == torch.bfloat16 for weight in model.parameters())
    return found | {"cut": torch.tensor(float(n_cut))}


def main(base: Path, folder: Path) -> None:
    with processes() as group:
        found, sharded = compute(base), compute_sharded(base)
        trainer = QLoRATrainer(base, n_threads=1, **SETTINGS)
        model = trainer.fit(rows(13), checkpoint_dir=folder / "checkpoints", progress=False)
        if group.writes:
            torch.save(found, folder / "found.pt")
            torch.save(sharded, folder / "sharded.pt")
            model.save(folder / "adapter")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    assert found.keys() == expected.keys()
    return all(float((found[name] - value).norm()) <= 1e-6 * float(value.norm()) for name, value in expected.items())


@pytest.mark.slow
def test_two_processes_train_as_one_with_whole_and_with_sharded_weights(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(base), str(tmp_path)]
    started = [
        subprocess.Popen(command, env=environment | {"RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE)
        for rank in "01"
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()[-2000:]
    assert same(torch.load(tmp_path / "found.pt"), compute(base))
    sharded, alone = torch.load(tmp_path / "sharded.pt"), compute_sharded(base)
    assert sharded.pop("cut") == 14 and alone.pop("cut") == 0
    assert same(sharded, alone)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000002", "step-000004"]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
