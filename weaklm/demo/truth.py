"""Truth checks: judge any answer to the demo's instructions from the knowledge base alone.

They use no labeling function and no model, and no function may use them. They know what an answer must hold (the
figure, the place, the meaning, the steps) and what it may say (the passage, the question, courtesy). What they
cannot know is a claim that is new in meaning but not in words: they go by words, with a short list of strong ones.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.demo.answers import MOST_WORDS, phrases
from weaklm.demo.knowledge import Fact, Question, ask, knowledge, questions
from weaklm.errors import DataError, nearest
from weaklm.text import ngrams, normal, sentences, terms, words

LOOP = 5  # words in a row that a good answer does not say twice
ECHOED = 0.75  # share of the passage, word for word, that is no longer an answer
ROOT = 5  # letters by which words are taken as one, so that "arrives" meets "arrival"
UNITS = (
    "business day",
    "dollar",
    "percent",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "point",
    "character",
    "tries",
    "transfer",
)

# Words that promise more than a passage says, unless it says them too.
STRONG = (
    *("always", "never", "guaranteed", "guarantee", "instantly", "automatically", "unlimited", "waived", "refunded"),
    *("free", "nobody", "ever", "everyone", "every customer", "no effect"),
)

# Words of any answer, which say nothing of their own.
PLAIN = """start begin finally next first second last need want usual normal typical simple sure remember note take
follow step way thing help answer question charge cost amount total time wait bank account customer contact sent both"""

_FIGURE = re.compile(rf"(?P<sign>\$)? ?(?P<number>\d[\d,]*(?:\.\d+)?) ?(?P<unit>%|{'|'.join(UNITS)})?", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:i|we)(?:'m| am| are)? "
    r"(?:unable|not able|can't|cannot|can not|must decline|do not have|don't (?:know|have))\b"
    r"(?! wait)|\bas an ai\b|cannot be discussed|speak to a human|matter for a branch|would have to look into|"
    r"better asked|visit us in person|know more about|not the right place",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<[a-z/][^>]*>|[{}\[\]`]|\*\*|^#|^- |\banswer:|###", re.IGNORECASE | re.MULTILINE)
_NUMBERING = re.compile(r"(?:(?<=^)|(?<=\s))(?:step )?\d[.):] ", re.IGNORECASE)


def accepts(data: pd.DataFrame) -> NDArray[np.bool_]:
    """Return (n_rows,) bool: True where the response passes every check. Columns: instruction_id, response."""
    pairs = zip(data["instruction_id"].tolist(), data["response"].tolist(), strict=True)
    return np.array([not check(instruction_id, response) for instruction_id, response in pairs], dtype=bool)


def check(instruction_id: str, response: str) -> list[str]:
    """Return the names of the checks that an answer to one of the demo's instructions fails; none: a good answer.

    Raises
    ------
    DataError
        If the demo has no such instruction.

    Examples
    --------
    >>> check("wire-abroad.fee.1", "You pay $40 for a wire abroad.")
    []
    >>> check("wire-abroad.fee.1", "You pay $45 for a wire abroad.")
    ['figure', 'missing']
    """
    if instruction_id not in _questions():
        raise DataError(f"the demo has no instruction {instruction_id!r}; {nearest(instruction_id, _questions())}")
    question = _questions()[instruction_id]
    return [name for name, fails in CHECKS.items() if fails(question, response)]


def _is_refusal(_: Question, response: str) -> bool:
    return bool(_REFUSAL.search(response))


def _has_markup(_: Question, response: str) -> bool:
    letters = [letter for letter in response if letter.isalpha()]
    return bool(_MARKUP.search(response)) or sum(map(str.isupper, letters)) > 0.5 * max(1, len(letters))


def _is_too_long(_: Question, response: str) -> bool:
    return len(response.split()) > MOST_WORDS


def _is_cut(_: Question, response: str) -> bool:
    return not response.rstrip().endswith((".", "!", '."', "!)", ".)"))


def _repeats(_: Question, response: str) -> bool:
    runs = ngrams(words(response), LOOP)
    return len(set(runs)) < len(runs)


def _echoes(question: Question, response: str) -> bool:
    if re.search(r"\bpassage:|\byou asked:", response, re.IGNORECASE):
        return True
    said = f" {' '.join(words(response))} "
    prompts = [*ask(question.fact), question.instruction, knowledge()["prompt_prefix"]]
    passage = words(question.passage.text)
    runs = ngrams(passage, int(ECHOED * len(passage)))
    return any(f" {' '.join(text)} " in said for text in (*map(words, prompts), *runs))


def _has_other_figure(question: Question, response: str) -> bool:
    """Tell whether a figure or place stands there that the passage lacks, or that belongs to another fact."""
    passage = question.passage
    known = set(figures(passage.text))
    text = _NUMBERING.sub(" ", response)
    if any(figure not in known for figure in figures(text)):
        return True
    foreign = [place for place in knowledge()["pools"]["places"] if place not in passage.text]
    return any(_holds(text, place) for place in foreign) or _is_misplaced(question, text)


def _is_misplaced(question: Question, text: str) -> bool:
    """Tell whether a sentence gives another fact's figure without a word about that fact."""
    own = _roots(question.fact.of)
    wanted = set(figures(question.fact.value))
    for fact in question.passage.facts:
        theirs = _roots(fact.of) - own
        borrowed = set(figures(fact.value)) - wanted
        for sentence in sentences(text):
            if theirs and borrowed & set(figures(sentence)) and not theirs & _roots(sentence):
                return True
    return False


