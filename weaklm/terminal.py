"""Show a summary in a terminal: tables and sentences that rich can print."""

from typing import Any

from weaklm.wording import difference, number, p_value, percent, rate

_WIDTH = 120  # characters of a line of text


def text(summary: dict[str, Any]) -> Any:
    """Return a summary as something that rich can print, in colour where there is a terminal."""
    texts = {"report": _report_text, "comparison": _comparison_text, "curation": _curation_text}
    return texts[summary["kind"]](without_empty_slices(summary))


def without_empty_slices(summary: dict[str, Any]) -> dict[str, Any]:
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


def _report_text(summary: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    labelled = f"{summary['n_labelled']:,} with a human label"
    head = f"Report: {summary['n']:,} rows, {summary['n_instructions']:,} instructions, {labelled}"
    parts = [summary["overall"], *summary["slices"]]
    tables = [_rates_table("slice", parts)] if summary["n"] else []
    if len(summary["sources"]) > 1:
        tables.append(_rates_table("source", summary["sources"]))
    said = [*_agreement_text(summary["agreement"]), *_drivers_text(summary["error_modes"])]
    found = [f"Found: {one['rule']}: {percent(one['rate'])} rejected of {one['n']:,}" for one in _discovered(summary)]
    steps = [f"{k}. {one['text']}" for k, one in enumerate(summary["advice"], start=1)]
    lines = [Text(line) for line in (*said, *found)]
    next_ = [Text("What to do next", style="bold"), *map(Text, steps)] if steps else []
    return Group(Text(head, style="bold"), *tables, *lines, *_notes_text(summary), *next_)


def _discovered(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return list(summary["discovered"] or [])[:5]


def _agreement_text(agreement: dict[str, Any] | None) -> list[str]:
    if agreement is None:
        return []
    named = (("AUC", "auc"), ("balanced accuracy", "balanced_accuracy"), ("kappa", "kappa"))
    said = [f"{label} {_measure(agreement['metrics'][key])}" for label, key in named]
    return [f"Score against people (n = {agreement['n']:,}): {', '.join(said)}"]


def _measure(metric: dict[str, Any]) -> str:
    interval = f" [{number(metric['low'])}, {number(metric['high'])}]" if metric["low"] is not None else ""
    return f"{number(metric['value'])}{interval}"


def _drivers_text(modes: dict[str, Any]) -> list[str]:
    """Return one line each for the functions and the features that drive REJECT."""
    said = []
    for kind in ("functions", "features"):
        parts = [f"{one['name']} ({percent(one['share_of_rejected'])})" for one in (modes[kind] or [])[:3]]
        said += [f"REJECT is driven by {kind}: {', '.join(parts)} of the rejected rows"] if parts else []
    return said


def _rates_table(kind: str, parts: list[dict[str, Any]]) -> Any:
    from rich.text import Text

    table = _table([kind, "rows", "proxy accept rate", "mean score", "human accept rate", "corrected"])
    for part in parts:
        flag = " *" if part.get("reads_response") else ""
        cells = [f"{part['name'] or '(no name)'}{flag}", f"{part['n']:,}", rate(part["proxy"])]
        cells += [number(part["mean_score"]), rate(part["human"], with_n=True), rate(part["corrected"])]
        table.add_row(*(Text(cell) for cell in cells), style="dim" if part["proxy"]["too_few"] else "")
    return table


def _comparison_text(summary: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    colour = {"better": "bold green", "worse": "bold red", "undecided": "bold"}[summary["outcome"]]
    base, tuned = summary["names"]
    has_people = summary["people"]["n"] > 0
    columns = ["slice", "pairs", base, tuned, "difference in points", "by people", "adjusted p", "outcome"]
    table = _table([column for column in columns if has_people or column != "by people"])
    for part in [{"name": "all", "comparable": True, **summary}, *summary["slices"]]:
        cells = [part["name"], f"{part['base']['n']:,}", *(percent(part[side]["value"]) for side in ("base", "tuned"))]
        if part["comparable"]:
            cells += [difference(part["difference"]), *([difference(part["people"])] if has_people else [])]
            cells += [p_value(part["p_adjusted"]), part["outcome"]]
        else:
            cells += [f"not comparable: {part['reason']}"]
        table.add_row(*(Text(cell) for cell in cells), style="dim" if part["base"]["too_few"] else "")
    counts = f"{summary['wins']:,} wins, {summary['losses']:,} losses, {summary['ties']:,} ties for {tuned}"
    others = [Text(part["verdict"]) for part in summary["sources"]]
    return Group(Text(summary["verdict"], style=colour), table, *others, Text(counts), *_notes_text(summary))


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
