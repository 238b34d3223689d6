"""Too short or too long for what was asked."""

from weaklm import ABSTAIN, REJECT, Example, form, labeling_function
from weaklm.questions import asks_yes_no
from weaklm.text import words


@labeling_function(resources={"min_words": 3})
def too_short(x: Example, min_words: int) -> int:
    """REJECT when the response has fewer than ``min_words`` words and the question is not one for yes or no.

    Source: the shortest-document rule of Gopher's quality filter (Rae et al. 2021, arXiv:2112.11446), scaled from
    documents to answers.

    >>> too_short(Example(instruction="How do I close my account?", response="Call."))
    0
    >>> too_short(Example(instruction="Is there a fee?", response="No."))
    -1
    """
    if asks_yes_no(x.instruction) and words(x.response):
        return ABSTAIN
    return REJECT if len(words(x.response)) < min_words else ABSTAIN


@labeling_function(resources={"max_words": 450})
def rambles(x: Example, max_words: int) -> int:
    """REJECT when the response has more than ``max_words`` words.

    Source: ours; about a printed page, more than people read as an answer. Raise it where essays are asked for.

    >>> rambles(Example(response="And so on. " * 200))
    0
    >>> rambles(Example(response="And so on. " * 20))
    -1
    """
    return REJECT if len(words(x.response)) > max_words else ABSTAIN


@labeling_function(resources={"times": 1.5, "min_words": 40})
def outgrows_context(x: Example, times: float, min_words: int) -> int:
    """REJECT when a response of ``min_words`` words or more is over ``times`` times as long as its context.

    Source: ours; the compression ratio of Grusky et al. 2018 (NEWSROOM, arXiv:1804.11283): what is longer than its
    source has added something.

    >>> outgrows_context(Example(context="The fee is $5.", response="The fee is five dollars. " * 10))
    0
    >>> outgrows_context(Example(context="The fee is $5. " * 20, response="The fee is five dollars. " * 10))
    -1
    """
    own, known = len(words(x.response)), len(words(x.context))
    return REJECT if known and own >= min_words and own > times * known else ABSTAIN


@labeling_function(resources={"tolerance": 1.1})
def breaks_word_limit(x: Example, tolerance: float) -> int:
    """REJECT when the prompt names a greatest number of words and the response has over ``tolerance`` times as many.

    Source: the length constraints of verifiable instructions (Zhou et al. 2023, IFEval, arXiv:2311.07911).

    >>> asked = "What is APR? Use at most 5 words."
    >>> breaks_word_limit(Example(instruction=asked, response="The yearly cost of a loan."))
    0
    >>> breaks_word_limit(Example(instruction=asked, response="A yearly cost."))
    -1
    """
    over = form.length_to_limit(x.response, x.prompt_prefix, x.instruction)
    return REJECT if over > tolerance else ABSTAIN
