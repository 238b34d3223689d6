"""How well a score follows the people who labelled, beside what costs nothing; and whether length alone explains it."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.estimation import Estimate, label_worth, paired_difference
from weaklm.evaluation import evaluate
from weaklm.metrics import agreement as kappa_of
from weaklm.reports.clusters import design_effect
from weaklm.reports.scored import Scored

_MANY = 20_000  # labelled rows from which fewer resamples say the same
_NOTABLE = 0.5  # a rank correlation of score and length from which to look twice


def agreement(scored: Scored, threshold: float) -> dict[str, Any] | None:
    """Return metrics of the score on the labelled rows, with intervals over instructions; None where nobody labelled.

    Keys: ``n``, ``n_reject``, ``n_instructions``; ``metrics`` by name, each with ``value``, ``low``, ``high`` and what
    rejecting everything and the length alone reach; ``reliability``, one entry a bin; ``over_length``, how much higher
    the AUC is than by length, and ``is_shortcut``, whether it is not shown to be; ``label_worth``; ``gap``, the proxy
    accept rate less the human one.
    """
    known = scored.Y >= 0
    if not known.any():
        return None
    Y, score, accepted, instruction = scored.Y[known], scored.score[known], scored.accepted[known], scored.instruction
    length = scored.data["response"].str.len().to_numpy(float)[known]
    n_resamples = 1000 if len(Y) < _MANY else 200
    found = evaluate(
        Y, score, groups=instruction[known], length=length, threshold=threshold, n_resamples=n_resamples
    ).to_dict()
    worth = label_worth(Y, score)
    by_chance: dict[str, Any] = {"reject_everything": None, "length_only": None}
    return {
        "n": found["n"],
        "n_reject": found["n_reject"],
        "n_instructions": found["n_groups"],
        "metrics": found["metrics"] | {"kappa": kappa(Y, accepted, instruction[known]).to_dict() | by_chance},
        "reliability": found["reliability"],
        "over_length": found["over_length"],
        "is_shortcut": is_shortcut(found),
        "label_worth": None if math.isnan(worth) else worth,
        "gap": paired_difference(Y, accepted, clusters=instruction[known]).to_dict(),
    }


def is_shortcut(evaluation: dict[str, Any]) -> bool | None:
    """Return whether the score is not shown to rank better than length; None where that cannot be told."""
    over = evaluation["over_length"]
    return None if over is None or over["low"] is None else over["low"] <= 0


def kappa(Y: NDArray[np.int8], accepted: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Estimate:
    """Return Cohen's kappa of labels (n,) and decisions (n,), with a t interval over clusters.

    Source: the large-sample variance of Fleiss, Cohen and Everitt 1969 (doi:10.1037/h0028106), with one imagined row in
    each of the four cells: without them, 50 rows that mostly agree would be covered in .90 of cases, not .95.
    """
    from scipy.special import stdtrit

    value, n, n_clusters = kappa_of(Y, accepted.astype(int)), len(Y), len(np.unique(clusters))
    if math.isnan(value) or n_clusters < 2:
        return Estimate(value, math.nan, math.nan, n, "too few")
    shares = (np.bincount(2 * Y.astype(int) + accepted, minlength=4).reshape(2, 2) + 1) / (n + 4)
    by_people, by_score = shares.sum(axis=1), shares.sum(axis=0)
    by_chance = float(by_people @ by_score)
    smooth = (float(np.trace(shares)) - by_chance) / (1 - by_chance)
    adds = np.eye(2) - (1 - smooth) * (
        by_score[:, None] + by_people[None, :]
    )  # each cell to kappa, times 1 - by_chance
    adds = (adds - (adds * shares).sum()) / (1 - by_chance)
    variance = float((shares * adds**2).sum())
    residual = adds[Y.astype(int), accepted.astype(int)]
    effect = design_effect(residual - residual.mean(), clusters, imagined=variance)
    half = float(stdtrit(n_clusters - 1, 0.975)) * math.sqrt(variance * effect / (n + 4))
    low, high = max(-1.0, smooth - half), min(1.0, smooth + half)
    return Estimate(value, min(low, value), max(high, value), n, "clustered delta")


def length_correlation(scored: Scored) -> dict[str, Any]:
    """Return the rank correlation of the score with the length of the response, and whether it is notable."""
    length = scored.data["response"].str.len().to_numpy(float)
    if len(length) < 3 or np.ptp(length) == 0 or np.ptp(scored.score) == 0:
        return {"value": None, "n": len(length), "is_notable": False}
    ranks = [pd.Series(values).rank().to_numpy() for values in (length, scored.score)]
    value = float(np.corrcoef(*ranks)[0, 1])
    return {"value": value, "n": len(length), "is_notable": abs(value) >= _NOTABLE}
