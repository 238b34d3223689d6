"""What a model is given to learn from: weak probabilities and human labels; checked, or said what is wrong.

Errors name the row and the value.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT, REJECT
from weaklm.errors import ModelError

Numbers = NDArray[np.float64]


def check_proba(proba: ArrayLike, n: int) -> Numbers:
    """Return P(ACCEPT) (n,) from probabilities (n, 2), columns REJECT, ACCEPT."""
    values = np.asarray(proba, dtype=np.float64)
    if values.shape != (n, 2):
        raise ModelError(
            f"proba has shape {values.shape}; ({n}, 2) is expected: REJECT and ACCEPT for each row of data"
        )
    wrong = ~(np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) < 1e-6))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ModelError(f"proba, row {row}: {values[row].tolist()} are no probabilities that sum to 1")
    return np.clip(values[:, ACCEPT], 0.0, 1.0)


def check_labels(Y: ArrayLike | None, n: int) -> NDArray[np.int8]:
    """Return human labels (n,) as int8: 0 REJECT, 1 ACCEPT, -1 unlabelled; all -1 for None."""
    if Y is None:
        return np.full(n, ABSTAIN, dtype=np.int8)
    labels = np.asarray(Y)
    if labels.shape != (n,) or not np.isin(labels, (ABSTAIN, REJECT, ACCEPT)).all():
        raise ModelError(f"Y has shape {labels.shape}; -1, 0 or 1 for each of the {n} rows of data are expected")
    return labels.astype(np.int8)


def to_learn_from(covered: ArrayLike | None, target: Numbers, n: int) -> NDArray[np.bool_]:
    """Return which rows to learn from (n,), or say why nothing can be learned."""
    known = np.abs(target - 0.5) > 1e-9 if covered is None else np.asarray(covered, dtype=bool)
    if known.shape != (n,):
        raise ModelError(f"covered has shape {known.shape}; ({n},) is expected, one entry a row")
    if not known.any():
        raise ModelError(
            f"no function voted on any of the {n} rows, so there is nothing to learn from. Look at the coverage in "
            "LFAnalysis(L).lf_summary() and add functions that vote on these data."
        )
    low, high = float(target[known].min()), float(target[known].max())
    if high - low < 1e-6:
        raise ModelError(
            f"all {int(known.sum())} rows that functions voted on have the same P(ACCEPT) of {low:.3g}, so there is "
            "nothing to tell apart. Add functions that vote for the other side."
        )
    if high < 0.5 or low > 0.5:
        warnings.warn(
            f"all {int(known.sum())} rows that functions voted on lean to {'REJECT' if high < 0.5 else 'ACCEPT'}: the "
            "scores rank responses, but no score is a probability. Add functions that vote for the other side.",
            stacklevel=3,
        )
    return known
