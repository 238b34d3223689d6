"""The prompt of a row as text or as chat messages, and its parts out of them again: the one place that joins them."""

from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.errors import DataError

PROMPT_PARTS = ("prompt_prefix", "instruction", "context")
_BETWEEN = "\n\n"


def prompt_messages(x: Mapping[str, str], *, system_role: bool = True) -> list[dict[str, str]]:
    """Return the chat messages that ask for a response, from a row's texts; empty parts are left out.

    ``prompt_prefix`` is the system message, or opens the user's where there is no system role; instruction and
    context are the user's, with an empty line between. The trainer's template speaks to chat models the same way.

    >>> prompt_messages({"prompt_prefix": "Be brief.", "instruction": "What is the fee?", "context": "Fees: 5 EUR."})
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'What is the fee?\\n\\nFees: 5 EUR.'}]
    """
    prefix, parts = x["prompt_prefix"], [x["instruction"], x["context"]]
    has_system = system_role and bool(prefix.strip())
    user = _joined(parts if has_system else [prefix, *parts])
    system = [{"role": "system", "content": prefix}] if has_system else []
    return [*system, {"role": "user", "content": user}]


def prompt_text(x: Mapping[str, str]) -> str:
    """Return the prompt as one text: prefix, instruction and context with empty lines between, empty parts left out.

    >>> prompt_text({"prompt_prefix": "", "instruction": "What is the fee?", "context": "Fees: 5 EUR."})
    'What is the fee?\\n\\nFees: 5 EUR.'
    """
    return _joined([x[part] for part in PROMPT_PARTS])


def lengths(x: Mapping[str, str], parts: Sequence[str]) -> dict[str, int]:
    """Return the number of characters of each part that a joined text holds; empty where nothing was joined."""
    held = {part: len(x[part]) for part in parts if x[part].strip()}
    return held if len(held) > 1 else {}


def left_out(x: Mapping[str, str], parts: Sequence[str]) -> dict[str, str]:
    """Return the parts that are blank without being empty: a prompt does not show them."""
    return {part: x[part] for part in parts if x[part] and not x[part].strip()}


def parted(text: str, held: Mapping[str, int]) -> dict[str, str]:
    """Return the parts of a joined text; without their lengths all of it is the instruction.

    Raises
    ------
    DataError
        If the text does not have these parts, since somebody changed it.

    >>> parted("What is the fee?\\n\\nFees: 5 EUR.", {"instruction": 16, "context": 12})
    {'instruction': 'What is the fee?', 'context': 'Fees: 5 EUR.'}
    """
    if not held:
        return {"instruction": text}
    parts, start = {}, 0
    for part, length in held.items():
        parts[part] = text[start : start + length]
        start += length + len(_BETWEEN)
    if _BETWEEN.join(parts.values()) != text:
        raise DataError(
            f"the prompt {text[:60]!r} was changed since it was written: {' and '.join(held)} can no longer be told "
            "apart. Without what is noted in 'weaklm', the row is read as a new one."
        )
    return parts


def said(content: Any) -> str:
    """Return the content of a message; DataError where it is no text."""
    if not isinstance(content, str):
        raise DataError(f"the content of a message is {content!r:.60}; text was expected")
    return content


def _joined(parts: Sequence[str]) -> str:
    return _BETWEEN.join(part for part in parts if part.strip())
