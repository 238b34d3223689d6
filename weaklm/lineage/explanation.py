"""Why one row has its score and its place: votes and code versions, features, decision, training, generation."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.apply import SFApplier
from weaklm.data import ABSTAIN, ACCEPT, HUMAN_LABEL, LABEL_NAMES
from weaklm.estimation import TOO_FEW, rate
from weaklm.functions import Function, code_hash
from weaklm.label_model import LabelModel
from weaklm.quality import QualityModel

_ALIKE = 0.3  # scores that differ by more are not alike

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
    curation: dict[str, Any] | None  # kept, reason, and the row's own detail of it
    runs: dict[str, Any]  # fit, curate, the trainings that used the row, the run that generated it
    alike: dict[str, Any] | None = None  # how often people accept rows with such a score, with n and interval

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
            *self._interval(),
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
            value = "has no meaning here" if row["value"] is None else f"= {row['value']:.3g}"
            lines.append(f"    {row['contribution']:+.2f}  {row['feature']} {value}")
        if self.curation is not None:
            detail = f" ({self.curation['detail']})" if self.curation.get("detail") else ""
            lines.append(
                f"  curation     {'kept' if self.curation['kept'] else 'out: ' + self.curation['reason']}{detail}"
            )
        lines += [f"  {kind:12} {value}" for kind, value in self.runs.items() if value]
        return "\n".join(lines)

    __repr__ = __str__

    def _interval(self) -> list[str]:
        if self.alike is None:
            return []
        rate, low, high = (self.alike[key] * 100 for key in ("value", "low", "high"))
        return [
            f"               people accept {rate:.0f} % [{low:.0f}, {high:.0f}] of {self.alike['n']} rows with a score "
            f"from {self.alike['from']:.2f} to {self.alike['to']:.2f}"
        ]


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
    judged: tuple[ArrayLike, ArrayLike] | None = None,
) -> Explanation:
    """Return the Explanation of a frame of one row.

    Parameters
    ----------
    L
        The row's votes, shape (1, n_functions).
    decisions
        The rows of the newest curated set, with columns id, kept, reason and perhaps detail; None when there is none.
    runs
        The recorded steps by kind ("fit", "curate", "train", "generate"), newest first.
    judged
        Scores and human labels (-1 none) of the rows that people may have labelled, for the interval of the score.
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
        alike=people_on_alike(score, *judged) if judged is not None else None,
    )


def people_on_alike(score: float, scores: ArrayLike, Y: ArrayLike, n: int = 50) -> dict[str, Any] | None:
    """Return how often people accept the ``n`` labelled rows whose scores are nearest; None where few are near.

    That is what a score can be held to: an interval of the rate of rows like it, ``value``, ``low``, ``high``, ``n``,
    and the scores that these have, ``from`` and ``to``. Scores of rows that the model learned from must be out-of-fold.

    >>> found = people_on_alike(0.8, [0.1] * 20 + [0.8] * 20, [0] * 20 + [1] * 15 + [0] * 5, n=20)
    >>> found["value"], found["n"], found["from"], found["to"]
    (0.75, 20, 0.8, 0.8)
    """
    values, labels = np.asarray(scores, dtype=float), np.asarray(Y)
    values, labels = values[labels != ABSTAIN], labels[labels != ABSTAIN]
    if len(labels) < TOO_FEW:
        return None
    nearest = np.argsort(np.abs(values - score), kind="stable")[:n]
    if np.ptp(values[nearest]) > _ALIKE:
        return None
    found = rate(labels[nearest] == ACCEPT).to_dict()
    kept = {key: found[key] for key in ("value", "low", "high", "n")}
    return kept | {"from": float(values[nearest].min()), "to": float(values[nearest].max())}


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
    known = values.astype(object).where(values.notna(), None)
    return [{"feature": name, "value": known[name], "contribution": float(contributions[name])} for name in names]


def _decision(decisions: pd.DataFrame | None, row_id: str) -> dict[str, Any] | None:
    found = decisions[decisions["id"] == row_id] if decisions is not None else None
    if found is None or found.empty:
        return None
    row = found.iloc[0]
    if row["kept"]:
        return {"kept": True, "reason": ""}
    detail = str(row["detail"]) if "detail" in found.columns and row["detail"] else ""
    return {"kept": False, "reason": str(row["reason"])} | ({"detail": detail} if detail else {})


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
