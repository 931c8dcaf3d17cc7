"""The rows of a `DiskCache`: how an entry is read, and how all are listed."""

from __future__ import annotations

import sqlite3

from instructor.cache.listing import FIRST_BYTES, Listed, list_text
from instructor.cache.sqlite_layout import is_older
from instructor.cache.sqlite_repair import DamagedFileError, error_code, hash_key

Found = tuple[bytes, float | None]
"""A value, and until when it is kept."""

# A long value is left to `fetch_large`.
_SELECT = (
    "SELECT CASE WHEN length(value) <= 65536 THEN value END, expires, rowid FROM entry "
    "WHERE key = ? AND (expires IS NULL OR expires > ?)"
)
# One statement, so that no other process can write between its two looks.
_HIDDEN = """
SELECT 1 FROM entry INDEXED BY entry_key_hash WHERE key_hash = ?1 AND key = ?2
AND NOT EXISTS (SELECT 1 FROM entry AS other WHERE other.key = ?2)
"""
BATCH = 1000
"""How many rows are listed at a time."""

_LIST = """
SELECT rowid, key, substr(value, 1, ?), length(value) FROM entry
WHERE rowid > ? AND rowid <= ? AND (expires IS NULL OR expires > ?) ORDER BY rowid LIMIT ?
"""


def fetch(connection: sqlite3.Connection, key: str, now: float) -> Found | None:
    """Read the value under a key that has not expired."""
    row: tuple[bytes | None, float | None, int] | None = connection.execute(_SELECT, (key, now)).fetchone()
    if row is None:
        return None
    return fetch_large(connection, key, now) if row[0] is None else (row[0], row[1])


def fetch_surely(connection: sqlite3.Connection, key: str, now: float) -> Found | None:
    """As `fetch`. A damaged page of the index hides entries without an error, so it looks into another index as well."""
    row = fetch(connection, key, now)
    if row is None and is_hidden(connection, key):
        raise DamagedFileError("the index does not lead to an entry that is there")
    return row


def fetch_large(connection: sqlite3.Connection, key: str, now: float) -> Found | None:
    """Read a long value straight into its bytes: a column of a row is copied twice more on its way."""
    connection.execute("BEGIN")  # no other process can replace the entry between the two steps
    try:
        row: tuple[None, float | None, int] | None = connection.execute(_SELECT, (key, now)).fetchone()
        if row is None:
            return None
        with connection.blobopen("entry", "value", row[2], readonly=True) as value:
            return value.read(), row[1]
    finally:
        connection.execute("COMMIT")


def is_hidden(connection: sqlite3.Connection, key: str) -> bool:
    """Whether the second index leads to an entry that the first doesn't."""
    try:
        return connection.execute(_HIDDEN, (hash_key(key), key)).fetchone() is not None
    except sqlite3.OperationalError:
        if is_older(connection):
            return False
        raise


def last_row(connection: sqlite3.Connection) -> int:
    """The number of the latest row. A listing ends there: each write is a new row, so it might never end otherwise."""
    (last,) = connection.execute("SELECT max(rowid) FROM entry").fetchone()
    return last or 0


def list_rows(connection: sqlite3.Connection, after: int, last: int, now: float) -> tuple[list[Listed], int]:
    """Describe entries from after one row to another, as many as make a batch; return them and where the next begin."""
    rows = connection.execute(_LIST, (FIRST_BYTES, after, last, now, BATCH)).fetchall()
    listed: list[Listed] = []
    for number, key, start, size in rows:
        found = list_text(key.decode(), start, size)
        if found is None:
            (value,) = connection.execute("SELECT value FROM entry WHERE rowid = ?", (number,)).fetchone()
            found = list_text(key.decode(), value, len(value))
        if found is not None:
            listed.append(found)
    return listed, rows[-1][0] if rows else last


_ADVICE = {
    sqlite3.SQLITE_BUSY: "Another process held the file for too long; raise timeout=.",
    sqlite3.SQLITE_FULL: "The disk is full. Free some space, or lower size_limit=.",
    sqlite3.SQLITE_READONLY: "The file may not be written by this user.",
    sqlite3.SQLITE_PERM: "The file may not be used by this user.",
}


def advise(error: Exception) -> str:
    """What to do about an error of SQLite's."""
    return _ADVICE.get(error_code(error), "Check that the directory exists, is writable and is on a local disk.")
