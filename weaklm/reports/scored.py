"""Scored answers: examples with a score, a decision and what people said; the rates of any part of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, HUMAN_LABEL, LABEL_NAMES, complete, human_labels
from weaklm.errors import DataError, SettingsError, nearest
from weaklm.estimation import Estimate, corrected_rate, human_rate, rate
from weaklm.metrics import check_score
from weaklm.reports.clusters import design_effect, influence, widened
from weaklm.survey import chances, score_strata

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONTEXT_LABEL = "context_label"  # what people said of the retrieved context: ACCEPT, REJECT or nothing
_EXCERPT = 700  # characters of a text that a report shows


@dataclass(frozen=True)
class Scored:
    """Answers with their scores.

    Attributes
    ----------
    data
        Examples with every standard column.
    score
        (n,) probability of ACCEPT.
    accepted
        (n,) bool: whether the score reaches the threshold.
    Y
        (n,) int8 labels by people: 0 REJECT, 1 ACCEPT, -1 none.
    instruction
        (n,) the number of each row's instruction, from 0 on.
    inclusion
        (n,) the chance that each row had to be labelled; None: all alike.
    """

    data: pd.DataFrame
    score: Numbers
    accepted: Flags
    Y: NDArray[np.int8]
    instruction: NDArray[np.int64]
    inclusion: Numbers | None = None

    @classmethod
    def of(
        cls,
        data: pd.DataFrame,
        score: ArrayLike,
        threshold: float,
        Y: ArrayLike | None = None,
        inclusion: ArrayLike | None = None,
    ) -> "Scored":
        """Return checked answers; without ``Y`` the labels are those of the column ``human_label``."""
        if not 0 <= threshold <= 1:
            raise SettingsError(f"threshold is {threshold!r}; a number from 0 to 1 was expected")
        data = complete(data)
        values = check_score(score, len(data))
        labels = human_labels(data) if Y is None else np.asarray(Y)
        if labels.shape != (len(data),) or not np.isin(labels, (-1, 0, 1)).all():
            raise DataError(f"Y has shape {labels.shape}; one of -1, 0 and 1 a row, ({len(data)},), was expected")
        chance = None if inclusion is None else chances(inclusion, labels >= 0)
        instruction = pd.factorize(data["instruction_id"])[0].astype(np.int64)
        return cls(data, values, values >= threshold, labels.astype(np.int8), instruction, chance)

    def context_labels(self) -> NDArray[np.int8]:
        """Return what people said of the contexts, (n,): 0 REJECT, 1 ACCEPT, -1 nothing."""
        if CONTEXT_LABEL not in self.data.columns:
            return np.full(len(self.data), ABSTAIN, dtype=np.int8)
        return human_labels(pd.DataFrame({HUMAN_LABEL: self.data[CONTEXT_LABEL]}))

    def rates(self, part: Flags) -> dict[str, Any]:
        """Return the numbers of a part of the rows, (n,) bool: its size, and its rates as plain values.

        ``judged_by`` names the rate to rely on: the corrected one where there is one, else the human one where it
        stands on enough labels, else the proxy.
        """
        score = self.score[part]
        human, corrected = self.human(part), self.corrected(part)
        is_enough = human.n > 0 and not human.too_few
        return {
            "n": int(part.sum()),
            "share": float(part.mean()) if len(part) else None,
            "proxy": share(self.accepted[part], self.instruction[part]).to_dict(),
            "mean_score": float(score.mean()) if len(score) else None,
            "human": human.to_dict(),
            "corrected": None if corrected is None else corrected.to_dict(),
            "judged_by": "corrected" if corrected is not None else "human" if is_enough else "proxy",
        }

    def human(self, part: Flags) -> Estimate:
        """Return the share that people accepted of a part of the rows."""
        Y, chance = self.Y[part], None if self.inclusion is None else self.inclusion[part]
        estimate, is_labelled = human_rate(Y, inclusion=chance), Y >= 0
        if estimate.n == 0:
            return estimate
        weight = np.ones(estimate.n) if chance is None else 1 / chance[is_labelled]
        weight = weight * (estimate.n / weight.sum())
        return _clustered(estimate, weight * (Y[is_labelled] - estimate.value), self.instruction[part][is_labelled])

    def corrected(self, part: Flags) -> Estimate | None:
        """Return the share accepted of a part of the rows by labels and scores together, or None."""
        Y, score = self.Y[part], self.score[part]
        chance = None if self.inclusion is None else self.inclusion[part]
        estimate = corrected_rate(Y, score, strata=score_strata(score), inclusion=chance)
        if estimate is None:
            return None
        return _clustered(estimate, influence(Y, score, chance), self.instruction[part])

    def example(self, row: int) -> dict[str, Any]:
        """Return what a report shows of one row; long texts are cut."""
        x = self.data.iloc[row]
        texts = {column: excerpt(x[column]) for column in ("instruction", "context", "response")}
        return {
            "id": x["id"],
            "source": x["source"],
            "score": float(self.score[row]),
            "decision": "ACCEPT" if self.accepted[row] else "REJECT",
            "human_label": LABEL_NAMES.get(int(self.Y[row])),
            **texts,
        }


def share(chosen: Flags, clusters: NDArray[np.int64]) -> Estimate:
    """Return the share of True among rows (n,), with Wilson's interval over clusters of rows."""
    estimate = rate(chosen)
    return _clustered(estimate, chosen - estimate.value, clusters) if estimate.n else estimate


