"""Batches: what is drawn, what is remembered of it, and which labels may estimate something."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm import ABSTAIN, ACCEPT, REJECT
from weaklm.batches import Purpose
from weaklm.data import human_labels
from weaklm.errors import DataError, ProjectError, SettingsError
from weaklm.functions import labeling_function, slicing_function
from weaklm.project import Project


@labeling_function()
def says_sorry(x: Any) -> int:
    """REJECT when the response apologises."""
    return REJECT if "sorry" in x.response else ACCEPT


@slicing_function()
def about_fees(x: Any) -> bool:
    """About fees."""
    return "fee" in x.instruction


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "copilot")
    data = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(60)],
            "instruction": [f"question {i} about {'a fee' if i < 6 else 'a card'}" for i in range(60)],
            "response": ["sorry" if i % 3 == 0 else "it is due in May" for i in range(60)],
        }
    )
    made.add_responses(data, source="llama")
    made.functions, made.slices = [says_sorry], [about_fees]
    yield made
    made.close()


def labelled(ids: Any, label: str = "ACCEPT") -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "label": label, "annotator": "ann"})


def estimable(project: Project, *purposes: Purpose) -> tuple[Any, Any]:
    data = project.responses()
    return project._batches.estimable(data, human_labels(data), purposes or ("learn",))


def test_a_batch_draws_from_all_rows_and_from_every_slice(project: Project) -> None:
    batch = project.batch(12)
    assert len(set(batch.rows["id"])) == 12
    assert batch.rows["instruction"].str.contains("fee").sum() >= 3
    assert str(batch) == f"batch {batch.id} to learn: 12 rows"


def test_the_chances_of_a_labelled_batch_are_remembered(project: Project) -> None:
    batch = project.batch(12)
    project.add_labels(labelled(batch.rows["id"]))
    Y, inclusion = estimable(project)
    assert (Y != ABSTAIN).sum() == 12
    assert inclusion.sum() == pytest.approx(12)


def test_half_a_batch_is_a_draw_of_half_the_chance(project: Project) -> None:
    batch = project.batch(12)
    project.add_labels(labelled(batch.rows["id"].head(6)))
    assert estimable(project)[1].sum() == pytest.approx(6)


def test_labels_that_came_otherwise_count_as_an_even_draw_of_the_other_rows(project: Project) -> None:
    batch = project.batch(12)
    project.add_labels(labelled(batch.rows["id"]))
    alone = estimable(project)[1]
    other = next(i for i in project.responses()["id"] if i not in set(batch.rows["id"]))
    project.add_labels(labelled([other]))
    Y, inclusion = estimable(project)
    assert (Y != ABSTAIN).sum() == 13
    assert inclusion == pytest.approx(1 / 48 + 47 / 48 * alone)


def test_labels_that_all_came_otherwise_have_no_known_chance(project: Project) -> None:
    project.add_labels(labelled(["r1", "r2"]))
    assert estimable(project)[1] is None


def test_the_labelled_share_of_a_batch_is_that_of_the_rows_asked_about(project: Project) -> None:
    project.add_labels(labelled(project.batch(20).rows["id"]))
    data = project.responses()
    _, of_all = project._batches.estimable(data, human_labels(data))
    is_train = (data["split"] == "train").to_numpy()
    train = data[is_train]
    _, of_train = project._batches.estimable(train, human_labels(train))
    assert of_all is not None
    assert of_train == pytest.approx(of_all[is_train])


def test_two_batches_share_no_row(project: Project) -> None:
    first, second = project.batch(20), project.batch(20)
    assert not set(first.rows["id"]) & set(second.rows["id"])


def test_a_batch_that_nobody_labelled_lowers_the_chances_of_the_next(project: Project) -> None:
    first = project.batch(30)
    alone = project._batches._rows(first.id)["inclusion"].to_numpy()
    second = project.batch(20)
    nominal = project._batches._rows(second.id)["inclusion"].to_numpy()
    project.add_labels(labelled(second.rows["id"]))
    assert estimable(project)[1] == pytest.approx((1 - alone) * nominal)


def test_labels_of_a_batch_to_debug_estimate_nothing(project: Project) -> None:
    project.apply()
    project.fit()
    disagreeing = project._batches.add(
        "debug", project.responses(), project_draw(project, ["r1", "r2"]), {"function": "says_sorry"}
    )
    project.add_labels(labelled(disagreeing.rows["id"]))
    Y, inclusion = estimable(project)
    assert (Y == ABSTAIN).all()
    assert inclusion is None


def project_draw(project: Project, ids: list[str]) -> Any:
    from weaklm.sampling import Draw

    data = project.responses()
    return Draw(np.flatnonzero(data["id"].isin(ids)), np.zeros(len(data)))


def test_a_batch_to_certify_is_even_above_a_score(project: Project) -> None:
    project.apply()
    project.fit()
    data = project.responses(split="train")
    score = pd.Series(project.scores(data), index=data["id"])
    batch = project.batch(5, purpose="certify", drawn_from=0.5)
    assert (score[batch.rows["id"]] >= 0.5).all()
    project.add_labels(labelled(batch.rows["id"]))
    assert (estimable(project)[0] == ABSTAIN).all()  # above a score only, they say nothing of all rows
    _, inclusion = estimable(project, "learn", "certify")
    assert set(np.round(inclusion, 9)) == {0.0, round(5 / int((score >= 0.5).sum()), 9)}


def test_a_batch_to_debug_holds_rows_where_the_function_speaks_against_the_score(project: Project) -> None:
    project.apply()
    project.fit()
    assert len(project.batch(5, purpose="debug", function="says_sorry")) == 0  # the score follows its only function
    with pytest.raises(ProjectError, match=r"function='says_sory' names no function to debug; .*says_sorry"):
        project.batch(5, purpose="debug", function="says_sory")


def test_a_batch_goes_out_as_a_file_and_comes_back_with_labels(project: Project, tmp_path: Path) -> None:
    path = project.batch(8).to_csv(tmp_path / "batch.csv")
    filled = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert filled.columns.tolist()[-2:] == ["label", "annotator"]
    filled.loc[:4, ["label", "annotator"]] = ["REJECT", "ann"]
    filled.to_csv(path, index=False)
    assert project.add_labels(path) == 5
    assert project.batches()[["purpose", "n_rows", "n_labelled"]].values.tolist() == [["learn", 8, 5]]


def test_a_label_needs_an_annotator(project: Project, tmp_path: Path) -> None:
    path = project.batch(2).to_csv(tmp_path / "batch.csv")
    pd.read_csv(path, dtype=str, keep_default_na=False).assign(label="ACCEPT").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"the label of 'r\d+' has no annotator"):
        project.add_labels(path)


def test_a_second_batch_draws_other_rows(project: Project) -> None:
    first = project.batch(20)
    project.add_labels(labelled(first.rows["id"]))
    second = project.batch(20)
    assert not set(first.rows["id"]) & set(second.rows["id"])
    project.add_labels(labelled(second.rows["id"]))
    _, inclusion = estimable(project)
    assert inclusion.min() > 0


def test_a_batch_is_found_again_by_its_id(project: Project) -> None:
    batch = project.batch(4)
    assert project._batches.get(batch.id, project.responses()).rows.equals(batch.rows)
    with pytest.raises(ProjectError, match="there is no batch"):
        project._batches.get("nothing", project.responses())


def test_a_purpose_that_does_not_exist_is_named(project: Project) -> None:
    with pytest.raises(SettingsError, match=r"purpose is 'lern'; .*learn"):
        project.batch(4, purpose="lern")  # type: ignore[arg-type]


def test_a_certificate_goes_by_the_chances_of_fresh_labels_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply()
    first = project.batch(20)
    project.add_labels(labelled(first.rows["id"]))
    project.fit()  # which uses, and spends, these
    data = project.responses(split="train")
    free = (project.scores(data) >= 0.5) & (human_labels(data) == ABSTAIN)
    batch = project.batch(5, purpose="certify", drawn_from=0.5)
    project.add_labels(labelled(batch.rows["id"]))
    data = project.responses(split="train")
    given: dict[str, Any] = {}

    def noted(frame: pd.DataFrame, _: Any, **options: Any) -> pd.DataFrame:
        given.update(options)
        return frame

    monkeypatch.setattr("weaklm.project.curate", noted)
    project._curate(data, project.scores(data), project._labels(data, ("learn", "certify")), {"max_bad_rate": 0.2})
    chance = pd.Series(given["inclusion"], index=data["id"])
    asked_before = project._batches._rows(first.id).set_index("id")["inclusion"][data["id"]]
    expected = (1 - asked_before) * 5 / int(free.sum())
    assert chance[free].tolist() == pytest.approx(expected[free].tolist())
    assert (chance[batch.rows["id"]] > 0).all()
    assert chance[project.scores(data) < 0.5].max() == 0
