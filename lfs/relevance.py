"""Answers something else than what was asked."""

import re

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, form, labeling_function
from weaklm.questions import asks_figure, asks_yes_no
from weaklm.text import admissions, numbers, refusals, sentences, stems, substance, terms, words

_ONE = frozenset(("one", "once", "half", "single"))  # figures that are often something else
_PASSAGE = re.compile(r"^[ \t]*\[[0-9]+\]", re.MULTILINE)


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


@labeling_function(resources={"min_known": 0.75, "min_support": 0.6, "min_terms": 6, "min_asked": 2})
def one_passage_answers(x: Example, min_known: float, min_support: float, min_terms: int, min_asked: int) -> int:
    """ACCEPT when the passage that has most of the response's terms, of several, has most of the question's too.

    "Most" is ``min_support`` of the response's terms, of which there are ``min_terms``, and ``min_known`` of the
    question's, of which there are ``min_asked``. Passages are numbered in brackets.

    Source: ours; an answer pieced together from several passages (multi-hop questions: Yang et al. 2018, HotpotQA,
    arXiv:1809.09600) says more easily what none of them says.

    >>> asked = "When is the yearly fee charged?"
    >>> context = "[1] Lost cards are replaced by mail.\\n[2] The yearly card fee of $95 is charged by debit in May."
    >>> response = "The yearly card fee of $95 is charged by debit in May."
    >>> one_passage_answers(Example(instruction=asked, context=context, response=response))
    1
    >>> one_passage_answers(Example(instruction=asked, context=context, response="In May."))
    -1
    """
    passages = [part for part in _PASSAGE.split(x.context) if part.strip()]
    asked, said = set(terms(x.instruction)), terms(substance(x.response))
    if not passages[1:] or len(asked) < min_asked or len(said) < min_terms or admissions(x.response):
        return ABSTAIN
    support, known = max((sum(term in stems(text) for term in said), len(asked & stems(text))) for text in passages)
    fits = support >= min_support * len(said) and known >= min_known * len(asked)
    return ACCEPT if fits and form.is_sound(x.response, x.prompt_prefix, x.instruction) else ABSTAIN


@labeling_function(resources={"min_share": 0.5})
def asks_back(x: Example, min_share: float) -> int:
    """REJECT when ``min_share`` of the response's sentences are questions, although there is a context to answer from.

    Source: ours; a question in return is right where the wish is unclear (Aliannejadi et al. 2019, arXiv:1907.06554),
    and says nothing of what the passages say: a generic turn (Dziri et al. 2022, BEGIN, arXiv:2105.00071).

    >>> asked, context = "When is the fee due?", "The yearly fee is due in May."
    >>> asks_back(Example(instruction=asked, context=context, response="I see. Do you have a card?"))
    0
    >>> asks_back(Example(instruction=asked, context=context, response="It is due in May."))
    -1
    """
    said = sentences(x.response)
    if not x.context.strip() or not said or admissions(x.response):
        return ABSTAIN
    return REJECT if sum(sentence.endswith("?") for sentence in said) >= min_share * len(said) else ABSTAIN
