"""The loop over a project folder: every verb, its memory, its refusals."""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import weaklm as wl
from tests.tiny_models import save_model
from weaklm import ABSTAIN, ACCEPT, REJECT, LabelingFunction, labeling_function, slicing_function
from weaklm.demo import load
from weaklm.errors import FunctionError, FunctionWarning, GateError, ModelError, ProjectError, TemplateMismatchError
from weaklm.project import Project

TRAIN = {"max_steps": 2, "batch_size": 4, "micro_batch_size": 4, "max_length": 400, "r": 4, "save_every": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "train": TRAIN,
    "generate": {"max_new_tokens": 4},
    "curate": {"confidence_threshold": 0.6},
}


@labeling_function
def long_enough(x: Any) -> int:
    """ACCEPT an answer of twelve words or more."""
    return ACCEPT if len(x.response.split()) >= 12 else ABSTAIN


@labeling_function(resources={"words": ("cannot", "unable", "sorry")})
def refuses(x: Any, words: tuple[str, ...]) -> int:
    """REJECT an answer that refuses."""
    return REJECT if any(word in x.response.lower() for word in words) else ABSTAIN


@labeling_function
def invents(x: Any) -> int:
    """REJECT an answer with a figure that the context lacks."""
    return REJECT if set(re.findall(r"\d+", x.response)) - set(re.findall(r"\d+", x.context)) else ABSTAIN


@slicing_function
def asks_how(x: Any) -> bool:
    """Whether the instruction asks how."""
    return "how" in x.instruction.lower()


def responses(n_instructions: int = 40) -> pd.DataFrame:
    """Return the demo's answers to the first instructions, some of them held out."""
    data = load().responses
    chosen = [*data[data["split"] == "train"]["instruction_id"].unique()[: n_instructions - 8]]
    chosen += [*data[data["split"] == "test"]["instruction_id"].unique()[:8]]
    return data[data["instruction_id"].isin(chosen)].reset_index(drop=True)


def filled(folder: Path) -> Project:
    project = Project.create(folder, settings=SETTINGS)
    project.add_responses(responses())
    project.functions = [long_enough, refuses, invents]
    project.slices = [asks_how]
    return project


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "tiny-llama", window=2048)


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Iterator[Project]:
    """Return a project after one turn of the loop; tests only read it."""
    project = filled(tmp_path_factory.mktemp("looped") / "copilot")
    project.run(base_model)
    yield project
    project.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = filled(tmp_path / "copilot")
    yield project
    project.close()


def test_the_loop_makes_two_new_sources_that_are_scored(looped: Project) -> None:
    assert looped.sources()[2:] == ["tiny-llama", f"tiny-llama-tuned-{looped.trained().id[:8]}"]
    answers = looped.responses(source="tiny-llama")
    assert len(answers) == 8
    assert np.isfinite(looped.scores(answers)).all()


