"""What the documentation says is true: the README's code runs, its file names exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from weaklm import patterns

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FUNCTIONS = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
QUALITY = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_loop_of_the_readme_runs_as_it_stands() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "passes_the_buck" in output.getvalue()
    assert "tuned" in output.getvalue()


def test_the_page_on_functions_runs_from_top_to_bottom() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", FUNCTIONS, flags=re.DOTALL))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "functions.md", "exec"), {"__name__": "functions"})
    assert "'says_it_twice': 'rows" in output.getvalue()
    assert "def says_branch" in output.getvalue()


@pytest.mark.slow
def test_the_page_on_quality_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", QUALITY, flags=re.DOTALL))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "quality.md", "exec"), {"__name__": "quality"})
    assert "at 90% confidence" in output.getvalue()
    assert [path.name for path in tmp_path.rglob("*.html")] == ["report.html"]


def test_the_page_on_functions_names_every_pattern() -> None:
    assert [name for name in patterns.__all__ if f"`{name}`" not in FUNCTIONS] == []


def test_the_loop_of_the_readme_fits_in_thirty_lines() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("stage", re.split(r",\s+", re.findall(r"weaklm/ +([a-z_,\s]+): the\s", README)[0]))
def test_every_stage_that_the_readme_names_is_a_module(stage: str) -> None:
    assert (ROOT / "weaklm" / f"{stage}.py").exists() or (ROOT / "weaklm" / stage / "__init__.py").exists()
