"""Report scored answers: the accept rate overall, by slice and by source, summarised to plain values.

The *proxy* accept rate is what the score says (the share of rows at or above the threshold); the *human* one is what
people said; the *corrected* one takes the score for the rows that nobody labelled, and the labels for how far the score
is off. Each number comes with its n and its 95 % interval, which shows the sampling of the rows, not an error of the
score.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm import metrics, pictures
from weaklm.estimation import paired_difference
from weaklm.rendering import Rendered
from weaklm.scored import Members, Scored, flat

_BINS = 20


class Report(Rendered):
    """The accept rate of scored answers: overall, by slice, by source; shows itself in a notebook and a terminal.

    Parameters
    ----------
    data
        Examples; ``instruction`` and ``response`` are enough. A column ``human_label`` is the ground truth by people.
    score
        (n,) from 0 to 1: the probability of ACCEPT. For the corrected rate it must not have learned from the human
        labels of these very rows.
    slices
        Slicing functions.
    threshold
        A row counts as accepted when its score is at least this.
    Y
        (n,) labels by people, 0 REJECT, 1 ACCEPT, -1 none, in place of the column ``human_label``.

    Examples
    --------
    >>> data = pd.DataFrame({"instruction": ["Why?", "How?"], "response": ["It rained.", "Sorry."]})
    >>> report = Report(data, [0.9, 0.2])
    >>> report.overall["proxy"]["value"], report.overall["human"]["n"]
    (0.5, 0)
    """

    def __init__(
        self,
        data: pd.DataFrame,
        score: ArrayLike,
        *,
        slices: Sequence[Any] | None = None,
        threshold: float = 0.5,
        Y: ArrayLike | None = None,
    ) -> None:
        self._scored = Scored.of(data, score, threshold, Y)
        self._members = Members.of(self._scored.data, slices)
        self._summary = _summarise(self._scored, self._members, threshold)

    @property
    def overall(self) -> dict[str, Any]:
        """The numbers over all rows."""
        return dict(self.summary()["overall"])

    def slices(self) -> pd.DataFrame:
        """Return one row a slice: n, share of the rows, rates with their intervals."""
        return flat(self._summary["slices"])

    def sources(self) -> pd.DataFrame:
        """Return one row a model source: n, share of the rows, rates with their intervals."""
        return flat(self._summary["sources"])

    def rows(self, slice: str | None = None, source: str | None = None) -> pd.DataFrame:
        """Return rows with their ``score`` and ``decision``, the lowest score first; None: of any slice, any source."""
        data, n = self._scored.data, len(self._scored.data)
        inside = self._members[slice] if slice is not None else np.ones(n, dtype=bool)
        if source is not None:
            inside = inside & (data["source"] == source).to_numpy()
        decision = np.where(self._scored.accepted, "ACCEPT", "REJECT")
        return data.assign(score=self._scored.score, decision=decision)[inside].sort_values("score", kind="stable")

    def _pictures(self) -> dict[str, str]:
        return _pictures(self._summary)


def _summarise(scored: Scored, members: Members, threshold: float) -> dict[str, Any]:
    data = scored.data
    everything = np.ones(len(data), dtype=bool)
    by_source = {name: (data["source"] == name).to_numpy() for name in sorted(data["source"].unique())}
    by_slice = {name: members[name] for name in members.names}
    summary = {
        "kind": "report",
        "threshold": float(threshold),
        "n": len(data),
        "n_instructions": int(data["instruction_id"].nunique()),
        "n_labelled": int((scored.Y >= 0).sum()),
        "overall": {"name": "all rows", **scored.rates(everything)},
        "slices": [
            {"name": name, "reads_response": name in members.on_response, **scored.rates(inside)}
            for name, inside in by_slice.items()
        ],
        "in_no_slice": int((~members.S.any(axis=1)).sum()) if members.names else None,
        "sources": [{"name": name, **scored.rates(inside)} for name, inside in by_source.items()],
        "slices_by_source": _crossed(scored, by_slice, by_source),
        "agreement": _agreement(scored),
        "histogram": _histogram(scored),
        "examples": _examples(scored, threshold),
    }
    return summary | {"notes": _notes(summary, data)}


def _crossed(scored: Scored, by_slice: dict[str, Any], by_source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rates of each slice within each source, where there are several sources."""
    if len(by_source) < 2:
        return []
    return [
        {"slice": name, "source": source, **scored.rates(members & inside)}
        for name, members in by_slice.items()
        for source, inside in by_source.items()
    ]


def _agreement(scored: Scored) -> dict[str, Any] | None:
    """Return how well the score follows the people who labelled, or None where nobody did."""
    is_labelled = scored.Y >= 0
    if not is_labelled.any():
        return None
    Y, score, accepted = scored.Y[is_labelled], scored.score[is_labelled], scored.accepted[is_labelled]
    measures = {
        "auc": metrics.auc(Y, score),
        "balanced_accuracy": metrics.balanced_accuracy(Y, accepted),
        "kappa": metrics.agreement(Y, accepted.astype(int)),
        "f1_accept": metrics.f1(Y, accepted),
        "f1_reject": metrics.f1(Y, accepted, of=0),
        "brier": metrics.brier(Y, score),
        "ece": metrics.ece(Y, score),
        "label_worth": _label_worth(Y, score),
    }
    shown = {name: None if np.isnan(value) else value for name, value in measures.items()}
    return {"n": len(Y), "n_reject": int((Y == 0).sum()), **shown, "gap": paired_difference(Y, accepted).to_dict()}


