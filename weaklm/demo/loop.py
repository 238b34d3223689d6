"""The demo: the whole loop on the shipped data, and its result judged twice.

The quality model judges the tuned model's answers, and so do the truth checks, which know the passages' facts and
which neither the labeling functions nor the quality model may use. Both compare the same held-out instructions.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.demo.dataset import load
from weaklm.demo.stand_in import standin
from weaklm.demo.truth import accepts
from weaklm.errors import ProjectError
from weaklm.estimation import paired_difference
from weaklm.project import Project
from weaklm.settings import FILE

log = logging.getLogger("weaklm")

# Base and tuned model answer by sampling, alike: the most likely answer of a base trained on a mix would hide the mix.
SETTINGS: dict[str, dict[str, Any]] = {
    "curate": {"labels": ["ACCEPT"], "confidence_threshold": 0.8},
    "generate": {"n_answers": 4, "max_new_tokens": 96, "temperature": 1.0, "top_p": 0.9, "batch_size": 100},
}

# The stand-in is tiny, so it takes a higher learning rate than a real model, which gets the trainer's own settings. One
# thread, because two that share a busy machine are slower.
TRAIN_STAND_IN = {
    "max_steps": 80,
    "learning_rate": 3e-3,
    "batch_size": 16,
    "micro_batch_size": 16,
    "max_length": 512,
    "n_threads": 1,
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo found: accept rates of the base and the tuned model by truth checks and by the quality model."""

    base_model: str
    is_stand_in: bool
    n_instructions: int
    truth: dict[str, Any]  # base, tuned: accept rates; difference: with its paired 95 % interval
    quality: dict[str, Any]
    report: str
    comparison: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain dictionaries."""
        return dict(vars(self))

    def __str__(self) -> str:
        lines = [
            "",
            f"The loop is closed, in {self.seconds / 60:.1f} minutes. Answers to {self.n_instructions} held-out "
            f"instructions, {SETTINGS['generate']['n_answers']} each, accept rate:",
            "",
            "  judged by               base model   tuned model   difference, paired 95 % interval",
            _line("truth checks", self.truth),
            _line("quality model (proxy)", self.quality),
            "",
            _verdict(self.truth["difference"]),
            "",
            f"  report      {self.report}",
            f"  comparison  {self.comparison}",
        ]
        if self.is_stand_in:
            lines += [
                "",
                "The base model is a stand-in of 1.6 million parameters, trained on the spot on texts like these: it",
                "shows the loop, not what a real model can do. To name a real one, with a GPU:",
                "  python -m weaklm demo --base-model meta-llama/Meta-Llama-3-8B-Instruct",
            ]
        return "\n".join(lines)


def run_demo(
    folder: str | Path = "demo-project", *, seed: int = 0, base_model: str | None = None, progress: bool = False
) -> DemoResult:
    """Run the whole loop in a project inside the folder and return what it found; a second run skips what is done.

    Parameters
    ----------
    seed
        Decides the responses, the stand-in, the training and the sampling.
    base_model
        A model folder or Hugging Face name in place of the stand-in.
    """
    started = time.monotonic()
    name = f"seed-{seed}" if base_model is None else f"{Path(base_model).name}-seed-{seed}"
    train = TRAIN_STAND_IN if base_model is None else {}
    project = _project(Path(folder) / name, seed, train | {"random_state": seed}, progress)
    if not base_model:
        log.info("base model: a stand-in of 1.6 million parameters; training it takes a few minutes, once")
    base = base_model or _relative(standin(random_state=seed, progress=progress))
    project.run(base)
    comparison = project.last("compare")
    before, after = project.generate(base), project.generate(project.trained())
    answers = [project.responses(source=source) for source in (before, after)]
    truth = [_by_instruction(frame, accepts(frame)) for frame in answers]
    scored = [_by_instruction(frame, project.scores(frame) >= 0.5) for frame in answers]
    return DemoResult(
        base_model=str(base),
        is_stand_in=base_model is None,
        n_instructions=len(truth[0].index.intersection(truth[1].index)),
        truth=_summary(*truth),
        quality=_summary(*scored),
        report=str(project.last("report") / "report.html"),
        comparison=str(comparison / "comparison.html"),
        seconds=time.monotonic() - started,
    )


def _project(folder: Path, seed: int, train: dict[str, Any], progress: bool) -> Project:
    """Return the demo's project, filled with its data: made, or opened when it is there."""
    if (folder / FILE).exists():
        project = Project(folder, progress=progress)
    elif folder.exists() and any(folder.iterdir()):
        raise ProjectError(f"{folder} is there and holds something else; name another folder for the demo")
    else:
        seeded = {"generate": SETTINGS["generate"] | {"random_state": seed}, "quality_model": {"random_state": seed}}
        project = Project.create(folder, settings=SETTINGS | seeded | {"train": train}, progress=progress)
    data = load(seed)  # also into an opened project: the last run may have been interrupted before
    log.info("%s", project.add_responses(data.responses))
    log.info("added %s labels by three annotators", f"{project.add_labels(data.annotations):,}")
    return project


def _relative(path: Path) -> str:
    """Return the path as short as it goes from here."""
    return min(str(path), os.path.relpath(path), key=len)


def _by_instruction(answers: pd.DataFrame, accepted: NDArray[np.bool_]) -> pd.Series:
    """Return the share of each instruction's answers that are accepted."""
    return pd.Series(accepted, dtype=float).groupby(answers["instruction_id"].to_numpy()).mean()


def _summary(base: pd.Series, tuned: pd.Series) -> dict[str, Any]:
    """Return both accept rates and their paired difference, over the instructions that both answered."""
    base, tuned = base.align(tuned, join="inner")
    difference = paired_difference(base.to_numpy(), tuned.to_numpy(), smooth=False)
    return {"base": float(base.mean()), "tuned": float(tuned.mean()), "difference": difference.to_dict()}


def _line(judge: str, rates: dict[str, Any]) -> str:
    d = rates["difference"]
    interval = f"{d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"
    return f"  {judge:22}  {rates['base']:10.3f}   {rates['tuned']:11.3f}   {interval}"


def _verdict(difference: dict[str, Any]) -> str:
    if difference["low"] > 0:
        return "By the truth checks, the tuned model is better than its base."
    if difference["high"] < 0:
        return "By the truth checks, the tuned model is WORSE than its base."
    return "By the truth checks, the tuned model is not shown to be better than its base."
