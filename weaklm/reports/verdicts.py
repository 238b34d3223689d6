"""A comparison in plain words: better, worse or undecided, overall and by slice, and what would settle the rest."""

from typing import Any

from weaklm.estimation import TOO_FEW

_NAMED = 3  # slices named in a sentence


def judged_by(found: list[dict[str, Any]]) -> str:
    """Return whose word counts: "people", where they labelled at least 15 pairs of each comparison, else "proxy"."""
    return "people" if all(summary["people"]["n"] >= TOO_FEW for summary in found) else "proxy"


def verdict(summary: dict[str, Any]) -> str:
    """Return the verdict of a comparison's summary: on all instructions, then on the slices."""
    return " ".join(part for part in (_overall(summary), by_slice(summary["slices"])) if part)


def _overall(summary: dict[str, Any]) -> str:
    base, tuned = summary["names"]
    by_people = summary["judged_by"] == "people"
    found = summary["people"] if by_people else summary["difference"]
    n, pairs = found["n"], "labelled pair" if by_people else "paired instruction"
    on = f"on {n:,} {pairs}{'s' if n != 1 else ''}"
    if found["low"] is None:
        return f"Too few to tell {tuned} from {base}: {points_of(found)} {on}."
    points = f"{points_of(found)} {on}"
    judge = "people" if by_people else summary["judge"]
    if summary["outcome"] == "undecided":
        more = f" About {summary['needed']:,} more such pairs would settle it." if summary["needed"] else ""
        return f"No difference shown between {tuned} and {base} by {judge}: {points}.{more}{_score_says(summary)}"
    return f"{tuned} is {summary['outcome']} than {base} by {judge}: {points}."


def _score_says(summary: dict[str, Any]) -> str:
    """Return what the score says, where people count and do not tell."""
    if summary["judged_by"] == "proxy" or summary["score_outcome"] == "undecided":
        return ""
    judge, points = summary["judge"], points_of(summary["difference"])
    return f" {judge[0].upper()}{judge[1:]} says {summary['score_outcome']}: {points}."


def by_slice(slices: list[dict[str, Any]], key: str = "outcome") -> str:
    """Return one sentence on the slices that can be compared; empty where there is none.

    ``key`` names the outcomes: those by whom counts, or "score_outcome".

    >>> part = {"comparable": True, "base": {"n": 40}, "needed": None, "needed_labels": None}
    >>> by_slice([part | {"name": "fees", "outcome": "worse"}, part | {"name": "cards", "outcome": "better"}])
    'Better on 1 slice (cards), worse on 1 (fees).'
    """
    parts = [part for part in slices if part["comparable"] and part["base"]["n"]]
    if not parts:
        return ""
    settles = _settles(parts) if key == "outcome" else ""
    named = {kind: [part["name"] for part in parts if part[key] == kind] for kind in ("better", "worse")}
    n_open = len(parts) - len(named["better"]) - len(named["worse"])
    if n_open == len(parts):
        where = f"all {n_open} slices" if n_open > 1 else parts[0]["name"]
        return f"Undecided on {where}{settles}."
    said = [_count(kind, names) for kind, names in named.items()]
    text = ", ".join([*said, *([f"undecided on {n_open}"] if n_open else [])]) + settles + "."
    return text[0].upper() + text[1:]


def _count(kind: str, names: list[str]) -> str:
    if not names:
        return f"{kind} on none"
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    slices = f" slice{'s' if len(names) != 1 else ''}" if kind == "better" else ""
    return f"{kind} on {len(names)}{slices} ({shown})"


def _settles(parts: list[dict[str, Any]]) -> str:
    """Return what would settle the undecided slice that needs the least."""
    open_ = [part for part in parts if part["outcome"] == "undecided" and part["needed"]]
    if not open_:
        return ""
    part = min(open_, key=lambda one: one["needed"])
    if part["needed_labels"] is None:
        return f"; about {part['needed']:,} more paired instructions would settle {part['name']}"
    return f"; about {part['needed_labels']:,} more labels would settle {part['name']}"


def points_of(difference: dict[str, Any]) -> str:
    """Return a difference with its interval, in points.

    >>> points_of({"value": 0.1, "low": 0.02, "high": 0.18})
    '+10.0 points [+2.0, +18.0]'
    """
    value = f"{difference['value'] * 100:+.1f} points"
    if difference["low"] is None:
        return value
    return f"{value} [{difference['low'] * 100:+.1f}, {difference['high'] * 100:+.1f}]"
