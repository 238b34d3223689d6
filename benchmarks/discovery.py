"""Does slice discovery find slices that are worse, how often does it show one that is not, and what on real answers?

    python benchmarks/discovery.py [--runs 100] [--data ../shared/data] [--part null planted real]

Simulated: 1,500 instructions with one to three answers each, of which 30 % are bad, alike within an instruction
(correlation 0.15). A slice of 5, 10 or 20 % of the instructions (a word, a topic, or a word within a topic) is 20
points worse. It is found when a slice that is shown has a Jaccard index of at least 0.5 with it. A slice that is shown
is false when its rows are no worse than the rest in truth, which the simulation knows.

Beside it: SliceLine's score in place of ours, same halves, same test; a decision tree of depth 2 on the same conditions
and on all rows, whose leaves are shown when a binomial test without correction says that they are worse.

Real: MTRAG answers with human labels.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import weaklm as wl
from weaklm.data import REJECT, complete, human_labels
from weaklm.discovery import choice, discover_slices
from weaklm.discovery.conditions import MOST, conditions
from weaklm.discovery.search import _pairs, _singles

DATA = Path(__file__).parents[2] / "shared" / "data"
METHODS = ["ours", "SliceLine 0.95", "SliceLine 0.98", "tree"]
KINDS = [(kind, share) for kind in ("word", "topic", "word in a topic") for share in (0.05, 0.1, 0.2)]


def simulated(
    rng: np.random.Generator, kind: str, share: float, *, n: int = 1500, base: float = 0.3, lift: float = 0.2
) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return rows, how bad each is (0 or 1), which are in the planted slice, and how likely each was to be bad."""
    vocabulary = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("ba", "lo", "ri", "ten")])
    weights = 1 / np.arange(3, len(vocabulary) + 3)
    drawn = rng.choice(vocabulary, size=(n, 60), p=weights / weights.sum())
    lengths = rng.integers(5, 16, n)
    part = share**0.5 if kind == "word in a topic" else share
    has_word = (rng.random(n) < part) & (kind in ("word", "word in a topic"))
    topic = rng.choice([f"topic{i}" for i in range(8)], n, p=np.r_[np.full(4, 0.17), np.full(4, 0.08)])
    in_topic = (rng.random(n) < part) & (kind in ("topic", "word in a topic"))
    topic = np.where(in_topic, "planted", topic)
    planted = {"word": has_word, "topic": in_topic, "word in a topic": has_word & in_topic}.get(kind, has_word & False)
    starts = rng.choice(["how do i", "why", "is", "what is the fee for", "tell me of"], n)
    instructions = [
        f"{start} {' '.join(words[:length])}{' zyzzyva' * bool(word)} {i}?"
        for i, (start, words, length, word) in enumerate(zip(starts, drawn, lengths, has_word, strict=True))
    ]
    context = [" ".join(words[16 : 16 + k]) for words, k in zip(drawn, rng.integers(0, 44, n), strict=True)]
    frame = pd.DataFrame({"instruction": instructions, "context": context, "topic": topic})
    row = np.repeat(np.arange(n), rng.integers(1, 4, n))
    likely = base + lift * planted
    within = 1 / 0.15 - 1
    bad = rng.random(len(row)) < rng.beta(likely * within, (1 - likely) * within)[row]
    data = frame.iloc[row].reset_index(drop=True).assign(response=[f"answer {i}" for i in range(len(row))])
    return data, bad.astype(float), planted[row], np.asarray(likely[row])


def by_score(alpha: float) -> Any:
    """Return a search that yields rules by SliceLine's score (Sagadeeva and Boehm 2021, equation 1)."""

    def search(holds: Any, bad: Any, *, least: int, depth: int) -> Iterator[tuple[int, ...]]:
        n, mean, levels = len(bad), bad.mean(), [_singles(holds, bad)]
        levels += [_pairs(holds, bad, levels[0])] if depth > 1 else []
        found = []
        for level in levels:
            kept = np.flatnonzero((level.size >= least) & (level.size <= MOST * n))
            ratio, smaller = level.error[kept] / level.size[kept] / mean, n / level.size[kept]
            score = alpha * (ratio - 1) - (1 - alpha) * (smaller - 1)
            found += [(-s, tuple(rule)) for s, rule in zip(score, level.rules[kept].tolist(), strict=True) if s > 0]
        yield from (rule for _, rule in sorted(found))

    return search


