"""What declarative functions ask of the words and numbers of texts, each question in two forms as in ``conditions``.

Words are those of ``re.findall(r"\\w+", text.lower())``.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weaklm.columns import assigned
from weaklm.conditions import Bounds, Vote, column_of, is_within, unless_silent, voted, where, within
from weaklm.languages import LETTERS, PROFILES, is_clear, language_of
from weaklm.text import normal
from weaklm.wordkeys import Table, stretches, word_keys, word_sets

if TYPE_CHECKING:
    import polars as pl

LANGUAGES = (*PROFILES, *LETTERS)  # codes of languages in Latin letters, and other scripts


# Comparisons of two texts


def overlaps(
    x: Any,
    *,
    column: str,
    other: str,
    share: Bounds,
    min_words: int,
    ignored: frozenset[str],
    vote: Vote,
    otherwise: Vote,
) -> Vote:
    """Vote when the share of the words of one text that the other has is within bounds.

    Nothing is said where the one has fewer than ``min_words`` different words, or the other has none.
    """
    own, known = _words(x[column]) - ignored, _words(x[other])
    if not known or len(own) < min_words:
        return voted(None, vote, otherwise)
    return voted(is_within(len(own & known) / len(own), share), vote, otherwise)


@lru_cache(maxsize=64)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


_WORD = re.compile(r"\w+")


def overlaps_column(column: str, other: str, share: Bounds, min_words: int, ignored: frozenset[str]) -> "pl.Expr":
    """Return :func:`overlaps` for columns."""
    return _compared(column, other, partial(_said_of_overlap, share, min_words, tuple(sorted(ignored))))


def _said_of_overlap(
    share: Bounds, min_words: int, ignored: tuple[str, ...], texts: "Sequence[pl.Series]"
) -> "pl.Series":
    own, known = word_sets(texts[0], without=ignored), word_keys(texts[1])
    n_own, n_both = own.list.len(), own.list.set_intersection(known).list.len()
    return _said_of_share(n_both, n_own, (n_own >= min_words) & (known.list.len() > 0), share)


def _said_of_share(part: "pl.Series", whole: "pl.Series", says_something: "pl.Series", share: Bounds) -> "pl.Series":
    import polars as pl

    table = pl.DataFrame({"part": part, "whole": whole, "says": says_something})
    return table.select(said=unless_silent(pl.col("says"), within(pl.col("part") / pl.col("whole"), share)))["said"]


def _compared(column: str, other: str, said: Callable[["Sequence[pl.Series]"], "pl.Series"]) -> "pl.Expr":
    """Return what is said of two columns of texts."""
    import polars as pl

    texts = column_of(column), column_of(other)
    return where(
        assigned(texts[0]) & assigned(texts[1]), pl.map_batches(texts, said, return_dtype=pl.Int8, is_elementwise=True)
    )


def is_similar(x: Any, *, column: str, other: str, n: int, similarity: Bounds, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when the Jaccard similarity of the runs of n words of two texts is within bounds.

    Nothing is said where neither has such a run.
    """
    a, b = _runs(x[column], n), _runs(x[other], n)
    n_all = len(a | b)
    return voted(is_within(len(a & b) / n_all, similarity) if n_all else None, vote, otherwise)


@lru_cache(maxsize=64)
def _runs(text: str, n: int) -> frozenset[tuple[str, ...]]:
    found = _WORD.findall(text.lower())
    return frozenset(zip(*(found[i:] for i in range(n)), strict=False))


def is_similar_column(column: str, other: str, n: int, similarity: Bounds) -> "pl.Expr":
    """Return :func:`is_similar` for columns."""
    return _compared(column, other, partial(_said_of_similarity, n, similarity))


def _said_of_similarity(n: int, similarity: Bounds, texts: "Sequence[pl.Series]") -> "pl.Series":
    a, b = (word_sets(text, n=n) for text in texts)
    n_both = a.list.set_intersection(b).list.len()
    n_all = a.list.len() + b.list.len() - n_both
    return _said_of_share(n_both, n_all, n_all > 0, similarity)


