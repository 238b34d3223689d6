"""Passes over rows: units of an objective in, the gradient of a whole step or measured numbers out.

Here micro-batches, memory and processes meet, so that the loop above need not know of them, nor the objectives below.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from peft import PeftModel

from weaklm.errors import ModelError
from weaklm.lm.checkpoints import trained
from weaklm.lm.likelihood import Likelihood, likelihood_of
from weaklm.lm.lora import fused_layers
from weaklm.lm.objectives import Objective, Unit
from weaklm.lm.packing import bins
from weaklm.lm.parallel import Processes
from weaklm.lm.planner import Costs, Layer, Plan, free_memory, layers_of, lower, measured_costs, plan
from weaklm.lm.template import TokenRow

log = logging.getLogger(__name__)

# A GPU unpacks 4-bit weights once a micro-batch, so large ones pay; a CPU's caches are small.
TOKENS_ON_GPU, TOKENS_ELSEWHERE = 16384, 2048


@dataclass
class Engine:
    """A model ready to compute: how likelihoods are computed, what its layers keep, which process this is.

    Attributes
    ----------
    plan
        Tokens of a micro-batch and levels of the layers; lowered where memory runs out.
    most_rows
        Most units in a micro-batch; None is any number.
    """

    model: PeftModel
    likelihood: Likelihood
    processes: Processes
    layers: Sequence[Layer]
    costs: Costs
    plan: Plan
    most_rows: int | None = None

    @property
    def device(self) -> torch.device:
        """Return where the model is."""
        return self.model.get_base_model().device

    def gradients(self, objective: Objective, chosen: Sequence[int]) -> float:
        """Leave the gradient of the loss of a step in the LoRA weights, summed over all processes; return the loss."""
        objective.begin(chosen, self.measure)
        while True:
            try:
                loss, ran_out = self._accumulate(objective, chosen), False
            except torch.OutOfMemoryError:  # not kept: its traceback holds the tensors that are to go
                loss, ran_out = torch.zeros(1), True
            if not self.processes.any(ran_out, self.device):
                break
            self._step_down(max(_length(objective.units[i]) for i in chosen))
        gradients = [weight.grad for weight in trained(self.model).values() if weight.grad is not None]
        self.processes.add([loss, *gradients])
        return float(loss)

    def loss(self, objective: Objective, chosen: Sequence[int]) -> float:
        """Return the loss of units, over all processes and without gradients."""
        objective.begin(chosen, self.measure)
        total = torch.zeros(1, device=self.device)
        with self._at_rest():
            for part in self._split(objective, chosen):
                total += objective.loss(self._logp(objective, part), part) / objective.size(chosen)
        self.processes.add([total])
        return float(total)

    def measure(self, rows: Sequence[TokenRow]) -> torch.Tensor:
        """Return the log-probabilities of rows, (n_rows,) float32 on the CPU, without gradients."""
        result = torch.zeros(len(rows), device=self.device)
        with self._at_rest():
            for part in self.processes.share(bins([len(row.ids) for row in rows], self.plan.n_tokens, self.most_rows)):
                result[part] = self.likelihood([rows[i] for i in part])
        self.processes.add([result])
        return result.cpu()

    def _accumulate(self, objective: Objective, chosen: Sequence[int]) -> torch.Tensor:
        """Return the loss of this process's part, shape (1,), and leave its gradient in the weights."""
        for weight in trained(self.model).values():
            weight.grad = torch.zeros_like(weight)
        total = torch.zeros(1, device=self.device)
        for part in self._split(objective, chosen):
            loss = objective.loss(self._logp(objective, part), part) / objective.size(chosen)
            loss.backward()
            total += loss.detach()
        return total

    def _logp(self, objective: Objective, part: Sequence[int]) -> torch.Tensor:
        """Return the log-probabilities of units, (n_units, rows of a unit)."""
        rows = [row for i in part for row in objective.units[i]]
        return self.likelihood(rows).view(len(part), -1)

    def _split(self, objective: Objective, chosen: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return this process's micro-batches of the units of a step."""
        lengths = [_length(objective.units[i]) for i in chosen]
        # With several processes, no micro-batch is so large that another process has none.
        budget = min(self.plan.n_tokens, max(*lengths, -(-sum(lengths) // self.processes.n)))
        parts = bins(lengths, budget, self.most_rows)
        return [[chosen[i] for i in part] for part in self.processes.share(parts)]

    def _step_down(self, longest: int) -> None:
        """Go on with a plan that takes less memory."""
        torch.cuda.empty_cache()
        lowered = lower(self.plan, self.costs, longest)
        if lowered is None:
            raise ModelError(
                f"memory ran out on a row of {longest} tokens although every layer is recomputed; lower max_length, or "
                "take a smaller base model"
            )
        log.warning("memory ran out; going on with %d tokens at a time, recomputing more", lowered.n_tokens)
        self.set(lowered)

    def set(self, chosen: Plan) -> None:
        """Compute by a plan from here on; all processes split their steps alike, by the fewest tokens of any."""
        n_tokens = int(self.processes.least(chosen.n_tokens, self.device))
        self.plan = replace(chosen, n_tokens=n_tokens)
        for layer, level in zip(self.layers, chosen.levels, strict=True):
            layer.set(level)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Leave out gradients and dropout while the block runs."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(was_training)


@contextmanager
def engine_of(
    model: PeftModel,
    processes: Processes,
    *,
    micro_batch_tokens: int | None = None,
    most_rows: int | None = None,
    recompute: bool | None = None,
) -> Iterator[Engine]:
    """Yield an engine for a model, whose modules are its own again after the block.

    Parameters
    ----------
    micro_batch_tokens, most_rows
        Most tokens and most units that are computed together; None leaves tokens to the device, units to the tokens.
    recompute
        Whether layers are computed again in the backward pass: all of them (True), none (False), or as many as it
        takes to fit into free memory (None).
    """
    with likelihood_of(model) as likelihood, fused_layers(model) as mlps, layers_of(model, mlps) as layers:
        device = model.get_base_model().device
        costs = measured_costs(model, layers, likelihood)
        n_tokens = micro_batch_tokens or (TOKENS_ON_GPU if device.type == "cuda" else TOKENS_ELSEWHERE)
        if recompute is None:
            chosen = plan(n_tokens, len(layers), costs, free_memory(device))
        else:
            chosen = Plan(n_tokens, (2 if recompute else 0,) * len(layers))
        engine = Engine(model, likelihood, processes, layers, costs, chosen, most_rows)
        engine.set(chosen)
        yield engine


def _length(unit: Unit) -> int:
    return sum(len(row.ids) for row in unit)
