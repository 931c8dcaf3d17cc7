"""What a DiskCache remembers of what it read: only for as long as the file is the same, and without waiting for the disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel

import instructor
from cache.stores import Clock, broken, connection_of
from instructor.cache import DiskCache, SealedCache, sqlite, sqlite_recent, sqlite_rows
from instructor.cache.handle import handle_of
from instructor.cache.store import check_store
from instructor.exceptions import CacheError
from worlds import World, both

KEY, OTHER = "k" * 64, "o" * 64
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux can say whether a file changed")


@pytest.fixture
def store(tmp_path: Path) -> DiskCache:
    """A store that remembers an entry, which was read more than once."""
    store = DiskCache(tmp_path)
    store.set(KEY, "text")
    remember(store)
    return store


def remember(store: DiskCache, key: str = KEY) -> None:
    """Read until the store remembers: the first read looks at the path, and a key is remembered when it is read again."""
    for _ in range(4):
        store.recall(key, may_wait=True)
        store.get(key)
    assert recall(store, key) == b"text"


def recall(store: DiskCache, key: str = KEY) -> bytes | None:
    found = store.recall(key, may_wait=True)
    return found and found.text


def test_nothing_is_remembered_until_somebody_asks_for_it(tmp_path: Path):
    store = DiskCache(tmp_path)
    store.set(KEY, "text")
    for _ in range(4):
        store.get(KEY)
    assert recall(store) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.set(KEY, "new"),
        lambda store: store.set(OTHER, "text"),
        lambda store: store.delete(KEY),
        lambda store: store.clear(),
        lambda store: store.invalidate_tag("tag"),
        lambda store: DiskCache(store.directory).set(KEY, "new"),
        lambda store: store.close(),
    ],
)
def test_any_change_of_the_file_ends_what_is_remembered(store: DiskCache, change):
    change(store)
    assert recall(store) is None


def test_a_change_by_another_program_ends_it_too(store: DiskCache):
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("UPDATE entry SET value = ?", (b"new",))
    assert recall(store) is None
    assert store.get(KEY) == b"new"


def test_a_text_that_has_expired_is_not_recalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [1_000_000.0]
    for module in (sqlite, sqlite_recent):
        monkeypatch.setattr(module.time, "time", lambda: now[0])
    store = DiskCache(tmp_path)
    store.set(KEY, "text", ttl=60)
    remember(store)
    now[0] += 60
    store._recent._checked = now[0]  # as if somebody had looked at the path just now
    assert recall(store) is None


def test_the_path_is_looked_at_every_second(store: DiskCache, monkeypatch: pytest.MonkeyPatch):
    later = sqlite.time.time() + sqlite.CHECK_SECONDS + 1
    monkeypatch.setattr(sqlite.time, "time", lambda: later)
    assert recall(store) is None
    remember(store)


def test_a_replaced_file_is_not_remembered(store: DiskCache):
    for file in store.directory.iterdir():
        file.unlink()
    store._recent._checked = 0.0  # as if a second had passed
    assert recall(store) is None
    assert store.get(KEY) is None
    assert recall(store) is None


def test_what_a_thread_reads_in_a_file_that_was_replaced_is_not_remembered(store: DiskCache):
    for file in store.directory.iterdir():
        file.unlink()
    other = DiskCache(store.directory)
    other.set(KEY, "new")
    used_by_thread = store._idle.pop()
    store.get(OTHER)  # with a connection that opens the new file
    store._idle.append(used_by_thread)
    store.recall(KEY, may_wait=True)
    assert store._recent.seen
    assert store.get(KEY) == b"text"  # by a connection for which the path was looked at within the last second
    assert recall(store) is None
    used_by_thread.checked = 0.0  # as if that second had passed
    assert [store.get(KEY), store.get(KEY), recall(store)] == [b"new"] * 3


def test_the_file_stays_open_for_as_long_as_its_descriptor_is_read(tmp_path: Path):
    """Another file would get the descriptor's number, and may be as another version was."""
    store = DiskCache(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(store.set, KEY, "text").result()
        thread.submit(remember, store).result()
    assert recall(store) == b"text"
    store.close()
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(link)]


def test_what_is_remembered_takes_so_much_memory_at_most(store: DiskCache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_recent, "MOST_BYTES", 2 * sqlite_recent._OVERHEAD)
    keys, connection = [f"{number:064}" for number in range(4)], connection_of(store)
    for key in keys:
        store._recent.keep(key, (b"text", None), b"version", connection)
    store._recent.keep("large", (bytes(sqlite_recent._OVERHEAD), None), b"version", connection)
    assert list(store._recent._rows) == keys[-1:]


def test_a_use_counts_for_eviction(store: DiskCache):
    store._uses = {}
    recall(store)
    assert KEY in store._uses


def test_what_a_task_recalls_is_in_memory_for_sure(store: DiskCache, monkeypatch: pytest.MonkeyPatch):
    def read(descriptor: int, buffers: object, offset: int, flags: int) -> int:
        raise BlockingIOError(flags)

    flags: list[int] = []
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *given: flags.append(given[3]) or real(*given[:3]))
    store.recall(KEY, may_wait=False)
    assert flags == [os.RWF_NOWAIT]
    monkeypatch.setattr(os, "preadv", read)
    assert store.recall(KEY, may_wait=False) is None


@both
def test_the_trial_of_a_store_that_could_not_be_read_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
):
    store, clock = DiskCache(tmp_path), Clock()
    world, handle = World(store, asynchronous), handle_of(store)
    monkeypatch.setattr(handle, "_clock", clock)
    for _ in range(5):
        world.ask()
    with monkeypatch.context() as patch, pytest.raises(CacheError):
        patch.setattr(store, "get", lambda key: broken())
        handle.read(KEY)
    clock.now += store.pause
    assert (world.ask(), world.asked, handle.is_down) == ("answer 1", 1, False)


def test_what_is_sealed_is_not_recalled(store: DiskCache):
    assert "recalling" not in check_store(SealedCache(store, [SealedCache.new_key()]))


class User(BaseModel):
    name: str


ASK = [{"role": "user", "content": "Anna is 25."}]


def test_a_disk_that_hangs_does_not_hold_up_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is remembered is served all the same, and anything else is awaited."""
    monkeypatch.setattr(sqlite_recent, "_AT_ONCE", 0)  # the tests' file system may not know it, as one in memory
    store, go = DiskCache(tmp_path), threading.Event()
    client = instructor.from_provider("offline/demo", cache=store, async_client=True)
    readers: list[int] = []
    read = sqlite.fetch

    def hang(*arguments):
        readers.append(threading.get_ident())
        assert go.wait(30)
        return read(*arguments)

    async def ask() -> tuple[User, int, bool, User]:
        for _ in range(5):
            first = await client.create(User, ASK)
        for module in (sqlite, sqlite_rows):
            monkeypatch.setattr(module, "fetch", hang)
        again = await client.create(User, ASK)
        store._recent._checked = 0.0  # now it has to be read, and the disk hangs
        waiting = asyncio.ensure_future(client.create(User, ASK))
        turns = 0
        while not readers and not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
        is_waiting = not waiting.done()
        go.set()
        assert await waiting == first
        return first, turns, is_waiting, again

    first, turns, is_waiting, again = asyncio.run(ask())
    assert again == first
    assert is_waiting
    assert turns
    assert threading.get_ident() not in readers
