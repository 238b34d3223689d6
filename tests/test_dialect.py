"""A pattern in the dialect of polars says what it says to Python, or is refused."""

import re
import warnings
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.columns import ordinary
from weaklm.dialect import Unportable, Use, literal, portable

TEXT = pl.col("text")
# Letters, spaces and marks of which some are alike for one side only, or only without regard to case.
PLAIN = "abcikmsABIKS_09 .,-$'\n\r\t\x0b\x1c\x1f\x85\xa0\u2028\u2019\u2013\u20ac"
LETTERS = "\u00df\u1e9e\u00e9\u00c9\u00b5\u03bc\u039c\u03a3\u03c2\u03c3\u01c5\u01c6\u2167\u4e2d\u3042\u0434"
STRANGE = "\u0345\u0301\u0131\u0130\u017f\u212a\u00bd\u00b2\u2460\u0663\u200d\ufe0f\u2764\U0001f44d\u24b6"
ALPHABET = PLAIN + LETTERS + STRANGE
texts = st.lists(st.text(ALPHABET, max_size=12) | st.text(max_size=6), min_size=1, max_size=40)

literals = st.sampled_from(list(ALPHABET)).map(re.escape)
ITEMS = [
    "a-k",
    "A-Z",
    "\u00e0-\u00ff",
    r"\w",
    r"\d",
    r"\s",
    r"\W",
    r"\S",
    "_",
    "0-9",
    "'",
    r"\-",
    "\u00e9",
    "\u03a3",
    r"\n",
]
items = st.lists(st.sampled_from(ITEMS), min_size=1, max_size=3).map("".join)
classes = st.builds("[{}{}]".format, st.sampled_from(["", "^"]), items)
places = st.sampled_from([r"\b", r"\B", "^", "$", r"\A", r"\Z"])
atoms = st.one_of(literals, classes, places, st.sampled_from([r"\w", r"\d", r"\s", r"\W", r"\S", ".", "ab", "ca"]))
REPEATS = ["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "??", "{1,2}?"]
OPENED = ["(", "(?:", "(?i:", "(?s:", "(?m:", "(?a:", "(?-i:"]


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.builds("{}{}|{})".format, st.sampled_from(OPENED), inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(REPEATS)),
    )


patterns = st.recursive(atoms, deeper, max_leaves=8)
flags = st.sampled_from([0, re.I, re.M, re.S, re.A, re.A | re.I, re.M | re.I])
uses = st.sampled_from(["search", "match", "fullmatch", "count"])


@settings(max_examples=300, deadline=None)
@given(patterns, flags, uses, texts, st.booleans())
def test_a_portable_pattern_gives_pythons_answers(
    pattern: str, flags: int, use: Use, values: list[str], lowered: bool
) -> None:
    try:
        ported = portable(pattern, flags, use=use, lowered=lowered)
    except Unportable:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = re.compile(pattern, flags)
    text = TEXT.str.to_lowercase() if lowered else TEXT
    said = text.str.count_matches(ported) if use == "count" else text.str.contains(ported)
    found = pl.DataFrame({"text": values}).select(said=pl.when(ordinary(TEXT)).then(said))["said"].to_list()
    expected: list[Any] = [getattr(compiled, use)(value) is not None for value in values] if use != "count" else []
    expected = expected or [len(compiled.findall(value)) for value in values]
    assert [(f, e) for f, e in zip(found, expected, strict=True) if f not in (None, e)] == []


@pytest.mark.parametrize(
    ("pattern", "ported"),
    [
        (r"\$\d+%", r"\x{24}(?:[0-9&&\d])+\x{25}"),
        (r"(?i)no\b", r"[nN][oO]\b"),
        (r"^a|b$", r"(?:\Aa|b\n?\z)"),
        (r"(?m)^a$", "(?m:^)a(?m:$)"),
        (r"(?s)a.+?b", "a(?:(?s:.))+?b"),
        (r"(?x) a \  b # spaced", "a b"),
        (r"(?a)\w\s\b.", r"[0-9A-Za-z_][\t-\r ](?-u:\b)[^\n]"),
        ("[^\u00e9x]", r"[^\x{e9}x]"),
        (r"-x\b-", r"\x{2d}x\b\x{2d}"),
        (r"(?:un)?\b_|-\bx?y", r"(?:(?:un)?\b_|\x{2d}\b(?:x)?y)"),
    ],
)
def test_patterns_are_written_with_all_that_they_mean(pattern: str, ported: str) -> None:
    assert portable(pattern, use="search") == ported


@pytest.mark.parametrize(
    ("pattern", "use", "reason"),
    [
        ("(?<=a)b", "search", "it looks ahead or behind"),
        ("a(?!b)", "search", "it looks ahead or behind"),
        (r"(a)\1", "search", "it refers back to a group"),
        ("(a)?(?(1)b|c)", "search", "it asks whether a group matched"),
        ("(?>a+)b", "search", "it has an atomic group"),
        ("a++b", "search", "it has a possessive repeat"),
        ("a$b", "search", r"it has \$ before its end"),
        (r"(?:a$|\n){2}", "search", r"it has \$ before its end"),
        ("a$", "count", r"it has \$ before its end"),
        ("a*", "count", "it matches the empty text"),
        ("(?:a*)*", "search", "it repeats what may be empty"),
        (r"\b[^a]", "search", r"it has \\b with no letter, digit or _ at its side"),
        (r"x?\b-", "search", r"it has \\b with no letter"),
        (r"x-\b-", "search", r"it has \\b with no letter"),
        (r"x(?:\b-)+", "search", r"it has \\b with no letter"),
        (r"(?a:\w)", "search", r"it has \(\?a:\.\.\.\)"),
        (r"(?:\w{1,200} ){200}", "search", "polars cannot compile it"),
        ("(", "search", "it is no valid pattern: missing \\)"),
        ("\ud800", "search", "polars cannot compile it"),
        (b"a", "search", "it is a pattern for bytes"),
    ],
)
def test_what_the_engine_lacks_is_refused_with_the_reason(pattern: Any, use: Use, reason: str) -> None:
    with pytest.raises(Unportable, match=reason):
        portable(pattern if isinstance(pattern, str) else re.compile(pattern), use=use)


def test_a_pattern_that_regards_case_is_not_for_texts_in_lower_case() -> None:
    with pytest.raises(Unportable, match="it regards case"):
        portable("(?i:a)B", use="search", lowered=True)


def test_a_compiled_pattern_has_its_own_flags() -> None:
    assert portable(re.compile("a", re.IGNORECASE), use="search") == "[aA]"


def test_a_literal_stands_for_itself() -> None:
    text = "".join(map(chr, range(128))) + STRANGE
    assert pl.Series([text, text[1:]]).str.contains(literal(text)).to_list() == [True, False]
