"""One locked prompt template: an example in, token ids and a response-only loss mask out; its hash.

Training rows, generation prompts and exports are all rendered here, so the prompt part of a training row has the
very ids that the model is later asked to continue. The response is tokenised on its own: tokens never merge across
the border. Loss is masked by position, never by token id, so the end token is always trained.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import TemplateError
from numpy.typing import NDArray

from weaklm.data import Example, complete, content_hash, examples
from weaklm.errors import ModelError, TemplateMismatchError
from weaklm.exchange import prompt_messages

# What a tokenizer without a chat template gets; parts that are empty are left out.
PLAIN_PARTS = ("{prompt_prefix}", "### Instruction:\n{instruction}", "### Context:\n{context}", "### Response:\n")

# Some chat templates print today's date. A locked template prints the same date for ever: the one that Llama 3's own
# template falls back to. The macro hides the function of the same name that transformers offers to templates.
_DATE = {"%d": "26", "%b": "Jul", "%B": "July", "%m": "07", "%Y": "2024", "%y": "24", "%a": "Fri", "%A": "Friday"}
_REPLACED = "".join(f"|replace('{code}', '{value}')" for code, value in _DATE.items())
LOCKED_DATE = "{%- macro strftime_now(format) -%}{{ format" + _REPLACED + " }}{%- endmacro -%}"

# The hash covers what the tokenizer makes of these, so that it changes with the text and with the vocabulary.
PROBES = (
    Example(id="1", instruction="Is 1 less than 23?"),
    Example(id="2", instruction="Sum up.", context="A line.\nÄnother, lönger line: 4,567.89 €."),
    Example(id="3", instruction="Who?", context="Ann called.", prompt_prefix="You answer briefly."),
)

RESPONSE_EMPTY = "the response is empty"
RESPONSE_TOO_LONG = "the response alone is longer than max_length"
ROW_TOO_LONG = "the response and the prompt without its context are longer than max_length"
PROMPT_TOO_LONG = "the prompt without its context leaves no room for an answer"


@dataclass(frozen=True)
class TokenRow:
    """One row as ``ids`` (n_tokens,) int32: prompt, response, end token; the first ``n_prompt`` carry no loss."""

    id: str
    ids: NDArray[np.int32]
    n_prompt: int

    @property
    def loss_mask(self) -> NDArray[np.bool_]:
        """Return (n_tokens,) bool: True for the tokens of the response and its end token."""
        return np.arange(len(self.ids)) >= self.n_prompt


@dataclass
class EncodedRows:
    """Rows ready for training or generation, and every row that was cut or left out, by id.

    ``context_cut`` maps the id of a row to the number of characters cut from the end of its context; ``dropped``
    maps a reason to the ids of the rows that were left out for it.
    """

    rows: list[TokenRow] = field(default_factory=list)
    context_cut: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)

    @property
    def n_response_tokens(self) -> int:
        """Return the number of tokens that carry loss, end tokens included."""
        return sum(len(row.ids) - row.n_prompt for row in self.rows)


class Template:
    """The prompt template of one tokenizer, locked when it is made.

    The tokenizer's own chat template is used when it has one: ``prompt_prefix`` is the system message (or stands
    before the instruction when the template has no system role), instruction and context the user's. Otherwise the
    parts of :data:`PLAIN_PARTS` follow each other. transformers renders chat templates in a sandboxed Jinja
    environment.

    Parameters
    ----------
    tokenizer
        A tokenizer of transformers. A later change of its chat template does not change this object.

    Raises
    ------
    ModelError
        If the tokenizer has no token that ends an answer, or its chat template cannot be rendered.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._chat = _locked(tokenizer.get_chat_template()) if tokenizer.chat_template else None
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)")
        self._system_role = self._chat is not None and self._takes_system_role()
        self._bos = self._bos_ids()
        self.end_id = self._end_id()

    @property
    def text(self) -> str:
        """Return the template itself: the chat template's source, or our parts joined."""
        return "\n\n".join(PLAIN_PARTS) if self._chat is None else self._chat

    @property
    def hash(self) -> str:
        """Return 16 hexadecimal digits that change with the template's text, its end token or the tokenizer."""
        probes = self._tokenize([self.render(x) for x in PROBES])
        return content_hash(self.text, str(self._system_role), str(self.end_id), json.dumps(probes))

    def render(self, x: Example) -> str:
        """Return the prompt of one example as text, up to where the response begins."""
        parts = {name: self._defuse(x[name]) for name in ("prompt_prefix", "instruction", "context")}
        if self._chat is not None:
            return self._render_chat(prompt_messages(parts, system_role=self._system_role))
        filled = [part.format(**parts) for part in PLAIN_PARTS]
        fields = (parts["prompt_prefix"], "always", parts["context"], "always")
        return "\n\n".join(part for part, content in zip(filled, fields, strict=True) if content.strip())

    def encode(self, data: pd.DataFrame, max_length: int) -> EncodedRows:
        """Return the training rows of a frame, each at most ``max_length`` tokens long.

        A row that is too long loses the end of its context, never a part of its response. A response that does not
        fit whole is left out. Both are recorded by id.
        """
        encoded = EncodedRows()
        rows = list(examples(complete(data)))
        prompts = self._tokenize([self.render(x) for x in rows])
        responses = self._tokenize([self._defuse(x.response) for x in rows], bos=False)
        for x, prompt, response in zip(rows, prompts, responses, strict=True):
            room = max_length - len(response) - 1
            if not x.response.strip():
                encoded.dropped.setdefault(RESPONSE_EMPTY, []).append(x.id)
            elif room <= 0:
                encoded.dropped.setdefault(RESPONSE_TOO_LONG, []).append(x.id)
            else:
                self._add(encoded, x, prompt, room=room, answer=[*response, self.end_id], too_long=ROW_TOO_LONG)
        return encoded

    def encode_prompts(self, data: pd.DataFrame, max_length: int | None = None) -> EncodedRows:
        """Return the generation prompts of a frame, each at most ``max_length`` tokens long (None: any length).

        The context of a prompt that is too long is cut at its end; a prompt that does not fit without any context
        is left out. Both are recorded by id.
        """
        encoded = EncodedRows()
        rows = list(examples(data))
        for x, prompt in zip(rows, self._tokenize([self.render(x) for x in rows]), strict=True):
            self._add(encoded, x, prompt, room=max_length, answer=[], too_long=PROMPT_TOO_LONG)
        return encoded

    def check(self, trained_hash: str | None, where: str) -> None:
        """Raise unless this template is the one that the adapter was trained with (None: not known).

        Raises
        ------
        TemplateMismatchError
            Names both hashes.
        """
        if trained_hash is not None and trained_hash != self.hash:
            raise TemplateMismatchError(
                f"{where} was trained with the prompt template {trained_hash}, but the tokenizer of its base model now "
                f"gives the template {self.hash}: the model would be asked in a form that it has not learned. Use the "
                "base model that it was trained on, train again, or pass force=True to go on all the same."
            )

    def _add(
        self,
        encoded: EncodedRows,
        x: Example,
        prompt: list[int],
        *,
        room: int | None,
        answer: list[int],
        too_long: str,
    ) -> None:
        n_cut = 0
        if room is not None and len(prompt) > room:
            context = self._cut_context(x, room)
            if context is None:
                encoded.dropped.setdefault(too_long, []).append(x.id)
                return
            n_cut = len(x.context) - len(context)
            prompt = self._prompt_ids(x, context)
        if n_cut:
            encoded.context_cut[x.id] = n_cut
        encoded.rows.append(TokenRow(x.id, np.array([*prompt, *answer], dtype=np.int32), len(prompt)))

    def _cut_context(self, x: Example, room: int) -> str | None:
        """Return the longest beginning of the context with which the prompt fits, or None if none does."""
        # Pieces of at most 20 characters, so that text without spaces can be cut, too.
        ends = [0, *(match.end() for match in re.finditer(r"\S{1,20}", x.context))]
        low, high = 0, len(ends)  # ends[:low] fit, ends[high:] do not
        while low < high:
            middle = (low + high) // 2
            if len(self._prompt_ids(x, x.context[: ends[middle]])) <= room:
                low = middle + 1
            else:
                high = middle
        return x.context[: ends[low - 1]] if low else None

    def _prompt_ids(self, x: Example, context: str) -> list[int]:
        return self._tokenize([self.render(Example(**(vars(x) | {"context": context})))])[0]

    def _tokenize(self, texts: Sequence[str], bos: bool = True) -> list[list[int]]:
        if not texts:
            return []
        # Special tokens are never added here: a chat template writes its own, and twice is once too often.
        ids = self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        start = self._bos if bos else []
        return [[*start, *row] for row in ids["input_ids"]]

    def _defuse(self, text: str) -> str:
        """Return the text with an invisible space inside whatever would be read as a special token."""
        return self._special.sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)

    def _render_chat(self, messages: list[dict[str, str]], *, for_generation: bool = True) -> str:
        text: str = self._tokenizer.apply_chat_template(
            messages,
            chat_template=self._chat,
            add_generation_prompt=for_generation,
            tokenize=False,
        )
        return text

    def _takes_system_role(self) -> bool:
        """Whether a system message is accepted and shown; some chat templates raise, others leave it out."""
        user = {"role": "user", "content": "question"}
        try:
            self._render_chat([user])
        except TemplateError as error:
            raise ModelError(f"the tokenizer's chat template cannot be rendered: {error}") from error
        try:
            return "the system says" in self._render_chat([{"role": "system", "content": "the system says"}, user])
        except TemplateError:
            return False

    def _bos_ids(self) -> list[int]:
        """Return what our own template starts with: one BOS where the tokenizer has one that is not its EOS."""
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        if self._chat is not None or bos is None:
            return []
        added_by_itself = bos in self._tokenizer("a")["input_ids"]
        return [bos] if bos != eos or added_by_itself else []

    def _end_id(self) -> int:
        """Return the token that ends an answer: what the chat template puts behind it, else EOS."""
        if self._chat is not None:
            question, answer = {"role": "user", "content": "question"}, {"role": "assistant", "content": "the reply"}
            rendered = self._render_chat([question, answer], for_generation=False)
            ending = self._special.search(rendered.rpartition("the reply")[2])
            if ending:
                return int(self._tokenizer.convert_tokens_to_ids(ending[0]))
        if self._tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no EOS token, so a model could not learn where an answer ends")
        return int(self._tokenizer.eos_token_id)


def _locked(chat: str) -> str:
    return LOCKED_DATE + chat if "strftime_now" in chat else chat
