"""Every claim that a column gives Python's answer is tested against Python, on every character that counts."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.columns import WHITESPACE, contains_any, n_words, ordinary, search, strip
from weaklm.dialect import Unportable, portable

TEXT = pl.col("text")
SPACES = "\x1c\x1f\x85\xa0\u2003\u2028"
STRANGE = "\x00\u2019\u20ac\u00df\u00e9\u0301\u0130\u0131\u017f\u212a\u00bd\u0663\u200d\ufe0f\u6771\U0001f44d"
texts = st.lists(st.text("ab AB.\n\t" + SPACES + STRANGE, max_size=12) | st.text(max_size=6), min_size=1, max_size=30)


def values(expression: pl.Expr, column: list[Any]) -> list[Any]:
    """Return an expression's value on each text."""
    return pl.DataFrame({"text": column}, schema={"text": pl.String}).select(said=expression)["said"].to_list()


@lru_cache(maxsize=1)
def ordinary_characters() -> list[str]:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    return pl.DataFrame({"text": characters}).filter(ordinary(TEXT))["text"].to_list()


# Characters


def test_nearly_all_characters_are_ordinary() -> None:
    assert 280_000 < len(ordinary_characters()) < 282_000


def test_ascii_typography_accents_alphabets_and_emoji_are_ordinary() -> None:
    ascii_text = "".join(map(chr, range(128)))
    typographic = "\u201cIt\u2019s na\u00efve\u201d \u2013 \u2022 5\xa0\u20ac\u2026 \u2764\ufe0f \U0001f44d\U0001f3fd"
    foreign = "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u6771\u4eac"
    assert values(ordinary(TEXT), [ascii_text, typographic, foreign]) == [True, True, True]


@pytest.mark.parametrize(
    "text",
    ["\u00bd", "m\u00b2", "e\u0301", "\u0130", "\u0131", "\u0345", "\u017f", "\u212a", "\u0663", "a\u200d", None],
)
def test_what_the_two_sides_see_differently_is_not_ordinary(text: str | None) -> None:
    assert values(ordinary(TEXT), [text]) == [False]


PRIMITIVES: dict[str, Callable[[str], bool]] = {
    r"\w": lambda c: c.isalnum() or c == "_",
    r"\W": lambda c: not (c.isalnum() or c == "_"),
    r"\d": str.isdecimal,
    r"\s": str.isspace,
    r"[^\S\n]": lambda c: c.isspace() and c != "\n",
    ".": lambda c: c != "\n",
}


@pytest.mark.parametrize("pattern", PRIMITIVES)
def test_character_classes_agree_on_every_ordinary_character(pattern: str) -> None:
    found = values(TEXT.str.contains(portable(pattern, use="fullmatch")), ordinary_characters())
    assert found == list(map(PRIMITIVES[pattern], ordinary_characters()))


def test_case_agrees_on_every_ordinary_character() -> None:
    assert values(TEXT.str.to_lowercase(), ordinary_characters()) == list(map(str.lower, ordinary_characters()))
    assert values(TEXT.str.to_uppercase(), ordinary_characters()) == list(map(str.upper, ordinary_characters()))


@pytest.mark.parametrize("around", ["a{}\u03a3", "a\u03a3{}", "a\u03a3{}a"])
def test_final_sigma_agrees_beside_every_ordinary_character(around: str) -> None:
    beside = list(map(around.format, ordinary_characters()))
    assert values(TEXT.str.to_lowercase(), beside) == list(map(str.lower, beside))


@pytest.mark.parametrize(("around", "pattern"), [("a{}", r"a\b"), ("{}0", r"\b0"), ("_{}", r"_\B.")])
def test_word_boundaries_agree_beside_every_ordinary_character(around: str, pattern: str) -> None:
    beside = [text for text in map(around.format, ordinary_characters()) if "\n" not in text]
    expected = [re.search(pattern, text) is not None for text in beside]
    found = values(pl.when(ordinary(TEXT)).then(TEXT.str.contains(portable(pattern, use="search"))), beside)
    assert [text for text, f, e in zip(beside, found, expected, strict=True) if f not in (None, e)] == []
    assert found.count(None) < 2_600  # marks that make one letter with the one before


def test_letters_are_the_same_without_regard_to_case_as_for_python() -> None:
    cased = [c for c in ordinary_characters() if c.lower() != c or c.upper() != c]
    column, joined = pl.Series(cased), "".join(cased)
    for character in cased:
        ours = column.filter(column.str.contains(portable(character, re.IGNORECASE, use="search"))).to_list()
        assert ours == re.findall(re.escape(character), joined, re.IGNORECASE)


def test_whitespace_is_what_python_strips() -> None:
    assert sorted(WHITESPACE) == [chr(code) for code in range(0x110000) if chr(code).isspace()]


# Functions


@settings(deadline=None, max_examples=60)
@given(texts, st.lists(st.text("ab AB.+\u00df\ud800", max_size=3), max_size=3))
def test_contains_any_agrees(column: list[str], needles: list[str]) -> None:
    expected = [any(needle in text for needle in needles) for text in column]
    assert values(contains_any(TEXT, needles), column) == expected


def test_contains_any_agrees_for_many_needles() -> None:
    needles = [f"needle {i}." for i in range(300)]
    column = ["a needle 299.", "needle 2999", "NEEDLE 1."]
    for n in (1, 48, 49, 256, 257, 300):
        expected = [any(needle in text for needle in needles[-n:]) for text in column]
        assert values(contains_any(TEXT, needles[-n:]), column) == expected


@settings(deadline=None, max_examples=60)
@given(texts)
def test_words_are_counted_and_spaces_stripped_as_python_does(column: list[str]) -> None:
    assert values(n_words(TEXT), column) == [len(text.split()) for text in column]
    assert values(strip(TEXT), column) == [text.strip() for text in column]


def test_missing_texts_stay_missing() -> None:
    for expression in (n_words(TEXT), strip(TEXT), contains_any(TEXT, ["a"]), contains_any(TEXT, [])):
        assert values(expression, [None, "a"])[0] is None


def test_words_are_counted_over_many_stretches_of_texts() -> None:
    column = ["word " * n for n in (0, 200_000, 1, 300_000, 2)] + ["\u6771\u4eac \u2003x"] * 3
    assert values(n_words(TEXT), column) == [0, 200_000, 1, 300_000, 2, 2, 2, 2]


def test_search_finds_line_starts_and_ignores_case() -> None:
    column = ["- one", "x\n- two", "x - y", "\n\n- "]
    assert values(search(TEXT, r"(?m)^-\s"), column) == [True, True, False, True]
    assert values(search(TEXT, "ONE|(?-i:T)wo", re.IGNORECASE), column) == [True, False, False, False]


def test_search_refuses_what_the_engine_lacks() -> None:
    with pytest.raises(Unportable, match="it looks ahead or behind"):
        search(TEXT, "a(?=b)")


def test_one_column_is_counted_once_for_several_functions() -> None:
    assert n_words(TEXT) is n_words(pl.col("text"))
    assert ordinary(TEXT) is ordinary(pl.col("text"))
