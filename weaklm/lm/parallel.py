"""Several processes, one model each: under ``torchrun`` or ``accelerate launch`` each computes its part of every step.

Every process has all rows and draws the same order, so it knows what the whole step holds without asking. Only sums
travel: the gradient of the LoRA weights once a step, and a few numbers.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together: number ``rank`` of ``n``."""

    rank: int = 0
    n: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress; one does."""
        return self.rank == 0

    def share(self, parts: Sequence[T]) -> Sequence[T]:
        """Return this process's part of a sequence."""
        return parts[self.rank :: self.n]

    def add(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one message."""
        if self.n == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def any(self, here: bool, device: torch.device) -> bool:
        """Whether something is so in any process."""
        if self.n == 1:
            return here
        flag = torch.tensor([float(here)], device=device)
        self.add([flag])
        return bool(flag.item())

    def least(self, value: float, device: torch.device) -> float:
        """Return the least of a number over all processes."""
        if self.n == 1:
            return value
        least = torch.tensor([float(value)], device=device)
        distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
        return float(least.item())

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.n > 1:
            distributed.barrier()


def local_device() -> str | None:
    """Return this process's own GPU, or None where there is one process or no GPU."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if several and torch.cuda.is_available() else None


@contextmanager
def processes() -> Iterator[Processes]:
    """Yield this process's place, joining the others if a launcher started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not distributed.is_initialized():
        yield Processes()
        return
    joins = not distributed.is_initialized()
    if joins:
        device = local_device()
        if device is not None:
            torch.cuda.set_device(device)
        # The longest that one process may keep the others waiting, such as for a checkpoint on a slow disk.
        distributed.init_process_group("nccl" if device else "gloo", timeout=timedelta(minutes=30))
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        if joins:
            distributed.destroy_process_group()
