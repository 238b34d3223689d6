"""QLoRA fine-tuning: a frame or a curated data set in, a base model with a trained LoRA adapter out."""

import hashlib
import json
import math
import platform
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

import weaklm
from weaklm.data import content_hash, examples, split
from weaklm.errors import ModelError, SettingsError
from weaklm.lm.adapter import ADAPTER_WEIGHTS, add_lora, load_adapter
from weaklm.lm.base_model import BaseModel, load_base
from weaklm.lm.checkpoints import Checkpoints
from weaklm.lm.engine import Engine, engine_of
from weaklm.lm.generation import MANIFEST, LanguageModel
from weaklm.lm.loop import History, Loop, Report, own_state
from weaklm.lm.objectives import Objective
from weaklm.lm.parallel import local_device, processes
from weaklm.lm.supervision import Supervision
from weaklm.lm.template import EncodedRows

# These change speed, memory and safety, not what is learned: a run may be resumed with others.
_FREE = (
    "micro_batch_size", "micro_batch_tokens", "gradient_checkpointing", "save_every", "device", "n_threads"
)  # fmt: skip


class Curated(Protocol):
    """A curated data set, such as ``weaklm.QualityDataset``."""

    def to_frame(self) -> pd.DataFrame:
        """Return the kept rows."""
        ...


