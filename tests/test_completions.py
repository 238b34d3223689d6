"""Answers from a server that fails, stalls and limits: all of them, each once, and none asked for twice."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fake_completions import FakeServer, echo
from tests.fake_llm import Asked, FakeLLM, Reply, Script, ctrl_c, fault, in_turn
from weaklm.answers import REFUSED, Sampling, chat, continuations
from weaklm.completions import Kept, ask
from weaklm.endpoint import Endpoint
from weaklm.errors import DataError, ModelError, SettingsError
from weaklm.replies import NoAnswer


def rows(n: int) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"r{i}" for i in range(n)], "instruction": [f"What is {i}?" for i in range(n)]})


def endpoint(server: FakeLLM, **settings: Any) -> Endpoint:
    return Endpoint("fake", server.url, **{"backoff": 0.01, "timeout": 5.0, "retries": 2, **settings})


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[..., pd.DataFrame]]:
    """Return how to let a server answer rows, all answers kept in one file."""

    def chat_with(server: FakeLLM, data: pd.DataFrame, settings: Any = None, **options: Any) -> pd.DataFrame:
        where = endpoint(server, **(settings or {}))
        return chat(data, where, "served", keep=tmp_path / "kept.jsonl", progress=False, **options)

    yield chat_with


Chat = Callable[..., pd.DataFrame]


def test_each_row_gets_its_own_answer_in_the_order_of_the_rows(answer: Chat) -> None:
    data = rows(20).assign(human_label="ACCEPT", topic="sums", context="A fact.", prompt_prefix="Be brief.")
    with FakeServer(echo) as server:
        new = answer(server, data)
    assert new["response"].tolist() == [f"Be brief.\nWhat is {i}?\n\nA fact." for i in range(20)]
    assert set(new["source"]) == {"served"} and set(new["topic"]) == {"sums"} and "human_label" not in new
    assert new["id"].is_unique and not set(new["id"]) & set(data["id"])
    assert new.attrs == {"dropped": {}, "dropped_ids": {}, "context_cut": {}}
    assert server.requests[0].body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {key: server.requests[0].body.get(key) for key in ("model", "max_tokens", "temperature", "seed")} == {
        "model": "fake", "max_tokens": 256, "temperature": 0.0, "seed": None
    }  # fmt: skip


def test_several_answers_to_a_row_have_seeds_of_their_own_that_do_not_depend_on_other_rows(answer: Chat) -> None:
    with FakeServer(echo) as server:
        new = answer(server, rows(4), n_answers=3, temperature=0.7)
        alone = answer(server, rows(4).tail(1), n_answers=3, temperature=0.7)
        other = answer(server, rows(4).tail(1), n_answers=3, temperature=0.7, random_state=1)
    seeds = [int(text.split()[-1]) for text in new["response"]]
    assert len(set(seeds)) == 12 and max(seeds) < 2**31
    assert new["instruction"].tolist() == [f"What is {i}?" for i in range(4) for _ in range(3)]
    assert alone["response"].tolist() == new["response"][-3:].tolist() != other["response"].tolist()
    assert len(server.requests) == 15  # what was known was not asked again


def test_several_most_likely_answers_are_refused(answer: Chat) -> None:
    with FakeServer(echo) as server, pytest.raises(SettingsError, match="n_answers is 2 at temperature 0"):
        answer(server, rows(1), n_answers=2)


def test_equal_requests_are_made_once(answer: Chat) -> None:
    with FakeServer(echo) as server:
        new = answer(server, pd.concat([rows(3), rows(3).assign(id=["a", "b", "c"])], ignore_index=True))
    assert len(server.requests) == 3 and new["response"][:3].tolist() == new["response"][3:].tolist()
    assert new["id"].is_unique


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(hang_up=True),
        fault(503),
        fault(429, retry_after="0.05"),
        Reply("", stall=1.0),
        Reply('{"choices": null}'),
        Reply('{"choices": [{"text": {"a": 1}, "finish_reason": "stop"}]}'),
        Reply("null"),
        Reply("<html>", headers={"Content-Type": "text/html"}),
    ],
    ids=["hangs up", "overloaded", "limits", "stalls", "no choices", "odd text", "null", "html"],
)
def test_a_server_in_trouble_is_asked_again(tmp_path: Path, trouble: Reply) -> None:
    prompts = [{"prompt": [i, i + 1], "max_tokens": 4} for i in range(6)]
    with FakeServer(in_turn(trouble, echo, trouble, echo)) as server:
        texts = ask(prompts, endpoint(server, timeout=0.3), tmp_path / "kept.jsonl", progress=False)
    assert texts == [f"[{i}, {i + 1}]" for i in range(6)]
    assert len(server.requests) == 8


def test_no_more_than_the_allowed_requests_are_under_way(tmp_path: Path) -> None:
    def slow(asked: Asked) -> Reply:
        time.sleep(0.02)
        return echo(asked)

    with FakeServer(slow) as server:
        ask([{"prompt": [i]} for i in range(30)], endpoint(server, concurrency=3), tmp_path / "k", progress=False)
    assert server.busiest == 3


def refuses(word: str, reply: Reply) -> Script:
    return lambda asked: reply if word in asked.prompt else echo(asked)


def test_rows_that_the_server_refuses_are_left_out_by_name_and_the_rest_is_answered(answer: Chat) -> None:
    with FakeServer(refuses("What is 3", fault(400, "too long"))) as server:
        new = answer(server, rows(6), n_answers=2, temperature=1.0)
    assert len(new) == 10 and new.attrs["dropped"] == {REFUSED + "HTTP 400": 2}
    assert new.attrs["dropped_ids"] == {REFUSED + "HTTP 400": ["r3#1", "r3#2"]}


def test_where_the_server_refuses_everything_that_is_no_result(answer: Chat) -> None:
    said = r"left 3 of 3 .* 3 x HTTP 400 \(the last said: .*unknown field"
    with FakeServer(lambda _: fault(400, "unknown field")) as server, pytest.raises(ModelError, match=said):
        answer(server, rows(3))


def test_a_row_without_answer_ends_the_run_and_the_next_run_asks_for_it_only(answer: Chat, tmp_path: Path) -> None:
    with FakeServer(refuses("What is 3", fault(503, "busy"))) as server:
        with pytest.raises(ModelError, match=r"left 1 of 6 requests without an answer: 1 x HTTP 503.*kept\.jsonl; run"):
            answer(server, rows(6), settings={"retries": 1})
        server.script, server.requests = echo, []
        new = answer(server, rows(6))
    assert server.prompts == ["What is 3?"]
    assert new["response"].tolist() == [f"What is {i}?" for i in range(6)]


def test_a_run_that_was_interrupted_goes_on_where_it_was(answer: Chat) -> None:
    with FakeServer(echo) as server, ctrl_c() as press:

        def press_in_the_middle(asked: Asked) -> Reply:
            if len(server.requests) == 12:
                threading.Thread(target=press).start()
                return Reply("", stall=5.0)
            return echo(asked)

        server.script = press_in_the_middle
        with pytest.raises(KeyboardInterrupt):
            answer(server, rows(30), settings={"concurrency": 2})
        before = len(server.requests)
        server.script, server.requests = echo, []
        new = answer(server, rows(30))
    assert len(new) == 30 and 10 <= before < 30
    assert len(server.requests) <= 30 - 10


def test_half_a_line_that_a_killed_process_left_is_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    with FakeServer(echo) as server:
        requests = [{"prompt": [i]} for i in range(3)]
        ask(requests, endpoint(server), file, progress=False)
        file.write_bytes(file.read_bytes()[:-7])
        assert ask(requests, endpoint(server), file, progress=False) == ["[0]", "[1]", "[2]"]
        assert len(server.requests) == 4
    assert len(file.read_text().splitlines()) == 3


def test_a_file_of_something_else_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"instruction": "Why?"}\n')
    said = r"data\.jsonl, line 1: .*is no answer of an earlier run; name another file"
    with pytest.raises(DataError, match=said), Kept(file):
        pass
    assert file.read_text() == '{"instruction": "Why?"}\n'


def test_another_model_or_setting_is_asked_anew(tmp_path: Path) -> None:
    with FakeServer(echo) as server:
        for where in (endpoint(server), Endpoint("other", server.url), endpoint(server, parameters={"top_k": 5})):
            ask([{"prompt": [1]}], where, tmp_path / "kept.jsonl", progress=False)
    assert len(server.requests) == 3


def test_the_endpoint_s_parameters_go_before_and_none_leaves_a_field_out(tmp_path: Path) -> None:
    with FakeServer(echo) as server:
        where = endpoint(server, parameters={"top_p": 0.5, "seed": None, "top_k": 5})
        prompts = [np.array([7, 8], dtype=np.int32)]
        sampling = Sampling(max_new_tokens=9, temperature=1.0)
        continuations(["a"], prompts, where, sampling, keep=tmp_path / "k", stop_ids=[2, 3], progress=False)
    assert server.requests[0].path == "/v1/completions"
    assert server.requests[0].body == {
        "model": "fake",
        "prompt": [7, 8],
        "stop_token_ids": [2, 3],
        "max_tokens": 9,
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }


def test_a_result_that_does_not_come_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weaklm.completions._AnyRequest.ask", lambda *_: (place for place in range(0)))
    with pytest.raises(ModelError, match="left 2 of 2 requests without an answer: 2 x no result"):
        ask([{"prompt": [1]}, {"prompt": [2]}], Endpoint("m", "http://127.0.0.1:1/v1"), tmp_path / "k", progress=False)


def test_no_row_is_no_request(tmp_path: Path) -> None:
    assert ask([], Endpoint("m", "http://127.0.0.1:1/v1"), tmp_path / "k", progress=False) == []


def test_a_refusal_is_told_apart_from_a_text(tmp_path: Path) -> None:
    with FakeServer(refuses("[3]", fault(413, "long"))) as server:
        came = ask([{"prompt": [i]} for i in range(5)], endpoint(server), tmp_path / "k", progress=False)
    assert isinstance(came[3], NoAnswer) and came[3].reason == "HTTP 413"
    assert [text for text in came if isinstance(text, str)] == ["[0]", "[1]", "[2]", "[4]"]
