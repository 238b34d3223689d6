"""The training loop: a model, its rows and a few numbers in, the history of its loss out.

What a step does depends only on its number and the seed, never on what happened before in the process: order of rows,
dropout and learning rate are functions of both. So a run can be resumed at any step, to the same weights.
"""

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm
from transformers.modeling_layers import GradientCheckpointingLayer

from weaklm.data import content_hash
from weaklm.errors import ModelError
from weaklm.lm.checkpoints import Checkpoints
from weaklm.lm.template import TokenRow

NO_LOSS = -100  # the label that cross-entropy leaves out


@dataclass(frozen=True)
class Loop:
    """The settings of one run; ``QLoRATrainer`` says what they mean.

    ``n_steps`` is the number of optimizer steps of the whole run, ``dtype`` that of the base's arithmetic.
    """

    n_steps: int
    random_state: int
    learning_rate: float
    warmup: float
    weight_decay: float
    max_grad_norm: float
    batch_size: int
    micro_batch_size: int
    save_every: int
    dtype: torch.dtype

    def run(
        self, model: PeftModel, rows: list[TokenRow], checkpoints: Checkpoints, progress: bool
    ) -> list[dict[str, float]]:
        """Train the adapter in place, from the newest checkpoint if there is one; return one entry a step.

        Raises
        ------
        ModelError
            If the loss or a gradient is no number, before it spoils the weights; or if memory runs out.
        """
        optimizer = torch.optim.AdamW(trained(model), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        history = checkpoints.restore(model, optimizer)
        n_saved, updating = len(history), False
        model.train()
        with tqdm(total=self.n_steps, initial=n_saved, desc="train", unit="step", disable=not progress) as bar:
            try:
                for step in range(n_saved, self.n_steps):
                    batch = [rows[i] for i in rows_of_step(step, len(rows), self.batch_size, self.random_state)]
                    entry = self._gradients(model, batch, step, checkpoints)
                    updating = True
                    _update(optimizer, entry["learning_rate"])
                    history.append(entry)
                    updating = False
                    if len(history) % self.save_every == 0 or len(history) == self.n_steps:
                        checkpoints.save(model, optimizer, history)
                        n_saved = len(history)
                    _show(bar, history)
            except KeyboardInterrupt:
                # Between two updates the state is whole; within one, the last checkpoint is what there is.
                if not updating and len(history) > n_saved:
                    checkpoints.save(model, optimizer, history)
                raise
        model.eval()
        return history

    def _gradients(
        self, model: PeftModel, batch: list[TokenRow], step: int, checkpoints: Checkpoints
    ) -> dict[str, float]:
        """Leave the clipped gradient of one step in the weights; return the step's entry in the history."""
        torch.manual_seed(int(content_hash(str(self.random_state), str(step))[:15], 16))  # for a base with dropout
        try:
            loss = accumulate_gradients(model, batch, self.micro_batch_size, self.dtype)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"memory ran out at step {step + 1}; lower micro_batch_size (now {self.micro_batch_size}, the result "
                "stays the same), set gradient_checkpointing=True, or lower max_length"
            ) from error
        norm = float(torch.nn.utils.clip_grad_norm_(trained(model), self.max_grad_norm))
        if not math.isfinite(loss + norm):
            newest = checkpoints.newest()
            raise ModelError(
                f"training stopped at step {step + 1}: the loss is {loss} and the gradient's norm {norm}. Lower "
                f"learning_rate (now {self.learning_rate}). "
                + (f"The last good checkpoint is {newest}." if newest else "No checkpoint was made.")
            )
        rate = self.learning_rate * cosine_share(step, self.n_steps, self.warmup)
        n_tokens = sum(len(row.ids) for row in batch)
        return {
            "step": step + 1, "loss": loss, "learning_rate": rate, "grad_norm": norm, "n_tokens": n_tokens
        }  # fmt: skip


