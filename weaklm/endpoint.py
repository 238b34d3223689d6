"""A model behind an OpenAI-compatible URL: conversations in, answers out, many at once.

Requests run side by side up to a limit, at a pace, and again where that may help. Every answer is handed over as it
comes. A key is read from the environment when it is needed, and neither kept nor shown; nothing else of the
environment goes along.
"""

import asyncio
import email.utils
import ipaddress
import math
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from numbers import Integral, Real
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from weaklm.errors import MissingExtraError, SettingsError
from weaklm.replies import Answer, NoAnswer, while_it_works, whole

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

Conversation = Sequence[Mapping[str, str]]  # messages: {"role": "user", "content": "..."}

_LONGEST_WAIT = 300.0  # seconds; who asks to wait longer is not waited for
_HOPELESS = (301, 302, 307, 308, 401, 404, 405)  # the URL, the key or the model's name is wrong
_OWN = (400, 403, 413, 422)  # too long, not allowed by a filter
_AGAIN = (408, 409, 425, 429)
_ELSEWHERE = (404, 405)
_LONGEST_TEXT = 1_000_000  # characters; no answer is that long
_SHORTEST_SECRET = 8  # characters; a shorter key may be a word of the answer
_NUMBERS = (  # setting, its kind, whether it may be 0
    ("concurrency", Integral, False),
    ("stop_after", Integral, False),
    ("retries", Integral, True),
    ("timeout", Real, False),
    ("backoff", Real, True),
    ("requests_per_minute", Real, False),
)


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible URL, and how to ask it.

    Parameters
    ----------
    model
        The model's name at the server.
    base_url
        Where the server is: ``"http://127.0.0.1:8000/v1"``, ``"https://api.openai.com/v1"``. It has no default, so
        that nothing leaves the machine unless asked.
    api_key_env
        The name of the environment variable that holds the key. None sends none, whatever the environment holds.
    parameters
        Fields of each request besides model and messages: ``{"temperature": 0, "max_tokens": 200}``.
    concurrency
        Requests under way at once.
    requests_per_minute
        At most so many requests are started a minute, evenly spaced; None for no limit.
    timeout
        Seconds that one request may take.
    retries
        How often a request is made again after a stall, a broken connection, an overload or a reply that is no answer.
    backoff
        Seconds before the first repetition; doubled each time, with jitter. A server's ``Retry-After`` goes before.
    stop_after
        So many requests without answer in a row, each after its retries, end the run. Those that the server refuses
        for their content count only until it has answered one.

    Examples
    --------
    >>> Endpoint("qwen3-8b", "http://127.0.0.1:8000/v1").is_local
    True
    """

    model: str
    base_url: str
    api_key_env: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout: float = 60.0
    retries: int = 4
    backoff: float = 1.0
    stop_after: int = 20

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        for name, kind, may_be_0 in _NUMBERS:
            value = getattr(self, name)
            if value is None and name == "requests_per_minute":
                continue
            is_number = isinstance(value, kind) and not isinstance(value, bool)
            if not is_number or not 0 <= value < math.inf or (value == 0 and not may_be_0):
                whole_or_not = "whole number" if kind is Integral else "number"
                least = "of 0 or more" if may_be_0 else "above 0"
                raise SettingsError(f"{name} is {value!r}; a {whole_or_not} {least} is expected")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:  # a name, which may lead anywhere
            return False

    def ask(self, conversations: Sequence[Conversation]) -> Generator[tuple[int, Answer | NoAnswer], None, None]:
        """Yield each conversation's place and answer, in the order in which they come; runs in a notebook too.

        Raises
        ------
        ModelError
            If no request can succeed (wrong URL, key or model), or ``stop_after`` in a row had no answer.
        """
        _openai()
        key = self._key()
        results: SimpleQueue[tuple[int, Answer | NoAnswer] | BaseException] = SimpleQueue()
        with _in_background(lambda: self._ask_all(conversations, key, results.put)):
            came = (_result(results.get()) for _ in conversations)
            yield from while_it_works(came, self.stop_after, f"{self.model!r} at {self.base_url}")

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise SettingsError(
                f"the environment variable {self.api_key_env} is not set; it is to hold the key for {self.base_url}"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:  # quoted nowhere, not even in part
            raise SettingsError(
                f"the environment variable {self.api_key_env} holds no key: there is a space, a line break or a "
                "character beyond ASCII within it"
            )
        return key

    async def _ask_all(
        self, conversations: Sequence[Conversation], key: str | None, tell: Callable[[Any], None]
    ) -> None:
        try:
            async with self._client(key) as client:
                asking = _Asking(self, client, key)
                waiting = iter(enumerate(conversations))

                async def work() -> None:
                    for place, conversation in waiting:
                        tell((place, await asking.answer(conversation)))

                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(conversations))):
                        group.create_task(work())
        except ExceptionGroup as group:  # raised where the results are waited for
            tell(group.exceptions[0])
        except Exception as error:
            tell(error)

    def _client(self, key: str | None) -> "AsyncOpenAI":
        """Return a client that sends nothing of the environment but the key, and goes to no other address."""
        openai = _openai()

        async def only_what_is_needed(request: Any) -> None:
            for name in set(request.headers) - _SENT:
                del request.headers[name]
            if key is not None:
                request.headers["authorization"] = f"Bearer {key}"

        http = openai.DefaultAsyncHttpxClient(
            timeout=self.timeout,
            follow_redirects=False,
            trust_env=not self.is_local,  # no proxy on the way to this machine
            event_hooks={"request": [only_what_is_needed]},
        )
        client: AsyncOpenAI = openai.AsyncOpenAI(
            api_key="none", base_url=self.base_url, timeout=self.timeout, max_retries=0, http_client=http
        )
        return client


_SENT = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}


class _Asking:
    """One run: the pace that its requests share, and one request after the other."""

    def __init__(self, endpoint: Endpoint, client: "AsyncOpenAI", key: str | None) -> None:
        self._endpoint, self._client, self._key = endpoint, client, key
        self._gap = 60 / endpoint.requests_per_minute if endpoint.requests_per_minute else 0.0
        self._next = 0.0  # when the next request may start
        self._jitter = random.Random()  # spreads requests in time; no result depends on it

    async def answer(self, conversation: Conversation) -> Answer | NoAnswer:
        """Return the answer, asking again where that may help."""
        result = await self._once(conversation)
        for attempt in range(self._endpoint.retries):
            if isinstance(result, Answer) or not result.again:
                break
            wait = self._endpoint.backoff * 2**attempt * self._jitter.uniform(0.5, 1.5)
            if result.wait is not None:  # all requests wait, not this one only
                wait = result.wait
                self._next = max(self._next, time.monotonic() + wait)
            await asyncio.sleep(wait)
            result = await self._once(conversation)
        return result

    async def _once(self, conversation: Conversation) -> Answer | NoAnswer:
        openai = _openai()
        await self._turn()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                completion = await self._client.chat.completions.create(
                    model=self._endpoint.model,
                    messages=[dict(message) for message in conversation],  # type: ignore[misc]
                    extra_body=dict(self._endpoint.parameters),
                )
        except (TimeoutError, openai.APITimeoutError):
            return NoAnswer("timed out", f"no reply within {self._endpoint.timeout:g} s", again=True)
        except openai.APIConnectionError as error:
            return NoAnswer("no connection", self._safe(error.__cause__ or error), hopeless=True, again=True)
        except openai.APIStatusError as error:
            return self._refused(error)
        except (openai.APIError, ValueError, LookupError, RecursionError) as error:
            return NoAnswer("not a chat completion", self._safe(error), again=True)
        return self._read(completion, time.perf_counter() - began)

    async def _turn(self) -> None:
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self._gap
        await asyncio.sleep(start - now)

    def _refused(self, error: "APIStatusError") -> NoAnswer:
        status, wait = error.status_code, _retry_after(error.response.headers.get("retry-after"))
        unpaid = getattr(error, "code", None) == "insufficient_quota"
        again = (status in _AGAIN or status >= 500) and not unpaid and (wait or 0) <= _LONGEST_WAIT
        hopeless, own = status in _HOPELESS or unpaid, status in _OWN
        advice = " (base_url usually ends in /v1; leave /chat/completions out)" if status in _ELSEWHERE else ""
        return NoAnswer(f"HTTP {status}", self._safe(error) + advice, hopeless, own, again, wait)

    def _read(self, completion: Any, seconds: float) -> Answer | NoAnswer:
        """Return the first choice's text. Whatever a server sends as JSON comes here unchecked."""
        try:
            choice = completion.choices[0]
            text = choice.message.content or ""
            is_cut = choice.finish_reason == "length"
        except (AttributeError, LookupError, TypeError):
            return NoAnswer("not a chat completion", self._safe(completion), again=True)
        if not isinstance(text, str):
            return NoAnswer("not a chat completion", self._safe(text), again=True)
        if len(text) > _LONGEST_TEXT:
            return NoAnswer("not a chat completion", f"a text of {len(text)} characters")
        return Answer(whole(self._hide(text)), _tokens(choice), seconds, is_cut)

    def _safe(self, said: object) -> str:
        """Return what was said as one short line without the key, which a server may echo."""
        try:
            text = str(said)
        except RecursionError:
            text = "JSON in too many layers"
        return " ".join(self._hide(whole(text)).split())[:300]

    def _hide(self, text: str) -> str:
        is_secret = self._key is not None and len(self._key) >= _SHORTEST_SECRET
        return text.replace(self._key or "", "[key]") if is_secret else text


