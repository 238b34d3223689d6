"""The test: is a slice worse than the rest on rows that had no part in choosing it, by more than chance?

The unit is the instruction: answers to one instruction share its difficulty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.discovery.conditions import Flags
from weaklm.estimation import Estimate, wilson_ends

Numbers = NDArray[np.float64]

_PERMUTATIONS = 4_999
_BLOCK = 2_000_000  # cells of the permutations held at a time
_PSEUDO = 0.25  # the square of an imagined residual: without it, few instructions promise too much
_FEWEST = 5  # instructions in the slice, and out of it


@dataclass(frozen=True)
class Instructions:
    """Instructions as sums over their rows: ``n`` (n_groups,) rows, ``bad`` (n_groups,) how bad these are together."""

    n: Numbers
    bad: Numbers

    @classmethod
    def of(cls, group: NDArray[np.int64], bad: Numbers) -> "Instructions":
        """Return the sums of rows (n_rows,) by group 0, 1, 2, ..."""
        return cls(np.bincount(group).astype(float), np.bincount(group, bad).astype(float))


def p_values(members: Flags, group: NDArray[np.int64], bad: Numbers, rng: np.random.Generator) -> Numbers:
    """Return for each slice, (n_slices, n_rows), the one-sided p-value that its rows are no worse than the others.

    Whole instructions are permuted, so that the value is right for any number of them where instructions in and out of
    the slice are alike, and nearly right where they differ in spread and in rows: the statistic is a difference over
    its standard error. An instruction whose rows are on both sides counts where most of them are. NaN with fewer than 5
    instructions on a side.

    Source: studentised permutation tests, Janssen 1997 (doi:10.1016/S0167-7152(97)00043-6), Chung and Romano 2013
    (doi:10.1214/13-AOS1090).
    """
    all_of = Instructions.of(group, bad)
    inside = np.stack([np.bincount(group, rows) for rows in members]) > all_of.n / 2
    observed = _statistic(inside, all_of.n[:, None], all_of.bad[:, None])
    reached, step = np.ones(len(members)), max(1, _BLOCK // len(all_of.n))
    for start in range(0, _PERMUTATIONS, step):
        n_here = min(step, _PERMUTATIONS - start)
        order = rng.permuted(np.tile(np.arange(len(all_of.n)), (n_here, 1)), axis=1).T
        reached += (_statistic(inside, all_of.n[order], all_of.bad[order]) >= observed - 1e-9).sum(axis=1)
    n_fewer = np.minimum(inside.sum(axis=1), (~inside).sum(axis=1))
    return np.where(n_fewer >= _FEWEST, reached / (_PERMUTATIONS + 1), np.nan)


def _statistic(inside: Flags, n: Numbers, bad: Numbers) -> Numbers:
    """Return (n_slices, n_permutations): how much worse a slice is than the rest, in standard errors.

    ``n`` and ``bad`` are (n_groups, n_permutations). The variance of a rate of rows in groups is that of a ratio
    (Cochran 1977, section 6.3).
    """
    weights, parts = inside.astype(float), (n, bad, n * n, n * bad, bad * bad)
    sums = [weights @ part for part in parts]
    rest = [part.sum(axis=0) - own for part, own in zip(parts, sums, strict=True)]
    size = inside.sum(axis=1)[:, None]
    (first, first_variance), (second, second_variance) = (
        _rate(own, n_groups) for own, n_groups in ((sums, size), (rest, inside.shape[1] - size))
    )
    difference, variance = first - second, first_variance + second_variance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 1e-18, difference / np.sqrt(variance), np.sign(difference) * 1e9)


def _rate(sums: Sequence[Numbers], n_groups: Any) -> tuple[Numbers, Numbers]:
    """Return the rate of rows in groups, and its variance, from sums over the groups of n, bad, n², n bad and bad²."""
    n, bad, nn, nb, bb = sums
    with np.errstate(invalid="ignore", divide="ignore"):  # nobody is in the slice, or everybody
        value = bad / n
        spread = np.maximum(bb - 2 * value * nb + value**2 * nn, 0) / n**2
        return value, spread * n_groups / (n_groups - 1)


def clustered_rate(group: NDArray[np.int64], bad: Numbers, confidence: float) -> Estimate:
    """Return the mean of rows (n_rows,) from 0 to 1 in groups, with Wilson's interval at the effective number of rows.

    >>> estimate = clustered_rate(np.array([0, 0, 1, 1, 2, 2]), np.array([1.0, 1, 0, 0, 0, 0]), 0.95)
    >>> round(estimate.value, 2), estimate.n_effective < 6
    (0.33, True)
    """
    from scipy.special import stdtrit

    _, place = np.unique(group, return_inverse=True)
    found = Instructions.of(place, bad)
    size, n_rows = len(found.n), len(bad)
    value = float(bad.mean())
    residual = found.bad - value * found.n
    few = size / (size + 2)  # shrinks towards what one imagined residual says
    variance = few * (float((residual**2).sum()) + _PSEUDO * float((found.n**2).mean())) / n_rows**2
    smoothed = (size * value + 1) / (size + 2)  # a rate of exactly 0 or 1 says nothing about how much rows vary
    n_effective = smoothed * (1 - smoothed) / variance
    low, high = wilson_ends(value, n_effective, float(stdtrit(max(size - 1, 1), (1 + confidence) / 2)))
    return Estimate(value, max(0.0, float(low)), min(1.0, float(high)), n_rows, "clustered Wilson", n_effective)
