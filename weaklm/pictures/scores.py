"""What the scores look like: how many rows have which, and whether people accept as often as the score says."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from weaklm.pictures.canvas import COLOURS, FAINT, INK, TOO_FEW, empty, figure, grid, paper, percents, svg

_NOBODY = "no human label"
_SAID = {"human ACCEPT": (COLOURS[2], "", 1), "human REJECT": (COLOURS[1], "////", -1)}  # colour, hatch, up or down


def histogram(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], *, threshold: float, description: str
) -> str:
    """Return a histogram as SVG: the rows that nobody labelled, and apart from them what people said.

    Where the score is right, what people accepted (bars up) stands right of the threshold, what they rejected (bars
    down) left of it.

    Parameters
    ----------
    counts
        The number of rows in each bin between ``edges`` for "no human label", "human REJECT" and "human ACCEPT", or
        those of them that there are.
    """
    has_labels = any(label in counts for label in _SAID)
    panels = [_draw_unlabelled] * (_NOBODY in counts or not has_labels) + [_draw_labelled] * has_labels
    with paper():
        drawn, axes = figure(0.75 + 1.6 * len(panels), nrows=len(panels), sharex=True, squeeze=False)
        for panel, draw in zip(axes[:, 0], panels, strict=True):
            draw(panel, edges, counts)
            panel.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            panel.set_xlim(min(0, *edges), max(1, *edges))
            panel.locator_params(axis="y", integer=True, nbins=5)
            panel.yaxis.set_major_formatter(lambda y, _: f"{abs(y):,.0f}")
            panel.set_ylabel("rows")
            grid(panel, "y")
            panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
        axes[-1, 0].set_xlabel("score: probability of ACCEPT (dashed: the threshold)")
        return svg(drawn, description)


def _draw_unlabelled(axes: Any, edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> None:
    values = counts.get(_NOBODY, [0] * (len(edges) - 1))
    _bars(axes, edges, values, label=f"{_NOBODY} ({sum(values):,})", color="#95a0ad")
    axes.set_ylim(0, max(1, *values) * 1.05)


def _draw_labelled(axes: Any, edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> None:
    for label, (colour, hatch, side) in _SAID.items():
        values = counts.get(label, [0] * (len(edges) - 1))
        shown = f"{label} ({sum(values):,})"
        _bars(axes, edges, [side * value for value in values], label=shown, color=colour, hatch=hatch)
    axes.axhline(0, color=INK, linewidth=0.8)


def _bars(axes: Any, edges: Sequence[float], heights: Sequence[int], **style: Any) -> None:
    axes.bar(edges[:-1], heights, [b - a for a, b in pairwise(edges)], align="edge", linewidth=0, **style)


def reliability(bins: Sequence[Mapping[str, Any]], *, description: str) -> str:
    """Return a reliability plot as SVG: the share that people accepted against the score, and the rows behind each.

    Points on the dashed line are calibrated; below it the score promises too much. A bin with fewer than 15 rows is
    hollow, an empty one is left out.

    Parameters
    ----------
    bins
        Rows with a human label by score: ``n``, ``mean_score`` and ``share_accepted`` from 0 to 1, and ``low`` and
        ``high``, the ends of its interval, or None.
    """
    found = sorted((b for b in bins if b["n"] and b["share_accepted"] is not None), key=lambda b: b["mean_score"])
    with paper():
        if not found:
            drawn, axes = figure(1)
            empty(axes, "no row has a human label")
            return svg(drawn, description)
        drawn, (curve, rows) = figure(3.6, ncols=2, width_ratios=[1, 0.9])
        curve.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        _draw_bins(curve, found)
        percents(curve, "y")
        curve.set(xlim=(-0.01, 1.01), aspect="equal", xlabel="mean score", ylabel="accepted by people, with interval")
        grid(curve, "both")
        rows.vlines([b["mean_score"] for b in found], 0, [b["n"] for b in found], color=COLOURS[0], linewidth=5)
        rows.set(xlim=(-0.03, 1.03), ylim=(0, max(b["n"] for b in found) * 1.05), xlabel="mean score")
        rows.set_ylabel("rows with a human label")
        rows.locator_params(axis="y", integer=True, nbins=6)
        grid(rows, "y")
        return svg(drawn, description)


def _draw_bins(axes: Any, found: Sequence[Mapping[str, Any]]) -> None:
    x, y = [b["mean_score"] for b in found], [b["share_accepted"] for b in found]
    ends = [(b["mean_score"], b["low"], b["high"]) for b in found if b["low"] is not None]
    at, up = [v for x, *_ in ends for v in (x, x, math.nan)], [v for _, a, b in ends for v in (a, b, math.nan)]
    axes.plot(at, up, color=COLOURS[0], linewidth=1.6, solid_capstyle="butt")
    axes.plot(x, y, color=COLOURS[0], linewidth=1, alpha=0.5)
    for is_few in (False, True):
        points = [(b["mean_score"], b["share_accepted"]) for b in found if (b["n"] < TOO_FEW) == is_few]
        style = {"color": COLOURS[0], "marker": "o", "linestyle": "", "markersize": 5.5}
        face = "none" if is_few else COLOURS[0]
        axes.plot([x for x, _ in points], [y for _, y in points], markerfacecolor=face, **style)
