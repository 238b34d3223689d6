"""A model behind a URL: asked side by side, again where that helps, and not for ever; nothing leaks."""

import json
import logging
import signal
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from tests.fake_llm import Asked, FakeLLM, Reply, Script, completion, ctrl_c, fault, in_turn, says
from weaklm.endpoint import Endpoint
from weaklm.errors import ModelError, SettingsError
from weaklm.replies import Answer, NoAnswer

HTML = Reply("<html>502 Bad Gateway</html>", headers={"Content-Type": "text/html"})
JUNK = Reply('{"choices": [')
NO_CHOICES = Reply(json.dumps({"object": "error", "message": "no such thing"}))
ODD_CONTENT = completion({"a": 1})
NULL = Reply("null")
DEEP = Reply("[" * 100_000 + "]" * 100_000)
CHOICES_BY_NAME = Reply('{"choices": {}}')


def endpoint(server: FakeLLM, **settings: Any) -> Endpoint:
    return Endpoint("fake", server.url, **{"backoff": 0.01, "timeout": 5.0, "retries": 2, **settings})


def ask(server: FakeLLM, prompts: list[str], **settings: Any) -> list[Answer | NoAnswer]:
    """Return what came of each prompt, in their order."""
    conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
    came = dict(endpoint(server, **settings).ask(conversations))
    return [came[place] for place in range(len(prompts))]


def texts(came: list[Answer | NoAnswer]) -> list[str]:
    return [result.text if isinstance(result, Answer) else result.reason for result in came]


def echo(asked: Asked) -> Reply:
    return completion(asked.prompt.upper())


def unless(word: str, script: Script | Reply) -> Script:
    """Answer as the script does where the prompt has the word, else by an echo."""
    return lambda asked: (
        (script if isinstance(script, Reply) else script(asked)) if word in asked.prompt else echo(asked)
    )


def test_each_prompt_gets_its_own_answer() -> None:
    with FakeLLM(echo) as server:
        assert texts(ask(server, [f"p{i}" for i in range(30)])) == [f"P{i}" for i in range(30)]


def test_model_parameters_and_messages_are_sent_as_given() -> None:
    with FakeLLM(echo) as server:
        ask(server, ["hello"], parameters={"temperature": 0, "seed": 7})
    assert server.requests[0].body == {
        "model": "fake",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "seed": 7,
    }
    assert server.requests[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    "trouble",
    [
        fault(500),
        fault(503),
        fault(429),
        fault(408),
        HTML,
        JUNK,
        NO_CHOICES,
        ODD_CONTENT,
        NULL,
        DEEP,
        CHOICES_BY_NAME,
        Reply(hang_up=True),
    ],
    ids=[
        "500",
        "503",
        "429",
        "408",
        "html",
        "junk",
        "no choices",
        "odd content",
        "null",
        "deep",
        "choices by name",
        "hang up",
    ],
)
def test_what_may_pass_is_asked_again(trouble: Reply) -> None:
    with FakeLLM(in_turn(trouble, echo)) as server:
        assert texts(ask(server, ["hello"])) == ["HELLO"]
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "reason", "n_requests"),
    [
        (fault(400, "too long"), "HTTP 400", 1),
        (fault(422), "HTTP 422", 1),
        (fault(500), "HTTP 500", 3),
        (fault(429), "HTTP 429", 3),
        (HTML, "not a chat completion", 3),
        (JUNK, "not a chat completion", 3),
        (Reply(hang_up=True), "no connection", 3),
    ],
    ids=["400", "422", "500", "429", "html", "junk", "hang up"],
)
def test_a_request_that_fails_for_good_is_told_by_reason_and_stops_no_other(
    trouble: Reply, reason: str, n_requests: int
) -> None:
    with FakeLLM(unless("bad", trouble)) as server:
        assert texts(ask(server, ["a", "bad", "c"], concurrency=1)) == ["A", reason, "C"]
        assert len([prompt for prompt in server.prompts if prompt == "bad"]) == n_requests


