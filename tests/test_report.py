import html
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weaklm.analysis import LFAnalysis
from weaklm.data import Example, human_labels
from weaklm.errors import DataError, SettingsError
from weaklm.estimation import rate
from weaklm.functions import slicing_function
from weaklm.report import Report

AWKWARD = "<script>alert('x')</script> & \"quoted\" https://example.com 🏦 \x00 \u202e right to left"


@slicing_function
def asks_how(x: Example) -> bool:
    return x.instruction.startswith("How")


@slicing_function
def long_answer(x: Example) -> bool:
    return len(x.response) > 5


@slicing_function
def nobody(x: Example) -> bool:
    return x.instruction == "never asked"


@slicing_function
def one_row(x: Example) -> bool:
    return x.response in ("It rained.", "") and x.instruction.endswith((" 1?", "Why?")) and x.source != "tuned"


SLICES = [asks_how, long_answer, nobody]
DATA = pd.DataFrame(
    {
        "instruction": ["How?", "How?", "Why?", "Why?"],
        "response": ["In a long way.", "So.", "It rained.", "Eh."],
        "source": ["base", "tuned"] * 2,
        "human_label": ["ACCEPT", None, "ACCEPT", "REJECT"],
    }
)
SCORE = np.array([0.9, 0.4, 0.5, 0.1])


def many(n: int = 400, n_labelled: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of which people accept 60 %, and a score that follows them and is too generous."""
    random = np.random.default_rng(0)
    truth = random.random(n) < 0.6
    score = 1 / (1 + np.exp(-(3 * truth - 0.5 + random.normal(size=n))))
    labels = [("ACCEPT" if t else "REJECT") if i < n_labelled else None for i, t in enumerate(truth)]
    questions = [f"{word} {i}?" for i, word in enumerate(["How", "Why"] * (n // 2))]
    return pd.DataFrame({"instruction": questions, "response": "It rained.", "human_label": labels}), score


def numbers(value: object) -> list[float]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in numbers(part)]
    return [value] if isinstance(value, float) else []


def seen(page: str) -> str:
    """Return what a reader of a page sees: no style sheet, no tags."""
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)


def test_the_overall_rates_by_hand() -> None:
    overall = Report(DATA, SCORE).overall
    assert (overall["n"], overall["mean_score"]) == (4, pytest.approx(0.475))
    assert (overall["proxy"]["value"], overall["proxy"]["n"]) == (0.5, 4)  # a score of 0.5 is accepted
    assert (overall["human"]["value"], overall["human"]["n"]) == (pytest.approx(2 / 3), 3)
    assert overall["corrected"] is None


def test_rates_by_slice_and_source() -> None:
    report = Report(DATA, SCORE, slices=SLICES)
    slices, sources = report.slices().set_index("name"), report.sources().set_index("name")
    assert slices["n"].to_dict() == {"asks_how": 2, "long_answer": 2, "nobody": 0}
    assert slices.loc["long_answer", "proxy"] == 1
    assert slices["human_n"].to_dict() == {"asks_how": 1, "long_answer": 2, "nobody": 0}
    assert sources["proxy"].to_dict() == {"base": 1, "tuned": 0}


def test_slices_within_sources() -> None:
    crossed = Report(DATA, SCORE, slices=[asks_how]).summary()["slices_by_source"]
    assert [(part["source"], part["n"], part["proxy"]["value"]) for part in crossed] == [
        ("base", 1, 1),
        ("tuned", 1, 0),
    ]


def test_a_slice_that_reads_the_response_is_flagged() -> None:
    report = Report(DATA, SCORE, slices=SLICES)
    assert report.slices().set_index("name")["reads_response"].to_dict() == {
        "asks_how": False,
        "long_answer": True,
        "nobody": False,
    }
    assert "Slices that read the response: long_answer." in str(report)


def test_rows_in_no_slice_are_counted() -> None:
    summary = Report(DATA, SCORE, slices=SLICES).summary()
    assert summary["in_no_slice"] == 1
    assert "1 rows are in no slice." in summary["notes"]


def test_agreement_with_people_is_on_the_labelled_rows_only() -> None:
    agreement = Report(DATA, SCORE).summary()["agreement"]
    metrics = agreement["metrics"]
    assert (agreement["n"], metrics["auc"]["value"], metrics["balanced_accuracy"]["value"]) == (3, 1, 1)
    assert (metrics["auc"]["reject_everything"], metrics["brier"]["reject_everything"]) == (0.5, pytest.approx(2 / 3))


def test_the_correction_moves_a_generous_score_towards_people() -> None:
    data, score = many()
    report = Report(data, score)
    overall = report.overall
    assert overall["corrected"]["method"] == "stratified PPI++"
    assert overall["corrected"]["low"] < 0.6 < overall["corrected"]["high"] < overall["proxy"]["value"]
    assert any(note.startswith("The score is too generous") for note in report.summary()["notes"])


def test_labels_can_be_given_and_are_checked() -> None:
    assert Report(DATA, SCORE, Y=[1, 1, 1, 0]).overall["human"]["value"] == 0.75
    with pytest.raises(DataError, match=r"Y has shape \(2,\)"):
        Report(DATA, SCORE, Y=[1, 0])


def test_training_rows_are_noted() -> None:
    notes = Report(DATA.assign(split=["train"] * 3 + ["test"]), SCORE).summary()["notes"]
    assert "3 rows are of the split 'train': the score may have learned from them." in notes


def test_rows_of_a_slice_come_lowest_score_first() -> None:
    rows = Report(DATA, SCORE, slices=SLICES).rows(slice="asks_how")
    assert rows["score"].tolist() == [0.4, 0.9]
    assert rows["decision"].tolist() == ["REJECT", "ACCEPT"]
    with pytest.raises(DataError, match="did you mean 'asks_how'"):
        Report(DATA, SCORE, slices=SLICES).rows(slice="ask_how")


def test_a_summary_can_be_changed_without_changing_the_report() -> None:
    report = Report(DATA, SCORE)
    report.summary()["overall"]["n"] = 99
    assert report.overall["n"] == 4


VOTES = np.array([[0, -1], [0, 1], [-1, 1], [0, -1]])


class Quality:
    """A stand-in for a fitted quality model: the response's length pulls every score down, and hardly anything else."""

    def explain(self, data: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"length": -1.0, "novelty": 0.2, "bias": 0.0}, index=data.index)

    def alarms(self, data: pd.DataFrame) -> list[str]:
        return [f"Drift alarm of {len(data)} rows."]


