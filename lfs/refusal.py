"""Declines to answer, or says that it does not know."""

from weaklm import ABSTAIN, REJECT, Example, labeling_function
from weaklm.text import admissions, refusals, stems, terms, words


@labeling_function(resources={"max_words": 60})
def refuses(x: Example, max_words: int) -> int:
    """REJECT when a response of at most ``max_words`` words cannot help, may not tell or is only a machine.

    Source: refusal phrases as in the string matching of Zou et al. 2023 (arXiv:2307.15043), in our words. A longer
    response has said something before or after; what the instruction says itself is a quotation.

    >>> refuses(Example(instruction="What is the fee?", response="I'm sorry, I cannot help with that."))
    0
    >>> refuses(Example(instruction="What is the fee?", response="The fee is $5."))
    -1
    """
    if len(words(x.response)) > max_words or admissions(x.response):
        return ABSTAIN
    return REJECT if set(refusals(x.response)) - set(refusals(x.instruction)) else ABSTAIN


@labeling_function(resources={"max_words": 40, "min_known": 0.75})
def admits_ignorance(x: Example, max_words: int, min_known: float) -> int:
    """REJECT when a response of at most ``max_words`` words does not know, and the context has the terms asked for.

    It abstains when the context has less than ``min_known`` of the instruction's terms: to say that the passages do not
    tell may then be right.

    Source: unanswerable questions (Rajpurkar et al. 2018, SQuAD 2.0, arXiv:1806.03822).

    >>> asked, answer = "What is the yearly fee?", "The text does not mention the fee."
    >>> admits_ignorance(Example(instruction=asked, context="The yearly fee is $5.", response=answer))
    0
    >>> admits_ignorance(Example(instruction=asked, context="Report lost cards.", response=answer))
    -1
    """
    asked, known = set(terms(x.instruction)), stems(x.context)
    if len(words(x.response)) > max_words or not admissions(x.response) or not known or not asked:
        return ABSTAIN
    return REJECT if len(asked & known) >= min_known * len(asked) else ABSTAIN
