"""The store on a local disk: one SQLite database that many processes and threads share.

The database is in WAL mode (https://sqlite.org/wal.html): readers and a writer do not wait for each other, and
``kill -9`` loses at most the entries being written. SQLite keeps a checksum of every WAL frame, and each entry has one of
its own (see `entry`). `sqlite_file` opens the file, `sqlite_layout` knows its tables, `sqlite_repair` mends it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from instructor.cache.books import Posting
from instructor.cache.entry import Generations
from instructor.cache.handle import known_handles
from instructor.cache.lease import LEASE_SECONDS, check_lease
from instructor.cache.listing import Listed, read_tagged
from instructor.cache.sqlite_eviction import DAY, DiskPolicy, Eviction
from instructor.cache.sqlite_file import Connection, DatabaseFile, check_directory, log, waiting
from instructor.cache.sqlite_fork import gate
from instructor.cache.sqlite_group import Group, Sweep, in_transaction
from instructor.cache.sqlite_leases import SqliteLeases, end_with_answer
from instructor.cache.sqlite_ledger import KeepsLedger
from instructor.cache.sqlite_pages import PAGE
from instructor.cache.sqlite_recent import Recalls, Recent
from instructor.cache.sqlite_repair import FAILURES, hash_key
from instructor.cache.sqlite_rows import Found, advise, fetch, fetch_surely, is_hidden, last_row, list_rows
from instructor.cache.sqlite_size import NO_LIMIT, check_size_limit, share_out
from instructor.cache.sqlite_tags import note_written, number_tag, read_generations, remove_all
from instructor.cache.sqlite_transaction import transact
from instructor.cache.sqlite_wal import Wal
from instructor.cache.store import Ability, BaseCache, check_key, check_text, check_timeout, check_ttl
from instructor.exceptions import CacheEntryError, CacheError, CacheNotTriedError
from instructor.locks import after_fork

T = TypeVar("T")

CHECK_SECONDS = 1.0
"""How often a read looks whether the file was deleted or replaced. A write always looks."""

FLUSH_SECONDS = 60.0
"""After this time a read writes down which entries were used since the last write."""

MOST_USES = 1000
"""After so many entries used, a read writes them down too. A write always does."""


MOST_IDLE = 16
"""Connections that are kept open while nobody uses them."""


class DiskCache(KeepsLedger, Recalls, BaseCache):
    """A store that outlives the process, in one file of a directory.

    Use it for scripts and notebooks that run again and again, and for several processes on one machine. Any number of
    threads and processes may use a directory at once. Asynchronous clients use it in worker threads, in asyncio only.
    The first operation makes what is missing: directories with mode 0700, files with 0600. A directory that exists
    keeps its mode. A symbolic link in place of a file, and another user's file, are refused.

    On Linux up to 16 MiB of what clients read again and again is remembered, and served as long as no process has changed
    anything in the file. Entries expire by their ttl. When the file is full, some are removed (see `policy`); a warning
    says so before any that is less than a day old. If several processes give one directory different limits, the largest
    of the last day holds.

    A directory or image that cannot be written still serves what is stored in it. A damaged file is renamed to
    ``answers.sqlite3.damaged-1`` and so on, and every entry that can be read is copied to a new one. The directory must
    be on a local disk: SQLite's WAL does not work over NFS and its like. Between machines use `RedisCache`.

    Args:
        directory: Where to keep the file. Default ``.instructor_cache`` in the current directory.
        size_limit: Bytes that the file and its WAL may take up together, at least 262,144; None for no limit. Default
            1 GiB. A single answer of more than an eighth of it isn't stored. Nothing new is stored while another
            program keeps the WAL from being emptied, by a transaction that it doesn't end, and the limit is reached.
        timeout: Seconds to wait for another process that writes, at most a day. Default 5.0.
        policy: What goes when a limit is reached: ``"lru"``, the least recently used entry; ``"auto"`` (default), that
            or the newest ones, whichever has served more of late, so that a loop over more than fits is served too.
        max_entries: How many entries to hold; None (default) for as many as fit in `size_limit`. Where several
            processes write at once, there may be a few per cent more.
        lease: Seconds for which a process that was killed while it asked keeps others waiting that make the same call.
            Default 5.0, at most 60; None so that each process asks for itself.

    Raises:
        ArgumentError: An argument is of the wrong type or out of its range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory, DiskCache(directory) as cache:
        ...     cache.set("key", "text", ttl=3600)
        ...     cache.get("key")
        b'text'
    """

    abilities: frozenset[Ability] = frozenset(
        {"bounded", "sized", "listing", "deleting", "tagging", "ledger", "leasing", "recalling"}
    )

    def __init__(
        self,
        directory: str | os.PathLike[str] = ".instructor_cache",
        size_limit: int | None = 1 << 30,
        timeout: float = 5.0,
        policy: DiskPolicy = "auto",
        max_entries: int | None = None,
        lease: float | None = LEASE_SECONDS,
    ) -> None:
        self.directory = Path(check_directory(directory)).absolute()
        self.path = self.directory / "answers.sqlite3"
        self.size_limit = check_size_limit(size_limit)
        self._shares = share_out(self.size_limit)
        self.timeout = self._patience = check_timeout("DiskCache", timeout)
        self._lease = check_lease("DiskCache", lease)
        self.abilities = type(self).abilities - (frozenset() if lease else {"leasing"})
        self._file = DatabaseFile(self.path, self._patience, self._shares.wal // PAGE)
        self._idle: list[Connection] = []
        self._recent = Recent(self.path, CHECK_SECONDS)
        self._eviction = Eviction(self.path, self.size_limit, policy, max_entries)
        self._wal = Wal(self.path, self.size_limit, self._eviction, self._patience)
        self._group = Group(self._perform, self._eviction.find_room)
        self._begin()
        _stores.add(self)

    def get(self, key: str) -> bytes | None:
        """Return the text under `key` as UTF-8, or None if there is none or it has expired.

        Raises:
            CacheError: The file cannot be read; the message says why.
            CacheEntryError: The file is damaged, and cannot be mended because it cannot be written.
            ConfigurationError: `key` is not a str, or has no UTF-8.
        """
        check_key("DiskCache", key)
        now, seen = time.time(), self._recent.seen
        row: Found | None = None
        if gate.is_closed:
            gate.wait()
        idle, connection, is_absent = self._idle, self._take(), False
        if connection is not None:
            if seen is not None and 0 <= now - connection.checked < CHECK_SECONDS:
                try:
                    row = fetch(connection.raw, key, now)
                    is_absent = row is None and self._is_absent(connection, key, now)
                except FAILURES:
                    row = None
            idle.append(connection)
        if is_absent:
            return None
        if row is None:
            row = self._read_with_care(key, now)
        if row is None:
            return None
        if seen and connection is not None and key in self._uses:
            self._recent.keep(key, row, seen, connection)
        self._uses[key] = now
        if len(self._uses) >= self._flush_at:
            self._flush(now)
        return row[0]

    def peek(self, key: str) -> bytes | None:
        """As `get`, without counting as a use: who looks through all entries doesn't change which goes next."""
        row = self._read_with_care(check_key("DiskCache", key), time.time())
        return None if row is None else row[0]

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """Store a text under `key`, and make room for it if need be.

        Raises:
            CacheError: It cannot be written; the message says why.
            CacheNotTriedError: There is no room for it, because it is too large, or another program keeps the WAL from
                being emptied.
            ConfigurationError: `key` is not a str, `value` is not text, or `ttl` not a number of whole seconds above 0.
        """
        self._write(key, value, ttl)

    @property
    def leases(self) -> SqliteLeases:
        """Which of several processes asks for an answer."""
        return SqliteLeases(self._run, self._join, self._write, self._lease or LEASE_SECONDS)

    def _write(
        self, key: str, value: str | bytes, ttl: int | None, token: str | None = None, posting: Posting | None = None
    ) -> None:
        """Store a text, for the holder of a lease if there is a token.

        What is spent and saved is entered with it, if there is a posting. Raises CacheNotTriedError if there is no room.
        """
        text, seconds = check_text("DiskCache", value), check_ttl("DiskCache", ttl)
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) > self._shares.entry:
            refusal = f"An entry of {len(data)} bytes is too large for DiskCache with size_limit={self.size_limit}."
            log(refusal)
            raise CacheNotTriedError(
                f"{refusal} Pass a size_limit= of more than {8 * len(data)}, or None for no limit."
            )
        tagged, now = read_tagged(data), time.time()
        expires = None if seconds is None else now + seconds
        row = (check_key("DiskCache", key), data, len(data), expires, now, hash_key(key))

        def write(connection: sqlite3.Connection) -> bool:
            # Room is made before it is taken, so that the file does not grow beyond its share.
            enough = self._eviction.make_room(connection, key, len(data), now)
            enough = enough and end_with_answer(connection, key, token)
            if enough and (tagged is None or note_written(connection, tagged, self._shares.tags)):
                connection.execute(_INSERT, (*row, self._eviction.rank(connection, key, now)))
            if enough and posting is not None:
                self._enter(connection, posting)
            return enough

        if len(self._uses) > self._shares.rows_at_once:
            self._flush(now)
        if self._wal.is_long and not self._run(partial(self._wal.has_room, size=len(data)), writes=True):
            raise CacheNotTriedError(f"DiskCache at {self.path} {self._wal.refusal}")
        while not self._change(write, len(data)):
            """What is removed in one transaction wasn't enough."""

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        check_key("DiskCache", key)
        return self._change(lambda connection: connection.execute(_DELETE, (key,)).rowcount > 0)

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys`; return how many of them were there."""
        rows, count = [(check_key("DiskCache", key),) for key in keys], 0
        for start in range(0, len(rows), self._shares.rows_at_once):
            some = rows[start : start + self._shares.rows_at_once]
            count += self._change(lambda connection, some=some: connection.executemany(_DELETE, some).rowcount)  # type: ignore[misc]
        return count

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries that have not expired, in batches."""
        last, after = self._run(last_row), 0
        while after < last:
            batch, after = self._run(lambda connection, after=after: list_rows(connection, after, last, time.time()))  # type: ignore[misc]
            yield batch

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the number of the latest invalidation of all, and of each of `tags`."""
        return self._run(lambda connection: read_generations(connection, tags))

    def invalidate_tag(self, tag: str) -> int:
        """Stop serving the answers that have a tag; return how many were stored since it was last invalidated.

        Where the answers have more tags than an eighth of the file can hold, those of the later tags aren't counted.
        """
        return self._change(lambda connection: number_tag(connection, tag, self._shares.tags))

    def compact(self) -> None:
        """Write the file anew, so that nothing of what was removed is left in it or in the files beside it.

        It takes as long as copying the file, and twice its space for that time. The files that were set aside because
        they were damaged are deleted.

        Raises:
            CacheError: It could not be written; or another program reads the file, so that its WAL can't be emptied.
        """
        self._run(lambda connection: connection.execute("VACUUM"), writes=True)
        (busy, *_) = self._run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        if busy:
            raise CacheError(
                f"DiskCache at {self.path} removed the entries, and something of them is left in {self.path}-wal, because "
                "another program is reading the file. End that, and call compact() again."
            )
        for damaged in self.directory.glob(f"{self.path.name}.damaged-*"):
            damaged.unlink(missing_ok=True)

    def clear(self) -> int:
        """Remove all entries, and give their space back; return how many there were."""
        count = self._change(remove_all)
        # A page is freed with each step of this statement, and `execute` makes one step only.
        self._run(lambda connection: connection.executescript("PRAGMA incremental_vacuum;"))
        return count

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes of text in them."""
        return self._run(lambda connection: connection.execute(_COUNT, (time.time(),)).fetchone())  # type: ignore[no-any-return] # a row

    def close(self) -> None:
        """Write down what is noted, and close the file in all threads. Using the store again opens it again."""
        if self._uses or self._eviction.unsaved:
            self._flush(time.time())
        for handle in known_handles(self):
            handle.post()
        # A connection closes when its last user lets go of it: this list, or a thread that is using it just now.
        self._idle = []
        self._recent.reset()

    def _is_absent(self, connection: Connection, key: str, now: float) -> bool:
        """Whether there is no entry for sure, so that `_read_with_care` would find none, and has no notes to write."""
        if now - self._flushed >= FLUSH_SECONDS or not self._file.is_current(connection):
            return False
        return not is_hidden(connection.raw, key)

    def _read_with_care(self, key: str, now: float) -> Found | None:
        """Read after a look whether the file is still there; mend it if it is damaged."""
        row = self._run(lambda connection: fetch_surely(connection, key, now))
        if now - self._flushed >= FLUSH_SECONDS and self._uses:
            self._flush(now)
        return row

    def _change(self, operation: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        """Perform an operation that writes so many bytes, in one transaction with those of other threads."""
        return self._group.run(operation, size)

    def _join(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Perform an operation that needs no transaction, in that of other threads if there is one."""
        return self._group.run(operation, alone=lambda: self._use(operation, writes=True))

    def _perform(self, operations: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """Perform operations in one transaction, with the notes of what was used; now and then remove what has expired."""
        return self._use(in_transaction(operations, self._write_notes, self._sweep.take(len(operations))), writes=True)

    def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        """Perform an operation, without a transaction; while no other thread writes, if it does."""
        if writes:
            return self._group.run_alone(lambda: self._use(operation, writes=True))
        return self._use(operation)

    def _use(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        """Perform an operation. If the file is damaged it is mended, and the operation is tried once more."""
        if gate.is_closed:
            gate.wait()
        idle = self._idle
        try:
            connection = self._connect_to_write() if writes else self._connect()
            try:
                result = self._wal.perform(operation, connection.raw) if writes else operation(connection.raw)
            except FAILURES as error:
                if not self._file.is_damaged(error):
                    idle.append(connection)
                    raise
                if connection.read_only:
                    idle.append(connection)
                    raise CacheEntryError(self._describe(error)) from error
                self._file.replace(connection)
                connection = self._connect()
                result = operation(connection.raw)
        except (*FAILURES, OSError) as error:
            raise CacheError(self._describe(error)) from error
        if len(idle) < MOST_IDLE:
            idle.append(connection)
        return result

    def _take(self) -> Connection | None:
        """Take the connection that was used last, which has most of what is read: whoever takes it has it alone."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> Connection:
        """Take a connection to the file that has the path now, or open one."""
        connection = self._take()
        if connection is None or not self._file.is_current(connection):
            self._idle.clear()
            connection = self._open()
        connection.checked = time.time()
        self._recent.check(connection.checked, connection)
        return connection

    def _connect_to_write(self) -> Connection:
        connection = self._connect()
        if connection.read_only:
            self._idle.clear()  # it may have become writable since
            connection = self._connect()
        if not connection.read_only:
            self._wal.shorten(connection.raw)
            return connection
        self._idle.append(connection)
        raise CacheError(
            f"DiskCache at {self.path} is read-only: it serves what is stored there, and stores nothing new. "
            "Make the directory and the file writable for this user, or use another directory."
        )

    def _open(self) -> Connection:
        try:
            connection = self._file.open()
        except (*FAILURES, OSError) as error:
            raise CacheError(self._describe(error)) from error
        self._limit_noted = 0.0  # the file may be a new one, which has not heard of the limit
        return connection

    def _begin(self) -> None:
        """Start with nothing noted."""
        self._uses: dict[str, float] = {}
        self._flush_at, self._flushed = MOST_USES, time.time()
        self._limit_noted, self._sweep = 0.0, Sweep(self._shares.rows_at_once)

    def _flush(self, now: float) -> None:
        """Write down what was used, unless another writer is at work: a read must not wait."""
        if gate.is_closed:
            gate.wait()
        idle, connection = self._idle, self._take()
        if connection is None and self.path.exists():
            with contextlib.suppress(CacheError):
                connection = self._connect()
        self._flushed = now
        if connection is None or connection.read_only:
            self._uses = {}
            return
        raw = connection.raw

        def write() -> None:
            self._write_notes(raw, now)
            self._eviction.save_unsaved(raw)

        try:
            with waiting(raw, 0, self._patience):
                for _ in range(0, max(1, len(self._uses)), self._shares.rows_at_once):
                    transact(raw, write)
        except FAILURES:
            # Another writer is at work. Try again when there is more; but the notes are not worth much memory.
            self._flush_at += MOST_USES
            if self._flush_at > 16 * MOST_USES:
                self._begin()
        idle.append(connection)

    def _write_notes(self, connection: sqlite3.Connection, now: float) -> None:
        """Write down what was used since the last time, and now and then which limit this process goes by."""
        uses, self._uses = self._uses, {}
        try:
            rows = sorted((used, key) for key, used in uses.copy().items()) if uses else []
            later = {key: used for used, key in rows[self._shares.rows_at_once :]}
            del rows[self._shares.rows_at_once :]
            if rows:
                connection.executemany(_USE, rows)
            self._eviction.note_uses(connection, (key for _, key in rows))
            if not 0 <= now - self._limit_noted < DAY / 24:
                limit = NO_LIMIT if self.size_limit is None else self.size_limit
                connection.execute("INSERT OR REPLACE INTO size_limit VALUES (?, ?)", (limit, now))
                connection.execute("DELETE FROM size_limit WHERE seen < ?", (now - DAY,))
                self._limit_noted = now
        except BaseException:
            self._uses = {**uses, **self._uses}
            raise
        self._uses = {**later, **self._uses} if later else self._uses
        self._flush_at, self._flushed = MOST_USES, now

    def _describe(self, error: Exception) -> str:
        return f"DiskCache at {self.path} failed: {error}. {advise(error)}"

    def _forget_parent(self) -> None:
        """After a fork: the child must neither use nor close a connection of the parent."""
        _inherited.append(self._idle)
        self._idle = []
        self._eviction.forget()
        self._recent.reset()
        self._wal.reset()
        self._begin()

    def __len__(self) -> int:
        return self.size()[0]

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DiskCache(directory={str(self.directory)!r}, size_limit={self.size_limit})"

    def __reduce__(self) -> tuple[type[DiskCache], tuple[object, ...]]:
        limits = (self.size_limit, self._patience, self._eviction.policy, self._eviction.max_entries, self._lease)
        return type(self), (str(self.directory), *limits)


_INSERT = """
INSERT OR REPLACE INTO entry (key, value, size, expires, created, key_hash, used) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_USE = "UPDATE entry SET used = max(used, ?) WHERE key = ?"
_DELETE = "DELETE FROM entry WHERE key = ?"
_COUNT = "SELECT count(*), coalesce(sum(size), 0) FROM entry WHERE expires IS NULL OR expires > ?"


_stores: weakref.WeakSet[DiskCache] = weakref.WeakSet()
_inherited: list[list[Connection]] = []


def _close_all() -> None:
    for store in list(_stores):
        if store._uses or store._eviction.unsaved:  # noqa: SLF001 - as its own class  # pyright: ignore[reportPrivateUsage]
            store.close()


def _forget_parent() -> None:
    for store in list(_stores):
        store._forget_parent()  # noqa: SLF001 - as its own class  # pyright: ignore[reportPrivateUsage]


atexit.register(_close_all)
after_fork(_forget_parent)
