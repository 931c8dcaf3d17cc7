"""How the threads of a process write to a SQLite file together.

SQLite lets one writer in at a time, and one that finds another at work sleeps for a while and looks again. A commit costs
as much as all else that a write does. So threads that write at the same time queue here: the first of them performs what
all of them want in one transaction, and each goes on once that is committed. A thread that is alone doesn't wait.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, cast

from instructor.cache.sqlite_repair import error_code
from instructor.cache.sqlite_transaction import transact, undo_with
from instructor.exceptions import CacheError
from instructor.locks import fork_between, make_lock, reset_after_fork

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], T]

MOST_TOGETHER = 32
"""Operations in one transaction at most, so that nobody waits long for the others'."""


SWEEP_EVERY = 8
"""After so many operations their transaction removes what has expired: that takes as long as to write an answer."""

EXPIRED_AT_ONCE = 16
"""How many rows of that at most, for each of them."""


class Sweep:
    """Says when what has expired is to be removed. The first write of a program does so too: it may be its only one."""

    def __init__(self, most: int) -> None:
        self._operations = SWEEP_EVERY
        self._most = most

    def take(self, operations: int) -> int:
        """How many rows are to be removed by a transaction with so many operations, at most."""
        self._operations += operations
        if self._operations < SWEEP_EVERY:
            return 0
        count, self._operations = self._operations, 0
        return min(EXPIRED_AT_ONCE * count, self._most)


_DELETE_EXPIRED = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE expires <= ? LIMIT ?)"


def in_transaction(
    operations: Sequence[Operation[Any]], begin: Callable[[sqlite3.Connection, float], None], expired: int
) -> Operation[list[Any]]:
    """Make one operation of several, which begins with another one, and removes so many rows of what has expired."""

    def perform(connection: sqlite3.Connection) -> list[Any]:
        now = time.time()
        begin(connection, now)
        results = [operation(connection) for operation in operations]
        if expired:
            connection.execute(_DELETE_EXPIRED, (now, expired))
        return results

    return lambda connection: transact(connection, partial(perform, connection))


class _Queued(Generic[T]):
    """What a thread wants done. Once it isn't open and has neither a result nor an error, its thread does it alone."""

    __slots__ = ("error", "is_done", "is_open", "operation", "result", "size")

    def __init__(self, operation: Operation[T], size: int) -> None:
        self.operation = operation
        self.size = size
        self.is_open, self.is_done = True, False
        self.result: T | None = None
        self.error: CacheError | None = None

    def perform(self, connection: sqlite3.Connection) -> T:
        """Do it, in a transaction."""
        self.result = result = self.operation(connection)
        self.is_done = True
        undo_with(connection, self.undo)
        return result

    def undo(self) -> None:
        """The transaction has failed."""
        self.is_done = False


class Group:
    """Performs the operations of several threads in one transaction.

    `perform` performs all of some operations, or none, and returns their results. `find_room` returns how many bytes may
    be written in one transaction beside those of the first operation, None for nothing at all.

    If a transaction fails that was shared, each thread tries its operation alone: what is wrong may be about one of them.
    """

    def __init__(
        self, perform: Callable[[Sequence[Operation[Any]]], list[Any]], find_room: Callable[[], int | None]
    ) -> None:
        self._perform = perform
        self._find_room = find_room
        self._lock = make_lock()
        fork_between(self._lock)  # because SQLite in a child would wait for ever for a thread that was writing
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Forget the threads of the parent in a forked child."""
        self._queue: deque[_Queued[Any]] = deque()

    def run(self, operation: Operation[T], size: int = 0, alone: Callable[[], T] | None = None) -> T:
        """Perform an operation that writes so many bytes; return once it is committed.

        `alone` performs it while no other thread writes, without a transaction.
        """
        if not self._queue and not self._lock.locked():
            with self._lock:  # and not by `acquire`, after which an interrupt would leave it locked
                return cast("T", self._perform((operation,))[0]) if alone is None else alone()
        own = _Queued(operation, size)
        try:
            self._queue.append(own)
            with self._lock:
                if own.is_open:
                    self._lead(own)
        finally:
            if own.is_open and not self._remove(own):  # interrupted, while another thread performs it
                with self._lock:
                    """Its outcome is known now."""
        if own.error is not None:
            raise CacheError(str(own.error)) from own.error.__cause__
        return cast("T", own.result if own.is_done else self._perform([operation])[0])

    def run_alone(self, operation: Callable[[], T]) -> T:
        """Perform something while no other thread writes."""
        with self._lock:
            return operation()

    def _lead(self, own: _Queued[Any]) -> None:
        """Perform what is queued by now."""
        self._remove(own)
        others = self._take()
        some = [own, *others]
        try:
            self._perform([one.perform for one in some])
        except Exception as error:
            if not others:
                raise
            for one in some:
                one.undo()
            if isinstance(error, CacheError) and _is_busy(error):  # nobody has to wait as long once more
                for one in some:
                    one.error = error
        finally:
            for one in some:
                one.is_open = False

    def _take(self) -> list[_Queued[Any]]:
        """Take from the queue what fits into one transaction."""
        room = self._find_room() if self._queue else None
        some: list[_Queued[Any]] = []
        while room is not None and len(some) < MOST_TOGETHER - 1:
            try:
                if self._queue[0].size > room:
                    break
                some.append(self._queue.popleft())
            except IndexError:  # there are no more
                break
            room -= some[-1].size
        return some

    def _remove(self, own: _Queued[Any]) -> bool:
        """Remove what is still queued; return whether it was."""
        try:
            self._queue.remove(own)
        except ValueError:  # another thread has taken it just now
            return False
        return True


def _is_busy(error: CacheError) -> bool:
    return error.__cause__ is not None and error_code(error.__cause__) == sqlite3.SQLITE_BUSY
