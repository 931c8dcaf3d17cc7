"""DiskCache: what reaches the disk, who may read it, and what it survives."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.stores import connection_of
from forks import Forked, Template
from instructor.cache import DiskCache, sqlite, sqlite_layout, sqlite_rows
from instructor.cache.handle import handle_of
from instructor.cache.sqlite_group import SWEEP_EVERY
from instructor.exceptions import CacheError, CacheNotTriedError, ConfigurationError

CHILDREN = Path(__file__).parent / "children"


class Clock:
    """The clock that DiskCache reads."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("instructor.cache.sqlite.time.time", clock.time)
    return clock


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskCache]:
    with DiskCache(tmp_path / "cache") as cache:
        yield cache


def rows(cache: DiskCache) -> int:
    connection = sqlite3.connect(cache.path)
    try:
        return connection.execute("SELECT count(*) FROM entry").fetchone()[0]
    finally:
        connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def start_child(template: Template, name: str, *arguments: object) -> Forked:
    return template.start(CHILDREN / name, *arguments, cwd=CHILDREN, stdin=subprocess.PIPE)


def test_nothing_is_made_on_disk_before_it_is_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "a" / "b")
    repr(cache)
    assert not (tmp_path / "a").exists()
    assert cache.get("key") is None
    assert cache.path.exists()


def test_only_the_owner_can_read_what_it_makes(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with DiskCache(tmp_path / "cache") as cache:
            cache.set("key", "text")
            assert mode(cache.directory) == 0o700
            files = sorted(cache.directory.iterdir())
            assert [file.name for file in files] == [
                "answers.lock",
                "answers.sqlite3",
                "answers.sqlite3-shm",
                "answers.sqlite3-wal",
            ]
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)


def test_a_file_that_others_can_read_is_closed_to_them_but_a_directory_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with DiskCache(tmp_path) as cache:
        cache.set("key", "text")
    cache.path.chmod(0o644)
    with DiskCache(tmp_path) as again:
        assert again.get("key") == b"text"
    assert mode(cache.path) == 0o600
    assert mode(tmp_path) == 0o755


def test_another_process_finds_what_was_stored(cache: DiskCache, template: Template) -> None:
    cache.set("key", "text é")
    child = start_child(template, "disk_read.py", cache.directory, "key")
    assert child.communicate(timeout=60)[0] == "text é"


def test_bytes_come_back_as_bytes(cache: DiskCache) -> None:
    cache.set("key", b"\x00\xff")
    assert cache.get("key") == b"\x00\xff"


def test_expired_entries_are_not_returned_and_are_removed_by_later_writes(cache: DiskCache, clock: Clock) -> None:
    cache.set("key", "text", ttl=10)
    clock.now += 10
    assert cache.get("key") is None
    assert len(cache) == 0
    assert rows(cache) == 1
    for _ in range(SWEEP_EVERY):
        cache.set("other", "text")
    assert rows(cache) == 1


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 3_000_000])
def test_a_value_of_any_length_comes_back_as_it_was_stored_until_it_expires(
    cache: DiskCache, clock: Clock, size: int
) -> None:
    value = (b"0123456789" * size)[:size]
    cache.set("key", b"older" * size, ttl=10)
    cache.set("key", value, ttl=10)
    assert cache.get("key") == value
    clock.now += 10
    assert cache.get("key") is None


