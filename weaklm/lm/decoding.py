"""Batched generation: prompts as token ids in, answers as token ids out, in the order of the prompts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from weaklm.data import content_hash


def continue_prompts(
    model: Any,
    prompts: Sequence[NDArray[np.int32]],
    names: Sequence[str],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    batch_size: int = 32,
    random_state: int = 0,
    progress: bool = True,
) -> list[list[int]]:
    """Return the token ids with which the model goes on after each prompt, without the token that ended them.

    Prompts of like length share a batch and are padded on the left, so each answer is the one that the prompt gets
    alone. That holds for sampling, too: each answer has random numbers of its own, from ``random_state`` and its
    name.

    Parameters
    ----------
    model
        A causal language model of transformers, LoRA layers inside or not.
    prompts, names
        Token ids of each prompt, and what it is called.
    stop_ids
        Tokens that end an answer.
    max_new_tokens
        Longest answer, in tokens.
    temperature
        0 takes the most likely token each time; 1 samples from the model's own distribution.
    top_p
        When sampling, only the most likely tokens that together have this probability can be drawn.
    batch_size
        Prompts that are continued together: more are faster until memory is full.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(
        range(len(prompts)), key=lambda i: -len(prompts[i])
    )  # longest first: memory runs out at once or never
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=list(stop_ids), pad_token_id=stop_ids[0]
    )
    own_settings, was_training = model.generation_config, model.training
    # Models bring settings such as a repetition penalty; what is generated depends on ours alone.
    model.generation_config = GenerationConfig()
    model.eval()
    try:
        with tqdm(total=len(prompts), desc="generate", unit="row", disable=not progress) as bar:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                seeds = [content_hash(str(random_state), names[i]) for i in chosen] if temperature > 0 else []
                sampling = [_Sampling(seeds, temperature, top_p, model.device)] if seeds else []
                new = _continue_batch(model, [prompts[i] for i in chosen], settings, LogitsProcessorList(sampling))
                for i, ids in zip(chosen, new, strict=True):
                    answers[i] = _until(ids, stop_ids)
                bar.update(len(chosen))
    finally:
        model.generation_config = own_settings
        model.train(was_training)
    return answers


def _continue_batch(
    model: Any, prompts: list[NDArray[np.int32]], settings: GenerationConfig, processors: LogitsProcessorList
) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), settings.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
        mask[i, width - len(prompt) :] = 1
    with torch.no_grad():
        out = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=processors,
        )
    return [[int(token) for token in row] for row in out[:, width:].tolist()]


def _until(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [place for place, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0]] if ends else ids


class _Sampling(LogitsProcessor):
    """Adds Gumbel noise, so that the largest score is a sample from softmax(scores / temperature).

    Source: the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). With a generator for each row
    the sample does not depend on the other rows of its batch. The unlikely tail is cut off first (nucleus sampling,
    Holtzman et al. 2019, arXiv:1904.09751).
    """

    def __init__(self, seeds: list[str], temperature: float, top_p: float, device: torch.device) -> None:
        self.temperature = temperature
        self.top_p = top_p
        self.generators = [torch.Generator(device).manual_seed(int(seed[:15], 16)) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        logits = scores.float() / self.temperature
        if self.top_p < 1:
            ranked, order = logits.sort(descending=True)
            before = ranked.softmax(-1).cumsum(-1).roll(1, dims=-1)  # probability of all that is more likely
            before[:, 0] = 0
            logits = logits.masked_fill((before >= self.top_p).scatter(-1, order, before >= self.top_p), -torch.inf)
        return logits - noise.log()