def _clustered(estimate: Estimate, residuals: NDArray[Any], clusters: NDArray[np.int64]) -> Estimate:
    """Return a rate with its interval over clusters."""
    n_clusters = int((np.bincount(clusters) > 0).sum())
    if n_clusters == len(clusters):
        return estimate
    smoothed = (estimate.n * estimate.value + 1) / (estimate.n + 2)
    effect = design_effect(residuals, clusters, imagined=smoothed * (1 - smoothed))
    return widened(estimate, effect, n_clusters)


@dataclass(frozen=True)
class Members:
    """Who is in which slice: ``S`` (n, k) bool, a column a name; ``on_response`` the slices that read the response."""

    names: tuple[str, ...]
    S: Flags
    on_response: frozenset[str]

    @classmethod
    def of(cls, data: pd.DataFrame, slices: Sequence[Any] | None) -> "Members":
        """Return the members of the slicing functions' slices."""
        if not slices:
            return cls((), np.zeros((len(data), 0), dtype=bool), frozenset())
        from weaklm.apply import SFApplier

        applier = SFApplier(slices)
        names = tuple(function.name for function in applier.functions)
        return cls(names, applier.apply(data), frozenset(applier.reads_response))

    def __getitem__(self, name: str) -> Flags:
        if name not in self.names:
            raise DataError(f"there is no slice {name!r}; {nearest(name, self.names)}")
        return self.S[:, self.names.index(name)]

    def items(self) -> list[tuple[str, Flags]]:
        """Return each slice with its members."""
        return list(zip(self.names, self.S.T, strict=True))


def excerpt(text: str) -> str:
    """Return the beginning of a long text, and how much is missing.

    >>> excerpt("ab" * 400)[-26:]
    'ab … (100 more characters)'
    """
    missing = len(text) - _EXCERPT
    return text if missing <= 0 else f"{text[:_EXCERPT]} … ({missing:,} more characters)"


def flat(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return summaries as a table; an estimate ``rate`` becomes ``rate``, ``rate_low``, ``rate_high``, ``rate_n``."""
    return pd.DataFrame([dict(_cells(record)) for record in records])


def _cells(record: dict[str, Any]) -> list[tuple[str, Any]]:
    cells: list[tuple[str, Any]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            cells += [(key, value["value"]), *((f"{key}_{part}", value[part]) for part in ("low", "high", "n"))]
        else:
            cells.append((key, value))
    return cells
