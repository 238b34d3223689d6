"""Train a small language model from nothing: a stand-in where no real base model is at hand, for demos and tests."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weaklm.atomic import atomic_folder
from weaklm.data import complete, examples
from weaklm.errors import ModelError
from weaklm.lm.base_model import check_replaceable, quiet
from weaklm.lm.loop import cosine_share, own_state
from weaklm.lm.template import PLAIN_PARTS, Template, TokenRow


def pretrain(
    data: pd.DataFrame,
    folder: str | Path,
    *,
    vocab_size: int = 1536,
    hidden_size: int = 192,
    n_layers: int = 3,
    n_heads: int = 4,
    max_length: int = 512,
    n_steps: int = 600,
    batch_size: int = 6,
    learning_rate: float = 3e-3,
    warmup: float = 0.05,
    weight_decay: float = 0.01,
    prompt_weight: float = 1.0,
    dtype: str | None = None,
    n_threads: int | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> Path:
    """Train a byte-level BPE tokenizer and a Llama-shaped model on the rows of a frame; return the folder they are in.

    The folder is a normal Hugging Face model folder, written whole or not at all: give its path to
    ``QLoRATrainer`` or ``LanguageModel.load``. The tokenizer has no chat template, so rows are rendered by the same
    plain template as in fine-tuning. The same data, settings, number of threads and kind of processor give the
    same weights.

    Parameters
    ----------
    data
        Frame with at least ``instruction`` and ``response``. Rows longer than ``max_length`` tokens lose the end
        of their context; those whose response does not fit are not trained on.
    folder
        Where to write. An earlier model in this place is replaced.
    vocab_size
        Most tokens of the vocabulary. 1536 covers a few thousand short texts; a larger one costs time in the head.
    hidden_size, n_layers, n_heads
        Shape of the model. The default has about 1.6 million parameters: larger ones are slower to learn on two
        cores and no better. ``hidden_size`` is a multiple of 64, as 4-bit blocks ask.
    max_length
        Longest row, in tokens; the context window is twice that.
    n_steps, batch_size
        Optimizer steps, and rows in each. Many small steps: copying from the prompt is learned by number of
        steps, not by number of tokens. Counted in steps, never seconds, so that the result does not depend on
        the machine's speed.
    learning_rate, warmup, weight_decay
        Peak rate of AdamW; share of the steps over which it rises to it (it falls to 0 along a cosine); decay of
        the matrices.
    prompt_weight
        Weight of a prompt token in the loss beside a response token's 1. 0 trains the responses only.
    dtype
        "bfloat16" or "float32" arithmetic (weights stay float32). None takes bfloat16 where the processor
        has instructions for it, about 1.7 times as fast.
    n_threads
        Threads of the processor. None leaves torch's own number; where other work shares the cores, 1 is faster.
    random_state
        Seed of the weights and of the order of rows.
    progress
        Whether to show a progress bar on stderr.

    Raises
    ------
    ModelError
        If no row is left to train on, or ``hidden_size`` does not fit.
    """
    if hidden_size % 64 or hidden_size % (2 * n_heads):
        raise ModelError(
            f"hidden_size is {hidden_size}; a multiple of 64 and of 2 * n_heads = {2 * n_heads} is expected"
        )
    check_replaceable(folder, "config.json")
    data = complete(data)
    tokenizer = train_tokenizer(data, vocab_size)
    rows = Template(tokenizer).encode(data, max_length).rows
    if not rows:
        raise ModelError(f"none of the {len(data)} rows fits into max_length={max_length} tokens; raise it")
    with own_state(random_state, n_threads):
        model = LlamaForCausalLM(_configuration(tokenizer, hidden_size, n_layers, n_heads, max_length))
        batches = _batches(rows, batch_size, n_steps, np.random.default_rng(random_state))
        _train(
            model,
            tqdm(batches, total=n_steps, desc="pretrain", unit="step", disable=not progress),
            n_steps=n_steps,
            learning_rate=learning_rate,
            warmup=warmup,
            weight_decay=weight_decay,
            prompt_weight=prompt_weight,
            bfloat16=_use_bfloat16(dtype),
        )
    with atomic_folder(folder) as temporary, quiet():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return Path(folder)


def train_tokenizer(data: pd.DataFrame, vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on the texts of a complete frame, with single digits as tokens."""
    bpe = Tokenizer(models.BPE())
    split = Regex(r"\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s+(?!\S)|\s+")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>", "<pad>"],
        show_progress=False,
    )
    texts = (f"{x.prompt_prefix}\n\n{x.instruction}\n\n{x.context}\n\n{x.response}" for x in examples(data))
    bpe.train_from_iterator([*PLAIN_PARTS * 2, *texts], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def _configuration(tokenizer: Any, hidden_size: int, n_layers: int, n_heads: int, max_length: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=64 * math.ceil(hidden_size * 8 / 3 / 64),
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        max_position_embeddings=2 * max_length,  # so that a full row can still be asked to go on
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )


def _use_bfloat16(dtype: str | None) -> bool:
    if dtype not in (None, "bfloat16", "float32"):
        raise ModelError(f"dtype is {dtype!r}; expected 'bfloat16', 'float32' or None")
    return dtype == "bfloat16" or (dtype is None and torch.cpu._is_avx512_bf16_supported())


def _batches(rows: list[TokenRow], batch_size: int, n_steps: int, rng: np.random.Generator) -> Iterator[list[TokenRow]]:
    """Yield ``n_steps`` batches of rows of like length, in an order that ``rng`` decides."""
    n_done = 0
    while n_done < n_steps:
        order = rng.permutation(len(rows))
        pool = 16 * batch_size  # sorting within pools keeps padding low and batches mixed
        pools = [sorted(order[i : i + pool], key=lambda j: len(rows[j].ids)) for i in range(0, len(rows), pool)]
        batches = [list(p[i : i + batch_size]) for p in pools for i in range(0, len(p), batch_size)]
        for k in rng.permutation(len(batches))[: n_steps - n_done]:
            n_done += 1
            yield [rows[j] for j in batches[k]]


def _train(
    model: LlamaForCausalLM,
    batches: Any,
    *,
    n_steps: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    prompt_weight: float,
    bfloat16: bool,
) -> None:
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    vectors = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
    model.train()
    model.set_attn_implementation("eager")  # on a CPU and short rows a third faster than the fused kernel's backward
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_share(step, n_steps, warmup)
        ids, weights = _pad(batch, prompt_weight)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            # Without a mask: under causal attention no token sees the padding, which stands at the end.
            states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state.flatten(0, 1)
            counted = weights > 0  # the head is a third of the work: only where there is a loss
            logits = model.lm_head(states[counted])
        loss = functional.cross_entropy(logits.float(), ids[:, 1:].flatten()[counted], reduction="none")
        loss = (loss * weights[counted]).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0 or step == n_steps - 1:
            batches.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()


def _pad(batch: list[TokenRow], prompt_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids (n_rows, n_tokens) padded at the end, and the loss weight of each id but the first, flattened."""
    width = max(len(row.ids) for row in batch)
    ids = np.zeros((len(batch), width), dtype=np.int64)
    weights = np.zeros((len(batch), width), dtype=np.float32)
    for i, row in enumerate(batch):
        ids[i, : len(row.ids)] = row.ids
        weights[i, : len(row.ids)] = np.where(row.loss_mask, 1.0, prompt_weight)
    return torch.from_numpy(ids), torch.from_numpy(weights[:, 1:]).flatten()
