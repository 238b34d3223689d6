"""Texts taken apart: words, terms, sentences, numbers, names, phrases; what functions and features share.

Every function takes one string and returns a tuple, in the order of the text. The results are kept for the last few
texts, so that ten functions that look at one example take its texts apart once.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

# What the last texts gave is kept: an applier shows one example to every function, so a few texts are enough.
_KEPT = 64

# A line end with the marker of a numbered list, a number, a word, or marks that may end a sentence; not those of "U.S."
_MARKER = r"[0-9]{1,2}[.)]\s+"
_LINE_END = rf"\n\s*(?:{_MARKER})?"
_TOKEN = re.compile(
    rf"\A\s*{_MARKER}|{_LINE_END}|(?<=\s)\(?[0-9]{{1,2}}\)\s|[0-9]+(?:[.,][0-9]+)*|[^\W_]+"
    rf"|(?<!\b[^\W\d_])[.!?:]+[\"\u201d\u2019')\]*]*(?:[^\S\n]*{_LINE_END}|\s)?"
)
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")

_STOP_WORDS = """
a about above after again against all also although am among an and any are aren as at be because been before being
below between both but by can cannot could couldn d did didn do does doesn doing don done down during each either
else etc even ever every few for from further get gets getting give given go goes going got had hadn has hasn have
haven having he her here hers herself him himself his how however i if in into is isn it its itself just ll let like
m made make makes making many may me might mine more most much must my myself n need neither no nor not now of off
often on once one only or other others otherwise our ours ourselves out over own per please rather re really s same
shall she should shouldn since so some something such t than that the their theirs them themselves then there
therefore these they thing things this those though through thus to too toward under until up upon us use used using
ve very via was wasn way we well were weren what whatever when where whether which while who whom whose why will
with within without won would wouldn yes yet you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_HEDGES = """
apparently approximately arguably believe could generally guess likely may maybe might often perhaps possibly
potentially presumably probably roughly seem seems sometimes suggest suggests think typically usually
"""
HEDGES = frozenset(_HEDGES.split())

# "one" is left out: it is a pronoun as often as a number.
_TO_NINETEEN = """
two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {
    word: str(value)
    for row, values in ((_TO_NINETEEN, range(2, 20)), (_TENS, range(20, 100, 10)))
    for word, value in zip(row.split(), values, strict=True)
}

# On texts in small letters with straight apostrophes.
REFUSAL = re.compile(
    r"\b(?:sorry|afraid),? (?:but|that|(?:i|we) (?:can|do|did|am|have))\b"
    r"|\b(?:i|we)(?: am|'m| are|'re)? (?:(?:unable|not able|not allowed|not permitted) to\b"
    r"|(?:can ?not|can't|won't|will not) "
    r"(?:answer|help|assist|provide|find|give|offer|share|discuss|say|tell|advise|comment)\b"
    r"|(?:just |only )?an? (?:ai|language model|virtual)\b)"
    r"|\bas an? (?:ai|artificial|language model|virtual)\b"
    r"|\b(?:this|that|it) (?:can ?not|can't|must not|may not) be (?:answered|discussed|disclosed|given|shared|told)\b"
)
COURTESY = re.compile(
    r"\b(?:thanks?|thank you|(?:you are|you're) welcome|glad|happy to|hope (?:this|that|it)|let (?:me|us) know|sorry"
    r"|apologies|apologi[sz]e|good (?:question|day|luck)|great question|have a (?:good|great|nice|lovely)|feel free"
    r"|(?:other|more|further|another|any) questions?|anything (?:else|is unclear)|of course|certainly|please ask)\b"
)
ADMISSION = re.compile(
    r"\b(?:(?:i|we) (?:do not|don't|did not|didn't) (?:know|have|see|find)\b"
    r"|no (?:specific |relevant |further |such )?(?:information|mention|details?)\b[^.]{0,60}?"
    r"\b(?:available|provided|given|found|mentioned|in the|about|on|regarding)\b"
    r"|(?:does|do|did|is|are|was|were)(?: not|n't) (?:[a-z]+ ){0,2}"
    r"(?:mention|specif|provide|contain|include|state|address|discuss|cover|say))"
)


@lru_cache(maxsize=_KEPT)
def tokens(text: str) -> tuple[str, ...]:
    """Return words and numbers as written, with the marks and line ends that separate sentences between them.

    >>> tokens("Pay $1,000 by 5 May. Call the U.S. office.")
    ('Pay', '1,000', 'by', '5', 'May', '. ', 'Call', 'the', 'U', 'S', 'office', '.')
    """
    return tuple(_TOKEN.findall(text))


def is_break(token: str) -> bool:
    """Tell whether a token of :func:`tokens` separates sentences: a line end, a list marker, or marks before a space.

    >>> [is_break(token) for token in (". ", ".", "word")]
    [True, False, False]
    """
    return token[-1].isspace()


@lru_cache(maxsize=1 << 16)
def normal(token: str) -> str:
    """Return a word in lower case, a number without separators and trailing zeros, a number word as digits.

    >>> [normal(token) for token in ("Fees", "1,000", "5.50", "007", "Twelve")]
    ['fees', '1000', '5.5', '7', '12']
    """
    if not token[0].isdecimal():
        lower = token.lower()
        return _NUMBER_WORDS.get(lower, lower)
    if _GROUPED.fullmatch(token):
        token = token.replace(",", "")
    if not _DECIMAL.fullmatch(token):
        return token
    whole, _, part = token.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return a normal word without its English inflection, so that "fees" meets "fee" and "applied" meets "apply".

    Source: the S-stemmer (Harman 1991, J. Am. Soc. Inf. Sci. 42), with -ed and -ing added. A light one on purpose:
    a word that is cut too far looks supported by a context that says something else.

    >>> [stem(word) for word in ("fees", "policies", "applied", "stopping", "charges", "charged", "bus")]
    ['fee', 'policy', 'apply', 'stop', 'charg', 'charg', 'bus']
    """
    if len(word) < 4 or not word[-1].isalpha():
        return word
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is", "eed")):
            word = word[: -len(ending)]
            break
    if word.endswith(("se", "xe", "ze", "che", "she")) or (word[-1] == "e" and len(word) > 3):
        word = word[:-1]
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiols"
    return word[:-1] if doubled else word


