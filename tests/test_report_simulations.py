"""Simulated runs of whole reports and comparisons on data with known truth; benchmarks/reports.py does many more."""

import importlib
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
RUNS = 40

pytestmark = pytest.mark.slow


def shares(monkeypatch: pytest.MonkeyPatch, bias: str) -> dict[str, float]:
    """Return the share of runs or intervals for each promise, where base and tuned are equally good."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "reports", raising=False)
    benchmark = importlib.import_module("reports")
    found: dict[str, list[bool]] = defaultdict(list)
    for seed in range(RUNS):
        for key, values in benchmark.one_run(1000 + seed, bias, is_null=True, n_samples=2).items():
            found[key] += values
    return {key: float(np.mean(values)) for key, values in found.items()}


def test_a_fair_score_misleads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    share = shares(monkeypatch, "fair")
    for kind in ("slice", "source", "slice x source"):  # 200 intervals or more; those of all rows are 40
        assert share[f"corrected, {kind}"] >= 0.92 or kind == "source"
        assert share[f"human, {kind}"] >= 0.92 or kind == "source"
    assert share["by people: overall wrong"] <= 0.15  # at .05, 40 runs show more in one of 500 cases
    assert share["by people: any slice wrong"] <= 0.15
    assert share["by the score: overall wrong"] <= 0.15


def test_a_score_that_likes_length_misleads_only_where_nobody_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    share = shares(monkeypatch, "likes length")
    assert share["by the score: overall wrong"] >= 0.8  # the tuned source writes more, and no better
    assert share["by people: overall wrong"] <= 0.15
    assert share["by people: any slice wrong"] <= 0.15
    assert share["corrected, slice"] >= 0.92
    assert share["proxy-gap meter: the score rises more than people"] >= 0.3
