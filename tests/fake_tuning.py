"""A fine-tuning service on this machine that speaks OpenAI's protocol, and remembers files, jobs and headers."""

import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeTuning:
    """The service, as a context. ``jobs`` and ``files`` may be changed; ``faults`` maps a path to a status to send."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[str, str, Mapping[str, str], Any]] = []  # method, path, headers, JSON body
        self.faults: dict[str, list[tuple[int, str]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeTuning":
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, method: str, path: str) -> int:
        """Return how often a path was asked."""
        return sum((method, path) == request[:2] for request in self.requests)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return status and JSON for a request."""
        if waiting := self.faults.get(f"{method} {path}"):
            status, message = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return status, {"error": {"message": message, "code": None, "type": None, "param": None}}
        if (method, path) == ("GET", "/files"):
            return 200, _list(list(self.files.values()))
        if (method, path) == ("POST", "/files"):
            return 200, self._add_file(body)
        if (method, path) == ("GET", "/fine_tuning/jobs"):
            return 200, _list(list(reversed(self.jobs.values())))
        if (method, path) == ("POST", "/fine_tuning/jobs"):
            return 200, self._add_job(body)
        found = re.fullmatch(r"/fine_tuning/jobs/([^/]+)(/cancel|/events)?", path)
        if not found or found[1] not in self.jobs:
            return 404, {"error": {"message": f"no such thing: {path}", "code": None, "type": None, "param": None}}
        if found[2] == "/events":
            return 200, _list(list(reversed(self.events.get(found[1], []))))
        if found[2] == "/cancel":
            if self.jobs[found[1]]["status"] in ("succeeded", "failed", "cancelled"):
                return 400, {"error": {"message": "it is over", "code": None, "type": None, "param": None}}
            self.jobs[found[1]]["status"] = "cancelled"
        return 200, self.jobs[found[1]]

    def _add_file(self, body: bytes) -> dict[str, Any]:
        name = re.search(rb'filename="([^"]+)"', body)
        content = re.search(rb'filename="[^"]+"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', body, re.DOTALL)
        assert name and content
        file = {
            "id": f"file-{len(self.files) + 1}", "object": "file", "bytes": len(content[1]), "created_at": 1,
            "filename": name[1].decode(), "purpose": "fine-tune", "status": "processed",
        }  # fmt: skip
        self.files[file["id"]] = file  # type: ignore[index]
        self.contents[file["id"]] = content[1]  # type: ignore[index]
        return file

    def _add_job(self, body: dict[str, Any]) -> dict[str, Any]:
        job = {
            "id": f"ftjob-{len(self.jobs) + 1}", "object": "fine_tuning.job", "created_at": 1700000000 + len(self.jobs),
            "model": body["model"], "training_file": body["training_file"], "status": "validating_files",
            "hyperparameters": {}, "organization_id": "o", "result_files": [], "seed": body.get("seed", 0),
            "validation_file": body.get("validation_file"), "fine_tuned_model": None, "error": None,
            "finished_at": None, "trained_tokens": None,
        }  # fmt: skip
        self.jobs[job["id"]] = job
        return job

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_json = self.headers.get("Content-Type", "").startswith("application/json")
                body = json.loads(raw) if raw and is_json else raw
                path = self.path.removeprefix("/v1").split("?")[0]
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.requests.append((self.command, path, headers, body))
                status, said = fake.answer(self.command, path, body)
                text = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _do  # noqa: N815 (the names that the library calls)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": items, "has_more": False}
