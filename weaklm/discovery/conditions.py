"""What a slice can be made of: words, lengths, question types and fields of the prompt; never of the response."""

import keyword
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm import questions, traits
from weaklm.data import COLUMNS, HUMAN_LABEL, LABEL_NAMES, examples
from weaklm.errors import DataError, nearest
from weaklm.suggestions.rules import Threshold
from weaklm.text import STOP_WORDS, ngrams

Flags = NDArray[np.bool_]

PROMPT = ("instruction", "context", "prompt_prefix")
MOST = 0.5  # share of the rows that a condition may hold on: what is more is not a slice but the rest
_CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)  # quantiles at which lengths are cut
_MEASURED = 0.2  # share of the rows on which a trait must have a value
_FEW_VALUES = 20  # a column with more different values is no field
_LONGEST_PHRASE = 2  # words
_WORD = re.compile(r"\w+")
_TRAITS = (traits.instruction_terms, traits.context_words, traits.prefix_words, traits.answerable_share)
_QUESTIONS = {
    questions.asks_yes_no: "a yes or a no",
    questions.asks_figure: "a figure or a date",
    questions.asks_way: "a way to do something",
    questions.asks_reason: "a reason",
    questions.asks_comparison: "a comparison",
}


@dataclass(frozen=True)
class Condition:
    """Something that holds on a row or does not, as words and as code.

    Attributes
    ----------
    words
        It in words.
    name
        What a function with this condition could be called.
    code
        An expression of ``x``; ``{}`` stands for the name of the value.
    key, value
        The value that it compares with and a name for it; None where there is none.
    """

    words: str
    name: str
    code: str
    key: str = ""
    value: str | float | None = None


Found = tuple[Condition, Flags]


def conditions(rows: pd.DataFrame, columns: Sequence[str] | None, least: int) -> list[Found]:
    """Return every condition that holds on at least ``least`` rows of a complete frame, with where it holds.

    Of conditions that hold on the same rows, the first is kept. Parameters as in ``discover_slices``.
    """
    seen: set[bytes] = set()
    found: list[Found] = []
    for condition, holds in _all(rows, columns, least):
        key = np.packbits(holds).tobytes()
        if key not in seen and least <= holds.sum() <= MOST * len(rows):
            seen.add(key)
            found.append((condition, holds))
    return found


def is_word(condition: Condition) -> bool:
    """Tell whether a condition asks for a word or phrase: there are thousands of these."""
    return condition.key == "phrase"


def _all(rows: pd.DataFrame, columns: Sequence[str] | None, least: int) -> Iterator[Found]:
    """Yield conditions, those first that read best."""
    for column in _fields(rows, columns):
        yield from _values(rows[column], column)
    place, prompts = _distinct(rows)
    for condition, holds in (*_kinds(prompts), *_lengths(prompts), *_phrases(prompts, np.bincount(place), least)):
        yield condition, holds[place]


def _distinct(rows: pd.DataFrame) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Return the different prompts, and the place of each row's prompt among them."""
    place = rows.groupby(list(PROMPT), sort=False).ngroup().to_numpy()
    return place, rows[~rows.duplicated(list(PROMPT))]


