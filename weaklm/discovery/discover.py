"""Discover slices: split the instructions, search one half, test what was found on the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.data import complete
from weaklm.discovery.choice import Chosen, choose, members_of
from weaklm.discovery.conditions import Flags, conditions
from weaklm.discovery.discovered import Discovered, DiscoveredSlice, free_name
from weaklm.discovery.look import Look
from weaklm.discovery.search import with_telling_words
from weaklm.discovery.testing import clustered_rate, p_values
from weaklm.errors import DataError, SettingsError
from weaklm.significance import holm

_FEWEST_ROWS, _FEWEST_SHARE = 15, 0.02  # of a half that a slice must have


def discover_slices(
    data: pd.DataFrame,
    bad: ArrayLike,
    *,
    slices: Sequence[Any] | None = None,
    columns: Sequence[str] | None = None,
    n: int = 10,
    min_rows: int | None = None,
    max_depth: int = 2,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Discovered:
    """Return slices that nobody wrote where answers are bad, each with the source of its slicing function.

    A slice is a condition on instruction, context and earlier turns, or several that hold together: words, lengths,
    question types, fields such as a topic. Never on the response, so that its members stay the same from source to
    source. Half of the instructions choose at most ``n`` slices; the other half, which had no part in it, tells how bad
    they are. Where no slice is worse than the rest, any is shown in at most a share of ``1 - confidence`` of all runs
    (Holm over the slices that were tested), and of the intervals shown, at most such a share misses on average.

    Source: SliceLine (Sagadeeva and Boehm 2021, doi:10.1145/3448016.3457323) for the search; Benjamini and Yekutieli
    2005 (doi:10.1198/016214504000001907) for intervals of what a test picked.

    Parameters
    ----------
    data
        Examples; ``instruction`` and ``response`` are enough.
    bad
        (n_rows,) from 0 to 1: one minus the score, or 1 where people rejected the response and 0 where they accepted
        it; NaN where nobody knows.
    slices
        Slicing functions that you have: how far a discovered slice overlaps them is told, and one that has nearly
        their rows is left out.
    columns
        Columns of the data that say something about the instruction, such as a topic, with at most 20 values. None:
        every text column of your own that has the same value for all answers to an instruction. Name them where a text
        column is a judgement of the response, such as a reviewer's verdict.
    min_rows
        Rows with a known quality that a slice must have in each half; None: 2 % of the half and at least 15.
    max_depth
        Conditions of a slice at most: 1, 2 or 3.
    random_state
        Seed of the halves and of the test.

    Raises
    ------
    DataError
        If ``bad`` does not fit the data, or holds something that is no share.

    Examples
    --------
    >>> data = pd.DataFrame({"instruction": [f"Is item {i} {'late' if i % 5 == 0 else 'new'}?" for i in range(400)],
    ...                      "response": "Yes."})
    >>> found = discover_slices(data, [float(i % 5 == 0) for i in range(400)])
    >>> found[0].rule, found[0].rate
    ('the instruction has "late"', 1.0)
    """
    _check_settings(n, min_rows, max_depth, confidence)
    data = complete(data)
    rng = np.random.default_rng(random_state)
    look = Look.at(data, _checked(bad, len(data)), rng)
    if nothing := look.why_not():
        return Discovered([], nothing)
    least = min_rows or max(_FEWEST_ROWS, round(_FEWEST_SHARE * min(len(look.explored), len(look.held_out))))
    found = [one for one in conditions(look.rows, columns, least) if _divides(one[1], look, least)]
    found = with_telling_words(found, look.explored, look.bad[look.is_explored])
    yours = members_of(slices, look.rows)
    chosen, met = choose(look, found, yours, least=least, depth=max_depth, n=n)
    together = f", up to {max_depth} together," if max_depth > 1 else ""
    basis = (
        f"{len(found):,} conditions{together} searched on half of {len(np.unique(look.group)):,} instructions; "
        f"{len(chosen)} slices tested on the other half"
    )
    if met:
        basis += f"; left out are nearly the rows of {', '.join(met)}"
    return _tested(look, chosen, basis, confidence, rng=rng, taken=set(yours))


def _divides(holds: Flags, look: Look, least: int) -> bool:
    """Tell whether a condition holds on enough rows of each half, and not on all."""
    return all(least <= holds[half].sum() < len(half) for half in (look.explored, look.held_out))


def _check_settings(n: int, min_rows: int | None, max_depth: int, confidence: float) -> None:
    if n < 1:
        raise SettingsError(f"n is {n!r}; at least 1 slice was expected")
    if min_rows is not None and min_rows < 1:
        raise SettingsError(f"min_rows is {min_rows!r}; at least 1 row, or None, was expected")
    if max_depth not in (1, 2, 3):
        raise SettingsError(f"max_depth is {max_depth!r}; 1, 2 or 3 was expected")
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence is {confidence!r}; a number between 0 and 1 was expected")


def _checked(bad: ArrayLike, n: int) -> NDArray[np.float64]:
    values = np.asarray(bad, dtype=float)
    if values.shape != (n,):
        raise DataError(f"bad has shape {values.shape}; one number for each of the {n} rows, ({n},), was expected")
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if len(wrong):
        raise DataError(f"bad is {values[wrong[0]]} for row {wrong[0]}; 0 to 1 was expected, or NaN where nobody knows")
    return values


def _tested(
    look: Look, chosen: Sequence[Chosen], basis: str, confidence: float, *, rng: np.random.Generator, taken: set[str]
) -> Discovered:
    """Return the slices that are worse than the rest on the half that did not choose them."""
    if not chosen:
        return Discovered([], basis)
    _, group = np.unique(look.group[~look.is_explored], return_inverse=True)
    bad, members = look.bad[~look.is_explored], np.stack([one.members[look.held_out] for one in chosen])
    p = p_values(members, group, bad, rng)
    p_adjusted = holm(p)
    is_shown = p_adjusted <= 1 - confidence
    # The slices that are shown were picked by these very rows: the more tests for each, the wider its interval.
    level = np.where(is_shown, 1 - (1 - confidence) * is_shown.sum() / len(chosen), confidence)
    tested = []
    for i, (one, inside) in enumerate(zip(chosen, members, strict=True)):
        rate = clustered_rate(group[inside], bad[inside], float(level[i]))
        name = free_name(one.name, taken)
        taken = {*taken, name}
        tested.append(
            DiscoveredSlice(
                name=name,
                rule=one.rule,
                n=rate.n,
                n_instructions=len(np.unique(group[inside])),
                share=float(one.members[look.is_counted].mean()),
                rate=rate.value,
                low=rate.low,
                high=rate.high,
                rest_rate=float(bad[~inside].mean()),
                p=float(p[i]),
                p_adjusted=float(p_adjusted[i]),
                overlap=one.overlap,
                overlaps_with=one.overlaps_with,
                also=tuple(one.also),
                _conditions=one.conditions,
                _basis=basis,
                _members=one.members,
                _rows=look.examples,
            )
        )
    tested.sort(key=lambda one: -one.low)
    return Discovered([one for one in tested if one.p_adjusted <= 1 - confidence], basis, tested)
