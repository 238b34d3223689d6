"""One file with a function for each thing that can be wrong with one; checked once."""

import json
from pathlib import Path

import pandas as pd
import pytest

from weaklm import checks
from weaklm.checks import check
from weaklm.checkup import Checked, Checkup
from weaklm.errors import DataError, FunctionError

RULES = '''
import random, re, threading
from weaklm import ABSTAIN, ACCEPT, REJECT, labeling_function, slicing_function

@labeling_function(resources={"words": ("sorry", "afraid")})
def says_sorry(x, words):
    """REJECT when the response apologises.

    >>> from weaklm import Example
    >>> says_sorry(Example(response="Sorry."))
    0
    """
    return REJECT if any(word in x.response.lower() for word in words) else ABSTAIN

@labeling_function
def divides(x):
    """REJECT when one word is over half of the response."""
    return REJECT if 1 / len(x.response.split()) > 0.5 else ABSTAIN

@labeling_function
def misspells(x):
    return REJECT if "a" in x.respones else ABSTAIN

@labeling_function
def forgets(x):
    if "fee" in x.response:
        return ACCEPT

@labeling_function
def forgets_rarely(x):
    return None if x.id == "row 7" else ABSTAIN

@labeling_function
def throws_dice(x):
    return random.randint(0, 1)

@labeling_function(cache=False)
def may_throw_dice(x):
    return random.randint(0, 1)

@labeling_function
def writes(x):
    x.response = x.response.lower()
    return ABSTAIN

def _locked():
    lock = threading.Lock()

    @labeling_function
    def holds_a_lock(x):
        with lock:
            return ABSTAIN

    return holds_a_lock

holds_a_lock = _locked()

@labeling_function
def promises_too_much(x):
    """ACCEPT always.

    >>> 1 + 1
    3
    """
    return ACCEPT

@labeling_function
def by_device(x):
    return REJECT if x.device == "phone" else ABSTAIN

@slicing_function
def long_answer(x):
    return len(x.response) > 20
'''

HANGS = """
import re
from weaklm import ABSTAIN, REJECT, labeling_function

@labeling_function
def hangs(x):
    return REJECT if re.match("(x+x+)+y", x.response) else ABSTAIN

@labeling_function
def works(x):
    return REJECT if "x" in x.response else ABSTAIN
"""

DATA = pd.DataFrame(
    {
        "id": [f"row {i}" for i in range(200)],
        "instruction": "How high is the fee?",
        "response": ["Sorry, I cannot say.", "It is five dollars a month."] * 100,
        "device": "phone",
        "human_label": ["REJECT", "ACCEPT", "REJECT", "REJECT"] * 50,
    }
)


@pytest.fixture(scope="module")
def checkup(tmp_path_factory: pytest.TempPathFactory) -> Checkup:
    file = tmp_path_factory.mktemp("rules") / "my_rules.py"
    file.write_text(RULES)
    return check(file, DATA)


@pytest.fixture(scope="module")
def found(checkup: Checkup) -> dict[str, Checked]:
    return {checked.name: checked for checked in checkup.functions}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("divides", "failed on example 'an empty response': ZeroDivisionError: division by zero"),
        ("misspells", "reads column 'respones', which these rows do not have; did you mean 'response'?"),
        (
            "forgets",
            "returned None on example 'an empty response', not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT); does every "
            "branch return a vote?",
        ),
        (
            "forgets_rarely",
            "returned None on example 'row 7', not -1 (ABSTAIN), 0 (REJECT) or 1 (ACCEPT); does every branch return "
            "a vote?",
        ),
        (
            "writes",
            "changed 'response' of example 'an empty response'; functions only look. Let a preprocessor "
            "(@preprocessor, pre=[...]) add columns.",
        ),
        ("holds_a_lock", "cannot be sent to another process: TypeError: cannot pickle '_thread.lock' object"),
        ("promises_too_much", "1 of 1 examples in its docstring fail, first 1 + 1 Expected: 3 Got: 2"),
    ],
)
def test_says_what_is_wrong_with_a_function(found: dict[str, Checked], name: str, problem: str) -> None:
    assert found[name].problems == [problem]


