"""The leases in the file of a `DiskCache`: a row for each call that a process is asking for.

Times are by `time.monotonic`, which all processes of a machine share and nobody sets. A row from before a reboot says
that it lasts far longer than any lease does, or is over soon.

A process that takes over a lease which ran out, or was handed over, notes in the row whose it was. So a process that
waits for the former owner can tell whether somebody took its place, or it has ended and the row is about a later call.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from instructor.cache.books import Posting
from instructor.cache.lease import LONGEST_LEASE, Ending, Taken
from instructor.cache.sqlite_transaction import transact
from instructor.exceptions import CacheNotTriedError

_TAKE = """
INSERT INTO lease VALUES (?1, ?2, ?3, '') ON CONFLICT (key) DO UPDATE
SET token = excluded.token, until = excluded.until, heir_of = token WHERE until <= ?4 OR until > ?5
"""
_TAKE_NEW = """
INSERT INTO lease SELECT ?1, ?2, ?3, '' WHERE NOT EXISTS (SELECT 1 FROM entry WHERE key = ?1) AND NOT EXISTS (SELECT 1 FROM lease WHERE key = ?1)
"""
_RENEW = "UPDATE lease SET until = ? WHERE key = ? AND token = ?"
_END = "DELETE FROM lease WHERE key = ? AND token = ?"
_HAND_OVER = "UPDATE lease SET until = 0 WHERE key = ? AND token = ?"
_FORGET = "DELETE FROM lease WHERE until <= ? OR until > ?"
_HOLDER = "SELECT token, until, heir_of FROM lease WHERE key = ?"
_STORED = "SELECT 1 FROM entry WHERE key = ?"


class LeaseLostError(Exception):
    """Another process has had the lease, so an answer is refused."""


class Run(Protocol):
    """Performs an operation on the file."""

    def __call__(self, operation: Callable[[sqlite3.Connection], Any], *, writes: bool = False) -> Any: ...  # noqa: D102


Join = Callable[[Callable[[sqlite3.Connection], Any]], Any]
"""Performs an operation, in a transaction of other threads if there is one."""
Write = Callable[[str, str, int | None, str, Posting | None], None]
"""Stores an entry for a token, and enters a posting with it; CacheNotTriedError if there is no room."""


class SqliteLeases:
    """The leases of one `DiskCache`."""

    pauses = (0.005, 0.015)
    posts = True

    def __init__(self, run: Run, join: Join, write: Write, seconds: float) -> None:
        self.seconds = seconds
        self._run = run
        self._join = join
        self._write = write

    def take(self, key: str, token: str) -> Taken:
        """Take a lease that nobody has, or whose time is over."""

        def take(connection: sqlite3.Connection) -> Taken:
            now = time.monotonic()
            row = (key, token, now + self.seconds, now, now + LONGEST_LEASE)
            if connection.execute(_TAKE_NEW, row[:3]).rowcount:
                return Taken(token)
            if connection.execute(_TAKE, row).rowcount:
                return Taken(token, found=connection.execute(_STORED, (key,)).fetchone() is not None)
            holder = connection.execute(_HOLDER, (key,)).fetchone()
            return Taken("" if holder is None else holder[0].decode())

        return self._join(take)  # type: ignore[no-any-return]

    def publish(self, key: str, text: str, ttl: int | None, token: str, posting: Posting | None = None) -> bool:
        """Store a text, end the lease, and enter a posting, in one transaction."""
        try:
            self._write(key, text, ttl, token, posting)
        except LeaseLostError:
            return False
        except CacheNotTriedError:  # there is no room for it, so nobody has anything to wait for
            self.release(key, token, Ending.ENDED)
            raise
        return True

    def renew(self, tokens: Mapping[str, str]) -> None:
        """Let leases last longer, and forget what was left over by others."""

        def renew(connection: sqlite3.Connection) -> None:
            now = time.monotonic()
            connection.executemany(_RENEW, [(now + self.seconds, key, token) for key, token in tokens.items()])
            connection.execute(_FORGET, (now - LONGEST_LEASE, now + LONGEST_LEASE))

        self._run(lambda connection: transact(connection, lambda: renew(connection)), writes=True)

    def release(self, key: str, token: str, ending: Ending) -> None:
        """End a lease without an answer."""
        statement = _END if ending.is_over else _HAND_OVER
        self._run(lambda connection: connection.execute(statement, (key, token)), writes=True)

    def look(self, waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        """How leases of others ended."""

        def look(connection: sqlite3.Connection) -> list[Ending | None]:
            return [_judge(connection.execute(_HOLDER, (key,)).fetchone(), token.encode()) for key, token in waited]

        return self._run(look)  # type: ignore[no-any-return]

    def listen(self, nudge: Callable[[], None]) -> None:
        """Nobody tells: SQLite has no way to."""


def end_with_answer(connection: sqlite3.Connection, key: str, token: str | None) -> bool:
    """End a lease, if there is one, in the transaction that stores its answer; True.

    Raises LeaseLostError if another process has had the lease since: it has it still, or has stored an answer. Where
    nobody asked meanwhile, the answer is welcome though its time was over.
    """
    if token is None or connection.execute(_END, (key, token)).rowcount:
        return True
    if connection.execute(_HOLDER, (key,)).fetchone() or connection.execute(_STORED, (key,)).fetchone():
        raise LeaseLostError
    return True


def _judge(row: tuple[bytes, float, bytes] | None, waited: bytes) -> Ending | None:
    if row is None:
        return Ending.ENDED
    holder, until, heir_of = row
    if holder == waited:
        now = time.monotonic()
        return None if now < until <= now + LONGEST_LEASE else Ending.FREE
    return Ending.FREE if heir_of == waited else Ending.ENDED
