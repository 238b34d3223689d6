"""Does not do the task as it was set: no list where one was asked for, another number of items, the text given back."""

import re

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, form, labeling_function
from weaklm.text import admissions, normal, sentences

_ITEM = re.compile(r"^[ \t]*(?:[-*\u2022]|\(?[0-9]{1,2}[.):])[ \t]*\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\(?[0-9]{1,2}[.):][ \t]*\S", re.MULTILINE)
_SEVERAL = re.compile(
    r"\b(?:lists?|steps|ways|tips|ideas|examples|reasons|benefits|(?:dis)?advantages|features|types|methods|strategies"
    r"|characteristics|factors|items|suggestions|differences|bullet points|ingredients|questions)\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"(?:^|[.!?,]\s*|\b(?:and|please|then|you|to)\s+)(?:list|enumerate)\b"
    r"|\b(?:a|the|following|bulleted|numbered) list\b|\bbullet points?\b|\bsteps\b",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"\b(?:list|name|give|write|generate|provide|suggest|create|identify|describe|come up with|think of|find|tell me"
    r"|state|propose|brainstorm|what are)(?: me| us)?(?: the| a list of| at least)?"
    r" ([2-9]|1[0-9]|20|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?!words?\b|sentences?\b|paragraphs?\b|lines?\b|or\b|to\b|of\b|years?|digit|letter|days?|minute|hour|%|percent|times)",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:re-?write|re-?phrase|paraphrase|translate|reword|summari[sz]e|simplify|shorten|expand"
    r"|(?:edit|correct|convert|change|transform|improve|complete|continue|fix|revise)"
    r" (?:the|this|it|and|each|following))\b",
    re.IGNORECASE,
)


@labeling_function(resources={"min_items": 3, "max_marks": 1, "max_sentences": 2})
def lists_when_asked(x: Example, min_items: int, max_marks: int, max_sentences: int) -> int:
    """ACCEPT when several things are asked for and the response lists them, REJECT when a list is and there is none.

    A list has ``min_items`` lines with bullets or numbers. There is none where no line has one, and the response has at
    most ``max_sentences`` sentences and ``max_marks`` commas and semicolons.

    Source: verifiable format instructions (Zhou et al. 2023, IFEval, arXiv:2311.07911).

    >>> asked = "List the steps to reset a PIN."
    >>> lists_when_asked(Example(instruction=asked, response="1. Log in.\\n2. Open the card.\\n3. Type a new PIN."))
    1
    >>> lists_when_asked(Example(instruction=asked, response="You can reset it."))
    0
    >>> lists_when_asked(Example(instruction=asked, response="Log in, open the card, type a new PIN."))
    -1
    """
    n_items = len(_ITEM.findall(x.response))
    if n_items >= min_items and _SEVERAL.search(x.instruction):
        return ACCEPT if form.is_sound(x.response, x.prompt_prefix, x.instruction) else ABSTAIN
    if n_items or not _LIST.search(x.instruction) or admissions(x.response):
        return ABSTAIN
    marks = x.response.count(",") + x.response.count(";")
    return REJECT if marks <= max_marks and len(sentences(x.response)) <= max_sentences else ABSTAIN


@labeling_function(resources={"min_items": 2})
def counts_items(x: Example, min_items: int) -> int:
    """ACCEPT when the response lists as many items as the instruction asks for, REJECT when it lists another number.

    It abstains on fewer than ``min_items`` lines with bullets or numbers, which are no list.

    Source: verifiable format instructions (Zhou et al. 2023, IFEval, arXiv:2311.07911).

    >>> asked = "Name two ways to pay."
    >>> counts_items(Example(instruction=asked, response="1. By card\\n2. By check"))
    1
    >>> counts_items(Example(instruction=asked, response="1. By card\\n2. By check\\n3. In cash"))
    0
    >>> counts_items(Example(instruction=asked, response="By card or by check."))
    -1
    """
    asked = _COUNT.search(x.instruction)
    n_items = len(_NUMBERED.findall(x.response)) or len(_ITEM.findall(x.response))
    if asked is None or n_items < min_items:
        return ABSTAIN
    if str(n_items) != normal(asked[1]):
        return REJECT
    return ACCEPT if form.is_sound(x.response, x.prompt_prefix, x.instruction) else ABSTAIN


@labeling_function(resources={"min_words": 3})
def returns_text(x: Example, min_words: int) -> int:
    """REJECT when the response of ``min_words`` words or more stands in the instruction, or in a context to change.

    Letter by letter, so that a change of capitals is a change.

    Source: ours; a model that does not understand what to change copies. Not for tasks of finding something in a text.

    >>> asked, context = "Rewrite the sentence in the past.", "The fee is due in May."
    >>> returns_text(Example(instruction=asked, context=context, response="The fee is due in May."))
    0
    >>> returns_text(Example(instruction=asked, context=context, response="The fee was due in May."))
    -1
    """
    own = x.response.strip()
    if len(own.split()) < min_words:
        return ABSTAIN
    return REJECT if own in x.instruction or (own in x.context and _CHANGE.search(x.instruction)) else ABSTAIN
