"""Answers something else than what was asked."""

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, form, labeling_function
from weaklm.questions import asks_figure, asks_yes_no
from weaklm.text import admissions, numbers, refusals, stems, substance, terms, words

_ONE = frozenset(("one", "once", "half", "single"))  # figures that are often something else


@labeling_function(resources={"min_terms": 2})
def off_topic(x: Example, min_terms: int) -> int:
    """REJECT when the response takes up none of the instruction's terms, although the context has ``min_terms``.

    Without a context, all terms of the instruction count.

    Source: query-term overlap as a sign of relevance, the idea behind BM25 (Robertson, Zaragoza 2009,
    doi:10.1561/1500000019). Where the context lacks the terms too, other words may be the right ones.

    >>> asked = "How do I dispute a card charge?"
    >>> context = "To dispute a charge on your card, call us."
    >>> off_topic(Example(instruction=asked, context=context, response="Mortgage rates fell last month."))
    0
    >>> off_topic(Example(instruction=asked, context=context, response="Call us to dispute it."))
    -1
    """
    asked, known = set(terms(x.instruction)), stems(x.context)
    treated = asked & known if known else asked
    if len(treated) < min_terms or admissions(x.response) or not asked.isdisjoint(stems(x.response)):
        return ABSTAIN
    return REJECT


@labeling_function(resources={"min_share": 0.75, "min_terms": 3, "min_known": 0.75})
def on_topic(x: Example, min_share: float, min_terms: int, min_known: float) -> int:
    """ACCEPT when response and context both have most of the instruction's terms, and the response does not decline.

    Source: ours; the context then is about the question, and so is the answer.

    >>> asked = "How do I dispute a card charge?"
    >>> context = "To dispute a charge on your card, call us."
    >>> on_topic(Example(instruction=asked, context=context, response="Call us to dispute the card charge."))
    1
    >>> on_topic(Example(instruction=asked, context=context, response="Call us."))
    -1
    """
    asked = set(terms(x.instruction))
    if len(asked) < min_terms or refusals(x.response) or admissions(x.response):
        return ABSTAIN
    taken_up, known = asked & stems(x.response), asked & stems(x.context)
    fits = len(taken_up) >= min_share * len(asked) and len(known) >= min_known * len(asked)
    return ACCEPT if fits and form.is_sound(x.response, x.prompt_prefix, x.instruction) else ABSTAIN


@labeling_function(resources={"max_known": 0.25, "min_terms": 3})
def answers_beyond_context(x: Example, max_known: float, min_terms: int) -> int:
    """REJECT when the context has at most ``max_known`` of a question's terms and the response answers all the same.

    Source: unanswerable questions (Rajpurkar et al. 2018, SQuAD 2.0, arXiv:1806.03822): an answer to what the
    passages do not treat comes from elsewhere.

    >>> asked = "How high is the mortgage rate in Leeds?"
    >>> answers_beyond_context(Example(instruction=asked, context="Report lost cards.", response="It is 4 %."))
    0
    >>> answers_beyond_context(Example(instruction=asked, context="Report lost cards.", response="I do not know."))
    -1
    """
    asked, known = set(terms(x.instruction)), stems(x.context)
    is_question = x.instruction.rstrip().endswith("?")
    if not known or not is_question or len(asked) < min_terms or refusals(x.response) or admissions(x.response):
        return ABSTAIN
    return REJECT if len(asked & known) <= max_known * len(asked) else ABSTAIN


@labeling_function
def adds_nothing(x: Example) -> int:
    """REJECT when the response has no term of the context beyond those of the instruction.

    Source: ours; "People often ask about the fee, and rightly so" or "Please ask at a branch" take nothing from the
    passages. Not for questions for yes or no, nor for responses that say openly that they do not know.

    >>> asked, context = "What is the yearly fee?", "The yearly fee is $95, due in May."
    >>> adds_nothing(Example(instruction=asked, context=context, response="Many people ask about the yearly fee."))
    0
    >>> adds_nothing(Example(instruction=asked, context=context, response="The yearly fee is $95."))
    -1
    """
    offered = stems(x.context) - stems(x.instruction)
    if not terms(x.context) or asks_yes_no(x.instruction) or admissions(x.response):
        return ABSTAIN
    return REJECT if offered.isdisjoint(terms(substance(x.response))) else ABSTAIN


@labeling_function
def figure_asked(x: Example) -> int:
    """ACCEPT when the instruction asks for a figure and all numbers are from the context, REJECT when there is none.

    It abstains when some numbers are not from the context, or when the context has none to give.

    Source: answers of the type that the question expects (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asked, context = "How high is the yearly fee?", "The yearly fee is $95."
    >>> figure_asked(Example(instruction=asked, context=context, response="It is $95."))
    1
    >>> figure_asked(Example(instruction=asked, context=context, response="It depends on your card."))
    0
    >>> figure_asked(Example(instruction="Whom do I pay?", context=context, response="It depends."))
    -1
    """
    known, given = set(numbers(x.context)), set(numbers(x.response))
    if not known or not asks_figure(x.instruction) or admissions(x.response):
        return ABSTAIN
    if not given:
        return REJECT if _ONE.isdisjoint(words(x.response)) else ABSTAIN
    is_sound = form.is_sound(x.response, x.prompt_prefix, x.instruction)
    return ACCEPT if given <= known and is_sound else ABSTAIN
