"""Not in the form of an answer: the prompt again, cut off, machine tokens, markup, capitals, no steps."""

import re

from weaklm import ABSTAIN, REJECT, Example, form, labeling_function
from weaklm.questions import asks_way
from weaklm.text import admissions, sentences, words

_LIST_LINE = re.compile(r"^[^\S\n]*(?:[-*\u2022]|[0-9]{1,2}[.)])\s", re.MULTILINE)
_EMPTY_ITEM = re.compile(r"\n[ \t]*(?:[-*\u2022]|[0-9]{1,2}[.)])\Z")
_ORDER = frozenset(("then", "first", "second", "next", "finally", "after", "afterwards", "before", "last"))


@labeling_function(resources={"min_words": 5})
def echoes_prompt(x: Example, min_words: int) -> int:
    """REJECT when a sentence of ``min_words`` words or more repeats one of the instruction or of the prompt prefix.

    Source: ours; a model that continues the prompt instead of answering it copies the prompt.

    >>> question = "How can I raise the limit of my card?"
    >>> echoes_prompt(Example(instruction=question, response="How can I raise the limit of my card? Call us."))
    0
    >>> echoes_prompt(Example(instruction=question, response="To raise the limit of your card, call us."))
    -1
    """
    return REJECT if form.echoes(x.response, x.prompt_prefix, x.instruction, min_words=min_words) else ABSTAIN


@labeling_function(resources={"min_words": 3})
def cut_off(x: Example, min_words: int) -> int:
    """REJECT when the response breaks off: no mark at the end, after a sentence that has one or on a word like "the".

    Source: the terminal-punctuation rule of C4 (Raffel et al. 2020, arXiv:1910.10683), kept to writers that punctuate
    and to words that end no sentence; lists, tables, code and links may end without a mark.

    >>> cut_off(Example(response="You have 60 days. Call the number on your"))
    0
    >>> cut_off(Example(response="You have 60 days. Call the number on your card."))
    -1
    """
    return REJECT if form.breaks_off(x.response, min_words) else ABSTAIN


@labeling_function
def machine_tokens(x: Example) -> int:
    """REJECT when the response has chat-template tokens, role headings or unfilled placeholders.

    Source: the curly-bracket and boilerplate rules of C4 (Raffel et al. 2020, arXiv:1910.10683), with what today's
    prompt templates leave behind.

    >>> machine_tokens(Example(response="The fee is $5. <|im_end|>"))
    0
    >>> machine_tokens(Example(response="The fee is $5 [before tax]."))
    -1
    """
    return REJECT if form.has_machine_tokens(x.response) else ABSTAIN


@labeling_function
def wrapped_in_markup(x: Example) -> int:
    """REJECT when the whole response is JSON, an HTML element or a code block, and the prompt asks for none.

    Source: verifiable format instructions (Zhou et al. 2023, IFEval, arXiv:2311.07911), turned round.

    >>> wrapped_in_markup(Example(instruction="What is the fee?", response='{"answer": "The fee is $5."}'))
    0
    >>> wrapped_in_markup(Example(instruction="Give the fee as JSON.", response='{"fee": 5}'))
    -1
    """
    return REJECT if form.is_wrapped(x.response, x.prompt_prefix, x.instruction) else ABSTAIN


@labeling_function(resources={"max_share": 0.6})
def shouts(x: Example, max_share: float) -> int:
    """REJECT when more than ``max_share`` of the words are in capitals.

    Source: ours; the capitals rule of comment and mail filters.

    >>> shouts(Example(response="THE FEE IS FIVE DOLLARS A MONTH."))
    0
    >>> shouts(Example(response="The APR is five per cent a year."))
    -1
    """
    return REJECT if form.capital_share(x.response) > max_share else ABSTAIN


@labeling_function(resources={"min_parts": 2})
def steps_missing(x: Example, min_parts: int) -> int:
    """REJECT when the instruction asks for a way or for steps, and the response is one plain sentence without order.

    Parts are counted by list lines, sentences, commas and semicolons; words like "then" show order.

    Source: ours; the answer to a question for a procedure has parts (Bolotova et al. 2022,
    doi:10.1145/3477495.3531926).

    >>> steps_missing(Example(instruction="How do I reset my PIN?", response="You can reset it."))
    0
    >>> steps_missing(Example(instruction="How do I reset my PIN?", response="Call us, then choose a PIN."))
    -1
    """
    if not asks_way(x.instruction) or admissions(x.response) or not _ORDER.isdisjoint(words(x.response)):
        return ABSTAIN
    marks = x.response.count(",") + x.response.count(";")
    parts = max(len(_LIST_LINE.findall(x.response)), len(sentences(x.response)), 1 + marks)
    return REJECT if parts < min_parts else ABSTAIN


@labeling_function(resources={"min_rows": 3})
def broken_markup(x: Example, min_rows: int) -> int:
    """REJECT when a code block is left open, rows of a table differ in their cells, or the last list item is empty.

    A table has ``min_rows`` rows or more, each between two bars; tables that the prompt sets are the prompt's.

    Source: the well-formedness of fences, tables and list items in GitHub Flavored Markdown
    (https://github.github.com/gfm/, 4.5, 4.10, 5.2).

    >>> broken_markup(Example(response="Use this:\\n```\\nprint(1)"))
    0
    >>> broken_markup(Example(response="| fee | $5 |\\n|---|---|\\n| rate | 4 % |"))
    -1
    """
    if x.response.count("```") % 2 or _EMPTY_ITEM.search(x.response.rstrip()):
        return REJECT
    if "|" in x.instruction or "|" in x.context:
        return ABSTAIN
    uneven = any(len(rows) >= min_rows and min(rows) < max(rows) for rows in _tables(x.response))
    return REJECT if uneven else ABSTAIN


def _tables(text: str) -> list[list[int]]:
    """Return the number of bars in each row, table by table."""
    found: list[list[int]] = [[]]
    for line in map(str.strip, text.split("\n")):
        if line.startswith("|") and line.endswith("|"):
            found[-1].append(line.count("|"))
        elif found[-1]:
            found.append([])
    return found
