"""What trainers read: chat messages, prompt and completion, Alpaca's three fields, ShareGPT's conversations."""

from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.exchange.prompts import parted, prompt_messages, prompt_text, said
from weaklm.exchange.rows import Form, LeftOutError, taken

_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant"}

NO_ANSWER = "a chat that does not end in a question and its answer"
NOT_TALK = "a chat with tools"


def prompt(x: Mapping[str, Any], is_chat: bool) -> Any:
    """Return the prompt of a row as chat messages or as one text."""
    return prompt_messages(x) if is_chat else prompt_text(x)


def answer(text: str, is_chat: bool) -> Any:
    """Return a response as a chat of one message or as it is."""
    return [{"role": "assistant", "content": text}] if is_chat else text


def read_prompt(value: Any, held: Mapping[str, int]) -> dict[str, str]:
    """Return the columns of a prompt that is chat messages or one text."""
    if isinstance(value, str):
        return parted(value, held)
    return _question(_turns(value), held)


def read_answer(value: Any) -> str:
    """Return a response that is a chat of one message or a text."""
    if isinstance(value, str):
        return value
    turns = _turns(value)
    if [role for role, _ in turns] != ["assistant"]:
        raise LeftOutError("a completion that is not one message of the assistant")
    return turns[0][1]


def messages(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row as a chat: the prompt's messages and the response as the assistant's.

    >>> messages({"prompt_prefix": "", "instruction": "Why?", "context": "", "response": "It rained."})["messages"]
    [{'role': 'user', 'content': 'Why?'}, {'role': 'assistant', 'content': 'It rained.'}]
    """
    return {"messages": [*prompt_messages(x), *answer(x["response"], True)]}


def prompt_completion(x: Mapping[str, Any], is_chat: bool = False) -> dict[str, Any]:
    """Return one row as a prompt and its completion, both texts or both chat messages."""
    return {"prompt": prompt(x, is_chat), "completion": answer(x["response"], is_chat)}


def _sharegpt(x: Mapping[str, Any]) -> dict[str, Any]:
    turns = messages(x)["messages"]
    return {"conversations": [{"from": _SHAREGPT[turn["role"]], "value": turn["content"]} for turn in turns]}


def _alpaca(x: Mapping[str, Any]) -> dict[str, Any]:
    names = {"instruction": "instruction", "input": "context", "output": "response", "system": "prompt_prefix"}
    return {field: x[column] for field, column in names.items()}


def _read_chat(turns: Sequence[tuple[str, str]], held: Mapping[str, int]) -> dict[str, str]:
    if not turns or turns[-1][0] != "assistant":
        raise LeftOutError(NO_ANSWER)
    return _question(turns[:-1], held) | {"response": turns[-1][1]}


def _question(turns: Sequence[tuple[str, str]], held: Mapping[str, int]) -> dict[str, str]:
    """Return the columns of a prompt: the last question, and as its context what was said before."""
    prefix = {"prompt_prefix": turns[0][1]} if turns and turns[0][0] == "system" else {}
    talk = turns[1:] if prefix else turns
    if not talk or talk[-1][0] != "user" or any(role == "system" for role, _ in talk):
        raise LeftOutError(NO_ANSWER)
    before = "\n\n".join(f"{role}: {content}" for role, content in talk[:-1])
    return prefix | ({"context": before} if before else {}) | parted(talk[-1][1], held)


def _turns(value: Any, role: str = "role", content: str = "content") -> list[tuple[str, str]]:
    turns = []
    for turn in taken({"messages": value}, "messages", list, "a list of messages"):
        who = _ROLES.get(taken(turn, role, str, "text"), turn[role])
        if who not in _SHAREGPT or turn.get("tool_calls"):
            raise LeftOutError(NOT_TALK)
        turns.append((who, said(turn.get(content))))
    return turns


def _read_alpaca(row: Mapping[str, Any]) -> dict[str, str]:
    if row.get("history"):
        raise LeftOutError("a row with a history")
    names = {"instruction": "instruction", "response": "output", "context": "input", "prompt_prefix": "system"}
    columns = {column: row.get(field) for column, field in names.items()}
    for column in ("instruction", "response"):
        taken(row, names[column], str, "text")
    return {column: said(value) for column, value in columns.items() if value is not None}


FORMS = {
    "messages": Form(
        write=lambda x, _: messages(x),
        read=lambda row, held: _read_chat(_turns(taken(row, "messages", list, "a list of messages")), held),
        fields=("messages",),
        prompt="chat",
    ),
    "prompt_completion": Form(
        write=prompt_completion,
        read=lambda row, held: (
            read_prompt(taken(row, "prompt", (str, list), "text"), held)
            | {"response": read_answer(taken(row, "completion", (str, list), "text"))}
        ),
        fields=("prompt", "completion"),
    ),
    "alpaca": Form(
        write=lambda x, _: _alpaca(x),
        read=lambda row, _: _read_alpaca(row),
        fields=("instruction", "input", "output", "system", "history"),
        prompt="parts",
    ),
    "sharegpt": Form(
        write=lambda x, _: _sharegpt(x),
        read=lambda row, held: _read_chat(_sharegpt_turns(row), held),
        fields=("conversations", "system"),
        prompt="chat",
    ),
}


def _sharegpt_turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    turns = _turns(taken(row, "conversations", list, "a list of turns"), "from", "value")
    system = row.get("system")
    return [("system", said(system)), *turns] if system else turns
