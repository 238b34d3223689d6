from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weaklm.curation import QualityDataset, curate
from weaklm.data import Example
from weaklm.errors import DataError, SettingsError
from weaklm.exchange import export
from weaklm.functions import slicing_function

DATA = pd.DataFrame(
    {
        "id": list("abcdef"),
        "instruction": ["How?", "How?", "Why?", "Why?", "When?", "When?"],
        "response": ["So.", "So.", "It rained.", "Sorry.", "At nine.", "No idea."],
        "source": ["base", "tuned"] * 3,
        "split": ["train"] * 4 + ["test"] * 2,
        "label": "the user's own column",
    },
    index=[7, 7, 3, 4, 5, 6],
)
SCORE = np.array([0.95, 0.97, 0.90, 0.04, 0.70, 0.30])


@slicing_function
def asks_how(x: Example) -> bool:
    return x.instruction == "How?"


def kept(dataset: QualityDataset) -> list[str]:
    return list(dataset.to_frame()["id"])


def test_confident_accepted_rows_are_kept_in_order() -> None:
    assert kept(curate(DATA, SCORE)) == ["a", "b", "c"]


def test_every_row_has_its_first_reason_and_its_own_value() -> None:
    rows = curate(DATA, SCORE).rows.set_index("id")
    assert rows["kept"].tolist() == [True, True, True, False, False, False]
    assert rows["reason"].tolist() == ["", "", "", "label is not ACCEPT", "confidence below 0.9", "label is not ACCEPT"]
    assert rows["detail"].tolist() == ["", "", "", "score 0.0400", "confidence 0.7000", "score 0.3000"]


def test_a_confidence_equal_to_the_threshold_is_enough() -> None:
    assert "c" in kept(QualityDataset(DATA, SCORE).filter(confidence_threshold=0.9))


def test_confidence_counts_for_rejected_rows_too() -> None:
    assert kept(QualityDataset(DATA, SCORE).filter(labels=["REJECT"], confidence_threshold=0.9)) == ["d"]


def test_filters_by_source_split_id_and_slice() -> None:
    dataset = QualityDataset(DATA, SCORE)
    assert kept(dataset.filter(sources=["tuned"])) == ["b", "d", "f"]
    assert kept(dataset.filter(splits=["test"])) == ["e", "f"]
    assert kept(dataset.filter(ids=["f", "a"])) == ["a", "f"]
    assert kept(dataset.filter(slices=[asks_how])) == ["a", "b"]


def test_a_filter_leaves_the_set_it_came_from_as_it_was() -> None:
    dataset = QualityDataset(DATA, SCORE)
    dataset.filter(labels=["REJECT"]).dedupe()
    assert len(dataset) == 6
    assert dataset.funnel().empty


def test_steps_one_after_the_other_and_at_once_are_the_same() -> None:
    once = curate(DATA, SCORE, sources=["base"])
    steps = QualityDataset(DATA, SCORE).filter(sources=["base"]).filter(["ACCEPT"]).filter(confidence_threshold=0.9)
    pd.testing.assert_frame_equal(once.rows, steps.rows)


def test_the_funnel_adds_up() -> None:
    assert curate(DATA, SCORE).dedupe().funnel().to_numpy().tolist() == [
        ["label is not ACCEPT", 6, 2, 4],
        ["confidence below 0.9", 4, 1, 3],
        ["same response to the same instruction", 3, 1, 2],
        ["nearly the same as a better row", 2, 0, 2],
    ]


def test_of_equal_responses_to_an_instruction_the_best_scored_stays() -> None:
    dataset = QualityDataset(DATA, SCORE).dedupe()
    assert kept(dataset) == ["b", "c", "d", "e", "f"]
    assert dataset.rows["detail"].iloc[0] == "same as b"


def test_dedupe_does_not_count_rows_that_are_out_already() -> None:
    assert kept(QualityDataset(DATA, SCORE).filter(ids=["a", "c"]).dedupe()) == ["a", "c"]


