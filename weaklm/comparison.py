"""Compare sources of answers, paired by instruction: differences with intervals, and a plain verdict."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.estimation import paired_difference
from weaklm.rendering import Rendered
from weaklm.reports.cautions import cautions, leakage
from weaklm.reports.drawings import comparison_pictures
from weaklm.reports.evidence import decide, evidence
from weaklm.reports.pairs import Pairs, Sides, members_of
from weaklm.reports.proxy_gap import proxy_gap
from weaklm.reports.scored import Scored, flat
from weaklm.reports.verdicts import judged_by, verdict


class Comparison(Rendered):
    """Two or more sources of answers on the same instructions: paired differences and a plain verdict.

    Rows are paired by ``instruction_id``. Several answers to one instruction count as their mean, so that the unit is
    the instruction. Where people labelled 15 pairs on both sides, the verdict is theirs, with the help of the scores of
    all pairs (PPI++); else it is what the score says. A slice whose members depend on the response has other members
    in each source: its difference is not reported. Slices are called different by p-values adjusted by Holm's method
    over all slices (and sources): the chance that any of them is called so by mistake is at most 5 %; the same holds
    for the overall outcomes.

    Parameters
    ----------
    base, tuned
        Examples of the two sources. A column ``human_label`` is the ground truth by people.
    base_score, tuned_score
        (n,) each, from 0 to 1: the probability of ACCEPT by the same judge.
    slices
        Slicing functions.
    names
        What to call the two; None: their ``source``, where each has one, else "base" and "tuned".
    threshold
        A row counts as accepted when its score is at least this.
    judge
        Who gave the scores, for the verdict.
    Y
        Labels of base and of tuned by people, 0 REJECT, 1 ACCEPT, -1 none, in place of the column ``human_label``.
    inclusion
        The chance that each row of base and of tuned had to be labelled (:func:`weaklm.sampling.draw`), where these
        differ. Rows are taken as drawn independently. None: the pairs that are labelled are an even draw.
    second_scores
        The scores of base and tuned by a second quality model that shares no function with the first, for the
        proxy-gap meter.
    trained_on
        Ids of rows, or of instructions, that the tuned model learned from: they are counted, and the difference
        without them is told.
    others
        Further sources by name, each as (examples, scores), compared with base, too.

    Examples
    --------
    >>> base = pd.DataFrame({"instruction": list("abcdefgh"), "response": "Sorry."})
    >>> tuned = base.assign(response="It rained.")
    >>> Comparison(base, [0.1] * 8, tuned, [0.9] * 8).outcome
    'better'
    """

    def __init__(
        self,
        base: pd.DataFrame,
        base_score: ArrayLike,
        tuned: pd.DataFrame,
        tuned_score: ArrayLike,
        *,
        slices: Sequence[Any] | None = None,
        names: Sequence[str] | None = None,
        threshold: float = 0.5,
        judge: str = "the quality model",
        Y: tuple[ArrayLike, ArrayLike] | None = None,
        inclusion: tuple[ArrayLike, ArrayLike] | None = None,
        second_scores: tuple[ArrayLike, ArrayLike] | None = None,
        trained_on: Collection[str] | None = None,
        others: Mapping[str, tuple[pd.DataFrame, ArrayLike]] | None = None,
    ) -> None:
        labels, chances = Y or (None, None), inclusion or (None, None)
        sides = (
            Scored.of(base, base_score, threshold, labels[0], chances[0]),
            Scored.of(tuned, tuned_score, threshold, labels[1], chances[1]),
        )
        first = (str(names[0]), str(names[1])) if names is not None else _names(sides)
        self._pairs = Pairs.of(sides, first)
        compared = [self._pairs]
        for name, (data, score) in (others or {}).items():
            compared.append(Pairs.of((sides[0], Scored.of(data, score, threshold)), (first[0], name)))
        found = [_measured(pairs, slices) for pairs in compared]
        _decide(found, judge)
        self._summary = {
            "kind": "comparison",
            "threshold": float(threshold),
            **found[0],
            "sources": found[1:],
            "gap": proxy_gap(self._pairs, threshold, second_scores),
            "leakage": leakage(self._pairs, trained_on),
            "worse": self._pairs.shown(-1),
            "better": self._pairs.shown(1),
        }
        self._summary["notes"] = cautions(self._summary, self._pairs)

    @property
    def verdict(self) -> str:
        """A sentence or two: better, worse, or no difference shown; on how many slices; what would settle the rest."""
        return str(self._summary["verdict"])

    @property
    def outcome(self) -> str:
        """``"better"``, ``"worse"`` or ``"undecided"``: whether the difference in accept rate excludes 0."""
        return str(self._summary["outcome"])

    def slices(self) -> pd.DataFrame:
        """Return one row a slice: the rate of each source, and the paired difference where it can be compared."""
        return flat(self._summary["slices"])

    def sources(self) -> pd.DataFrame:
        """Return one row a source that is compared with base: both rates, the difference, outcome and verdict."""
        shown = ("base", "tuned", "difference", "people", "p_adjusted", "outcome", "verdict")
        parts = [self._summary, *self._summary["sources"]]
        return flat([{"name": part["names"][1], **{key: part[key] for key in shown}} for part in parts])

    def worse(self) -> pd.DataFrame:
        """Return the instructions that the tuned source lost, the largest fall of the score first."""
        return self._pairs.beside(self._pairs.changed(-1))

    def better(self) -> pd.DataFrame:
        """Return the instructions that the tuned source won, the largest rise of the score first."""
        return self._pairs.beside(self._pairs.changed(1))

    def _pictures(self) -> dict[str, str]:
        return comparison_pictures(self._summary)


def _names(sides: Sides) -> tuple[str, str]:
    """Return the sources' names, where each side has one, and they differ."""
    found = [side.data["source"].unique().tolist() for side in sides]
    base, tuned = (source[0] if len(source) == 1 else "" for source in found)
    return (base, tuned) if base and tuned and base != tuned else ("base", "tuned")


