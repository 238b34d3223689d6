"""Checkpoints of a training run: adapter, optimizer state and position; each whole or not at all."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from weaklm.atomic import atomic_folder
from weaklm.errors import ModelError
from weaklm.lm.adapter import ADAPTER_WEIGHTS, write_adapter

STATE = "training.json"
TENSORS = "training.safetensors"
KEPT = 2  # the newest, and the one before it in case the newest was made of a run already going wrong


@dataclass
class State:
    """How far a run is: one entry a step, and tensors beside the weights that must survive it, by name."""

    history: list[dict[str, float]] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)


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

    def save(self, model: PeftModel, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Write the state after as many steps as its history has, then remove all but the newest checkpoints."""
        if self.folder is None:
            return
        target = self.folder / f"step-{len(state.history):06d}"
        with atomic_folder(target) as temporary:
            write_adapter(model, temporary)
            kept = {f"kept/{name}": tensor.contiguous() for name, tensor in state.tensors.items()}
            save_file(_tensors(model, optimizer) | kept, temporary / TENSORS)
            text = json.dumps({"identity": dict(self.identity), "history": state.history})
            (temporary / STATE).write_text(text, encoding="utf-8")
        self._remove(self._found()[:-KEPT])

    def restore(self, model: PeftModel, optimizer: torch.optim.Optimizer) -> State:
        """Bring model and optimizer to the newest checkpoint; return its state, which is empty if there is none.

        Raises
        ------
        ModelError
            If the checkpoint is of another run (names what differs), or damaged.
        """
        newest = self.newest()
        if newest is None:
            return State()
        with _damage_of(newest):
            state = json.loads((newest / STATE).read_text(encoding="utf-8"))
            history, identity = list(state["history"]), dict(state["identity"])
        self._check(identity, newest)
        with _damage_of(newest):
            set_peft_model_state_dict(model, load_file(newest / ADAPTER_WEIGHTS))
            tensors = load_file(newest / TENSORS)
            _set_tensors(model, optimizer, tensors)
        kept = {name.removeprefix("kept/"): tensor for name, tensor in tensors.items() if name.startswith("kept/")}
        return State(history, kept)

    def newest(self, before: int | None = None) -> Path | None:
        """Return the newest checkpoint, or the newest of the steps up to ``before``; None if there is none."""
        found = (path for path in reversed(self._found()) if before is None or int(path.name[5:]) <= before)
        return next(found, None)

    def clear(self) -> None:
        """Remove every checkpoint of the folder."""
        self._remove(self._found())

    def _remove(self, old: list[Path]) -> None:
        """Remove checkpoints, and what a killed process left of one that it was writing or removing."""
        if self.folder is None:
            return
        for path in old:
            path.rename(path.with_name(f".{path.name}.old"))  # half a checkpoint must not look like one
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path)

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


def trained(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Return the weights that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _tensors(model: PeftModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's state by name of its weight and kind."""
    return {
        f"{name}/{kind}": value.detach().cpu().contiguous()
        for name, weight in trained(model).items()
        for kind, value in optimizer.state[weight].items()
    }


def _set_tensors(model: PeftModel, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    for name, weight in trained(model).items():
        kinds = ("step", "exp_avg", "exp_avg_sq")
        optimizer.state[weight] = {kind: tensors[f"{name}/{kind}"].to(weight.device) for kind in kinds}
