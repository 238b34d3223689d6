"""Models of sentence-transformers that score pairs of texts: load one, ask it in batches, long texts in passages."""

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from weaklm.errors import MissingExtraError, ModelError

Pair = tuple[str, str]
Score = Callable[[Sequence[Pair]], list[float]]


def entailment(folder: Path, device: str | None, batch_size: int) -> Score:
    """Return the support of a text for a sentence: the highest over its passages, the lowest over a long sentence's."""
    model = _load("CrossEncoder", folder, device)
    names = {int(place): str(label).lower() for place, label in model.config.id2label.items()}
    place = next((place for place, label in names.items() if label.startswith("entail")), None)
    if place is None:
        raise ModelError(f"the model {folder} has no class named 'entailment', only {', '.join(names.values())}")
    window, starts = _window(model), _starts(model)

    def score(pairs: Sequence[Pair]) -> list[float]:
        cut: list[tuple[int, str, str]] = []
        for number, (premise, sentence) in enumerate(pairs):
            for piece in passages(sentence, starts(sentence), window // 2):
                parts = passages(premise, starts(premise), window - len(starts(piece)))
                cut += [(number, piece, part) for part in parts]
        probabilities = model.predict(
            [(part, piece) for _, piece, part in cut],
            batch_size=batch_size,
            apply_softmax=True,
            show_progress_bar=False,
        )[:, place]
        highest: dict[tuple[int, str], float] = {}
        for (number, piece, _), probability in zip(cut, probabilities.tolist(), strict=True):
            highest[number, piece] = max(highest.get((number, piece), 0.0), probability)
        lowest = [1.0] * len(pairs)
        for (number, _), probability in highest.items():
            lowest[number] = min(lowest[number], probability)
        return lowest

    return score


def cosines(folder: Path, device: str | None, batch_size: int) -> Score:
    """Return the cosine of two texts, each the mean of its passages' embeddings."""
    model = _load("SentenceTransformer", folder, device)
    window, starts = _window(model), _starts(model)

    def score(pairs: Sequence[Pair]) -> list[float]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        parts = [passages(text, starts(text), window) for text in texts]
        flat = [part for text in parts for part in text]
        embedded = model.encode(flat, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
        ends = np.cumsum([len(text) for text in parts])[:-1]
        means = np.stack([part.mean(axis=0) for part in np.split(embedded, ends)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        vector = dict(zip(texts, means, strict=True))
        return [float(vector[first] @ vector[second]) for first, second in pairs]

    return score


def _window(model: Any) -> int:
    """Return how many tokens of text the model takes at once; the rest is for its special tokens."""
    return min(model.max_seq_length or 512, 8192) - 8


def _starts(model: Any) -> Callable[[str], list[int]]:
    """Return a function from a text to the places where its tokens begin."""

    @lru_cache(maxsize=1024)
    def starts(text: str) -> list[int]:
        encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [start for start, _ in encoded["offset_mapping"]]

    return starts


def model_folder(model: str | Path, download: bool) -> Path:
    """Return the folder of a model; nothing is fetched unless asked."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder.resolve()
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("A model from the hub", "embeddings") from error
    try:
        return Path(snapshot_download(str(model), local_files_only=not download, ignore_patterns=_NOT_NEEDED))
    except Exception as error:  # not there, no access, no network: the library raises many things
        hint = "" if download else "; download=True fetches it from the Hugging Face hub"
        raise ModelError(f"there is no model {str(model)!r} on this machine{hint} ({type(error).__name__})") from error


_NOT_NEEDED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite"]


def fingerprint(folder: Path) -> str:
    """Return what changes when a file of the model does: the hub's revision, or a hash of all files."""
    if folder.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", folder.name):
        return folder.name
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as content:
            digest.update(f"{file.relative_to(folder)} {hashlib.file_digest(content, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _load(kind: str, folder: Path, device: str | None) -> Any:
    """Return a sentence-transformers model of a folder; code that lies in the folder is not run."""
    try:
        return getattr(_library(), kind)(str(folder), device=device, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model {folder} cannot be loaded: {error}") from error


def _library() -> Any:
    # On some processors bitsandbytes, which may come along, warns that an optional download is not there.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        try:
            import sentence_transformers
        except ImportError as error:
            raise MissingExtraError("A column of model scores", "embeddings") from error
    return sentence_transformers


def passages(text: str, starts: Sequence[int], room: int) -> list[str]:
    """Return a text in passages of at most ``room`` tokens, which overlap by a quarter; the tokens' places are given.

    >>> passages("a b c d e f g h", starts=range(0, 16, 2), room=4)
    ['a b c d ', 'd e f g ', 'g h']
    """
    if len(starts) <= room:
        return [text]
    step = room - room // 4
    ends = [*starts[room:], len(text)]
    firsts = range(0, len(starts) - room // 4, step)
    return [text[starts[first] : ends[min(first, len(ends) - 1)]] for first in firsts]