def lacks_number(x: Any, *, column: str, others: tuple[str, ...], vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a text has a number that none of the others has; nothing is said where all the others are blank."""
    texts = [x[other] for other in others]
    if not any(text.strip() for text in texts):
        return voted(None, vote, otherwise)
    return voted(not _numbers(x[column]) <= frozenset().union(*map(_numbers, texts)), vote, otherwise)


# The number of a list item is none of the text.
_NUMBER = r"(?m:^)[ \t]*[0-9]{1,2}[.)][ \t]|[0-9]+(?:[.,][0-9]+)*"


@lru_cache(maxsize=64)
def _numbers(text: str) -> frozenset[str]:
    return frozenset(normal(found) for found in re.findall(_NUMBER, text) if found[-1].isdecimal())


def lacks_number_column(column: str, others: tuple[str, ...]) -> "pl.Expr":
    """Return :func:`lacks_number` for columns."""
    import polars as pl

    own = column_of(column)
    has_number = own.str.contains("[0-9]")
    known = pl.concat_list([_numbers_column(where(has_number, column_of(other)).fill_null("")) for other in others])
    lacks = _numbers_column(where(has_number, own).fill_null("")).list.set_difference(known).list.len() > 0
    texts = [column_of(other).str.contains(r"[^\s\x1c-\x1f]") for other in others]
    is_there = pl.all_horizontal(*(column_of(name).is_not_null() for name in (column, *others)))
    return where(is_there, unless_silent(texts[0].or_(*texts[1:]), lacks))


def _numbers_column(text: "pl.Expr") -> "pl.Expr":
    import polars as pl

    found = text.str.extract_all(_NUMBER)
    return found.map_batches(_normal_numbers, return_dtype=pl.List(pl.String()), is_elementwise=True)


def _normal_numbers(found: "pl.Series") -> "pl.Series":
    import polars as pl

    distinct = found.explode().drop_nulls().unique()
    said = pl.Series([normal(one) if one[-1].isdecimal() else None for one in distinct], dtype=pl.String)
    replaced = pl.element().replace_strict(distinct, said, default=None, return_dtype=pl.String).drop_nulls()
    return found.list.eval(replaced)


# Languages


def is_in_language(x: Any, *, column: str, languages: tuple[str, ...], vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a text is in one of the languages or scripts; nothing is said where its language is in doubt."""
    found = language_of(x[column])
    return voted(found in languages if found else None, vote, otherwise)


def is_in_language_column(column: str, languages: tuple[str, ...]) -> "pl.Expr":
    """Return :func:`is_in_language` for a column; only Python tells about texts with letters that are not Latin."""
    import polars as pl

    text = column_of(column)
    said = text.map_batches(partial(_said_of_language, languages), return_dtype=pl.Int8, is_elementwise=True)
    return where(assigned(text), said)


def _said_of_language(languages: tuple[str, ...], texts: "pl.Series") -> "pl.Series":
    """Return whether texts are in one of the languages: 1, 0, -1 in doubt, null for those with other letters."""
    import polars as pl

    listed = tuple(sorted(frozenset().union(*PROFILES.values())))
    is_member = np.array([[word in profile for word in listed] for profile in PROFILES.values()])
    is_wanted = np.isin(list(PROFILES), languages)
    said = [np.zeros(0, dtype=np.int8)]
    for keys, sizes in stretches(word_keys(texts)):
        counts = _counts(Table.of(listed).places(keys), np.repeat(np.arange(len(sizes)), sizes), is_member, len(sizes))
        order = np.argsort(-counts, axis=1, kind="stable")[:, :2]
        most, second = np.take_along_axis(counts, order, axis=1).T
        said.append(np.where(is_clear(most, second, sizes), is_wanted[order[:, 0]], -1).astype(np.int8))
    beyond_ascii = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    has_others = texts.gather(beyond_ascii).str.contains(f"[{''.join(LETTERS.values())}]")
    return pl.Series(texts.name, np.concatenate(said)).scatter(beyond_ascii.filter(has_others), None)


def _counts(places: NDArray[np.int64], text: NDArray[np.int64], is_member: NDArray[np.bool_], n: int) -> Any:
    """Return how many words of each of n texts are members of each list, given the place of each word among all."""
    text, places = text[places >= 0], places[places >= 0]
    n_lists = len(is_member)
    counts = np.zeros(n * n_lists, dtype=np.int64)
    nth = np.cumsum(is_member, axis=0) * is_member  # for each word: its first list, its second list ...
    for i in range(1, int(nth.max()) + 1):
        has_one = (nth == i).any(axis=0)[places]
        counts += np.bincount(
            text[has_one] * n_lists + np.argmax(nth == i, axis=0)[places[has_one]], minlength=len(counts)
        )
    return counts.reshape(n, n_lists)
