"""Is a difference more than chance: McNemar's test, p-values of paired differences, many slices at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError, SettingsError
from weaklm.estimation import paired_difference, paired_moments

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class McNemar:
    """Wins and losses of "after" against "before" among n pairs, and how likely such a split is by chance alone."""

    wins: int
    losses: int
    n: int
    p_value: float


def mcnemar(before: ArrayLike, after: ArrayLike) -> McNemar:
    """Return the exact test that two sources accept equally often: decisions (n,) before and after, 0 or 1, paired.

    Only pairs that changed count. Exact, so that it never errs more often than it says, however few pairs there are.

    Source: McNemar 1947 (doi:10.1007/BF02295996), with the binomial distribution in place of the chi-square.

    >>> mcnemar([0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1]).p_value
    0.03125
    """
    from scipy.stats import binom

    first, second = np.asarray(before), np.asarray(after)
    if first.shape != second.shape or not np.isin(np.concatenate([first, second]), (0, 1)).all():
        raise DataError(f"decisions of shape {first.shape} and {second.shape}; expected 0 or 1, one of each a pair")
    wins, losses = int((second > first).sum()), int((second < first).sum())
    p_value = min(1.0, 2 * float(binom.cdf(min(wins, losses), wins + losses, 0.5)))
    return McNemar(wins, losses, len(first), p_value)


def paired_p_value(
    before: ArrayLike, after: ArrayLike, *, smooth: bool = True, clusters: ArrayLike | None = None
) -> float:
    """Return the p-value that goes with the interval of :func:`weaklm.estimation.paired_difference`; nan below 2 pairs.

    >>> round(paired_p_value([0] * 9, [1] * 8 + [0]), 4)
    0.0008
    """
    from scipy.special import stdtr

    moments = paired_moments(before, after, smooth=smooth, clusters=clusters)
    if moments.n < 2:
        return math.nan
    if moments.variance == 0:
        return 1.0 if moments.value == 0 else 0.0
    return 2 * float(stdtr(moments.degrees, -abs(moments.value) / math.sqrt(moments.variance)))


def holm(p_values: ArrayLike) -> Numbers:
    """Return adjusted p-values: those below alpha hold all together, with an error of at most alpha; nan stays nan.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p, known, order = _ordered(p_values)
    factor = len(order) - np.arange(len(order))
    return _placed(p, known, order, np.maximum.accumulate(p[known][order] * factor))


def benjamini_hochberg(p_values: ArrayLike) -> Numbers:
    """Return adjusted p-values: of those below alpha, a share of at most alpha is expected to be wrong; nan stays nan.

    For tests that are independent or rise together, as slices that overlap do.

    Source: Benjamini and Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x).

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    p, known, order = _ordered(p_values)
    factor = len(order) / (1 + np.arange(len(order)))
    return _placed(p, known, order, np.minimum.accumulate((p[known][order] * factor)[::-1])[::-1])


def _ordered(p_values: ArrayLike) -> tuple[Numbers, NDArray[np.bool_], NDArray[np.int64]]:
    p = np.asarray(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise DataError(f"a p-value is {p[(p < 0) | (p > 1)][0]}; expected 0 to 1, or nan where there is none")
    known = ~np.isnan(p)
    return p, known, np.argsort(p[known], kind="stable")


def _placed(p: Numbers, known: NDArray[np.bool_], order: NDArray[np.int64], adjusted: Numbers) -> Numbers:
    inner, result = np.empty(len(order)), np.full(len(p), math.nan)
    inner[order] = np.minimum(adjusted, 1.0)
    result[known] = inner
    return result


def slice_differences(
    before: ArrayLike,
    after: ArrayLike,
    S: ArrayLike,
    names: Sequence[str],
    *,
    method: Literal["holm", "benjamini-hochberg"] = "holm",
    alpha: float = 0.05,
    smooth: bool = True,
    least: int = 2,
) -> "pd.DataFrame":
    """Return one row a slice: the paired difference, its interval, its p-value alone and among all slices.

    Parameters
    ----------
    before, after
        (n_instructions,) from 0 to 1, one value an instruction.
    S
        (n_instructions, n_slices) bool.
    method
        "holm": no slice at all is called different by mistake, but for a chance of ``alpha``. "benjamini-hochberg":
        of the slices called different, a share of ``alpha`` may be wrong; to look for where to dig.
    least
        Slices with fewer instructions are shown without a p-value, and do not count among the tests.

    >>> S = np.array([[True, False]] * 9 + [[True, True]] * 3)
    >>> frame = slice_differences([0] * 12, [1] * 9 + [0] * 3, S, ["all", "legal"])
    >>> frame[["slice", "n", "difference", "is_different"]].values.tolist()
    [['all', 12, 0.75, True], ['legal', 3, 0.0, False]]
    """
    import pandas as pd

    adjust = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}
    if method not in adjust:
        raise SettingsError(f"method is {method!r}; expected 'holm' or 'benjamini-hochberg'")
    first, second, members = np.asarray(before, dtype=float), np.asarray(after, dtype=float), np.asarray(S, dtype=bool)
    rows: list[dict[str, Any]] = []
    for name, inside in zip(names, members.T, strict=True):
        pair = first[inside], second[inside]
        found = paired_difference(*pair, smooth=smooth, confidence=1 - alpha)
        p_value = paired_p_value(*pair, smooth=smooth) if found.n >= least else math.nan
        rows.append(
            {"slice": name, "n": found.n, "difference": found.value, "low": found.low, "high": found.high, "p": p_value}
        )
    frame = pd.DataFrame(rows, columns=["slice", "n", "difference", "low", "high", "p"])
    frame["p_adjusted"] = adjust[method](frame["p"].to_numpy(dtype=float))
    frame["is_different"] = (frame["p_adjusted"] <= alpha).to_numpy()
    return frame
