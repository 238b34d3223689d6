"""The forest plot: a name a line, with an estimate and its interval for each series."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.pictures.canvas import COLOURS, FAINT, INK, MARKERS, figure, fitting, grid, legend, paper, percents, svg

Interval = Mapping[str, Any]  # what Estimate.to_dict gives

_LONGEST = 36  # characters of a name


def forest(
    names: Sequence[str], series: Mapping[str, Sequence[Interval | None]], *, description: str, difference: bool = False
) -> str:
    """Return a forest plot as SVG: one line a name, with a point and an interval for each series.

    ``series`` holds estimates (None or without a value: not drawn), as shares from 0 to 1, or as differences from -1
    to 1 with a line at 0. Estimates with too few observations are hollow.
    """
    with paper():
        drawn, axes = figure(height=0.75 + (0.22 + 0.06 * len(series)) * max(len(names), 1))
        for k, (label, estimates) in enumerate(series.items()):
            _draw(axes, estimates, (k - (len(series) - 1) / 2) * 0.24, k, label)
        axes.set_yticks(range(len(names)), [fitting(name, _LONGEST) for name in names], parse_math=False)
        axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        grid(axes, "x")
        if difference:
            axes.axvline(0, color=INK, linewidth=1)
            axes.set_xlim(*_around_zero(series))
            axes.xaxis.set_major_formatter(lambda x, _: f"{x * 100:+.0f}" if round(x, 9) else "0")
            axes.set_xlabel("difference in points, with 95 % interval")
        else:
            percents(axes, "x")
            axes.set_xlabel("accept rate, with 95 % interval")
        _band(axes, len(names))
        legend(axes, len(series))
        return svg(drawn, description)


def _draw(axes: Any, estimates: Sequence[Interval | None], shift: float, k: int, label: str) -> None:
    """Draw a series: all its intervals as one path, its full and its hollow points as two more."""
    colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
    axes.plot([], [], color=colour, marker=marker, label=label, linewidth=1.6)
    found = [(y + shift, e) for y, e in enumerate(estimates) if e is not None and e["value"] is not None]
    ends = [(e["low"], e["high"], y) for y, e in found if e["low"] is not None]
    across = [x for low, high, _ in ends for x in (low, high, math.nan)]
    axes.plot(across, [at for *_, y in ends for at in (y, y, y)], color=colour, linewidth=1.6, solid_capstyle="butt")
    for is_few in (False, True):
        points = [(e["value"], y) for y, e in found if e["too_few"] == is_few]
        style = {"marker": marker, "markersize": 5, "color": colour, "linestyle": ""}
        face = "none" if is_few else colour
        axes.plot([x for x, _ in points], [y for _, y in points], markerfacecolor=face, **style)


def _band(axes: Any, n_lines: int) -> None:
    """Shade every second line of a long plot, to lead the eye from a name to its estimate."""
    for y in range(1, n_lines, 2) if n_lines > 8 else ():
        axes.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.09, linewidth=0, zorder=0)


def _around_zero(series: Mapping[str, Sequence[Interval | None]]) -> tuple[float, float]:
    """Return limits with room around every interval and around 0."""
    drawn = [e for estimates in series.values() for e in estimates if e is not None and e["value"] is not None]
    ends = [abs(e[key]) for e in drawn for key in ("value", "low", "high") if e[key] is not None]
    reach = min(1.05, max([0.1, *ends]) * 1.1)
    return -reach, reach
