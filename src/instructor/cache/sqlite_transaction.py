"""Transactions that end whatever happens, and what has to be undone if one fails.

Python raises the `KeyboardInterrupt` of somebody who presses Ctrl-C while SQLite waits or writes as soon as SQLite is done:
right after the beginning of a transaction, which must not be left open because it keeps all others from writing, or right
after a commit, when everything is stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class RawConnection(sqlite3.Connection):
    """A connection that notes what to call if the transaction under way isn't committed."""

    undo: tuple[Callable[[], object], ...] = ()


def undo_with(connection: sqlite3.Connection, undo: Callable[[], object]) -> None:
    """Have `undo` called if the transaction under way isn't committed."""
    if isinstance(connection, RawConnection):
        connection.undo += (undo,)


def transact(connection: sqlite3.Connection, operation: Callable[[], T]) -> T:
    """Perform an operation in a transaction that writes."""
    own = connection if isinstance(connection, RawConnection) else None
    is_ending = False
    try:
        if own is not None:
            own.undo = ()
        connection.execute("BEGIN IMMEDIATE")
        result = operation()
        is_ending = True
        connection.execute("COMMIT")
    except BaseException as error:
        is_committed = is_ending and not connection.in_transaction and not isinstance(error, sqlite3.Error)
        for undo in () if is_committed or own is None else own.undo:
            undo()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
