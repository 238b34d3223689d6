"""In the wrong language or the wrong letters: another language than was asked in, foreign words, garbled characters."""

import re

from weaklm import ABSTAIN, REJECT, Example, labeling_function
from weaklm.languages import language_of, names_language, scripts

# UTF-8 read as Latin-1 or Windows-1252, characters that stand for lost ones, and control characters
_GARBLED = re.compile(
    "\ufffd|[\u00c2\u00c3][\u0080-\u00bf\u20ac\u2122\u0153\u0160\u0178]|\u00e2\u20ac[\u0080-\uffff]|\u00ef\u00bf\u00bd"
    "|[\x00-\x08\x0e-\x1f\x7f-\x9f]"
)


@labeling_function
def other_language(x: Example) -> int:
    """REJECT when the response is in another language than the instruction, and no translation is asked for.

    It abstains on texts of a few words, and where the instruction or an earlier turn names a language.

    Source: response-level language confusion (Marchisio et al. 2024, arXiv:2406.20052).

    >>> asked = "How can I close my account?"
    >>> other_language(Example(instruction=asked, response="Sie k\u00f6nnen das Konto in der Filiale aufl\u00f6sen."))
    0
    >>> other_language(Example(instruction=asked, response="You can close it in any branch."))
    -1
    """
    asked, given = language_of(x.instruction), language_of(x.response)
    if not asked or not given or asked == given:
        return ABSTAIN
    return ABSTAIN if names_language(x.instruction) or names_language(x.prompt_prefix) else REJECT


@labeling_function(resources={"ignored": frozenset(("greek",))})
def foreign_script(x: Example, ignored: frozenset[str]) -> int:
    """REJECT when a word of the response is in a script that no text of the prompt has.

    Scripts in ``ignored`` are written for other reasons, Greek in formulas. Not where a language is named.

    Source: word-level language confusion (Marchisio et al. 2024, arXiv:2406.20052).

    >>> asked = "How do I pay?"
    >>> foreign_script(Example(instruction=asked, response="Pay in the \u0431\u0430\u043d\u043a or online."))
    0
    >>> foreign_script(Example(instruction=asked, response="Pay in the bank or online."))
    -1
    """
    known = scripts(x.instruction) | scripts(x.context) | scripts(x.prompt_prefix) | ignored
    if scripts(x.response) <= known or names_language(x.instruction) or names_language(x.prompt_prefix):
        return ABSTAIN
    return REJECT


@labeling_function
def garbled_characters(x: Example) -> int:
    """REJECT when the response has characters of a wrong decoding, lost ones, or control characters.

    Source: mojibake, as ftfy tells it (Speer 2019, doi:10.5281/zenodo.2591652).

    >>> garbled_characters(Example(response="You can\u00e2\u20ac\u2122t pay in caf\u00c3\u00a9s."))
    0
    >>> garbled_characters(Example(response="You can\u2019t pay in caf\u00e9s."))
    -1
    """
    return REJECT if _GARBLED.search(x.response) else ABSTAIN