def test_a_second_run_does_nothing(looped: Project, base_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {path: path.stat().st_mtime_ns for path in looped.folder.rglob("*") if "project.db" not in path.name}
    with caplog.at_level(logging.INFO, logger="weaklm"):
        looped.run(base_model)
    again = {path: path.stat().st_mtime_ns for path in looped.folder.rglob("*") if "project.db" not in path.name}
    assert again == files
    assert sum("up to date" in message for message in caplog.messages) >= 7


def test_new_rows_cost_their_own_votes_only(project: Project) -> None:
    everything = responses()
    project.apply()
    more = everything.head(3).assign(id=["n1", "n2", "n3"], source="copilot-c")
    project.add_responses(more)
    assert project.apply().computed == {"long_enough": 3, "refuses": 3, "invents": 3}


def test_an_edited_function_costs_its_own_column_only(project: Project) -> None:
    n_rows = project.apply().n_rows

    @labeling_function(name="invents")
    def edited(x: Any) -> int:
        return REJECT if len(x.response) > 300 else ABSTAIN

    project.functions = [long_enough, refuses, edited]
    assert project.apply().computed == {"invents": n_rows}


def test_votes_are_those_of_the_functions(looped: Project) -> None:
    data = looped.responses(split="train")
    expected = wl.LFApplier(looped.functions).apply(data)
    np.testing.assert_array_equal(looped.votes(data), expected)


def test_training_rows_are_scored_by_models_that_did_not_see_them(looped: Project) -> None:
    data = looped.responses(split="train")
    in_sample = looped.quality.predict_proba(data)[:, ACCEPT]
    assert not np.allclose(looped.scores(data), in_sample)


def test_held_out_rows_are_scored_by_the_saved_model(looped: Project) -> None:
    data = looped.responses(split="test")
    np.testing.assert_allclose(looped.scores(data), looped.quality.predict_proba(data)[:, ACCEPT], atol=1e-12)


def test_reports_default_to_held_out_instructions(looped: Project) -> None:
    assert looped.report().summary()["n"] == len(looped.responses(split="test"))


def test_a_report_is_saved_as_html_and_json(looped: Project) -> None:
    looped.report()
    folder = looped.last("report")
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["kind"] == "report"


def test_a_gate_that_is_not_met_says_so(looped: Project) -> None:
    with pytest.raises(GateError, match=r"the proxy accept rate is .*, under the gate of 1.1"):
        looped.report(fail_under=1.1)


def test_an_explanation_adds_up_and_leads_back_to_the_code(looped: Project) -> None:
    kept = looped.curated().to_frame().iloc[0]
    why = looped.explain(kept["id"])
    assert [vote["function"] for vote in why.votes] == ["long_enough", "refuses", "invents"]
    assert why.votes[0]["code_hash"] == wl.functions.code_hash(long_enough)
    assert why.score == pytest.approx(kept["score"])
    assert why.curation == {"kept": True, "reason": ""}
    assert why.runs["train"] == [looped.trained().id]


def test_an_explanation_of_a_generated_answer_names_its_generation(looped: Project) -> None:
    row = looped.responses(source="tiny-llama").iloc[0]
    why = looped.explain(row["id"])
    assert why.runs["generate"] is not None
    assert why.curation is None
    assert row["id"] in str(why)


def test_an_unknown_id_is_told_the_nearest(looped: Project) -> None:
    known = looped.responses()["id"].iloc[0]
    with pytest.raises(ProjectError, match="no response has the id"):
        looped.explain(known + "x")


def test_curated_rows_are_of_the_train_split_and_exported(looped: Project, tmp_path: Path) -> None:
    kept = looped.curated().to_frame()
    assert set(kept["split"]) == {"train"}
    assert looped.export(tmp_path / "rows.jsonl", "messages") == len(kept)
    first = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["messages"][-1] == {"role": "assistant", "content": kept["response"].iloc[0]}


def test_a_curated_set_of_an_older_model_is_used_with_a_warning(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.apply()
    project.fit()
    project.curate()
    project.functions = [long_enough, invents]
    project.fit()
    project.curated()
    assert "was chosen by the older model" in caplog.text


def test_a_comparison_pairs_the_held_out_instructions(looped: Project) -> None:
    comparison = looped.compare("copilot-a", "copilot-b")
    assert comparison.summary()["n_pairs"] == 8


def test_a_comparison_counts_what_the_tuned_model_was_trained_on(looped: Project) -> None:
    tuned = looped.sources()[-1]
    assert looped.compare("tiny-llama", tuned).summary()["leakage"] is None  # held-out instructions
    assert looped._trained_on(tuned) == sorted(set(looped.curated().to_frame()["instruction_id"]))
    assert looped._trained_on("copilot-a") is None


def test_a_gate_fails_when_a_source_is_worse(looped: Project) -> None:
    worse = looped.compare("copilot-a", "tiny-llama", "copilot-b")
    assert {part["names"][1] for part in worse.summary()["sources"]} == {"copilot-b"}
    if "worse" in (worse.outcome, worse.summary()["score_outcome"]):
        with pytest.raises(GateError, match="a source is worse"):
            looped.compare("copilot-a", "tiny-llama", fail_if_worse=True)


def test_an_adapter_leads_back_to_its_rows_and_the_code_of_every_function(looped: Project) -> None:
    lineage = looped.lineage()
    assert [step.kind for step in lineage.steps] == ["train", "curate", "fit"]
    assert (looped.folder / looped.trained().folder / "training.svg").read_text().startswith("<")
    assert sorted(lineage.rows["id"]) == sorted(looped.curated().to_frame()["id"])
    assert lineage.functions[["name", "now"]].values.tolist() == [
        ["long_enough", "same"],
        ["refuses", "same"],
        ["invents", "same"],
    ]


def test_blame_runs_the_loop_without_the_function(looped: Project) -> None:
    effect = looped.blame("refuses")
    assert effect.to_dict()["n_votes"] > 0
    assert set(effect.kept_by_it) <= set(looped.curated().to_frame()["id"])


def test_where_nothing_can_be_learned_without_a_function_blame_tells_its_labels(
    looped: Project, caplog: pytest.LogCaptureFixture
) -> None:
    effect = looped.blame("long_enough")  # the only one that accepts
    assert effect.to_dict()["n_kept"] is None
    assert "the loop cannot be run without long_enough: all" in caplog.text


def test_a_function_to_blame_must_exist(looped: Project) -> None:
    with pytest.raises(ProjectError, match=r"no function 'long_enogh'; .*long_enough"):
        looped.blame("long_enogh")


def test_a_report_of_a_project_says_what_drives_reject(looped: Project) -> None:
    summary = looped.report(source=["copilot-a", "copilot-b"]).summary()
    assert {row["name"] for row in summary["functions"]} == {"long_enough", "refuses", "invents"}
    assert summary["error_modes"] is not None


def test_a_curated_set_without_repeats_and_leaks_of_held_out_instructions(project: Project) -> None:
    project.apply()
    project.fit()
    asked = project.responses(split="test")["instruction"].iloc[0]
    leaked = pd.DataFrame({"instruction": [f"{asked} "], "response": ["It is due in May."], "id": ["leak"]})
    project.add_responses(leaked, source="copilot-a", split="train")
    project.rescore()
    curated = project.curate(confidence_threshold=0.5, labels=["ACCEPT", "REJECT"], dedupe=True, decontaminate=True)
    assert "leak" in set(curated.show_rejected()["id"])
    kept = project.keep(curated.sample(10))
    assert len(kept) == len(project.curated()) == 10


def test_labels_to_certify_train_nothing_and_certify_once(project: Project) -> None:
    truth = load().annotations.drop_duplicates("id").set_index("id")["label"]
    project.apply()
    weak = project.fit()
    batch = project.batch(40, purpose="certify", drawn_from=0.5)
    known = [i for i in batch.rows["id"] if i in truth.index]
    labels = pd.DataFrame({"id": batch.rows["id"], "annotator": "ann"})
    project.add_labels(labels.assign(label=[truth.get(i, "ACCEPT") for i in labels["id"]]))
    assert len(known) < len(labels)  # the others are called good
    assert project.fit() == weak
    certificate = project.curate(max_bad_rate=0.3, drawn_from=0.5).certificate
    assert certificate is not None
    assert certificate.n_labels + certificate.set_aside.get("an earlier certificate", 0) > 0
    assert set(certificate.label_ids) <= set(labels["id"])
    again = project.curate(max_bad_rate=0.25, drawn_from=0.5).certificate
    assert again is not None
    assert again.set_aside == {"an earlier certificate": len(certificate.label_ids)}
    assert not again.is_certified


def test_without_human_labels_the_model_is_not_calibrated(project: Project) -> None:
    project.add_labels(load().annotations.query("id in @ids", local_dict={"ids": set(project.responses()["id"])}))
    project.apply()
    weak, human = project.fit(human_labels=False), project.fit()
    assert (weak.n_human, weak.calibrated) == (0, False)
    assert human.n_human > 50
    assert human.calibrated
    assert weak.id != human.id


def test_an_interrupted_training_is_resumed_to_the_same_adapter(
    looped: Project, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weaklm.lm import loop

    project = filled(tmp_path / "other")
    for step in (project.apply, project.fit, project.curate):
        step()
    take = loop.Loop._gradients
    calls = []

    def interrupted(self: Any, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return take(self, *args)

    monkeypatch.setattr(loop.Loop, "_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.train(base_model)
    resumed = project.train(base_model)
    monkeypatch.undo()
    assert len(calls) == 3  # one step, the interruption, and only the second step again
    straight = looped.folder / looped.trained().folder / "adapter_model.safetensors"
    assert (project.folder / resumed.folder / "adapter_model.safetensors").read_bytes() == straight.read_bytes()
    project.close()


def test_a_function_that_raises_is_named_and_nothing_is_stored(project: Project) -> None:
    @labeling_function
    def broken(x: Any) -> int:
        return 1 // len(x.prompt_prefix[:0])

    project.functions = [long_enough, broken]
    with pytest.raises(FunctionError, match=r"broken .*ZeroDivisionError"):
        project.apply()
    assert project.store.keys("votes") == []


def test_a_vote_of_2_is_refused(project: Project) -> None:
    project.functions = [labeling_function(name="two")(lambda _: 2)]
    with pytest.raises(FunctionError, match="two returned 2"):
        project.apply()


def test_functions_that_never_vote_are_refused(project: Project) -> None:
    project.functions = [labeling_function(name="mute")(lambda _: ABSTAIN)]
    project.apply()
    with pytest.raises(ModelError, match="vote"):
        project.fit()
    assert not (project.folder / "models").exists()


def test_votes_of_one_class_only_are_refused_or_said(project: Project) -> None:
    project.functions = [labeling_function(name="yes")(lambda _: ACCEPT)]
    project.apply()
    with pytest.raises(ModelError):
        project.fit()
    assert not (project.folder / "models").exists()


def test_a_base_model_that_is_not_there_leaves_nothing(project: Project) -> None:
    for step in (project.apply, project.fit, project.curate):
        step()
    with pytest.raises(ModelError, match="no-such-model"):
        project.train(project.folder / "no-such-model")
    assert not (project.folder / "adapters").exists() or not list((project.folder / "adapters").iterdir())


def test_an_adapter_of_another_template_is_refused(looped: Project, tmp_path: Path, base_model: Path) -> None:
    import shutil

    base = shutil.copytree(base_model, tmp_path / "tiny-llama")
    project = filled(tmp_path / "copilot")
    for step in (project.apply, project.fit, project.curate):
        step()
    trained = project.train(base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(TemplateMismatchError, match="force"):
        project.generate(trained)
    assert len(project.sources()) == 2
    project.close()


def test_the_step_that_is_missing_is_named(project: Project) -> None:
    with pytest.raises(ProjectError, match=r"run apply\(\) first"):
        project.fit()
    with pytest.raises(ProjectError, match=r"has no fit yet; run fit\(\) first"):
        project.report()
    with pytest.raises(ProjectError, match="no base model is named"):
        project.train()


def test_an_empty_project_says_what_to_do(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    with pytest.raises(ProjectError, match="has no responses yet; import some"):
        project.apply()


def test_a_file_named_like_a_ready_one_adds_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from weaklm import REJECT, labeling_function\n\n@labeling_function\ndef my_own(x):\n    return REJECT\n"
    project = Project.create(tmp_path)
    (tmp_path / "lfs" / "refusal.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [function.name for function in project.functions]
    assert {"my_own", "refuses", "word_support"} <= set(names)


def test_a_function_named_like_a_ready_one_is_refused(tmp_path: Path) -> None:
    code = "from weaklm import REJECT, labeling_function\n\n@labeling_function\ndef refuses(x):\n    return REJECT\n"
    project = Project.create(tmp_path)
    (tmp_path / "lfs" / "mine.py").write_text(code)
    with pytest.raises(FunctionError, match="two different functions are named 'refuses'"):
        project.apply()


def test_a_project_without_functions_says_so(project: Project) -> None:
    project.functions = []
    with pytest.raises(ProjectError, match="has no labeling function"):
        project.apply()


def test_a_generated_answer_takes_only_what_belongs_to_the_instruction(project: Project, base_model: Path) -> None:
    extra = responses().assign(id=lambda d: d["id"] + "x", source="copilot-c")
    extra["latency"] = [str(i) for i in range(len(extra))]
    project.add_responses(extra)
    project.apply()
    project.fit()
    answers = project.responses(source=project.generate(base_model, split="test"))
    assert answers["topic"].notna().all()
    assert answers["latency"].isna().all()


def test_another_turn_of_the_loop_gets_a_source_of_its_own(project: Project, base_model: Path) -> None:
    project.apply()
    project.fit()
    first = project.generate(base_model, split="test")
    second = project.generate(base_model, split="test", max_new_tokens=3)
    assert first == "tiny-llama"
    assert second.startswith("tiny-llama-")
    assert project.generate(base_model, split="test", max_new_tokens=3) == second


def test_functions_come_from_the_libraries_and_the_projects_folder(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    (tmp_path / "lfs" / "mine.py").write_text(
        "from weaklm import REJECT, labeling_function\n\n@labeling_function\ndef my_own(x):\n    return REJECT\n"
    )
    names = [function.name for function in project.functions]
    assert "my_own" in names
    assert len(names) > 12


def test_a_failure_that_was_tolerated_is_tolerated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER", "down")
    first = load().responses["id"].iloc[0]

    def shaky(x: Any) -> int:
        if os.environ["SERVER"] == "down" and x.id == first:
            raise OSError("no connection")
        return ACCEPT if len(x.response) > 40 else ABSTAIN

    project = Project.create(tmp_path / "p")
    project.add_responses(responses())
    project.functions = [LabelingFunction("shaky", shaky, compile=False)]
    for _ in range(2):  # the second asks about that row alone
        with pytest.warns(FunctionWarning, match="shaky failed on example"):
            assert project.apply().failed == {"shaky": 1}
    assert project.lf_summary()["Errors"].tolist() == [1]
    monkeypatch.setenv("SERVER", "up")
    assert project.apply().computed == {"shaky": 1}
    assert project.apply().computed == {}


def test_a_fit_is_made_anew_when_votes_have_changed(tmp_path: Path) -> None:
    turn = [0]
    clock = LabelingFunction("clock", lambda x: (len(x.response) + turn[0]) % 2, cache=False, compile=False)
    project = Project.create(tmp_path / "p")
    project.add_responses(responses())
    project.functions = [long_enough, clock]
    fitted = set()
    for turn[0] in (0, 1):
        project.apply()
        fitted.add(project.fit(human_labels=False).id)
    assert len(fitted) == 2
