"""How the instruction is put: how long it is, in which language, what it rules out, which form it demands."""

import re

from weaklm import Example, languages, slicing_function
from weaklm.text import words

_NEGATIONS = frozenset(
    ("not", "no", "never", "without", "except", "cannot", "neither", "nor", "avoid", "none", "unless")
)
_FORM = re.compile(
    r"\b(?:at (?:most|least)|no more than|not more than|less than|fewer than|up to|within|exactly|maximum|minimum|in"
    r"|only) (?:an?|[0-9]+|one|two|three|four|five|ten|a single)"
    r" (?:words?|sentences?|paragraphs?|lines?|characters?|pages?)\b"
    r"|\b(?:json|yaml|xml|csv|markdown|html|table|bullet points?|bulleted|numbered list|haiku|all caps|rhym\w*)\b"
    r"|\b(?:[0-9]+|one|two|three|four|five|ten)[ -](?:word|sentence|paragraph|line|page)\b"
)


@slicing_function(resources={"max_words": 5})
def short_instruction(x: Example, max_words: int) -> bool:
    """Instructions of at most ``max_words`` words: keywords and half questions that leave much to guess.

    Source: ours; the median web query has two or three words (Jansen, Spink, Saracevic 2000,
    doi:10.1016/S0306-4573(99)00056-4), and such queries are where answers miss what was meant.

    >>> short_instruction(Example(instruction="lost card fee"))
    True
    >>> short_instruction(Example(instruction="I lost my card; what does a new one cost?"))
    False
    """
    return len(words(x.instruction)) <= max_words


@slicing_function(resources={"min_words": 25})
def long_instruction(x: Example, min_words: int) -> bool:
    """Instructions of ``min_words`` words or more: several wishes, or a story before the question.

    Source: ours; instructions with several constraints are followed less well (Zhou et al. 2023, arXiv:2311.07911).

    >>> long_instruction(Example(instruction="I lost my card. " * 10))
    True
    >>> long_instruction(Example(instruction="I lost my card."))
    False
    """
    return len(words(x.instruction)) >= min_words


@slicing_function(resources={"negations": _NEGATIONS})
def has_negation(x: Example, negations: frozenset[str]) -> bool:
    """Instructions with a negation: what is not the case, or not wanted.

    Source: models overlook negations (Truong et al. 2023, arXiv:2306.08189).

    >>> has_negation(Example(instruction="Which cards have no yearly fee?"))
    True
    >>> has_negation(Example(instruction="Which cards have a yearly fee?"))
    False
    """
    return not negations.isdisjoint(words(x.instruction)) or "n't" in x.instruction.replace("\u2019", "'")


@slicing_function
def demands_form(x: Example) -> bool:
    """Instructions or earlier texts of the prompt that demand a form: a length, a table, JSON, bullet points.

    Source: verifiable instructions (Zhou et al. 2023, IFEval, arXiv:2311.07911).

    >>> demands_form(Example(instruction="What is APR? Answer in one sentence."))
    True
    >>> demands_form(Example(instruction="What is APR?"))
    False
    """
    return _FORM.search(x.instruction.lower()) is not None or _FORM.search(x.prompt_prefix.lower()) is not None


@slicing_function(resources={"expected": "en"})
def in_other_language(x: Example, expected: str) -> bool:
    """Instructions in another language than ``expected``, told by script and little words; not where in doubt.

    Source: ours; models trained mostly on English answer other languages worse (Shi et al. 2022, arXiv:2210.03057).

    >>> in_other_language(Example(instruction="Wie hoch ist die Geb\u00fchr f\u00fcr die Karte?"))
    True
    >>> in_other_language(Example(instruction="How high is the fee of the card?"))
    False
    """
    return languages.language_of(x.instruction) not in ("", expected)


@slicing_function
def names_language(x: Example) -> bool:
    """Instructions that name a language or ask for a translation, so that the answer may be in another one.

    Source: the cross-lingual setting of language confusion (Marchisio et al. 2024, arXiv:2406.20052).

    >>> names_language(Example(instruction="How do I say thanks in Dutch?"))
    True
    >>> names_language(Example(instruction="How do I pay?"))
    False
    """
    return languages.names_language(x.instruction)
