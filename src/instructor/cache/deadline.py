"""Deadlines for tasks: how long an operation may take, not counting how busy its event loop is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

_LONGEST_BEAT = 0.25
"""Seconds between two looks at the operations under way, at most."""

_LATE = 0.02
"""A beat that comes this many seconds late shows that the loop is busy."""

_BUSY_SHARE = 0.1
"""How much of a late beat counts. Not nothing, so an operation ends even in a loop that is always busy."""


class Watch:
    """Counts, for the operations that tasks of one loop wait for, the time in which the loop was responsive.

    While a task computes, nothing else in its loop goes on: an answer that has arrived isn't read. A timer of asyncio
    would fire as soon as the loop is free again, before the answer is read, and take a healthy store for one that
    hangs. This clock all but stands still while its own beat is late.

    One timer serves all operations, and none is set while no operation is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._responsive = 0.0  # seconds, up to the last beat
        self._last = self._due = 0.0
        self._interval = _LONGEST_BEAT
        self._beating = False
        self._deadlines: dict[object, tuple[float, Callable[[], float | None]]] = {}

    def add(self, operation: object, seconds: float, expire: Callable[[], float | None]) -> None:
        """Call `expire` once the loop has been responsive for so many seconds, unless `remove` is called before.

        `expire` returns how many seconds more the operation has; None if it is over.
        """
        now = self.loop.time()
        # A quarter of the shortest deadline. A deadline is noticed up to a quarter late, and never early.
        self._interval = min(self._interval, max(seconds / 4, 0.001))
        if not self._beating:
            self._beating = True
            self._arm(now)
        self._deadlines[operation] = (self.now() + seconds, expire)

    def now(self) -> float:
        """How long the loop has been responsive, while an operation is under way; any thread may ask.

        What comes after a beat is due doesn't count yet. If that beat comes late, the clock goes back a little, so
        that an operation which began in between has more time, and never less.
        """
        return self._responsive + max(min(self.loop.time(), self._due) - self._last, 0.0)

    def remove(self, operation: object) -> None:
        """Forget an operation. The timer stays and finds nothing, which costs less than to cancel it."""
        self._deadlines.pop(operation, None)

    def _arm(self, now: float) -> None:
        self._last = now
        self._due = now + self._interval
        self.loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self.loop.time()
        late = now - self._due > _LATE
        self._responsive += (self._due - self._last) * _BUSY_SHARE if late else now - self._last
        self._last = now
        for operation, (deadline, expire) in list(self._deadlines.items()):
            if deadline <= self._responsive:
                del self._deadlines[operation]
                more = expire()
                if more is not None:
                    self._deadlines[operation] = (self._responsive + more, expire)
        if self._deadlines:
            self._arm(now)
        else:
            self._beating = False
            self._interval = _LONGEST_BEAT


class _Local(threading.local):
    """A thread runs one loop at a time, so it has one watch."""

    watch: Watch | None = None


_local = _Local()


def watch_of(loop: asyncio.AbstractEventLoop) -> Watch:
    """Return the watch of the loop that runs in this thread."""
    watch = _local.watch
    if watch is None or watch.loop is not loop:
        watch = _local.watch = Watch(loop)
    return watch


async def limit(awaitable: Awaitable[T], seconds: float | None) -> T:
    """Await something for so many seconds at most.

    It runs in a task of its own: code that swallows its cancellation would otherwise keep its caller for ever.

    Raises TimeoutError, and cancels it, if it took longer in a loop that was responsive.
    """
    if seconds is None:
        return await awaitable
    task, loop = asyncio.ensure_future(awaitable), asyncio.get_running_loop()
    watch, over = watch_of(loop), loop.create_future()
    watch.add(task, seconds, lambda: _settle(over))
    task.add_done_callback(lambda _: _settle(over))
    expired = False
    try:
        await over
        expired = not task.done()
    finally:
        watch.remove(task)
        if not task.done():
            await _end(task)
    if expired and (not task.done() or task.cancelled()):
        raise TimeoutError
    return task.result()


_GRACE = 0.1
"""Seconds that an operation has to clean up after its cancellation. Then nobody waits for it any longer."""

_abandoned: set[asyncio.Future[Any]] = set()
"""Cancelled operations that go on all the same. A loop holds its tasks weakly."""


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


async def _end(task: asyncio.Future[Any]) -> None:
    _abandoned.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    await asyncio.wait({task}, timeout=_GRACE)


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # nobody needs to hear that it was not read
