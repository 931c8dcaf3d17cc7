"""The ledger in the file of a `DiskCache`: six sums under each name.

Its table is made when something is entered for the first time, so a file of an older version needs no migration.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from instructor.cache.books import Posting
from instructor.cache.sqlite_transaction import undo_with

T = TypeVar("T")

_CREATE = """
CREATE TABLE IF NOT EXISTS ledger (
name TEXT PRIMARY KEY, n0 INTEGER, n1 INTEGER, n2 INTEGER, n3 INTEGER, n4 INTEGER, n5 INTEGER) WITHOUT ROWID
"""
_ADD = """
INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
n0 = n0 + excluded.n0, n1 = n1 + excluded.n1, n2 = n2 + excluded.n2,
n3 = n3 + excluded.n3, n4 = n4 + excluded.n4, n5 = n5 + excluded.n5
"""


_COUNT_EVERY = 64
"""After so many additions the names are counted, because that takes a look at all of them."""


def read_amounts(connection: sqlite3.Connection) -> dict[str, Sequence[int]]:
    """Read all sums."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone() is None:
        return {}
    return {name: numbers for name, *numbers in connection.execute("SELECT * FROM ledger")}


class KeepsLedger(ABC):
    """The ability ``"ledger"`` of a store in a SQLite file."""

    _additions = 0

    def add_amounts(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """Add to the sums of the ledger; return how many names it has, or 0 where they weren't counted."""
        return self._change(lambda connection: self._enter(connection, amounts))

    def _enter(self, connection: sqlite3.Connection, amounts: Mapping[str, Sequence[int]]) -> int:
        """As `add_amounts`, in a transaction."""
        if isinstance(amounts, Posting) and amounts.names is not None:  # by a thread for which its caller didn't wait
            return amounts.names
        rows = [(name, *numbers) for name, numbers in amounts.items()]
        try:
            connection.executemany(_ADD, rows)
        except sqlite3.OperationalError as error:
            if not str(error).startswith("no such table"):
                raise
            connection.execute(_CREATE)
            connection.executemany(_ADD, rows)
        self._additions += 1
        is_due = self._additions % _COUNT_EVERY == 1
        count = int(connection.execute("SELECT count(*) FROM ledger").fetchone()[0]) if is_due else 0
        if isinstance(amounts, Posting):
            undo_with(connection, amounts.undo)
            amounts.names = count  # here, because an interrupt may keep the result from whoever posts it
        return count

    def read_amounts(self) -> Mapping[str, Sequence[int]]:
        """Return the sums of the ledger, which `clear` leaves alone."""
        return self._run(read_amounts)

    @abstractmethod
    def _change(self, operation: Callable[[sqlite3.Connection], T]) -> T: ...

    @abstractmethod
    def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T: ...
