"""Suggestions: planted truth is found with an honest bound, noise gives none, and what is accepted votes the same."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.data import ABSTAIN, ACCEPT, REJECT, Example, complete, examples
from weaklm.errors import DataError, FunctionError
from weaklm.features import FeatureExtractor
from weaklm.functions import LabelingFunction, labeling_function, load
from weaklm.suggestions import Suggestions, suggest
from weaklm.suggestions.rules import measure
from weaklm.traits import TRAITS

WORDS = [f"word{k}" for k in range(200)]
SHARES = 1 / np.arange(1, 201)


def text(rng: np.random.Generator, most: int) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(5, most), p=SHARES / SHARES.sum())) + "."


def frame(rng: np.random.Generator, n: int = 240) -> pd.DataFrame:
    columns = {"instruction": 12, "context": 50, "response": 30}
    return pd.DataFrame({column: [text(rng, most) for _ in range(n)] for column, most in columns.items()})


def planted(seed: int, n: int = 400, n_labels: int = 200) -> tuple[pd.DataFrame, Any, Any]:
    """Return data, labels of some, and of all: "as an expert" in a seventh of the rows, nine in ten of them REJECT."""
    rng = np.random.default_rng(seed)
    data = frame(rng, n)
    has = rng.random(n) < 1 / 7
    data.loc[has, "response"] = "as an expert " + data["response"]
    truth = np.where(rng.random(n) < np.where(has, 0.9, 0.25), REJECT, ACCEPT)
    return data, np.where(np.arange(n) < n_labels, truth, ABSTAIN), truth


DATA, Y, TRUTH = planted(0)
FOUND = suggest(DATA, Y)


def test_a_planted_phrase_is_found() -> None:
    best = FOUND[0]
    assert (best.vote, best.words) == (REJECT, 'the response has "as an expert"')
    assert 0.8 < best.precision <= 1
    assert best.coverage == pytest.approx(1 / 7, abs=0.05)
    assert best.log_odds > 3
    assert len(best.hits) == 5
    assert best.hits["response"].str.contains("as an expert").all()


def test_the_evidence_is_counted_on_the_labels() -> None:
    best, fires = FOUND[0], DATA["response"].str.contains("as an expert").to_numpy()
    assert best.judged == (fires & (Y >= 0)).sum()
    assert best.right == (fires & (Y == REJECT)).sum()
    assert best.base_rate == pytest.approx((Y[Y >= 0] == REJECT).mean())
    assert best.base_rate < best.low < best.precision - 0.1


def test_a_function_that_is_there_already_is_not_suggested() -> None:
    votes = np.where(DATA["response"].str.contains("as an expert"), REJECT, ABSTAIN)[:, None]
    assert not any("as an" in found.words for found in suggest(DATA, Y, votes))
    half = np.where(np.arange(len(DATA))[:, None] % 2, votes, ABSTAIN)
    best = suggest(DATA, Y, half, [LabelingFunction("sometimes", len)])[0]
    assert best.overlaps_with == "sometimes"
    assert best.overlap == pytest.approx(0.5, abs=0.15)


def test_thresholds_are_found_and_said_in_words() -> None:
    rng = np.random.default_rng(1)
    data = frame(rng)
    long = data["response"].str.split().str.len() > 22
    labels = np.where(rng.random(len(data)) < np.where(long, 0.9, 0.2), REJECT, ACCEPT)
    best = suggest(data, labels)[0]
    assert re.fullmatch("the number of words of the response is over 2[0-9]", best.words)
    assert "    return REJECT if traits.words(x) > words_over else ABSTAIN" in best.source


def test_the_same_seed_gives_the_same_suggestions_whatever_else_the_frame_holds() -> None:
    more = DATA.assign(human_label=np.where(TRUTH == 1, "ACCEPT", "REJECT"), judge_score=TRUTH).set_index(TRUTH)
    pd.testing.assert_frame_equal(suggest(more, Y).to_frame(), FOUND.to_frame())
    assert not {"human_label", "judge_score"} & set(suggest(more, Y)[0].hits.columns)


def test_few_labels_are_an_error_that_counts_them() -> None:
    few = np.where(np.arange(len(Y)) < 49, Y, ABSTAIN)
    with pytest.raises(DataError, match=r"there are 49 human labels \(\d+ REJECT, \d+ ACCEPT\); suggestions need 50"):
        suggest(DATA, few)
    with pytest.raises(DataError, match=r"400 human labels \(0 REJECT, 400 ACCEPT\); .* and 5 of each class"):
        suggest(DATA, np.ones(len(DATA), int))
    with pytest.raises(DataError, match=r"Y has shape \(3,\); one label for each of the 400 rows"):
        suggest(DATA, [0, 1, 1])
    with pytest.raises(DataError, match="L has 1 columns, but there are 0 functions"):
        suggest(DATA, Y, Y[:, None], [])


def test_an_accepted_suggestion_is_a_function_that_votes_like_the_rule(tmp_path: Path) -> None:
    function = FOUND[0].accept(tmp_path / "lfs" / "mine.py")
    (loaded,) = load(tmp_path / "lfs" / "mine.py")
    assert function.name == loaded.name == "says_as_an_expert"
    votes = [loaded(x) for x in examples(complete(DATA))]
    assert votes == np.where(DATA["response"].str.contains("as an expert"), REJECT, ABSTAIN).tolist()
    assert loaded(Example(response="I, AS an\nexpert.")) == REJECT
    assert (loaded.__doc__ or "").startswith('REJECT when the response has "as an expert".')


def test_accepting_leaves_the_file_as_it_is_and_imports_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    before = 'from weaklm import REJECT, labeling_function\n\n\n@labeling_function\ndef f(x):\n    return "\u00e9" == x'
    path.write_text(before, encoding="utf-8")
    FOUND.accept(0, path, name="g")
    FOUND.accept(0, path, name="h")
    after = path.read_text(encoding="utf-8")
    assert after.startswith(before)
    assert after.count("import re\n") == 1
    assert after.count("from weaklm import ABSTAIN, Example\n") == 1
    assert [function.name for function in load(path)] == ["f", "g", "h"]


@pytest.mark.parametrize(
    ("there", "name", "said"),
    [
        ("says_as_an_expert = 1\n", None, "has a 'says_as_an_expert' already; accept the suggestion with another name"),
        ("re = 1\n", None, "'re' means something else in the file"),
        ("from numpy import e as re\n", None, "'re' means something else in the file"),
        ("def f(:\n", None, "does not load: SyntaxError"),
        ("", "two words", "'two words' is no name"),
        ("", "class", "'class' is no name"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_untouched(
    tmp_path: Path, there: str, name: str | None, said: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(there)
    with pytest.raises(FunctionError, match=said):
        FOUND[0].accept(path, name)
    assert path.read_text() == there


def test_a_local_name_of_the_users_is_no_clash(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def helper():\n    re = traits = 1\n    return re + traits\n")
    assert FOUND[0].accept(path).name == "says_as_an_expert"


def test_texts_are_escaped_in_the_notebook() -> None:
    data = DATA.assign(response=DATA["response"] + " <script>alert(1)</script>")
    page = suggest(data, Y)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "says_as_an_expert" in page


def test_no_suggestion_shows_as_an_empty_table() -> None:
    none = Suggestions([], "7 rules tried on 50 labels")
    assert len(none.to_frame()) == 0
    assert repr(none) == "0 suggestions from the 7 rules tried on 50 labels"


def test_traits_are_the_features_of_their_names() -> None:
    data = complete(
        pd.DataFrame(
            {
                "instruction": ["How high is the yearly fee?", "How do I pay 7 fees?"] * 2,
                "context": ["The yearly fee is $95. Ada Lovelace leads the desk.", "Pay by card within 9 days."] * 2,
                "prompt_prefix": ["", "user: Hello there."] * 2,
                "response": [
                    "The yearly fee is $95.\nThank you for asking.",
                    "You may pay 12 or 13 dollars by *card*, as an AI I cannot help. Pay within nine DAYS.",
                    "I do not know. Ask Grace Hopper.",
                    "Pay by card within 9 days. Pay by card within 9 days.",
                ],
            }
        )
    )
    X = FeatureExtractor().fit(data).transform(data)
    same = [trait for trait in TRAITS if trait.__name__ in X.columns]
    values = measure(data, same)
    assert len(same) >= 20
    for name, value in values.items():
        assert value == pytest.approx(X[name].to_numpy(), abs=1e-6), name


@pytest.mark.slow
def test_the_bound_covers_and_the_phrase_is_nearly_always_found() -> None:
    n_found, n_covered, n_bounds = 0, 0, 0
    for seed in range(30):
        data, labels, truth = planted(seed, n_labels=150)
        found = suggest(data, labels, random_state=seed)
        n_found += any("as an" in suggestion.words for suggestion in found)
        for suggestion in found:
            fires = suggestion._fires & (labels == ABSTAIN)
            n_covered += (truth[fires] == suggestion.vote).mean() >= suggestion.low
            n_bounds += 1
    assert n_found >= 27
    assert n_covered >= 0.9 * n_bounds


@pytest.mark.slow
def test_labels_without_meaning_give_a_suggestion_once_in_twenty_runs() -> None:
    n_runs = 50
    n_false = 0
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        data = frame(rng, 160)
        n_false += len(suggest(data, np.where(rng.random(160) < 0.3, REJECT, ACCEPT), random_state=seed)) > 0
    assert n_false <= 7  # more than 7 of 50 have a chance of 1 % at a rate of 0.05


@labeling_function
def unused(x: Example) -> int:
    return ABSTAIN


def test_names_that_are_taken_are_not_given_again() -> None:
    taken = LabelingFunction("says_as_an_expert", len)
    assert suggest(DATA, Y, functions=[taken, unused])[0].name == "says_as_an_expert_2"


def test_line_ends_and_encoding_stay_as_they_are(tmp_path: Path) -> None:
    path, before = tmp_path / "mine.py", "# coding: latin-1\r\nname = '\u00e9'\r\n".encode("latin-1")
    path.write_bytes(before)
    FOUND[0].accept(path)
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == after.count(b"\r\n") > 10
    assert [function.name for function in load(path)] == ["says_as_an_expert"]


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\n")
    FOUND[0].accept(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfx = 1\n\n\nimport re\n")
    assert [function.name for function in load(path)] == ["says_as_an_expert"]


def test_an_import_for_type_checkers_only_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from weaklm import Example\n")
    assert FOUND[0].accept(path)(Example(response="as an expert")) == REJECT


@pytest.mark.parametrize("there", [b"if 0:\n    from weaklm import Example\n", "x = '\u00e9'\n".encode("latin-1")])
def test_a_file_that_does_not_load_is_as_it_was(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(there)
    with pytest.raises(FunctionError, match=r"mine\.py does not load: "):
        FOUND[0].accept(path)
    assert path.read_bytes() == there


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("re", "'re' means something else"),
        ("REJECT", "'REJECT' means something else"),
        ("labeling_function", "'labeling_function' means something else"),
        ("len", "'len' means something else"),
        ("\ufb01ne", "Python reads the name '\ufb01ne' as 'fine'"),
        (5, "5 is no name"),
    ],
)
def test_a_name_with_another_meaning_is_refused(tmp_path: Path, name: Any, said: str) -> None:
    with pytest.raises(FunctionError, match=said):
        FOUND[0].accept(tmp_path / "mine.py", name)
    assert list(tmp_path.iterdir()) == []
