"""From data to X: named numbers about each response, its instruction and its context.

:mod:`weaklm.measures` says what is measured; here is what a corpus teaches and how rows become a table.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from weaklm.corpus import Numbers, Vocabulary
from weaklm.data import complete
from weaklm.errors import ModelError
from weaklm.measures import Chunk, copying, form, missing, novelty, relevance, repetition, stance, support

_ROWS_AT_ONCE = 4096  # bounds the memory: about 100 MB for contexts of 4,000 characters
_EXPECTED_SHARE = 0.9

# How the probability of ACCEPT must move when the feature grows, all else equal, where reason leaves no doubt.
DIRECTIONS: Mapping[str, int] = {
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

    def fit(self, data: pd.DataFrame) -> "FeatureExtractor":
        """Learn the term weights from the contexts and responses of ``data``."""
        data = complete(data)
        texts = pd.unique(pd.concat([data["context"], data["response"]], ignore_index=True)).tolist()
        vocabulary = Vocabulary()
        counts = np.zeros(0)
        for at in range(0, len(texts), _ROWS_AT_ONCE):
            table = vocabulary.read(texts[at : at + _ROWS_AT_ONCE])
            once = np.unique(np.stack([table.text[table.is_term], table.stem[table.is_term]]), axis=1)[1]
            counted = np.bincount(once, minlength=len(vocabulary.stems)).astype(float)
            counted[: len(counts)] += counts
            counts = counted
        # A term of one document weighs what an unknown one does: it need not be kept.
        shared = counts > 1
        weights = _inverse_frequency(len(texts), counts[shared])
        names = np.array(vocabulary.stems, dtype=object)[shared]
        self.expects_context_ = bool((data["context"].str.strip() != "").mean() >= _EXPECTED_SHARE)
        self.n_documents_ = len(texts)
        self.weights_ = {str(name): round(float(w), 6) for name, w in zip(names, weights, strict=True)}
        return self

    def transform(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return X (n_examples, n_features) float32, on the index of ``data``; NaN where a measure has no meaning."""
        if not hasattr(self, "weights_"):
            raise ModelError("this FeatureExtractor has not learned its term weights yet; call fit(data) first")
        data = complete(data)
        if not len(data):
            raise ModelError("there are no rows to compute features of; at least one is expected")
        parts = [self._measure(data.iloc[at : at + _ROWS_AT_ONCE]) for at in range(0, len(data), _ROWS_AT_ONCE)]
        return pd.concat(parts).set_index(data.index)

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

    def _measure(self, data: pd.DataFrame) -> pd.DataFrame:
        unknown = float(_inverse_frequency(self.n_documents_, np.ones(1))[0])
        chunk = Chunk.of(data, self.weights_, unknown, self.expects_context_)
        families = (novelty, copying, support, missing, relevance, repetition, form, stance)
        columns = {name: values for measure in families for name, values in measure(chunk).items()}
        return pd.DataFrame({name: np.asarray(values, dtype=np.float32) for name, values in columns.items()})


def _inverse_frequency(n_documents: int, counts: Numbers) -> Numbers:
    return np.log((1 + n_documents) / (1 + counts)) + 1
