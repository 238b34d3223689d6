import math
import re
import warnings
from typing import Any
from xml.etree import ElementTree

import pytest

from weaklm import pictures
from weaklm.estimation import rate
from weaklm.pictures import coverage_precision, forest, heat_map, histogram, reliability, training_curve
from weaklm.pictures.canvas import fitting

HALF = rate([True, False] * 20).to_dict()
FEW = rate([True, True]).to_dict()
BIN = {"n": 40, "mean_score": 0.3, "share_accepted": 0.5, "low": 0.4, "high": 0.6}
POINT = {"name": "says_sorry", "coverage": 0.1, "precision": 0.8, "low": 0.7, "high": 0.9, "polarity": [0]}
HOSTILE = "<b> & $x_1$ 日本 🏦"
EVERY_KIND = {
    "forest": lambda text: forest([text, "y"], {"proxy": [HALF, FEW]}, description=text),
    "differences": lambda text: forest([text], {"difference": [HALF]}, description=text, difference=True),
    "histogram": lambda text: histogram([0, 0.5, 1], {"human REJECT": [3, 1]}, threshold=0.5, description=text),
    "reliability": lambda text: reliability([BIN], description=text),
    "heat_map": lambda text: heat_map([text], [text], [[0.5]], marks=[[True]], description=text),
    "coverage_precision": lambda text: coverage_precision([POINT | {"name": text}], description=text),
    "training_curve": lambda text: training_curve([(1, 2.0), (2, 1.5)], [(2, 1.6)], description=text),
    "network": lambda text: pictures.network(
        [{"name": text, "kind": "only REJECT", "size": 0.5}] * 2,
        [{"ends": (0, 1), "kind": "conflict", "strength": 0.5, "mark": "3"}],
        description=text,
    ),
}


def said(picture: str) -> list[str]:
    """Return the texts of a picture."""
    return [text for text in ElementTree.fromstring(picture).itertext() if text.strip()]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_picture_stands_in_a_page_by_itself_and_carries_its_description(kind: str) -> None:
    picture = EVERY_KIND[kind](HOSTILE)
    assert ElementTree.fromstring(picture).attrib["aria-label"] == HOSTILE
    assert not re.search(r"https?:|xmlns|<style|<script|<metadata|<image|url\((?!#)", picture)
    assert len(picture) < 20_000


@pytest.mark.parametrize("kind", ["forest", "differences", "heat_map", "coverage_precision", "network"])
def test_a_name_is_text_and_neither_markup_nor_mathematics(kind: str) -> None:
    assert HOSTILE in said(EVERY_KIND[kind](HOSTILE))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(kind: str) -> None:
    from matplotlib import rc_context

    plain = EVERY_KIND[kind]("x")
    with rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9}):
        assert EVERY_KIND[kind]("x") == plain


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_text_takes_the_colour_of_the_page(kind: str) -> None:
    texts = re.findall(r"<text[^>]*>", EVERY_KIND[kind]("x"))
    assert texts
    assert all("currentColor" in text for text in texts)


def test_drawing_leaves_the_backend_as_it_was() -> None:
    import matplotlib

    before = matplotlib.rcParams._get_backend_or_none()  # type: ignore[attr-defined]
    forest(["x"], {"proxy": [HALF]}, description="")
    assert matplotlib.rcParams._get_backend_or_none() == before  # type: ignore[attr-defined]


def test_two_pictures_in_one_page_do_not_share_names() -> None:
    a, b = (forest(["x"], {"proxy": [HALF]}, description=text) for text in ("one", "two"))
    assert not set(re.findall(r'id="([^"]+)"', a)) & set(re.findall(r'id="([^"]+)"', b))


def hollow(picture: str) -> int:
    return len(re.findall(r"<use[^>]*fill-opacity: 0", picture))


def test_few_observations_are_drawn_hollow() -> None:
    assert hollow(forest(["x", "y"], {"proxy": [FEW, HALF]}, description="")) == 1
    assert hollow(reliability([BIN, BIN | {"n": 14}, BIN | {"n": 15}], description="")) == 1


@pytest.mark.parametrize("missing", [None, {"value": None, "low": 0, "high": 1, "n": 0, "too_few": True}])
def test_a_missing_estimate_leaves_a_gap(missing: dict[str, Any] | None) -> None:
    picture = forest(["x", "y"], {"proxy": [HALF, missing]}, description="d")
    assert picture.count("<use") == forest(["x"], {"proxy": [HALF]}, description="d").count("<use")
    assert {"x", "y"} <= set(said(picture))


def test_every_slice_of_sixty_has_its_line() -> None:
    names = [f"slice_{i}" for i in range(60)]
    picture = forest(names, {"proxy": [HALF] * 60, "human": [FEW] * 60, "corrected": [None] * 60}, description="d")
    assert [text for text in said(picture) if text.startswith("slice_")] == names
    assert len(picture) < 40_000


