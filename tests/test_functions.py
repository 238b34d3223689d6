"""Functions: decorators, preprocessors, pickles, collect and load."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from weaklm.data import Example
from weaklm.errors import FunctionError
from weaklm.functions import (
    LabelingFunction,
    Preprocessor,
    SlicingFunction,
    collect,
    labeling_function,
    load,
    preprocessor,
    slicing_function,
)

SORRY = Example(id="1", instruction="Why?", response="Sorry, I cannot.")
FINE = Example(id="2", instruction="Why?", response="It rained.")


@preprocessor(memoize=True)
def words(x: Any) -> Any:
    """Add the words of the response."""
    x.words = x.response.lower().strip(".").split()
    return x


@labeling_function(resources={"opening": "sorry,"}, pre=[words])
def says_sorry(x: Any, opening: str) -> int:
    """REJECT when the response begins with an apology."""
    return 0 if x.words[0] == opening else -1


@slicing_function
def asks_why(x: Any) -> bool:
    return bool(x.instruction.startswith("Why"))


def test_decorators_work_with_and_without_parentheses() -> None:
    def f(x: Any) -> int:
        return 1

    for function in (labeling_function(f), labeling_function()(f), labeling_function(name="f")(f)):
        assert isinstance(function, LabelingFunction)
        assert (function.name, function(FINE)) == ("f", 1)
    assert all(isinstance(p, Preprocessor) for p in (preprocessor(f), preprocessor()(f)))

    def g(x: Any) -> bool:
        return True

    assert all(isinstance(s, SlicingFunction) for s in (slicing_function(g), slicing_function()(g)))


def test_name_resources_and_preprocessors_are_kept() -> None:
    renamed = labeling_function(name="apology", resources={"opening": "it"}, pre=[words])(says_sorry._f)
    assert (renamed.name, renamed(SORRY), renamed(FINE)) == ("apology", -1, 0)
    assert (says_sorry(SORRY), says_sorry(FINE)) == (0, -1)


def test_functions_look_like_what_they_wrap() -> None:
    assert says_sorry.__doc__ == "REJECT when the response begins with an apology."
    assert inspect.signature(says_sorry) == inspect.signature(says_sorry._f)
    assert "opening" in inspect.getsource(says_sorry)


def test_a_preprocessor_leaves_the_example_alone() -> None:
    tagged = Example(response="Sorry.", tags=["a"])

    @preprocessor
    def tags(x: Any) -> Any:
        x.tags.append("b")
        x.n = len(x.tags)
        return x

    assert tags(tagged).n == 2
    assert tagged == Example(response="Sorry.", tags=["a"])


def local_functions() -> list[Any]:
    opening = "sorry,"

    @preprocessor(memoize=True)
    def lowered(x: Any) -> Any:
        x.lowered = x.response.lower()
        return x

    @labeling_function(pre=[lowered])
    def in_closure(x: Any) -> int:
        return 0 if x.lowered.startswith(opening) else -1

    @slicing_function
    def member(x: Any) -> bool:
        return bool(x.response.lower().startswith(opening))

    return [in_closure, member, LabelingFunction("lambda", lambda x: 0 if "Sorry" in x.response else -1)]


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_functions_of_a_module_pickle_by_name(dumps: Any) -> None:
    for function in (says_sorry, asks_why, words):
        assert pickle.loads(dumps(function)) is function


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_closures_and_lambdas_pickle_by_value(dumps: Any) -> None:
    for function in local_functions():
        again = pickle.loads(dumps(function))
        assert type(again) is type(function)
        assert (again.name, again(SORRY), again(FINE)) == (function.name, function(SORRY), function(FINE))
        assert inspect.signature(again) == inspect.signature(function)


def test_a_remembered_example_is_not_pickled() -> None:
    (in_closure, _, _) = local_functions()
    empty = len(pickle.dumps(in_closure))
    in_closure(Example(response="long " * 10_000))
    assert len(pickle.dumps(in_closure)) == empty


RULES = """
import re
from weaklm import ABSTAIN, REJECT, labeling_function, preprocessor, slicing_function

APOLOGY = re.compile("sorry")

@preprocessor
def lowered(x):
    x.lowered = x.response.lower()
    return x

