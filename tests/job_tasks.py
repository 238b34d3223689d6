"""What the jobs of the tests do: small targets for processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from weaklm.errors import ModelError
from weaklm.jobs import Reporter
from weaklm.jobs.record import Record


def add(report: Reporter, *, numbers: list[int]) -> dict[str, Any]:
    """Add numbers and say so."""
    print("adding", numbers)
    report(0.5, trained_tokens=len(numbers), loss=1.5, base_model="tiny", revision="abc")
    return {"sum": sum(numbers), "pid": os.getpid(), "folder": str(Path.cwd())}


def count(
    report: Reporter, *, place: str, until: int, seconds: float = 0.01, die_at: int | None = None
) -> dict[str, Any]:
    """Count to a number in a file, one at a time, going on from what is there; die at one of them, the first time."""
    file, began = Path(place), _read(Path(place))
    for number in range(began + 1, until + 1):
        time.sleep(seconds)
        file.write_text(str(number))
        report(number / until, trained_tokens=number)
        if number == die_at and began == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"began": began}


def save_when_cancelled(report: Reporter, *, place: str) -> None:
    """Work for ever; when interrupted, take a while to write down what was done."""
    try:
        report(0.1)
        time.sleep(600)
    except KeyboardInterrupt:
        time.sleep(0.3)
        Path(place).write_text("saved")
        raise


def deaf_with_children(report: Reporter, *, place: str) -> None:
    """Ignore SIGTERM, as a child does, too; write down both numbers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()  # type: ignore[union-attr]
    Path(place).write_text(f"{os.getpid()} {child.pid}")
    report(0.2)
    time.sleep(600)


def leave_forked_children(report: Reporter, *, place: str) -> None:
    """Fork a child that stays in the group and one that leaves it, write down their numbers, and die."""
    children = [_sleeper(leaves=leaves) for leaves in (False, True)]
    Path(place).write_text(" ".join(map(str, children)))
    os.kill(os.getpid(), signal.SIGKILL)


def _sleeper(*, leaves: bool) -> int:
    child = os.fork()
    if child == 0:
        if leaves:
            os.setsid()
            os.close(1)
            os.close(2)
        time.sleep(600)
    return child


def fail(report: Reporter, *, kind: str) -> None:
    """Fail in one of several ways."""
    if kind == "ours":
        raise ModelError("the model is too small; take a larger one")
    if kind == "exit":
        sys.exit(3)
    if kind == "hard":
        os._exit(4)
    if kind == "list":
        return [1]  # type: ignore[return-value]
    raise ZeroDivisionError("division by zero")


def tell_secrets(report: Reporter, *, name: str) -> dict[str, Any]:
    """Say a secret of the environment in every way there is."""
    value = os.environ[name]
    print("printed", value, flush=True)
    os.write(2, f"written {value}\n".encode())
    subprocess.run(f'echo "by a child ${name}"', shell=True, check=True)
    report(0.5, base_model=value)
    if value.endswith("fail"):
        raise RuntimeError(f"cannot log in with {value}")
    return {"key": value, "nested": [{"deep": f"x{value}x"}]}


def with_a_full_disk(report: Reporter) -> dict[str, Any]:
    """Report where nothing can be written for a while."""
    with mock.patch.object(Record, "write_state", side_effect=OSError(28, "No space left on device")):
        report(0.5)
    return {"went_on": True}


def train(report: Reporter, *, base: str, folder: str, die_at: float | None = None) -> dict[str, Any]:
    """Train a tiny model; die where so much is done, the first time."""
    from tests.tiny_models import rows
    from weaklm.lm.train import QLoRATrainer

    is_new = not Path(folder).exists()

    def tell(progress: float, **numbers: Any) -> None:
        report(progress, **numbers)
        if is_new and die_at is not None and progress >= die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = QLoRATrainer(base, quantize=None, max_steps=6, save_every=1, batch_size=8, n_threads=1)
    tuned = trainer.fit(rows(16), checkpoint_dir=Path(folder) / "checkpoints", progress=False, report=tell)
    tuned.save(Path(folder) / "adapter")
    return {"loss": tuned.history[-1]["loss"]}


def _read(file: Path) -> int:
    return int(file.read_text()) if file.is_file() else 0
