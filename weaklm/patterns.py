"""Declarative functions: the rules that people write most, as one line each, fast on whole columns.

Each returns a real labeling function, or with ``vote=None`` a slicing function: it can be called on one example, put
in a list with others, pickled, applied. What it looks for is written in its name, its docstring and its resources.

>>> from weaklm.data import ACCEPT, REJECT, Example
>>> apologises = keyword(["sorry", "apologies"], vote=REJECT)
>>> apologises, apologises(Example(response="Sorry, I cannot say.")), apologises(Example(response="Five dollars."))
(LabelingFunction response_says_sorry, Preprocessors: [], 0, -1)
>>> about_fees = keyword("fee", column="instruction", vote=None)
>>> about_fees(Example(instruction="How high is the fee?"))
True

All share some arguments. ``vote`` is the vote where the condition is met, ACCEPT or REJECT, or None for a slicing
function; ``otherwise`` the vote where it is not (ABSTAIN). ``column`` is the column that is looked at. ``name`` is the
name of the function, without which it gets one made of its arguments. Bounds are included: ``at_least``, ``at_most``.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from weaklm import conditions
from weaklm.conditions import Bounds
from weaklm.data import ABSTAIN, LABEL_NAMES, content_hash
from weaklm.dialect import Unportable
from weaklm.errors import FunctionError, nearest
from weaklm.functions import Function, LabelingFunction, SlicingFunction
from weaklm.schemas import schema_of
from weaklm.text import STOP_WORDS

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "contains_any",
    "field_between",
    "field_in",
    "keyword",
    "language",
    "length",
    "matches_schema",
    "numbers_missing",
    "overlap",
    "regex",
    "similarity",
]


# Words and patterns


def keyword(
    words: str | Iterable[str],
    *,
    vote: int | None,
    column: str = "response",
    ignore_case: bool = True,
    whole_words: bool = True,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    r"""Vote when a text has one of the words or phrases, as whole words: no ``\w`` stands before or after.

    >>> from weaklm.data import ACCEPT, Example
    >>> gives_reason = keyword(["because", "due to"], vote=ACCEPT)
    >>> gives_reason(Example(response="Due to a fee.")), gives_reason(Example(response="A residue too."))
    (1, -1)
    """
    sought = _texts(words, "keyword", "words")
    settings = {"sought": _lowered(sought, ignore_case), "whole_words": whole_words, "ignore_case": ignore_case}
    which = f"{column} has {_listed(sought)}" + (" as a whole word" if whole_words else "")
    default = f"{column}_says_{_slug(sought[0])}"
    asked = {"column": column, **settings}
    return _Question(conditions.says, conditions.says_column, asked, which, default).function(vote, otherwise, name)


def contains_any(
    texts: str | Iterable[str],
    *,
    vote: int | None,
    column: str = "response",
    ignore_case: bool = True,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when a text has one of the texts, anywhere: within a word too.

    >>> from weaklm.data import REJECT, Example
    >>> apologises = contains_any(["apolog", "as an AI"], vote=REJECT)
    >>> apologises(Example(response="We apologise.")), apologises(Example(response="Five dollars."))
    (0, -1)
    """
    sought = _texts(texts, "contains_any", "texts")
    settings = {"sought": _lowered(sought, ignore_case), "whole_words": False, "ignore_case": ignore_case}
    which, default = f"{column} has {_listed(sought)}", f"{column}_contains_{_slug(sought[0])}"
    asked = {"column": column, **settings}
    return _Question(conditions.says, conditions.says_column, asked, which, default).function(vote, otherwise, name)


