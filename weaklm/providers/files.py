"""Training data as files, for a service that has no programming interface of its own here."""

from pathlib import Path

import pandas as pd

from weaklm.errors import DataError, nearest
from weaklm.exchange import HasFrame, export

# Services with a chat interface read messages; those that fine-tune by SQL select prompt and completion from a table.
FORMATS = {"chat": "messages", "sql": "prompt_completion"}


def write_files(
    data: pd.DataFrame | HasFrame,
    folder: str | Path,
    *,
    service: str = "chat",
    valid: pd.DataFrame | HasFrame | None = None,
) -> dict[str, int]:
    """Write ``train.jsonl`` and, with ``valid``, ``valid.jsonl`` for a service; return the rows of each by its path.

    Parameters
    ----------
    data, valid
        Frames of examples, or QualityDatasets, of which the kept rows are written. No instruction may be in both.
    service
        "chat": one ``{"messages": [...]}`` a row, as services for chat models read it. "sql": one ``{"prompt": ...,
        "completion": ...}`` a row, to be loaded into a table from which a service selects these two columns.
    """
    if service not in FORMATS:
        raise DataError(f"unknown kind of service {service!r}; {nearest(service, FORMATS)}")
    parts = {"train": as_frame(data)} | ({} if valid is None else {"valid": as_frame(valid)})
    check_parts(parts)
    written = {}
    for name, frame in parts.items():
        path = Path(folder) / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        written[str(path)] = export(frame, path, format=FORMATS[service], lossless=False)
    return written


def as_frame(data: pd.DataFrame | HasFrame) -> pd.DataFrame:
    """Return the rows of a frame or of a QualityDataset."""
    return data if isinstance(data, pd.DataFrame) else data.to_frame()


def check_parts(parts: dict[str, pd.DataFrame]) -> None:
    """Raise DataError where a part is empty, a response is, or an instruction is in two parts."""
    for name, frame in parts.items():
        if frame.empty:
            raise DataError(f"there is no row to {name} on; curate with a lower threshold, or export another split")
        empty = frame["response"].map(lambda text: not str(text).strip())
        if empty.any():
            raise DataError(f"{int(empty.sum()):,} of the {len(frame):,} rows to {name} on have an empty response")
    if len(parts) == 2:
        first, second = (
            set(zip(f["instruction"], f.get("context", f["instruction"]), strict=True)) for f in parts.values()
        )
        if both := first & second:
            raise DataError(
                f"{len(both):,} instructions are in both parts, such as {min(both)[0]!r:.80}: what is measured on them "
                "would not be held out"
            )
