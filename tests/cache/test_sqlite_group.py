"""Threads that write to one file at the same time: one transaction, and each with its own outcome."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cache.stores import connection_of
from instructor import Instructor, Mode
from instructor.cache import DiskCache, sqlite
from instructor.cache.sqlite_file import DatabaseFile
from instructor.cache.sqlite_group import EXPIRED_AT_ONCE, MOST_TOGETHER, SWEEP_EVERY, Group, Operation
from instructor.cache.sqlite_transaction import RawConnection, transact, undo_with
from instructor.exceptions import CacheError
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

SHORT, LONG = 10, 1000


class User(BaseModel):
    name: str


class File:
    """Stands for a file: it notes its transactions, and fails those that `fails` picks out."""

    def __init__(self, fails: Callable[[list[Any]], Exception | None] = lambda _: None) -> None:
        self.transactions: list[list[Any]] = []
        self.fails = fails
        self.first_began, self.may_end = threading.Event(), threading.Event()
        self.group = Group(self.perform, lambda: LONG)

    def perform(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        results = [operation(sqlite3.connect(":memory:")) for operation in operations]
        self.transactions.append(results)
        self.first_began.set()
        assert self.may_end.wait(20)
        error = self.fails(results)
        if error is not None:
            raise error
        return results


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MOST_TOGETHER + 8) as pool:
        yield pool


def write_at_once(file: File, threads: ThreadPoolExecutor, sizes: Sequence[int]) -> list[Future[int]]:
    """Have a thread write, and others beside it that wait until it is done."""
    futures = [threads.submit(file.group.run, lambda _: -1)]
    assert file.first_began.wait(20)
    for number, size in enumerate(sizes):
        futures.append(threads.submit(file.group.run, lambda _, number=number: number, size))
        while len(file.group._queue) <= number:  # so that they queue in this order
            threading.Event().wait(0.0005)
    file.may_end.set()
    return futures


def test_threads_that_write_at_once_share_a_transaction(threads: ThreadPoolExecutor):
    file = File()
    futures = write_at_once(file, threads, [SHORT] * 9)
    assert [future.result() for future in futures] == [-1, *range(9)]
    assert [sorted(one) for one in file.transactions] == [[-1], list(range(9))]


@pytest.mark.parametrize(
    ("sizes", "most"), [([SHORT] * (MOST_TOGETHER + 3), MOST_TOGETHER), ([LONG] * 6, 2)], ids=["number", "bytes"]
)
def test_a_transaction_holds_no_more_than_there_is_room_for(threads: ThreadPoolExecutor, sizes: list[int], most: int):
    file = File()
    futures = write_at_once(file, threads, sizes)
    assert [future.result() for future in futures[1:]] == list(range(len(sizes)))
    assert max(map(len, file.transactions)) == most


def test_an_operation_that_fails_takes_no_other_with_it(threads: ThreadPoolExecutor):
    file = File(lambda results: ValueError("3 is wrong") if 3 in results else None)
    futures = write_at_once(file, threads, [SHORT] * 6)
    with pytest.raises(ValueError, match="3 is wrong"):
        futures[4].result()
    assert [future.result() for future in futures if future is not futures[4]] == [-1, 0, 1, 2, 4, 5]


def test_who_waited_with_others_for_another_process_does_not_wait_again(threads: ThreadPoolExecutor):
    def fail(results: list[Any]) -> Exception | None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        failure = CacheError("locked")
        failure.__cause__ = error
        return failure if -1 not in results else None

    file = File(fail)
    first, *futures = write_at_once(file, threads, [SHORT] * 5)
    assert first.result() == -1
    assert [str(future.exception()) for future in futures] == ["locked"] * 5
    assert len({id(future.exception()) for future in futures}) == 5
    assert len(file.transactions) == 2


def test_who_is_interrupted_while_another_thread_does_its_work_leaves_once_the_outcome_is_known():
    class Interrupting:
        """The lock of a leader that has taken what is queued, and is done when one waits for it once more."""

        def __init__(self, group: Group) -> None:
            self.group, self.taken = group, list[Any]()

        def locked(self) -> bool:
            return True

        def __enter__(self) -> None:
            if not self.taken:
                self.taken.append(self.group._queue.popleft())
                raise KeyboardInterrupt
            self.taken[0].perform(sqlite3.connect(":memory:"))

        def __exit__(self, *_: object) -> None: ...

    done: list[str] = []
    group: Any = File().group
    group._lock = Interrupting(group)
    with pytest.raises(KeyboardInterrupt):
        group.run(lambda _: done.append("written"))
    assert done == ["written"]


@pytest.mark.parametrize(
    ("statement", "left", "undone"), [("BEGIN IMMEDIATE", 0, 0), ("COMMIT", 1, 0), ("SELECT", 0, 1)]
)
def test_a_transaction_ends_though_its_thread_is_interrupted(statement: str, left: int, undone: int):
    class Interrupted(RawConnection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *arguments)
            if sql == statement:
                raise KeyboardInterrupt
            return cursor

    undo: list[int] = []
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Interrupted)
    connection.execute("CREATE TABLE t (n)")

    def write() -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        undo_with(connection, lambda: undo.append(1))
        if statement == "SELECT":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transact(connection, write)
    assert not connection.in_transaction
    assert (len(connection.execute("SELECT n FROM t").fetchall()), len(undo)) == (left, undone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_that_was_forked_while_a_thread_wrote_can_write(tmp_path: Path, threads: ThreadPoolExecutor):
    with DiskCache(tmp_path, timeout=0.2) as cache:
        began = threading.Event()

        def write(_: sqlite3.Connection) -> None:
            began.set()
            time.sleep(0.02)  # a fork waits for it

        written = threads.submit(cache._change, write)
        assert began.wait(20)
        child = os.fork()
        if child == 0:
            try:
                cache.set("key", "of the child")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        written.result()
        assert cache.get("key") == b"of the child"


def test_a_file_that_is_nearly_full_is_written_to_one_by_one(tmp_path: Path):
    with DiskCache(tmp_path / "small", size_limit=1 << 18) as cache:
        assert cache._eviction.find_room() is not None
        for number in range(40):
            cache.set(f"key {number}", "x" * 5_000)
        assert cache._eviction.find_room() is None
    with DiskCache(tmp_path / "counted", max_entries=10) as cache:
        assert cache._eviction.find_room() is None


def make_client(cache: DiskCache) -> Instructor:
    return Instructor(
        ScriptedAdapter([{"name": "Anna"}, {"name": "Ben"}]), wires={Mode.TOOLS: OPENAI_CHAT}, model="m", cache=cache
    )


def test_what_an_answer_cost_is_entered_though_the_answer_is_refused(tmp_path: Path):
    with DiskCache(tmp_path) as cache:
        client = make_client(cache)

        def lose_lease(*_: object, **__: object) -> None:
            cache._run(lambda connection: connection.execute("UPDATE lease SET token = 'another'"), writes=True)

        client.on("completion:response", lose_lease)
        client.create(User, [{"role": "user", "content": "first"}])
        assert len(cache) == 0
        assert cache.ledger().spent.count == 1


@pytest.mark.parametrize("together", [1, 4, 3 * SWEEP_EVERY])
def test_what_has_expired_goes_with_every_eighth_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int):
    def count_rows() -> int:
        return cache._run(lambda connection: connection.execute("SELECT count(*) FROM entry").fetchone()[0])

    with DiskCache(tmp_path) as cache:
        for number in range(500):
            cache.set(f"key {number}", "text", ttl=1)
        moment = time.time() + 2
        monkeypatch.setattr(time, "time", lambda: moment)
        for _ in range(3 * SWEEP_EVERY // together):
            cache._perform([lambda _: None] * together)
        most = cache._shares.rows_at_once
        assert count_rows() == 500 - min(3 * SWEEP_EVERY * EXPIRED_AT_ONCE, most * (3 if together < SWEEP_EVERY else 1))


def test_the_first_write_of_a_program_removes_what_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with DiskCache(tmp_path) as cache:
        cache.set("old", "text", ttl=1)
    moment = time.time() + 2
    monkeypatch.setattr(time, "time", lambda: moment)
    with DiskCache(tmp_path) as cache:
        cache.set("new", "text")
        (left,) = cache._run(lambda connection: connection.execute("SELECT count(*) FROM entry").fetchone())
        assert left == 1


def test_threads_that_take_turns_share_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each further one would have to be opened, and would read anew what another one has changed."""
    opened: list[object] = []
    real = DatabaseFile.open
    monkeypatch.setattr(DatabaseFile, "open", lambda file: opened.append(file) or real(file))
    with DiskCache(tmp_path) as cache:

        def use(number: int) -> None:
            assert cache.get(f"key {number}") is None
            cache.set(f"key {number}", "text")

        for number in range(4):
            thread = threading.Thread(target=use, args=(number,))
            thread.start()
            thread.join()
        assert len(opened) == 1
        assert len(cache) == 4


