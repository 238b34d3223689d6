"""Where a row's score and place come from: votes and code versions, features, decision, adapter, generation."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.apply import SFApplier
from weaklm.data import ACCEPT, HUMAN_LABEL, LABEL_NAMES
from weaklm.functions import Function, code_hash
from weaklm.label_model import LabelModel
from weaklm.quality import QualityModel

VOTE_NAMES = LABEL_NAMES | {-1: "abstain"}


@dataclass(frozen=True)
class Explanation:
    """Why one response has its score and its place; prints as text, ``to_dict()`` for programs."""

    id: str
    instruction: str
    context: str
    response: str
    source: str
    split: str
    human_label: str | None
    votes: list[dict[str, Any]]  # function, code_hash, vote, log_odds (towards ACCEPT)
    label_model: float
    features: list[dict[str, Any]]  # feature, value, contribution to the logit
    score: float
    slices: list[str]
    curation: dict[str, Any] | None
    runs: dict[str, Any]  # fit, curate, the trainings that used the row, the run that generated it

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain dictionaries and lists."""
        return asdict(self)

    def __str__(self) -> str:
        decision = "ACCEPT" if self.score >= 0.5 else "REJECT"
        lines = [
            f"response {self.id} of {self.source} ({self.split})",
            f"  instruction  {_short(self.instruction)}",
            f"  response     {_short(self.response)}",
            f"  decision     {decision}, score {self.score:.3f}; people say {self.human_label or 'nothing yet'}",
            f"  slices       {', '.join(self.slices) or 'none'}",
            f"  label model  {self.label_model:.3f}, from these votes:",
        ]
        voted = [vote for vote in self.votes if vote["vote"] != "abstain"]
        for vote in sorted(voted, key=lambda v: -abs(v["log_odds"])):
            lines.append(
                f"    {vote['vote']:7} {vote['log_odds']:+.2f}  {vote['function']}  (code {vote['code_hash']})"
            )
        lines += [] if voted else ["    every function abstained"]
        lines.append("  quality model, largest contributions to the logit:")
        for row in self.features[:8]:
            lines.append(f"    {row['contribution']:+.2f}  {row['feature']} = {row['value']:.3g}")
        if self.curation is not None:
            lines.append(f"  curation     {'kept' if self.curation['kept'] else 'out: ' + self.curation['reason']}")
        lines += [f"  {kind:12} {value}" for kind, value in self.runs.items() if value]
        return "\n".join(lines)

    __repr__ = __str__


def function_source(function: Function) -> str:
    """Return the source of a function, or a note where there is none."""
    try:
        return inspect.getsource(function._f)
    except (OSError, TypeError):
        return "(source not available)"


def explain(
    row: pd.DataFrame,
    *,
    functions: Sequence[Function],
    L: NDArray[np.int8],
    label_model: LabelModel,
    quality: QualityModel,
    score: float,
    slices: Sequence[Function],
    decisions: pd.DataFrame | None,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Explanation:
    """Return the Explanation of a frame of one row.

    Parameters
    ----------
    L
        The row's votes, shape (1, n_functions).
    decisions
        The rows of the newest curated set, with columns id, kept and reason; None when there is none.
    runs
        The recorded steps by kind ("fit", "curate", "train", "generate"), newest first.
    """
    first = row.iloc[0]
    label = first[HUMAN_LABEL]
    members = SFApplier(slices).apply(row)[0] if slices else []
    curation = _decision(decisions, str(first["id"]))
    return Explanation(
        **{name: str(first[name]) for name in ("id", "instruction", "context", "response", "source", "split")},
        human_label=label if isinstance(label, str) else None,
        votes=_votes(functions, L, label_model),
        label_model=float(label_model.predict_proba(L)[0, ACCEPT]),
        features=_features(quality, row),
        score=score,
        slices=[sf.name for sf, member in zip(slices, members, strict=True) if member],
        curation=curation,
        runs=_runs(runs, curation, str(first["source"])),
    )


def _votes(functions: Sequence[Function], L: NDArray[np.int8], label_model: LabelModel) -> list[dict[str, Any]]:
    log_odds = label_model.contributions(L)[0]
    return [
        {
            "function": function.name,
            "code_hash": code_hash(function),
            "vote": VOTE_NAMES[int(vote)],
            "log_odds": float(odds),
        }
        for function, vote, odds in zip(functions, L[0], log_odds, strict=True)
    ]


def _features(quality: QualityModel, row: pd.DataFrame) -> list[dict[str, Any]]:
    contributions = quality.explain(row).iloc[0]
    values = quality.features(row).iloc[0]
    names = [name for name in contributions.abs().sort_values(ascending=False).index if name in values.index]
    return [
        {"feature": name, "value": float(values[name]), "contribution": float(contributions[name])} for name in names
    ]


def _decision(decisions: pd.DataFrame | None, row_id: str) -> dict[str, Any] | None:
    found = decisions[decisions["id"] == row_id] if decisions is not None else None
    if found is None or found.empty:
        return None
    kept = bool(found["kept"].iloc[0])
    return {"kept": kept, "reason": "" if kept else str(found["reason"].iloc[0])}


def _runs(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], curation: Mapping[str, Any] | None, source: str
) -> dict[str, Any]:
    """Return the run that scored the row, curated it, generated it, and the trainings that used it."""
    curated = runs["curate"][0]["id"] if curation is not None else None
    used = curation is not None and curation["kept"]
    return {
        "fit": runs["fit"][0]["id"],
        "curate": curated,
        "train": [run["id"] for run in runs["train"] if used and curated in run["parents"]],
        "generate": next((run["id"] for run in runs["generate"] if run["outputs"]["source"] == source), None),
    }


def _short(text: str, length: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
