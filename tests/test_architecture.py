"""The house rules that a reader relies on: data flows one way, torch has one door, import is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "weaklm"

# A module imports only modules of a lower rank; modules of one rank do not know each other. In data-flow order.
RANKS = {
    "errors": 0,
    "atomic": 1,
    "data": 1,
    "metrics": 1,
    "text": 1,
    "snorkel_core": 1,
    "wordkeys": 1,
    "resampling": 1,
    "dialect": 1,
    "replies": 1,
    "survey": 1,
    "credentials": 1,
    "code": 2,
    "columns": 2,
    "form": 2,
    "questions": 2,
    "languages": 2,
    "schemas": 2,
    "sampling": 2,
    "vote_matrix": 2,
    "certificate": 2,
    "endpoint": 2,
    "jobs": 2,
    "wording": 2,
    "votefiles": 3,
    "functions": 3,
    "conditions": 3,
    "traits": 3,
    "voter": 3,
    "completions": 3,
    "word_conditions": 4,
    "declared": 4,
    "compiler": 4,
    "voting": 4,
    "estimation": 4,
    "exchange": 4,
    "calibration": 4,
    "memory": 4,
    "snorkel_model": 4,
    "dawid_skene": 4,
    "gold_offset": 4,
    "tipping": 4,
    "patterns": 5,
    "workers": 5,
    "columnwise": 5,
    "cluster": 5,
    "significance": 5,
    "evaluation": 5,
    "answers": 5,
    "parts": 6,
    "pictures": 6,
    "label_model": 6,
    "apply": 7,
    "features": 7,
    "model_choice": 7,
    "terminal": 7,
    "analysis": 8,
    "rendering": 8,
    "suggestions": 8,
    "quality": 9,
    "checkup": 9,
    "checks": 10,
    "cards": 10,
    "curation": 10,
    "discovery": 10,
    "reports": 10,
    "report": 11,
    "comparison": 11,
    "lm": 11,
    "judges": 12,
    "rescoring": 12,
    "store": 12,
    "settings": 12,
    "lineage": 12,
    "providers": 12,
    "batches": 13,
    "responses": 13,
    "votes": 13,
    "runs": 13,
    "project": 14,
    "demo": 15,
    "cli": 16,
    "__main__": 17,
}
TORCH_WORLD = {"torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "tokenizers", "safetensors"}


def modules() -> dict[Path, str]:
    """Return every module of the package with the name that RANKS knows it by."""
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sorted(files)}


def imported(path: Path) -> list[str]:
    """Return the dotted names of all that a file imports, wherever in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_every_module_has_a_rank() -> None:
    assert set(modules().values()) <= set(RANKS)


def test_every_rank_has_a_module() -> None:
    assert set(RANKS) <= set(modules().values())


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_lower_ranks(path: Path) -> None:
    own = modules()[path]
    for name in imported(path):
        root, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if root == "weaklm" and other in RANKS and other != own:
            assert RANKS[other] < RANKS[own], f"{own} (rank {RANKS[own]}) imports {other} (rank {RANKS[other]})"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_torch_has_one_door(path: Path) -> None:
    if modules()[path] != "lm":
        assert not TORCH_WORLD & {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_package_does_not_import_the_function_libraries(path: Path) -> None:
    assert not {"lfs", "slices"} & {name.split(".")[0] for name in imported(path)}


READY_MADE = sorted([*ROOT.glob("lfs/*.py"), *ROOT.glob("slices/*.py")])


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: path.stem)
def test_ready_made_functions_need_weaklm_numpy_and_the_standard_library_only(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots <= {"weaklm", "numpy"} | set(sys.stdlib_module_names)


def test_the_function_libraries_are_namespace_packages() -> None:
    assert not (ROOT / "lfs" / "__init__.py").exists()
    assert not (ROOT / "slices" / "__init__.py").exists()


@pytest.mark.parametrize("statement", ["import weaklm", "import weaklm.cli"])
def test_import_is_light(statement: str) -> None:
    heavy = "('torch', 'lightgbm', 'sklearn', 'pandas', 'snorkel', 'matplotlib', 'transformers')"
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_load_without_torch() -> None:
    code = "import sys; from weaklm import labeling_function, slicing_function; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
