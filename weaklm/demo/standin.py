"""The stand-in base model: about 1.7 million parameters, pre-trained on the spot on good and bad answers, then cached.

It is no real language model: it knows the language of the demo and little else. What it must do is read the passage
that it is given, so it is not handed out before a check has shown that its answers depend on the question.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from weaklm.demo.knowledge import instructions, questions
from weaklm.demo.texts import pretraining_texts
from weaklm.errors import ModelError
from weaklm.text import terms

CACHE = Path("~/.cache/weaklm/standin")
N_TEXTS = 20_000

# Counted in steps, so that the result does not depend on the speed of the machine.
SETTINGS: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 192,
    "n_layers": 3,
    "n_heads": 4,
    "max_length": 320,
    "n_steps": 2500,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "prompt_weight": 0.2,
}

# Base and tuned model answer alike, by sampling: the likeliest answer of a mixed base would hide its mix.
GENERATION: dict[str, Any] = {"max_new_tokens": 96, "temperature": 0.7, "batch_size": 66}
LEAST_CONDITIONED = 0.6  # share of answers; refusals, vague and off-topic ones name the topic more rarely


def standin(cache_dir: str | Path = CACHE, random_state: int = 0, progress: bool = True) -> Path:
    """Return the folder of the stand-in, made first if the cache has none for this code, knowledge and seed.

    Raises
    ------
    ModelError
        If the new model's answers do not depend on the question; nothing is kept then.
    """
    folder = Path(cache_dir).expanduser() / f"{_key()}-{random_state}"
    if (folder / "config.json").is_file():
        return folder
    from weaklm.lm.pretrain import pretrain

    unchecked = folder.with_name(f"{folder.name}-unchecked")
    texts = pretraining_texts(N_TEXTS, random_state)
    pretrain(texts, unchecked, **SETTINGS, random_state=random_state, progress=progress)
    try:
        require_conditioned(_answers(unchecked, random_state, progress))
        unchecked.rename(folder)
    finally:
        shutil.rmtree(unchecked, ignore_errors=True)
    return folder


def require_conditioned(answers: pd.DataFrame, least: float = LEAST_CONDITIONED) -> float:
    """Return the share of answers that name what was asked for; raise when it is below ``least``.

    Parameters
    ----------
    answers
        Frame with ``instruction_id`` and ``response``, one row or more for each training instruction.

    Raises
    ------
    ModelError
        Names the share, and the share that was asked for.
    """
    wanted = {question.id: set(terms(question.fact.of)) for question in questions()}
    pairs = zip(answers["instruction_id"].tolist(), answers["response"].tolist(), strict=True)
    named = [len(wanted[key] & set(terms(response))) >= 0.6 * len(wanted[key]) for key, response in pairs]
    share = sum(named) / len(named)
    if share < least:
        raise ModelError(
            f"the stand-in base model is fluent at best: only {share:.2f} of its answers name what the question asks "
            f"about, and {least:.2f} are needed. Its pre-training did not take on this machine; try another "
            "random_state, or name a real base model."
        )
    return share


def _answers(folder: Path, random_state: int, progress: bool) -> pd.DataFrame:
    """Return one answer to each training instruction; held-out ones play no part in the choice of a model."""
    from weaklm.lm.generation import LanguageModel

    asked = instructions().query("split == 'train'")
    model = LanguageModel.load(folder, quantize=None)
    return model.generate(asked, source="stand-in", **GENERATION, random_state=random_state, progress=progress)


def _key() -> str:
    """Return a hash of what makes the model: the demo's code and knowledge, and the settings."""
    digest = hashlib.sha256(json.dumps([SETTINGS, N_TEXTS], sort_keys=True).encode())
    names = ("knowledge.json", "knowledge.py", "answers.py", "defects.py", "dataset.py", "texts.py")
    for place in (*(Path(__file__).with_name(name) for name in names), *_training_code()):
        digest.update(place.read_bytes())
    return digest.hexdigest()[:16]


def _training_code() -> tuple[Path, ...]:
    home = Path(__file__).parents[1] / "lm"
    return home / "pretrain.py", home / "template.py"
