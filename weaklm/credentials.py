"""Secrets of the environment: read where they are needed, refused where they would be kept, hidden where text is shown.

A secret is the value of an environment variable whose name says so (``HF_TOKEN``, ``OPENAI_API_KEY``,
``AWS_SECRET_ACCESS_KEY``), or the password in a URL. What is shorter than 8 characters is left alone: it may be a word.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weaklm.errors import SettingsError

_SHORTEST = 8  # characters
_SECRET = re.compile(r"(?:^|_)(?:\w*KEY|\w*PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|PAT)(?:_ID)?$")
_SECRET_INSIDE = re.compile(r"SECRET|PASSWORD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|SESSION_TOKEN")
_IN_URL = re.compile(r"://[^/:@\s]*:([^/@\s]+)@")
_NO_SECRET = re.compile(r"_(?:FILE|PATH|DIR|NAME|ENV)$")


def secrets(names: Iterable[str] = ()) -> dict[str, str]:
    """Return the lines of the environment's secrets, each with the name of its variable.

    ``names`` are variables that hold a secret whatever they are called.
    """
    named = set(names)
    found: dict[str, str] = {}
    for name, value in os.environ.items():
        parts = value.splitlines() if name in named or is_secret(name) else _IN_URL.findall(value)
        found |= {part.strip(): name for part in parts if len(part.strip()) >= _SHORTEST}
    return found


def is_secret(name: str) -> bool:
    """Whether the name of an environment variable says that its value is a secret.

    >>> [is_secret(name) for name in ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "TOKENIZERS_PARALLELISM", "SSL_KEY_FILE")]
    [True, True, False, False]
    """
    upper = name.upper()
    says_so = _SECRET.search(upper) or _SECRET_INSIDE.search(upper)
    return bool(says_so) and not _NO_SECRET.search(upper)


def hidden(text: str, known: Mapping[str, str] | None = None) -> str:
    """Return the text with ``[NAME]`` in place of each secret; ``known`` spares reading the environment again."""
    by_length = sorted((secrets() if known is None else known).items(), key=lambda item: -len(item[0]))
    for value, name in by_length:  # the longest first: one may be a part of another
        text = text.replace(value, f"[{name}]")
    return text


def hidden_inside(value: Any) -> Any:
    """Return a value of JSON with the secrets in its texts hidden.

    >>> hidden_inside({"n": 1, "said": ["no secret"]})
    {'n': 1, 'said': ['no secret']}
    """
    known = secrets()
    return _changed(value, lambda text: hidden(text, known))


def refuse_secrets(value: Any, where: str) -> None:
    """Raise SettingsError if a value of JSON that is to be kept or sent holds a secret, which is not repeated."""
    known = secrets()

    def check(text: str) -> str:
        for secret, name in known.items():
            if secret in text:
                raise SettingsError(
                    f"{where} holds the value of the environment variable {name}, which would be written to disk or "
                    "sent away; leave it out: what needs it reads the environment itself"
                )
        return text

    _changed(value, check)


def from_environment(name: str, purpose: str) -> str:
    """Return the secret that an environment variable holds.

    Raises
    ------
    SettingsError
        If it is not set, or what it holds cannot be a key; the value is not repeated.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"the environment variable {name} is not set; it is to hold the key for {purpose}")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise SettingsError(
            f"the environment variable {name} holds no key: there is a space, a line break or a character beyond ASCII "
            "within it"
        )
    return value


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value of JSON with each text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): _changed(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(inner, change) for inner in value]
    return value
