"""Conditions that rows must fulfil: a value, a slice, a label, a confidence, a certified score."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.certificate import Certificate, LabelUse, certify
from weaklm.curation.corrections import is_corrected, model_score
from weaklm.curation.decisions import Detail, Integers
from weaklm.curation.table import Table, members
from weaklm.data import LABEL_NAMES, human_labels
from weaklm.errors import DataError, SettingsError, nearest


def keep_values(table: Table, column: str, values: Collection[str]) -> Table:
    """Return the table without the rows whose value of a column is none of these."""
    wanted = [values] if isinstance(values, str) else [str(value) for value in values]
    present = set(table.data[column])
    for value in wanted:
        if value not in present:
            raise DataError(f"no row has the {column} {value!r}; {nearest(value, present)}")
    names = "one of those named" if column == "id" or len(wanted) > 3 else " or ".join(wanted)
    found = table.data[column].to_numpy(dtype=object)
    outside = ~table.data[column].isin(wanted).to_numpy(dtype=bool)
    return table.drop(outside, f"{column} is not {names}", lambda rows: found[rows].tolist())


def keep_members(table: Table, slices: Sequence[Any]) -> Table:
    """Return the table without the rows that are in none of the slices."""
    S = members(table.data, slices)
    return table.drop(~S.to_numpy(dtype=bool).any(axis=1), f"in no slice of {' or '.join(S.columns)}")


def keep_labels(table: Table, labels: str | Collection[str]) -> Table:
    """Return the table without the rows whose score gives them another label."""
    wanted = [labels] if isinstance(labels, str) else list(labels)
    for label in wanted:
        if label not in LABEL_NAMES.values():
            raise SettingsError(f"there is no label {label!r}; {nearest(label, LABEL_NAMES.values())}")
    outside = ~np.isin(table.decisions["label"].astype(str), wanted)
    return table.drop(outside, f"label is not {' or '.join(wanted)}", _value_of(table, "score"))


def keep_confident(table: Table, threshold: float) -> Table:
    """Return the table without the rows of less confidence."""
    check_share("confidence_threshold", threshold)
    below = table.decisions["confidence"] < threshold
    return table.drop(below, f"confidence below {threshold:g}", _value_of(table, "confidence"))


def keep_certified(
    table: Table,
    label_use: LabelUse | None,
    Y: ArrayLike | None,
    inclusion: ArrayLike | None,
    *,
    max_bad_rate: float,
    delta: float,
    drawn_from: float,
    random_state: int,
) -> Table:
    """Return the table without the rows below the certified score; without any, if there is none.

    What people corrected stays. It is certified as what the model had written: people correct what is bad, so that
    without these rows the labels would say too much good of the others.
    """
    if label_use is None:
        raise SettingsError(
            "filter(max_bad_rate=...) needs label_use: the LabelUse of what labels were used for. Labels that trained "
            "or calibrated the score cannot certify it; LabelUse() says that none did"
        )
    for earlier in table.certificates:
        label_use = label_use.add("an earlier certificate", earlier.label_ids)
    rows = table.by_id()  # in this order, thinning at random does not depend on that of the data
    score = model_score(table.data, table.decisions["score"])
    chance = None if inclusion is None else _of_rows(inclusion, rows, table, "inclusion", "one chance")
    if chance is not None and (chance <= 0).any():  # labels say nothing about rows that none could be asked about
        drawn_from = max(drawn_from, float(np.nextafter(score[rows][chance <= 0].max(), 2)))
    certificate = certify(
        score[rows],
        human_labels(table.data)[rows] if Y is None else _of_rows(Y, rows, table, "Y", "one label"),
        table.id[rows],
        label_use,
        max_bad_rate=max_bad_rate,
        delta=delta,
        drawn_from=drawn_from,
        inclusion=chance,
        random_state=random_state,
    )
    below = np.ones(len(score), dtype=bool) if certificate.threshold is None else score < certificate.threshold
    dropped = table.drop(below & ~is_corrected(table.data), _step(certificate), _value_of(table, "score"))
    return replace(dropped.note(certificate.reason), certificates=(*table.certificates, certificate))


def check_share(name: str, value: float) -> None:
    """Raise SettingsError where a value is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise SettingsError(f"{name} is {value!r}; a number from 0 to 1 was expected")


def _step(certificate: Certificate) -> str:
    promise = f"certified for at most {certificate.max_bad_rate:.0%} bad rows"
    if certificate.threshold is None:
        return f"no threshold is {promise}"
    return f"score below {certificate.threshold:.3f}, {promise}"


def _value_of(table: Table, column: str) -> Detail:
    values = table.decisions[column]
    return lambda rows: [f"{column} {value:.4f}" for value in values[rows]]


def _of_rows(values: ArrayLike, rows: Integers, table: Table, name: str, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (len(table.data),):
        raise DataError(f"{name} has shape {array.shape}; {what} a row, ({len(table.data)},), was expected")
    return array[rows]
