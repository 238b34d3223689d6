"""The curated set: a thin face on tables and steps, each of which has its own module."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from weaklm import rendering
from weaklm.certificate import Certificate, LabelUse
from weaklm.curation import conditions, duplicates, leakage, mixing, preferences, storage
from weaklm.curation.corrections import is_corrected
from weaklm.curation.decisions import DECISION_COLUMNS, Decisions
from weaklm.curation.diversity import diversify
from weaklm.curation.funnel import funnel, notes, slice_funnel, slice_shares
from weaklm.curation.table import Table, joined
from weaklm.errors import DataError, SettingsError, nearest


class QualityDataset:
    """Rows with their quality score, of which some are kept; it never changes, each step gives a new one.

    A row's label is ACCEPT when its score is at least 0.5, else REJECT; its confidence is max(score, 1 - score). Where
    the column ``corrected_response`` holds a person's better answer, it takes the place of the response with a score of
    1; the model's own stays in ``original_response`` and ``original_score``, and ``response_provenance`` says which.

    No step copies the texts. What a step does depends on ids, scores and its seed, not on the order of the rows.

    Parameters
    ----------
    data
        Examples; ``instruction`` and ``response`` are enough.
    score
        (n,) from 0 to 1: the probability of ACCEPT, as ``quality.predict_proba(data)[:, ACCEPT]`` gives it.
    slices
        Slicing functions, or a frame (n, n_slices) of bool that says which rows are in each: the funnel is then shown
        for each slice too, and :meth:`mix` and :meth:`diversify` go by them.

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

    def __init__(
        self, data: pd.DataFrame, score: ArrayLike, slices: Sequence[Any] | pd.DataFrame | None = None
    ) -> None:
        self._table = Table.of(data, score, slices)
        self._baseline: QualityDataset | None = None

    def __len__(self) -> int:
        return int(self._table.kept.sum())

    @property
    def rows(self) -> pd.DataFrame:
        """Every row with its score, label, confidence, ``kept``, ``reason`` (countable) and ``detail`` (its own value).

        A column of the data that has one of these names is shown as ``data_<name>``.
        """
        return self._shown(slice(None))

    def to_frame(self) -> pd.DataFrame:
        """Return the kept rows: the data's columns, and the score."""
        kept = self._table.kept
        return self._table.data[kept].assign(score=self._table.decisions["score"][kept])

    @property
    def certificate(self) -> Certificate | None:
        """The newest certificate of ``filter(max_bad_rate=...)``, granted or refused; None where none was asked for."""
        certificates = self._table.certificates
        return certificates[-1] if certificates else None

    @property
    def baseline(self) -> "QualityDataset | None":
        """The rows that chance would have kept: as many as :meth:`diversify` took, from the same rows."""
        return self._baseline

    # ---------------------------------------------------------------------------------------------------- steps

    def filter(
        self,
        labels: str | Collection[str] | None = None,
        confidence_threshold: float | None = None,
        *,
        max_bad_rate: float | None = None,
        delta: float = 0.1,
        label_use: LabelUse | None = None,
        Y: ArrayLike | None = None,
        inclusion: ArrayLike | None = None,
        drawn_from: float = 0.0,
        random_state: int = 0,
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
        max_bad_rate, delta
            Keep the rows from a score on that is certified: at most this share of them is bad, but for a chance of
            ``delta``. Without such a score no row is kept, and :attr:`certificate` says how many labels it would take.
            It comes after the other conditions and is about the rows that fulfil them; rows that a person corrected
            stay, and count as what the model had written. Later steps that choose by more than chance may change the
            rate.
        label_use
            What labels were used for, by all that made the score: those cannot certify it. It is needed for
            ``max_bad_rate``; ``LabelUse()`` says that none was used.
        Y, inclusion
            (n_rows,) of all rows: 0 REJECT, 1 ACCEPT, -1 no label; and the chance of each to be labelled, where it
            differed. Without Y, the column ``human_label``.
        drawn_from, random_state
            As in :func:`weaklm.certificate.certify`.
        sources, splits, ids
            The values to keep.
        slices
            Slicing functions: rows that are in at least one of their slices are kept.

        Raises
        ------
        DataError, SettingsError
            A label, source, split or id that is not there (the nearest is named); a threshold outside 0 to 1.
        """
        table = self._table
        for column, values in {"split": splits, "source": sources, "id": ids}.items():
            if values is not None:
                table = conditions.keep_values(table, column, values)
        if slices is not None:
            table = conditions.keep_members(table, slices)
        if labels is not None:
            table = conditions.keep_labels(table, labels)
        if confidence_threshold is not None:
            table = conditions.keep_confident(table, confidence_threshold)
        if max_bad_rate is not None:
            table = conditions.keep_certified(
                table,
                label_use,
                Y,
                inclusion,
                max_bad_rate=max_bad_rate,
                delta=delta,
                drawn_from=drawn_from,
                random_state=random_state,
            )
        return self._with(table)

    def dedupe(self, near: float | None = 0.8) -> "QualityDataset":
        """Return the set with one row of those that say the same, or nearly: the best scored.

        Rows are the same when prompt and response differ in case and white space at most. They are nearly the same
        when of the runs of five words of instruction and response a share of ``near`` is in both (Jaccard), and as
        much of context and prefix; None keeps those. A row that nearly repeats a dropped one only stays.
        """
        if near is not None:
            conditions.check_share("near", near)
        return self._with(duplicates.dedupe(self._table, near))

    def decontaminate(
        self, eval_data: pd.DataFrame, *, columns: str | Sequence[str] = ("instruction",), threshold: float = 0.8
    ) -> "QualityDataset":
        """Return the set without rows that ask what a held-out row asks: equal, or nearly.

        Parameters
        ----------
        eval_data
            The held-out rows, with ``instruction``; their ``id`` is named where there is one.
        columns
            What is compared. Where instructions are general ("Summarise the text") take the context too:
            ``("instruction", "context")``.
        threshold
            The share of pairs of neighbouring words that both have (Jaccard) from which on two are nearly equal.
        """
        conditions.check_share("threshold", threshold)
        names = (columns,) if isinstance(columns, str) else tuple(columns)
        return self._with(leakage.decontaminate(self._table, eval_data, names, threshold))

    def diversify(
        self, n: int, embedding: ArrayLike | None = None, *, max_similarity: float = 0.9, seed: int = 0
    ) -> "QualityDataset":
        """Return the set with ``n`` of its rows that differ from each other; fewer, where fewer do.

        Rows are grouped into clusters. Of rows of a cluster whose cosine is above ``max_similarity``, only the one with
        the most confidence stays. Of the others, each slice gives by its share of the rows, in it each cluster as much
        as the others, those with the most confidence first. A random choice of the same size is stored beside it
        (:attr:`baseline`): train on both before believing that diversity helped.

        Parameters
        ----------
        embedding
            (n_rows, n_dimensions) of all rows. None: TF-IDF of instruction and response.
        """
        self._check_size("diversify", n)
        conditions.check_share("max_similarity", max_similarity)
        diverse = self._with(diversify(self._table, n, embedding, max_similarity, seed))
        diverse._baseline = self.sample(len(diverse), seed)
        return diverse

    def mix(self, on: str = "slice", weights: Mapping[str, float] | None = None, *, seed: int = 0) -> "QualityDataset":
        """Return the largest set in which the groups of the rows stand to each other as their weights do.

        Parameters
        ----------
        on
            "slice" (a row in several counts for the rarest, one in none for "rest"), "label", or a column of the data.
        weights
            A weight for each group; 0 leaves its rows out. None: all weigh the same.
        seed
            Rows of a group are drawn at random.

        >>> data = pd.DataFrame({"instruction": "Why?", "response": list("abcd"), "source": ["x", "x", "x", "y"]})
        >>> len(QualityDataset(data, [0.9] * 4).mix(on="source", weights={"x": 2, "y": 1}))
        3
        """
        return self._with(mixing.mix(self._table, on, weights, seed))

    def balance(self, on: str = "label", *, seed: int = 0) -> "QualityDataset":
        """Return the largest set with as many rows of each group; see :meth:`mix`."""
        return self.mix(on, seed=seed)

    def sample(self, n: int, seed: int = 0) -> "QualityDataset":
        """Return the set with ``n`` of its kept rows, drawn at random; the order of the rows does not matter."""
        self._check_size("sample", n)
        return self._with(mixing.sample(self._table, n, seed))

    def append(self, other: "QualityDataset") -> "QualityDataset":
        """Return the set of the rows of both, each with the decision it had.

        A row that both hold, by its id, is there once: as it is kept, if either keeps it.

        Raises
        ------
        DataError
            One id with two different responses; or sets with different slices.
        """
        both = self._with(joined(self._table, other._table))
        both._baseline = None
        return both

    # ---------------------------------------------------------------------------------------------------- accounts

    def funnel(self) -> pd.DataFrame:
        """Return one row a reason, in the order of the steps: rows in, dropped, rows out."""
        return funnel(self._table.decisions["reason"], self._table.decisions.steps)

    def slice_funnel(self) -> pd.DataFrame:
        """Return the funnel of each slice: slice, reason, rows in, dropped, rows out."""
        return slice_funnel(self._table.decisions["reason"], self._table.decisions.steps, self._table.S)

    def show_rejected(self, reason: str | None = None) -> pd.DataFrame:
        """Return the rows that are not kept, the highest score first; only those with the reason, if one is given."""
        steps = self._table.decisions.steps
        if reason is not None and reason not in steps:
            raise DataError(f"no row was dropped because {reason!r}; {nearest(reason, steps)}")
        out = ~self._table.kept if reason is None else self._table.decisions["reason"] == reason
        return self._shown(out).sort_values("score", ascending=False, kind="stable")

    # ---------------------------------------------------------------------------------------------------- preferences

    def kto_rows(self, confidence_threshold: float = 0.8) -> pd.DataFrame:
        """Return the kept rows that are sure, for KTO: ACCEPT and REJECT, with weights that even the classes out."""
        return preferences.kto_rows(self._table.sure(confidence_threshold))

    def preference_pairs(self, confidence_threshold: float = 0.8) -> pd.DataFrame:
        """Return pairs of a better and a worse response for DPO, one an instruction, of kept rows that are sure."""
        return preferences.preference_pairs(self._table.sure(confidence_threshold))

    def reward_pairs(self, confidence_threshold: float = 0.8) -> pd.DataFrame:
        """Return all pairs of a better and a worse response for a reward model, of kept rows that are sure."""
        return preferences.reward_pairs(self._table.sure(confidence_threshold))

    # ---------------------------------------------------------------------------------------------------- keeping

    def save(self, folder: str | Path) -> Path:
        """Write the set to a folder, whole or not at all: every row, its decision and the steps; return the folder."""
        table = self._table
        tables = {"data": table.data, "decisions": table.decisions.frame}
        if len(table.S.columns):
            tables["slices"] = table.S
        facts = self.summary() | {"steps": table.decisions.steps, "facts": table.facts}
        if self._baseline is not None:
            tables["baseline"] = self._baseline._table.decisions.frame
            facts["baseline_steps"] = self._baseline._table.decisions.steps
        return storage.write(folder, tables, facts)

    @classmethod
    def load(cls, folder: str | Path) -> "QualityDataset":
        """Return the set that was saved to a folder."""
        tables, facts = storage.read(folder)
        loaded = cls(tables["data"], tables["decisions"]["score"], tables.get("slices"))
        table = replace(
            loaded._table,
            facts=tuple(facts.get("facts", ())),
            certificates=tuple(map(storage.certificate_of, facts.get("certificates", ()))),
        )
        if "baseline" in tables:
            decisions = Decisions.read(tables["baseline"], facts["baseline_steps"])
            loaded._baseline = loaded._with(replace(table, decisions=decisions))
        loaded._table = replace(table, decisions=Decisions.read(tables["decisions"], facts["steps"]))
        return loaded

    def summary(self) -> dict[str, Any]:
        """Return the number of rows, of those kept, the funnel, and what to know about them, as plain values."""
        table = self._table
        shares = slice_shares(table.kept, table.S)
        return {
            "kind": "curation",
            "n": len(table.data),
            "n_kept": len(self),
            "n_corrected": int((is_corrected(table.data) & table.kept).sum()),
            "n_baseline": len(self._baseline) if self._baseline is not None else 0,
            "funnel": self.funnel().to_dict("records"),
            "by_slice": shares,
            "slice_funnel": self.slice_funnel().to_dict("records"),
            "certificates": [certificate.to_dict() for certificate in table.certificates],
            "notes": [*table.facts, *notes(table.data, table.decisions, shares)],
        }

    def __repr__(self) -> str:
        return rendering.plain(rendering.text(self.summary()))

    def _repr_html_(self) -> str:
        return rendering.html(self.summary(), {}, whole_page=False)

    def _shown(self, rows: Any) -> pd.DataFrame:
        """Return some rows with their decisions beside them; a column of the data that has the same name is renamed."""
        data = self._table.data[rows]
        clashing = {column: f"data_{column}" for column in DECISION_COLUMNS if column in data.columns}
        return pd.concat([data.rename(columns=clashing), self._table.decisions.frame[rows]], axis=1)

    def _with(self, table: Table) -> "QualityDataset":
        derived = copy.copy(self)
        derived._table = table
        return derived

    def _check_size(self, verb: str, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n <= len(self):
            raise SettingsError(f"{verb}({n}): {len(self)} rows are kept, so n must be from 0 to {len(self)}")


def curate(
    data: pd.DataFrame,
    score: ArrayLike,
    labels: Collection[str] = ("ACCEPT",),
    confidence_threshold: float | None = None,
    *,
    sources: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    slices: Sequence[Any] | None = None,
    ids: Collection[str] | None = None,
    dedupe: bool = False,
    decontaminate: pd.DataFrame | None = None,
    max_bad_rate: float | None = None,
    delta: float = 0.1,
    drawn_from: float = 0.0,
    label_use: LabelUse | None = None,
    Y: ArrayLike | None = None,
    inclusion: ArrayLike | None = None,
    diversify: int | None = None,
    random_state: int = 0,
    funnel_slices: Sequence[Any] | None = None,
) -> QualityDataset:
    """Return the rows that the score accepts with confidence, by the steps of :class:`QualityDataset` in this order.

    Conditions, repeats, leaks, the certificate, diversity. Without ``confidence_threshold`` it is 0.9, or none where
    ``max_bad_rate`` sets the bar.

    Parameters
    ----------
    labels, confidence_threshold, sources, splits, slices, ids
        See :meth:`QualityDataset.filter`.
    dedupe, decontaminate, diversify
        Whether to drop repeats; the held-out rows whose instructions must not be among the kept; how many rows to keep
        that differ.
    max_bad_rate, delta, drawn_from, label_use, Y, inclusion
        What is certified, and by which labels; see :meth:`QualityDataset.filter`.
    funnel_slices
        Slicing functions to show the funnel by, and to diversify over; they filter nothing.

    >>> data = pd.DataFrame({"instruction": "Why?", "response": ["It rained.", "Sorry."]})
    >>> len(curate(data, [0.95, 0.02]))
    1
    """
    if confidence_threshold is None and max_bad_rate is None:
        confidence_threshold = 0.9
    chosen = QualityDataset(data, score, funnel_slices)
    chosen = chosen.filter(labels, confidence_threshold, sources=sources, splits=splits, slices=slices, ids=ids)
    if dedupe:
        chosen = chosen.dedupe()
    if decontaminate is not None:
        chosen = chosen.decontaminate(decontaminate)
    if max_bad_rate is not None:
        chosen = chosen.filter(
            max_bad_rate=max_bad_rate,
            delta=delta,
            drawn_from=drawn_from,
            label_use=label_use,
            Y=Y,
            inclusion=inclusion,
            random_state=random_state,
        )
    return chosen if diversify is None else chosen.diversify(min(diversify, len(chosen)), seed=random_state)
