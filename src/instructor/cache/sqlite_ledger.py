"""The ledger in the file of a `DiskCache`: six sums under each name.

Its table is made when something is entered for the first time, so a file of an older version needs no migration.
"""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from instructor.cache.runner import SKIPPED

if TYPE_CHECKING:
    from instructor.cache.handle import StoreHandle

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


def add_amounts(connection: sqlite3.Connection, amounts: Mapping[str, Sequence[int]]) -> int:
    """Add to the sums, in a transaction; return how many names there are."""
    _add(connection, [(name, *numbers) for name, numbers in amounts.items()])
    return _count_names(connection)


def _count_names(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM ledger").fetchone()[0]
    return count


def _add(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    try:
        connection.executemany(_ADD, rows)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("no such table"):
            raise
        connection.execute(_CREATE)
        connection.executemany(_ADD, rows)


_COUNT_EVERY = 64
"""How seldom the names are counted that are entered with answers: there are too many only after thousands."""

_turns = itertools.count()


class Entering:
    """What the clients of a store have spent by now, entered by the transaction that stores an answer.

    At the end of the block it goes back into the books, unless it was entered and the block ended well.
    """

    def __init__(self, handles: Sequence[StoreHandle]) -> None:
        self._handles = handles
        self._lines = handles[0].take_lines(spent=True) if handles else {}
        self._count: object = SKIPPED

    def enter(self, connection: sqlite3.Connection) -> None:
        """Add it to the ledger, in a transaction."""
        if self._lines:
            _add(connection, [(line.write(), *amounts) for line, amounts in self._lines.items()])
            self._count = 0 if next(_turns) % _COUNT_EVERY else _count_names(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._lines:
            self._handles[0].settle_lines(self._lines, self._count if kind is None else SKIPPED)


def read_amounts(connection: sqlite3.Connection) -> dict[str, Sequence[int]]:
    """Read all sums."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone() is None:
        return {}
    return {name: numbers for name, *numbers in connection.execute("SELECT * FROM ledger")}


class KeepsLedger(ABC):
    """The ability ``"ledger"`` of a store in a SQLite file."""

    def add_amounts(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """Add to the sums of the ledger; return how many names it has."""
        return self._change(lambda connection: add_amounts(connection, amounts))

    def read_amounts(self) -> Mapping[str, Sequence[int]]:
        """Return the sums of the ledger, which `clear` leaves alone."""
        return self._run(read_amounts)

    @abstractmethod
    def _change(self, operation: Callable[[sqlite3.Connection], T]) -> T: ...

    @abstractmethod
    def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T: ...
