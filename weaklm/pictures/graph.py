"""The graph of labeling functions: those that vote alike stand beside each other, conflicts go across."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weaklm.pictures.canvas import WIDTH, figure, fitting, paper, svg
from weaklm.pictures.votes import NODES

EDGES: dict[str, tuple[str, Any]] = {
    "say the same": ("#56B4E9", "solid"),
    "conflict": ("#CC79A7", (0, (4, 2))),
    "conflict on most rows": ("#882255", "solid"),
}
_LONGEST = 28  # characters of a name


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
    with paper():
        drawn, axes = figure(height=WIDTH + 0.6)
        drawn.set_layout_engine("none")  # everything has its place: a square, and below it what the signs mean
        axes.set_position((0, 0.6 / (WIDTH + 0.6), 1, WIDTH / (WIDTH + 0.6)))
        axes.set_axis_off()
        radius = WIDTH / 2 - 0.3 - 0.075 * min(max((len(node["name"]) for node in nodes), default=1), _LONGEST)
        axes.set(xlim=(-WIDTH / 2, WIDTH / 2), ylim=(-WIDTH / 2, WIDTH / 2))  # inches
        turns = [math.tau * i / len(nodes) for i in range(len(nodes))]
        places = [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]
        for edge in edges:
            _draw_edge(axes, places[edge["ends"][0]], places[edge["ends"][1]], edge)
        for node, place in zip(nodes, places, strict=True):
            _draw_node(axes, place, node)
        _explain(axes, [node["kind"] for node in nodes], [edge["kind"] for edge in edges])
        if path is not None:
            drawn.savefig(path, facecolor="white", dpi=160)
        return svg(drawn, description)


def _explain(axes: Any, nodes: Sequence[str], edges: Sequence[str]) -> None:
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
    axes.text(
        x,
        y,
        fitting(node["name"], _LONGEST),
        rotation=angle + 180 if is_left else angle,
        rotation_mode="anchor",
        ha="right" if is_left else "left",
        va="center",
        fontsize=9,
        parse_math=False,
    )
