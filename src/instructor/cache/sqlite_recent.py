"""What was read from a SQLite file lately, and whether it is there still: without reading the file again.

In WAL mode each commit, of any process, changes the header of the WAL's index, a file that SQLite maps into memory
(https://sqlite.org/walformat.html, section 2.1). The header counts the commits and holds a checksum of all that is in the
WAL, so as long as it is the same, so is all that can be read. It is read from Linux's page cache, where it always is,
because SQLite looks at it each time; `RWF_NOWAIT` makes sure of that, so a disk that hangs doesn't hold up an event loop.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from instructor.cache.recent import Recalled
from instructor.cache.sqlite_file import Connection
from instructor.cache.sqlite_rows import Found
from instructor.locks import make_lock

MOST_BYTES = 16 << 20
"""How much text is remembered for one store. An answer of more than an eighth of it isn't."""

_OVERHEAD = 1024
"""What a text counts for beside its bytes."""

_OPEN_FILES = Path("/proc/self/fd")
_HEADER = 48
_FORMAT = (3_007_000).to_bytes(4, "little"), (3_007_000).to_bytes(4, "big")
"""How the header begins, in the byte order of the machine."""

_AT_ONCE = getattr(os, "RWF_NOWAIT", -1)  # no system takes -1
_NONE = -1


class Recalls:
    """The ability ``"recalling"`` of a store in a SQLite file."""

    _recent: Recent
    _uses: dict[str, float]

    def recall(self, key: str, *, may_wait: bool) -> Recalled | None:
        """Return what `get` has read under `key`, if nothing in the file has changed since; otherwise None."""
        found = self._recent.find(key, may_wait)
        if found is not None:
            self._uses[key] = time.time()
        return found


class Recent:
    """What was read more than once lately, by any thread of this process.

    Nothing is remembered until `find` is called for the first time, nor where the system has no such page cache. The
    file behind the path may have been replaced, so what is remembered is only found for `seconds` after each `check`.

    Attributes:
        seen: The version of the file as it was seen last, for who reads it now; empty where nothing is remembered, None if
            the path has to be looked at first.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._lock = make_lock()
        self.seen: bytes | bytearray | None = b""
        # It is held so that its file stays open: nothing else may get the descriptor's number meanwhile.
        self._connection: Connection | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all, as when the file is another one by now."""
        closed = self._connection  # which closes after the lock is free: that may take a while
        with self._lock:
            self._connection = None
            self._rows: dict[str, Recalled] = {}
            self._bytes = 0
            self._descriptor = _NONE
            self._checked = 0.0
            self._is_able = hasattr(os, "preadv")
            self.seen = None if self.seen else self.seen
        del closed

    def find(self, key: str, may_wait: bool) -> Recalled | None:
        """Return what was read under a key, if it is there still."""
        row = self._rows.get(key)
        if row is None:
            if self.seen == b"" and self._is_able:
                self.seen = None
            return None
        now = time.time()
        if not 0 <= now - self._checked < self._seconds:
            self.seen = None
            return None
        if row.expires is not None and row.expires <= now:
            return None
        version = self._read_version(may_wait)
        if version == row.version:
            return row
        self.seen = version or self.seen
        return None

    def keep(self, key: str, found: Found, version: bytes | bytearray, connection: Connection) -> None:
        """Remember what was read after the version was this one, if it is that of the file of this connection.

        Another thread may have a file open that isn't behind the path any more, for as long as it doesn't look.
        """
        text, expires = found
        if len(text) > MOST_BYTES // 8:
            return
        with self._lock:
            if not self._is_of(connection):
                return
            self._forget(key)
            row = self._rows[key] = Recalled(text, expires, version)
            self._bytes += row.size + _OVERHEAD
            while self._bytes > MOST_BYTES:
                self._forget(next(iter(self._rows)))

    def check(self, now: float, connection: Connection) -> None:
        """Note that the path leads to the file that SQLite has open, by this connection."""
        is_same = self._is_of(connection)
        if self.seen == b"" or (is_same and 0 <= now - self._checked < self._seconds / 2):
            return
        if not is_same:
            self.reset()
            self._connection = connection
        index = f"{self._path.resolve()}-shm"
        if not _leads_to(self._descriptor, index):
            self._descriptor = _find_descriptor(index)
        self._checked = now
        self.seen = self._read_version() or b""
        self._is_able = self.seen != b""

    def _read_version(self, may_wait: bool = True) -> bytes | bytearray | None:
        """Read what is the same for as long as nothing changes; None where that can't be had, or not at once."""
        header = bytearray(_HEADER)
        try:
            os.preadv(self._descriptor, (header,), 0, 0 if may_wait else _AT_ONCE)
        except OSError:  # not at once, or a file system that can't say; or the file was closed
            return None
        return header

    def _is_of(self, connection: Connection) -> bool:
        held = self._connection
        return held is not None and held.identity == connection.identity

    def _forget(self, key: str) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            self._bytes -= row.size + _OVERHEAD


def _find_descriptor(path: str) -> int:
    """Find SQLite's own descriptor of the index: to close one of ours would drop the locks that this process holds on it."""
    with contextlib.suppress(OSError):
        for link in _OPEN_FILES.iterdir():
            descriptor = int(link.name)
            if _leads_to(descriptor, path) and os.pread(descriptor, 4, 0) in _FORMAT:
                return descriptor
    return _NONE


def _leads_to(descriptor: int, path: str) -> bool:
    with contextlib.suppress(OSError):  # it was closed meanwhile
        return str((_OPEN_FILES / str(descriptor)).readlink()) == path
    return False
