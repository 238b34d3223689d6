"""The map of labeling functions: on how many rows each votes, and how often it is right there."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from weaklm.pictures.canvas import COLOURS, FAINT, empty, figure, fitting, grid, paper, percents, svg

# By the votes that a function casts, as in the graph of functions: colour and marker.
NODES = {
    "only ACCEPT": (COLOURS[2], "o"),
    "only REJECT": (COLOURS[1], "s"),
    "both votes": (COLOURS[0], "D"),
}
_LONGEST = 26  # characters of a name
_WIDE = 20  # times as many rows as another: coverage is drawn on a logarithmic scale
_PLACES = ((7, 0), (-7, 0), (0, 9), (0, -9), (6, 8), (-6, 8), (6, -8), (-6, -8))  # points from a marker to its name


def coverage_precision(points: Sequence[Mapping[str, Any]], *, description: str) -> str:
    """Return labeling functions by coverage and precision, as SVG: the best are on the upper right.

    A name is left out where it would cover another; a function without a label to judge it by is a tick at the foot.

    Parameters
    ----------
    points
        ``name``, ``coverage`` and ``precision`` from 0 to 1, ``low`` and ``high``, the ends of the precision's
        interval, or None, and ``polarity``: the votes that it casts, such as [0] or [0, 1], or one of them.
    """
    known = [point for point in points if point["coverage"] and point["precision"] is not None]
    unknown = [point["coverage"] for point in points if point["coverage"] and point["precision"] is None]
    with paper():
        drawn, axes = figure(4.6 if known or unknown else 1)
        if not known and not unknown:
            empty(axes, "no function votes")
            return svg(drawn, description)
        percents(axes, "y")
        _scale(axes, [point["coverage"] for point in points if point["coverage"]])
        for kind, (colour, marker) in NODES.items():
            _draw(axes, [point for point in known if kind_of(point["polarity"]) == kind], kind, colour, marker)
        if unknown:
            label = "no human label"
            axes.plot(unknown, [0.0] * len(unknown), color=FAINT, marker="|", markersize=9, linestyle="", label=label)
        axes.set(xlabel="coverage: share of the rows where it votes", ylabel="precision, with 95 % interval")
        grid(axes, "both")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0)
        _name(drawn, axes, known)
        return svg(drawn, description)


def kind_of(polarity: int | str | Sequence[int]) -> str:
    """Return which key of NODES goes with the votes that a function casts.

    >>> kind_of([0, 1]), kind_of(1), kind_of("REJECT")
    ('both votes', 'only ACCEPT', 'only REJECT')
    """
    if isinstance(polarity, str):
        return f"only {polarity}" if f"only {polarity}" in NODES else "both votes"
    cast = {polarity} if isinstance(polarity, int) else {int(vote) for vote in polarity}
    return "only REJECT" if cast == {0} else "only ACCEPT" if cast == {1} else "both votes"


def _scale(axes: Any, coverages: Sequence[float]) -> None:
    """Let the coverage run from 0, or over powers of ten where it differs much."""
    least, most = min(coverages, default=1), max(coverages, default=1)
    if most > _WIDE * least:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.4, min(most * 1.4, 1.15))
        axes.minorticks_off()
    else:
        axes.set_xlim(0, most * 1.1)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x * 100:.3g} %")


def _draw(axes: Any, points: Sequence[Mapping[str, Any]], label: str, colour: str, marker: str) -> None:
    if not points:
        return
    ends = [(p["coverage"], p["low"], p["high"]) for p in points if p["low"] is not None]
    at, up = [v for x, *_ in ends for v in (x, x, math.nan)], [v for _, a, b in ends for v in (a, b, math.nan)]
    axes.plot(at, up, color=colour, linewidth=1, alpha=0.45, solid_capstyle="butt")
    style = {"color": colour, "marker": marker, "markersize": 6, "linestyle": "", "label": label}
    axes.plot([p["coverage"] for p in points], [p["precision"] for p in points], **style)


def _name(drawn: Any, axes: Any, points: Sequence[Mapping[str, Any]]) -> None:
    """Write the names beside their points where there is room, those of the largest coverage first."""
    from matplotlib.transforms import Bbox

    drawn.draw_without_rendering()  # places the axes
    frame, reach = axes.get_window_extent(), drawn.dpi / 18  # pixels: a marker's half
    spots = axes.transData.transform([(p["coverage"], p["precision"]) for p in points] or [(0, 0)])
    taken = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in spots]
    for point in sorted(points, key=lambda p: -p["coverage"]):
        for dx, dy in _PLACES:
            text = _beside(axes, point, dx, dy)
            box = text.get_window_extent()
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if is_inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _beside(axes: Any, point: Mapping[str, Any], dx: int, dy: int) -> Any:
    """Write a point's name so many points off it, and return the text."""
    return axes.annotate(
        fitting(point["name"], _LONGEST),
        (point["coverage"], point["precision"]),
        xytext=(dx, dy),
        textcoords="offset points",
        fontsize=8,
        ha="left" if dx > 0 else "right" if dx < 0 else "center",
        va="center",
        parse_math=False,
        in_layout=False,
    )
