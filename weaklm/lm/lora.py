"""LoRA layers that save little for the backward pass: same weights, same result as peft's, less memory and traffic.

peft computes a LoRA layer as five operations that each write their result to memory, and autograd keeps most of these.
The functions here keep a layer's input and the r numbers a token that LoRA makes of it; the gated MLP keeps its input
and the two halves of its gate, or not even these. A module is replaced only where it has the structure and, on random
numbers, the result that is computed here; every other stays as peft made it.

Source: Hu et al. 2021 (LoRA), arXiv:2106.09685; Zhang and Sennrich 2019 (RMSNorm), arXiv:1910.07467; Shazeer 2020
(gated MLPs), arXiv:2002.05202. In the formulas W is the frozen weight (n_out, n_in), A (r, n_in) and B (n_out, r) are
LoRA's, s its scale, x (n_tokens, n_in) the input; d before a name is the gradient of the loss by it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.autograd import Function
from torch.nn import functional

log = logging.getLogger(__name__)

ADAPTER = "default"
Elementwise = Callable[..., torch.Tensor]

# Activations of gated MLPs, each with what turns the gradient by act(e), and e, into the gradient by e.
ACTIVATIONS: tuple[tuple[Elementwise, Elementwise], ...] = (
    (functional.silu, torch.ops.aten.silu_backward),
    (partial(functional.gelu, approximate="tanh"), partial(torch.ops.aten.gelu_backward, approximate="tanh")),
    (functional.gelu, torch.ops.aten.gelu_backward),
)


@dataclass(frozen=True)
class FrozenLinear:
    """The frozen part of a LoRA layer: a linear layer of torch, or one of bitsandbytes in 4 bits; and LoRA's scale."""

    layer: Any
    scale: float

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        """Return W, dequantised; read anew each time, as sharding puts another tensor in its place."""
        weight = self.layer.weight
        state = getattr(weight, "quant_state", None) or getattr(self.layer, "quant_state", None)
        if state is None:
            return weight.to(dtype)
        from bitsandbytes.functional import dequantize_4bit  # only here, so that plain models need no bitsandbytes

        return dequantize_4bit(weight, state).to(dtype)

    def forward(self, x: torch.Tensor, A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y = x W' + b + s (x A') B' and x A'."""
        W, bias = self.weight(x.dtype), self.layer.bias
        y = x @ W.t() if bias is None else torch.addmm(bias.to(x.dtype), x, W.t())
        low = x @ A.to(x.dtype).t()
        return y.addmm_(low, B.to(x.dtype).t(), alpha=self.scale), low

    def backward(
        self,
        dy: torch.Tensor,
        x: torch.Tensor,
        low: torch.Tensor,
        A: torch.Tensor,
        B: torch.Tensor,
        *,
        needs_dx: bool = True,
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Return dx = dy W + s (dy B) A, dA = s (dy B)' x and dB = s dy' (x A')."""
        dlow = dy @ B.to(dy.dtype)
        dx = None
        if needs_dx:  # not below the first LoRA layer of the model
            dx = (dy @ self.weight(dy.dtype)).addmm_(dlow, A.to(dy.dtype), alpha=self.scale)
        return dx, (dlow.t() @ x).mul_(self.scale).to(A.dtype), (dy.t() @ low).mul_(self.scale).to(B.dtype)


