"""Which script and which language a text is in, told by its letters and its little words.

Source: identification by the most frequent short words (Grefenstette 1995, Comparing two language identification
schemes). It needs no model, says nothing about texts of a few words, and knows ten languages in Latin letters; of a
text in other letters it gives the script, which several languages may share.
"""

import re
from functools import lru_cache
from typing import Any

from weaklm.text import STOP_WORDS

LATIN = "latin"
_WORD = re.compile(r"\w+")
LETTERS = {
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "devanagari": "\u0900-\u097f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "thai": "\u0e00-\u0e7f",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "han": "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff",  # with the kana of Japanese, which has both
}
LATIN_LETTERS = "A-Za-z\u00c0-\u024f"
_ALONE = ("hangul", "han")  # one sign is a word; elsewhere a single letter may be a symbol such as a Greek one
_ONE = {script: re.compile(f"[{letters}]") for script, letters in {LATIN: LATIN_LETTERS, **LETTERS}.items()}
_WRITTEN = {
    script: re.compile(
        f"[{letters}]" if script in _ALONE else f"[{letters}]{{2}}|[a-z][{letters}]|[{letters}][a-z]", re.IGNORECASE
    )
    for script, letters in LETTERS.items()
}

# No single letters, which English uses as words or signs; English has the stop words of :mod:`weaklm.text`.
_LITTLE_WORDS = {
    "de": "der die und den von zu das mit sich des auf für ist im dem nicht ein eine als auch es werden aus er dass "
    "sie nach bei einer um sind wie einem ich wir ihr mein kann haben hat wird oder wenn warum wo wer können",
    "fr": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec ou aux "
    "vous nous cette être je mon quel quelle comment pourquoi mais elle ont peut votre si leur quand où",
    "es": "de la que el en los se del las un por con una su para es al lo como más pero sus le ha este qué cómo está "
    "son mi cuál cuándo dónde puedo puede tiene ser esta muy si sobre cuando hay",
    "it": "di il la che in un è del non una si le con da dei alla più sono al nel della gli delle questo come mi "
    "quale quando dove perché posso può ho ha il mio ma anche se cosa essere questa",
    "pt": "de que do da em um para com não uma os no se na por mais as dos como mas ao são pelo ou meu minha qual "
    "quando onde posso pode tem ser está é você isso foi esta muito",
    "nl": "de van een het en in is dat op te zijn voor met die niet aan er om ook als maar bij uit door naar wordt ik "
    "je wij mijn hoe wat waar wanneer waarom kan heb heeft deze dit worden of",
    "sv": "och att det som en på är av för med den till inte om ett han har de jag var kan eller från hur vad när "
    "varför min du vi ska finns detta kommer",
    "pl": "na nie się jest że jak po za przez od dla jego są ale tak ma czy lub które co gdzie kiedy dlaczego można "
    "jako moja mój mi to być oraz tego bardzo",
    "tr": "bir ve bu için de da ile olarak daha çok gibi en olan kadar sonra ne ama her mi sizin nedir nerede "
    "neden benim var ben veya şey olur",
}
PROFILES = {"en": STOP_WORDS} | {code: frozenset(listed.split()) for code, listed in _LITTLE_WORDS.items()}
MIN_FOUND, MIN_SHARE, MIN_LEAD = 3, 0.15, 1.3

_NAMES_LANGUAGE = re.compile(
    r"\b(?:translat|languages?\b|(?:arabic|bengali|chinese|dutch|english|french|german|greek|hebrew|hindi|italian|japanese"
    r"|korean|latin|polish|portuguese|russian|spanish|swedish|tamil|thai|turkish|ukrainian)\b)",
    re.IGNORECASE,
)


@lru_cache(maxsize=64)
def scripts(text: str) -> frozenset[str]:
    """Return the scripts other than Latin that words of a text are written in; a single Greek letter is no word.

    >>> sorted(scripts("Moscow is \u041c\u043e\u0441\u043a\u0432\u0430, Tokyo is \u6771\u4eac, and \u03c0 is 3.14."))
    ['cyrillic', 'han']
    """
    if text.isascii():
        return frozenset()
    return frozenset(script for script, written in _WRITTEN.items() if written.search(text))


@lru_cache(maxsize=64)
def script_of(text: str) -> str:
    """Return the script of most letters, such as ``latin`` or ``han``; an empty string without letters of a known one.

    >>> script_of("Where is \u6771\u4eac?"), script_of("12 %")
    ('latin', '')
    """
    if text.isascii():
        return LATIN if _ONE[LATIN].search(text) else ""
    counts = {script: len(letter.findall(text)) for script, letter in _ONE.items()}
    most = max(counts, key=lambda script: counts[script])
    return most if counts[most] else ""


@lru_cache(maxsize=64)
def language_of(text: str) -> str:
    """Return the code of a language in Latin letters (``en``), or else the script; an empty string where in doubt.

    >>> language_of("What is the yearly fee of this card?"), language_of("Wie hoch ist die Gebühr der Karte?")
    ('en', 'de')
    >>> language_of("\u041a\u0430\u043a\u0430\u044f \u043f\u043b\u0430\u0442\u0430?"), language_of("Card fee?")
    ('cyrillic', '')
    """
    script = script_of(text)
    if script != LATIN:
        return script
    said = _WORD.findall(text.lower())
    counts = {code: sum(word in listed for word in said) for code, listed in PROFILES.items()}
    first, second = sorted(counts, key=lambda code: -counts[code])[:2]
    return first if is_clear(counts[first], counts[second], len(said)) else ""


def is_clear(most: Any, second: Any, n_words: Any) -> Any:
    """Tell, for numbers or arrays of them, whether so many little words of two languages settle which one it is."""
    return (most >= MIN_FOUND) & (most >= MIN_SHARE * n_words) & (most >= MIN_LEAD * second)


def names_language(text: str) -> bool:
    """Tell whether a text names a language or asks for a translation, so that the answer may be in another one.

    >>> names_language("How do I say thanks in Dutch?"), names_language("How do I pay?")
    (True, False)
    """
    return _NAMES_LANGUAGE.search(text) is not None
