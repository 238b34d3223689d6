"""What embeddings say about a response, in three columns: one out-of-fold score, and two similarities.

The dimensions of an embedding are poor food for trees, many and each without a meaning. A ridge line over all of them,
learned on the weak labels, is one good feature.
"""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.errors import MissingExtraError, ModelError
from weaklm.quality.ridge import Line, fit_line

Numbers = NDArray[np.float64]
Vectors = NDArray[np.float32]

TFIDF = "tfidf"
COLUMNS = ("embedding_score", "sim_instruction_response", "sim_context_response")
_TEXTS = ("response", "instruction", "context")
_TERMS, _DIMENSIONS = 20_000, 64  # 5 MB on disk
_ROWS_TO_LEARN_FROM = 20_000  # bounds the memory at about 200 MB for 384 dimensions
_ROWS_AT_ONCE = 4096
_RIDGE = 0.3  # per row
_PROGRESS_FROM = 1000  # texts; fewer take seconds


class Embedder(Protocol):
    """Texts in, unit vectors (n, dimensions) float32 out; a text without content is a zero vector."""

    def embed(self, texts: Sequence[str]) -> Vectors: ...  # noqa: D102


class TfidfEmbedder:
    """Terms weighed by how rare they are, brought to 64 dimensions by a singular value decomposition of the corpus.

    Source: latent semantic analysis (Deerwester et al. 1990), with logarithmic term counts and smoothed inverse
    document frequencies. Kept are the 20,000 most frequent terms that at least two texts have.

    >>> embedder = TfidfEmbedder().fit(["red fox", "red fox runs", "blue sky", "blue sky above"])
    >>> a, b, c = embedder.embed(["red fox", "fox", "sky"])
    >>> bool(a @ b > 0.3), bool(abs(a @ c) < 0.01)
    (True, True)
    """

    terms_: list[str]
    rarity_: Vectors
    components_: Vectors

    def fit(self, texts: Sequence[str], random_state: int = 0) -> "TfidfEmbedder":
        """Learn terms, their rarity and the dimensions from a corpus."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(max_features=_TERMS, min_df=2 if len(texts) > 2 else 1, ngram_range=(1, 1))
        try:
            counts = counter.fit_transform(texts)
        except ValueError as error:  # an empty vocabulary
            raise ModelError(f"the {len(texts)} texts share no word to embed them by; leave embeddings=None") from error
        self.terms_ = [str(term) for term in counter.get_feature_names_out()]
        seen = np.bincount(counts.indices, minlength=counts.shape[1])
        self.rarity_ = (np.log((1 + len(texts)) / (1 + seen)) + 1).astype(np.float32)
        weighed = self._weighed(texts)
        size = min(_DIMENSIONS, min(weighed.shape) - 1)
        if size < 1:
            raise ModelError(
                f"{len(texts)} texts with {len(self.terms_)} terms are too few to embed; leave embeddings=None"
            )
        self.components_ = TruncatedSVD(size, random_state=random_state).fit(weighed).components_.astype(np.float32)
        return self

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, dimensions)."""
        from sklearn.preprocessing import normalize

        vectors = np.asarray(self._weighed(texts) @ self.components_.T, dtype=np.float32)
        return np.asarray(normalize(vectors), dtype=np.float32)

    def _weighed(self, texts: Sequence[str]) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize

        counts = CountVectorizer(vocabulary=self.terms_).transform(texts).astype(np.float32)
        counts.data = (1 + np.log(counts.data)) * self.rarity_[counts.indices]
        return normalize(counts)


