"""Numbers about one example, for a function to compare with a threshold: ``REJECT if novel_share(x) > 0.5 else ...``.

Each takes an example and returns a float; NaN where it has no meaning, such as grounding without a context, so that
every comparison with it is false. Terms, sentences, numbers and names are those of :mod:`weaklm.text`.
"""

from collections.abc import Callable
from math import nan
from typing import Any

from weaklm import form, questions, text
from weaklm.text import ngrams, sentence_terms, stem, stems, substance, terms

_HEDGES = frozenset(map(stem, text.HEDGES))
_FIRST_PERSON = frozenset(("i", "me", "my", "mine", "we", "us", "our", "am"))
_SECOND_PERSON = frozenset(("you", "your", "yours"))
_NEGATIONS = frozenset(("no", "not", "nor", "never", "neither", "cannot", "without", "don", "doesn", "isn"))
_MARKUP = frozenset("*_#`|<>[]{}\\")


def words(x: Any) -> float:
    """Return the number of words of the response."""
    return float(len(text.words(x.response)))


def sentences(x: Any) -> float:
    """Return the number of sentences and lines of the response."""
    return float(len(text.sentence_words(x.response)))


def words_per_sentence(x: Any) -> float:
    """Return the number of words for each sentence of the response."""
    return _ratio(words(x), sentences(x))


def lines(x: Any) -> float:
    """Return the number of line breaks of the response."""
    return float(x.response.count("\n"))


def markup(x: Any) -> float:
    """Return the number of markup characters of the response."""
    return float(sum(character in _MARKUP for character in x.response))


def capital_share(x: Any) -> float:
    """Return the share of the response's words that are in capitals."""
    return form.capital_share(x.response)


def context_words(x: Any) -> float:
    """Return the number of words of the context."""
    return float(len(text.words(x.context)))


def prefix_words(x: Any) -> float:
    """Return the number of words of the earlier turns."""
    return float(len(text.words(x.prompt_prefix)))


def instruction_terms(x: Any) -> float:
    """Return the number of different terms of the instruction."""
    return float(len(set(terms(x.instruction))))


def words_to_context(x: Any) -> float:
    """Return the number of the response's words for each word of the context."""
    return _ratio(words(x), context_words(x))


def novel_share(x: Any) -> float:
    """Return the share of the response's terms that the context lacks.

    >>> from weaklm.data import Example
    >>> novel_share(Example(context="The yearly fee is $95.", response="The yearly bonus is a golden watch."))
    0.75
    """
    own, known = terms(substance(x.response)), stems(x.context)
    return _ratio(sum(term not in known for term in own), len(own)) if known else nan


def novel_bigrams(x: Any) -> float:
    """Return the share of the response's pairs of words that the context lacks."""
    return _novel_runs(x, 2)


def novel_trigrams(x: Any) -> float:
    """Return the share of the response's runs of three words that the context lacks."""
    return _novel_runs(x, 3)


def least_support(x: Any) -> float:
    """Return the share of its terms that the context has in the response's least supported sentence."""
    known = stems(x.context)
    long = [found for found in sentence_terms(substance(x.response)) if len(found) >= 3]
    return min(sum(term in known for term in found) / len(found) for found in long) if known and long else nan


def missing_numbers(x: Any) -> float:
    """Return how many different numbers of the response neither context, instruction nor earlier turns have."""
    known = {*text.numbers(x.context), *text.numbers(x.instruction), *text.numbers(x.prompt_prefix)}
    return float(len(set(text.numbers(substance(x.response))) - known)) if x.context.strip() else nan


def unknown_names(x: Any) -> float:
    """Return how many names of the response have no word in context, instruction and earlier turns."""
    known = stems(x.context) | stems(x.instruction) | stems(x.prompt_prefix)
    found = {name for name in text.names(substance(x.response)) if known.isdisjoint(stems(name))}
    return float(len(found)) if x.context.strip() else nan


def numbers(x: Any) -> float:
    """Return how many different numbers the response has."""
    return float(len(set(text.numbers(substance(x.response)))))


def instruction_share(x: Any) -> float:
    """Return the share of the instruction's terms that the response takes up."""
    asked, own = set(terms(x.instruction)), stems(x.response)
    return _ratio(sum(term in own for term in asked), len(asked))


def answerable_share(x: Any) -> float:
    """Return the share of the instruction's terms that the context has."""
    asked, known = set(terms(x.instruction)), stems(x.context)
    return _ratio(sum(term in known for term in asked), len(asked)) if known else nan


def repeated_phrases(x: Any) -> float:
    """Return the share of the response's runs of four words that came before in it."""
    return form.repeated_phrases(x.response)


def hedges(x: Any) -> float:
    """Return the number of words such as "may" and "perhaps" in the response."""
    return float(sum(stem(word) in _HEDGES for word in text.words(x.response)))


def refusals(x: Any) -> float:
    """Return the number of phrases by which the response declines."""
    return float(len(text.refusals(x.response)))


def admissions(x: Any) -> float:
    """Return the number of phrases by which the response admits that it or its source does not know."""
    return float(len(text.admissions(x.response)))


def first_person(x: Any) -> float:
    """Return the share of the response's words that are "I", "we", "our" and their like."""
    return _share_of(_FIRST_PERSON, x)


def second_person(x: Any) -> float:
    """Return the share of the response's words that are "you" and "your"."""
    return _share_of(_SECOND_PERSON, x)


def negations(x: Any) -> float:
    """Return the share of the response's words that negate."""
    return _share_of(_NEGATIONS, x)


def asks_figure(x: Any) -> bool:
    """Return whether the instruction asks for a figure or a date."""
    return questions.asks_figure(x.instruction)


def asks_way(x: Any) -> bool:
    """Return whether the instruction asks how to do something."""
    return questions.asks_way(x.instruction)


TRAITS: tuple[Callable[[Any], float], ...] = (
    words,
    sentences,
    words_per_sentence,
    lines,
    markup,
    capital_share,
    context_words,
    prefix_words,
    instruction_terms,
    words_to_context,
    novel_share,
    novel_bigrams,
    novel_trigrams,
    least_support,
    missing_numbers,
    unknown_names,
    numbers,
    instruction_share,
    answerable_share,
    repeated_phrases,
    hedges,
    refusals,
    admissions,
    first_person,
    second_person,
    negations,
    asks_figure,
    asks_way,
)


def _novel_runs(x: Any, n: int) -> float:
    own, known = (ngrams([stem(word) for word in text.words(part)], n) for part in (substance(x.response), x.context))
    there = set(known)
    return _ratio(sum(run not in there for run in own), len(own)) if x.context.strip() else nan


def _share_of(listed: frozenset[str], x: Any) -> float:
    found, wanted = text.words(x.response), set(map(stem, listed))
    return _ratio(sum(stem(word) in wanted for word in found), len(found))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else nan
