"""Curated rows for preference tuning: rows with a verdict, and pairs of a better and a worse response to one prompt."""

import numpy as np
import pandas as pd

from weaklm.curation.corrections import ORIGINAL, ORIGINAL_SCORE, is_corrected
from weaklm.errors import DataError

PROMPT = ("instruction", "context", "prompt_prefix")
PAIR_COLUMNS = (
    *PROMPT,
    "chosen",
    "rejected",
    "chosen_id",
    "rejected_id",
    "chosen_score",
    "rejected_score",
    "margin",
    "chosen_source",
    "rejected_source",
    "origin",
)


def kto_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a response: prompt, ``response``, ``label`` (bool: ACCEPT), ``id``, ``weight``.

    Weights make both classes weigh the same, the larger one 1 a row.

    Parameters
    ----------
    rows
        Examples with ``score`` and ``label``, all of them sure enough to learn from.

    Source: Ethayarajh et al. 2024 (KTO, arXiv:2402.01306), whose eq. 8 asks for weights that offset unequal classes.

    >>> rows = pd.DataFrame({"id": list("abc"), "instruction": "Why?", "context": "", "prompt_prefix": "",
    ...     "response": ["It rained.", "Rain.", "Sorry."], "score": [0.9, 0.9, 0.1],
    ...     "label": ["ACCEPT", "ACCEPT", "REJECT"]})
    >>> kto_rows(rows)[["label", "weight"]].values.tolist()
    [[True, 1.0], [True, 1.0], [False, 2.0]]
    """
    good = (rows["label"] == "ACCEPT").to_numpy(dtype=bool)
    n_good, n_bad = int(good.sum()), int((~good).sum())
    if not n_good or not n_bad:
        raise DataError(_one_class(n_good, n_bad, "KTO learns from both"))
    larger = max(n_good, n_bad)
    weight = np.where(good, larger / n_good, larger / n_bad)
    return rows[[*PROMPT, "response"]].assign(label=good, id=rows["id"], weight=weight).reset_index(drop=True)


def preference_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one pair a prompt with an ACCEPT and a REJECT response: the best and the worst; for DPO.

    A person's correction makes a pair with the response that it replaced (``origin`` is then "correction", else
    "responses"). Prompts are the same where instruction, context and prefix are. The columns are :data:`PAIR_COLUMNS`.

    >>> rows = pd.DataFrame({"id": list("abc"), "instruction": "Why?", "context": "", "prompt_prefix": "",
    ...     "response": ["It rained.", "Rain.", "Sorry."], "score": [0.9, 0.8, 0.1], "source": ["x", "y", "z"],
    ...     "label": ["ACCEPT", "ACCEPT", "REJECT"]})
    >>> preference_pairs(rows)[["chosen", "rejected", "margin"]].values.tolist()
    [['It rained.', 'Sorry.', 0.8]]
    """
    good, bad = _classes(rows)
    best = good.sort_values(["score", "id"], ascending=[False, True]).drop_duplicates([*PROMPT])
    worst = bad.sort_values(["score", "id"]).drop_duplicates([*PROMPT])
    return _checked([_paired(best, worst), _corrections(rows)], rows)


def reward_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return every pair of an ACCEPT and a REJECT response to one prompt, for a reward model.

    Beside :data:`PAIR_COLUMNS` each pair has a ``weight``: the pairs of one prompt weigh 1 together, so that a prompt
    with many responses does not outweigh the others.

    Source: all comparisons of one prompt count as one element of a batch in Ouyang et al. 2022 (arXiv:2203.02155).
    """
    good, bad = _classes(rows)
    pairs = _checked([_paired(good, bad), _corrections(rows)], rows)
    n_of_prompt = pairs.groupby([*PROMPT], sort=False)["chosen"].transform("size")
    return pairs.assign(weight=1.0 / n_of_prompt)


def _classes(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = [*PROMPT, "id", "response", "score", "source"]
    good = (rows["label"] == "ACCEPT").to_numpy(dtype=bool)
    return rows.loc[good, columns], rows.loc[~good, columns]


def _paired(good: pd.DataFrame, bad: pd.DataFrame) -> pd.DataFrame:
    pairs = good.merge(bad, on=list(PROMPT), suffixes=("_chosen", "_rejected"))
    names = {
        f"{column}_{side}": side if column == "response" else f"{side}_{column}"
        for side in ("chosen", "rejected")
        for column in ("response", "id", "score", "source")
    }
    return _with_margin(pairs.rename(columns=names).assign(origin="responses"))


def _corrections(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a pair for each correction: both sides are of one row, so they share its id and source."""
    if ORIGINAL not in rows.columns:
        return pd.DataFrame(columns=list(PAIR_COLUMNS))
    fixed = rows[is_corrected(rows)]
    pairs = fixed[list(PROMPT)].assign(
        chosen=fixed["response"],
        rejected=fixed[ORIGINAL],
        chosen_id=fixed["id"],
        rejected_id=fixed["id"],
        chosen_score=fixed["score"],
        rejected_score=fixed[ORIGINAL_SCORE],
        chosen_source=fixed["source"],
        rejected_source=fixed["source"],
        origin="correction",
    )
    return _with_margin(pairs)


def _with_margin(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.assign(margin=pairs["chosen_score"] - pairs["rejected_score"])[list(PAIR_COLUMNS)]


def _checked(parts: list[pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that differ, by id; DataError where none is there."""
    pairs = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)  # empty ones have no types
    pairs = pairs[(pairs["chosen"] != pairs["rejected"]).to_numpy(dtype=bool)]
    if pairs.empty:
        n_good = int((rows["label"] == "ACCEPT").sum())
        if not n_good or n_good == len(rows):
            raise DataError(_one_class(n_good, len(rows) - n_good, "a pair needs one of each"))
        raise DataError(
            f"no prompt has both an ACCEPT and a REJECT response among these {len(rows)} rows, so there is no pair; "
            "add responses of another source to the same instructions, or lower confidence_threshold"
        )
    return pairs.sort_values(["chosen_id", "rejected_id"], kind="stable", ignore_index=True)


def _one_class(n_good: int, n_bad: int, why: str) -> str:
    return (
        f"{n_good} ACCEPT and {n_bad} REJECT rows are kept and sure enough; {why}. Curate without labels=... (which "
        "keeps both), or lower confidence_threshold"
    )
