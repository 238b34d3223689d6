"""Compare two sources of answers, paired by instruction: differences with intervals, and a plain verdict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm import pictures
from weaklm.errors import DataError
from weaklm.estimation import Estimate, paired_difference, wilson
from weaklm.rendering import Rendered
from weaklm.scored import Members, Scored, excerpt, flat

Sides = tuple[Scored, Scored]  # base, tuned
Rows = NDArray[np.int64]  # places in a side's data
_SHOWN = 20  # instructions that got worse, and that got better, in the summary


class Comparison(Rendered):
    """Two sources of answers on the instructions that both answered: paired differences and a plain verdict.

    Rows are paired by ``instruction_id``. Several answers to one instruction count as their mean, so that the unit is
    the instruction. A slice whose members depend on the response has other members in each source: its difference is
    not reported.

    Parameters
    ----------
    base, tuned
        Examples of the two sources.
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
    ) -> None:
        self._sides = Scored.of(base, base_score, threshold), Scored.of(tuned, tuned_score, threshold)
        self._names = _names(self._sides) if names is None else tuple(names)
        self._pairs = _pair(self._sides, self._names)
        self._summary = _summarise(
            self._sides, self._pairs, self._names, slices=slices, threshold=threshold, judge=judge
        )

    @property
    def verdict(self) -> str:
        """One sentence: better, worse, or no difference shown."""
        return str(self._summary["verdict"])

    @property
    def outcome(self) -> str:
        """``"better"``, ``"worse"`` or ``"undecided"``: whether the difference in accept rate excludes 0."""
        return str(self._summary["outcome"])

    def slices(self) -> pd.DataFrame:
        """Return one row a slice: the rate of each source, and the paired difference where it can be compared."""
        return flat(self._summary["slices"])

    def worse(self) -> pd.DataFrame:
        """Return the instructions that the tuned source lost, the largest fall of the score first."""
        return _beside(self._sides, _changed(self._sides, self._pairs, -1))

    def better(self) -> pd.DataFrame:
        """Return the instructions that the tuned source won, the largest rise of the score first."""
        return _beside(self._sides, _changed(self._sides, self._pairs, 1))

    def _pictures(self) -> dict[str, str]:
        parts = [{"name": "all", "difference": self._summary["difference"]}, *self._summary["slices"]]
        parts = [part for part in parts if part["difference"] and part["difference"]["value"] is not None]
        names, differences = [part["name"] for part in parts], [part["difference"] for part in parts]
        said = [f"{part['name']} {part['difference']['value'] * 100:+.1f} points" for part in parts]
        description = f"Differences in accept rate: {', '.join(said)}."
        drawn = pictures.forest(names, {"difference": differences}, description=description, difference=True)
        return {"differences": drawn} if len(parts) > 1 else {}


def _names(sides: Sides) -> tuple[str, ...]:
    """Return the sources' names, where each side has one, and they differ."""
    found = [side.data["source"].unique().tolist() for side in sides]
    names = tuple(source[0] if len(source) == 1 else "" for source in found)
    return names if all(names) and names[0] != names[1] else ("base", "tuned")


def _pair(sides: Sides, names: tuple[str, ...]) -> pd.DataFrame:
    """Return one row an instruction that both answered: means of accepted, score and human label on each side."""
    base, tuned = (_by_instruction(side) for side in sides)
    pairs = base.add_suffix("_base").join(tuned.add_suffix("_tuned"), how="inner")
    if pairs.empty:
        ids = [side.data["instruction_id"].iloc[0] if len(side.data) else "no row" for side in sides]
        raise DataError(
            f"{names[0]} and {names[1]} answered no instruction in common, so there is nothing to compare; the first "
            f"instruction_id of each is {ids[0]!r} and {ids[1]!r}. Answers to one instruction need one instruction_id."
        )
    return pairs


def _by_instruction(side: Scored) -> pd.DataFrame:
    columns = {
        "accepted": side.accepted.astype(float),
        "score": side.score,
        "human": np.where(side.Y >= 0, side.Y, np.nan),  # means leave gaps out
    }
    frame = pd.DataFrame(columns).groupby(side.data["instruction_id"].to_numpy(), sort=False)
    return frame.mean()


