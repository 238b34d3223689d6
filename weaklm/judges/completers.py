"""Models without a server that can judge: any object that completes prompts, and our own language models."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from weaklm.errors import ModelError
from weaklm.replies import Answer, NoAnswer, whole

if TYPE_CHECKING:
    from weaklm.lm.generation import LanguageModel

_BATCH = 64  # prompts; what was said is handed over, and kept, after each batch


class Completer(Protocol):
    """A model that can judge: prompts in, its answers out, in the same order."""

    @property
    def name(self) -> str:
        """Which model it is, with all that changes its answers: they are remembered under this name."""

    def complete(self, prompts: list[str]) -> Sequence[str | None]:
        """Return the model's answer to each prompt, None for a prompt that is too long for it."""


class LocalModel:
    """A :class:`weaklm.LanguageModel` as a judge, by its most likely answers.

    A prompt that does not fit into the model's context window gets no answer.
    """

    def __init__(self, model: "LanguageModel", *, max_new_tokens: int = 256, batch_size: int = 16) -> None:
        self._model, self._max_new_tokens, self._batch_size = model, max_new_tokens, batch_size
        self.name = f"{model.base.name} {model.base.fingerprint} max_new_tokens={max_new_tokens}"

    def complete(self, prompts: list[str]) -> list[str | None]:
        """Return the answer to each prompt, None for one that is too long."""
        asked = pd.DataFrame({"instruction": prompts, "id": range(len(prompts)), "place": range(len(prompts))})
        said = self._model.generate(
            asked, max_new_tokens=self._max_new_tokens, batch_size=self._batch_size, progress=False
        )
        answers = dict(zip(said["place"], said["response"], strict=True))
        return [answers.get(place) for place in range(len(prompts))]


def completions(model: Completer, texts: Sequence[str]) -> Iterator[tuple[int, Answer | NoAnswer]]:
    """Yield the answers of a model without server; a batch that fails is asked one by one."""
    places = list(range(len(texts)))
    batches = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
    while batches:
        batch = batches.pop(0)
        began = time.perf_counter()
        try:
            said = list(model.complete([texts[place] for place in batch]))
        except Exception as error:
            if len(batch) > 1:
                batches = [[place] for place in batch] + batches
            else:
                yield batch[0], NoAnswer(type(error).__name__, str(error), hopeless=True, own=True)
            continue
        if len(said) != len(batch) or not all(isinstance(text, str | None) for text in said):
            raise ModelError(
                f"{model.name!r} did not return one text for each of {len(batch)} prompts, but {said!r:.200}"
            )
        seconds = (time.perf_counter() - began) / len(batch)
        for place, text in zip(batch, said, strict=True):
            yield place, NoAnswer("too long", own=True) if text is None else Answer(whole(text), seconds=seconds)
