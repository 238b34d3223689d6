"""Which label model: majority vote beside every other, on human labels where there are some, and a plain advice."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.data import ABSTAIN
from weaklm.dawid_skene import DawidSkene, unfit_for_dawid_skene
from weaklm.label_model import LabelModel
from weaklm.snorkel_model import SnorkelLabelModel
from weaklm.vote_matrix import Floats, Votes, check_labels, check_votes, vote_counts
from weaklm.voter import COMMON_MODE, MajorityLabelVoter, Voter

if TYPE_CHECKING:
    import pandas as pd

_FEWEST_LABELS = 20
_SURE_FROM = 1e-6  # log loss of a wrong certainty is counted as if it had been this probable


@dataclass(frozen=True)
class LabelModelComparison:
    """Majority vote beside other label models; printing it shows the table, what to use and why.

    Attributes
    ----------
    table
        One row a model. On human labels where there are at least 20 with votes: ``accuracy`` (a tie counts its share),
        ``gain`` over majority vote with its 95 % interval ``low`` to ``high``, ``log_loss``, ``brier``. Always: the
        share of rows with votes that it decides as majority vote does (``as_majority``), the share that it leaves
        undecided, ``seconds``, and a ``note``.
    choice, reason
        The model to use, and why.
    caution
        What the votes alone cannot show; empty once there are human labels.
    proba
        The probabilities of each model by its name, (n_examples, cardinality); of rows with human labels without their
        own label.
    """

    table: "pd.DataFrame"
    choice: str
    reason: str
    caution: str
    proba: dict[str, Floats]

    def __str__(self) -> str:
        shown = self.table.to_string(float_format=lambda x: f"{x:.3f}", na_rep="")
        return "\n".join([shown, f"Use {self.choice}: {self.reason}", *([self.caution] if self.caution else [])])

    __repr__ = __str__


def compare_label_models(
    L: ArrayLike,
    Y: ArrayLike | None = None,
    *,
    cardinality: int = 2,
    class_balance: Sequence[float] | None = None,
    random_state: int = 0,
) -> LabelModelComparison:
    """Return majority vote beside every other label model on these votes, with what to use and why.

    With human labels (Y, -1 where there are none; drawn at random, or the figures are not the population's) each model
    is judged on labels that it did not see: LabelModel and DawidSkene are fitted five times more, each time without a
    fifth of them; majority vote and Snorkel's model see none.

    Examples
    --------
    >>> L = np.array([[1, 1, 0], [0, 0, 1], [1, 1, -1], [0, 0, 0], [-1, -1, -1]])
    >>> comparison = compare_label_models(L)
    >>> comparison.choice
    'LabelModel'
    """
    votes = check_votes(L, cardinality, some=True)
    labels = check_labels(Y, len(votes), cardinality)
    proba: dict[str, Floats] = {}
    seconds, notes = {}, {}
    for name, (model, seen) in _candidates(votes, labels, cardinality, class_balance, random_state).items():
        notes[name] = model if isinstance(model, str) else ""
        if not isinstance(model, str):
            start = time.perf_counter()
            proba[name] = _held_out(model, votes, seen, random_state)
            seconds[name] = time.perf_counter() - start
    covered = votes.max(axis=1) > ABSTAIN
    judged = np.flatnonzero(covered & (labels != ABSTAIN))
    table = _table(proba, notes, seconds, covered)
    if len(judged) >= _FEWEST_LABELS:
        losses = {name: _losses(p[judged], labels[judged]) for name, p in proba.items()}
        _judge(table, losses)
        choice, reason = _by_labels(losses)
    else:
        choice, reason = _by_votes(votes, cardinality, len(judged))
    caution = "" if (labels != ABSTAIN).any() else _caution(votes, cardinality)
    return LabelModelComparison(table, choice, reason, caution, proba)


def _candidates(
    votes: Votes, labels: Votes, cardinality: int, class_balance: Sequence[float] | None, random_state: int
) -> dict[str, tuple[Voter | str, Votes]]:
    """Return each model with the labels that it may see, or the reason why it is not for these votes."""
    given: dict[str, Any] = {"cardinality": cardinality, "class_balance": class_balance}
    none = np.full_like(labels, ABSTAIN)
    models: dict[str, tuple[Voter | str, Votes]] = {
        "MajorityLabelVoter": (MajorityLabelVoter(**given), none),
        "LabelModel": (LabelModel(**given), labels),
    }
    if (labels != ABSTAIN).any():
        models["LabelModel without labels"] = (LabelModel(**given), none)
    unfit = unfit_for_dawid_skene(votes, cardinality)
    models["DawidSkene"] = (unfit or DawidSkene(**given), labels)
    few = "needs 3 functions" if votes.shape[1] < 3 else ""
    models["SnorkelLabelModel"] = (few or SnorkelLabelModel(**given, random_state=random_state), none)
    return models


def _held_out(model: Voter, votes: Votes, labels: Votes, random_state: int) -> Floats:
    """Return probabilities in which no row's own label had a part."""
    gold = np.flatnonzero(labels != ABSTAIN)
    proba = model.fit(votes, labels).predict_proba(votes)
    if len(gold):
        folds = np.random.default_rng(random_state).permutation(len(gold)) % min(5, len(gold))
        for fold in range(min(5, len(gold))):
            held, rest = gold[folds == fold], labels.copy()
            rest[held] = ABSTAIN
            proba[held] = model.fit(votes, rest).predict_proba(votes[held])
    return proba


@dataclass(frozen=True)
class _Losses:
    """How each judged row fared under a model: share of the tie that is right, log loss, Brier score."""

    right: Floats
    log: Floats
    brier: Floats


def _losses(proba: Floats, labels: Votes) -> _Losses:
    rows = np.arange(len(labels))
    best = proba > proba.max(axis=1, keepdims=True) - 1e-9
    truth = np.eye(proba.shape[1])[labels]
    log = -np.log(np.maximum(proba[rows, labels], _SURE_FROM))
    return _Losses(best[rows, labels] / best.sum(axis=1), log, ((proba - truth) ** 2).sum(axis=1) / 2)


def _interval(difference: Floats) -> tuple[float, float]:
    """Return the 95 % interval of a mean difference, by twice its standard error."""
    error = 2 * difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean() - error), float(difference.mean() + error)


