"""Has a model learned to count? How well the length of a response alone does what its score does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN
from weaklm.metrics import auc

_MARGIN = 0.05  # a score that ranks better by less than this is hardly worth more than counting words
_NO_SHORTCUT = 0.6  # a length that ranks worse than this tempts nobody


@dataclass(frozen=True)
class Shortcut:
    """The AUC of the length alone beside that of the score, on the same rows and labels.

    Attributes
    ----------
    length_auc, score_auc
        By the number of words, whichever way round; by the out-of-fold score. NaN where the labels are of one class.
    judge
        Whose labels: "human labels", or "weak labels" (of covered rows, cut at 0.5), which the score learned from, so
        that it looks good there.
    n
        How many labels.
    """

    length_auc: float
    score_auc: float
    judge: str
    n: int

    @property
    def is_alarm(self) -> bool:
        """Whether length ranks well and the score hardly better."""
        return self.length_auc > _NO_SHORTCUT and self.score_auc - self.length_auc < _MARGIN

    def __str__(self) -> str:
        found = f"length alone has an AUC of {self.length_auc:.3f}, the score {self.score_auc:.3f}"
        return f"Shortcut {'alarm' if self.is_alarm else 'check'}: on {self.n} {self.judge}, {found}."

    @classmethod
    def of(cls, data: pd.DataFrame, score: NDArray[np.float64], Y: ArrayLike, judge: str) -> "Shortcut":
        """Compare a score (n,), NaN where unknown, with the length of ``data``'s responses; -1 in Y is unlabelled."""
        labels = np.where(np.isnan(score), ABSTAIN, np.asarray(Y))
        known = labels != ABSTAIN
        by_score = auc(labels[known], score[known])
        return cls(length_auc(data, labels), by_score, judge, int(known.sum()))


def length_auc(data: pd.DataFrame, Y: ArrayLike) -> float:
    """Return the AUC that the number of words alone reaches on labels ``Y``, whichever way round; -1 is left out.

    >>> data = pd.DataFrame({"response": ["a b c", "a b", "a"]})
    >>> length_auc(data, [0, 1, 1])
    1.0
    """
    labels = np.asarray(Y)
    known = labels != ABSTAIN
    value = auc(labels[known], data["response"].str.split().str.len().to_numpy()[known])
    return max(value, 1 - value)