@lru_cache(maxsize=_KEPT)
def words(text: str) -> tuple[str, ...]:
    """Return every word and number in its normal form.

    >>> words("You'll pay $1,000.00 by May.")
    ('you', 'll', 'pay', '1000', 'by', 'may')
    """
    return tuple(normal(token) for token in tokens(text) if token[-1].isalnum())


@lru_cache(maxsize=_KEPT)
def terms(text: str) -> tuple[str, ...]:
    """Return the words that carry meaning: without stop words and single letters, each as its stem.

    >>> terms("The fees that you paid were $5 a month.")
    ('fee', 'paid', '5', 'month')
    """
    return tuple(stem(word) for word in words(text) if is_term(word))


@lru_cache(maxsize=1 << 16)
def is_term(word: str) -> bool:
    """Tell whether a normal word carries meaning: a number, or a word of two letters and more that is no stop word.

    >>> [is_term(word) for word in ("fee", "needs", "a", "7")]
    [True, False, False, True]
    """
    return word[0].isdecimal() or (len(word) > 1 and STOP_WORDS.isdisjoint((word, stem(word))))


@lru_cache(maxsize=_KEPT)
def sentences(text: str) -> tuple[str, ...]:
    """Return the sentences and lines; those without a word are left out.

    >>> sentences("Call us. We answer in 2 days:\\n- by mail\\n- by phone")
    ('Call us.', 'We answer in 2 days:', '- by mail', '- by phone')
    """
    parts, start = [], 0
    for match in _TOKEN.finditer(text):
        if is_break(match[0]):
            marks = match[0].split()[0] if match[0][0] in ".!?:" else ""
            parts.append(text[start : match.start()] + marks)
            start = match.end()
    parts.append(text[start:])
    return tuple(part.strip() for part in parts if any(map(str.isalnum, part)))


