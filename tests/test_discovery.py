import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.apply import SFApplier
from weaklm.data import complete, examples, human_labels
from weaklm.data import read as read_data
from weaklm.discovery import Discovered, discover_slices
from weaklm.discovery.conditions import conditions
from weaklm.discovery.search import search
from weaklm.discovery.testing import clustered_rate, p_values
from weaklm.errors import DataError, FunctionError, SettingsError
from weaklm.functions import load, reads, slicing_function
from weaklm.suggestions.writing import slice_source, with_imports

MTRAG = Path(__file__).parents[2] / "shared" / "data" / "mtrag_human" / "data.parquet"
N = 600
EVERY_FIFTH = np.arange(N) % 5 == 0


def frame(n: int = N) -> pd.DataFrame:
    """Return questions about cards and loans, every fifth of them late, with a topic that means nothing."""
    rng = np.random.default_rng(0)
    words = rng.choice(["alpha", "beta", "gamma", "delta", "omega", "sigma"], (n, 4))
    said = [f"Is {' '.join(w)} {'late' if i % 5 == 0 else 'due'} for {i}?" for i, w in enumerate(words)]
    topic = rng.choice(["card", "loan", "fraud", "wire"], n)
    return pd.DataFrame({"instruction": said, "context": "The fee is 5 dollars.", "response": "Yes.", "topic": topic})


