"""What stands in the files: the fields that trainers and tools expect, files of other hands, and what is refused."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weaklm.curation import QualityDataset
from weaklm.data import complete
from weaklm.errors import DataError, MissingExtraError
from weaklm.exchange import FORMATS, export, prompt_messages, read, read_labels


def frame(responses: list[str], **columns: Any) -> pd.DataFrame:
    text = pd.Series(responses, dtype=object)  # pandas' own strings cannot hold half of a surrogate pair
    return complete(pd.DataFrame({"instruction": "Why?", "context": "It rained.", "response": text} | columns))


def rows(path: Path, data: Any, format: str, **options: Any) -> list[dict[str, Any]]:
    """Return what a reader that knows nothing of weaklm sees in the file."""
    export(data, path, format, lossless=False, **options)
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n")[:-1]]


def written(path: Path, *found: dict[str, Any]) -> Path:
    text = json.dumps(found) if path.suffix == ".json" else "\n".join(map(json.dumps, found))
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------- what is written


def test_messages_hold_system_user_and_assistant(tmp_path: Path) -> None:
    data = frame(["Because."], prompt_prefix="Be brief.")
    assert rows(tmp_path / "chat.jsonl", data, "messages") == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Why?\n\nIt rained."},
                {"role": "assistant", "content": "Because."},
            ]
        }
    ]


def test_without_a_system_role_the_prefix_opens_the_users_message() -> None:
    row = {"prompt_prefix": "Be brief.", "instruction": "Why?", "context": " "}
    assert prompt_messages(row, system_role=False) == [{"role": "user", "content": "Be brief.\n\nWhy?"}]


def test_prompt_and_completion_leave_empty_parts_out(tmp_path: Path) -> None:
    found = rows(tmp_path / "rows.jsonl", frame(["Because."], context=""), "prompt_completion")
    assert found == [{"prompt": "Why?", "completion": "Because."}]


def test_conversational_prompts_are_messages(tmp_path: Path) -> None:
    found = rows(tmp_path / "rows.jsonl", frame(["Yes."], context=""), "prompt_completion", conversational=True)
    prompt, completion = [{"role": "user", "content": "Why?"}], [{"role": "assistant", "content": "Yes."}]
    assert found == [{"prompt": prompt, "completion": completion}]


def test_alpaca_has_instruction_input_output_and_system(tmp_path: Path) -> None:
    (found,) = rows(tmp_path / "rows.json", frame(["Because."], prompt_prefix="Be brief."), "alpaca")
    assert found == {"instruction": "Why?", "input": "It rained.", "output": "Because.", "system": "Be brief."}


def test_sharegpt_names_who_speaks(tmp_path: Path) -> None:
    (found,) = rows(tmp_path / "rows.jsonl", frame(["Because."], prompt_prefix="Be brief."), "sharegpt")
    assert [turn["from"] for turn in found["conversations"]] == ["system", "human", "gpt"]
    assert found["conversations"][1]["value"] == "Why?\n\nIt rained."


def test_kto_rows_have_a_prompt_a_completion_and_a_label(tmp_path: Path) -> None:
    found = rows(tmp_path / "rows.jsonl", frame(["Yes.", "No."], label=[True, False]), "kto")
    assert found[1] == {"prompt": "Why?\n\nIt rained.", "completion": "No.", "label": False}


def test_dpo_rows_have_a_prompt_and_both_responses(tmp_path: Path) -> None:
    pairs = pd.DataFrame({"instruction": ["Why?"], "chosen": ["It rained."], "rejected": ["Sorry."]})
    found = rows(tmp_path / "rows.jsonl", pairs, "dpo", conversational=True)
    assert found[0]["prompt"] == [{"role": "user", "content": "Why?"}]
    assert found[0]["rejected"] == [{"role": "assistant", "content": "Sorry."}]


def test_a_curated_set_gives_its_rows_for_kto_and_its_pairs_for_dpo(tmp_path: Path) -> None:
    curated = QualityDataset(frame(["Yes.", "No."]), [0.95, 0.02])
    assert [row["label"] for row in rows(tmp_path / "kto.jsonl", curated, "kto")] == [True, False]
    (pair,) = rows(tmp_path / "dpo.jsonl", curated, "dpo")
    assert (pair["chosen"], pair["rejected"]) == ("Yes.", "No.")


def test_what_a_format_has_no_place_for_is_one_text(tmp_path: Path) -> None:
    export(frame(["Because."], source="llama", score=0.5), tmp_path / "rows.jsonl", "messages")
    found = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert list(found) == ["messages", "weaklm"]
    note = json.loads(found["weaklm"])
    assert note["columns"]["source"] == "llama"
    assert note["dtypes"] == {"score": "float64"}


def test_spreadsheet_safe_cells_are_not_formulas(tmp_path: Path) -> None:
    data = frame(["=HYPERLINK()", "5 - 3"]).assign(**{"@sum": "\uff1d1"})
    export(data, tmp_path / "rows.csv", spreadsheet_safe=True)
    plain = pd.read_csv(tmp_path / "rows.csv")
    assert plain["response"].tolist() == ["'=HYPERLINK()", "5 - 3"]
    assert plain["'@sum"].tolist() == ["'\uff1d1", "'\uff1d1"]
    assert read(tmp_path / "rows.csv")["response"].tolist() == ["=HYPERLINK()", "5 - 3"]


def test_a_table_of_texts_alone_has_no_further_column(tmp_path: Path) -> None:
    export(frame(["Because."]), tmp_path / "rows.csv")
    assert "weaklm" not in pd.read_csv(tmp_path / "rows.csv").columns


def test_a_cell_that_was_changed_in_a_spreadsheet_is_read_as_changed(tmp_path: Path) -> None:
    export(frame(["Because."], human_label=[None], score=0.25, tags=[["a"]]), tmp_path / "rows.csv")
    table = pd.read_csv(tmp_path / "rows.csv", dtype=object)
    table.assign(human_label="REJECT", score="0.75", tags="b").to_csv(tmp_path / "rows.csv", index=False)
    back = read(tmp_path / "rows.csv")
    assert back.loc[0, ["human_label", "score", "tags"]].tolist() == ["REJECT", 0.75, "b"]


def test_a_number_that_is_none_any_more_is_named(tmp_path: Path) -> None:
    export(frame(["Because."], score=0.25), tmp_path / "rows.csv")
    table = pd.read_csv(tmp_path / "rows.csv", dtype=object)
    table.assign(score="about a half").to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"column 'score' was written as float64.*about a half"):
        read(tmp_path / "rows.csv")


# ---------------------------------------------------------------------------------------------- files of other hands

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is it open?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Until when?"},
    {"role": "assistant", "content": "Five."},
]


def test_the_last_question_is_the_instruction_and_what_came_before_its_context(tmp_path: Path) -> None:
    x = read(written(tmp_path / "rows.jsonl", {"messages": TURNS, "topic": "hours"})).iloc[0]
    assert (x["prompt_prefix"], x["instruction"], x["response"]) == ("Be brief.", "Until when?", "Five.")
    assert x["context"] == "user: Is it open?\n\nassistant: Yes."
    assert x["topic"] == "hours"


def test_sharegpt_of_other_hands_is_read(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "It rained."}]
    x = read(written(tmp_path / "rows.json", {"conversations": talk, "system": "Be brief."})).iloc[0]
    assert (x["prompt_prefix"], x["instruction"], x["response"]) == ("Be brief.", "Why?", "It rained.")


def test_alpaca_of_other_hands_is_read(tmp_path: Path) -> None:
    x = read(written(tmp_path / "rows.json", {"instruction": "Sum up.", "input": "A text.", "output": "Short."})).iloc[
        0
    ]
    assert (x["instruction"], x["context"], x["response"]) == ("Sum up.", "A text.", "Short.")


def test_chats_that_are_no_example_are_counted_by_reason(tmp_path: Path) -> None:
    tools = [*TURNS[:2], {"role": "tool", "content": "{}"}, TURNS[2]]
    path = written(tmp_path / "rows.jsonl", {"messages": TURNS}, {"messages": TURNS[:2]}, {"messages": tools})
    data = read(path)
    assert len(data) == 1
    assert data.attrs["dropped"] == {"a chat that does not end in a question and its answer": 1, "a chat with tools": 1}


def test_no_example_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows.jsonl has no row that is an example.*does not end"):
        read(written(tmp_path / "rows.jsonl", {"messages": TURNS[:2]}))


def test_rows_with_an_instruction_and_a_response_are_examples_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", {"instruction": "Why?", "response": "It rained.", "messages": "none"})
    assert read(path)["messages"].tolist() == ["none"]


def test_named_columns_are_taken_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", {"prompt": "Why?", "completion": "It rained."})
    back = read(path, columns={"instruction": "completion", "response": "prompt"}, source="llama")
    assert back[["instruction", "response", "source"]].values.tolist() == [["It rained.", "Why?", "llama"]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": "hello"}, r"rows.jsonl, row 0: the field 'messages' is 'hello'; a list of messages"),
        ({"messages": [{"role": "user"}]}, r"row 0: the content of a message is None"),
        ({"messages": [{"content": "Why?"}]}, r"row 0: it has no field 'role'"),
        ({"messages": [{"role": "user", "content": ["Why?"]}, TURNS[2]]}, r"content of a message is \['Why\?'\]"),
        ({"prompt": "Why?", "completion": 5}, r"the field 'completion' is 5"),
        ({"messages": TURNS, "weaklm": "oops"}, r"no note of weaklm: 'oops'"),
        ({"message": TURNS}, r"rows.jsonl has no column 'instruction'"),
    ],
)
def test_a_row_that_is_wrong_is_named(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(written(tmp_path / "rows.jsonl", row))


def test_a_prompt_that_was_changed_is_not_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    export(frame(["Because."]), path, "messages")
    path.write_text(path.read_text(encoding="utf-8").replace("Why?", "Why not?"), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 0: the prompt 'Why not\?.*was changed since it was written"):
        read(path)


def test_a_response_that_was_changed_is_read_as_changed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    export(frame(["Because."], score=0.5), path, "messages")
    path.write_text(path.read_text(encoding="utf-8").replace("Because.", "It rained."), encoding="utf-8")
    assert read(path)[["response", "score"]].values.tolist() == [["It rained.", 0.5]]


def test_files_of_two_exports_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    export(frame(["a"], score=0.5), path, "messages")
    first = path.read_text(encoding="utf-8")
    export(frame(["b"], score=[None], flag=True), path, "messages")
    path.write_text(path.read_text(encoding="utf-8") + first, encoding="utf-8")
    back = read(path)
    assert back["response"].tolist() == ["b", "a"]
    assert back["score"].tolist() == [None, 0.5]


def test_arrays_come_back_as_lists(tmp_path: Path) -> None:
    vectors = pd.Series([np.array([0.5, 1.0])], dtype=object)
    for name, format in {"rows.jsonl": "messages", "rows.parquet": None}.items():
        export(frame(["a"]).assign(vector=vectors), tmp_path / name, format)
        assert read(tmp_path / name)["vector"].tolist() == [[0.5, 1.0]]


# ---------------------------------------------------------------------------------------------- annotation tools


def test_a_record_of_argilla_suggests_the_scores_label(tmp_path: Path) -> None:
    votes = pd.DataFrame({"says_sorry": [0], "cites": [1], "too_short": [-1]})
    data = frame(["Sorry."], id="a", source="llama", score=0.25)
    (found,) = rows(tmp_path / "records.json", data, "argilla", votes=votes)
    assert found["fields"]["response"] == "Sorry."
    assert found["suggestions"] == {"label": {"value": "REJECT", "score": 0.75, "agent": "weaklm"}}
    assert found["metadata"] == {
        "source": "llama",
        "score": 0.25,
        "votes_reject": ["says_sorry"],
        "votes_accept": ["cites"],
    }


def test_a_task_of_label_studio_has_predictions_of_the_score_and_of_each_vote(tmp_path: Path) -> None:
    votes = pd.DataFrame({"says_sorry": [0], "too_short": [-1]})
    (found,) = rows(tmp_path / "tasks.json", frame(["Sorry."], score=0.25), "label_studio", votes=votes)
    assert found["data"]["instruction"] == "Why?"
    assert [(p["model_version"], p["result"][0]["value"]["choices"]) for p in found["predictions"]] == [
        ("weaklm", ["REJECT"]),
        ("says_sorry", ["REJECT"]),
    ]


def answered(path: Path, format: str, *answers: tuple[str, str]) -> Path:
    """Return a file of two rows as the tool exports it after people answered the first."""
    export(frame(["a", "b"], id=["1", "2"], score=[0.9, 0.1]), path, format)
    found = json.loads(path.read_text(encoding="utf-8"))
    if format == "argilla":
        found[0]["responses"] = {"label": [{"user_id": who, "value": label} for who, label in answers]}
    else:
        choice = {"from_name": "label", "to_name": "response", "type": "choices"}
        found[0]["annotations"] = [
            {"completed_by": {"id": 7, "email": who}, "result": [{**choice, "value": {"choices": [label]}}]}
            for who, label in answers
        ]
        found[1]["annotations"] = [{"was_cancelled": True, "completed_by": 3, "result": []}]
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


@pytest.mark.parametrize("format", ["argilla", "label_studio"])
def test_what_annotators_said_comes_back_as_labels(format: str, tmp_path: Path) -> None:
    path = answered(tmp_path / "rows.json", format, ("ann", "REJECT"), ("bob", "REJECT"), ("cid", "ACCEPT"))
    assert read_labels(path).values.tolist() == [["1", "REJECT", "ann"], ["1", "REJECT", "bob"], ["1", "ACCEPT", "cid"]]
    back = read(path)
    assert back["human_label"].tolist() == ["REJECT", None]
    assert back["score"].tolist() == [0.9, 0.1]


@pytest.mark.parametrize("format", ["argilla", "label_studio"])
def test_annotators_who_disagree_give_no_label(format: str, tmp_path: Path) -> None:
    path = answered(tmp_path / "rows.json", format, ("ann", "REJECT"), ("bob", "ACCEPT"))
    assert read(path)["human_label"].tolist() == [None, None]


@pytest.mark.parametrize("format", ["argilla", "label_studio"])
def test_an_answer_that_is_no_label_is_named(format: str, tmp_path: Path) -> None:
    path = answered(tmp_path / "rows.json", format, ("ann", "maybe"))
    with pytest.raises(DataError, match=r"rows.json, row 0: an annotator said 'maybe'"):
        read_labels(path)


def test_a_file_of_chats_has_no_annotators(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not look like an export of an annotation tool"):
        read_labels(written(tmp_path / "rows.jsonl", {"messages": TURNS}))


# ---------------------------------------------------------------------------------------------- what is refused


def test_half_a_surrogate_pair_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1, column 'response'.*surrogate"):
        export(frame(["fine", "cut \ud83d"]), tmp_path / "rows.jsonl", "messages")
    with pytest.raises(DataError, match=r"row 0, column 'tags'.*surrogate"):
        export(frame(["fine"]).assign(tags=pd.Series([["\ud83d"]], dtype=object)), tmp_path / "rows.jsonl", "messages")
    assert list(tmp_path.iterdir()) == []


def test_half_a_surrogate_pair_in_an_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0, column 'messages'.*surrogate"):
        read(written(tmp_path / "rows.json", {"messages": [{"role": "user", "content": "\ud83d"}]}))


def test_an_ending_that_says_too_little_is_an_error_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"format='messages', format='prompt_completion'"):
        export(frame(["Because."]), tmp_path / "rows.jsonl")


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'messages'"):
        export(frame(["Because."]), tmp_path / "rows.jsonl", "message")


@pytest.mark.parametrize("format", ["csv", "messages", "parquet"])
def test_a_value_without_a_form_is_named_and_leaves_nothing(format: str, tmp_path: Path) -> None:
    odd = frame(["a"]).assign(odd=pd.Series([{1, 2}], dtype=object))
    with pytest.raises(DataError, match=r"'odd'|odd"):
        export(odd, tmp_path / "rows", format)
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_mixed_types_is_no_parquet_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be written as Parquet.*mixed"):
        export(frame(["a", "b"]).assign(mixed=["text", 5]), tmp_path / "rows.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_older_file(tmp_path: Path) -> None:
    export(frame(["a"]), tmp_path / "rows.csv")
    before = (tmp_path / "rows.csv").read_bytes()
    with pytest.raises(DataError):
        export(frame(["\ud83d"]), tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("format", "options", "said"),
    [
        ("messages", {"spreadsheet_safe": True}, "spreadsheet_safe is for csv"),
        ("messages", {"conversational": True}, "conversational is for prompt_completion and kto and dpo"),
        ("csv", {"votes": pd.DataFrame({"a": [1]})}, "votes is for argilla and label_studio"),
        ("argilla", {"votes": pd.DataFrame({"a": [1, 1]})}, "a frame of 1 rows"),
        ("argilla", {"votes": pd.DataFrame({"a": [None]})}, "votes holds something else than -1"),
        ("messages", {"fields": {"chat": "talk"}}, "fields names 'chat', which the format does not have"),
        ("prompt_completion", {"fields": {"prompt": "completion"}}, "but another field has it"),
        ("kto", {}, "no column 'label'"),
        ("dpo", {}, "no column 'chosen', which pairs have"),
    ],
)
def test_an_option_or_frame_of_another_format_is_refused(
    format: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        export(frame(["a"]), tmp_path / "rows.json", format, **options)


@pytest.mark.parametrize("format", ["argilla", "label_studio"])
def test_a_score_that_is_none_is_not_suggested(format: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'score' holds 1.5; a number from 0 to 1"):
        export(frame(["a"], score=1.5), tmp_path / "rows.json", format)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "dpo"])
def test_a_set_that_kept_nothing_is_written(format: str, tmp_path: Path) -> None:
    nothing = frame(["a"], label=True, score=0.5).iloc[:0]
    ending = format if format in ("csv", "parquet") else "json"
    assert export(nothing, tmp_path / f"rows.{ending}", format) == 0
    with pytest.raises(DataError, match="rows"):
        read(tmp_path / f"rows.{ending}")


def test_a_column_named_as_the_note_is_refused_where_they_would_meet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rename it"):
        export(frame(["a"]).assign(weaklm="x"), tmp_path / "rows.csv")
    export(frame(["a"]).assign(weaklm="x"), tmp_path / "rows.jsonl", "messages")
    assert read(tmp_path / "rows.jsonl")["weaklm"].tolist() == ["x"]


# ---------------------------------------------------------------------------------------------- paths


def test_paths_beyond_this_machine_go_through_fsspec() -> None:
    pytest.importorskip("fsspec")
    for name in ("rows.csv", "rows.parquet", "rows.json"):
        export(frame(["Because."], score=0.5), f"memory://exchange/{name}", "sharegpt" if "json" in name else None)
        assert read(f"memory://exchange/{name}")[["response", "score"]].values.tolist() == [["Because.", 0.5]]


def test_a_file_that_is_not_there_is_named_as_the_user_named_it() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match=r"memory://exchange/none.csv cannot be read"):
        read("memory://exchange/none.csv")


def test_a_broken_file_elsewhere_is_named_as_the_user_named_it() -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/exchange/broken.jsonl", b"{")
    with pytest.raises(DataError, match=r"memory://exchange/broken.jsonl, line 1: not JSON"):
        read("memory://exchange/broken.jsonl")


def test_a_bucket_without_its_extra_prints_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = pytest.importorskip("fsspec.registry")
    monkeypatch.delitem(registry._registry, "s3", raising=False)  # another test may have used it
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'weaklm\[aws\]'"):
        export(frame(["a"]), "s3://bucket/rows.csv")


def test_a_url_that_became_a_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="loses a slash"):
        export(frame(["a"]), Path("s3://bucket/rows.csv"))


def test_an_unknown_protocol_is_told() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match=r"nowhere://rows.csv: Protocol not known: nowhere"):
        read("nowhere://rows.csv")


# ---------------------------------------------------------------------------------------------- documentation

PAGE = (Path(__file__).parents[1] / "docs" / "exchange.md").read_text(encoding="utf-8")


def test_the_page_on_exchange_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    exec(compile(code, "exchange.md", "exec"), {"__name__": "exchange"})
    assert "does not end in a question and its answer': 1" in capsys.readouterr().out


def test_the_page_on_exchange_names_every_format() -> None:
    assert [name for name in FORMATS if f"| `{name}` |" not in PAGE] == []
