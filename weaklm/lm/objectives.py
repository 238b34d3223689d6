"""What is learned: supervised fine-tuning, KTO and DPO, each as a loss of the log-probabilities of whole responses.

An objective has units: what must be computed together, one row, or the two rows of a pair. Its loss over a step is a
sum over units, divided by what the whole step holds; so a step can be cut into any micro-batches, on any number of
processes, to the same gradient. KTO and DPO compare with a reference: the model as it was before training, whose
log-probabilities are computed once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from weaklm.lm.packing import first_target, n_targets
from weaklm.lm.template import TokenRow

Unit = tuple[TokenRow, ...]

# Rows in, their log-probabilities (n_rows,) without gradients out.
Measure = Callable[[Sequence[TokenRow]], torch.Tensor]


class Objective(Protocol):
    """What the training loop asks of an objective."""

    @property
    def units(self) -> Sequence[Unit]:
        """Return all that can be learned from; steps choose among them by number."""

    @property
    def compared(self) -> Sequence[TokenRow]:
        """Return the rows whose log-probabilities under the reference are needed."""

    @property
    def reference(self) -> torch.Tensor:
        """Return these log-probabilities, (n_compared,) float32."""

    @reference.setter
    def reference(self, values: torch.Tensor) -> None: ...

    def begin(self, chosen: Sequence[int], measure: Measure) -> None:
        """Compute what the loss of a step needs to know of all its units."""

    def described(self) -> Iterator[str]:
        """Yield all that shapes the loss, as texts: the same texts mean the same loss."""

    def size(self, chosen: Sequence[int]) -> float:
        """Return what the summed loss of units is divided by."""

    def loss(self, logp: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """Return the summed loss, shape (), of units from their rows' log-probabilities, (n_units, rows of a unit)."""


