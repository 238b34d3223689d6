"""Reading, checking and splitting examples; every message names the file, the row, the column and the value."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weaklm.data import COLUMNS, Example, complete, content_hash, examples, human_labels, read, split
from weaklm.errors import DataError

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"instruction": ["a", "b"], "response": ["x", "y"]} | columns)


def test_a_frame_gets_every_standard_column_and_keeps_its_index_and_others() -> None:
    data = complete(frame(score=[1, 2]).set_axis(["q", "q"], axis=0))
    assert data.columns.tolist() == [*COLUMNS, "score"]
    assert data.index.tolist() == ["q", "q"]
    assert data.loc["q", ["context", "prompt_prefix", "source", "split"]].to_numpy().tolist() == [[""] * 4] * 2


def test_completing_twice_changes_nothing() -> None:
    once = complete(frame(human_label=["ACCEPT", None]))
    pd.testing.assert_frame_equal(complete(once), once)


def test_ids_depend_on_the_content_and_instruction_ids_not_on_the_response() -> None:
    data = complete(
        pd.DataFrame({"instruction": ["a", "a", "a"], "context": ["", "", "c"], "response": ["x", "y", "x"]})
    )
    assert data["id"].nunique() == 3
    assert data["instruction_id"].nunique() == 2
    assert data["instruction_id"].iloc[0] == data["instruction_id"].iloc[1]


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4), st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_content_hashes_are_equal_only_for_equal_parts(first: list[str], second: list[str]) -> None:
    assert (content_hash(*first) == content_hash(*second)) == (first == second)


def test_csv_values_stay_what_the_model_wrote(write: Write) -> None:
    path = write("a.csv", 'instruction,response\nq1,NA\nq2,5\nq3,null\nq4,"two\nlines"\nq5,\n')
    assert read(path)["response"].tolist() == ["NA", "5", "null", "two\nlines", ""]


def test_csv_jsonl_parquet_and_frame_read_alike(write: Write, tmp_path: Path) -> None:
    rows = {"id": ["1", "2"], "instruction": ["Why?", "Où ?"], "response": ["So.", "Là. 🙂"], "tier": ["a", "b"]}
    expected = pd.DataFrame(rows)
    expected.to_parquet(tmp_path / "a.parquet")
    expected.to_csv(tmp_path / "a.csv", index=False)
    write("a.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, expected.to_dict("records"))))
    for path in (tmp_path / "a.parquet", tmp_path / "a.csv", tmp_path / "a.jsonl", expected):
        assert read(path)[list(rows)].to_dict("list") == rows


def test_columns_are_mapped_and_source_and_split_are_written() -> None:
    theirs = pd.DataFrame({"q": ["a"], "response": ["old"], "better": ["new"]})
    data = read(theirs, columns={"instruction": "q", "response": "better"}, source="llama", split="train")
    assert data[["instruction", "response", "source", "split"]].to_numpy().tolist() == [["a", "new", "llama", "train"]]
    assert set(data.columns) == set(COLUMNS)


def test_keep_names_the_further_columns() -> None:
    theirs = frame(domain=["d", "e"], judge_score=[1, 2], human_label=["ACCEPT", None])
    assert read(theirs, keep=["domain"]).columns.tolist() == [*COLUMNS, "domain"]


def test_ids_are_strings_whatever_they_were() -> None:
    for ids in ([7, 8], [7.0, 8.0], ["7", "8"]):
        assert read(frame(id=ids))["id"].tolist() == ["7", "8"]


def test_repeated_rows_are_dropped_and_counted() -> None:
    data = read(pd.DataFrame({"id": [1, "1", 2], "instruction": ["a", "a", "b"], "response": ["x", "x", "y"]}))
    assert data["id"].tolist() == ["1", "2"]
    assert data.index.tolist() == [0, 1]
    assert data.attrs["dropped"] == {"repeats another row": 1}


def test_human_labels_are_read_in_their_common_spellings() -> None:
    spellings = ["ACCEPT", "reject", " Accept ", 1, 0, 1.0, True, False, np.True_, "", " ", None, float("nan"), pd.NA]
    data = pd.DataFrame({"human_label": pd.Series(spellings, dtype=object)})
    assert human_labels(data).tolist() == [1, 0, 1, 1, 0, 1, 1, 0, 1, -1, -1, -1, -1, -1]
    assert human_labels(data[["human_label"]]).dtype == np.int8
    assert human_labels(frame()).tolist() == [-1, -1]


def test_examples_hide_the_human_label() -> None:
    first, _ = examples(complete(frame(human_label=["ACCEPT", "REJECT"], tier=[1, 2])))
    assert (first.response, first.tier, first["tier"]) == ("x", 1, 1)
    assert not hasattr(first, "human_label")


def test_any_column_name_is_an_attribute() -> None:
    columns = ["instruction", "response", 0, "self", "two words"]
    (only,) = examples(complete(pd.DataFrame([["a", "b", "c", "d", "e"]], columns=columns)))
    assert (only["0"], only["self"], only["two words"]) == ("c", "d", "e")


def test_a_missing_attribute_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=re.escape("this example has no column 'contxt'; did you mean 'context'?")):
        _ = Example().contxt


def test_splits_share_no_instruction_and_ignore_the_order_of_rows() -> None:
    data = pd.DataFrame({"instruction": list("abcdefgh") * 3, "response": [str(i) for i in range(24)]})
    train, test = split(data, test=0.25, random_state=3)
    assert (len(train), len(test)) == (18, 6)
    assert set(train["instruction"]) & set(test["instruction"]) == set()
    assert (set(train["split"]), set(test["split"])) == ({"train"}, {"test"})
    _, again = split(data.iloc[::-1], test=0.25, random_state=3)
    assert sorted(again["response"]) == sorted(test["response"])


def test_splitting_leaves_the_global_random_state_alone() -> None:
    before = str(np.random.get_state())
    split(frame())
    assert str(np.random.get_state()) == before


BAD_FRAMES = {
    "no response": (
        pd.DataFrame({"instruction": ["a"], "respones": ["x"]}),
        "the frame has no column 'response'; did you mean 'respones'? Name yours with columns={'response': ...}.",
    ),
    "no rows": (pd.DataFrame({"instruction": [], "response": []}), "the frame has no rows"),
    "missing": (frame(response=["x", None]), "the frame, row 1, column 'response': the value is missing"),
    "nan": (frame(response=["x", float("nan")]), "the frame, row 1, column 'response': the value is missing"),
    "number": (frame(response=["x", 5]), "the frame, row 1, column 'response': 5 is int, not text"),
    "context": (frame(context=[["p"], "c"]), "the frame, row 0, column 'context': ['p'] is list, not text"),
    "blank": (frame(instruction=["a", " \n"]), "the frame, row 1, column 'instruction': the instruction is empty"),
    "id": (frame(id=[1, None]), "the frame, row 1, column 'id': the id is missing"),
    "same id": (
        frame(id=[7, "7"], instruction=["a", "a"]),
        "the frame: id '7' stands for two different rows; their 'response' is 'x' and 'y'. Ids must be unique.",
    ),
    "label": (
        frame(human_label=["ACCEPT", "good"]),
        "the frame, row 1, column 'human_label': 'good' is no label; expected ACCEPT or REJECT",
    ),
    "twice": (
        pd.DataFrame([["a", "x", "y"]], columns=["instruction", "response", "response"]),
        "the frame has two columns named 'response'; names must be unique",
    ),
}


def test_a_value_of_a_csv_file_may_be_very_long(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(f"instruction,response\nq,{'word ' * 60_000}\n")
    assert len(read(tmp_path / "long.csv")["response"].iloc[0]) == 300_000


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_is_explained(case: str) -> None:
    data, message = BAD_FRAMES[case]
    with pytest.raises(DataError, match=re.escape(message)):
        read(data)


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "empty.csv is empty"),
    "blank.csv": ("\n\n", "blank.csv has no rows"),
    "header.csv": ("instruction,response\n", "header.csv has no rows"),
    "ragged.csv": ("instruction,response\na,b\na,b,c\n", "ragged.csv, row 1: 3 values, but the header names 2"),
    "shifted.csv": ("instruction,response\na,b,c\n", "shifted.csv, row 0: 3 values, but the header names 2 columns"),
    "short.csv": ("instruction,response\na\n", "short.csv, row 0: 1 values, but the header names 2 columns"),
    "quote.csv": ('instruction,response\na,"b\n', "quote.csv is not valid CSV"),
    "latin.csv": ("instruction,response\ncafé,b\n".encode("latin-1"), "latin.csv is not UTF-8 text: byte 24"),
    "cut.jsonl": ('{"instruction": "a", "response": "b"}\n{"instruction":\n', "cut.jsonl, line 2: not JSON"),
    "list.jsonl": ("[1, 2]\n", "list.jsonl, line 1: '[1, 2]' is not a JSON object"),
    "half.jsonl": (
        '{"instruction": "a", "response": "\\ud83d"}\n',
        "half.jsonl, line 1: an escape such as \\ud83d stands",
    ),
    "torn.parquet": (b"PAR1", "torn.parquet cannot be read as .parquet"),
    "odd.xlsx": ("x", "odd.xlsx ends in '.xlsx'; expected one of .csv, .jsonl, .ndjson, .parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_explained(name: str, write: Write) -> None:
    content, message = BAD_FILES[name]
    with pytest.raises(DataError, match=re.escape(message)):
        read(write(name, content))


def test_a_file_that_is_not_there_names_its_neighbours(write: Write) -> None:
    path = write("answers.csv", "instruction,response\na,b\n")
    with pytest.raises(DataError, match=r"there is no file .*answer\.csv; did you mean 'answers\.csv'\?"):
        read(path.with_name("answer.csv"))
    with pytest.raises(DataError, match=r"is a folder; a \.csv, .jsonl or .parquet file was expected"):
        read(path.parent)


def test_unknown_names_in_columns_and_keep_are_explained() -> None:
    with pytest.raises(DataError, match="columns names 'instrution', which is no standard column; did you mean 'inst"):
        read(frame(), columns={"instrution": "instruction"})
    with pytest.raises(DataError, match=re.escape("has no column 'contexts' (for 'context'); did you mean 'content'?")):
        read(frame(content=["c", "d"]), columns={"context": "contexts"})
    with pytest.raises(DataError, match=re.escape("has no column 'domains' to keep; did you mean 'domain'?")):
        read(frame(domain=["c", "d"]), keep=["domains"])


def test_a_split_needs_two_instructions_and_a_share() -> None:
    with pytest.raises(DataError, match="one instruction only"):
        split(frame(instruction=["a", "a"]))
    with pytest.raises(DataError, match=re.escape("test is 1.5; a share of the instructions between 0 and 1")):
        split(frame(), test=1.5)
