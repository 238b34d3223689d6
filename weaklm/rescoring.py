"""Score the answers of a new source with the same quality model, and compare them with the old ones."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from weaklm.comparison import Comparison
from weaklm.data import ACCEPT, complete
from weaklm.errors import DataError
from weaklm.quality import QualityModel


def rescore(answers: pd.DataFrame, quality: QualityModel) -> NDArray[Any]:
    """Return the score of each answer, (n,) float64 = P(ACCEPT), by a quality model fitted before."""
    return quality.predict_proba(answers)[:, ACCEPT]


def compare(
    base: pd.DataFrame, tuned: pd.DataFrame, quality: QualityModel, *, slices: Sequence[Any] | None = None
) -> Comparison:
    """Return the Comparison of two sources that answered the same instructions, both scored by ``quality``.

    Each frame holds the answers of one source; rows are paired by ``instruction_id``.
    """
    base, tuned = complete(base, "the base answers"), complete(tuned, "the tuned answers")
    names = tuple(_source(frame, default) for frame, default in ((base, "base"), (tuned, "tuned")))
    return Comparison(base, rescore(base, quality), tuned, rescore(tuned, quality), slices=slices, names=names)


def _source(frame: pd.DataFrame, default: str) -> str:
    sources = frame["source"].unique().tolist()
    if len(sources) != 1:
        raise DataError(f"the {default} answers come from {len(sources)} sources ({sources[:5]}); one was expected")
    return sources[0] or default
