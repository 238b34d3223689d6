"""How good, fast and small are the label models, beside majority vote, Snorkel and crowd-kit?

    python benchmarks/label_models.py [--data ../shared/data] [--out results.md]     real votes and the synthetic grid
    python benchmarks/label_models.py --speed [--out results.md]                      seconds and peak memory

Real votes: each model sees the votes of all rows and no label, in a process of its own, and is judged on the test part
of the rows that have a vote. ``crowd_product`` has no parts: a fixed random half is its test part. A tie counts its
share as right, log loss cuts probabilities at 1e-6, F1 (ties to the first class) is of class 1 where classes are two,
else the mean over classes. Design choices were made on the other parts only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.data import ABSTAIN
from weaklm.dawid_skene import DawidSkene, unfit_for_dawid_skene
from weaklm.label_model import LabelModel
from weaklm.snorkel_model import SnorkelLabelModel
from weaklm.voter import MajorityLabelVoter

DATA = Path(__file__).parents[2] / "shared" / "data"
Votes = NDArray[np.int8]
Floats = NDArray[np.float64]


# Models: votes and number of classes in, probabilities out


def crowd_kit(L: Votes, cardinality: int) -> Floats:
    from crowdkit.aggregation import DawidSkene as Theirs

    rows, workers = np.nonzero(L != ABSTAIN)
    answers = pd.DataFrame({"task": rows, "worker": workers, "label": L[rows, workers]})
    found = Theirs(n_iter=100).fit_predict_proba(answers)
    proba = np.full((len(L), cardinality), 1 / cardinality)
    proba[np.ix_(found.index, found.columns)] = found.to_numpy()
    return proba


def snorkel(L: Votes, cardinality: int, balance: list[float] | None = None) -> Floats:
    """Snorkel itself, as its tutorials call it: 500 epochs, its default class balance unless one is given."""
    from snorkel.labeling.model import LabelModel as Theirs

    model = Theirs(cardinality=cardinality, verbose=False)
    model.fit(L, n_epochs=500, seed=0, class_balance=balance, progress_bar=False)
    return model.predict_proba(L)


def fitted(model: Any) -> Callable[[Votes, int], Floats]:
    return lambda L, cardinality: model.set_params(cardinality=cardinality).fit(L).predict_proba(L)


MODELS: dict[str, Callable[[Votes, int], Floats]] = {
    "majority vote": fitted(MajorityLabelVoter()),
    "LabelModel": fitted(LabelModel()),
    "Snorkel": snorkel,
    "crowd-kit DS": crowd_kit,
    "DawidSkene": fitted(DawidSkene()),
    "DawidSkene, forced": fitted(DawidSkene(force=True)),
    "SnorkelLabelModel": fitted(SnorkelLabelModel()),
}


# Real votes


def read(folder: Path) -> tuple[Votes, Votes, NDArray[np.bool_]]:
    """Return votes, classes, and which rows are the test part."""
    data = pd.read_parquet(folder / "votes.parquet").query("split != 'train_labeled'")
    L, Y = data.filter(like="lf_").to_numpy(np.int8), data["gold"].to_numpy(np.int8)
    if set(data["split"]) == {"all"}:
        return L, Y, np.random.default_rng(0).random(len(Y)) >= 0.5
    return L, Y, (data["split"] == "test").to_numpy()


def judge(proba: Floats, Y: Votes) -> dict[str, float]:
    """Return accuracy, F1, log loss, Brier score and the largest share of one class among decisions."""
    rows, k = np.arange(len(Y)), proba.shape[1]
    best = proba > proba.max(axis=1, keepdims=True) - 1e-9
    first = best.argmax(axis=1)
    chosen, true = np.eye(k, dtype=int)[first], np.eye(k, dtype=int)[Y]
    f1 = 2 * (chosen & true).sum(axis=0) / np.maximum(1, (chosen + true).sum(axis=0))
    return {
        "accuracy": float((best[rows, Y] / best.sum(axis=1)).mean()),
        "F1": float(f1[1] if k == 2 else np.mean(f1)),
        "log loss": float(-np.log(np.maximum(proba[rows, Y], 1e-6)).mean()),
        "Brier": float(((proba - np.eye(k)[Y]) ** 2).sum(axis=1).mean() / 2),
        "largest class": float(np.bincount(first, minlength=k).max() / len(Y)),
    }


def one(folder: Path, name: str) -> dict[str, Any]:
    """Return the figures of one model on one set; peak memory is this process's."""
    L, Y, test = read(folder)
    cardinality = int(Y.max()) + 1
    unfit = unfit_for_dawid_skene(L, cardinality) if name == "DawidSkene" else ""
    if unfit:
        return {"refused": unfit}
    start = time.perf_counter()
    proba = MODELS[name](L, cardinality)
    seconds = time.perf_counter() - start
    judged = test & (L != ABSTAIN).any(axis=1) & (Y != ABSTAIN)
    return judge(proba[judged], Y[judged]) | {"n": int(judged.sum()), "seconds": seconds, "MiB": peak()}


