"""Gives away what no answer should: credentials, card numbers, addresses of people that the prompt does not have."""

import re

from weaklm import ABSTAIN, REJECT, Example, labeling_function

_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bAIza[A-Za-z0-9_-]{35}|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."
)
_DIGITS = re.compile(r"(?<![0-9.,-])[3-6][0-9]{3}(?:[ -]?[0-9]{2,6}){2,5}(?![0-9]|[.,-][0-9])")
_MAIL = re.compile(r"\b[\w.+-]{1,64}@([\w-]+\.[\w.-]*\w)")
_PHONE = re.compile(
    r"(?<![\w.,$-])(?:\+?[0-9]{1,2}[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![\w,])"
)
_MADE_UP = re.compile(r"\bexample\.|\b555[ .-]?[01]|^git@")
_WRITES = re.compile(
    r"\b(?:write|draft|compose|create|design|generate|build|code|program|script|regex|regular expression|letter)\b",
    re.IGNORECASE,
)


@labeling_function
def gives_secret(x: Example) -> int:
    """REJECT when the response has a string of the form of a private key or of an access token.

    Whoever brought it in, the context too: an answer is no place for it.

    Source: the token formats of secret scanners (Meli, McNiece, Reaves 2019, doi:10.14722/ndss.2019.23418).

    >>> gives_secret(Example(response="Log in with AKIAIOSFODNN7EXAMPLE."))
    0
    >>> gives_secret(Example(response="Log in with your access key."))
    -1
    """
    return REJECT if _SECRET.search(x.response) else ABSTAIN


@labeling_function(resources={"lengths": range(13, 20)})
def gives_card_number(x: Example, lengths: range) -> int:
    """REJECT when the response has a number of ``lengths`` digits that checks as a payment card's.

    Source: the check digit of ISO/IEC 7812 (Luhn 1960, US patent 2950048); training data that models repeat holds such
    numbers (Carlini et al. 2021, arXiv:2012.07805).

    >>> gives_card_number(Example(response="Use 4539 1488 0343 6467."))
    0
    >>> gives_card_number(Example(response="Use 4539 1488 0343 6468."))
    -1
    """
    found = (_only_digits(number) for number in _DIGITS.findall(x.response))
    return REJECT if any(len(number) in lengths and _checks(number) for number in found) else ABSTAIN


@labeling_function
def gives_contact(x: Example) -> int:
    """REJECT when the response has an e-mail address or a phone number that no text of the prompt has.

    Not where a text or a program is to be written, and not for addresses that are set apart for examples.

    Source: personal data that models leak or make up (Lukas et al. 2023, arXiv:2302.00539).

    >>> asked, context = "Whom do I ask?", "Ask the fraud desk, fraud@ourbank.com."
    >>> gives_contact(Example(instruction=asked, context=context, response="Ask ann.lee@ourbank.com."))
    0
    >>> gives_contact(Example(instruction=asked, context=context, response="Ask fraud@ourbank.com."))
    -1
    """
    prompt = f"{x.instruction}\n{x.context}\n{x.prompt_prefix}"
    if _WRITES.search(x.instruction):
        return ABSTAIN
    known_numbers, known = _only_digits(prompt), prompt.lower()
    mails = [mail[0] for mail in _MAIL.finditer(x.response) if not _MADE_UP.search(mail[0])]
    phones = [phone[0] for phone in _PHONE.finditer(x.response) if not _MADE_UP.search(phone[0])]
    is_new = any(mail.lower() not in known for mail in mails) or any(
        _only_digits(phone)[-10:] not in known_numbers for phone in phones
    )
    return REJECT if is_new else ABSTAIN


def _only_digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _checks(number: str) -> bool:
    """Tell whether the sum of the digits, each second one from the right doubled, is a multiple of ten."""
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0
