"""How much of the disk a `DiskCache` takes: how a size limit is shared out between the file and its WAL.

A page that is written goes to the WAL first, and is copied into the file later. So the limit is shared between the
entries, the WAL that is waiting to be copied, and the largest transaction, which comes on top of that. Transactions are
kept small: what has to be removed or noted is removed and noted in several, of `rows_at_once` rows each.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from instructor.cache.listing import MOST_NUMBERED
from instructor.cache.sqlite_pages import PAGE
from instructor.cache.sqlite_repair import DamagedFileError
from instructor.exceptions import ArgumentError

NO_LIMIT = 2**63 - 1
"""Stands for no limit in the file."""

_LEAST = 1 << 18
_MOST_WAL_PAGES = 1000
"""How long SQLite lets a WAL grow by itself before it copies the pages into the file."""

_PAGES_OF_A_ROW, _PAGES_OF_A_WRITE = 8, 12
"""How many pages are written at most when a row is removed or noted, and when one is written: in the table, its indexes
and the lists of free and used pages. Those of a long value come on top."""

_FEWEST_ROWS = 16

_TAG_SIZE = 128
"""Bytes of a tag's row, in the table and in its index, whose pages are about two thirds full."""


class Shares(NamedTuple):
    """How a limit is shared out, in bytes.

    Attributes:
        limit: The limit; None for none.
        wal: When SQLite copies the WAL into the file.
        entry: The largest entry that is stored.
        file: What the file may take up.
        rows_at_once: How many rows a transaction changes beside the one that it writes.
        tags: How many tags are remembered, in an eighth of what the file may take up.
    """

    limit: int | None
    wal: int
    entry: int
    file: int
    rows_at_once: int
    tags: int


def share_out(limit: int | None) -> Shares:
    """Share out a limit. Without one, an entry and the file are as large as they come."""
    if limit is None:
        return Shares(
            None, _MOST_WAL_PAGES * PAGE, NO_LIMIT, NO_LIMIT, _MOST_WAL_PAGES // _PAGES_OF_A_ROW, MOST_NUMBERED
        )
    wal = min(_MOST_WAL_PAGES, limit // 8 // PAGE)
    entry = limit // 8
    rows = max(_FEWEST_ROWS, wal // _PAGES_OF_A_ROW)
    left = limit // PAGE - wal - entry // PAGE - _PAGES_OF_A_WRITE
    # A transaction writes each page of the file once at most.
    file = max(left - 2 * rows * _PAGES_OF_A_ROW, left // 2)
    return Shares(limit, wal * PAGE, entry, file * PAGE, rows, min(MOST_NUMBERED, file * PAGE // 8 // _TAG_SIZE))


def check_size_limit(size: object) -> int | None:
    """Check the argument ``size_limit=``."""
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < _LEAST:
        raise ArgumentError(
            f"DiskCache(size_limit=) takes an int of at least {_LEAST:,}, or None for no limit; got {size!r}."
        )
    return min(size, NO_LIMIT)


class Counted(NamedTuple):
    """How large a file is.

    Attributes:
        pages: Its pages, those that are free included.
        used: The bytes of the others.
    """

    pages: int
    used: int


def count_pages(connection: sqlite3.Connection) -> Counted:
    """Return how large the file is."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if not 0 <= free < pages:  # with a wrong count every entry might be removed to make room
        raise DamagedFileError("the count of free pages in its header cannot be")
    return Counted(pages, (pages - free) * PAGE)


def shrink(connection: sqlite3.Connection, shares: Shares, pages: int) -> None:
    """Give some free pages back to the disk if the file is too large, as after its limit was lowered."""
    for _ in range(min(shares.rows_at_once, pages - shares.file // PAGE)):
        connection.execute("PRAGMA incremental_vacuum(1)")


def file_size(path: Path | str) -> int:
    """Return the size of a file, 0 if there is none or it can't be reached."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a third of the time of Path.stat, before every write
    except OSError:
        return 0


def free_space(path: str) -> int:
    """Return how many bytes the disk of a file has left; as many as there can be where that isn't known."""
    try:
        disk = os.statvfs(path)
    except (OSError, AttributeError):  # there is no such file; or Windows, which has no such call
        return NO_LIMIT
    return disk.f_bavail * disk.f_frsize