@lru_cache(maxsize=_KEPT)
def sentence_words(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of each sentence.

    >>> sentence_words("Call us. We answer.")
    (('call', 'us'), ('we', 'answer'))
    """
    found: list[list[str]] = [[]]
    for token in tokens(text):
        if token[-1].isalnum():
            found[-1].append(normal(token))
        elif is_break(token) and found[-1]:
            found.append([])
    return tuple(tuple(sentence) for sentence in found if sentence)


@lru_cache(maxsize=_KEPT)
def sentence_terms(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the terms of each sentence.

    >>> sentence_terms("Call us. The fees apply.")
    (('call',), ('fee', 'apply'))
    """
    return tuple(tuple(stem(word) for word in found if is_term(word)) for found in sentence_words(text))


@lru_cache(maxsize=_KEPT)
def numbers(text: str) -> tuple[str, ...]:
    """Return the numbers in their normal form, those written as words too, without list markers.

    >>> numbers("1. Pay $1,000 within twelve days.")
    ('1000', '12')
    """
    return tuple(word for word in words(text) if word[0].isdecimal())


@lru_cache(maxsize=_KEPT)
def names(text: str) -> tuple[str, ...]:
    """Return the sequences of capitalised words that do not begin a sentence or line.

    >>> names("Yesterday Ada Lovelace met Mr Babbage in London. The Bank of England was closed.")
    ('Mr Babbage', 'London', 'England')
    """
    found: list[str] = []
    run: list[str] = []
    at_start = True  # until the first word in small letters: a heading or an opening word shows no name
    for token in (*tokens(text), "\n"):
        if token[0].isupper() and not at_start:
            run.append(token)
            continue
        if any(is_term(word.lower()) for word in run):
            found.append(" ".join(run))
        run = []
        at_start = is_break(token) or (at_start and not token[0].islower())
    return tuple(found)


@lru_cache(maxsize=_KEPT)
def stems(text: str) -> frozenset[str]:
    """Return the different stems of all words: what a text knows.

    >>> sorted(stems("The fees apply. A fee!"))
    ['a', 'apply', 'fee', 'the']
    """
    return frozenset(map(stem, words(text)))


@lru_cache(maxsize=_KEPT)
def pairs(text: str) -> frozenset[tuple[str, ...]]:
    """Return the different pairs of neighbouring stems.

    >>> sorted(pairs("The fees apply."))
    [('fee', 'apply'), ('the', 'fee')]
    """
    return frozenset(ngrams([stem(word) for word in words(text)], 2))


def ngrams(items: Sequence[T], n: int) -> tuple[tuple[T, ...], ...]:
    """Return every run of n neighbours.

    >>> ngrams(("a", "b", "c"), 2)
    (('a', 'b'), ('b', 'c'))
    """
    return tuple(zip(*(items[i:] for i in range(n)), strict=False))


@lru_cache(maxsize=_KEPT)
def refusals(text: str) -> tuple[str, ...]:
    """Return the phrases by which an answer declines, in small letters: it cannot help, or is only a machine.

    >>> refusals("I'm sorry, but I cannot help with that.")
    ('sorry, but', 'i cannot help')
    """
    return tuple(REFUSAL.findall(plain(text)))


@lru_cache(maxsize=_KEPT)
def admissions(text: str) -> tuple[str, ...]:
    """Return the phrases by which an answer admits that it or its source does not know, in small letters.

    >>> admissions("The document does not mention the fee.")
    ('does not mention',)
    """
    return tuple(ADMISSION.findall(plain(text)))


@lru_cache(maxsize=_KEPT)
def substance(text: str) -> str:
    """Return the text without its courtesies: thanks, regrets, wishes, offers of more help.

    >>> substance("Thank you for asking. The fee is $5. I hope this helps!")
    'The fee is $5. '
    """
    dropped = courtesies(text)
    return "".join(part for i, part in enumerate(_parts(text)) if i not in dropped) if dropped else text


def courtesies(text: str) -> tuple[int, ...]:
    """Return which parts between the breaks are courtesies; the first part is 0.

    Only short ones are (12 words at most), and none that declines or admits not to know.

    >>> courtesies("Thank you for asking. The fee is $5. I hope this helps!")
    (0, 2)
    """
    if not COURTESY.search(plain(text)):
        return ()
    return tuple(i for i, part in enumerate(_parts(text)) if is_courtesy(plain(part)))


def is_courtesy(part: str) -> bool:
    """Tell whether a sentence in small letters with straight apostrophes is a courtesy.

    >>> is_courtesy("thank you for asking."), is_courtesy("i'm sorry, but i cannot help.")
    (True, False)
    """
    if len(part.split()) > 12 or not COURTESY.search(part):
        return False
    return not (REFUSAL.search(part) or ADMISSION.search(part))


def _parts(text: str) -> list[str]:
    ends = [match.end() for match in _TOKEN.finditer(text) if is_break(match[0])]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def plain(text: str) -> str:
    """Return the text in small letters with straight apostrophes, as the patterns of phrases expect it."""
    return text.lower().replace("\u2019", "'")


@lru_cache(maxsize=_KEPT)
def hedges(text: str) -> tuple[str, ...]:
    """Return the words by which an answer leaves open whether it is so.

    >>> hedges("It may perhaps take a week.")
    ('may', 'perhaps')
    """
    return tuple(word for word in words(text) if word in HEDGES)
