"""What a frame teaches: its rows, encoded, with labels, weights or pairs, made into an objective."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import complete, content_hash
from weaklm.errors import DataError, ModelError, SettingsError, nearest
from weaklm.lm.objectives import DPO, KTO, SFT, Objective, mismatch
from weaklm.lm.template import EncodedRows, Template, TokenRow

OBJECTIVES = ("sft", "kto", "apo_zero", "dpo")

NO_PARTNER = "the other response of the pair does not fit"
WEIGHT = "training_weight"  # the column that a frame to learn from gets
_ACCEPTED = {"ACCEPT": True, "REJECT": False, 1: True, 0: False}  # 1 and 0 stand for True and False, too


@dataclass(frozen=True)
class Supervision:
    """What one objective needs beside the rows.

    Attributes
    ----------
    objective
        One of :data:`OBJECTIVES`.
    row_weight
        The column of weights; None is 1 for "sft", and equal classes for "kto" and "apo_zero".
    beta
        For all but "sft": how far the model may go from the reference.
    max_length, random_state
        Longest row in tokens; seed of KTO's mismatched rows.
    """

    objective: str
    row_weight: str | None
    beta: float
    max_length: int
    random_state: int

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise SettingsError(
                f"there is no objective {self.objective!r}; {nearest(self.objective, OBJECTIVES)} ('sft' learns the "
                "responses of the rows, 'kto' and 'apo_zero' from accepted and rejected rows, 'dpo' from pairs)"
            )
        if self.objective == "dpo" and self.row_weight is not None:
            raise SettingsError(
                f"row_weight is {self.row_weight!r}, but 'dpo' learns from pairs, not rows; leave it out"
            )

    def frame(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows to learn from, complete; for "dpo" the pairs, with the chosen response as ``response``.

        Raises
        ------
        DataError
            If labels, weights or pairs are missing.
        """
        if self.objective != "dpo":
            frame = complete(data)
            return frame.assign(**{WEIGHT: self._weights(frame)})
        if not {"chosen", "rejected"} <= set(data.columns):
            from weaklm.curation.preferences import preference_pairs  # only here: other objectives need no curation

            rows = complete(data)
            label = np.where(accepted(rows), "ACCEPT", "REJECT")
            data = preference_pairs(rows.assign(label=label, score=_scores(rows, label == "ACCEPT")))
        frame = complete(data.assign(response=data["chosen"]))
        if {"chosen_id", "rejected_id"} <= set(data.columns):
            return frame.assign(id=frame["chosen_id"].astype(str) + " over " + frame["rejected_id"].astype(str))
        return frame.assign(id=[content_hash(*pair) for pair in zip(frame["id"], frame["rejected"], strict=True)])

    def encode(self, frame: pd.DataFrame, template: Template) -> tuple[Objective, EncodedRows]:
        """Return the objective of a frame of :meth:`frame`, and its rows with all that was cut or left out.

        Raises
        ------
        ModelError
            If no row fits.
        """
        encoded = template.encode(frame, self.max_length)
        if self.objective == "dpo":
            rejected = template.encode(frame.assign(response=frame["rejected"]), self.max_length)
            pairs, encoded = _pairs(encoded, rejected)
            _check_any(encoded, len(frame))
            return DPO(pairs, self.beta), encoded
        _check_any(encoded, len(frame))
        kept = frame[~frame["id"].isin({i for ids in encoded.dropped.values() for i in ids})]
        rows, weights = encoded.rows, kept[WEIGHT].to_numpy()
        if self.objective == "sft":
            return SFT(rows, weights), encoded
        mismatched = mismatch(rows, self.max_length, self.random_state) if self.objective == "kto" else []
        return KTO(rows, accepted(kept), weights, self.beta, mismatched), encoded

    def _weights(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the weight of each row, (n_rows,)."""
        if self.row_weight is None:
            return np.ones(len(frame)) if self.objective == "sft" else _equal_classes(accepted(frame))
        if self.row_weight not in frame.columns:
            raise DataError(f"there is no column {self.row_weight!r} of row weights; {nearest(self.row_weight, frame)}")
        weights = pd.to_numeric(frame[self.row_weight], errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong) or not weights.any():
            place = frame["id"].iloc[wrong[0]] if len(wrong) else "every row"
            value = frame[self.row_weight].iloc[wrong[0]] if len(wrong) else 0
            raise DataError(
                f"the weight in column {self.row_weight!r} of {place} is {value}; numbers of 0 or more are expected, "
                "some of them above 0"
            )
        return weights


def accepted(data: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether each row is ACCEPT, by ``label`` if there is one, else by a ``score`` of at least 0.5.

    >>> accepted(pd.DataFrame({"label": ["ACCEPT", "REJECT"], "score": [0.1, 0.2]})).tolist()
    [True, False]
    >>> accepted(pd.DataFrame({"score": [0.5, 0.4]})).tolist()
    [True, False]
    """
    if "label" in data.columns:
        values = [_ACCEPTED.get(value) if np.isscalar(value) else None for value in data["label"]]
        unknown = next((i for i, value in enumerate(values) if value is None), None)
        if unknown is not None:
            raise DataError(
                f"the label of row {unknown} is {data['label'].iloc[unknown]!r}; 'ACCEPT' or 'REJECT' was expected"
            )
        return np.array(values, dtype=bool)
    if "score" not in data.columns:
        raise DataError(
            "the rows are neither accepted nor rejected: there is no column 'label' (ACCEPT or REJECT) and no column "
            "'score'. QualityDataset(data, score).filter(labels=['ACCEPT', 'REJECT'], confidence_threshold=0.9) has one"
        )
    score = data["score"].to_numpy(dtype=np.float64)
    if np.isnan(score).any():
        raise DataError(f"row {int(np.flatnonzero(np.isnan(score))[0])} has no score; give it one, or leave it out")
    return score >= 0.5


def _check_any(encoded: EncodedRows, n_rows: int) -> None:
    if not encoded.rows:
        reasons = "; ".join(f"{len(ids)} because {reason}" for reason, ids in encoded.dropped.items())
        raise ModelError(f"no row is left to train on: of {n_rows} rows, {reasons or 'none were there'}")


def _scores(rows: pd.DataFrame, is_accepted: NDArray[np.bool_]) -> Any:
    return rows["score"] if "score" in rows.columns else is_accepted.astype(np.float64)


def _equal_classes(is_accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights that make both classes weigh the same, 1 for a row of the larger one."""
    n_accepted, n_rejected = int(is_accepted.sum()), int((~is_accepted).sum())
    if not n_accepted or not n_rejected:
        raise DataError(
            f"there are {n_accepted} accepted and {n_rejected} rejected rows to learn from; KTO learns from both. Keep "
            "both labels when you curate, or train with objective='sft'"
        )
    larger = max(n_accepted, n_rejected)
    return np.where(is_accepted, larger / n_accepted, larger / n_rejected)


def _pairs(chosen: EncodedRows, rejected: EncodedRows) -> tuple[list[tuple[TokenRow, TokenRow]], EncodedRows]:
    """Return pairs of rows with one prompt, and a record of what was cut or left out."""
    others = {row.id: row for row in rejected.rows}
    here = {row.id for row in chosen.rows}
    dropped = {reason: list(ids) for reason, ids in chosen.dropped.items()}
    alone = [row.id for row in chosen.rows if row.id not in others]
    if alone:
        dropped[NO_PARTNER] = alone
    pairs = [_with_one_prompt(row, others[row.id]) for row in chosen.rows if row.id in others]
    cut = {
        i: max(c.context_cut.get(i, 0) for c in (chosen, rejected)) for i in rejected.context_cut | chosen.context_cut
    }
    rows = [row for pair in pairs for row in pair]
    return pairs, EncodedRows(rows, {i: n for i, n in cut.items() if i in here & set(others)}, dropped)


def _with_one_prompt(one: TokenRow, other: TokenRow) -> tuple[TokenRow, TokenRow]:
    """Return two rows with the shorter of their prompts, which differ where one's context was cut further."""
    shorter = min(one, other, key=lambda row: row.n_prompt)
    prompt = shorter.ids[: shorter.n_prompt]
    first, second = (
        TokenRow(row.id, np.concatenate([prompt, row.ids[row.n_prompt :]]), len(prompt)) for row in (one, other)
    )
    return first, second