def trained(model: PeftModel) -> list[torch.nn.Parameter]:
    """Return the weights that are trained."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def accumulate_gradients(
    model: PeftModel, batch: list[TokenRow], micro_batch_size: int, dtype: torch.dtype = torch.float32
) -> float:
    """Add the gradient of the mean loss over all response tokens of the batch; return that loss.

    The sum of each micro-batch is divided by the tokens of the whole step: means of micro-batches would give the
    tokens of short answers more weight, and depend on the split.
    """
    n_tokens = sum(len(row.ids) - row.n_prompt for row in batch)
    by_length = sorted(batch, key=lambda row: -len(row.ids))  # rows of like length share a micro-batch: less padding
    total = 0.0
    for start in range(0, len(batch), micro_batch_size):
        loss = response_loss(model, by_length[start : start + micro_batch_size], dtype) / n_tokens
        loss.backward()
        total += float(loss.detach())
    return total


def response_loss(model: PeftModel, rows: list[TokenRow], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the summed negative log-likelihood, in nats, of the rows' response tokens; shape ()."""
    inner = model.get_base_model()
    ids, labels = _pad(rows)
    # Nothing before the first response token has a loss, so the head need not compute its logits.
    n_kept = ids.shape[1] - min(row.n_prompt for row in rows) + 1
    keep = {"logits_to_keep": n_kept} if "logits_to_keep" in inspect.signature(inner.forward).parameters else {}
    # No attention mask: under causal attention no token sees the padding, which stands at the end.
    with torch.autocast(inner.device.type, dtype, enabled=dtype != torch.float32):
        logits = inner(input_ids=ids.to(inner.device), use_cache=False, **keep).logits
    labels = labels[:, -n_kept + 1 :].to(inner.device)
    logits = logits[:, -n_kept:-1][labels != NO_LOSS]
    return functional.cross_entropy(logits.float(), labels[labels != NO_LOSS], reduction="sum")


def rows_of_step(step: int, n_rows: int, batch_size: int, random_state: int) -> NDArray[np.int64]:
    """Return the numbers of the rows of a step: each epoch is a new order, cut into steps of nearly equal size.

    >>> [rows_of_step(step, 5, 2, random_state=0).tolist() for step in range(3)]
    [[2, 4], [3, 0], [1]]
    """
    per_epoch = math.ceil(n_rows / batch_size)
    order = np.random.default_rng([random_state, step // per_epoch]).permutation(n_rows)
    return np.array_split(order, per_epoch)[step % per_epoch]


def cosine_share(step: int, n_steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise over ``warmup``, then a cosine to 0.

    >>> [round(cosine_share(step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    n_warmup = max(1, round(warmup * n_steps)) if warmup else 0
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


@contextmanager
def own_state(random_state: int, n_threads: int | None = None) -> Iterator[None]:
    """Seed torch and set its threads for the block; afterwards both are as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(random_state)
        torch.set_num_threads(n_threads or threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def checkpoint_layers(model: Any, enabled: bool) -> Iterator[None]:
    """Compute each layer again in the backward pass instead of keeping its values, while the block runs."""
    layers = [module for module in model.modules() if enabled and isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    yield
    for layer in layers:
        layer.gradient_checkpointing = False


def _pad(rows: list[TokenRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels, each (n_rows, n_tokens), padded at the end; labels are NO_LOSS outside the responses."""
    width = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    labels = np.full((len(rows), width), NO_LOSS, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        labels[i, row.n_prompt : len(row.ids)] = row.ids[row.n_prompt :]
    return torch.from_numpy(ids), torch.from_numpy(labels)


def _update(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _show(bar: Any, history: list[dict[str, float]]) -> None:
    if bar.disable:
        return
    bar.update()
    n_tokens = sum(entry["n_tokens"] for entry in history[bar.initial :])
    rate = n_tokens / max(bar.format_dict["elapsed"], 1e-9)
    bar.set_postfix(loss=f"{history[-1]['loss']:.3f}", tokens_per_s=f"{rate:.0f}", refresh=False)
