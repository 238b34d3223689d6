"""Show a summary, a dict of plain values, as text, HTML or JSON."""

import copy
import json
from pathlib import Path
from typing import Any

from weaklm import wording
from weaklm.atomic import atomic_file
from weaklm.terminal import plain, text, without_empty_slices

__all__ = ["Rendered", "html", "plain", "text"]

TEMPLATES = Path(__file__).parent / "templates"
_FILTERS = ("percent", "points", "number", "signed", "p_value", "rows", "votes")  # how templates write numbers


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
    environment.filters |= {name: getattr(wording, name) for name in _FILTERS} | {"breakable": _breakable}
    page = environment.get_template(f"{summary['kind']}.html")
    drawn = {name: Markup(svg) for name, svg in pictures.items()}
    return page.render(without_empty_slices(summary), pictures=drawn, whole_page=whole_page)


def _breakable(name: str) -> Any:
    """Return a name as HTML that breaks after underscores, where it is too long for its cell."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        with atomic_file(path) as temporary:
            # Half a surrogate pair, which a model can write, has no UTF-8; it must not cost the report.
            temporary.write_bytes(text.encode("utf-8", "replace"))
    return text
