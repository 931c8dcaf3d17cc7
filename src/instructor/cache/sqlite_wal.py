"""How the WAL of a `DiskCache` is kept short while several processes write.

SQLite copies the WAL into the file after a commit, and begins it anew at the next one if all of it has been copied by then.
While another process writes without a pause there is always something more in it, so it would grow for ever. So who writes
empties it first if it is too long. The writers of the other processes find it too long as well, and leave it alone
meanwhile.

On a disk that is nearly full it is too long already if it takes more than what is free. What it holds needs some of that
in the file, so one that filled the disk could never be emptied, and nothing could be stored or removed any more.

A quota, or a limit on the size of files, isn't seen before a write fails with it. It is emptied then, and the write is
performed once more: SQLite would leave it as it is, and every later write would fail as well.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from instructor.cache.sqlite_eviction import Eviction
from instructor.cache.sqlite_file import waiting
from instructor.cache.sqlite_repair import FAILURES, error_code
from instructor.cache.sqlite_size import file_size, free_space, share_out

T = TypeVar("T")

_TOO_LONG = 2
"""How many times its share of the limit the WAL may take before a writer empties it."""

_WAIT_FOR_READERS = 0.02
"""How long a write waits, in seconds, for those who keep the WAL from being emptied."""

_WAIT_AT_THE_LIMIT = 1.0
"""The same where nothing can be stored otherwise, unless that was in vain the last time."""

_PAUSE = 0.001
"""Seconds between two looks whether another process is through with emptying it."""


_PLENTY = 64
"""How many times the share of the WAL a disk has free that isn't looked at before each write."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at such a disk."""

_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""What a write fails with where the WAL can't grow: a full disk or a quota, and a limit on the size of files."""


class Wal:
    """The WAL of a file whose limit `eviction` knows.

    Nobody can empty it as long as anyone reads what was in the file before.

    Attributes:
        refusal: Why nothing is stored where there is no room in it.
    """

    def __init__(self, path: Path, size_limit: int | None, eviction: Eviction, patience: float) -> None:
        self._file = path
        self._path = f"{path}-wal"
        self._is_limited = size_limit is not None
        self._shares = share_out(size_limit)
        self._eviction = eviction
        self._patience = patience
        self.refusal = (
            "can store nothing new: another program has been reading it for long, so that its WAL "
            f"has reached size_limit={self._shares.limit}. End that program, or raise the limit."
        )
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child."""
        self._busy_at = self._noted = self._free = 0
        self._look_at = 0.0
        self._is_hopeless = False

    @property
    def is_long(self) -> bool:
        """Whether it takes more than its share of a limit."""
        if not self._is_limited:
            return False
        self._noted = file_size(self._path)
        return self._noted > self._shares.wal

    def shorten(self, connection: sqlite3.Connection) -> None:
        """Empty it if it is too long, before this connection writes to it."""
        size = self._noted or file_size(self._path)
        most = min(_TOO_LONG * self._shares.wal, self._find_free())
        self._noted = 0
        if size <= most or self._busy_at <= size < self._busy_at + most:  # tried lately, in vain
            return
        with contextlib.suppress(*FAILURES):  # the write will fail with the same, and knows what to do
            self._busy_at = 0 if self._empty(connection, _WAIT_FOR_READERS) else size

    def perform(self, operation: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        """Perform an operation that writes. Where the WAL can't grow it is emptied, and the operation is tried once more."""
        try:
            return operation(connection)
        except sqlite3.OperationalError as error:
            if error_code(error) not in _NO_ROOM or not self._make_room(connection):
                raise
        return operation(connection)

    def _make_room(self, connection: sqlite3.Connection) -> bool:
        """Empty it after a write that failed, whatever it takes; return whether that has made room."""
        if not file_size(self._path):
            return False
        with contextlib.suppress(*FAILURES):  # the file can't grow either
            return self._empty(connection, _WAIT_FOR_READERS)
        return False

    def _find_free(self) -> int:
        """How many bytes the disk has left, or had a moment ago where that is far more than the WAL takes."""
        now = time.monotonic()
        if now >= self._look_at:
            self._free = free_space(self._path)
            self._look_at = now + _LOOK_EVERY if self._free > _PLENTY * self._shares.wal else 0.0
        return self._free

    def has_room(self, connection: sqlite3.Connection, size: int) -> bool:
        """Say whether `size` bytes may be written to it without going beyond the limit; empty it if not."""
        shares = share_out(self._eviction.find_limit(connection, time.time()))
        if max(file_size(self._file), shares.file) + file_size(self._path) + size <= (shares.limit or 0):
            return True
        self._is_hopeless = not self._empty(connection, _WAIT_FOR_READERS if self._is_hopeless else _WAIT_AT_THE_LIMIT)
        if self._is_hopeless:
            self._eviction.warn_once("wal", self.refusal)
        return not self._is_hopeless

    def _empty(self, connection: sqlite3.Connection, seconds: float) -> bool:
        """Try to empty it for so many seconds; return whether it is, by whomever."""
        until = time.monotonic() + seconds
        with waiting(connection, _WAIT_FOR_READERS, self._patience):
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() >= until:
                    return False
                time.sleep(_PAUSE)
                if file_size(self._path) <= self._shares.wal:
                    return True
        return True
