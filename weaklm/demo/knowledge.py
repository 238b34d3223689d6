"""The knowledge base: passages with their facts, figures and steps; questions about them, with these or other figures.

``knowledge.json`` holds everything in words. A passage is a text with slots. Each slot is one :class:`Fact`, and each
fact is one question: its kind (fee, deadline, steps ...) says how people ask and how a good answer reads.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

T = TypeVar("T")

FIGURE = re.compile(r"(?P<sign>\$?)(?P<number>\d+)(?P<percent>%?)(?: (?P<unit>[a-z ]+))?")


@dataclass(frozen=True)
class Fact:
    """What one passage says about one thing: ``of`` is the thing, ``value`` the figure, place, meaning or steps."""

    slot: str
    kind: str
    of: str
    value: str

    @property
    def unit(self) -> str:
        """Return the unit of a figure ("$", "%", "days" ...), "places" for a place, "" for a meaning or steps."""
        if self.kind == "where":
            return "places"
        figure = FIGURE.fullmatch(self.value)
        return (figure["sign"] or figure["percent"] or figure["unit"]) if figure else ""

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the steps in order; nothing for another kind of fact."""
        return tuple(self.value.split("; ")) if self.kind == "steps" else ()


@dataclass(frozen=True)
class Passage:
    """A short text about one thing, with its facts in it."""

    id: str
    topic: str
    title: str
    template: str
    facts: tuple[Fact, ...]

    @property
    def text(self) -> str:
        """Return the text with the values of the facts in their slots."""
        return self.template.format(**{fact.slot: fact.value for fact in self.facts})

    def sentence(self, fact: Fact) -> str:
        """Return the sentence of the text that states a fact."""
        return next(s for s in _sentences(self.template) if f"{{{fact.slot}}}" in s).format(**{fact.slot: fact.value})

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the sentences of the text that state no fact: true, but no answer to a question."""
        return tuple(sentence for sentence in _sentences(self.template) if "{" not in sentence)


@dataclass(frozen=True)
class Question:
    """One fact of one passage, asked for in one wording; ``number`` says which, held out or not."""

    passage: Passage
    fact: Fact
    instruction: str
    number: int = 0
    is_held_out: bool = False

    @property
    def id(self) -> str:
        """Return the instruction id: the passage, the slot and the number of the wording."""
        return f"{self.passage.id}.{self.fact.slot}.{self.number}"

    def others(self) -> list[Fact]:
        """Return the other facts of the passage."""
        return [fact for fact in self.passage.facts if fact.slot != self.fact.slot]


@cache
def knowledge() -> dict[str, Any]:
    """Return the knowledge base as written: prompt_prefix, pools, kinds, phrases of answers, passages."""
    text = Path(__file__).with_name("knowledge.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def passages() -> tuple[Passage, ...]:
    """Return the passages with their true figures.

    >>> len(passages()), passages()[0].notes[0]
    (66, 'Late payments and high balances pull the number down.')
    """
    return tuple(_passage(entry) for entry in knowledge()["passages"])


@cache
def questions() -> tuple[Question, ...]:
    """Return the questions of the data set: each fact in two wordings; of every second fact, the second is held out.

    So a held-out question asks in new words for something that training asks about, too.

    >>> print(questions()[1].instruction, len(questions()), sum(q.is_held_out for q in questions()))
    Can you explain a credit score? 396 99
    """
    found: list[Question] = []
    facts = [(passage, fact) for passage in passages() for fact in passage.facts]
    for place, (passage, fact) in enumerate(facts):
        wordings = ask(fact)
        for number in (1, 2):
            wording = wordings[(place + number) % len(wordings)]
            found.append(Question(passage, fact, wording, number, is_held_out=number == 2 and place % 2 == 0))
    return tuple(found)


def shown_wordings(fact: Fact) -> list[str]:
    """Return the wordings in which training may ask for a fact: all but a held-out one."""
    held_out = {question.instruction for question in questions() if question.is_held_out}
    return [wording for wording in ask(fact) if wording not in held_out]


def instructions() -> pd.DataFrame:
    """Return the questions as a frame: instruction_id, instruction, context, prompt_prefix, topic, split."""
    rows = [
        {
            "instruction_id": question.id,
            "instruction": question.instruction,
            "context": question.passage.text,
            "prompt_prefix": knowledge()["prompt_prefix"],
            "topic": question.passage.topic,
            "split": "test" if question.is_held_out else "train",
        }
        for question in questions()
    ]
    return pd.DataFrame(rows)


def ask(fact: Fact) -> list[str]:
    """Return the wordings in which people ask for a fact.

    >>> ask(Fact("fee", "fee", "a wire", "$5"))[0]
    'How much does a wire cost?'
    """
    return [wording.format(of=fact.of) for wording in knowledge()["kinds"][fact.kind]["ask"]]


def variant(question: Question, rng: np.random.Generator) -> Question:
    """Return the question in another wording, about its passage with other figures and places."""
    facts = tuple(replace(fact, value=other_value(fact, rng)) for fact in question.passage.facts)
    passage = replace(question.passage, facts=facts)
    fact = next(fact for fact in facts if fact.slot == question.fact.slot)
    return Question(passage, fact, pick(ask(fact), rng))


def other_value(fact: Fact, rng: np.random.Generator) -> str:
    """Return a value of the same unit but another number or place; a meaning or steps stay as they are."""
    if not fact.unit:
        return fact.value
    pool = [written(value, fact.unit) for value in knowledge()["pools"][fact.unit]]
    return pick([value for value in pool if value != fact.value], rng)


def written(number: int | str, unit: str) -> str:
    """Return a figure as it is written in the passages.

    >>> written(5, "$"), written(5, "%"), written(5, "days"), written("at any branch", "places")
    ('$5', '5%', '5 days', 'at any branch')
    """
    return {"$": f"${number}", "%": f"{number}%", "places": str(number)}.get(unit, f"{number} {unit}")


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def _passage(entry: dict[str, Any]) -> Passage:
    facts = [Fact(slot, *words) for slot, words in entry["facts"].items()]
    if "steps" in entry:
        of, *steps = entry["steps"]
        facts.append(Fact("steps", "steps", of, "; ".join(steps)))
    return Passage(entry["id"], entry["topic"], entry["title"], entry["text"], tuple(facts))


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.) ", text)
