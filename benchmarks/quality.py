"""How well does the quality model rank held-out answers of public sets, against people's labels, and do scores mean it?

    python benchmarks/quality.py [--sets mtrag begin] [--seeds 5] [--labels 0 100] [--ablation] [--functions]

Group 5-fold: no task (MTRAG), knowledge passage (BEGIN) or instruction (others) is in both training and test. Functions
and features see instruction, context, prompt_prefix and response only. Human labels are read for the evaluation, and
as many as ``--labels`` says, drawn at random, are given to label model and quality model in each training part.

Each number is the mean over seeds; the interval is the mean of the seeds' 95 % bootstrap intervals by group
(``weaklm.evaluation``). AUC is within folds: pairs of two rows that one model scored. ECE is corrected for its upward
bias; the raw one of 10 equal bins stands beside it. Word rarities are learned once from all texts of a set, unlabelled.
"""

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import weaklm as wl
import weaklm.quality.model
from weaklm.data import ABSTAIN, ACCEPT, COLUMNS, REJECT
from weaklm.evaluation import evaluate
from weaklm.features import DIRECTIONS, FAMILIES, FeatureExtractor, extractor
from weaklm.metrics import auc, ece
from weaklm.quality.scale import Scale
from weaklm.voter import MajorityLabelVoter

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = {"source": "model", "human_label": "label"}
# Name -> folder, and the column that names a task.
SETS = {
    "mtrag": ("mtrag_human", "task_id"),
    "begin": ("begin", "context"),
    "halueval_general": ("halueval_general", "instruction"),
    "expertqa": ("expertqa", "instruction"),
    "gsm8k_solutions": ("gsm8k_solutions", "instruction"),
    "llmbar": ("llmbar", "instruction"),
}
Scores = NDArray[np.float64]
Labels = NDArray[np.int8]


def read_set(name: str, folder: Path = DATA) -> pd.DataFrame:
    """Return the answers of a set with their task as ``group``; rows without an instruction are left out."""
    where, task = SETS[name]
    frame = pd.read_parquet(folder / where / "data.parquet")
    frame = frame[frame["instruction"].str.strip() != ""].reset_index(drop=True)
    frame["group"] = frame[task]
    columns = NAMES | ({"instruction_id": "group"} if name == "mtrag" else {})
    kept = [column for column in ("group", "domain", "pair_id") if column in frame]
    return wl.read(frame.drop(columns="split"), columns=columns, keep=kept)


def mtrag(folder: Path = DATA) -> pd.DataFrame:
    """Return the 477 answers of three sources to 159 tasks."""
    return read_set("mtrag", folder)


def begin(folder: Path = DATA) -> pd.DataFrame:
    """Return the answers of four dialogue models."""
    return read_set("begin", folder)