def test_the_functions_that_drive_reject_are_counted() -> None:
    report = Report(DATA, SCORE, analysis=LFAnalysis(VOTES, None))
    modes = report.summary()["error_modes"]
    assert modes["n_rejected"] == 2  # rows 1 and 3; function 0 rejects both and row 0, which is accepted
    assert modes["functions"] == [
        {
            "name": "0",
            "n": 2,
            "share_of_rejected": 1.0,
            "share_of_accepted": 0.5,
            "only": 2,
            "people_agree": rate([False, True]).to_dict(),
        }
    ]
    assert "REJECT is driven by functions: 0 (100 %)" in repr(report)


def test_votes_on_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match="the analysis is of 3 rows and the report of 4"):
        Report(DATA, SCORE, analysis=LFAnalysis(VOTES[:3]))


def test_the_features_that_drive_reject_are_counted_by_slice_with_rows_to_read() -> None:
    data, score = many()
    report = Report(data, score, slices=[asks_how], quality=Quality())  # type: ignore[arg-type]
    modes = report.summary()["error_modes"]
    assert modes["features"] == [{"name": "length", "n": modes["n_rejected"], "share_of_rejected": 1.0}]
    assert modes["slices"][0]["features"] == [{"name": "length", "share": 1.0}]
    titles = [group["title"] for group in report.summary()["examples"]]
    assert "Rejected, where length pulls the score down most" in titles
    assert "Drift alarm of 400 rows." in report.summary()["notes"]


def test_a_bad_context_is_told_from_a_bad_response() -> None:
    data = DATA.assign(context_label=["ACCEPT", "REJECT", None, "ACCEPT"])
    report = Report(data, SCORE)
    found = report.summary()["retrieval"]
    assert (found["n"], found["context"]["value"]) == (3, pytest.approx(2 / 3))
    assert (found["good"]["n"], found["good"]["proxy"]["value"], found["bad"]["proxy"]["value"]) == (2, 0.5, 0)
    assert found["rejected_with_bad"]["value"] == 0.5
    assert "Of 2 rejected responses with a labelled context, 50 % had a bad one" in repr(report)
    assert Report(DATA, SCORE).summary()["retrieval"] is None


