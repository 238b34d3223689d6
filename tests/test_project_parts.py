"""Store, responses, settings and runs: what a project remembers, and what it refuses."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from weaklm import settings
from weaklm import store as tables
from weaklm.data import read
from weaklm.errors import DataError, ProjectError, SettingsError
from weaklm.project import Project
from weaklm.responses import Responses
from weaklm.runs import Runs
from weaklm.store import Store, now


def frame(n: int = 4, source: str = "llama", **columns: object) -> pd.DataFrame:
    values = {"instruction": [f"question {i}" for i in range(n)], "response": [f"answer {i}" for i in range(n)]}
    return read(pd.DataFrame(values | columns), source=source)


@pytest.fixture
def responses(tmp_path: Path) -> Responses:
    return Responses(Store(tmp_path))


def test_an_imported_row_comes_back_as_it_was(responses: Responses) -> None:
    responses.add(frame(topic=list("abcd")), "x.csv", {})
    assert responses.frame()[["response", "source", "topic"]].iloc[1].tolist() == ["answer 1", "llama", "b"]


def test_importing_twice_changes_nothing_and_is_counted(responses: Responses) -> None:
    responses.add(frame(), "x.csv", {})
    again = responses.add(frame(), "x.csv", {})
    assert (again.n_rows, again.dropped, len(responses.frame())) == (0, {"already in the project": 4}, 4)


def test_the_same_id_with_other_content_names_both(responses: Responses) -> None:
    responses.add(frame(id=list("wxyz")), "x.csv", {})
    other = frame(id=list("wxyz"))
    other.loc[2, "response"] = "changed"
    with pytest.raises(DataError, match=r"id 'y' is in the project with another 'response': 'answer 2', not 'changed'"):
        responses.add(other, "y.csv", {})


def test_an_instruction_belongs_to_one_split(responses: Responses) -> None:
    responses.add(frame(split="train"), "x.csv", {})
    with pytest.raises(DataError, match=r"is in the splits \['test', 'train'\]"):
        responses.add(frame(source="mistral", split="test"), "y.csv", {})


def test_a_split_by_hash_gives_all_sources_of_an_instruction_the_same_split(responses: Responses) -> None:
    responses.add(frame(400), "x.csv", {})
    responses.add(frame(400, source="mistral"), "y.csv", {})
    data = responses.frame()
    assert data.groupby("instruction_id")["split"].nunique().eq(1).all()
    assert 0.15 < (data["split"] == "test").mean() < 0.35


def test_a_later_import_moves_no_instruction(responses: Responses) -> None:
    responses.add(frame(50), "x.csv", {})
    before = responses.frame().set_index("instruction_id")["split"]
    responses.add(frame(90, source="mistral"), "y.csv", {})
    after = responses.frame(source="llama").set_index("instruction_id")["split"]
    pd.testing.assert_series_equal(before, after)


def test_the_majority_of_the_annotators_is_the_human_label(responses: Responses) -> None:
    data = frame()
    responses.add(data, "x.csv", {})
    votes = {"ann": "1 1 0 1", "bob": "1 0 0 0", "cyd": "1 1 1"}
    rows = [(i, who, y) for who, ys in votes.items() for i, y in zip(data["id"], ys.split(), strict=False)]
    assert responses.add_labels(pd.DataFrame(rows, columns=["id", "annotator", "label"])) == 11
    assert responses.frame()["human_label"].tolist() == ["ACCEPT", "ACCEPT", "REJECT", None]


def test_an_annotators_newest_label_counts(responses: Responses) -> None:
    data = frame()
    responses.add(data, "x.csv", {})
    for label in ("ACCEPT", "REJECT"):
        responses.add_labels(pd.DataFrame({"id": data["id"][:1], "annotator": "ann", "label": label}))
    assert responses.frame()["human_label"].iloc[0] == "REJECT"


def test_labels_for_unknown_ids_are_refused(responses: Responses) -> None:
    responses.add(frame(), "x.csv", {})
    with pytest.raises(DataError, match="1 labels are for ids that the project does not have, such as 'nobody'"):
        responses.add_labels(pd.DataFrame({"id": ["nobody"], "annotator": ["ann"], "label": ["ACCEPT"]}))


def _import(folder: str) -> None:
    Responses(Store(Path(folder))).add(frame(40), "x.csv", {})


def test_two_imports_of_one_file_at_once_add_it_once(tmp_path: Path) -> None:
    Store(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_import, args=(str(tmp_path),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(Responses(Store(tmp_path)).frame()) == 40


def test_a_column_of_numbers_here_and_text_there_is_text(responses: Responses) -> None:
    responses.add(frame(2, lat=[1, 2]), "x.jsonl", {})
    responses.add(frame(2, source="mistral", lat=["1.5", None]), "y.csv", {})
    assert responses.frame()["lat"].tolist()[:3] == ["1", "2", "1.5"]


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "project.db").write_text("this is no database, however long the text may be " * 99)
    with pytest.raises(ProjectError, match=r"project\.db cannot be opened"):
        Store(tmp_path)


def test_a_part_is_invisible_until_its_transaction_commits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="power cut"), store.write() as connection:
        store.add_part(connection, "votes", "says_sorry", pd.DataFrame({"id": ["a"], "vote": [1]}))
        raise RuntimeError("power cut")
    assert store.frame("votes", "says_sorry") is None


def test_the_rewrite_of_an_uncommitted_part_is_what_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.write() as connection:
        store.add_part(connection, "votes", "f", pd.DataFrame({"id": ["a"], "vote": [1]}))
        raise RuntimeError
    with store.write() as connection:
        store.add_part(connection, "votes", "f", pd.DataFrame({"id": ["a"], "vote": [0]}))
    found = store.frame("votes", "f")
    assert found is not None and found["vote"].tolist() == [0]


def _count_up(folder: str, times: int) -> None:
    store = Store(Path(folder))
    for _ in range(times):
        with store.write() as connection:
            n = connection.execute(sa.select(tables.imports.c.n_rows)).scalar_one()
            connection.execute(tables.imports.update().values(n_rows=n + 1))


def test_concurrent_writers_lose_no_update(tmp_path: Path) -> None:
    with Store(tmp_path).write() as connection:
        values = {"source": "s", "path": "p", "n_rows": 0, "dropped": {}, "created": now()}
        connection.execute(tables.imports.insert().values(**values))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_count_up, args=(str(tmp_path), 50)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Store(tmp_path).rows(sa.select(tables.imports.c.n_rows)) == [{"n_rows": 100}]


def test_a_step_from_the_same_inputs_runs_once(tmp_path: Path) -> None:
    runs, calls = Runs(Store(tmp_path)), []

    def make() -> dict[str, int]:
        calls.append(1)
        return {"n": 7}

    assert [runs.once("fit", "abc", make), runs.once("fit", "abc", make), len(calls)] == [{"n": 7}, {"n": 7}, 1]


def test_a_step_asked_for_again_is_the_newest(tmp_path: Path) -> None:
    runs = Runs(Store(tmp_path))
    for run_id in ("a", "b", "a"):
        runs.once("fit", run_id, lambda: {})
    assert [run["id"] for run in runs.all("fit")] == ["a", "b"]


def test_a_step_whose_folder_is_gone_runs_again(tmp_path: Path) -> None:
    runs = Runs(Store(tmp_path))
    calls = []

    def make() -> dict[str, str]:
        calls.append(1)
        (tmp_path / "made").mkdir()
        return {"folder": "made"}

    for _ in range(2):
        runs.once("fit", "abc", make)
        (tmp_path / "made").rmdir()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[curate]\nconfidence_treshold = 0.9", "unknown key 'confidence_treshold' in .curate.; did you mean 'conf"),
        ("[trian]\nr = 4", "unknown table .trian.; did you mean 'train'"),
        ("[train]\nlearning_rat = 1", "unknown key 'learning_rat' in .train.; did you mean 'learning_rate'"),
        ("[curate]\nconfidence_threshold = 'high'", "confidence_threshold in .curate. is 'high'; expected float"),
        ("[train]\nr = 'many'", "r in .train. is 'many'; expected int"),
        ("[functions]\nlabeling = 'lfs'", "labeling in .functions. is 'lfs'; expected list"),
        ("[split]\ntest = 1.5", "test in .split. is 1.5; expected share"),
        ("curate = 3", "curate is 3; a table of settings was expected"),
        ("[curate", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_the_nearest(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "weaklm.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        Project(tmp_path)


def test_a_wrong_setting_leaves_no_project_behind(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'context'"):
        Project.create(tmp_path / "new", columns={"contxt": "c"})
    assert not (tmp_path / "new").exists()


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    values: dict[str, dict[str, Any]] = {
        "columns": {"instruction": 'the "question"'},
        "curate": {"labels": ["ACCEPT"], "confidence_threshold": 0.8},
    }
    settings.write(tmp_path, values)
    read_back = settings.load(tmp_path)
    assert {table: read_back[table] for table in values} == values


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"is no weaklm project.*python -m weaklm init"):
        Project(tmp_path)


def test_a_project_is_not_made_twice(tmp_path: Path) -> None:
    Project.create(tmp_path)
    with pytest.raises(ProjectError, match="is a weaklm project already"):
        Project.create(tmp_path)


def test_ids_are_strings_whatever_the_file_holds() -> None:
    assert frame(3, id=np.array([1.0, 2.0, 3.0]))["id"].tolist() == ["1", "2", "3"]