@labeling_function(pre=[lowered])
def apologises(x):
    return REJECT if APOLOGY.search(x.lowered) else ABSTAIN

@slicing_function()
def short(x):
    return len(x.response) < 12
"""

FRESH = """
import pickle, sys
from weaklm.data import Example
functions = pickle.loads(sys.stdin.buffer.read())
print([f(x) for f in functions for x in (Example(response="Sorry, I cannot."), Example(response="It rained."))])
"""


def in_a_fresh_process(program: str, given: bytes = b"") -> str:
    return subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, check=True).stdout.decode()


def test_functions_of_a_file_pickle_into_a_fresh_process(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    functions = [*load(path), *local_functions()]
    assert in_a_fresh_process(FRESH, cloudpickle.dumps(functions)).strip() == (
        "[0, -1, False, True, 0, -1, True, False, 0, -1]"
    )


def test_functions_of_the_main_program_pickle_into_another_process() -> None:
    # As in a notebook: defined in __main__, sent to a process whose __main__ is another.
    program = f"import pickle, sys\n{RULES}\nsys.stdout.write(pickle.dumps([apologises, short]).hex())"
    sent = bytes.fromhex(in_a_fresh_process(program))
    apologises, short = pickle.loads(sent)
    assert [f(x) for f in (apologises, short) for x in (SORRY, FINE)] == [0, -1, False, True]


def test_collect_gives_functions_in_order_each_once() -> None:
    module = sys.modules[__name__]
    assert collect(module, [says_sorry, (asks_why,)]) == [says_sorry, asks_why]
    assert collect(asks_why, module) == [asks_why, says_sorry]


def test_collect_takes_what_a_module_defines_not_what_it_imports() -> None:
    importer = ModuleType("importer")
    importer.says_sorry = says_sorry  # type: ignore[attr-defined]
    assert collect(importer) == []


def test_collect_refuses_two_functions_of_one_name_and_takes_the_same_one_twice(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    assert [f.name for f in collect(load(path), load(path))] == ["apologises", "short"]
    other = LabelingFunction("apologises", lambda _: 1)
    with pytest.raises(
        FunctionError, match=r"two different functions are named 'apologises': one in .*rules, one in t"
    ):
        collect(load(path), other)


def test_collect_refuses_what_is_no_function() -> None:
    with pytest.raises(FunctionError, match=r"<function .*> is neither a module nor .*; decorate it with @labeling_f"):
        collect(in_a_fresh_process)


def test_load_reads_the_files_of_a_folder_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text(RULES)
    (tmp_path / "a.py").write_text(RULES.replace("apologises", "sorry").replace("short", "brief"))
    (tmp_path / "_helpers.py").write_text("raise RuntimeError")
    assert [f.name for f in load(tmp_path)] == ["sorry", "brief", "apologises", "short"]


def test_equal_file_names_do_not_collide(tmp_path: Path) -> None:
    for folder, vote in (("one", "0"), ("two", "1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rules.py").write_text(RULES.replace("REJECT if", f"{vote} if"))
    (one, _), (two, _) = load(tmp_path / "one"), load(tmp_path / "two")
    assert (one(SORRY), two(SORRY)) == (0, 1)


def test_load_and_collect_read_a_package_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_rules"
    package.mkdir()
    (package / "refusal.py").write_text(RULES)
    monkeypatch.syspath_prepend(tmp_path)
    assert [f.name for f in load("my_rules")] == ["apologises", "short"]
    assert collect(sys.modules["my_rules"]) == load("my_rules.refusal")
    (package / "torn.py").write_text("def f(:\n")
    with pytest.raises(FunctionError, match=r"module 'my_rules\.torn' does not load: SyntaxError: "):
        load("my_rules")
    with pytest.raises(FunctionError, match=r"there is no module 'my_rules\.refusals' .*'my_rules\.refusal'"):
        load("my_rules.refusals")


def test_load_explains_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.py").write_text("raise OSError('no network')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FunctionError, match=r"rules\.py does not load: OSError: no network"):
        load("rules.py")
    with pytest.raises(FunctionError, match=r"no file or folder 'rule\.py' .*; did you mean 'rules\.py'\?"):
        load("rule.py")
    with pytest.raises(FunctionError, match="there is no module 'ruless' to load functions from; did you mean 'rules'"):
        load("ruless")
