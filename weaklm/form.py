"""Defects that show in the form of a response, whatever it says: it repeats, breaks off, echoes, is wrapped in code.

Each function takes the response, and the texts of the prompt where it needs them. What they find is rare and seldom
wrong, so functions that ACCEPT for other reasons first ask :func:`is_sound`; the quality model has them as features.
"""

import re
from collections import Counter
from functools import lru_cache

from weaklm.text import ngrams, sentence_words, tokens, words

_MACHINE = re.compile(
    r"<\|[a-z_]+\|>|</?s>|\[/?INST\]|<</?SYS>>|\{\{(?:(?!\{\{).)*?\}\}|\[(?:insert|your|name|date|company)\b[^\]]*\]"
    r"|^#{2,} ?(?:response|instruction|input|output|context|question|answer)\b"
    r"|^(?:user|human|assistant|system|instruction|question|context|response) ?:",
    re.IGNORECASE | re.MULTILINE,
)
_LIST_LINE = re.compile(r"\s*(?:[-*\u2022]|[0-9]{1,2}[.)])\s")
_WRAPPED = re.compile(r"\s*(?:\{\s*\".*\}|\[\s*[\[{\"].*\]|```.*```|<([a-z][a-z0-9]*)\b[^>]*>.*</\1>)\s*", re.DOTALL)
_ASKS_MARKUP = re.compile(r"\b(?:json|html|xml|code|markdown|script|function|query|yaml|program)\b", re.IGNORECASE)
_ENDED = re.compile(r"[.!?]\s")
_OPEN_END = frozenset(("a", "an", "the", "and", "or", "of", "my", "your", "our", "their", "because", "unless"))
_LIMIT = re.compile(
    r"\b(?:at most|no more than|not more than|up to|under|below|less than|fewer than|within|maximum(?: of)?|max\.?)"
    r" ([0-9]{1,4}) words\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=64)
def is_sound(response: str, *prompts: str) -> bool:
    """Tell whether no function below, with its default threshold, finds a defect.

    >>> is_sound("The fee is $5 a month."), is_sound("The fee is $5 a month, and the")
    (True, False)
    """
    found = (
        repeated_sentences(response) > 0.2
        or repeated_phrases(response) > 0.15
        or stutters(response)
        or breaks_off(response)
        or has_machine_tokens(response)
        or is_wrapped(response, *prompts)
        or capital_share(response) > 0.6
        or echoes(response, *prompts)
        or length_to_limit(response, *prompts) > 1.1
    )
    return not found


def repeated_sentences(response: str, min_words: int = 5) -> float:
    """Return the share of the words that stand in sentences of ``min_words`` words or more that came before.

    >>> repeated_sentences("You can call us today. You can call us today.")
    0.5
    """
    found = sentence_words(response)
    again = Counter(sentence for sentence in found if len(sentence) >= min_words)
    n_again = sum(len(sentence) * (times - 1) for sentence, times in again.items())
    return n_again / max(sum(map(len, found)), 1)


def repeated_phrases(response: str, n: int = 4) -> float:
    """Return the share of the runs of ``n`` words that came before; 0 for a response without any.

    >>> repeated_phrases("pay the bill now pay the bill now pay the bill")
    0.5
    """
    runs = ngrams(words(response), n)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def stutters(response: str, times: int = 3) -> bool:
    """Tell whether one word or pair of words comes ``times`` times in a row.

    >>> stutters("The fee fee fee is $5.")
    True
    """
    found = words(response)
    return any(run[:n] * times == run for n in (1, 2) for run in ngrams(found, n * times))


def breaks_off(response: str, min_words: int = 3) -> bool:
    """Tell whether the end lacks its mark, after a sentence that has one or on a word that ends no sentence.

    Lists, tables, code and links may end without a mark.

    >>> breaks_off("You have 60 days. Call the number on"), breaks_off("You have 60 days")
    (True, False)
    >>> breaks_off("Yes. See https://ourbank.com/fees")
    False
    """
    text = response.rstrip()
    found = text.split()
    is_marked = not text or not (text[-1].isalnum() or text[-1] in ",;-(&\u2013\u2014")
    if is_marked or len(found) < min_words or "://" in found[-1]:
        return False
    last_line = text[text.rfind("\n") + 1 :]
    is_loose = _LIST_LINE.match(last_line) is not None or "```" in text or "|" in last_line
    return found[-1].strip(",;(").lower() in _OPEN_END or (_ENDED.search(text) is not None and not is_loose)


def has_machine_tokens(response: str) -> bool:
    """Tell whether chat-template tokens, role headings or unfilled placeholders were left.

    >>> has_machine_tokens("The fee is $5. <|im_end|>"), has_machine_tokens("Dear [NAME], the fee is $5.")
    (True, True)
    >>> has_machine_tokens("Answer: $5")
    False
    """
    return _MACHINE.search(response) is not None


def is_wrapped(response: str, *prompts: str) -> bool:
    """Tell whether all of the response is JSON, an HTML element or a code block, and the prompts speak of none.

    >>> is_wrapped('{"fee": 5}'), is_wrapped('{"fee": 5}', "Give the fee as JSON.")
    (True, False)
    """
    return _WRAPPED.fullmatch(response) is not None and not any(map(_ASKS_MARKUP.search, prompts))


def capital_share(response: str, min_words: int = 5) -> float:
    """Return the share of the words in capitals, of at least ``min_words`` words; single letters are none.

    >>> capital_share("THE FEE IS FIVE DOLLARS"), capital_share("The APR is 5 per cent a year, see MyBank")
    (1.0, 0.1)
    """
    found = [token for token in tokens(response) if token[-1].isalnum()]
    return sum(len(token) > 1 and token.isupper() for token in found) / max(len(found), min_words)


def echoes(response: str, *prompts: str, min_words: int = 5) -> bool:
    """Tell whether a sentence of ``min_words`` words or more repeats one of the prompts.

    >>> echoes("How high is the fee? It is $5.", "How high is the fee?")
    True
    """
    own = {found for found in sentence_words(response) if len(found) >= min_words}
    return not all(own.isdisjoint(sentence_words(prompt)) for prompt in prompts)


def length_to_limit(response: str, *prompts: str) -> float:
    """Return the number of words over the last limit on words that the prompts name; 0 where they name none.

    >>> length_to_limit("The yearly cost of a loan.", "Use at most 3 words.")
    2.0
    """
    limits = [number for prompt in prompts if " words" in prompt for number in _LIMIT.findall(prompt)]
    return len(response.split()) / max(int(limits[-1]), 1) if limits else 0.0
