"""An OpenAI-compatible chat server on this machine that says what a test tells it to, and remembers what it was asked.

>>> with FakeLLM(says("Hello!")) as server:
...     server.url.startswith("http://127.0.0.1:"), server.requests
(True, [])
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request: its messages' text, its JSON body, its headers (small letters) and when it came, in seconds."""

    prompt: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    path: str
    when: float


@dataclass(frozen=True)
class Reply:
    """What to send, ``stall`` seconds late and over ``drip`` seconds; or nothing, by hanging up."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    stall: float = 0.0
    drip: float = 0.0
    hang_up: bool = False


Script = Callable[[Asked], Reply]


def completion(text: Any, tokens: Sequence[tuple[str, float]] = (), finish_reason: str = "stop") -> Reply:
    """Return a chat completion with a text, and with log-probabilities of its tokens where they are given."""
    content = [{"token": token, "logprob": logprob, "top_logprobs": []} for token, logprob in tokens]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
        "logprobs": {"content": content} if tokens else None,
    }
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]}
    return Reply(json.dumps(body))


def fault(status: int, message: str = "it broke", code: str | None = None, **headers: str) -> Reply:
    """Return an error in OpenAI's shape; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"error": {"message": message, "code": code, "type": None, "param": None}})
    return Reply(body, status, {"Content-Type": "application/json", **named})


def says(text: str) -> Script:
    """Answer every request with the same text."""
    return lambda _: completion(text)


def in_turn(*scripts: Script | Reply) -> Script:
    """Answer the first request by the first script, and so on; the last one answers all that follow."""
    lock, left = threading.Lock(), list(scripts)

    def script(asked: Asked) -> Reply:
        with lock:
            current = left.pop(0) if len(left) > 1 else left[0]
        return current if isinstance(current, Reply) else current(asked)

    return script


@contextmanager
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Return how to press Ctrl-C; it counts here even in a process that a shell started in the background with ``&``.

    Such a process ignores SIGINT from its start, and Python leaves it so.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


class FakeLLM:
    """The server, as a context: ``requests`` are all so far, ``busiest`` is the most that were under way at once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Asked] = []
        self.busiest = self._busy = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()  # ends the stalls
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeLLM":
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def prompts(self) -> list[str]:
        """The text of each request so far."""
        return [asked.prompt for asked in self.requests]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._count(+1)
                try:
                    reply = fake.script(fake._note(self))
                    fake._closing.wait(reply.stall)
                    if not reply.hang_up:
                        _send(self, reply, fake._closing)
                except (BrokenPipeError, ConnectionResetError):  # the client did not wait
                    pass
                finally:
                    fake._count(-1)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def _count(self, change: int) -> None:
        with self._lock:
            self._busy += change
            self.busiest = max(self.busiest, self._busy)

    def _note(self, handler: BaseHTTPRequestHandler) -> Asked:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = "\n".join(message["content"] for message in body["messages"])
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(prompt, body, headers, handler.path, time.monotonic())
        with self._lock:
            self.requests.append(asked)
        return asked


def _send(handler: BaseHTTPRequestHandler, reply: Reply, closing: threading.Event) -> None:
    body = reply.body.encode()
    handler.send_response(reply.status)
    for name, value in {**reply.headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    n_pieces = 20 if reply.drip else 1
    size = -(-len(body) // n_pieces) or 1
    for start in range(0, len(body), size):
        closing.wait(reply.drip / n_pieces)
        handler.wfile.write(body[start : start + size])
