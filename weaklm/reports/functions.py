"""The labeling functions of a report: Snorkel's summary, what is likely wrong with them, points of a picture."""

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from weaklm.estimation import Estimate

if TYPE_CHECKING:
    from weaklm.analysis import LFAnalysis


def function_table(analysis: "LFAnalysis", Y: NDArray[Any]) -> list[dict[str, Any]]:
    """Return one entry a labeling function, the most frequent first.

    Keys: ``name``, the columns of ``lf_summary`` as plain values, and ``people_agree``, the share of its votes that
    people agree with.
    """
    table = analysis.lf_summary(Y).drop(columns="j", errors="ignore").rename_axis("name").reset_index()
    found = []
    for one in records(table.sort_values("Coverage", ascending=False, kind="stable")):
        n = one["Correct"] + one["Incorrect"]
        low, high = (0.0, 1.0) if n == 0 else (one["Acc. low"], one["Acc. high"])
        agree = Estimate(one["Emp. Acc."] if n else math.nan, low, high, n, "Wilson")
        found.append({**one, "people_agree": agree.to_dict()})
    return found


def findings(analysis: "LFAnalysis", Y: NDArray[Any]) -> list[dict[str, Any]]:
    """Return what is likely wrong with the functions: ``function``, ``lint``, ``detail``."""
    return records(analysis.lints(Y if (Y >= 0).any() else None))


def points(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions as points of coverage and precision; no precision where people judged none of the votes."""
    return [
        {
            "name": str(one["name"]),
            "coverage": one["Coverage"],
            "polarity": one["Polarity"],
            "precision": one["people_agree"]["value"],
            "low": one["people_agree"]["low"],
            "high": one["people_agree"]["high"],
        }
        for one in table
    ]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain values; None in place of nan."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.astype(object).to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