def test_finds_the_function_that_votes_by_chance(found: dict[str, Checked]) -> None:
    (problem,) = found["throws_dice"].problems
    assert problem.startswith("says another thing when it is asked again, first on ")
    assert found["may_throw_dice"].problems == []


def test_says_what_a_sound_function_does(found: dict[str, Checked]) -> None:
    checked = found["says_sorry"]
    assert (checked.kind, checked.says) == ("labeling", "REJECT when the response apologises.")
    assert (checked.reads, checked.resources) == (["response"], {"words": "('sorry', 'afraid')"})
    assert (checked.n_examples, checked.n_failed, checked.ran) == (2, 0, "compiled")
    (one,) = checked.votes
    assert (one.vote, one.n, one.share) == ("REJECT", 100, 0.5)
    assert one.precision is not None
    assert (one.precision.value, one.precision.n) == (1.0, 100)
    assert not checked.problems
    assert not checked.hints


def test_a_column_that_only_the_data_have_is_there_for_odd_rows_too(found: dict[str, Checked]) -> None:
    assert found["by_device"].problems == []
    assert found["by_device"].votes[0].n == 200


def test_a_slice_that_reads_the_response_gets_a_hint(found: dict[str, Checked]) -> None:
    assert found["long_answer"].problems == []
    assert any(hint.startswith("reads the response: its members change") for hint in found["long_answer"].hints)
    assert found["long_answer"].votes[0].vote == "member"


def test_shows_itself_as_text_and_as_json(checkup: Checkup) -> None:
    text = str(checkup)
    assert "my_rules.py: 12 functions on 200 rows" in text
    assert "\u2717 divides failed on example 'an empty response'" in text
    assert text.splitlines()[-1] == "8 of 12 with a problem"
    plain = json.loads(json.dumps(checkup.to_dict()))
    assert plain["is_sound"] is False
    assert plain["functions"][0]["votes"][0]["precision"]["value"] == 1.0


def test_a_function_that_hangs_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_ROW_SECONDS", 0.3)
    (tmp_path / "rules.py").write_text(HANGS)
    hangs, works = check(tmp_path / "rules.py", DATA).functions
    assert hangs.problems == ["failed on example 'one very long word': took longer than 0.3 seconds"]
    assert works.problems == []


def test_a_file_without_functions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(FunctionError, match=r"empty\.py holds no function; decorate yours with @labeling_function"):
        check(tmp_path / "empty.py", DATA)


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(HANGS)
    with pytest.raises(DataError, match="there are no rows to try the functions on"):
        check(tmp_path / "rules.py", DATA.iloc[:0])


HANGS_ALWAYS = """
import time
from weaklm import ABSTAIN, REJECT, labeling_function

@labeling_function
def hangs_always(x):
    '''REJECT at last.

    >>> hangs_always(None)
    0
    '''
    time.sleep(60)
    return REJECT

@labeling_function
def hangs_in_its_example(x):
    '''ABSTAIN always.

    >>> time.sleep(60)
    '''
    return ABSTAIN
"""


def test_hanging_on_all_rows_or_in_an_example_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_ROW_SECONDS", 0.3)
    (tmp_path / "rules.py").write_text(HANGS_ALWAYS)
    always, example = check(tmp_path / "rules.py", DATA).functions
    assert always.problems == ["failed on example 'an empty response': took longer than 0.3 seconds"]
    assert (always.n_examples, always.n_failed) == (1, 1)
    stopped = "its 1 example(s) in the docstring did not end well: took longer than 0.3 seconds"
    assert example.problems == [stopped]


PRINTS = """
import os
from weaklm import ABSTAIN, REJECT, labeling_function
from weaklm.patterns import keyword

print("loading")

@labeling_function
def prints(x):
    '''REJECT always.

    >>> os.write(1, b"example")
    7
    '''
    print("voting")
    return REJECT

declared = keyword("sorry", vote=REJECT)
"""


def test_what_functions_print_is_not_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.py").write_text(PRINTS)
    prints, declared = check(tmp_path / "rules.py", DATA.iloc[:3]).functions
    out, err = capfd.readouterr()
    assert out == ""
    assert "loading" in err
    assert "voting" in err
    assert prints.problems == []
    assert declared.says == "REJECT when response has 'sorry' as a whole word, otherwise ABSTAIN."
    assert declared.hints == []
