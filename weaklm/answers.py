"""Rows in, the same rows with the answers of another model out: what all ways of generating share, and the plainest.

:func:`chat` asks any OpenAI-compatible server. It needs no torch and no tokenizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.completions import Request, ask
from weaklm.data import HUMAN_LABEL, complete, content_hash
from weaklm.endpoint import Endpoint
from weaklm.errors import SettingsError
from weaklm.exchange import prompt_messages
from weaklm.replies import NoAnswer

REFUSED = "the server refused it: "
_SEEDS = 2**31  # servers take seeds of 31 bits
# Servers take settings that a request leaves open from the model's folder; what is generated depends on ours alone.
_NOTHING_ELSE = {"repetition_penalty": 1.0, "top_k": -1, "min_p": 0.0}


@dataclass(frozen=True)
class Sampling:
    """How a server draws answers.

    Each answer has a seed of its own, from ``random_state`` and the name of its row, so that it does not depend on the
    other rows.

    Attributes
    ----------
    max_new_tokens
        Longest answer, in tokens.
    temperature
        0 takes the most likely token each time; 1 samples from the model's own distribution.
    top_p
        When sampling, only the most likely tokens that together have this probability can be drawn.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    random_state: int = 0

    def fields(self, name: str) -> dict[str, Any]:
        """Return the fields of the request for a row."""
        fields: dict[str, Any] = {"max_tokens": self.max_new_tokens, "temperature": self.temperature}
        if self.temperature > 0:
            seed = int(content_hash(str(self.random_state), name)[:15], 16) % _SEEDS
            fields |= {"top_p": self.top_p, "seed": seed}
        return fields


def chat(
    data: pd.DataFrame,
    endpoint: Endpoint,
    source: str,
    *,
    keep: str | Path,
    n_answers: int = 1,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    random_state: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Return a copy of the frame with a served model's responses, the new source and new ids, in the same order.

    The rows go to the server as chat messages, and its own template renders them. For a model that was trained here,
    ``LanguageModel.generate(..., engine="server")`` sends what the locked template renders.

    Parameters
    ----------
    data
        Frame with ``instruction``; a response is not needed.
    endpoint
        The server and how to ask it; its ``parameters`` go before ours, and None among them leaves a field out.
    source
        The name of the new source.
    keep
        The file of what was answered; see :func:`weaklm.completions.ask`.
    n_answers
        Answers to each row, one below the other; more than one needs a temperature above 0.
    max_new_tokens, temperature, top_p, random_state
        As in :class:`Sampling`.

    Raises
    ------
    ModelError
        If the server does not answer all that it accepts. What it answered is kept; run again to go on.

    Notes
    -----
    ``result.attrs["dropped"]`` counts the rows that the server refused for their content (too long, not allowed), by
    reason; ``"dropped_ids"`` names them.
    """
    check_number(n_answers, temperature)
    rows = repeated(complete(data if "response" in data.columns else data.assign(response="")), n_answers)
    sampling = Sampling(max_new_tokens, temperature, top_p, random_state)
    texts = rows[["prompt_prefix", "instruction", "context"]].to_dict("records")
    requests: list[Request] = [
        {"messages": prompt_messages(text), **sampling.fields(name)}
        for name, text in zip(rows["id"], texts, strict=True)
    ]
    return with_answers(rows, ask(requests, endpoint, keep, progress=progress), source)


def continuations(
    names: Sequence[str],
    prompts: Sequence[NDArray[np.int32]],
    endpoint: Endpoint,
    sampling: Sampling,
    *,
    keep: str | Path,
    stop_ids: Sequence[int],
    progress: bool = True,
) -> list[str | NoAnswer]:
    """Return how a served model goes on after each prompt of token ids, or why the server refused it.

    The tokens go as they are, so that neither template nor first token is the server's choice. ``names`` decide the
    seeds. Some fields are known to vLLM, SGLang and llama.cpp, but not to OpenAI.
    """
    requests: list[Request] = [
        {"prompt": ids, "stop_token_ids": list(stop_ids), **_NOTHING_ELSE, **sampling.fields(name)}
        for name, ids in zip(names, prompts, strict=True)
    ]
    return ask(requests, endpoint, keep, progress=progress)


def check_number(n_answers: int, temperature: float) -> None:
    """Raise SettingsError where several answers to a row would all be the same."""
    if not n_answers >= 1 or (n_answers > 1 and temperature <= 0):
        raise SettingsError(
            f"n_answers is {n_answers!r} at temperature {temperature!r}; a number of 1 or more is expected, and a "
            "temperature above 0 where it is more than 1, since the most likely answer is always the same"
        )


def repeated(data: pd.DataFrame, times: int) -> pd.DataFrame:
    """Return each row several times, with ids of their own: they decide the random numbers of an answer."""
    if times == 1:
        return data
    rows = data.iloc[np.repeat(np.arange(len(data)), times)]
    numbers = np.tile(np.arange(1, times + 1), len(data)).astype(str)
    return rows.assign(id=rows["id"].astype(str).to_numpy() + np.char.add("#", numbers).astype(object))


def with_answers(
    asked: pd.DataFrame,
    answers: Sequence[str | NoAnswer],
    source: str,
    *,
    dropped: Mapping[str, Sequence[str]] | None = None,
    context_cut: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Return the rows that were answered with their answers, the new source and new ids.

    ``result.attrs`` counts and names those that were refused and those that were ``dropped`` before, by reason.
    """
    ids = asked["id"].tolist()
    left_out = {reason: list(names) for reason, names in (dropped or {}).items()}
    for name, answer in zip(ids, answers, strict=True):
        if isinstance(answer, NoAnswer):
            left_out.setdefault(REFUSED + answer.reason, []).append(name)
    is_answered = [isinstance(answer, str) for answer in answers]
    texts = [answer for answer in answers if isinstance(answer, str)]
    new = asked[is_answered].drop(columns=HUMAN_LABEL, errors="ignore")
    names = [content_hash(name, source, text) for name, text in zip(new["id"], texts, strict=True)]
    new = new.assign(id=names, response=texts, source=source)
    new.attrs["dropped"] = {reason: len(names) for reason, names in left_out.items()}
    new.attrs["dropped_ids"] = left_out
    new.attrs["context_cut"] = dict(context_cut or {})
    return new
