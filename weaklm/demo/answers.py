"""Good answers to a question, composed from its passage in many wordings, short and long, plain and odd."""

import numpy as np

from weaklm.demo.knowledge import Fact, Question, ask, capital, knowledge, pick

MOST_WORDS = 60  # what the prompt prefix asks for

# Odd but right answers are there so that functions that go by looks raise false alarms.
STYLES = {"plain": 0.52, "short": 0.12, "quoted": 0.12, "restated": 0.10, "long": 0.14}


def good_answer(question: Question, rng: np.random.Generator) -> str:
    """Return a right and complete answer in one of the styles.

    plain: the answer, sometimes with courtesy or a note from the passage. short: no more than the thing and its
    value. quoted: the passage's own sentence. restated: a figure or place twice. long: courtesy, answer and notes.
    """
    style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
    notes = rng.permutation(question.passage.notes).tolist()
    answer = say(question.fact, rng)
    if style == "short":
        return f"{capital(question.fact.of)}: {_value(question.fact, rng)}."
    if style == "quoted":
        parts = [question.passage.sentence(question.fact), *(notes[:1] if rng.random() < 0.4 else [])]
    elif style == "restated":
        parts = [answer, f"So {question.fact.value}, in short." if question.fact.unit else notes[0]]
    elif style == "long":
        parts = [opener(rng), answer, *notes[:2], closer(rng)]
    else:
        parts = [opener(rng)] if rng.random() < 0.35 else []
        parts += [answer, *(notes[:1] if rng.random() < 0.25 else [])]
        parts += [closer(rng)] if rng.random() < 0.25 else []
    return within_limit(parts)


def say(fact: Fact, rng: np.random.Generator) -> str:
    """Return one sentence that states a fact.

    >>> say(Fact("fee", "fee", "a wire", "$5"), np.random.default_rng(0))
    'The charge for a wire is $5.'
    """
    frame = pick(knowledge()["kinds"][fact.kind]["say"], rng)
    return frame.format(of=fact.of, Of=capital(fact.of), v=_value(fact, rng))


def opener(rng: np.random.Generator) -> str:
    """Return a polite first sentence; some sound sorry and are still no refusal."""
    courtesy = knowledge()["courtesy"]
    return pick(courtesy["sympathy" if rng.random() < 0.35 else "openers"], rng)


def closer(rng: np.random.Generator) -> str:
    """Return a polite last sentence."""
    return pick(knowledge()["courtesy"]["closers"], rng)


def within_limit(parts: list[str]) -> str:
    """Return the parts as one text, without the last ones if it would have too many words."""
    while len(" ".join(parts).split()) > MOST_WORDS:
        parts = parts[:-1]
    return " ".join(parts)


def phrases(fact: Fact) -> list[str]:
    """Return every phrase in which questions and answers speak of a fact, its value left out."""
    kind = knowledge()["kinds"][fact.kind]
    frames = [*kind["say"], *(knowledge()["joins"] if fact.steps else ["So {v}, in short."])]
    return [*ask(fact), *(frame.format(of=fact.of, Of=capital(fact.of), v="", a="", b="", c="") for frame in frames)]


def _value(fact: Fact, rng: np.random.Generator) -> str:
    if not fact.steps:
        return fact.value
    return pick(knowledge()["joins"], rng).format(**dict(zip("abc", fact.steps, strict=True)))
