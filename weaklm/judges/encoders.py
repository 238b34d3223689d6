"""Small models as columns: whether one text supports another, and how similar two texts are.

Long texts are read in passages, so that nothing is left out because it exceeds a model's window. Scores are remembered
by the model's weights and the texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from weaklm.data import complete
from weaklm.errors import DataError, nearest
from weaklm.judges.cache import DEFAULT_CACHE, JudgeCache, Said, key
from weaklm.judges.scorers import Pair, Score, cosines, entailment, fingerprint, model_folder
from weaklm.replies import whole
from weaklm.text import sentences

_AT_ONCE = 256  # pairs, after which the scores are written to the cache


@dataclass(frozen=True)
class NLI:
    """A cross-encoder for natural language inference: how far one text supports each sentence of another.

    Source: the zero-shot aggregation of SummaC (Laban et al. 2022, arXiv:2111.09525): the support of a sentence is the
    highest probability of entailment over the parts of the premise. Their parts are sentences; ours are passages as
    long as the model's window takes.

    Parameters
    ----------
    model
        The folder of a sequence classification model with a class named "entailment", or its name on the Hugging
        Face hub; a name is looked up among the models that are on this machine already.
    name
        The columns will be ``<name>_min`` and ``<name>_mean``.
    premise, hypothesis
        The columns of the supporting and of the supported text.
    batch_size
        Pairs at a time.
    device
        "cpu", "cuda"; None takes a GPU where there is one.
    download
        Fetch a model that is not on this machine from the hub.
    cache
        The file that remembers the scores.
    """

    model: str | Path
    name: str = "nli"
    premise: str = "context"
    hypothesis: str = "response"
    batch_size: int = 32
    device: str | None = None
    download: bool = False
    cache: str | Path = DEFAULT_CACHE

    def add_to(self, data: pd.DataFrame, *, progress: bool = True) -> pd.DataFrame:
        """Return a copy of the frame with ``<name>_min`` and ``<name>_mean``, the support of the sentences from 0 to 1.

        NaN where there is no premise or no sentence.
        """
        rows = [
            [(premise, sentence) for sentence in sentences(hypothesis) if premise.strip()]
            for premise, hypothesis in _texts(data, self.premise, self.hypothesis)
        ]
        folder = model_folder(self.model, self.download)
        load = partial(entailment, folder, self.device, self.batch_size)
        pairs = [pair for row in rows for pair in row]
        scores = _scored(
            pairs,
            load,
            model=f"nli {fingerprint(folder)}",
            cache=self.cache,
            name=self.name,
            progress=progress,
        )
        support = [[scores[pair] for pair in row] for row in rows]
        columns = {
            f"{self.name}_min": [min(row, default=np.nan) for row in support],
            f"{self.name}_mean": [sum(row) / len(row) if row else np.nan for row in support],
        }
        return data.assign(**{name: pd.Series(values, data.index, dtype=float) for name, values in columns.items()})


@dataclass(frozen=True)
class Similarity:
    """A sentence encoder: the cosine of two texts, from -1 to 1; a long text is the mean of its passages.

    Parameters
    ----------
    model
        The folder of a sentence-transformers model, or its name on the Hugging Face hub; a name is looked up among
        the models that are on this machine already.
    columns
        The two texts that are compared.
    name
        The column; ``similarity_<first>_<second>`` by default.
    batch_size
        Texts at a time.
    device, download, cache
        As for :class:`NLI`.
    """

    model: str | Path
    columns: tuple[str, str] = ("instruction", "response")
    name: str | None = None
    batch_size: int = 32
    device: str | None = None
    download: bool = False
    cache: str | Path = DEFAULT_CACHE

    def add_to(self, data: pd.DataFrame, *, progress: bool = True) -> pd.DataFrame:
        """Return a copy of the frame with the cosine of the two columns; NaN where one has no text."""
        name = self.name or f"similarity_{'_'.join(self.columns)}"
        rows = _texts(data, *self.columns)
        folder = model_folder(self.model, self.download)
        load = partial(cosines, folder, self.device, self.batch_size)
        pairs = [(first, second) for first, second in rows if first.strip() and second.strip()]
        scores = _scored(
            pairs,
            load,
            model=f"similarity {fingerprint(folder)}",
            cache=self.cache,
            name=name,
            progress=progress,
        )
        return data.assign(**{name: pd.Series([scores.get(row, np.nan) for row in rows], data.index, dtype=float)})


def _texts(data: pd.DataFrame, *names: str) -> list[Pair]:
    frame = complete(data)
    for name in names:
        if name not in frame.columns:
            raise DataError(f"there is no column {name!r} to compare; {nearest(name, frame.columns)}")
    return list(zip(*([whole(str(text)) for text in frame[name]] for name in names), strict=True))


def _scored(
    pairs: Sequence[Pair], load: Callable[[], Score], *, model: str, cache: str | Path, name: str, progress: bool
) -> dict[Pair, float]:
    """Return the score of each pair, from the cache or from the model, which is loaded only where it is needed."""
    from tqdm import tqdm

    keys = {pair: key(model, *pair) for pair in pairs}
    with JudgeCache(cache) as memory:
        known = memory.get(keys.values())
        todo = [pair for pair in keys if keys[pair] not in known]
        todo.sort(key=lambda pair: len(pair[0]) + len(pair[1]))  # texts of one length, little padding
        score = load() if todo else _nothing
        with tqdm(total=len(todo), desc=name, unit="pair", disable=not progress) as bar:
            for start in range(0, len(todo), _AT_ONCE):
                some = todo[start : start + _AT_ONCE]
                new = {keys[pair]: Said("", number=number) for pair, number in zip(some, score(some), strict=True)}
                memory.put(model, new)
                known |= new
                bar.update(len(some))
    numbers = {pair: known[keys[pair]].number for pair in keys}
    return {pair: np.nan if number is None else number for pair, number in numbers.items()}


def _nothing(_: Sequence[Pair]) -> list[float]:
    return []
