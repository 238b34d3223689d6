"""Checkpoints of a training run: adapter, optimizer state and position; each whole or not at all."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from weaklm.atomic import atomic_folder
from weaklm.errors import ModelError
from weaklm.lm.adapter import write_adapter

STATE = "training.json"
TENSORS = "training.safetensors"
KEPT = 2  # the newest, and the one before it in case the newest was made of a run already going wrong


@dataclass
class Checkpoints:
    """The checkpoints of one run in one folder: ``step-000020`` and so on, the newest two.

    Each is a standard peft adapter folder with the state of training beside it, in safetensors and JSON: nothing in
    it can run code when it is read.

    Attributes
    ----------
    folder
        Where they are; None keeps none.
    identity
        What shapes the weights: settings and hashes. A run goes on only from a checkpoint with the same.
    """

    folder: Path | None
    identity: Mapping[str, Any]

    def save(self, model: PeftModel, optimizer: torch.optim.Optimizer, history: list[dict[str, float]]) -> None:
        """Write the state after as many steps as ``history`` has, then remove all but the newest checkpoints."""
        if self.folder is None:
            return
        target = self.folder / f"step-{len(history):06d}"
        with atomic_folder(target) as temporary:
            write_adapter(model, temporary)
            save_file(_tensors(model, optimizer), temporary / TENSORS)
            state = {"identity": dict(self.identity), "history": history}
            (temporary / STATE).write_text(json.dumps(state), encoding="utf-8")
        # The last are what a killed process was writing.
        for old in [*self._found()[:-KEPT], *self.folder.glob(".step-*")]:
            shutil.rmtree(old)

    def restore(self, model: PeftModel, optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
        """Bring model and optimizer to the newest checkpoint; return its history, one entry a step ([]: there is none).

        Raises
        ------
        ModelError
            If the checkpoint is of another run (names what differs), or damaged.
        """
        newest = self.newest()
        if newest is None:
            return []
        with _damage_of(newest):
            state = json.loads((newest / STATE).read_text(encoding="utf-8"))
            history, identity = list(state["history"]), dict(state["identity"])
        self._check(identity, newest)
        with _damage_of(newest):
            set_peft_model_state_dict(model, load_file(newest / "adapter_model.safetensors"))
            _set_tensors(model, optimizer, load_file(newest / TENSORS))
        return history

    def newest(self) -> Path | None:
        """Return the newest checkpoint, a peft adapter folder; None if there is none."""
        return next(reversed(self._found()), None)

    def clear(self) -> None:
        """Remove every checkpoint of the folder."""
        for old in self._found():
            shutil.rmtree(old)

    def _found(self) -> list[Path]:
        """Return the checkpoints, oldest first. Half-written ones have other names."""
        return sorted(self.folder.glob("step-*")) if self.folder is not None else []

    def _check(self, identity: dict[str, Any], place: Path) -> None:
        now = json.loads(json.dumps(dict(self.identity)))
        differing = [key for key in sorted({*identity, *now}) if identity.get(key) != now.get(key)]
        if differing:
            said = "; ".join(f"{key} was {identity.get(key)!r}, is {now.get(key)!r}" for key in differing)
            raise ModelError(
                f"the checkpoint {place} is of another run: {said}. Use the same data and settings to go on, another "
                "checkpoint_dir to keep both, or resume=False to start anew (this removes the old checkpoints)."
            )


@contextmanager
def _damage_of(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"the checkpoint {place} is damaged ({error}); remove it to go on from an older one"
        ) from error


def _trained(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _tensors(model: PeftModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's state by name of its weight and kind."""
    return {
        f"{name}/{kind}": value.detach().cpu().contiguous()
        for name, weight in _trained(model).items()
        for kind, value in optimizer.state[weight].items()
    }


def _set_tensors(model: PeftModel, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    for name, weight in _trained(model).items():
        kinds = ("step", "exp_avg", "exp_avg_sq")
        optimizer.state[weight] = {kind: tensors[f"{name}/{kind}"].to(weight.device) for kind in kinds}