def regex(
    pattern: str | re.Pattern[str],
    *,
    vote: int | None,
    column: str = "response",
    ignore_case: bool = False,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    r"""Vote when ``re.search`` finds the pattern in a text.

    Columns are searched by an engine that is linear in the length of the text. What it lacks (lookaround, back
    references) is searched row by row; ``function.why_rows`` says so.

    >>> from weaklm.data import ACCEPT, Example
    >>> names_price = regex(r"\$\d+", vote=ACCEPT)
    >>> names_price(Example(response="It is $5.")), names_price(Example(response="It is free."))
    (1, -1)
    >>> regex(r"(?<!\$)\d+", vote=ACCEPT).why_rows
    'the pattern cannot run on columns: it looks ahead or behind'
    """
    try:
        compiled = (
            re.compile(pattern, re.IGNORECASE) if ignore_case and isinstance(pattern, str) else re.compile(pattern)
        )
    except (re.error, TypeError) as error:
        raise FunctionError(f"regex got {pattern!r}, which is no regular expression: {error}") from error
    if not isinstance(compiled.pattern, str) or (ignore_case and not compiled.flags & re.IGNORECASE):
        raise FunctionError(
            f"regex got {pattern!r}: a pattern for text is expected, with its own flags if it is compiled"
        )
    settings = {"pattern": compiled.pattern, "flags": compiled.flags}
    which, default = f"{column} matches {compiled.pattern!r}", f"{column}_matches_{_slug(compiled.pattern)}"
    asked = {"column": column, **settings}
    return _Question(conditions.matches, conditions.matches_column, asked, which, default).function(
        vote, otherwise, name
    )


# Sizes and fields


def length(
    *,
    vote: int | None,
    min_words: int | None = None,
    max_words: int | None = None,
    min_characters: int | None = None,
    max_characters: int | None = None,
    column: str = "response",
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when the number of words and of characters of a text are within the given bounds, bounds included.

    Words are what ``str.split`` gives.

    >>> from weaklm.data import REJECT, Example
    >>> too_short = length(max_words=2, vote=REJECT)
    >>> too_short(Example(response="It depends.")), too_short(Example(response="It costs five dollars."))
    (0, -1)
    """
    words = _bounds(min_words, max_words, "length", ("min_words", "max_words"), optional=True)
    characters = _bounds(min_characters, max_characters, "length", ("min_characters", "max_characters"), optional=True)
    if words == characters == conditions.OPEN:
        raise FunctionError(
            "length got no bound; one of min_words, max_words, min_characters, max_characters is needed"
        )
    parts = [
        f"{_between(bounds)} {of}"
        for bounds, of in ((words, "words"), (characters, "characters"))
        if bounds != conditions.OPEN
    ]
    which, default = f"{column} has {' and '.join(parts)}", f"{column}_has_{_slug(' '.join(parts))}"
    settings = {"words": words, "characters": characters}
    form = conditions.has_length, conditions.has_length_column
    return _Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


def field_in(
    column: str,
    values: Iterable[str | int | float | bool],
    *,
    vote: int | None,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when the value of a column is one of the values.

    >>> from weaklm.data import Example
    >>> from_llama = field_in("source", ["llama-8b", "llama-70b"], vote=None)
    >>> from_llama(Example(source="llama-8b")), from_llama(Example(source="people"))
    (True, False)
    """
    known = tuple(values) if not isinstance(values, str) else ()
    kinds = {type(value) for value in known}
    if not known or not kinds <= {str, int, float, bool} or any(map(_is_nan, known)):
        raise FunctionError(f"field_in got the values {values!r}; a list of texts, numbers or booleans is expected")
    which = f"{column} is {_listed(known)}"
    default = f"{column}_is_{_slug(str(known[0]))}"
    form = conditions.is_in, conditions.is_in_column if len(kinds) == 1 else "the values are of several types"
    return _Question(*form, {"column": column, "values": known}, which, default).function(vote, otherwise, name)


def field_between(
    column: str,
    *,
    vote: int | None,
    at_least: float | None = None,
    at_most: float | None = None,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when the value of a column is a number within bounds; abstain when it is no number.

    Numbers that a CSV file gave as text are numbers.

    >>> from weaklm.data import REJECT, Example
    >>> unliked = field_between("stars", at_most=2, vote=REJECT)
    >>> unliked(Example(stars=1)), unliked(Example(stars="5")), unliked(Example(stars=""))
    (0, -1, -1)
    """
    bounds = _bounds(at_least, at_most, "field_between")
    which, default = f"{column} is {_between(bounds)}", f"{column}_is_{_slug(_between(bounds))}"
    form = conditions.is_between, conditions.is_between_column
    return _Question(*form, {"column": column, "bounds": bounds}, which, default).function(vote, otherwise, name)


# Comparisons of two texts


def overlap(
    column: str = "response",
    other: str = "context",
    *,
    vote: int | None,
    at_least: float | None = None,
    at_most: float | None = None,
    min_words: int = 1,
    ignored: Iterable[str] = STOP_WORDS,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    r"""Vote when the share of the words of one text that the other has, from 0 to 1, is within bounds.

    Words are the different ones of ``\w+`` in lower case without those ``ignored`` (little words of English; give ()
    to count all). It abstains where the text has fewer than ``min_words`` of them, or the other has no word at all.

    Source: the copy rate of Grusky et al. 2018 (NEWSROOM, arXiv:1804.11283).

    >>> from weaklm.data import REJECT, Example
    >>> invented = overlap("response", "context", at_most=0.5, vote=REJECT)
    >>> context = "The yearly fee is five dollars."
    >>> [invented(Example(context=context, response=said)) for said in ("Ask a lawyer.", "The fee.")]
    [0, -1]
    """
    share = _bounds(at_least, at_most, "overlap", highest=1)
    settings = {"other": other, "share": share, "min_words": max(1, min_words), "ignored": _ignored(ignored)}
    which = f"{other} has {_between(share)} of the words of {column}"
    default = f"{column}_in_{other}_{_slug(_between(share))}"
    form = conditions.overlaps, conditions.overlaps_column
    return _Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


def similarity(
    column: str = "response",
    other: str = "instruction",
    *,
    vote: int | None,
    at_least: float | None = None,
    at_most: float | None = None,
    n: int = 1,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    r"""Vote when the Jaccard similarity of two texts, from 0 to 1, is within bounds.

    It is the share of the runs of ``n`` words of either text that both have; words are those of ``\w+`` in lower
    case. It abstains where neither text has such a run.

    Source: resemblance of documents by shingles (Broder 1997, doi:10.1109/SEQUEN.1997.666900).

    >>> from weaklm.data import REJECT, Example
    >>> echoes = similarity("response", "instruction", at_least=0.8, vote=REJECT)
    >>> echoes(Example(instruction="How high is the fee?", response="How high is the fee!"))
    0
    """
    if not _is_count(n):
        raise FunctionError(f"similarity got n={n!r}; a number of words, 1 or more, is expected")
    bounds = _bounds(at_least, at_most, "similarity", highest=1)
    which = f"the similarity of {column} and {other} is {_between(bounds)}"
    default = f"{column}_like_{other}_{_slug(_between(bounds))}"
    form = conditions.is_similar, conditions.is_similar_column
    settings = {"other": other, "n": n, "similarity": bounds}
    return _Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


def numbers_missing(
    column: str = "response",
    other: str | Sequence[str] = ("context", "instruction", "prompt_prefix"),
    *,
    vote: int | None,
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when a text has a number that none of the other columns has; abstain where all the others are blank.

    Numbers are written in digits; 1,000 is 1000, 5.50 is 5.5, and the number of a list item ("2. ") is none.

    Source: number mismatches as a sign of hallucination (Zhao, Cohen, Webber 2020, HERMAN, arXiv:2009.13312).

    >>> from weaklm.data import REJECT, Example
    >>> invents_number = numbers_missing("response", "context", vote=REJECT)
    >>> context = "The fee is $1,000."
    >>> [invents_number(Example(context=context, response=said)) for said in ("It is 1200.", "It is 1000.00.")]
    [0, -1]
    """
    others = _texts(other, "numbers_missing", "other columns")
    which = f"{column} has a number that {' and '.join(others)} lack"
    default = f"{column}_number_not_in_{others[0]}"
    form = conditions.lacks_number, conditions.lacks_number_column
    return _Question(*form, {"column": column, "others": others}, which, default).function(vote, otherwise, name)


# Forms and languages


def matches_schema(
    schema: Mapping[str, Any],
    *,
    vote: int | None,
    column: str = "response",
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when a text is JSON and what the schema asks for: keys with Python types, or a JSON schema.

    Of JSON Schema it knows :data:`weaklm.schemas.KEYWORDS`.

    >>> from weaklm.data import ACCEPT, REJECT, Example
    >>> fits = matches_schema({"fee": float, "currency": str}, vote=ACCEPT, otherwise=REJECT)
    >>> fits(Example(response='{"fee": 5, "currency": "EUR"}')), fits(Example(response='{"fee": "5"}'))
    (1, 0)
    """
    if not isinstance(schema, Mapping):
        raise FunctionError(f"matches_schema got the schema {schema!r}; a mapping is expected")
    known = schema_of(schema)
    keys = [str(key) for key in known.get("required", known)]
    which = f"{column} is JSON with {_listed(keys)}" if keys else f"{column} is JSON"
    default = f"{column}_is_json" + (f"_with_{_slug(keys[0])}" if keys else "")
    form = conditions.fits_schema, conditions.fits_schema_column
    return _Question(*form, {"column": column, "schema": known}, which, default).function(vote, otherwise, name)


def language(
    languages: str | Iterable[str],
    *,
    vote: int | None,
    column: str = "response",
    otherwise: int = ABSTAIN,
    name: str | None = None,
) -> Function:
    """Vote when a text is in one of the languages; abstain where its language is in doubt, as in a text of few words.

    Languages in Latin letters go by their code (``en``, ``de`` ...), texts in other letters by their script (``han``,
    ``cyrillic`` ...).

    Source: identification by frequent short words (Grefenstette 1995).

    >>> from weaklm.data import REJECT, Example
    >>> english = language("en", vote=None)
    >>> english(Example(response="What is the yearly fee of this card?")), english(Example(response="OK."))
    (True, False)
    """
    wanted = _texts(languages, "language", "languages")
    for one in wanted:
        if one not in conditions.LANGUAGES:
            raise FunctionError(f"language got {one!r}, which is not known here; {nearest(one, conditions.LANGUAGES)}")
    which, default = f"{column} is in {_listed(wanted)}", f"{column}_in_{_slug('_'.join(wanted))}"
    form = conditions.is_in_language, conditions.is_in_language_column
    return _Question(*form, {"column": column, "languages": wanted}, which, default).function(vote, otherwise, name)


# What all share


@dataclass(frozen=True)
class _Question:
    """What a function asks of a row, and of columns unless a text says why it cannot."""

    row: Callable[..., Any]
    columns: "Callable[..., pl.Expr] | str"
    asked: Mapping[str, Any]
    which: str
    default: str  # the name, unless the user has a better one

    def function(self, vote: int | None, otherwise: int, name: str | None) -> Function:
        """Return the labeling or slicing function that asks it."""
        name = name or self.default
        columns = conditions.columns_of(self.asked)
        _check(name, vote, otherwise, columns)
        answers: dict[str, Any] = {"vote": vote, "otherwise": otherwise}
        said = f"{_VOTES[vote]} when {self.which}, otherwise {_VOTES[otherwise]}." if vote is not None else ""
        if vote is None:
            answers, said = {"vote": True, "otherwise": False}, f"Examples where {self.which}."
        why = self.columns if isinstance(self.columns, str) else _why_not(self.columns, self.asked)
        expression = None if why else partial(_expression, self.columns, self.asked, answers)  # type: ignore[arg-type]
        kind: Any = SlicingFunction if vote is None else LabelingFunction
        function = kind(name, self.row, {**self.asked, **answers}, expression=expression)
        # As if it had been written where it was asked for: collect() takes the functions that a module defines.
        caller = sys._getframe(2).f_globals.get("__name__", "__main__")
        known = {"columns": frozenset(columns), "why_rows": why}
        vars(function).update(known, __doc__=said, __module__=caller, __name__=name)
        return function


_VOTES = {ABSTAIN: "ABSTAIN", **LABEL_NAMES}


def _expression(columns: "Callable[..., pl.Expr]", asked: Mapping[str, Any], answers: Mapping[str, Any]) -> "pl.Expr":
    return conditions.votes(columns(**asked), **answers)


def _why_not(columns: "Callable[..., pl.Expr]", asked: Mapping[str, Any]) -> str:
    """Return why a question cannot be asked of columns, "" if it can."""
    try:
        columns(**asked)
    except Unportable as error:
        return f"the pattern cannot run on columns: {error}"
    return ""


def _check(name: str, vote: int | None, otherwise: int, columns: Sequence[str]) -> None:
    """Raise for arguments that no function of this module can have."""
    for column in columns:
        if not isinstance(column, str) or not column:
            raise FunctionError(f"{name} got the column {column!r}; the name of a column is expected")
    if vote is not None and (isinstance(vote, bool) or vote not in LABEL_NAMES):
        raise FunctionError(f"{name} got vote={vote!r}; expected ACCEPT, REJECT, or None for a slicing function")
    if isinstance(otherwise, bool) or otherwise not in _VOTES or otherwise == vote:
        raise FunctionError(f"{name} got otherwise={otherwise!r}; expected ABSTAIN, or the vote that is not {vote!r}")
    if vote is None and otherwise != ABSTAIN:
        raise FunctionError(f"{name} is a slicing function (vote=None): it has no other vote, so leave otherwise out")


def _texts(texts: str | Iterable[str], who: str, what: str) -> tuple[str, ...]:
    """Return one text or several as a tuple of different texts, none of them empty."""
    found = (texts,) if isinstance(texts, str) else tuple(dict.fromkeys(texts))
    if not found or not all(isinstance(text, str) and text for text in found):
        raise FunctionError(
            f"{who} got the {what} {texts!r}; a text or a list of texts is expected, none of them empty"
        )
    return found


def _lowered(texts: tuple[str, ...], ignore_case: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.lower() for text in texts)) if ignore_case else texts


def _ignored(words: Iterable[str]) -> frozenset[str]:
    found = frozenset(word.lower() for word in words)
    for word in found:
        if not re.fullmatch(r"\w+", word):
            raise FunctionError(
                f"overlap got {word!r} among the words to ignore; one word of letters and digits is expected"
            )
    return found


def _bounds(
    low: float | None,
    high: float | None,
    who: str,
    names: tuple[str, str] = ("at_least", "at_most"),
    *,
    highest: float | None = None,
    optional: bool = False,
) -> Bounds:
    """Return the two bounds, of which one may be None."""
    for name, bound in zip(names, (low, high), strict=True):
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool) and not math.isnan(bound)
        if bound is not None and not (is_number and (highest is None or 0 <= bound <= highest)):
            expected = "a number is expected" if highest is None else f"a share from 0 to {highest} is expected"
            raise FunctionError(f"{who} got {name}={bound!r}; {expected}")
    if low is None and high is None and not optional:
        raise FunctionError(f"{who} got no bound; {names[0]}, {names[1]} or both are needed")
    if low is not None and high is not None and low > high:
        raise FunctionError(f"{who} got {names[0]}={low!r} and {names[1]}={high!r}: nothing lies between them")
    return low, high


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _between(bounds: Bounds) -> str:
    low, high = bounds
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}"


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, values[:3]))
    return shown if len(values) <= 3 else f"{shown} or {len(values) - 3} more"


def _slug(text: str) -> str:
    """Return a text as part of a name."""
    found = re.sub(r"\W+", "_", text.lower()).strip("_")[:30].strip("_")
    return found if len(found) >= 2 else content_hash(text)[:6]
