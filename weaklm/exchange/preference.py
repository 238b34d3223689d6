"""What preference trainers read: KTO's accepted and rejected responses, DPO's (and reward models') pairs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from weaklm.data import TEXT_COLUMNS, complete
from weaklm.errors import DataError, nearest
from weaklm.exchange.chat import answer, prompt, prompt_completion, read_answer, read_prompt
from weaklm.exchange.rows import Form, taken

PAIR_TEXTS = ("instruction", "context", "prompt_prefix", "chosen", "rejected")


def _kto(x: Mapping[str, Any], is_chat: bool) -> dict[str, Any]:
    return prompt_completion(x, is_chat) | {"label": bool(x["label"])}


def _read_kto(row: Mapping[str, Any], held: Mapping[str, int]) -> dict[str, Any]:
    texts = read_prompt(taken(row, "prompt", (str, list), "text"), held)
    response = read_answer(taken(row, "completion", (str, list), "text"))
    return texts | {"response": response, "label": taken(row, "label", bool, "true or false")}


def _dpo(x: Mapping[str, Any], is_chat: bool) -> dict[str, Any]:
    return {"prompt": prompt(x, is_chat)} | {side: answer(x[side], is_chat) for side in ("chosen", "rejected")}


def _read_dpo(row: Mapping[str, Any], held: Mapping[str, int]) -> dict[str, Any]:
    texts: dict[str, Any] = read_prompt(taken(row, "prompt", (str, list), "text"), held)
    return texts | {s: read_answer(taken(row, s, (str, list), "text")) for s in ("chosen", "rejected")}


FORMS = {
    "kto": Form(
        write=_kto,
        read=_read_kto,
        fields=("prompt", "completion", "label"),
        shows=(*TEXT_COLUMNS, "label"),
    ),
    "dpo": Form(write=_dpo, read=_read_dpo, fields=("prompt", "chosen", "rejected"), shows=PAIR_TEXTS),
}


def is_pairs(frame: pd.DataFrame) -> bool:
    """Tell whether a frame holds pairs of a chosen and a rejected response."""
    return {"chosen", "rejected"} <= set(frame.columns) and "response" not in frame.columns


def checked_pairs(frame: pd.DataFrame, name: str = "the frame") -> pd.DataFrame:
    """Return a frame of pairs with all of :data:`PAIR_TEXTS` as checked texts, first; other columns follow.

    >>> pairs = pd.DataFrame({"instruction": ["Why?"], "chosen": ["It rained."], "rejected": ["Sorry."]})
    >>> checked_pairs(pairs).columns.tolist()
    ['instruction', 'context', 'prompt_prefix', 'chosen', 'rejected']
    """
    for column in ("instruction", "chosen", "rejected"):
        if column not in frame.columns:
            raise DataError(
                f"{name} has no column {column!r}, which pairs have; {nearest(column, frame.columns)} A curated set "
                "gives pairs with preference_pairs()."
            )
    texts = [column for column in PAIR_TEXTS[:3] if column in frame.columns]
    sides = {side: complete(frame[texts].assign(response=frame[side]), name) for side in ("chosen", "rejected")}
    checked = sides["chosen"][list(PAIR_TEXTS[:3])].assign(**{s: sides[s]["response"] for s in sides})
    return pd.concat([checked, frame.drop(columns=list(PAIR_TEXTS), errors="ignore")], axis=1)


def checked_kto(frame: pd.DataFrame, name: str = "the frame") -> pd.DataFrame:
    """Return a frame of accepted (True) and rejected (False) responses, complete; DataError where a label is none."""
    if "label" not in frame.columns:
        raise DataError(
            f"{name} has no column 'label' (True for ACCEPT, False for REJECT), which KTO learns from; a curated "
            "set gives such rows with kto_rows()"
        )
    for row, label in enumerate(frame["label"].tolist()):
        if not isinstance(label, bool):
            raise DataError(f"{name}, row {row}, column 'label': {label!r} is neither True nor False")
    return complete(frame, name)
