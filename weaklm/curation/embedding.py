"""Texts as vectors, from their words alone: for what they are about, and for whether two are nearly the same."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.curation.minhash import Integers, Read
from weaklm.errors import DataError
from weaklm.wordkeys import forget, word_keys

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Vectors = NDArray[np.float32]

_ROWS_AT_ONCE = 20_000
_FIT_ROWS = 40_000
_N_COLUMNS = 1 << 18
_N_TOPICS = 64
_N_SKETCH = 256


@dataclass(frozen=True)
class Embedding:
    """Rows as vectors of length 1, for two questions.

    Attributes
    ----------
    topics
        (n, n_dimensions), for clusters.
    words
        (n, n_dimensions), for whether two rows are near. Of one's own embedding, the same.
    """

    topics: Vectors
    words: Vectors


def embed(read: Read, n: int, random_state: int = 0) -> Embedding:
    """Return n texts as vectors: TF-IDF of their words, in 64 directions for topics, and in 256 for words.

    Weights of words and directions are learned from 40,000 of the texts at most. Nearness is not judged in the 64
    directions: there, texts of one topic all but coincide, whatever they say.

    Source: topics are latent semantic analysis (Deerwester et al. 1990); words are hashed with random signs, which
    keeps cosines (Weinberger et al. 2009, arXiv:0902.2206).

    >>> from weaklm.curation.minhash import text_series
    >>> texts = np.array(["the yearly fee", "a yearly fee", "rain fell all night", "rain all night"] * 5)
    >>> X = embed(lambda rows: text_series(texts[rows]), 20).topics
    >>> bool(X[0] @ X[1] > X[0] @ X[2])
    True
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    generator = np.random.default_rng(random_state)
    learned_from = np.sort(generator.permutation(n)[:_FIT_ROWS])
    counts = _counts(read, learned_from)
    used = np.flatnonzero(counts.getnnz(axis=0) > 0)
    if len(used) == 0:
        return Embedding(np.zeros((n, 1), dtype=np.float32), np.zeros((n, 1), dtype=np.float32))
    weights = TfidfTransformer(sublinear_tf=True).fit(counts)
    n_topics = min(_N_TOPICS, len(used), len(learned_from))
    svd = TruncatedSVD(n_topics, n_iter=3, random_state=random_state).fit(weights.transform(counts)[:, used])
    sketch = _signs(generator)
    topics, words = np.zeros((n, n_topics), dtype=np.float32), np.zeros((n, _N_SKETCH), dtype=np.float32)
    for at in range(0, n, _ROWS_AT_ONCE):
        rows = np.arange(at, min(at + _ROWS_AT_ONCE, n))
        weighted = weights.transform(_counts(read, rows))
        topics[rows] = unit(svd.transform(weighted[:, used]), len(rows))
        words[rows] = unit((weighted @ sketch).toarray(), len(rows))
    forget()
    return Embedding(topics, words)


def unit(embedding: ArrayLike, n: int) -> Vectors:
    """Return vectors (n, n_dimensions) of length 1; those of length 0 stay. DataError where they are not n vectors."""
    X = np.asarray(embedding, dtype=np.float32)
    if X.ndim != 2 or len(X) != n:
        raise DataError(f"the embedding has shape {X.shape}; one vector for each of the {n} rows was expected")
    if not np.isfinite(X).all():
        row = int(np.argmin(np.isfinite(X).all(axis=1)))
        raise DataError(f"the embedding of row {row} is not finite")
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X / np.where(length > 0, length, 1), dtype=np.float32)


def _counts(read: Read, rows: Integers) -> "csr_matrix":
    """Return how often each hashed word stands in each text, (n_texts, 2^18)."""
    from scipy.sparse import csr_matrix, vstack

    parts = []
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        words = word_keys(read(rows[at : at + _ROWS_AT_ONCE]))
        keys = np.asarray(words.to_arrow().flatten()) * np.uint64(0x9E3779B97F4A7C15)
        ends = np.concatenate([[0], np.cumsum(words.list.len().to_numpy(), dtype=np.int64)])
        column = (keys >> np.uint64(64 - 18)).astype(np.int32)
        part = csr_matrix((np.ones(len(keys), dtype=np.float32), column, ends), shape=(len(words), _N_COLUMNS))
        part.sum_duplicates()
        parts.append(part)
    return vstack(parts, format="csr") if parts else csr_matrix((0, _N_COLUMNS), dtype=np.float32)


def _signs(generator: np.random.Generator) -> "csr_matrix":
    """Return the matrix (2^18, 256) that adds each hashed word to one of 256 columns, or takes it away."""
    from scipy.sparse import csr_matrix

    sign = generator.choice(np.array([-1, 1], dtype=np.float32), _N_COLUMNS)
    column = generator.integers(0, _N_SKETCH, _N_COLUMNS)
    return csr_matrix((sign, (np.arange(_N_COLUMNS), column)), shape=(_N_COLUMNS, _N_SKETCH))
