"""Says what the context does not say: words, word pairs, sentences, numbers and names without support.

A function abstains where there is no context. Those that measure a share vote both ways and abstain in between;
courtesies ("Thank you for asking.") count neither for nor against a response. None accepts a response that has a number
from nowhere or whose form shows a defect: every other word of it may well be supported.
"""

import re

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, form, labeling_function
from weaklm.text import names, ngrams, normal, numbers, pairs, sentence_terms, stem, stems, substance, terms, words

_MONEY = ("$", "\u20ac", "\u00a3")
_SIGNS = dict(zip(("dollar", "euro", "pound"), _MONEY, strict=True))
_QUANTITY = re.compile(
    r"([$\u20ac\u00a3])?\b([0-9][0-9,]*(?:\.[0-9]+)?) ?(?:(?:business |working |calendar )?"
    r"(dollar|euro|pound|minute|hour|day|week|month|year)s?\b)?"
)


@labeling_function(resources={"accept_from": 0.9, "reject_below": 0.5, "min_terms": 4})
def word_support(x: Example, accept_from: float, reject_below: float, min_terms: int) -> int:
    """ACCEPT when the context has ``accept_from`` of the response's terms, REJECT when under ``reject_below``.

    Source: the copy rate of summaries (Grusky et al. 2018, NEWSROOM, arXiv:1804.11283), on stems without stop words. An
    answer of which half the terms are new leans on something else than the context.

    >>> context = "The yearly fee is $95. It is charged in May."
    >>> word_support(Example(context=context, response="The fee of $95 is charged every year in May: yearly."))
    -1
    >>> word_support(Example(context=context, response="The yearly fee of $95 is charged in May."))
    1
    >>> word_support(Example(context=context, response="Gold members enjoy free airport lounges."))
    0
    """
    found = terms(substance(x.response))
    known = stems(x.context)
    if not known or len(found) < min_terms:
        return ABSTAIN
    share = sum(term in known for term in found) / len(found)
    return _vote(x, share >= accept_from, share < reject_below)


@labeling_function(resources={"accept_from": 0.7, "reject_below": 0.25, "min_words": 8})
def phrase_support(x: Example, accept_from: float, reject_below: float, min_words: int) -> int:
    """ACCEPT when ``accept_from`` of the words stand in word pairs that the context has, REJECT under ``reject_below``.

    Source: extractive fragment coverage (Grusky et al. 2018, NEWSROOM, arXiv:1804.11283), with pairs of stems in the
    place of the longest fragments. Shared words alone can be chance; shared phrases hardly are.

    >>> context = "You can dispute a charge within 60 days of the statement by calling us."
    >>> phrase_support(Example(context=context, response="You can dispute a charge within 60 days by calling us."))
    1
    >>> phrase_support(Example(context=context, response="Charges older than two months are final, call the shop."))
    0
    >>> phrase_support(Example(context=context, response="Within 60 days of it, a customer may dispute a charge."))
    -1
    """
    own = [stem(word) for word in words(substance(x.response))]
    known = pairs(x.context)
    if not known or len(own) < min_words:
        return ABSTAIN
    found = [False, *(pair in known for pair in ngrams(own, 2)), False]
    share = sum(before or after for before, after in ngrams(found, 2)) / len(own)
    return _vote(x, share >= accept_from, share < reject_below)


@labeling_function(resources={"accept_from": 0.8, "reject_below": 0.2, "min_terms": 3})
def sentence_support(x: Example, accept_from: float, reject_below: float, min_terms: int) -> int:
    """REJECT when the context lacks most terms of some sentence, ACCEPT when it has ``accept_from`` of every one's.

    "Most" is all but ``reject_below``.

    Source: sentence-level consistency, where an answer is as faithful as its weakest sentence (Laban et al. 2022,
    SummaC, arXiv:2111.09525), with shared terms in the place of an entailment model.

    >>> context = "The yearly fee of $95 is charged in May. Lost cards are replaced free of charge."
    >>> right, half = "The yearly fee of $95 is charged.", "The yearly fee falls due each spring."
    >>> invented = "Gold members enjoy airport lounges worldwide."
    >>> [sentence_support(Example(context=context, response=r)) for r in (right, half, f"{right} {invented}")]
    [1, -1, 0]
    """
    known = stems(x.context)
    long = [found for found in sentence_terms(substance(x.response)) if len(found) >= min_terms]
    if not known or not long:
        return ABSTAIN
    weakest = min(sum(term in known for term in found) / len(found) for found in long)
    return _vote(x, weakest >= accept_from, weakest < reject_below)