def test_a_sample_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    dataset, order = QualityDataset(DATA, SCORE), [3, 1, 5, 0, 4, 2]
    shuffled = QualityDataset(DATA.iloc[order], SCORE[order])
    assert len(dataset.sample(3, seed=1)) == 3
    assert set(kept(dataset.sample(3, seed=1))) == set(kept(shuffled.sample(3, seed=1)))
    assert len({tuple(kept(dataset.sample(3, seed=seed))) for seed in range(9)}) > 1


def test_a_sample_larger_than_the_set_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"sample\(9\): 6 rows are kept"):
        QualityDataset(DATA, SCORE).sample(9)


def test_rejected_rows_can_be_looked_at_by_reason() -> None:
    dataset = curate(DATA, SCORE)
    assert dataset.show_rejected("label is not ACCEPT")["id"].tolist() == ["f", "d"]
    assert dataset.show_rejected()["id"].tolist() == ["e", "f", "d"]
    with pytest.raises(DataError, match=r"did you mean 'confidence below 0\.9'"):
        dataset.show_rejected("confidence below 0.8")


def test_the_users_column_of_the_same_name_survives() -> None:
    dataset = QualityDataset(DATA, SCORE)
    assert set(dataset.to_frame()["label"]) == {"the user's own column"}
    assert set(dataset.rows["data_label"]) == {"the user's own column"}


def test_a_saved_set_comes_back_whole(tmp_path: Path) -> None:
    dataset = curate(DATA, SCORE).dedupe()
    loaded = QualityDataset.load(dataset.save(tmp_path / "curated"))
    pd.testing.assert_frame_equal(loaded.rows, dataset.rows, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.funnel(), dataset.funnel())
    assert loaded.rows["kept"].dtype == bool


def test_a_folder_without_a_set_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no curated set: it has no curation\.json"):
        QualityDataset.load(tmp_path)


def test_an_empty_result_says_how_near_the_best_row_came() -> None:
    text = repr(QualityDataset(DATA, SCORE).filter(["ACCEPT"], 0.99))
    assert "0 of 6 rows kept" in text
    assert "The surest of all rows is ACCEPT with a confidence of 0.970" in text


def test_keeping_held_out_rows_is_noted() -> None:
    assert "2 kept rows are of the split test" in repr(QualityDataset(DATA, SCORE))
    assert "held out" not in repr(QualityDataset(DATA, SCORE).filter(splits=["train"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["ACCPET"]}, "there is no label 'ACCPET'; did you mean 'ACCEPT'"),
        ({"confidence_threshold": 90}, "confidence_threshold is 90; a number from 0 to 1"),
        ({"sources": ["tunde"]}, "no row has the source 'tunde'; did you mean 'tuned'"),
        ({"splits": ["valid"]}, "no row has the split 'valid'; there are: 'test', 'train'"),
        ({"ids": ["z"]}, "no row has the id 'z'"),
    ],
)
def test_a_condition_that_no_row_can_meet_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((DataError, SettingsError), match=message):
        QualityDataset(DATA, SCORE).filter(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ([0.5] * 5, r"shape \(5,\); one number a row, \(6,\)"),
        ([[0.5, 0.5]] * 6, r"proba\[:, 1\]"),
        ([0.5, 0.5, np.nan, 0.5, 0.5, 0.5], "the score of row 2 is nan"),
        ([0.5, 0.5, 0.5, 1.5, 0.5, 0.5], "the score of row 3 is 1.5"),
    ],
)
def test_a_score_that_is_none_is_refused(score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        QualityDataset(DATA, score)


def test_the_kept_rows_are_exported(tmp_path: Path) -> None:
    assert export(curate(DATA, SCORE), tmp_path / "chat.jsonl", "messages") == 3


def test_no_rows_at_all_are_an_empty_set() -> None:
    assert "0 of 0 rows kept" in repr(curate(DATA.iloc[:0], []))


def test_the_notebook_view_is_escaped() -> None:
    data = DATA.assign(source="<script>")
    html = QualityDataset(data, SCORE).filter(sources=["<script>"])._repr_html_()
    assert "source is not &lt;script&gt;" in html
    assert "<script" not in html
