"""A model's folder: ``manifest.json`` and the files that it names, each read only when length and hash are right."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from weaklm.atomic import atomic_file
from weaklm.errors import ModelError

_MANIFEST = "manifest.json"


def write_folder(folder: str | Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write the files, and the manifest with their lengths and hashes under the key ``files``."""
    facts = {name: {"bytes": len(content), "sha256": _hash(content)} for name, content in files.items()}
    for name, content in files.items():
        with atomic_file(Path(folder) / name) as path:
            path.write_bytes(content)
    with atomic_file(Path(folder) / _MANIFEST) as path:
        path.write_text(json.dumps({**manifest, "files": facts}), encoding="utf-8")


def read_folder(
    folder: str | Path, kind: str, keys: Collection[str], required: Collection[str]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest of a folder, of the format ``kind`` and with these keys, and the content of its files.

    Raises
    ------
    ModelError
        If a file is missing, cut, changed or of another version; it says which.
    """
    manifest = _manifest(Path(folder) / _MANIFEST, kind, {*keys, "files"}, required)
    return manifest, {name: _checked(Path(folder) / name, facts) for name, facts in manifest["files"].items()}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(path: Path, kind: str, keys: Collection[str], required: Collection[str]) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"there is no {path}; QualityModel.save(folder) writes it. Fit and save the model again.")
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        found = manifest["format"]
        lacking = set(keys) - set(manifest) if found == kind else set()
        lacking |= set() if lacking or found != kind else set(required) - set(manifest["files"])
        strange = [] if lacking or found != kind else [name for name in manifest["files"] if Path(name).name != name]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}); fit and save the model again") from error
    if found != kind:
        raise ModelError(f"{path} is of format {found!r}, this weaklm reads {kind!r}; fit and save the model again")
    if strange:
        raise ModelError(f"{path} names a file outside its folder, {strange[0]!r}; fit and save the model again")
    if lacking:
        raise ModelError(f"{path} lacks {', '.join(sorted(lacking))}; fit and save the model again")
    return manifest


def _checked(path: Path, expected: Mapping[str, Any]) -> bytes:
    if not path.is_file():
        raise ModelError(f"there is no {path} beside its {_MANIFEST}; fit and save the model again")
    content = path.read_bytes()
    if len(content) != expected["bytes"]:
        raise ModelError(
            f"{path} has {len(content)} bytes where {expected['bytes']} were saved; fit and save the model again"
        )
    if _hash(content) != expected["sha256"]:
        raise ModelError(f"{path} was changed after it was saved: its hash differs; fit and save the model again")
    return content
