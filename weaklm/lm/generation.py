"""A language model that answers: a base model with or without a LoRA adapter; load, generate, save, merge."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from weaklm.answers import Sampling, check_number, continuations, repeated, with_answers
from weaklm.atomic import atomic_folder
from weaklm.data import complete
from weaklm.endpoint import Endpoint
from weaklm.errors import ModelError, SettingsError, nearest
from weaklm.lm.adapter import ADAPTER_CONFIG, load_adapter, merged, write_adapter
from weaklm.lm.base_model import BaseModel, check_replaceable, load_base, quiet, resolve
from weaklm.lm.decoding import continue_prompts
from weaklm.lm.template import Template, TokenRow
from weaklm.replies import NoAnswer

ENGINES = ("local", "server")
MANIFEST = "weaklm.json"
AS_TRAINED = "as trained"


class LanguageModel:
    """A base model, alone or with a LoRA adapter, and the locked template that it is asked through.

    Made by :meth:`load` and by ``QLoRATrainer.fit``.

    Attributes
    ----------
    base
        The base model that was loaded, with its tokenizer and template.
    model
        The module that computes: the base model, or peft's model around it.
    manifest
        How the adapter was trained; empty for a base model.
    """

    def __init__(self, base: BaseModel, model: Any = None, manifest: dict[str, Any] | None = None) -> None:
        self.base = base
        self.model = base.model if model is None else model
        self.manifest = manifest or {}

    def __repr__(self) -> str:
        kind = "adapter on" if self.has_adapter else "base model"
        return f"<LanguageModel: {kind} {self.base.name!r}, {self.base.quantize or 'not quantised'}>"

    @property
    def has_adapter(self) -> bool:
        """Whether LoRA layers are inside."""
        return isinstance(self.model, PeftModel)

    @property
    def history(self) -> list[dict[str, float]]:
        """Return one entry a training step: step, loss (nats a response token), learning_rate, grad_norm, n_tokens."""
        return list(self.manifest.get("history", []))

    @property
    def dropped(self) -> dict[str, list[str]]:
        """Return the ids of the rows that were not trained on, by reason."""
        return dict(self.manifest.get("data", {}).get("dropped", {}))

    @property
    def context_cut(self) -> dict[str, int]:
        """Return, by id, how many characters of a row's context were cut in training."""
        return dict(self.manifest.get("data", {}).get("context_cut", {}))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        base_model: str | Path | None = None,
        quantize: str | None = AS_TRAINED,
        dtype: str | None = None,
        device: str | None = None,
        weights: bool = True,
        force: bool = False,
    ) -> "LanguageModel":
        """Return the model of an adapter folder, of a model folder, or of a name on the Hugging Face hub.

        Parameters
        ----------
        folder
            An adapter folder (of weaklm or plain peft), a model folder or a hub name.
        base_model
            Where the adapter's base model is now, if it has moved.
        quantize
            "nf4" or None. By default an adapter gets its base as it was trained; a base model gets "nf4", to be
            comparable with what is trained on it.
        dtype, device
            As in :func:`weaklm.lm.base_model.load_base`.
        weights
            False loads tokenizer and template only, to ask a server that has the model.
        force
            Load an adapter although it was trained with another prompt template.

        Raises
        ------
        TemplateMismatchError
            If the base model's tokenizer gives another prompt template than the adapter was trained with.
        ModelError
            If there is no such model or it cannot be loaded.
        """

        def base_of(name: str | Path, as_trained: str | None) -> BaseModel:
            if not weights:
                return _without_weights(name)
            chosen = as_trained if quantize == AS_TRAINED else quantize
            return load_base(name, quantize=chosen, dtype=dtype, device=device)

        place = Path(folder).expanduser()
        if not (place / ADAPTER_CONFIG).is_file():
            return cls(base_of(folder, "nf4"))
        manifest = _read_json(place / MANIFEST) if (place / MANIFEST).is_file() else {}
        trained = manifest.get("settings", {}).get("quantize", "nf4")
        name = base_model or _read_json(place / ADAPTER_CONFIG)["base_model_name_or_path"]
        base = base_of(name, trained)
        if not force:
            base.template.check(manifest.get("template", {}).get("hash"), f"the adapter {place}")
        return cls(base, load_adapter(base, place) if weights else None, manifest)

    def generate(
        self,
        data: pd.DataFrame,
        source: str = "tuned",
        *,
        n_answers: int = 1,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        batch_size: int = 32,
        random_state: int = 0,
        engine: str = "local",
        endpoint: Endpoint | Mapping[str, Any] | None = None,
        keep: str | Path | None = None,
        progress: bool = True,
        force: bool = False,
    ) -> pd.DataFrame:
        """Return a copy of the frame with this model's responses, the new source and new ids, in the same order.

        ``instruction_id`` stays, so that sources can be paired; human labels, which judged the old response, go.
        Other columns are copied. ``result.attrs`` says what did not fit: ``"dropped"`` counts rows left out by
        reason, ``"dropped_ids"`` names them, ``"context_cut"`` has the characters cut by id of the input row.

        Parameters
        ----------
        data
            Frame with ``instruction``; a response is not needed.
        source
            The name of the new source.
        n_answers
            Answers to each row, one below the other; more than one needs a temperature above 0.
        max_new_tokens, temperature, top_p, batch_size, random_state
            As in :func:`weaklm.lm.generation.continue_prompts`; a server makes its own batches.
        engine
            "local", or "server": an OpenAI-compatible server with this very model, merged (vLLM, SGLang), continues
            the prompts that the locked template renders, as token ids. The answers of one sampled row have a seed of
            their own each, but are other draws than "local" makes.
        endpoint
            That server: an :class:`~weaklm.endpoint.Endpoint`, or its settings.
        keep
            The file that a server's answers are kept in as they come; a run that is started again asks for the rest.
        progress
            Whether to show a progress bar on stderr.
        force
            Generate although the adapter was trained with another prompt template.
        """
        check_number(n_answers, temperature)
        if engine not in ENGINES:
            raise SettingsError(f"there is no engine {engine!r}; {nearest(engine, ENGINES)}")
        if not force:
            self.base.template.check(self.manifest.get("template", {}).get("hash"), f"the adapter on {self.base.name}")
        data = repeated(complete(data if "response" in data.columns else data.assign(response="")), n_answers)
        prompts = self.base.template.encode_prompts(data, self._room(max_new_tokens))
        sampling = Sampling(max_new_tokens, temperature, top_p, random_state)
        if engine == "server":
            answers: Sequence[str | NoAnswer] = self._ask(prompts.rows, sampling, endpoint, keep, progress)
        else:
            answers = self._answer(prompts.rows, sampling, batch_size, progress)
        asked = data[data["id"].isin({row.id for row in prompts.rows})]
        return with_answers(asked, answers, source, dropped=prompts.dropped, context_cut=prompts.context_cut)

    def _answer(self, rows: Sequence[TokenRow], sampling: Sampling, batch_size: int, progress: bool) -> list[str]:
        """Return this model's answer to each prompt."""
        # Without sampling the same prompt has the same answer, so each distinct prompt is continued once.
        keys = [row.id if sampling.temperature > 0 else row.ids.tobytes() for row in rows]
        distinct = dict(zip(keys, rows, strict=True))
        ids = continue_prompts(
            self._for_many_tokens(),
            [row.ids for row in distinct.values()],
            [row.id for row in distinct.values()],
            stop_ids=self.base.stop_ids,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            batch_size=batch_size,
            random_state=sampling.random_state,
            progress=progress,
        )
        texts = dict(zip(distinct, self.base.decode(ids), strict=True))
        return [texts[key] for key in keys]

    def _ask(
        self,
        rows: Sequence[TokenRow],
        sampling: Sampling,
        endpoint: Endpoint | Mapping[str, Any] | None,
        keep: str | Path | None,
        progress: bool,
    ) -> list[str | NoAnswer]:
        """Return a server's answer to each prompt, or why it refused it."""
        server, file = _endpoint(endpoint, keep)
        names, prompts = [row.id for row in rows], [row.ids for row in rows]
        return continuations(
            names, prompts, server, sampling, keep=file, stop_ids=self.base.stop_ids, progress=progress
        )

    def save(self, folder: str | Path) -> Path:
        """Write the adapter as a standard peft folder with ``weaklm.json`` beside it, whole or not at all; return it.

        Raises
        ------
        ModelError
            If there is no adapter, or the folder holds other files.
        """
        if not self.has_adapter:
            raise ModelError(f"{self!r} has no adapter to save; merge(folder) writes a whole model")
        check_replaceable(folder, ADAPTER_CONFIG)
        with atomic_folder(folder) as temporary:
            write_adapter(self.model, temporary)
            manifest = json.dumps(self.manifest, indent=1, ensure_ascii=False)
            (temporary / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        return Path(folder)

    def merge(self, folder: str | Path) -> Path:
        """Write base and adapter as one normal Hugging Face model, whole or not at all; return the folder.

        4-bit weights are dequantised and the adapter is added in float32: the adapter was trained around the rounding
        errors of the 4-bit weights, so it belongs to these and not to the weights before quantisation. The sum is
        stored in the model's dtype.
        """
        check_replaceable(folder, "config.json")
        plain = merged(self._inner)
        with atomic_folder(folder) as temporary, quiet():
            plain.save_pretrained(temporary)
            self.base.tokenizer.save_pretrained(temporary)
        return Path(folder)

    @property
    def _inner(self) -> Any:
        """The transformers model, with LoRA layers inside it if there is an adapter."""
        if isinstance(self.model, SimpleNamespace):
            raise ModelError(f"{self.base.name!r} was loaded without its weights, to ask a server with engine='server'")
        return self.model.get_base_model() if self.has_adapter else self.model

    def _for_many_tokens(self) -> Any:
        """Return the model with 4-bit weights unpacked once, instead of at every token, if memory allows."""
        inner = self._inner
        if inner.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(inner.device)
            if free < 2 * inner.num_parameters() * inner.dtype.itemsize:  # as much again for the answers
                return inner
        return merged(inner) if self.base.quantize else inner

    def _room(self, max_new_tokens: int) -> int | None:
        window = self.base.context_window
        if window is not None and max_new_tokens >= window:
            raise ModelError(
                f"max_new_tokens={max_new_tokens} leaves no room for a prompt in the context window of {window} tokens"
            )
        return None if window is None else window - max_new_tokens


def _without_weights(name: str | Path) -> BaseModel:
    """Return a base model's tokenizer, template and configuration: all that it takes to ask a server that has it."""
    source = resolve(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        configuration = AutoConfig.from_pretrained(source)
    except Exception as error:  # each format fails in its own way
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the tokenizer of {str(name)!r} cannot be loaded: {said}") from error
    try:
        settings = GenerationConfig.from_pretrained(source)
    except OSError:  # the file is optional
        settings = GenerationConfig.from_model_config(configuration)
    parts = SimpleNamespace(config=configuration, generation_config=settings)
    return BaseModel(source, None, torch.float32, parts, tokenizer, Template(tokenizer))


def _endpoint(endpoint: Endpoint | Mapping[str, Any] | None, keep: str | Path | None) -> tuple[Endpoint, str | Path]:
    """Return where to ask and where to keep the answers; raise where either is not said."""
    if endpoint is None or keep is None:
        raise SettingsError(
            "engine='server' needs endpoint=Endpoint(model, base_url), the server that has the model, and keep=..., "
            "the file that its answers are kept in, so that an interrupted run can go on"
        )
    if isinstance(endpoint, Endpoint):
        return endpoint, keep
    known = [field.name for field in fields(Endpoint)]
    for name in endpoint:
        if name not in known:
            raise SettingsError(f"endpoint has no setting {name!r}; {nearest(name, known)}")
    if lacking := {"model", "base_url"} - set(endpoint):
        raise SettingsError(f"endpoint does not say {' and '.join(sorted(lacking))}")
    return Endpoint(**endpoint), keep


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: a JSON object is expected, not {type(content).__name__}")
    return content
