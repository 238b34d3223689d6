"""The code hash changes when votes could change and only then; reads and needs name columns."""

import functools
import linecache
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snorkel.preprocess import Preprocessor as SnorkelPreprocessor

from weaklm.code import code_hash, known_reads, needs, reads
from weaklm.functions import LabelingFunction, labeling_function, load, preprocessor, slicing_function

CELL = '''
@labeling_function(resources={"k": 3})
def f(x, k):
    """Votes."""
    # a comment
    if "sorry" in x.response and len(x.response) > k:
        return 0
    return -1
'''

_numbers = count()


def define(source: str, name: str = "f", **names: Any) -> Any:
    """Run source as a notebook cell would and return what it defines."""
    cell = f"<cell {next(_numbers)}>"
    linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
    known = {"labeling_function": labeling_function, "preprocessor": preprocessor, "re": re, "functools": functools}
    scope = {"__name__": "__main__"} | known | names
    exec(compile(source, cell, "exec"), scope)
    return scope[name]


SAME = {
    "comment": ("# a comment", "# another comment"),
    "no comment": ("    # a comment\n", ""),
    "blank lines": ("    # a comment", "\n\n"),
    "docstring": ("Votes.", "Votes REJECT.\n\n    More."),
    "no docstring": ('    """Votes."""\n', ""),
    "decorator name": ("resources", 'name="other", resources'),
    "quotes": ('"sorry"', "'sorry'"),
    "lines": (
        '"sorry" in x.response and len(x.response) > k',
        '(\n        "sorry" in x.response\n        and len(x.response) > k\n    )',
    ),
}
OTHER = {
    "operator": ("> k", ">= k"),
    "constant": ('"sorry"', '"Sorry"'),
    "column": ("in x.response", "in x.context"),
    "vote": ("return 0", "return 1"),
    "resource": ('"k": 3', '"k": 4'),
}


@pytest.mark.parametrize("change", SAME)
def test_comments_docstrings_and_layout_do_not_count(change: str) -> None:
    assert code_hash(define(CELL.replace(*SAME[change]))) == code_hash(define(CELL))


def test_the_name_of_the_function_does_not_count() -> None:
    assert code_hash(define(CELL.replace("def f", "def g"), "g")) == code_hash(define(CELL))


@pytest.mark.parametrize("change", OTHER)
def test_what_can_change_a_vote_counts(change: str) -> None:
    assert code_hash(define(CELL.replace(*OTHER[change]))) != code_hash(define(CELL))


USES = {
    "helper": "def helper(x):\n    return VALUE\n{}\ndef f(x):\n    return int(helper(x))",
    "cached helper": "@functools.cache\ndef helper(x):\n    return VALUE\n{}\ndef f(x):\n    return int(helper(x))",
    "global": "PATTERN = re.compile(str(VALUE))\n{}\ndef f(x):\n    return int(PATTERN.search(x.response) is None)",
    "default": "{}\ndef f(x, k=VALUE):\n    return 0 if len(x.response) > k else -1",
    "method": "class Rule:\n    def fires(self):\n        return VALUE\n{}\ndef f(x):\n    return Rule().fires()",
    "class attribute": "class Rule:\n    k = VALUE\n{}\ndef f(x):\n    return Rule.k",
    "base class": "class A:\n    k = VALUE\nclass Rule(A):\n    pass\n{}\ndef f(x):\n    return Rule.k",
    "preprocessor": "@preprocessor\ndef p(x):\n    x.n = VALUE\n    return x\n{}(pre=[p])\ndef f(x):\n    return x.n",
}


@pytest.mark.parametrize("place", USES)
def test_what_a_function_refers_to_counts(place: str) -> None:
    one, again, two = (
        code_hash(define(USES[place].format("@labeling_function").replace("VALUE", value))) for value in "112"
    )
    assert one == again
    assert one != two


class Threshold:
    """A model as users write one: called, with state."""

    def __init__(self, k: int) -> None:
        self.k = k

    def __call__(self, x: Any) -> bool:
        return len(x.response) < self.k

    def below(self, x: Any) -> bool:
        return self(x)


RESOURCES: dict[str, Callable[[int], Any]] = {
    "list": lambda k: [k],
    "mapping": lambda k: {"a": {"b": k}},
    "set": lambda k: {"a", "b", str(k)},
    "object": Threshold,
    "method": lambda k: Threshold(k).below,
    "partial": lambda k: functools.partial(max, k),
    "array": np.arange,
    "lambda": lambda k: lambda x: x + k,
}


@pytest.mark.parametrize("kind", RESOURCES)
def test_resources_count_by_content(kind: str) -> None:
    one, again, two = (
        code_hash(LabelingFunction("f", lambda _, r: int(bool(r)), {"r": RESOURCES[kind](k)})) for k in (1, 1, 2)
    )
    assert one == again
    assert one != two


def test_a_resource_that_cannot_be_pickled_is_no_obstacle() -> None:
    assert len(code_hash(LabelingFunction("f", lambda _, lock: int(lock.locked()), {"lock": threading.Lock()}))) == 16


def test_two_lambdas_on_one_line_differ() -> None:
    one, two = LabelingFunction("one", lambda _: 0), LabelingFunction("two", lambda _: 1)
    assert code_hash(one) != code_hash(two)


def test_closure_values_count() -> None:
    def shorter_than(k: int) -> LabelingFunction:
        return labeling_function(lambda x: 0 if len(x.response) < k else -1)

    assert code_hash(shorter_than(1)) == code_hash(shorter_than(1))
    assert code_hash(shorter_than(1)) != code_hash(shorter_than(2))


