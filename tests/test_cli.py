"""The command line: the same results as the Project methods, JSON on stdout, honest exit codes."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from weaklm import cli
from weaklm.demo import load
from weaklm.project import Project


def run(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["weaklm", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project that was filled and fitted by commands."""
    place = tmp_path_factory.mktemp("cli") / "copilot"
    data = load().responses.rename(columns={"instruction": "question"})
    data[data["instruction_id"].isin(data["instruction_id"].unique()[:60])].to_csv(f"{place}.csv", index=False)
    assert run("init", place, "--column", "instruction=question") == 0
    assert run("import", f"{place}.csv", "-p", place) == 0
    assert run("apply", "-p", place) == 0
    assert run("fit", "--weak-only", "-p", place) == 0
    return place


def test_json_is_the_only_thing_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--json", "-p", folder) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "report"


def test_lfs_gives_a_row_a_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lfs", "--json", "-p", folder) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"function", "Coverage", "Overlaps", "Conflicts"} <= set(rows[0])


def test_a_file_of_functions_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rules.py"
    head = "from weaklm import ABSTAIN, REJECT, labeling_function\n\n\n@labeling_function\n"
    file.write_text(
        head + 'def short(x):\n    """REJECT what is short."""\n    return REJECT if len(x.response) < 9 else ABSTAIN\n'
    )
    assert run("lfs", file) == 0
    assert "no problem found" in capsys.readouterr().out
    file.write_text(head + 'def short(x):\n    """REJECT what is short."""\n    return 7\n')
    assert run("lfs", file, "--json") == 1
    assert "returned 7" in capsys.readouterr().out


def test_suggestions_are_listed_and_accepted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(folder, tmp_path / "copilot")
    data = load().responses.set_index("id")
    rows = Project(folder).responses(split="train")["id"]
    labels = data.loc[rows, "response"].str.contains("you", case=False)
    labels = labels.map({True: "REJECT", False: "ACCEPT"}).rename("label").reset_index().assign(annotator="ann")
    labels.to_csv(folder / "labels.csv", index=False)
    assert run("labels", folder / "labels.csv", "-p", folder) == 0
    capsys.readouterr()
    assert run("suggest", "--json", "-p", folder) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"name", "vote"} <= set(found[0])
    assert run("suggest", "--accept", "99", "-p", folder) == 2
    assert run("suggest", "--accept", "0", "--name", "sends_elsewhere", "-p", folder) == 0
    assert "sends_elsewhere" in {function.name for function in Project(folder).functions}


def test_a_gate_that_is_not_met_exits_with_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--fail-under", "1", "-p", folder) == 3
    assert "under the gate of 1.0" in capsys.readouterr().err


