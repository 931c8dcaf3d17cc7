"""Repair of a damaged file of a `DiskCache`: it is renamed, and its readable entries are copied into a new one."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeAlias

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What `sqlite3` raises. The second error, because messages quote names in the file, which may be damaged."""

SALVAGE_SECONDS = 20.0
"""How long entries are copied at most, while other processes wait."""

_MOST_FAILURES = 10_000
"""After so many reads that failed, the rest of the file is left out; that takes up to a second."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNKNOWN = ("no such column", "no such table", "unsupported file format")

_LAST_ROW = 1 << 24
"""Taken for the number of the last row if no page tells it."""

_READ = (
    "SELECT rowid, key, value, size, expires, used FROM entry NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
)
_WRITE = "INSERT OR IGNORE INTO entry (key, value, size, expires, used, created) VALUES (?, ?, ?, ?, ?, ?)"


Row: TypeAlias = tuple[object, ...]


class DamagedFileError(sqlite3.DatabaseError):
    """SQLite can read the file, and what it reads cannot be what was written."""


def is_damage(error: BaseException) -> bool:
    """Whether an error shows that the file is damaged, rather than busy, full or another program's.

    A flipped bit in the names of columns or tables makes SQLite miss them, or quote a name that is not UTF-8.
    """
    if isinstance(error, UnicodeDecodeError | DamagedFileError):
        return True
    return error_code(error) in _DAMAGED or str(error).startswith(_UNKNOWN)


def error_code(error: BaseException) -> int:
    """SQLite's primary result code; 0 for an error that isn't SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def set_aside(path: Path) -> Path:
    """Rename the file and its companions; return the new path.

    The WAL goes first: if it were left behind, SQLite would apply it to the new file.
    """
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    return target


def salvage(damaged: Path, connection: sqlite3.Connection) -> int:
    """Copy every entry that can still be read into a new file; return how many there were."""
    copied = 0
    deadline = time.monotonic() + SALVAGE_SECONDS
    with contextlib.suppress(*FAILURES), contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as source:
        source.text_factory = bytes
        # Without this SQLite refuses a file that is shorter than its header says, or has an odd schema, altogether.
        source.execute("PRAGMA writable_schema = ON")
        source.execute("SELECT rowid FROM entry LIMIT 0")  # fails where nothing at all can be read
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            for row in _read_rows(source):
                copied += _copy_row(row, connection)
                if time.monotonic() > deadline:
                    break
    return copied


def _copy_row(row: Row, connection: sqlite3.Connection) -> int:
    """Copy a row if its members have the right types and size. The value has a checksum of its own."""
    key, value, size, expires, used = row
    if not isinstance(key, bytes) or not isinstance(value, bytes) or not isinstance(used, float):
        return 0
    if size != len(value) or not isinstance(expires, float | None):
        return 0
    with contextlib.suppress(UnicodeDecodeError):
        # The last use stands for the time when it was written: layout 1 did not keep that.
        return connection.execute(_WRITE, (key.decode(), value, size, expires, used, used)).rowcount
    return 0


def _read_rows(source: sqlite3.Connection) -> Iterator[Row]:
    """Read all rows but those on pages that cannot be read.

    Such a page ends a scan, so a range of rows is read from both ends, and what remains between them is halved.
    """
    ranges = [(1, _find_last(source))]
    for _ in range(_MOST_FAILURES):
        if not ranges:
            return
        first, last = ranges.pop()
        first = yield from _scan(source, first, last, 1)
        if first <= last:
            last = yield from _scan(source, first, last, -1)
        if first < last:
            middle = (first + last) // 2
            ranges += [(middle + 1, last), (first, middle)]


def _find_last(source: sqlite3.Connection) -> int:
    """The number of the last row. If the page with that row is damaged, an index tells it."""
    for index in ("NOT INDEXED", "INDEXED BY entry_used", "INDEXED BY sqlite_autoindex_entry_1"):
        with contextlib.suppress(*FAILURES):
            # The sum keeps SQLite from going straight to the end of the table, whatever index is named.
            (last,) = source.execute(f"SELECT max(rowid + 0) FROM entry {index}").fetchone()  # noqa: S608 - ours
            return last or 0
    return _LAST_ROW


def _scan(source: sqlite3.Connection, first: int, last: int, step: int) -> Generator[Row, None, int]:
    """Yield rows upward (`step` 1) or downward (-1), as far as they can be read.

    Returns where it ended: what has not been read lies between this row and the other end.
    """
    reached = first if step > 0 else last
    try:
        for number, *row in source.execute(_READ if step > 0 else f"{_READ} DESC", (first, last)):
            yield tuple(row)
            reached = number + step
    except FAILURES:
        return reached
    return last + 1 if step > 0 else first - 1
