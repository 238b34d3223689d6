"""How numbers are written for people, in every view alike."""

from collections.abc import Sequence
from typing import Any

from weaklm.data import LABEL_NAMES


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as people read it; 0 and 1 without digits.

    >>> percent(0.6234), percent(1.0), percent(None)
    ('62.3 %', '100 %', '—')
    """
    if value is None:
        return "—"
    return f"{value * 100:.0f} %" if value in (0, 1) else f"{value * 100:.{digits}f} %"


def points(value: float | None) -> str:
    """Return a difference of shares in points, with its sign.

    >>> points(0.0512), points(-0.2), points(None)
    ('+5.1', '-20.0', '—')
    """
    return "—" if value is None else f"{value * 100:+.1f}"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a fixed count of digits, and integers with separators.

    >>> number(0.5), number(12345), number(None)
    ('0.50', '12,345', '—')
    """
    if value is None:
        return "—"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def rows(count: int) -> str:
    """Return a count of rows.

    >>> rows(1), rows(1200)
    ('1 row', '1,200 rows')
    """
    return f"{count:,} row{'s' if count != 1 else ''}"


def signed(value: float | None) -> str:
    """Return a number with its sign.

    >>> signed(0.051), signed(None)
    ('+0.05', '—')
    """
    return "—" if value is None else f"{value:+.2f}"


def p_value(value: float | None) -> str:
    """Return a p-value, and no more digits than mean something.

    >>> p_value(0.0349), p_value(0.71), p_value(0.00001), p_value(None)
    ('0.035', '0.71', '< 0.001', '—')
    """
    if value is None:
        return "—"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def votes(polarity: Sequence[int]) -> str:
    """Return the votes that a function casts by name.

    >>> votes([0, 1]), votes([])
    ('REJECT, ACCEPT', '—')
    """
    return ", ".join(LABEL_NAMES.get(vote, str(vote)) for vote in polarity) or "—"


def rate(estimate: dict[str, Any] | None, *, with_n: bool = False) -> str:
    """Return a share with its interval in percent, marked where few observations stand behind it.

    >>> rate({"value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "too_few": True})
    'few: 50.0 % [25, 75]'
    """
    if estimate is None or estimate["value"] is None:
        return "—"
    few = "few: " if estimate["too_few"] else ""
    of = f" n={estimate['n']:,}" if with_n else ""
    return f"{few}{percent(estimate['value'])} [{estimate['low'] * 100:.0f}, {estimate['high'] * 100:.0f}]{of}"


def difference(estimate: dict[str, Any] | None) -> str:
    """Return a difference with its interval in points.

    >>> difference({"value": 0.1, "low": 0.02, "high": 0.18}), difference(None)
    ('+10.0 [+2.0, +18.0]', '—')
    """
    if estimate is None or estimate["value"] is None:
        return "—"
    if estimate["low"] is None:
        return points(estimate["value"])
    return f"{points(estimate['value'])} [{points(estimate['low'])}, {points(estimate['high'])}]"
