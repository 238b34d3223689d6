"""How much better tuned is than base on some instructions: by the score, and by people with the help of the score."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from weaklm.estimation import TOO_FEW, Estimate, corrected_difference, labels_needed, paired_difference, wilson
from weaklm.significance import holm

ALPHA = 0.05
_LEAST_PAIRS, _MOST_NEEDED = 5, 5000  # fewer tell nothing of how many it takes; more are no plan


def evidence(table: pd.DataFrame) -> dict[str, Any]:
    """Return both rates, the difference by the score (``difference``) and by people (``people``), with p-values.

    ``table`` is that of :class:`weaklm.reports.pairs.Pairs`, or some of its rows.
    """
    difference, people = by_score(table), by_people(table)
    return {
        "base": _rate(table["accepted_base"]).to_dict(),
        "tuned": _rate(table["accepted_tuned"]).to_dict(),
        "difference": difference.to_dict(),
        "difference_p_value": p_value(difference),
        "people": people.to_dict(),
        "people_p_value": p_value(people),
    }


def by_score(table: pd.DataFrame) -> Estimate:
    """Return by how much the accept rate of the score rises from base to tuned, over paired instructions."""
    return paired_difference(table["accepted_base"], table["accepted_tuned"])


def by_people(table: pd.DataFrame) -> Estimate:
    """Return by how much the accept rate by people rises, over the pairs that they labelled on both sides.

    From 15 such pairs on with the help of the scores of all pairs. ``n`` counts the labelled pairs.
    """
    human = [table[f"human_{side}"].to_numpy(np.float64) for side in ("base", "tuned")]
    score = [table[f"score_{side}"].to_numpy(np.float64) for side in ("base", "tuned")]
    chance = (table["chance_base"] * table["chance_tuned"]).to_numpy(np.float64)
    corrected = corrected_difference(*human, *score, inclusion=None if np.isnan(chance).all() else chance)
    if corrected is not None:
        return corrected
    both = ~np.isnan(human[0]) & ~np.isnan(human[1])
    return paired_difference(human[0][both], human[1][both])


def p_value(estimate: Estimate) -> float | None:
    """Return the p-value that goes with the t interval of a difference; None without an interval.

    >>> round(p_value(paired_difference([0] * 9, [1] * 8 + [0])), 4)
    0.0008
    """
    error = _standard_error(estimate)
    if error is None:
        return None
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if estimate.value == 0 else 0.0
    return 2 * float(stdtr(estimate.n - 1, -abs(estimate.value) / error))


def _standard_error(estimate: Estimate) -> float | None:
    """Return the standard error behind a t interval over n units; None without an interval."""
    if estimate.n < 2 or not math.isfinite(estimate.low):
        return None
    from scipy.special import stdtrit

    half = max(estimate.high - estimate.value, estimate.value - estimate.low)  # one end may be cut off at -1 or 1
    return half / float(stdtrit(estimate.n - 1, 0.975))


def decide(parts: Sequence[dict[str, Any]], by: str) -> None:
    """Add to the evidence of several parts what follows from it, by the score and by whom counts.

    ``by`` is "people" or "proxy": by their word are ``p_adjusted``, ``outcome`` ("better", "worse" or "undecided"),
    ``needed`` (how many more pairs would settle an undecided one; None: no number can be named) and ``needed_labels``
    (how many labels of people these are). ``score_outcome`` is the outcome by the score. P-values are adjusted over
    all the parts, by Holm's method.
    """
    for part, (_, outcome, _) in zip(parts, _decisions(parts, "difference"), strict=True):
        part["score_outcome"] = outcome
    decisions = _decisions(parts, "people" if by == "people" else "difference")
    for part, (p_adjusted, outcome, more) in zip(parts, decisions, strict=True):
        part["p_adjusted"], part["outcome"], part["needed"] = p_adjusted, outcome, more
        part["needed_labels"] = 2 * more if more is not None and by == "people" else None


def _decisions(parts: Sequence[dict[str, Any]], key: str) -> list[tuple[float | None, str, int | None]]:
    """Return the adjusted p-value, the outcome and the pairs still needed of each part, by one kind of difference."""
    p_values = [part[f"{key}_p_value"] for part in parts]
    n_tests = sum(p is not None for p in p_values)
    found: list[tuple[float | None, str, int | None]] = []
    numbers = holm([math.nan if p is None else p for p in p_values])
    for part, p in zip(parts, numbers.tolist(), strict=True):
        if p <= ALPHA:
            found.append((p, "better" if part[key]["value"] > 0 else "worse", None))
        else:  # also without a p-value
            found.append((None if math.isnan(p) else p, "undecided", needed(_estimate(part[key]), n_tests)))
    return found


def _estimate(shown: dict[str, Any]) -> Estimate:
    """Return the estimate that these plain values show."""
    value, low, high = (math.nan if shown[key] is None else shown[key] for key in ("value", "low", "high"))
    return Estimate(value, low, high, shown["n"], shown["method"])


def needed(estimate: Estimate, n_tests: int) -> int | None:
    """Return how many more pairs would settle a difference if it is as it looks; None: no number can be named.

    Among ``n_tests`` decisions each is taken at alpha / n_tests. Below 5 pairs nobody can say how many it takes.
    """
    error = _standard_error(estimate)
    if error is None or estimate.n < _LEAST_PAIRS:
        return None
    from scipy.special import stdtrit

    confidence = 1 - ALPHA / max(n_tests, 1)
    half = float(stdtrit(estimate.n - 1, (1 + confidence) / 2)) * error
    value = estimate.value
    stricter = Estimate(value, value - half, value + half, estimate.n, estimate.method)
    pairs = labels_needed(stricter, 0, confidence=confidence)
    if pairs is None or not 0 < pairs <= _MOST_NEEDED:
        return None
    return max(pairs, TOO_FEW - estimate.n)


def _rate(shares: pd.Series) -> Estimate:
    """Return the mean of shares accepted, one an instruction, with Wilson's interval over instructions."""
    if not len(shares):
        return Estimate(math.nan, 0.0, 1.0, 0, "Wilson")
    low, high = wilson(float(shares.sum()), len(shares))
    return Estimate(float(shares.mean()), low, high, len(shares), "Wilson")
