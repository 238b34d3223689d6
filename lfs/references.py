"""Refers to what is not there: passages that were not given, links that nobody named, claims without a citation.

Citations are numbers in brackets, [2], as the numbered passages of a context have them.
"""

import re

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, form, labeling_function
from weaklm.text import sentences, stems, terms, words

_CITED = re.compile(r"\[([0-9]{1,2})\]")
_PASSAGE = re.compile(r"^[ \t]*\[([0-9]{1,2})\]", re.MULTILINE)
_LINK = re.compile(r"\bhttps?://(?:www\.)?([\w.-]*\w)|\bwww\.([\w.-]*\w)", re.IGNORECASE)


@labeling_function
def missing_passage(x: Example) -> int:
    """REJECT when the response cites a passage by a number that the context does not have.

    Source: citations that can be followed (Gao et al. 2023, ALCE, arXiv:2305.14627).

    >>> context = "[1] The fee is $5.\\n[2] It is due in May."
    >>> missing_passage(Example(context=context, response="The fee is $5 [3]."))
    0
    >>> missing_passage(Example(context=context, response="The fee is $5 [1]."))
    -1
    """
    known = set(_PASSAGE.findall(x.context))
    return REJECT if known and not known.issuperset(_CITED.findall(x.response)) else ABSTAIN


@labeling_function(resources={"min_share": 0.5, "min_terms": 4})
def leaves_uncited(x: Example, min_share: float, min_terms: int) -> int:
    """REJECT when the response cites passages, but in less than ``min_share`` of its sentences.

    Sentences of fewer than ``min_terms`` terms do not count; in a response with code, [1] is an index.

    Source: citation recall (Liu, Zhang, Liang 2023, arXiv:2304.09848): what is left without a citation in a response
    that has some was often added.

    >>> cited, more = "The yearly fee of $5 is charged in May [1].", "Gold members enjoy free lounges worldwide."
    >>> leaves_uncited(Example(response=f"{cited} {more} Lost cards are replaced within two days."))
    0
    >>> leaves_uncited(Example(response=f"{cited} {more}"))
    -1
    """
    if "=" in x.response or "[0]" in x.response or not _CITED.search(x.response):
        return ABSTAIN
    claims = [sentence for sentence in sentences(x.response) if len(terms(sentence)) >= min_terms]
    n_cited = sum(_CITED.search(sentence) is not None for sentence in claims)
    return REJECT if n_cited < min_share * len(claims) else ABSTAIN


@labeling_function(resources={"min_support": 0.6, "min_terms": 3, "min_passage": 30})
def citations_supported(x: Example, min_support: float, min_terms: int, min_passage: int) -> int:
    """ACCEPT when every sentence with a citation has ``min_support`` of its terms in the passages that it cites.

    Passages of fewer than ``min_passage`` different words, such as bare addresses, do not count.

    Source: citation precision (Gao et al. 2023, ALCE, arXiv:2305.14627), with shared terms in the place of an
    entailment model.

    >>> context = "[1] " + " ".join(f"The fee of card {n} is charged in May." for n in range(60))
    >>> citations_supported(Example(context=context, response="The card fee is charged in May [1]."))
    1
    >>> citations_supported(Example(context=context, response="Lounges are free for members [1]."))
    -1
    """
    passages = _passages(x.context)
    shares = []
    for sentence in sentences(x.response):
        cited, said = _CITED.findall(sentence), terms(_CITED.sub("", sentence))
        known = frozenset[str]().union(*(stems(passages.get(number, "")) for number in cited))
        if len(known) >= min_passage and len(said) >= min_terms:
            shares.append(sum(term in known for term in said) / len(said))
    is_good = bool(shares) and min(shares) >= min_support
    return ACCEPT if is_good and form.is_sound(x.response, x.prompt_prefix, x.instruction) else ABSTAIN


@labeling_function(resources={"min_words": 30})
def missing_link(x: Example, min_words: int) -> int:
    """REJECT when the response links to a site that the prompt does not name, given ``min_words`` words of context.

    Source: made-up references (Agrawal et al. 2023, arXiv:2305.18248), for links.

    >>> context = "Fees are charged in May. " * 8 + "See ourbank.com."
    >>> missing_link(Example(context=context, response="See https://www.card-fees.org/list."))
    0
    >>> missing_link(Example(context=context, response="See https://www.ourbank.com/fees."))
    -1
    """
    if len(words(x.context)) < min_words:
        return ABSTAIN
    known = f"{x.instruction}\n{x.context}\n{x.prompt_prefix}".lower()
    sites = [first or second for first, second in _LINK.findall(x.response)]
    return REJECT if any(site.lower() not in known for site in sites) else ABSTAIN


def _passages(context: str) -> dict[str, str]:
    """Return the numbered passages of a context: number -> text."""
    found: dict[str, str] = {}
    parts = _PASSAGE.split(context)
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        found[number] = f"{found.get(number, '')} {text}"
    return found
