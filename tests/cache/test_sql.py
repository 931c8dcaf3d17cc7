"""Answers in a table of a database, here of SQLite."""

from __future__ import annotations

import contextlib
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from instructor import from_provider
from instructor.cache import SqlCache
from instructor.exceptions import ArgumentError, ConfigurationError

KEY = "3f" * 32


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/answers.db"


def test_a_client_finds_what_another_one_has_stored(url: str) -> None:
    ask = {"response_model": int, "messages": [{"role": "user", "content": "Anna is 25."}]}
    for cached in (False, True):
        client = from_provider("offline/demo", cache=SqlCache(url))
        assert client.create_with_reply(**ask).cached is cached


def test_a_writer_that_comes_between_is_overwritten(url: str) -> None:
    """After the update has found no row, and before the insert."""
    cache, other = SqlCache(url), SqlCache(url)
    cache.clear()

    done: list[str] = []

    def come_between(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        done.append(statement.split(maxsplit=1)[0])
        if statement.startswith("INSERT"):
            other.set(KEY, "theirs")

    event.listen(cache._engine, "before_cursor_execute", come_between)
    cache.set(KEY, "ours")
    assert done == ["UPDATE", "INSERT", "UPDATE"]
    assert other.get(KEY) == b"ours"


@pytest.mark.parametrize(("code", "tries", "is_stored"), [(1213, 3, True), (1213, 6, False), (2006, 1, False)])
def test_a_write_that_met_a_deadlock_is_tried_again(url: str, code: int, tries: int, is_stored: bool) -> None:
    cache = SqlCache(url)
    cache.clear()
    failures = [OperationalError("UPDATE", {}, Exception(code, "MySQL's own words")) for _ in range(tries)]

    def fail(*_: Any) -> None:
        if failures:
            raise failures.pop()

    event.listen(cache._engine, "before_cursor_execute", fail)
    with contextlib.nullcontext() if is_stored else pytest.raises(OperationalError):
        cache.set(KEY, "text")
    failures.clear()
    assert (cache.get(KEY) is not None) is is_stored


def test_a_key_is_kept_in_bytes(url: str) -> None:
    """A table of MySQL may be in Latin-1, and PostgreSQL knows no text with a NUL."""
    cache = SqlCache(url)
    cache.set("日本\0", "text")
    with cache._engine.begin() as connection:
        assert connection.execute(text("SELECT stored_key FROM instructor_answers")).scalar() == "日本\0".encode()


def test_two_processes_may_make_the_table(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = SqlCache(url), SqlCache(url)
    first.set(KEY, "text")
    create = second._table.metadata.create_all
    monkeypatch.setattr(second._table.metadata, "create_all", lambda engine: create(engine, checkfirst=False))
    assert second.get(KEY) == b"text"


def test_what_has_expired_is_removed_now_and_then(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SqlCache(url)
    cache.set(KEY, "text", ttl=10)
    now = time.time()
    monkeypatch.setattr("instructor.cache.sql.time.time", lambda: now + 11)
    assert cache.size() == (0, 0)
    cache._writes = 98
    cache.set("another", "text")
    with cache._engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM instructor_answers")).scalar() == 2
    cache.set("another", "text")
    with cache._engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM instructor_answers")).scalar() == 1


def test_it_travels_to_another_process(url: str) -> None:
    cache = SqlCache(url, "mine", 7.0, pool_size=3)
    cache.set(KEY, "text")
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.get(KEY), copy.timeout) == (b"text", 7.0)
    with pytest.raises(TypeError, match="an Engine of yours"):
        pickle.dumps(SqlCache(create_engine(url)))


def test_no_password_is_shown() -> None:
    engine = create_engine("sqlite:///answers.db")
    engine.url = engine.url.set(drivername="postgresql", username="ann", password="tiger", host="h")
    assert "tiger" not in repr(SqlCache(engine))
    with pytest.raises(ConfigurationError) as refused:
        SqlCache("postgresql+nothing://ann:tiger@host/name")
    assert "tiger" not in str(refused.value)


def test_what_is_wrong_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, advice in (("sqlite://", "MemoryCache"), ("sqlite:///:memory:", "MemoryCache"), (3, "an Engine")):
        with pytest.raises(ArgumentError, match=advice):
            SqlCache(wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="letters, digits"):
        SqlCache(url, table="answers; DROP TABLE x")
    with pytest.raises(ArgumentError, match="not both"):
        SqlCache(create_engine(url), pool_size=3)
    with pytest.raises(ConfigurationError, match="the URL can't be read"):
        SqlCache("no URL")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="Install the database's driver"):
        SqlCache("postgresql+psycopg://localhost/none")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigurationError, match=r'pip install "instructor\[sql\]"'):
        SqlCache(url)
