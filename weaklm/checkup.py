"""What a check of functions found, and how it shows itself: as a table with problems and hints, or as plain values."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weaklm.data import ABSTAIN, ACCEPT, LABEL_NAMES, REJECT
from weaklm.estimation import Estimate, rate
from weaklm.rendering import plain


@dataclass(frozen=True)
class Cast:
    """One vote of a function on labelled or unlabelled rows.

    ``share`` is the share of all rows that get the vote; ``precision`` how often people said the same, with Wilson's
    interval, ``None`` where nobody judged any of them.
    """

    vote: str
    n: int
    share: float
    precision: Estimate | None


@dataclass
class Checked:
    """One function: what it is and does, problems that must be mended, hints that may be.

    ``n_examples`` are its doctests, ``n_failed`` those that fail, or were not run for a problem; ``ran`` says how it
    ran, ``seconds`` how long it took for all rows.
    """

    name: str
    kind: str  # "labeling" or "slicing"
    says: str  # the first line of its docstring
    reads: list[str]
    resources: dict[str, str]
    n_examples: int = 0
    n_failed: int = 0
    votes: list[Cast] = field(default_factory=list)
    ran: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checkup:
    """What the check of a file found; shows itself as a table."""

    source: str
    n_rows: int
    functions: list[Checked]

    @property
    def is_sound(self) -> bool:
        """Whether no function has a problem; hints are no problems."""
        return not any(checked.problems for checked in self.functions)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; precision as value, low, high and n."""
        listed = []
        for checked in self.functions:
            votes = [asdict(v) | {"precision": v.precision and v.precision.to_dict()} for v in checked.votes]
            listed.append(asdict(checked) | {"votes": votes})
        return {"source": self.source, "n_rows": self.n_rows, "is_sound": self.is_sound, "functions": listed}

    def __rich__(self) -> Any:
        return _text(self)

    def __repr__(self) -> str:
        return plain(self.__rich__())


def cast(votes: NDArray[np.integer], Y: NDArray[np.integer], *, slices: bool = False) -> list[Cast]:
    """Return for each vote that is cast how often, and how often people said the same.

    For a slice, whose one "vote" is membership, ``precision`` is the share of its members that people accepted.

    Parameters
    ----------
    votes
        (n,) votes; -1 is an abstain, 0 no member of a slice.
    Y
        (n,) human labels, -1 where people did not label.

    >>> both = cast(np.array([1, 1, 0, -1]), np.array([1, 0, 0, 0]))
    >>> [(one.vote, one.n, one.share, one.precision.value) for one in both]
    [('ACCEPT', 2, 0.5, 0.5), ('REJECT', 1, 0.25, 1.0)]
    """
    found = []
    for vote in (ACCEPT,) if slices else (ACCEPT, REJECT):
        of = votes == vote
        judged = Y[of & (Y != ABSTAIN)]
        if of.any():
            name = "member" if slices else LABEL_NAMES[vote]
            found.append(Cast(name, int(of.sum()), float(of.mean()), rate(judged == vote) if len(judged) else None))
    return found


def _text(checkup: Checkup) -> Any:
    """Return the table, and below it problems and hints, for rich to print."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("function", "votes", "people agree", "reads", "examples", "µs/row", "runs"):
        table.add_column(column, overflow="fold")
    for checked in checkup.functions:
        table.add_row(*map(Text, _cells(checked, checkup.n_rows)), style="red" if checked.problems else "")
    n_wrong = sum(bool(checked.problems) for checked in checkup.functions)
    wrong = [f"\u2717 {checked.name} {line}" for checked in checkup.functions for line in checked.problems]
    alike: dict[str, list[str]] = {}
    for checked in checkup.functions:
        why = checked.ran.partition(": ")[2]
        for line in (*checked.hints, *([f"runs row by row ({why})"] if why else [])):
            alike.setdefault(line, []).append(checked.name)
    said = [Text(line, style="red") for line in wrong]
    said += [Text(f"- {line}: {', '.join(names)}") for line, names in alike.items()]
    n = len(checkup.functions)
    head = f"{checkup.source}: {n:,} function{'s' if n > 1 else ''} on {checkup.n_rows:,} rows"
    verdict = f"{n_wrong:,} of {n:,} with a problem" if n_wrong else "no problem found"
    return Group(Text(head, style="bold"), table, *said, Text(verdict, style="bold"))


def _cells(checked: Checked, n_rows: int) -> tuple[str, ...]:
    n, n_passed = checked.n_examples, checked.n_examples - checked.n_failed
    return (
        checked.name + (" (slice)" if checked.kind == "slicing" else ""),
        "\n".join(f"{one.vote} {one.share * 100:.1f} %" for one in checked.votes) or "-",
        "\n".join(_agreement(one) for one in checked.votes) or "-",
        ", ".join(checked.reads) or "-",
        f"{n_passed} of {n} pass" if n else "-",
        f"{checked.seconds / n_rows * 1e6:,.1f}" if checked.ran else "-",
        checked.ran.partition(":")[0] or "-",
    )


def _agreement(one: Cast) -> str:
    if (precision := one.precision) is None:
        return "-"
    what = "accepted " if one.vote == "member" else ""
    return f"{what}{precision.value:.2f} [{precision.low:.2f}, {precision.high:.2f}] n={precision.n:,}"