def test_the_memory_of_a_library_does_not_count() -> None:
    source = "@labeling_function\ndef f(x):\n    return 0 if search('a', x.response) else -1"
    before = code_hash(define(source, search=re.search))
    re.compile("a pattern that nobody used before")
    assert code_hash(define(source, search=re.search)) == before


def test_a_file_edited_after_it_was_loaded_does_not_lend_its_hash_to_the_old_code(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    text = "from weaklm import labeling_function\n\n\n@labeling_function\ndef f(x):\n    return 0\n"
    path.write_text(text)
    (old,) = load(path)
    path.write_text(text.replace("return 0", "return 1 "))
    (new,) = load(path)
    assert code_hash(old) != code_hash(new)


def test_hashes_are_equal_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(
        "from weaklm import LabelingFunction, labeling_function\n\nWORDS = {'sorry', 'cannot', 'unable'}\n\n\n"
        "@labeling_function(resources={'words': WORDS})\ndef f(x, words):\n    return 0 if words & WORDS else -1\n\n\n"
        "g = LabelingFunction('g', lambda x: 0 if x.response in {'a', 'bb', 'ccc'} else -1)\n"
    )
    program = f"from weaklm.functions import code_hash, load; print(*map(code_hash, load({str(path)!r})))"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}  # another order of sets
        command = [sys.executable, "-c", program]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        assert printed.split() == [code_hash(function) for function in load(path)]


def helper(row: Any) -> bool:
    return bool(row.tier == "gold" and other(row))


def other(row: Any) -> bool:
    return bool(row["device"]) or helper(row)


def test_reads_follows_attributes_items_getattr_and_helpers() -> None:
    @slicing_function
    def f(x: Any) -> bool:
        locale = getattr(x, "locale", "en")
        return helper(x) and locale == "en" and len(x.response.split()) > len(x["context"]) and hasattr(x, "rank")

    assert reads(f) == {"locale", "tier", "device", "response", "context", "rank"}
    assert needs(f) == {"tier", "device", "response", "context"}


def test_reads_counts_preprocessors_but_not_the_columns_that_they_add() -> None:
    @preprocessor
    def words(x: Any) -> Any:
        x.words = x.response.split()
        return x

    @labeling_function(pre=[words])
    def f(x: Any) -> int:
        return 0 if len(x.words) < len(x.context) else -1

    assert reads(f) == {"response", "context"}
    assert needs(f) == set()


def test_reads_knows_the_fields_of_snorkels_preprocessors() -> None:
    class Length(SnorkelPreprocessor):
        def __init__(self) -> None:
            super().__init__("length", {"text": "response"}, {"n": "n_characters"})

        def run(self, text: str) -> dict[str, int]:
            return {"n": len(text)}

    f = LabelingFunction("f", lambda x: 0 if x.n_characters < 5 else -1, pre=[Length()])
    assert "response" in reads(f)


def test_needs_is_silent_where_the_source_cannot_say() -> None:
    @labeling_function
    def handles(x: Any) -> int:
        try:
            return int(x.rating)
        except AttributeError:
            return -1

    @labeling_function
    def renames(x: Any) -> int:
        x = x.response
        return 0 if x.isupper() else -1

    assert (reads(handles), needs(handles)) == ({"rating"}, set())
    assert (reads(renames), needs(renames)) == ({"response", "isupper"}, set())
    assert needs(LabelingFunction("built in", len)) == set()


def test_a_comment_counts_for_nothing_where_a_method_of_an_imported_module_is_called(tmp_path: Path) -> None:
    """Python compiles such calls in a way of its own, which must be met to see that the source is what runs."""
    hashes = set()
    for comment in ("", "  # as a user would"):
        path = tmp_path / f"rules{len(comment)}.py"
        path.write_text(f"import re\n\ndef f(x):{comment}\n    return 0 if re.search('a', x.response) else -1\n")
        space: dict[str, Any] = {}
        exec(compile(path.read_text(), str(path), "exec"), space)
        hashes.add(code_hash(LabelingFunction("f", space["f"])))
    assert len(hashes) == 1


def test_a_helper_in_another_module_of_yours_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    rules = "import my_helpers\nfrom weaklm import labeling_function\n\n\n@labeling_function\n"
    (tmp_path / "rules.py").write_text(f"{rules}def f(x):\n    return 0 if my_helpers.is_bad(x.response) else -1\n")
    hashes = set()
    for word in ("sorry", "cannot"):
        (tmp_path / "my_helpers.py").write_text(f"def is_bad(text):\n    return '{word}' in text\n")
        sys.modules.pop("my_helpers", None)
        linecache.clearcache()
        hashes.add(code_hash(load(tmp_path / "rules.py")[0]))
    assert len(hashes) == 2


def test_which_of_two_functions_stands_where_counts() -> None:
    def strict(_: Any) -> bool:
        return True

    def lax(_: Any) -> bool:
        return False

    def voting(rules: dict[str, Any]) -> LabelingFunction:
        return LabelingFunction("f", lambda x: 0 if rules[x.source](x) else -1)

    assert code_hash(voting({"a": strict, "b": lax, "c": strict})) != code_hash(
        voting({"a": strict, "b": lax, "c": lax})
    )


def test_a_list_that_holds_itself_has_a_hash() -> None:
    rounds: list[Any] = []
    rounds.append(rounds)
    assert len(code_hash(LabelingFunction("f", lambda _: len(rounds)))) == 16


def test_what_a_preprocessor_may_write_is_known_to_be_read() -> None:
    @preprocessor
    def shouts(x: Any) -> Any:
        x.response += "!"
        return x

    assert known_reads(labeling_function(pre=[shouts])(lambda x: len(x.response))) is None  # a lambda has no source

    @labeling_function(pre=[shouts])
    def loud(x: Any) -> int:
        return 0 if x.response.endswith("!!") else -1

    assert known_reads(loud) == {"response"}
