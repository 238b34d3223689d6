"""How much the model was given to answer from."""

import re

from weaklm import Example, slicing_function
from weaklm.text import stems, terms, words

_PASSAGE = re.compile(r"\n\s*\n|^\s*\[[0-9]+\]", re.MULTILINE)


@slicing_function
def without_context(x: Example) -> bool:
    """Examples with no context: the model answers from what it knows.

    Source: ours; nothing in such an answer can be checked against a passage.

    >>> without_context(Example(context=" "))
    True
    >>> without_context(Example(context="The fee is $5."))
    False
    """
    return not x.context.strip()


@slicing_function(resources={"min_passages": 3})
def many_passages(x: Example, min_passages: int) -> bool:
    """Contexts of ``min_passages`` passages or more, told by blank lines or numbers in brackets.

    Source: ours; answers get worse as more passages stand around the right one (Liu et al. 2023, arXiv:2307.03172).

    >>> many_passages(Example(context="[1] Fees.\\n[2] Cards.\\n[3] Loans."))
    True
    >>> many_passages(Example(context="Fees. Cards. Loans."))
    False
    """
    if "\n" not in x.context:  # one passage; and one look at a column tells it
        return int(bool(x.context.strip())) >= min_passages
    return sum(bool(part.strip()) for part in _PASSAGE.split(x.context)) >= min_passages


@slicing_function(resources={"min_words": 500})
def long_context(x: Example, min_words: int) -> bool:
    """Contexts of ``min_words`` words or more, about one printed page.

    Source: ours; what stands in the middle of a long context is found less often (Liu et al. 2023, arXiv:2307.03172).

    >>> long_context(Example(context="The fee is due. " * 200))
    True
    >>> long_context(Example(context="The fee is due."))
    False
    """
    return len(words(x.context)) >= min_words


@slicing_function(resources={"max_words": 50})
def short_context(x: Example, max_words: int) -> bool:
    """Contexts of at most ``max_words`` words, but some: a sentence or two, seldom all that is needed.

    Source: ours; the other end of ``long_context``.

    >>> short_context(Example(context="The fee is due."))
    True
    >>> short_context(Example(context=""))
    False
    """
    return bool(words(x.context)) and len(words(x.context)) <= max_words


@slicing_function(resources={"max_known": 0.34, "min_terms": 2})
def context_misses_question(x: Example, max_known: float, min_terms: int) -> bool:
    """Contexts that have at most ``max_known`` of the instruction's terms: the answer may not be there.

    Source: ours; a lexical sign of unanswerable questions (Rajpurkar et al. 2018, arXiv:1806.03822).

    >>> context_misses_question(Example(instruction="Mortgage rate?", context="Report lost cards by phone."))
    True
    >>> context_misses_question(Example(instruction="Mortgage rate?", context="The mortgage rate is 4 %."))
    False
    """
    asked, known = set(terms(x.instruction)), stems(x.context)
    return bool(known) and len(asked) >= min_terms and len(asked & known) <= max_known * len(asked)
