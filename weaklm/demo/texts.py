"""Pre-training texts of the stand-in: the passages with other figures, made-up passages, and drills in copying.

No held-out question and no answer to one is among them. The passages' own figures change from row to row, so that
the model must read the passage that it is given instead of learning sixty-six of them by heart.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from weaklm.demo.answers import say
from weaklm.demo.dataset import compose
from weaklm.demo.knowledge import (
    Fact,
    Passage,
    Question,
    ask,
    knowledge,
    passages,
    pick,
    questions,
    variant,
    written,
)

MIX = {"passage": 0.4, "made up": 0.4, "drill": 0.2}
ACCEPT_RATE = 0.6
ACTIONS = ("deadline", "where", "often", "steps")  # kinds of facts about doing something


def pretraining_texts(n_rows: int, random_state: int = 0) -> pd.DataFrame:
    """Return a frame of ``n_rows`` texts: id, instruction, context, prompt_prefix, response.

    Rows about the passages are good and bad answers as in the data set. Made-up passages have one to four facts and
    all their questions in one row, rightly answered. Drills ask to repeat a few words.
    """
    rng = np.random.default_rng(random_state)
    kinds = rng.choice(list(MIX), size=n_rows, p=list(MIX.values()))
    makers = {"passage": _passage_row, "made up": _made_up_row, "drill": _drill_row}
    rows = [makers[kind](rng) for kind in kinds.tolist()]
    return pd.DataFrame(rows).assign(id=[f"text-{number}" for number in range(n_rows)])


def _passage_row(rng: np.random.Generator) -> dict[str, str]:
    question = variant(pick([question for question in questions() if not question.is_held_out], rng), rng)
    if rng.random() < 0.5:
        question = _with_other_words(question, rng)
    response, _ = compose(question, ACCEPT_RATE, rng)
    return _row(question.instruction, question.passage.text, response, knowledge()["prompt_prefix"])


def _made_up_row(rng: np.random.Generator) -> dict[str, str]:
    kinds = rng.choice(list(knowledge()["kinds"]), size=int(rng.choice([1, 2, 3, 4], p=[0.3, 0.3, 0.25, 0.15])))
    facts = [Fact(f"slot{place}", kind, _thing(kind, rng), _value(kind, rng)) for place, kind in enumerate(kinds)]
    notes = [pick(pick(passages(), rng).notes, rng) for _ in range(int(rng.integers(0, len(facts))))]
    told = [*(_tell(fact, rng) for fact in facts), *notes]
    first, *others = (facts[place] for place in rng.permutation(len(facts)))
    more = "".join(f"\n\n### Instruction:\n{pick(ask(f), rng)}\n\n### Response:\n{say(f, rng)}" for f in others)
    return _row(pick(ask(first), rng), " ".join(rng.permutation(told).tolist()), say(first, rng) + more)


def _drill_row(rng: np.random.Generator) -> dict[str, str]:
    words = " ".join(pick(passages(), rng).text.lower().split()).split()
    chosen = " ".join(rng.permutation(words)[: int(rng.integers(3, 12))].tolist())
    return _row(f"Repeat: {chosen}", "", chosen)


def _row(instruction: str, context: str, response: str, prompt_prefix: str = "") -> dict[str, str]:
    return {
        "instruction": instruction,
        "context": context,
        "prompt_prefix": prompt_prefix,
        "response": response,
    }


def _with_other_words(question: Question, rng: np.random.Generator) -> Question:
    """Return the question with other steps and meanings in its passage."""
    facts = tuple(
        replace(fact, value=_value(fact.kind, rng)) if fact.kind in ("steps", "what") else fact
        for fact in question.passage.facts
    )
    passage: Passage = replace(question.passage, facts=facts)
    return replace(question, passage=passage, fact=next(f for f in facts if f.slot == question.fact.slot))


def _thing(kind: str, rng: np.random.Generator) -> str:
    words = knowledge()["made_up"]
    adjective = pick(words["adjectives"], rng)
    noun = f"{'an' if adjective[0] in 'aeiou' else 'a'} {adjective} {pick(words['nouns'], rng)}"
    noun += f" {pick(words['additions'], rng)}" if rng.random() < 0.4 else ""
    return f"{pick(words['verbs'], rng)} {noun}" if kind in ACTIONS else noun


def _value(kind: str, rng: np.random.Generator) -> str:
    shown = [question.fact for question in questions() if question.fact.kind == kind and not question.is_held_out]
    if kind == "steps":
        return "; ".join(rng.permutation([step for fact in shown for step in fact.steps])[:3].tolist())
    if kind == "what":
        return pick(shown, rng).value
    unit = pick(knowledge()["made_up"]["units"][kind], rng)
    return written(pick(knowledge()["pools"][unit], rng), unit)


def _tell(fact: Fact, rng: np.random.Generator) -> str:
    return f"To {fact.of}: {fact.value}." if fact.steps else say(fact, rng)
