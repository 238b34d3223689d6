"""Tokens a second and memory of LoRA training on a CPU: ours against TRL's SFTTrainer, on the same rows.

    python benchmarks/train_cpu.py                      # fp32 base, 3 rounds, one thread
    python benchmarks/train_cpu.py --quantize nf4 --rounds 1

A small Llama-shaped model is made on the spot, and documents of mixed length (log-normal, the last 60 % of each is
response). Every system trains on them in a process of its own, the systems in turn; a round is one process each. TRL
packs with its own "bfd" packing into rows of --max-length and computes --tokens of them at a time, as we do. Memory is
the peak of the process in training, above what it held when the model was loaded. TRL must be installed (extra
"bench"). Where other programs share the processor, compare tokens per second of its time (CPU).
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYSTEMS = {
    "ours": "ours",
    "ours, recomputing": "ours, every layer recomputed",
    "trl": "TRL, gradient_checkpointing=False",
    "trl, recomputing": "TRL as shipped (gradient_checkpointing=True)",
}
WARM = 1  # steps before the clock starts


def main() -> None:
    settings = arguments()
    if settings.system:
        print(json.dumps(worker(settings)))
        return
    with tempfile.TemporaryDirectory() as folder:
        settings.folder = settings.folder or folder
        make_model(settings)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
        for _ in range(settings.rounds):
            for name, measured in results.items():
                measured.append(in_own_process(name, settings))
        show(results, settings)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="steps under the clock, of --tokens each")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens computed together")
    parser.add_argument("--max-length", type=int, default=512, help="longest document")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--quantize", choices=["nf4"], default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def in_own_process(name: str, settings: argparse.Namespace) -> dict[str, float]:
    given = {key: value for key, value in vars(settings).items() if value is not None} | {"system": name}
    options = [text for key, value in given.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": str(settings.threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *options], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def show(results: dict[str, list[dict[str, float]]], settings: argparse.Namespace) -> None:
    print(f"{platform.machine()}, {settings.threads} thread(s), base {settings.quantize or 'fp32'}, {vars(settings)}")
    print(f"{'':44} {'tokens/s':>9} {'range':>13} {'CPU':>6} {'memory MB':>10} {'loss':>7}")
    for name, measured in results.items():
        speeds, cpu, memory = ([m[key] for m in measured] for key in ("tokens_per_s", "tokens_per_cpu_s", "peak_mb"))
        between = f"{min(speeds):.0f}-{max(speeds):.0f}"
        print(
            f"{SYSTEMS[name]:44} {statistics.median(speeds):9.0f} {between:>13} {statistics.median(cpu):6.0f} "
            f"{statistics.median(memory):10.0f} {measured[0]['loss']:7.4f}"
        )
    for ours, peer in (("ours", "trl"), ("ours, recomputing", "trl, recomputing"), ("ours", "trl, recomputing")):
        pairs = list(zip(results[ours], results[peer], strict=True))
        wall, cpu, share = (
            statistics.median(a[key] / b[key] for a, b in pairs)
            for key in ("tokens_per_s", "tokens_per_cpu_s", "peak_mb")
        )
        print(f"{ours} / {peer}: {wall:.2f}x tokens/s, {cpu:.2f}x by processor time, {share:.2f}x memory")


def make_model(settings: argparse.Namespace) -> None:
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=64 * round(settings.hidden * 3.5 / 64),  # the shape of Llama 3
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden // 64,
        num_key_value_heads=max(1, settings.hidden // 256),
        max_position_embeddings=4 * settings.max_length,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(shape).save_pretrained(settings.folder)
    words = {f"w{i}": i for i in range(settings.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w3"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w1", pad_token="w2").save_pretrained(
        settings.folder
    )


def documents(settings: argparse.Namespace) -> list[tuple[list[int], int]]:
    """Return token ids and the number of those that are prompt, enough for all steps."""
    import numpy as np

    rng = np.random.default_rng(0)
    made: list[tuple[list[int], int]] = []
    while sum(len(ids) for ids, _ in made) < settings.tokens * (settings.steps + WARM + 1):
        n = int(np.clip(rng.lognormal(5.2, 0.7), 24, settings.max_length))
        made.append((rng.integers(3, settings.vocabulary, n).tolist(), int(0.4 * n)))
    return made


def worker(settings: argparse.Namespace) -> dict[str, float]:
    import torch

    torch.set_num_threads(settings.threads)
    run = ours if settings.system.startswith("ours") else trl
    return run(settings, "recomputing" in settings.system)


class Clock:
    """Tokens, seconds and peak memory of the steps after the first."""

    def __init__(self) -> None:
        self.n_tokens, self.start, self.cpu, self.before = 0, 0.0, 0.0, _memory("VmRSS")

    def begin(self, step: int) -> None:
        """Start at the step after the first ones."""
        if step == WARM:
            self.start, self.cpu = time.perf_counter(), time.process_time()

    def result(self, loss: float) -> dict[str, float]:
        """Return what was measured, and the loss to see that all trained alike."""
        seconds, cpu_seconds = time.perf_counter() - self.start, time.process_time() - self.cpu
        return {
            "tokens_per_s": self.n_tokens / seconds,
            "tokens_per_cpu_s": self.n_tokens / cpu_seconds,
            "peak_mb": _memory("VmHWM") - self.before,
            "loss": loss,
        }


def _memory(kind: str) -> float:
    """Return the resident memory of this process in MB: what it is (VmRSS) or was at most (VmHWM)."""
    table = Path("/proc/self/status")
    if not table.is_file():  # not Linux: the peak is all that there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    line = next(line for line in table.read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1000


def lora_settings() -> dict[str, Any]:
    return {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


def ours(settings: argparse.Namespace, recompute: bool) -> dict[str, float]:
    import numpy as np
    import torch

    from weaklm.lm.adapter import add_lora
    from weaklm.lm.base_model import load_base
    from weaklm.lm.checkpoints import trained
    from weaklm.lm.engine import engine_of
    from weaklm.lm.objectives import SFT
    from weaklm.lm.packing import bins
    from weaklm.lm.parallel import Processes
    from weaklm.lm.template import TokenRow

    base = load_base(settings.folder, quantize=settings.quantize, dtype="float32")
    torch.manual_seed(0)
    model = add_lora(base, r=16, alpha=32, target_modules="all-linear").train()
    rows = [TokenRow(str(i), np.array(ids, dtype=np.int32), n) for i, (ids, n) in enumerate(documents(settings))]
    optimizer = torch.optim.AdamW(trained(model).values(), lr=1e-4, fused=True)
    objective = SFT(rows, np.ones(len(rows)))
    with engine_of(model, Processes(), micro_batch_tokens=settings.tokens, recompute=recompute) as engine:
        clock = Clock()
        for step, chosen in enumerate(bins([len(row.ids) for row in rows], settings.tokens)[: settings.steps + WARM]):
            clock.begin(step)
            loss = engine.gradients(objective, chosen)
            torch.nn.utils.clip_grad_norm_(trained(model).values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            clock.n_tokens += sum(len(rows[i].ids) for i in chosen) if step >= WARM else 0
        return clock.result(loss)


def trl(settings: argparse.Namespace, recompute: bool) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from weaklm.lm.base_model import load_base

    model = load_base(settings.folder, quantize=settings.quantize, dtype="float32").model
    torch.manual_seed(0)
    rows = [{"input_ids": ids, "labels": [-100] * n + ids[n:]} for ids, n in documents(settings)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model,
            args=SFTConfig(
                folder,
                packing=True,
                max_length=settings.max_length,
                per_device_train_batch_size=settings.tokens // settings.max_length,
                max_steps=settings.steps + WARM,
                learning_rate=1e-4,
                gradient_checkpointing=recompute,
                bf16=False,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(settings.folder),
            peft_config=LoraConfig(**lora_settings()),
        )
        clock = Clock()
        trainer.data_collator = _counted(trainer.data_collator, clock, settings.steps)

        class Begin(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                clock.begin(state.global_step)

        trainer.add_callback(Begin())
        return clock.result(trainer.train().training_loss)


def _counted(collate: Callable[[Any], Any], clock: Clock, n_steps: int) -> Callable[[Any], Any]:
    n_batches = 0  # batches are collated ahead of their steps

    def counted(examples: Any) -> Any:
        nonlocal n_batches
        batch = collate(examples)
        clock.n_tokens += batch["input_ids"].numel() if WARM <= n_batches < WARM + n_steps else 0
        n_batches += 1
        return batch

    return counted


if __name__ == "__main__":
    main()
