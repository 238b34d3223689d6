"""What the instruction is about, told by keywords. Yours: copy one, or call :func:`mentions` with your own words.

    @slicing_function(resources={"keywords": ("parcel", "courier", "shipping"), "min_found": 1})
    def about_shipping(x, keywords, min_found):
        return mentions(x.instruction, keywords) >= min_found

The words are met in any of their English endings: ``loan`` meets "loans". Leave out those that an ending makes another
word: ``hate`` has the stem of "hats", ``code`` that of "cod". They are in ``resources``, so that a copy
with other words is another slice.
"""

from collections.abc import Iterable

from weaklm import Example, slicing_function
from weaklm.text import normal, stem, stems

_MONEY = """
account bank bill bond borrow budget cash charge cost credit currency debit debt deposit dollar earning euro expense fee
finance fund income insurance interest invest investment investor loan money mortgage payment payroll pension portfolio
premium price refinance rent retirement salary saving stock tax
"""
_HEALTH = """
allergy anxiety blood cancer clinic covid dentist depression diabetes diagnose diagnosis diet disease doctor dosage dose
drug fever health healthy hospital illness infection insulin medical medication medicine nurse nutrition pain patient
pregnancy pregnant sick surgery symptom therapy treatment vaccine virus vitamin
"""
_LAW = """
attorney bankruptcy contract copyright court crime criminal custody defendant divorce eviction felony guilty immigration
judge jury landlord law lawsuit lawyer lease legal legally liability licence license patent plaintiff police prosecution
regulation sue tenant trial verdict visa
"""
_TECHNOLOGY = """
algorithm android api app browser bug cloud cluster codebase coder compiler computer css data database debug deploy
desktop docker email function hardware html install internet iphone java javascript keyboard kubernetes laptop linux
login network password phone program programmer programming python server software spreadsheet sql website wifi windows
"""
_SENSITIVE = """
abuse addict bomb cocaine explosive firearm gun harassment harm hatred kill murder naked opioid overdose poison porn
racist rapist sex sexual suicide suicidal terrorism terrorist violence violent weapon
"""


def mentions(text: str, keywords: Iterable[str]) -> int:
    """Return how many of the keywords a text has, in any of their English endings.

    >>> mentions("Are loans and mortgages taxed?", ("loan", "mortgage", "fee"))
    2
    """
    return len(stems(text).intersection(stem(normal(word)) for word in keywords))


@slicing_function(resources={"keywords": tuple(_MONEY.split()), "min_found": 1})
def about_money(x: Example, keywords: tuple[str, ...], min_found: int) -> bool:
    """Instructions about money: accounts, loans, taxes, prices.

    Source: ours; the words of the finance questions of FiQA (Maia et al. 2018, doi:10.1145/3184558.3192301) and of
    household matters.

    >>> about_money(Example(instruction="Are two loans cheaper than one?"))
    True
    >>> about_money(Example(instruction="Who wrote the Iliad?"))
    False
    """
    return mentions(x.instruction, keywords) >= min_found


@slicing_function(resources={"keywords": tuple(_HEALTH.split()), "min_found": 1})
def about_health(x: Example, keywords: tuple[str, ...], min_found: int) -> bool:
    """Instructions about health: illness, treatment, nutrition. A wrong answer may hurt.

    Source: ours; medicine is where experts judge answers most strictly (Malaviya et al. 2023, ExpertQA,
    arXiv:2309.07852).

    >>> about_health(Example(instruction="Which symptoms does the flu have?"))
    True
    >>> about_health(Example(instruction="Who wrote the Iliad?"))
    False
    """
    return mentions(x.instruction, keywords) >= min_found


@slicing_function(resources={"keywords": tuple(_LAW.split()), "min_found": 1})
def about_law(x: Example, keywords: tuple[str, ...], min_found: int) -> bool:
    """Instructions about the law: courts, contracts, rights. What is right depends on the place.

    Source: ours; legal answers of models are often made up (Dahl et al. 2024, arXiv:2401.01301).

    >>> about_law(Example(instruction="Can my landlord end the lease?"))
    True
    >>> about_law(Example(instruction="Who wrote the Iliad?"))
    False
    """
    return mentions(x.instruction, keywords) >= min_found


@slicing_function(resources={"keywords": tuple(_TECHNOLOGY.split()), "min_found": 1})
def about_technology(x: Example, keywords: tuple[str, ...], min_found: int) -> bool:
    """Instructions about computers: software, devices, networks, code.

    Source: ours; the topics of technical support questions (Castelli et al. 2020, TechQA, arXiv:1911.02984).

    >>> about_technology(Example(instruction="How do I install the app?"))
    True
    >>> about_technology(Example(instruction="Who wrote the Iliad?"))
    False
    """
    return mentions(x.instruction, keywords) >= min_found


@slicing_function(resources={"keywords": tuple(_SENSITIVE.split()), "min_found": 1})
def about_harm(x: Example, keywords: tuple[str, ...], min_found: int) -> bool:
    """Instructions about violence, weapons, drugs, sex or self-harm: look at these answers first.

    Source: the hazard classes of Llama Guard (Inan et al. 2023, arXiv:2312.06674), by keywords: "kill a process" is in.

    >>> about_harm(Example(instruction="Where can I buy a weapon?"))
    True
    >>> about_harm(Example(instruction="Where can I buy a car?"))
    False
    """
    return mentions(x.instruction, keywords) >= min_found
