import re

from weaklm.estimation import rate
from weaklm.pictures import forest, histogram

HALF = rate([True, False] * 20).to_dict()
FEW = rate([True, True]).to_dict()


def test_a_name_is_text_and_neither_markup_nor_mathematics() -> None:
    picture = forest(["<b> & $x_1$ 日本 🏦"], {"proxy": [HALF]}, description="one")
    assert "&lt;b&gt; &amp; $x_1$ 日本 🏦" in picture


def test_few_observations_are_drawn_hollow() -> None:
    def hollow(estimate: dict[str, object]) -> int:
        return len(
            re.findall(
                "fill-opacity: 0|fill: none; stroke: #0072b2", forest(["x"], {"proxy": [estimate]}, description="")
            )
        )

    assert hollow(FEW) > hollow(HALF)


def test_a_missing_estimate_leaves_a_gap() -> None:
    both = forest(["x", "y"], {"proxy": [HALF, HALF]}, description="d")
    one = forest(["x", "y"], {"proxy": [HALF, None]}, description="d")
    assert one.count("<path") == both.count("<path") - 2  # point and interval
    assert ">y</text>" in one


def test_pictures_stand_alone_and_carry_their_description() -> None:
    picture = histogram([0, 0.5, 1], {"human REJECT": [3, 1]}, threshold=0.5, description='4 "rows"')
    assert picture.startswith('<svg role="img" aria-label="4 &quot;rows&quot;"')
    assert not re.search(r"https?:|xmlns|<style|<script|<metadata", picture)


def test_two_pictures_in_one_page_do_not_share_names() -> None:
    a, b = (forest(["x"], {"proxy": [HALF]}, description=text) for text in ("one", "two"))
    assert not set(re.findall(r'id="([^"]+)"', a)) & set(re.findall(r'id="([^"]+)"', b))
