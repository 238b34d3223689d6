"""The pictures of a report and of a comparison, from their summaries."""

from typing import Any

from weaklm import pictures
from weaklm.reports.functions import points

_MOST_CELLS = 400  # of a heat map that can be read
_MOST_LINES = 60  # of a forest plot
_NOTHING: dict[str, Any] = {"value": None, "too_few": True}


def report_pictures(summary: dict[str, Any]) -> dict[str, str]:
    """Return the SVG pictures of a report by name."""
    drawn: dict[str, str] = {}
    if summary["n"]:
        description = f"Histogram of the scores of {summary['n']:,} rows."
        drawn["histogram"] = pictures.histogram(
            **summary["histogram"], threshold=summary["threshold"], description=description
        )
    for kind in ("slices", "sources"):
        if summary["n"] and len(summary[kind]) > (kind == "sources"):
            drawn[kind] = _rates_forest([summary["overall"], *summary[kind]], f"Accept rates by {kind[:-1]}")
    if summary["agreement"] is not None:
        description = f"Share accepted by people against the score, on {summary['agreement']['n']:,} labelled rows."
        drawn["reliability"] = pictures.reliability(summary["agreement"]["reliability"], description=description)
    if summary["functions"] is not None and summary["n_labelled"]:
        description = f"Coverage and precision of {len(summary['functions']):,} labeling functions."
        drawn["functions"] = pictures.coverage_precision(points(summary["functions"]), description=description)
    crossed = [part for part in summary["slices_by_source"] if part["n"]]
    if 0 < len(crossed) <= _MOST_CELLS:
        drawn["heat_map"] = _rates_map(crossed)
    return drawn


def _rates_forest(parts: list[dict[str, Any]], title: str) -> str:
    """Return the accept rates of the parts that have rows."""
    parts = _largest(parts, [part["n"] for part in parts])
    names = [part["name"] for part in parts]
    series = {name: [part[name] for part in parts] for name in ("proxy", "human", "corrected")}
    drawn = {name: values for name, values in series.items() if any(v and v["value"] is not None for v in values)}
    said = [f"{part['name']} {part['proxy']['value']:.0%}" for part in parts]
    return pictures.forest(names, drawn, description=f"{title}: {', '.join(said)}.")


def _largest(parts: list[dict[str, Any]], sizes: list[int]) -> list[dict[str, Any]]:
    """Return the parts that are not empty, in their order; where there are too many to read, the largest."""
    least = min(sorted(sizes, reverse=True)[:_MOST_LINES], default=0)
    return [part for part, size in zip(parts, sizes, strict=True) if size and size >= least][:_MOST_LINES]


def _rates_map(parts: list[dict[str, Any]]) -> str:
    """Return the accept rates of each slice within each source, by the rate to rely on."""
    sources = list(dict.fromkeys(part["source"] for part in parts))
    slices = list(dict.fromkeys(part["slice"] for part in parts))
    shown = {(part["slice"], part["source"]): part[part["judged_by"]] for part in parts}
    rates = [[shown.get((name, source), _NOTHING) for source in sources] for name in slices]
    values, marks = ([[rate[key] for rate in line] for line in rates] for key in ("value", "too_few"))
    description = f"Accept rates of {len(slices)} slices within {', '.join(sources)}."
    return pictures.heat_map(slices, sources, values, marks=marks, description=description)


def comparison_pictures(summary: dict[str, Any]) -> dict[str, str]:
    """Return the SVG pictures of a comparison by name."""
    drawn = {}
    parts = [part for part in summary["slices"] if part["comparable"] and part["base"]["n"]]
    if parts:
        parts = _largest(parts, [part["base"]["n"] for part in parts])
        drawn["differences"] = _differences([summary | {"name": "all"}, *parts], summary["judged_by"] == "people")
    n_cells = (2 + len(summary["sources"])) * sum(part["base"]["n"] > 0 for part in summary["slices"])
    if summary["sources"] and 0 < n_cells <= _MOST_CELLS:
        drawn["heat_map"] = _sources_map([summary, *summary["sources"]])
    return drawn


def _differences(parts: list[dict[str, Any]], has_people: bool) -> str:
    """Return the differences of the parts, by the score and by people."""
    series = {"by the score": [part["difference"] for part in parts]}
    if has_people:
        series["by people"] = [part["people"] if part["people"]["low"] is not None else None for part in parts]
    said = ", ".join(f"{part['name']} {part['difference']['value'] * 100:+.1f} points" for part in parts)
    description = f"Differences in accept rate: {said}."
    return pictures.forest([part["name"] for part in parts], series, description=description, difference=True)


def _sources_map(found: list[dict[str, Any]]) -> str:
    """Return the accept rates by the score of each slice within each source."""
    columns = [found[0]["names"][0], *(summary["names"][1] for summary in found)]
    places = [i for i, part in enumerate(found[0]["slices"]) if part["base"]["n"]]
    rows = [found[0]["slices"][i]["name"] for i in places]
    rates = [[found[0]["slices"][i]["base"], *(one["slices"][i]["tuned"] for one in found)] for i in places]
    values, marks = ([[rate[key] for rate in line] for line in rates] for key in ("value", "too_few"))
    description = f"Accept rates of {len(rows)} slices within {', '.join(columns)}."
    return pictures.heat_map(rows, columns, values, marks=marks, description=description)
