"""Curate a million rows on the CPU: seconds of each step, peak memory, and near-duplicates against brute force.

    python benchmarks/curation.py                 # 1,000,000 rows: filter, dedupe, decontaminate, diversify to 50,000
    python benchmarks/curation.py --check 20000   # recall and precision of near-duplicates against all pairs

The rows are made up: questions and answers on topics, from sentences whose words are drawn by Zipf's law and topic, so
that texts of a topic share words and phrases. Planted: exact repeats that differ in case or white space, edited copies
(words replaced, dropped, added, a sentence moved), templates that many rows fill in, and questions that are held out.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

N_TOPICS, N_WORDS, N_SENTENCES = 400, 40_000, 300_000
SHARES = {"exact": 0.06, "edited": 0.10, "template": 0.05}
GOOD_TEMPLATE = (
    "Thank you for your question about {0}. The {0} is handled by the {1} team within {2} days, and you will \
be told by {3} as soon as it is done."
)


def vocabulary(generator: np.random.Generator) -> NDArray[Any]:
    """Return different words of two to ten letters."""
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    weights = np.arange(26, 0, -1) / np.arange(26, 0, -1).sum()
    words: set[str] = set()
    while len(words) < N_WORDS:
        for size in generator.integers(2, 11, 20_000):
            words.add("".join(generator.choice(letters, size=size, p=weights)))
    return np.array(sorted(words)[:N_WORDS], dtype=object)


def sentences(generator: np.random.Generator, words: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return sentences and the topic of each: half of a sentence's words are common, half are its topic's."""
    common = 1 / np.arange(1, 2001)
    of_topic = np.stack([generator.choice(np.arange(2000, N_WORDS), 200, replace=False) for _ in range(N_TOPICS)])
    rank = 1 / np.arange(1, 201)
    sizes, topic = generator.integers(6, 22, N_SENTENCES), generator.integers(0, N_TOPICS, N_SENTENCES)
    total = int(sizes.sum())
    plain = generator.choice(2000, total, p=common / common.sum())
    special = of_topic[np.repeat(topic, sizes), generator.choice(200, total, p=rank / rank.sum())]
    drawn = words[np.where(generator.random(total) < 0.5, plain, special)]
    ends = np.cumsum(sizes)
    made = [" ".join(drawn[end - size : end]).capitalize() + "." for end, size in zip(ends, sizes, strict=True)]
    return np.array(made, dtype=object), topic


