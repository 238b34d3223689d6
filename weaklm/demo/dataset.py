"""The demo's data set: responses of two sources, their truth apart, and labels by three imperfect annotators."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from weaklm.data import COLUMNS
from weaklm.demo.answers import good_answer
from weaklm.demo.defects import spoiled_answer
from weaklm.demo.knowledge import Question, instructions, questions

SOURCES = {"copilot-a": 0.67, "copilot-b": 0.53}  # share of good answers
N_ANSWERS = 2  # of each source to each instruction

# Annotator -> (share of bad answers that pass, share of good answers that do not).
ANNOTATORS = {"ana": (0.08, 0.05), "ben": (0.25, 0.03), "cleo": (0.05, 0.18)}
SHARED, SINGLE = 0.1, 0.3  # shares of the rows that all annotators label, and that one of them labels


@dataclass(frozen=True)
class DemoData:
    """The rows that functions see, and apart from them what is true.

    ``responses`` has the standard columns and ``topic``; ``split`` is "train" or "test" (held-out instructions).
    ``truth`` has id, label (ACCEPT or REJECT), defect ("" for a good answer). ``annotations`` has id, annotator,
    label: a part of the rows, some of them labelled by all three.
    """

    responses: pd.DataFrame
    truth: pd.DataFrame
    annotations: pd.DataFrame


def load(random_state: int = 0) -> DemoData:
    """Return the demo's data set: 1,584 responses to 396 instructions, the same for the same seed.

    >>> data = load()
    >>> len(data.responses), data.responses["split"].value_counts().to_dict()
    (1584, {'train': 1188, 'test': 396})
    """
    rng = np.random.default_rng(random_state)
    rows = _rows(rng)
    frame = pd.DataFrame(rows).merge(instructions(), on="instruction_id", how="left", validate="many_to_one")
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    truth = frame[["id", "label", "defect"]]
    return DemoData(frame[[*COLUMNS, "topic"]], truth, _annotate(truth, rng))


def compose(question: Question, accept_rate: float, rng: np.random.Generator) -> tuple[str, str]:
    """Return (answer, name of its defect): a good answer, whose defect is "", at the rate given, else a spoiled one."""
    return (good_answer(question, rng), "") if rng.random() < accept_rate else spoiled_answer(question, rng)


def _rows(rng: np.random.Generator) -> list[dict[str, str]]:
    """Return the answers of every source to every question, no two of them the same."""
    rows: list[dict[str, str]] = []
    seen: set[str] = set()
    asked = ((question, source) for question in questions() for source in SOURCES for _ in range(N_ANSWERS))
    for number, (question, source) in enumerate(asked):
        response, defect = compose(question, SOURCES[source], rng)
        while response in seen:
            response, defect = compose(question, SOURCES[source], rng)
        seen.add(response)
        row = {"id": f"{question.id}.{source[-1]}{number % N_ANSWERS + 1}", "instruction_id": question.id}
        label = "REJECT" if defect else "ACCEPT"
        rows.append(row | {"response": response, "source": source, "label": label, "defect": defect})
    return rows


def _annotate(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    names = list(ANNOTATORS)
    share = rng.random(len(truth))
    rows = []
    for row, place in zip(truth.itertuples(), share, strict=True):
        chosen = names if place < SHARED else [names[int(rng.integers(3))]] if place < SHARED + SINGLE else []
        for name in chosen:
            passes_bad, fails_good = ANNOTATORS[name]
            is_accepted = rng.random() < (passes_bad if row.defect else 1 - fails_good)
            rows.append({"id": row.id, "annotator": name, "label": "ACCEPT" if is_accepted else "REJECT"})
    return pd.DataFrame(rows)