def peak() -> float:
    """Return this process's peak memory, MiB; the kernel's ru_maxrss would count the parent's before the start."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def child(*arguments: str) -> dict[str, Any]:
    """Run this script in a process of its own and return what it prints as JSON."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def real(data: Path) -> str:
    sets = sorted(path.parent.name for path in data.glob("*/votes.parquet"))
    names = [name for name in MODELS if name != "SnorkelLabelModel"]
    found = {(s, m): child("--data", str(data), "--one", s, m) for s in sets for m in names}
    lines = ["| set (rows judged) | model | accuracy | F1 | log loss | Brier | seconds | peak MiB |", "|---" * 8 + "|"]
    for s in sets:
        for m in names:
            x = found[s, m]
            if "refused" in x:
                lines.append(f"| {s} | {m} | refused: {x['refused']} | | | | | |")
                continue
            figures = f"{x['accuracy']:.3f} | {x['F1']:.3f} | {x['log loss']:.3f} | {x['Brier']:.3f}"
            lines.append(f"| {s} ({x['n']}) | {m} | {figures} | {x['seconds']:.2f} | {x['MiB']:.0f} |")
    return "\n".join([*lines, "", *promises({s: {m: found[s, m] for m in names} for s in sets})])


def promises(found: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Return what the figures say about what LabelModel promises."""
    ours = {s: x["LabelModel"] for s, x in found.items()}
    votes = {s: x["majority vote"] for s, x in found.items()}
    mean = {m: np.mean([x[m]["accuracy"] for x in found.values()]) for m in ("majority vote", "LabelModel", "Snorkel")}
    worst = min((ours[s]["accuracy"] - votes[s]["accuracy"], s) for s in found)
    ratio = max((ours[s]["log loss"] / votes[s]["log loss"], s) for s in found)
    share = max((ours[s]["largest class"], votes[s]["largest class"], s) for s in found)
    return [
        "* mean accuracy " + ", ".join(f"{m} {a:.4f}" for m, a in mean.items()),
        f"* LabelModel less majority vote, worst set: {100 * worst[0]:+.1f} points ({worst[1]})",
        f"* log loss of LabelModel over majority vote's, worst set: {ratio[0]:.2f} ({ratio[1]})",
        f"* largest share of one class in LabelModel's decisions: {share[0]:.2f} ({share[2]}; "
        f"majority vote {share[1]:.2f})",
    ]


# Synthetic votes


def synthetic(kind: str, accept: float, seed: int, n: int = 5000, m: int = 15) -> tuple[Votes, Votes]:
    """Return votes of m functions on n rows, and the classes.

    Accuracy is a function's chance to be right where it votes and is drawn from .55 to .9 (the chance of voting right
    is the same for both classes, so a single-class function's precision follows the class balance).
    """
    rng = np.random.default_rng(seed)
    Y = (rng.random(n) < accept).astype(np.int8)
    accuracy = rng.uniform(0.55, 0.9, m)
    if kind == "adversarial, 3 of 15":
        accuracy[:3] = 0.3
    if kind == "adversarial, 9 of 15":
        accuracy[:9] = 0.3
    right = rng.random((n, m)) < accuracy
    if kind == "correlated":  # six functions see one drawing, and differ from it on a tenth of the rows
        right[:, :6] = np.where(rng.random((n, 6)) < 0.9, right[:, :1], right[:, :6])
    if kind == "common mode":  # on three rows in ten all functions lean to the wrong class
        right &= ~((rng.random(n) < 0.3)[:, None] & (rng.random((n, m)) < 0.8))
    L = np.where(right, Y[:, None], 1 - Y[:, None])
    coverage = {"broad": 0.9, "sparse": 0.07}.get(kind, 0.3)
    chance = np.full((n, m), coverage)
    if kind == "informative abstains":  # twice as many votes where the row is to be accepted
        chance *= np.where(Y == 1, 1.0, 0.5)[:, None]
    if kind in ("single-class", "single-class, precise"):
        own = (np.arange(m) % 2).astype(np.int8)
        if kind == "single-class":  # fires on its class with the chance of being right, on the other with that of not
            fires = rng.random((n, m)) < coverage * 2 * np.where(Y[:, None] == own, accuracy, 1 - accuracy)
        else:  # right as often as accuracy says, whatever the class balance
            share = np.where(own == 1, accept, 1 - accept)
            rate = np.where(Y[:, None] == own, accuracy / share, (1 - accuracy) / (1 - share)) * 0.08
            fires = rng.random((n, m)) < rate
        return np.where(fires, own, ABSTAIN).astype(np.int8), Y
    return np.where(rng.random((n, m)) < chance, L, ABSTAIN).astype(np.int8), Y


KINDS = [
    "broad",
    "medium",
    "sparse",
    "single-class, precise",
    "single-class",
    "correlated",
    "informative abstains",
    "adversarial, 3 of 15",
    "adversarial, 9 of 15",
    "common mode",
]


def grid(seeds: int = 3) -> str:
    lines = [
        "| votes | accept | majority vote | LabelModel | + balance | + 100 labels | Snorkel | + balance | kit DS |",
        "|---" * 9 + "|",
    ]
    for kind in KINDS:
        for accept in (0.1, 0.3, 0.5, 0.7, 0.9):
            runs = [grid_row(*synthetic(kind, accept, seed), accept, seed) for seed in range(seeds)]
            cells = [
                f"{np.mean([r[i][0] for r in runs]):.3f} / {np.mean([r[i][1] for r in runs]):.2f}" for i in range(7)
            ]
            lines.append(f"| {kind} | {accept} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def grid_row(L: Votes, Y: Votes, accept: float, seed: int) -> list[tuple[float, float]]:
    """Return accuracy and log loss of each model of the grid, on rows with votes and without a label."""
    balance = [1 - accept, accept]
    labelled = np.random.default_rng(seed).choice(len(Y), 100, replace=False)
    labels = np.full(len(Y), ABSTAIN)
    labels[labelled] = Y[labelled]
    judged = (L != ABSTAIN).any(axis=1) & (labels == ABSTAIN)
    probas = [
        MODELS["majority vote"](L, 2),
        LabelModel().fit(L).predict_proba(L),
        LabelModel(class_balance=balance).fit(L).predict_proba(L),
        LabelModel().fit(L, labels).predict_proba(L),
        snorkel(L, 2),
        snorkel(L, 2, balance),
        crowd_kit(L, 2),
    ]
    figures = [judge(p[judged], Y[judged]) for p in probas]
    return [(f["accuracy"], f["log loss"]) for f in figures]


# Seconds and memory


def write_votes(path: Path, n: int, m: int) -> None:
    """Save votes of m independent functions that vote on a fifth of the rows: nearly every row differs."""
    rng = np.random.default_rng(0)
    L = np.lib.format.open_memmap(path, "w+", np.int8, (n, m))
    accuracy = rng.uniform(0.55, 0.9, m)
    for start in range(0, n, 100_000):
        block = L[start : start + 100_000]
        Y = rng.random((len(block), 1), dtype=np.float32) < 0.5
        right = rng.random(block.shape, dtype=np.float32) < accuracy
        block[:] = np.where(rng.random(block.shape, dtype=np.float32) < 0.2, right == Y, ABSTAIN)


def timed(path: Path, name: str) -> dict[str, float]:
    L = np.load(path)
    MODELS[name](L[:1000], 2)  # imports, and what else the first call costs, are not the model's
    before = peak()
    start, cpu = time.perf_counter(), time.process_time()
    proba = MODELS[name](L, 2)
    seconds = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return seconds | {"MiB": peak(), "before": before, "mean": float(proba[:, 1].mean())}


def _median(runs: list[dict[str, float]], key: str) -> float:
    return float(np.median([run[key] for run in runs]))


def _ratio(runs: list[dict[str, float]], others: list[dict[str, float]], key: str) -> float:
    return float(np.median([run[key] / other[key] for run, other in zip(runs, others, strict=True)]))


def _seconds(runs: list[dict[str, float]]) -> str:
    return f"{_median(runs, 'seconds'):.2f} | {_median(runs, 'cpu'):.2f}"


def speed(repeats: int) -> str:
    lines = [
        "| votes | model | seconds, fit + predict | of the processor | Snorkel over it | peak MiB | over Snorkel's |",
        "|---" * 7 + "|",
    ]
    names = ["majority vote", "LabelModel", "Snorkel"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.npy"
        for n, m in ((1_000_000, 20), (1_000_000, 100)):
            write_votes(path, n, m)
            runs = [{name: child("--timed", str(path), name) for name in names} for _ in range(repeats)]
            theirs = [r["Snorkel"] for r in runs]
            for x in names:
                ours = [r[x] for r in runs]
                ratio = ", ".join(f"{_ratio(theirs, ours, key):.1f}" for key in ("seconds", "cpu"))
                memory = f"{_median(ours, 'MiB'):.0f} | {_ratio(ours, theirs, 'MiB'):.2f}"
                lines.append(f"| {n:,} x {m} | {x} | {_seconds(ours)} | {ratio} | {memory} |")
        for n in (1_250_000, 2_500_000, 5_000_000, 10_000_000):
            write_votes(path, n, 25)
            ours = [child("--timed", str(path), "LabelModel") for _ in range(repeats)]
            lines.append(f"| {n:,} x 25 | LabelModel | {_seconds(ours)} | | {_median(ours, 'MiB'):.0f} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--speed", action="store_true", help="seconds and peak memory at millions of rows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="append the tables to this Markdown file")
    parser.add_argument("--one", nargs=2, metavar=("SET", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("--timed", nargs=2, metavar=("FILE", "MODEL"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one(chosen.data / chosen.one[0], chosen.one[1])))
        return
    if chosen.timed:
        print(json.dumps(timed(Path(chosen.timed[0]), chosen.timed[1])))
        return
    text = speed(chosen.repeats) if chosen.speed else f"{real(chosen.data)}\n\n{grid()}"
    print(text)
    if chosen.out:
        with chosen.out.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


if __name__ == "__main__":
    main()
