"""Fine-tuning by any service that speaks OpenAI's protocol: upload a file, create a job, ask for it, cancel it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from weaklm.credentials import from_environment, hidden, secrets
from weaklm.endpoint import Endpoint
from weaklm.errors import MissingExtraError, ModelError
from weaklm.exchange import HasFrame
from weaklm.jobs.record import ALIVE, CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, State
from weaklm.providers.description import description, moment, wait
from weaklm.providers.files import write_files

if TYPE_CHECKING:
    from openai import OpenAI

_STATUSES = {  # a status that is not here is one of work
    "validating_files": PENDING,
    "queued": PENDING,
    "pending": PENDING,
    "succeeded": SUCCEEDED,
    "completed": SUCCEEDED,
    "failed": FAILED,
    "error": FAILED,
    "cancelled": CANCELLED,
    "canceled": CANCELLED,
}
_SENT = {
    "accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding",
    "user-agent",
}  # fmt: skip
_NOT_OFFERED = (404, 405, 501)
_READS = 4  # times that a question is asked again


@dataclass(frozen=True)
class FineTuningService:
    """A service that fine-tunes, behind an OpenAI-compatible URL.

    Parameters
    ----------
    base_url
        Where it is: ``"https://api.openai.com/v1"``. It has no default, so that nothing leaves the machine unless
        asked.
    api_key_env
        The name of the environment variable that holds the key; read when it is needed, neither kept nor shown.
    timeout
        Seconds that one request may take.

    Examples
    --------
    >>> FineTuningService("http://127.0.0.1:8000/v1")
    FineTuningService(base_url='http://127.0.0.1:8000/v1', api_key_env=None, timeout=120.0)
    """

    base_url: str
    api_key_env: str | None = None
    timeout: float = 120.0

    def __post_init__(self) -> None:
        _ = self._endpoint  # it checks the URL

    def create(
        self,
        data: pd.DataFrame | HasFrame,
        base_model: str,
        *,
        valid: pd.DataFrame | HasFrame | None = None,
        suffix: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Upload the rows as chat messages, start a job, and return its description.

        A file that was uploaded before is not uploaded again.

        Parameters
        ----------
        data, valid
            Frames of examples, or QualityDatasets, of which the kept rows are sent.
        base_model
            The service's name of the model.
        suffix
            A part of the new model's name.
        settings
            Further fields of the request, such as ``{"seed": 0, "method": {...}}``.

        Raises
        ------
        DataError
            If a part is empty, or an instruction is in both.
        ModelError
            If the service works on the same at this moment (names the job), or refuses.
        """
        with self._client() as client, tempfile.TemporaryDirectory() as folder:
            paths = [Path(path) for path in write_files(data, folder, valid=valid)]
            names = [self._upload(client, path) for path in paths]
            self._refuse_twice(client, names[0], base_model)
            optional = {"validation_file": names[1] if len(names) > 1 else None, "suffix": suffix}
            fields = {name: value for name, value in optional.items() if value is not None}
            with self._named("creating the job"):
                job = client.with_options(max_retries=0).fine_tuning.jobs.create(
                    model=base_model, training_file=names[0], extra_body={**fields, **(settings or {})}
                )
        return self._described(job, [])

    def show(self, *, last: int = 20) -> list[dict[str, Any]]:
        """Return the last jobs of the service, newest first; their progress is told by :meth:`describe` only."""
        with self._client() as client, self._named("listing the jobs"):
            jobs = client.fine_tuning.jobs.list(limit=last).data
        return [self._described(job, []) for job in jobs]

    def describe(self, job_id: str) -> dict[str, Any]:
        """Return all that is known of a job; the keys are those of :func:`weaklm.jobs.describe`.

        ``result["model"]`` is the name of the new model; ``provider_status`` is what the service itself says.
        """
        with self._client() as client:
            with self._named(f"asking for job {job_id}"):
                job = client.fine_tuning.jobs.retrieve(job_id)
            return self._described(job, self._events(client, job_id))

    def wait(self, job_id: str, *, every: float = 30.0, timeout: float | None = None) -> dict[str, Any]:
        """Return the description of a job once it is over, or ``timeout`` seconds have passed."""
        return wait(lambda: self.describe(job_id), every, timeout)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Ask for the end of a job and return its description; one that is over stays as it is."""
        job = self.describe(job_id)
        if job["status"] not in ALIVE:
            return job
        with self._client() as client:
            try:
                with self._named(f"cancelling job {job_id}"):
                    client.fine_tuning.jobs.cancel(job_id)
            except ModelError:
                if (now := self.describe(job_id))["status"] in ALIVE:
                    raise
                return now  # it was over before the request came
        return self.describe(job_id)

    def logs(self, job_id: str, *, last: int | None = None) -> str:
        """Return what a job told, oldest first, a line each: time, level, message."""
        with self._client() as client, self._named(f"asking for the log of job {job_id}"):
            events = list(client.fine_tuning.jobs.list_events(job_id, limit=100))
        events.sort(key=lambda event: event.created_at)
        lines = [f"{moment(event.created_at)} {event.level} {event.message}\n" for event in events]
        return self._safe("".join(lines if last is None else lines[len(lines) - min(last, len(lines)) :]))

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint("fine-tuning", self.base_url, self.api_key_env, timeout=self.timeout)

    @contextmanager
    def _client(self) -> "Iterator[OpenAI]":
        """Yield a client that sends nothing of the environment but the key, and goes to no other address."""
        openai = _openai()
        key = None if self.api_key_env is None else from_environment(self.api_key_env, self.base_url)

        def only_what_is_needed(request: Any) -> None:
            for name in set(request.headers) - _SENT:
                del request.headers[name]
            if key is not None:
                request.headers["authorization"] = f"Bearer {key}"

        http = openai.DefaultHttpxClient(
            timeout=self.timeout,
            follow_redirects=False,
            trust_env=not self._endpoint.is_local,
            event_hooks={"request": [only_what_is_needed]},
        )
        with openai.OpenAI(api_key="none", base_url=self.base_url, max_retries=_READS, http_client=http) as client:
            yield client

    def _upload(self, client: "OpenAI", path: Path) -> str:
        """Return the service's name of a file: of the one that is there, or of a new one."""
        content = path.read_bytes()
        name = f"weaklm-{path.stem}-{sha256(content).hexdigest()[:16]}.jsonl"
        openai = _openai()
        with suppress(openai.APIStatusError):  # not every service lists its files
            for file in client.files.list(purpose="fine-tune").data:
                if (file.filename, file.bytes) == (name, len(content)) and getattr(file, "status", None) != "error":
                    return str(file.id)
        with self._named("uploading the training data"):
            return str(client.files.create(file=(name, content), purpose="fine-tune").id)

    def _refuse_twice(self, client: "OpenAI", file: str, base_model: str) -> None:
        openai = _openai()
        try:
            jobs = client.fine_tuning.jobs.list(limit=100).data
        except openai.APIStatusError as error:
            if error.status_code in _NOT_OFFERED:
                return
            raise ModelError(f"listing the jobs at {self.base_url} failed: {self._safe(str(error))}") from error
        for job in jobs:
            same = (getattr(job, "training_file", None), getattr(job, "model", None)) == (file, base_model)
            if same and _status(job) in ALIVE:
                raise ModelError(
                    f"the job {job.id} at {self.base_url} trains {base_model!r} on the same rows at this moment: wait "
                    "for it, or cancel it first"
                )

    def _events(self, client: "OpenAI", job_id: str) -> list[Any]:
        openai = _openai()
        with suppress(openai.APIStatusError):  # not every service tells
            return list(client.fine_tuning.jobs.list_events(job_id, limit=100).data)
        return []

    def _described(self, job: Any, events: list[Any]) -> dict[str, Any]:
        status, told = _status(job), _told(events)
        error = getattr(getattr(job, "error", None), "message", None)
        model = getattr(job, "fine_tuned_model", None)
        state = State(
            status=status,
            progress=1.0 if status == SUCCEEDED else told.get("progress", 0.0),
            trained_tokens=getattr(job, "trained_tokens", None),
            loss=told.get("loss"),
            eta=moment(getattr(job, "estimated_finish", None)) if status in ALIVE else None,
            error=self._safe(str(error)) if error else None,
            base_model=getattr(job, "model", None),
            result={"model": model} if model else None,
            has_own_process=False,
            ended=moment(getattr(job, "finished_at", None)),
        )
        return description(
            str(job.id),
            state,
            provider=self.base_url,
            provider_status=str(getattr(job, "status", "")),
            created=moment(getattr(job, "created_at", None)) or "",
            arguments={"training_file": getattr(job, "training_file", None)},
        )

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        """Say what failed, without the key."""
        openai = _openai()
        try:
            yield
        except openai.APIConnectionError as error:
            said = self._safe(str(error.__cause__ or error))
            raise ModelError(
                f"{doing} at {self.base_url} failed: {said}. Whether it was done there is not known; show() tells"
            ) from None
        except openai.APIError as error:
            raise ModelError(f"{doing} at {self.base_url} failed: {self._safe(str(error))}") from None

    def _safe(self, text: str) -> str:
        names = [] if self.api_key_env is None else [self.api_key_env]
        return hidden(text, secrets(names))


def _status(job: Any) -> str:
    return _STATUSES.get(str(getattr(job, "status", "")), RUNNING)


def _told(events: list[Any]) -> dict[str, float]:
    """Return loss and progress as the newest event that has them tells."""
    told: dict[str, float] = {}
    for event in sorted(events, key=lambda event: -event.created_at):
        data = getattr(event, "data", None)
        numbers = {k: v for k, v in data.items() if isinstance(v, int | float)} if isinstance(data, dict) else {}
        if "train_loss" in numbers:
            told.setdefault("loss", float(numbers["train_loss"]))
        if numbers.get("total_steps", 0) > 0 and "step" in numbers:
            told.setdefault("progress", min(1.0, numbers["step"] / numbers["total_steps"]))
    return told


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError("Fine-tuning by a service", "llm") from error
    return openai
