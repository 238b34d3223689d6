"""Settings of a project: ``weaklm.toml``, checked key by key against the stages that they are for.

Each table's keys are the keyword arguments of that stage's class or function, so there is no second list of
options to learn or to keep in step.
"""

import ast
import functools
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weaklm.data import COLUMNS, HUMAN_LABEL
from weaklm.errors import ProjectError, SettingsError, nearest

FILE = "weaklm.toml"

_STAGES = {  # table -> module, class or function, and its arguments that are no settings
    "apply": ("weaklm.apply", "_Applier.__init__", ("functions", "client", "cache", "progress")),
    "label_model": ("weaklm.label_model", "LabelModel.__init__", ()),
    "quality_model": ("weaklm.quality.model", "QualityModel.__init__", ()),
    "curate": ("weaklm.curation.dataset", "curate", ("data", "score", "label_use", "Y", "inclusion", "funnel_slices")),
    "train": ("weaklm.lm.train", "QLoRATrainer.__init__", ()),
    "generate": ("weaklm.lm.generation", "LanguageModel.generate", ("data", "source", "progress", "force")),
}
_FIXED: dict[str, dict[str, str]] = {
    "columns": dict.fromkeys((*COLUMNS, HUMAN_LABEL), "str"),
    "functions": {"labeling": "list[str]", "slicing": "list[str]"},
    "split": {"test": "share", "random_state": "int"},
}


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of a project folder: table -> key -> value, every table present.

    Raises
    ------
    SettingsError
        An unknown table or key, named with the nearest known one; or a file that is not TOML.
    """
    path = folder / FILE
    if not path.is_file():
        raise ProjectError(
            f"{folder} is no weaklm project: it has no {FILE}. Make one with `python -m weaklm init {folder}` "
            "or Project.create(...)."
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    check(values, str(path))
    return {table: dict(values.get(table, {})) for table in (*_FIXED, *_STAGES)}


def check(values: Mapping[str, Any], place: str) -> None:
    """Raise SettingsError for the first unknown table or key, naming the place and the nearest known name."""
    tables = (*_FIXED, *_STAGES)
    for table, keys in values.items():
        if table not in tables:
            raise SettingsError(f"{place}: unknown table [{table}]; {nearest(table, tables)}")
        if not isinstance(keys, Mapping):
            raise SettingsError(f"{place}: {table} is {keys!r}; a table of settings was expected")
        for key in keys:
            if key not in known_keys(table):
                raise SettingsError(f"{place}: unknown key {key!r} in [{table}]; {nearest(key, known_keys(table))}")
            if not _fits(keys[key], known_keys(table)[key]):
                raise SettingsError(f"{place}: {key} in [{table}] is {keys[key]!r}; expected {known_keys(table)[key]}")


@functools.cache
def known_keys(table: str) -> dict[str, str]:
    """Return the keys that a table may have, each with its type as it is written in the code."""
    if table in _FIXED:
        return _FIXED[table]
    module, name, ignored = _STAGES[table]
    # From the source, not by import: the trainer's module would load torch to answer.
    path = Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    node: Any = ast.parse(path.read_text(encoding="utf-8"))
    for part in name.split("."):
        node = next(inner for inner in node.body if getattr(inner, "name", None) == part)
    arguments = [argument for argument in (*node.args.args, *node.args.kwonlyargs) if argument.annotation]
    return {a.arg: ast.unparse(a.annotation) for a in arguments if a.arg not in ignored}


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value may be of a type; types that no settings file can hold fit everything."""
    kinds = [part.strip().partition("[")[0] for part in annotation.split("|")]
    checks = {
        "None": value is None,
        "bool": isinstance(value, bool),
        "Literal": isinstance(value, str),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "Path": isinstance(value, str | Path),
        "list": isinstance(value, list | tuple),
        "Collection": isinstance(value, str | list | tuple | set | frozenset),
        "share": isinstance(value, int | float) and 0 < value < 1,
    }
    return any(checks.get(kind, True) for kind in kinds)


def write(folder: Path, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a new ``weaklm.toml`` with these tables, each with a comment on what it is for."""
    check(values, FILE)
    comments = {
        "columns": "standard name = your file's column name, where they differ",
        "functions": "modules, files or folders to load functions from",
        "split": "share of the instructions that are held out, for those that come without a split",
        "apply": "keyword arguments of weaklm.LFApplier: n_jobs, row_seconds, on_error, max_error_rate",
        "label_model": "keyword arguments of weaklm.LabelModel",
        "quality_model": "keyword arguments of weaklm.QualityModel",
        "curate": "keyword arguments of weaklm.curate",
        "train": "keyword arguments of weaklm.QLoRATrainer; base_model is a path or a Hugging Face name",
        "generate": "keyword arguments of LanguageModel.generate",
    }
    lines = ["# Settings of this project; an unknown key is an error that names the nearest one.", ""]
    for table, comment in comments.items():
        lines.append(f"[{table}]  # {comment}")
        # Strings, numbers, booleans and lists of them are written alike in JSON and TOML.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.get(table, {}).items()]
        lines.append("")
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")