class QLoRATrainer:
    """Fine-tunes a causal language model on the responses of a frame: LoRA on a base model in 4 bits.

    Source: Dettmers et al. 2023 (QLoRA, arXiv:2305.14314); Hu et al. 2021 (LoRA, arXiv:2106.09685). The base is
    stored in NF4 and frozen; LoRA weights and the optimizer's state are float32 whatever the base; the loss of a step
    is the mean over all response tokens of the step, however the step is split into micro-batches or processes.
    Under ``torchrun`` or ``accelerate launch`` every process holds the model and computes its part of each step.

    Parameters
    ----------
    base_model
        A model folder, or a name on the Hugging Face hub.
    adapter
        An adapter folder to start from in place of new LoRA weights, such as that of an earlier "sft": its weights
        are trained further, with its own r, alpha and target_modules, and are the reference of "kto" and "dpo".
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
    batch_size
        Rows, or pairs, in one optimizer step.
    micro_batch_tokens, micro_batch_size
        Most tokens and most rows that are computed together, packed into one row without padding. They change memory
        and speed, not the result. None takes 16,384 tokens on a GPU, 2,048 on a CPU, and any number of rows.
    max_length
        Longest row in tokens; longer ones lose the end of their context, never part of their response. The base
        model's context window is an upper bound.
    dtype
        "bfloat16" or "float32", for the arithmetic of the base. None takes bfloat16 on a GPU, float32 on a CPU.
    device
        None takes the GPU if there is one.
    gradient_checkpointing
        Whether to compute each layer again in the backward pass instead of keeping its values: a third more time for
        a fraction of the memory. None does it for as many layers as it takes to fit into free memory.
    row_weight
        The column with the weight of each row, such as ``"score"``. None weighs rows alike in "sft"; in "kto" and
        "apo_zero" it makes accepted and rejected rows weigh the same.
    beta
        For "kto", "apo_zero" and "dpo": how far the model may go from its reference; smaller is further. 0.1 is the
        value of their papers.
    held_out
        Share of the instructions that is not trained on; the loss of its rows is taken as training goes on.
    evaluate_every
        Steps between two such losses.
    patience
        Stop when this many of them in a row are not the lowest so far, and keep the weights of the lowest. None
        trains to the end.
    save_every
        Steps between checkpoints: what a crash may cost.
    n_threads
        Threads of the processor. None leaves torch's own number; where other work shares the cores, 1 is faster.
    """

    def __init__(
        self,
        base_model: str | Path,
        *,
        adapter: str | Path | None = None,
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
        micro_batch_tokens: int | None = None,
        micro_batch_size: int | None = None,
        max_length: int = 2048,
        row_weight: str | None = None,
        beta: float = 0.1,
        held_out: float = 0.0,
        evaluate_every: int = 25,
        patience: int | None = None,
        dtype: str | None = None,
        device: str | None = None,
        gradient_checkpointing: bool | None = None,
        save_every: int = 50,
        n_threads: int | None = None,
    ) -> None:
        self.base_model = base_model
        self.adapter = adapter
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
        self.micro_batch_tokens = micro_batch_tokens
        self.micro_batch_size = micro_batch_size
        self.max_length = max_length
        self.row_weight = row_weight
        self.beta = beta
        self.held_out = held_out
        self.evaluate_every = evaluate_every
        self.patience = patience
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
        report: Report | None = None,
    ) -> LanguageModel:
        """Return the base model with an adapter trained on the responses of the data.

        Parameters
        ----------
        data
            A frame with ``instruction`` and ``response``, or a curated data set, of which the kept rows are taken.
        objective
            "sft": learn the responses of the rows. "kto" and "apo_zero": learn from accepted and from rejected rows
            by their ``label`` (ACCEPT or REJECT), or by a ``score`` of at least 0.5; "apo_zero" leaves out an
            estimate that costs a third of the time. "dpo": learn from pairs with columns ``chosen`` and
            ``rejected``, or made of accepted and rejected rows with one prompt.
        checkpoint_dir
            Folder for checkpoints; None keeps none. An interrupted run (Ctrl-C, kill, crash) that is started again
            with the same data and settings goes on from the newest, to the bitwise same weights on a CPU.
        resume
            False removes old checkpoints and starts anew.
        progress
            Whether to show a progress bar on stderr.
        report
            Called after each step with the share of the run that is done, ``trained_tokens=`` and ``loss=``.

        Raises
        ------
        DataError
            If labels, weights or pairs that the objective needs are missing.
        ModelError
            If the base model cannot be loaded, no row fits, the loss is no longer a number or rises for good, memory
            runs out, or a checkpoint is of another run.
        SettingsError
            If a setting or the objective is not valid.
        """
        self._check()
        supervision = Supervision(objective, self.row_weight, self.beta, self.max_length, self.random_state)
        frame = supervision.frame(data if isinstance(data, pd.DataFrame) else data.to_frame())
        with processes() as group:
            base = load_base(
                self.base_model, quantize=self.quantize, dtype=self.dtype, device=self.device or local_device()
            )
            supervision = replace(supervision, max_length=min(self.max_length, base.context_window or self.max_length))
            rows, kept_aside = split(frame, self.held_out, self.random_state) if self.held_out else (frame, None)
            learned, encoded = supervision.encode(rows, base.template)
            held_out = None if kept_aside is None else supervision.encode(kept_aside, base.template)[0]
            _check_vocabulary(base, encoded)
            identity = self._identity(base, learned, held_out, objective)
            checkpoints = Checkpoints(Path(checkpoint_dir) if checkpoint_dir else None, identity)
            if not resume and group.writes:
                checkpoints.clear()
            group.wait()
            with own_state(self.random_state, self.n_threads):
                model = self._start(base)
                with engine_of(
                    model,
                    group,
                    micro_batch_tokens=self.micro_batch_tokens,
                    most_rows=self.micro_batch_size,
                    recompute=self.gradient_checkpointing,
                ) as engine:
                    history = self._loop(len(learned.units)).run(
                        engine, learned, checkpoints, held_out=held_out, progress=progress, report=report
                    )
                    how = _how(engine)
        return LanguageModel(base, model, self._manifest(base, rows, encoded, history, identity) | {"computed": how})

    def _check(self) -> None:
        names = (
            "r",
            "alpha",
            "learning_rate",
            "max_grad_norm",
            "epochs",
            "max_steps",
            "batch_size",
            "micro_batch_tokens",
            "micro_batch_size",
        )
        for name in (*names, "max_length", "beta", "evaluate_every", "patience", "save_every", "n_threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value!r}; a number above 0 is expected")
        for name, what in {"warmup": "the steps", "held_out": "the instructions"}.items():
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}; a share of {what} from 0 to below 1 is expected"
                )
        if self.patience is not None and not self.held_out:
            raise SettingsError(
                f"patience is {self.patience!r}, but held_out is 0: without held-out rows there is no loss to wait for"
            )

    def _start(self, base: BaseModel) -> Any:
        """Return the model to train: with new LoRA weights, or with those of an adapter."""
        if self.adapter is None:
            return add_lora(base, r=self.r, alpha=self.alpha, target_modules=self.target_modules)
        folder = Path(self.adapter).expanduser()
        manifest = folder / MANIFEST
        if manifest.is_file():
            trained_hash = json.loads(manifest.read_text(encoding="utf-8")).get("template", {}).get("hash")
            base.template.check(trained_hash, f"the adapter {folder}")
        return load_adapter(base, folder, trainable=True)

    def _loop(self, n_units: int) -> Loop:
        return Loop(
            n_steps=self.max_steps or self.epochs * math.ceil(n_units / self.batch_size),
            random_state=self.random_state,
            learning_rate=self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            batch_size=self.batch_size,
            save_every=self.save_every,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
        )

    def _identity(
        self, base: BaseModel, learned: Objective, held_out: Objective | None, objective: str
    ) -> dict[str, Any]:
        """Return what shapes the weights: a run may be resumed only where all of it is the same."""
        settings = {name: value for name, value in vars(self).items() if name not in _FREE}
        start = _file_hash(Path(self.adapter).expanduser() / ADAPTER_WEIGHTS) if self.adapter else None
        hashes = {
            "template": base.template.hash,
            "data": content_hash(*learned.described(), *(held_out.described() if held_out else ())),
            "base model's weights": base.fingerprint,
            "adapter": start,
        }
        return settings | {"objective": objective, "base_model": base.name, "dtype": str(base.dtype)} | hashes

    def _manifest(
        self,
        base: BaseModel,
        frame: pd.DataFrame,
        encoded: EncodedRows,
        history: History,
        identity: dict[str, Any],
    ) -> dict[str, Any]:
        shown = [base.template.render(x) + x.response for x in examples(frame.head(3))]
        paths = {name: str(value) for name, value in vars(self).items() if isinstance(value, Path)}
        dtype = str(base.dtype).removeprefix("torch.")
        return {
            "base_model": base.name,
            "objective": identity["objective"],
            "random_state": self.random_state,
            "settings": vars(self) | paths | {"base_model": base.name, "dtype": dtype},
            "template": {"hash": base.template.hash, "text": base.template.text, "examples": shown},
            "data": {
                "hash": identity["data"],
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


def _check_vocabulary(base: BaseModel, encoded: EncodedRows) -> None:
    """Raise ModelError if a token has no embedding: the tokenizer was given tokens that the model does not have."""
    n_known = len(base.model.get_input_embeddings().weight)
    highest = max(encoded.rows, key=lambda row: int(row.ids.max()))
    token = int(highest.ids.max())
    if token >= n_known:
        raise ModelError(
            f"row {highest.id!r} has the token {base.tokenizer.convert_ids_to_tokens(token)!r} (id {token}), but the "
            f"model embeds {n_known} tokens: its tokenizer has tokens that were added without the model. LoRA does not "
            "train embeddings, so use the tokenizer that belongs to the model"
        )


def _how(engine: Engine) -> dict[str, Any]:
    """Return on what the run was computed, and how much of it again."""
    device = engine.device
    levels = engine.plan.levels
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "n_processes": engine.processes.n,
        "micro_batch_tokens": engine.plan.n_tokens,
        "layers_by_recompute_level": [levels.count(level) for level in (0, 1, 2)],
    }


def _file_hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else None