def _fields(rows: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that say something about the instruction, checked where the caller names them."""
    for column in columns or ():
        _check_field(rows, column)
    if columns is not None:
        return list(columns)
    others = [c for c in rows.columns if c not in (*COLUMNS, HUMAN_LABEL)]
    return [c for c in others if _is_text(rows[c]) and _is_constant(rows[c], rows["instruction_id"])]


def _check_field(rows: pd.DataFrame, column: str) -> None:
    if column not in rows.columns:
        raise DataError(f"the data has no column {column!r}; {nearest(column, rows.columns)}")
    if column in (*COLUMNS, HUMAN_LABEL):
        raise DataError(f"columns has {column!r}; a field of your own, such as a topic, is expected")
    values = rows[column].dropna()
    if values.nunique() > _FEW_VALUES or not values.map(lambda value: isinstance(value, str | int | bool)).all():
        raise DataError(
            f"columns has {column!r}, with {values.nunique()} values such as {values.tolist()[0]!r}; text, whole "
            f"numbers or booleans with at most {_FEW_VALUES} values are expected. Make classes of it first."
        )


def _is_text(values: pd.Series) -> bool:
    """Tell whether a column holds texts, and not the verdict of somebody on the response."""
    known = values.dropna()
    return (
        len(known) > 0
        and bool(known.map(lambda value: isinstance(value, str)).all())
        and not set(known.str.upper().unique()) <= {*LABEL_NAMES.values()}
    )


def _is_constant(values: pd.Series, instruction: pd.Series) -> bool:
    """Tell whether all rows of an instruction agree: what differs between them is about the response."""
    return bool(values.groupby(instruction).nunique(dropna=False).max() <= 1)


def _values(values: pd.Series, column: str) -> Iterator[Found]:
    counts = values.map(lambda value: value if isinstance(value, str | int | bool) else None).value_counts()
    if len(counts) > _FEW_VALUES:
        return
    plain = column.isidentifier() and not keyword.iskeyword(column) and not column.startswith("__")
    for value in sorted(counts.index.tolist(), key=lambda value: (-counts[value], str(value))):
        words = f"the column {column} is {value!r}"
        code = f"x.{column} == {{}}" if plain else f"x[{column!r}] == {{}}"
        holds = values.map(lambda other, value=value: other == value).to_numpy(dtype=bool, na_value=False)
        yield Condition(words, f"{column}_{value}", code, "value", value), holds


def _kinds(prompts: pd.DataFrame) -> Iterator[Found]:
    """Yield the question types, and whether there is a context, or an earlier turn, at all."""
    for asks, what in _QUESTIONS.items():
        holds = prompts["instruction"].map(asks).to_numpy(dtype=bool)
        code = f"questions.{asks.__name__}(x.instruction)"
        yield Condition(f"the instruction asks for {what}", asks.__name__, code), holds
    for column, what, name in (("context", "context", "no_context"), ("prompt_prefix", "earlier turn", "first_turn")):
        holds = ~prompts[column].map(str.strip).to_numpy(dtype=bool)
        yield Condition(f"there is no {what}", name, f"not x.{column}.strip()"), holds


def _lengths(prompts: pd.DataFrame) -> Iterator[Found]:
    """Yield thresholds on lengths and on how much of the instruction's terms the context has."""
    measured = np.array([[trait(x) for trait in _TRAITS] for x in examples(prompts)], dtype=float)
    for trait, value in zip(_TRAITS, measured.reshape(-1, len(_TRAITS)).T, strict=True):
        known = value[~np.isnan(value)]
        if len(known) < max(1, _MEASURED * len(value)):
            continue
        for cut in dict.fromkeys(float(f"{np.quantile(known, share):.3g}") for share in _CUTS):
            for sign, holds in ((">", value > cut), ("<", value < cut)):
                yield _threshold(trait, sign, cut), holds


def _threshold(trait: Callable[[Any], float], sign: str, cut: float) -> Condition:
    rule = Threshold(trait.__name__, sign, cut)
    ((key, value),) = rule.resources.items()
    return Condition(rule.words, f"{key}_{value}", f"traits.{trait.__name__}(x) {sign} {{}}", key, value)


def _phrases(prompts: pd.DataFrame, n_rows: NDArray[np.int64], least: int) -> Iterator[Found]:
    """Yield words and pairs of words of instructions, and words of contexts; ``n_rows`` are those of each prompt."""
    for column, longest in (("instruction", _LONGEST_PHRASE), ("context", 1)):
        places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, text in enumerate(prompts[column]):
            words = _WORD.findall(text.lower())
            for run in {run for n in range(1, longest + 1) for run in ngrams(words, n)}:
                places[run].append(place)
        frequent = [run for run, found in places.items() if n_rows[found].sum() >= least]
        for run in sorted(frequent, key=lambda run: (len(run), run)):
            if not STOP_WORDS.issuperset(run):
                holds = np.zeros(len(prompts), dtype=bool)
                holds[places[run]] = True
                yield _phrase(column, run), holds


def _phrase(column: str, run: tuple[str, ...]) -> Condition:
    words = f'the {column} has "{" ".join(run)}"'
    name = f"{'asked' if column == 'instruction' else 'context'}_{'_'.join(run)}"
    pattern = r"\b" + r"\W+".join(run) + r"\b"
    code = f"re.search({{}}, x.{column}.lower()) is not None"
    return Condition(words, name, code, "phrase", pattern)
