"""The cache of what models said: found again, shared by processes, private."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from weaklm.errors import DataError
from weaklm.judges.cache import JudgeCache, Said, key


def test_what_was_put_is_found_and_nothing_else(tmp_path: Path) -> None:
    said = Said("ANSWER 9b: yes", "yes", None, 0.75, 1.5)
    with JudgeCache(tmp_path / "new" / "judges.db") as cache:
        cache.put("qwen3-8b", {key("a"): said})
    with JudgeCache(tmp_path / "new" / "judges.db") as cache:
        assert cache.get([key("a"), key("b")]) == {key("a"): said}


def test_more_keys_than_one_query_takes_are_found(tmp_path: Path) -> None:
    keys = [key(i) for i in range(1201)]
    with JudgeCache(tmp_path / "judges.db") as cache:
        cache.put("m", {one: Said(one) for one in keys})
        assert {one: said.output for one, said in cache.get([*keys, *keys]).items()} == {one: one for one in keys}


def test_the_secret_of_a_file_stays_and_differs_from_another_s(tmp_path: Path) -> None:
    secrets = []
    for name in ("a.db", "a.db", "b.db"):
        with JudgeCache(tmp_path / name) as cache:
            secrets.append(cache.secret)
    assert secrets[0] == secrets[1] != secrets[2] and len(secrets[0]) == 32


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file modes")
def test_others_cannot_read_the_file_that_holds_the_secret(tmp_path: Path) -> None:
    with JudgeCache(tmp_path / "judges.db") as cache:
        cache.put("m", {key("a"): Said("x")})
        modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()}
    assert modes == {"judges.db": 0, "judges.db-wal": 0, "judges.db-shm": 0}


WRITER = """
import sys
from weaklm.judges.cache import JudgeCache, Said, key
for i in range(10):
    with JudgeCache(sys.argv[1]) as cache:
        secret = cache.secret
        for j in range(5):
            cache.put("m", {key(sys.argv[2], i, j): Said("said")})
print(secret.hex())
"""


def test_processes_that_make_and_write_one_file_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "judges.db")]
    writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(4)]
    secrets = {writer.communicate()[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0] and len(secrets) == 1
    with JudgeCache(tmp_path / "judges.db") as cache:
        assert len(cache.get(key(str(n), i, j) for n in range(4) for i in range(10) for j in range(5))) == 200


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "judges.db").write_text("this is not a database, whatever its name says" * 50)
    with pytest.raises(DataError, match=r"judges\.db cannot be used: .*Name another file"), cache_in(tmp_path):
        pass


def test_a_folder_and_a_place_where_no_file_can_be_are_named(tmp_path: Path) -> None:
    (tmp_path / "judges.db").mkdir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "judges.db", tmp_path / "file" / "judges.db"):
        with pytest.raises(DataError, match=r"judges\.db cannot be used"), JudgeCache(place):
            pass


def test_the_database_of_another_program_is_refused_and_not_changed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "judges.db")) as connection:
        connection.execute("CREATE TABLE theirs (value)")
    before = (tmp_path / "judges.db").read_bytes()
    with pytest.raises(DataError, match="a database of another program"), cache_in(tmp_path):
        pass
    assert (tmp_path / "judges.db").read_bytes() == before


def test_a_cache_without_its_tables_is_named_by_whatever_needs_them(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "judges.db")) as connection:
        connection.execute("PRAGMA user_version = 1")
    with cache_in(tmp_path) as cache:
        with pytest.raises(DataError, match=r"judges\.db cannot be used: no such table"):
            _ = cache.secret
        with pytest.raises(DataError, match=r"judges\.db cannot be used: no such table"):
            cache.get(["a"])
        with pytest.raises(DataError, match=r"judges\.db cannot be used: no such table"):
            cache.put("m", {"a": Said("x")})


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    with cache_in(tmp_path) as cache:
        cache.put("m", {key(i): Said("x" * 500) for i in range(100)})
    content = (tmp_path / "judges.db").read_bytes()
    (tmp_path / "judges.db").write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(DataError, match=r"judges\.db cannot be used"), cache_in(tmp_path) as cache:
        cache.get(key(i) for i in range(100))


def test_a_cache_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "judges.db") as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DataError, match="it has version 9, this weaklm writes 1"), cache_in(tmp_path):
        pass


def cache_in(folder: Path) -> JudgeCache:
    return JudgeCache(folder / "judges.db")
