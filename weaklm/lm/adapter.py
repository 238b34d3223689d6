"""LoRA adapters: add one to a base model, load it, write it as a standard peft folder, merge it into the base."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from weaklm.errors import ModelError
from weaklm.lm.base_model import BaseModel

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def add_lora(base: BaseModel, *, r: int, alpha: float, target_modules: str | Sequence[str]) -> PeftModel:
    """Return peft's model around the base: trainable LoRA matrices in float32, everything else frozen.

    float32 because small steps on bfloat16 weights round to nothing: at a learning rate of 2e-5 only 27 % of the
    entries ever move. Draws from torch's random state.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """
    targets = target_modules if isinstance(target_modules, str) else list(target_modules)
    settings = LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM")
    try:
        with _peft_at_peace():
            model = get_peft_model(base.model, settings, autocast_adapter_dtype=True)
    except ValueError as error:
        raise ModelError(f"LoRA cannot be added to {base.name!r} at {target_modules!r}: {error}") from error
    model.peft_config["default"].base_model_name_or_path = base.name
    return model


def load_adapter(base: BaseModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """Return peft's model around the base with the adapter of a folder, ready to generate or to be trained further."""
    try:
        with _peft_at_peace():
            return PeftModel.from_pretrained(base.model, str(folder), is_trainable=trainable).eval()
    except Exception as error:  # a missing, cut or foreign file of weights each fails in its own way
        raise ModelError(f"the adapter {folder} cannot be loaded onto the base model {base.name!r}: {error}") from error


def write_adapter(model: PeftModel, folder: Path) -> None:
    """Write the files of a standard peft adapter."""
    # Left to itself, peft asks the hub whether the base model's embedding was resized.
    model.save_pretrained(str(folder), save_embedding_layers=False)


def merged(inner: Any) -> Any:
    """Return a plain model of transformers with the weights of ``inner``: dequantised, its LoRA layers added.

    The sum is made in float32. The adapter was trained around the rounding errors of the 4-bit weights, so it is added
    to these and not to the weights before quantisation.
    """
    configuration = type(inner.config).from_dict(inner.config.to_dict())
    if hasattr(configuration, "quantization_config"):
        del configuration.quantization_config
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(configuration, dtype=inner.dtype)
    weights = {name: _merged_weight(inner, plain, name).to(inner.dtype) for name in plain.state_dict()}
    plain.load_state_dict(weights, assign=True)
    plain.tie_weights()
    for name, buffer in inner.named_buffers():  # tables that are computed, not stored, such as rotary frequencies
        place, _, kind = name.rpartition(".")
        if name not in weights:
            setattr(plain.get_submodule(place), kind, buffer)
    plain.generation_config = inner.generation_config
    return plain.eval()


def _merged_weight(inner: Any, plain: Any, name: str) -> torch.Tensor:
    """Return one weight of the plain model in float32: dequantised, with the adapter's part added."""
    place, _, kind = name.rpartition(".")
    module = inner.get_submodule(place)
    owner = module.base_layer if isinstance(module, LoraLayer) else module
    weight = _dense(getattr(owner, kind))
    if owner is not module and kind == "weight":
        weight = weight + module.get_delta_weight("default").detach().float()
    # Quantisation turns GPT-2's layers, which store their weight transposed, into ordinary ones.
    turned = isinstance(plain.get_submodule(place), Conv1D) and not isinstance(owner, Conv1D) and kind == "weight"
    return weight.T.contiguous() if turned else weight


def _dense(weight: Any) -> torch.Tensor:
    if getattr(weight, "quant_state", None) is None:
        return weight.detach().float()
    from bitsandbytes.functional import dequantize_4bit  # only here, so that plain models need no bitsandbytes

    return dequantize_4bit(weight.data, weight.quant_state).float()


@contextmanager
def _peft_at_peace() -> Iterator[None]:
    """Silence two warnings about what peft does by itself: a property that it asks for, a setting that it corrects."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        yield
