"""Suggest labeling functions from some human labels: phrases and thresholds that go with REJECT or with ACCEPT.

Thousands of rules are tried, and the best of thousands looks good by chance alone. So every rule is held against the
best that shuffled labels give: what is suggested beats that, and its lower bound of precision allows for all the rules
that were tried. Labels are shuffled by instruction, since the answers to one share its difficulty.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN, LABEL_NAMES, Example
from weaklm.errors import DataError, FunctionError
from weaklm.functions import LabelingFunction
from weaklm.suggestions import writing
from weaklm.suggestions.evidence import Evidence, Look
from weaklm.suggestions.rules import Candidates, Flags, Rule

_FEWEST_LABELS = 50
_FEWEST_OF_A_CLASS = 5
_SAME = 0.7  # Jaccard index with a function that is there already, or share of rows with an earlier suggestion
_SHOWN = 5  # rows where a rule is right, and where it is wrong
_CLIPPED = 300  # characters
_COLUMNS = (
    *("name", "vote", "words", "right", "judged", "precision", "low", "base_rate"),
    *("coverage", "overlap", "overlaps_with", "log_odds"),
)


@dataclass(frozen=True, repr=False)
class Suggestion:
    """A rule that could be a labeling function, and the evidence for it.

    Attributes
    ----------
    name
        The name that the function gets.
    vote
        REJECT (0) or ACCEPT (1).
    words
        When it fires.
    right, judged
        Of the ``judged`` human-labelled rows where it fires, ``right`` have the label that it votes for. They are the
        rows on which it was found: on others it is likely right less often.
    low
        Lower bound of its precision (Wilson; 95 % for all rules that were tried at once).
    base_rate
        The share of the human labels that are what it votes for.
    coverage
        The share of all rows where it fires.
    overlap, overlaps_with
        The largest Jaccard index of its rows with those where a function of ours casts the same vote; that function.
    log_odds
        How far the phrase leans to the vote's class, as a z score of log-odds with an informative Dirichlet prior
        (Monroe, Colaresi and Quinn 2008, doi:10.1093/pan/mpn018); NaN for thresholds.
    hits, misses
        Up to five rows where it is right, and where it is wrong.
    """

    name: str
    vote: int
    words: str
    right: int
    judged: int
    low: float
    base_rate: float
    coverage: float
    overlap: float
    overlaps_with: str | None
    log_odds: float
    hits: pd.DataFrame = field(compare=False)
    misses: pd.DataFrame = field(compare=False)
    _rule: Rule
    _basis: str
    _fires: Flags = field(compare=False)
    _rows: list[Example] = field(compare=False)

    @property
    def precision(self) -> float:
        """The share of the labelled rows where it fires on which it is right: on new rows expect less."""
        return self.right / self.judged

    @property
    def source(self) -> str:
        """The source code of the labeling function."""
        return self._source(self.name)

    def accept(self, path: str | Path, name: str | None = None) -> LabelingFunction:
        """Write the function to a file of yours, such as ``lfs/mine.py``, and return it.

        The file is made with the imports, or gets the function at its end; what it holds is not touched.

        Raises
        ------
        FunctionError
            If the name is taken in the file, or the file does not load; then nothing is written.
        """
        source = self._source(name or self.name)
        self._check(source, name or self.name)
        return writing.append(source, name or self.name, path)

    def _source(self, name: str) -> str:
        vote = LABEL_NAMES[self.vote]
        resources: dict[str, str | float] = {}
        for condition in self._rule:
            resources |= condition.resources
        evidence = (
            f"suggested from human labels: right on {self.right} of {self.judged}, so at least {self.low:.2f} "
            f"after allowing for the {self._basis}; {self.base_rate:.2f} of all labels are {vote}. "
            f"Fires on {self.coverage:.1%} of the rows."
        )
        return writing.function_source(
            name,
            vote=vote,
            condition=" and ".join(condition.code for condition in self._rule),
            resources=resources,
            doc=f"{vote} when {self.words}.",
            source=evidence,
        )

    def _check(self, source: str, name: str) -> None:
        """Raise when the source does not vote as the rule did."""
        made: dict[str, Any] = {"__name__": "weaklm_suggestion"}
        exec(compile(writing.with_imports(source), "<suggestion>", "exec"), made)
        said = np.array([made[name](x) for x in self._rows])
        if not np.array_equal(said, np.where(self._fires, self.vote, ABSTAIN)):
            raise FunctionError(f"{name} does not vote as the rule that was suggested; please report this")

    def __repr__(self) -> str:
        return (
            f"{LABEL_NAMES[self.vote]} when {self.words}: right on {self.right} of {self.judged} labels, at least "
            f"{self.low:.2f} (base rate {self.base_rate:.2f}), fires on {self.coverage:.1%} of the rows"
        )


class Suggestions(Sequence[Suggestion]):
    """Suggestions, the best first; shows itself in a notebook."""

    def __init__(self, found: Sequence[Suggestion], basis: str) -> None:
        self._found, self._basis = list(found), basis

    def __getitem__(self, i: Any) -> Any:
        return self._found[i]

    def __len__(self) -> int:
        return len(self._found)

    def accept(self, i: int, path: str | Path, name: str | None = None) -> LabelingFunction:
        """Write suggestion ``i`` to a file of yours: see :meth:`Suggestion.accept`."""
        return self._found[i].accept(path, name)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a suggestion with its evidence."""
        rows = [[getattr(found, column) for column in _COLUMNS] for found in self._found]
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        return frame.assign(vote=frame["vote"].map(LABEL_NAMES))

    def __repr__(self) -> str:
        return "\n".join([f"{len(self)} suggestions from the {self._basis}", *map(repr, self._found)])

    def _repr_html_(self) -> str:
        said = f"<p>{len(self)} suggestions from the {html.escape(self._basis)}.</p>"
        return said + "".join(_shown(i, found) for i, found in enumerate(self._found))


