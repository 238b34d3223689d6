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
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm import settings as project_settings
from weaklm.analysis import LFAnalysis
from weaklm.apply import SFApplier
from weaklm.atomic import atomic_file
from weaklm.batches import AnnotationBatch, Batches, Purpose, from_score_on, opposed
from weaklm.comparison import Comparison
from weaklm.curation import QualityDataset, curate
from weaklm.data import ABSTAIN, ACCEPT, COLUMNS, HUMAN_LABEL, complete, read
from weaklm.data import human_labels as labels_of
from weaklm.errors import DataError, GateError, ProjectError, nearest
from weaklm.exchange import export
from weaklm.functions import Function, collect, load
from weaklm.label_model import LabelModel
from weaklm.lineage import Explanation, explain
from weaklm.quality import QualityModel
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
    ) -> Imported:
        """Import the responses of a file or frame; rows that are already there are counted and left out.

        Parameters
        ----------
        path, columns, keep
            As in :func:`weaklm.read`; ``columns`` adds to the project's own.
        source
            The model that wrote the responses, when the file has no ``source`` column.
        split
            "train", "valid" or "test" for all rows; without it the file's column, else the project's split setting.
        """
        names = self.settings["columns"] | dict(columns or {})
        data = read(path, names, source=source, split=split, keep=keep)
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
        data = self.responses(source, split or ("train" if purpose == "certify" else None))
        Y = labels_of(data)
        settings: dict[str, Any] = {"n": n, "split": split, "source": source, "random_state": random_state}
        if purpose == "certify":
            drawn = from_score_on(self.scores(data), Y, n, drawn_from, random_state)
            settings["drawn_from"] = drawn_from
        elif purpose == "debug":
            names = [f.name for f in self.functions]
            if function not in names:
                raise ProjectError(f"there is no function {function!r} to debug; {nearest(str(function), names)}")
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
        Y = labels_of(data)
        return self._analysis(data).lf_summary(Y if (Y != ABSTAIN).any() else None)

    def lints(self, split: str | None = None) -> pd.DataFrame:
        """Return what is likely wrong with the labeling functions, one finding a row, and what to do about it."""
        data = self.responses(split=split)
        Y = labels_of(data)
        return self._analysis(data).lints(Y if (Y != ABSTAIN).any() else None, data)

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
        return suggest(train, labels_of(train), self.votes(train), self.functions, n=n)

    def fit(self, *, human_labels: bool = True) -> Fitted:
        """Fit the label model and the quality model on the train split, and score every response.

        Training rows get out-of-fold scores. ``human_labels=False`` leaves the human labels out altogether.
        """
        data = self.responses()
        train = data[data["split"] == "train"]
        if train.empty:
            raise ProjectError("no response is in the train split; lower [split] test, or import with split='train'")
        L = self.votes(train)
        Y = labels_of(train) if human_labels else None
        options = {table: self.settings[table] for table in ("label_model", "quality_model")}
        versions = [self._votes.version(function) for function in self.functions]
        votes = hashlib.sha256(L.tobytes()).hexdigest()  # they may change without the functions: a retry, a clock
        run_id = run_key("fit", versions, votes, train["id"].tolist(), Y.tolist() if Y is not None else None, options)

        def make() -> dict[str, Any]:
            fitted, scores = self._fit(run_id, train, L, Y, options)
            with self.store.write() as connection:
                self.store.add_part(connection, "scores", run_id, scores)
            return asdict(fitted)

        outputs = self._runs.once("fit", run_id, make, parents=versions, settings=options)
        self._score_rest(run_id, data)
        return Fitted(**outputs)

    def _fit(
        self, run_id: str, train: pd.DataFrame, L: NDArray[np.int8], Y: NDArray[np.int8] | None, options: dict[str, Any]
    ) -> tuple[Fitted, pd.DataFrame]:
        label_model = LabelModel(**options["label_model"]).fit(L, Y)
        covered = label_model.covered(L)
        quality = QualityModel(**options["quality_model"])
        quality.fit(train, label_model.predict_proba(L), Y, covered=covered)
        folder = self.folder / "models" / run_id
        quality.save(folder)
        with atomic_file(folder / "label_model.json") as path:
            path.write_text(json.dumps(label_model.to_dict()))
        n_human = 0 if Y is None else int((Y != ABSTAIN).sum())
        fitted = Fitted(run_id, len(train), int(covered.sum()), n_human, bool(quality.calibrated_))
        return fitted, pd.DataFrame({"id": train["id"].to_numpy(), "score": quality.oof_score_})

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
        fail_under: float | None = None,
    ) -> Report:
        """Return the Report of a split (held-out instructions unless named), and save it as HTML and JSON.

        ``fail_under`` raises GateError when the accept rate is below it, after the report is saved.
        """
        data = self.responses(source=source, split=split or HELD_OUT)
        slices = self.slices if slices is None else collect(list(slices))
        report = Report(data, self.scores(data), slices=slices)
        self._file("report", report, [data], slices)
        check_gate(report, fail_under)
        return report

    def compare(
        self, base: str, tuned: str, *, split: str | None = None, slices: Sequence[Function] | None = None
    ) -> Comparison:
        """Return the Comparison of two sources on the instructions that both answered (held-out unless named)."""
        slices = self.slices if slices is None else collect(list(slices))
        pair = [self.responses(source=source, split=split or HELD_OUT) for source in (base, tuned)]
        scores = [self.scores(data) for data in pair]
        comparison = Comparison(pair[0], scores[0], pair[1], scores[1], slices=slices, names=(base, tuned))
        self._file("compare", comparison, pair, slices)
        return comparison

    def _file(
        self, kind: str, report: Report | Comparison, frames: Sequence[pd.DataFrame], slices: Sequence[Function]
    ) -> None:
        """Save a Report or Comparison in a folder named after all that it shows, record it."""
        model = self._runs.newest("fit")["id"]
        shown = [[data["id"].tolist(), data[HUMAN_LABEL].tolist()] for data in frames]
        run_id = run_key(kind, model, shown, [version(sf) for sf in slices])
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
        model = self._runs.newest("fit")
        state = json.loads((self.folder / "models" / model["id"] / "label_model.json").read_text())
        return explain(
            found,
            functions=self.functions,
            L=self.votes(found),
            label_model=LabelModel.from_dict(state),
            quality=self.quality,
            score=float(self.scores(found)[0]),
            slices=self.slices,
            decisions=self.curated().rows if self._runs.all("curate") else None,
            runs={kind: self._runs.all(kind) for kind in ("fit", "curate", "train", "generate")},
        )

    def last(self, kind: str) -> Path:
        """Return the folder that the newest step of a kind made: "report", "compare", "curate", "train"."""
        return self.folder / str(self._runs.newest(kind)["outputs"]["folder"])

    # ------------------------------------------------------------------------------------------ curation and training

    def curate(self, **options: Any) -> QualityDataset:
        """Return the QualityDataset of the train split: every row with its decision and reason, saved.

        Keyword arguments are those of :func:`weaklm.curate`, on top of the project's settings.
        """
        options = self.settings["curate"] | options
        project_settings.check({"curate": options}, "curate(...)")
        data = self.responses(split="train")
        model = self._runs.newest("fit")["id"]
        run_id = run_key("curate", model, data["id"].tolist(), options)
        folder = self.folder / "curated" / run_id

        def make() -> dict[str, Any]:
            curated = curate(data, self.scores(data), **options)
            curated.save(folder)
            return {"folder": f"curated/{run_id}", "n_rows": len(curated)}

        self._runs.once("curate", run_id, make, parents=[model], settings=options)
        return QualityDataset.load(folder)

    def curated(self) -> QualityDataset:
        """Return the newest curated QualityDataset."""
        model, chosen_by = self._runs.newest("fit")["id"], self._runs.newest("curate")["parents"]
        if chosen_by != [model]:
            log.warning("the curated set was chosen by the older model %s; curate() again for %s", chosen_by[0], model)
        return QualityDataset.load(self.last("curate"))

    def export(self, path: str | Path, format: str | None = None) -> int:
        """Write the kept rows of the newest curated set to a file and return how many; see :func:`weaklm.export`."""
        return export(self.curated().to_frame(), path, format=format)

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


def check_gate(report: Report, fail_under: float | None) -> None:
    """Raise GateError when the accept rate of a report is below ``fail_under``; None is no gate."""
    rate = report.summary()["overall"]["proxy"]["value"]
    if fail_under is not None and rate < fail_under:
        raise GateError(f"the accept rate is {rate:.3f}, under the gate of {fail_under}")


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