def _measured(pairs: Pairs, slices: Sequence[Any] | None) -> dict[str, Any]:
    """Return the numbers of two sources, overall and by slice, without any decision."""
    table = pairs.table
    labelled = table.dropna(subset=["human_base", "human_tuned"])
    return {
        "names": list(pairs.names),
        "n_pairs": len(table),
        "unpaired": pairs.unpaired(),
        **evidence(table),
        "score_difference": paired_difference(table["score_base"], table["score_tuned"], smooth=False).to_dict(),
        "human_difference": paired_difference(labelled["human_base"], labelled["human_tuned"]).to_dict(),
        **_counts(pairs.change),
        "slices": _slices(pairs, slices),
    }


def _slices(pairs: Pairs, slices: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Return the numbers of each slice; no difference where its members cannot be compared."""
    parts = []
    for name, inside, reason in members_of(pairs, slices):
        numbers = evidence(pairs.table[inside[0]]) | _counts(pairs.change[inside[0]])
        numbers |= dict.fromkeys(("score_outcome", "p_adjusted", "outcome", "needed", "needed_labels"))
        if reason:
            numbers = {"base": numbers["base"], "tuned": evidence(pairs.table[inside[1]])["tuned"]} | dict.fromkeys(
                key for key in numbers if key not in ("base", "tuned")
            )
        parts.append({"name": name, "comparable": not reason, "reason": reason, **numbers})
    return parts


def _counts(change: NDArray[np.float64]) -> dict[str, int]:
    return {"wins": int((change > 0).sum()), "losses": int((change < 0).sum()), "ties": int((change == 0).sum())}


def _decide(found: list[dict[str, Any]], judge: str) -> None:
    """Add to each summary who is believed, the outcomes, overall and of the slices, and the verdict."""
    by = judged_by(found)
    decide(found, by)
    decide([part for summary in found for part in summary["slices"] if part["comparable"]], by)
    for summary in found:
        summary |= {"judge": judge, "judged_by": by}
        summary["verdict"] = verdict(summary)
