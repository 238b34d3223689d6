"""From data to X: named numbers about each response, its instruction and its context.

:mod:`weaklm.features.measures` says what is measured; here is what a corpus teaches and how rows become a table.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import TEXT_COLUMNS, complete
from weaklm.errors import ModelError
from weaklm.features.chunk import Chunk, Columns
from weaklm.features.contradictions import contradictions
from weaklm.features.corpus import Weights, vocabulary
from weaklm.features.keyed import Numbers
from weaklm.features.measures import copying, form, missing, novelty, relevance, repetition, stance, support

T = TypeVar("T")
U = TypeVar("U")

# Rows are measured some at a time, so that what is known of them stays in the processor's cache.
_ROWS_AT_ONCE = 512
_CHARACTERS_AT_ONCE = 1 << 20
_EXPECTED_SHARE = 0.9
_MOST_THREADS = 4  # of their own accord: what is Python in a chunk, one thread does at a time

FAMILIES: tuple[Callable[[Chunk], Columns], ...] = (
    novelty,
    copying,
    support,
    missing,
    contradictions,
    relevance,
    repetition,
    form,
    stance,
)

# How the probability of ACCEPT must move when the feature grows, all else equal, where reason leaves no doubt.
DIRECTIONS: Mapping[str, int] = {
    "novel_words": -1,
    "novel_words_weight": -1,
    "novel_terms": -1,
    "novel_share": -1,
    "novel_weight": -1,
    "novel_bigrams": -1,
    "novel_trigrams": -1,
    "copied_share": 1,
    "support_mean": 1,
    "support_min": 1,
    "best_support_mean": 1,
    "best_support_min": 1,
    "missing_numbers": -1,
    "missing_numbers_share": -1,
    "missing_dates": -1,
    "missing_units": -1,
    "missing_names": -1,
    "missing_names_share": -1,
    "repeated_bigrams": -1,
    "repeated_sentences": -1,
    "repeated_fourgrams": -1,
    "echoed_sentences": -1,
    "breaks_off": -1,
    "machine_tokens": -1,
    "wrapped": -1,
    "words_to_limit": -1,
    "form_defects": -1,
}


class FeatureExtractor:
    """Turn a data set into X (n_examples, n_features) float32, each column named.

    It reads ``instruction``, ``context``, ``prompt_prefix`` and ``response``, nothing else. ``fit`` learns how rare
    each term is in the corpus; a term that the corpus does not know counts as the rarest. It also learns whether the
    corpus is one of answers from contexts: where nine rows in ten have one, a row without is taken as one for which
    nothing was found, and nothing in its response has support. Elsewhere grounding is NaN on rows without context.

    Source: novelty and coverage after Grusky et al. 2018 (NEWSROOM, arXiv:1804.11283), measured on stems; support of
    each sentence after the precision of Lin 2004 (ROUGE); term weights are inverse document frequencies (Sparck
    Jones 1972) smoothed as in scikit-learn. We count a word as copied when it stands in a copied pair of words,
    where NEWSROOM extends each fragment greedily.

    Parameters
    ----------
    n_threads
        Threads to measure with; None takes as many as there are cores, up to four. The result is the same for any.

    Attributes
    ----------
    weights_
        Stem -> its inverse document frequency.
    n_documents_
        The number of different contexts and responses that the weights rest on.
    expects_context_
        Whether at least nine rows in ten of the corpus have a context.

    Examples
    --------
    >>> data = pd.DataFrame({
    ...     "instruction": ["How high is the fee?"] * 2,
    ...     "context": ["The yearly fee is $95."] * 2,
    ...     "response": ["The yearly fee is $95.", "It costs $120, says Ann."],
    ... })
    >>> X = FeatureExtractor().fit(data).transform(data)
    >>> X[["novel_share", "missing_numbers", "missing_names"]].values.tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    weights_: dict[str, float]
    n_documents_: int
    expects_context_: bool

    def __init__(self, *, n_threads: int | None = None) -> None:
        self.n_threads = n_threads

    def fit(self, data: pd.DataFrame) -> "FeatureExtractor":
        """Learn the term weights from the contexts and responses of ``data``."""
        data = _texts(data)
        texts = pd.unique(pd.concat([data["context"], data["response"]], ignore_index=True))
        known = vocabulary()

        def count(part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            reading = known.read(texts[part].tolist())
            words = reading.tables[0].only(reading.tables[0].is_term)
            once = words.stem[words.first_in_text(len(reading.stems))]
            return reading.stems, np.bincount(once, minlength=len(reading.stems))

        found = self._in_threads(count, _parts(_lengths(texts)))
        counts = np.zeros(known.n_stems, dtype=np.int64)
        for stems, n_texts in found:
            counts[stems] += n_texts
        # A term of one document weighs what an unknown one does: it need not be kept.
        shared = np.flatnonzero(counts > 1)
        weights = _inverse_frequency(len(texts), counts[shared])
        listed = sorted(zip(known.names(shared), weights.round(6).tolist(), strict=True))
        self.expects_context_ = bool((data["context"].str.strip() != "").mean() >= _EXPECTED_SHARE)
        self.n_documents_ = len(texts)
        self.weights_ = dict(listed)
        return self

    def transform(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return X (n_examples, n_features) float32, on the index of ``data``; NaN where a measure has no meaning."""
        if not hasattr(self, "weights_"):
            raise ModelError("this FeatureExtractor has not learned its term weights yet; call fit(data) first")
        texts = _texts(data)
        if not len(data):
            raise ModelError("there are no rows to compute features of; at least one is expected")
        parts = self._in_threads(_measured, list(self._openers(texts)))
        columns = {name: np.concatenate([part[name] for part in parts], dtype=np.float32) for name in parts[0]}
        return pd.DataFrame(columns, index=data.index)

    def chunks(self, data: pd.DataFrame) -> Iterator[Chunk]:
        """Yield the rows taken apart, some at a time: what each of ``FAMILIES`` measures."""
        return (take_apart() for take_apart in self._openers(_texts(data)))

    def _openers(self, texts: pd.DataFrame) -> Iterator[Callable[[], Chunk]]:
        known = vocabulary()
        unknown = float(_inverse_frequency(self.n_documents_, np.ones(1))[0])
        weights = Weights(known, self.weights_, unknown)
        for part in _parts(np.sum([_lengths(texts[name]) for name in texts], axis=0)):
            yield partial(Chunk.of, texts.iloc[part], known, weights, self.expects_context_)

    def _in_threads(self, compute: Callable[[T], U], parts: list[T]) -> list[U]:
        """Compute the parts, each by one thread; in their order, whatever the number of threads."""
        n_threads = min(self.n_threads or min(os.cpu_count() or 1, _MOST_THREADS), len(parts))
        if n_threads <= 1:
            return list(map(compute, parts))
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(compute, parts))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``fit`` learned, as JSON can hold it."""
        return {
            "n_documents": self.n_documents_,
            "expects_context": self.expects_context_,
            "weights": self.weights_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "FeatureExtractor":
        """Return the extractor whose ``to_dict`` gave ``state``."""
        extractor = cls()
        extractor.n_documents_ = int(state["n_documents"])
        extractor.expects_context_ = bool(state["expects_context"])
        extractor.weights_ = {str(name): float(weight) for name, weight in state["weights"].items()}
        return extractor


def _measured(take_apart: Callable[[], Chunk]) -> Columns:
    chunk = take_apart()
    return {name: values for family in FAMILIES for name, values in family(chunk).items()}


def _texts(data: pd.DataFrame) -> pd.DataFrame:
    """Return the four columns of texts, checked; ids do not matter here, and hashing texts takes its time."""
    if not isinstance(data, pd.DataFrame) or not {"instruction", "response"} <= set(data.columns):
        return complete(data)  # says what is wrong
    given = data[[column for column in TEXT_COLUMNS if column in data.columns]]
    return complete(given.assign(id="-", instruction_id="-"))[list(TEXT_COLUMNS)]


def _lengths(texts: Iterable[str]) -> NDArray[np.int64]:
    return np.fromiter(map(len, texts), dtype=np.int64)


def _parts(lengths: NDArray[np.int64]) -> list[slice]:
    """Cut rows into parts of some rows and characters; a row that has more makes a part of its own."""
    bounds, n_characters = [0], 0
    for row, length in enumerate(lengths.tolist()):
        n_characters += length
        if row > bounds[-1] and (row - bounds[-1] >= _ROWS_AT_ONCE or n_characters > _CHARACTERS_AT_ONCE):
            bounds.append(row)
            n_characters = length
    return [slice(first, last) for first, last in pairwise([*bounds, len(lengths)])]


def _inverse_frequency(n_documents: int, counts: NDArray[Any]) -> Numbers:
    return np.log((1 + n_documents) / (1 + counts)) + 1
