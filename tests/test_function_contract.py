"""What holds for every function in lfs/ and slices/: a new file is tested by being there."""

import ast
import copy
import doctest
import importlib
import inspect
import pickle
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import weaklm as wl
from weaklm import Example
from weaklm.code import reads

ROOT = Path(__file__).parents[1]
LABELING, SLICING = wl.load(ROOT / "lfs"), wl.load(ROOT / "slices")
EVERY = [pytest.param(function, id=function.name) for function in LABELING + SLICING]
PUBLIC = ROOT.parent / "shared" / "data"
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
HOSTILE = [(unit * 20_000)[:20_000] for unit in ("\n", "{{", " ", "1", "a ", "(", '"', "x", "1+", "- ", "user\n")]
TOPICS = [function for function in SLICING if function.name.startswith("about_")]


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


@pytest.mark.parametrize("column", sorted(SEEN))
def test_no_text_takes_the_square_of_its_length(column: str) -> None:
    plain = {"instruction": "How much is the fee?", "context": "It is $5.", "response": "It is $5."}
    took: dict[tuple[str, str], float] = {}
    for text in HOSTILE:
        x = Example(**(plain | {column: text}))
        for function in LABELING + SLICING:
            start = time.process_time()
            function(x)
            took[function.name, text[:6]] = time.process_time() - start
    assert {which: seconds for which, seconds in took.items() if seconds > 1} == {}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_keyword_of_a_topic_meets_itself(topic: Any) -> None:
    keywords = topic._resources["keywords"]
    assert keywords
    assert [word for word in keywords if not topic(Example(instruction=f"Why {word}?"))] == []


@pytest.mark.parametrize("text", ["Where can I buy a hat?", "Write a rap.", "A heroine.", "Cook cod.", "A dog wags."])
def test_no_topic_meets_a_word_that_only_shares_a_stem_with_a_keyword(text: str) -> None:
    assert [topic.name for topic in TOPICS if topic(Example(instruction=text))] == []


@pytest.mark.parametrize(
    ("response", "vote"),
    [
        ("1 + 1 = 3", 0),
        ("1 + 1 = 3, 4", 0),
        ("Total: 5 + 3 = 9", 0),
        ("2 x 500 = 1,000 + 200 = 1,200", -1),
        ("1234 + " * 20 + "1 = 24681", -1),  # right, and longer than the reach
        ("Q1 + 3 = 10", -1),
        ("page 2-3 = 7", -1),
        ("12:30 - 1 = 11", -1),
    ],
)
def test_only_sums_that_are_all_there_are_reckoned(response: str, vote: int) -> None:
    (function,) = (function for function in LABELING if function.name == "wrong_equation")
    assert function(Example(response=response)) == vote


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
    assert len(LABELING) >= 45
    assert len(SLICING) >= 25


def test_no_two_files_have_one_name() -> None:
    # pytest and others import them as modules of that name
    files = [file.stem for folder in ("lfs", "slices") for file in (ROOT / folder).glob("*.py")]
    assert len(files) == len(set(files))


def test_functions_vote_both_ways() -> None:
    accepting = [function.name for function in LABELING if "ACCEPT when" in (inspect.getdoc(function._f) or "")]
    assert len(accepting) >= 3
    assert len(accepting) < len(LABELING)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "function_table", raising=False)
    return importlib.import_module("function_table")


@pytest.mark.parametrize("folder", ["lfs", "slices"])
def test_readme_has_every_function_with_what_its_docstring_says(folder: str, table: ModuleType) -> None:
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    told = [line.partition("|")[2].partition(" | ")[0].strip() for line in text.splitlines() if line.startswith("| `")]
    functions = LABELING if folder == "lfs" else SLICING
    assert told == [f"`{function.name}`<br>{table.described(function)}" for function in functions]


def test_the_docstring_stands_in_the_readme_with_its_thresholds(table: ModuleType) -> None:
    told = {function.name: table.described(function) for function in LABELING + SLICING}
    assert told["too_short"] == (
        "REJECT when the response has fewer than 3 words and the question is not one for yes or no."
    )
    assert told["gives_card_number"] == (
        "REJECT when the response has a number of 13 to 19 digits that checks as a payment card's."
    )
    assert not [text for text in told.values() if "``" in text]


@pytest.mark.slow
def test_the_numbers_of_the_readmes_are_those_that_the_command_gives(table: ModuleType) -> None:
    if not PUBLIC.is_dir():
        pytest.skip(f"the public data sets are not at {PUBLIC}")
    data = {name: table.train_part(name, PUBLIC) for name in table.SETS}
    for folder in ("lfs", "slices"):
        text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        assert table.with_table(text, table.table(folder, data)) == text


@pytest.mark.parametrize("folder", ["lfs", "slices"])
def test_files_import_only_public_names_the_standard_library_and_numpy(folder: str) -> None:
    allowed = {"weaklm", "numpy"} | set(sys.stdlib_module_names)
    for file in (ROOT / folder).glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {
            (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert imported <= allowed, file.name
    assert not (ROOT / folder / "__init__.py").exists()
