"""Log-likelihood of responses: a model and rows in, the log-probability of each row's response out, differentiable.

The rows are packed and only the states before response tokens meet the head, a few at a time, so that neither padding
nor logits of prompts are computed or kept. Where an architecture cannot be packed, rows are padded instead, to the
same result; that is decided by comparing both on two small documents.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch.autograd import Function
from torch.nn import functional

from weaklm.lm.attention import packed_attention
from weaklm.lm.packing import PackedRows, first_target, pack
from weaklm.lm.template import TokenRow

log = logging.getLogger(__name__)

NO_LOSS = -100  # the label that cross-entropy leaves out
CHUNK = 1024  # states that meet the head together: larger is hardly faster, and a logit takes 6 bytes

# Rows in, the log-probability (n_rows,) float32 of each row's response tokens together out.
Likelihood = Callable[[Sequence[TokenRow]], torch.Tensor]


class TokenLogProbabilities(Function):
    """log softmax(states @ weight' + bias) at the targets; the gradient by the states is made in the forward pass.

    A softmax gives its own gradient almost for nothing: probabilities less one at the target. Made while the logits are
    there, it saves computing them a second time, and keeping them: n_targets x hidden numbers are kept instead of
    n_targets x vocabulary.
    """

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        """Return (n_targets,) float32 for states (n_targets, hidden), a head (vocabulary, hidden) and its bias."""
        result = states.new_empty(len(states), dtype=torch.float32)
        slope = torch.empty_like(states) if ctx.needs_input_grad[0] else None  # of each result by its own state
        for start in range(0, len(states), CHUNK):
            part = slice(start, start + CHUNK)
            target = targets[part, None]
            logits = functional.linear(states[part], weight, bias).float()
            normaliser = logits.logsumexp(-1, keepdim=True)
            result[part] = (logits.gather(1, target) - normaliser)[:, 0]
            if slope is not None:
                d_logits = logits.sub_(normaliser).exp_().neg_()
                d_logits.scatter_add_(1, target, torch.ones_like(target, dtype=torch.float32))
                torch.mm(d_logits.to(weight.dtype), weight, out=slope[part])
        ctx.save_for_backward(slope)
        return result

    @staticmethod
    def backward(ctx: Any, *d_results: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient by the states; the head is frozen."""
        (slope,) = ctx.saved_tensors
        return slope * d_results[0][:, None].to(slope.dtype), None, None, None


def packed_likelihood(model: PeftModel, rows: Sequence[TokenRow]) -> torch.Tensor:
    """Return (n_rows,) float32, the log-probability of each row's response, from one pass over the packed rows."""
    inner = model.get_base_model()
    packed = pack(rows).to(inner.device)
    head = inner.get_output_embeddings()
    states = _states(inner, packed)[packed.predicting]
    states = states.to(head.weight.dtype)
    tokens: torch.Tensor = TokenLogProbabilities.apply(states, head.weight, head.bias, packed.targets)
    return torch.zeros(len(rows), device=tokens.device).index_add(0, packed.document, tokens)


def padded_likelihood(model: PeftModel, rows: Sequence[TokenRow], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the same from rows padded at their ends, by the model's own attention and head; ``dtype`` for products."""
    inner = model.get_base_model()
    ids, labels = (x.to(inner.device) for x in _pad(rows))
    # No attention mask: under causal attention no token sees the padding, which stands at the end.
    with torch.autocast(inner.device.type, dtype, enabled=dtype != torch.float32):
        logits = inner(input_ids=ids, use_cache=False).logits[:, :-1]
    tokens = -functional.cross_entropy(
        logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=NO_LOSS, reduction="none"
    )
    return tokens.view(len(rows), -1).sum(1)


@contextmanager
def likelihood_of(model: PeftModel) -> Iterator[Likelihood]:
    """Yield the best way to compute log-likelihoods with a model while the block runs: packed if it can be."""
    inner = model.get_base_model()
    reason = why_not_packed(model)
    if reason is None:
        with packed_attention(inner):
            yield partial(packed_likelihood, model)
    else:
        log.warning("rows are padded, which is slower than packing them: %s", reason)
        yield partial(padded_likelihood, model, dtype=inner.dtype)


@torch.no_grad()
def why_not_packed(model: PeftModel) -> str | None:
    """Return why packed rows would not give what the model gives for each alone, or None if they do.

    What a model computes is asked of the model: no list of architectures can be complete.
    """
    inner = model.get_base_model()
    head = inner.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.requires_grad:
        return "the head is not a frozen linear layer"
    if getattr(inner.config.get_text_config(), "attention_chunk_size", None):
        return "attention is in chunks"
    ids = np.arange(12, dtype=np.int32) % len(head.weight)
    rows = [TokenRow("", ids[::-1][:7].copy(), 1), TokenRow("", ids, 1)]
    was_training = model.training
    model.eval()
    try:
        alone = [inner(input_ids=pack([row]).to(inner.device).ids, use_cache=False).logits[0] for row in rows]
        with packed_attention(inner):
            packed = head(_states(inner, pack(rows).to(inner.device)))
    except Exception as error:  # each architecture that cannot be packed fails in its own way
        return f"{type(error).__name__}: {error}"
    finally:
        model.train(was_training)
    expected = torch.cat(alone).float()
    difference = float((packed.float() - expected).norm() / expected.norm())
    return None if difference < 0.5 * torch.finfo(inner.dtype).eps ** 0.5 else f"results differ by {difference:.1%}"


def _states(inner: Any, packed: PackedRows) -> torch.Tensor:
    """Return the decoder's last states, (n_tokens, hidden)."""
    decoded = inner.get_decoder()(
        input_ids=packed.ids,
        position_ids=packed.positions,
        use_cache=False,
        cu_seq_lens_q=packed.boundaries,
        max_length_q=packed.longest,
    )
    states: torch.Tensor = decoded.last_hidden_state[0]
    return states


def _pad(rows: Sequence[TokenRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels, each (n_rows, n_tokens), padded at the end; labels are NO_LOSS outside the responses."""
    width = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    labels = np.full((len(rows), width), NO_LOSS, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        labels[i, first_target(row) : len(row.ids)] = row.ids[first_target(row) :]
    return torch.from_numpy(ids), torch.from_numpy(labels)