def test_a_score_that_follows_the_length_raises_an_alarm() -> None:
    data, _ = many(400, 100)
    random = np.random.default_rng(3)
    words = random.integers(1, 200, 400)
    good = (data["human_label"] == "ACCEPT").to_numpy()
    data["response"] = ["word " * int(n + 100 * g) for n, g in zip(words, good, strict=True)]
    report = Report(data, data["response"].str.len() / 2000)
    assert report.summary()["agreement"]["is_shortcut"]
    assert any(note.startswith("Alarm: the score is not shown to rank") for note in report.summary()["notes"])
    assert "shortcut" in {one["kind"] for one in report.summary()["advice"]}


def test_what_to_do_next_names_the_slice_and_how_many_labels() -> None:
    data, score = many()
    data.loc[data["instruction"].str.startswith("Why"), "human_label"] = None
    first = Report(data, score, slices=[asks_how, long_answer]).summary()["advice"][0]
    assert (first["kind"], first["part"]) == ("label", "long_answer")
    assert first["text"].startswith(f"Label {first['n_labels']} more rows in long_answer: the interval there is the")
    nobody_labelled = Report(data.drop(columns="human_label"), score, slices=[asks_how]).summary()["advice"][0]
    assert nobody_labelled["text"].startswith("Label 80 rows, drawn at random")  # 1.96**2 * .71 * .29 / .1**2


def test_a_rate_to_rely_on_is_named() -> None:
    assert Report(*many()).accept_rate["judged_by"] == "corrected"
    assert Report(DATA, SCORE).accept_rate["judged_by"] == "proxy"
    data, score = many(40, 40)
    assert Report(data, score).accept_rate["judged_by"] == "human"


def test_uneven_chances_to_be_labelled_are_weighed_and_noted() -> None:
    data, score = many()
    Y = np.where(np.arange(400) < 60, human_labels(data), -1)
    even, uneven = (Report(data, score, Y=Y, inclusion=np.full(400, p)) for p in (0.15, 0.15))
    assert even.overall["human"] == uneven.overall["human"]
    doubled = np.where(Y == 0, 0.3, 0.15)  # rejected rows had twice the chance, so each counts half
    value = Report(data, score, Y=Y, inclusion=doubled).overall["human"]["value"]
    n_accept, n_reject = (Y == 1).sum(), (Y == 0).sum()
    assert value == pytest.approx(2 * n_accept / (2 * n_accept + n_reject))
    assert any(note.startswith("Rows had different chances") for note in even.summary()["notes"])


def test_answers_to_one_instruction_count_for_less() -> None:
    data, score = many()
    once = Report(data, score).overall["proxy"]
    thrice = Report(pd.concat([data] * 3), np.tile(score, 3)).overall["proxy"]
    assert thrice["value"] == once["value"]
    assert thrice["low"] == pytest.approx(once["low"], abs=0.01)
    assert thrice["method"] == "clustered Wilson"


def test_discovered_slices_come_as_source_code() -> None:
    random = np.random.default_rng(0)
    topics = np.array(["refund", "card", "loan", "fee"])[np.arange(800) % 4]
    data = pd.DataFrame({"instruction": [f"About a {t} number {i}?" for i, t in enumerate(topics)], "response": "Yes."})
    score = np.where((topics == "refund") & (random.random(800) < 0.8), 0.1, 0.9)
    found = Report(data, score, discover=True)
    first = found.summary()["discovered"][0]
    assert "refund" in first["rule"]
    assert "def " in first["source"]
    assert first["source"].splitlines()[-1].strip() in html.unescape(found.to_html())


HONEST = {
    "no human label": (DATA.drop(columns="human_label"), SCORE),
    "all rejected": (DATA, np.zeros(4)),
    "all accepted": (DATA, np.ones(4)),
    "one row": (DATA.iloc[:1], SCORE[:1]),
    "no row": (DATA.iloc[:0], SCORE[:0]),
    "one class of labels": (DATA.assign(human_label="REJECT"), SCORE),
    "enough labels": many(),
    "labels without a response": (DATA.assign(response=""), SCORE),
    "labelled contexts only": (DATA.drop(columns="human_label").assign(context_label="REJECT"), SCORE),
}


