"""What declarative functions ask of a row, each question in two forms: of one row in Python, of columns in polars.

The first form takes the row and the settings and returns the vote. The second takes the settings and returns an
expression of small integers: 1 where the condition is met, 0 where it is not, -1 where it says nothing, null where only
the first form can tell. Tests hold the two together.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weaklm import columns
from weaklm.columns import assigned, ordinary
from weaklm.data import ABSTAIN
from weaklm.dialect import WORD, literal
from weaklm.languages import _LETTERS, _MIN_FOUND, _MIN_LEAD, _MIN_SHARE, _PROFILES, LATIN, script_of
from weaklm.schemas import conforms, read_json
from weaklm.text import normal
from weaklm.wordkeys import Table, stretches, word_keys, word_sets

if TYPE_CHECKING:
    import polars as pl

Vote = int | bool
LANGUAGES = (*_PROFILES, *_LETTERS)  # codes of languages in Latin letters, and other scripts
Values = tuple[str | int | float | bool, ...]


def voted(is_met: bool | None, vote: Vote, otherwise: Vote) -> Vote:
    """Return the vote where a condition is met; None abstains, or is no member of a slice."""
    if is_met is None:
        return False if vote is True else ABSTAIN
    return vote if is_met else otherwise


def votes(found: "pl.Expr", vote: Vote, otherwise: Vote) -> "pl.Expr":
    """Return the votes of a column of integers: 1 is met, 0 is not, -1 says nothing; null stays null."""
    import polars as pl

    kind = pl.Boolean if vote is True else pl.Int8
    said = [vote, otherwise, voted(None, vote, otherwise)]
    return found.cast(pl.Int8).replace_strict([1, 0, -1], said, default=None, return_dtype=kind)


def _where(condition: "pl.Expr", then: "pl.Expr") -> "pl.Expr":
    import polars as pl

    return pl.when(condition).then(then)


def _unless_silent(says_something: "pl.Expr", found: "pl.Expr") -> "pl.Expr":
    import polars as pl

    return pl.when(says_something).then(found.cast(pl.Int8)).otherwise(pl.lit(-1, pl.Int8))


def _column(name: str) -> "pl.Expr":
    import polars as pl

    return pl.col(name)


def _within(values: "pl.Expr", low: float | None, high: float | None) -> "pl.Expr":
    bounds = [values >= low] if low is not None else []
    bounds += [values <= high] if high is not None else []
    return bounds[0].and_(*bounds[1:])


# Words and patterns


def says(
    x: Any, *, column: str, sought: tuple[str, ...], whole_words: bool, ignore_case: bool, vote: Vote, otherwise: Vote
) -> Vote:
    """Vote when a text has one of the texts that are sought, which are in lower case where case is ignored."""
    text = x[column].lower() if ignore_case else x[column]
    if whole_words:
        return voted(_whole_word(sought).search(text) is not None, vote, otherwise)
    return voted(any(one in text for one in sought), vote, otherwise)


@lru_cache(maxsize=256)
def _whole_word(sought: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sought))})(?!\w)")


def says_column(column: str, sought: tuple[str, ...], whole_words: bool, ignore_case: bool) -> "pl.Expr":
    """Return :func:`says` for a column."""
    text = _column(column).str.to_lowercase() if ignore_case else _column(column)
    found = _whole_words_in(text, sought) if whole_words else columns.contains_any(text, sought)
    if not (ignore_case or whole_words):
        return found  # the bytes of one text in those of another: alike for every character
    return _where(ordinary(_column(column)), found)


_TOGETHER = 48  # words that the regex engine looks for with a few vector instructions


def _whole_words_in(text: "pl.Expr", sought: tuple[str, ...]) -> "pl.Expr":
    r"""Return whether a text has one of the texts with no ``\w`` before and after it."""
    plain = [one for one in sought if re.fullmatch(r"\w(?:.*\w)?", one, re.DOTALL)]
    parts = [plain[start : start + _TOGETHER] for start in range(0, len(plain), _TOGETHER)]
    found = [text.str.contains(rf"\b(?:{'|'.join(map(literal, part))})\b") for part in parts]
    # Beside "c++" there is no \b to ask for.
    found += [text.str.contains(rf"(?:\A|[^{WORD}]){literal(o)}(?:[^{WORD}]|\z)") for o in sought if o not in plain]
    return found[0].or_(*found[1:])


def matches(x: Any, *, column: str, pattern: str, flags: int, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when ``re.search`` finds the pattern in a text."""
    return voted(re.search(pattern, x[column], flags) is not None, vote, otherwise)


