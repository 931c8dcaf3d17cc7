"""The numbers of invalidated tags in the file of a `DiskCache` (see `Generations`).

Each tag has a row: the number of its latest invalidation, 0 for none, and how many answers were stored with it since. Two
more rows say where the numbers begin and how far they got, and how many rows there are.

A row has no checksum, and what it says decides whether an answer is served. So an index holds the names and the numbers
once more, and the two are compared: a damaged page changes one of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from instructor.cache.entry import Generations, Tagged
from instructor.cache.listing import draw_generation, hash_tag
from instructor.cache.sqlite_layout import COUNT, LATEST, is_older
from instructor.cache.sqlite_repair import DamagedFileError

# One statement, so that no other process can write between its two looks.
_FIND = """
SELECT tag.generation, tag.written, (SELECT generation FROM tag INDEXED BY tag_again WHERE name = ?1)
FROM (SELECT 1) LEFT JOIN tag ON tag.name = ?1
"""


def read_generations(connection: sqlite3.Connection, tags: Sequence[str]) -> Generations:
    """Read the number of the latest invalidation of all, and of each of `tags`."""
    try:
        # The latest of all comes last: if another process begins with new numbers meanwhile, the answer is stale.
        of_tags = [_find(connection, hash_tag(tag))[0] for tag in tags]
        latest, first = _find(connection, LATEST)
    except sqlite3.OperationalError:
        if is_older(connection):
            return Generations(0, 0, [0] * len(tags))  # no answer has this number
        raise
    if not 0 < first <= latest:
        raise DamagedFileError("the numbers of invalidations are missing, or cannot be")
    return Generations(first, latest, of_tags)


def number_tag(connection: sqlite3.Connection, tag: str, most: int) -> int:
    """Give a tag the next number, in a transaction; return how many answers were stored with it since its last one."""
    name = hash_tag(tag)
    _, written = _find(connection, name)
    _forget(connection, most)
    connection.execute("UPDATE tag SET generation = generation + 1 WHERE name = ?", (LATEST,))
    _count(connection, _find(connection, name) == (0, 0))
    connection.execute("INSERT OR REPLACE INTO tag SELECT ?, generation, 0 FROM tag WHERE name = ?", (name, LATEST))
    return written


def note_written(connection: sqlite3.Connection, tagged: Tagged, most: int) -> bool:
    """Count an answer that is to be stored, in its transaction; False if one of its tags was invalidated since.

    Where there are more than `most` tags, the others aren't counted: their rows are never evicted, as entries are.
    """
    numbers = read_generations(connection, tagged.tags)
    # Another number than any of this store's is that of the store which follows on this one in a client's path.
    if numbers.first <= tagged.generation <= numbers.latest and not numbers.cover(tagged.generation):
        return False
    names = [(hash_tag(tag),) for tag in tagged.tags]
    new = len(names) - connection.executemany("UPDATE tag SET written = written + 1 WHERE name = ?", names).rowcount
    if new and _find(connection, COUNT)[1] <= most:
        _count(connection, new)
        connection.executemany("INSERT INTO tag VALUES (?, 0, 1) ON CONFLICT (name) DO NOTHING", names)
    return True


def _forget(connection: sqlite3.Connection, most: int) -> None:
    """Forget tags if there are more than `most`: those that were never invalidated, which have nothing but a count.

    If there are too many others, all are forgotten and the numbers begin anew, so that what was tagged before is stale.
    """
    if _find(connection, COUNT)[1] <= most:
        return
    others = (LATEST, COUNT)
    connection.execute("DELETE FROM tag WHERE generation = 0 AND name NOT IN (?, ?)", others)
    (left,) = connection.execute("SELECT count(*) FROM tag WHERE name NOT IN (?, ?)", others).fetchone()
    if left > most // 2:
        connection.execute("DELETE FROM tag WHERE name NOT IN (?, ?)", others)
        connection.execute("UPDATE tag SET generation = ?1, written = ?1 WHERE name = ?2", (draw_generation(), LATEST))
        left = 0
    connection.execute("UPDATE tag SET written = ? WHERE name = ?", (left, COUNT))


def remove_all(connection: sqlite3.Connection) -> int:
    """Remove all entries; return how many there were. The numbers of tags stay, because answers are under way."""
    connection.execute("UPDATE tag SET written = 0 WHERE name NOT IN (?, ?)", (LATEST, COUNT))
    return connection.execute("DELETE FROM entry").rowcount


def _find(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return the two numbers of a row; zeros if there is none."""
    number, written, again = connection.execute(_FIND, (name,)).fetchone()
    if number is None and again is None:
        return 0, 0
    if number != again or not isinstance(number, int) or not isinstance(written, int):
        raise DamagedFileError("the rows of tags and their index contradict each other")
    return number, written


def _count(connection: sqlite3.Connection, more: int) -> None:
    connection.execute("UPDATE tag SET written = written + ? WHERE name = ?", (more, COUNT))
