"""What an instruction asks for: yes or no, a figure, a way to do something, a reason, a comparison.

Source: the question classes of Li and Roth 2002 (doi:10.3115/1072228.1072378) for figures, of Bolotova et al. 2022
(doi:10.1145/3477495.3531926) for ways, reasons and comparisons; told by words, not by a trained classifier.
"""

import re

from weaklm.text import words

YES_NO = frozenset(
    ("is", "are", "was", "were", "do", "does", "did", "can", "could", "will", "would", "should", "has", "have", "may")
)
FIGURE = re.compile(
    r"\bhow (?:much|many|long|old|often|far|high|large|big|soon|late)\b|\bwhen\b"
    r"|\bwhat(?: is| are|'s| was| were) the (?:[a-z]+ ){0,2}"
    r"(?:fee|rate|cost|price|limit|charge|deadline|percentage|number|amount|minimum|maximum|year|date|age)\b"
    r"|\bwhat (?:percentage|number|amount|year|date|rate|price|age)\b"
)
WAY = re.compile(
    r"\bhow (?:to|(?:do|can|could|should|would|must) (?:i|we|you|one))\b|\b(?:ways?|steps?|procedure) (?:to|for|of)\b"
    r"|\b(?:which|what)(?: are the)? steps\b|\bwhat (?:do|must|should) i (?:have to )?do to\b"
)
PERSON = re.compile(r"\bwho(?:m|se)?\b|\bwhich (?:person|actor|author|president)\b")
_REASON = re.compile(r"\bwhy\b|\bhow come\b|\b(?:reasons?|causes?) (?:for|of|behind|why|that)\b|\bwhat causes\b")
_COMPARISON = re.compile(r"\b(?:differences?|differs?|compared?|comparison|versus|vs|better|worse|rather than)\b")


def asks_yes_no(text: str) -> bool:
    """Tell whether a text begins with an auxiliary verb and asks nothing beyond it.

    >>> [asks_yes_no(text) for text in ("Is there a fee?", "Is there a fee, and how high is it?", "What is the fee?")]
    [True, False, False]
    """
    asked = words(text)
    return bool(asked) and asked[0] in YES_NO and not asks_figure(text)


def asks_figure(text: str) -> bool:
    """Tell whether a text asks for a number, an amount, a duration or a date.

    >>> [asks_figure(text) for text in ("How much is the fee?", "What is the late fee?", "How do I pay?")]
    [True, True, False]
    """
    return FIGURE.search(text.lower()) is not None


def asks_way(text: str) -> bool:
    """Tell whether a text asks for a way to do something, or for its steps.

    >>> [asks_way(text) for text in ("How do I pay?", "Which steps reset a PIN?", "How much is the fee?")]
    [True, True, False]
    """
    return WAY.search(text.lower()) is not None and not asks_figure(text)


def asks_reason(text: str) -> bool:
    """Tell whether a text asks why.

    >>> [asks_reason(text) for text in ("Why did my score fall?", "What is my score?")]
    [True, False]
    """
    return _REASON.search(text.lower()) is not None


def asks_comparison(text: str) -> bool:
    """Tell whether a text sets one thing against another.

    >>> [asks_comparison(text) for text in ("What is the difference between the cards?", "What is a card?")]
    [True, False]
    """
    return _COMPARISON.search(text.lower()) is not None
