"""Static pictures for reports: numbers in, SVG text out; the same numbers give the same text.

Ink takes the colour of the text around it, so that a picture is readable on paper, on white and on black; the colours
are told apart by colour-blind people (Okabe and Ito 2008), and each has its own marker or hatch.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

# Sentinels that become the colour of the surrounding text, and a fainter one.
_INK, _FAINT = "#010203", "#040506"
COLOURS = ("#0072B2", "#D55E00", "#009E73")
_MARKERS = ("o", "s", "D")
_BARS = {"no human label": ("#95a0ad", ""), "human REJECT": (COLOURS[1], "////"), "human ACCEPT": (COLOURS[2], "")}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the font of the page
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.axisbelow": True,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "xtick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.color": _FAINT,
    "ytick.labelcolor": _INK,
    "text.color": _INK,
    "hatch.color": "#ffffff",
    "hatch.linewidth": 0.6,
}

Interval = Mapping[str, Any]  # what Estimate.to_dict gives


def forest(
    names: Sequence[str], series: Mapping[str, Sequence[Interval | None]], *, description: str, difference: bool = False
) -> str:
    """Return a forest plot as SVG: one line a name, with a point and an interval for each series.

    ``series`` holds estimates (None or without a value: not drawn), as shares from 0 to 1, or as differences from -1
    to 1 with a line at 0. Estimates with too few observations are hollow.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure, axes = _figure(height=0.75 + 0.34 * len(names))
        for k, (label, estimates) in enumerate(series.items()):
            shift = (k - (len(series) - 1) / 2) * 0.24
            _draw_estimates(axes, estimates, shift, k, label)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=_FAINT, linewidth=0.5, alpha=0.35)
        if difference:
            axes.axvline(0, color=_INK, linewidth=1)
            axes.set_xlim(*_around_zero(series))
            axes.xaxis.set_major_formatter(lambda x, _: f"{x * 100:+.0f}" if round(x, 9) else "0")
            axes.set_xlabel("difference in points, with 95 % interval")
        else:
            axes.set_xlim(-0.01, 1.01)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
            axes.set_xlabel("accept rate, with 95 % interval")
        _legend(axes, len(series))
        return _svg(figure, description)


def histogram(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], *, threshold: float, description: str
) -> str:
    """Return a histogram as SVG, stacked by what people said.

    ``counts`` holds the number of rows in each bin between ``edges`` for "no human label", "human REJECT" and "human
    ACCEPT", or those of them that there are.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure, axes = _figure(height=2.5)
        bottom = [0] * (len(edges) - 1)
        widths = [b - a for a, b in pairwise(edges)]
        for label, values in counts.items():
            colour, hatch = _BARS[label]
            style = {"color": colour, "hatch": hatch, "linewidth": 0}
            axes.bar(edges[:-1], values, widths, bottom, align="edge", label=label, **style)
            bottom = [a + b for a, b in zip(bottom, values, strict=True)]
        axes.axvline(threshold, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1)
        axes.grid(axis="y", color=_FAINT, linewidth=0.5, alpha=0.35)
        axes.set_xlabel("score: probability of ACCEPT (dashed: the threshold)")
        axes.set_ylabel("rows")
        _legend(axes, len(counts))
        return _svg(figure, description)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure, axes


def _draw_estimates(axes: Any, estimates: Sequence[Interval | None], shift: float, k: int, label: str) -> None:
    colour, marker = COLOURS[k], _MARKERS[k]
    axes.plot([], [], color=colour, marker=marker, label=label, linewidth=1.6)
    for place, estimate in enumerate(estimates):
        if estimate is None or estimate["value"] is None:
            continue
        y = place + shift
        if estimate["low"] is not None:
            axes.plot([estimate["low"], estimate["high"]], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        face = "none" if estimate["too_few"] else colour
        axes.plot([estimate["value"]], [y], marker=marker, markersize=5, color=colour, markerfacecolor=face)


def _around_zero(series: Mapping[str, Sequence[Interval | None]]) -> tuple[float, float]:
    """Return limits with room around every interval and around 0."""
    drawn = [e for estimates in series.values() for e in estimates if e is not None and e["value"] is not None]
    ends = [abs(e[key]) for e in drawn for key in ("value", "low", "high") if e[key] is not None]
    reach = min(1.05, max([0.1, *ends]) * 1.1)
    return -reach, reach


def _legend(axes: Any, n_entries: int) -> None:
    if n_entries > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=n_entries, frameon=False, borderaxespad=0)


def _svg(figure: Any, description: str) -> str:
    """Return the figure as an <svg> element to stand in a page, without header, date and links."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.hashsalt": description}), warnings.catch_warnings():
        # matplotlib lays text out with its own font; the page shows it with one that has the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # What only a file of its own needs; and its style sheet and names of groups, which would leak into the page.
    text = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'<defs>\s*<style.*?</defs>\s*|(?<=<g) id="[^"]*"|(?<=>)\n\s*', "", text, flags=re.DOTALL)
    text = text.replace(_INK, "currentColor").replace(_FAINT, "gray")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
