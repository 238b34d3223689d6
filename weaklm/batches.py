"""Batches of rows for people to label: drawn with known chances, which are kept with the project.

The chance that each row had to be drawn is what makes labels worth more than the model they correct: it stays with
the batch, and whoever estimates something from the labels asks for it (:meth:`Batches.estimable`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from weaklm import store as tables
from weaklm.atomic import atomic_file
from weaklm.data import ABSTAIN, content_hash
from weaklm.errors import ProjectError, SettingsError, nearest
from weaklm.sampling import Draw, draw
from weaklm.store import Store, now

Purpose = Literal["learn", "certify", "debug"]

_SHOWN = ("id", "instruction", "context", "prompt_prefix", "response", "source")


@dataclass(frozen=True)
class AnnotationBatch:
    """Some rows for people to label, in random order: the first k of them are as good a batch as all.

    Attributes
    ----------
    purpose
        "learn": half even, half where the score is unsure; its labels train, calibrate and estimate. "certify": even,
        from a score on; kept for a certificate. "debug": rows where one function speaks against the score; no draw, so
        its labels estimate nothing.
    rows
        (n, ...) the rows: id, instruction, context, prompt_prefix, response, source.
    """

    id: str
    purpose: Purpose
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return f"batch {self.id} to {self.purpose}: {len(self):,} rows"

    def to_dict(self) -> dict[str, Any]:
        """Return what tells the batch from others, without its texts, for JSON."""
        return {"id": self.id, "purpose": self.purpose, "n_rows": len(self), "ids": self.rows["id"].tolist()}

    def to_csv(self, path: str | Path) -> Path:
        """Write the rows with empty columns ``label`` and ``annotator``: filled in, the file goes to ``add_labels``."""
        with atomic_file(path) as temporary:
            self.rows.assign(label="", annotator="").to_csv(temporary, index=False)
        return Path(path)


def opposed(votes: NDArray[np.int8], score: NDArray[np.float64], Y: NDArray[np.int8], n: int) -> Draw:
    """Return up to ``n`` rows without a label where a function's votes (n_rows,) speak most against the score.

    >>> opposed(np.array([1, 0, -1, 1]), np.array([0.1, 0.9, 0.5, 0.8]), np.array([-1, -1, -1, -1]), n=2).rows.tolist()
    [0, 1]
    """
    against = np.where((votes != ABSTAIN) & (Y == ABSTAIN), np.abs(votes - score), 0.0)
    rows = np.argsort(-against, kind="stable")[:n]
    return Draw(rows[against[rows] > 0.5], np.zeros(len(votes)))


def from_score_on(score: NDArray[np.float64], Y: NDArray[np.int8], n: int, least: float, random_state: int) -> Draw:
    """Return ``n`` rows without a label, drawn evenly from those that score at least ``least``.

    >>> sorted(from_score_on(np.array([0.1, 0.9, 0.8, 0.2]), np.full(4, -1), 2, 0.5, random_state=0).rows.tolist())
    [1, 2]
    """
    above = np.flatnonzero(score >= least)
    drawn = draw(score[above], n, labelled=Y[above] != ABSTAIN, uncertain_share=0.0, random_state=random_state)
    inclusion = np.zeros(len(score))
    inclusion[above] = drawn.inclusion
    return Draw(above[drawn.rows], inclusion)


class Batches:
    """The batches in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, purpose: Purpose, data: pd.DataFrame, drawn: Draw, settings: Mapping[str, Any]) -> AnnotationBatch:
        """Keep a draw from the rows of ``data`` as a batch, with the chance of every row; return it."""
        if purpose not in get_args(Purpose):
            raise SettingsError(f"purpose is {purpose!r}; {nearest(str(purpose), get_args(Purpose))}")
        place = np.full(len(data), -1, dtype=np.int64)
        place[drawn.rows] = np.arange(len(drawn.rows))
        kept = pd.DataFrame({"id": data["id"].to_numpy(), "inclusion": drawn.inclusion, "place": place})
        with self._store.write() as connection:
            number = connection.execute(sa.select(sa.func.count()).select_from(tables.batches)).scalar_one()
            batch_id = content_hash("batch", str(number), *data["id"].iloc[drawn.rows])
            values = {"id": batch_id, "purpose": purpose, "settings": dict(settings), "created": now()}
            connection.execute(tables.batches.insert().values(values))
            self._store.add_part(connection, "batches", batch_id, kept)
        return AnnotationBatch(batch_id, purpose, _shown(data.iloc[drawn.rows]))

    def get(self, batch_id: str, data: pd.DataFrame) -> AnnotationBatch:
        """Return a batch by its id; ``data`` are the responses of the project."""
        known = self._all()
        if batch_id not in known:
            raise ProjectError(f"there is no batch {batch_id!r}; {nearest(batch_id, known)}")
        kept = self._rows(batch_id)
        ids = kept[kept["place"] >= 0].sort_values("place")["id"]
        return AnnotationBatch(batch_id, known[batch_id]["purpose"], _shown(data.set_index("id", drop=False).loc[ids]))

    def to_frame(self, Y: NDArray[np.int8], data: pd.DataFrame) -> pd.DataFrame:
        """Return one row a batch, the oldest first: id, purpose, rows, how many of them have a label, settings."""
        labelled = set(data["id"][Y != ABSTAIN])
        rows = []
        for batch_id, batch in self._all().items():
            ids = self._drawn(batch_id)
            about = {"n_rows": len(ids), "n_labelled": len(ids & labelled), **batch["settings"]}
            rows.append({"batch": batch_id, "purpose": batch["purpose"], **about, "created": batch["created"]})
        return pd.DataFrame(rows)

    def asked(self, data: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows (n,) a batch holds already: nobody is asked twice, so that batches share no row."""
        ids = set[str]().union(*map(self._drawn, self._all()))
        return data["id"].isin(ids).to_numpy(dtype=bool)

    def estimable(
        self, data: pd.DataFrame, Y: NDArray[np.int8], purposes: tuple[Purpose, ...] = ("learn",)
    ) -> tuple[NDArray[np.int8], NDArray[np.float64] | None]:
        """Return the labels (n,) that an estimate may use, -1 for the others, and the chance of each row to have one.

        Labels that only batches of other purposes asked for are left out: those rows were picked, not drawn. The chance
        (n,) is that of the row in any of the batches, times the share of the batch's rows here that is labelled so far.
        Labels that came otherwise, whose chance nobody knows, are taken as an even draw of the other rows; where there
        are no others, the chance is None.
        """
        here, labelled = set(data["id"]), set(data["id"][Y != ABSTAIN])
        batches = [(batch_id, batch["purpose"] in purposes) for batch_id, batch in self._all().items()]
        asked = {batch_id: self._drawn(batch_id) & here for batch_id, _ in batches}
        drawn = set[str]().union(*(asked[batch_id] for batch_id, counts in batches if counts))
        picked = set[str]().union(*asked.values()) - drawn
        usable = np.where(data["id"].isin(picked), ABSTAIN, Y).astype(np.int8)
        if not drawn & labelled:
            return usable, None
        others = here - drawn - picked
        chance = np.full(len(data), len(labelled & others) / max(len(others), 1))
        undrawn = 1 - chance  # the chance that no batch so far asked for the row
        for batch_id, counts in batches:
            own = asked[batch_id]
            kept = self._rows(batch_id).set_index("id")["inclusion"]
            inclusion = data["id"].map(kept).fillna(0.0).to_numpy(np.float64)
            chance += undrawn * inclusion * (len(own & labelled) / max(len(own), 1) if counts else 0.0)
            undrawn *= 1 - inclusion
        return usable, np.minimum(chance, 1.0)

    def _all(self) -> dict[str, dict[str, Any]]:
        rows = self._store.rows(sa.select(tables.batches).order_by(tables.batches.c.number))
        return {row["id"]: row for row in rows}

    def _rows(self, batch_id: str) -> pd.DataFrame:
        kept = self._store.frame("batches", batch_id)
        assert kept is not None, f"the rows of batch {batch_id} were kept with it"
        return kept

    def _drawn(self, batch_id: str) -> set[str]:
        kept = self._rows(batch_id)
        return set(kept["id"][kept["place"] >= 0])


def _shown(data: pd.DataFrame) -> pd.DataFrame:
    return data[list(_SHOWN)].reset_index(drop=True)
