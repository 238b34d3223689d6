"""What one labeling function does, from votes to the curated set: the rows that it tips, and all without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, ACCEPT, HUMAN_LABEL, REJECT
from weaklm.errors import DataError, ModelError, nearest
from weaklm.label_model import LabelModel
from weaklm.quality import QualityModel
from weaklm.tipping import blame
from weaklm.voter import Voter


@dataclass(frozen=True, repr=False)
class FunctionEffect:
    """What :func:`blame_function` returns.

    Attributes
    ----------
    function
        The function's name.
    rows
        One row an example that it votes on, or that has another place without it: ``id``, ``vote`` (1, 0, -1),
        ``human_label``, ``label`` and ``label_without`` (P(ACCEPT) by the label model, with its vote and with an
        abstain in its place), ``tipped`` (these lie on different sides of the threshold); and, where the loop was
        run without it, ``score`` and ``score_without``, ``kept`` and ``kept_without``, ``reason`` and
        ``reason_without``. The most changed first.
    threshold
        The label from which a row counts as accepted.
    """

    function: str
    rows: pd.DataFrame
    threshold: float

    @property
    def kept_by_it(self) -> list[str]:
        """Ids of the rows that are in the curated set because of it."""
        return self._ids("kept", "kept_without")

    @property
    def dropped_by_it(self) -> list[str]:
        """Ids of the rows that would be in the curated set without it."""
        return self._ids("kept_without", "kept")

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain values; None where the loop was not run without the function."""
        rows, was_rerun = self.rows, "kept_without" in self.rows
        votes, tipped = rows["vote"].to_numpy(), rows["tipped"].to_numpy(dtype=bool)
        people = rows[HUMAN_LABEL].map({"REJECT": REJECT, "ACCEPT": ACCEPT}).to_numpy(dtype=float, na_value=np.nan)
        judged = (votes != ABSTAIN) & ~np.isnan(people)
        said = (rows["label"] >= self.threshold).to_numpy()
        return {
            "function": self.function,
            "n_votes": int((votes != ABSTAIN).sum()),
            "n_judged": int(judged.sum()),
            "n_right": int((judged & (votes == people)).sum()),
            "n_tipped": int(tipped.sum()),
            "n_tipped_judged": int((tipped & judged).sum()),
            "n_tipped_wrong": int((tipped & judged & (said != (people == ACCEPT))).sum()),
            "label_change": _mean(rows["label"] - rows["label_without"], votes != ABSTAIN),
            "score_change": _mean(rows["score"] - rows["score_without"], votes != ABSTAIN) if was_rerun else None,
            "n_kept": len(self.kept_by_it) if was_rerun else None,
            "n_dropped": len(self.dropped_by_it) if was_rerun else None,
        }

    def __str__(self) -> str:
        said = self.to_dict()
        lines = [f"{self.function} votes on {said['n_votes']:,} rows and tips the label of {said['n_tipped']:,}."]
        if said["n_judged"]:
            lines.append(
                f"People judged {said['n_judged']:,} of its votes: {said['n_right']:,} are right. Of the rows that it "
                f"tips they judged {said['n_tipped_judged']:,}: {said['n_tipped_wrong']:,} to the wrong side."
            )
        if said["n_kept"] is not None and said["n_votes"]:
            lines.append(
                f"It moves the score of a row that it votes on by {said['score_change']:+.3f} on average. Without it, "
                f"{said['n_kept']:,} rows would leave the curated set and {said['n_dropped']:,} would come in."
            )
        return " ".join(lines)

    __repr__ = __str__

    def _ids(self, has: str, lacks: str) -> list[str]:
        if "kept_without" not in self.rows:
            raise ModelError("the loop was not run without the function; pass score, score_without and both decisions")
        return self.rows.loc[self.rows[has] & ~self.rows[lacks], "id"].tolist()


