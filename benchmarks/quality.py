"""How well does the weak-only quality model rank held-out answers of public sets, against people's labels?

    python benchmarks/quality.py [--data ../shared/data] [--seeds 5]

Group 5-fold: no task (MTRAG) or knowledge passage (BEGIN) is in both training and test. Functions and features see
instruction, context, prompt_prefix and response only; human labels are read for the evaluation alone.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import weaklm as wl
from weaklm.data import ABSTAIN, ACCEPT, COLUMNS, REJECT
from weaklm.features import FeatureExtractor
from weaklm.metrics import auc, ece
from weaklm.quality import length_auc

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = {"source": "model", "human_label": "label"}


def mtrag(folder: Path = DATA) -> pd.DataFrame:
    """Return the 477 answers of three sources to 159 tasks, with their domain and the task as ``group``."""
    frame = pd.read_parquet(folder / "mtrag_human" / "data.parquet").rename(columns={"task_id": "group"})
    return wl.read(frame, columns=NAMES | {"instruction_id": "group"}, keep=["group", "domain"])


def begin(folder: Path = DATA) -> pd.DataFrame:
    """Return the answers of four dialogue models; two turns without an instruction are left out."""
    frame = pd.read_parquet(folder / "begin" / "data.parquet")
    frame = frame[frame["instruction"].str.strip() != ""].reset_index(drop=True).assign(group=lambda f: f["context"])
    return wl.read(frame, columns=NAMES, keep=["group"])


def held_out_scores(
    data: pd.DataFrame,
    L: NDArray[np.int8],
    *,
    Y: NDArray[np.int8] | None = None,
    random_state: int = 0,
    n_folds: int = 5,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return P(ACCEPT) of each row by a quality model, and by a label model, that saw no row of its group.

    ``Y`` are human labels (-1 unlabelled) that both models may use; None is the weak-only run.
    """
    groups, names = pd.factorize(data["group"])
    fold = (np.random.default_rng(random_state).permutation(len(names)) % n_folds)[groups]
    quality_score, label_score = np.zeros(len(data)), np.zeros(len(data))
    for k in range(n_folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        known = None if Y is None else Y[train]
        label_model = wl.LabelModel().fit(L[train], known)
        quality = wl.QualityModel(random_state=random_state).fit(
            data.iloc[train],
            label_model.predict_proba(L[train]),
            known,
            groups=data["group"].iloc[train],
            covered=label_model.covered(L[train]),
        )
        quality_score[test] = quality.predict_proba(data.iloc[test])[:, ACCEPT]
        label_score[test] = label_model.predict_proba(L[test])[:, ACCEPT]
    return quality_score, label_score


def function_table(L: NDArray[np.int8], functions: Sequence[Any], Y: NDArray[np.int8]) -> pd.DataFrame:
    """Return for each function and vote its coverage, number of votes and precision against labels."""
    rows = [
        (function.name, name, (votes == vote).mean(), (votes == vote).sum(), (Y[votes == vote] == vote).mean())
        for function, votes in zip(functions, L.T, strict=True)
        for vote, name in ((ACCEPT, "ACCEPT"), (REJECT, "REJECT"))
        if (votes == vote).any()
    ]
    return pd.DataFrame(rows, columns=["function", "vote", "coverage", "n", "precision"])


def report(name: str, data: pd.DataFrame, n_seeds: int) -> None:
    """Print how the functions, the label model and the quality model do on one set."""
    functions = wl.load("lfs")
    Y = wl.human_labels(data)
    judged = (data["source"] != "reference").to_numpy()
    start = time.perf_counter()
    L = wl.LFApplier(functions).apply(data[list(COLUMNS)])  # no other column is seen, by no function
    voted = time.perf_counter() - start
    start = time.perf_counter()
    FeatureExtractor().fit(data).transform(data)
    measured = time.perf_counter() - start
    print(f"\n{name}: {len(data)} rows, {judged.sum()} judged, accept rate {Y[judged].mean():.3f}")
    print(f"votes {len(data) / voted:,.0f} rows/s, features {len(data) / measured:,.0f} rows/s (fit and transform)")
    print(function_table(L[judged], functions, Y[judged]).round(3).to_string(index=False))
    covered = (L[judged] != ABSTAIN).any(axis=1).mean()
    print(f"rows with a vote {covered:.3f}; number of words alone: AUC {length_auc(data[judged], Y[judged]):.3f}")
    for n_labels in (0, 100):
        runs = []
        for seed in range(n_seeds):
            given = _some(Y, n_labels, seed)
            quality, label = held_out_scores(data, L, Y=given if n_labels else None, random_state=seed)
            runs.append(
                [auc(Y[judged], label[judged]), auc(Y[judged], quality[judged]), ece(Y[judged], quality[judged])]
            )
        mean, low, high = np.mean(runs, 0), np.min(runs, 0), np.max(runs, 0)
        print(
            f"{n_labels} human labels, {n_seeds} seeds: label model AUC {mean[0]:.3f}, quality model AUC {mean[1]:.3f} "
            f"({low[1]:.3f}-{high[1]:.3f}), ECE {mean[2]:.3f} ({low[2]:.3f}-{high[2]:.3f})"
        )


def _some(Y: NDArray[np.int8], n: int, seed: int) -> NDArray[np.int8]:
    """Return Y with about ``n`` random labels in each training part of a 5-fold split, the rest -1."""
    chosen = np.random.default_rng(1000 + seed).permutation(len(Y))[: round(n / 0.8)]
    given = np.full(len(Y), ABSTAIN, dtype=np.int8)
    given[chosen] = Y[chosen]
    return given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public sets")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    report("MTRAG", mtrag(arguments.data), arguments.seeds)
    report("BEGIN", begin(arguments.data), arguments.seeds)


if __name__ == "__main__":
    main()
