"""Static pictures for reports: numbers in, SVG text out; the same numbers give the same text.

Ink takes the colour of the text around it, so that a picture is readable on paper, on white and on black; the colours
are told apart by colour-blind people (Okabe and Ito 2008), and each has its own marker or hatch.
"""

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

# Sentinels that become the colour of the surrounding text, and a fainter one.
_INK, _FAINT = "#010203", "#040506"
COLOURS = ("#0072B2", "#D55E00", "#009E73")
_MARKERS = ("o", "s", "D")
_BARS = {"no human label": ("#95a0ad", ""), "human REJECT": (COLOURS[1], "////"), "human ACCEPT": (COLOURS[2], "")}
NODES = {
    "only ACCEPT": (COLOURS[2], "o"),
    "only REJECT": (COLOURS[1], "s"),
    "both votes": (COLOURS[0], "D"),
}
EDGES: dict[str, tuple[str, Any]] = {
    "say the same": ("#56B4E9", "solid"),
    "conflict": ("#CC79A7", (0, (4, 2))),
    "conflict on most rows": ("#882255", "solid"),
}
_LONGEST = 28  # characters of a name on a graph
_SIDE = 7.4  # inches of a graph
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


def network(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    description: str,
    path: str | Path | None = None,
) -> str:
    """Return a graph as SVG: named nodes on a circle in the order given, edges as curves through it.

    Nodes have ``name``, ``kind`` (a key of ``NODES``) and ``size`` from 0 to 1; edges have ``ends`` (two places among
    the nodes), ``kind`` (a key of ``EDGES``), ``strength`` from 0 to 1 and ``mark``, a text to stand on them. With
    ``path`` the picture is also written there, on white, in the format that the ending names (.svg, .png, .pdf).
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure, axes = _figure(height=_SIDE + 0.6)
        figure.set_layout_engine("none")  # everything has its place: a square, and below it what the signs mean
        axes.set_position((0, 0.6 / (_SIDE + 0.6), 1, _SIDE / (_SIDE + 0.6)))
        axes.set_axis_off()
        radius = _SIDE / 2 - 0.3 - 0.075 * min(max((len(node["name"]) for node in nodes), default=1), _LONGEST)
        axes.set(xlim=(-_SIDE / 2, _SIDE / 2), ylim=(-_SIDE / 2, _SIDE / 2))  # inches
        turns = [math.tau * i / len(nodes) for i in range(len(nodes))]
        places = [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]
        for edge in edges:
            _draw_edge(axes, places[edge["ends"][0]], places[edge["ends"][1]], edge)
        for node, place in zip(nodes, places, strict=True):
            _draw_node(axes, place, node)
        _explain_network(axes, [node["kind"] for node in nodes], [edge["kind"] for edge in edges])
        if path is not None:
            figure.savefig(path, facecolor="white", dpi=160)
        return _svg(figure, description)


def _explain_network(axes: Any, nodes: Sequence[str], edges: Sequence[str]) -> None:
    for kinds, styles, height in ((nodes, NODES, 0.0), (edges, EDGES, -0.035)):
        entries: list[Any] = []
        for kind in (kind for kind in styles if kind in kinds):
            colour, shape = styles[kind]
            style = {"marker": shape, "markersize": 8, "linestyle": ""} if kinds is nodes else {"linestyle": shape}
            entries += axes.plot([], [], color=colour, linewidth=2.5, label=kind, **style)
        if entries:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, height), "bbox_transform": axes.transAxes}
            axes.figure.legend(handles=entries, ncols=len(entries), frameon=False, **place)


def _draw_edge(axes: Any, start: tuple[float, float], end: tuple[float, float], edge: Mapping[str, Any]) -> None:
    """Draw a curve that bends towards the middle, so that neighbours on the circle are seen to be joined."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    middle = tuple(0.25 * (a + b) for a, b in zip(start, end, strict=True))
    colour, dashes = EDGES[edge["kind"]]
    curve = Curve([start, middle, end], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
    width = 0.6 + 3.4 * edge["strength"]
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linewidth=width, linestyle=dashes, alpha=0.8))
    # A third along the curve: half-way, those of many edges would meet.
    x, y = (4 / 9 * a + 4 / 9 * m + 1 / 9 * b for a, m, b in zip(start, middle, end, strict=True))
    axes.text(x, y, edge["mark"], fontsize=8, ha="center", va="center", parse_math=False)


def _draw_node(axes: Any, place: tuple[float, float], node: Mapping[str, Any]) -> None:
    colour, marker = NODES[node["kind"]]
    axes.scatter(*place, s=30 + 500 * node["size"], color=colour, marker=marker, zorder=3, linewidth=0)
    angle, is_left = math.degrees(math.atan2(place[1], place[0])), place[0] < -1e-9
    x, y = (a * (1 + 0.22 / math.hypot(*place)) for a in place)
    name = node["name"] if len(node["name"]) <= _LONGEST else node["name"][: _LONGEST - 1] + "\u2026"
    axes.text(
        x,
        y,
        name,
        rotation=angle + 180 if is_left else angle,
        rotation_mode="anchor",
        ha="right" if is_left else "left",
        va="center",
        fontsize=9,
        parse_math=False,
    )


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
