"""Rules that could be labeling functions: phrases, thresholds on traits, pairs of thresholds; and their source code.

The candidates are chosen by how many rows they fire on, never by labels, so that a test on labels can tell how good the
best of so many would look by chance.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm import traits
from weaklm.data import examples
from weaklm.text import ngrams

Flags = NDArray[np.bool_]

FEWEST, MOST = 0.01, 0.4  # share of the rows that a rule may fire on
_PAIR_MOST = 0.7  # and each half of a pair
_CUTS = (0.05, 0.1, 0.2, 0.3, 0.4)  # shares of the rows that a threshold cuts off
_PAIR_CUTS = (0.25, 0.5)
_LONGEST_PHRASE = 3  # words
_MEASURED = 0.2  # share of the rows on which a trait must have a value
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Phrase:
    """The words stand in a column one after another, in small or capital letters.

    >>> phrase = Phrase("response", ("as", "an", "ai"))
    >>> print(phrase.words, phrase.name, phrase.code, sep=" | ")
    the response has "as an ai" | says_as_an_ai | re.search(phrase, x.response.lower())
    >>> print(phrase.resources["phrase"])
    \\bas\\W+an\\W+ai\\b
    """

    column: str  # "response" or "instruction"
    tokens: tuple[str, ...]

    @property
    def words(self) -> str:
        """The condition in words."""
        return f'the {self.column} has "{" ".join(self.tokens)}"'

    @property
    def name(self) -> str:
        """What a function with this condition could be called."""
        return f"{'says' if self.column == 'response' else 'asked'}_{'_'.join(self.tokens)}"

    @property
    def code(self) -> str:
        """The condition as an expression of ``x`` and the resources."""
        return f"re.search(phrase, x.{self.column}.lower())"

    @property
    def resources(self) -> dict[str, str | float]:
        """What the expression compares with, by name."""
        return {"phrase": r"\b" + r"\W+".join(self.tokens) + r"\b"}


@dataclass(frozen=True)
class Threshold:
    """A trait is over or under a value; or, without a value, it is true.

    >>> threshold = Threshold("novel_share", ">", 0.5)
    >>> print(threshold.words, threshold.name, threshold.code, threshold.resources, sep=" | ")
    the share of the response's terms that the context lacks is over 0.5 | high_novel_share | \
traits.novel_share(x) > novel_share_over | {'novel_share_over': 0.5}
    """

    trait: str  # a function of weaklm.traits
    sign: str  # ">", "<" or ""
    value: float = 0

    @property
    def words(self) -> str:
        """The condition in words."""
        said = (inspect.getdoc(getattr(traits, self.trait)) or "").splitlines()[0].removeprefix("Return ").rstrip(".")
        said = f"the number of{said.removeprefix('how many')}" if said.startswith("how many") else said
        return f"{said} is {self._side} {self.value:g}" if self.sign else said.removeprefix("whether ")

    @property
    def name(self) -> str:
        """What a function with this condition could be called."""
        return f"{'high' if self.sign == '>' else 'low'}_{self.trait}" if self.sign else self.trait

    @property
    def code(self) -> str:
        """The condition as an expression of ``x`` and the resources."""
        return f"traits.{self.trait}(x)" + (f" {self.sign} {self.trait}_{self._side}" if self.sign else "")

    @property
    def resources(self) -> dict[str, str | float]:
        """What the expression compares with, by name."""
        value = int(self.value) if float(self.value).is_integer() else self.value
        return {f"{self.trait}_{self._side}": value} if self.sign else {}

    @property
    def _side(self) -> str:
        return "over" if self.sign == ">" else "under"


Condition = Phrase | Threshold
Rule = tuple[Condition, ...]  # all of them hold


@dataclass(frozen=True)
class Candidates:
    """Rules and where they fire: ``fires`` is (n_rules, n_rows); ``kind`` is (n_rules,): phrase, threshold, pair."""

    rules: list[Rule]
    fires: Flags
    kind: NDArray[np.str_]

    @classmethod
    def of(cls, data: pd.DataFrame, counted: Flags) -> "Candidates":
        """Return every candidate on the rows of a complete frame; ``counted`` are those that shares are taken of."""
        rules: list[Rule] = []
        fires: list[Flags] = []
        kinds: list[str] = []
        seen: set[bytes] = set()
        for kind, rule, fired in _all(data):
            key = fired.tobytes()
            if key not in seen and FEWEST <= fired[counted].mean() <= MOST:
                seen.add(key)
                rules.append(rule)
                fires.append(fired)
                kinds.append(kind)
        matrix = np.array(fires, dtype=bool).reshape(len(rules), len(data))
        return cls(rules, matrix, np.array(kinds, dtype="<U9"))


def _all(data: pd.DataFrame) -> Iterator[tuple[str, Rule, Flags]]:
    """Yield rules with where they fire, the simplest first."""
    values = measure(data, traits.TRAITS)
    for threshold, fired in _thresholds(values, _CUTS):
        yield "threshold", (threshold,), fired
    for column in ("response", "instruction"):
        for phrase, fired in _phrases(data[column].tolist(), column):
            yield "phrase", (phrase,), fired
    halves = [half for half in _thresholds(values, _PAIR_CUTS) if 0 < half[1].mean() <= _PAIR_MOST]
    for (first, one), (second, other) in combinations(halves, 2):
        if first.trait != second.trait:
            yield "pair", (first, second), one & other


def measure(data: pd.DataFrame, functions: Iterable[Callable[[Any], float]]) -> dict[str, NDArray[np.float64]]:
    """Return the traits of each row of a complete frame."""
    measured = [[function(x) for function in functions] for x in examples(data)]
    return dict(zip((f.__name__ for f in functions), np.array(measured, dtype=float).T, strict=True))


def _thresholds(values: dict[str, NDArray[np.float64]], shares: Iterable[float]) -> Iterator[tuple[Threshold, Flags]]:
    for trait, value in values.items():
        known = value[~np.isnan(value)]
        if len(known) < max(1, _MEASURED * len(value)):
            continue
        if inspect.signature(getattr(traits, trait)).return_annotation is bool:
            yield Threshold(trait, ""), value == 1
            continue
        found: dict[tuple[str, float], None] = {}
        for share in shares:
            found[">", _rounded(np.quantile(known, 1 - share))] = None
            found["<", _rounded(np.quantile(known, share))] = None
        for sign, cut in found:
            yield Threshold(trait, sign, cut), value > cut if sign == ">" else value < cut


def _rounded(value: float) -> float:
    """Return a number that reads well in a rule."""
    return float(f"{value:.3g}")


def _phrases(texts: list[str], column: str) -> Iterator[tuple[Phrase, Flags]]:
    """Yield the runs of up to three words that enough texts have, the longest first."""
    found = [_WORD.findall(text.lower()) for text in texts]
    wanted: dict[tuple[str, ...], list[int]] = {}
    for n in range(1, _LONGEST_PHRASE + 1):
        rows: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, words in enumerate(found):
            for run in set(ngrams(words, n)):
                if n == 1 or (run[1:] in wanted and run[:-1] in wanted):  # no rarer than its parts
                    rows[run].append(row)
        wanted |= {run: places for run, places in rows.items() if len(places) >= FEWEST * len(texts) / 2}
    for run in sorted(wanted, key=lambda run: (-len(run), run)):
        fired = np.zeros(len(texts), dtype=bool)
        fired[wanted[run]] = True
        yield Phrase(column, run), fired
