"""The heat map: a share for each row and column of a grid, such as slice by source."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.pictures.canvas import FAINT, INK, WIDTH, figure, fitting, paper, svg

_LONGEST = 34  # characters of a name
_LINE, _LETTER, _WIDE = 0.29, 0.075, 0.5  # inches: of a row, of a letter, of a cell below which names stand upright
_NARROWEST = 0.3  # the least span of shares from the darkest colour to the lightest: small differences stay small
_STEPS = 12  # colours

Shares = Mapping[tuple[int, int], float | None]  # by row and column


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    marks: Sequence[Sequence[bool]] | None = None,
    description: str,
) -> str:
    """Return shares from 0 to 1 as a grid of colours and percents, as SVG; it is readable without the colours.

    Where there are more columns than rows, the two change places.

    Parameters
    ----------
    values
        One list a row, one share a column; None where there is none: a dash.
    marks
        Of the same shape: where too few observations stand behind the share; these cells are hollow.
    """
    shares = {(i, j): value for i, line in enumerate(values) for j, value in enumerate(line)}
    few = {(i, j) for i, line in enumerate(marks or ()) for j, is_few in enumerate(line) if is_few}
    if len(columns) > len(rows):
        rows, columns = columns, rows
        shares, few = {(j, i): value for (i, j), value in shares.items()}, {(j, i) for i, j in few}
    down, across = ([fitting(name, _LONGEST) for name in names] for names in (rows, columns))
    width = (WIDTH - 0.4 - _LETTER * max(map(len, down), default=0)) / max(len(across), 1)  # inches of a cell
    tallest = _LETTER * max(map(len, across), default=0)
    turn = 0 if tallest <= width else 25 if width >= _WIDE else 90
    with paper():
        room = tallest * math.sin(math.radians(turn))
        drawn, axes = figure(0.75 + room + _LINE * max(len(down), 1))
        drawn.supxlabel(_draw(axes, shares, few, size=min(9.0, 72 * width / 2.6)), fontsize=10)
        axes.set(xlim=(-0.5, max(len(across), 1) - 0.5), ylim=(max(len(down), 1) - 0.5, -0.5))
        axes.set_yticks(range(len(down)), down, parse_math=False)
        leaning = {"rotation": turn, "rotation_mode": "anchor", "ha": "left"} if 0 < turn < 90 else {"rotation": turn}
        axes.set_xticks(range(len(across)), across, parse_math=False, **leaning)
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
        return svg(drawn, description)


def _draw(axes: Any, shares: Shares, few: set[tuple[int, int]], size: float) -> str:
    """Draw the cells, those of one colour as one path, and return what the colours mean."""
    from matplotlib import colormaps
    from matplotlib.patches import PathPatch

    low, high = _span([value for place, value in shares.items() if value is not None and place not in few])
    alike: dict[int | None, list[tuple[int, int]]] = {}
    for place, value in shares.items():
        if value is None:
            _write(axes, place, "\u2013", FAINT, size)
            continue
        step = None if place in few else min(int((value - low) / (high - low) * _STEPS), _STEPS - 1)
        alike.setdefault(step, []).append(place)
        ink = INK if step is None else "#ffffff" if step < _STEPS * 0.6 else "#000000"
        _write(axes, place, f"{value * 100:.0f}", ink, size)
    for step, places in alike.items():
        look = {"facecolor": "none" if step is None else colormaps["cividis"](step / (_STEPS - 1))}
        axes.add_patch(PathPatch(_squares(places), edgecolor=FAINT, linewidth=0.8 if step is None else 0, **look))
    hollow = "; hollow: too few observations" if None in alike else ""
    return f"accept rate in %, from {low * 100:.0f} (dark) to {high * 100:.0f} (light){hollow}"


def _span(known: Sequence[float]) -> tuple[float, float]:
    """Return the shares of the darkest and the lightest colour."""
    low, high = math.floor(min(known, default=0) * 10) / 10, math.ceil(max(known, default=1) * 10) / 10
    high = min(1.0, max(high, low + _NARROWEST))
    return max(0.0, min(low, high - _NARROWEST)), high


def _write(axes: Any, place: tuple[int, int], text: str, colour: str, size: float) -> None:
    axes.text(place[1], place[0], text, color=colour, fontsize=size, ha="center", va="center_baseline")


def _squares(places: Sequence[tuple[int, int]]) -> Any:
    """Return the cells at these places as one path."""
    from matplotlib.path import Path

    half = 0.47
    corners = ((-half, -half), (half, -half), (half, half), (-half, half), (-half, -half))
    points = [(j + dx, i + dy) for i, j in places for dx, dy in corners]
    return Path(points, [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(places))
