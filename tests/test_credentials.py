"""Secrets of the environment: found by name, hidden where text is shown, refused where it would be kept."""

import pytest

from weaklm.credentials import from_environment, hidden, hidden_inside, is_secret, refuse_secrets, secrets
from weaklm.errors import SettingsError

SECRET = "planted-4711-do-not-tell"


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "OPENAI_API_KEY", "openai_apikey", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "DB_PASSWORD",
             "PGPASSWORD", "GITHUB_PAT", "MY_SECRET", "AWS_SESSION_TOKEN", "SERVICE_CREDENTIALS"]
)  # fmt: skip
def test_names_that_say_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "TOKENIZERS_PARALLELISM", "AWS_SHARED_CREDENTIALS_FILE", "HF_TOKEN_PATH", "KEYBOARD",
             "API_KEY_NAME", "SPAT", "OMP_NUM_THREADS"]
)  # fmt: skip
def test_names_that_do_not(name: str) -> None:
    assert not is_secret(name)


def test_every_line_of_a_secret_is_hidden_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f"{SECRET}\n{SECRET}-second-line\nshort")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ann:{SECRET[::-1]}@db/x")
    shown = hidden(f"{SECRET}-second-line, {SECRET}, short, postgresql://ann:{SECRET[::-1]}@db/x")
    assert shown == "[A_KEY], [A_KEY], short, postgresql://ann:[DATABASE_URL]@db/x"


def test_secrets_are_hidden_in_keys_and_values_and_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    monkeypatch.setenv("B_PASSWORD", "12345678")
    assert hidden_inside({SECRET: [12345678, {"x": f"<{SECRET}>"}, None]}) == {
        "[A_KEY]": [12345678, {"x": "<[A_KEY]>"}, None]
    }


def test_a_secret_that_would_be_kept_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    refuse_secrets({"text": "fine"}, "x")
    with pytest.raises(SettingsError, match="x holds the value of the environment variable A_KEY") as error:
        refuse_secrets({"deep": [(f"Bearer {SECRET}",)]}, "x")
    assert SECRET not in str(error.value)


def test_a_variable_that_is_named_holds_a_secret_whatever_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE", SECRET)
    assert SECRET not in secrets() and secrets(["JUDGE"])[SECRET] == "JUDGE"
    assert from_environment("JUDGE", "the judge") == SECRET


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JUDGE", value)
    with pytest.raises(SettingsError, match=r"the environment variable JUDGE (is not set|holds no key)") as error:
        from_environment("JUDGE", "the judge")
    assert "words" not in str(error.value) and "schl" not in str(error.value)
