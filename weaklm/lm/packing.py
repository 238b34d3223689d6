"""Packing: rows of tokens in, a few long rows without padding out, each with the borders of its documents.

A padded batch computes on padding; a packed one does not. What must not happen is that one document sees another:
positions start anew in each document, attention stops at ``boundaries``, and no document's first token is a target.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from weaklm.lm.template import TokenRow


@dataclass(frozen=True)
class PackedRows:
    """Several rows, one behind the other, as the model gets them.

    Attributes
    ----------
    ids
        (1, n_tokens) int64.
    positions
        (1, n_tokens) int64, from 0 in each document.
    boundaries
        (n_documents + 1,) int32: document d is tokens ``boundaries[d]`` to ``boundaries[d + 1]``.
    longest
        Tokens of the longest document.
    targets
        (n_targets,) int64: the response tokens of all documents, which are to be predicted.
    predicting
        (n_targets,) int64: where the state stands that predicts each target, one token before it.
    document
        (n_targets,) int64: the document of each target.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    boundaries: torch.Tensor
    longest: int
    targets: torch.Tensor
    predicting: torch.Tensor
    document: torch.Tensor

    @property
    def n_documents(self) -> int:
        """Return the number of rows that were packed."""
        return len(self.boundaries) - 1

    def to(self, device: torch.device) -> "PackedRows":
        """Return the same on a device."""
        tensors = (field.name for field in fields(self) if field.name != "longest")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})


def pack(rows: Sequence[TokenRow]) -> PackedRows:
    """Return rows as one, in their order.

    >>> rows = [TokenRow("a", np.array([5, 6, 7]), 2), TokenRow("b", np.array([8, 9]), 1)]
    >>> packed = pack(rows)
    >>> packed.ids.tolist(), packed.positions.tolist(), packed.boundaries.tolist()
    ([[5, 6, 7, 8, 9]], [[0, 1, 2, 0, 1]], [0, 3, 5])
    >>> packed.targets.tolist(), packed.predicting.tolist(), packed.document.tolist()
    ([7, 9], [1, 3], [0, 1])
    """
    lengths = np.array([len(row.ids) for row in rows])
    ends = np.cumsum(lengths)
    ids = np.concatenate([row.ids for row in rows]).astype(np.int64)
    positions = np.concatenate([np.arange(length) for length in lengths])
    is_target = positions >= np.repeat([first_target(row) for row in rows], lengths)
    place = np.flatnonzero(is_target)
    return PackedRows(
        ids=torch.from_numpy(ids)[None],
        positions=torch.from_numpy(positions)[None],
        boundaries=torch.from_numpy(np.array([0, *ends], dtype=np.int32)),
        longest=int(lengths.max()),
        targets=torch.from_numpy(ids[place]),
        predicting=torch.from_numpy(place - 1),
        document=torch.from_numpy(np.repeat(np.arange(len(rows)), lengths)[place]),
    )


def first_target(row: TokenRow) -> int:
    """Return the place of the first token with a loss; a row's very first has none, as nothing predicts it."""
    return max(row.n_prompt, 1)


def n_targets(row: TokenRow) -> int:
    """Return the number of tokens that carry loss."""
    return len(row.ids) - first_target(row)


def bins(lengths: Sequence[int], budget: int, most: int | None = None) -> list[list[int]]:
    """Return numbers of rows, in bins of at most ``budget`` tokens and ``most`` rows: best fit, longest first.

    A row that is longer than the budget has a bin of its own. Nothing is split.

    Source: Johnson 1974, doi:10.1137/0203025: best fit decreasing takes at most 11/9 of the fewest possible bins.

    >>> bins([5, 9, 3, 2, 4, 12], budget=10)
    [[5], [1], [0, 4], [2, 3]]
    """
    filled: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens that still fit, number of the bin), ascending
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect_left(rooms, (lengths[row], -1))
        if place < len(rooms):
            room, chosen = rooms.pop(place)
        else:
            room, chosen = budget, len(filled)
            filled.append([])
        filled[chosen].append(row)
        if most is None or len(filled[chosen]) < most:
            insort(rooms, (room - lengths[row], chosen))
    return filled
