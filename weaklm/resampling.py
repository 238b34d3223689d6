"""Metrics of many resamples at once: rows in the order of their score, and a weight for each."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]

FOR_ECE = 50  # fewer rows show no calibration error, only noise
_CHUNK = 2_000_000  # cells of the resamples held at a time


def resamples(n_groups: int, n_resamples: int, random_state: int) -> NDArray[np.int32]:
    """Return how often each group is drawn, (n_resamples, n_groups), when as many are drawn as there are."""
    random = np.random.default_rng(random_state)
    if n_groups == 0:
        return np.zeros((n_resamples, 0), dtype=np.int32)
    drawn = random.integers(n_groups, size=(n_resamples, n_groups)) + n_groups * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_resamples * n_groups).reshape(n_resamples, n_groups).astype(np.int32)


class Parts(NamedTuple):
    """What the metrics are made of, for each of b resamples."""

    auc: Numbers  # (b,)
    recall_accept: Numbers
    recall_reject: Numbers
    jaccard_accept: Numbers  # rows rightly in a class, of those that are or are said to be; F1 is 2 J / (1 + J)
    jaccard_reject: Numbers
    brier: Numbers
    gaps: Numbers  # (b, n_bins) mean label less mean score, times the bin's share of the rows
    sizes: Numbers  # (b, 4) of how many rows the recalls and Jaccard indices are shares


@dataclass(frozen=True)
class Curve:
    """Rows in the order of their score, tied rows together, so that a resample is nothing but weights."""

    labels: Labels  # (n,) in the order of the score
    group: Labels  # (n,) likewise
    starts: Labels  # (n_scores,) where each distinct score begins
    score: Numbers  # (n_scores,) ascending
    bins: Numbers  # (n_scores, n_bins) the share of a score's rows in each bin
    threshold: float

    @classmethod
    def of(cls, labels: Labels, score: Numbers, group: Labels, threshold: float) -> "Curve":
        """Return the curve of labels, scores and groups 0, 1, 2, ..., (n,) each."""
        order = np.argsort(score, kind="stable")
        distinct, starts, place = np.unique(score[order], return_index=True, return_inverse=True)
        bins = np.zeros((len(distinct), min(max(len(labels) // 20, 1), 10)))
        for k, part in enumerate(np.array_split(place, bins.shape[1])):
            np.add.at(bins[:, k], part, 1)
        bins = bins / np.maximum(bins.sum(axis=1, keepdims=True), 1)
        return cls(labels[order], group[order], starts, distinct, bins, threshold)

    def resampled(self, counts: NDArray[np.int32]) -> "Parts":
        """Return the parts of the metrics in each resample."""
        if len(self.labels) == 0:
            return self.parts(np.zeros((len(counts), 0)))
        step = max(_CHUNK // len(self.labels), 1)
        pieces = [self.parts(counts[i : i + step][:, self.group]) for i in range(0, len(counts), step)]
        return Parts(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))

    def as_is(self) -> "Parts":
        """Return the parts of the metrics of the rows themselves."""
        return self.parts(np.ones((1, len(self.labels))))

    def values(self) -> list[float]:
        """Return the metrics of the rows themselves, without intervals; the calibration error as it is."""
        parts = self.as_is()
        auc, accept, reject, j_accept, j_reject, brier = (float(part[0]) for part in parts[:6])
        ece = float(np.abs(parts.gaps[0]).sum()) if len(self.labels) >= FOR_ECE else math.nan
        return [auc, (accept + reject) / 2, f1_of(j_accept), f1_of(j_reject), brier, ece]

    def bin_means(self) -> tuple[Numbers, Numbers]:
        """Return the number of rows in each bin, and their mean score, (n_bins,) each."""
        n_rows = np.diff(np.append(self.starts, len(self.labels)))
        sizes = n_rows @ self.bins
        return sizes, (n_rows * self.score) @ self.bins / sizes

    def parts(self, weight: NDArray[Any]) -> "Parts":
        """Return what the metrics are made of, under weights (b, n); nan where a class is missing."""
        if len(self.labels):
            accept = np.add.reduceat(weight * self.labels, self.starts, axis=1, dtype=np.float64)
            reject = np.add.reduceat(weight * (1 - self.labels), self.starts, axis=1, dtype=np.float64)
        else:
            accept = reject = np.zeros((len(weight), 0))
        n_accept, n_reject = accept.sum(axis=1), reject.sum(axis=1)
        chosen = (self.score >= self.threshold).astype(float)
        hits, false = accept @ chosen, reject @ chosen
        below = np.cumsum(reject, axis=1) - reject / 2
        squares = accept @ (1 - self.score) ** 2 + reject @ self.score**2
        gaps = (accept * (1 - self.score) - reject * self.score) @ self.bins
        with np.errstate(invalid="ignore", divide="ignore"):
            return Parts(
                np.einsum("ij,ij->i", accept, below) / (n_accept * n_reject),
                hits / n_accept,
                1 - false / n_reject,
                hits / (n_accept + false),
                (n_reject - false) / (n_reject + n_accept - hits),
                squares / (n_accept + n_reject),
                gaps / (n_accept + n_reject)[:, None],
                np.column_stack([n_accept, n_reject, n_accept + false, n_reject + n_accept - hits]),
            )


def f1_of(jaccard: float) -> float:
    """Return F1 from the Jaccard index: it rises with it, so an interval of the one is one of the other."""
    return 2 * jaccard / (1 + jaccard)
