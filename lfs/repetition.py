"""Says the same thing again and again."""

from collections import Counter

from weaklm import ABSTAIN, REJECT, Example, form, labeling_function
from weaklm.text import ngrams, words


@labeling_function(resources={"min_words": 5, "max_share": 0.2})
def repeated_sentences(x: Example, min_words: int, max_share: float) -> int:
    """REJECT when repeats of sentences of ``min_words`` words or more make up more than ``max_share`` of the words.

    Source: the duplicate-line rule of Gopher's repetition filter and its threshold (Rae et al. 2021, arXiv:2112.11446);
    instructions of many steps may well repeat one.

    >>> repeated_sentences(Example(response="You can call us by day. Or write. You can call us by day."))
    0
    >>> repeated_sentences(Example(response="You can call us by day. Or write. Or write."))
    -1
    """
    return REJECT if form.repeated_sentences(x.response, min_words) > max_share else ABSTAIN


@labeling_function(resources={"n": 4, "max_share": 0.15})
def repeated_phrases(x: Example, n: int, max_share: float) -> int:
    """REJECT when more than ``max_share`` of the runs of ``n`` words came before.

    Source: the duplicate n-gram rule of Gopher's repetition filter (Rae et al. 2021, arXiv:2112.11446).

    >>> repeated_phrases(Example(response="To pay your bill online, and to pay your bill online, log in."))
    0
    >>> repeated_phrases(Example(response="To pay your bill online, log in and choose the card."))
    -1
    """
    return REJECT if form.repeated_phrases(x.response, n) > max_share else ABSTAIN


@labeling_function(resources={"times": 3})
def stutters(x: Example, times: int) -> int:
    """REJECT when one word or pair of words comes ``times`` times in a row.

    Source: degenerate repetition of language models (Holtzman et al. 2020, arXiv:1904.09751).

    >>> stutters(Example(response="The fee fee fee is $5."))
    0
    >>> stutters(Example(response="The fee, the fee is $5."))
    -1
    """
    return REJECT if form.stutters(x.response, times) else ABSTAIN


@labeling_function(resources={"max_share": 0.3, "min_words": 30})
def one_track(x: Example, max_share: float, min_words: int) -> int:
    """REJECT when one pair of words makes up more than ``max_share`` of a response of ``min_words`` words or more.

    Source: the most frequent n-gram rule of Gopher's repetition filter (Rae et al. 2021, arXiv:2112.11446).

    >>> one_track(Example(response="Pay now or pay later, pay now and pay now, " * 5))
    0
    >>> one_track(Example(response="Pay now."))
    -1
    """
    found = words(x.response)
    if len(found) < min_words:
        return ABSTAIN
    most = Counter(ngrams(found, 2)).most_common(1)[0][1]
    return REJECT if 2 * most / len(found) > max_share else ABSTAIN
