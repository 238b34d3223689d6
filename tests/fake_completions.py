"""The server of :mod:`tests.fake_llm`, for completions as well: prompts of token ids in, texts out."""

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fake_llm import Asked, FakeLLM, Reply, completion


class FakeServer(FakeLLM):
    """A server of chats and of completions; the prompt of a completion is told as JSON."""

    def _note(self, handler: BaseHTTPRequestHandler) -> Asked:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        texts = [message["content"] for message in body.get("messages", [])]
        prompt = "\n".join(texts) if texts else json.dumps(body["prompt"])
        asked = Asked(prompt, body, dict(handler.headers.items()), handler.path, time.monotonic())
        with self._lock:
            self.requests.append(asked)
        return asked


def continued(text: Any) -> Reply:
    """Return a completion with a text."""
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    return Reply(
        json.dumps({"id": "1", "object": "text_completion", "created": 0, "model": "fake", "choices": [choice]})
    )


def echo(asked: Asked) -> Reply:
    said = f"{asked.prompt} {asked.body.get('seed', '')}".strip()
    return continued(said) if asked.path.endswith("/v1/completions") else completion(said)
