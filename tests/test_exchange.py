"""Every format gives back the frame that was written, says what is wrong, and leaves nothing half-written."""

import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from weaklm.data import complete
from weaklm.exchange import FORMATS, export, read
from weaklm.exchange.preference import checked_pairs

EXAMPLES = [name for name in FORMATS if name not in ("kto", "dpo")]
ENDINGS = {"csv": ".csv", "parquet": ".parquet", "argilla": ".json", "label_studio": ".json"}
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
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(AWKWARD)
QUESTION = TEXT.filter(lambda text: bool(text.strip()))
SCALARS = TEXT | st.booleans() | st.integers() | st.floats() | st.dates() | st.none()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
LISTS = st.lists(JSON, max_size=3) | st.dictionaries(TEXT, JSON, max_size=3) | st.just({"$date": "2026-01-31"})
MOMENTS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))


def frame(responses: list[str]) -> pd.DataFrame:
    text = pd.Series(responses, dtype=object)  # pandas' own strings cannot hold half of a surrogate pair
    return complete(pd.DataFrame({"instruction": "Why?", "context": "It rained.", "response": text}))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def column(values: st.SearchStrategy[Any], dtype: str, n: int) -> st.SearchStrategy[pd.Series]:
    return st.lists(values, min_size=n, max_size=n).map(lambda cells: pd.Series(cells, dtype=dtype))


def others(n: int) -> dict[str, st.SearchStrategy[pd.Series]]:
    """Return columns of every type that a frame may have beside the standard ones."""
    whole = st.integers(-(2**63), 2**63 - 1)
    return {
        "human_label": column(st.sampled_from(["ACCEPT", "REJECT", None]), "object", n),
        "score": column(st.floats(0, 1), "float64", n),
        "text": column(TEXT | st.none(), "object", n),
        "string": column(TEXT | st.none(), "str", n),
        "whole": column(whole, "int64", n),
        "whole, or not there": column(whole | st.none(), "Int64", n),
        "number": column(st.floats(), "float64", n),
        "small": column(st.floats(width=32), "float32", n),
        "flag": column(st.booleans(), "bool", n),
        "flag?": column(st.booleans() | st.none(), "boolean", n),
        "day": column(st.dates() | st.none(), "object", n),
        "moment": column(MOMENTS | st.none(), "datetime64[us]", n),
        "there": column(MOMENTS | st.none(), "datetime64[ns]", n).map(
            lambda moments: moments.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
        ),
        "json": column(LISTS | st.none(), "object", n),
        "=formula": column(TEXT, "category", n),
    }


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 3))
    texts = {c: draw(column(TEXT, "object", n)) for c in ("context", "prompt_prefix", "response", "source", "split")}
    chosen = draw(st.lists(st.sampled_from(sorted(others(n))), unique=True))
    more = {name: draw(others(n)[name]) for name in chosen}
    ids = draw(st.lists(QUESTION, min_size=n, max_size=n, unique=True))
    question = draw(column(QUESTION, "object", n))
    return pd.DataFrame({"id": pd.Series(ids, dtype=object), "instruction": question, **texts, **more})


def same(back: pd.DataFrame, data: pd.DataFrame) -> None:
    """Assert that two frames are one: names, order, types, values, those within lists and objects as well."""
    is_object = np.array([pd.api.types.is_object_dtype(dtype) for dtype in data.dtypes])
    pd.testing.assert_frame_equal(back.loc[:, ~is_object], data.loc[:, ~is_object], check_exact=True)
    assert back.dtypes.to_dict() == data.dtypes.to_dict()
    assert list(back) == list(data)
    for name in data.columns[is_object]:
        # As text, nan is nan, but 1 is neither 1.0 nor True.
        assert [repr(value) for value in back[name]] == [repr(value) for value in data[name]]


def written_and_read(data: pd.DataFrame, format: str, ending: str, **options: Any) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ending}"
        assert export(data, path, format, **options) == len(data)
        return read(path)


CHAT = {"conversational": True}
# Frames are large: to make a failing one smaller takes minutes, and says little more.
PROPERTY = settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.mark.parametrize("format", EXAMPLES)
@PROPERTY
@given(data=frames())
def test_every_format_gives_back_the_frame(format: str, data: pd.DataFrame) -> None:
    same(written_and_read(data, format, ENDINGS.get(format, ".jsonl")), complete(data))


@PROPERTY
@given(data=frames(), words=st.lists(st.sampled_from(["'", "=1", "''=1", "'x", "\n=", "-", "5 - 3"]), min_size=3))
def test_a_spreadsheet_safe_table_gives_back_the_frame(data: pd.DataFrame, words: list[str]) -> None:
    data["response"] = words[: len(data)]
    same(written_and_read(data, "csv", ".csv", spreadsheet_safe=True), complete(data))


@pytest.mark.parametrize(("format", "options"), [("kto", {}), ("kto", CHAT), ("csv", {}), ("parquet", {})])
@PROPERTY
@given(data=frames(), label=st.lists(st.booleans(), min_size=3, max_size=3))
def test_rows_for_kto_come_back(format: str, options: Any, data: pd.DataFrame, label: list[bool]) -> None:
    data = data.drop(columns=["source", "split"]).assign(label=label[: len(data)], weight=0.75)
    same(written_and_read(data, format, ENDINGS.get(format, ".jsonl"), **options), complete(data))


@pytest.mark.parametrize(("format", "options"), [("dpo", {}), ("dpo", CHAT), ("csv", {}), ("parquet", {})])
@PROPERTY
@given(data=frames(), rejected=st.lists(TEXT, min_size=3, max_size=3))
def test_pairs_come_back(format: str, options: Any, data: pd.DataFrame, rejected: list[str]) -> None:
    data = data.drop(columns=["source", "split", "human_label"], errors="ignore").rename(
        columns={"response": "chosen", "id": "chosen_id"}
    )
    data["rejected"] = pd.Series(rejected[: len(data)], dtype=object)
    data["rejected_score"] = 0.25
    same(written_and_read(data, format, ENDINGS.get(format, ".jsonl"), **options), checked_pairs(data))


@pytest.mark.parametrize("format", ["prompt_completion", "kto", "dpo"])
def test_fields_may_have_other_names(format: str, tmp_path: Path) -> None:
    data = frame(["Because."]).assign(label=True, chosen="Because.", rejected="No.")
    data = data if format != "dpo" else data.drop(columns="response")
    path = tmp_path / "rows.jsonl"
    export(data, path, format, fields={"prompt": "question"})
    assert lines(path)[0]["question"] == "Why?\n\nIt rained."
    assert read(path)["context"].tolist() == ["It rained."]
    export(data, path, format, fields={"prompt": "question"}, lossless=False)
    assert read(path, format=format, fields={"prompt": "question"})["instruction"].tolist() == ["Why?\n\nIt rained."]