def suggest(
    data: pd.DataFrame,
    Y: ArrayLike,
    L: ArrayLike | None = None,
    functions: Sequence[Any] | None = None,
    *,
    n: int = 10,
    random_state: int = 0,
) -> Suggestions:
    """Return rules that go with REJECT or ACCEPT in the human labels, as labeling functions to look at and accept.

    Rules are phrases of up to three words in response or instruction, thresholds on :mod:`weaklm.traits`, and pairs of
    these thresholds. A rule is suggested when it fires on 1 to 40 % of the rows, is right at least 0.1 more often than
    the base rate, and the lower bound of its precision is over the base rate; of rules that share most rows, the one
    with the best bound. Labels without any meaning give a suggestion in about one run of twenty.

    Source: rules from small labelled sets after Snuba (Varma and Re 2018, doi:10.14778/3291264.3291268); the bound is
    Wilson's (1927) at the z score that the best rule on shuffled labels reaches (Westfall and Young 1993, max-T).

    Parameters
    ----------
    data
        The rows; only their texts are looked at, on 4,000 rows at most.
    Y
        Human labels of shape (n_rows,): -1 where there is none; 50 or more are needed.
    L, functions
        Votes of the functions that you have, (n_rows, n_lfs), and the functions: what overlaps one of them by 0.7 or
        more is not suggested.
    n
        How many suggestions at most.
    random_state
        Seed of the shuffles and of the choice of rows.

    Raises
    ------
    DataError
        If there are too few labels, or arrays do not fit the data.
    """
    labels, votes, names = _checked(data, Y, L, functions)
    rng = np.random.default_rng(random_state)
    look = Look.at(data, labels, rng)
    candidates = Candidates.of(look.rows, look.is_counted)
    evidence = Evidence.of(candidates, look, rng)
    known = [] if votes is None else [(names[j], votes[look.places, j]) for j in range(votes.shape[1])]
    basis = f"{len(candidates.rules):,} rules tried on {len(look.labelled):,} labels"
    found: list[Suggestion] = []
    search = _Search(look, candidates, evidence, known, basis)
    for i in islice(search.chosen(), n):
        found.append(search.suggestion(i, {*names, *(earlier.name for earlier in found)}))
    return Suggestions(found, basis)


def _checked(
    data: pd.DataFrame, Y: ArrayLike, L: ArrayLike | None, functions: Sequence[Any] | None
) -> tuple[NDArray[np.int8], NDArray[Any] | None, list[str]]:
    labels = np.asarray(Y)
    if labels.shape != (len(data),):
        raise DataError(f"Y has shape {labels.shape}; one label for each of the {len(data)} rows is expected")
    if labels.dtype.kind in "US" or not np.isin(labels, (-1, 0, 1)).all():
        raise DataError("Y holds something that is no label; -1 (none), 0 (REJECT) and 1 (ACCEPT) are expected")
    counts = {name: int((labels == label).sum()) for label, name in LABEL_NAMES.items()}
    total, there = sum(counts.values()), ", ".join(f"{k} {name}" for name, k in counts.items())
    if total < _FEWEST_LABELS or min(counts.values()) < _FEWEST_OF_A_CLASS:
        raise DataError(
            f"there are {total} human labels ({there}); suggestions need {_FEWEST_LABELS}, and {_FEWEST_OF_A_CLASS} of "
            "each class. Label some more rows, best a random draw."
        )
    votes = None if L is None else np.asarray(L)
    if votes is not None and (votes.ndim != 2 or len(votes) != len(data)):
        raise DataError(f"L has shape {votes.shape}; votes on the {len(data)} rows are expected")
    names = [function.name for function in functions or ()]
    if votes is not None and functions is None:
        names = [f"column {j} of L" for j in range(votes.shape[1])]
    elif votes is not None and len(names) != votes.shape[1]:
        raise DataError(f"L has {votes.shape[1]} columns, but there are {len(names)} functions")
    return labels.astype(np.int8), votes, names