def _label_worth(Y: NDArray[Any], score: NDArray[np.float64]) -> float:
    """Return how many labels one label is worth in the corrected rate, thanks to the score: 1 / (1 - correlation ** 2).

    nan where it cannot be said: the labels, or the scores, are all the same.
    """
    if len(np.unique(Y)) < 2 or score.std() == 0:
        return float("nan")
    correlation = max(float(np.corrcoef(Y, score)[0, 1]), 0.0)  # a score that runs against people gets no weight
    return 1 / (1 - correlation**2) if correlation < 1 else float("nan")


def _histogram(scored: Scored) -> dict[str, Any]:
    """Return counts of rows by score, told apart by what people said."""
    edges = np.linspace(0, 1, _BINS + 1)
    groups = {"no human label": -1, "human REJECT": 0, "human ACCEPT": 1}
    counts = {name: np.histogram(scored.score[label == scored.Y], edges)[0] for name, label in groups.items()}
    return {"edges": edges.tolist(), "counts": {name: c.tolist() for name, c in counts.items() if c.any()}}


def _examples(scored: Scored, threshold: float) -> list[dict[str, Any]]:
    """Return at most 45 rows worth reading, in groups; no row twice."""
    score, distance = scored.score, np.abs(scored.score - threshold)
    is_wrong = (scored.Y >= 0) & (scored.accepted != (scored.Y == 1))
    everything = np.ones(len(score), dtype=bool)
    groups: list[tuple[str, NDArray[Any], NDArray[np.bool_], int]] = [
        ("The score and people disagree, the surest first", -distance, is_wrong, 15),
        ("The lowest scores", score, everything, 10),
        ("The highest scores", -score, everything, 10),
        ("The least sure", distance, everything, 10),
    ]
    shown: set[int] = set()
    examples: list[dict[str, Any]] = []
    for title, order, inside, n in groups:
        rows = [int(row) for row in np.argsort(order, kind="stable") if inside[row] and int(row) not in shown][:n]
        shown.update(rows)
        if rows:
            examples.append({"title": title, "rows": [scored.example(row) for row in rows]})
    return examples


def _notes(summary: dict[str, Any], data: pd.DataFrame) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    n, n_labelled, overall = summary["n"], summary["n_labelled"], summary["overall"]
    notes = []
    if n and not n_labelled:
        notes.append("No row has a human label: every rate here is what the score says, and nobody has checked it.")
    elif n and overall["corrected"] is None and n_labelled < n:
        notes.append("A corrected rate needs at least 15 human labels, 3 of them ACCEPT and 3 REJECT.")
    if n_labelled:
        notes += _gap_notes(summary["agreement"]["gap"])
    if n > summary["n_instructions"]:
        notes.append(
            f"{n:,} rows answer {summary['n_instructions']:,} instructions. Intervals count rows as independent; where "
            "answers to one instruction resemble each other they are too narrow."
        )
    n_train = int((data["split"] == "train").sum())
    if n_train:
        notes.append(f"{n_train:,} rows are of the split 'train': the score may have learned from them.")
    if summary["in_no_slice"]:
        notes.append(f"{summary['in_no_slice']:,} rows are in no slice.")
    on_response = [part["name"] for part in summary["slices"] if part["reads_response"]]
    if on_response:
        notes.append(
            f"Slices that read the response: {', '.join(on_response)}. Their members change from source to source, so "
            "sources cannot be compared on them."
        )
    return notes


def _gap_notes(gap: dict[str, Any]) -> list[str]:
    """Return a note where the score clearly accepts more, or less, than people do on the rows that they labelled."""
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        return []
    kind, more = ("generous", "more") if gap["value"] > 0 else ("strict", "less")
    points = abs(gap["value"]) * 100
    return [
        f"The score is too {kind}: on {gap['n']:,} labelled rows it accepts {points:.1f} points {more} than people do."
    ]


def _pictures(summary: dict[str, Any]) -> dict[str, str]:
    """Return the SVG pictures of a summary by name."""
    drawn: dict[str, str] = {}
    if summary["n"]:
        histogram = summary["histogram"]
        description = f"Histogram of the scores of {summary['n']:,} rows."
        drawn["histogram"] = pictures.histogram(**histogram, threshold=summary["threshold"], description=description)
    for kind in ("slices", "sources"):
        if len(summary[kind]) > (kind == "sources"):
            parts = [part for part in summary[kind] if part["n"]]
            drawn[kind] = _forest([summary["overall"], *parts], f"Accept rates by {kind[:-1]}")
    return drawn


def _forest(parts: list[dict[str, Any]], title: str) -> str:
    shown = ("proxy", "human", "corrected")
    series = {name: [part[name] for part in parts] for name in shown}
    drawn = {name: values for name, values in series.items() if any(v and v["value"] is not None for v in values)}
    said = [f"{part['name']} {part['proxy']['value']:.0%}" for part in parts if part["proxy"]["value"] is not None]
    return pictures.forest([part["name"] for part in parts], drawn, description=f"{title}: {', '.join(said)}.")
