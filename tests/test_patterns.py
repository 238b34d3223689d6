"""A declarative function says of a column what it says of each row, and means what its arguments say."""

import pickle
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, SlicingFunction
from weaklm.code import code_hash
from weaklm.errors import FunctionError
from weaklm.patterns import (
    contains_any,
    field_between,
    field_in,
    keyword,
    language,
    length,
    matches_schema,
    numbers_missing,
    overlap,
    regex,
    similarity,
)

# Texts

WORDS = [
    *("the", "fee", "Fee", "FEES", "is", "of", "and", "sorry", "card", "internationalisation", "internationalisations"),
    *(
        "5",
        "$5",
        "5.50",
        "1,000",
        "1000",
        "1.",
        "2)",
        "x_1",
        "c++",
        "C++",
        "don't",
        "don\u2019t",
        "\u2013",
        "\u2022",
        "{}",
    ),
    *("der", "die", "Karte", "ist", "nicht", "und", "na\u00efve", "Na\u00cfve", "stra\u00dfe", "STRASSE"),
    *(
        "\u03a3\u03bf\u03c6\u03cc\u03c2",
        "\u041c\u043e\u0441\u043a\u0432\u0430",
        "\u6771\u4eac",
        "\u2764\ufe0f",
        "\U0001f44d",
    ),
]
ODD = "\u0130\u0131\u017f\u212a\u00bd\u00b2\u2460\u0663\u0301\u200d\x1c\x1f\x85\xa0\u2028\x00"
SPACES = [" ", " ", " ", "\n", "\n ", "\t", "\xa0", "\x1c", ", ", ". ", ""]
spaced = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)), max_size=14)
texts = st.one_of(
    spaced.map(lambda pairs: "".join(map("".join, pairs))), st.text("aAis5. \n" + ODD), st.text(max_size=8)
)
rows = st.lists(
    st.fixed_dictionaries({"instruction": texts, "context": texts, "response": texts}), min_size=1, max_size=12
)
votes = st.sampled_from([{"vote": REJECT}, {"vote": ACCEPT, "otherwise": REJECT}, {"vote": None}])
words = st.lists(st.sampled_from(WORDS) | st.text("ab+' ", min_size=1, max_size=3), min_size=1, max_size=3)
shares = st.sampled_from([0.0, 0.2, 0.5, 1.0])


def on_columns(function: Any, data: list[dict[str, Any]]) -> list[Any]:
    """Return what a function's expression says of rows, None where it leaves them to Python."""
    return pl.DataFrame(data).lazy().select(function.expression().alias("said")).collect()["said"].to_list()


def on_rows(function: Any, data: list[dict[str, Any]]) -> list[Any]:
    return [function(Example(**row)) for row in data]


def agree(function: Any, data: list[dict[str, Any]]) -> bool:
    """Tell whether the expression says what the row function says wherever it says something."""
    pairs = zip(on_columns(function, data), on_rows(function, data), strict=True)
    return all(ours is None or (ours == theirs and type(ours) is type(theirs)) for ours, theirs in pairs)


# Columns say what rows say


