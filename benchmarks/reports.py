"""Do reports and comparisons keep their word on data with known truth, and how long do they take to build?

    python benchmarks/reports.py simulate [--runs 300]
    python benchmarks/reports.py build [--rows 100000]

simulate: answers of two sources to 300 instructions of six topics, with true accept rates drawn in each run. 150 rows
are labelled, drawn with the chances of weaklm.sampling.draw; for the comparison, 80 instructions on both sides.
Intervals should cover the true rates in .95 of cases; a verdict should be wrong in at most .05 of runs, and the word on
any slice in at most .05, too. The same with a score that likes long answers, while the tuned source writes longer ones.

build: CPU seconds from scores to a saved page, its size, and the ratio to reading the same rows from Parquet; the
slicing functions themselves are timed apart.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import weaklm as wl
from weaklm import slicing_function
from weaklm.comparison import Comparison
from weaklm.report import Report
from weaklm.sampling import draw, slice_strata

TOPICS = ("fees", "cards", "loans", "limits", "disputes", "other")
SHARES = np.array([0.25, 0.2, 0.2, 0.15, 0.12, 0.08])
SOURCES = ("base", "tuned")
EFFECTS = (-0.15, 0.0, 0.1, 0.2)  # of tuning on a topic
BIASES = ("fair", "likes length", "generous")


def topics() -> list[Any]:
    """Return one slicing function a topic; the instruction says which it is."""
    return [
        slicing_function(name=topic, resources={"topic": topic})(lambda x, topic: x.instruction.startswith(topic))
        for topic in TOPICS
    ]


def truth(random: np.random.Generator, *, is_null: bool) -> np.ndarray:
    """Return true accept rates (n_topics, 2) of base and tuned; equal in a null world."""
    base = random.uniform(0.4, 0.85, len(TOPICS))
    effect = np.zeros(len(TOPICS)) if is_null else random.choice(EFFECTS, len(TOPICS))
    return np.column_stack([base, np.clip(base + effect, 0.02, 0.98)])


def answers(
    random: np.random.Generator, rates: np.ndarray, bias: str, n_instructions: int = 300, n_samples: int = 1
) -> pd.DataFrame:
    """Return examples of both sources with their ``truth`` (0 or 1) and ``score``.

    Whether an answer is good hangs together over the answers to one instruction: some are hard for all. The score
    follows the truth and the instruction; a biased one is generous, or rises with the length of the response.
    """
    topic = random.choice(len(TOPICS), n_instructions, p=SHARES)
    hard, luck = random.random(n_instructions), random.normal(size=n_instructions)
    parts = []
    for k, source in enumerate(SOURCES):
        place = np.repeat(np.arange(n_instructions), n_samples)
        own = np.where(random.random(len(place)) < 0.5, hard[place], random.random(len(place)))
        good = own < rates[topic[place], k]
        length = np.exp(random.normal(4 + 0.7 * k, 0.5, len(place)))  # the tuned source writes twice as much
        logit = 1.6 * (2 * good - 1) + 0.7 * luck[place] + random.normal(size=len(place))
        logit += {"fair": 0.0, "generous": 1.2, "likes length": 1.5 * (np.log(length) - 4)}[bias]
        frame = {
            "instruction": [f"{TOPICS[t]} question {i}" for i, t in zip(place, topic[place], strict=True)],
            "response": ["x" * max(int(n), 1) for n in length],
            "source": source,
            "truth": good.astype(int),
            "score": 1 / (1 + np.exp(-logit)),
        }
        parts.append(pd.DataFrame(frame))
    data = pd.concat(parts, ignore_index=True)
    return data.assign(id=[f"r{i}" for i in range(len(data))], instruction_id=data["instruction"])


def covered(report: Report, rates: np.ndarray, found: dict[str, list[bool]]) -> None:
    """Add whether the intervals of a report hold the true rates, by kind of part and of rate."""
    expected = {("all", "all rows"): float(SHARES @ rates.mean(axis=1))}
    expected |= {("slice", topic): float(rates[k].mean()) for k, topic in enumerate(TOPICS)}
    expected |= {("source", source): float(SHARES @ rates[:, k]) for k, source in enumerate(SOURCES)}
    summary = report.summary()
    parts = [("all", summary["overall"])]
    parts += [("slice", part) for part in summary["slices"]] + [("source", part) for part in summary["sources"]]
    for part in summary["slices_by_source"]:
        rate = rates[TOPICS.index(part["slice"]), SOURCES.index(part["source"])]
        _add(part, rate, "slice x source", found)
    for kind, part in parts:
        _add(part, expected[kind, part["name"]], kind, found)


def _add(part: dict[str, Any], rate: float, kind: str, found: dict[str, list[bool]]) -> None:
    for name in ("human", "corrected"):
        estimate = part[name]
        if estimate is not None and estimate["n"]:
            found[f"{name}, {kind}"].append(estimate["low"] <= rate <= estimate["high"])


def wrong(comparison: Comparison, rates: np.ndarray, found: dict[str, list[bool]], who: str) -> None:
    """Add whether the outcome, and that of any slice, is against the true difference; and whether one was given."""
    summary = comparison.summary()
    differences = rates[:, 1] - rates[:, 0]
    true = {"better": lambda d: d > 1e-9, "worse": lambda d: d < -1e-9, "undecided": lambda _: True}
    overall = float(SHARES @ differences)
    found[f"{who}: overall wrong"].append(not true[summary["outcome"]](overall))
    by_slice = [part["outcome"] for part in summary["slices"]]
    found[f"{who}: any slice wrong"].append(
        not all(true[outcome](d) for outcome, d in zip(by_slice, differences, strict=True))
    )
    if abs(overall) > 1e-9:
        found[f"{who}: overall decided, where there is a difference"].append(summary["outcome"] != "undecided")


def one_run(seed: int, bias: str, *, is_null: bool, n_samples: int) -> dict[str, list[bool]]:
    """Return what one simulated report and its comparisons got right and wrong."""
    random, found = np.random.default_rng(seed), defaultdict(list)
    rates, slices = truth(random, is_null=is_null), topics()
    data = answers(random, rates, bias, n_samples=n_samples)
    members = wl.SFApplier(slices).apply(data)
    batch = draw(data["score"], 150, strata=slice_strata(members, TOPICS), random_state=seed)
    Y = np.full(len(data), -1)
    Y[batch.rows] = data["truth"].to_numpy()[batch.rows]
    covered(Report(data, data["score"], slices=slices, Y=Y, inclusion=batch.inclusion), rates, found)
    base, tuned = (data[data["source"] == source].reset_index(drop=True) for source in SOURCES)
    names = np.array(["REJECT", "ACCEPT"])
    chosen = random.permutation(data["instruction_id"].unique())[:80]
    for who, is_labelled in (("by the score", False), ("by people", True)):
        pair = []
        for frame in (base, tuned):
            seen = frame["instruction_id"].isin(chosen) if is_labelled else np.zeros(len(frame), dtype=bool)
            pair.append(frame.assign(human_label=np.where(seen, names[frame["truth"]], None)))
        comparison = Comparison(pair[0], base["score"], pair[1], tuned["score"], slices=slices)
        wrong(comparison, rates, found, who)
        if is_labelled:
            state = comparison.summary()["gap"]["state"]
            found["proxy-gap meter: the score rises more than people"].append(state in ("rises alone", "rises more"))
    return dict(found)


def simulate(n_runs: int) -> pd.DataFrame:
    """Return the share of runs, or of intervals, for each kind of promise, proxy and world."""
    rows = []
    for bias in BIASES:
        for is_null, n_samples in ((True, 1), (False, 1), (False, 3)):
            found: dict[str, list[bool]] = defaultdict(list)
            for seed in range(n_runs):
                for key, values in one_run(seed, bias, is_null=is_null, n_samples=n_samples).items():
                    found[key] += values
            world = f"{'no difference' if is_null else 'differences'}, {n_samples} answer(s) each"
            rows += [(bias, world, key, np.mean(values), len(values)) for key, values in sorted(found.items())]
            print(pd.DataFrame(rows[-len(found) :]).to_string(index=False, header=False), flush=True)
    return pd.DataFrame(rows, columns=["proxy", "world", "promise", "share", "n"])


def build(n_rows: int) -> None:
    """Print how long it takes from scores to saved pages, and their size."""
    random = np.random.default_rng(0)
    data = answers(random, truth(random, is_null=False), "fair", n_instructions=n_rows // 2)
    context = "The yearly fee is $95 and is charged in May; cards, loans and limits are told of elsewhere. " * 20
    data = data.assign(context=context, response=data["response"] + " It rained all night, says the passage.")
    data["human_label"] = np.where(random.random(len(data)) < 0.05, np.array(["REJECT", "ACCEPT"])[data["truth"]], None)
    truth_, score = data.pop("truth").to_numpy(), data.pop("score").to_numpy()
    L = np.full((len(data), 20), -1, dtype=np.int8)
    for j in range(20):
        votes = random.random(len(data)) < 0.2
        L[votes, j] = np.where(random.random(votes.sum()) < 0.8, truth_[votes], 1 - truth_[votes])
    slices = wl.load("slices")
    with tempfile.TemporaryDirectory() as folder:
        data.to_parquet(Path(folder) / "rows.parquet")
        Report(data.iloc[:2000], score[:2000], slices=slices).save(folder)  # imports what is imported on first use
        read = _seconds(lambda: pd.read_parquet(Path(folder) / "rows.parquet"))
        wl.SFApplier(slices).apply(data)  # the first time costs more
        members = _seconds(lambda: wl.SFApplier(slices).apply(data))
        analysis = wl.LFAnalysis(L)
        report = _seconds(lambda: Report(data, score, slices=slices, analysis=analysis).save(folder))
        base, tuned = ((data[data["source"] == source], score[data["source"] == source]) for source in SOURCES)
        comparison = _seconds(lambda: Comparison(*base, *tuned, slices=slices).save(folder))
        sizes = [(Path(folder) / f"{name}.html").stat().st_size for name in ("report", "comparison")]
    print(f"{len(data):,} rows, {len(slices)} slicing functions; CPU seconds:")
    print(f"reading from Parquet {read:.2f}, slicing {members:.2f}")
    for name, seconds, size in (("report", report, sizes[0]), ("comparison", comparison, sizes[1])):
        rest = seconds - members
        print(
            f"{name} {seconds:.2f}, without slicing {rest:.2f} ({rest / read:.0f} readings), page {size / 1000:.0f} kB"
        )


def _seconds(do: Any) -> float:
    """Return the CPU seconds that it takes: those by the clock, on a machine that does nothing else."""
    start = time.process_time()
    do()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("simulate", help="coverage of intervals, errors of verdicts").add_argument(
        "--runs", type=int, default=300
    )
    commands.add_parser("build", help="seconds and size of the pages").add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.rows)
    else:
        print(simulate(arguments.runs).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