@dataclass(frozen=True)
class _Search:
    """Candidates with their evidence, and the functions that are there already: (name, votes on the rows)."""

    look: Look
    candidates: Candidates
    evidence: Evidence
    known: list[tuple[str, NDArray[Any]]]
    basis: str

    def chosen(self) -> Iterator[int]:
        """Yield candidates that hold, the best first, none that says nearly what a function or earlier ones say."""
        good = np.flatnonzero(self.evidence.holds())
        earlier: list[tuple[int, Flags]] = []
        for i in good[np.argsort((self.evidence.base_rate - self.evidence.low)[good], kind="stable")].tolist():
            fired, vote = self.candidates.fires[i, self.look.is_counted], int(self.evidence.vote[i])
            is_new = all(vote != other or _shared(fired, rows) < _SAME for other, rows in earlier)
            if is_new and self._overlap(i)[0] < _SAME:
                earlier.append((vote, fired))
                yield i

    def suggestion(self, i: int, taken: set[str]) -> Suggestion:
        """Return a candidate as a suggestion whose name is not taken."""
        rule, fires, evidence = self.candidates.rules[i], self.candidates.fires[i], self.evidence
        vote, (overlap, overlaps_with) = int(evidence.vote[i]), self._overlap(i)
        fired, is_right = fires[self.look.labelled], np.equal(self.look.Y, vote)
        shown = self.look.rows.drop(columns="instruction_id").iloc[self.look.labelled]
        return Suggestion(
            name=_free(" and ".join(condition.name for condition in rule), taken),
            vote=vote,
            words=" and ".join(condition.words for condition in rule),
            right=int(evidence.right[i]),
            judged=int(evidence.judged[i]),
            low=round(float(evidence.low[i]), 4),
            base_rate=round(float(evidence.base_rate[i]), 4),
            coverage=float(fires[self.look.is_counted].mean()),
            overlap=overlap,
            overlaps_with=overlaps_with,
            log_odds=float(evidence.log_odds[i]),
            hits=shown[fired & is_right].head(_SHOWN),
            misses=shown[fired & ~is_right].head(_SHOWN),
            _rule=rule,
            _basis=self.basis,
            _fires=fires,
            _rows=self.look.examples,
        )

    def _overlap(self, i: int) -> tuple[float, str | None]:
        """Return the largest Jaccard index with a function that casts the same vote, and the function's name."""
        fired, vote = self.candidates.fires[i], self.evidence.vote[i]
        counted = self.look.is_counted
        overlaps = [(_jaccard(fired[counted], votes[counted] == vote), name) for name, votes in self.known]
        overlap, name = max(overlaps, default=(0.0, ""))
        return overlap, name if overlap else None


def _jaccard(a: Flags, b: Flags) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0


def _shared(a: Flags, b: Flags) -> float:
    """Return the share of the smaller set of rows that is in the other: a lower threshold on one trait has all."""
    return int((a & b).sum()) / min(int(a.sum()), int(b.sum()))


def _free(words: str, taken: set[str]) -> str:
    """Return a name for a function that is not taken yet."""
    name = re.sub("[^a-z0-9]+", "_", words.lower()).strip("_")
    names = (name, *(f"{name}_{k}" for k in range(2, len(taken) + 3)))
    return next(free for free in names if free not in taken)


def _shown(i: int, found: Suggestion) -> str:
    """Return a suggestion as HTML; every text is escaped."""
    rows = [("right", found.hits), ("wrong", found.misses)]
    cells = [
        f"<tr><th>{said}</th><td>{html.escape(_clipped(x.instruction))}</td>"
        f"<td>{html.escape(_clipped(x.response))}</td></tr>"
        for said, frame in rows
        for x in frame.itertuples()
    ]
    return (
        f"<details><summary>{i}: {html.escape(repr(found))}</summary><pre>{html.escape(found.source)}</pre>"
        f"<table><tr><th></th><th>instruction</th><th>response</th></tr>{''.join(cells)}</table></details>"
    )


def _clipped(text: str) -> str:
    return text if len(text) <= _CLIPPED else f"{text[:_CLIPPED]}\u2026"