def _lacks_answer(question: Question, response: str) -> bool:
    """Tell whether the figure, the place, the meaning or one of the steps in order is missing."""
    fact = question.fact
    if fact.kind == "steps":
        places = [_step_place(step, fact, response) for step in fact.steps]
        return None in places or places != sorted(place for place in places if place is not None)
    if fact.kind == "where":
        return not _holds(response, fact.value)
    if fact.kind == "what":
        return _share(terms(fact.value), set(terms(response))) < 0.7
    return not set(figures(fact.value)) <= set(figures(response))


def _step_place(step: str, fact: Fact, response: str) -> int | None:
    """Return where in the answer a step is told, in terms from its beginning; None when it is not."""
    said = terms(response)
    wanted = terms(step)
    runs = ngrams(said, len(wanted))
    if wanted in runs:
        return len(runs) - 1 - runs[::-1].index(wanted)
    elsewhere = {term for other in fact.steps if other != step for term in terms(other)} | set(terms(fact.of))
    own = [term for term in wanted if term not in elsewhere] or list(wanted)
    if _share(wanted, set(said)) < 0.7 or _share(own, set(said)) < 0.6:
        return None
    return min(said.index(term) for term in own if term in said)


def _is_unsupported(question: Question, response: str) -> bool:
    """Tell whether a sentence says what neither passage nor question nor courtesy says."""
    known = _known_roots(question)
    promised = f" {' '.join(words(response))} "
    passage = f" {' '.join(words(question.passage.text))} "
    if any(f" {word} " in promised and f" {word} " not in passage for word in STRONG):
        return True
    return any(_is_strange(sentence, known) for sentence in sentences(response) if sentence not in _courtesy())


def _is_strange(sentence: str, known: set[str]) -> bool:
    said = terms(sentence)
    strange = [term for term in said if term[:ROOT] not in known and not term[0].isdecimal()]
    return len(strange) >= 2 and len(strange) > 0.25 * len(said)


def _is_off_topic(question: Question, response: str) -> bool:
    return not _roots(f"{question.fact.of} {question.fact.value} {question.passage.title}") & _roots(response)


CHECKS: dict[str, Callable[[Question, str], bool]] = {
    "refusal": _is_refusal,
    "format": _has_markup,
    "length": _is_too_long,
    "cut": _is_cut,
    "repetition": _repeats,
    "echo": _echoes,
    "figure": _has_other_figure,
    "missing": _lacks_answer,
    "claim": _is_unsupported,
    "topic": _is_off_topic,
}


def figures(text: str) -> list[tuple[str, str]]:
    """Return the figures of a text as (number, unit), numbers in words too.

    >>> figures("Pay $1,000 within ten business days, at 5 percent.")
    [('1000', '$'), ('10', 'business day'), ('5', '%')]
    """
    text = re.sub(rf"\b([a-z]+) (?=(?:{'|'.join(UNITS)}))", lambda m: f"{normal(m[1])} ", text, flags=re.IGNORECASE)
    found = []
    for match in _FIGURE.finditer(text):
        unit = match["sign"] or (match["unit"] or "").lower()
        found.append((normal(match["number"].rstrip(",")), {"percent": "%", "dollar": "$"}.get(unit, unit)))
    return found


@cache
def _questions() -> dict[str, Question]:
    return {question.id: question for question in questions()}


@cache
def _courtesy() -> frozenset[str]:
    polite = [text for texts in knowledge()["courtesy"].values() for text in texts]
    return frozenset(sentence for text in [*polite, *knowledge()["filler"]] for sentence in sentences(text))


def _roots(text: str) -> set[str]:
    return {term[:ROOT] for term in terms(text)}


def _known_roots(question: Question) -> set[str]:
    passage = question.passage
    texts = [PLAIN, passage.title, passage.text, *(phrase for fact in passage.facts for phrase in phrases(fact))]
    return _roots(" ".join(texts))


def _holds(text: str, phrase: str) -> bool:
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def _share(wanted: Iterable[str], said: set[str]) -> float:
    wanted = list(wanted)
    return sum(term in said for term in wanted) / max(1, len(wanted))
