"""Spoiled answers: one function a defect, each in degrees; which defects a kind of question can have.

A defect takes a question and a generator and returns an answer that should be rejected.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from weaklm.demo.answers import MOST_WORDS, closer, good_answer, opener, say
from weaklm.demo.knowledge import (
    Fact,
    Passage,
    Question,
    capital,
    knowledge,
    pick,
    questions,
    variant,
    written,
)

TIMES = ("hours", "days", "weeks", "months", "years")

Defect = Callable[[Question, np.random.Generator], str]


def invented_figure(question: Question, rng: np.random.Generator) -> str:
    """Return an answer with another value: near the true one, far from it, in another unit, or one more."""
    fact = question.fact
    if not fact.unit or rng.random() < 0.25:
        more = _strange(pick(["$", "days", "months"], rng), question.passage, rng)
        return f"{good_answer(question, rng)} {pick(knowledge()['extra_figures'], rng).format(v=more)}"
    value = _near(question, rng) if rng.random() < 0.4 else _strange(fact.unit, question.passage, rng)
    return good_answer(_with_value(question, value), rng)


def contradiction(question: Question, rng: np.random.Generator) -> str:
    """Return an answer that gives the right value first and another one afterwards, or the other way round."""
    wrong_value = _strange(question.fact.unit, question.passage, rng)
    right, wrong = say(question.fact, rng), say(replace(question.fact, value=wrong_value), rng)
    return " ".join([right, wrong] if rng.random() < 0.5 else [wrong, right])


def invented_step(question: Question, rng: np.random.Generator) -> str:
    """Return the steps with one of them replaced by a step of another passage."""
    steps = list(question.fact.steps)
    foreign = pick([q for q in _shown() if q.fact.steps and q.passage.id != question.passage.id], rng).fact.steps
    steps[int(rng.integers(3))] = pick([step for step in foreign if step not in steps], rng)
    return good_answer(_with_value(question, "; ".join(steps)), rng)


def wrong_meaning(question: Question, rng: np.random.Generator) -> str:
    """Return the definition of something else."""
    other = pick([q for q in _shown() if q.fact.kind == "what" and q.id != question.id], rng)
    return good_answer(_with_value(question, other.fact.value), rng)


def missing_step(question: Question, rng: np.random.Generator) -> str:
    """Return the steps without one of them."""
    kept = list(question.fact.steps)
    kept.pop(int(rng.integers(3)))
    frame = pick(["{of}: {a} and {b}.", "To {of}, {a}, and {b}.", "First {a}. Then {b}.", "1) {a}, 2) {b}."], rng)
    answer = capital(frame.format(of=question.fact.of, a=kept[0], b=kept[1]))
    return f"{answer} {closer(rng)}" if rng.random() < 0.4 else answer


def wrong_order(question: Question, rng: np.random.Generator) -> str:
    """Return the steps with two of them exchanged."""
    a, b, c = question.fact.steps
    return good_answer(_with_value(question, "; ".join(pick([(b, a, c), (a, c, b), (c, b, a)], rng))), rng)


def unsupported_claim(question: Question, rng: np.random.Generator) -> str:
    """Return a right answer with a claim that the passage does not make, bold or subtle."""
    claim = pick(knowledge()["claims"]["subtle" if rng.random() < 0.4 else "bold"], rng)
    return f"{good_answer(question, rng)} {claim}"


def refusal(question: Question, rng: np.random.Generator) -> str:
    """Return an answer that declines, in plain words or softly."""
    text = pick(knowledge()["refusals"]["soft" if rng.random() < 0.4 else "full"], rng)
    text = text.format(of=thing(question.fact))
    return f"{opener(rng)} {text}" if rng.random() < 0.25 else text


def vague(question: Question, rng: np.random.Generator) -> str:
    """Return an answer that says nothing."""
    parts = [pick(knowledge()["vague"], rng).format(of=thing(question.fact))]
    parts += [pick(question.passage.notes, rng)] if rng.random() < 0.6 else []
    parts = [opener(rng), *parts] if rng.random() < 0.3 else parts
    return " ".join(parts)


def other_question(question: Question, rng: np.random.Generator) -> str:
    """Return a right answer to another question about the same passage."""
    return good_answer(replace(question, fact=pick(question.others(), rng)), rng)


def off_topic(question: Question, rng: np.random.Generator) -> str:
    """Return an answer to a question about another passage, or about something else altogether."""
    if rng.random() < 0.25:
        return " ".join(rng.permutation(knowledge()["off_topic"])[: int(rng.integers(1, 3))].tolist())
    others = [q for q in _shown() if q.passage.topic != question.passage.topic]
    return good_answer(variant(pick(others, rng), rng), rng)


def truncated(question: Question, rng: np.random.Generator) -> str:
    """Return the beginning of a right answer: cut early, late, or by its last word only."""
    words = _long_answer(question, rng, 8).split()
    n_kept = len(words) - 1 if rng.random() < 0.3 else max(4, int(len(words) * rng.uniform(0.35, 0.9)))
    return " ".join(words[:n_kept]).rstrip(".,;:!?")


def repetition(question: Question, rng: np.random.Generator) -> str:
    """Return a right answer that says a sentence again, or runs in circles."""
    answer = _long_answer(question, rng, 6)
    if rng.random() < 0.5:
        sentence = say(question.fact, rng)
        return " ".join([sentence, *[sentence] * int(rng.integers(1, 3))])
    words = answer.rstrip(".").split()
    loop = words[-int(rng.integers(5, 8)) :]
    return " ".join([*words, *loop * int(rng.integers(1, 4))]) + "."


def prompt_echo(question: Question, rng: np.random.Generator) -> str:
    """Return an answer that repeats the question, the instructions or the passage, with or without an answer."""
    answer = good_answer(question, rng)
    choice = rng.random()
    if choice < 0.5:
        return f"{question.instruction} {answer}"
    if choice < 0.65:
        return f"You asked: {question.instruction} {closer(rng)}"
    if choice < 0.85:
        return f"{knowledge()['prompt_prefix']} {answer}"
    return f"Passage: {' '.join([question.passage.title + '.', *question.passage.notes])} {answer}"


def wrong_format(question: Question, rng: np.random.Generator) -> str:
    """Return a right answer in markup, in capitals, or with an empty place in it."""
    answer = good_answer(question, rng)
    frames = ["<p>{}</p>", '{{"answer": "{}"}}', "**Answer:** {}", "# Answer\n- {}", "Dear [NAME], {}", "```\n{}\n```"]
    return answer.upper() if rng.random() < 0.15 else pick(frames, rng).format(answer)


def too_long(question: Question, rng: np.random.Generator) -> str:
    """Return a right answer that is buried in words."""
    filler = rng.permutation(knowledge()["filler"]).tolist()
    parts = [opener(rng), say(question.fact, rng), *question.passage.notes, closer(rng)]
    while len(" ".join(parts).split()) <= MOST_WORDS:
        parts.insert(int(rng.integers(1, len(parts))), filler.pop())
    return " ".join(parts)


# How often each defect befalls a question; those of one kind of question apart.
COMMON: dict[Defect, float] = {
    unsupported_claim: 0.16,
    refusal: 0.11,
    vague: 0.09,
    other_question: 0.09,
    off_topic: 0.08,
    truncated: 0.10,
    repetition: 0.07,
    prompt_echo: 0.08,
    wrong_format: 0.08,
    too_long: 0.06,
}
OF_FIGURES: dict[Defect, float] = {invented_figure: 0.26, contradiction: 0.07}
OF_STEPS: dict[Defect, float] = {missing_step: 0.14, wrong_order: 0.09, invented_step: 0.10}
OF_MEANINGS: dict[Defect, float] = {wrong_meaning: 0.15, invented_figure: 0.05}


def spoiled_answer(question: Question, rng: np.random.Generator) -> tuple[str, str]:
    """Return (answer, name of its defect), the defect drawn among those that suit the question."""
    own = {"steps": OF_STEPS, "what": OF_MEANINGS}.get(question.fact.kind, OF_FIGURES)
    weights = COMMON | own
    shares = np.array(list(weights.values())) / sum(weights.values())
    defect = list(weights)[int(rng.choice(len(weights), p=shares))]
    return defect(question, rng), defect.__name__


def thing(fact: Fact) -> str:
    """Return what a fact is about as a noun phrase: "how to" before an action.

    >>> thing(Fact("fee", "fee", "a wire", "$5")), thing(Fact("steps", "steps", "send a wire", "a; b; c"))
    ('a wire', 'how to send a wire')
    """
    words = {"steps": "how to", "deadline": "when to", "where": "where to", "often": "how often we"}.get(fact.kind)
    return f"{words} {fact.of}" if words else fact.of


def _shown() -> list[Question]:
    """Return the questions whose answers may be shown anywhere."""
    return [question for question in questions() if not question.is_held_out]


def _with_value(question: Question, value: str) -> Question:
    """Return the question as if the passage said something else."""
    fact = replace(question.fact, value=value)
    facts = tuple(fact if other.slot == fact.slot else other for other in question.passage.facts)
    return replace(question, fact=fact, passage=replace(question.passage, facts=facts))


def _near(question: Question, rng: np.random.Generator) -> str:
    """Return a value that is easily taken for the right one: its neighbour in the pool, or another unit of time."""
    fact = question.fact
    if fact.unit in TIMES and rng.random() < 0.35:
        unit = pick([unit for unit in TIMES if unit != fact.unit], rng)
        return written(fact.value.split()[0], unit)
    pool = [written(value, fact.unit) for value in knowledge()["pools"][fact.unit]]
    place = pool.index(fact.value)
    return pick([*pool[max(0, place - 1) : place], *pool[place + 1 : place + 2]], rng)


def _strange(unit: str, passage: Passage, rng: np.random.Generator) -> str:
    """Return a value of a unit that the passage does not have."""
    pool = [written(value, unit) for value in knowledge()["pools"][unit]]
    return pick([value for value in pool if value not in passage.text], rng)


def _long_answer(question: Question, rng: np.random.Generator, n_words: int) -> str:
    answer = ""
    while len(answer.split()) < n_words:
        answer = good_answer(question, rng)
    return answer
