"""Judges: a question that a language model answers for every row, as a column that labeling functions threshold."""

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from weaklm.data import ABSTAIN, ACCEPT, HUMAN_LABEL, REJECT, complete
from weaklm.endpoint import Endpoint
from weaklm.errors import DataError, SettingsError, nearest
from weaklm.functions import LabelingFunction
from weaklm.judges.cache import DEFAULT_CACHE, JudgeCache, Said, key
from weaklm.judges.completers import Completer, completions
from weaklm.judges.prompts import TEMPLATE, Form, Prompt, confidence
from weaklm.replies import Answer, NoAnswer, while_it_works

_READING = 1  # to be raised when what counts as an answer changes, so that what is in the cache is read anew
_PARAMETERS = {"temperature": 0, "max_tokens": 1024, "logprobs": True}


@dataclass(frozen=True)
class Estimate:
    """What a run would ask: rows, different prompts, those answered before, those to ask, and their characters."""

    rows: int
    prompts: int
    cached: int
    to_ask: int
    characters: int


@dataclass(frozen=True)
class Judge:
    """A question about each row, answered by a language model.

    Ask narrow questions with few answers, and several rather than one verdict on everything. All questions to one
    model share its blind spots: ``redundancy_group`` names them.

    Parameters
    ----------
    name
        The column will be ``judge_<name>``.
    question
        About the texts, each called by its column: "Is every claim of the response supported by the context?"
    answers
        The answers that count, exactly as written.
    model
        The name of a model at ``base_url``; or an :class:`~weaklm.endpoint.Endpoint`, which has key, limits and
        retries; or an object with ``name`` and ``complete(prompts)``, such as :class:`LocalModel`. Endpoints are asked
        with temperature 0, max_tokens 1024 and logprobs unless their ``parameters`` say otherwise; None leaves one out.
    base_url
        Where the named model is: ``"http://127.0.0.1:8000/v1"``. It has no default, so that nothing leaves the
        machine unless asked.
    columns
        The texts that the judge sees, in this order.
    reason_first
        The judge gives reasons before its answer: often better, always slower.
    template
        The prompt, with ``$texts``, ``$question``, ``$answers``, ``$code`` and ``$form``.
    cache
        The file that remembers what was said. Another question, template, model or parameter is asked anew.

    Examples
    --------
    >>> class Stern:
    ...     name = "stern"
    ...     def complete(self, prompts):
    ...         return [prompt.splitlines()[-1].replace("<answer>", "no") for prompt in prompts]
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "judges.db"
    >>> judge = Judge("grounded", "Is the response supported by the context?", model=Stern(), cache=place)
    >>> data = judge.add_to(pd.DataFrame({"instruction": ["Why?"], "response": ["So."]}), progress=False)
    >>> data["judge_grounded"].tolist(), data.attrs["judge_grounded"]["asked"]
    (['no'], 1)
    """

    name: str
    question: str
    answers: tuple[str, ...] = ("yes", "no")
    model: "str | Endpoint | Completer" = ""
    base_url: str | None = None
    columns: tuple[str, ...] = ("instruction", "context", "response")
    reason_first: bool = False
    template: str = TEMPLATE
    cache: str | Path = DEFAULT_CACHE

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise SettingsError(f"the judge's name is {self.name!r}; letters, digits and underscores are expected")
        if isinstance(self.model, str) != (self.base_url is not None) or self.model == "":
            raise SettingsError(
                f"judge {self.name!r} has model {self.model!r} and base_url {self.base_url!r}: name the model and say "
                "where it is, model='qwen3-8b', base_url='http://127.0.0.1:8000/v1', or give an Endpoint or LocalModel"
            )
        if not isinstance(self.model, str | Endpoint) and not hasattr(self.model, "complete"):
            raise SettingsError(
                f"judge {self.name!r} has the model {self.model!r}, which has no complete(prompts); a LanguageModel is "
                "put into LocalModel(...)"
            )
        if not isinstance(self.columns, tuple | list) or not self.columns:
            raise SettingsError(
                f"judge {self.name!r} has columns {self.columns!r}; ('context', 'response') is a choice"
            )
        if HUMAN_LABEL in self.columns:
            raise SettingsError(f"judge {self.name!r} asks about {HUMAN_LABEL!r}, the truth that it is measured by")
        _ = self._form, self._model  # what is wrong with them is told here

    @property
    def column(self) -> str:
        """The column of the answers."""
        return f"judge_{self.name}"

    @property
    def model_name(self) -> str:
        """What the model is called."""
        return self._model.model if isinstance(self._model, Endpoint) else self._model.name

    @property
    def redundancy_group(self) -> str:
        """What all judges of one model share: their functions are one opinion."""
        return f"judge {self.model_name}"

    def add_to(self, data: pd.DataFrame, *, progress: bool = True) -> pd.DataFrame:
        """Return a copy of the frame with three columns more; what is in the cache is not asked again.

        ``judge_<name>`` has the answer or None, ``judge_<name>_confidence`` the probability that the model gave to the
        words of its answer (NaN where it does not tell), ``judge_<name>_failure`` why there is no answer, else None.
        ``result.attrs["judge_<name>"]`` counts the prompts asked and cached and the failures by reason, and lists the
        sources of the model's own family. An interrupted run keeps what was answered.

        Raises
        ------
        ModelError
            If no request can succeed, or many in a row do not.
        """
        frame = complete(data)
        said, counts = self._answers(frame, progress)
        failures = Counter(one.failure for one in said if one.failure is not None)
        own = _same_family(self.model_name, frame["source"])
        self._warn(failures, own)
        answers = pd.Series([one.answer for one in said], data.index, dtype=object)
        sure = pd.Series([one.number for one in said], data.index, dtype=float)
        why = pd.Series([one.failure for one in said], data.index, dtype=object)
        columns = {self.column: answers, f"{self.column}_confidence": sure, f"{self.column}_failure": why}
        new = data.assign(**columns)
        told = {**counts, "failures": dict(failures.most_common()), "same_family": own}
        new.attrs = {**data.attrs, self.column: told}
        return new

    def preview(self, data: pd.DataFrame, n: int = 2) -> list[str]:
        """Return the prompts of the first n rows, as they would be sent; nothing is sent."""
        with JudgeCache(self.cache) as cache:
            return [prompt.text for prompt in self._prompts(complete(data.head(n)), cache)]

    def estimate(self, data: pd.DataFrame) -> Estimate:
        """Return how much :meth:`add_to` would ask; nothing is sent."""
        with JudgeCache(self.cache) as cache:
            prompts = {self._key(prompt): prompt.text for prompt in self._prompts(complete(data), cache)}
            known = cache.get(prompts)
        new = [len(text) for key, text in prompts.items() if key not in known]
        return Estimate(len(data), len(prompts), len(known), len(new), sum(new))

    def labeling_function(
        self, votes: Mapping[str, int], *, min_confidence: float = 0.0, name: str | None = None
    ) -> LabelingFunction:
        """Return a function that votes by the judge's column, with the judge's confidence where it is known.

        Parameters
        ----------
        votes
            Answer -> vote: ``{"no": REJECT, "yes": ACCEPT}``. It abstains on the others and where there is no answer.
        min_confidence
            It abstains below; where the confidence is not known, it abstains unless this is 0.
        name
            Of the function; the column's by default.
        """
        for answer, vote in votes.items():
            if answer not in self.answers:
                raise SettingsError(f"judge {self.name!r} has no answer {answer!r}; {nearest(answer, self.answers)}")
            if vote not in (ABSTAIN, REJECT, ACCEPT):
                raise SettingsError(f"the vote for {answer!r} is {vote!r}, not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT)")
        if not isinstance(min_confidence, Real) or not 0 <= min_confidence <= 1:
            raise SettingsError(f"min_confidence is {min_confidence!r}; a number from 0 to 1 is expected")
        by_answer = {answer: votes.get(answer, ABSTAIN) for answer in self.answers}
        resources = {"column": self.column, "votes": by_answer, "min_confidence": min_confidence}
        function = LabelingFunction(name or self.column, _vote, resources)
        function.redundancy_group = self.redundancy_group
        return function

    @cached_property
    def _form(self) -> Form:
        return Form(self.question, self.answers, self.reason_first, self.template)

    @cached_property
    def _model(self) -> "Endpoint | Completer":
        model = Endpoint(self.model, self.base_url or "") if isinstance(self.model, str) else self.model
        if not isinstance(model, Endpoint):
            return model
        fields = {name: value for name, value in {**_PARAMETERS, **model.parameters}.items() if value is not None}
        return replace(model, parameters=fields)

    def _answers(self, frame: pd.DataFrame, progress: bool) -> tuple[list[Said], dict[str, int]]:
        """Return what was said of each row, and how many prompts were asked and cached; write what is new."""
        with JudgeCache(self.cache) as cache:
            prompts = self._prompts(frame, cache)
            keys = [self._key(prompt) for prompt in prompts]
            known = cache.get(keys)
            n_cached = len(known)
            new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
            # The shortest first: if these cannot be answered, none can.
            todo = dict(sorted(new.items(), key=lambda item: len(item[1].text)))
            for key, result in self._ask(todo, progress):
                known[key] = _said(result, todo[key].code, self._form)
                if isinstance(result, Answer):
                    cache.put(self.model_name, {key: known[key]})
        return [known[key] for key in keys], {"asked": len(todo), "cached": n_cached}

    def _prompts(self, frame: pd.DataFrame, cache: JudgeCache) -> list[Prompt]:
        for column in self.columns:
            if column not in frame.columns:
                raise DataError(f"judge {self.name!r} asks about {column!r}; {nearest(column, frame.columns)}")
        secret = cache.secret
        rows = zip(*(map(str, frame[column]) for column in self.columns), strict=True)
        return [self._form.prompt(dict(zip(self.columns, texts, strict=True)), secret) for texts in rows]

    def _key(self, prompt: Prompt) -> str:
        parameters = dict(self._model.parameters) if isinstance(self._model, Endpoint) else {}
        return key(_READING, self.model_name, parameters, self.template, self.answers, prompt.text)

    def _ask(self, prompts: Mapping[str, Prompt], progress: bool) -> Iterator[tuple[str, Answer | NoAnswer]]:
        """Yield what came of each prompt, by its key."""
        from tqdm import tqdm

        if not prompts:
            return
        keys, texts = list(prompts), [prompt.text for prompt in prompts.values()]
        if isinstance(self._model, Endpoint):
            results = self._model.ask([[{"role": "user", "content": text}] for text in texts])
        else:
            results = while_it_works(completions(self._model, texts), Endpoint.stop_after, repr(self.model_name))
        with closing(results), tqdm(total=len(texts), desc=self.column, unit="prompt", disable=not progress) as bar:
            for place, result in results:
                yield keys[place], result
                bar.update()

    def _warn(self, failures: Mapping[str, int], own: Sequence[str]) -> None:
        if failures:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in failures.items())
            warnings.warn(f"{self.column} has no answer in {sum(failures.values())} rows: {reasons}", stacklevel=3)
        if own:
            warnings.warn(
                f"{self.column}: the judge {self.model_name!r} is of the family of {', '.join(map(repr, own))}, which "
                "wrote responses that it judges; models favour their own. Ask a model of another family, too.",
                stacklevel=3,
            )


