"""What declarative functions ask of a row, each question in two forms: of one row in Python, of columns in polars.

The first form takes the row and the settings and returns the vote. The second takes the settings and returns an
expression of small integers: 1 where the condition is met, 0 where it is not, -1 where it says nothing, null where only
the first form can tell. Tests hold the two together.
"""

import math
import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from weaklm import columns
from weaklm.columns import ordinary
from weaklm.data import ABSTAIN
from weaklm.dialect import WORD, literal
from weaklm.schemas import conforms, read_json

if TYPE_CHECKING:
    import polars as pl

Vote = int | bool
Values = tuple[str | int | float | bool, ...]
Bounds = tuple[float | None, float | None]  # the least and the most, either of which may be open
OPEN: Bounds = (None, None)


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


def where(condition: "pl.Expr", then: "pl.Expr") -> "pl.Expr":
    """Return an expression where a condition holds, null elsewhere."""
    import polars as pl

    return pl.when(condition).then(then)


def unless_silent(says_something: "pl.Expr", found: "pl.Expr") -> "pl.Expr":
    """Return 1 where a condition is met, 0 where it is not, -1 where it says nothing."""
    import polars as pl

    return pl.when(says_something).then(found.cast(pl.Int8)).otherwise(pl.lit(-1, pl.Int8))


def column_of(name: str) -> "pl.Expr":
    """Return the column of that name."""
    import polars as pl

    return pl.col(name)


def is_within(value: float, bounds: Bounds) -> bool:
    """Tell whether a value is neither below nor above its bounds."""
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


def within(values: "pl.Expr", bounds: Bounds) -> "pl.Expr":
    """Return whether values are neither below nor above their bounds, of which there is one at least."""
    low, high = bounds
    asked = [values >= low] if low is not None else []
    asked += [values <= high] if high is not None else []
    return asked[0].and_(*asked[1:])


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
    text = column_of(column).str.to_lowercase() if ignore_case else column_of(column)
    found = _whole_words_in(text, sought) if whole_words else columns.contains_any(text, sought)
    if not (ignore_case or whole_words):
        return found  # the bytes of one text in those of another: alike for every character
    return where(ordinary(column_of(column)), found)


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
    return where(ordinary(column_of(column)), columns.search(column_of(column), pattern, flags))


# Sizes and fields


def has_length(x: Any, *, column: str, words: Bounds, characters: Bounds, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when the number of words and of characters of a text are within bounds."""
    text = x[column]
    is_met = is_within(len(text), characters) and (words == OPEN or is_within(len(text.split()), words))
    return voted(is_met, vote, otherwise)


def has_length_column(column: str, words: Bounds, characters: Bounds) -> "pl.Expr":
    """Return :func:`has_length` for a column."""
    sizes = [(columns.n_words(column_of(column)), words), (column_of(column).str.len_chars(), characters)]
    asked = [within(size, bounds) for size, bounds in sizes if bounds != OPEN]
    return asked[0].and_(*asked[1:])


def is_in(x: Any, *, column: str, values: Values, vote: Vote, otherwise: Vote) -> Vote:
    """Vote when a field has one of the values."""
    return voted(x[column] in values, vote, otherwise)


def is_in_column(column: str, values: Values) -> "pl.Expr":
    """Return :func:`is_in` for a column; the values are of one type."""
    return column_of(column).is_in(list(values)).fill_null(False)


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

    return column_of(column).map_batches(partial(_said_between, bounds), return_dtype=pl.Int8, is_elementwise=True)


def _said_between(bounds: Bounds, values: "pl.Series") -> "pl.Series":
    import polars as pl

    if values.dtype == pl.String:
        distinct = values.unique()
        numbers = pl.Series([_number(text) for text in distinct], dtype=pl.Float64)
        values = values.replace_strict(distinct, numbers, return_dtype=pl.Float64)
    value = pl.col("value")
    says_something = value.is_not_null() & value.is_not_nan() if values.dtype.is_float() else value.is_not_null()
    found = unless_silent(says_something, within(value, bounds))
    return pl.DataFrame({"value": values}).select(found.alias(values.name)).to_series()


# Forms


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
        return where(column_of(column).is_null(), pl.lit(None, pl.Int8))
    text = column_of(column).str.strip_chars(" \t\n\r")
    return where(~(text.str.starts_with(marks[0]) & text.str.ends_with(marks[1])), pl.lit(0, pl.Int8))
