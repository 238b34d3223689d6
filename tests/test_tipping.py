"""Blame: the rows that one function tips, and their scores without it."""

import numpy as np
import pytest

from weaklm.errors import ModelError
from weaklm.label_model import LabelModel
from weaklm.tipping import blame

# Function 2 is the third voice: it settles rows 0 and 1, joins in on row 2, is outvoted on row 3.
L = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1], [1, 0, -1], [0, 1, -1]], np.int8)


def test_names_the_rows_that_a_function_tips() -> None:
    model = LabelModel(anchor_weight=1e12).fit(L)  # all functions alike, so that a tie scores one half
    found = blame(model, L, 2, threshold=0.6)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.without == pytest.approx([1 / 2, 1 / 2, 49 / 58, 9 / 58])
    assert found.score == pytest.approx([7 / 10, 3 / 10, 343 / 370, 3 / 10])
    assert found.tipped.tolist() == [True, False, False, False]
    assert found.kept_by_it.tolist() == [0]


def test_a_score_at_the_threshold_is_kept() -> None:
    found = blame(LabelModel(anchor_weight=1e12).fit(L), L, 2)
    assert found.dropped_by_it.tolist() == [1]
    assert found.kept_by_it.tolist() == []


def test_human_labels_say_how_many_tips_were_wrong() -> None:
    model = LabelModel(anchor_weight=1e12).fit(L)
    text = str(blame(model, L, 2, Y=[0, -1, 1, 0, 1, 1], threshold=0.6))
    assert "votes on 4 rows and moves their score by 0.157 on average" in text
    assert "1 are kept and 0 dropped because of it; people call 1 of the 1 labelled ones wrong" in text


def test_a_silent_function_tips_nothing() -> None:
    silent = np.hstack([L, np.full((6, 1), -1, np.int8)])
    assert str(blame(LabelModel().fit(silent), silent, 3)) == "It votes on no row."


def test_the_votes_stay_as_they_were() -> None:
    before = L.copy()
    blame(LabelModel().fit(L), L, 0)
    assert L.tolist() == before.tolist()


def test_another_column_or_more_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="function is 3; a column of L from 0 to 2 is expected"):
        blame(LabelModel().fit(L), L, 3)
    with pytest.raises(ModelError, match="this model has 3 classes"):
        blame(LabelModel(cardinality=3).fit(L), L, 0)