def test_a_server_that_stalls_is_not_waited_for_longer_than_the_timeout() -> None:
    began = time.monotonic()
    with FakeLLM(unless("bad", Reply(stall=30))) as server:
        assert texts(ask(server, ["a", "bad"], timeout=0.2, retries=1)) == ["A", "timed out"]
    assert time.monotonic() - began < 5


def test_a_server_that_sends_a_little_again_and_again_is_not_waited_for_either() -> None:
    began = time.monotonic()
    with FakeLLM(unless("bad", Reply(completion("slowly").body, drip=2))) as server:
        assert texts(ask(server, ["a", "bad"], timeout=0.3, retries=0)) == ["A", "timed out"]
    assert time.monotonic() - began < 1.5


def test_a_stalled_request_is_made_again() -> None:
    with FakeLLM(in_turn(Reply(stall=30), echo)) as server:
        assert texts(ask(server, ["a"], timeout=0.2)) == ["A"]


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_waited_for_by_all_requests(date: bool) -> None:
    wait = formatdate(time.time() + 2, usegmt=True) if date else "0.4"
    with FakeLLM(in_turn(fault(429, Retry_After=wait), echo)) as server:
        assert texts(ask(server, ["a", "b", "c"], concurrency=1)) == ["A", "B", "C"]
    first, second = (asked.when for asked in server.requests[:2])
    assert second - first >= 0.4


def test_a_server_that_wants_to_be_left_alone_for_an_hour_is() -> None:
    with FakeLLM(in_turn(echo, fault(429, Retry_After="3600"))) as server:
        assert texts(ask(server, ["a", "b"], concurrency=1)) == ["A", "HTTP 429"]
        assert len(server.requests) == 2


