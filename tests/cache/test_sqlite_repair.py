"""A damaged file: what can be read of it goes on being served, and nothing else is."""

from __future__ import annotations

import logging
import random
import sqlite3
from pathlib import Path

import pytest

from instructor import from_provider
from instructor.cache import DiskCache, sqlite_layout, sqlite_repair
from instructor.cache.handle import handle_of
from instructor.exceptions import CacheEntryError

COUNT = 120
PAGE = 4096


def fill(directory: Path, count: int = COUNT) -> Path:
    """Write entries of different lengths; return the path of the closed file."""
    with DiskCache(directory) as cache:
        for number in range(count):
            cache.set(f"key {number:060}", text_of(number))
    return cache.path


def text_of(number: int) -> str:
    return f"text {number} " + "x" * (number * 37 % 1500)


def read(directory: Path, count: int = COUNT) -> int:
    """Read all entries; return how many there are."""
    with DiskCache(directory) as cache:
        found = [cache.get(f"key {number:060}") for number in range(count)]
    assert all(text in {None, text_of(number).encode()} for number, text in enumerate(found))
    return sum(text is not None for text in found)


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_page_that_is_lost_costs_the_entries_on_it_and_no_others(tmp_path: Path) -> None:
    original = fill(tmp_path / "original").read_bytes()
    lost = []
    for page in range(1, len(original) // PAGE):
        path = tmp_path / str(page) / "answers.sqlite3"
        path.parent.mkdir()
        path.write_bytes(original[: page * PAGE] + bytes(PAGE) + original[(page + 1) * PAGE :])
        kept = read(path.parent)
        assert read(path.parent) == kept, "what was carried over stays"
        lost.append(COUNT - kept)
    # The page at the root of the table is the one that leads to all the others.
    assert sorted(lost)[:-1] == [count for count in sorted(lost)[:-1] if count <= 13]


def test_a_lost_end_of_the_file_costs_what_stood_there(tmp_path: Path) -> None:
    path = fill(tmp_path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    kept = read(tmp_path)
    assert COUNT // 4 < kept < COUNT
    assert read(tmp_path) == kept


def test_entries_keep_their_ttl_and_their_order_of_use_when_they_are_carried_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("instructor.cache.sqlite.time.time", lambda: now)
    with DiskCache(tmp_path) as cache:
        cache.set("short", "text", ttl=10)
        cache.set("long", "text")
        target = sqlite_repair.set_aside(cache.path)
        cache.set("new", "text")
        assert sqlite_repair.salvage(target, cache._connect().raw) == 2
        assert {cache.get(key) for key in ("short", "long", "new")} == {b"text"}
        now += 10
        assert cache.get("short") is None
        assert cache.get("long") == b"text"


def test_a_newer_entry_is_not_replaced_by_one_that_is_carried_over(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("key", "old")
        target = sqlite_repair.set_aside(cache.path)
        cache.set("key", "new")
        sqlite_repair.salvage(target, cache._connect().raw)
        assert cache.get("key") == b"new"


@pytest.mark.parametrize("name", [b"valuf", b"val\xfee"], ids=["another name", "a name that is not UTF-8"])
def test_a_damaged_name_in_the_schema_is_damage_and_not_an_error_for_ever(tmp_path: Path, name: bytes) -> None:
    path = fill(tmp_path)
    overwrite(path, path.read_bytes().index(b"value NOT NULL"), name)
    read(tmp_path)
    with DiskCache(tmp_path) as cache:
        cache.set("new", "text")
        assert cache.get("new") == b"text"
    assert (tmp_path / "answers.sqlite3.damaged-1").exists()


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_number_of_the_layout_is_not_taken_for_another_version(tmp_path: Path, bit: int) -> None:
    path = fill(tmp_path, 5)
    at = 60 + 3  # the last byte of the user version, in the header
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 1 << bit]))
    assert read(tmp_path, 5) == 5


def test_any_flipped_bit_in_the_header_heals(tmp_path: Path) -> None:
    original = fill(tmp_path / "original", 10).read_bytes()
    write_version = range(18 * 8, 19 * 8)  # SQLite takes the file for read-only where this is wrong
    free_pages = 36 * 8 + 7  # with this bit there are less than none, and all others seem too many
    for bit in {*random.Random(1).sample(range(100 * 8), 24), *write_version, free_pages}:
        path = tmp_path / str(bit) / "answers.sqlite3"
        path.parent.mkdir()
        path.write_bytes(original[: bit // 8] + bytes([original[bit // 8] ^ 1 << bit % 8]) + original[bit // 8 + 1 :])
        read(path.parent, 10)
        with DiskCache(path.parent) as cache:
            cache.set("new", "text")
            assert cache.get("new") == b"text"


def test_a_flipped_bit_in_an_entry_costs_that_entry_and_shows_nothing_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is asked for again, written over the damaged one, and found from then on."""
    events = []

    def ask_all() -> tuple[int, int, int]:
        with DiskCache(tmp_path) as cache:
            client = from_provider("offline/demo", cache=cache)
            for name in ("error", "miss"):
                client.on(f"cache:{name}", events.append)
            answers = [client.create(str, [{"role": "user", "content": f"Question {number}"}]) for number in range(5)]
            stats = client.cache_stats()
            assert not handle_of(cache).paused()
            secrets.update(answers)
            return stats.hits, stats.writes, stats.errors

    secrets: set[str] = set()
    assert ask_all() == (0, 5, 0)
    events.clear()
    raw = sqlite3.connect(tmp_path / "answers.sqlite3")
    number, value = raw.execute("SELECT rowid, value FROM entry LIMIT 1").fetchone()
    damaged = bytearray(value)
    damaged[-20] ^= 0x80
    damaged[20] ^= 0x80
    raw.execute("UPDATE entry SET value = CAST(? AS TEXT) WHERE rowid = ?", (bytes(damaged), number))
    raw.commit()
    raw.close()
    assert ask_all() == (4, 1, 1)
    assert ask_all() == (5, 0, 0)
    assert events
    assert not caplog.records
    told = " ".join(str(event.reason) for event in events)
    assert not any(secret in told for secret in secrets)


def test_a_file_of_the_first_layout_is_brought_up_to_date(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = sqlite3.connect(tmp_path / "answers.sqlite3", isolation_level=None)
    sqlite_layout.MIGRATIONS[0](raw)
    raw.execute("INSERT INTO entry VALUES ('key', 'text', 4, NULL, 1.0)")
    raw.execute("PRAGMA user_version = 1")
    raw.close()
    with caplog.at_level(logging.WARNING), DiskCache(tmp_path) as cache:
        assert cache.get("key") == b"text"
        cache.set("new", "text")
        migrated = cache._connect().raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    with DiskCache(tmp_path / "new") as new:
        assert new._connect().raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == migrated
    assert not caplog.records


def test_in_a_read_only_directory_damage_is_a_miss_and_no_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(tmp_path)
    overwrite(path, path.stat().st_size // PAGE // 2 * PAGE, bytes(PAGE))
    monkeypatch.setattr("instructor.cache.sqlite_file._may_write", lambda path: False)
    with DiskCache(tmp_path) as cache:
        handle = handle_of(cache)
        found = lost = 0
        for number in range(COUNT):
            try:
                found += handle.read(f"key {number:060}") is not None
            except CacheEntryError:
                lost += 1
            assert not handle.paused()
    assert found > COUNT // 2
    assert lost
    assert not list(tmp_path.glob("*damaged*"))
