"""Deadlines: how long an operation may take, not counting how busy the event loop or the interpreter is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

_LONGEST_BEAT = 0.25
"""Seconds between two looks at the operations under way, at most."""

_LATE = 0.02
"""A beat that comes this many seconds late shows that the loop is busy."""

_BUSY_SHARE = 0.1
"""How much of a late beat counts. Not nothing, so an operation ends even in a loop that is always busy."""


class Operation:
    """Something whose time is limited.

    Attributes:
        began: When it began, by the clock of its watch; None while it waits to begin. Any thread may set it.
        ended: Whether it is over, which whoever waits for it may hear later.
    """

    __slots__ = ("began", "ended")

    def __init__(self, began: float | None = None) -> None:
        self.began = began
        self.ended = False


class Watch:
    """Counts, for the operations that tasks of one loop wait for, the time in which the loop was responsive.

    While a task computes, nothing else in its loop goes on: an answer that has arrived isn't read. A timer of asyncio
    would fire as soon as the loop is free again, before the answer is read, and take a healthy store for one that
    hangs. This watch counts hardly any of the time while its own beat is late.

    One timer serves all operations, and none is set while no operation is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self.loop = loop
        self._clock = clock  # of `Operation.began`; the loop's own may be another
        self._last = self._due = self._looked = 0.0  # the last beat and the next by the loop's clock; the last by ours
        self._interval = _LONGEST_BEAT
        self._beating = False
        self._under_way: dict[Operation, tuple[float, Callable[[], object]]] = {}

    def add(self, operation: Operation, seconds: float, expire: Callable[[], object]) -> None:
        """Call `expire` once an operation has taken so many seconds of a responsive loop, unless it is removed before."""
        # A quarter of the shortest deadline. A deadline is noticed up to a quarter late, and never early.
        if seconds < 4 * self._interval:
            self._interval = max(seconds / 4, 0.001)
        if not self._beating:
            self._beating = True
            self._arm(self.loop.time())
        self._under_way[operation] = (seconds, expire)

    def remove(self, operation: Operation) -> None:
        """Forget an operation. The timer stays and finds nothing, which costs less than to cancel it."""
        self._under_way.pop(operation, None)

    def _arm(self, now: float) -> None:
        self._last, self._looked = now, self._clock()
        self._due = now + self._interval
        self.loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now, looked = self.loop.time(), self._clock()
        late = now - self._due > _LATE
        counted = (self._due - self._last) * _BUSY_SHARE if late else now - self._last
        passed = max(looked - self._looked, 1e-9)
        for operation, (left, expire) in list(self._under_way.items()):
            if operation.began is None:
                continue
            # One that began since the last beat has taken its share of the time since then.
            left -= counted * min(max(looked - operation.began, 0.0) / passed, 1.0)  # noqa: PLW2901
            if left > 0:
                self._under_way[operation] = (left, expire)
            else:
                del self._under_way[operation]
                expire()
        if self._under_way:
            self._arm(now)
        else:
            self._beating = False
            self._interval = _LONGEST_BEAT


_LONGEST_LOOK = 1.0
"""Seconds between two looks of a waiting thread at its operation, at most."""


def wait_in_thread(operation: Operation, over: threading.Lock, seconds: float) -> None:
    """Wait in a thread until `over` is released, or the operation has run for so many seconds of a responsive process.

    Among a thousand busy threads, a worker that has its result may wait for the interpreter for longer than its store
    may take. The caller then wakes late from its own waiting, by about as much, and such time counts for less.

    Raises TimeoutError if it took longer.
    """
    left, beat = seconds, min(seconds / 4, _LONGEST_LOOK)
    while left > 0:
        due = monotonic() + beat
        # An operation may have ended while this thread was late to look.
        if over.acquire(timeout=beat) or operation.ended:
            return
        now = monotonic()
        if operation.began is not None:
            ran, late = min(beat, now - operation.began), max(now - due, 0.0)
            left -= ran * beat / (beat + late)
    raise TimeoutError


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
    watch, over, operation = watch_of(loop), loop.create_future(), Operation(monotonic())
    watch.add(operation, seconds, lambda: _settle(over))
    task.add_done_callback(lambda _: _settle(over))
    expired = False
    try:
        await over
        expired = not task.done()
    finally:
        watch.remove(operation)
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
