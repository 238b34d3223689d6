"""Reckons wrongly, or gives figures that cannot be: sums that do not hold, dates that no calendar has."""

import re
from itertools import pairwise

from weaklm import ABSTAIN, REJECT, Example, labeling_function

_NUMBER = r"\$?[0-9][0-9,]*(?:\.[0-9]+)?"
_SIGNS = r"[-+*/\u00d7\u00f7\u2212x]"
_BEFORE = re.compile(rf"({_NUMBER}(?: ?{_SIGNS} ?{_NUMBER})+) ?$")
_AFTER = re.compile(rf" ?([-\u2212]?{_NUMBER})(?![.,]?[0-9]| ?(?:{_SIGNS}|[0-9%^(]|r\b|rem))")
_STEP = re.compile(rf"({_SIGNS}?) ?({_NUMBER})")
_NOT_A_SUM = re.compile(  # what its first number belongs to: Q1, 12:30, page 2
    r"(?:[^\W\d]|[0-9]:|\b(?:pages?|pp?\.|lines?|chapters?|sections?|verses?|steps?|questions?|figures?|tables?) )$",
    re.IGNORECASE,
)
_REACH = 100  # characters before an equals sign in which a sum may begin
_IMPOSSIBLE = re.compile(
    r"\bfeb(?:ruary|\.)? 3[01](?:st|th)?\b|\b3[01](?:st|th)?(?: of)? february\b"
    r"|\b(?:april|june|september|november) 31(?:st)?\b|\b31(?:st)?(?: of)? (?:april|june|september|november)\b"
    r"|\b(?:probability|chance|likelihood)(?: of [a-z ]{1,40}?)? is"
    r" (?:10[1-9]|1[1-9][0-9]|[2-9][0-9]{2}|[1-9][0-9]{3,}) ?(?:%|per ?cent)"
    r"|\b(?:2[5-9]|[3-9][0-9]):[0-5][0-9] ?[ap]\.?m\b"
)


@labeling_function(resources={"tolerance": 0.01})
def wrong_equation(x: Example, tolerance: float) -> int:
    """REJECT when the response writes a sum, difference, product or quotient of numbers that does not hold.

    Rounding, within the digits given or ``tolerance`` of the value, is no mistake; nor is a quotient without its rest.

    Source: the calculator annotations of GSM8K (Cobbe et al. 2021, arXiv:2110.14168), checked instead of asked for.

    >>> wrong_equation(Example(response="5 x 5 x 5 = 625"))
    0
    >>> wrong_equation(Example(response="You pay 2 x $3.50 + $1 = $8, a third of it is 8 / 3 = 2.67."))
    -1
    """
    return REJECT if any(_is_wrong(*sides, tolerance) for sides in pairwise(x.response.split("="))) else ABSTAIN


@labeling_function
def impossible_figure(x: Example) -> int:
    """REJECT when the response has a day that no month has, a clock time such as 27:00 pm, or a chance over 100 %.

    Source: ours; a figure that cannot be needs no context to be wrong.

    >>> impossible_figure(Example(response="The fee is due on 31 June."))
    0
    >>> impossible_figure(Example(response="The fee is due on 30 June."))
    -1
    """
    return REJECT if _IMPOSSIBLE.search(x.response.lower()) else ABSTAIN


def _is_wrong(before: str, after: str, tolerance: float) -> bool:
    """Tell whether the sum that ends before an equals sign is not the number that begins after it."""
    left, right = _BEFORE.search(before[-_REACH:]), _AFTER.match(after)
    if left is None or right is None:
        return False
    if left.start() == 0 and len(before) > _REACH:
        return False  # the sum may begin earlier, in the middle of a number even
    leading = before[-_REACH:][: left.start()]
    preceding = leading.rstrip()[-1:]
    if (
        _NOT_A_SUM.search(leading)
        or preceding.isdigit()
        or preceding in ("+", "-", "*", "/", "^", ")", "%", "x", ".", ",", "\u00d7", "\u2212")
    ):
        return False  # the sum begins earlier, with something else than numbers
    given = right[1].replace("\u2212", "-")
    value, said = _value(left[1]), _number(given)
    if value is None:
        return False
    is_whole = "/" in left[1] and abs(value - said) < 1
    slack = max(10.0 ** -len(given.partition(".")[2]) if "." in given else 0.5, tolerance * abs(value))
    return not is_whole and abs(value - said) > slack and abs(value) != said


def _value(text: str) -> float | None:
    """Return what a chain of numbers and signs amounts to; None where it divides by zero."""
    amounts: list[float] = []
    for sign, number in _STEP.findall(text):
        if sign in ("*", "\u00d7", "x"):
            amounts[-1] *= _number(number)
        elif sign in ("/", "\u00f7"):
            if not _number(number):
                return None
            amounts[-1] /= _number(number)
        else:
            amounts.append(-_number(number) if sign in ("-", "\u2212") else _number(number))
    return sum(amounts)


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("$", ""))
