"""Rows that may keep their reader waiting, such as those of a pipe: read in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from instructor.daemon import start_daemon

T = TypeVar("T")

_READ_AHEAD = 2


class _End(NamedTuple):
    error: Exception


class ReadAhead(Iterator[T], Generic[T]):
    """Hands rows out one by one as they come, because who writes them may wait for the answer to each.

    `notify` is called when there is something to take.
    """

    def __init__(self, rows: Iterator[T], notify: Callable[[], object]) -> None:
        self._rows = rows
        self._notify = notify
        self._read: SimpleQueue[T | _End] = SimpleQueue()
        self._room = threading.Semaphore(_READ_AHEAD)
        # A daemon thread: the process may end while it waits for a row that never comes.
        start_daemon(partial(copy_context().run, self._run))

    @property
    def is_ready(self) -> bool:
        """Whether there is a row, or the news that there are no more."""
        return not self._read.empty()

    def __next__(self) -> T:
        row = self._read.get()
        self._room.release()
        if isinstance(row, _End):
            self._read.put(row)
            raise row.error
        return row

    def end(self) -> None:
        """Have no more rows, from any thread. What is being read is left."""
        self._put(_End(StopIteration()))

    def _run(self) -> None:
        last: Exception = StopIteration()
        try:
            for row in self._rows:
                self._put(row)
                self._room.acquire()
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where the rows are taken
            last = error
        self._put(_End(last))

    def _put(self, row: T | _End) -> None:
        self._read.put(row)
        self._notify()