def test_curate_and_export_agree(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("curate", "--confidence-threshold", "0.7", "-p", folder, "--json") == 0
    rows_out = json.loads(capsys.readouterr().out)["n_kept"]
    assert run("export", tmp_path / "kept.parquet", "-p", folder) == 0
    assert len(pd.read_parquet(tmp_path / "kept.parquet")) == rows_out > 0


def test_explain_prints_votes_and_features(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row_id = load().responses["id"].iloc[0]
    if run("explain", row_id, "-p", folder) == 1:  # not among the imported ones
        assert "no response has the id" in capsys.readouterr().err
    else:
        assert "label model" in capsys.readouterr().out


def test_compare_two_sources(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "copilot-a", "copilot-b", "--json", "-p", folder) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "comparison"


def test_a_batch_is_drawn_into_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "batch.csv"
    assert run("batch", 7, "-o", out, "-p", folder, "--json") == 0
    drawn = json.loads(capsys.readouterr().out)
    assert (drawn["purpose"], drawn["n_rows"], drawn["ids"]) == ("learn", 7, pd.read_csv(out, dtype=str)["id"].tolist())
    assert run("batch", 7, "--purpose", "lern", "-p", folder) == 2
    assert "expected one of learn, certify, debug" in capsys.readouterr().err


def test_labels_are_added_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = load().annotations
    known = {row["id"] for row in load().responses.to_dict("records")}
    imported = pd.read_csv(f"{folder}.csv", dtype=str)["id"]
    table[table["id"].isin(imported) & table["id"].isin(known)].to_csv(tmp_path / "labels.csv", index=False)
    assert run("labels", tmp_path / "labels.csv", "-p", folder, "--json") == 0
    first = json.loads(capsys.readouterr().out)["n_labels"]
    assert run("labels", tmp_path / "labels.csv", "-p", folder, "--json") == 0
    assert (first > 50, json.loads(capsys.readouterr().out)["n_labels"]) == (True, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["aply"], 2, "Did you mean 'apply'"),
        (["apply", "-p", "nowhere"], 1, "is no weaklm project"),
        (["import", "nothing.csv", "-p", "{folder}"], 1, "there is no file nothing.csv"),
        (["init", "x", "--column", "question"], 2, "expected OURS=YOURS"),
        (["init", "x", "--column", "instructoin=q"], 2, "did you mean 'instruction'"),
        (["report", "--source", "copilot-d", "-p", "{folder}"], 1, "no source 'copilot-d'; did you mean 'copilot-"),
        (["report", "--split", "valid", "-p", "{folder}"], 1, "no response is in split 'valid'"),
        (
            ["train", "--base-model", "x", "--set", "learning_rat=1", "-p", "{folder}"],
            2,
            "did you mean 'learning_rate'",
        ),
        (["generate", "x", "--set", "temprature=1", "-p", "{folder}"], 2, "did you mean 'temperature'"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_exits(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert run(*(argument.replace("{folder}", str(folder)) for argument in arguments)) == code
    assert message in " ".join(capsys.readouterr().err.split())


RAISES = "from weaklm import labeling_function\n\n@labeling_function\ndef broken(x):\n    return {}[x.id]\n"
RETURNS_2 = "from weaklm import labeling_function\n\n@labeling_function\ndef two(x):\n    return 2\n"
STOPS = "raise SystemExit(3)\n"
GOOD_ROW = "id,instruction,response,source\na,Why?,Rain.,m\n"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (RAISES, "broken failed on example"),
        (RETURNS_2, "two returned 2 on example"),
        (STOPS, "does not load: SystemExit"),
    ],
)
def test_a_bad_function_ends_with_1_and_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, message: str
) -> None:
    (tmp_path / "rows.csv").write_text(GOOD_ROW)
    assert run("init", tmp_path / "p") == run("import", tmp_path / "rows.csv", "-p", tmp_path / "p") == 0
    (tmp_path / "p" / "lfs" / "mine.py").write_text(file)
    assert run("apply", "-p", tmp_path / "p") == 1
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "empty.csv is empty"),
        ("nan.jsonl", '{"instruction": "Why?", "response": null}\n', "column 'response': the value is missing"),
        ("number.jsonl", '{"instruction": "Why?", "response": 5}\n', "5 is int, not text"),
        ("twice.csv", GOOD_ROW + "a,Why?,Snow.,m\n", "id 'a' stands for two different rows"),
        ("typo.csv", "instruction,respones\nWhy?,Rain.\n", "did you mean 'respones'?"),
        ("nobody.csv", "instruction,response\nWhy?,Rain.\n", "which model wrote these responses?"),
    ],
)
def test_a_bad_file_ends_with_1_and_imports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    assert run("init", tmp_path / "p") == 0
    assert run("import", tmp_path / name, "-p", tmp_path / "p") == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "p" / "responses").exists()


def test_a_base_model_that_is_not_there_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("curate", "--confidence-threshold", "0.6", "-p", folder) == 0
    assert run("train", "--base-model", "./no-such-model", "-p", folder) == 1
    assert "no-such-model" in capsys.readouterr().err


def test_explain_as_json_has_null_for_what_is_no_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row_id = pd.read_csv(f"{folder}.csv", dtype=str)["id"].iloc[0]
    assert run("explain", row_id, "--json", "-p", folder) == 0
    assert "NaN" not in capsys.readouterr().out


def test_nothing_is_made_by_a_wrong_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("init", "x", "--column", "instructoin=q")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_exits_with_130_and_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weaklm.project.Project.apply", interrupt)
    assert run("apply", "-p", folder) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_batches_are_listed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(folder, tmp_path / "copilot")
    before = Project(folder).batches()
    assert run("batch", 4, "-o", tmp_path / "batch.csv", "-p", folder) == 0
    capsys.readouterr()
    assert run("batches", "-p", folder, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(before) + 1
    assert (rows[-1]["purpose"], rows[-1]["n_rows"], rows[-1]["n_labelled"]) == ("learn", 4, 0)


@pytest.mark.parametrize(
    "arguments", [("batch", 5, "--purpose", "debug"), ("batch", 5, "--drawn-from", 2), ("report", "--fail-under", 80)]
)
def test_an_option_that_cannot_be_meant_is_a_usage_error(folder: Path, arguments: tuple[object, ...]) -> None:
    assert run(*arguments, "-p", folder) == 2