@settings(deadline=None, max_examples=50)
@given(rows, words, st.booleans(), st.booleans(), votes)
def test_keyword_agrees(data: Any, sought: Any, ignore_case: bool, whole_words: bool, vote: Any) -> None:
    assert agree(keyword(sought, ignore_case=ignore_case, whole_words=whole_words, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, words, st.booleans(), votes)
def test_contains_any_agrees(data: Any, sought: Any, ignore_case: bool, vote: Any) -> None:
    assert agree(contains_any(sought, ignore_case=ignore_case, **vote), data)


PATTERNS = [
    r"fee\b",
    r"\$\d+",
    r"(?m)^\s*\d[.)]",
    r"\w+'\w+$",
    r"\bstra(?:\u00df|ss)e",
    r"[^\W\d_]{5,}",
    r"s\s",
    r"\u03c3$",
    r"k|i",
]


@settings(deadline=None, max_examples=50)
@given(rows, st.sampled_from(PATTERNS), st.booleans(), votes)
def test_regex_agrees(data: Any, pattern: str, ignore_case: bool, vote: Any) -> None:
    assert agree(regex(pattern, ignore_case=ignore_case, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, st.integers(0, 9), st.integers(0, 9), st.integers(0, 40), votes)
def test_length_agrees(data: Any, low: int, more: int, size: int, vote: Any) -> None:
    assert agree(length(min_words=low, max_words=low + more, **vote), data)
    assert agree(length(min_characters=size, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, shares, st.integers(1, 3), st.sampled_from([(), ("the", "internationalisation")]), votes)
def test_overlap_agrees(data: Any, share: float, min_words: int, ignored: Any, vote: Any) -> None:
    assert agree(overlap(at_least=share, min_words=min_words, ignored=ignored, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, shares, st.integers(1, 3), votes)
def test_similarity_agrees(data: Any, share: float, n: int, vote: Any) -> None:
    assert agree(similarity(at_most=share, n=n, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, st.sampled_from(["context", ("context", "instruction")]), votes)
def test_numbers_missing_agrees(data: Any, other: Any, vote: Any) -> None:
    assert agree(numbers_missing(other=other, **vote), data)


@settings(deadline=None, max_examples=50)
@given(rows, st.sampled_from(["en", "de", ("de", "cyrillic"), "han"]), votes)
def test_language_agrees(data: Any, wanted: Any, vote: Any) -> None:
    assert agree(language(wanted, **vote), data)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(['{"a": 1}', " [1] ", "{}x", "{", "NaN", '{"a": "b"}', "\x0b{}", "1"]), min_size=1), votes
)
def test_matches_schema_agrees(responses: Any, vote: Any) -> None:
    data = [{"response": response} for response in responses]
    for schema in ({"a": int}, {"type": "array"}, {"type": ["number", "null"]}):
        assert agree(matches_schema(schema, **vote), data)


numbers = st.none() | st.integers(-3, 3) | st.sampled_from([1.5, float("nan"), float("inf")])
as_text = st.none() | st.sampled_from(["", "1", " 2 ", "1_0", "nan", "-3.5", "3e0", "three"])


@settings(deadline=None, max_examples=50)
@given(st.lists(numbers, min_size=1) | st.lists(as_text, min_size=1), st.integers(-3, 3), st.integers(0, 3), votes)
def test_field_between_agrees(values: Any, low: int, more: int, vote: Any) -> None:
    data = pl.DataFrame({"stars": values}, strict=False).to_dicts()
    assert agree(field_between("stars", at_least=low, at_most=low + more, **vote), data)
    assert agree(field_between("stars", at_least=low, **vote), data)
    assert agree(field_between("stars", at_most=low, **vote), data)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.none() | st.sampled_from(["a", "b", "\u017f"]), min_size=1),
    st.sets(st.sampled_from("ab"), min_size=1),
    votes,
)
def test_field_in_agrees(values: Any, wanted: Any, vote: Any) -> None:
    data = pl.DataFrame({"source": values}, schema={"source": pl.String}).to_dicts()
    assert agree(field_in("source", wanted, **vote), data)


@pytest.mark.parametrize(
    "function",
    [
        keyword(["sorry", "c++"], vote=REJECT),
        contains_any(["sorry", "\u2022"], vote=REJECT),
        regex(r"\bfees?\b", ignore_case=True, vote=REJECT),
        length(max_words=3, vote=REJECT),
        overlap(at_most=0.5, vote=REJECT),
        similarity(other="context", at_least=0.5, vote=REJECT),
        numbers_missing(other="context", vote=REJECT),
        language("en", vote=ACCEPT),
    ],
    ids=lambda function: function.name,
)
def test_ordinary_texts_are_decided_on_columns(function: Any) -> None:
    euro = "It\u2019s 5 \u20ac \u2013 \u201cna\u00efve\u201d caf\u00e9s."
    data = [
        {"context": euro, "response": "Sorry: \u2022 the fee is 5 \u20ac \u2764\ufe0f"},
        {"context": "", "response": ""},
        {"context": "Plain.", "response": "Plain\x1c text\n1. of 12 things."},
    ]
    assert None not in on_columns(function, data)


@pytest.mark.parametrize(
    "function",
    [
        keyword("fee", vote=REJECT),
        contains_any("fee", ignore_case=False, vote=REJECT),
        regex("fee", vote=REJECT),
        length(max_words=3, vote=REJECT),
        overlap(other="response", at_most=0.5, vote=REJECT),
        numbers_missing(other="response", vote=REJECT),
        language("en", vote=REJECT),
        matches_schema({"a": int}, vote=REJECT),
    ],
    ids=lambda function: function.name,
)
def test_missing_texts_are_left_to_python(function: Any) -> None:
    assert on_columns(function, [{"response": None}, {"response": "fee"}])[0] is None


def test_texts_beyond_the_ordinary_are_left_to_python() -> None:
    data = [{"response": "\u00bd fee"}, {"response": "fee"}]
    assert on_columns(keyword("fee", vote=REJECT), data) == [None, REJECT]


def test_words_are_compared_on_columns_whatever_the_script() -> None:
    hindi = "\u0928\u092e\u0938\u094d\u0924\u0947 \u00bd m\u00b2"
    data = [
        {"response": hindi, "context": "\u0928\u092e\u0938 m\u00b2"},
        {"response": "\U0001fae8 fee", "context": "fee"},
    ]
    function = overlap(at_least=0.5, vote=ACCEPT, otherwise=REJECT)
    assert on_columns(function, data) == [on_rows(function, data)[0], None]


def test_many_words_are_found_as_few_are() -> None:
    many = [f"word{i}" for i in range(300)]
    data = [{"response": text} for text in ("a word299.", "word2999", "WORD0", "none")]
    assert on_columns(keyword(many, vote=REJECT), data) == [REJECT, ABSTAIN, REJECT, ABSTAIN]
    assert on_columns(contains_any(many, vote=REJECT), data) == [REJECT, REJECT, REJECT, ABSTAIN]


def test_a_pattern_that_columns_cannot_run_says_so_and_runs_on_rows() -> None:
    function = regex(r"(\w+) \1", vote=REJECT)
    assert function.expression is None
    assert function.why_rows == "the pattern cannot run on columns: it refers back to a group"
    assert function(Example(response="the the fee")) == REJECT


# What functions mean


def said(function: Any, *responses: str, **columns: Any) -> list[Any]:
    return [function(Example(response=response, **columns)) for response in responses]


def test_keyword_finds_whole_words_in_any_case() -> None:
    assert said(keyword("fee", vote=REJECT), "A Fee.", "coffee", "fees", "fee_") == [REJECT, ABSTAIN, ABSTAIN, ABSTAIN]
    assert said(keyword("fee", whole_words=False, ignore_case=False, vote=REJECT), "coffee", "FEE") == [REJECT, ABSTAIN]


def test_keyword_finds_words_that_end_in_marks() -> None:
    assert said(keyword("C++", vote=REJECT), "In c++, say.", "c+++", "xc++ c++x") == [REJECT, REJECT, ABSTAIN]


def test_length_counts_words_and_characters_and_both_bounds_belong_to_it() -> None:
    assert said(length(min_words=2, max_words=3, vote=REJECT), "a", "a b", "a b c", "a b c d") == [-1, 0, 0, -1]
    assert said(length(max_characters=3, min_words=1, vote=REJECT), "abc", "abcd", "") == [0, -1, -1]


def test_overlap_is_the_share_of_different_words_without_little_ones() -> None:
    half = overlap(at_least=0.5, at_most=0.5, vote=ACCEPT, otherwise=REJECT)
    assert said(half, "the fee, the fee, the card", "a fee", context="A yearly FEE.") == [ACCEPT, REJECT]


def test_overlap_abstains_without_words() -> None:
    assert said(overlap(at_most=1, vote=REJECT, otherwise=ACCEPT), "", "the", context="fee") == [ABSTAIN, ABSTAIN]
    assert said(overlap(at_most=1, vote=REJECT, otherwise=ACCEPT), "fee", context="") == [ABSTAIN]
    assert said(overlap(at_most=1, min_words=2, vote=REJECT), "fee fee", context="fee") == [ABSTAIN]


def test_similarity_is_the_share_of_common_runs_of_words() -> None:
    third = similarity(n=2, at_least=0.33, at_most=0.34, vote=ACCEPT, otherwise=REJECT)
    assert said(third, "a b d", "a b c", "", instruction="A b c") == [ACCEPT, REJECT, REJECT]
    assert said(third, "a", instruction="b") == [ABSTAIN]


def test_numbers_missing_compares_values_and_skips_list_numbers() -> None:
    function = numbers_missing(vote=REJECT)
    assert said(function, "1000.0", "3. One:\n 4) 5.50", "51", context="$1,000", instruction="5.5?") == [-1, -1, 0]
    assert said(function, "51") == [ABSTAIN]


def test_matches_schema_takes_types_or_a_json_schema() -> None:
    typed = matches_schema({"fee": float, "tags": list}, vote=ACCEPT, otherwise=REJECT)
    assert said(typed, '{"fee": 1, "tags": []}', '{"fee": true, "tags": []}', '{"fee": 1}', "no") == [1, 0, 0, 0]
    schema = {
        "type": "array",
        "items": {"type": "object", "required": ["a"], "additionalProperties": False},
        "minItems": 1,
    }
    assert said(matches_schema(schema, vote=ACCEPT, otherwise=REJECT), '[{"a": 1}]', "[]", "[{}]", "[NaN]") == [
        0,
        0,
        0,
        0,
    ]
    schema = {"type": "array", "items": {"properties": {"a": {"enum": [1, "x"]}}, "required": ["a"]}, "minItems": 1}
    assert said(matches_schema(schema, vote=ACCEPT, otherwise=REJECT), '[{"a": 1}]', "[]", "[{}]", '[{"a": true}]') == [
        1,
        0,
        0,
        0,
    ]


def test_language_knows_scripts_and_abstains_in_doubt() -> None:
    german = "Die Karte ist nicht von der Bank und das ist so."
    function = language(["de", "cyrillic"], vote=ACCEPT, otherwise=REJECT)
    assert said(
        function, german, "\u041c\u043e\u0441\u043a\u0432\u0430", "It is what it is, and that is it.", "OK"
    ) == [1, 1, 0, -1]


def test_fields_are_compared_as_they_are() -> None:
    assert [field_in("n", [1, 2], vote=REJECT)(Example(n=n)) for n in (1, 3, "1", None)] == [0, -1, -1, -1]
    stars = field_between("n", at_least=2, vote=ACCEPT, otherwise=REJECT)
    assert [stars(Example(n=n)) for n in (2, 1.5, "3", "", None, float("nan"))] == [1, 0, 1, -1, -1, -1]


# What they are


def test_vote_none_makes_a_slicing_function() -> None:
    function = keyword("fee", column="instruction", vote=None)
    assert isinstance(function, SlicingFunction)
    assert function(Example(instruction="A fee?")) is True
    assert on_columns(function, [{"instruction": "A fee?"}, {"instruction": ""}]) == [True, False]


def test_names_and_docstrings_say_what_it_does() -> None:
    function = keyword(["sorry", "afraid", "regret", "alas"], vote=REJECT)
    assert function.name == "response_says_sorry"
    assert function.__doc__ == (
        "REJECT when response has 'sorry', 'afraid', 'regret' or 1 more as a whole word, otherwise ABSTAIN."
    )
    assert length(max_words=2, vote=None).__doc__ == "Examples where response has at most 2 words."
    assert keyword("fee", vote=REJECT, name="fees").name == "fees"


def test_thresholds_are_resources_so_that_versions_differ() -> None:
    one, other = length(max_words=2, vote=REJECT), length(max_words=3, vote=REJECT)
    assert one._resources["words"] == (None, 2)
    assert code_hash(one) == code_hash(length(max_words=2, vote=REJECT, name="short")) != code_hash(other)


@pytest.mark.parametrize("vote", [REJECT, None])
def test_pickles_with_its_expression(vote: int | None) -> None:
    again = pickle.loads(pickle.dumps(keyword("fee", vote=vote)))
    data = [{"response": "fee"}, {"response": "none"}]
    assert (
        on_columns(again, data)
        == on_rows(again, data)
        == [True if vote is None else REJECT, False if vote is None else -1]
    )


def test_belongs_to_the_module_that_asked_for_it_and_knows_its_columns() -> None:
    function: Any = overlap(at_most=0.5, vote=REJECT)
    assert function.__module__ == __name__
    assert function.columns == {"response", "context"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keyword([], vote=REJECT), r"keyword got the words \[\]; a text or a list of texts"),
        (lambda: keyword("fee", vote=2), "got vote=2; expected ACCEPT, REJECT, or None"),
        (
            lambda: keyword("fee", vote=REJECT, otherwise=REJECT),
            "got otherwise=0; expected ABSTAIN, or the vote that is",
        ),
        (lambda: keyword("fee", vote=None, otherwise=REJECT), "is a slicing function"),
        (lambda: keyword("fee", vote=REJECT, column=""), "got the column ''"),
        (lambda: regex("(", vote=REJECT), r"regex got '\(', which is no regular expression: missing \)"),
        (lambda: regex(re.compile(b"a"), vote=REJECT), "a pattern for text is expected"),  # type: ignore[arg-type]
        (lambda: length(vote=REJECT), "length got no bound; one of min_words"),
        (lambda: length(min_words=3, max_words=2, vote=REJECT), "min_words=3 and max_words=2: nothing lies between"),
        (lambda: overlap(at_most=50, vote=REJECT), "overlap got at_most=50; a number from 0 to 1 is"),
        (
            lambda: overlap(at_most=1, ignored=["two words"], vote=REJECT),
            "overlap got 'two words' among the words to ignore",
        ),
        (lambda: similarity(n=0, at_least=0.5, vote=REJECT), "similarity got n=0"),
        (lambda: field_in("n", "abc", vote=REJECT), "field_in got the values 'abc'; a list"),
        (lambda: field_between("n", vote=REJECT), "field_between got no bound; at_least, at_most or both"),
        (lambda: matches_schema({"typ": "object"}, vote=REJECT), "the schema has 'typ'.*did you mean 'type'"),
        (lambda: matches_schema({"a": set}, vote=REJECT), "the schema has the type set"),
        (lambda: numbers_missing(other=[], vote=REJECT), "numbers_missing got the other columns"),
        (lambda: keyword(None, vote=REJECT), "keyword got the words None; a text or"),  # type: ignore[arg-type]
        (lambda: keyword([["a"]], vote=REJECT), r"keyword got the words \[\['a'\]\]"),  # type: ignore[list-item]
        (lambda: field_in("s", 5, vote=REJECT), "field_in got the values 5; a list"),  # type: ignore[arg-type]
        (lambda: overlap(at_most=1, min_words="a", vote=REJECT), "overlap got min_words='a'"),  # type: ignore[arg-type]
        (lambda: overlap(at_most=1, ignored=[5], vote=REJECT), r"overlap got ignored=\[5\]"),  # type: ignore[list-item]
        (lambda: overlap(at_most=1, ignored="the", vote=REJECT), "overlap got ignored='the'; a list of words"),
        (lambda: keyword("fee", vote=[0]), r"got vote=\[0\]; expected ACCEPT"),  # type: ignore[arg-type]
        (lambda: keyword("fee", vote=0, otherwise=[1]), r"got otherwise=\[1\]; expected"),  # type: ignore[arg-type]
        (lambda: length(max_words=-1, vote=REJECT), "length got max_words=-1; a number from 0 on is expected"),
        (lambda: keyword("fee", vote=REJECT, name=5), "got name=5; a text is expected"),  # type: ignore[arg-type]
        (lambda: language("english", vote=REJECT), "codes such as 'en' or scripts such as 'cyrillic' are meant: "),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(FunctionError, match=message):
        make()
