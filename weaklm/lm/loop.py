"""The training loop: an engine, an objective and a few numbers in, the history of the loss out.

What a step does depends only on its number and the seed, never on what happened before in the process: order of rows,
dropout and learning rate are functions of both. So a run can be resumed at any step, to the same weights.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from weaklm.data import content_hash
from weaklm.errors import ModelError
from weaklm.lm.checkpoints import Checkpoints, State, trained
from weaklm.lm.engine import Engine
from weaklm.lm.objectives import Objective

History = list[dict[str, float]]

# Called after each step with the share that is done, ``trained_tokens`` so far and the ``loss``.
Report = Callable[..., None]

# A run has gone astray when the loss of its last steps is, on average, this much above that of its first.
DIVERGED = 2.0
WINDOW = 10  # steps


@dataclass(frozen=True)
class Loop:
    """The settings of one run; ``QLoRATrainer`` says what they mean.

    ``n_steps`` is the number of optimizer steps of the whole run.
    """

    n_steps: int
    random_state: int
    learning_rate: float
    warmup: float
    weight_decay: float
    max_grad_norm: float
    batch_size: int
    save_every: int
    evaluate_every: int
    patience: int | None

    def run(
        self,
        engine: Engine,
        objective: Objective,
        checkpoints: Checkpoints,
        *,
        held_out: Objective | None = None,
        progress: bool = True,
        report: Report | None = None,
    ) -> History:
        """Train the adapter in place, from the newest checkpoint if there is one; return one entry a step.

        Raises
        ------
        ModelError
            If the loss or a gradient is no number, before it spoils the weights; if the loss rises and stays high; or
            if memory runs out.
        """
        model = engine.model
        optimizer = torch.optim.AdamW(
            trained(model).values(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        state = checkpoints.restore(model, optimizer)
        refer(engine, objective, state, "train")
        refer(engine, held_out, state, "held_out")
        history = state.history
        n_saved, is_whole = len(history), True
        is_shown = progress and engine.processes.writes
        model.train()
        with tqdm(total=self.n_steps, initial=n_saved, desc="train", unit="step", disable=not is_shown) as bar:
            try:
                while len(history) < self.n_steps and not self._has_stalled(history):
                    entry = self._gradients(engine, objective, history, checkpoints)
                    is_whole = False
                    _update(optimizer, entry["learning_rate"])
                    if held_out is not None and self._is_due(entry, self.evaluate_every):
                        entry["held_out_loss"] = engine.loss(held_out, range(len(held_out.units)))
                    history.append(entry)
                    self._keep_best(model, state)
                    is_whole = True
                    if self._is_due(entry, self.save_every):
                        save(engine, optimizer, checkpoints, state)
                        n_saved = len(history)
                    _show(bar, history)
                    self._tell(report, history)
            except KeyboardInterrupt:
                # Between two updates the state is whole; within one, the last checkpoint is what there is.
                if is_whole and len(history) > n_saved:
                    save(engine, optimizer, checkpoints, state)
                raise
        self._take_best(model, state)
        model.eval()
        return history

    def _gradients(
        self, engine: Engine, objective: Objective, history: History, checkpoints: Checkpoints
    ) -> dict[str, float]:
        """Leave the clipped gradient of the next step in the weights; return the step's entry in the history."""
        step = len(history)
        torch.manual_seed(int(content_hash(str(self.random_state), str(step))[:15], 16))  # for a base with dropout
        chosen = units_of_step(step, len(objective.units), self.batch_size, self.random_state).tolist()
        loss = engine.gradients(objective, chosen)
        norm = float(torch.nn.utils.clip_grad_norm_(trained(engine.model).values(), self.max_grad_norm))
        self._check(loss, norm, history, checkpoints)
        return {
            "step": step + 1,
            "loss": loss,
            "learning_rate": self.learning_rate * cosine_share(step, self.n_steps, self.warmup),
            "grad_norm": norm,
            "n_tokens": sum(len(row.ids) for i in chosen for row in objective.units[i]),
        }

    def _check(self, loss: float, norm: float, history: History, checkpoints: Checkpoints) -> None:
        """Raise ModelError if the next step's loss or gradient is no number, or the loss has risen for good."""
        losses = [entry["loss"] for entry in history]
        good_until, problem = len(history), ""
        if not math.isfinite(loss + norm):
            problem = f"the loss is {loss} and the gradient's norm {norm}"
        elif len(losses) >= 2 * WINDOW and np.mean(losses[-WINDOW:]) > np.mean(losses[:WINDOW]) + DIVERGED:
            good_until -= WINDOW
            problem = f"the loss rose from {np.mean(losses[:WINDOW]):.2f} to {np.mean(losses[-WINDOW:]):.2f}"
        if problem:
            newest = checkpoints.newest(good_until)
            raise ModelError(
                f"training stopped at step {len(history) + 1}: {problem}. Lower learning_rate (now "
                f"{self.learning_rate}). "
                + (f"The last good checkpoint is {newest}." if newest else "There is no checkpoint of an earlier step.")
            )

    def _is_due(self, entry: dict[str, float], every: int) -> bool:
        return entry["step"] % every == 0 or entry["step"] == self.n_steps

    def _has_stalled(self, history: History) -> bool:
        """Whether the held-out loss has not improved for ``patience`` evaluations."""
        losses = [entry["held_out_loss"] for entry in history if "held_out_loss" in entry]
        return self.patience is not None and bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.patience

    def _keep_best(self, model: Any, state: State) -> None:
        """Keep a copy of the weights if the newest held-out loss is the lowest."""
        losses = [entry["held_out_loss"] for entry in state.history if "held_out_loss" in entry]
        is_new = "held_out_loss" in state.history[-1]
        if self.patience is not None and is_new and int(np.argmin(losses)) == len(losses) - 1:
            best = {f"best/{name}": weight.detach().cpu().clone() for name, weight in trained(model).items()}
            state.tensors.update(best)

    def _take_best(self, model: Any, state: State) -> None:
        """Give the model the weights with the lowest held-out loss, if they were kept."""
        for name, weight in trained(model).items():
            if f"best/{name}" in state.tensors:
                weight.data.copy_(state.tensors[f"best/{name}"])

    def _tell(self, report: Report | None, history: History) -> None:
        if report is not None:
            n_tokens = sum(int(entry["n_tokens"]) for entry in history)
            report(len(history) / self.n_steps, trained_tokens=n_tokens, loss=history[-1]["loss"])


def refer(engine: Engine, objective: Objective | None, state: State, name: str) -> None:
    """Give an objective its reference: from the state of a resumed run, or from the model as it is, once."""
    if objective is None or not objective.compared:
        return
    key = f"reference/{name}"
    if key not in state.tensors:
        state.tensors[key] = engine.measure(objective.compared)
    objective.reference = state.tensors[key]


def save(engine: Engine, optimizer: torch.optim.Optimizer, checkpoints: Checkpoints, state: State) -> None:
    """Write a checkpoint, in one process; return when it is there for all."""
    if engine.processes.writes:
        checkpoints.save(engine.model, optimizer, state)
    engine.processes.wait()


def units_of_step(step: int, n_units: int, batch_size: int, random_state: int) -> NDArray[np.int64]:
    """Return the numbers of the units of a step: each epoch is a new order, cut into steps of nearly equal size.

    >>> [units_of_step(step, 5, 2, random_state=0).tolist() for step in range(3)]
    [[2, 4], [3, 0], [1]]
    """
    per_epoch = math.ceil(n_units / batch_size)
    order = np.random.default_rng([random_state, step // per_epoch]).permutation(n_units)
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