def _table(
    proba: dict[str, Floats], notes: dict[str, str], seconds: dict[str, float], covered: NDArray[np.bool_]
) -> "pd.DataFrame":
    import pandas as pd

    rows = {}
    majority = proba["MajorityLabelVoter"][covered]
    for name, note in notes.items():
        rows[name] = {"as_majority": np.nan, "undecided": np.nan, "seconds": seconds.get(name, np.nan), "note": note}
        if name in proba:
            same, ties = _same_decision(proba[name][covered], majority)
            rows[name] |= {"as_majority": same, "undecided": ties}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _same_decision(proba: Floats, majority: Floats) -> tuple[float, float]:
    """Return the share of rows with majority vote's decision, of those that both decide; and the share undecided."""
    best, other = ((p > p.max(axis=1, keepdims=True) - 1e-9) for p in (proba, majority))
    one = best.sum(axis=1) == 1
    both = one & (other.sum(axis=1) == 1)
    same = (best & other).any(axis=1)[both]
    return float(same.mean()) if len(same) else float("nan"), float(1 - one.mean())


def _judge(table: "pd.DataFrame", losses: dict[str, _Losses]) -> None:
    """Put what human labels say in front of the table's columns."""
    baseline = losses["MajorityLabelVoter"].right
    for name, loss in losses.items():
        low, high = _interval(loss.right - baseline)
        figures = {"accuracy": loss.right.mean(), "gain": (loss.right - baseline).mean(), "low": low, "high": high}
        for column, value in (figures | {"log_loss": loss.log.mean(), "brier": loss.brier.mean()}).items():
            table.loc[name, column] = value
    front = ["accuracy", "gain", "low", "high", "log_loss", "brier"]
    for place, column in enumerate(front):
        table.insert(place, column, table.pop(column))


def _by_labels(losses: dict[str, _Losses]) -> tuple[str, str]:
    """Return the default, unless another model's log loss is lower beyond doubt, and why."""
    default = losses["LabelModel"]
    rivals = {
        name: _interval(default.log - loss.log)
        for name, loss in losses.items()
        if name != "LabelModel" and _interval(default.log - loss.log)[0] > 0
    }
    n = len(default.log)
    if rivals:
        choice = min(rivals, key=lambda name: losses[name].log.mean())
        low, high = rivals[choice]
        return choice, (
            f"on {n} human labels its log loss is {losses[choice].log.mean():.3f}, LabelModel's "
            f"{default.log.mean():.3f} (95 % interval of the difference {low:.3f} to {high:.3f})."
        )
    majority = losses["MajorityLabelVoter"]
    low, high = _interval(default.right - majority.right)
    return "LabelModel", (
        f"no model is better beyond doubt on {n} human labels; against majority vote its accuracy differs by "
        f"{default.right.mean() - majority.right.mean():+.3f} (95 % interval {low:+.3f} to {high:+.3f}) and its log "
        f"loss is {default.log.mean():.3f} instead of {majority.log.mean():.3f}."
    )


def _by_votes(votes: Votes, cardinality: int, n_labels: int) -> tuple[str, str]:
    """Return what the votes alone advise, and why."""
    labels = f"{n_labels} human labels with votes are too few to judge by" if n_labels else "there are no human labels"
    advice = (
        f"{labels}, and without them no model is more accurate than majority vote everywhere; this one stays "
        "close to it and its probabilities are usable"
    )
    if not unfit_for_dawid_skene(votes, cardinality):
        advice += ". These votes are dense and of every class, where DawidSkene is often better: about 100 labels tell"
    return "LabelModel", advice + "."


def _caution(votes: Votes, cardinality: int) -> str:
    share = vote_counts(votes, cardinality).sum(axis=1)
    share /= share.sum()
    lean = f" {share.max():.0%} of the votes are for class {share.argmax()}." if share.max() > 0.8 else ""
    return f"Caution: {COMMON_MODE}{lean}"