def test_long_names_keep_their_beginning_and_their_end() -> None:
    assert fitting("asks_about_the_fees_of_accounts_at_home", 20) == "asks_about_…_at_home"
    assert fitting("two\nlines\tand \x00 more", 40) == "two lines and more"
    assert fitting(" ", 40) == "(no name)"


def test_what_people_rejected_is_drawn_apart_from_what_they_accepted() -> None:
    counts = {"no human label": [5, 7], "human REJECT": [3, 1], "human ACCEPT": [0, 4]}
    texts = said(histogram([0, 0.5, 1], counts, threshold=0.5, description=""))
    assert {"no human label (12)", "human REJECT (4)", "human ACCEPT (4)"} <= set(texts)
    assert "-2" not in texts  # rejected rows hang down; their number is no less


def test_a_histogram_without_labels_has_one_panel() -> None:
    texts = said(histogram([0, 0.5, 1], {"no human label": [1, 2]}, threshold=0.5, description=""))
    assert texts.count("rows") == 1
    assert not [text for text in texts if text.startswith("human")]


def test_an_empty_bin_is_left_out() -> None:
    empty = {"n": 0, "mean_score": None, "share_accepted": None, "low": None, "high": None}
    assert reliability([BIN, empty], description="") == reliability([BIN], description="")


def test_the_heat_map_writes_percents_and_dashes() -> None:
    texts = said(heat_map(["a", "b"], ["base"], [[0.5], [None]], description=""))
    assert {"a", "b", "base", "50", "\u2013"} <= set(texts)
    assert "accept rate in %, from 50 (dark) to 80 (light)" in texts


def test_a_marked_cell_has_no_colour_and_the_picture_says_why() -> None:
    plain, marked = (heat_map(["a"], ["b"], [[0.5]], marks=[[few]], description="") for few in (False, True))
    assert re.search(r"fill: #(?!fff)", plain)
    assert not re.search(r"fill: #(?!fff)", marked)
    assert "too few observations" in marked


def test_a_cell_with_few_observations_does_not_stretch_the_colours() -> None:
    texts = said(heat_map(["a", "b"], ["c"], [[0.0], [0.8]], marks=[[True], [False]], description=""))
    assert "accept rate in %, from 70 (dark) to 100 (light); hollow: too few observations" in texts


def test_the_longer_side_of_the_heat_map_goes_down() -> None:
    names = [f"s{i}" for i in range(9)]
    values = [[i / 10 for i in range(9)]]
    assert heat_map(["m"], names, values, description="") == heat_map(
        names, ["m"], [*zip(*values, strict=True)], description=""
    )


@pytest.mark.parametrize(
    ("polarity", "kind"),
    [([0], "only REJECT"), (1, "only ACCEPT"), ([0, 1], "both votes"), ("ACCEPT", "only ACCEPT"), ([], "both votes")],
)
def test_a_function_is_drawn_by_the_votes_that_it_casts(polarity: Any, kind: str) -> None:
    assert kind in said(coverage_precision([POINT | {"polarity": polarity}], description=""))


def test_a_function_that_nobody_judged_is_a_tick_at_the_foot() -> None:
    nobody = POINT | {"precision": None, "low": None, "high": None}
    texts = said(coverage_precision([nobody], description=""))
    assert "no human label" in texts
    assert "only REJECT" not in texts


def test_names_on_the_map_do_not_cover_each_other() -> None:
    crowd = [POINT | {"name": f"function_{i}"} for i in range(40)]
    assert 1 <= sum(text.startswith("function_") for text in said(coverage_precision(crowd, description=""))) < 40


def test_coverage_from_rare_to_frequent_is_drawn_over_powers_of_ten() -> None:
    texts = said(coverage_precision([POINT, POINT | {"coverage": 0.001}], description=""))
    assert {"0.1 %", "1 %", "10 %"} <= set(texts)


def test_a_loss_that_is_no_number_is_counted_and_not_drawn() -> None:
    assert "step (2 without a finite loss)" in said(
        training_curve([(1, 2.0), (2, math.nan), (3, 1.0)], [(3, math.inf)], description="")
    )


def test_a_long_training_makes_a_small_picture() -> None:
    assert len(training_curve([(i, 3 / (1 + i)) for i in range(100_000)], description="")) < 20_000


def test_nothing_to_draw_is_said_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "no loss was recorded" in said(training_curve([], description=""))
        assert "no row has a human label" in said(reliability([], description=""))
        assert "no function votes" in said(coverage_precision([], description=""))
        forest([], {}, description="")
        heat_map([], [], [], description="")
        histogram([0, 1], {}, threshold=0.5, description="")
