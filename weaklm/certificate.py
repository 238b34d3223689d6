"""A threshold with a promise: at most so many bad rows above it, but for a small chance; or an honest refusal.

Labels that trained, calibrated or chose anything cannot certify it, so a certificate asks for the record of what each
label was used for (:class:`LabelUse`), and sets such labels aside.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.errors import DataError, SettingsError

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

_STEP = 1.1  # each threshold tested lets in so many times the rows of the one before; at 1.25, 5 % fewer rows get in


@dataclass(frozen=True)
class LabelUse:
    """What human labels were used for: the ids of rows, by purpose. It only grows.

    Whoever fits something on labels adds their ids; whoever certifies reads them.

    >>> use = LabelUse().add("calibration", ["a", "b"]).add("label model", ["b"])
    >>> use.purposes("b"), "c" in use
    (('calibration', 'label model'), False)
    """

    ids: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def add(self, purpose: str, ids: Iterable[Any]) -> "LabelUse":
        """Return the record with these rows added to a purpose."""
        return LabelUse({**self.ids, purpose: self.ids.get(purpose, frozenset()) | frozenset(map(str, ids))})

    def merge(self, other: "LabelUse") -> "LabelUse":
        """Return the record of both: of a label model and of a quality model, say."""
        merged = self
        for purpose, ids in other.ids.items():
            merged = merged.add(purpose, ids)
        return merged

    def __contains__(self, row_id: Any) -> bool:
        return any(str(row_id) in ids for ids in self.ids.values())

    def purposes(self, row_id: Any) -> tuple[str, ...]:
        """Return what the label of a row was used for."""
        return tuple(purpose for purpose, ids in self.ids.items() if str(row_id) in ids)

    def to_dict(self) -> dict[str, list[str]]:
        """Return the ids by purpose, sorted, for JSON."""
        return {purpose: sorted(ids) for purpose, ids in self.ids.items()}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Iterable[str]]) -> "LabelUse":
        """Return the record that :meth:`to_dict` gave."""
        return cls({purpose: frozenset(ids) for purpose, ids in facts.items()})


@dataclass(frozen=True)
class Certificate:
    """A threshold above which at most ``max_bad_rate`` of the rows are bad, or why there is none.

    Attributes
    ----------
    threshold
        Rows that score at least this may be kept; None where nothing could be certified.
    share
        The share of all rows that score at least the threshold; 0 without one.
    n_labels, n_bad
        Fresh labels at or above the threshold, and those of them that people rejected; without a threshold, at or above
        the first one tested.
    bad_rate_high
        The upper bound of the bad rate there, by those labels alone, at confidence 1 - delta.
    labels_needed, draw_from
        So many new labels, drawn evenly from the rows that score at least ``draw_from``, likely certify it (8 in 10),
        if the bad rate there is what it seems. 0 with a threshold, None where no number would do.
    set_aside
        Labels that could not certify, by what they were used for.
    label_ids
        The labels that decided. They are spent: add them to the :class:`LabelUse` before the next certificate.
    """

    threshold: float | None
    max_bad_rate: float
    delta: float
    share: float
    n_labels: int
    n_bad: int
    bad_rate_high: float
    labels_needed: int | None
    draw_from: float
    set_aside: Mapping[str, int]
    label_ids: tuple[str, ...]

    @property
    def is_certified(self) -> bool:
        """Whether a threshold was certified."""
        return self.threshold is not None

    @property
    def reason(self) -> str:
        """What was certified or why not, in words."""
        promise = f"at most {self.max_bad_rate:.0%} bad rows, at {1 - self.delta:.0%} confidence"
        used = [
            f"{count} labels were used for {purpose} and cannot certify" for purpose, count in self.set_aside.items()
        ]
        if self.threshold is not None:
            said = [f"From a score of {self.threshold:.3f} on: {promise}", f"{self.n_bad} of {self.n_labels} are bad"]
        elif self.labels_needed is None:
            seen = f"of the {self.n_labels} fresh labels with the highest scores, {self.n_bad} are bad"
            said = [
                f"No threshold is certified for {promise}: {seen}",
                "More labels would hardly help; a better score would",
            ]
        else:
            seen = f"of the {self.n_labels} fresh labels with the highest scores, {self.n_bad} are bad"
            plan = f"About {self.labels_needed} new labels from a score of {self.draw_from:.3f} on are needed"
            said = [f"No threshold is certified for {promise}: {seen}", plan]
        return ". ".join([*said, *used]) + "."

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the reason, for JSON."""
        lists = {"set_aside": dict(self.set_aside), "label_ids": list(self.label_ids), "reason": self.reason}
        return asdict(self) | lists


