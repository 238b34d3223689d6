"""``python -m weaklm.providers.container``: the training inside a SageMaker container.

Rows come from ``/opt/ml/input/data/train``, settings from the hyperparameters; checkpoints go to
``/opt/ml/checkpoints`` and the adapter to ``/opt/ml/model``, which SageMaker puts into the bucket. A job that is
started again goes on from its last checkpoint.
"""

import json
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from weaklm.data import read
from weaklm.errors import DataError, WeaklmError
from weaklm.lm.train import QLoRATrainer

_EVERY = 10.0  # seconds between two lines


def train(root: Path = Path("/opt/ml")) -> None:
    """Train on what is below a folder that is laid out as SageMaker does it."""
    texts = json.loads((root / "input" / "config" / "hyperparameters.json").read_text(encoding="utf-8"))
    settings = {name: json.loads(text) for name, text in texts.items()}
    base_model = settings.pop("base_model")
    files = sorted((root / "input" / "data" / "train").glob("*.parquet"))
    if len(files) != 1:
        raise DataError(f"{root}/input/data/train has {len(files)} Parquet files; one is expected")
    objective = settings.pop("objective", "sft")
    trainer = QLoRATrainer(base_model, **settings)
    tuned = trainer.fit(
        read(files[0]), objective, checkpoint_dir=root / "checkpoints", progress=False, report=_printer()
    )
    tuned.save(root / "model")


def _printer() -> Callable[..., None]:
    """Return what prints the progress as the job's metrics are read from the log, at most every few seconds."""
    printed = -math.inf

    def report(progress: float, *, trained_tokens: int, loss: float) -> None:
        nonlocal printed
        if progress == 1 or time.monotonic() - printed >= _EVERY:
            print(f"progress={progress:.4f} loss={loss:.6f} trained_tokens={trained_tokens}", flush=True)
            printed = time.monotonic()

    return report


def main() -> int:
    """Train, and leave the reason of a failure where SageMaker looks for it; return the exit code."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/opt/ml")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job that is stopped saves a checkpoint, as on Ctrl-C
    try:
        train(root)
    except KeyboardInterrupt:
        print("stopped; the checkpoint is kept", file=sys.stderr)
        return 130
    except WeaklmError as error:
        (root / "output").mkdir(parents=True, exist_ok=True)
        (root / "output" / "failure").write_text(str(error)[:1024], encoding="utf-8")
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
