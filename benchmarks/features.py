"""How many rows a second do features take, by family, and with one thread and two?

    python benchmarks/features.py [--rows 10000] [--chars 800] [--context 800] [--instruction 80] [--shared 1]

Texts are cut at random from answers and contexts of public data. ``--shared 5`` gives five rows one context. Rates of
fit and transform are the best of ``--repeat`` runs; those of families come from processor time of one thread.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weaklm.features import FAMILIES, FeatureExtractor

DATA = Path(__file__).parents[2] / "shared" / "data"


def rows(n: int, *, chars: int, context: int, instruction: int, shared: int, folder: Path = DATA) -> pd.DataFrame:
    """Return ``n`` rows of texts of so many characters, cut from public answers and contexts."""
    sets = [pd.read_parquet(folder / name / "data.parquet") for name in ("expertqa", "mtrag_human", "halueval_general")]
    texts = [text for data in sets for text in pd.unique(data["response"])]
    texts += [text for data in sets[:2] for text in data["context"].dropna().unique()]
    text = " ".join(texts)
    rng = np.random.default_rng(0)

    def cut(size: int, times: int) -> list[str]:
        starts = rng.integers(0, len(text) - size, -(-n // times))
        return [text[start : start + size] for start in np.repeat(starts, times)[:n]]

    return pd.DataFrame(
        {"instruction": cut(instruction, 1), "context": cut(context, shared), "response": cut(chars, 1)}
    )


def timed(compute: Callable[[], Any], repeat: int) -> float:
    """Return the seconds of the fastest of some runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return min(times)


def by_family(extractor: FeatureExtractor, data: pd.DataFrame) -> dict[str, float]:
    """Return the processor seconds of taking rows apart, and of each family of measures."""
    spent: dict[str, float] = defaultdict(float)
    chunks = extractor.chunks(data)
    while True:
        start = time.thread_time()
        chunk = next(chunks, None)
        spent["taking texts apart"] += time.thread_time() - start
        if chunk is None:
            return spent
        for family in FAMILIES:
            start = time.thread_time()
            family(chunk)
            spent[family.__name__] += time.thread_time() - start


def scoring(data: pd.DataFrame) -> str:
    """Return how long a fitted quality model takes for the score of all rows, and how much of that are features."""
    from weaklm.quality import QualityModel

    part = data.head(3000)
    share = FeatureExtractor().fit(part).transform(part)["novel_share"].rank(pct=True).fillna(0.5).to_numpy()
    quality = QualityModel().fit(part, np.column_stack([share, 1 - share]))
    start = time.perf_counter()
    quality.features(data)
    features, start = time.perf_counter() - start, time.perf_counter()
    quality.predict_proba(data)
    whole = time.perf_counter() - start
    return (
        f"scoring {len(data):,} rows: {whole:.1f} s, {len(data) / whole:,.0f} rows/s; features alone {features:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--chars", type=int, default=800, help="of a response")
    parser.add_argument("--context", type=int, default=800, help="characters of a context")
    parser.add_argument("--instruction", type=int, default=80, help="characters of an instruction")
    parser.add_argument("--shared", type=int, default=1, help="rows that share a context")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--score", action="store_true", help="time the score of all rows by a quality model, too")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public sets")
    given = parser.parse_args()
    sizes = {"chars": given.chars, "context": given.context, "instruction": given.instruction}
    data = rows(given.rows, **sizes, shared=given.shared, folder=given.data)
    start = time.perf_counter()
    extractor = FeatureExtractor(n_threads=1).fit(data)
    first = time.perf_counter() - start
    print(f"{given.rows:,} rows; first fit, which meets each word: {given.rows / first:,.0f} rows/s")
    for n_threads in given.threads:
        extractor = FeatureExtractor(n_threads=n_threads).fit(data)
        fit = timed(partial(extractor.fit, data), given.repeat)
        transform = timed(partial(extractor.transform, data), given.repeat)
        print(
            f"{n_threads} threads: fit {given.rows / fit:,.0f} rows/s, transform {given.rows / transform:,.0f} rows/s, "
            f"both {given.rows / (fit + transform):,.0f} rows/s"
        )
    spent = by_family(extractor, data)
    print(f"one thread, processor time: {sum(spent.values()) / given.rows * 1e6:.1f} microseconds a row")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:20} {seconds / given.rows * 1e6:6.1f} us a row, alone {given.rows / seconds:>10,.0f} rows/s")
    if given.score:
        print(scoring(data))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
