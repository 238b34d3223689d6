"""Tokens a second, memory and MFU of QLoRA training on one GPU: ours, TRL and Unsloth, on the same documents.

    python benchmarks/train_gpu.py                              # ours and TRL, 2,048 and 16,384 tokens together
    python benchmarks/train_gpu.py --systems ours --profile     # and where the time goes
    python benchmarks/train_gpu.py --tiny                       # does all of it run? On a CPU, in a minute or two

A Llama-shaped model of 8 billion random weights is made on the spot (16 GB of disk), so nothing is downloaded. Each
system runs in a process of its own. Peers may live in folders of their own (pip install --target), as Unsloth asks for
other versions: --trl-site DIR, --unsloth-site DIR. A system that fails or runs out of memory is reported and the others
go on.

Documents are of mixed length (log-normal, median 300 tokens, at most 2,048), their last 60 % response. TRL packs them
into rows of 2,048 and computes as many rows together as --tokens has. There is no flash-attn wheel on PyPI, so TRL as
shipped attends through a dense mask; "TRL, tuned" has our attention and no recomputing.

MFU counts what is useful for frozen weights: tokens/s x (4 N + 6 P + 4 H V f + 7 d H L) / --peak, with N weights of
linear layers, P of LoRA, f the share of tokens with loss, d the mean length of a token's document, H width, V
vocabulary, L layers. What is recomputed is not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYSTEMS = {
    "ours": "ours, planned",
    "ours-0": "ours, nothing recomputed",
    "ours-1": "ours, gates recomputed",
    "ours-2": "ours, everything recomputed",
    "trl": "TRL as shipped",
    "trl-path": "TRL as shipped, model given by path",
    "trl-tuned": "TRL, tuned",
    "unsloth": "Unsloth, its checkpointing",
    "unsloth-0": "Unsloth, no checkpointing",
}
DEFAULT = ("ours", "ours-0", "ours-2", "trl", "trl-tuned")
BIG = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
SMALL = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
LORA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WARM = 2  # steps before the clock starts
LONGEST = 2048


def main() -> None:
    settings = arguments()
    if settings.system == "make":
        make_model(settings)
    elif settings.system:
        print(json.dumps(worker(settings)))
    else:
        if not (Path(settings.folder) / "config.json").is_file():
            in_own_process("make", 0, settings)
        print(f"{'system':40} {'tokens':>7} {'tokens/s':>9} {'peak GB':>8} {'MFU':>6} {'loss':>8}", flush=True)
        for n_tokens in settings.tokens:
            for name in settings.systems:
                show(name, n_tokens, in_own_process(name, n_tokens, settings))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=DEFAULT)
    parser.add_argument("--tokens", nargs="+", type=int, default=[2048, 16384], help="tokens computed together")
    parser.add_argument("--steps", type=int, default=6, help="steps under the clock")
    parser.add_argument("--uniform", action="store_true", help="every document 2,048 tokens long")
    parser.add_argument("--peak", type=float, default=790e12, help="what the GPU reaches, in FLOP/s of bfloat16")
    parser.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "weaklm_8b"), help="for the model")
    parser.add_argument("--trl-site", default="", help="folder with TRL and what it needs")
    parser.add_argument("--unsloth-site", default="", help="folder with Unsloth and what it needs")
    parser.add_argument("--profile", action="store_true", help="print where the time of ours goes")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to see that all runs")
    parser.add_argument("--system", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.tiny and not settings.system:
        settings.folder, settings.tokens, settings.steps = f"{settings.folder}_tiny", [512], 1
    return settings


def in_own_process(name: str, n_tokens: int, settings: argparse.Namespace) -> dict[str, Any]:
    options = ["--system", name, "--tokens", str(n_tokens), "--steps", str(settings.steps), "--folder", settings.folder]
    options += ["--peak", str(settings.peak)]
    options += [f"--{flag}" for flag in ("uniform", "profile", "tiny") if getattr(settings, flag)]
    site = settings.unsloth_site if name.startswith("unsloth") else settings.trl_site if name.startswith("trl") else ""
    paths = [path for path in (site, str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")) if path]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"error": f"exit status {done.returncode}"}
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), end="\n" if lines[:-1] else "")
    return dict(json.loads(lines[-1])) if name != "make" else {}


def show(name: str, n_tokens: int, found: dict[str, Any]) -> None:
    if "error" in found:
        print(f"{SYSTEMS[name]:40} {n_tokens:7} failed: {found['error'][:200]}", flush=True)
        return
    print(
        f"{SYSTEMS[name]:40} {n_tokens:7} {found['tokens_per_s']:9.0f} {found['peak_gb']:8.2f} {found['mfu']:6.1%} "
        f"{found['loss']:8.4f} {found.get('plan', '')}",
        flush=True,
    )


def make_model(settings: argparse.Namespace) -> None:
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    n_words, kv_heads = (2048, 2) if settings.tiny else (128256, 8)
    shape = LlamaConfig(
        **(SMALL if settings.tiny else BIG),
        num_key_value_heads=kv_heads,
        vocab_size=n_words,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(shape)
    model.save_pretrained(settings.folder)
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(n_words)}, unk_token="w3"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w1", pad_token="w2").save_pretrained(
        settings.folder
    )


def documents(settings: argparse.Namespace, n_words: int) -> list[tuple[list[int], int]]:
    """Return token ids and the number of those that are prompt, enough for all steps."""
    import numpy as np

    rng = np.random.default_rng(0)
    made: list[tuple[list[int], int]] = []
    longest = min(LONGEST, settings.tokens[0])
    while sum(len(ids) for ids, _ in made) < settings.tokens[0] * (settings.steps + WARM + 1):
        n = longest if settings.uniform else int(np.clip(rng.lognormal(5.7, 0.8), 32, longest))
        made.append((rng.integers(3, n_words, n).tolist(), int(0.4 * n)))
    return made


class Clock:
    """Tokens, seconds and peak memory of the steps after the first."""

    def __init__(self) -> None:
        self.n_tokens, self.start = 0, time.perf_counter()

    def begin(self, step: int) -> None:
        """Start at the step after the first ones."""
        import torch

        if step == WARM and torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        if step == WARM:
            self.start = time.perf_counter()

    def result(self, loss: float) -> dict[str, Any]:
        """Return what was measured, and the loss to see that all trained alike."""
        import torch

        has_gpu = torch.cuda.is_available()
        if has_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.start
        peak = torch.cuda.max_memory_allocated() / 1e9 if has_gpu else float("nan")
        return {"tokens_per_s": self.n_tokens / seconds, "peak_gb": peak, "loss": loss}


def worker(settings: argparse.Namespace) -> dict[str, Any]:
    system, _, variant = settings.system.partition("-")
    run: dict[str, Callable[..., dict[str, Any]]] = {"ours": ours, "trl": trl, "unsloth": unsloth}
    if system == "unsloth":
        import unsloth as _  # before transformers  # noqa: F401
    from transformers import AutoConfig

    shape = AutoConfig.from_pretrained(settings.folder)
    rows = documents(settings, shape.vocab_size)
    try:
        found = run[system](settings, rows, variant)
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return found | {"mfu": found["tokens_per_s"] * _useful_work(shape, rows) / settings.peak}


def _useful_work(shape: Any, rows: list[tuple[list[int], int]]) -> float:
    """Return the floating-point operations that one token needs."""
    hidden, inner, n_layers = shape.hidden_size, shape.intermediate_size, shape.num_hidden_layers
    key = hidden // shape.num_attention_heads * shape.num_key_value_heads
    outputs = (hidden, key, key, hidden, inner, inner, hidden)
    inputs = (hidden, hidden, hidden, hidden, hidden, hidden, inner)
    base = n_layers * sum(a * b for a, b in zip(inputs, outputs, strict=True))
    lora = n_layers * 16 * sum(a + b for a, b in zip(inputs, outputs, strict=True))
    lengths = [len(ids) for ids, _ in rows]
    n_tokens = sum(lengths)
    share = sum(len(ids) - n for ids, n in rows) / n_tokens
    document = sum(n * n for n in lengths) / n_tokens
    return 4 * base + 6 * lora + 4 * hidden * shape.vocab_size * share + 7 * document * hidden * n_layers


def ours(settings: argparse.Namespace, rows: list[tuple[list[int], int]], variant: str) -> dict[str, Any]:
    import numpy as np
    import torch

    from weaklm.lm.adapter import add_lora
    from weaklm.lm.base_model import load_base
    from weaklm.lm.checkpoints import trained
    from weaklm.lm.engine import engine_of
    from weaklm.lm.objectives import SFT
    from weaklm.lm.packing import bins
    from weaklm.lm.parallel import Processes
    from weaklm.lm.planner import Plan
    from weaklm.lm.template import TokenRow

    n_tokens = settings.tokens[0]
    base = load_base(settings.folder, dtype="bfloat16")
    torch.manual_seed(0)
    model = add_lora(base, r=16, alpha=16, target_modules=LORA).train()
    learned = [TokenRow(str(i), np.array(ids, dtype=np.int32), n) for i, (ids, n) in enumerate(rows)]
    optimizer = torch.optim.AdamW(trained(model).values(), lr=1e-4, fused=True)
    objective = SFT(learned, np.ones(len(learned)))
    steps = bins([len(row.ids) for row in learned], n_tokens)[: settings.steps + WARM]
    with engine_of(model, Processes(), micro_batch_tokens=n_tokens) as engine:
        if variant:
            engine.set(Plan(n_tokens, (int(variant),) * len(engine.layers)))
        clock = Clock()

        def step(chosen: list[int]) -> float:
            loss = engine.gradients(objective, chosen)
            torch.nn.utils.clip_grad_norm_(trained(model).values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss

        for number, chosen in enumerate(steps):
            clock.begin(number)
            loss = step(chosen)
            clock.n_tokens += sum(len(learned[i].ids) for i in chosen) if number >= WARM else 0
        found = clock.result(loss) | {"plan": f"levels {[engine.plan.levels.count(level) for level in (0, 1, 2)]}"}
        if settings.profile:
            _profile(lambda: step(steps[-1]))
    return found


def _profile(step: Callable[[], Any]) -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile

    on_gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as measured:
        step()
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    print(measured.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=60))


def trl(settings: argparse.Namespace, rows: list[tuple[list[int], int]], variant: str) -> dict[str, Any]:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    from weaklm.lm.attention import packed_attention

    device = {"": "cuda" if torch.cuda.is_available() else "cpu"}
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    loading: dict[str, Any] = {"quantization_config": quantization, "device_map": device}
    more: dict[str, Any] = {"gradient_checkpointing": variant != "tuned"}
    if variant == "path":
        model, more["model_init_kwargs"] = settings.folder, loading
    else:
        model = AutoModelForCausalLM.from_pretrained(settings.folder, dtype=torch.bfloat16, **loading)
    adapter = LoraConfig(r=16, lora_alpha=16, lora_dropout=0.0, target_modules=LORA, task_type="CAUSAL_LM")
    tokenizer = AutoTokenizer.from_pretrained(settings.folder)
    if variant == "tuned":
        with packed_attention(model):
            return _trainer(settings, rows, model, more, processing_class=tokenizer, peft_config=adapter)
    return _trainer(settings, rows, model, more, processing_class=tokenizer, peft_config=adapter)


def unsloth(settings: argparse.Namespace, rows: list[tuple[list[int], int]], variant: str) -> dict[str, Any]:
    import torch
    from unsloth import FastLanguageModel

    longest = min(LONGEST, settings.tokens[0])
    model, tokenizer = FastLanguageModel.from_pretrained(
        settings.folder, max_seq_length=longest, load_in_4bit=True, dtype=torch.bfloat16
    )
    recompute: str | bool = False if variant == "0" else "unsloth"
    model = FastLanguageModel.get_peft_model(
        model, r=16, lora_alpha=16, lora_dropout=0.0, target_modules=LORA, use_gradient_checkpointing=recompute
    )
    more = {"gradient_checkpointing": bool(recompute)}
    return _trainer(settings, rows, model, more, processing_class=tokenizer)


def _trainer(
    settings: argparse.Namespace, rows: list[tuple[list[int], int]], model: Any, more: dict[str, Any], **parts: Any
) -> dict[str, Any]:
    """Train with TRL's SFTTrainer, which Unsloth changes from within."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    longest = min(LONGEST, settings.tokens[0])
    clock, n_batches = Clock(), 0
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model,
            args=SFTConfig(
                folder,
                packing=True,
                max_length=longest,
                per_device_train_batch_size=settings.tokens[0] // longest,
                max_steps=settings.steps + WARM,
                learning_rate=1e-4,
                use_cpu=not torch.cuda.is_available(),
                report_to="none",
                save_strategy="no",
                logging_steps=1000,
                disable_tqdm=True,
                **more,
            ),
            train_dataset=Dataset.from_list([{"input_ids": ids, "labels": [-100] * n + ids[n:]} for ids, n in rows]),
            **parts,
        )
        collate = trainer.data_collator

        def counted(examples: Any) -> Any:
            nonlocal n_batches
            batch = collate(examples)
            clock.n_tokens += batch["input_ids"].numel() if WARM <= n_batches < WARM + settings.steps else 0
            n_batches += 1
            return batch

        class Begin(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                clock.begin(state.global_step)

        trainer.data_collator = counted
        trainer.add_callback(Begin())
        return clock.result(trainer.train().training_loss)


if __name__ == "__main__":
    main()