def _summarise(
    sides: Sides,
    pairs: pd.DataFrame,
    names: tuple[str, ...],
    *,
    slices: Sequence[Any] | None,
    threshold: float,
    judge: str,
) -> dict[str, Any]:
    change = (pairs["accepted_tuned"] - pairs["accepted_base"]).to_numpy()
    difference = paired_difference(pairs["accepted_base"], pairs["accepted_tuned"])
    labelled = pairs.dropna(subset=["human_base", "human_tuned"])
    outcome = _outcome(difference)
    summary = {
        "kind": "comparison",
        "names": list(names),
        "judge": judge,
        "threshold": float(threshold),
        "verdict": _verdict(difference, outcome, names, judge),
        "outcome": outcome,
        "n_pairs": len(pairs),
        "unpaired": _unpaired(sides, pairs, names),
        "base": _rate(pairs["accepted_base"]).to_dict(),
        "tuned": _rate(pairs["accepted_tuned"]).to_dict(),
        "difference": difference.to_dict(),
        "score_difference": paired_difference(pairs["score_base"], pairs["score_tuned"], smooth=False).to_dict(),
        "human_difference": paired_difference(labelled["human_base"], labelled["human_tuned"]).to_dict(),
        "wins": int((change > 0).sum()),
        "losses": int((change < 0).sum()),
        "ties": int((change == 0).sum()),
        "slices": _by_slice(sides, pairs, slices),
        "worse": _shown(sides, _changed(sides, pairs, -1)),
        "better": _shown(sides, _changed(sides, pairs, 1)),
    }
    return summary | {"notes": _notes(summary, sides, pairs)}


def _outcome(difference: Estimate) -> str:
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "undecided"  # also without an interval


def _verdict(difference: Estimate, outcome: str, names: tuple[str, ...], judge: str) -> str:
    on = f"on {difference.n:,} paired instruction{'s' if difference.n != 1 else ''}"
    if difference.n < 2:
        return f"Too few to tell {names[1]} from {names[0]}: {difference.value * 100:+.1f} points {on}."
    points = f"{difference.value * 100:+.1f} points [{difference.low * 100:+.1f}, {difference.high * 100:+.1f}] {on}"
    if outcome == "undecided":
        return f"No difference shown between {names[1]} and {names[0]} by {judge}: {points}."
    return f"{names[1]} is {outcome} than {names[0]} by {judge}: {points}."


def _rate(shares: pd.Series) -> Estimate:
    """Return the mean of shares accepted, one an instruction, with Wilson's interval over instructions."""
    low, high = wilson(float(shares.sum()), len(shares))
    return Estimate(float(shares.mean()), low, high, len(shares), "Wilson")


