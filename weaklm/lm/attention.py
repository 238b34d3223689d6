"""Attention inside the documents of a packed row: registered with transformers, so that any of its models can use it.

On a GPU torch's own kernel for rows of varying length reads each document once and writes no mask; a mask over the
whole row would cost the square of its length. Elsewhere each document is one call of torch's fused attention.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from weaklm.errors import ModelError

NAME = "weaklm_packed"

# The kernel's backward pass counts its scratch space in 32 bits; past this it reads where it must not.
KERNEL_LIMIT = 2**31
KERNEL_HEAD_DIM = 256


@dataclass(frozen=True)
class Documents:
    """The documents of a packed row, and how far back a token sees in its own (None: to its beginning).

    ``boundaries`` is (n_documents + 1,) int32; ``longest`` the tokens of the longest one.
    """

    boundaries: torch.Tensor
    longest: int
    window: int | None


@contextmanager
def packed_attention(inner: Any) -> Iterator[None]:
    """Let a model of transformers attend inside documents while the block runs.

    Inside, its decoder is called with ``cu_seq_lens_q`` (the boundaries) and ``max_length_q`` (the longest document),
    which transformers hands through to the attention.
    """
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)
    before = inner.config._attn_implementation
    inner.set_attn_implementation(NAME)
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def attend(
    module: Any,  # noqa: ARG001  (the signature is transformers')
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **passed: Any,  # noqa: ARG001  (position ids and the like, which transformers passes to every attention)
) -> tuple[torch.Tensor, None]:
    """Return causal attention within documents, (1, n_tokens, n_heads, head_dim), and no weights.

    Parameters
    ----------
    query, key, value
        (1, n_heads, n_tokens, head_dim); key and value may have fewer heads, each shared by a group of queries.
    cu_seq_lens_q, max_length_q
        Boundaries (n_documents + 1,) int32, and the tokens of the longest document.
    scaling
        What products of queries and keys are multiplied with; None is 1 / sqrt(head_dim).
    sliding_window
        Tokens that a token sees, itself included; None is all before it.
    dropout
        Share of the attention weights that is dropped.
    softcap, s_aux
        What some architectures change the scores with; not done here.

    Raises
    ------
    NotImplementedError
        For ``softcap`` and ``s_aux``: what cannot be computed is not left out in silence.
    """
    if softcap is not None or s_aux is not None:
        raise NotImplementedError("attention with capped scores or sinks")
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))  # (n_tokens, heads, head_dim)
    documents = Documents(cu_seq_lens_q, max_length_q, sliding_window)
    has_kernel = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] <= KERNEL_HEAD_DIM
    if has_kernel and not dropout:
        return _in_one_kernel(q, k, v, documents, scaling)[None], None
    return _one_by_one((q, k, v), documents, scaling, dropout)[None], None


def _in_one_kernel(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, scaling: float | None
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn  # only where there is a GPU

    n_tokens, n_heads, head_dim = q.shape
    boundaries, longest, window = documents.boundaries, documents.longest, documents.window
    if (n_tokens + 128 * (len(boundaries) - 1)) * n_heads * 32 * -(-head_dim // 32) >= KERNEL_LIMIT:
        raise ModelError(
            f"{n_tokens} tokens in {len(boundaries) - 1} rows are more than the attention kernel can count; "
            "lower micro_batch_tokens (the result stays the same)"
        )
    groups: dict[str, Any] = {}
    if k.shape[1] != n_heads:
        if _shares_heads():
            groups = {"enable_gqa": True}
        else:
            k, v = (states.repeat_interleave(n_heads // states.shape[1], dim=1) for states in (k, v))
    seen = (-1 if window is None else window - 1, 0)
    cu_seq: dict[str, Any] = {"cu_seq_q": boundaries, "cu_seq_k": boundaries, "max_q": longest, "max_k": longest}
    attended = varlen_attn(q, k, v, **cu_seq, scale=scaling, window_size=seen, **groups)
    assert isinstance(attended, torch.Tensor)  # not also the normaliser, which was not asked for
    return attended


@cache
def _shares_heads() -> bool:
    """Whether this torch's kernel takes fewer heads of keys than of queries (from 2.12 on)."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def _one_by_one(
    states: tuple[torch.Tensor, ...], documents: Documents, scaling: float | None, dropout: float
) -> torch.Tensor:
    n_heads, n_key_heads = states[0].shape[1], states[1].shape[1]
    mask, window = None, documents.window
    if window is not None and window < documents.longest:
        mask = _window_mask(documents.longest, window, states[0].device)
    attended = []
    for start, end in pairwise(documents.boundaries.tolist()):
        q, k, v = (x[start:end].transpose(0, 1)[None] for x in states)  # (1, heads, n_tokens, head_dim)
        seen = None if mask is None else mask[: end - start, : end - start]
        out = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=seen,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=n_key_heads != n_heads,
        )
        attended.append(out[0].transpose(0, 1))
    return torch.cat(attended)


def _window_mask(n_tokens: int, window: int, device: torch.device) -> torch.Tensor:
    """Return (n_tokens, n_tokens) bool: True where the token of the row sees the token of the column."""
    ones = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=device)
    return ones.tril() & ones.triu(1 - window)


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: boundaries say all that a mask would."""
