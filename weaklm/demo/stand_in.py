"""A stand-in for a real base model: a small Llama that learns on the spot to answer as the demo's sources do.

It learns from answers, good and bad, to every wording of the questions but the held-out ones, and an answer that
equals one to a held-out question is drawn again. So it knows what the passages say and how people ask, but it has
not seen the held-out questions or the answers to them.
"""

import inspect
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from weaklm.data import content_hash
from weaklm.demo import answers, dataset, defects, knowledge, truth
from weaklm.errors import ModelError

ACCEPT_RATE = 0.5  # of the answers that it learns from: a base model that leaves something to gain
N_STEPS, BATCH_SIZE = 2200, 6
SETTINGS: dict[str, Any] = {
    "vocab_size": 2048,
    "max_length": 320,
    "learning_rate": 3e-3,
    "prompt_weight": 0.1,
    "n_threads": 1,
}

MIN_ON_TOPIC, MIN_RIGHT = 0.9, 0.5  # of its most likely answers to the held-out questions


def standin(cache_dir: str | Path | None = None, *, random_state: int = 0, progress: bool = True) -> Path:
    """Return the folder of the stand-in, a normal Hugging Face model folder: from the cache, or trained now.

    Training takes a few minutes on one core. It is counted in steps and seeded, so the result does not depend on
    the speed of the machine.

    Parameters
    ----------
    cache_dir
        Where to keep it; ``~/.cache/weaklm`` without it, under a hash of the code, the texts and the settings.

    Raises
    ------
    ModelError
        If it does not answer what it is asked: then the demo would show nothing.
    """
    from weaklm.lm.pretrain import pretrain

    place = (Path(cache_dir) if cache_dir else Path.home() / ".cache" / "weaklm") / _key(random_state)
    folder, draft = place / "stand-in", place / "draft"
    if not folder.is_dir():
        texts = pretraining_texts(random_state)
        pretrain(
            texts,
            draft,
            n_steps=N_STEPS,
            batch_size=BATCH_SIZE,
            random_state=random_state,
            progress=progress,
            **SETTINGS,
        )
        _check_that_it_answers(draft)
        draft.rename(folder)
    return folder


def pretraining_texts(random_state: int = 0) -> pd.DataFrame:
    """Return the rows that the stand-in learns from, one for each place in a batch, as a frame of examples."""
    rng = np.random.default_rng([random_state, 1])  # not the stream that draws the data set
    responses = dataset.load(random_state).responses
    held_out = set(responses.loc[responses["split"] == "test", "response"])
    asked = {question.fact: question for question in knowledge.questions()}
    rows: list[dict[str, str]] = []
    while len(rows) < N_STEPS * BATCH_SIZE:
        question = knowledge.pick(list(asked.values()), rng)
        question = replace(question, instruction=knowledge.pick(knowledge.shown_wordings(question.fact), rng))
        response, _ = dataset.compose(question, ACCEPT_RATE, rng)
        if response not in held_out:
            rows.append({"instruction": question.instruction, "context": question.passage.text, "response": response})
    return pd.DataFrame(rows).assign(prompt_prefix=knowledge.knowledge()["prompt_prefix"])


def _check_that_it_answers(folder: Path) -> None:
    """Raise ModelError unless the most likely answers are about what was asked, and half of them right."""
    from weaklm.lm.generation import LanguageModel

    asked = knowledge.instructions().query("split == 'test'")
    answered = LanguageModel.load(folder, quantize=None).generate(
        asked, max_new_tokens=96, batch_size=99, progress=False
    )
    failed = [truth.check(*pair) for pair in zip(answered["instruction_id"], answered["response"], strict=True)]
    on_topic = float(np.mean(["topic" not in names for names in failed]))
    right = float(np.mean([not names for names in failed]))
    if on_topic < MIN_ON_TOPIC or right < MIN_RIGHT:
        raise ModelError(
            f"the stand-in in {folder} does not answer what it is asked: {on_topic:.0%} of its answers to held-out "
            f"questions are on topic ({MIN_ON_TOPIC:.0%} expected), {right:.0%} right ({MIN_RIGHT:.0%} expected). "
            "Try another seed."
        )


def _key(random_state: int) -> str:
    """Return a hash of all that shapes the stand-in: texts, code that composes them, settings, the training itself."""
    from weaklm.lm import pretrain, template

    parts: list[ModuleType] = [knowledge, answers, defects, dataset, pretrain, template]
    sources = [inspect.getsource(part) for part in parts] + [inspect.getsource(pretraining_texts)]
    texts = Path(str(knowledge.__file__)).with_name("knowledge.json").read_text(encoding="utf-8")
    return content_hash(*sources, texts, repr((random_state, ACCEPT_RATE, N_STEPS, BATCH_SIZE, SETTINGS)))
