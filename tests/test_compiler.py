"""Compiled functions: a column says what the function says of each row, or leaves the row to the function."""

import functools
import importlib.util
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snorkel.labeling import labeling_function as snorkel_labeling_function

from tests import random_functions, row_functions
from weaklm.compiler import compile_function
from weaklm.data import ABSTAIN, REJECT, Example
from weaklm.functions import LabelingFunction, SlicingFunction, collect, labeling_function, slicing_function

FUNCTIONS = collect(row_functions)
TEXTS = ("id", "instruction_id", "instruction", "context", "prompt_prefix", "response", "source", "split")
SCHEMA: dict[str, Any] = dict.fromkeys(TEXTS, pl.String()) | {
    "score": pl.Float64(),
    "n": pl.Int64(),
    "m": pl.Int64(),
    "flag": pl.Boolean(),
}

ORDINARY = ["", " ", "a", "Sorry", "I am sorry.", "sorry\n", "as an AI", "x. y", "one\ntwo\n\nthree", "- a\n* b", "yes"]
ORDINARY += [
    "No",
    "N/A",
    "yes  no",
    "the a of the a of",
    "good great",
    "Good, nice!",
    "https://x.y/z fee",
    "FEE",
    "fee_",
]
ORDINARY += ["ABC DEF and GHI", "Contact Us today or visit a branch", "12.5 and 7", "123", "$5 [x] (y) \\d", "well..."]
ORDINARY += ["word " * 30, "A" * 50, "!?!", "user: hi", "  user: hi\nx", "KI yes", "cannot apolog", "ALL CAPS HERE now"]
ORDINARY += ["How is it?"]
# Characters on which Python and polars differ or could: case, spaces, line ends, digits, accents that stand alone.
STRANGE = ["I\u2019m sorry \u2014 no", "\u017forry", "\u212a", "\u212aIND", "\u0130", "i\u0307", "I\u0130", "a\u0130"]
STRANGE += [
    "\u0391\u03a3",
    "\u0391\u03a3 \u0392",
    "\u03c2",
    "stra\xdfe",
    "STRA\u1e9eE",
    "\ufb01ne",
    "x\x1cy",
    "x\x1fy z",
]
STRANGE += ["a\xa0b", "a\u2003b c", "\u2028line\u2028two", "one\r\ntwo\r\n", "\v", "a\x85b", "\u0661\u0662", "\xb2"]
STRANGE += ["\xbd cup", "\u2167", "e\u0301", "\u0928\u092e\u0938\u094d", "\u65e5\u672c", "\U0001f600 ok", "\u01c5"]
STRANGE += [
    "\u0149",
    "\u0345",
    "\x00",
    "a\x00b",
    "\u0131",
    "\xb5",
    "\uab70",
    "\u13a0",
    "\U0001e900",
    "\u10d0",
    "\u1c90",
]
STRANGE += ["a\u200bb", "\ufeff", "tab\tsep", "na\xefve caf\xe9", "\u24d0", "\xaa", "\u1d2c"]


def rows(n: int, seed: int, texts: Sequence[str] = (*ORDINARY, *STRANGE)) -> list[dict[str, Any]]:
    """Return examples made of the texts, singly and together, and of numbers that may be missing."""
    choose = random.Random(seed)

    def text() -> str:
        n_parts = choose.choice([1, 1, 1, 2, 3])
        return choose.choice([" ", "", "\n", ". "]).join(choose.choices(texts, k=n_parts))

    return [
        dict.fromkeys(TEXTS, "")
        | {"id": str(i), "response": texts[i] if i < len(texts) else text(), "context": text()}
        | {"instruction": texts[-1 - i] if i < len(texts) else text()}
        | {"source": choose.choice(["bank", "shop", "", "other"]), "flag": choose.choice([True, False, None])}
        | {"score": choose.choice([0.1, 0.5, -0.0, 1e308, float("inf"), float("nan"), None])}
        | {"n": choose.choice([0, 1, -1, 2, 7, 2**62, None]), "m": choose.choice([0, 1, 2, -3, None])}
        for i in range(n)
    ]


