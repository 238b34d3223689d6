"""The training curve: the loss on training rows, step by step, and on held-out rows."""

import math
from collections.abc import Sequence
from typing import Any

from weaklm.pictures.canvas import COLOURS, MARKERS, empty, figure, grid, legend, paper, svg

_DRAWN = 300  # points of a curve at most; more steps are drawn as the means of neighbours
_SMOOTHED = 40  # steps from which a smoothed curve lies over the noisy one


def training_curve(
    train: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]] = (), *, description: str
) -> str:
    """Return the loss by step as SVG: (step, loss) pairs of training and, if there are any, of held-out rows.

    Steps whose loss is no finite number are left out, and counted beside the axis.
    """
    kept, held_out = (sorted((s, x) for s, x in pairs if math.isfinite(x)) for pairs in (train, valid))
    n_lost = len(train) + len(valid) - len(kept) - len(held_out)
    lost = f" ({n_lost:,} without a finite loss)" if n_lost else ""
    with paper():
        drawn, axes = figure(3.2 if kept or held_out else 1)
        if not kept and not held_out:
            empty(axes, f"no loss was recorded{lost}")
            return svg(drawn, description)
        _draw_train(axes, kept)
        if held_out:
            style = {"color": COLOURS[1], "marker": MARKERS[1], "markersize": 5, "linewidth": 1.6}
            axes.plot(*zip(*held_out, strict=True), label="held-out rows", **style)
        axes.set(xlabel=f"step{lost}", ylabel="loss")
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        grid(axes, "both")
        legend(axes, bool(kept) + bool(held_out))
        return svg(drawn, description)


def _draw_train(axes: Any, pairs: Sequence[tuple[int, float]]) -> None:
    thinned = _thinned(pairs)
    is_noisy = len(thinned) >= _SMOOTHED
    if not thinned:
        return
    if is_noisy:
        axes.plot(*zip(*thinned, strict=True), color=COLOURS[0], linewidth=0.8, alpha=0.35)
        thinned = _smooth(thinned)
    marker = "" if len(thinned) > 20 else MARKERS[0]
    axes.plot(*zip(*thinned, strict=True), color=COLOURS[0], linewidth=1.8, marker=marker, label="training rows")


def _thinned(pairs: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Return the means of so many neighbours that few enough points are left."""
    size = math.ceil(len(pairs) / _DRAWN) or 1
    parts = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    return [(sum(s for s, _ in part) / len(part), sum(x for _, x in part) / len(part)) for part in parts]


def _smooth(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return for each point the mean of the losses around it, a tenth of the curve, fewer at the ends."""
    reach = len(pairs) // 20
    windows = [pairs[max(0, i - reach) : i + reach + 1] for i in range(len(pairs))]
    return [(step, sum(x for _, x in w) / len(w)) for (step, _), w in zip(pairs, windows, strict=True)]
