"""Measures of one text, on whole columns: a quick search of the column finds the few rows that are worth a look.

A pattern for the search matches wherever the row's own measure is not 0, and seldom elsewhere; for it matters only that
it misses nothing. The engine of polars searches a column some twenty times as fast as :mod:`re` does its texts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from weaklm import questions
from weaklm.columns import WHITESPACE
from weaklm.features.keyed import Flags, Integers, Numbers
from weaklm.form import breaks_off, has_machine_tokens, is_wrapped, length_to_limit
from weaklm.text import ADMISSION, COURTESY, REFUSAL

if TYPE_CHECKING:
    import polars as pl

_SPACES = "".join(f"\\x{{{ord(space):x}}}" for space in WHITESPACE)
_OPEN = rf"[\w,;\-(&\x{{2013}}\x{{2014}}][{_SPACES}]*\z"
_COMPLETE = rf"[.!?)\"\x{{201d}}`|*][{_SPACES}]*\z"
_QUESTION = rf"\?[{_SPACES}]*\z"
# What weaklm.form looks for in small letters, without what polars' engine lacks.
_HEADING = (
    r"(?:#{2,} ?(?:response|instruction|input|output|context|question|answer)\b"
    r"|(?:user|human|assistant|system|instruction|question|context|response) ?:)"
)
_MACHINE = (
    r"<\|[a-z_]+\||</?s>|\[/?inst\]|<</?sys>>|\{\{|\[(?:insert|your|name|date|company)\b|\n" + _HEADING,
    r"\A" + _HEADING,
)
_WRAPPED = rf"\A[{_SPACES}]*[{{\[`<]"


def plain(texts: "pl.Series") -> "pl.Series":
    """Return the texts in small letters with straight apostrophes."""
    return texts.str.to_lowercase().str.replace_all("\u2019", "'", literal=True)


def have_courtesies(said: "pl.Series") -> Integers:
    """Return which of some plain texts may have a courtesy."""
    return _where(said, COURTESY.pattern)


def declining(said: "pl.Series") -> dict[str, Numbers]:
    """Return how many phrases of each plain response decline, and how many admit not to know."""
    patterns = {"refusals": REFUSAL, "admissions": ADMISSION}
    return {name: said.str.count_matches(pattern.pattern).to_numpy() for name, pattern in patterns.items()}


def endings(responses: "pl.Series") -> dict[str, Numbers]:
    """Return how each response ends: with a mark, with a question, in the middle of something."""
    return {
        "ends_complete": _flags(responses, _COMPLETE),
        "ends_with_question": _flags(responses, _QUESTION),
        "breaks_off": _measured(responses, _where(responses, _OPEN), breaks_off),
    }


def left_overs(responses: "pl.Series", said: "pl.Series") -> Numbers:
    """Return whether each response has tokens that only machines should see; ``said`` are the plain texts."""
    rows = np.union1d(*(_where(said, pattern) for pattern in _MACHINE))
    return _measured(responses, rows, has_machine_tokens)


def wrappings(responses: "pl.Series", prompts: Callable[[int], tuple[str, ...]]) -> Numbers:
    """Return whether all of a response is markup that its prompts did not ask for."""
    values = np.zeros(len(responses))
    for row in _where(responses, _WRAPPED):
        values[row] = is_wrapped(responses[int(row)], *prompts(int(row)))
    return values


def limits(responses: "pl.Series", are_limited: Flags, prompts: Callable[[int], tuple[str, ...]]) -> Numbers:
    """Return the number of words over the limit that a row's prompts name, 0 for none."""
    values = np.zeros(len(responses))
    for row in np.flatnonzero(are_limited):
        values[row] = length_to_limit(responses[int(row)], *prompts(int(row)))
    return values


def may_limit(prompts: "pl.Series") -> Flags:
    """Tell which prompts may name a limit on words."""
    return prompts.str.contains(r"[0-9] words\b").to_numpy()


def asked(instructions: "pl.Series") -> dict[str, Flags]:
    """Return what each instruction asks for: see :mod:`weaklm.questions`."""
    said = instructions.str.to_lowercase()
    figure, way = (said.str.contains(pattern.pattern).to_numpy() for pattern in (questions.FIGURE, questions.WAY))
    yes_no = said.str.contains(rf"\A\W*(?:{'|'.join(sorted(questions.YES_NO))})\b").to_numpy()
    person = said.str.contains(questions.PERSON.pattern).to_numpy()
    return {
        "asks_figure": figure,
        "asks_way": way & ~figure,
        "asks_yes_no": yes_no & ~figure,
        "asks_person": person & ~figure,
    }


def _where(texts: "pl.Series", pattern: str) -> Integers:
    return texts.str.contains(pattern).arg_true().to_numpy().astype(np.int64)


def _flags(texts: "pl.Series", pattern: str) -> Numbers:
    return texts.str.contains(pattern).to_numpy().astype(np.float64)


def _measured(texts: "pl.Series", rows: Integers, measure: Callable[[str], float]) -> Numbers:
    values = np.zeros(len(texts))
    values[rows] = [measure(text) for text in texts.gather(rows).to_list()]
    return values