def shown_by_tree(data: pd.DataFrame, bad: NDArray[np.float64], n: int = 10) -> list[NDArray[np.bool_]]:
    """Return the leaves of a decision tree of depth 2 that are worse than the rest by a binomial test at 0.05."""
    from scipy.stats import binomtest
    from sklearn.tree import DecisionTreeClassifier

    least = max(15, round(0.02 * len(data)))
    X = np.stack([holds for _, holds in conditions(complete(data), None, least)], axis=1)
    leaf = DecisionTreeClassifier(max_depth=2, min_samples_leaf=least, random_state=0).fit(X, bad).apply(X)
    parts = [leaf == k for k in np.unique(leaf)]
    rates = [(part, float(bad[~part].mean())) for part in parts if not part.all() and part.mean() <= MOST]
    return [p for p, rest in rates if binomtest(int(bad[p].sum()), int(p.sum()), rest, "greater").pvalue < 0.05][:n]


def jaccard(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the share of the rows in either that are in both."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def judged(shown: list[NDArray[np.bool_]], planted: NDArray[np.bool_], likely: NDArray[np.float64]) -> list[float]:
    """Return whether anything was shown, the best Jaccard index with what was planted, slices shown, false ones."""
    best = max((jaccard(members, planted) for members in shown), default=0.0)
    false = [likely[members].mean() <= likely[~members].mean() for members in shown]
    return [bool(shown), best, len(shown), sum(false)]


def one_run(method: str, seed: int, kind: str, share: float) -> tuple[list[float], list[tuple[bool, bool]]]:
    """Return what :func:`judged` says of a run, and of each slice tested: is it shown, does its interval hold."""
    data, bad, planted, likely = simulated(np.random.default_rng(seed), kind, share)
    if method == "tree":
        return judged(shown_by_tree(data, bad), planted, likely), []
    search = by_score(float(method.split()[1])) if method.startswith("SliceLine") else choice.__dict__["search"]
    with mock.patch.object(choice, "search", search):
        found = discover_slices(data, bad, random_state=seed)
    members = {one.name: one._members for one in found._tested}
    held = []
    for name, low, high in found.tested[["name", "low", "high"]].itertuples(index=False):
        truth = likely[members[name]].mean()
        held.append((any(one.name == name for one in found), bool(low <= truth <= high)))
    return judged([members[one.name] for one in found], planted, likely), held


def simulate(runs: int, kinds: list[tuple[str, float]], methods: list[str]) -> None:
    """Print one line a method and a kind of planted slice."""
    for kind, share in kinds:
        print(f"\n{f'{kind}, {share:.0%} of the instructions' if kind else 'nothing is planted'} ({runs} runs)")
        for method in methods:
            started = time.perf_counter()
            results = [one_run(method, seed, kind, share) for seed in range(runs)]
            table = np.array([result for result, _ in results], dtype=float)
            held = np.array([row for _, rows in results for row in rows], dtype=bool).reshape(-1, 2)
            covered = f"intervals of those tested hold {held[:, 1].mean():.3f}" if len(held) else ""
            covered += f", of those shown {held[held[:, 0], 1].mean():.3f}" if held[:, 0].any() else ""
            print(
                f"  {method:15} shows any {table[:, 0].mean():.2f}, found {(table[:, 1] >= 0.5).mean():.2f} "
                f"(mean Jaccard {table[:, 1].mean():.2f}), slices a run {table[:, 2].mean():.2f}, "
                f"false {table[:, 3].mean():.2f}; {covered} ({(time.perf_counter() - started) / runs:.1f} s a run)",
                flush=True,
            )


def real(folder: Path) -> None:
    """Print what is found where people rejected MTRAG answers, for five ways to halve the tasks."""
    raw = pd.read_parquet(folder / "mtrag_human" / "data.parquet").drop(columns="split")
    names = {"source": "model", "instruction_id": "task_id", "human_label": "label"}
    data = wl.read(raw, names, keep=["domain", "answerability"])
    bad = (human_labels(data) == REJECT).astype(float)
    for seed in range(5):
        print(f"\nMTRAG, human labels, seed {seed}\n{discover_slices(data, bad, random_state=seed)}")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--part", nargs="+", choices=["null", "planted", "real"], default=["null", "planted", "real"])
    parser.add_argument("--methods", nargs="+", default=METHODS, help="of those that the simulation compares")
    given = parser.parse_args()
    if "null" in given.part:
        simulate(given.runs, [("", 0.0)], given.methods)
    if "planted" in given.part:
        simulate(given.runs, KINDS, given.methods)
    if "real" in given.part:
        real(given.data)


if __name__ == "__main__":
    main()
