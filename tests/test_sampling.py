import numpy as np
import pytest

from weaklm.errors import DataError, SettingsError
from weaklm.sampling import combined, draw, label_weights, slice_strata


def test_the_chances_sum_to_the_number_of_rows_drawn() -> None:
    score = np.random.default_rng(0).random(500)
    batch = draw(score, 60)
    assert len(set(batch.rows)) == 60
    assert batch.inclusion.sum() == pytest.approx(60)
    assert batch.inclusion.min() >= 0.5 * 60 / 500  # half of the chance is even


def test_rows_are_drawn_as_often_as_their_chance_says() -> None:
    score = np.array([0.01, 0.2, 0.5, 0.5, 0.9, 0.99, 0.6, 0.05])
    batches = [draw(score, 3, random_state=seed) for seed in range(4000)]
    times = np.bincount(np.concatenate([batch.rows for batch in batches]), minlength=8) / 4000
    assert times == pytest.approx(batches[0].inclusion, abs=0.03)


def test_an_unsure_row_has_more_chance() -> None:
    chance = draw([0.5, 0.01], 1).inclusion
    # .25 each evenly; the rest by sqrt(.25) to sqrt(.0099)
    assert chance == pytest.approx([0.5 * 0.5 + 0.5 * 0.8340, 0.5 * 0.5 + 0.5 * 0.1660], abs=1e-3)


def test_no_chance_is_above_one() -> None:
    batch = draw([0.5, 0.0, 0.0, 0.0], 3)
    assert batch.inclusion[0] == 1
    assert batch.inclusion.sum() == pytest.approx(3)


def test_each_stratum_gets_at_least_three_labels() -> None:
    strata = np.array(["rare"] * 5 + ["common"] * 995)
    batch = draw(np.full(1000, 0.5), 50, strata=strata)
    assert (strata[batch.rows] == "rare").sum() == 3
    assert batch.inclusion[0] == pytest.approx(3 / 5)


def test_with_fewer_labels_than_strata_every_row_has_a_chance() -> None:
    batch = draw(np.full(100, 0.5), 6, strata=np.arange(100) % 10)
    assert len(batch.rows) == 6
    assert batch.inclusion.min() > 0


def test_labelled_rows_are_not_drawn_again_and_know_what_chance_they_had() -> None:
    labelled = np.arange(10) < 4
    batch = draw(np.full(10, 0.5), 3, labelled=labelled)
    assert not set(batch.rows) & set(range(4))
    assert batch.inclusion.tolist() == pytest.approx([0.5] * 10)
    assert combined(np.full(10, 0.4), batch.inclusion)[0] == pytest.approx(1 - 0.6 * 0.5)


def test_the_same_seed_draws_the_same_rows() -> None:
    score = np.random.default_rng(0).random(100)
    assert draw(score, 10, random_state=3).rows.tolist() == draw(score, 10, random_state=3).rows.tolist()


def test_all_rows_may_be_drawn() -> None:
    batch = draw([0.5, 0.1, 0.9], 3, strata=["a", "a", "b"])
    assert sorted(batch.rows) == [0, 1, 2]
    assert batch.inclusion.tolist() == pytest.approx([1, 1, 1])


def test_nothing_may_be_drawn() -> None:
    batch = draw(np.zeros(0), 0)
    assert (len(batch.rows), len(batch.inclusion)) == (0, 0)


def test_more_rows_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(SettingsError, match="5 rows are to be drawn; 3 rows without a label"):
        draw([0.5, 0.1, 0.9], 5)


def test_a_draw_without_any_even_share_is_refused() -> None:
    with pytest.raises(SettingsError, match="every row needs a chance"):
        draw([0.5, 0.1], 1, uncertain_share=1)


def test_a_score_out_of_range_is_refused() -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        draw([0.5, float("nan")], 1)


def test_rows_in_several_slices_belong_to_the_rarest() -> None:
    S = np.array([[True, False], [True, True], [True, False], [False, False]])
    assert slice_strata(S, ["long", "legal"]).tolist() == ["long", "legal", "long", "rest"]
    assert slice_strata(np.zeros((2, 0), dtype=bool)).tolist() == ["rest", "rest"]


def test_labels_weigh_one_over_their_chance_and_as_many_equal_ones_together() -> None:
    weight = label_weights([True, True, False, True], [0.1, 0.2, 0.9, 0.2])
    assert (weight / weight[1]).tolist() == pytest.approx([2, 1, 0, 1])
    assert weight.sum() == pytest.approx(4**2 / 6)
    assert label_weights([True, False, True]).tolist() == [1, 0, 1]


def test_no_label_decides_alone() -> None:
    weight = label_weights(np.ones(100, dtype=bool), np.r_[0.001, np.ones(99)])
    assert weight[0] / weight[1] == pytest.approx(5)