def certify(
    score: ArrayLike,
    Y: ArrayLike,
    ids: Sequence[Any] | NDArray[Any],
    use: LabelUse,
    *,
    max_bad_rate: float = 0.1,
    delta: float = 0.1,
    drawn_from: float = 0.0,
    inclusion: ArrayLike | None = None,
    random_state: int = 0,
) -> Certificate:
    """Return the lowest score from which on at most ``max_bad_rate`` of the rows are bad, wrong with chance ``delta``.

    Parameters
    ----------
    score
        (n_rows,) from 0 to 1, of every row that the threshold is for. The promise is about rows like these: new
        generations need a new certificate.
    Y
        (n_rows,) what people say: 0 REJECT (bad), 1 ACCEPT, -1 unlabelled.
    ids
        (n_rows,) the id of each row, as the record knows it.
    use
        What labels were used for, by everything that made the score. Their rows are set aside. (To set aside all
        answers to the instructions that were used, let both ``use`` and ``ids`` hold instruction ids.)
    delta
        The chance that a threshold is certified wrongly. For certificates of k slices, give delta / k to each.
    drawn_from
        The score from which on labels were drawn: drawing them where the threshold may lie needs far fewer. Fixed
        before they were read.
    inclusion
        (n_rows,) the chance of each row to be labelled, where it differed: labels are then thinned at random, by
        ``random_state``, to an even draw.

    Source: Learn then Test, fixed-sequence testing (Angelopoulos et al. 2021, arXiv:2110.01052) with exact binomial
    p-values. Thresholds are set before labels are read: quantiles of the scores, each letting in 1.1 times the rows.

    >>> score = np.linspace(0, 1, 400)
    >>> Y = np.where(np.arange(400) % 2, (score > 0.3).astype(int), -1)
    >>> certificate = certify(score, Y, range(400), LabelUse())
    >>> round(certificate.threshold, 2), certificate.n_labels, certificate.n_bad
    (0.31, 139, 0)
    """
    values, labels, names = _checked(score, Y, ids, max_bad_rate, delta)
    candidate = values >= drawn_from
    judged = (labels >= 0) & candidate
    used = np.zeros(len(names), dtype=bool)
    used[judged] = [row_id in use for row_id in names[judged]]
    fresh = judged & ~used
    if inclusion is not None:
        fresh &= _evened(np.asarray(inclusion, dtype=float), candidate, random_state)
    thresholds = _thresholds(values[candidate], int(fresh.sum()), max_bad_rate, delta)
    certified = _tested(thresholds, values[fresh], labels[fresh], max_bad_rate, delta)
    threshold = certified[-1] if certified else None
    inside = fresh & (values >= (thresholds[0] if threshold is None else threshold))
    n, n_bad = int(inside.sum()), int((labels[inside] == 0).sum())
    plan = (0, threshold) if threshold is not None else _plan(values, fresh, labels, max_bad_rate, delta)
    return Certificate(
        threshold=threshold,
        max_bad_rate=max_bad_rate,
        delta=delta,
        share=float((values >= threshold).mean()) if threshold is not None else 0.0,
        n_labels=n,
        n_bad=n_bad,
        bad_rate_high=bad_rate_bound(n_bad, n, delta),
        labels_needed=plan[0],
        draw_from=float(plan[1]),
        set_aside=_counted(names[judged & used], use),
        label_ids=tuple(names[fresh].tolist()),
    )


def bad_rate_bound(n_bad: int, n: int, delta: float) -> float:
    """Return the exact upper bound of a bad rate at confidence 1 - delta (Clopper and Pearson 1934); 1 without labels.

    >>> round(bad_rate_bound(0, 22, 0.1), 3)
    0.099
    """
    from scipy.special import betaincinv

    return float(betaincinv(n_bad + 1, n - n_bad, 1 - delta)) if n > n_bad else 1.0


def labels_to_certify(max_bad_rate: float, delta: float, bad_rate: float, power: float = 0.8) -> int | None:
    """Return how many labels above a threshold certify it with probability ``power``, if the bad rate is ``bad_rate``.

    None where the bad rate is not below ``max_bad_rate``, or so close that 100,000 labels would not do.

    >>> labels_to_certify(0.1, 0.1, 0.0), labels_to_certify(0.1, 0.1, 0.05)
    (22, 152)
    """
    from scipy.stats import binom

    if bad_rate >= max_bad_rate:
        return None
    sizes = np.unique(np.geomspace(1, 100_000, 4000).astype(np.int64))
    allowed = binom.ppf(delta, sizes, max_bad_rate)
    allowed = np.where(binom.cdf(allowed, sizes, max_bad_rate) <= delta, allowed, allowed - 1)
    short = np.flatnonzero(binom.cdf(allowed, sizes, bad_rate) < power)  # the power rises in a saw's teeth
    first = 0 if len(short) == 0 else int(short[-1]) + 1
    return int(sizes[first]) if first < len(sizes) else None