class LoraLinear(Function):
    """x W' + b + s (x A') B', keeping x and x A'."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, A: torch.Tensor, B: torch.Tensor, frozen: FrozenLinear) -> torch.Tensor:
        """Return the layer's output of shape (..., n_out) for x of shape (..., n_in)."""
        rows = x.reshape(-1, x.shape[-1])
        y, low = frozen.forward(rows, A, B)
        ctx.save_for_backward(rows, low, A, B)
        ctx.frozen, ctx.shape = frozen, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients by x, A and B."""
        x, low, A, B = ctx.saved_tensors  # once: recomputed layers do not hand them out twice
        dy = dys[0].reshape(-1, dys[0].shape[-1])
        dx, dA, dB = ctx.frozen.backward(dy, x, low, A, B, needs_dx=ctx.needs_input_grad[0])
        return None if dx is None else dx.view(ctx.shape), dA, dB, None


@dataclass
class GatedMLP:
    """Frozen parts and settings of an MLP: down(act(gate x) * up x).

    ``recompute`` drops gate x and up x after the forward pass and computes the two products again in the backward
    pass: more than half of a layer's memory for a seventh more work.
    """

    gate: FrozenLinear
    up: FrozenLinear
    down: FrozenLinear
    act: Elementwise
    act_backward: Elementwise
    recompute: bool = False


class LoraMLP(Function):
    """down(act(gate x) * up x) of three LoRA layers, keeping x, and gate x and up x unless told to recompute them."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mlp: GatedMLP, *AB: torch.Tensor) -> torch.Tensor:
        """Return the output, of the shape of x; ``AB`` are A and B of gate, up and down."""
        gate_A, gate_B, up_A, up_B, down_A, down_B = AB
        rows = x.reshape(-1, x.shape[-1])
        e, gate_low = mlp.gate.forward(rows, gate_A, gate_B)
        g, up_low = mlp.up.forward(rows, up_A, up_B)
        y, down_low = mlp.down.forward(_fused(_gated, e)(e, g, mlp.act), down_A, down_B)
        kept = () if mlp.recompute else (e, g)
        ctx.save_for_backward(rows, gate_low, up_low, down_low, *AB, *kept)
        ctx.mlp, ctx.shape = mlp, x.shape
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients by x and by each A and B."""
        mlp: GatedMLP = ctx.mlp
        x, gate_low, up_low, down_low, *rest = ctx.saved_tensors
        gate_A, gate_B, up_A, up_B, down_A, down_B, *kept = rest
        e, g = kept or (mlp.gate.forward(x, gate_A, gate_B)[0], mlp.up.forward(x, up_A, up_B)[0])
        dy = dys[0].reshape(-1, x.shape[-1])
        h = _fused(_gated, e)(e, g, mlp.act)
        dh, *d_down = mlp.down.backward(dy, h, down_low, down_A, down_B)
        del h
        de, dg = _fused(_gated_backward, e)(e, g, dh, mlp.act, mlp.act_backward)
        del e, g, dh, kept, rest
        dx, *d_up = mlp.up.backward(dg, x, up_low, up_A, up_B)
        also, *d_gate = mlp.gate.backward(de, x, gate_low, gate_A, gate_B)
        both = None if dx is None or also is None else dx.add_(also).view(ctx.shape)
        return both, None, *d_gate, *d_up, *d_down


class RMSNorm(Function):
    """x / sqrt(mean(x^2) + eps) * (w + shift), in float32 inside, keeping x and one number a token."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, shift: float) -> torch.Tensor:
        """Return the normalised x; ``shift`` is 1 where weights are stored as their difference from 1."""
        y, inverse = _fused(_normalised, x)(x, weight, eps, shift)
        ctx.save_for_backward(x, weight, inverse)
        ctx.shift = shift
        return y

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient by x; the weight is frozen."""
        x, weight, inverse = ctx.saved_tensors
        return _fused(_normalised_backward, x)(dys[0], x, weight, inverse, ctx.shift), None, None, None


def _gated(e: torch.Tensor, g: torch.Tensor, act: Elementwise) -> torch.Tensor:
    return act(e) * g


def _gated_backward(
    e: torch.Tensor, g: torch.Tensor, dh: torch.Tensor, act: Elementwise, act_backward: Elementwise
) -> tuple[torch.Tensor, torch.Tensor]:
    return act_backward(dh * g, e), dh * act(e)


def _normalised(x: torch.Tensor, weight: torch.Tensor, eps: float, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    wide = x.float()
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    if shift:  # two conventions of rounding: before the weight is multiplied, or after
        return (wide * inverse * (shift + weight.float())).to(x.dtype), inverse
    return weight * (wide * inverse).to(x.dtype), inverse


def _normalised_backward(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, shift: float
) -> torch.Tensor:
    unit = x.float() * inverse
    d_unit = dy.float() * (weight.float() + shift)
    return (inverse * (d_unit - unit * (d_unit * unit).mean(-1, keepdim=True))).to(x.dtype)


@cache
def _compiled(body: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(body, dynamic=True)


def _fused(body: Callable[..., Any], x: torch.Tensor) -> Callable[..., Any]:
    """Return an elementwise function as one kernel on a GPU, where each pass through memory counts; else as it is."""
    return _compiled(body) if x.is_cuda and _can_compile() else body


@cache
def _can_compile() -> bool:
    """Whether torch can build kernels here; it needs triton and a C compiler."""
    try:
        _compiled(torch.square)(torch.ones(8, device="cuda"))
    except Exception as error:  # each part of the tool chain fails in its own way
        log.warning("elementwise operations are not fused, so training is about a tenth slower: %s", error)
        return False
    return True


@dataclass(frozen=True)
class Replacement:
    """What takes the place of a module's ``forward``, and inputs of what width and dtype it takes."""

    forward: Elementwise
    n_in: int
    dtype: torch.dtype
    mlp: GatedMLP | None = None


