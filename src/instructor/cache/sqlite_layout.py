"""The tables in the file of a `DiskCache`, and how a file of an older layout is brought up to date.

To change the tables, add a function at the end of `MIGRATIONS`, and never edit one that is there. A new file goes
through all of them, so a migrated file and a new one are the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from instructor.cache.listing import draw_generation
from instructor.cache.sqlite_pages import PAGE
from instructor.cache.sqlite_repair import DamagedFileError
from instructor.cache.sqlite_transaction import transact
from instructor.exceptions import CacheError

LATEST, COUNT = "", "#"
"""Names of rows beside those of tags, none of which has such a name: the number of the latest invalidation of all and
the first one (see `Generations`), and how many tags there are."""


def _create_entries(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE entry (key TEXT PRIMARY KEY, value NOT NULL, size INTEGER NOT NULL, expires REAL, used REAL NOT NULL)"
    )
    connection.execute("CREATE INDEX entry_used ON entry (used, size)")
    connection.execute("CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL")


def _add_age_and_limits(connection: sqlite3.Connection) -> None:
    """When an entry was written, and which limits the processes of the last day have set (see `DiskCache`)."""
    connection.execute("ALTER TABLE entry ADD COLUMN created REAL NOT NULL DEFAULT 0")
    connection.execute("CREATE TABLE size_limit (bytes INTEGER PRIMARY KEY, seen REAL NOT NULL)")


def _add_second_way(connection: sqlite3.Connection) -> None:
    """A second way to each entry (see `hash_key`). Entries that are there get one when they are written again."""
    connection.execute("ALTER TABLE entry ADD COLUMN key_hash INTEGER")
    connection.execute("CREATE INDEX entry_key_hash ON entry (key_hash) WHERE key_hash IS NOT NULL")


def _add_tags(connection: sqlite3.Connection) -> None:
    """The number of each tag's latest invalidation, and how many answers were stored with it since."""
    connection.execute(
        "CREATE TABLE tag (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, written INTEGER NOT NULL) WITHOUT ROWID"
    )
    connection.execute("INSERT INTO tag VALUES (?2, ?1, ?1)", (draw_generation(), LATEST))


def _add_second_way_to_tags(connection: sqlite3.Connection) -> None:
    """A second way to each tag, with its number, and how many tags there are (see `sqlite_tags`)."""
    connection.execute("CREATE INDEX tag_again ON tag (name, generation)")
    connection.execute("INSERT INTO tag SELECT ?, 0, count(*) - 1 FROM tag", (COUNT,))


def _add_eviction(connection: sqlite3.Connection) -> None:
    """What the policy of eviction has seen (see `sqlite_eviction`)."""
    connection.execute("CREATE TABLE eviction (id INTEGER PRIMARY KEY, lead REAL NOT NULL, state BLOB NOT NULL)")


def _add_leases(connection: sqlite3.Connection) -> None:
    """Which process is asking for an answer (see `sqlite_leases`)."""
    connection.execute(
        "CREATE TABLE lease (key TEXT PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL, heir_of TEXT NOT NULL) "
        "WITHOUT ROWID"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create_entries,
    _add_age_and_limits,
    _add_second_way,
    _add_tags,
    _add_second_way_to_tags,
    _add_eviction,
    _add_leases,
)
"""Step number n brings a file from layout n to n + 1. ``PRAGMA user_version`` says which layout a file has."""

FORMAT = len(MIGRATIONS)
"""The layout that this version reads and writes."""

_FIRST_MARKED = 2

_NAMES, _ENOUGH_NAMES = (
    {b"entry", b"entry_used", b"entry_expires", b"entry_key_hash", b"size_limit", b"tag", b"tag_again", b"lease"},
    2,
)
"""Tables and indexes by which a file is known as ours though its header is damaged. Others may have an ``entry`` too."""


def prepare(connection: sqlite3.Connection, wal_pages: int) -> None:
    """Set up a connection, and bring the file to the present layout if it has an older one.

    Raises CacheError for a file of a newer version or another application, and DamagedFileError for a damaged header.
    """
    version = check_version(connection)  # before anything is written: the file may be another application's
    if version == 0:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # In WAL mode this level cannot damage the file when power is lost; it may lose the last entries.
    connection.execute("PRAGMA synchronous = NORMAL")
    # What is deleted is overwritten wherever that costs no write of its own.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
    connection.execute(f"PRAGMA journal_size_limit = {wal_pages * PAGE}")
    if version < FORMAT:
        transact(connection, lambda: _migrate(connection))


def check_version(connection: sqlite3.Connection) -> int:
    """Return the layout of the file, 0 for an empty one. This version can read it, now or after a migration.

    The header holds the number of the layout twice, so a flipped bit isn't taken for another version.

    Raises as `prepare` does.
    """
    version = _read_version(connection)
    mark: int = connection.execute("PRAGMA application_id").fetchone()[0]
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    ours = len(names & _NAMES) >= _ENOUGH_NAMES
    if mark != _mark(version) or (version < _FIRST_MARKED and names and not (version and ours)):
        if ours:
            raise DamagedFileError("the numbers in its header contradict each other")
        raise CacheError(
            "The file is another application's database. Give DiskCache a directory of its own, or delete the file."
        )
    if version > FORMAT:
        raise CacheError(
            f"The file has layout {version}, and this version of instructor reads layouts up to {FORMAT}. "
            "Update instructor, give DiskCache another directory, or delete the file."
        )
    return version


def is_older(connection: sqlite3.Connection) -> bool:
    """Whether the file has an older layout, because it can't be written: it lacks some tables and indexes."""
    return _read_version(connection) < FORMAT


def _read_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    for step in MIGRATIONS[_read_version(connection) :]:
        step(connection)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute(f"PRAGMA application_id = {_mark(FORMAT)}")


def _mark(version: int) -> int:
    """The header's application id, which repeats the number of the layout. Layout 1 had none."""
    return 0 if version < _FIRST_MARKED else int.from_bytes(b"ins\0") + version
