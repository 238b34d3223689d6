"""The whole loop on real input: MTRAG answers of three sources, with the ready-made functions and no human label.

    python benchmarks/real_loop.py [--data ../shared/data/mtrag_human/data.parquet] [--folder /tmp/real-loop]

1. Weak-only quality model on held-out tasks (group 5-fold): AUC against the human labels on the two sources whose
   answers no person edited. No human label, and none of the set's own scores, is seen by any function or feature.
2. The project loop: import, apply, fit (weak only), report on held-out tasks by domain and source, curate, train the
   stand-in, generate, rescore, compare. The stand-in is a toy made on the spot: its answers show that the loop runs,
   not that a model got better.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import weaklm as wl
from weaklm import slicing_function
from weaklm.data import ACCEPT
from weaklm.metrics import auc

HERE = Path(__file__).parent
COLUMNS = {"source": "model", "instruction_id": "task_id"}
KEEP = ["domain", "answerability", "turn"]  # what a deployment would know; none of the judgements


def read(path: Path) -> pd.DataFrame:
    """Return the examples without the set's labels and scores."""
    raw = pd.read_parquet(path)
    return wl.read(raw.drop(columns="split"), COLUMNS, keep=KEEP)  # its only split is "all"


def human(path: Path) -> pd.Series:
    """Return the human label of each id, 1 ACCEPT, 0 REJECT: read after all scores are made."""
    raw = pd.read_parquet(path)
    return raw.assign(id=raw["id"].astype(str)).set_index("id")["label"].eq("ACCEPT").astype(int)


def held_out_scores(data: pd.DataFrame, n_folds: int = 5, random_state: int = 0) -> np.ndarray:
    """Return the score of each row by models that saw no row of its task."""
    lfs = wl.load("lfs")
    L = wl.LFApplier(lfs).apply(data)
    tasks = np.sort(data["instruction_id"].unique())
    fold_of = dict(zip(tasks, np.random.default_rng(random_state).permutation(len(tasks)) % n_folds, strict=True))
    folds = data["instruction_id"].map(fold_of).to_numpy()
    score = np.full(len(data), np.nan)
    for fold in range(n_folds):
        train, test = folds != fold, folds == fold
        label_model = wl.LabelModel().fit(L[train])
        quality = wl.QualityModel(random_state=random_state)
        covered = label_model.covered(L[train])
        quality.fit(data[train], label_model.predict_proba(L[train]), covered=covered)
        score[test] = quality.predict_proba(data[test])[:, ACCEPT]
    return score


def group_bootstrap(y: np.ndarray, score: np.ndarray, groups: np.ndarray, n_draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of the AUC, whole groups drawn with replacement."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = []
    for _ in range(n_draws):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        draws.append(auc(y[rows], score[rows]))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def quality_on_held_out_tasks(path: Path) -> None:
    """Print the AUC of the weak-only model on held-out tasks."""
    data = read(path)
    score = held_out_scores(data)
    y = human(path).loc[data["id"]].to_numpy()
    rows = (data["source"] != "reference").to_numpy()
    low, high = group_bootstrap(y[rows], score[rows], data["instruction_id"].to_numpy()[rows])
    print("weak-only quality model, held-out tasks (group 5-fold), two non-reference sources:")
    print(f"  AUC {auc(y[rows], score[rows]):.3f} [{low:.3f}, {high:.3f}], n = {rows.sum()}")
    length = data["response"].str.len().to_numpy(float)
    print(f"  AUC of response length alone {auc(y[rows], length[rows]):.3f}; all three sources {auc(y, score):.3f}")


def domain_slices() -> list[object]:
    """Return a slicing function for each domain."""
    return [
        slicing_function(name=f"domain_{name}", resources={"name": name})(lambda x, name: x.domain == name)
        for name in ("clapnq", "cloud", "fiqa", "govt")
    ]


def loop(path: Path, folder: Path, steps: int) -> None:
    """Run the project loop, weak only, with the stand-in as the base model, and print what each step says."""
    from weaklm.demo.stand_in import standin

    project = wl.Project.create(folder, settings={"train": {"max_steps": steps}, "generate": {"max_new_tokens": 48}})
    data = read(path)
    for source, rows in data.groupby("source", sort=False):
        print(project.add_responses(rows, source=str(source)))
    project.slices = [*project.slices, *domain_slices()]
    print(project.apply())
    print(project.lf_summary().round(3).to_string())
    print(project.fit(human_labels=False))
    labels = human(path).map({1: "ACCEPT", 0: "REJECT"}).rename("label").rename_axis("id").reset_index()
    project.add_labels(labels.assign(annotator="raters"))  # after the fit: they judge it, nothing learns from them
    print(project.report())
    curated = project.curate(confidence_threshold=0.8)
    print(curated.funnel().to_string(index=False))
    base = standin(progress=False)
    print(project.train(base))
    before = project.generate(base, source="stand-in")
    after = project.generate(project.trained(), source="stand-in-tuned")
    print(project.compare(before, after))


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=HERE.parents[1] / "shared" / "data" / "mtrag_human" / "data.parquet"
    )
    parser.add_argument("--folder", type=Path, help="where to make the project; a temporary folder without it")
    parser.add_argument("--steps", type=int, default=30, help="optimizer steps of the training")
    options = parser.parse_args()
    if not options.data.is_file():
        raise SystemExit(f"there is no {options.data}; name the data set with --data")
    started = time.perf_counter()
    quality_on_held_out_tasks(options.data)
    folder = options.folder or Path(tempfile.mkdtemp()) / "real-loop"
    loop(options.data, folder, options.steps)
    if options.folder is None:
        shutil.rmtree(folder.parent)
    print(f"all of it took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