@contextmanager
def fused_layers(model: nn.Module) -> Iterator[dict[str, GatedMLP]]:
    """Replace what can be replaced of a peft model while the block runs; yield its MLPs by the names of their modules.

    A module is replaced if its structure is known and it gives the same on random numbers.
    """
    mlps: dict[str, GatedMLP] = {}
    replaced: list[Any] = []
    try:
        for name, module in model.named_modules():
            new = next((x for x in _replacements(module) if _gives_the_same(module, x)), None)
            if new is None:
                continue
            module.forward = new.forward
            replaced.append(module)
            if new.mlp is not None:
                mlps[name] = new.mlp
        yield mlps
    finally:
        for module in replaced:
            del module.forward


def _replacements(module: Any) -> Iterator[Replacement]:
    """Yield what a module could be replaced with, judged by its structure: most get nothing, some a choice."""
    if "forward" in vars(module):  # somebody else's work
        return
    if _is_plain_lora(module):
        frozen = _frozen(module)
        yield Replacement(partial(_linear, module, frozen), module.in_features, _dtype(module))
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    if all(map(_is_plain_lora, parts)):
        for act, act_backward in ACTIVATIONS:
            gate, up, down = map(_frozen, parts)
            mlp = GatedMLP(gate, up, down, act, act_backward)
            yield Replacement(partial(_mlp, parts, mlp), gate.layer.in_features, _dtype(parts[0]), mlp)
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if isinstance(eps, float) and weight is not None and weight.ndim == 1 and not weight.requires_grad:
        for shift in (0.0, 1.0):
            yield Replacement(partial(_norm, module, eps, shift), len(weight), weight.dtype)


def _is_plain_lora(module: Any) -> bool:
    """Whether a module is a linear layer with one adapter and nothing else: no dropout, DoRA or bias of LoRA's."""
    if not isinstance(module, LoraLayer) or list(module.lora_A) != [ADAPTER]:
        return False
    base = module.get_base_layer()
    is_linear = type(base) is nn.Linear or hasattr(getattr(base, "weight", None), "quant_state")
    is_plain = not (module.merged or module.disable_adapters or module.lora_variant)
    has_no_extras = isinstance(module.lora_dropout[ADAPTER], nn.Identity) and module.lora_B[ADAPTER].bias is None
    return is_linear and is_plain and has_no_extras and not getattr(module, "fan_in_fan_out", False)


@torch.no_grad()
def _gives_the_same(module: Any, new: Replacement) -> bool:
    """Whether a module and what is to take its place agree on random numbers, up to rounding."""
    device = next(module.parameters()).device
    x = torch.randn(3, new.n_in, generator=torch.Generator().manual_seed(0)).to(device, new.dtype)
    old, ours = module(x).float(), new.forward(x).float()
    return bool((old - ours).norm() <= 2 * torch.finfo(new.dtype).eps ** 0.75 * old.norm())


def _frozen(module: Any) -> FrozenLinear:
    return FrozenLinear(module.get_base_layer(), module.scaling[ADAPTER])


def _dtype(module: Any) -> torch.dtype:
    """Return the dtype that a LoRA layer computes in: that of its weight, or what a 4-bit layer is told."""
    base = module.get_base_layer()
    if hasattr(base.weight, "quant_state"):
        return base.compute_dtype or torch.float32
    return base.weight.dtype


def _weights(module: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return module.lora_A[ADAPTER].weight, module.lora_B[ADAPTER].weight


def _linear(module: Any, frozen: FrozenLinear, x: torch.Tensor) -> torch.Tensor:
    return LoraLinear.apply(x, *_weights(module), frozen)


def _mlp(parts: list[Any], mlp: GatedMLP, x: torch.Tensor) -> torch.Tensor:
    return LoraMLP.apply(x, mlp, *(weight for part in parts for weight in _weights(part)))


def _norm(module: Any, eps: float, shift: float, x: torch.Tensor) -> torch.Tensor:
    return RMSNorm.apply(x, module.weight, eps, shift)
