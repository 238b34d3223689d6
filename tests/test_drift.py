import numpy as np
import pytest

from weaklm.quality.drift import Seen

RANDOM = np.random.default_rng(0)


def one(values: np.ndarray, n: int | None = None) -> Seen:
    return Seen.fit(["x"], values[:, None], n or len(values))


def test_the_index_by_hand() -> None:
    # Two values, half and half before, .2 and .8 now: (.2 - .5) ln(.2 / .5) + (.8 - .5) ln(.8 / .5) = .416.
    before, now = np.repeat([0.0, 1.0], 5000), np.repeat([0.0, 1.0], [2000, 8000])
    table = one(before).compare(now[:, None], 10_000)
    assert table.loc["x", "psi"] == pytest.approx(0.416, abs=0.001)
    assert table.loc["x", "verdict"] == "large drift"


def test_the_same_rows_do_not_drift() -> None:
    values = RANDOM.normal(size=1000)
    row = one(values).compare(values[:, None], 1000).loc["x"]
    assert (row["psi"], row["outside"], row["verdict"]) == (0.0, 0.0, "stable")


def test_chance_alone_raises_hardly_any_alarm() -> None:
    seen = Seen.fit([f"x{j}" for j in range(20)], RANDOM.normal(size=(2000, 20)), 2000)
    alarms = 0
    for _ in range(200):
        table = seen.compare(RANDOM.normal(size=(150, 20)), 150)
        alarms += bool((table["psi"] > table["by_chance"]).any())
    assert alarms <= 20  # 10 are expected


def test_few_rows_say_that_they_are_few() -> None:
    assert one(RANDOM.normal(size=1000)).compare(RANDOM.normal(size=(20, 1)), 20).loc["x", "verdict"] == "too few rows"


def test_values_beyond_all_seen_are_an_alarm_even_where_the_bins_are_alike() -> None:
    before = RANDOM.normal(size=1000)
    now = RANDOM.normal(size=1000)
    now[now > np.quantile(now, 0.97)] = 1000.0
    row = one(before).compare(now[:, None], 1000).loc["x"]
    assert row["psi"] < 0.1
    assert (row["outside"], row["verdict"]) == (pytest.approx(0.03, abs=0.005), "large drift")


def test_a_value_that_goes_missing_is_drift() -> None:
    before = RANDOM.normal(size=1000)
    now = np.where(np.arange(1000) % 2, np.nan, before)
    assert one(before).compare(now[:, None], 1000).loc["x", "verdict"] == "large drift"


def test_a_feature_without_any_value_is_stable_until_it_has_one() -> None:
    seen = one(np.full(100, np.nan))
    assert seen.compare(np.full((100, 1), np.nan), 100).loc["x", "verdict"] == "stable"
    assert seen.compare(np.ones((100, 1)), 100).loc["x", "verdict"] == "large drift"


def test_rows_that_hang_together_count_once() -> None:
    values, now = RANDOM.normal(size=1000), RANDOM.normal(size=1000)
    alone, grouped = (one(values, n).compare(now[:, None], n).loc["x", "by_chance"] for n in (1000, 100))
    assert grouped == pytest.approx(10 * alone)
