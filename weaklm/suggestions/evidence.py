"""Evidence: what human labels say of candidate rules, and what the best of so many rules would show by chance.

Labels are shuffled by instruction, since the answers to one share its difficulty.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import ABSTAIN, REJECT, TEXT_COLUMNS, Example, complete, examples
from weaklm.suggestions.rules import Candidates, Flags

_FEWEST_HITS = 6  # labelled rows that a rule must fire on
_LIFT = 0.1  # precision over the share of the class
_ERROR = 0.05  # chance that labels without any meaning make some rule hold
_SHUFFLES = 500
_LABELLED, _LOOKED_AT = 2_000, 4_000  # rows, at most
_BLOCK = 2_000  # rules
_KINDS = ("phrase", "threshold", "pair")


@dataclass(frozen=True)
class Look:
    """The rows that are looked at.

    Attributes
    ----------
    rows
        A complete frame of texts.
    places
        Of these rows in the data.
    is_counted
        The rows that are a random draw of all: shares are taken of them.
    labelled
        Places among the rows of those with a label, the answers to one instruction together; ``Y`` are the labels.
    groups
        For each instruction its places among ``labelled``.
    """

    rows: pd.DataFrame
    places: NDArray[np.int64]
    is_counted: Flags
    labelled: NDArray[np.int64]
    Y: NDArray[np.int8]
    groups: list[NDArray[np.int64]]

    @cached_property
    def examples(self) -> list[Example]:
        """The rows as functions see them."""
        return list(examples(self.rows))

    @classmethod
    def at(cls, data: pd.DataFrame, labels: NDArray[np.int8], rng: np.random.Generator) -> "Look":
        """Choose rows: all with a label and all others, or some of each where there are too many."""
        chosen = rng.permutation(np.flatnonzero(labels != ABSTAIN))[:_LABELLED]
        counted = rng.permutation(len(data))[: _LOOKED_AT - _LABELLED if len(data) > _LOOKED_AT else len(data)]
        places = np.union1d(chosen, counted)
        columns = [c for c in ("id", "instruction_id", *TEXT_COLUMNS) if c in data.columns]
        rows = complete(data.iloc[places][columns], "the frame (the rows that are looked at)")
        labelled = np.flatnonzero(np.isin(places, chosen))
        instruction = pd.factorize(rows["instruction_id"].iloc[labelled])[0]
        order = np.argsort(instruction, kind="stable")
        groups = np.split(np.arange(len(order)), np.flatnonzero(np.diff(instruction[order])) + 1)
        labelled = labelled[order]
        return cls(rows, places, np.isin(places, counted), labelled, labels[places[labelled]], groups)


@dataclass(frozen=True)
class Evidence:
    """What the labels say of each candidate; every array is (n_rules,).

    Attributes
    ----------
    vote
        The label that is more frequent where the rule fires than elsewhere.
    right, judged
        Labelled rows where it fires and the vote is right; and all where it fires.
    base_rate
        The share of the vote among all labels.
    low
        Lower bound of right / judged, for all rules at once: Wilson's (1927) at the z score that the best rule of its
        kind reaches on shuffled labels (Westfall and Young 1993, max-T).
    log_odds
        Of phrases: how far their rows lean to the vote, as a z score; else NaN.
    """

    vote: NDArray[np.int64]
    right: NDArray[np.int64]
    judged: NDArray[np.int64]
    base_rate: NDArray[np.float64]
    low: NDArray[np.float64]
    log_odds: NDArray[np.float64]

    @classmethod
    def of(cls, candidates: Candidates, look: Look, rng: np.random.Generator) -> "Evidence":
        """Hold every candidate against the labels."""
        is_reject = look.Y == REJECT
        share = float(is_reject.mean())
        fires = candidates.fires[:, look.labelled]
        judged = fires.sum(axis=1)
        rejected = (fires & is_reject).sum(axis=1)
        vote = (rejected < share * judged).astype(np.int64)  # ACCEPT where people reject less than elsewhere
        right = np.where(vote == REJECT, rejected, judged - rejected)
        base_rate = np.where(vote == REJECT, share, 1 - share)
        largest = _largest_by_chance(fires, candidates.kind, look, rng)
        z = np.array([largest.get(kind, np.inf) for kind in candidates.kind])
        low = _wilson_low(right, np.maximum(judged, 1), z)
        counts = rejected, judged, int(is_reject.sum()), len(is_reject)
        odds = _log_odds(*counts, candidates.fires[:, look.is_counted].mean(axis=1)) * np.where(vote == REJECT, 1, -1)
        return cls(vote, right, judged, base_rate, low, np.where(candidates.kind == "phrase", odds, np.nan))

    def holds(self) -> Flags:
        """Return which candidates are good beyond chance."""
        lift = self.right / np.maximum(self.judged, 1) - self.base_rate
        return (self.judged >= _FEWEST_HITS) & (lift >= _LIFT) & (self.low > self.base_rate)


def _largest_by_chance(fires: Flags, kind: NDArray[np.str_], look: Look, rng: np.random.Generator) -> dict[str, float]:
    """Return for each kind of rule the z score that the best of its rules exceeds by chance once in sixty times.

    That is a third of the error for each of three kinds, so that the many pairs do not make phrases harder to find.
    """
    is_reject = (look.Y == REJECT).astype(np.float32)
    share = float(is_reject.mean())
    shuffled = np.empty((len(is_reject), _SHUFFLES), np.float32)
    for column in shuffled.T:  # labels of one instruction stay together
        column[:] = is_reject[np.concatenate([look.groups[i] for i in rng.permutation(len(look.groups))])]
    found = {}
    for name in _KINDS:
        rules = np.flatnonzero((kind == name) & (fires.sum(axis=1) >= _FEWEST_HITS))
        largest = np.zeros(_SHUFFLES)
        for start in range(0, len(rules), _BLOCK):
            block = fires[rules[start : start + _BLOCK]].astype(np.float32)
            judged = block.sum(axis=1, keepdims=True)
            z = np.abs(block @ shuffled - share * judged) / np.sqrt(share * (1 - share) * judged)
            largest = np.maximum(largest, z.max(axis=0))
        if len(rules):
            found[name] = float(np.quantile(largest, 1 - _ERROR / len(_KINDS)))
    return found


def _wilson_low(right: NDArray[Any], n: NDArray[Any], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower end of Wilson's interval at a z score each; it is over a share p just when the score test is."""
    share = right / n
    with np.errstate(invalid="ignore"):  # no rule of the kind was tested: z is infinite
        half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        return np.nan_to_num((share + z**2 / (2 * n) - half) / (1 + z**2 / n))


def _log_odds(
    rejected: NDArray[Any], judged: NDArray[Any], n_rejected: int, n: int, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far the rows of a phrase lean to REJECT: a z score of log-odds, its share of all rows as the prior.

    Source: Monroe, Colaresi and Quinn 2008, equations 15 to 22, on rows that have the phrase in place of word counts.
    """
    prior, weight = share, 20.0  # as if 20 more rows had been seen
    has = np.stack([rejected, judged - rejected]) + weight * prior
    lacks = np.stack([n_rejected - rejected, n - n_rejected - judged + rejected]) + weight * (1 - prior)
    difference = np.log(has[0] / lacks[0]) - np.log(has[1] / lacks[1])
    return difference / np.sqrt((1 / has + 1 / lacks).sum(axis=0))
