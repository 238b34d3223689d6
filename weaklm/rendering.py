"""Show a summary, a dict of plain values, as text, HTML or JSON."""

import copy
import json
from pathlib import Path
from typing import Any

from weaklm.atomic import atomic_file

TEMPLATES = Path(__file__).parent / "templates"
_WIDTH = 120  # characters of a line of text


class Rendered:
    """What has a summary (``_summary``) and can show it; its ``kind`` names the template and the files."""

    _summary: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return everything that is shown, as plain values; a missing number is None."""
        return copy.deepcopy(self._summary)

    to_dict = summary

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the summary as JSON, and write it to a file if one is named."""
        return _written(json.dumps(self._summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one HTML page without scripts and outside requests, and write it to a file if one is named."""
        return _written(html(self._summary, self._pictures()), path)

    def save(self, folder: str | Path) -> Path:
        """Write ``<kind>.html`` and ``<kind>.json`` to a folder and return the path of the HTML page."""
        kind = self._summary["kind"]
        self.to_json(Path(folder) / f"{kind}.json")
        self.to_html(Path(folder) / f"{kind}.html")
        return Path(folder) / f"{kind}.html"

    def _pictures(self) -> dict[str, str]:
        """Return SVG pictures by name."""
        return {}

    def _repr_html_(self) -> str:
        return html(self._summary, self._pictures(), whole_page=False)

    def __rich__(self) -> Any:
        return text(self._summary)

    def __repr__(self) -> str:
        return plain(self.__rich__())


def html(summary: dict[str, Any], pictures: dict[str, str], *, whole_page: bool = True) -> str:
    """Return a summary as an HTML page, or as a part to stand in a notebook; every text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "number": number}
    page = environment.get_template(f"{summary['kind']}.html")
    drawn = {name: Markup(svg) for name, svg in pictures.items()}
    return page.render(_without_empty_slices(summary), pictures=drawn, whole_page=whole_page)


def text(summary: dict[str, Any]) -> Any:
    """Return a summary as something that rich can print, in colour where there is a terminal."""
    texts = {"report": _report_text, "comparison": _comparison_text, "curation": _curation_text}
    return texts[summary["kind"]](_without_empty_slices(summary))


def _without_empty_slices(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary for people: slices without a row are named in one note instead of a line each."""
    empty = [part["name"] for part in summary.get("slices", []) if not part.get("n", part.get("base", {}).get("n", 1))]
    if not empty:
        return summary
    rest = {"slices": [part for part in summary["slices"] if part["name"] not in empty]}
    if "slices_by_source" in summary:
        rest["slices_by_source"] = [part for part in summary["slices_by_source"] if part["slice"] not in empty]
    return summary | rest | {"notes": [*summary["notes"], f"Slices without a row here: {', '.join(empty)}."]}


def plain(renderable: Any) -> str:
    """Return what rich would show, as text without colours."""
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def percent(value: float | None) -> str:
    """Return a share as people read it.

    >>> percent(0.6234), percent(1.0), percent(None)
    ('62.3 %', '100 %', '—')
    """
    if value is None:
        return "—"
    return f"{value * 100:.0f} %" if value in (0, 1) else f"{value * 100:.1f} %"


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


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        with atomic_file(path) as temporary:
            # Half a surrogate pair, which a model can write, has no UTF-8; it must not cost the report.
            temporary.write_bytes(text.encode("utf-8", "replace"))
    return text


def _report_text(summary: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    labelled = f"{summary['n_labelled']:,} with a human label"
    head = f"Report: {summary['n']:,} rows, {summary['n_instructions']:,} instructions, {labelled}"
    parts = [summary["overall"], *summary["slices"]]
    tables = [_rates_table("slice", parts)] if summary["n"] else []
    if len(summary["sources"]) > 1:
        tables.append(_rates_table("source", summary["sources"]))
    agreement = summary["agreement"]
    measures = []
    if agreement is not None:
        text = f"Score against people (n = {agreement['n']:,}): AUC {number(agreement['auc'])}, "
        measures.append(Text(text + f"balanced accuracy {number(agreement['balanced_accuracy'])}"))
    return Group(Text(head, style="bold"), *tables, *measures, *_notes_text(summary))


def _rates_table(kind: str, parts: list[dict[str, Any]]) -> Any:
    from rich.text import Text

    table = _table([kind, "rows", "proxy accept rate", "mean score", "human accept rate", "corrected"])
    for part in parts:
        flag = " *" if part.get("reads_response") else ""
        cells = [f"{part['name'] or '(no name)'}{flag}", f"{part['n']:,}", _rate(part["proxy"])]
        cells += [number(part["mean_score"]), _rate(part["human"], with_n=True), _rate(part["corrected"])]
        table.add_row(*(Text(cell) for cell in cells), style="dim" if part["proxy"]["too_few"] else "")
    return table


def _comparison_text(summary: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    colour = {"better": "bold green", "worse": "bold red", "undecided": "bold"}[summary["outcome"]]
    base, tuned = summary["names"]
    table = _table(["slice", "pairs", base, tuned, "difference in points"])
    everything = {"name": "all", **{key: summary[key] for key in ("base", "tuned", "difference")}, "reason": ""}
    for part in [everything, *summary["slices"]]:
        difference = part["difference"]
        said = _difference(difference) if difference else f"not comparable: {part['reason']}"
        cells = [part["name"], f"{part['base']['n']:,}", _rate(part["base"]), _rate(part["tuned"]), said]
        table.add_row(*(Text(cell) for cell in cells), style="dim" if part["base"]["too_few"] else "")
    counts = f"{summary['wins']:,} wins, {summary['losses']:,} losses, {summary['ties']:,} ties for {tuned}"
    return Group(Text(summary["verdict"], style=colour), table, Text(counts), *_notes_text(summary))


def _curation_text(summary: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    table = _table(["reason", "rows in", "dropped", "rows out"])
    for step in summary["funnel"]:
        table.add_row(Text(step["reason"]), *(f"{step[key]:,}" for key in ("rows in", "dropped", "rows out")))
    head = Text(f"QualityDataset: {summary['n_kept']:,} of {summary['n']:,} rows kept", style="bold")
    return Group(head, *([table] if summary["funnel"] else []), *_notes_text(summary))


def _table(columns: list[str]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if place else "left", overflow="fold")
    return table


def _notes_text(summary: dict[str, Any]) -> list[Any]:
    from rich.text import Text

    return [Text(f"- {note}") for note in summary["notes"]]


def _rate(estimate: dict[str, Any] | None, *, with_n: bool = False) -> str:
    if estimate is None or estimate["value"] is None:
        return "—"
    few = "few: " if estimate["too_few"] else ""
    of = f" n={estimate['n']:,}" if with_n else ""
    return f"{few}{percent(estimate['value'])} [{estimate['low'] * 100:.0f}, {estimate['high'] * 100:.0f}]{of}"


def _difference(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "—"
    interval = f" [{points(estimate['low'])}, {points(estimate['high'])}]" if estimate["low"] is not None else ""
    return f"{points(estimate['value'])}{interval}"