def _checked(
    score: ArrayLike, Y: ArrayLike, ids: Sequence[Any] | NDArray[Any], max_bad_rate: float, delta: float
) -> tuple[Numbers, NDArray[Any], NDArray[Any]]:
    for name, value in {"max_bad_rate": max_bad_rate, "delta": delta}.items():
        if not 0 < value < 1:
            raise SettingsError(f"{name} is {value!r}; a number between 0 and 1 was expected")
    values, labels = np.asarray(score, dtype=float), np.asarray(Y)
    names = np.array([str(row_id) for row_id in ids], dtype=object)
    if not values.shape == labels.shape == names.shape or values.ndim != 1:
        raise DataError(
            f"{values.shape} scores, {labels.shape} labels and {names.shape} ids; expected one of each a row"
        )
    if not ((values >= 0) & (values <= 1)).all() or not np.isin(labels, (-1, 0, 1)).all():
        raise DataError("expected scores from 0 to 1, and labels of -1, 0 and 1 only")
    return values, labels, names


def _evened(inclusion: Numbers, candidate: Flags, random_state: int) -> Flags:
    """Return which rows stay if drawn, so that each candidate had the same chance: each with lowest chance / own."""
    if inclusion.shape != candidate.shape:
        raise DataError(
            f"inclusion has shape {inclusion.shape}; the chance of each row, {candidate.shape}, was expected"
        )
    lowest = float(inclusion[candidate].min(initial=1.0))
    if not lowest > 0:
        row = int(np.flatnonzero(candidate)[np.argmin(inclusion[candidate])])
        raise DataError(
            f"row {row} had a chance of {inclusion[row]} to be labelled, so the labels say nothing about rows like it; "
            "expected more than 0 for each row that scores at least drawn_from"
        )
    return np.random.default_rng(random_state).random(len(inclusion)) * inclusion <= lowest


def _thresholds(score: Numbers, n_labels: int, max_bad_rate: float, delta: float) -> Numbers:
    """Return the thresholds to test, the strictest first: they depend on scores and on the number of labels only.

    The first lets in a quarter of the labels, but not many more than could do with a few bad ones among them, and no
    fewer than could do with none.
    """
    if len(score) == 0:
        return np.array([1.0])
    least = math.ceil(math.log(delta) / math.log(1 - max_bad_rate))
    first = min(1.0, max(1.2 * least, min(2 * least, n_labels / 4)) / max(n_labels, 1))
    shares = [min(first * _STEP**k, 1.0) for k in range(1 + math.ceil(math.log(1 / first) / math.log(_STEP)))]
    places = np.ceil(np.array(shares) * len(score)).astype(int) - 1
    return np.unique(np.sort(score)[::-1][places])[::-1]


def _tested(thresholds: Numbers, score: Numbers, Y: NDArray[Any], max_bad_rate: float, delta: float) -> list[float]:
    """Return the thresholds that are certified: up to the first one whose labels do not show it."""
    from scipy.special import bdtr

    certified = []
    for threshold in thresholds:
        inside = score >= threshold
        n, n_bad = int(inside.sum()), int((Y[inside] == 0).sum())
        if n == 0 or bdtr(n_bad, n, max_bad_rate) > delta:
            break
        certified.append(float(threshold))
    return certified


def _plan(score: Numbers, fresh: Flags, Y: NDArray[Any], max_bad_rate: float, delta: float) -> tuple[int | None, float]:
    """Return how many new labels to draw, and from which score on: where each would certify most rows."""
    if not fresh.any():
        start = float(np.median(score)) if len(score) else 0.0
        return labels_to_certify(max_bad_rate, delta, max_bad_rate / 2), start
    best: tuple[float, int | None, float] = (0.0, None, 0.0)
    for share in 0.8 ** np.arange(15):
        start = float(np.quantile(score, 1 - share))
        inside = fresh & (score >= start)
        n = int(inside.sum())
        if n < 5:
            break
        seems = (int((Y[inside] == 0).sum()) + 0.5) / (n + 1)
        needed = labels_to_certify(max_bad_rate, delta, seems)
        if needed is not None and share / needed > best[0]:
            best = (share / needed, needed, start)
    return best[1], best[2]


def _counted(names: NDArray[Any], use: LabelUse) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        for purpose in use.purposes(name):
            found[purpose] = found.get(purpose, 0) + 1
    return found