def make(n: int, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.float64], pd.DataFrame, pd.DataFrame]:
    """Return n rows, their scores, three slices (bool), and held-out questions of which some are asked in the rows."""
    generator = np.random.default_rng(seed)
    words = vocabulary(generator)
    pool, topic_of = sentences(generator, words)
    by_topic = np.split(np.argsort(topic_of, kind="stable"), np.cumsum(np.bincount(topic_of, minlength=N_TOPICS))[:-1])
    topics = generator.integers(0, N_TOPICS, n)
    instructions, responses = [], []
    for row, topic in enumerate(topics):
        own = by_topic[topic]
        chosen = pool[own[generator.integers(0, len(own), 2 + int(generator.integers(2, 8)))]]
        instructions.append(f"{chosen[0][:-1]} {chosen[1][:40].lower().rsplit(' ', 1)[0]}?")
        responses.append(" ".join(chosen[2:]))
        if row and generator.random() < SHARES["exact"]:
            source = int(generator.integers(0, row))
            instructions[row], responses[row] = instructions[source], "  " + responses[source].upper()
        elif row and generator.random() < SHARES["edited"]:
            source = int(generator.integers(0, row))
            instructions[row], responses[row] = instructions[source], edited(responses[source], words, generator)
        elif generator.random() < SHARES["template"]:
            responses[row] = GOOD_TEMPLATE.format(*words[generator.integers(0, N_WORDS, 4)])
    data = pd.DataFrame({"id": [f"r{row:07d}" for row in range(n)]})
    data["instruction_id"] = [f"q{row:07d}" for row in range(n)]
    data["instruction"], data["response"] = instructions, responses
    data["context"] = data["prompt_prefix"] = ""
    data["source"] = np.array(["base", "tuned"], dtype=object)[generator.integers(0, 2, n)]
    data["split"] = "train"
    slices = pd.DataFrame({"one": topics < 40, "two": topics % 10 == 3, "rare": topics == 7})
    held_out = generator.choice(n, max(n // 1000, 10), replace=False)
    texts = [instructions[row] if k % 2 else instructions[row].lower() + " please" for k, row in enumerate(held_out)]
    return (
        data,
        generator.beta(2, 1, n),
        slices,
        pd.DataFrame({"id": [f"e{k}" for k in range(len(texts))], "instruction": texts}),
    )


def edited(text: str, words: NDArray[Any], generator: np.random.Generator) -> str:
    """Return a copy with up to a tenth of its words replaced, dropped or added, or with its last sentence first."""
    found = text.split()
    for _ in range(int(generator.integers(1, max(len(found) // 10, 2) + 1))):
        place, kind = int(generator.integers(0, len(found))), generator.random()
        word = str(words[generator.integers(0, N_WORDS)])
        found[place : place + (kind > 0.2)] = [] if kind > 0.8 and len(found) > 5 else [word]
    if generator.random() < 0.2 and ". " in " ".join(found):
        first, _, last = " ".join(found).rpartition(". ")
        return f"{last} {first}."
    return " ".join(found)


def timed(name: str, step: Callable[[], Any]) -> Any:
    """Return what a step returns, and print its seconds, those of the processor, and the peak of memory so far."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    result = step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    cpu = time.process_time() - begin_cpu
    size = f"{len(result):>9,} rows" if hasattr(result, "to_frame") or name == "to_frame" else ""
    print(
        f"{name:<16}{time.perf_counter() - begin:8.1f} s   CPU {cpu:7.1f} s   peak {peak:5.2f} GiB   {size}",
        flush=True,
    )
    return result


def curate(n: int) -> None:
    from weaklm.curation import QualityDataset

    data, score, slices, held_out = timed("make", lambda: make(n))
    characters = int(data["instruction"].str.len().sum() + data["response"].str.len().sum())
    print(f"{n:,} rows, {characters / n:.0f} characters each; {len(held_out):,} held-out instructions")
    made = timed("QualityDataset", lambda: QualityDataset(data, score, slices))
    good = timed("filter", lambda: made.filter(["ACCEPT"], 0.6))
    unique = timed("dedupe", good.dedupe)
    clean = timed("decontaminate", lambda: unique.decontaminate(held_out))
    diverse = timed("diversify", lambda: clean.diversify(min(50_000, len(clean) // 2)))
    timed("to_frame", diverse.to_frame)
    print(diverse.funnel().to_string(index=False))
    print("\n".join(diverse.summary()["notes"]))


def check(n: int) -> None:
    """Print recall and precision of the pairs that dedupe would act on, against the Jaccard similarity of all pairs."""
    from weaklm.curation.duplicates import reader
    from weaklm.curation.near_duplicates import near_duplicates

    data, *_ = make(n)
    read = reader(data, ["instruction", "response"], np.arange(n))
    like, _ = timed("near_duplicates", lambda: near_duplicates(read, n))
    true = timed("brute force", lambda: all_pairs(read(np.arange(n)).to_list()))
    expected = greedy(true, n)
    found = set(np.flatnonzero(like >= 0).tolist())
    pairs = {(int(like[row]), row) for row in found}
    print(f"pairs with J >= .8: {len(true):,}; rows that a better one makes superfluous: {len(expected):,}")
    print(f"recall {len(found & expected) / len(expected):.4f}, precision {len(found & expected) / len(found):.4f}")
    print(f"pairs named in details that are true pairs: {len(pairs & true) / len(pairs):.4f}")


def all_pairs(texts: list[str], threshold: float = 0.8) -> set[tuple[int, int]]:
    """Return all pairs of texts whose runs of five words have a Jaccard similarity from the threshold on.

    Every pair that shares a run is counted, with plain sets of strings: nothing is hashed and nothing is left out.
    """
    import re

    runs, where = [], {}
    for row, text in enumerate(texts):
        found = re.findall(r"\w+", text.lower())
        own = {" ".join(found[k : k + 5]) for k in range(max(len(found) - 4, 1))}
        runs.append(own)
        for run in own:
            where.setdefault(run, []).append(row)
    shared: dict[tuple[int, int], int] = {}
    for rows in where.values():
        for k, first in enumerate(rows):
            for second in rows[k + 1 :]:
                shared[first, second] = shared.get((first, second), 0) + 1
    return {
        (first, second)
        for (first, second), both in shared.items()
        if both / (len(runs[first]) + len(runs[second]) - both) >= threshold
    }


def greedy(pairs: set[tuple[int, int]], n: int) -> set[int]:
    """Return the rows that nearly repeat a kept better one, rows in order, the best first."""
    better: dict[int, list[int]] = {}
    for first, second in pairs:
        better.setdefault(second, []).append(first)
    out: set[int] = set()
    for row in range(n):
        if any(first not in out for first in better.get(row, ())):
            out.add(row)
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--check", type=int, metavar="ROWS", help="compare near-duplicates with brute force instead")
    arguments = parser.parse_args()
    check(arguments.check) if arguments.check else curate(arguments.rows)
