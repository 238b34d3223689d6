"""What all pictures share: colours, paper, names that fit, and SVG that can stand in a page."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

# Sentinels that become the colour of the surrounding text, and a fainter one.
INK, FAINT = "#010203", "#040506"
COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "D")
TOO_FEW = 15  # observations; below, what is drawn is hollow
WIDTH = 7.4  # inches
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the font of the page
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "hatch.color": "#ffffff",
    "hatch.linewidth": 0.6,
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw with our settings inside, whatever the user's own."""
    from matplotlib import rc_context, rcParamsDefault

    # A backend would stay set; pictures go to a text and need none.
    defaults = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with warnings.catch_warnings():
        # matplotlib lays text out with its own font; the page shows it with one that has the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        with rc_context(defaults | _SETTINGS):
            yield


def figure(height: float, **panels: Any) -> tuple[Any, Any]:
    """Return a figure of a height in inches with its axes; several of them where ``panels`` says how many."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH, height), layout="constrained")
    drawn.patch.set_alpha(0)
    axes = drawn.subplots(**panels)
    for one in drawn.axes:
        one.patch.set_alpha(0)
        one.spines[["top", "right", "left"]].set_visible(False)
    return drawn, axes


def grid(axes: Any, which: str) -> None:
    """Draw faint lines to read values by, at the ticks of "x", "y" or "both"."""
    axes.grid(axis=which, color=FAINT, linewidth=0.5, alpha=0.35)


def percents(axes: Any, which: str) -> None:
    """Let an axis run from 0 to 100 %, with room for a marker at either end."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    said = [f"{tick * 100:.0f} %" for tick in ticks]
    axes.set(**{f"{which}lim": (-0.01, 1.01), f"{which}ticks": ticks, f"{which}ticklabels": said})


def empty(axes: Any, said: str) -> None:
    """Say that there is nothing to draw, in place of a scale of nothing."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center")


def legend(axes: Any, n_entries: int) -> None:
    """Say above the picture, on the right, what the colours mean, where there are several."""
    if n_entries > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=n_entries, frameon=False, borderaxespad=0)


def fitting(name: str, longest: int) -> str:
    """Return a name on one line, its middle left out where it is longer than that many characters.

    >>> fitting("asks_about_fees_of_accounts_abroad", 20)
    'asks_about_…s_abroad'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "(no name)"
    end = longest * 2 // 5
    return line if len(line) <= longest else f"{line[: longest - end - 1]}\u2026{line[-end:]}"


def svg(drawn: Any, description: str) -> str:
    """Return a figure as an <svg> element to stand in a page, without header, date and links."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.hashsalt": description}):
        drawn.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # What only a file of its own needs; and its style sheet and names of groups, which would leak into the page.
    text = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'<defs>\s*<style.*?</defs>\s*|(?<=<g) id="[^"]*"|(?<=>)\n\s*', "", text, flags=re.DOTALL)
    text = _without_bare_groups(re.sub(r"<[^>]+>", _slim, text))
    text = text.replace(INK, "currentColor").replace(FAINT, "gray")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}" style="font-size: 10px"', 1)


def _slim(tag: re.Match[str]) -> str:
    """Return a tag without digits beyond 1/100 point, turns by nothing, and the font that all text has."""
    text = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), tag[0])
    text = re.sub(r'\stransform="rotate\(-?0 [^"]*"', "", text)
    return re.sub(r"font-size: 10px; |font-family: [^;]*; ", "", text).replace("\n", " ")


def _without_bare_groups(text: str) -> str:
    """Return SVG without the groups that hold elements together and say nothing of them."""
    open_groups: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0] == "<g/>":
            return ""
        if tag[0] != "</g>":
            open_groups.append(tag[0] != "<g>")
            return tag[0] if open_groups[-1] else ""
        return tag[0] if open_groups.pop() else ""

    return re.sub(r"</?g(?: [^>]*)?/?>", kept, text)