def likely_bad(inside: Any, low: float = 0.2, high: float = 0.6, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return 1 for bad rows: a share ``high`` of those inside, ``low`` of the others."""
    return (np.random.default_rng(seed).random(len(inside)) < np.where(inside, high, low)).astype(float)


@pytest.fixture(scope="module")
def found() -> Discovered:
    return discover_slices(frame(), likely_bad(EVERY_FIFTH))


def test_finds_the_planted_slice_and_nothing_else(found: Discovered) -> None:
    assert [one.rule for one in found] == ['the instruction has "late"']
    assert found[0].name == "asked_late"
    assert found[0].share == 0.2


def test_the_evidence_is_of_the_half_that_did_not_choose(found: Discovered) -> None:
    one = found[0]
    assert 40 <= one.n <= 80  # of 120 members, those among the 300 instructions held out
    assert one.n == one.n_instructions
    assert one.low < 0.6 < one.high
    assert one.rest_rate == pytest.approx(0.2, abs=0.07)
    assert one.p <= one.p_adjusted <= 0.05


def test_what_the_other_half_says_is_not_touched_by_the_half_that_searched() -> None:
    """The held-out rate is that of rows whose number tells which half they are in."""
    data, bad = frame(), likely_bad(EVERY_FIFTH)
    one = discover_slices(data, bad).tested.set_index("name").loc["asked_late"]
    rates = []
    for row in np.flatnonzero(EVERY_FIFTH)[:4]:
        changed = bad.copy()
        changed[row] = 1 - changed[row]
        tested = discover_slices(data, changed, n=1).tested
        assert tested["name"].tolist() == ["asked_late"]
        rates.append(tested["rate"][0])
    changes = {round(abs(rate - one["rate"]) * one["n"]) for rate in rates}
    assert changes == {0, 1}  # of explored rows nothing is seen, of held-out rows all


def test_a_slice_of_two_conditions_needs_a_depth_of_two() -> None:
    data = frame(1500)
    inside = (np.arange(1500) % 5 == 0) & (data["topic"] == "card").to_numpy()
    bad = likely_bad(inside, 0.1, 0.9)
    (pair,) = discover_slices(data, bad, n=1)
    assert {*pair.rule.split(" and ")} == {"the column topic is 'card'", 'the instruction has "late"'}
    (single,) = discover_slices(data, bad, n=1, max_depth=1)
    assert " and " not in single.rule


def test_the_search_finds_a_triple_that_is_worse_than_each_of_its_pairs() -> None:
    holds = np.random.default_rng(1).random((12, 4000)) < 0.5
    bad = likely_bad(holds[2] & holds[5] & holds[7], 0.1, 0.6)
    assert next(search(holds, bad, least=100, depth=3)) == (2, 5, 7)
    assert next(search(holds, bad, least=100, depth=2)) in [(2, 5), (2, 7), (5, 7)]


def test_sizes_and_gains_of_rules_are_those_of_their_rows() -> None:
    """A rule is yielded exactly if it has enough rows and is worse than the rest of whatever it was cut from."""
    rng = np.random.default_rng(1)
    holds, bad = rng.random((7, 300)) < 0.4, rng.random(300)
    bad[holds[1] & holds[3]] = 1.0

    def worse(part: Any, whole: Any) -> float:
        rest = whole & ~part
        if not part.any() or not rest.any():
            return -np.inf
        return float((bad[part].mean() - bad[rest].mean()) / (bad.std() * np.sqrt(1 / part.sum() + 1 / rest.sum())))

    expected = set()
    for depth in (1, 2, 3):
        for rule in itertools.combinations(range(7), depth):
            members = holds[list(rule)].all(axis=0)
            parents = [holds[list(p)].all(axis=0) for p in itertools.combinations(rule, depth - 1) if p]
            is_worse = worse(members, np.ones(300, bool)) > 0 and all(worse(members, p) >= 2.5 for p in parents)
            if 10 <= members.sum() <= 150 and is_worse:
                expected.add(rule)
    assert set(search(holds, bad, least=10, depth=3)) == expected
    assert (1, 3) in expected


def test_labels_without_meaning_give_no_slice() -> None:
    shown = [
        len(discover_slices(frame(), likely_bad(EVERY_FIFTH, 0.3, 0.3, seed), random_state=seed)) for seed in (1, 2)
    ]
    assert shown == [0, 0]


@pytest.mark.slow
def test_labels_without_meaning_give_a_slice_in_few_runs_only() -> None:
    data = frame(400)
    group = np.repeat(np.arange(200), 2)  # two answers to an instruction, alike
    data["instruction"] = data["instruction"].to_numpy()[group]
    data["response"] = [f"{i}" for i in range(400)]
    rng = np.random.default_rng(5)
    n_runs, n_shown = 80, 0
    for seed in range(n_runs):
        bad = (rng.random(400) < rng.beta(1, 2, 200)[group]).astype(float)
        n_shown += len(discover_slices(data, bad, random_state=seed)) > 0
    assert n_shown <= 9  # 4 are expected; more than 9 come in 1 of 100 such tests


def test_a_slice_of_yours_is_not_discovered_again_and_overlap_is_told() -> None:
    @slicing_function
    def is_late(x: Any) -> bool:
        return "late" in x.instruction

    @slicing_function
    def is_late_card(x: Any) -> bool:
        return "late" in x.instruction and x.topic == "card"

    data, bad = frame(), likely_bad(EVERY_FIFTH)
    again = discover_slices(data, bad, slices=[is_late, is_late_card])
    assert "asked_late" not in again.tested["name"].tolist()
    assert "left out are nearly the rows of is_late" in again.basis
    part = discover_slices(data, bad, slices=[is_late_card])
    card = (data["topic"] == "card").to_numpy()[EVERY_FIFTH].mean()
    assert part[0].overlaps_with == "is_late_card"
    assert part[0].overlap == pytest.approx(card)


def test_rules_with_nearly_the_same_rows_are_one() -> None:
    data = frame()
    tail = np.where(EVERY_FIFTH & (np.arange(N) % 50 > 0), "overdue thing", "plain matter")
    data["instruction"] = [f"{a} {b}" for a, b in zip(data["instruction"], tail, strict=True)]
    one = discover_slices(data, likely_bad(EVERY_FIFTH), n=1)[0]
    assert {'the instruction has "late"', 'the instruction has "overdue"'} <= {one.rule, *one.also}


TOPICS = ['quo"te', "back\\", "new\nline", 'tri"""ple', "plain"]


def odd_frame(n: int = 200) -> pd.DataFrame:
    """Return rows whose texts, topics and column names are hard to write as source code."""
    rng = np.random.default_rng(2)
    starts = ['Is it "late"? C\'est été', "Why, and how do I pay €5?", "what's the fee for İstanbul", "¿Qué? naïve"]
    contexts = ["", "A fee.", "The fee is 5.", "Déjà vu: the fee\nis 7 and the rate is high.", "   "]
    ends = ["", " and compare them", " or else?", " how much is it"]
    return pd.DataFrame(
        {
            "instruction": [f"{rng.choice(starts)} {rng.choice(ends)} {i}" for i in range(n)],
            "context": rng.choice(contexts, n),
            "prompt_prefix": rng.choice(["", "Hello.", "Hi there."], n),
            "response": "Yes.",
            "topic": rng.choice(TOPICS, n),
            "class": rng.choice(["a", "b", "c{}"], n),
            "is-new": rng.random(n) < 0.5,
        }
    )


def test_every_condition_is_code_that_holds_on_the_same_rows() -> None:
    rows = complete(odd_frame())
    made = conditions(rows, ["topic", "class", "is-new"], 2)
    asked = {condition.code.split("(")[0] for condition, _ in made}
    assert {"x.topic == {}", "x['class'] == {}", "re.search", "not x.context.strip", "questions.asks_way"} <= asked
    for condition, holds in made:
        resources = {} if condition.value is None else {"value": condition.value}
        code = condition.code.replace("{}", "value", 1)
        source = slice_source("one", condition=code, resources=resources, doc="Doc.", source="Test.")
        scope: dict[str, Any] = {"__name__": "scope"}
        exec(compile(with_imports(source), "<test>", "exec"), scope)
        assert [scope["one"](x) for x in examples(rows)] == holds.tolist(), condition.words
        assert "response" not in reads(scope["one"])


def test_hostile_values_of_columns_become_functions_that_run(tmp_path: Path) -> None:
    data = odd_frame(400)
    for i, value in enumerate(TOPICS):
        (one,) = discover_slices(data, (data["topic"] == value).astype(float), columns=["topic"], n=1, max_depth=1)
        assert one.rule == f"the column topic is {value!r}"
        written = one.accept(tmp_path / "mine.py", name=f"slice_{i}")
        assert [written(x) for x in examples(complete(data))] == (data["topic"] == value).tolist()
    assert len(load(tmp_path / "mine.py")) == len(TOPICS)


def test_an_accepted_slice_has_the_members_that_were_tested(found: Discovered, tmp_path: Path) -> None:
    path = tmp_path / "slices.py"
    written = found.accept(0, path)
    assert path.read_text().startswith('"""Slicing functions of our own."""\n\nimport re\n\nfrom weaklm import Example')
    assert SFApplier([written]).apply(frame())[:, 0].tolist() == EVERY_FIFTH.tolist()
    assert found.source(0) in path.read_text()
    with pytest.raises(FunctionError, match="asked_late"):
        found.accept(0, path)


def test_the_response_has_no_say() -> None:
    data, bad = frame(), likely_bad(EVERY_FIFTH)
    other = data.assign(response=np.where(bad == 1, "terrible", "splendid"))
    assert discover_slices(data, bad).tested.equals(discover_slices(other, bad).tested)


def test_a_column_that_differs_between_answers_to_one_instruction_is_left_alone() -> None:
    data = pd.concat([frame(300)] * 2, ignore_index=True)
    bad = likely_bad(np.arange(600) % 2 == 0)
    data["verdict"] = np.where(bad == 1, "poor", "fine")
    data["response"] = [str(i) for i in range(600)]
    assert not discover_slices(data, bad).tested["rule"].str.contains("verdict").any()
    assert discover_slices(data, bad, columns=["verdict"])[0].rule == "the column verdict is 'poor'"


def test_a_column_of_verdicts_is_left_alone() -> None:
    bad = likely_bad(EVERY_FIFTH)
    data = frame().assign(strict=np.where(bad == 1, "Reject", "Accept"))
    assert not discover_slices(data, bad).tested["rule"].str.contains("strict").any()


def test_answers_to_one_instruction_are_in_one_half() -> None:
    data = pd.concat([frame(300)] * 3, ignore_index=True).assign(response=[str(i) for i in range(900)])
    one = discover_slices(data, likely_bad(np.tile(EVERY_FIFTH[:300], 3)))[0]
    assert one.n == 3 * one.n_instructions


def test_unknown_rows_count_for_the_share_only() -> None:
    bad = likely_bad(EVERY_FIFTH)
    bad[1::2] = np.nan
    one = discover_slices(frame(), bad)[0]
    assert one.share == 0.2
    assert one.n < 45


def test_labels_on_one_topic_only_say_nothing_of_the_topic() -> None:
    data = frame()
    bad = np.where(data["topic"] == "card", likely_bad(EVERY_FIFTH, 0.1, 0.9), np.nan)
    tested = discover_slices(data, bad, min_rows=8).tested
    assert "asked_late" in tested["name"].tolist()
    assert not tested["rule"].str.contains("topic").any()


def test_a_name_that_one_of_your_slices_has_is_not_given_again() -> None:
    @slicing_function
    def asked_late(x: Any) -> bool:
        return x.topic == "wire"

    assert discover_slices(frame(), likely_bad(EVERY_FIFTH), slices=[asked_late])[0].name == "asked_late_2"


def test_scores_do_in_place_of_labels() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, N)
    assert [one.name for one in discover_slices(frame(), np.clip(0.3 + 0.1 * EVERY_FIFTH + noise, 0, 1))] == [
        "asked_late"
    ]