def _check_url(url: object) -> None:
    """Raise SettingsError where a URL cannot be asked or holds a secret, which is not repeated."""
    try:
        parts = urlsplit(url if isinstance(url, str) and url.isprintable() and " " not in url else "")
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        has_secret = bool(parts.username or parts.password or parts.query)
    except ValueError:  # no such port, half an IPv6 address
        is_address = has_secret = False
    if has_secret:
        raise SettingsError("base_url holds a user name, a password or a query; name the key in api_key_env instead")
    if not is_address:
        shown = "no URL" if set(str(url)) & set("@?") else repr(url)
        raise SettingsError(f"base_url is {shown}; an address such as 'http://127.0.0.1:8000/v1' is needed")


def _tokens(choice: Any) -> tuple[tuple[str, float], ...]:
    try:
        tokens = [(token.token, float(token.logprob)) for token in choice.logprobs.content]
    except (AttributeError, TypeError, ValueError, OverflowError):
        return ()
    is_sound = all(isinstance(token, str) and not math.isnan(logprob) for token, logprob in tokens)
    return tuple(tokens) if is_sound else ()


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header names, as a number or a date.

    >>> _retry_after("1.5"), _retry_after("soon"), _retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    (1.5, None, 0.0)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _result(came: tuple[int, Answer | NoAnswer] | BaseException) -> tuple[int, Answer | NoAnswer]:
    if isinstance(came, BaseException):
        raise came
    return came


@contextmanager
def _in_background(main: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Run a coroutine in a thread with an event loop of its own, as a notebook's is taken; cancel it at the end."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(main())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, name="weaklm endpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError("Asking a model behind a URL", "llm") from error
    return openai
