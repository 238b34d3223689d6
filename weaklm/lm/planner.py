"""Memory: how much each layer may keep for the backward pass, and how many tokens are computed together.

What a layer keeps is measured on the model itself, a few hundred tokens long. Then as many layers as fit keep
everything (level 0), some drop the two halves of their MLP's gate (level 1), and the rest keep only their input (level
2). Levels and micro-batches change time and memory, not the result.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from weaklm.lm.likelihood import CHUNK, Likelihood
from weaklm.lm.lora import GatedMLP
from weaklm.lm.template import TokenRow

LEVELS = (0, 1, 2)
MARGIN = 1.1  # what an allocator loses to gaps
PROBE = 64  # tokens: enough to measure by, and within every context window


@dataclass
class Layer:
    """One layer of a decoder, and its MLPs that can recompute their gate."""

    module: Any
    mlps: Sequence[GatedMLP]

    def set(self, level: int) -> None:
        """Keep everything (0), drop the halves of the gate (1), or keep the layer's input only (2)."""
        for mlp in self.mlps:
            mlp.recompute = level == 1
        self.module.gradient_checkpointing = level == 2
        self.module._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


@contextmanager
def layers_of(model: torch.nn.Module, mlps: dict[str, GatedMLP]) -> Iterator[list[Layer]]:
    """Yield the layers of a model, which keep everything again after the block."""
    layers = [
        Layer(module, [mlp for place, mlp in mlps.items() if place.startswith(f"{name}.")])
        for name, module in model.named_modules()
        if isinstance(module, GradientCheckpointingLayer)
    ]
    try:
        yield layers
    finally:
        for layer in layers:
            layer.set(0)


@dataclass(frozen=True)
class Costs:
    """Bytes that one layer keeps for one token at each level, and bytes that are needed whatever is kept.

    ``for_a_token`` is what each token needs once, outside the layers; ``fixed`` what a pass needs at any length.
    """

    kept: tuple[float, float, float]
    for_a_token: float
    fixed: float


@dataclass(frozen=True)
class Plan:
    """How many tokens are computed together, at most, and the level of each layer."""

    n_tokens: int
    levels: tuple[int, ...]


def plan(n_tokens: int, n_layers: int, costs: Costs, free: float | None, least: int = 1) -> Plan:
    """Return the plan that recomputes least in ``free`` bytes (None: not known, recompute nothing).

    Tokens are halved only where recomputing everything is not enough, and never below ``least``, where the plan may
    need more than there is.

    >>> costs = Costs(kept=(100, 50, 10), for_a_token=100, fixed=1000)
    >>> [plan(1000, 4, costs, free).levels for free in (6e5, 4.5e5, 3.5e5, 1.8e5)]
    [(0, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2)]
    >>> plan(1000, 4, costs, 1.5e5)
    Plan(n_tokens=500, levels=(2, 1, 1, 1))
    """
    for level in LEVELS[:-1]:
        for n_higher in range(n_layers):
            levels = (level + 1,) * n_higher + (level,) * (n_layers - n_higher)
            if free is None or need(Plan(n_tokens, levels), costs) <= free:
                return Plan(n_tokens, levels)
    lowest = Plan(n_tokens, (LEVELS[-1],) * n_layers)
    if free is None or need(lowest, costs) <= free or n_tokens <= least:
        return lowest
    return plan(max(n_tokens // 2, least), n_layers, costs, free, least)


def need(chosen: Plan, costs: Costs) -> float:
    """Return the bytes that a plan takes at its peak."""
    kept = sum(costs.kept[level] for level in chosen.levels) + costs.for_a_token
    return MARGIN * (chosen.n_tokens * kept + costs.fixed)


def lower(chosen: Plan, costs: Costs, longest: int) -> Plan | None:
    """Return a plan that takes a fifth less memory, for when one has run out; None if there is none.

    ``longest`` is the tokens of the longest row, below which micro-batches cannot go.
    """
    now = Plan(max(chosen.n_tokens, longest), chosen.levels)
    if now.n_tokens == longest and set(now.levels) <= {LEVELS[-1]}:
        return None
    return plan(now.n_tokens, len(now.levels), costs, 0.8 * need(now, costs), least=longest)


def measured_costs(model: Any, layers: Sequence[Layer], likelihood: Likelihood) -> Costs:
    """Return what the layers of a peft model keep for the backward pass, from two short passes."""
    inner = model.get_base_model()
    embedding = inner.get_input_embeddings().weight
    probe = TokenRow("", np.arange(PROBE, dtype=np.int32) % len(embedding), 1)
    kept = []
    for level in LEVELS[:-1]:
        for layer in layers:
            layer.set(level)
        kept.append(_bytes_kept(model, likelihood, probe) / PROBE)
    for layer in layers:
        layer.set(0)
    whole, part = kept
    n_layers = max(1, len(layers))
    width = embedding.shape[1] * inner.dtype.itemsize
    adapted = [module for module in model.modules() if hasattr(module, "lora_A")]
    widest = max(getattr(module, "in_features", 0) * getattr(module, "out_features", 0) for module in adapted)
    n_trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return Costs(
        kept=(whole / n_layers, part / n_layers, width) if layers else (0.0, 0.0, 0.0),
        # The layer whose backward pass runs holds as much again; with no layers to set, all is held.
        for_a_token=2 * whole / n_layers,
        # Logits of a chunk, two dequantised weights, gradients and AdamW's two moments.
        fixed=8 * CHUNK * len(embedding) + 2 * widest * inner.dtype.itemsize + 12 * n_trained,
    )


def free_memory(device: torch.device) -> float | None:
    """Return the bytes that can still be allocated on a device, or None where that is not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    table = Path("/proc/meminfo")  # Linux
    if device.type != "cpu" or not table.is_file():
        return None
    line = next(line for line in table.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable"))
    return 0.8 * 1024 * int(line.split()[1])  # leaves some to other programs


def _bytes_kept(model: Any, likelihood: Likelihood, row: TokenRow) -> int:
    """Return the bytes that autograd keeps between the passes over a row, the model's weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        likelihood([row])
    return sum(kept.values())
