"""Requests to an OpenAI-compatible server in, its texts out, each kept in a file as it comes.

A run that was interrupted, or that a server left without answers, asks only for what is not in the file yet.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, overload

from weaklm.data import content_hash
from weaklm.endpoint import Conversation, Endpoint
from weaklm.errors import DataError, ModelError
from weaklm.replies import Answer, NoAnswer

Request = Mapping[str, Any]  # the body of a chat ("messages") or of a completion ("prompt": text, or token ids)


def ask(
    requests: Sequence[Request], endpoint: Endpoint, keep: str | Path, *, progress: bool = True
) -> list[str | NoAnswer]:
    """Return what came of each request, in order: a text, or why the server refused it; equal ones are asked once.

    Parameters
    ----------
    requests
        Bodies, without the model's name.
    endpoint
        The server and how to ask it; its ``parameters`` go before the fields of a request, and None among them leaves
        a field out.
    keep
        The file of what was answered; made if need be. It knows models by name and place only: name another file
        where a server now has other weights under the same name.

    Raises
    ------
    ModelError
        If no request can succeed, many in a row do not, or some had no answer after all retries. What was answered is
        kept.
    """
    keys = [content_hash(endpoint.base_url, endpoint.model, _body(request, endpoint)) for request in requests]
    with Kept(keep) as kept:
        todo = {key: request for key, request in zip(keys, requests, strict=True) if key not in kept.texts}
        failed = _ask_new(todo, len(set(keys)), endpoint, kept, progress)
        _check_complete(todo, failed, kept, endpoint)
        return [failed[key] if key in failed else kept.texts[key] for key in keys]


class Kept:
    """The file of what was answered, a line of JSON each; read once, appended to as answers come.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "answers.jsonl"
    >>> with Kept(place) as kept:
    ...     kept.add("a", "Yes.")
    >>> with Kept(place) as kept:
    ...     kept.texts
    {'a': 'Yes.'}
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.texts: dict[str, str] = {}

    def __enter__(self) -> "Kept":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        for number, line in enumerate(lines, start=1):
            self._read(line, number)
        if rest:  # a process was killed while it wrote: half a line is no answer
            self._file.truncate(self._file.tell() - len(rest))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, text: str) -> None:
        """Keep an answer, even if the process dies right after."""
        self._file.write(json.dumps({"key": key, "text": text}, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self.texts[key] = text

    def _read(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            self.texts[str(entry["key"])] = str(entry["text"])
        except (ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise DataError(
                f"{self.path}, line {number}: {line[:60]!r} is no answer of an earlier run; name another file in keep, "
                "or remove the line"
            ) from error


def _ask_new(
    todo: Mapping[str, Request], n_all: int, endpoint: Endpoint, kept: Kept, progress: bool
) -> dict[str, NoAnswer]:
    """Ask what is not kept yet; keep the answers and return, by key, why there is none."""
    from tqdm import tqdm

    if not todo:
        return {}
    # The shortest first: if these cannot be answered, none can.
    keys = sorted(todo, key=lambda key: len(_body(todo[key], endpoint)))
    bodies = _Bodies([todo[key] for key in keys], endpoint)
    failed: dict[str, NoAnswer] = {}
    results = _AnyRequest(**vars(replace(endpoint, parameters={}))).ask(bodies)
    bar = tqdm(total=n_all, initial=n_all - len(todo), desc="generate", unit="row", disable=not progress)
    with closing(results), bar:
        for place, result in results:
            if isinstance(result, Answer):
                kept.add(keys[place], result.text)
            else:
                failed[keys[place]] = result
            bar.update()
    return failed


def _check_complete(
    todo: Mapping[str, Request], failed: Mapping[str, NoAnswer], kept: Kept, endpoint: Endpoint
) -> None:
    """Raise ModelError unless each request was answered, or refused for what it asks while others were answered."""
    silent = [key for key in todo if key not in failed and key not in kept.texts]
    again = {key: result for key, result in failed.items() if not result.own}
    if not silent and not again and (len(failed) < len(todo) or not failed):
        return
    shown = again or failed
    reasons = Counter(result.reason for result in shown.values()) + Counter({"no result": len(silent)})
    counted = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common())
    details = [result.detail for result in shown.values() if result.detail]
    last = f" (the last said: {details[-1]})" if details else ""
    raise ModelError(
        f"{endpoint.model!r} at {endpoint.base_url} left {len(shown) + len(silent):,} of {len(todo):,} requests "
        f"without an answer: {counted}{last}. What was answered is kept in {kept.path}; "
        "run again to ask for the rest."
    )


def _body(request: Request, endpoint: Endpoint) -> str:
    """Return a request's body as JSON, with the endpoint's parameters."""
    fields = {name: value for name, value in {**request, **endpoint.parameters}.items() if value is not None}
    return json.dumps(fields, sort_keys=True, default=lambda array: array.tolist())


class _Bodies(Sequence[Conversation]):
    """Requests as an endpoint takes conversations; each body is made when it is sent: together they may be large."""

    def __init__(self, requests: Sequence[Request], endpoint: Endpoint) -> None:
        self._requests, self._endpoint = requests, endpoint

    def __len__(self) -> int:
        return len(self._requests)

    @overload
    def __getitem__(self, place: int) -> Conversation: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, place: int | slice) -> Conversation | Sequence[Conversation]:
        if isinstance(place, slice):
            return _Bodies(self._requests[place], self._endpoint)
        return [{"body": _body(self._requests[place], self._endpoint)}]


class _AnyRequest(Endpoint):
    """An endpoint whose conversations are one "message" with the body of a whole request: a chat or a completion."""

    def _client(self, key: str | None) -> Any:
        return _routed(super()._client(key))


@asynccontextmanager
async def _routed(opened: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    async with opened as client:

        async def create(*, model: str, messages: Sequence[Mapping[str, str]], extra_body: object) -> Any:  # noqa: ARG001
            body = json.loads(messages[0]["body"])
            if "messages" in body:
                chat = body.pop("messages")
                return await client.chat.completions.create(model=model, messages=chat, extra_body=body)
            prompt = body.pop("prompt")
            return _as_chat(await client.completions.create(model=model, prompt=prompt, extra_body=body))

        yield SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))


def _as_chat(completion: Any) -> Any:
    """Return a completion in the form of a chat's; what is none stays as it is, and is found out later."""
    try:
        choice = completion.choices[0]
        message = SimpleNamespace(content=choice.text)
        return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=choice.finish_reason)])
    except (AttributeError, LookupError, TypeError):
        return completion
