"""The rows of a `DiskCache`: how an entry is read, how all are listed, and the numbers of invalidated tags."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from instructor.cache.entry import Generations, Tagged
from instructor.cache.listing import FIRST_BYTES, MOST_NUMBERED, Listed, draw_generation, hash_tag, list_text
from instructor.cache.sqlite_repair import DamagedFileError, error_code, hash_key

# A long value is left to `fetch_large`.
_SELECT = (
    "SELECT CASE WHEN length(value) <= 65536 THEN value END, rowid FROM entry "
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
WHERE rowid > ? AND (expires IS NULL OR expires > ?) ORDER BY rowid LIMIT ?
"""


def fetch(connection: sqlite3.Connection, key: str, now: float) -> tuple[bytes] | None:
    """Read the value under a key that has not expired."""
    row: tuple[bytes | None, int] | None = connection.execute(_SELECT, (key, now)).fetchone()
    if row is None:
        return None
    return fetch_large(connection, key, now) if row[0] is None else (row[0],)


def fetch_large(connection: sqlite3.Connection, key: str, now: float) -> tuple[bytes] | None:
    """Read a long value straight into its bytes: a column of a row is copied twice more on its way."""
    connection.execute("BEGIN")  # no other process can replace the entry between the two steps
    try:
        row: tuple[None, int] | None = connection.execute(_SELECT, (key, now)).fetchone()
        if row is None:
            return None
        with connection.blobopen("entry", "value", row[1], readonly=True) as value:
            return (value.read(),)
    finally:
        connection.execute("COMMIT")


def is_hidden(connection: sqlite3.Connection, key: str) -> bool:
    """Whether the second index leads to an entry that the first doesn't."""
    return connection.execute(_HIDDEN, (hash_key(key), key)).fetchone() is not None


def list_rows(connection: sqlite3.Connection, after: int, now: float) -> tuple[list[Listed], int | None]:
    """Describe the entries that follow on a row; return them and the last row, or None after the last of all."""
    rows = connection.execute(_LIST, (FIRST_BYTES, after, now, BATCH)).fetchall()
    listed: list[Listed] = []
    for number, key, start, size in rows:
        found = list_text(key.decode(), start, size)
        if found is None:
            (value,) = connection.execute("SELECT value FROM entry WHERE rowid = ?", (number,)).fetchone()
            found = list_text(key.decode(), value, len(value))
        if found is not None:
            listed.append(found)
    return listed, rows[-1][0] if rows else None


def remove_all(connection: sqlite3.Connection) -> int:
    """Remove all entries; return how many there were. The numbers of tags stay, because answers are under way."""
    connection.execute("UPDATE tag SET written = 0 WHERE name != ''")
    return connection.execute("DELETE FROM entry").rowcount


def read_generations(connection: sqlite3.Connection, tags: Sequence[str]) -> Generations:
    """Read the number of the latest invalidation of all, and of each of `tags`."""
    find = "SELECT generation, written FROM tag WHERE name = ?"
    row: tuple[int, int] | None = connection.execute(find, ("",)).fetchone()
    if row is None:
        raise DamagedFileError("the numbers of invalidations are missing")
    found = [connection.execute(find, (hash_tag(tag),)).fetchone() for tag in tags]
    return Generations(row[1], row[0], [of_tag[0] if of_tag else 0 for of_tag in found])


def number_tag(connection: sqlite3.Connection, tag: str) -> int:
    """Give a tag the next number, in a transaction; return how many answers were stored with it since its last one."""
    if connection.execute("SELECT count(*) FROM tag").fetchone()[0] > MOST_NUMBERED:
        # What was tagged before is stale under other numbers.
        connection.execute("DELETE FROM tag WHERE name != ''")
        connection.execute("UPDATE tag SET generation = ?1, written = ?1", (draw_generation(),))
    name = hash_tag(tag)
    row = connection.execute("SELECT written FROM tag WHERE name = ?", (name,)).fetchone()
    connection.execute("UPDATE tag SET generation = generation + 1 WHERE name = ''")
    connection.execute("INSERT OR REPLACE INTO tag SELECT ?, generation, 0 FROM tag WHERE name = ''", (name,))
    return int(row[0]) if row else 0


def note_written(connection: sqlite3.Connection, tagged: Tagged) -> bool:
    """Count an answer that is to be stored, in its transaction; False if one of its tags was invalidated since."""
    numbers = read_generations(connection, tagged.tags)
    # Another number than any of this store's is that of the store which follows on this one in a client's path.
    if numbers.first <= tagged.generation <= numbers.latest and not numbers.cover(tagged.generation):
        return False
    count = "INSERT INTO tag VALUES (?, 0, 1) ON CONFLICT (name) DO UPDATE SET written = written + 1"
    connection.executemany(count, [(hash_tag(tag),) for tag in tagged.tags])
    return True


_ADVICE = {
    sqlite3.SQLITE_BUSY: "Another process held the file for too long; raise timeout=.",
    sqlite3.SQLITE_FULL: "The disk is full. Free some space, or lower size_limit=.",
    sqlite3.SQLITE_READONLY: "The file may not be written by this user.",
    sqlite3.SQLITE_PERM: "The file may not be used by this user.",
}


def advise(error: Exception) -> str:
    """What to do about an error of SQLite's."""
    return _ADVICE.get(error_code(error), "Check that the directory exists, is writable and is on a local disk.")