def _vote(x: Any, column: str, votes: Mapping[str, int], min_confidence: float) -> int | tuple[int, float]:
    """Return the vote for the answer in a judge's column, with its confidence where that is known."""
    answer, sure = x[column], x[f"{column}_confidence"]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # "1" and "2" come back from a CSV file as numbers, with gaps as floats
    if answer is None or answer == "" or pd.isna(answer):
        return ABSTAIN
    if str(answer) not in votes:
        raise DataError(f"column {column!r} has {answer!r}, which is none of the judge's answers {list(votes)}")
    vote = votes[str(answer)]
    if vote == ABSTAIN or not (sure >= min_confidence or min_confidence == 0):
        return ABSTAIN
    return vote if math.isnan(sure) else (vote, sure)


def _said(result: Answer | NoAnswer, code: str, form: Form) -> Said:
    if isinstance(result, NoAnswer):
        return Said("", failure=result.reason)
    answer, failure = (None, "cut off") if result.is_cut else form.read(result.text, code)
    sure = None if answer is None else confidence(answer, code, result.tokens)
    return Said(result.text, answer, failure, sure, result.seconds)


# The first words of model names, by who made the models.
_FAMILIES = {
    "llama": "llama vicuna alpaca",
    "gpt": "gpt chatgpt davinci o1 o3 o4",
    "gemini": "gemini gemma",
    "mistral": "mistral mixtral ministral magistral devstral codestral pixtral",
    "qwen": "qwen qwq",
    "claude": "claude",
    "deepseek": "deepseek",
    "phi": "phi",
    "command": "command cohere aya",
    "grok": "grok",
    "glm": "glm chatglm",
    "olmo": "olmo tulu",
    "granite": "granite",
    "falcon": "falcon",
    "kimi": "kimi moonshot",
}
_FAMILY = {word: family for family, words in _FAMILIES.items() for word in words.split()}


def families(name: str) -> set[str]:
    """Return the families of language models that a model's name speaks of: more than one for a distilled model.

    >>> sorted(families("DeepSeek-R1-Distill-Llama-70B")), families("my-model")
    (['deepseek', 'llama'], set())
    """
    words = re.findall(r"o[134](?![0-9a-z])|[a-z]+", name.lower())
    return {_FAMILY[word] for word in words if word in _FAMILY}


def _same_family(model: str, sources: Iterable[str]) -> list[str]:
    own = families(model)
    return sorted({source for source in sources if source == model or own & families(source)} - {""})