@pytest.mark.parametrize("wait", ["Wed, 21 Oct 9999999999 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "soon"])
def test_a_retry_after_that_says_no_time_is_passed_over(wait: str) -> None:
    with FakeLLM(in_turn(fault(429, Retry_After=wait), echo)) as server:
        assert len(ask(server, ["a"])) == 1


def test_a_text_of_more_than_a_million_characters_is_no_answer() -> None:
    with FakeLLM(unless("bad", says("x" * 1_000_001))) as server:
        assert texts(ask(server, ["a", "bad"])) == ["A", "not a chat completion"]


def test_no_more_requests_than_allowed_are_under_way_at_once() -> None:
    def slowly(asked: Asked) -> Reply:
        return Reply(echo(asked).body, stall=0.05)

    with FakeLLM(slowly) as server:
        ask(server, [str(i) for i in range(12)], concurrency=3)
    assert server.busiest == 3


def test_requests_a_minute_are_spaced_evenly() -> None:
    with FakeLLM(echo) as server:
        ask(server, list("abcdef"), requests_per_minute=1200)  # one in 0.05 seconds
    times = [asked.when for asked in server.requests]
    assert times[-1] - times[0] >= 0.2  # five gaps, less what the network shifts


@pytest.mark.parametrize("trouble", [fault(401), fault(404), fault(405), fault(429, code="insufficient_quota")])
def test_a_run_that_cannot_succeed_stops_at_once(trouble: Reply) -> None:
    with FakeLLM(lambda _: trouble) as server:
        with pytest.raises(ModelError, match=rf"'fake' at {server.url} was stopped: .*HTTP {trouble.status}: .*broke"):
            ask(server, ["a"] * 1000)
        assert len(server.requests) <= 8


@pytest.mark.parametrize("status", [404, 405])
def test_an_address_where_nothing_is_says_how_it_usually_ends(status: int) -> None:
    advice = "base_url usually ends in /v1; leave /chat/completions out"
    with FakeLLM(lambda _: fault(status)) as server, pytest.raises(ModelError, match=advice):
        ask(server, ["a"])


def test_a_parameter_that_json_cannot_hold_is_an_error_not_a_wait() -> None:
    with FakeLLM(echo) as server, pytest.raises(TypeError, match="not JSON serializable"):
        ask(server, ["a"], parameters={"stop": {"set"}})


def test_a_url_where_nobody_listens_stops_the_run_at_once() -> None:
    with FakeLLM(echo) as server:
        pass
    began = time.monotonic()
    with pytest.raises(ModelError, match="no connection"):
        ask(server, ["a"] * 1000)
    assert time.monotonic() - began < 5


def test_a_redirect_is_not_followed() -> None:
    with FakeLLM(echo) as elsewhere:
        moved = Reply("", 307, {"Location": f"{elsewhere.url}/chat/completions"})
        with FakeLLM(lambda _: moved) as server, pytest.raises(ModelError, match="HTTP 307"):
            ask(server, ["the data"])
        assert elsewhere.requests == []


def test_many_failures_in_a_row_stop_the_run_and_keep_what_came() -> None:
    with FakeLLM(in_turn(*[echo] * 3, fault(500, "gone"))) as server:
        came = []
        with pytest.raises(ModelError, match=r"5 requests in a row had no answer\. The last: HTTP 500"):
            for place, result in endpoint(server, concurrency=1, stop_after=5, retries=0).ask([_user("a")] * 100):
                came.append((place, result))
        assert [place for place, result in came if isinstance(result, Answer)] == [0, 1, 2]
        assert len(server.requests) <= 10


def test_many_prompts_that_are_refused_for_what_they_hold_do_not_stop_the_run() -> None:
    with FakeLLM(unless("bad", fault(400, "too long"))) as server:
        came = ask(server, ["a", *["bad"] * 30, "c"], concurrency=1, stop_after=5)
    assert texts(came) == ["A", *["HTTP 400"] * 30, "C"]


def test_a_server_that_refuses_whatever_it_is_asked_stops_the_run() -> None:
    with FakeLLM(lambda _: fault(400, "logprobs are not supported")) as server:
        with pytest.raises(ModelError, match=r"20 requests in a row had no answer\..*logprobs are not supported"):
            ask(server, ["a"] * 1000)
        assert len(server.requests) <= 28


def test_log_probabilities_of_the_tokens_come_along() -> None:
    tokens = [("AN", -0.5), ("SWER", 0.0)]
    with FakeLLM(lambda _: completion("ANSWER", tokens)) as server:
        (answer,) = ask(server, ["a"])
    assert isinstance(answer, Answer) and answer.tokens == tuple(tokens)


@pytest.mark.parametrize("logprob", ["much", 10**400], ids=["text", "huge"])
def test_odd_log_probabilities_are_none(logprob: object) -> None:
    odd = json.loads(completion("A", [("A", -0.5)]).body)
    odd["choices"][0]["logprobs"]["content"][0]["logprob"] = logprob
    with FakeLLM(lambda _: Reply(json.dumps(odd))) as server:
        (answer,) = ask(server, ["a"])
    assert isinstance(answer, Answer) and (answer.text, answer.tokens) == ("A", ())


def test_an_answer_that_was_cut_says_so_and_one_without_text_is_empty() -> None:
    with FakeLLM(in_turn(completion("half an", finish_reason="length"), completion(None))) as server:
        cut, empty = ask(server, ["a", "b"], concurrency=1)
    assert isinstance(cut, Answer) and cut.is_cut
    assert isinstance(empty, Answer) and empty.text == "" and not empty.is_cut


def test_half_a_character_in_a_reply_becomes_a_question_mark() -> None:
    with FakeLLM(says("\ud83d")) as server:
        assert texts(ask(server, ["a"])) == ["?"]


def test_leaving_early_ends_all_requests() -> None:
    def slowly(asked: Asked) -> Reply:
        return Reply(echo(asked).body, stall=0.0 if asked.prompt == "a" else 30.0)

    with FakeLLM(slowly) as server:
        answers = endpoint(server, timeout=60).ask([_user("a"), *[_user("b")] * 50])
        assert next(answers)[0] == 0
        assert "weaklm endpoint" in {thread.name for thread in threading.enumerate()}
        began = time.monotonic()
        answers.close()
        assert time.monotonic() - began < 5
        assert "weaklm endpoint" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_ctrl_c_ends_a_run_that_waits() -> None:
    def interrupt(asked: Asked) -> Reply:
        press()
        return Reply(stall=30)

    began = time.monotonic()
    with ctrl_c() as press, FakeLLM(interrupt) as server, pytest.raises(KeyboardInterrupt):
        ask(server, ["a"], timeout=60)
    assert time.monotonic() - began < 5


SECRET = "sk-planted-7f3a9c"


def test_the_key_of_the_named_variable_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    with FakeLLM(echo) as server:
        ask(server, ["a"], api_key_env="MY_KEY")
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_nothing_of_the_environment_is_sent_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Key: {SECRET}\nAuthorization: {SECRET}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with FakeLLM(echo) as server:
        assert texts(ask(server, ["a"])) == ["A"]
    headers = server.requests[0].headers
    assert SECRET not in json.dumps(dict(headers)) and "authorization" not in headers
    assert set(headers) <= {
        "host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"
    }  # fmt: skip


def test_the_key_is_in_no_error_no_log_and_no_repr(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", SECRET)

    def tell_tale(asked: Asked) -> Reply:
        return fault(401, f"wrong key {asked.headers['authorization']}")

    with FakeLLM(tell_tale) as server, pytest.raises(ModelError, match=r"wrong key Bearer \[key\]") as caught:
        ask(server, ["a"], api_key_env="MY_KEY")
    assert SECRET not in f"{caught.getrepr(showlocals=False)}"
    assert SECRET not in repr(endpoint(server, api_key_env="MY_KEY"))
    assert caplog.text and SECRET not in caplog.text


def test_a_variable_that_is_not_set_is_named_before_any_request() -> None:
    with FakeLLM(echo) as server:
        with pytest.raises(SettingsError, match="the environment variable NO_SUCH_KEY is not set"):
            ask(server, ["a"], api_key_env="NO_SUCH_KEY")
        assert server.requests == []


@pytest.mark.parametrize(
    "key", ["sk-planted 7f3a9c", "sk-planted\n7f3a9c", "sk-plantéd-7f3a9c", "sk-planted\x007f3a9c"]
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr("os.environ", {"MY_KEY": key})
    with FakeLLM(echo) as server, pytest.raises(SettingsError, match="variable MY_KEY holds no key") as caught:
        ask(server, ["a"], api_key_env="MY_KEY")
    assert "7f3a9c" not in str(caught.value) and "sk-" not in str(caught.value)


def test_a_key_that_may_be_a_word_is_not_cut_out_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "EMPTY")
    with FakeLLM(says("IT IS EMPTY")) as server:
        assert texts(ask(server, ["a"], api_key_env="MY_KEY")) == ["IT IS EMPTY"]


NO_URLS = ["127.0.0.1:8000", "ftp://x/v1", "", "http://", "http://x:port/v1", "http://x:99999/v1", "http://x:0/v1",
           "http://[::1", "http://x/v1\n", "http://x /v1", None, 8000]  # fmt: skip


@pytest.mark.parametrize("url", NO_URLS)
def test_a_url_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(SettingsError, match="an address such as"):
        Endpoint("m", url)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1:8000", True),
        ("127.8.8.8", True),
        ("[::1]:8000", True),
        ("127.0.0.1.example.org", False),
        ("127.example.org", False),
        ("192.168.0.1", False),
    ],
)
def test_only_loopback_addresses_are_on_this_machine(host: str, is_local: bool) -> None:
    assert Endpoint("m", f"http://{host}/v1").is_local is is_local


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("concurrency", "8", "a whole number above 0"),
        ("concurrency", 2.5, "a whole number above 0"),
        ("concurrency", True, "a whole number above 0"),
        ("stop_after", 0, "a whole number above 0"),
        ("retries", -1, "a whole number of 0 or more"),
        ("timeout", None, "a number above 0"),
        ("timeout", float("inf"), "a number above 0"),
        ("backoff", float("nan"), "a number of 0 or more"),
        ("requests_per_minute", 0, "a number above 0"),
    ],
)
def test_numbers_that_cannot_be_are_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is {value!r}; {expected} is expected"):
        Endpoint("m", "http://127.0.0.1/v1", **{name: value})


@pytest.mark.parametrize("url", ["http://me:pass@host/v1", "https://host/v1?key=abc", "http://me:pass@x:y"])
def test_a_secret_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="base_url") as caught:
        Endpoint("m", url)
    assert "pass" not in str(caught.value).replace("password", "") and "abc" not in str(caught.value)


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