@dataclass
class SFT:
    """The mean negative log-likelihood of response tokens, each times the weight of its row.

    Divided by tokens, not rows: a mean of means would give the tokens of short responses more weight. Weights are
    brought to a mean of 1 over all tokens, so that they do not act as a learning rate.
    """

    rows: Sequence[TokenRow]
    weights: NDArray[np.float64]
    compared: Sequence[TokenRow] = ()
    reference: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def __post_init__(self) -> None:
        self.units = [(row,) for row in self.rows]
        self._n_tokens = np.array([n_targets(row) for row in self.rows])
        mean = np.average(self.weights, weights=self._n_tokens) or 1.0
        self._weights = torch.from_numpy((self.weights / mean).astype(np.float32))

    def described(self) -> Iterator[str]:
        """Yield rows and weights."""
        yield from map(_described, self.rows, self.weights.tolist())

    def begin(self, chosen: Sequence[int], measure: Measure) -> None:
        """Nothing is needed: tokens are counted, not computed."""

    def size(self, chosen: Sequence[int]) -> float:
        """Return the response tokens of the units."""
        return float(self._n_tokens[list(chosen)].sum())

    def loss(self, logp: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """Return the summed loss of units from logp (n_units, 1)."""
        return -(self._weights[list(chosen)].to(logp.device) * logp[:, 0]).sum()


@dataclass
class KTO:
    """Kahneman-Tversky optimization: accepted responses become likelier than under the reference, rejected less likely.

    With r = log p(y|x) - log p_ref(y|x) and z the divergence of the model from the reference, an accepted response
    costs w (1 - sigmoid(beta (r - z))), a rejected one w (1 - sigmoid(beta (z - r))). z is estimated, over the whole
    step and without gradient, as the mean r of prompts with other rows' responses, and is at least 0. Without
    ``mismatched`` z is 0 and saves their passes: APO-zero for unpaired rows.

    Source: Ethayarajh et al. 2024 (KTO), arXiv:2402.01306, eq. 8; D'Oosterlinck et al. 2024 (APO), arXiv:2408.06266.

    Attributes
    ----------
    rows, is_accepted, weights
        The rows, whether each was accepted, and w: (n_rows,) each.
    beta
        How far the model may go from the reference: smaller is further.
    mismatched
        For each row its prompt with another row's response; see :func:`mismatch`.
    """

    rows: Sequence[TokenRow]
    is_accepted: NDArray[np.bool_]
    weights: NDArray[np.float64]
    beta: float = 0.1
    mismatched: Sequence[TokenRow] = ()
    reference: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def __post_init__(self) -> None:
        self.units = [(row,) for row in self.rows]
        self.compared = [*self.rows, *self.mismatched]
        self._sign = torch.from_numpy(np.where(self.is_accepted, 1.0, -1.0).astype(np.float32))
        self._weights = torch.from_numpy(self.weights.astype(np.float32))
        self._divergence = 0.0

    def described(self) -> Iterator[str]:
        """Yield rows, signed weights, and the rows that the divergence is estimated on."""
        yield from map(_described, self.rows, (self.weights * np.where(self.is_accepted, 1.0, -1.0)).tolist())
        yield from map(_described, self.mismatched)

    def begin(self, chosen: Sequence[int], measure: Measure) -> None:
        """Estimate the divergence from the reference."""
        if self.mismatched:
            other = [len(self.rows) + i for i in chosen]
            ratios = measure([self.compared[i] for i in other]) - self.reference[other].to(torch.float32)
            self._divergence = max(0.0, float(ratios.mean()))

    def size(self, chosen: Sequence[int]) -> float:
        """Return the number of units."""
        return float(len(chosen))

    def loss(self, logp: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """Return the summed loss of units from logp (n_units, 1)."""
        sign, weights, reference = (
            x[list(chosen)].to(logp.device) for x in (self._sign, self._weights, self.reference)
        )
        ratio = logp[:, 0] - reference
        # 1 - sigmoid(a) as sigmoid(-a), which keeps its digits where it is small.
        return (weights * torch.sigmoid(-self.beta * sign * (ratio - self._divergence))).sum()


@dataclass
class DPO:
    """Direct preference optimization: -log sigmoid(beta (r of the chosen - r of the rejected response)), pair by pair.

    Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; r and beta as for :class:`KTO`.

    Attributes
    ----------
    units
        Pairs of rows with the same prompt: the chosen response, the rejected one.
    """

    units: Sequence[Unit]
    beta: float = 0.1
    reference: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def __post_init__(self) -> None:
        self.compared = [row for unit in self.units for row in unit]

    def described(self) -> Iterator[str]:
        """Yield the rows of all pairs."""
        yield from map(_described, self.compared)

    def begin(self, chosen: Sequence[int], measure: Measure) -> None:
        """Nothing is needed: each pair is for itself."""

    def size(self, chosen: Sequence[int]) -> float:
        """Return the number of pairs."""
        return float(len(chosen))

    def loss(self, logp: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """Return the summed loss of pairs from logp (n_units, 2): chosen, rejected."""
        ratio = logp - self.reference.view(-1, 2)[list(chosen)].to(logp.device)
        return -functional.logsigmoid(self.beta * (ratio[:, 0] - ratio[:, 1])).sum()


def mismatch(rows: Sequence[TokenRow], max_length: int, random_state: int) -> list[TokenRow]:
    """Return each row's prompt with another row's response, at most ``max_length`` tokens long.

    Each response is used once. What is too long loses the end of its response, of which at least one token stays:
    nothing is trained on these rows.
    """
    order = np.random.default_rng([random_state, 2]).permutation(len(rows))  # not the stream of the order of steps
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    mixed = []
    for i, row in enumerate(rows):
        start = first_target(row)
        donor = rows[other[i]]
        answer = donor.ids[first_target(donor) :][: max(1, max_length - start)]
        mixed.append(TokenRow(row.id, np.concatenate([row.ids[:start], answer]), start))
    return mixed


def _described(row: TokenRow, weight: float = 1.0) -> str:
    return f"{row.id} {row.n_prompt} {weight} {row.ids.tolist()}"