def by_rows(function: Any, examples: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what the function says of each example; "fails" where it raises or returns no vote."""
    said = []
    for columns in examples:
        try:
            value = function(Example(**columns))
        except Exception:
            value = "fails"
        if isinstance(function, SlicingFunction):
            said.append(value if value == "fails" else value is True)
        else:
            is_vote = isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= 1
            said.append(int(value) if is_vote else "fails")
    return said


def by_columns(function: Any, examples: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what the compiled function says of each example; None where it leaves it to the function."""
    compiled = compile_function(function, SCHEMA)
    assert compiled.expression is not None, compiled.reason
    assert compiled.reason == ""
    data = pl.DataFrame(examples, schema=SCHEMA)
    return data.select("id", votes=compiled.expression)["votes"].to_list()


def assert_agree(function: Any, examples: Sequence[dict[str, Any]]) -> list[Any]:
    """Check each vote of the compiled function; return them."""
    said = by_columns(function, examples)
    for columns, column, row in zip(examples, said, by_rows(function, examples), strict=True):
        assert column is None or (type(column) is type(row) and column == row), (column, row, columns)
    return said


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Import source text as a module of its own file, so that its functions have a source."""

    def load(source: str) -> ModuleType:
        path = tmp_path / "written_functions.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


# The votes are those of the rows


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_compiled_function_votes_like_its_rows(function: Any) -> None:
    said = assert_agree(function, rows(500, seed=0))
    assert len({vote for vote in said if vote is not None}) > 1 or function.name in ("raises", "returns_a_match")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_of_ordinary_texts_and_numbers_only_failing_rows_are_left(function: Any) -> None:
    examples = [row | {"score": 0.5, "n": 4, "m": i % 3, "flag": True} for i, row in enumerate(rows(300, 1, ORDINARY))]
    said = assert_agree(function, examples)
    assert [vote is None for vote in said] == [vote == "fails" for vote in by_rows(function, examples)]


@given(
    function=st.sampled_from(FUNCTIONS),
    texts=st.lists(
        st.text(
            st.sampled_from("aAiIkKsSoOrRyY \n.!?1\xa0\xe9\xdf\u0130\u017f\u03a3\u2019\x1c\t-")
            | st.characters(exclude_categories=["Cs"]),
            max_size=15,
        ),
        min_size=6,
        max_size=30,
    ),
)
@settings(max_examples=150, deadline=None)
def test_of_any_text_a_compiled_function_votes_like_its_rows(function: Any, texts: list[str]) -> None:
    assert_agree(function, rows(40, 2, texts))


@pytest.mark.parametrize("seed", range(4))
def test_random_functions_vote_like_their_rows(seed: int, written: Callable[[str], ModuleType]) -> None:
    assert_random_functions_agree(written, range(60 * seed, 60 * (seed + 1)))


@pytest.mark.slow
def test_many_random_functions_vote_like_their_rows(written: Callable[[str], ModuleType]) -> None:
    assert_random_functions_agree(written, range(10_000, 11_000))


def assert_random_functions_agree(written: Callable[[str], ModuleType], seeds: range) -> None:
    sources = [random_functions.Writer(seed).function(f"f{seed}") for seed in seeds]
    module = written("\n\n\n".join([random_functions.HEAD, *sources]))
    examples = rows(200, seeds[0])
    functions = [LabelingFunction(f"f{seed}", getattr(module, f"f{seed}")) for seed in seeds]
    reasons = {function: compile_function(function, SCHEMA).reason for function in functions}
    assert not any(reason.startswith("the compiler failed") for reason in reasons.values())
    compiled = [function for function, reason in reasons.items() if not reason]
    assert len(compiled) > 0.7 * len(functions)
    for function in compiled:
        assert_agree(function, examples)


@pytest.mark.slow
def test_methods_of_texts_agree_on_every_character() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for form in ("{}", "{}a", "A{} \u03a3"):
        examples = [dict.fromkeys(TEXTS, "") | {"response": form.format(character)} for character in characters]
        for function in (cases, kinds_of_letters, spaces):
            assert_agree(function, examples)


@labeling_function
def cases(x: Example) -> int:
    small = x.response.lower()
    points = ("k" in small) + ("i" in small) + small.endswith("i") + small.startswith(("i", "k")) + (small == "s")
    return REJECT if points == 1 else ABSTAIN


@labeling_function
def kinds_of_letters(x: Example) -> int:
    if x.response.isupper() or x.response.upper().isupper():
        return 1
    return REJECT if x.response.islower() or x.response.isalnum() or x.response.isdigit() else ABSTAIN


@labeling_function
def spaces(x: Example) -> int:
    words, lines = x.response.split(), x.response.splitlines()
    points = len(words) + 2 * len(lines) + (x.response == x.response.strip()) + ("a" in words)
    return REJECT if points > 4 else ABSTAIN


def test_snorkels_functions_compile() -> None:
    @snorkel_labeling_function(name="theirs", resources={"word": "sorry"})
    def theirs(x: Any, word: str) -> int:
        return REJECT if word in x.response else ABSTAIN

    assert assert_agree(theirs, rows(30, 3)).count(REJECT) > 0


# What is left to the rows


def votes_of(function: Any, **columns: list[Any]) -> list[Any]:
    n = len(next(iter(columns.values())))
    examples = [
        dict.fromkeys(SCHEMA) | dict.fromkeys(TEXTS, "") | {k: v[i] for k, v in columns.items()} for i in range(n)
    ]
    return assert_agree(function, examples)


def test_a_division_by_zero_is_left() -> None:
    @labeling_function
    def f(x: Example) -> int:
        return REJECT if x.n / x.m > 1 else ABSTAIN

    assert votes_of(f, n=[4, 4, 1, 0], m=[2, 0, 2, 0]) == [REJECT, None, ABSTAIN, None]


def test_a_failure_counts_only_where_python_gets_to_it() -> None:
    @labeling_function
    def f(x: Example) -> int:
        if x.response == "skip":
            return ABSTAIN
        return REJECT if x.m != 0 and x.n / x.m > 1 else ABSTAIN

    @labeling_function
    def g(x: Example) -> int:
        return REJECT if x.n / x.m > 1 or x.response == "no" else ABSTAIN

    columns: dict[str, list[Any]] = {"response": ["skip", "", "no"], "n": [1, 1, 1], "m": [None, 0, 0]}
    assert votes_of(f, **columns) == [ABSTAIN, ABSTAIN, ABSTAIN]
    assert votes_of(g, **columns) == [None, None, None]


def test_a_failure_counts_where_its_value_is_never_used() -> None:
    @labeling_function
    def f(x: Example) -> int:
        if x.response.startswith("b"):
            first = x.context[0]  # noqa: F841
        return REJECT

    assert votes_of(f, response=["a", "b", "b"], context=["", "", "c"]) == [REJECT, None, REJECT]


def test_missing_numbers_are_left() -> None:
    @labeling_function
    def f(x: Example) -> int:
        return REJECT if x.score > 0.5 else ABSTAIN

    @labeling_function
    def g(x: Example) -> int:
        return REJECT if x.n > 2 else ABSTAIN

    assert votes_of(f, score=[1.0, None, float("nan"), 0.0]) == [REJECT, None, None, ABSTAIN]
    assert votes_of(g, n=[3, None, 2**60, 0]) == [REJECT, None, None, ABSTAIN]  # beyond what a float holds


def test_what_is_no_vote_is_left() -> None:
    @labeling_function
    def f(x: Example) -> Any:
        if x.response == "none":
            return None
        if x.response == "true":
            return True
        if x.response == "two":
            return 2
        if x.response == "text":
            return "0"
        if x.response == "nothing":
            return x.context
        return REJECT

    texts = ["none", "true", "two", "text", "nothing", ""]
    assert votes_of(f, response=texts) == [None, None, None, None, None, REJECT]


def test_a_slice_has_those_rows_only_of_which_the_function_says_true() -> None:
    @slicing_function
    def f(x: Example) -> Any:
        if x.response == "true":
            return True
        if x.response == "one":
            return 1
        if x.response == "text":
            return x.response
        if x.response == "bool":
            return x.n / x.m > 1
        return None

    texts = ["true", "one", "text", "bool", "bool", ""]
    assert votes_of(f, response=texts, n=[4] * 6, m=[2, 2, 2, 2, 0, 2]) == [True, False, False, True, None, False]


def test_texts_on_which_case_differs_are_left_only_if_case_matters() -> None:
    texts = ["na\xefve", "\xbd", "e\u0301"]

    @labeling_function
    def f(x: Example) -> int:
        return REJECT if x.response.upper() == "A" else ABSTAIN

    @labeling_function
    def g(x: Example) -> int:
        return REJECT if "sorry" in x.response.lower() or x.response.startswith("a") else ABSTAIN

    assert votes_of(f, response=texts) == [ABSTAIN, None, None]
    assert votes_of(g, response=texts) == [ABSTAIN, ABSTAIN, ABSTAIN]


def test_a_text_that_was_put_together_is_checked_itself() -> None:
    @labeling_function
    def f(x: Example) -> int:
        return REJECT if (x.response + "\xbd").upper() == "A" else ABSTAIN

    assert votes_of(f, response=["a"]) == [None]


# Names and constants

LIMIT = 5
len_of = len


def test_names_mean_what_python_takes_them_for() -> None:
    limit = 2

    @labeling_function(resources={"words": ("a",)})
    def f(x: Example, words: tuple[str, ...], least: int = 3) -> int:
        LIMIT = least  # hides the one of the module
        any_word = any(w in x.response for w in words)
        return REJECT if len_of(x.response) > LIMIT - limit and any_word else ABSTAIN

    assert votes_of(f, response=["a", "ab", "bb"]) == [ABSTAIN, REJECT, ABSTAIN]


def test_a_loop_hides_no_name_after_a_comprehension() -> None:
    @labeling_function
    def f(x: Example) -> int:
        w = "b"
        found = any(w in x.response for w in ("a", "c"))
        return REJECT if found and w in x.response else ABSTAIN

    assert votes_of(f, response=["ab", "a", "b"]) == [REJECT, ABSTAIN, ABSTAIN]


def test_constants_are_read_when_the_function_is_compiled() -> None:
    words = ["a"]

    @labeling_function
    def f(x: Example) -> int:
        return REJECT if any(w in x.response for w in words) else ABSTAIN

    assert votes_of(f, response=["a", "b"]) == [REJECT, ABSTAIN]
    words.append("b")
    assert votes_of(f, response=["a", "b"]) == [REJECT, REJECT]


def test_columns_by_index_and_by_getattr() -> None:
    @labeling_function
    def f(x: Example) -> int:
        return REJECT if x["response"] == getattr(x, "context", "") and hasattr(x, "source") else ABSTAIN

    assert votes_of(f, response=["a", "b"], context=["a", "c"]) == [REJECT, ABSTAIN]


def test_several_searches_of_one_text_become_one() -> None:
    @labeling_function
    def f(x: Example) -> int:
        if "sorry" in x.response.lower() or "apolog" in x.response.lower():
            return REJECT
        for word in ("cannot", "unable"):
            if word in x.response.lower():
                return REJECT
        return ABSTAIN

    expression = compile_function(f, SCHEMA).expression
    assert expression is not None
    assert str(expression).count("contains") == 1
    assert votes_of(f, response=["SORRY", "Apologies", "I CanNot", "unable", "yes"]) == [0, 0, 0, 0, -1]


def test_counting_in_a_loop_stays_small() -> None:
    @labeling_function
    def f(x: Example) -> int:
        n = 0
        for letter in "abcdefghijklmnopqrstuvwxyz":
            if letter in x.response:
                n += 1
        return REJECT if n > 2 else ABSTAIN

    assert votes_of(f, response=["abc", "aaa", "xyz!"]) == [REJECT, ABSTAIN, REJECT]


# What does not compile

REASONS = {
    "for word in x.response.split():\n        pass": "line 7: a for loop over what differs from row to row",
    "while x.response:\n        pass": "line 7: a while loop",
    "try:\n        pass\n    except ValueError:\n        pass": "line 7: try",
    "global LOG\n    LOG = x.id": "line 7: a global variable that the function sets",
    "LOG.append(x.id)": "line 7: a statement for its effect",
    "if LOG.append(x.id):\n        pass": "line 7: a call of LOG.append",
    "return random.random() > 0.5": "line 7: a call of random.random",
    "return outer(x)": "line 7: in inner: a while loop",
    "return ping(x)": "line 7: in pong: a call of ping, 8 functions deep",
    "return x.respones": "line 7: column 'respones', which no row has or polars cannot hold",
    "return x.human_label": "line 7: 'human_label', which functions never see",
    "x.seen = True": "line 7: an example that is written to",
    "return 0 if x else -1": "line 7: the truth of an example",
    "return re.search(r'(?<=a)b', x.response)": "line 7: the pattern '(?<=a)b': it looks ahead or behind",
    "return x.response.title()": "line 7: .title() of a str of the row",
    "return x.response.split(maxsplit=1)": "line 7: these arguments of .split()",
    "return x.response.count(part='a')": "line 7: these arguments of .count()",
    "return PATTERN.search(x.response, 5)": "line 7: these arguments of .search()",
    "words = (w for w in x.response.split())": "line 7: a generator that is kept",
    "return 0, 0.9": "line 7: a vote with its confidence",
    "return lambda: 0": "line 7: a lambda",
    "return x.response + 1": "line 7: a str of the row in the place of a number",
    "return x.n * x.m * 1000": "line 7: whole numbers that may be too large for 64 bits",
    "return 1 if x.response else 'a'": "line 7: a value that is int on some rows and str on others",
    "return {}['a']": "line 7: it raises KeyError: 'a'",
    "import no_such_module": "line 7: an import",
    "pass": "it returns no vote",
    "yield 0": "it is a generator",
}
REASONS_HEAD = """import random, re
LOG = []; PATTERN = re.compile("a")
def outer(x): return inner(x.response)
def inner(text):
    while text: pass
def ping(x): return pong(x)
def pong(x): return ping(x)
"""


@pytest.mark.parametrize("body", REASONS)
def test_the_reason_names_the_line(body: str, written: Callable[[str], ModuleType]) -> None:
    module = written(REASONS_HEAD.replace("def ping", "def f(x):\n    BODY\ndef ping").replace("BODY", body))
    compiled = compile_function(LabelingFunction("f", module.f), SCHEMA)
    assert compiled.expression is None
    assert compiled.reason == REASONS[body]


@pytest.mark.parametrize("f", [lambda _: 0, len, functools.partial(max, default=0)])
def test_what_has_no_def_runs_by_rows(f: Any) -> None:
    reason = compile_function(LabelingFunction("f", f), SCHEMA).reason
    assert reason == "it has no source as a function by def"


def test_a_source_that_was_edited_since_is_not_compiled(written: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = written("def f(x):\n    return 0 if 'a' in x.response else -1\n")
    (tmp_path / "written_functions.py").write_text("def f(x):\n    return 0 if 'b' in x.response else -1\n")
    assert compile_function(LabelingFunction("f", module.f), SCHEMA).reason == "its source is no longer what runs"


def test_a_resource_that_is_missing_is_a_reason() -> None:
    def f(x: Example, word: str) -> int:
        return REJECT if word in x.response else ABSTAIN

    reason = compile_function(LabelingFunction("f", f), SCHEMA).reason
    assert reason == "it raises TypeError: missing a required argument: 'word'"


def test_nothing_is_called_while_a_function_is_compiled() -> None:
    called = []

    def note(text: str) -> bool:
        called.append(text)
        return True

    @labeling_function
    def f(x: Example) -> int:
        return REJECT if note("a") else ABSTAIN

    assert compile_function(f, SCHEMA).reason.endswith("in note: a statement for its effect")
    assert called == []


def test_the_compiler_imports_no_learning_library() -> None:
    code = "import sys, weaklm.compiler; print([m for m in ('torch', 'lightgbm', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
