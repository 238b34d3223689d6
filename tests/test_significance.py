import math

import numpy as np
import pytest

from weaklm.errors import DataError, SettingsError
from weaklm.estimation import paired_difference
from weaklm.significance import benjamini_hochberg, holm, mcnemar, paired_p_value, slice_differences


def test_mcnemar_counts_pairs_that_changed() -> None:
    test = mcnemar([0, 0, 0, 1, 1, 0], [1, 1, 1, 0, 1, 0])
    assert (test.wins, test.losses, test.n) == (3, 1, 6)
    assert test.p_value == pytest.approx(2 * (1 + 4) / 16)


def test_mcnemar_of_no_change_is_one() -> None:
    assert mcnemar([1, 0], [1, 0]).p_value == 1
    assert mcnemar([], []).p_value == 1


def test_mcnemar_agrees_with_statsmodels() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="a reference, comes with ppi-python")
    random = np.random.default_rng(0)
    before, after = random.integers(0, 2, 80), random.integers(0, 2, 80)
    table = [[((before == a) & (after == b)).sum() for b in (0, 1)] for a in (0, 1)]
    assert mcnemar(before, after).p_value == pytest.approx(tables.mcnemar(table, exact=True).pvalue)


def test_shares_are_no_decisions() -> None:
    with pytest.raises(DataError, match="expected 0 or 1"):
        mcnemar([0.5], [1])


def test_the_p_value_says_what_the_interval_says() -> None:
    random = np.random.default_rng(1)
    before, after = random.integers(0, 2, 40), random.integers(0, 2, 40)
    p_value = paired_p_value(before, after)
    edge = paired_difference(before, after, confidence=1 - p_value)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(0).random(20) ** 3
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_slice_without_a_p_value_is_no_test(adjust: object) -> None:
    adjusted = adjust([math.nan, 0.02, 0.04])  # type: ignore[operator]
    assert math.isnan(adjusted[0])
    assert adjusted[1] == 0.04
    assert len(adjust([])) == 0  # type: ignore[operator]


def test_a_p_value_above_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"a p-value is 1\.2"):
        holm([1.2])


def test_of_many_equal_slices_none_is_called_different() -> None:
    random = np.random.default_rng(5)
    before, after = random.integers(0, 2, 400), random.integers(0, 2, 400)
    S = random.random((400, 40)) < 0.1
    frame = slice_differences(before, after, S, [f"slice {k}" for k in range(40)])
    assert (frame["p"] < 0.05).any()  # taken alone, one is
    assert not frame["is_different"].any()


def test_a_slice_of_one_instruction_is_shown_without_a_p_value() -> None:
    frame = slice_differences([0, 0], [1, 1], [[True, True], [True, False]], ["both", "one"])
    assert frame["n"].tolist() == [2, 1]
    assert math.isnan(frame["p_adjusted"][1])
    assert frame["is_different"].tolist() == [False, False]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match="'holm' or 'benjamini-hochberg'"):
        slice_differences([0], [1], [[True]], ["all"], method="bonferroni")  # type: ignore[arg-type]
