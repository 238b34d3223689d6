"""Words as numbers: as many, and as different, as Python's."""

import re

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.wordkeys import Table, count_words, forget, stretches, word_keys, word_sets

LONG = [
    "internationalisation",
    "internationalisations",
    "exactly8",
    "exactly8x",
    "\u6771\u4eac\u90fd\u5e81",
    "na\u00efvet\u00e9s",
]
MARKS = [" ", "\n", ", ", "\u2019", "\xa0", "\u2003", "\x1c", "_", "\U0001f44d", ""]
token = st.sampled_from(["a", "fee", "FEE", "x1", *LONG]) | st.text(max_size=3)
texts = st.lists(
    st.lists(st.tuples(token, st.sampled_from(MARKS)), max_size=8).map(lambda p: "".join(map("".join, p))), max_size=12
)


def series(values: list[str]) -> pl.Series:
    return pl.Series("text", values, dtype=pl.String)


@settings(deadline=None, max_examples=50)
@given(texts)
def test_equal_numbers_are_equal_words(values: list[str]) -> None:
    words = [re.findall(r"\w+", text.lower()) for text in values]
    keys = word_keys(series(values)).to_list()
    assert list(map(len, keys)) == list(map(len, words))
    pairs = {
        (word, key) for found, theirs in zip(words, keys, strict=True) for word, key in zip(found, theirs, strict=True)
    }
    assert len(pairs) == len({word for word, _ in pairs}) == len({key for _, key in pairs})


@settings(deadline=None, max_examples=50)
@given(texts, st.integers(1, 3), st.sampled_from([(), ("a",), ("fee", "internationalisation")]))
def test_sets_hold_each_run_of_words_once(values: list[str], n: int, without: tuple[str, ...]) -> None:
    words = [[word for word in re.findall(r"\w+", text.lower()) if word not in without] for text in values]
    expected = [len(set(zip(*(found[i:] for i in range(n)), strict=False))) for found in words]
    assert word_sets(series(values), n=n, without=without).list.len().to_list() == expected


def test_words_do_not_run_on_from_one_text_to_the_next() -> None:
    assert word_keys(series(["fee", "fee", "", "x"])).list.len().to_list() == [1, 1, 0, 1]
    assert count_words(series(["fee", "fee", " ", "x"])).to_list() == [1, 1, 0, 1]


def test_no_text_and_missing_texts_have_no_words() -> None:
    assert word_keys(series([])).to_list() == count_words(series([])).to_list() == []
    assert word_keys(pl.Series([None, "a"])).list.len().to_list() == [0, 1]
    assert count_words(pl.Series([None, "a"])).to_list() == [None, 1]


def test_a_part_of_a_column_has_its_own_words() -> None:
    column = series([f"word{i} " * i for i in range(50)])
    assert count_words(column[20:25]).to_list() == [20, 21, 22, 23, 24]
    assert word_keys(column[20:25]).list.len().to_list() == [20, 21, 22, 23, 24]


def test_stretches_hold_every_word_of_every_text_once() -> None:
    words = word_keys(series(["a " * n for n in (70_000, 0, 70_000, 3, 0, 200_000, 0)]))
    found = list(stretches(words))
    assert len(found) > 1
    assert [size for _, sizes in found for size in sizes] == words.list.len().to_list()
    assert [len(keys) for keys, _ in found] == [sum(sizes) for _, sizes in found]


def test_remembered_words_are_those_of_the_same_texts() -> None:
    assert word_keys(series(["a b"])).list.len().to_list() == [2]
    assert word_keys(series(["a c"])).to_list() != word_keys(series(["a b"])).to_list()
    assert [word_sets(series(["a b a"]), n=n).list.len().to_list() for n in (1, 2, 3)] == [[2], [2], [1]]


def test_words_can_be_forgotten() -> None:
    column = series(["a b"])
    assert word_keys(column) is word_keys(column)
    before = word_keys(column)
    forget()
    assert word_keys(column) is not before


def test_a_table_finds_its_words_and_no_others() -> None:
    known = tuple(f"word{i}" for i in range(2_000))
    keys = word_keys(series(["word7 word1999 word2000 other", " ".join(known)])).explode().to_numpy()
    assert Table.of(known).places(keys).tolist() == [7, 1999, -1, -1, *range(2_000)]
