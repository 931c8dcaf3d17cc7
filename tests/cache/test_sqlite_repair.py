"""A damaged file: what can be read of it goes on being served, and nothing else is."""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from cache.stores import connection_of
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
    # Nothing is lost with a page that only leads to others: the roots of the table and of its indexes among them.
    assert max(lost) <= 13
    assert lost.count(0) > 3


def root_of(path: Path, name: str) -> int:
    """Return where the root page of a table or index begins in a closed file."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return (int(page) - 1) * PAGE


def test_a_flipped_bit_in_the_root_of_the_index_hides_no_entry(tmp_path: Path) -> None:
    """SQLite goes by the keys on that page and finds nothing wrong, however it is led astray."""
    path = fill(tmp_path / "original", 400)
    original, start = path.read_bytes(), root_of(path, "sqlite_autoindex_entry_1")
    places = [at for at in range(start, start + PAGE) if original[at : at + 4] == b"key "]
    assert len(places) > 3, "the page leads to several others"
    for at in places:
        directory = tmp_path / str(at)
        directory.mkdir()
        (directory / path.name).write_bytes(original)
        overwrite(directory / path.name, at, bytes([original[at] ^ 0x10]))
        assert read(directory, 400) == 400
        assert len(list(directory.glob("*.damaged-1"))) == 1
        assert read(directory, 400) == 400
        assert not list(directory.glob("*.damaged-2"))


def test_a_miss_of_a_sound_file_is_no_damage(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("here", "text", ttl=1)
        assert cache.get("elsewhere") is None
        connection_of(cache).raw.execute("UPDATE entry SET expires = 1")
        assert cache.get("here") is None
    assert not list(tmp_path.glob("*damaged*"))


def test_entries_in_the_wal_are_carried_over_and_removed_ones_do_not_come_back(tmp_path: Path) -> None:
    with DiskCache(tmp_path / "original") as cache:
        for number in range(COUNT):
            cache.set(f"key {number:060}", text_of(number))
        connection_of(cache).raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for number in range(0, COUNT, 2):
            cache.delete(f"key {number:060}")
        cache.set("key in the WAL", "x" * 10_000)
        shutil.copytree(cache.directory, tmp_path / "copy")  # as of a machine that stopped
    damaged = tmp_path / "copy" / "answers.sqlite3"
    assert Path(f"{damaged}-wal").stat().st_size
    overwrite(damaged, 0, bytes(PAGE))
    wal = Path(f"{damaged}-wal").read_bytes()
    pages = range(32, len(wal), PAGE + 24)
    for at in pages:  # the page with the schema, of which the WAL has a version too
        if wal[at : at + 4] == (1).to_bytes(4):
            overwrite(Path(f"{damaged}-wal"), at + 24, bytes(PAGE))
    with DiskCache(tmp_path / "new") as new:
        assert sqlite_repair.salvage(damaged, connection_of(new).raw) == COUNT // 2 + 1
        assert new.get("key in the WAL") == b"x" * 10_000
    assert read(tmp_path / "new") == COUNT // 2


def test_of_an_emptied_file_what_is_in_the_wal_is_kept(tmp_path: Path) -> None:
    with DiskCache(tmp_path / "original") as cache:
        connection_of(cache).raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        cache.set("key", "text")
        shutil.copytree(cache.directory, tmp_path / "copy")
    (tmp_path / "copy" / "answers.sqlite3").write_bytes(b"")
    with DiskCache(tmp_path / "copy") as copy:
        assert copy.get("key") == b"text"


def test_a_row_whose_key_was_damaged_is_left_out(tmp_path: Path) -> None:
    path = fill(tmp_path / "cache", 1)
    with DiskCache(tmp_path / "new") as new:
        overwrite(path, path.read_bytes().index(b"key 0", root_of(path, "entry")), b"kez")
        assert sqlite_repair.salvage(path, connection_of(new).raw) == 0


def test_a_row_that_lost_a_value_does_not_stop_all_writes(tmp_path: Path) -> None:
    path = fill(tmp_path, 3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'used REAL NOT NULL', 'used REAL') WHERE name = 'entry'"
        )
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("UPDATE entry SET used = NULL WHERE rowid = 1")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'used REAL', 'used REAL NOT NULL') WHERE name = 'entry'"
        )
    with DiskCache(tmp_path) as cache:
        assert cache.get(f"key {0:060}") is not None
        cache.set("new", "text")
        assert cache.get("new") == b"text"
    assert read(tmp_path, 3) == 2


def test_entries_of_older_layouts_are_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(f"PRAGMA page_size = {PAGE}")
        raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
        sqlite_layout.MIGRATIONS[0](raw)
        raw.execute("INSERT INTO entry VALUES ('first', 'text', 4, NULL, 1.0)")
        sqlite_layout.MIGRATIONS[1](raw)
        raw.execute("INSERT INTO entry VALUES ('second', CAST('text' AS BLOB), 4, 4e9, 1.5, 1.0)")
    with DiskCache(tmp_path / "new") as new:
        assert sqlite_repair.salvage(path, connection_of(new).raw) == 2
        assert (new.get("first"), new.get("second")) == (b"text", b"text")


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
        assert sqlite_repair.salvage(target, connection_of(cache).raw) == 2
        assert {cache.get(key) for key in ("short", "long", "new")} == {b"text"}
        now += 10
        assert cache.get("short") is None
        assert cache.get("long") == b"text"


def test_a_newer_entry_is_not_replaced_by_one_that_is_carried_over(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("key", "old")
        target = sqlite_repair.set_aside(cache.path)
        cache.set("key", "new")
        sqlite_repair.salvage(target, connection_of(cache).raw)
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


def test_a_damaged_name_of_a_column_that_only_writes_name_is_damage(tmp_path: Path) -> None:
    path = fill(tmp_path)
    overwrite(path, path.read_bytes().index(b"created"), b"creatad")
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
    told = " ".join(f"{event.reason} {event.detail}" for event in events)
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
        migrated = connection_of(cache).raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    with DiskCache(tmp_path / "new") as new:
        assert connection_of(new).raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == migrated
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