def _unpaired(sides: Sides, pairs: pd.DataFrame, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the instructions that only one side answered, counted with the reason."""
    unpaired = []
    for side, other in zip(sides, reversed(names), strict=True):
        alone = side.data[~side.data["instruction_id"].isin(pairs.index)]
        count = {"instructions": int(alone["instruction_id"].nunique()), "rows": len(alone)}
        unpaired.append({"reason": f"not answered by {other}", **count})
    return [part for part in unpaired if part["rows"]]


def _by_slice(sides: Sides, pairs: pd.DataFrame, slices: Sequence[Any] | None) -> list[dict[str, Any]]:
    members = [Members.of(side.data, slices) for side in sides]
    parts = []
    for name in members[0].names:
        inside = [
            pairs.index.isin(side.data["instruction_id"][of_side[name]])
            for side, of_side in zip(sides, members, strict=True)
        ]
        base, tuned = (_rate(pairs[f"accepted_{k}"][i]) for k, i in zip(("base", "tuned"), inside, strict=True))
        reason = _why_not(name in members[0].on_response, inside)
        both = pairs[inside[0]]
        difference = None if reason else paired_difference(both["accepted_base"], both["accepted_tuned"]).to_dict()
        rates = {"base": base.to_dict(), "tuned": tuned.to_dict(), "difference": difference}
        parts.append({"name": name, "comparable": not reason, "reason": reason, **rates})
    return parts


def _why_not(reads_response: bool, inside: list[Any]) -> str:
    """Return why a slice's members cannot be compared; empty if they can."""
    if reads_response:
        return "reads the response"
    return "" if (inside[0] == inside[1]).all() else "has other members in each source"


def _changed(sides: Sides, pairs: pd.DataFrame, gain: int) -> tuple[Rows, Rows]:
    """Return the rows of base and tuned that show the instructions won (gain 1) or lost (-1), the largest change first.

    Of several answers to an instruction, those are the best one of the side that does better and the worst one of the
    other side.
    """
    chosen = pairs.index[np.sign(pairs["accepted_tuned"] - pairs["accepted_base"]) == gain]
    base, tuned = (_extreme(side, sign)[chosen].to_numpy() for side, sign in zip(sides, (gain, -gain), strict=True))
    order = np.argsort(-gain * (sides[1].score[tuned] - sides[0].score[base]), kind="stable")
    return base[order], tuned[order]


def _extreme(side: Scored, sign: int) -> pd.Series:
    """Return the place of each instruction's row of the lowest (sign 1) or highest (-1) score."""
    order = np.argsort(sign * side.score, kind="stable")
    places = pd.Series(order, index=side.data["instruction_id"].to_numpy()[order])
    return places[~places.index.duplicated()]


def _beside(sides: Sides, rows: tuple[Rows, Rows]) -> pd.DataFrame:
    """Return the two answers to each instruction, side by side."""
    base, tuned = (side.data.iloc[places].reset_index(drop=True) for side, places in zip(sides, rows, strict=True))
    answers = {"base_response": base["response"], "tuned_response": tuned["response"]}
    scores = {"base_score": sides[0].score[rows[0]], "tuned_score": sides[1].score[rows[1]]}
    return base[["instruction_id", "instruction", "context"]].assign(**answers, **scores)


def _shown(sides: Sides, rows: tuple[Rows, Rows]) -> list[dict[str, Any]]:
    """Return the first of them for a summary, long texts cut."""
    records = _beside(sides, (rows[0][:_SHOWN], rows[1][:_SHOWN])).to_dict("records")
    return [{key: excerpt(v) if isinstance(v, str) else v for key, v in record.items()} for record in records]


def _notes(summary: dict[str, Any], sides: Sides, pairs: pd.DataFrame) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    base, tuned = summary["names"]
    notes = [
        f"{part['instructions']:,} instructions ({part['rows']:,} rows) are left out: {part['reason']}."
        for part in summary["unpaired"]
    ]
    human = summary["human_difference"]
    if human["low"] is None:
        notes.append(f"People have not labelled both sources: this is what {summary['judge']} says.")
    else:
        interval = f"[{human['low'] * 100:+.1f}, {human['high'] * 100:+.1f}]"
        points = f"{human['value'] * 100:+.1f} points {interval}"
        notes.append(f"People, who labelled both sources on {human['n']:,} of the instructions, say {points}.")
    for side, name in zip(sides, (base, tuned), strict=True):
        rows = side.data[side.data["instruction_id"].isin(pairs.index)]
        if len(rows) > len(pairs):
            sources = rows["source"].nunique()
            from_ = f" from {sources} sources" if sources > 1 else ""
            notes.append(f"{name} has {len(rows):,} answers{from_} to {len(pairs):,} instructions; their mean counts.")
    texts = [side.data.drop_duplicates("instruction_id").set_index("instruction_id")["instruction"] for side in sides]
    n_other = int((texts[0].reindex(pairs.index) != texts[1].reindex(pairs.index)).sum())
    if n_other:
        notes.append(f"{n_other:,} paired instructions differ in their text between the two, under one instruction_id.")
    if sum(part["comparable"] for part in summary["slices"]) > 1:
        notes.append("Intervals of slices stand each for itself: of 20 slices without a difference, one will show one.")
    return notes