def matches_column(column: str, pattern: str, flags: int) -> "pl.Expr":
    """Return :func:`matches` for a column; Unportable where the engine of columns lacks what the pattern uses."""
    return _where(ordinary(_column(column)), columns.search(_column(column), pattern, flags))


# Sizes and fields

Bounds = tuple[float | None, float | None]  # the least and the most, either of which may be open
OPEN: Bounds = (None, None)


def is_within(value: float, bounds: Bounds) -> bool:
    """Tell whether a value is neither below nor above its bounds."""
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


def has_length(x: Any, *, column: str, words: Bounds, characters: Bounds, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when the number of words and of characters of a text are within bounds."""
    text = x[column]
    is_met = is_within(len(text), characters) and (words == OPEN or is_within(len(text.split()), words))
    return voted(is_met, vote, otherwise)


def has_length_column(column: str, words: Bounds, characters: Bounds) -> "pl.Expr":
    """Return :func:`has_length` for a column."""
    sizes = [(columns.n_words(_column(column)), words), (_column(column).str.len_chars(), characters)]
    asked = [_within(size, *bounds) for size, bounds in sizes if bounds != OPEN]
    return asked[0].and_(*asked[1:])


def is_in(x: Any, *, column: str, values: Values, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a field has one of the values."""
    return voted(x[column] in values, vote, otherwise)


def is_in_column(column: str, values: Values) -> "pl.Expr":
    """Return :func:`is_in` for a column; the values are of one type."""
    return _column(column).is_in(list(values)).fill_null(False)


def is_between(x: Any, *, column: str, bounds: Bounds, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a field is a number within bounds; nothing is said of what is no number."""
    value = _number(x[column])
    return voted(None if value is None else is_within(value, bounds), vote, otherwise)


def _number(value: Any) -> float | None:
    """Return a number, also one that a CSV file gave as text; None for anything else, NaN included."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    is_number = isinstance(value, int | float) or (hasattr(value, "dtype") and value.dtype.kind in "biuf")
    return value if is_number and not math.isnan(value) else None


def is_between_column(column: str, bounds: Bounds) -> "pl.Expr":
    """Return :func:`is_between` for a column, of whichever type it turns out to be."""
    import polars as pl

    return _column(column).map_batches(partial(_said_between, bounds), return_dtype=pl.Int8, is_elementwise=True)


def _said_between(bounds: Bounds, values: "pl.Series") -> "pl.Series":
    import polars as pl

    if values.dtype == pl.String:
        distinct = values.unique()
        numbers = pl.Series([_number(text) for text in distinct], dtype=pl.Float64)
        values = values.replace_strict(distinct, numbers, return_dtype=pl.Float64)
    value = pl.col("value")
    says_something = value.is_not_null() & value.is_not_nan() if values.dtype.is_float() else value.is_not_null()
    found = _unless_silent(says_something, _within(value, *bounds))
    return pl.DataFrame({"value": values}).select(found.alias(values.name)).to_series()


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
    return table.select(said=_unless_silent(pl.col("says"), _within(pl.col("part") / pl.col("whole"), *share)))["said"]


def _compared(column: str, other: str, said: Callable[["Sequence[pl.Series]"], "pl.Series"]) -> "pl.Expr":
    """Return what is said of two columns of texts."""
    import polars as pl

    texts = _column(column), _column(other)
    return _where(
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

    own = _column(column)
    has_number = own.str.contains("[0-9]")
    known = pl.concat_list([_numbers_column(_where(has_number, _column(other)).fill_null("")) for other in others])
    lacks = _numbers_column(_where(has_number, own).fill_null("")).list.set_difference(known).list.len() > 0
    texts = [_column(other).str.contains(r"[^\s\x1c-\x1f]") for other in others]
    return _unless_silent(texts[0].or_(*texts[1:]), lacks)


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


# Forms and languages


def fits_schema(x: Any, *, column: str, schema: dict[str, Any], vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a text is JSON and what the schema asks for."""
    try:
        value = read_json(x[column])
    except ValueError:
        return voted(False, vote, otherwise)
    return voted(conforms(value, schema), vote, otherwise)


def fits_schema_column(column: str, schema: dict[str, Any]) -> "pl.Expr":
    """Return :func:`fits_schema` for a column: false for what is no object or array by its first and last character."""
    import polars as pl

    marks = {"object": ("{", "}"), "array": ("[", "]")}.get(str(schema.get("type")))
    if marks is None:
        return _where(_column(column).is_null(), pl.lit(None, pl.Int8))
    text = _column(column).str.strip_chars(" \t\n\r")
    return _where(~(text.str.starts_with(marks[0]) & text.str.ends_with(marks[1])), pl.lit(0, pl.Int8))


def is_in_language(x: Any, *, column: str, languages: tuple[str, ...], vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a text is in one of the languages or scripts; nothing is said where its language is in doubt."""
    found = _language_of(x[column])
    return voted(found in languages if found else None, vote, otherwise)


@lru_cache(maxsize=64)
def _language_of(text: str) -> str:
    """Return the language of a text by its most frequent little words, its script if that is not Latin, "" in doubt."""
    script = script_of(text)
    if script != LATIN:
        return script
    said = _WORD.findall(text.lower())
    counts = [sum(word in listed for word in said) for listed in _PROFILES.values()]
    first, second = sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:2]
    return list(_PROFILES)[first] if _is_clear(counts[first], counts[second], len(said)) else ""


def _is_clear(most: Any, second: Any, n_words: Any) -> Any:
    return (most >= _MIN_FOUND) & (most >= _MIN_SHARE * n_words) & (most >= _MIN_LEAD * second)


def is_in_language_column(column: str, languages: tuple[str, ...]) -> "pl.Expr":
    """Return :func:`is_in_language` for a column; only Python tells about texts with letters that are not Latin."""
    import polars as pl

    text = _column(column)
    said = text.map_batches(partial(_said_of_language, languages), return_dtype=pl.Int8, is_elementwise=True)
    return _where(assigned(text), said)


def _said_of_language(languages: tuple[str, ...], texts: "pl.Series") -> "pl.Series":
    """Return whether texts are in one of the languages: 1, 0, -1 in doubt, null for those with other letters."""
    import polars as pl

    listed = tuple(sorted(frozenset().union(*_PROFILES.values())))
    is_member = np.array([[word in profile for word in listed] for profile in _PROFILES.values()])
    is_wanted = np.isin(list(_PROFILES), languages)
    said = [np.zeros(0, dtype=np.int8)]
    for keys, sizes in stretches(word_keys(texts)):
        counts = _counts(Table.of(listed).places(keys), np.repeat(np.arange(len(sizes)), sizes), is_member, len(sizes))
        order = np.argsort(-counts, axis=1, kind="stable")[:, :2]
        most, second = np.take_along_axis(counts, order, axis=1).T
        said.append(np.where(_is_clear(most, second, sizes), is_wanted[order[:, 0]], -1).astype(np.int8))
    beyond_ascii = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    has_others = texts.gather(beyond_ascii).str.contains(f"[{''.join(_LETTERS.values())}]")
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


def columns_of(settings: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns that the settings of a function name."""
    others = settings.get("others", (settings["other"],) if "other" in settings else ())
    return settings["column"], *others
