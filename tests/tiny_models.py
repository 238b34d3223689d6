"""A tiny random Llama with a tokenizer, made on the spot, and rows to train it on."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weaklm.lm.base_model import quiet

CHAT = (
    "{{ bos_token }}{% for message in messages %}<|start|>{{ message['role'] }}\n"
    "{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def tokenizer(chat: str | None = None) -> Any:
    """Return a byte-level BPE tokenizer that adds one <s> by itself; with a chat template, answers end in <|end|>."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>", "<pad>", "<|start|>", "<|end|>"],
        show_progress=False,
    )
    bpe.train_from_iterator([f"What is {i} plus {i + 1}? The answer is {2 * i + 1}." for i in range(99)], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    eos = "<|end|>" if chat else "</s>"
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token=eos, pad_token="<pad>", chat_template=chat
    )


def save_model(folder: Path, chat: str | None = None, window: int = 512) -> Path:
    """Write a random Llama of 64 x 2 layers and its tokenizer; return the folder."""
    text = tokenizer(chat)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings = LlamaConfig(
        vocab_size=len(text),
        **shape,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=0.2,  # so that its answers differ from prompt to prompt
        bos_token_id=0,
        eos_token_id=text.eos_token_id,
        pad_token_id=2,
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        LlamaForCausalLM(settings).save_pretrained(folder)
        text.save_pretrained(folder)
    return folder


def rows(n: int = 24) -> pd.DataFrame:
    """Return n short questions with contexts and responses of differing length."""
    return pd.DataFrame(
        {
            "id": [f"row{i}" for i in range(n)],
            "instruction": [f"What is {i} plus {i + 1}?" for i in range(n)],
            "context": [f"Fact {i} is true. " * (i % 4) for i in range(n)],
            "prompt_prefix": ["You are careful." if i % 2 else "" for i in range(n)],
            "response": [f"The answer is {2 * i + 1}." + " Indeed." * (i % 5) for i in range(n)],
        }
    )
