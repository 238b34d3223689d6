"""Project: the loop's verbs over a folder that remembers sources, labels, votes, models, reports and adapters.

Every verb is idempotent. What it makes is filed under a hash of all that it was made from (rows, code of the
functions, labels, settings), so that a second call with nothing changed returns what is there, and any change makes
something new beside the old.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from weaklm import pictures
from weaklm import settings as project_settings
from weaklm import store as tables
from weaklm.analysis import LFAnalysis
from weaklm.apply import SFApplier
from weaklm.atomic import atomic_file
from weaklm.batches import AnnotationBatch, Batches, Purpose, from_score_on, opposed
from weaklm.certificate import LabelUse
from weaklm.comparison import Comparison
from weaklm.curation import QualityDataset, curate
from weaklm.data import ABSTAIN, ACCEPT, COLUMNS, HUMAN_LABEL, complete
from weaklm.data import human_labels as labels_of
from weaklm.errors import DataError, GateError, ModelError, ProjectError, nearest
from weaklm.exchange import export, read
from weaklm.functions import Function, code_hash, collect, load
from weaklm.label_model import LabelModel
from weaklm.lineage import (
    AdapterLineage,
    Explanation,
    FunctionEffect,
    adapter_lineage,
    blame_function,
    explain,
    scores_without,
)
from weaklm.quality import QualityModel
from weaklm.quality.second_opinion import second_opinion as disjoint_opinions
from weaklm.report import Report
from weaklm.responses import HELD_OUT, Imported, Responses
from weaklm.runs import Runs, fingerprint, run_key
from weaklm.sampling import draw, slice_strata
from weaklm.store import Store
from weaklm.suggestions import Suggestions, suggest
from weaklm.votes import Applied, Votes, version

log = logging.getLogger("weaklm")


@dataclass(frozen=True)
class Fitted:
    """A fitted pair of label model and quality model."""

    id: str
    n_train: int
    n_covered: int
    n_human: int
    calibrated: bool

    def __str__(self) -> str:
        calibrated = f"calibrated on {self.n_human} human labels" if self.calibrated else "not calibrated"
        return (
            f"fitted model {self.id} on {self.n_covered:,} of {self.n_train:,} training rows (with votes), {calibrated}"
        )


class Labels(NamedTuple):
    """Human labels (n,), -1 where there are none or they may not be used, and the chance of each row to have one."""

    Y: NDArray[np.int8] | None
    inclusion: NDArray[np.float64] | None

    def to_list(self) -> list[Any]:
        """Return both as plain lists, for a key."""
        return [None if values is None else values.tolist() for values in self]


@dataclass(frozen=True)
class Trained:
    """A trained adapter."""

    id: str
    folder: str
    base_model: str
    n_rows: int
    loss: float
    dropped: dict[str, int] = field(default_factory=dict)
    n_context_cut: int = 0

    def __str__(self) -> str:
        left_out = "".join(f"; {n:,} left out: {reason}" for reason, n in self.dropped.items())
        cut = f"; {self.n_context_cut:,} with a shortened context" if self.n_context_cut else ""
        rows = f"{self.n_rows:,} rows{left_out}{cut}"
        return f"trained adapter {self.id} on {rows}; final loss {self.loss:.3f}: {self.folder}"


class Project:
    """A project folder: open one that exists, or make one with :meth:`create`.

    Parameters
    ----------
    folder
        The folder that holds ``weaklm.toml`` and ``project.db``.
    progress
        Whether long steps show a progress bar on stderr.
    """

    def __init__(self, folder: str | Path, *, progress: bool = False) -> None:
        self.folder = Path(folder)
        self.settings = project_settings.load(self.folder)
        self.progress = progress
        self.store = Store(self.folder)
        self._responses = Responses(self.store, **self.settings["split"])
        self._votes = Votes(self.store, **self.settings["apply"])
        self._batches = Batches(self.store)
        self._runs = Runs(self.store)
        self._functions: list[Function] | None = None
        self._slices: list[Function] | None = None

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        progress: bool = False,
    ) -> Self:
        """Make a new project folder and open it.

        Parameters
        ----------
        columns
            Standard name -> your files' column name, where they differ.
        settings
            Further tables for ``weaklm.toml``: ``{"curate": {"confidence_threshold": 0.8}}``.
        """
        folder = Path(folder)
        if (folder / project_settings.FILE).exists():
            raise ProjectError(f"{folder} is a weaklm project already; open it with Project({str(folder)!r})")
        defaults: dict[str, dict[str, Any]] = {
            "columns": dict(columns or {}),
            "functions": {"labeling": ["lfs"], "slicing": ["slices"]},
            "split": {"test": 0.25, "random_state": 0},
            "curate": {"labels": ["ACCEPT"], "confidence_threshold": 0.9},
        }
        given = {table: dict(values) for table, values in (settings or {}).items()}
        tables = {table: defaults.get(table, {}) | given.get(table, {}) for table in (defaults | given)}
        project_settings.check(tables, "settings")
        for inside in ("lfs", "slices"):
            (folder / inside).mkdir(parents=True, exist_ok=True)
        project_settings.write(folder, tables)
        return cls(folder, progress=progress)

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r}: {', '.join(self.sources()) or 'no responses yet'})"

    def close(self) -> None:
        """Release the project's database."""
        self.store.close()

    # ------------------------------------------------------------------------------------------ functions

    @property
    def functions(self) -> list[Function]:
        """The labeling functions: those assigned, else those that ``weaklm.toml`` names."""
        if self._functions is None:
            self._functions = self._load("labeling", ["lfs"])
        return self._functions

    @functions.setter
    def functions(self, functions: Sequence[Function]) -> None:
        self._functions = collect(list(functions))

    @property
    def slices(self) -> list[Function]:
        """The slicing functions: those assigned, else those that ``weaklm.toml`` names."""
        if self._slices is None:
            self._slices = self._load("slicing", ["slices"])
        return self._slices

    @slices.setter
    def slices(self, slices: Sequence[Function]) -> None:
        self._slices = collect(list(slices))

    def _load(self, kind: str, default: list[str]) -> list[Function]:
        """Load functions by module name, and from files and folders of the project."""
        found: list[Function] = []
        for name in self.settings["functions"].get(kind, default):
            inside = self.folder / name
            found += load(inside) if inside.exists() else []
            if not inside.exists() or (name.isidentifier() and find_spec(name) is not None):
                found += load(name)
        return collect(found)

    # ------------------------------------------------------------------------------------------ responses

    def add_responses(
        self,
        path: str | Path | pd.DataFrame,
        *,
        source: str | None = None,
        split: str | None = None,
        columns: Mapping[str, str] | None = None,
        keep: Sequence[str] | None = None,
        format: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Imported:
        """Import the responses of a file or frame; rows that are already there are counted and left out.

        Parameters
        ----------
        path, columns, keep, format, fields
            As in :func:`weaklm.read`; ``columns`` adds to the project's own, which a ``format`` has no use for.
        source
            The model that wrote the responses, when the file has no ``source`` column.
        split
            "train", "valid" or "test" for all rows; without it the file's column, else the project's split setting.
        """
        names = ({} if format else self.settings["columns"]) | dict(columns or {})
        data = read(path, names, format=format, fields=fields, source=source, split=split, keep=keep)
        if (data["source"] == "").any():
            raise DataError(f"{_name(path)}: which model wrote these responses? Name it with source=... (--source)")
        return self._responses.add(data, _name(path), data.attrs["dropped"])

    def add_labels(self, labels: pd.DataFrame | str | Path) -> int:
        """Add human labels and return how many are new; see :meth:`weaklm.responses.Responses.add_labels`."""
        return self._responses.add_labels(labels)

    def batch(
        self,
        n: int,
        *,
        purpose: Purpose = "learn",
        split: str | None = None,
        source: str | Sequence[str] | None = None,
        drawn_from: float = 0.5,
        function: str | None = None,
        random_state: int = 0,
    ) -> AnnotationBatch:
        """Return ``n`` rows for people to label, drawn with chances that the project remembers.

        ``batch.to_csv(path)`` writes them out; the same file, filled in, goes to :meth:`add_labels`.

        Parameters
        ----------
        purpose
            "learn": for training, calibration and estimates; half even, half where the score is unsure (all even
            before the first fit), within slices. "certify": for ``curate(max_bad_rate=...)``, even among training rows
            that score at least ``drawn_from``; these labels train nothing. "debug": where ``function`` speaks most
            against the score; they estimate nothing.
        split
            Where the rows come from: all of them unless named; "train" for "certify".
        """
        if purpose == "certify" and split not in (None, "train"):
            raise ProjectError(f"a batch to certify is for curation, which looks at the split 'train', not {split!r}")
        if n < 1:
            raise ProjectError(f"a batch of {n} rows was asked for; at least 1 is expected")
        data = self.responses(source, split or ("train" if purpose == "certify" else None))
        Y = np.where(self._batches.asked(data), ACCEPT, labels_of(data))  # nobody is asked twice
        settings: dict[str, Any] = {"n": n, "split": split, "source": source, "random_state": random_state}
        if purpose == "certify":
            drawn = from_score_on(self.scores(data), Y, n, drawn_from, random_state)
            settings["drawn_from"] = drawn_from
        elif purpose == "debug":
            names = [f.name for f in self.functions]
            if function not in names:
                raise ProjectError(f"function={function!r} names no function to debug; {nearest(str(function), names)}")
            drawn = opposed(self.votes(data)[:, names.index(function)], self.scores(data), Y, n)
            settings["function"] = function
        else:
            score = self.scores(data) if self._runs.all("fit") else np.full(len(data), 0.5)
            strata = slice_strata(SFApplier(self.slices).apply(data)) if self.slices else None
            drawn = draw(score, n, strata=strata, labelled=Y != ABSTAIN, random_state=random_state)
        return self._batches.add(purpose, data, drawn, settings)

    def batches(self) -> pd.DataFrame:
        """Return one row a batch, the oldest first: what it is for, how large it is, how much of it is labelled."""
        data = self.responses()
        return self._batches.to_frame(labels_of(data), data)

    def sources(self) -> list[str]:
        """Return the names of the model sources, in order of import."""
        return self._responses.sources()

    def responses(self, source: str | Sequence[str] | None = None, split: str | None = None) -> pd.DataFrame:
        """Return the responses with their split and human label, all or of some sources and one split.

        ``split`` may be "held-out": every split but "train".
        """
        return self._responses.frame(source, split)

    # ------------------------------------------------------------------------------------------ votes and models

    def apply(self) -> Applied:
        """Apply the labeling functions to all responses; only votes that are not there yet are computed."""
        if not self.functions:
            raise ProjectError(
                f"{self.folder} has no labeling function: put decorated functions into its lfs folder, name modules in "
                "[functions] labeling, or assign project.functions"
            )
        return self._votes.apply(self.functions, self.responses(), progress=self.progress)

    def votes(self, data: pd.DataFrame) -> NDArray[np.int8]:
        """Return L of shape (n_rows, n_functions) for rows of this project, from the stored votes."""
        return self._votes.matrix(self.functions, data)

    def lf_summary(self, split: str | None = None) -> pd.DataFrame:
        """Return one row a labeling function: what it covers, how often it is right, how it ran; see LFAnalysis."""
        data = self.responses(split=split)
        return self._analysis(data).lf_summary(self._labels_or_none(data))

    def lints(self, split: str | None = None) -> pd.DataFrame:
        """Return what is likely wrong with the labeling functions, one finding a row, and what to do about it."""
        data = self.responses(split=split)
        return self._analysis(data).lints(self._labels_or_none(data), data)

    def analysis(self, split: str | None = None) -> LFAnalysis:
        """Return the LFAnalysis of the stored votes: conflicts, mistakes, a graph, and more."""
        return self._analysis(self.responses(split=split))

    def _analysis(self, data: pd.DataFrame) -> LFAnalysis:
        return LFAnalysis(self.votes(data), self.functions, self._votes.history(self.functions))

    def suggest(self, n: int = 10) -> Suggestions:
        """Return labeling functions that the human labels of training rows suggest; see :func:`weaklm.suggest`.

        Accept one with ``suggestions.accept(0, project.folder / "lfs" / "mine.py")``.
        """
        train = self.responses(split="train")  # the labels of held-out rows only judge
        Y, _ = self._batches.estimable(
            train, labels_of(train), ("learn", "debug")
        )  # those to certify must not have taught anything
        return suggest(train, Y, self.votes(train), self.functions, n=n)

    def fit(self, *, human_labels: bool = True) -> Fitted:
        """Fit the label model and the quality model on the train split, and score every response.

        Training rows get out-of-fold scores. ``human_labels=False`` leaves the human labels out altogether.
        """
        data = self.responses()
        train = data[data["split"] == "train"]
        if train.empty:
            raise ProjectError("no response is in the train split; lower [split] test, or import with split='train'")
        L = self.votes(train)
        labels = self._labels(train) if human_labels else Labels(None, None)
        options = {table: self.settings[table] for table in ("label_model", "quality_model")}
        versions = [self._votes.version(function) for function in self.functions]
        run_id = self._fit_key(train, L, labels)

        def make() -> dict[str, Any]:
            fitted, scores = self._fit(run_id, train, L, labels, options)
            with self.store.write() as connection:
                self.store.add_part(connection, "scores", run_id, scores)
            return asdict(fitted)

        outputs = self._runs.once("fit", run_id, make, parents=versions, settings=options)
        self._score_rest(run_id, data)
        return Fitted(**outputs)

    def _fit_key(self, train: pd.DataFrame, L: NDArray[np.int8], labels: Labels) -> str:
        options = {table: self.settings[table] for table in ("label_model", "quality_model")}
        versions = [self._votes.version(function) for function in self.functions]
        votes = hashlib.sha256(L.tobytes()).hexdigest()  # they may change without the functions: a retry, a clock
        return run_key("fit", versions, votes, train["id"].tolist(), labels.to_list(), options)

    def _labels_of_fit(self, train: pd.DataFrame) -> Labels:
        """Return the labels that the newest fit used; ProjectError where it was made of other things than are there."""
        L, newest = self.votes(train), self._runs.newest("fit")["id"]
        for labels in (self._labels(train), Labels(None, None)):
            if self._fit_key(train, L, labels) == newest:
                return labels
        raise ProjectError("functions, votes or labels have changed since the last fit; run fit() first")

    def _fit(
        self, run_id: str, train: pd.DataFrame, L: NDArray[np.int8], labels: Labels, options: dict[str, Any]
    ) -> tuple[Fitted, pd.DataFrame]:
        Y, inclusion = labels
        label_model = LabelModel(**options["label_model"]).fit(L, Y, inclusion)
        covered = label_model.covered(L)
        quality = QualityModel(**options["quality_model"])
        quality.fit(train, label_model.predict_proba(L), Y, covered=covered, inclusion=inclusion)
        folder = self.folder / "models" / run_id
        quality.save(folder)
        used = train["id"][Y != ABSTAIN] if Y is not None else []
        use = quality.label_use_.add("label model", used) if len(used) else quality.label_use_
        for name, state in {"label_model": label_model.to_dict(), "label_use": use.to_dict()}.items():
            with atomic_file(folder / f"{name}.json") as path:
                path.write_text(json.dumps(state))
        fitted = Fitted(run_id, len(train), int(covered.sum()), len(used), bool(quality.calibrated_))
        return fitted, pd.DataFrame({"id": train["id"].to_numpy(), "score": quality.oof_score_})

    def _labels(
        self, data: pd.DataFrame, purposes: tuple[Purpose, ...] = ("learn",), among: NDArray[np.bool_] | None = None
    ) -> Labels:
        """Return the human labels that rows may be judged by, and their chances; see :meth:`Batches.estimable`."""
        Y = labels_of(data)
        return Labels(*self._batches.estimable(data, Y if among is None else np.where(among, Y, ABSTAIN), purposes))

    def _labels_or_none(self, data: pd.DataFrame) -> NDArray[np.int8] | None:
        Y = self._labels(data).Y
        return Y if Y is not None and (Y != ABSTAIN).any() else None

    def _label_use(self) -> LabelUse:
        """Return what human labels were used for: by the newest models, and by every certificate so far."""
        folder = self.folder / "models" / self._runs.newest("fit")["id"]
        use = LabelUse.from_dict(json.loads((folder / "label_use.json").read_text()))
        for run in self._runs.all("curate"):
            use = use.add("an earlier certificate", run["outputs"].get("certified_by", []))
        return use

    def _score_rest(self, model: str, data: pd.DataFrame) -> None:
        """Score the rows that the model has not scored yet and store the scores."""
        known = self.store.frame("scores", model)
        rest = data[~data["id"].isin(known["id"] if known is not None else [])]
        if rest.empty:
            return
        scores = self.quality.predict_proba(rest)[:, ACCEPT]
        with self.store.write() as connection:
            self.store.add_part(
                connection, "scores", model, pd.DataFrame({"id": rest["id"].to_numpy(), "score": scores})
            )

    @property
    def quality(self) -> QualityModel:
        """The newest fitted QualityModel."""
        return QualityModel.load(self.folder / "models" / self._runs.newest("fit")["id"])

    def rescore(self, source: str | None = None) -> int:
        """Score the responses (of a source) that have no score yet, apply the functions to them; return how many."""
        self.responses(source=source)  # says so when there is no such source
        model = self._runs.newest("fit")["id"]
        data = self.responses()
        known = self.store.frame("scores", model)
        before = 0 if known is None else len(known)
        self.apply()
        self._score_rest(model, data)
        after = self.store.frame("scores", model)
        return (0 if after is None else len(after)) - before

    def scores(self, data: pd.DataFrame) -> NDArray[np.float64]:
        """Return the score of rows of this project, (n,) float64 = P(ACCEPT), by the newest model."""
        stored = self.store.frame("scores", self._runs.newest("fit")["id"])
        scores = stored.set_index("id")["score"] if stored is not None else pd.Series(dtype="float64")
        lacking = int((~data["id"].isin(scores.index)).sum())
        if lacking:
            raise ProjectError(f"{lacking:,} responses have no score by the newest model; run rescore() first")
        return scores.loc[data["id"]].to_numpy(np.float64)

    # ------------------------------------------------------------------------------------------ reports

    def report(
        self,
        *,
        split: str | None = None,
        source: str | Sequence[str] | None = None,
        slices: Sequence[Function] | None = None,
        discover: bool = False,
        target: float | None = None,
        fail_under: float | None = None,
    ) -> Report:
        """Return the Report of a split (held-out instructions unless named), and save it as HTML and JSON.

        Parameters
        ----------
        discover
            Search for slices that nobody wrote where quality is low.
        target
            A rate to decide against: the report says how many labels that takes. Without it, ``fail_under``.
        fail_under
            Raise GateError when the accept rate is below it, after the report is saved.
        """
        data = self.responses(source=source, split=split or HELD_OUT)
        slices = self.slices if slices is None else collect(list(slices))
        Y, inclusion = self._labels(data)
        analysis = self._analysis(data) if self._votes.has(self.functions, data) else None
        if analysis is None:
            log.warning("votes of some functions are missing, so the report leaves functions out; run apply() first")
        report = Report(
            data,
            self.scores(data),
            slices=slices,
            Y=Y,
            inclusion=inclusion,
            analysis=analysis,
            quality=self.quality,
            discover=discover,
            target=target if target is not None else fail_under,
        )
        self._file("report", report, [data], slices, options=[discover, target, fail_under, _hash(analysis)])
        check_gate(report, fail_under)
        return report

    def compare(
        self,
        base: str,
        tuned: str,
        *others: str,
        split: str | None = None,
        slices: Sequence[Function] | None = None,
        second_opinion: bool = False,
        fail_if_worse: bool = False,
    ) -> Comparison:
        """Return the Comparison of sources on the instructions that they answered (held-out unless named), saved.

        Parameters
        ----------
        others
            Further sources, each compared with ``base``.
        second_opinion
            Let a second quality model, which shares no function with a first one, judge too, for the proxy-gap meter.
            It takes two more fits.
        fail_if_worse
            Raise GateError when people, or the score, say that a source is worse; after the comparison is saved.
        """
        slices = self.slices if slices is None else collect(list(slices))
        frames = [self.responses(source=source, split=split or HELD_OUT) for source in (base, tuned, *others)]
        scores = [self.scores(data) for data in frames]
        labels = [self._batches.estimable(data, labels_of(data)) for data in frames]
        names = np.array([None, "REJECT", "ACCEPT"], dtype=object)
        frames = [data.assign(**{HUMAN_LABEL: names[Y + 1]}) for data, (Y, _) in zip(frames, labels, strict=True)]
        comparison = Comparison(
            frames[0],
            scores[0],
            frames[1],
            scores[1],
            slices=slices,
            names=(base, tuned),
            inclusion=_both(labels[:2]),
            second_scores=self._second_scores(frames[:2]) if second_opinion else None,
            trained_on=self._trained_on(tuned),
            others={name: (frames[k], scores[k]) for k, name in enumerate(others, start=2)},
        )
        self._file("compare", comparison, frames, slices, options=[second_opinion])
        if fail_if_worse:
            check_not_worse(comparison)
        return comparison

    def _second_scores(self, frames: Sequence[pd.DataFrame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the scores of two frames by a quality model of half of the functions, fitted without human labels."""
        train = self.responses(split="train")
        _, second = disjoint_opinions(train, self.votes(train), self.functions)
        before, after = (second.quality.predict_proba(data)[:, ACCEPT] for data in frames)
        return before, after

    def _trained_on(self, source: str) -> list[str] | None:
        """Return the instructions that the model behind a source was trained on here; None when it was not."""
        generated = [run for run in self._runs.all("generate") if run["outputs"]["source"] == source]
        trained = [self._runs.get(parent) for run in generated for parent in run["parents"]]
        curated = [parent for run in trained if run is not None for parent in run["parents"]]
        folders = [self.folder / run["outputs"]["folder"] for run in map(self._runs.get, curated) if run is not None]
        ids = [QualityDataset.load(folder).to_frame()["instruction_id"] for folder in folders]
        return sorted(set(pd.concat(ids))) if ids else None

    def _file(
        self,
        kind: str,
        report: Report | Comparison,
        frames: Sequence[pd.DataFrame],
        slices: Sequence[Function],
        options: Sequence[Any] = (),
    ) -> None:
        """Save a Report or Comparison in a folder named after all that it shows, record it."""
        model = self._runs.newest("fit")["id"]
        shown = [[data["id"].tolist(), *self._labels(data).to_list()] for data in frames]
        versions = [self._votes.version(function) for function in self.functions]
        run_id = run_key(kind, model, shown, versions, [version(sf) for sf in slices], options)
        folder = self.folder / "reports" / run_id

        def make() -> dict[str, Any]:
            report.save(folder)
            return {"folder": f"reports/{run_id}"}

        self._runs.once(kind, run_id, make, parents=[model])

    def explain(self, row_id: str) -> Explanation:
        """Return why a response has its score and its place: votes, contributions, features, decision, lineage."""
        data = self.responses()
        found = data[data["id"] == str(row_id)]
        if found.empty:
            raise ProjectError(f"no response has the id {row_id!r}; {nearest(str(row_id), data['id'])}")
        self._labels_of_fit(data[data["split"] == "train"])  # else the votes are not those that were weighed
        judged = self._judged(data)
        return explain(
            found,
            functions=self.functions,
            L=self.votes(found),
            label_model=self._label_model(),
            quality=self.quality,
            score=float(self.scores(found)[0]),
            slices=self.slices,
            decisions=self.curated().rows if self._runs.all("curate") else None,
            runs={kind: self._runs.all(kind) for kind in ("fit", "curate", "train", "generate")},
            judged=(self.scores(judged), labels_of(judged)) if len(judged) else None,
        )

    def blame(self, function: str) -> FunctionEffect:
        """Return what a labeling function does to the training rows: labels that it tips, and the loop without it.

        Label model, quality model and curation are run once more without it, which takes as long as ``fit``.
        """
        train = self.responses(split="train")
        L, names = self.votes(train), [f.name for f in self.functions]
        if function not in names:
            raise ProjectError(f"there is no function {function!r}; {nearest(function, names)}")
        Y, inclusion = self._labels_of_fit(train)
        models = {table: self.settings[table] for table in ("label_model", "quality_model")}
        try:
            without = scores_without(train, L, names.index(function), Y=Y, inclusion=inclusion, **models)
        except ModelError as error:
            log.warning("the loop cannot be run without %s: %s", function, error)
            return blame_function(train, L, names, function, self._label_model())
        options = {key: value for key, value in self.settings["curate"].items() if key != "max_bad_rate"}
        score = self.scores(train)
        kept, changed = (self._curate(train, s, Labels(None, None), options) for s in (score, without))
        return blame_function(
            train,
            L,
            names,
            function,
            self._label_model(),
            score=score,
            score_without=without,
            decisions=kept.rows,
            decisions_without=changed.rows,
        )

    def lineage(self, adapter: str | Trained | None = None) -> AdapterLineage:
        """Return what an adapter (the newest unless named) was made from: every row, and the code of every function."""
        run_id = adapter.id if isinstance(adapter, Trained) else adapter or self._runs.newest("train")["id"]
        runs = [run for kind in ("fit", "curate", "train") for run in self._runs.all(kind)]
        folders = {run["id"]: self.folder / run["outputs"]["folder"] for run in runs if run["kind"] == "curate"}
        training = self._runs.get(str(run_id))
        used = [folders[parent] for parent in (training or {}).get("parents", []) if parent in folders]
        return adapter_lineage(
            str(run_id),
            runs=runs,
            versions=self.store.rows(sa.select(tables.function_versions)),
            rows={folder.name: QualityDataset.load(folder).to_frame() for folder in used},
            now={function.name: code_hash(function) for function in self.functions},
        )

    def _label_model(self) -> LabelModel:
        folder = self.folder / "models" / self._runs.newest("fit")["id"]
        return LabelModel.from_dict(json.loads((folder / "label_model.json").read_text()))

    def _judged(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that people labelled in a draw and whose score did not learn from that label."""
        Y, _ = self._labels(data)
        return data[Y != ABSTAIN]

    def last(self, kind: str) -> Path:
        """Return the folder that the newest step of a kind made: "report", "compare", "curate", "train"."""
        return self.folder / str(self._runs.newest(kind)["outputs"]["folder"])

    # ------------------------------------------------------------------------------------------ curation and training

    def curate(self, **options: Any) -> QualityDataset:
        """Return the QualityDataset of the train split: every row with its decision and reason, saved.

        Keyword arguments are those of :func:`weaklm.curate`, on top of the project's settings; with
        ``decontaminate=True`` no kept row asks what a held-out one asks. What further steps of the set make is filed by
        :meth:`keep`.
        """
        project_settings.check({"curate": options}, "curate(...)")
        settings = dict(self.settings["curate"])
        if options.get("max_bad_rate") is not None:
            settings.pop("confidence_threshold", None)  # the certificate sets the bar
        options = settings | options
        data = self.responses(split="train")
        labels = self._labels(data, ("learn", "certify")) if options.get("max_bad_rate") else Labels(None, None)
        held_out = self.responses(split=HELD_OUT)["id"].tolist() if options.get("decontaminate") else []
        slices = [version(sf) for sf in self.slices]
        key = [data["id"].tolist(), data[HUMAN_LABEL].tolist(), labels.to_list(), held_out, slices, options]
        return self._curated_once(key, lambda: self._curate(data, self.scores(data), labels, options), options)

    def keep(self, curated: QualityDataset) -> QualityDataset:
        """File a set that further steps made as the newest curated one, which ``train`` and ``export`` take.

        >>> project.keep(project.curate().dedupe().diversify(500))  # doctest: +SKIP
        """
        decided = curated.rows[["id", "kept", "reason"]].astype(str)
        return self._curated_once([decided.to_csv(index=False)], lambda: curated, {})

    def _curated_once(
        self, key: Sequence[Any], make: Callable[[], QualityDataset], options: Mapping[str, Any]
    ) -> QualityDataset:
        model = self._runs.newest("fit")["id"]
        run_id = run_key("curate", model, *key)
        folder = self.folder / "curated" / run_id

        def made() -> dict[str, Any]:
            curated = make()
            curated.save(folder)
            certificate = curated.certificate
            decided = list(certificate.label_ids) if certificate is not None else []
            return {"folder": f"curated/{run_id}", "n_rows": len(curated), "certified_by": decided}

        self._runs.once("curate", run_id, made, parents=[model], settings=options)
        return QualityDataset.load(folder)

    def _curate(
        self, data: pd.DataFrame, scores: NDArray[np.float64], labels: Labels, options: Mapping[str, Any]
    ) -> QualityDataset:
        use, inclusion = None, None
        if labels.Y is not None:  # the chance of a label that is spent is no chance to decide
            use = self._label_use()
            spent = np.array([row_id in use for row_id in data["id"]], dtype=bool)
            inclusion = self._labels(data, ("learn", "certify"), ~spent).inclusion
        held_out = self.responses(split=HELD_OUT) if options.get("decontaminate") else None
        return curate(
            data,
            scores,
            **{**options, "decontaminate": held_out},
            label_use=use,
            Y=labels.Y,
            inclusion=inclusion,
            funnel_slices=self.slices or None,
        )

    def curated(self) -> QualityDataset:
        """Return the newest curated QualityDataset."""
        model, chosen_by = self._runs.newest("fit")["id"], self._runs.newest("curate")["parents"]
        if chosen_by != [model]:
            log.warning("the curated set was chosen by the older model %s; curate() again for %s", chosen_by[0], model)
        return QualityDataset.load(self.last("curate"))

    def export(self, path: str | Path, format: str | None = None, **options: Any) -> int:
        """Write the kept rows of the newest curated set to a file and return how many; see :func:`weaklm.export`."""
        return export(self.curated(), path, format=format, **options)

    def train(self, base_model: str | Path | None = None, **options: Any) -> Trained:
        """Fine-tune a base model with QLoRA on the newest curated set; an interrupted training is resumed.

        Parameters
        ----------
        base_model
            A folder or a Hugging Face name; without it the one of ``[train]`` in ``weaklm.toml``.
        options
            Keyword arguments of :class:`weaklm.QLoRATrainer`, on top of the project's settings.
        """
        options = self.settings["train"] | options
        base = str(base_model or options.pop("base_model", "") or "")
        options.pop("base_model", None)
        project_settings.check({"train": options}, "train(...)")
        if not base:
            raise ProjectError("no base model is named; pass base_model=... (--base-model) or set it in [train]")
        curated = self._runs.newest("curate")
        run_id = run_key("train", curated["id"], base, fingerprint(base), options)
        folder = self.folder / "adapters" / run_id
        make = self._trainer(run_id, folder, base, options)
        outputs = self._runs.once(
            "train", run_id, make, parents=[curated["id"]], settings={"base_model": base} | options
        )
        return Trained(**outputs)

    def trained(self) -> Trained:
        """Return the newest trained adapter."""
        return Trained(**self._runs.newest("train")["outputs"])

    def _trainer(self, run_id: str, folder: Path, base: str, options: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        def make() -> dict[str, Any]:
            from weaklm.lm.train import QLoRATrainer

            curated = self.curated()
            checkpoints = folder.with_name(f"{run_id}.checkpoints")
            trainer = QLoRATrainer(base, **options)
            tuned = trainer.fit(curated, checkpoint_dir=checkpoints, progress=self.progress)
            tuned.save(folder)
            (folder / "training.svg").write_text(_training_curve(tuned.history), encoding="utf-8")
            shutil.rmtree(checkpoints, ignore_errors=True)
            dropped = {reason: len(ids) for reason, ids in tuned.dropped.items()}
            n_rows = len(curated) - sum(dropped.values())
            loss = float(tuned.history[-1]["loss"])
            return asdict(Trained(run_id, f"adapters/{run_id}", base, n_rows, loss, dropped, len(tuned.context_cut)))

        return make

    def generate(
        self, model: str | Path | Trained, *, split: str | None = None, source: str | None = None, **options: Any
    ) -> str:
        """Let a model answer the instructions of a split (held-out unless named); return the name of the new source.

        Parameters
        ----------
        model
            A :class:`Trained` adapter or its id, or a base model by folder or name.
        source
            The name of the new source; made from the model's name without it.
        options
            Keyword arguments of :meth:`weaklm.LanguageModel.generate`, on top of the project's settings.
        """
        options = self.settings["generate"] | options
        project_settings.check({"generate": options}, "generate(...)")
        place, default, parent = self._model(model)
        name = source or default
        asked = _instructions(self.responses(split=split or HELD_OUT))
        run_id = run_key("generate", parent, place, fingerprint(place), asked["instruction_id"].tolist(), name, options)

        def make() -> dict[str, Any]:
            from weaklm.lm.generation import LanguageModel

            language_model = LanguageModel.load(place)
            answers = language_model.generate(asked, source=name, progress=self.progress, **options)
            self._responses.add(complete(answers), f"generated by run {run_id}", answers.attrs["dropped"])
            return {"source": name, "n_rows": len(answers), "dropped": answers.attrs["dropped"]}

        if name in self.sources() and self._runs.get(run_id) is None:
            if source is not None:
                raise ProjectError(f"there is a source {name!r} already; name the new one with source=... (--source)")
            name = f"{name}-{run_id[:8]}"  # another turn of the loop: other instructions or settings
        parents = [parent] if parent else []
        outputs = self._runs.once("generate", run_id, make, parents=parents, settings=options | {"split": split})
        self.rescore(outputs["source"])
        return str(outputs["source"])

    def _model(self, model: str | Path | Trained) -> tuple[str, str, str]:
        """Return a model's folder or name, the name of the source that it makes, and its training run."""
        name = model.id if isinstance(model, Trained) else str(model)
        run = self._runs.get(name)
        if run is not None and run["kind"] == "train":
            return (
                str(self.folder / run["outputs"]["folder"]),
                f"{Path(run['outputs']['base_model']).name}-tuned-{name[:8]}",
                name,
            )
        return name, Path(name).name, ""

    def run(self, base_model: str | Path | None = None) -> Report | Comparison:
        """Do every step of the loop, skipping what is up to date; return the Comparison of tuned and base model.

        Without a base model the loop ends after curation, and the Report is returned.
        """
        log.info("%s", self.apply())
        log.info("%s", self.fit())
        generated = {run["outputs"]["source"] for run in self._runs.all("generate")}
        report = self.report(source=[source for source in self.sources() if source not in generated])
        log.info("report: %s", self.last("report") / "report.html")
        curated = self.curate()
        log.info("curated %s of %s training rows", f"{len(curated):,}", f"{len(curated.rows):,}")
        base = base_model or self.settings["train"].get("base_model")
        if base is None:
            log.info("no base model is named, so the loop ends here; name one with --base-model or in [train]")
            return report
        trained = self.train(base)
        log.info("%s", trained)
        before = self.generate(base)
        after = self.generate(trained)
        log.info("generated and scored answers of %s and %s", before, after)
        comparison = self.compare(before, after)
        log.info("comparison: %s", self.last("compare") / "comparison.html")
        return comparison


def _training_curve(history: Sequence[Mapping[str, float]]) -> str:
    losses = [(step, entry["loss"]) for step, entry in enumerate(history, start=1)]
    held_out = [(step, e["held_out_loss"]) for step, e in enumerate(history, start=1) if "held_out_loss" in e]
    description = f"Loss of {len(losses):,} training steps, {losses[0][1]:.3f} to {losses[-1][1]:.3f}."
    return pictures.training_curve(losses, held_out, description=description)


def check_gate(report: Report, fail_under: float | None) -> None:
    """Raise GateError when the accept rate of a report is below ``fail_under``; None is no gate."""
    rate = report.accept_rate
    if fail_under is not None and rate["value"] is not None and rate["value"] < fail_under:
        raise GateError(f"the {rate['judged_by']} accept rate is {rate['value']:.3f}, under the gate of {fail_under}")


def check_not_worse(comparison: Comparison) -> None:
    """Raise GateError when people, or the score, say that a compared source is worse."""
    summary = comparison.summary()
    if "worse" in (summary["outcome"], summary["score_outcome"]):
        raise GateError(f"a source is worse: {comparison.verdict}")


def _hash(analysis: LFAnalysis | None) -> str | None:
    return None if analysis is None else hashlib.sha256(analysis.L.tobytes()).hexdigest()


def _both(
    labels: Sequence[tuple[NDArray[np.int8], NDArray[np.float64] | None]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the chances of both sides; a side without a label has no need of them."""
    before, after = (
        np.ones(len(Y)) if inclusion is None and not (Y != ABSTAIN).any() else inclusion for Y, inclusion in labels
    )
    return None if before is None or after is None else (before, after)


def _name(path: str | Path | pd.DataFrame) -> str:
    return "the frame" if isinstance(path, pd.DataFrame) else str(path)


def _instructions(data: pd.DataFrame) -> pd.DataFrame:
    """Return one row an instruction, in order of id, with those columns that belong to the instruction.

    A further column comes along when all responses to an instruction agree on it: what differs from response to
    response is about the response.
    """
    others = [column for column in data.columns if column not in (*COLUMNS, HUMAN_LABEL)]
    shared = [
        column for column in others if data[column].map(repr).groupby(data["instruction_id"]).nunique().max() == 1
    ]
    columns = ["instruction_id", "instruction", "context", "prompt_prefix", "split", *shared]
    return data.drop_duplicates("instruction_id")[columns].sort_values("instruction_id", ignore_index=True)