def test_the_same_seed_gives_the_same_slices_whatever_the_index() -> None:
    data, bad = frame(), likely_bad(EVERY_FIFTH)
    assert discover_slices(data, bad).summary() == discover_slices(data.set_index(data.index[::-1] * 7), bad).summary()


def test_the_summary_is_plain() -> None:
    import json

    (one,) = discover_slices(frame(), likely_bad(EVERY_FIFTH)).summary()
    assert json.loads(json.dumps(one, allow_nan=False)) == one
    assert "@slicing_function" in one["source"]


def test_it_shows_itself_with_every_text_escaped() -> None:
    data = frame()
    data["topic"] = np.where(EVERY_FIFTH, "<b>", "x")
    found = discover_slices(
        data.assign(instruction=data["instruction"].str.replace("late", "due")), likely_bad(EVERY_FIFTH)
    )
    assert "the column topic is '<b>'" in repr(found)
    assert "<b>" not in found._repr_html_()


@pytest.mark.parametrize(
    ("data", "bad", "why"),
    [
        (frame(30), [0.0, 1.0] * 15, "30 instructions have an answer of known quality; 40 are needed"),
        (frame(), [np.nan] * N, "0 instructions"),
        (frame(), [1.0] * N, "all 600 rows of known quality are equally bad"),
        (frame(0), [], "0 instructions"),
    ],
)
def test_where_nothing_can_be_said_it_says_why(data: pd.DataFrame, bad: list[float], why: str) -> None:
    found = discover_slices(data, bad)
    assert why in found.basis
    assert (len(found), len(found.to_frame()), found.summary()) == (0, 0, [])
    assert found.to_frame().columns[0] == "name"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bad": [0.5]}, DataError, r"bad has shape \(1,\); one number for each of the 600 rows"),
        ({"bad": [2.0] * N}, DataError, "bad is 2.0 for row 0; 0 to 1"),
        ({"columns": ["topik"]}, DataError, "no column 'topik'.*'topic'"),
        ({"columns": ["share"]}, DataError, r"columns has 'share', with 600 values such as 0.0; .* at most 20 values"),
        ({"columns": ["response"]}, DataError, "columns has 'response'"),
        ({"n": 0}, SettingsError, "n is 0"),
        ({"max_depth": 4}, SettingsError, "max_depth is 4"),
        ({"min_rows": 0}, SettingsError, "min_rows is 0"),
        ({"confidence": 95}, SettingsError, "confidence is 95"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        discover_slices(frame().assign(share=np.arange(N) / N), **({"bad": likely_bad(EVERY_FIFTH)} | options))


def test_the_p_value_counts_the_ways_to_choose_instructions() -> None:
    bad = np.array([1.0] * 5 + [0.0] * 5)
    members = np.array([bad == 1, bad == 0])
    worst, best = p_values(members, np.arange(10), bad, np.random.default_rng(0))
    assert worst == pytest.approx(1 / 252, abs=0.003)  # one of all choices of 5 of 10 is as bad
    assert best == 1


def test_alike_answers_to_an_instruction_do_not_make_evidence() -> None:
    bad, inside = np.tile([1.0, 0, 1, 0, 1, 0, 1, 0, 0, 0], 2), np.arange(20) % 10 < 5
    alone = p_values(inside[None, :10], np.arange(10), bad[:10], np.random.default_rng(0))
    copied = p_values(inside[None], np.tile(np.arange(10), 2), bad, np.random.default_rng(0))
    assert copied == pytest.approx(alone, abs=0.01)


def test_too_few_instructions_have_no_p_value() -> None:
    members = np.array([np.arange(20) < 4, np.arange(20) < 5, np.arange(20) < 16])
    p = p_values(members, np.arange(20), np.arange(20) / 20, np.random.default_rng(0))
    assert np.isnan(p).tolist() == [True, False, True]


def test_copies_of_rows_do_not_narrow_the_interval() -> None:
    bad = likely_bad(np.zeros(60), 0.3, 0.3)
    once = clustered_rate(np.arange(60), bad, 0.95)
    thrice = clustered_rate(np.tile(np.arange(60), 3), np.tile(bad, 3), 0.95)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.n == 3 * once.n


@pytest.mark.skipif(not MTRAG.exists(), reason="the public answers of MTRAG are not here")
def test_on_real_answers_it_finds_that_questions_without_an_answer_in_the_context_go_wrong() -> None:
    raw = pd.read_parquet(MTRAG).drop(columns="split")
    names = {"source": "model", "instruction_id": "task_id", "human_label": "label"}
    data = read_data(raw, names, keep=["domain"])
    found = discover_slices(data, (human_labels(data) == 0).astype(float), random_state=2)
    assert found[0].rule == "the number of words of the context is under 141"
    assert found[0].low > found[0].rest_rate