def test_two_threads_at_once_have_a_connection_each(tmp_path: Path):
    with DiskCache(tmp_path) as cache:
        cache.set("key", "text")

        def read(connection: sqlite3.Connection) -> sqlite3.Connection:
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(cache.get, "key").result() == b"text"
                assert thread.submit(cache._run, lambda other: other).result() is not connection
            return connection

        cache._run(read)
        assert len(cache._idle) == 2


def test_no_more_connections_stay_open_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite, "MOST_IDLE", 1)
    with DiskCache(tmp_path) as cache:
        cache._run(lambda _: cache.set("key", "text"))
        assert len(cache._idle) == 1


def test_a_miss_asks_sqlite_for_what_it_needs_and_nothing_else(tmp_path: Path):
    with DiskCache(tmp_path) as cache:
        client = make_client(cache)
        client.create(User, [{"role": "user", "content": "first"}])
        connection, asked = connection_of(cache), list[str]()
        connection.raw.set_trace_callback(lambda statement: asked.append(" ".join(statement.split()[:3])))
        client.create(User, [{"role": "user", "content": "second"}])
        connection.raw.set_trace_callback(None)
    look = ["SELECT CASE WHEN", "SELECT 1 FROM"]
    store = ["BEGIN IMMEDIATE", "DELETE FROM lease", "INSERT OR REPLACE", "INSERT INTO ledger", "COMMIT"]
    assert asked == [*look, "INSERT INTO lease", *store]
