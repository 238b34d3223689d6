"""What holds for every function in lfs/ and slices/: a new file is tested by being there."""

import ast
import copy
import doctest
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

import weaklm as wl
from weaklm import Example
from weaklm.code import reads

ROOT = Path(__file__).parents[1]
LABELING, SLICING = wl.load(ROOT / "lfs"), wl.load(ROOT / "slices")
EVERY = [pytest.param(function, id=function.name) for function in LABELING + SLICING]
SEEN = {"instruction", "context", "prompt_prefix", "response"}

ODD = (
    Example(),
    Example(response=" \n\t "),
    Example(instruction="?", context=".", response="!"),
    Example(instruction="Why?", response="\u0661\u0662 \u00bd \u4f60\u597d\u4e16\u754c caf\u00e9 \U0001f600 \ud800"),
    Example(instruction="How much?", context="It is $5.", prompt_prefix="user: Hi.", response="x" * 100_000),
    Example(instruction="How much?", context="a b " * 20_000, response="no. " * 20_000),
    Example(instruction="Is it 5?", context="", response="Yes, 5.\n1. One\n2) Two\n- Three | ``` <p> {} []"),
)


@pytest.mark.parametrize("function", EVERY)
def test_says_what_it_does_and_where_the_idea_is_from(function: Any) -> None:
    text = inspect.getdoc(function._f) or ""
    assert "Source: " in text
    first = text.splitlines()[0]
    votes, members = ("ACCEPT when", "REJECT when"), ("Instructions", "Short instructions", "Examples", "Contexts")
    assert first.startswith(votes if function in LABELING else members)


@pytest.mark.parametrize("function", EVERY)
def test_doctests_show_it_fire_and_abstain(function: Any) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(function._f) or "")
    shown: set[Any] = set()
    for example in examples:
        if example.want:
            value = ast.literal_eval(example.want)
            shown |= set(value) if isinstance(value, list) else {value}
    fires, abstains = ({0, 1}, -1) if function in LABELING else ({True}, False)
    assert shown & fires, "no doctest in which it fires"
    assert abstains in shown, "no doctest in which it abstains"


@pytest.mark.parametrize("function", EVERY)
def test_answers_legally_and_alike_on_odd_examples_and_leaves_them_alone(function: Any) -> None:
    for x in ODD:
        before = copy.deepcopy(x)
        answer = function(x)
        assert answer in (-1, 0, 1) if function in LABELING else answer in (True, False)
        assert isinstance(answer, int if function in LABELING else bool)
        assert function(x) == answer
        assert x == before


@pytest.mark.parametrize("function", EVERY)
def test_pickles(function: Any) -> None:
    again = pickle.loads(pickle.dumps(function))
    assert [again(x) for x in ODD[:4]] == [function(x) for x in ODD[:4]]


@pytest.mark.parametrize("function", EVERY)
def test_sees_texts_only(function: Any) -> None:
    assert reads(function) <= (SEEN if function in LABELING else SEEN - {"response"})


@pytest.mark.parametrize("function", EVERY)
def test_thresholds_are_resources(function: Any) -> None:
    names = list(inspect.signature(function._f).parameters)[1:]
    assert names == list(function._resources)
    tree = ast.parse(inspect.getsource(function._f))
    compared = [n for node in ast.walk(tree) if isinstance(node, ast.Compare) for n in (node.left, *node.comparators)]
    numbers = {n.value for n in compared if isinstance(n, ast.Constant) and isinstance(n.value, int | float)}
    assert numbers <= {0}, "a number that is compared with belongs into resources, where people can change it"


@pytest.mark.parametrize(("folder", "functions"), [("lfs", LABELING), ("slices", SLICING)])
def test_loading_by_name_finds_the_same(folder: str, functions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    assert [function.name for function in wl.load(folder)] == [function.name for function in functions]


def test_there_are_enough_of_them() -> None:
    assert len(LABELING) >= 12
    assert len(SLICING) >= 6


def test_functions_vote_both_ways() -> None:
    accepting = [function.name for function in LABELING if "ACCEPT when" in (inspect.getdoc(function._f) or "")]
    assert len(accepting) >= 3
    assert len(accepting) < len(LABELING)


@pytest.mark.parametrize("folder", ["lfs", "slices"])
def test_readme_lists_every_function(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    missing = [f.name for f in (LABELING if folder == "lfs" else SLICING) if f"`{f.name}`" not in text]
    assert not missing


@pytest.mark.parametrize("folder", ["lfs", "slices"])
def test_files_import_only_public_names_the_standard_library_and_numpy(folder: str) -> None:
    allowed = {"collections", "re", "weaklm", "numpy", "math", "string"}
    for file in (ROOT / folder).glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {
            (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert imported <= allowed, file.name
    assert not (ROOT / folder / "__init__.py").exists()
