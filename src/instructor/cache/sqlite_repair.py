"""Repair of a damaged file of a `DiskCache`: it is renamed, and its readable entries are copied into a new one."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any
from zlib import crc32

from instructor.cache.sqlite_pages import Row, read_rows

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What `sqlite3` raises. The second error, because messages quote names in the file, which may be damaged."""

SALVAGE_SECONDS = 20.0
"""How long entries are copied at most, while other processes wait."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT}
"""The last one, because only a damaged row can be without a value that each row has."""

_UNKNOWN = ("no such column", "table entry has no column", "no such table", "unsupported file format")

_TIME = int | float
_MEMBERS = (bytes, bytes, int, _TIME | None, _TIME, _TIME, int | None)
"""The types of an entry's members on a page, where a whole number in a column of type REAL is an integer.

Rows that were written in an older layout lack the last ones.
"""

_FEWEST = 5

_WRITE = """
INSERT OR REPLACE INTO entry (key, value, size, expires, used, created, key_hash)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM entry WHERE key = ?1 AND created >= ?6)
"""


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
    deadline = time.monotonic() + SALVAGE_SECONDS
    with contextlib.suppress(OSError, *FAILURES):
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            copied = 0
            for row in read_rows(damaged):
                copied += _copy_row(row, connection)
                if time.monotonic() > deadline:
                    break
        return copied
    return 0


def _copy_row(row: Row, connection: sqlite3.Connection) -> int:
    """Copy a row if it is an entry, undamaged as far as can be seen. The value has a checksum of its own.

    Where another value of the key was written meanwhile, or stands on another page, the newest stays.
    """
    if not _FEWEST <= len(row) <= len(_MEMBERS) or not all(map(isinstance, row, _MEMBERS)):
        return 0
    # The last use stands for the time when an entry was written, where that was not kept.
    members: list[Any] = [*row, *(row[4], None)[len(row) - _FEWEST :]]
    key, value, size, expires, used, created, key_hash = members
    if size != len(value):
        return 0
    with contextlib.suppress(UnicodeDecodeError):
        text = key.decode()
        if key_hash is None or key_hash == hash_key(text):
            return connection.execute(_WRITE, (text, value, size, expires, used, created, hash_key(text))).rowcount
    return 0


def hash_key(key: str) -> int:
    """Return the checksum of a key that its row holds as well.

    A row that is read from a damaged page is checked by it. And a row can be found in two ways, through the index of
    keys and through the index of these.
    """
    return crc32(key.encode())
