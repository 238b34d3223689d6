"""Data larger than memory: Parquet parts through twenty functions on two workers, killed half-way, and resumed.

    python benchmarks/parts.py [--rows 5000000] [--folder /tmp/parts] [--dask]

Prints the seconds and the greatest memory of any one process, and checks that a run that was killed with -9 and resumed
has the votes of an undisturbed one. Takes about 5 GB of disk for 5 million rows, and frees it at the end.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

import weaklm as wl
from benchmarks.apply import COMPILED, ROWS, make_rows, ours

PART_ROWS = 100_000
FUNCTIONS = ours([*COMPILED[:12], *COMPILED[-3:], *ROWS[:5]])


def write_parts(folder: Path, n_rows: int) -> None:
    """Write parts of 100,000 rows each: made-up answers, drawn anew for each part, all different."""
    folder.mkdir(parents=True)
    base = make_rows(20_000)[["instruction", "context", "response"]]
    rng = np.random.default_rng(0)
    for number, start in enumerate(range(0, n_rows, PART_ROWS)):
        rows = rng.integers(0, len(base), min(PART_ROWS, n_rows - start))
        part = base.iloc[rows].reset_index(drop=True)
        part["response"] = [f"{text} {start + i}" for i, text in enumerate(part["response"])]
        part["id"] = [f"row-{start + i}" for i in range(len(part))]
        part.to_parquet(folder / f"part-{number:05d}.parquet", index=False)


def apply(source: Path, target: Path, *, dask: bool) -> None:
    """Apply the functions to all parts, with two worker processes."""
    if dask:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            wl.apply_parts(wl.LFApplier(FUNCTIONS), source, target, client=client)
    else:
        with wl.LFApplier(FUNCTIONS, n_jobs=2) as applier:
            wl.apply_parts(applier, source, target, progress=True)


@contextmanager
def watched(process: int) -> Iterator[dict[str, float]]:
    """Follow the greatest memory, in MiB, of any one process below a process."""
    peak = {"MiB": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            try:
                parent = psutil.Process(process)
                for one in (parent, *parent.children(recursive=True)):
                    peak["MiB"] = max(peak["MiB"], one.memory_info().rss / 2**20)
            except psutil.Error:
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def run(source: Path, target: Path, *, dask: bool, kill_at: int | None = None) -> float:
    """Apply in a process of its own, killed when so many parts are done; return the greatest memory in MiB."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.parts",
        "--here",
        str(source),
        str(target),
        *(["--dask"] if dask else []),
    ]
    process = subprocess.Popen(command, start_new_session=True)
    with watched(process.pid) as peak:
        while process.poll() is None:
            time.sleep(0.2)
            if kill_at is not None and len(list(target.glob("*.parquet"))) >= kill_at:
                # The process alone: its workers must see for themselves that it is gone.
                os.kill(process.pid, signal.SIGKILL)
    if kill_at is None:
        assert process.returncode == 0
    return peak["MiB"]


def main() -> None:
    """Write the parts, run twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/weaklm-parts"))
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--here", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        apply(*arguments.here, dask=arguments.dask)
        return
    source, whole, resumed = (arguments.folder / name for name in ("responses", "whole", "resumed"))
    if not source.exists():
        write_parts(source, arguments.rows)
    n_parts = len(list(source.glob("*.parquet")))
    shutil.rmtree(whole, ignore_errors=True)
    shutil.rmtree(resumed, ignore_errors=True)
    began = time.perf_counter()
    peak = run(source, whole, dask=arguments.dask)
    seconds = time.perf_counter() - began
    print(f"undisturbed: {seconds:.0f} s, {arguments.rows / seconds:,.0f} rows/s, at most {peak:,.0f} MiB a process")
    peak = run(source, resumed, dask=arguments.dask, kill_at=n_parts // 2)
    n_done = len(list(resumed.glob("*.parquet")))
    time.sleep(2)
    left = [p for p in psutil.process_iter(["cmdline"]) if "benchmarks.parts" in " ".join(p.info["cmdline"] or [])]
    print(
        f"killed with {n_done} of {n_parts} parts done, at most {peak:,.0f} MiB; {len(left) - 1} processes left behind"
    )
    began = time.perf_counter()
    peak = run(source, resumed, dask=arguments.dask)
    print(f"resumed: {time.perf_counter() - began:.0f} s, at most {peak:,.0f} MiB a process")
    same = all(
        pd.read_parquet(part).equals(pd.read_parquet(resumed / part.name)) for part in sorted(whole.glob("*.parquet"))
    )
    print(f"the same votes in all {n_parts} parts: {same}")
    shutil.rmtree(arguments.folder)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