def blame_function(
    data: pd.DataFrame,
    L: ArrayLike,
    names: Sequence[str],
    function: str,
    label_model: Voter,
    *,
    threshold: float = 0.5,
    score: ArrayLike | None = None,
    score_without: ArrayLike | None = None,
    decisions: pd.DataFrame | None = None,
    decisions_without: pd.DataFrame | None = None,
) -> FunctionEffect:
    """Return what a function does to the rows of ``data``: to their labels, and to their scores and curation.

    The labels are those of the fitted label model with an abstain in place of the function's votes. The scores and
    decisions are of the loop as it is and of a loop without the function, which :func:`scores_without` runs.

    Parameters
    ----------
    data
        The rows, with ``id`` and perhaps ``human_label``.
    L, names
        Votes (n_rows, n_functions) and the functions' names.
    score, score_without
        (n_rows,) P(ACCEPT) by the quality model.
    decisions, decisions_without
        Frames with ``id``, ``kept`` and ``reason``, such as ``QualityDataset.rows``; a row that is in neither was not
        up for curation.
    """
    if function not in names:
        raise DataError(f"there is no function {function!r}; {nearest(function, names)}")
    given = {"score": score, "score_without": score_without, "decisions": decisions}
    given["decisions_without"] = decisions_without
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise DataError(f"{', '.join(missing)} is missing; give both scores and both decisions, or none of the four")
    found = blame(label_model, L, list(names).index(function), threshold=threshold)
    labels = np.asarray(label_model.predict_proba(np.asarray(L)))[:, ACCEPT]
    people = data[HUMAN_LABEL] if HUMAN_LABEL in data.columns else pd.Series(None, index=data.index, dtype=object)
    rows = pd.DataFrame({"id": data["id"].to_numpy(), "vote": ABSTAIN, HUMAN_LABEL: people.to_numpy()})
    rows = rows.assign(label=labels, label_without=labels, tipped=False)
    rows.loc[found.rows, "vote"] = found.votes
    rows.loc[found.rows, "label_without"] = found.without
    rows.loc[found.rows, "tipped"] = found.tipped
    is_shown = (rows["vote"] != ABSTAIN).to_numpy()
    change = (rows["label"] - rows["label_without"]).abs()
    if score is not None and decisions is not None and decisions_without is not None:
        rows = rows.assign(score=np.asarray(score, dtype=float), score_without=np.asarray(score_without, dtype=float))
        rows = _decided(_decided(rows, decisions, ""), decisions_without, "_without")
        is_shown = is_shown | (rows["kept"] != rows["kept_without"]).to_numpy()
        change = (rows["score"] - rows["score_without"]).abs()
    order = np.argsort(-change.to_numpy(), kind="stable")
    return FunctionEffect(function, rows.iloc[order[is_shown[order]]].reset_index(drop=True), threshold)


def scores_without(
    data: pd.DataFrame,
    L: ArrayLike,
    function: int,
    *,
    Y: ArrayLike | None = None,
    inclusion: ArrayLike | None = None,
    label_model: Mapping[str, Any] | None = None,
    quality_model: Mapping[str, Any] | None = None,
) -> NDArray[np.float64]:
    """Return the out-of-fold scores (n_rows,) that the rows would have without the function in column ``function``.

    Label model and quality model are fitted anew on the other votes, with the settings of the loop as it is: the
    answer takes as long as a fit. Y and ``inclusion`` are the human labels and their chances, as for that fit.

    Raises
    ------
    ModelError
        If there is no other function.
    """
    if np.asarray(L).shape[1] < 2:
        raise ModelError("it is the only function: without it there are no votes to learn from, and no scores")
    rest = np.delete(np.asarray(L), function, axis=1)
    fitted = LabelModel(**dict(label_model or {})).fit(rest, Y, inclusion)
    quality = QualityModel(**dict(quality_model or {}))
    quality.fit(data, fitted.predict_proba(rest), Y, covered=fitted.covered(rest), inclusion=inclusion)
    return np.asarray(quality.oof_score_, dtype=float)


def _decided(rows: pd.DataFrame, decisions: pd.DataFrame, suffix: str) -> pd.DataFrame:
    place = pd.Index(decisions["id"]).get_indexer(rows["id"])
    is_there = place >= 0
    kept, reason = decisions["kept"].to_numpy(dtype=bool), decisions["reason"].to_numpy(dtype=object)
    none = np.full(len(rows), "not up for curation", dtype=object)
    return rows.assign(
        **{
            f"kept{suffix}": np.where(is_there, kept[place] if len(kept) else False, False),
            f"reason{suffix}": np.where(is_there, reason[place] if len(reason) else none, none),
        }
    )


def _mean(change: pd.Series, where: NDArray[np.bool_]) -> float | None:
    return float(change.to_numpy()[where].mean()) if where.any() else None
