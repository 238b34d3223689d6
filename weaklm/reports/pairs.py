"""Two sources on the instructions that both answered: one entry an instruction, means over the answers of each side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError
from weaklm.metrics import check_score
from weaklm.reports.scored import Members, Scored, excerpt

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]  # places in a side's data
Sides = tuple[Scored, Scored]  # base, tuned

SHOWN = 20  # instructions that got worse, and that got better, in a summary


@dataclass(frozen=True)
class Pairs:
    """Instructions that base and tuned answered.

    Attributes
    ----------
    sides, names
        The answers of base and tuned, and what to call the two.
    table
        One row an instruction, on its id; for ``base`` and ``tuned`` each: ``accepted_``, ``score_`` and ``human_``,
        the means over its answers, ``excess_``, the mean of accepted less human label (NaN where nobody labelled), and
        ``chance_``, that of at least one of its answers to be labelled (NaN where that is not known).
    places
        For each side (n_rows,) the row of the table that an answer belongs to; -1 for none.
    """

    sides: Sides
    names: tuple[str, str]
    table: pd.DataFrame
    places: tuple[Rows, Rows]

    @classmethod
    def of(cls, sides: Sides, names: tuple[str, str]) -> "Pairs":
        """Return the instructions that both sides answered, in the order of base.

        Raises
        ------
        DataError
            If there is none.
        """
        base, tuned = (_by_instruction(side) for side in sides)
        table = base.add_suffix("_base").join(tuned.add_suffix("_tuned"), how="inner")
        if table.empty:
            ids = [side.data["instruction_id"].iloc[0] if len(side.data) else "no row" for side in sides]
            raise DataError(
                f"{names[0]} and {names[1]} answered no instruction in common, so there is nothing to compare; the "
                f"first instruction_id of each is {ids[0]!r} and {ids[1]!r}. Answers to one instruction need one "
                "instruction_id."
            )
        places = [table.index.get_indexer(side.data["instruction_id"]).astype(np.int64) for side in sides]
        return cls(sides, names, table, (places[0], places[1]))

    @cached_property
    def change(self) -> Numbers:
        """The share accepted of tuned less that of base, one an instruction."""
        return (self.table["accepted_tuned"] - self.table["accepted_base"]).to_numpy(np.float64)

    def means(self, scores: tuple[ArrayLike, ArrayLike], threshold: float) -> tuple[Numbers, Numbers]:
        """Return the share of each instruction's answers that reach a threshold, by other scores of base and tuned."""
        found = []
        for side, place, score in zip(self.sides, self.places, scores, strict=True):
            reached = (check_score(score, len(side.data)) >= threshold)[place >= 0]
            counts = np.bincount(place[place >= 0], minlength=len(self.table))
            found.append(np.bincount(place[place >= 0], reached, minlength=len(self.table)) / counts)
        return found[0], found[1]

    def inside(self, side: int, rows: Flags) -> Flags:
        """Return the instructions, (n_pairs,) bool, with at least one of these rows of a side."""
        found = np.zeros(len(self.table), dtype=bool)
        found[self.places[side][rows & (self.places[side] >= 0)]] = True
        return found

    def unpaired(self) -> list[dict[str, Any]]:
        """Return the instructions that only one side answered, counted with the reason."""
        counts = []
        for side, place, other in zip(self.sides, self.places, reversed(self.names), strict=True):
            n_instructions = int(side.data["instruction_id"][place < 0].nunique())
            counts.append((f"not answered by {other}", n_instructions, int((place < 0).sum())))
        return [{"reason": reason, "instructions": n, "rows": rows} for reason, n, rows in counts if rows]

    def changed(self, gain: int) -> tuple[Rows, Rows]:
        """Return the rows of base and tuned that show the instructions won (gain 1) or lost (-1), largest change first.

        Of several answers to an instruction, those are the best one of the side that does better and the worst one of
        the other side.
        """
        chosen = np.flatnonzero(np.sign(self.change) == gain)
        base, tuned = (self._extreme(k, sign)[chosen] for k, sign in enumerate((gain, -gain)))
        order = np.argsort(-gain * (self.sides[1].score[tuned] - self.sides[0].score[base]), kind="stable")
        return base[order], tuned[order]

    def _extreme(self, side: int, sign: int) -> Rows:
        """Return each instruction's row of the lowest (sign 1) or highest (-1) score."""
        order = np.argsort(sign * self.sides[side].score, kind="stable")[::-1]
        found = np.zeros(len(self.table), dtype=np.int64)
        place = self.places[side][order]
        found[place[place >= 0]] = order[place >= 0]  # the last one written is the most extreme
        return found

    def n_other_texts(self) -> int:
        """Return how many instructions read otherwise on the other side, under one instruction_id."""
        base, tuned = (
            side.data.drop_duplicates("instruction_id").set_index("instruction_id")["instruction"].loc[self.table.index]
            for side in self.sides
        )
        return int((base != tuned).sum())

    def beside(self, rows: tuple[Rows, Rows]) -> pd.DataFrame:
        """Return the two answers to each instruction, side by side."""
        base, tuned = (side.data.iloc[k].reset_index(drop=True) for side, k in zip(self.sides, rows, strict=True))
        answers = {"base_response": base["response"], "tuned_response": tuned["response"]}
        scores = {"base_score": self.sides[0].score[rows[0]], "tuned_score": self.sides[1].score[rows[1]]}
        return base[["instruction_id", "instruction", "context"]].assign(**answers, **scores)

    def shown(self, gain: int) -> list[dict[str, Any]]:
        """Return the first of the instructions won (1) or lost (-1) for a summary, long texts cut."""
        base, tuned = self.changed(gain)
        records = self.beside((base[:SHOWN], tuned[:SHOWN])).to_dict("records")
        return [{str(k): excerpt(v) if isinstance(v, str) else v for k, v in record.items()} for record in records]


def members_of(pairs: Pairs, slices: Sequence[Any] | None) -> list[tuple[str, tuple[Flags, Flags], str]]:
    """Return each slice with its instructions by the rows of base and of tuned, and why these cannot be compared."""
    base, tuned = (Members.of(side.data, slices) for side in pairs.sides)
    found = []
    for name in base.names:
        inside = pairs.inside(0, base[name]), pairs.inside(1, tuned[name])
        if name in base.on_response:
            reason = "reads the response"
        else:
            reason = "" if (inside[0] == inside[1]).all() else "has other members in each source"
        found.append((name, inside, reason))
    return found


def _by_instruction(side: Scored) -> pd.DataFrame:
    human = np.where(side.Y >= 0, side.Y, np.nan)  # means leave gaps out
    accepted = side.accepted.astype(float)
    columns = {"accepted": accepted, "score": side.score, "human": human, "excess": accepted - human}
    ids = side.data["instruction_id"].to_numpy()
    means = pd.DataFrame(columns).groupby(ids, sort=False).mean()
    if side.inclusion is None:
        return means.assign(chance=np.nan)
    return means.assign(chance=1 - pd.Series(1 - side.inclusion).groupby(ids, sort=False).prod())