@dataclass(frozen=True)
class Stored:
    """Features computed before, in the place of a FeatureExtractor; without some columns, for an ablation."""

    X: pd.DataFrame

    def fit(self, _: pd.DataFrame) -> "Stored":
        """Return itself: there is nothing to learn."""
        return self

    def transform(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the features of these rows."""
        return self.X.loc[data.index]


@contextlib.contextmanager
def using(X: pd.DataFrame) -> Iterator[None]:
    """Let every QualityModel read its features from X, by the index of the rows."""
    with mock.patch.object(weaklm.quality.model, "FeatureExtractor", lambda: Stored(X)):
        yield


def folds(data: pd.DataFrame, random_state: int, n_folds: int = 5) -> NDArray[np.int64]:
    """Return the fold of each row; a group is in one fold."""
    groups, names = pd.factorize(data["group"])
    return (np.random.default_rng(random_state).permutation(len(names)) % n_folds)[groups]


def held_out_scores(
    data: pd.DataFrame,
    L: Labels,
    *,
    Y: Labels | None = None,
    random_state: int = 0,
    label_model: Callable[[], Any] = wl.LabelModel,
    **settings: Any,
) -> tuple[Scores, Scores]:
    """Return P(ACCEPT) of each row by a quality model, and by a label model, that saw no row of its group.

    ``Y`` are human labels (-1 unlabelled) that both models may use; None is the weak-only run.
    """
    fold = folds(data, random_state)
    quality_score, label_score = np.zeros(len(data)), np.zeros(len(data))
    for k in np.unique(fold):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        known = None if Y is None else Y[train]
        labels = label_model().fit(L[train], known)
        quality = wl.QualityModel(random_state=random_state, **settings).fit(
            data.iloc[train],
            labels.predict_proba(L[train]),
            known,
            groups=data["group"].iloc[train],
            covered=labels.covered(L[train]),
        )
        quality_score[test] = quality.predict_proba(data.iloc[test])[:, ACCEPT]
        label_score[test] = labels.predict_proba(L[test])[:, ACCEPT]
    return quality_score, label_score


def from_labels_alone(data: pd.DataFrame, X: pd.DataFrame, Y: Labels, kind: str, random_state: int) -> Scores:
    """Return P(ACCEPT) of each row by a logistic regression or LightGBM that learned from human labels only."""
    import lightgbm
    from sklearn.linear_model import LogisticRegression

    fold, score = folds(data, random_state), np.zeros(len(data))
    for k in np.unique(fold):
        train, test = (fold != k) & (Y != ABSTAIN), fold == k
        scale = Scale.fit(X[fold != k].to_numpy())
        a, b = (scale.fill(X[rows].to_numpy()) for rows in (train, test))
        if kind == "logistic regression":
            model: Any = LogisticRegression(C=0.05, max_iter=1000).fit(scale.apply(a), Y[train])
            score[test] = model.predict_proba(scale.apply(b))[:, 1]
        else:
            model = lightgbm.LGBMClassifier(
                n_estimators=100, num_leaves=7, min_child_samples=5, learning_rate=0.05, n_jobs=1, verbosity=-1
            ).fit(a, Y[train])
            score[test] = model.booster_.predict(b)
    return score


def within_folds(Y: Labels, score: Scores, fold: NDArray[np.int64]) -> float:
    """Return the AUC over the pairs of rows of one fold."""
    pairs = [((Y[fold == k] == 1).sum() * (Y[fold == k] == 0).sum(), k) for k in np.unique(fold)]
    known = [(n, auc(Y[fold == k], score[fold == k])) for n, k in pairs if n]
    return float(np.average([value for _, value in known], weights=[n for n, _ in known]))


def pair_accuracy(data: pd.DataFrame, Y: Labels, score: Scores) -> float:
    """Return the share of pairs whose accepted answer scores above the rejected one; a tie is half."""
    table = pd.DataFrame({"pair": data["pair_id"].to_numpy(), "Y": Y, "score": score})
    wide = table.pivot_table(index="pair", columns="Y", values="score")
    return float((np.sign(wide[1] - wide[0]) / 2 + 0.5).mean())


@dataclass(frozen=True)
class Task:
    """A set with votes and features; ``judged`` rows are evaluated and may be labelled."""

    name: str
    data: pd.DataFrame
    L: Labels
    X: pd.DataFrame
    Y: Labels
    judged: NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, folder: Path, functions: Sequence[Any]) -> "Task":
        """Read a set, apply the functions, compute the features."""
        data = read_set(name, folder)
        start = time.perf_counter()
        L = wl.LFApplier(functions).apply(data[list(COLUMNS)])  # no other column is seen, by no function
        voted = time.perf_counter()
        X = FeatureExtractor().fit(data).transform(data)
        done = time.perf_counter()
        Y, judged = wl.human_labels(data), (data["source"] != "reference").to_numpy()
        covered = (L[judged] != ABSTAIN).any(axis=1).mean()
        print(f"\n{name}: {len(data)} rows, {judged.sum()} judged, accept rate {Y[judged].mean():.3f}")
        print(
            f"votes {len(data) / (voted - start):,.0f} rows/s, {X.shape[1]} features {len(data) / (done - voted):,.0f} "
            f"rows/s (fit and transform); rows with a vote {covered:.3f}"
        )
        return cls(name, data, L, X, Y, judged)

    def given(self, n: int, seed: int) -> Labels | None:
        """Return Y with about ``n`` random labels in each training part of a 5-fold split, the rest -1; None for 0."""
        if n == 0:
            return None
        chosen = np.random.default_rng(1000 + seed).permutation(np.flatnonzero(self.judged))[: round(n / 0.8)]
        labels = np.full(len(self.Y), ABSTAIN, dtype=np.int8)
        labels[chosen] = self.Y[chosen]
        return labels

    def measure(self, score: Scores, seed: int, n_resamples: int = 200) -> dict[str, float]:
        """Return the metrics of a held-out score, with intervals and baselines."""
        use = self.judged
        Y, values = self.Y[use], score[use]
        words = self.data["response"].str.split().str.len().to_numpy()[use]
        found = evaluate(
            Y, values, groups=self.data["group"][use], length=words, n_resamples=n_resamples, random_state=seed
        ).metrics
        numbers = {
            f"{metric} {kind}": float(found[kind][metric])
            for metric in ("auc", "brier", "ece")
            for kind in ("value", "low", "high", "reject_everything", "length_only")
        }
        numbers["auc value"] = within_folds(Y, values, folds(self.data, seed)[use])
        numbers["raw ece"] = ece(Y, values)
        if "pair_id" in self.data:
            numbers["pair accuracy"] = pair_accuracy(self.data[use], Y, values)
        return numbers


def mean_of(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}


def report(task: Task, n_labels: int, seeds: range, **settings: Any) -> None:
    """Print how label model and quality model do with so many human labels."""
    runs, others = [], []
    with using(task.X):
        for seed in seeds:
            given = task.given(n_labels, seed)
            quality, label = held_out_scores(task.data, task.L, Y=given, random_state=seed, **settings)
            runs.append(task.measure(quality, seed))
            others.append(task.measure(label, seed, n_resamples=100))
    ours, label_model = mean_of(runs), mean_of(others)
    print(f"{n_labels} human labels, {len(seeds)} seeds:")
    for metric in ("auc", "brier", "ece"):
        line = f"  {metric:5} {ours[f'{metric} value']:.3f} [{ours[f'{metric} low']:.3f}, {ours[f'{metric} high']:.3f}]"
        line += f"; label model {label_model[f'{metric} value']:.3f}"
        line += f"; reject everything {ours[f'{metric} reject_everything']:.3f}"
        line += f", length only {ours[f'{metric} length_only']:.3f}"
        print(line + (f"; raw ece {ours['raw ece']:.3f}" if metric == "ece" else ""))
    if "pair accuracy" in ours:
        print(f"  pair accuracy {ours['pair accuracy']:.3f}; label model {label_model['pair accuracy']:.3f}")


def ablation(task: Task, n_labels: int, seeds: range) -> None:
    """Print what is lost without each part."""
    variants: dict[str, dict[str, Any]] = {"all": {}}
    for family in FAMILIES:
        # What a family measures, it says itself: asked for it alone, the extractor returns its columns.
        with mock.patch.object(extractor, "FAMILIES", (family,)):
            own = set(FeatureExtractor().fit(task.data[:9]).transform(task.data[:9]))
        variants[f"without {family.__name__}"] = {"columns": [name for name in task.X if name not in own]}
    variants |= {
        "majority vote as label model": {"label_model": MajorityLabelVoter},
        "no trees": {"n_rounds": 0},
        "tfidf embeddings": {"embeddings": "tfidf"},
    }
    rows: dict[str, list[list[float]]] = {name: [] for name in variants}
    for seed in seeds:
        given = task.given(n_labels, seed)
        for name, settings in variants.items():
            kept = settings.get("columns", list(task.X))
            chosen = {key: value for key, value in settings.items() if key != "columns"}
            with using(task.X[kept]):
                score, _ = held_out_scores(task.data, task.L, Y=given, random_state=seed, **chosen)
            rows[name].append(_short(task, score, seed))
        ranks = Scale.fit(task.X.to_numpy())
        Z = ranks.apply(ranks.fill(task.X.to_numpy()))
        total = Z @ np.array([DIRECTIONS.get(name, 0) for name in task.X])
        rows.setdefault("sum of the ranks of directed features", []).append(
            _short(task, 1 / (1 + np.exp(-total)), seed)
        )
        if given is not None:
            for kind in ("logistic regression", "LightGBM"):
                score = from_labels_alone(task.data, task.X, given, kind, seed)
                rows.setdefault(f"{kind} on the {n_labels} labels alone", []).append(_short(task, score, seed))
    table = pd.DataFrame(
        {name: np.mean(runs, axis=0) for name, runs in rows.items()}, index=["auc", "brier", "raw ece"]
    ).T
    print(f"\nablation, {n_labels} human labels, {len(seeds)} seeds:\n{table.round(4).to_string()}")


def _short(task: Task, score: Scores, seed: int) -> list[float]:
    Y, values = task.Y[task.judged], score[task.judged]
    fold = folds(task.data, seed)[task.judged]
    return [within_folds(Y, values, fold), float(np.mean((values - Y) ** 2)), ece(Y, values)]


def function_table(L: Labels, functions: Sequence[Any], Y: Labels) -> pd.DataFrame:
    """Return for each function and vote its coverage, number of votes and precision against labels."""
    rows = [
        (function.name, name, (votes == vote).mean(), (votes == vote).sum(), (Y[votes == vote] == vote).mean())
        for function, votes in zip(functions, L.T, strict=True)
        for vote, name in ((ACCEPT, "ACCEPT"), (REJECT, "REJECT"))
        if (votes == vote).any()
    ]
    return pd.DataFrame(rows, columns=["function", "vote", "coverage", "n", "precision"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which sets")
    parser.add_argument("--seeds", type=int, default=5, help="how many random splits and draws of labels")
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 100], help="human labels in each training part")
    parser.add_argument("--embeddings", help="'tfidf', or the folder of a sentence-transformers model; none by default")
    parser.add_argument("--ablation", action="store_true", help="what is lost without each part")
    parser.add_argument("--functions", action="store_true", help="the precision of each labeling function")
    arguments = parser.parse_args()
    # Where all votes lean to one side (gsm8k_solutions, some folds of others), each of hundreds of fits would say so.
    warnings.filterwarnings("ignore", message="all .* rows that functions voted on lean to")
    functions, seeds = wl.load(Path(__file__).parents[1] / "lfs"), range(arguments.seeds)
    for name in arguments.sets:
        task = Task.of(name, arguments.data, functions)
        if arguments.functions:
            print(function_table(task.L[task.judged], functions, task.Y[task.judged]).round(3).to_string(index=False))
        for n_labels in arguments.labels:
            report(task, n_labels, seeds, embeddings=arguments.embeddings)
            if arguments.ablation:
                ablation(task, n_labels, seeds)


if __name__ == "__main__":
    main()
