"""The responses of a project: ids that never change meaning, splits by instruction, human labels.

A response without a split gets one by a hash of its instruction, so that later imports never move an instruction
from one side to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from weaklm import store as tables
from weaklm.data import ABSTAIN, COLUMNS, HUMAN_LABEL, LABEL_NAMES, complete, content_hash, human_labels, read_file
from weaklm.errors import DataError, ProjectError, nearest
from weaklm.store import Store, now

HELD_OUT = "held-out"  # every split but "train"


@dataclass(frozen=True)
class Imported:
    """What an import did: rows that are new, rows left out by reason, human labels found."""

    source: list[str]
    n_rows: int
    n_labels: int
    dropped: dict[str, int]

    def __str__(self) -> str:
        left_out = "".join(f"; {n:,} left out: {reason}" for reason, n in self.dropped.items())
        labels = f", {self.n_labels:,} human labels" if self.n_labels else ""
        return f"imported {self.n_rows:,} new rows{labels} of {', '.join(self.source)}{left_out}"


class Responses:
    """The responses in a store.

    Parameters
    ----------
    store
        Where they are.
    test
        Share of the instructions, from 0 to 1, that are held out among those that come without a split.
    random_state
        Which instructions those are.
    """

    def __init__(self, store: Store, test: float = 0.25, random_state: int = 0) -> None:
        self.store = store
        self.test = test
        self.random_state = random_state

    def add(self, data: pd.DataFrame, path: str, dropped: dict[str, int]) -> Imported:
        """Add the rows of a complete frame that are new; ``path`` says where they come from.

        Raises
        ------
        DataError
            If an id is known with other content, or an instruction would sit in two splits.
        """
        dropped = dict(dropped)
        with self.store.write() as connection:  # from here on nobody else adds rows
            known = self._stored()
            is_new = np.ones(len(data), dtype=bool) if known is None else self._new_rows(data, known, path)
            fresh = data[is_new].drop(columns=HUMAN_LABEL, errors="ignore")
            _check_splits(fresh, known, path)
            if not is_new.all():
                dropped["already in the project"] = int((~is_new).sum())
            for source, rows in fresh.groupby("source", sort=False):
                self.store.add_part(connection, "responses", str(source), rows)
            added = self._append_labels(connection, _label_rows(data))
            values = {"path": path, "n_rows": len(fresh), "dropped": dropped, "created": now()}
            connection.execute(tables.imports.insert().values(source=", ".join(data["source"].unique()), **values))
        return Imported(data["source"].unique().tolist(), len(fresh), added, dropped)

    def _new_rows(self, data: pd.DataFrame, known: pd.DataFrame, path: str) -> NDArray[np.bool_]:
        """Return which rows are not in the project yet; the same id with other content is an error."""
        before = known.set_index("id")
        repeated = data["id"].isin(before.index).to_numpy()
        again = data[repeated]
        for column in [c for c in COLUMNS if c not in ("id", "split")]:
            there = before.loc[again["id"], column].to_numpy()
            differs = there != again[column].to_numpy()
            if differs.any():
                row = int(np.argmax(differs))
                raise DataError(
                    f"{path}: id {again['id'].iloc[row]!r} is in the project with another {column!r}: "
                    f"{there[row]!r:.80}, not {again[column].iloc[row]!r:.80}. An id names one response of one source; "
                    "a number that several sources share is an instruction_id."
                )
        return ~repeated

    def add_labels(self, labels: pd.DataFrame | str | Path) -> int:
        """Add human labels and return how many are new: a frame or file with columns id, label and annotator.

        The newest label of an annotator counts; the majority of the annotators is the human label of a response.
        """
        frame = labels if isinstance(labels, pd.DataFrame) else read_file(Path(labels))
        for column in ("id", "label", "annotator"):
            if column not in frame.columns:
                raise DataError(f"labels have no column {column!r}; {nearest(column, frame.columns)}")
        unknown = set(frame["id"].astype(str)) - set(self.frame()["id"])
        if unknown:
            raise DataError(
                f"{len(unknown)} labels are for ids that the project does not have, such as {min(unknown)!r}"
            )
        checked = human_labels(frame.rename(columns={"label": HUMAN_LABEL}))
        nameless = (checked != ABSTAIN) & (frame["annotator"].isna() | (frame["annotator"] == "")).to_numpy()
        if nameless.any():
            raise DataError(
                f"the label of {frame['id'].iloc[int(np.argmax(nameless))]!r} has no annotator; expected the name of "
                "who labelled, so that two opinions on one row stay apart"
            )
        rows = zip(frame["id"].astype(str), frame["annotator"].astype(str), checked, strict=True)
        with self.store.write() as connection:
            return self._append_labels(
                connection, [(i, who, LABEL_NAMES[int(y)]) for i, who, y in rows if y != ABSTAIN]
            )

    def _append_labels(self, connection: sa.Connection, labels: Sequence[tuple[str, str, str]]) -> int:
        known = {(i, who): label for i, who, label in self._labels().itertuples(index=False)}
        fresh = [(i, who, label) for i, who, label in labels if known.get((i, who)) != label]
        if fresh:
            rows = [{"example_id": i, "annotator": who, "label": label, "created": now()} for i, who, label in fresh]
            connection.execute(tables.annotations.insert(), rows)
        return len(fresh)

    def sources(self) -> list[str]:
        """Return the names of the model sources, in order of import."""
        return self.store.keys("responses")

    def _labels(self) -> pd.DataFrame:
        """Return the newest label of each example by each annotator: columns id, annotator, label."""
        table = tables.annotations
        newest = sa.select(sa.func.max(table.c.id)).group_by(table.c.example_id, table.c.annotator)
        rows = self.store.rows(sa.select(table).where(table.c.id.in_(newest)).order_by(table.c.id))
        names = {"example_id": "id", "annotator": "annotator", "label": "label"}
        return pd.DataFrame(rows, columns=list(names)).rename(columns=names)

    def _stored(self) -> pd.DataFrame | None:
        frames = [frame for source in self.sources() if (frame := self.store.frame("responses", source)) is not None]
        if not frames:
            return None
        data = pd.concat(frames, ignore_index=True)
        for column in data.columns.difference(COLUMNS):
            # One source's file may hold numbers where another's holds text: together they are text.
            if data[column].dropna().map(type).nunique() > 1:
                data[column] = data[column].map(str, na_action="ignore")
        return complete(data)

    def frame(self, source: str | Sequence[str] | None = None, split: str | None = None) -> pd.DataFrame:
        """Return the responses with their split and human label, all or of some sources and one split.

        ``split`` may be "held-out": every split but "train". A response without a split gets "test" or "train" by a
        hash of its instruction, so that later imports never move an instruction.
        """
        data = self._stored()
        if data is None:
            raise ProjectError(
                f"{self.store.folder} has no responses yet; import some with add_responses(...) (`import`)"
            )
        sources = self.sources() if source is None else [source] if isinstance(source, str) else list(source)
        for name in sources:
            if name not in self.sources():
                raise ProjectError(f"{self.store.folder} has no source {name!r}; {nearest(name, self.sources())}")
        data = data.assign(split=_splits(data, self.test, self.random_state))
        data[HUMAN_LABEL] = _majority(self._labels(), data["id"])
        data = data[data["source"].isin(sources)]
        if split is not None:
            chosen = data["split"] != "train" if split == HELD_OUT else data["split"] == split
            if not chosen.any():
                raise ProjectError(f"no response is in split {split!r}; {nearest(split, data['split'].unique())}")
            data = data[chosen]
        return data.reset_index(drop=True)


def _label_rows(data: pd.DataFrame) -> list[tuple[str, str, str]]:
    if HUMAN_LABEL not in data.columns:
        return []
    pairs = zip(data["id"], data[HUMAN_LABEL], strict=True)
    return [(i, "import", label) for i, label in pairs if label is not None and label == label]  # noqa: PLR0124 (NaN)


def _majority(labels: pd.DataFrame, ids: pd.Series) -> pd.Series:
    """Return the label that most annotators gave to each id; None without labels or on a tie."""
    sums = labels["label"].map({"ACCEPT": 1, "REJECT": -1}).groupby(labels["id"]).sum()
    names = {1: "ACCEPT", -1: "REJECT"}
    return pd.Series([names.get(np.sign(balance)) for balance in ids.map(sums)], index=ids.index, dtype=object)


def _splits(data: pd.DataFrame, test: float, random_state: int) -> pd.Series:
    """Return the split of each row: the one given for its instruction, else by a hash of the instruction."""
    named = data[data["split"] != ""].drop_duplicates("instruction_id").set_index("instruction_id")["split"]
    given = data["instruction_id"].map(named)
    share = data["instruction_id"].map(lambda i: int(content_hash(str(random_state), i)[:8], 16) / 16**8)
    return given.where(given.notna(), pd.Series(np.where(share < test, "test", "train"), index=data.index)).astype(
        object
    )


def _check_splits(data: pd.DataFrame, known: pd.DataFrame | None, path: str) -> None:
    """Raise DataError when one instruction would sit in two splits."""
    both = pd.concat([data, known]) if known is not None else data
    named = both[both["split"] != ""]
    several = named.groupby("instruction_id")["split"].nunique()
    if (several > 1).any():
        which = several.index[int(np.argmax(several.to_numpy() > 1))]
        splits = sorted(named.loc[named["instruction_id"] == which, "split"].unique())
        raise DataError(
            f"{path}: instruction {which!r} is in the splits {splits}; an instruction belongs to one split, "
            "or the held-out numbers would not be held out"
        )
