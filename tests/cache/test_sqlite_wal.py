"""How long the WAL of a DiskCache grows while others write and read, and that it keeps nothing from being stored."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.stores import connection_of
from instructor.cache import DiskCache, sqlite_wal
from instructor.exceptions import CacheError

SHARE = (1 << 20) // 8


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskCache]:
    with DiskCache(tmp_path, size_limit=1 << 20) as cache:
        yield cache


@contextlib.contextmanager
def other_program(cache: DiskCache) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(cache.path, isolation_level=None)) as connection:
        yield connection


def wal_size(cache: DiskCache) -> int:
    return Path(f"{cache.path}-wal").stat().st_size


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As with a quota, which the free space of the disk doesn't show either."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def let_it_grow(cache: DiskCache) -> list[str]:
    """Keep SQLite from copying the WAL by itself, as a second process does that writes without a pause.

    Returns a list in which what is executed is noted from now on.
    """
    raw, executed = connection_of(cache).raw, []
    raw.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    raw.set_trace_callback(executed.append)
    return executed


def test_a_writer_empties_a_wal_that_has_grown_too_long(cache: DiskCache) -> None:
    let_it_grow(cache)
    most = 0
    for number in range(200):
        cache.set(f"key {number % 100}", "x" * 2000)
        most = max(most, wal_size(cache))
    assert SHARE < most < 3 * SHARE
    assert len(cache) == 100, "and so nothing was removed"


def test_deletions_keep_it_short_as_well(cache: DiskCache) -> None:
    for number in range(100):
        cache.set(f"key {number}", "x" * 2000)
    let_it_grow(cache)
    for number in range(100):
        cache.delete(f"key {number}")
        cache.set("key", f"{number}" * 1000)
        assert wal_size(cache) < 3 * SHARE


def test_while_somebody_reads_for_long_few_writes_try_to_empty_it(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "_WAIT_FOR_READERS", 0.0)  # so that each tries once
    executed = let_it_grow(cache)
    with other_program(cache) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM entry").fetchall()
        while wal_size(cache) < 2 * SHARE:
            cache.set("key", "x" * 1000)
        executed.clear()
        for _ in range(10):
            cache.set("key", "x" * 1000)
        tries = sum("wal_checkpoint" in statement for statement in executed)
    assert tries == 1
    executed.clear()
    while not any("wal_checkpoint" in statement for statement in executed):
        assert wal_size(cache) < 6 * SHARE, "it is tried again later"
        cache.set("key", "x" * 1000)


def test_at_the_limit_an_answer_waits_for_a_writer_of_another_process(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_grow(cache)
    with other_program(cache) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM entry").fetchall()
        while wal_size(cache) < 4 * SHARE:
            cache.set("key", "x" * 20_000)
        naps: list[float] = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 100:
                other.execute("COMMIT")

        moment = iter(range(10**9))  # in which each look at the clock takes a millisecond
        clock = SimpleNamespace(sleep=nap, time=time.time, monotonic=lambda: next(moment) / 1000)
        monkeypatch.setattr(sqlite_wal, "_WAIT_FOR_READERS", 0.0)
        monkeypatch.setattr(sqlite_wal, "time", clock)
        for number in range(10):
            cache.set(f"paid {number}", "x" * 20_000)
    assert len(naps) == 100
    assert all(cache.get(f"paid {number}") for number in range(10))


def test_on_a_disk_that_is_nearly_full_it_takes_no_more_than_what_is_free(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that filled the disk could never be emptied, because the file has to grow for it."""
    let_it_grow(cache)
    monkeypatch.setattr(sqlite_wal, "free_space", lambda _: 40_000)
    sizes: list[int] = []
    for number in range(20):
        cache.set(f"key {number}", "x" * 2000)
        sizes.append(wal_size(cache))
    assert max(sizes) < SHARE
    assert len(cache) == 20


@pytest.mark.parametrize(("free", "looks"), [(1 << 40, 1), (1 << 22, 5)])
def test_only_a_disk_that_may_be_full_soon_is_looked_at_before_each_write(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, free: int, looks: int
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(sqlite_wal, "_LOOK_EVERY", 3600.0)
    monkeypatch.setattr(sqlite_wal, "free_space", lambda path: looked.append(path) or free)
    for number in range(5):
        cache.set(f"key {number}", "text")
    assert len(looked) == looks


def test_where_it_cannot_grow_it_is_emptied_so_that_answers_are_stored(cache: DiskCache) -> None:
    for number in range(10):
        cache.set(f"key {number}", "x" * 100)
    with no_file_larger_than(wal_size(cache)):
        for number in range(10):
            cache.set(f"paid {number}", "x" * 100)
        assert cache.delete("key 0")
    assert len(cache) == 19


def test_once_the_file_may_grow_again_the_next_answer_is_stored(cache: DiskCache) -> None:
    cache.set("key", "text")
    with no_file_larger_than(1 << 13):
        with pytest.raises(CacheError, match="disk I/O error"):
            cache.set("paid", "text")
        assert cache.get("key") == b"text"
    cache.set("paid", "text")
    assert cache.get("paid") == b"text"
