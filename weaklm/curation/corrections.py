"""Responses that people corrected: the better answer takes the place of the model's, which stays beside it."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.errors import DataError

CORRECTED = "corrected_response"  # a person's better answer; empty or missing where there is none
ORIGINAL = "original_response"
ORIGINAL_SCORE = "original_score"
PROVENANCE = "response_provenance"
BY_PEOPLE, BY_MODEL = "human correction", "model"

Numbers = NDArray[np.float64]


def corrected(data: pd.DataFrame, score: Numbers) -> tuple[pd.DataFrame, Numbers]:
    """Return the examples with corrected responses in place, and their scores: 1 for what a person wrote.

    Where ``corrected_response`` holds a text, it becomes the ``response``. The model's response and its score are kept
    in ``original_response`` and ``original_score``, and ``response_provenance`` says who wrote what now stands there.
    Without such a column nothing changes.

    >>> data = pd.DataFrame({"response": ["No.", "Yes."], "corrected_response": ["At nine.", None]})
    >>> changed, score = corrected(data, np.array([0.2, 0.9]))
    >>> changed["response"].tolist(), changed["original_response"].tolist(), score.tolist()
    (['At nine.', 'Yes.'], ['No.', None], [1.0, 0.9])
    """
    if CORRECTED not in data.columns or ORIGINAL in data.columns:
        return data, score
    better = is_text(data[CORRECTED])
    texts = data["response"].to_numpy(dtype=object)
    columns = {
        "response": np.where(better, data[CORRECTED].to_numpy(dtype=object), texts),
        ORIGINAL: np.where(better, texts, None),
        ORIGINAL_SCORE: np.where(better, score, np.nan),
        PROVENANCE: np.where(better, BY_PEOPLE, BY_MODEL).astype(object),
    }
    changed = {name: pd.Series(values, index=data.index, dtype=values.dtype) for name, values in columns.items()}
    return data.assign(**changed), np.where(better, 1.0, score)


def is_corrected(data: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows hold a person's correction."""
    if PROVENANCE not in data.columns or ORIGINAL not in data.columns:
        return np.zeros(len(data), dtype=bool)
    return (data[PROVENANCE] == BY_PEOPLE).to_numpy(dtype=bool)


def model_score(data: pd.DataFrame, score: Numbers) -> Numbers:
    """Return the score of what the model wrote, corrected or not."""
    if ORIGINAL_SCORE not in data.columns:
        return score
    return np.where(is_corrected(data), data[ORIGINAL_SCORE].to_numpy(dtype=float), score)


def is_text(values: pd.Series) -> NDArray[np.bool_]:
    """Return which values are texts with more than white space; DataError where one is neither text nor missing."""
    missing = values.isna().to_numpy(dtype=bool)
    for row, value in enumerate(values.tolist()):
        if not missing[row] and not isinstance(value, str):
            raise DataError(
                f"row {row}, column {values.name!r}: {value!r} is {type(value).__name__}; a text was expected, or "
                "nothing where nobody corrected the response"
            )
    return np.array([isinstance(value, str) and bool(value.strip()) for value in values.tolist()], dtype=bool)
