"""Reading texts as arrays: the words are those of weaklm.text, whatever the bytes and in whatever thread."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.features.corpus import Vocabulary, Weights
from weaklm.features.keyed import Facts, found_in, keys_of, sorted_distinct
from weaklm.features.spans import Spans
from weaklm.features.wordfacts import DENIAL, side_of
from weaklm.text import names, numbers, sentence_words, stem, terms, words

PIECES = [
    *"aU\u00e9\u4f6012,.!?:;()'\"\u201d\u2019_-$%\t\n\x02\x01",
    " ",
    " ",
    " The",
    "5th",
    "1,000",
    ". ",
    "\n",
    "\n- ",
    "e.g. ",
    "\u00a0",
    "\ud800",
]
# After an item of a list that ends its line, weaklm.text takes the number of the next item for a word.
ITEM_AFTER_ITEM = re.compile(r"[0-9]{1,2}[.)]\s+\(?[0-9]{1,2}[.)]\s")


def read(*texts: str) -> dict[str, list[Any]]:
    """Return the stems, terms, numbers, names and numbers of words of each sentence, for each text."""
    vocabulary = Vocabulary()
    reading = vocabulary.read(texts)
    table, found = reading.tables[0], np.array([*vocabulary.names(reading.stems), ""])[reading.tables[0].stem]
    flags = {
        "words": np.ones(len(found), bool),
        "terms": table.is_term,
        "numbers": table.is_number,
        "names": table.is_name,
    }
    own = [table.text == at for at in range(len(texts))]
    parts: dict[str, list[Any]] = {name: [found[of & flag].tolist() for of in own] for name, flag in flags.items()}
    parts["sentences"] = [np.unique(table.sentence[of], return_counts=True)[1].tolist() for of in own]
    return parts


def expected(*texts: str) -> dict[str, list[Any]]:
    """Return the same by weaklm.text."""
    return {
        "words": [[stem(word) for word in words(text)] for text in texts],
        "terms": [list(terms(text)) for text in texts],
        "numbers": [list(numbers(text)) for text in texts],
        "names": [[term for name in names(text) for term in terms(name)] for text in texts],
        "sentences": [[len(sentence) for sentence in sentence_words(text)] for text in texts],
    }


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), min_size=1, max_size=8))
def test_words_are_those_of_weaklm_text(texts: list[str]) -> None:
    texts = ["" if ITEM_AFTER_ITEM.search(text) else text.replace("\x02", "\x01") for text in texts]
    assert read(*texts) == expected(*texts)


def test_a_text_with_the_separator_in_it_is_one_text() -> None:
    assert read("A\x02fee", "card")["words"] == [["a", "fee"], ["card"]]


def test_an_item_after_an_item_is_no_word() -> None:
    assert read("1. Pay (5)\n2. Go")["words"] == [["pay", "go"]]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("$5 a month", ["$"]),
        ("5 dollars", ["$"]),
        ("95% of 30 days", ["%", "day"]),
        ("It is 5. Days pass", [""]),
        ("\u20ac 7", ["\u20ac"]),
        ("a 30-day limit", ["day"]),
    ],
)
def test_numbers_have_the_unit_beside_them(text: str, units: list[str]) -> None:
    vocabulary = Vocabulary()
    table = vocabulary.read([text]).tables[0]
    named = {"$": "$1", "%": "1%", "day": "1 day", "\u20ac": "\u20ac1", "": "1"}
    wanted = [vocabulary.read([named[unit]]).tables[0].unit[0] for unit in units]
    assert table.unit[table.is_number].tolist() == wanted


def test_opposites_take_opposite_sides() -> None:
    table = Vocabulary().read(["before AFTER fee n't"]).tables[0]
    before, after, fee, *_ = side_of(table.facts)
    assert (before, after, fee) == (2, -2, 0)
    assert table.is_kind(DENIAL).tolist() == [False, False, False, False, True]


def test_many_threads_read_the_same_words() -> None:
    texts = [[f"word{i} of {k} and the{i % 7}th" for i in range(200)] for k in range(40)]
    shared = Vocabulary()
    with ThreadPoolExecutor(4) as pool:
        readings = list(pool.map(shared.read, texts))
    for listed, reading in zip(texts, readings, strict=True):
        alone = Vocabulary()
        again = alone.read(listed)
        assert reading.tables[0].stem.tolist() == again.tables[0].stem.tolist()
        assert shared.names(reading.stems) == alone.names(again.stems)


def test_weights_are_whole_millionths_and_unknown_stems_have_theirs() -> None:
    vocabulary = Vocabulary()
    weights = Weights(vocabulary, {"fee": 1.2345678}, unknown=3.0)
    assert weights.of(vocabulary.read(["The fee"]).stems).tolist() == [3000000, 1234568]
    assert weights.of(vocabulary.read(["bonus fee"]).stems).tolist() == [3000000, 1234568]


def test_facts_are_found_out_once_for_each_key() -> None:
    facts, asked = Facts(), []

    def find_out(places: np.ndarray) -> list[int]:
        asked.append(len(places))
        return [int(keys[place]) % 1000 for place in places]

    rng = np.random.default_rng(0)
    for n in (10, 10_000, 100_000):
        keys = rng.integers(0, 50_000, n).astype(np.uint64) * np.uint64(1 << 40)
        assert facts.of(keys, find_out).tolist() == [int(key) % 1000 for key in keys]
    assert sum(asked) == facts.n
    facts.of(keys, find_out)
    assert len(asked) == 3


def test_keys_find_and_sort() -> None:
    keys = keys_of(np.array([1, 0, 1]), np.array([7, 7, 7]))
    assert found_in(keys, keys[:1]).tolist() == [True, False, True]
    assert sorted_distinct(np.array([3, 1, 3])).tolist() == [1, 3]


HOSTILE = [
    "1" * 50_000,
    "1,2." * 20_000,
    "a" * 50_000,
    " \n" * 50_000,
    "- 7) " * 20_000,
    "!" * 50_000,
    "\u00e9." * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:4]))
def test_long_monotonous_texts_are_read_like_others(text: str) -> None:
    assert read(text) == expected(text)


def test_bytes_of_words_are_found_in_random_texts() -> None:
    chosen = random.Random(0)
    texts = ["".join(chosen.choices("ab1 .\u00e9", k=50)) for _ in range(50)]
    spans = Spans.of(texts)
    found = [spans.raw[a:b].decode() for a, b in zip(spans.begins, spans.ends, strict=True)]
    assert found == [word for text in texts for word in re.findall(r"[0-9]+(?:[.,][0-9]+)*|[^\W_]+", text)]
    assert spans.counts.sum() == len(found)