@pytest.mark.parametrize("case", HONEST)
def test_no_view_shows_a_number_that_is_none(case: str) -> None:
    data, score = HONEST[case]
    analysis = LFAnalysis(np.resize(VOTES, (len(data), 2))) if len(data) else None
    report = Report(data, score, slices=[*SLICES, one_row], analysis=analysis, quality=Quality())  # type: ignore[arg-type]
    shown = json.loads(report.to_json())
    assert shown == report.to_dict()
    assert all(math.isfinite(number) for number in numbers(shown))
    for text in (seen(report.to_html()), repr(report)):
        assert not re.search(r"\b(nan|None|inf)\b", text, re.IGNORECASE)


def test_a_number_from_few_rows_is_marked() -> None:
    report = Report(DATA, SCORE)
    assert report.overall["proxy"]["too_few"]
    assert "few: 50.0 %" in repr(report)
    assert "too few to rely on" in report.to_html()
    assert "few:" not in repr(Report(*many()))


def test_the_page_runs_nothing_asks_for_nothing_and_escapes_everything() -> None:
    data = pd.DataFrame({"instruction": AWKWARD, "response": [AWKWARD * 1000, "short"] * 40, "source": AWKWARD[:40]})
    data["human_label"] = ["ACCEPT", "REJECT"] * 40
    page = Report(data.assign(context=AWKWARD), np.linspace(0, 1, 80), slices=SLICES).to_html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href|action)\s*=\s*[\"'](?!#)", page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not re.search(r"\son\w+\s*=", re.sub(r">[^<]*<", "><", page))
    assert len(page.encode()) < 1_000_000


def test_the_page_shows_at_most_50_rows() -> None:
    data, score = many(400, 200)
    votes = np.where(np.random.default_rng(0).random((400, 6)) < 0.5, 0, -1)
    report = Report(data, score, analysis=LFAnalysis(votes), quality=Quality())  # type: ignore[arg-type]
    assert 45 <= report.to_html().count("<dt>response</dt>") <= 50
    ids = [row["id"] for group in report.summary()["examples"] for row in group["rows"]]
    assert len(ids) == len(set(ids))


def test_the_same_input_gives_the_same_page() -> None:
    assert Report(*many(), slices=SLICES).to_html() == Report(*many(), slices=SLICES).to_html()


def test_pictures_have_a_description_and_no_colour_of_their_own_for_text() -> None:
    page = Report(*many(), slices=[asks_how]).to_html()
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3
    assert 'aria-label="Accept rates by slice: all rows 71%, asks_how 72%' in pictures[0]
    assert all("currentColor" in text for picture in pictures for text in re.findall(r"<text[^>]*>", picture))


def test_a_notebook_gets_the_same_content_without_the_page_around_it() -> None:
    part = Report(DATA, SCORE)._repr_html_()
    assert "<html" not in part
    assert '<div class="weaklm">' in part


def test_saved_files_are_whole_and_readable(tmp_path: Path) -> None:
    data = DATA.assign(response=pd.Series(["half a pair \ud83d", "b", "c", "d"], dtype=object))
    report = Report(data, SCORE)
    assert report.save(tmp_path / "new") == tmp_path / "new" / "report.html"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "new" / "report.json").read_text("utf-8"))["n"] == 4


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(SettingsError, match="threshold is 50"):
        Report(DATA, SCORE, threshold=50)


def test_a_label_is_worth_more_the_closer_the_score_follows_people() -> None:
    data = pd.DataFrame({"instruction": list("abcd"), "response": "", "human_label": ["ACCEPT"] * 2 + ["REJECT"] * 2})
    worth = Report(data, [0.9, 0.5, 0.5, 0.1]).summary()["agreement"]["label_worth"]
    assert worth == pytest.approx(2)  # correlation .4 / (2 * .2828) = .7071
    assert Report(data, [0.1, 0.5, 0.5, 0.9]).summary()["agreement"]["label_worth"] == 1
