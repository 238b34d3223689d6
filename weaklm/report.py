"""Report scored answers: the accept rate overall, by slice and by source, what drives REJECT, and what to do next.

The *proxy* accept rate is what the score says (the share of rows at or above the threshold); the *human* one is what
people said; the *corrected* one takes the score for the rows that nobody labelled, and the labels for how far the score
is off (stratified PPI++). Each number comes with its n and its 95 % interval, over instructions where several rows
answer one; the interval of the proxy shows the sampling of the rows, not an error of the score.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from weaklm.rendering import Rendered
from weaklm.reports.advice import advice
from weaklm.reports.agreement import agreement, length_correlation
from weaklm.reports.drawings import report_pictures
from weaklm.reports.error_modes import error_modes, pulls, some, votes
from weaklm.reports.examples import examples
from weaklm.reports.functions import findings, function_table
from weaklm.reports.notes import notes
from weaklm.reports.retrieval import retrieval
from weaklm.reports.scored import Members, Scored, flat

if TYPE_CHECKING:
    from weaklm.analysis import LFAnalysis
    from weaklm.quality import QualityModel

_BINS = 20


class Report(Rendered):
    """The accept rate of scored answers, what drives REJECT and what to do next; shows itself wherever it is printed.

    Parameters
    ----------
    data
        Examples; ``instruction`` and ``response`` are enough. A column ``human_label`` is the ground truth by people, a
        column ``context_label`` what they said of the retrieved context (ACCEPT or REJECT).
    score
        (n,) from 0 to 1: the probability of ACCEPT. For the corrected rate it must not have learned from the human
        labels of these very rows: give out-of-fold scores for rows that it learned from.
    slices
        Slicing functions.
    threshold
        A row counts as accepted when its score is at least this.
    Y
        (n,) labels by people, 0 REJECT, 1 ACCEPT, -1 none, in place of the column ``human_label``.
    inclusion
        (n,) the chance that each row had to be labelled (:func:`weaklm.sampling.draw`), where these differ. None: the
        labelled rows are an even draw.
    analysis
        The :class:`LFAnalysis` of the votes on these rows: adds the summary of the labeling functions, and which of
        them drive REJECT.
    quality
        The fitted quality model: adds which features drive REJECT, and the alarm that rows are unlike those that it
        learned from. It looks at 1,000 rows, drawn at random, of more.
    discover
        Search for slices that nobody wrote where quality is low (:func:`weaklm.discovery.discover_slices`).
    target
        A rate to decide against, such as a gate; with it, "what to do next" asks for the labels that decide.

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
        inclusion: ArrayLike | None = None,
        analysis: "LFAnalysis | None" = None,
        quality: "QualityModel | None" = None,
        discover: bool = False,
        target: float | None = None,
    ) -> None:
        self._scored = Scored.of(data, score, threshold, Y, inclusion)
        self._members = Members.of(self._scored.data, slices)
        found = _rates(self._scored, self._members, threshold) | _causes(
            self._scored, self._members, threshold, analysis, quality
        )
        found["discovered"] = _discovered(self._scored, slices) if discover else None
        found["notes"] = notes(found, self._scored.data, is_uneven=inclusion is not None)
        found["advice"] = advice(found, target)
        self._summary = found

    @property
    def overall(self) -> dict[str, Any]:
        """The numbers over all rows."""
        return dict(self.summary()["overall"])

    @property
    def accept_rate(self) -> dict[str, Any]:
        """The overall accept rate to rely on, with its interval: ``judged_by`` corrected, human or proxy."""
        return {"judged_by": self.overall["judged_by"], **self.overall[self.overall["judged_by"]]}

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
        return report_pictures(self._summary)


def _rates(scored: Scored, members: Members, threshold: float) -> dict[str, Any]:
    """Return the rates of all parts, and how well the score follows people."""
    data = scored.data
    by_source = [(name, (data["source"] == name).to_numpy()) for name in sorted(data["source"].unique())]
    return {
        "kind": "report",
        "threshold": float(threshold),
        "n": len(data),
        "n_instructions": int(data["instruction_id"].nunique()),
        "n_labelled": int((scored.Y >= 0).sum()),
        "overall": {"name": "all rows", **scored.rates(np.ones(len(data), dtype=bool))},
        "slices": [
            {"name": name, "reads_response": name in members.on_response, **scored.rates(inside)}
            for name, inside in members.items()
        ],
        "in_no_slice": int((~members.S.any(axis=1)).sum()) if members.names else None,
        "sources": [{"name": name, **scored.rates(inside)} for name, inside in by_source],
        "slices_by_source": [
            {"slice": name, "source": source, **scored.rates(inside & of_source)}
            for name, inside in members.items()
            for source, of_source in by_source
            if len(by_source) > 1
        ],
        "agreement": agreement(scored, threshold),
        "length": length_correlation(scored),
        "histogram": _histogram(scored),
        "retrieval": retrieval(scored, members),
    }


def _causes(
    scored: Scored,
    members: Members,
    threshold: float,
    analysis: "LFAnalysis | None",
    quality: "QualityModel | None",
) -> dict[str, Any]:
    """Return what is known of the functions, what drives REJECT, rows to read, and what the model warns of."""
    by_vote = None if analysis is None else votes(scored, analysis)
    by_pull = None if quality is None else pulls(scored, quality)
    causes = [drivers for drivers in (by_vote, by_pull) if drivers is not None]
    return {
        "functions": None if analysis is None else function_table(analysis, scored.Y),
        "findings": None if analysis is None else findings(analysis, scored.Y),
        "coverage": None if analysis is None else analysis.label_coverage(),
        "error_modes": error_modes(scored, members, by_vote, by_pull, None if analysis is None else analysis.L),
        "alarms": [] if quality is None or not len(scored.data) else _alarms(scored, quality),
        "examples": examples(scored, threshold, causes),
    }


def _alarms(scored: Scored, quality: "QualityModel") -> list[str]:
    """Return the alarms of the quality model on the rows, or on a random part of many."""
    return quality.alarms(scored.data.iloc[some(np.arange(len(scored.data)))])


def _discovered(scored: Scored, slices: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Return slices that nobody wrote where more rows are rejected than elsewhere, as rules and as source code."""
    from weaklm.discovery import discover_slices

    found = discover_slices(scored.data, ~scored.accepted, slices=slices)
    return list(found.summary())


def _histogram(scored: Scored) -> dict[str, Any]:
    """Return counts of rows by score, told apart by what people said."""
    edges = np.linspace(0, 1, _BINS + 1)
    groups = {"no human label": -1, "human REJECT": 0, "human ACCEPT": 1}
    counts = {name: np.histogram(scored.score[label == scored.Y], edges)[0] for name, label in groups.items()}
    return {"edges": edges.tolist(), "counts": {name: c.tolist() for name, c in counts.items() if c.any()}}
