"""Answers as objects of a file system that fsspec knows, in memory and in a folder."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from instructor import from_provider
from instructor.cache import FileSystemCache
from instructor.cli import main
from instructor.exceptions import ArgumentError, CacheEntryError, ConfigurationError

KEY = "3f" * 32


@pytest.fixture
def cache(tmp_path: Path) -> FileSystemCache:
    return FileSystemCache(f"file://{tmp_path}/answers")


def object_of(folder: Path) -> Path:
    return folder / "answers" / KEY[:2] / KEY


def test_a_hit_is_one_read_and_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FileSystemCache(f"memory:/{tmp_path}")
    cache.set(KEY, "text")
    files, _ = cache._open()
    done: list[str] = []
    for name in ("cat_file", "ls", "find", "info", "exists"):
        method = getattr(files, name)
        monkeypatch.setattr(
            files, name, lambda *args, name=name, method=method, **kw: (done.append(name), method(*args, **kw))[1]
        )
    assert cache.get(KEY) == b"text"
    assert done == ["cat_file"]


def test_an_object_is_replaced_in_one_step(
    cache: FileSystemCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a write leaves behind that was killed before its end is neither served nor listed."""
    cache.set(KEY, "first")
    files, _ = cache._open()
    monkeypatch.setattr(files, "mv", lambda *_: None)
    cache.set(KEY, "second")
    assert len(list(object_of(tmp_path).parent.iterdir())) == 2
    assert cache.get(KEY) == b"first"
    assert [listed.key for batch in cache.list_entries() for listed in batch] == [KEY]


def test_what_else_lies_there_is_left_alone(cache: FileSystemCache, tmp_path: Path) -> None:
    cache.set(KEY, "text")
    other = tmp_path / "answers" / "notes.txt"
    other.write_text("mine")
    assert cache.clear() == 1
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    "data", [b"", b"{}\ntext", b"no JSON\n", b'{"key":"other","expires":null}\ntext', b'{"key":1,"expires":"x"}\n']
)
def test_a_damaged_object_is_no_answer(cache: FileSystemCache, tmp_path: Path, data: bytes) -> None:
    cache.set(KEY, "text")
    object_of(tmp_path).write_bytes(data)
    with pytest.raises(CacheEntryError):
        cache.get(KEY)


def test_what_has_expired_is_listed_so_that_it_can_be_removed(
    cache: FileSystemCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set(KEY, "text", ttl=10)
    now = time.time()
    monkeypatch.setattr("instructor.cache.objects.time.time", lambda: now + 11)
    assert cache.get(KEY) is None
    with pytest.raises(SystemExit):
        main(["cache", "purge", f"file://{tmp_path}/answers"])
    assert not object_of(tmp_path).exists()


def test_a_client_finds_what_another_one_has_stored(tmp_path: Path) -> None:
    ask = {"response_model": int, "messages": [{"role": "user", "content": "Anna is 25."}]}
    for cached in (False, True):
        client = from_provider("offline/demo", cache=FileSystemCache(f"file://{tmp_path}"))
        assert client.create_with_reply(**ask).cached is cached


def test_it_travels_to_another_process_and_shows_no_secret() -> None:
    cache = FileSystemCache("memory://answers", timeout=3.0, secret="tiger")
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.timeout, copy._options["secret"]) == (3.0, "tiger")
    assert repr(copy) == "FileSystemCache(memory://answers)"
    assert "tiger" not in repr(FileSystemCache("memory://ann:tiger@host/answers"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Any = 3
    with pytest.raises(ArgumentError, match="s3://bucket"):
        FileSystemCache(wrong)
    with pytest.raises(ConfigurationError, match="no file system for nowhere://"):
        FileSystemCache("nowhere://bucket")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r'pip install "instructor\[fsspec\]"'):
        FileSystemCache("memory://answers")
