"""Cards for the Hugging Face Hub: what a data set or a model is made of, with numbers, intervals and licences.

A licence is asked for, never guessed: who publishes says under which licence, and what the parts came with.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from weaklm import wording
from weaklm.errors import MissingExtraError, SettingsError, nearest

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard, ModelCard

INSTRUCTIONS, BASE_MODEL, TRAINING_DATA = "instructions", "base model", "training data"
_NO_NAME = "responses"  # what the licences call the responses of a source without a name
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}

_COUNTS = ("rows in", "dropped", "rows out")


class Summarised(Protocol):
    """Whatever has a summary of plain values, such as a Report or a Comparison."""

    def summary(self) -> dict[str, Any]:
        """Return the summary."""


class CuratedSet(Summarised, Protocol):
    """A curated set, such as a QualityDataset."""

    def to_frame(self) -> pd.DataFrame:
        """Return the kept rows."""


def dataset_card(
    curated: CuratedSet,
    *,
    name: str,
    license: str,
    licenses: Mapping[str, str],
    report: Summarised | None = None,
    language: str | None = None,
    description: str = "",
) -> "DatasetCard":
    """Return the card of a curated set: what was dropped and why, who wrote the responses, how good they are.

    ``card.save("README.md")`` writes it; ``card.push_to_hub(...)`` publishes it.

    Parameters
    ----------
    curated
        The curated set; its funnel is shown.
    name
        What people call the data set.
    license
        The licence under which it is published, as the Hub names it (``"cc-by-4.0"``; ``"other"`` for the rest).
    licenses
        What each part came with: ``"instructions"`` (with their contexts), and each model source in the rows ->
        the licence or terms; a source without a name is called ``"responses"``.
    report
        A Report on the kept rows or on held-out ones; its numbers are shown with their intervals.
    language
        Code of the rows' language, such as ``"en"``.
    description
        Text that opens the card, in Markdown.

    Raises
    ------
    SettingsError
        A licence that is missing, by the name under which it is to be passed.
    MissingExtraError
        Without the extra ``hf``.
    """
    summary, rows = curated.summary(), curated.to_frame()
    of_source = rows["source"].replace("", _NO_NAME).value_counts()
    _check_licenses(license, licenses, [INSTRUCTIONS, *of_source.index])
    hub = _hub()
    about = hub.DatasetCardData(
        license=license,
        language=language,
        pretty_name=name,
        size_categories=[next((words for limit, words in _SIZES.items() if len(rows) < limit), "10M<n<100M")],
        task_categories=["text-generation"],
        tags=["weak-supervision"],
    )
    corrected = summary.get("n_corrected") or 0
    parts = [
        f"# {_escaped(name)}",
        description,
        f"{len(rows):,} responses to {rows['instruction_id'].nunique():,} instructions, chosen from {summary['n']:,} "
        "by a quality model that learned from labeling functions."
        + (f" {corrected:,} of the {summary['n']:,} are people's corrections." if corrected else ""),
        "## Who wrote the responses",
        _table(["source", "rows", "licence"], [(s, f"{n:,}", licenses[s]) for s, n in of_source.items()]),
        f"Instructions and contexts: {_escaped(licenses[INSTRUCTIONS])}. This data set: {_escaped(license)}.",
        *_funnel(summary),
        *_numbers(report),
    ]
    return hub.DatasetCard(_card(about, parts))


def model_card(
    *,
    name: str,
    base_model: str | Path,
    license: str,
    licenses: Mapping[str, str],
    curated: CuratedSet | None = None,
    evaluation: Summarised | None = None,
    settings: Mapping[str, Any] | None = None,
    language: str | None = None,
    description: str = "",
) -> "ModelCard":
    """Return the card of a fine-tuned model: its base, what it learned from, and how it compares.

    Parameters
    ----------
    name
        What people call the model.
    base_model
        Its name on the Hub, or its folder; of a folder only the last part is shown.
    license
        The licence under which the model is published, as the Hub names it.
    licenses
        What it is made of: ``"base model"`` and ``"training data"`` -> their licences.
    curated
        The rows it was trained on; their funnel is shown.
    evaluation
        A Comparison with its base, or a Report; its numbers are shown with their intervals.
    settings
        Settings of the training.
    language, description
        As in :func:`dataset_card`.

    Raises
    ------
    SettingsError
        A licence that is missing, by the name under which it is to be passed.
    MissingExtraError
        Without the extra ``hf``.
    """
    _check_licenses(license, licenses, [BASE_MODEL, TRAINING_DATA])
    hub = _hub()
    is_folder = Path(base_model).exists() or Path(base_model).is_absolute()
    base = Path(base_model).name if is_folder else str(base_model)
    about = hub.ModelCardData(
        license=license,
        language=language,
        base_model=None if is_folder else base,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["weak-supervision"],
    )
    summary = curated.summary() if curated is not None else None
    learned = f", fine-tuned on {summary['n_kept']:,} of {summary['n']:,} responses" if summary else ""
    parts = [
        f"# {_escaped(name)}",
        description,
        f"{_escaped(base)}{learned}.",
        "## Licences",
        _table(["what", "licence"], [("this model", license), *((part, licenses[part]) for part in licenses)]),
        *(["## Training", _table(["setting", "value"], settings.items())] if settings else []),
        *(_funnel(summary) if summary else []),
        *_numbers(evaluation),
    ]
    return hub.ModelCard(_card(about, parts))


def _check_licenses(license: str, licenses: Mapping[str, str], parts: Sequence[str]) -> None:
    """Raise for a licence that nobody named, and for one of something that is not there."""
    if not isinstance(license, str) or not license.strip():
        raise SettingsError("license=... is missing: the licence under which you publish this, such as 'cc-by-4.0'")
    missing = [part for part in parts if not str(licenses.get(part) or "").strip()]
    if missing:
        wanted = ", ".join(f"{part!r}: ..." for part in missing)
        raise SettingsError(f"a card names what its parts came with; pass licenses={{{wanted}}}")
    for part in licenses:
        if part not in parts:
            raise SettingsError(f"licenses names {part!r}, which has no part in this; {nearest(part, parts)}")


def _funnel(summary: Mapping[str, Any]) -> list[str]:
    if not summary["funnel"]:
        return []
    rows = [(step["reason"], *(f"{step[key]:,}" for key in _COUNTS)) for step in summary["funnel"]]
    return ["## How the rows were chosen", _table(["reason", *_COUNTS], rows), *_notes(summary)]


def _numbers(measured: Summarised | None) -> list[str]:
    if measured is None:
        return []
    summary = measured.summary()
    shown = _comparison(summary) if summary["kind"] == "comparison" else _report(summary)
    return ["## Quality", *shown, "In brackets: intervals of 95 %.", *_notes(summary)]


def _report(summary: Mapping[str, Any]) -> list[str]:
    parts = [summary["overall"], *summary["slices"], *(summary["sources"] if len(summary["sources"]) > 1 else [])]
    rates = ("proxy", "human", "corrected")
    rows = [
        (part["name"] or _NO_NAME, f"{part['n']:,}", *(wording.rate(part[rate], with_n=True) for rate in rates))
        for part in parts
    ]
    meaning = (
        "Accept rates: *proxy* is what the quality model says, *human* what people said, *corrected* the first "
        "corrected by the second."
    )
    return [meaning, _table(["rows of", "n", *rates], rows)]


def _comparison(summary: Mapping[str, Any]) -> list[str]:
    base, tuned = summary["names"]
    parts = [{"name": "all pairs", **{side: summary[side] for side in ("base", "tuned", "difference")}}]
    rows = [
        (
            part["name"],
            f"{part['base']['n']:,}",
            wording.rate(part["base"]),
            wording.rate(part["tuned"]),
            wording.difference(part["difference"]),
        )
        for part in [*parts, *summary["slices"]]
    ]
    return [_escaped(summary["verdict"]), _table(["slice", "pairs", base, tuned, "difference in points"], rows)]


def _notes(summary: Mapping[str, Any]) -> list[str]:
    return ["\n".join(f"- {_escaped(note)}" for note in summary["notes"])] if summary.get("notes") else []


def _table(columns: Sequence[str], rows: Any) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(text: Any) -> str:
    r"""Return a text as one line of Markdown that is shown as it is.

    >>> _escaped("a|b\n<b>")
    'a\\|b &lt;b>'
    """
    return re.sub(r"([|*`\[\]\\])", r"\\\1", re.sub(r"\s+", " ", str(text))).replace("<", "&lt;")


def _card(about: Any, parts: Sequence[str]) -> str:
    return f"---\n{about.to_yaml()}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("a card", "hf") from error
    return huggingface_hub
