"""The public names and the command line: all there, all documented, all helpful when mistyped."""

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

import weaklm as wl
from weaklm.cli import app
from weaklm.project import Project

VERBS = ["init", "import", "lfs", "apply", "fit", "report", "curate", "train", "generate", "rescore", "compare"]
VERBS += ["explain", "export", "run", "demo"]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", wl.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(wl, name) is not None


@pytest.mark.parametrize("name", [name for name in wl.__all__ if not name.startswith("__") and not name.isupper()])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(wl, name))


def test_a_mistyped_public_name_is_told_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'QualityModel'"):
        wl.QualtyModel  # noqa: B018


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_command_with_examples(verb: str) -> None:
    assert re.search(r"Examples?:\n\s+python -m weaklm " + verb, COMMANDS[verb].help)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"init", "import", "lfs", "demo"}))
def test_every_verb_is_a_project_method(verb: str) -> None:
    assert inspect.getdoc(getattr(Project, verb))


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_command_is_in_the_readme(verb: str) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{verb}\b", readme)
