"""Base models: a folder or a Hugging Face name in, a frozen causal language model, its tokenizer and template out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from weaklm.data import content_hash
from weaklm.errors import MissingExtraError, ModelError, nearest
from weaklm.lm.template import Template

QUANTIZATIONS = ("nf4", None)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class BaseModel:
    """A loaded base model: what it is called, how it was loaded, and its parts."""

    name: str
    quantize: str | None
    dtype: torch.dtype
    model: Any
    tokenizer: Any
    template: Template

    @property
    def context_window(self) -> int | None:
        """Return the most tokens that the model can see at once; None if its configuration does not say."""
        configuration = self.model.config.get_text_config()
        window = getattr(configuration, "max_position_embeddings", None) or getattr(configuration, "n_positions", None)
        return int(window) if window else None

    @property
    def stop_ids(self) -> list[int]:
        """Return the tokens that end an answer: the template's, and those that the model itself names."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        ids = {self.template.end_id, *(named if isinstance(named, list) else [named])}
        return sorted({*ids, self.tokenizer.eos_token_id} - {None})

    @property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when the weights do (from the ends of every weight)."""
        parts = []
        for name, weight in self.model.named_parameters():
            flat = weight.detach().reshape(-1)
            ends = torch.cat([flat[:256], flat[-256:]]).cpu().double().tolist()
            parts.append(json.dumps([name, list(weight.shape), ends]))
        return content_hash(*parts)

    def decode(self, answers: list[list[int]]) -> list[str]:
        """Return token ids as texts, without special tokens."""
        return [
            self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in answers
        ]


def load_base(
    name: str | Path, *, quantize: str | None = "nf4", dtype: str | None = None, device: str | None = None
) -> BaseModel:
    """Return a frozen causal language model, in 4-bit NF4 (Dettmers et al. 2023, arXiv:2305.14314) or plain.

    Parameters
    ----------
    name
        A model folder, or the name of a model on the Hugging Face hub.
    quantize
        "nf4", or None for the plain weights.
    dtype
        "bfloat16" or "float32", the dtype of weights that are not quantised and of all arithmetic; None takes
        bfloat16 on a GPU that has it, else float32.
    device
        "cpu", "cuda", "cuda:1" ...; None takes the GPU if there is one.

    Raises
    ------
    ModelError
        If there is no such model or it cannot be loaded; names near folders and says how to name a hub model.
    """
    if quantize not in QUANTIZATIONS:
        raise ModelError(f"quantize is {quantize!r}; expected 'nf4' or None")
    if quantize and find_spec("bitsandbytes") is None:
        raise MissingExtraError("A 4-bit base model", "train")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind = _dtype(dtype, place)
    source = resolve(name)
    settings: dict[str, Any] = {"dtype": kind, "device_map": {"": place}}
    if quantize:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=kind,
        )
    try:
        _ask_hub(source)
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = AutoModelForCausalLM.from_pretrained(source, **settings)
    except Exception as error:  # each format and each architecture fails in its own way
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the base model {str(name)!r} cannot be loaded: {said}. {_how_to_name(source)}") from error
    _keep_4bit_weights_as_they_are(model)
    model.requires_grad_(False)
    return BaseModel(source, quantize, kind, model.eval(), tokenizer, Template(tokenizer))


def resolve(name: str | Path) -> str:
    """Return the absolute path of a model folder, or a hub name as it is.

    Raises
    ------
    ModelError
        If the name can only be a path, and nothing is there.
    """
    text = str(name)
    place = Path(text).expanduser()
    if place.is_dir():
        return str(place.resolve())
    is_path = isinstance(name, Path) or text.startswith((".", "~", "/")) or text.count("/") > 1
    if is_path or place.exists():
        raise ModelError(f"there is no model folder {text!r}. {_how_to_name(text)}")
    return text


def check_replaceable(folder: str | Path, mark: str) -> None:
    """Raise ModelError if a folder that is to be written holds other things than what was written there before.

    ``mark`` is the name of a file that shows that it is ours to replace.
    """
    place = Path(folder)
    if place.exists() and not (place.is_dir() and (not any(place.iterdir()) or (place / mark).is_file())):
        raise ModelError(f"{place} holds other files and would be overwritten; name a folder that is new or empty")


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the progress bars that transformers draws when it reads and writes weights."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _dtype(dtype: str | None, place: torch.device) -> torch.dtype:
    if dtype is None:
        has_bfloat16 = place.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}; {nearest(dtype, DTYPES)}")
    return DTYPES[dtype]


def _ask_hub(source: str) -> None:
    """Ask once whether the hub has a model that is not here yet, as loading would try for a minute without network."""
    if not Path(source).is_dir() and not isinstance(try_to_load_from_cache(source, "config.json"), str):
        HfApi().model_info(source, timeout=20)


def _how_to_name(text: str) -> str:
    place = Path(text).expanduser()
    beside = [p.name for p in place.parent.iterdir() if (p / "config.json").is_file()] if place.parent.is_dir() else []
    near = nearest(place.name, beside)
    folders = "" if place.is_dir() else f"Model folders beside it: {near}{'' if near.endswith('?') else '.'} "
    return (
        f"{folders}Give the path of a folder with config.json and weights, or the name of a model on the Hugging "
        "Face hub, such as 'meta-llama/Meta-Llama-3-8B-Instruct' (downloaded once; needs the network, and for some "
        "models a licence accepted on the hub)."
    )


def _keep_4bit_weights_as_they_are(model: Any) -> None:
    """Forbid bitsandbytes to repack weights in place at the first forward pass in eval mode on some processors.

    Repacked weights have no backward pass: later gradients through them are silently wrong.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
