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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weaklm import conditions, word_conditions
from weaklm.data import ABSTAIN
from weaklm.declared import Question, checked_bounds, checked_texts, listed, said_bounds, slug
from weaklm.errors import FunctionError
from weaklm.functions import Function
from weaklm.schemas import schema_of
from weaklm.text import STOP_WORDS

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
    sought = checked_texts(words, "keyword", "words")
    settings = {"sought": _lowered(sought, ignore_case), "whole_words": whole_words, "ignore_case": ignore_case}
    which = f"{column} has {listed(sought)}" + (" as a whole word" if whole_words else "")
    default = f"{column}_says_{slug(sought[0])}"
    asked = {"column": column, **settings}
    return Question(conditions.says, conditions.says_column, asked, which, default).function(vote, otherwise, name)


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
    sought = checked_texts(texts, "contains_any", "texts")
    settings = {"sought": _lowered(sought, ignore_case), "whole_words": False, "ignore_case": ignore_case}
    which, default = f"{column} has {listed(sought)}", f"{column}_contains_{slug(sought[0])}"
    asked = {"column": column, **settings}
    return Question(conditions.says, conditions.says_column, asked, which, default).function(vote, otherwise, name)


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
    which, default = f"{column} matches {compiled.pattern!r}", f"{column}_matches_{slug(compiled.pattern, least=4)}"
    asked = {"column": column, **settings}
    return Question(conditions.matches, conditions.matches_column, asked, which, default).function(
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
    words = checked_bounds(min_words, max_words, "length", ("min_words", "max_words"), lowest=0, optional=True)
    names = ("min_characters", "max_characters")
    characters = checked_bounds(min_characters, max_characters, "length", names, lowest=0, optional=True)
    if words == characters == conditions.OPEN:
        raise FunctionError(
            "length got no bound; one of min_words, max_words, min_characters, max_characters is needed"
        )
    parts = [
        f"{said_bounds(bounds)} {of}"
        for bounds, of in ((words, "words"), (characters, "characters"))
        if bounds != conditions.OPEN
    ]
    which, default = f"{column} has {' and '.join(parts)}", f"{column}_has_{slug(' '.join(parts))}"
    settings = {"words": words, "characters": characters}
    form = conditions.has_length, conditions.has_length_column
    return Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


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
    known = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    kinds = {type(value) for value in known}
    if not known or not kinds <= {str, int, float, bool} or any(map(_is_nan, known)):
        raise FunctionError(f"field_in got the values {values!r}; a list of texts, numbers or booleans is expected")
    which = f"{column} is {listed(known)}"
    default = f"{column}_is_{slug(str(known[0]))}"
    form = conditions.is_in, conditions.is_in_column if len(kinds) == 1 else "the values are of several types"
    return Question(*form, {"column": column, "values": known}, which, default).function(vote, otherwise, name)


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
    bounds = checked_bounds(at_least, at_most, "field_between")
    which, default = f"{column} is {said_bounds(bounds)}", f"{column}_is_{slug(said_bounds(bounds))}"
    form = conditions.is_between, conditions.is_between_column
    return Question(*form, {"column": column, "bounds": bounds}, which, default).function(vote, otherwise, name)


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
    share = checked_bounds(at_least, at_most, "overlap", lowest=0, highest=1)
    if not _is_count(min_words, least=0):
        raise FunctionError(f"overlap got min_words={min_words!r}; a number of words is expected")
    settings = {"other": other, "share": share, "min_words": max(1, min_words), "ignored": _ignored(ignored)}
    which = f"{other} has {said_bounds(share)} of the words of {column}"
    default = f"{column}_in_{other}_{slug(said_bounds(share))}"
    form = word_conditions.overlaps, word_conditions.overlaps_column
    return Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


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
    bounds = checked_bounds(at_least, at_most, "similarity", lowest=0, highest=1)
    which = f"the similarity of {column} and {other} is {said_bounds(bounds)}"
    default = f"{column}_like_{other}_{slug(said_bounds(bounds))}"
    form = word_conditions.is_similar, word_conditions.is_similar_column
    settings = {"other": other, "n": n, "similarity": bounds}
    return Question(*form, {"column": column, **settings}, which, default).function(vote, otherwise, name)


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
    others = checked_texts(other, "numbers_missing", "other columns")
    which = f"{column} has a number that {' and '.join(others)} lack"
    default = f"{column}_number_not_in_{others[0]}"
    form = word_conditions.lacks_number, word_conditions.lacks_number_column
    return Question(*form, {"column": column, "others": others}, which, default).function(vote, otherwise, name)


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
    which = f"{column} is JSON with {listed(keys)}" if keys else f"{column} is JSON"
    default = f"{column}_is_json" + (f"_with_{slug(keys[0])}" if keys else "")
    form = conditions.fits_schema, conditions.fits_schema_column
    return Question(*form, {"column": column, "schema": known}, which, default).function(vote, otherwise, name)


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
    wanted = checked_texts(languages, "language", "languages")
    for one in wanted:
        if one not in word_conditions.LANGUAGES:
            raise FunctionError(
                f"language got {one!r}, which is not known here; codes such as 'en' or scripts such as 'cyrillic' are "
                f"meant: {', '.join(word_conditions.LANGUAGES)}"
            )
    which, default = f"{column} is in {listed(wanted)}", f"{column}_in_{slug('_'.join(wanted))}"
    form = word_conditions.is_in_language, word_conditions.is_in_language_column
    return Question(*form, {"column": column, "languages": wanted}, which, default).function(vote, otherwise, name)


def _ignored(words: Iterable[str]) -> frozenset[str]:
    given = tuple(words) if isinstance(words, Iterable) else None
    if given is None or isinstance(words, str) or not all(isinstance(word, str) for word in given):
        raise FunctionError(f"overlap got ignored={words!r}; a list of words is expected, () for none")
    for word in given:
        if not re.fullmatch(r"\w+", word):
            raise FunctionError(
                f"overlap got {word!r} among the words to ignore; one word of letters and digits is expected"
            )
    return frozenset(word.lower() for word in given)


def _lowered(texts: tuple[str, ...], ignore_case: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.lower() for text in texts)) if ignore_case else texts


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
