"""Deadlines for tasks: how long an operation may take, not counting how busy its event loop is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_LONGEST_BEAT = 0.25
"""Seconds between two looks at what is under way, at most."""

_LATE = 0.02
"""A beat that comes this many seconds late shows that the loop has too much to do."""

_BUSY_SHARE = 0.1
"""How much of a beat counts if it was late. Not nothing, so that even in a loop that never rests an operation ends."""


class Watch:
    """Counts, for the operations that tasks of one loop wait for, the time in which the loop was responsive.

    While a task computes, nothing else in its loop goes on: an answer that has long arrived is not read. A timer
    of asyncio would fire as soon as the loop is free again, before the answer is read, and take a healthy store for
    one that hangs. This clock stands still, or nearly so, while its own beat is late.

    It also costs less than a timer for each operation: there is one for all of them, and none where none is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._spare = 0.0
        self._last = self._due = 0.0
        self._interval = _LONGEST_BEAT
        self._beating = False
        self._deadlines: dict[object, tuple[float, Callable[[], float | None]]] = {}

    def add(self, operation: object, seconds: float, expire: Callable[[], float | None]) -> None:
        """Call `expire` when the loop has been responsive for so many seconds, unless `remove` is called before.

        What `expire` returns is how many seconds more the operation has; None if it is over.
        """
        now = self.loop.time()
        # A quarter of the shortest deadline, which may so be missed by a quarter, and never comes early.
        self._interval = min(self._interval, max(seconds / 4, 0.001))
        if not self._beating:
            self._beating = True
            self._arm(now)
        self._deadlines[operation] = (self._spare + now - self._last + seconds, expire)

    def remove(self, operation: object) -> None:
        """Forget an operation. The timer is left to find nothing, which costs less than cancelling it."""
        self._deadlines.pop(operation, None)

    def _arm(self, now: float) -> None:
        self._last = now
        self._due = now + self._interval
        self.loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self.loop.time()
        passed = now - self._last
        late = now - self._due > _LATE
        self._spare += (self._due - self._last) * _BUSY_SHARE if late else passed
        self._last = now
        for operation, (deadline, expire) in list(self._deadlines.items()):
            if deadline <= self._spare:
                del self._deadlines[operation]
                more = expire()
                if more is not None:
                    self._deadlines[operation] = (self._spare + more, expire)
        if self._deadlines:
            self._arm(now)
        else:
            self._beating = False
            self._interval = _LONGEST_BEAT


def watch_of(loop: asyncio.AbstractEventLoop) -> Watch:
    """Return the watch of the loop that runs in this thread."""
    watch = _local.watch
    if watch is None or watch.loop is not loop:
        watch = _local.watch = Watch(loop)
    return watch


async def limit(awaitable: Awaitable[T], seconds: float | None) -> T:
    """Await something for so many seconds at most.

    Raises:
        TimeoutError: It took longer, in a loop that was responsive; it is cancelled.
    """
    if seconds is None:
        return await awaitable
    watch = watch_of(asyncio.get_running_loop())
    async with asyncio.timeout(None) as timeout:
        # `timeout` knows how to cancel this task once, and to tell that from a cancellation by somebody else.
        watch.add(timeout, seconds, lambda: timeout.reschedule(0.0))
        try:
            return await awaitable
        finally:
            watch.remove(timeout)


class _Local(threading.local):
    """What belongs to one thread, which runs one loop at a time."""

    watch: Watch | None = None


_local = _Local()
