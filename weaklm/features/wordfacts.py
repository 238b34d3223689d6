"""What is known of a word as it is written: its stem, its kinds, the unit it names, the side of an opposition it takes.

Each is a small number, so that the words of many texts are arrays. A word is looked at once, whatever its frequency.
"""

import numpy as np
from numpy.typing import NDArray

from weaklm.text import HEDGES, is_term, normal, stem

# Kinds: one bit each.
TERM, NUMBER, UPPER, LOWER, CAPITALS, LETTER, HEDGE, FIRST_PERSON, SECOND_PERSON, NEGATION, DENIAL, DATE, YES_NO = (
    1 << bit for bit in range(13)
)

_FIRST_PERSON = ("i", "me", "my", "mine", "we", "us", "our", "am")
_SECOND_PERSON = ("you", "your", "yours")
_NEGATIONS = ("no", "not", "nor", "never", "neither", "cannot", "without", "don", "doesn", "isn")
# What turns a statement round: "t" is the end of each "n't".
_DENIALS = ("no", "not", "nor", "never", "neither", "cannot", "without", "t", "none", "nobody", "nothing", "hardly")
_MONTHS = "january february march april may june july august september october november december"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_DATES = frozenset((_MONTHS + " " + _DAYS).split())

# Units that a number can have; those of one line are one unit.
_UNITS = """
% percent percentage pct
$ dollar usd buck
\u20ac euro eur
\u00a3 pound gbp
cent
second sec
minute min
hour hr
day
week
month
year yr
century
km kilometer kilometre
mile
meter metre
cm centimeter centimetre
mm millimeter millimetre
inch
foot feet ft
kg kilogram
gram
mg
lb
liter litre
degree
celsius
fahrenheit
kb
mb
gb
tb
mph
hundred
thousand
million
billion
trillion
people person member user customer employee
time
point
"""
# Opposites: a word of the left side says the contrary of a word of the right one.
_OPPOSITES = """
increase rise grow raise higher more gain up most | decrease fall decline reduce lower less fewer lose drop down least
before prior earlier | after later
always every all | never none
first | last
minimum lowest | maximum highest
open | close shut
start begin launch | end stop finish
win won victory | lost defeat
accept approve allow permit legal | reject deny forbid prohibit illegal
true correct right | false incorrect wrong
include with | exclude without
buy purchase | sell sold
north northern | south southern
east eastern | west western
male man boy father husband son brother | female woman girl mother wife daughter sister
old older | new young younger
hot warm | cold cool
import | export
above over | below under
inside | outside
positive | negative
possible able | impossible unable
required mandatory must | optional
strong | weak
rich | poor
succeed success | fail failure
love like | hate dislike
good best better | bad worst worse
easy | difficult hard
safe | dangerous
enable activate | disable deactivate
add | remove delete
"""


def _stems(words: tuple[str, ...] | frozenset[str]) -> frozenset[str]:
    return frozenset(map(stem, words))


_LISTED = {
    HEDGE: _stems(HEDGES),
    FIRST_PERSON: _stems(_FIRST_PERSON),
    SECOND_PERSON: _stems(_SECOND_PERSON),
    NEGATION: _stems(_NEGATIONS),
    DENIAL: _stems(_DENIALS),
    YES_NO: _stems(("yes", "no", "yeah", "nope", "yep", "correct")),
}
_KINDS = {
    word: sum(kind for kind, listed in _LISTED.items() if word in listed) for word in set().union(*_LISTED.values())
}
UNITS = {stem(word): place for place, line in enumerate(_UNITS.split("\n")) for word in line.split()}
_SIDES = {
    stem(word): sign * place
    for place, line in enumerate(_OPPOSITES.split("\n"))
    for sign, words in zip((1, -1), line.split("|"), strict=False)
    for word in words.split()
}


_UNIT_BITS, _SIDE_BITS = 16, 24
_MOST_SIDES = 100


def facts_of(token: str) -> tuple[str, int]:
    """Return the stem of a word or number, as :func:`weaklm.text.tokens` finds it, and what is known of it, as bits.

    >>> stem, facts = facts_of("Fees")
    >>> stem, bool(facts & TERM), bool(facts & UPPER), bool(facts & NUMBER)
    ('fee', True, True, False)
    """
    word = normal(token)
    root = stem(word)
    kinds = _KINDS.get(root, 0)
    if is_term(word):
        kinds |= TERM
    if token[0].islower():
        kinds |= LOWER  # most words; it excludes the other two
    else:
        kinds |= (UPPER if token[0].isupper() else 0) | (CAPITALS if len(token) > 1 and token.isupper() else 0)
    if word[0].isdecimal():
        is_year = len(token) == 4 and "1000" <= token <= "2100" and token.isdecimal()
        kinds |= NUMBER | (DATE if is_year else 0)
    elif len(token) == 1:
        kinds |= LETTER
    elif kinds & UPPER and word in _DATES:
        kinds |= DATE
    return root, kinds | UNITS.get(root, 0) << _UNIT_BITS | (_SIDES.get(root, 0) + _MOST_SIDES) << _SIDE_BITS


def unit_of(facts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unit that each word names, 0 for none.

    >>> unit_of(np.array([facts_of(word)[1] for word in ("dollars", "USD", "fee")])).tolist()
    [2, 2, 0]
    """
    return facts >> _UNIT_BITS & 255


def side_of(facts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the side of an opposition that each word takes: k and -k are opposites, 0 is none.

    >>> side_of(np.array([facts_of(word)[1] for word in ("before", "After", "fee")])).tolist()
    [2, -2, 0]
    """
    return (facts >> _SIDE_BITS & 255) - _MOST_SIDES
