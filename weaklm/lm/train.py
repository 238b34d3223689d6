"""QLoRA fine-tuning: a frame or a curated data set in, a base model with a trained LoRA adapter out."""

import math
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

import weaklm
from weaklm.data import complete, content_hash, examples
from weaklm.errors import ModelError, SettingsError, nearest
from weaklm.lm.adapter import add_lora
from weaklm.lm.base_model import BaseModel, load_base
from weaklm.lm.checkpoints import Checkpoints
from weaklm.lm.generation import LanguageModel
from weaklm.lm.loop import Loop, checkpoint_layers, own_state
from weaklm.lm.template import EncodedRows

OBJECTIVES = ("sft",)

# These change speed, memory and safety, not what is learned: a run may be resumed with others.
_FREE = ("micro_batch_size", "gradient_checkpointing", "save_every", "device", "n_threads")


class Curated(Protocol):
    """A curated data set, such as ``weaklm.QualityDataset``."""

    def to_frame(self) -> pd.DataFrame:
        """Return the kept rows."""
        ...


class QLoRATrainer:
    """Fine-tunes a causal language model on the responses of a frame: LoRA on a base model in 4 bits.

    Source: Dettmers et al. 2023 (QLoRA, arXiv:2305.14314); Hu et al. 2021 (LoRA, arXiv:2106.09685). The base is
    stored in NF4 and frozen; LoRA weights and the optimizer's state are float32 whatever the base; the loss of a step
    is the mean over all response tokens of the step, however the step is split into micro-batches.

    Parameters
    ----------
    base_model
        A model folder, or a name on the Hugging Face hub.
    quantize
        "nf4" (a quarter of the memory of bfloat16), or None for LoRA on the plain weights.
    random_state
        Seed of the LoRA weights and of the order of rows.
    r, alpha
        Rank of the LoRA matrices, and their scale: alpha / r multiplies their product. 16 is enough for the few
        thousand rows that curation leaves; alpha = 2 r makes the best learning rate nearly independent of r.
    target_modules
        Linear layers that get LoRA, by peft's rules. All of them: attention alone learns worse at equal size.
    learning_rate, warmup
        Peak rate of AdamW; it rises over the first ``warmup`` (share of steps), then falls to 0 along a cosine. 2e-4
        is the QLoRA paper's rate for models up to 13 billion parameters; tiny models take ten times more.
    weight_decay
        0, as in the QLoRA paper: low rank is restraint enough.
    max_grad_norm
        Gradients longer than this are shortened to it, so that one odd row cannot undo the run.
    epochs
        Passes over the data. More than three on a few thousand rows mostly learn them by heart.
    max_steps
        Optimizer steps, in place of ``epochs`` if given.
    batch_size, micro_batch_size
        Rows in one optimizer step, and rows that are computed together. The second changes memory and speed, not the
        result.
    max_length
        Longest row in tokens; longer ones lose the end of their context, never part of their response. The base
        model's context window is an upper bound.
    dtype
        "bfloat16" or "float32", for the arithmetic of the base. None takes bfloat16 on a GPU, float32 on a CPU.
    device
        None takes the GPU if there is one.
    gradient_checkpointing
        Compute each layer again in the backward pass instead of keeping its values: a third more time for a
        fraction of the memory.
    save_every
        Steps between checkpoints: what a crash may cost.
    n_threads
        Threads of the processor. None leaves torch's own number; where other work shares the cores, 1 is faster.
    """

    def __init__(
        self,
        base_model: str | Path,
        *,
        quantize: str | None = "nf4",
        random_state: int = 0,
        r: int = 16,
        alpha: float = 32,
        target_modules: str | list[str] = "all-linear",
        learning_rate: float = 2e-4,
        warmup: float = 0.05,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        epochs: int = 2,
        max_steps: int | None = None,
        batch_size: int = 16,
        micro_batch_size: int = 4,
        max_length: int = 2048,
        dtype: str | None = None,
        device: str | None = None,
        gradient_checkpointing: bool = False,
        save_every: int = 50,
        n_threads: int | None = None,
    ) -> None:
        self.base_model = base_model
        self.quantize = quantize
        self.random_state = random_state
        self.r = r
        self.alpha = alpha
        self.target_modules = target_modules
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.epochs = epochs
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.max_length = max_length
        self.dtype = dtype
        self.device = device
        self.gradient_checkpointing = gradient_checkpointing
        self.save_every = save_every
        self.n_threads = n_threads

    def fit(
        self,
        data: pd.DataFrame | Curated,
        objective: str = "sft",
        *,
        checkpoint_dir: str | Path | None = None,
        resume: bool = True,
        progress: bool = True,
    ) -> LanguageModel:
        """Return the base model with an adapter trained on the responses of the data.

        Parameters
        ----------
        data
            A frame with ``instruction`` and ``response``, or a curated data set, of which the kept rows are taken.
        objective
            "sft": the loss of the response tokens.
        checkpoint_dir
            Folder for checkpoints; None keeps none. An interrupted run (Ctrl-C, kill, crash) that is started again
            with the same data and settings goes on from the newest, to the bitwise same weights on a CPU.
        resume
            False removes old checkpoints and starts anew.
        progress
            Whether to show a progress bar on stderr.

        Raises
        ------
        ModelError
            If the base model cannot be loaded, no row fits, the loss is no longer a number, memory runs out, or a
            checkpoint is of another run.
        SettingsError
            If a setting or the objective is not valid.
        """
        self._check(objective)
        frame = complete(data if isinstance(data, pd.DataFrame) else data.to_frame())
        base = load_base(self.base_model, quantize=self.quantize, dtype=self.dtype, device=self.device)
        encoded = base.template.encode(frame, min(self.max_length, base.context_window or self.max_length))
        if not encoded.rows:
            reasons = "; ".join(f"{len(ids)} because {reason}" for reason, ids in encoded.dropped.items())
            raise ModelError(f"no row is left to train on: of {len(frame)} rows, {reasons or 'none were there'}")
        checkpoints = Checkpoints(Path(checkpoint_dir) if checkpoint_dir else None, self._identity(base, encoded))
        if not resume:
            checkpoints.clear()
        with own_state(self.random_state, self.n_threads):
            model = add_lora(base, r=self.r, alpha=self.alpha, target_modules=self.target_modules)
            with checkpoint_layers(model, self.gradient_checkpointing):
                history = self._loop(base, len(encoded.rows)).run(model, encoded.rows, checkpoints, progress)
        return LanguageModel(base, model, self._manifest(base, frame, encoded, history, objective))

    def _check(self, objective: str) -> None:
        if objective not in OBJECTIVES:
            raise SettingsError(
                f"there is no objective {objective!r}; {nearest(objective, OBJECTIVES)} "
                "('sft' learns the responses of the rows)"
            )
        names = (
            "r",
            "alpha",
            "learning_rate",
            "max_grad_norm",
            "epochs",
            "max_steps",
            "batch_size",
            "micro_batch_size",
        )
        for name in (*names, "max_length", "save_every", "n_threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value!r}; a number above 0 is expected")
        if not 0 <= self.warmup < 1:
            raise SettingsError(f"warmup is {self.warmup!r}; a share of the steps from 0 to below 1 is expected")

    def _loop(self, base: BaseModel, n_rows: int) -> Loop:
        return Loop(
            n_steps=self.max_steps or self.epochs * math.ceil(n_rows / self.batch_size),
            random_state=self.random_state,
            learning_rate=self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            batch_size=self.batch_size,
            micro_batch_size=self.micro_batch_size,
            save_every=self.save_every,
            dtype=base.dtype,
        )

    def _identity(self, base: BaseModel, encoded: EncodedRows) -> dict[str, Any]:
        """Return what shapes the weights: a run may be resumed only where all of it is the same."""
        settings = {name: value for name, value in vars(self).items() if name not in _FREE}
        hashes = {"template": base.template.hash, "data": _data_hash(encoded), "base model's weights": base.fingerprint}
        return settings | {"base_model": base.name, "dtype": str(base.dtype)} | hashes

    def _manifest(
        self,
        base: BaseModel,
        frame: pd.DataFrame,
        encoded: EncodedRows,
        history: list[dict[str, float]],
        objective: str,
    ) -> dict[str, Any]:
        shown = [base.template.render(x) + x.response for x in examples(frame.head(3))]
        return {
            "base_model": base.name,
            "objective": objective,
            "random_state": self.random_state,
            "settings": vars(self) | {"base_model": base.name, "dtype": str(base.dtype).removeprefix("torch.")},
            "template": {"hash": base.template.hash, "text": base.template.text, "examples": shown},
            "data": {
                "hash": _data_hash(encoded),
                "n_rows": len(encoded.rows),
                "n_tokens": sum(len(row.ids) for row in encoded.rows),
                "n_response_tokens": encoded.n_response_tokens,
                "dropped": encoded.dropped,
                "context_cut": encoded.context_cut,
            },
            "versions": {"python": platform.python_version(), "weaklm": weaklm.__version__}
            | {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes") if find_spec(name)},
            "loss": history[-1]["loss"],
            "history": history,
        }


def _data_hash(encoded: EncodedRows) -> str:
    return content_hash(*(f"{row.id} {row.n_prompt} {row.ids.tolist()}" for row in encoded.rows))