def test_a_long_value_that_another_connection_deletes_meanwhile_is_not_there(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", "x" * 100_000)
    read = sqlite_rows.fetch_large

    def delete_first(*arguments: Any) -> Any:
        with sqlite3.connect(cache.path) as other:
            other.execute("DELETE FROM entry")
        other.close()
        return read(*arguments)

    monkeypatch.setattr(sqlite_rows, "fetch_large", delete_first)
    assert cache.get("key") is None
    assert not connection_of(cache).raw.in_transaction


def test_when_full_the_least_recently_used_entries_go(tmp_path: Path, clock: Clock) -> None:
    with DiskCache(tmp_path, size_limit=1 << 19) as cache:
        for number in range(300):
            clock.now += 100
            cache.set(f"key {number}", "x" * 2000)
            assert cache.get("key 0") is not None, f"read all the time, and gone after {number}"
        kept = [number for number in range(300) if cache.get(f"key {number}") is not None]
        assert kept == [0, *range(300 - len(kept) + 1, 300)]
        assert 50 < len(kept) < 130, len(kept)


def test_a_use_counts_at_once(tmp_path: Path, clock: Clock) -> None:
    """Within the same minute too, and without anything being written when it happens."""
    with DiskCache(tmp_path, size_limit=1 << 19) as cache:
        hot = [f"hot {number}" for number in range(10)]
        for key in hot:
            cache.set(key, "x" * 1000)
        for number in range(500):
            clock.now += 0.001
            cache.set(f"cold {number}", "x" * 1000)
            if number % 10 == 0:
                assert all(cache.get(key) for key in hot)
        assert cache.get("cold 0") is None


@pytest.mark.parametrize("how", ["closing", "another entry's writing", "reading on"])
def test_a_use_reaches_other_processes(tmp_path: Path, clock: Clock, how: str) -> None:
    reader, writer = DiskCache(tmp_path, size_limit=1 << 19), DiskCache(tmp_path, size_limit=1 << 19)
    for number in range(20):
        clock.now += 1
        writer.set(f"key {number}", "x" * 2000)
    clock.now += 1
    assert reader.get("key 0")
    clock.now += sqlite.FLUSH_SECONDS
    actions: dict[str, Callable[[], Any]] = {
        "closing": reader.close,
        "another entry's writing": lambda: reader.set("other", "text"),
        "reading on": lambda: reader.get("no entry"),
    }
    actions[how]()
    for number in range(20, 75):
        clock.now += 1
        writer.set(f"key {number}", "x" * 2000)
    assert writer.get("key 0") is not None
    assert writer.get("key 1") is None
    reader.close()
    writer.close()


def test_a_use_is_written_when_the_process_ends(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("key", "text")
        before = connection_of(cache).raw.execute("SELECT used FROM entry").fetchone()
        code = "import sys; from instructor.cache import DiskCache; c = DiskCache(sys.argv[1]); assert c.get('key')"
        subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
        assert connection_of(cache).raw.execute("SELECT used FROM entry").fetchone() > before


def test_uses_that_cannot_be_written_are_tried_again_and_never_pile_up(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instructor.cache.sqlite.MOST_USES", 4)
    with DiskCache(cache.directory) as other:
        for number in range(200):
            other.set(f"key {number}", "text")
        writer = sqlite3.connect(other.path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        for number in range(200):
            assert other.get(f"key {number}") == b"text"
            assert len(other._uses) <= 16 * 4 + 4
        writer.close()
        before = len(other._uses)
        assert before
        other.set("new", "text")
        assert not other._uses


def test_another_processes_smaller_limit_cuts_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with DiskCache(tmp_path, size_limit=1 << 22) as large, DiskCache(tmp_path, size_limit=1 << 19) as small:
        for number in range(500):
            large.set(f"key {number}", "x" * 1000)
        for number in range(5):
            small.set(f"small {number}", "text")
        assert len(large) == 505
    assert [record.getMessage().split(" has ")[1][:14] for record in caplog.records] == ["a larger limit"]


def test_a_larger_limit_that_nobody_uses_any_more_is_forgotten(tmp_path: Path, clock: Clock) -> None:
    with DiskCache(tmp_path, size_limit=1 << 22) as large:
        for number in range(500):
            large.set(f"key {number}", "x" * 1000)
    clock.now += sqlite.DAY + 1
    with DiskCache(tmp_path, size_limit=1 << 19) as small:
        small.set("key", "text")
        assert len(small) < 250


def disk_usage(cache: DiskCache) -> int:
    files = (cache.path, Path(f"{cache.path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


@pytest.mark.parametrize("size_limit", [1 << 18, 1 << 20, 1 << 22])
def test_the_limit_holds_for_the_file_and_its_log_together(tmp_path: Path, size_limit: int) -> None:
    """With entries of all sizes, and whatever has to be removed for the largest."""
    dice = random.Random(size_limit)
    most = kept = written = 0
    with DiskCache(tmp_path, size_limit=size_limit) as cache:
        while written < 5 * size_limit:
            size = dice.choice([100, 1000, 5000, dice.randrange(size_limit // 8)])
            cache.set(f"key {written}", "x" * size)
            written += size
            for _ in range(20):
                cache.get(f"key {dice.randrange(written)}")
            most = max(most, disk_usage(cache))
        kept = cache.size()[1]
    assert most <= size_limit
    assert kept > size_limit // 16


def test_a_lowered_limit_is_reached_by_and_by(tmp_path: Path, clock: Clock) -> None:
    with DiskCache(tmp_path, size_limit=1 << 22) as large:
        for number in range(1500):
            large.set(f"key {number}", "x" * 1500)
    clock.now += sqlite.DAY + 1
    with DiskCache(tmp_path, size_limit=1 << 20) as small:
        assert disk_usage(small) > 3 << 19
        for number in range(200):
            small.set(f"new {number}", "text")
            assert Path(f"{small.path}-wal").stat().st_size < 1 << 19
        assert disk_usage(small) <= 1 << 20
        assert small.get("new 199") == b"text"


def test_the_limit_holds_while_another_program_reads_for_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with DiskCache(tmp_path, size_limit=1 << 20) as cache:
        cache.set("key", "text")
        with contextlib.closing(sqlite3.connect(cache.path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM entry").fetchall()
            refused = 0
            for number in range(30):  # half of which would go beyond the limit
                try:
                    cache.set(f"key {number}", "x" * 20_000)
                except CacheNotTriedError as refusal:
                    assert "another program" in str(refusal)  # noqa: PT017 - some of them only
                    refused += 1
                assert disk_usage(cache) <= 1 << 20
            assert refused == 30 - sum(cache.get(f"key {number}") is not None for number in range(30)) > 10
            assert cache.get("key") == b"text", "what is there is served"
            [message] = [record.getMessage() for record in caplog.records if "new" in record.getMessage()]
            assert "another program" in message
        for _ in range(2):
            cache.set("after", "text")
        assert cache.get("after") == b"text"
        assert Path(f"{cache.path}-wal").stat().st_size < 1 << 18


def test_before_entries_of_this_day_are_removed_a_warning_says_what_to_set(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with DiskCache(tmp_path, size_limit=1 << 19) as cache:
        for number in range(80):
            cache.set(f"old {number}", "x" * 1000)
        clock.now += 2 * sqlite.DAY
        for number in range(70):
            cache.set(f"new {number}", "x" * 1000)
        assert cache.get("old 0") is None
        assert not caplog.records, "what is older than a day goes without a word"
        for number in range(300):
            cache.set(f"newer {number}", "x" * 1000)
    [record] = caplog.records
    assert "paid again" in record.getMessage()
    assert "size_limit=" in record.getMessage()


def test_entries_are_listed_in_batches(cache: DiskCache, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_rows, "BATCH", 10)
    for number in range(25):
        cache.set(f"key {number}", "text", ttl=10 if number == 7 else None)
    clock.now += 10
    batches = list(cache.list_entries())
    assert max(map(len, batches)) == 10
    assert [each.key for batch in batches for each in batch] == [f"key {number}" for number in range(25) if number != 7]
    assert cache.delete_many([f"key {number}" for number in range(1, 25)]) == 24, (
        "an expired one is there until it is removed"
    )
    assert cache.clear() == 1


def test_without_a_limit_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskCache(tmp_path, size_limit=1 << 18) as limited:
        limited.set("key", "text")
    with DiskCache(tmp_path, size_limit=None) as cache:
        for number in range(300):
            cache.set(f"key {number}", "x" * 1000)
        cache.set("large", "x" * (1 << 20))
        assert len(cache) == 302
        assert repr(cache).endswith("size_limit=None)")
        assert pickle.loads(pickle.dumps(cache)).size_limit is None


def test_an_entry_too_large_for_the_file_drives_nothing_out(tmp_path: Path) -> None:
    with DiskCache(tmp_path, size_limit=1 << 18) as cache:
        cache.set("small", "text")
        with pytest.raises(CacheNotTriedError, match=r"262144 bytes is too large .* more than 2097152"):
            cache.set("large", "x" * (1 << 18))
        assert cache.get("small") == b"text"
        assert cache.get("large") is None


def test_a_hit_writes_nothing(cache: DiskCache) -> None:
    cache.set("key", "text")
    wal = Path(f"{cache.path}-wal")
    before = wal.stat().st_size, wal.stat().st_mtime_ns
    for _ in range(100):
        cache.get("key")
    assert (wal.stat().st_size, wal.stat().st_mtime_ns) == before


def test_a_hit_never_waits_for_a_writer(tmp_path: Path, clock: Clock) -> None:
    with DiskCache(tmp_path, timeout=300) as cache:
        cache.set("key", "text")
        clock.now += 10 * sqlite.FLUSH_SECONDS
        writer = sqlite3.connect(cache.path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert cache.get("key") == b"text"
        writer.close()
        cache.set("other", "text")


def test_a_write_waits_no_longer_than_the_timeout(tmp_path: Path) -> None:
    with DiskCache(tmp_path, timeout=0.05) as cache:
        cache.set("key", "text")
        writer = sqlite3.connect(cache.path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheError, match="held the file for too long"):
            cache.set("key", "new")
        assert cache.get("key") == b"text"
        writer.close()
        cache.set("key", "new")
        assert cache.get("key") == b"new"


def test_delete_clear_and_size(cache: DiskCache) -> None:
    cache.set("a", "é")
    cache.set("b", "x" * 100_000)
    assert cache.size() == (2, 100_002)
    assert cache.delete("a")
    assert not cache.delete("a")
    cache.clear()
    assert (len(cache), bool(cache)) == (0, True)
    cache.close()
    assert cache.path.stat().st_size < 100_000, "the space is given back"


def test_a_closed_store_opens_again(cache: DiskCache) -> None:
    cache.set("key", "text")
    cache.close()
    assert not Path(f"{cache.path}-wal").exists(), "the last one to close leaves one file"
    assert cache.get("key") == b"text"


def test_the_connections_of_threads_that_ended_are_closed(cache: DiskCache) -> None:
    def use_in_threads(number: int) -> int:
        for _ in range(number):
            thread = threading.Thread(target=cache.set, args=("key", "text"))
            thread.start()
            thread.join()
        return len(list(Path("/proc/self/fd").iterdir()))

    assert use_in_threads(30) == use_in_threads(3)


@pytest.mark.usefixtures("clean_heap")
def test_a_store_that_nobody_closed_is_closed_when_it_is_let_go(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.set("key", "text")
    path = cache.path
    handle_of(cache)  # which makes a cycle, so that it is the garbage collector that finds it
    del cache
    gc.collect()  # an open connection would warn here from Python 3.13 on, and warnings are errors
    assert not Path(f"{path}-wal").exists()


def test_a_copy_in_another_process_uses_the_same_file(cache: DiskCache) -> None:
    cache.set("key", "text")
    assert pickle.loads(pickle.dumps(cache)).get("key") == b"text"


@pytest.mark.parametrize(
    "arguments",
    [
        {"directory": ""},
        {"directory": " \t"},
        {"directory": b"cache"},
        {"directory": "a\0b"},
        {"directory": "\ud800"},
        {"directory": 5},
        {"directory": None},
        {"size_limit": 10},
        {"size_limit": 1e9},
        {"size_limit": True},
        {"timeout": 0},
        {"timeout": None},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"timeout": 1e300},
    ],
)
def test_a_wrong_argument_is_refused_and_named(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        DiskCache(**arguments)


def test_what_is_no_text_is_refused(cache: DiskCache) -> None:
    with pytest.raises(ConfigurationError, match="str or bytes"):
        cache.set("key", {"a": 1})


@pytest.mark.parametrize("key", ["\ud800", 5, None, b"key"])
def test_what_is_no_key_is_refused(cache: DiskCache, key: Any) -> None:
    for use in (cache.get, cache.delete, lambda key: cache.set(key, "text")):
        with pytest.raises(ConfigurationError, match="key"):
            use(key)


def test_a_text_that_has_no_utf_8_is_refused(cache: DiskCache) -> None:
    with pytest.raises(ConfigurationError, match="value"):
        cache.set("key", "\ud800")


@pytest.mark.parametrize("ttl", ["x", 1.5, 0, -1, True])
def test_a_ttl_of_no_whole_seconds_is_refused(cache: DiskCache, ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.set("key", "text", ttl)


def test_a_ttl_of_any_length_is_taken(cache: DiskCache) -> None:
    cache.set("key", "text", 10**400)
    assert cache.get("key") == b"text"


def test_a_directory_that_cannot_be_made_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = DiskCache(tmp_path / "file" / "cache")
    with pytest.raises(CacheError, match=r"file.*cache.*writable"):
        cache.get("key")
    with pytest.raises(CacheError):
        cache.set("key", "text")


def test_when_the_disk_is_full_writing_fails_and_reading_goes_on(cache: DiskCache) -> None:
    cache.set("key", "text")
    connection_of(cache).raw.execute("PRAGMA max_page_count = 10")
    cache.pause = 1000.0
    handle = handle_of(cache)
    with pytest.raises(CacheError, match="disk is full"):
        handle.write("large", "x" * 100_000, None)
    assert not handle.paused()
    assert handle.read("key") == b"text"
    assert handle.write("other", "text", None) is False, "writes are left alone for a while"
    connection_of(cache).raw.execute("PRAGMA max_page_count = 100000")
    cache.set("large", "x" * 100_000)


def scribble(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def scribble_inside(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [scribble, cut, scribble_inside, empty])
@pytest.mark.parametrize("opened", [False, True], ids=["closed", "open"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(cache: DiskCache, damage: object, opened: bool) -> None:
    for number in range(50):
        cache.set(f"key {number}", "x" * 2000)
    cache.close()
    if opened:
        cache.get("key 0")
    damage(cache.path)
    for number in range(50):
        assert cache.get(f"key {number}") in {None, b"x" * 2000}
    cache.set("new", "text")
    assert cache.get("new") == b"text"
    cache.close()
    assert cache.get("new") == b"text"
    if damage is not empty:
        assert (cache.directory / "answers.sqlite3.damaged-1").exists()
        assert not list(cache.directory.glob("*damaged-2"))


def test_the_log_of_a_damaged_file_is_not_applied_to_the_new_one(cache: DiskCache) -> None:
    for number in range(50):
        cache.set(f"key {number}", "x" * 2000)
    connection_of(cache).raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    cache.set("key 0", "in the log")
    scribble_inside(cache.path)
    with DiskCache(cache.directory) as other:  # while `cache` keeps the log open
        for number in range(50):
            other.get(f"key {number}")
        assert (cache.directory / "answers.sqlite3.damaged-1-wal").exists()
        assert other.get("key 0") in {None, b"in the log"}, "only what was carried over with the damaged file"
        other.set("key 0", "new")
        assert other.get("key 0") == b"new"
    assert cache.get("key 0") in {b"in the log", b"new"}


def test_one_damage_is_set_aside_once_however_many_notice(cache: DiskCache) -> None:
    for number in range(50):
        cache.set(f"key {number}", "x" * 2000)
    others = [DiskCache(cache.directory) for _ in range(4)]
    for other in others:
        assert other.get("key 1") is not None
    for store in (cache, *others):
        connection_of(store).raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    scribble_inside(cache.path)
    for number, other in enumerate(others):
        other.set(f"new {number}", "text")
    assert [others[0].get(f"new {number}") for number in range(4)] == [b"text"] * 4
    assert len(list(cache.directory.glob("answers.sqlite3.damaged-?"))) == 1


def test_the_new_file_of_a_faster_process_is_not_set_aside(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set("key", "text")
    cache.close()
    cache.get("key")
    scribble(cache.path)
    lock = cache._file.lock

    def lock_too_late() -> Any:
        monkeypatch.setattr(cache._file, "lock", lock)
        with DiskCache(cache.directory) as other:
            other.set("theirs", "text")
        return lock()

    monkeypatch.setattr(cache._file, "lock", lock_too_late)
    connection_of(cache).raw.execute("PRAGMA cache_size = 0")
    cache.set("mine", "text")
    assert (cache.get("mine"), cache.get("theirs")) == (b"text", b"text")
    assert not (cache.directory / "answers.sqlite3.damaged-2").exists()


def test_a_file_that_was_deleted_is_begun_anew(cache: DiskCache) -> None:
    cache.set("key", "text")
    for file in cache.directory.iterdir():
        file.unlink()
    cache.directory.rmdir()
    assert not cache.delete("key")
    cache.set("key", "new")
    with DiskCache(cache.directory) as other:
        assert other.get("key") == b"new"


def test_a_file_of_a_newer_layout_is_left_alone(cache: DiskCache) -> None:
    cache.set("key", "text")
    raw = connection_of(cache).raw
    (mark,) = raw.execute("PRAGMA application_id").fetchone()
    raw.execute("PRAGMA user_version = 99")
    raw.execute(f"PRAGMA application_id = {mark - sqlite_layout.FORMAT + 99}")
    cache.close()
    with pytest.raises(CacheError, match="layout 99"):
        cache.get("key")
    assert not list(cache.directory.glob("*damaged*"))


def test_a_write_with_room_to_spare_asks_sqlite_for_nothing_else(cache: DiskCache) -> None:
    cache.set("key", "text")
    connection, asked = connection_of(cache), []
    connection.raw.set_trace_callback(lambda statement: asked.append(statement.split()[0]))
    cache.set("other", "text")
    connection.raw.set_trace_callback(None)
    assert asked == ["BEGIN", "INSERT", "COMMIT"]


def test_many_processes_may_open_a_new_store_at_once(tmp_path: Path, template: Template) -> None:
    children = [start_child(template, "disk_write.py", tmp_path / "cache", name, 20) for name in "abcd"]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    with DiskCache(tmp_path / "cache") as cache:
        assert len(cache) == 80
    assert not list((tmp_path / "cache").glob("*damaged*"))


def test_a_killed_writer_harms_nobody(tmp_path: Path, template: Template) -> None:
    with DiskCache(tmp_path / "cache") as cache:
        cache.set("mine", "text")
        for round_number in range(8):
            child = start_child(template, "disk_write.py", cache.directory, f"round {round_number} ", 1_000_000)
            assert child.stdin is not None
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.stdin.write("go\n")
            child.stdin.flush()
            last = [child.stdout.readline() for _ in range(20)][-1].strip()
            cache.set(f"beside {round_number}", "text")
            child.send_signal(signal.SIGKILL)
            # Not by `communicate` alone, which misses what `readline` has read ahead.
            written = [last, *child.stdout.read().split("\n")[:-1]]
            child.communicate(timeout=60)
            assert all(cache.get(key) == b"x" * 2000 for key in written), "what was stored is stored"
        assert cache.get("mine") == b"text"
        assert all(cache.get(f"beside {number}") == b"text" for number in range(8))
        assert connection_of(cache).raw.execute("PRAGMA integrity_check").fetchone() == (b"ok",)
    assert not list(cache.directory.glob("*damaged*"))
