"""Choose the rows to train on, by their score; every row knows whether it is in, and if not, why."""

import copy
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm import rendering
from weaklm.atomic import atomic_folder
from weaklm.data import LABEL_NAMES, complete
from weaklm.errors import DataError, SettingsError, nearest
from weaklm.exchange import check_text, write_parquet
from weaklm.metrics import check_score

DECISION_COLUMNS = ("score", "label", "confidence", "kept", "reason", "detail")
_HELD_OUT = ("dev", "eval", "held-out", "test", "valid", "validation")  # usual names of splits that nobody trains on


class QualityDataset:
    """Rows with their quality score, of which some are kept; it never changes, each step gives a new one.

    A row's label is ACCEPT when its score is at least 0.5, else REJECT; its confidence is max(score, 1 - score).

    Parameters
    ----------
    data
        Examples; ``instruction`` and ``response`` are enough.
    score
        (n,) from 0 to 1: the probability of ACCEPT, as ``quality.predict_proba(data)[:, ACCEPT]`` gives it.

    Examples
    --------
    >>> data = pd.DataFrame({"instruction": "Why?", "response": ["It rained.", "Sorry.", "Rain, maybe."]})
    >>> curated = QualityDataset(data, [0.95, 0.02, 0.6]).filter(labels=["ACCEPT"], confidence_threshold=0.9)
    >>> curated.to_frame()["response"].tolist()
    ['It rained.']
    >>> curated
    QualityDataset: 1 of 3 rows kept
    <BLANKLINE>
     reason                 rows in   dropped   rows out
     ───────────────────────────────────────────────────
     label is not ACCEPT          3         1          2
     confidence below 0.9         2         1          1
    <BLANKLINE>
    """

    def __init__(self, data: pd.DataFrame, score: ArrayLike) -> None:
        self._data = complete(data)
        self._decisions = _decisions(self._data, score)
        self._steps: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self._decisions["kept"].sum())

    @property
    def rows(self) -> pd.DataFrame:
        """Every row with its score, label, confidence, ``kept``, ``reason`` (countable) and ``detail`` (its own value).

        A column of the data that has one of these names is shown as ``data_<name>``.
        """
        clashing = {column: f"data_{column}" for column in DECISION_COLUMNS if column in self._data.columns}
        return pd.concat([self._data.rename(columns=clashing), self._decisions], axis=1)

    def to_frame(self) -> pd.DataFrame:
        """Return the kept rows: the data's columns, and the score."""
        kept = self._decisions["kept"].to_numpy()
        return self._data[kept].assign(score=self._decisions["score"].to_numpy()[kept])

    def filter(
        self,
        labels: str | Collection[str] | None = None,
        confidence_threshold: float | None = None,
        *,
        sources: Collection[str] | None = None,
        splits: Collection[str] | None = None,
        slices: Sequence[Any] | None = None,
        ids: Collection[str] | None = None,
    ) -> "QualityDataset":
        """Return the set without the kept rows that do not fulfil every condition given.

        Parameters
        ----------
        labels
            Names of the labels to keep: ``["ACCEPT"]``, ``["REJECT"]`` or both.
        confidence_threshold
            The least confidence to keep, from 0 to 1.
        sources, splits, ids
            The values to keep.
        slices
            Slicing functions: rows that are in at least one of their slices are kept.

        Raises
        ------
        DataError, SettingsError
            A label, source, split or id that is not there (the nearest is named); a threshold outside 0 to 1.
        """
        chosen = self
        for column, values in {"split": splits, "source": sources, "id": ids}.items():
            if values is not None:
                chosen = chosen._keep_values(column, values)
        if slices is not None:
            from weaklm.apply import SFApplier

            applier = SFApplier(slices)
            names = " or ".join(function.name for function in applier.functions)
            in_none = np.array(~applier.apply(self._data).any(axis=1))
            chosen = chosen._drop(in_none, f"in no slice of {names}")
        if labels is not None:
            chosen = chosen._keep_labels([labels] if isinstance(labels, str) else labels)
        if confidence_threshold is not None:
            chosen = chosen._keep_confident(confidence_threshold)
        return chosen

    def dedupe(self) -> "QualityDataset":
        """Return the set with one row of those that give the same response to the same instruction: the best scored."""
        kept = self._decisions["kept"].to_numpy()
        keys = self._data[["instruction_id", "response"]].assign(score=self._decisions["score"], place=range(len(kept)))
        best_first = keys[kept].sort_values("score", ascending=False, kind="stable")
        first = best_first.groupby(["instruction_id", "response"], sort=False)["place"].transform("first")
        same_as = np.arange(len(kept))
        same_as[best_first["place"]] = first
        detail = ("same as " + self._data["id"].astype(object)).to_numpy()[same_as]
        return self._drop(same_as != np.arange(len(kept)), "same response to the same instruction", detail)

    def sample(self, n: int, seed: int = 0) -> "QualityDataset":
        """Return the set with ``n`` of its kept rows, drawn at random; the order of the rows does not matter."""
        kept = np.flatnonzero(self._decisions["kept"])
        if not 0 <= n <= len(kept):
            raise SettingsError(f"sample({n}): {len(kept)} rows are kept, so n must be from 0 to {len(kept)}")
        by_id = kept[np.argsort(self._data["id"].to_numpy()[kept].astype(str), kind="stable")]
        drawn = np.random.default_rng(seed).choice(by_id, size=n, replace=False)
        return self._drop(~np.isin(np.arange(len(self._data)), drawn), f"not among the {n} drawn with seed {seed}")

    def funnel(self) -> pd.DataFrame:
        """Return one row a reason, in the order of the steps: rows in, dropped, rows out."""
        dropped = [int((self._decisions["reason"] == step).sum()) for step in self._steps]
        left = len(self._data) - np.cumsum([0, *dropped])
        columns = {"reason": self._steps, "rows in": left[:-1], "dropped": dropped, "rows out": left[1:]}
        return pd.DataFrame(columns)

    def show_rejected(self, reason: str | None = None) -> pd.DataFrame:
        """Return the rows that are not kept, the highest score first; only those with the reason, if one is given."""
        if reason is not None and reason not in self._steps:
            raise DataError(f"no row was dropped because {reason!r}; {nearest(reason, self._steps)}")
        rows = self.rows[~self._decisions["kept"].to_numpy()]
        return (rows if reason is None else rows[rows["reason"] == reason]).sort_values(
            "score", ascending=False, kind="stable"
        )

    def save(self, folder: str | Path) -> Path:
        """Write the set to a folder, whole or not at all: every row, its decision and the steps; return the folder."""
        check_text(self._data)
        with atomic_folder(folder) as temporary:
            write_parquet(self._data, temporary / "data.parquet")
            write_parquet(self._decisions, temporary / "decisions.parquet")
            text = json.dumps(self.summary() | {"steps": self._steps}, indent=2, ensure_ascii=False)
            (temporary / "curation.json").write_text(text + "\n", encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "QualityDataset":
        """Return the set that was saved to a folder."""
        folder = Path(folder)
        for name in ("curation.json", "data.parquet", "decisions.parquet"):
            if not (folder / name).is_file():
                raise DataError(f"{folder} holds no curated set: it has no {name}")
        facts = json.loads((folder / "curation.json").read_text(encoding="utf-8"))
        data, decisions = (pd.read_parquet(folder / f"{name}.parquet") for name in ("data", "decisions"))
        if not len(data) == len(decisions) == facts["n"]:
            raise DataError(f"{folder} is damaged: its files hold {len(data)}, {len(decisions)}, {facts['n']} rows")
        loaded = cls(data, decisions["score"])
        loaded._decisions, loaded._steps = decisions, tuple(facts["steps"])
        return loaded

    def summary(self) -> dict[str, Any]:
        """Return the number of rows, of those kept, the funnel, and what to know about them, as plain values."""
        funnel = self.funnel().to_dict("records")
        return {"kind": "curation", "n": len(self._data), "n_kept": len(self), "funnel": funnel, "notes": self._notes()}

    def __repr__(self) -> str:
        return rendering.plain(rendering.text(self.summary()))

    def _repr_html_(self) -> str:
        return rendering.html(self.summary(), {}, whole_page=False)

    def _notes(self) -> list[str]:
        notes = []
        if len(self._data) and not len(self):
            best = self._decisions.sort_values("confidence", kind="stable").iloc[-1]
            notes.append(
                f"Nothing is left to train on. The surest of all rows is {best['label']} with a confidence of "
                f"{best['confidence']:.3f}."
            )
        splits = self.to_frame()["split"]
        n_held_out = int(splits.isin(_HELD_OUT).sum())
        if n_held_out:
            names = ", ".join(sorted(set(splits).intersection(_HELD_OUT)))
            notes.append(f"{n_held_out:,} kept rows are of the split {names}: trained on, it is held out no longer.")
        return notes

    def _keep_values(self, column: str, values: Collection[str]) -> "QualityDataset":
        wanted = [values] if isinstance(values, str) else [str(value) for value in values]
        present = set(self._data[column])
        for value in wanted:
            if value not in present:
                raise DataError(f"no row has the {column} {value!r}; {nearest(value, present)}")
        names = "one of those named" if column == "id" or len(wanted) > 3 else " or ".join(wanted)
        outside = ~self._data[column].isin(wanted).to_numpy()
        return self._drop(outside, f"{column} is not {names}", self._data[column].to_numpy())

    def _keep_labels(self, labels: Collection[str]) -> "QualityDataset":
        for label in labels:
            if label not in LABEL_NAMES.values():
                raise SettingsError(f"there is no label {label!r}; {nearest(label, LABEL_NAMES.values())}")
        outside = ~self._decisions["label"].isin(labels).to_numpy()
        return self._drop(outside, f"label is not {' or '.join(labels)}", self._details("score"))

    def _keep_confident(self, threshold: float) -> "QualityDataset":
        if not 0 <= threshold <= 1:
            raise SettingsError(f"confidence_threshold is {threshold!r}; a number from 0 to 1 was expected")
        below = (self._decisions["confidence"] < threshold).to_numpy()
        return self._drop(below, f"confidence below {threshold:g}", self._details("confidence"))

    def _details(self, column: str) -> NDArray[Any]:
        return self._decisions[column].map(lambda value: f"{column} {value:.4f}").to_numpy()

    def _drop(self, failing: NDArray[Any], step: str, detail: Sequence[str] | NDArray[Any] = ()) -> "QualityDataset":
        """Return the set without the kept rows that fail a step."""
        decisions = self._decisions.copy()
        dropped = failing & decisions["kept"].to_numpy()
        decisions["kept"] = decisions["kept"].to_numpy() & ~dropped
        decisions["reason"] = np.where(dropped, step, decisions["reason"].to_numpy())
        if len(detail):
            decisions["detail"] = np.where(dropped, detail, decisions["detail"].to_numpy())
        derived = copy.copy(self)
        derived._decisions = decisions
        derived._steps = self._steps if step in self._steps else (*self._steps, step)
        return derived


def curate(
    data: pd.DataFrame,
    score: ArrayLike,
    labels: Collection[str] = ("ACCEPT",),
    confidence_threshold: float = 0.9,
    *,
    sources: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    slices: Sequence[Any] | None = None,
    ids: Collection[str] | None = None,
) -> QualityDataset:
    """Return the rows that the score accepts with confidence; see :meth:`QualityDataset.filter`.

    >>> data = pd.DataFrame({"instruction": "Why?", "response": ["It rained.", "Sorry."]})
    >>> len(curate(data, [0.95, 0.02]))
    1
    """
    return QualityDataset(data, score).filter(
        labels, confidence_threshold, sources=sources, splits=splits, slices=slices, ids=ids
    )


def _decisions(data: pd.DataFrame, score: ArrayLike) -> pd.DataFrame:
    values = check_score(score, len(data))
    columns: dict[str, Any] = {
        "score": values,
        "label": np.where(values >= 0.5, "ACCEPT", "REJECT").astype(object),
        "confidence": np.maximum(values, 1 - values),
        "kept": True,
        "reason": "",
        "detail": "",
    }
    return pd.DataFrame(columns, index=data.index).astype({"label": object, "reason": object, "detail": object})
