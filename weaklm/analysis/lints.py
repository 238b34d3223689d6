"""Lints: what is likely wrong with a set of labeling functions, each told in a sentence that says what to do.

Source: failures of weak supervision that we met: sets that only ever REJECT, one threshold written twice, quantiles
that move with the batch, rules that measure nothing but length.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.analysis.tally import Tally
from weaklm.data import ABSTAIN, HUMAN_LABEL, LABEL_NAMES, complete
from weaklm.estimation import wilson
from weaklm.voting import Voters

TOO_OFTEN = 0.95  # share of rows above which a function tells nothing apart
REDUNDANT = 0.8  # phi of two functions above which they are one
FAILING = 0.001  # share of rows on which a function may raise
LENGTH_RULE = 0.95  # AUC above which the length alone gives a function's votes
_CHANCE = 0.001  # how probable it may be that rows of one function are rows of another by chance
_FEWEST = 10  # votes below which length is not looked at
_ROWS_FOR_LENGTH = 20_000
_ROWS_FOR_BATCH = 2_000

_SAYS_LENGTH = re.compile(
    r"(?<![a-z])(?:brief|characters?|concise|empty|length|lengthy|long(?:er|est)?|short(?:er|est)?|size|terse|verbose"
    r"|words|wordy)(?![a-z])"
)

Lint = tuple[str, str, str]  # function, lint, detail


def of_votes(names: Sequence[str], tally: Tally) -> Iterator[Lint]:
    """Yield what the votes alone show."""
    cast = tally.votes.sum(axis=0) > 0
    if len(cast) == 2 and cast.sum() == 1:
        only, other = LABEL_NAMES[int(cast.argmax())], LABEL_NAMES[int(cast.argmin())]
        detail = f"no function ever votes {other}, so no label model can tell how many rows deserve it: write some."
        yield "all functions", f"only {only}", detail
    for name, coverage, votes in zip(names, tally.coverage, tally.votes, strict=True):
        if coverage > TOO_OFTEN:
            what = _named(int(votes.argmax())) if (votes > 0).sum() == 1 else "something"
            detail = f"it votes {what} on {coverage:.1%} of the rows: let it abstain where it cannot tell."
            yield name, "votes nearly always", detail
    yield from _redundant(names, tally)
    yield from _nested(names, tally)
    for name in (name for name, votes in zip(names, tally.votes, strict=True) if not votes.any()):
        detail = f"it abstains on all {tally.n_rows:,} rows: widen its condition, or leave it out."
        yield name, "never votes", detail


def _redundant(names: Sequence[str], tally: Tally) -> Iterator[Lint]:
    """Yield each function once, with the earlier one that it repeats."""
    for j, name in enumerate(names):
        phi = tally.phi[j, :j]
        if len(phi) and phi.max() > REDUNDANT:
            detail = (
                f"its votes are nearly those of {names[int(phi.argmax())]} (phi {phi.max():.2f}): "
                "keep the more accurate one, since together they count one opinion twice."
            )
            yield name, "redundant", detail


def _nested(names: Sequence[str], tally: Tally) -> Iterator[Lint]:
    """Yield functions whose votes for a class are all among the votes of another for it, more than chance would do."""
    for k, agreed in enumerate(tally.agreed):
        count = np.diag(agreed)
        log_chance = count[:, None] * np.log(np.maximum(count, 1) / tally.n_rows)
        inside = (agreed == count[:, None]) & (count[:, None] < count) & (count[:, None] > 0)
        inside &= (log_chance < np.log(_CHANCE)) & (tally.phi <= REDUNDANT)
        for j in np.flatnonzero(inside.any(axis=1)).tolist():
            outer = min(np.flatnonzero(inside[j]).tolist(), key=lambda i: (count[i], i))
            detail = (
                f"all {count[j]:,} rows where it votes {_named(k)} are among the {count[outer]:,} of {names[outer]}: "
                "if both measure one thing, keep one threshold, or let the weaker abstain where the stronger votes."
            )
            yield names[j], "nested", detail


def of_labels(names: Sequence[str], L: NDArray[Any], Y: NDArray[Any]) -> Iterator[Lint]:
    """Yield the votes that people contradict more often than a guess would be: L and Y of the labelled rows."""
    for k in np.unique(Y).tolist():
        voted, deserved = np.equal(L, k), np.equal(Y, k)
        base, judged, right = float(deserved.mean()), voted.sum(axis=0), voted[deserved].sum(axis=0)
        _, high = wilson(right, judged)
        for j in np.flatnonzero(high < base).tolist():
            detail = (
                f"{right[j]} of its {judged[j]} {_named(k)} votes are right, at most {high[j]:.0%} of such votes, "
                f"but {base:.0%} of all labelled rows are {_named(k)}: turn it round, or leave it out."
            )
            yield names[j], "worse than its base rate", detail


def of_run(names: Sequence[str], n_failed: Mapping[str, int], n_rows: int) -> Iterator[Lint]:
    """Yield the functions that raised on more than a few rows."""
    for name in names:
        share = n_failed.get(name, 0) / n_rows
        if share > FAILING:
            detail = f"it raised on {n_failed[name]:,} rows ({share:.1%}), where it now abstains: mend it, or guard it."
            yield name, "fails", detail


def of_length(
    names: Sequence[str], functions: Sequence[Any] | None, L: NDArray[Any], responses: pd.Series
) -> Iterator[Lint]:
    """Yield the functions whose votes the length of the response gives away, though name and docstring name none."""
    rows = np.unique(np.linspace(0, len(L) - 1, min(len(L), _ROWS_FOR_LENGTH)).astype(np.int64))
    texts, L = responses.iloc[rows], L[rows]
    lengths = {"characters": texts.str.len().to_numpy(), "words": texts.str.count(r"\S+").to_numpy()}
    ranks = {unit: pd.Series(length).rank().to_numpy() for unit, length in lengths.items()}
    for j, name in enumerate(names):
        if _declares_length(name, None if functions is None else functions[j]):
            continue
        found = [(auc, k, unit) for unit, rank in ranks.items() for k, auc in _told_by(rank, L[:, j])]
        if found and max(found)[0] > LENGTH_RULE:
            auc, k, unit = max(found)
            detail = (
                f"the number of {unit} alone tells its {_named(k)} votes (AUC {auc:.2f}): "
                "count per word, or name it a length rule."
            )
            yield name, "a length rule in disguise", detail


def _told_by(rank: NDArray[np.float64], votes: NDArray[Any]) -> Iterator[tuple[int, float]]:
    """Yield for each class that is voted how well one threshold, or a band, on the ranks finds its votes, as an AUC."""
    for k in np.unique(votes[votes != ABSTAIN]):
        fired = votes == k
        if _FEWEST <= fired.sum() <= len(votes) - _FEWEST:
            threshold = _auc(rank, fired)
            centre = np.median(rank[fired])
            band = 1 - _auc(pd.Series(np.abs(rank - centre)).rank().to_numpy(), fired)
            yield int(k), max(threshold, 1 - threshold, band)


def _auc(rank: NDArray[np.float64], fired: NDArray[np.bool_]) -> float:
    n = int(fired.sum())
    return float((rank[fired].sum() - n * (n + 1) / 2) / (n * (len(rank) - n)))


def _declares_length(name: str, function: Any) -> bool:
    doc = (getattr(function, "__doc__", None) or "").strip().splitlines()
    return _SAYS_LENGTH.search(f"{name} {doc[0] if doc else ''}".lower()) is not None


def of_batches(functions: Sequence[Any], data: pd.DataFrame) -> Iterator[Lint]:
    """Yield the batch functions whose vote on a row depends on which other rows are there."""
    asked = [function for function in functions if getattr(function, "batch", False)]
    if not asked:
        return
    data = complete(data.iloc[:_ROWS_FOR_BATCH]).drop(columns=HUMAN_LABEL, errors="ignore")
    whole = _votes(asked, data)
    by_length = np.argsort(data["response"].str.len().to_numpy(), kind="stable")
    moved = np.zeros(len(asked), np.int64)
    for order in (np.arange(len(data)), by_length):
        for half in np.array_split(order, 2):
            moved = np.maximum(moved, (_votes(asked, data.iloc[half]) != whole[half]).sum(axis=0))
    for function, n in zip(asked, moved, strict=True):
        if n:
            detail = (
                f"{n:,} votes of {len(data) // 2:,} change when it sees half of the rows: "
                "replace what it takes from the batch, such as a quantile, by a fixed number in resources."
            )
            yield function.name, "moves with the batch", detail


def _votes(functions: Sequence[Any], data: pd.DataFrame) -> NDArray[np.int8]:
    return Voters(functions).vote({name: data[name].tolist() for name in data.columns}).values


def _named(k: int) -> str:
    return LABEL_NAMES.get(k, str(k))