class SentenceEmbedder:
    """A sentence-transformers model from a folder, or from the hub's files on this machine; nothing is downloaded.

    It reads as much of a text as its window takes (256 tokens for all-MiniLM-L6-v2). Code that lies beside a model is
    not run. Needs the extra ``embeddings``.

    Parameters
    ----------
    model
        A folder, or a name on the Hugging Face hub.
    batch_size
        Texts at a time.
    """

    def __init__(self, model: str, batch_size: int = 32) -> None:
        self.model = model
        self.batch_size = batch_size
        self.expected: Vectors | None = None  # the vector of the probe, where the model must be a certain one
        self._loaded: Any = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, dimensions); each different text is embedded once."""
        if self._loaded is None:
            self._loaded = _sentence_model(self.model)
            found = self.probe
            if self.expected is not None and not (found.shape == self.expected.shape and found @ self.expected > 0.99):
                raise ModelError(
                    f"the embedding model {self.model} is another one than this was fitted with; fit again"
                )
        codes, distinct = pd.factorize(np.asarray(texts, dtype=object))
        vectors = self._loaded.encode(
            distinct.tolist(),
            batch_size=self.batch_size,
            normalize_embeddings=True,
            show_progress_bar=len(distinct) >= _PROGRESS_FROM,
        )
        known = np.array([bool(text.strip()) for text in distinct])
        return np.asarray(vectors * known[:, None], dtype=np.float32)[codes]

    @property
    def probe(self) -> Vectors:
        """The vector of one sentence: it tells whether a model is still the same."""
        return self.embed(["The quick brown fox jumps over the lazy dog."])[0]


class EmbeddingFeatures:
    """Three columns: ``embedding_score``, ``sim_instruction_response``, ``sim_context_response``.

    The score is the logit of a ridge line over the response's vector and its products with those of instruction and
    context. The similarities are cosines, NaN where a text is empty.

    Parameters
    ----------
    model
        "tfidf", or the folder or hub name of a sentence-transformers model.
    """

    def __init__(self, model: str, random_state: int = 0) -> None:
        self.model = str(model)
        self.random_state = random_state
        self.embedder: Embedder = TfidfEmbedder() if self.model == TFIDF else SentenceEmbedder(self.model)

    def fit_transform(
        self, data: pd.DataFrame, target: Numbers, weight: Numbers, fold: NDArray[np.int64]
    ) -> pd.DataFrame:
        """Learn from rows with a weight; return the columns, each score by a line that saw no row of its fold.

        Where other folds teach nothing, the score is NaN.
        """
        if isinstance(self.embedder, TfidfEmbedder):
            texts = pd.unique(pd.concat([data[name] for name in _TEXTS], ignore_index=True))
            self.embedder.fit([text for text in texts if text.strip()], self.random_state)
        vectors = self._vectors(data)
        rows = np.flatnonzero(weight > 0)
        if len(rows) > _ROWS_TO_LEARN_FROM:
            rows = np.sort(np.random.default_rng(self.random_state).choice(rows, _ROWS_TO_LEARN_FROM, replace=False))
        E = _combined([part[rows] for part in vectors])
        self._center, self._spread = E.mean(axis=0), E.std(axis=0) + 1e-6
        E = (E - self._center) / self._spread
        score = np.full(len(data), np.nan)
        for k in np.unique(fold):
            others = fold[rows] != k
            if others.any():
                line = self._fit(E[others], target[rows][others], weight[rows][others])
                score[fold == k] = self._score(line, [part[fold == k] for part in vectors])
        self._line = self._fit(E, target[rows], weight[rows])
        return _table(score, vectors, data.index)

    def transform(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of new rows."""
        vectors = self._vectors(data)
        return _table(self._score(self._line, vectors), vectors, data.index)

    def to_bytes(self) -> bytes:
        """Return what was learned as the content of an ``.npz`` file without pickles."""
        arrays: dict[str, Any] = {
            "model": np.array(self.model),
            "center": self._center,
            "spread": self._spread,
            "slopes": self._line.slopes,
            "intercept": np.array(self._line.intercept),
        }
        if isinstance(self.embedder, TfidfEmbedder):
            of = self.embedder
            terms = np.frombuffer(
                "\n".join(of.terms_).encode(), dtype=np.uint8
            )  # as text, it would be as wide as the longest
            arrays |= {"terms": terms, "rarity": of.rarity_, "components": of.components_}
        elif isinstance(self.embedder, SentenceEmbedder):
            arrays |= {"probe": self.embedder.probe}
        content = io.BytesIO()
        np.savez(content, **arrays)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "EmbeddingFeatures":
        """Return what :meth:`to_bytes` was called on."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays: Mapping[str, Any] = dict(stored)
        features = cls(str(arrays["model"]))
        features._center, features._spread = arrays["center"], arrays["spread"]
        features._line = Line(float(arrays["intercept"]), arrays["slopes"])
        if isinstance(features.embedder, TfidfEmbedder):
            of = features.embedder
            of.terms_ = arrays["terms"].tobytes().decode().split("\n")
            of.rarity_, of.components_ = arrays["rarity"], arrays["components"]
        elif isinstance(features.embedder, SentenceEmbedder):
            features.embedder.expected = arrays["probe"]
        return features

    def _vectors(self, data: pd.DataFrame) -> list[Vectors]:
        return [self.embedder.embed(data[name].tolist()) for name in _TEXTS]

    def _fit(self, E: Vectors, target: Numbers, weight: Numbers) -> Line:
        return fit_line(E.astype(np.float64), target, ridge=_RIDGE * len(E), weights=weight / weight.mean())

    def _score(self, line: Line, vectors: Sequence[Vectors]) -> Numbers:
        n, score = len(vectors[0]), np.empty(len(vectors[0]))
        for at in range(0, n, _ROWS_AT_ONCE):
            E = _combined([part[at : at + _ROWS_AT_ONCE] for part in vectors])
            score[at : at + _ROWS_AT_ONCE] = line.logit(((E - self._center) / self._spread).astype(np.float64))
        return score


def _combined(vectors: Sequence[Vectors]) -> Vectors:
    """Return a response's vector beside its products with those of instruction and context, (n, 3 dimensions)."""
    response, instruction, context = vectors
    return np.hstack([response, response * instruction, response * context])


def _table(score: Numbers, vectors: Sequence[Vectors], index: pd.Index) -> pd.DataFrame:
    response, *others = vectors
    similar = []
    for other in others:
        both = response.any(axis=1) & other.any(axis=1)
        similar.append(np.where(both, np.einsum("ij,ij->i", response, other), np.nan))
    return pd.DataFrame(dict(zip(COLUMNS, [score, *similar], strict=True)), index=index, dtype=np.float32)


def _sentence_model(model: str) -> Any:
    # On some processors bitsandbytes, which may come along, warns that an optional download is not there.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("An embedding model", "embeddings") from error
    place = str(Path(model).expanduser()) if Path(model).expanduser().is_dir() else model
    try:
        return SentenceTransformer(place, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"there is no embedding model {model!r} on this machine ({type(error).__name__}): give its folder, or "
            f"fetch it first with `hf download {model}`; 'tfidf' needs none"
        ) from error
