import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.data import TEXT_COLUMNS, complete, read
from weaklm.errors import DataError
from weaklm.exchange import export, prompt_messages

AWKWARD = [
    'He said "no",\nthen\r\nleft; a lone \r',
    "=1+1",
    "NA",
    " padded ",
    "日本 🏦 \u2028 e\u0301",
    "",
    "\ttab",
    "null",
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def frame(responses: list[str]) -> pd.DataFrame:
    text = pd.Series(responses, dtype=object)  # pandas' own strings cannot hold half of a surrogate pair
    return complete(pd.DataFrame({"instruction": "Why?", "context": "It rained.", "response": text}))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_messages_hold_system_user_and_assistant(tmp_path: Path) -> None:
    data = frame(["Because."]).assign(prompt_prefix="Be brief.")
    assert export(data, tmp_path / "chat.jsonl", "messages") == 1
    assert lines(tmp_path / "chat.jsonl") == [
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
    export(frame(["Because."]).assign(context=""), tmp_path / "rows.jsonl", "prompt_completion")
    assert lines(tmp_path / "rows.jsonl") == [{"prompt": "Why?", "completion": "Because."}]


def test_csv_and_parquet_come_back_as_they_were(tmp_path: Path) -> None:
    data = frame(AWKWARD)
    for name in ("rows.csv", "rows.parquet"):
        assert export(data, tmp_path / name) == len(AWKWARD)
        back = read(tmp_path / name)
        assert back.astype(object).to_dict("list") == data.to_dict("list")


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_comes_back_in_every_format(responses: list[str]) -> None:
    data = frame(responses).assign(id=[str(i) for i in range(len(responses))])
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet, chat = (Path(folder) / name for name in ("rows.csv", "rows.parquet", "rows.jsonl"))
        export(data, csv)
        export(data, parquet)
        export(data, chat, "messages")
        assert [row["messages"][-1]["content"] for row in lines(chat)] == responses  # type: ignore[index]
        for back in (read(csv), read(parquet)):
            assert back[list(TEXT_COLUMNS)].astype(object).equals(data[list(TEXT_COLUMNS)].astype(object))


def test_half_a_surrogate_pair_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1, column 'response'.*surrogate"):
        export(frame(["fine", "cut \ud83d"]), tmp_path / "rows.jsonl", "messages")
    assert list(tmp_path.iterdir()) == []


def test_spreadsheet_safe_cells_are_not_formulas(tmp_path: Path) -> None:
    export(frame(["=HYPERLINK()", "5 - 3"]), tmp_path / "rows.csv", spreadsheet_safe=True)
    assert read(tmp_path / "rows.csv")["response"].tolist() == ["'=HYPERLINK()", "5 - 3"]


def test_an_ending_that_says_too_little_is_an_error_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"format='messages', format='prompt_completion'"):
        export(frame(["Because."]), tmp_path / "rows.jsonl")


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'messages'"):
        export(frame(["Because."]), tmp_path / "rows.jsonl", "message")


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
