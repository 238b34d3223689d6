"""The graph of functions: which pairs it holds, and the picture, in a notebook and in files."""

import re
from pathlib import Path

import numpy as np
import pytest

from weaklm.analysis import LFAnalysis
from weaklm.errors import DataError

VALUE = np.random.default_rng(0).random((2000, 2))
L = np.stack(
    [
        np.where(VALUE[:, 0] > 0.7, 0, -1),
        np.where(VALUE[:, 1] > 0.7, 0, -1),
        np.where(VALUE[:, 0] > 0.6, 0, -1),
        np.where(VALUE[:, 1] > 0.6, 1, -1),
        np.full(2000, -1),
    ],
    axis=1,
)
GRAPH = LFAnalysis(L).graph()


def test_pairs_that_say_the_same_and_pairs_that_conflict_are_found() -> None:
    pairs = GRAPH.pairs[["function", "other", "kind"]].values.tolist()
    assert ["0", "2", "say the same"] in pairs
    assert ["1", "3", "conflict on most rows"] in pairs
    assert ["0", "1", "say the same"] not in pairs


def test_functions_that_say_the_same_stand_side_by_side() -> None:
    order = GRAPH.functions["function"].tolist()
    assert abs(order.index("0") - order.index("2")) == 1


def test_the_picture_says_in_words_what_it_shows() -> None:
    picture = GRAPH._repr_html_()
    assert picture.startswith('<svg role="img" aria-label="5 labeling functions (not drawn: 1 without a vote)')
    assert "1 and 3 conflict on" in picture
    assert re.findall(r">(only ACCEPT|only REJECT|both votes|never votes)</text>", picture) == [
        "only ACCEPT",
        "only REJECT",
    ]
    assert not re.search(r"https?:|<style|<script", picture)


def test_thirty_functions_are_all_named() -> None:
    votes = np.random.default_rng(1).choice([-1, 0, 1], size=(300, 30))
    picture = LFAnalysis(votes).graph()._repr_html_()
    assert all(f">{j}</text>" in picture for j in range(30))


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_it_is_saved_in_the_format_of_the_ending(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = GRAPH.save(tmp_path / f"graph{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"graph{suffix}"]


def test_another_ending_is_an_error() -> None:
    with pytest.raises(DataError, match=r"ends in '.gif'; a picture is written as one of .svg, .png, .pdf"):
        GRAPH.save("graph.gif")


def test_one_function_and_no_votes_are_drawn_too() -> None:
    assert "1 labeling function, 0 pairs" in LFAnalysis([[0], [1]]).graph()._repr_html_()
    assert "not drawn: 2" in repr(LFAnalysis([[-1, -1]]).graph())
    assert LFAnalysis([[-1, -1]]).graph()._repr_html_().startswith("<svg")