@labeling_function
def missing_number(x: Example) -> int:
    """REJECT when the response has a number that neither context, instruction nor earlier turns have.

    Source: number mismatches as a sign of hallucination (Zhao, Cohen, Webber 2020, HERMAN, arXiv:2009.13312). Not for
    answers that must compute.

    >>> context = "The yearly fee is $1,000."
    >>> missing_number(Example(context=context, response="You pay 1200 dollars."))
    0
    >>> missing_number(Example(context=context, response="You pay 1000 dollars."))
    -1
    """
    return REJECT if x.context.strip() and _has_new_number(x) else ABSTAIN


@labeling_function(resources={"min_numbers": 2})
def numbers_supported(x: Example, min_numbers: int) -> int:
    """ACCEPT when the response has ``min_numbers`` different numbers or more, all of them in the context.

    Source: ours; the reverse of ``missing_number``. Two figures that both agree are seldom chance.

    >>> context = "A dispute takes 60 days and costs $5."
    >>> numbers_supported(Example(context=context, response="It costs 5 dollars and takes 60 days."))
    1
    >>> numbers_supported(Example(context=context, response="It takes 60 days."))
    -1
    """
    own = set(numbers(x.response))
    return _vote(x, len(own) >= min_numbers and own.issubset(numbers(x.context)), False)


@labeling_function
def missing_name(x: Example) -> int:
    """REJECT when the response has a name of which no word is in the context, the instruction or earlier turns.

    Source: entity-level precision (Nan et al. 2021, arXiv:2102.09130), with capitalised sequences in the place of an
    entity recogniser.

    >>> context = "Ann Lee leads the fraud desk."
    >>> missing_name(Example(context=context, response="Please ask for Robert Stone at the desk."))
    0
    >>> missing_name(Example(context=context, response="Please ask for Ann at the desk."))
    -1
    """
    known = stems(x.context) | stems(x.instruction) | stems(x.prompt_prefix)
    missing = any(known.isdisjoint(stems(name)) for name in names(x.response))
    return REJECT if x.context.strip() and missing else ABSTAIN


@labeling_function
def wrong_unit(x: Example) -> int:
    """REJECT when a number has one unit of time or money in the response, and only others of its kind in the context.

    Source: quantity mismatches as a sign of hallucination (Zhao, Cohen, Webber 2020, HERMAN, arXiv:2009.13312).

    >>> context = "A dispute takes 6 weeks and costs $5."
    >>> wrong_unit(Example(context=context, response="It takes 6 months."))
    0
    >>> wrong_unit(Example(context=context, response="It takes 6 weeks and costs 5 dollars."))
    -1
    """
    known: dict[tuple[str, bool], set[str]] = {}
    for number, unit in _quantities(x.context):
        known.setdefault((number, unit in _MONEY), set()).add(unit)
    given = [(known.get((number, unit in _MONEY)), unit) for number, unit in _quantities(x.response)]
    return REJECT if any(there and unit not in there for there, unit in given) else ABSTAIN


def _quantities(text: str) -> list[tuple[str, str]]:
    """Return each number that has a unit of time or money, with the unit: "$5" and "5 dollars" are both ("5", "$")."""
    found = []
    for sign, number, unit in _QUANTITY.findall(text.lower()):
        name = sign or _SIGNS.get(unit, unit)
        if name:
            found.append((normal(number.rstrip(",")), name))
    return found


def _has_new_number(x: Example) -> bool:
    known = {*numbers(x.context), *numbers(x.instruction), *numbers(x.prompt_prefix)}
    return not known.issuperset(numbers(x.response))


def _vote(x: Example, is_good: bool, is_bad: bool) -> int:
    if is_bad:
        return REJECT
    is_sound = is_good and not _has_new_number(x) and form.is_sound(x.response, x.prompt_prefix, x.instruction)
    return ACCEPT if is_sound else ABSTAIN
