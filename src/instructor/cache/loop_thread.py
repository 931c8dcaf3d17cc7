"""An event loop in a thread of its own, for stores with coroutines whose callers are threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

from instructor.cache.deadline import Operation, wait_in_thread
from instructor.locks import make_lock, reset_after_fork

T = TypeVar("T")


class LoopThread:
    """One event loop in a daemon thread, which starts with the first coroutine.

    A client library with a connection pool, such as redis-py, needs all its coroutines to run in the same loop.
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Begin anew: in a forked child the thread does not exist."""
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._look: Future[None] | None = None

    def run(self, coroutine: Coroutine[object, object, T], seconds: float | None = None) -> T:
        """Run `coroutine` in the loop and wait for it in this thread.

        The coroutine bounds its own time; `seconds` is how long the loop itself may not respond, None for no limit.
        TimeoutError means that something blocks the loop, such as a coroutine that never awaits.
        """
        loop = self._start()
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            while seconds is not None and not _ends_within(future, seconds):
                self._check_responds(loop, seconds)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop. Its thread closes it, and cancels what still runs in it."""
        running, self._running = self._running, None
        if running is not None and not running[0].is_closed():
            running[0].call_soon_threadsafe(running[1].set)

    def _check_responds(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Raise `TimeoutError` if the loop runs nothing else.

        One thread looks for all that wait. Of thousands that compete with the loop's thread for the interpreter, some
        would get it in time again and again while the loop's doesn't, and would take it for blocked.
        """
        with self._lock:
            look, looks = self._look or Future(), self._look is None
            self._look = look
        if not looks:
            return look.result()
        is_blocked = False
        try:
            is_blocked = not _responds(loop, seconds)
        finally:  # also if this thread is interrupted: then the others look for themselves
            self._look = None
            if is_blocked:
                look.set_exception(TimeoutError())
            else:
                look.set_result(None)
        return look.result()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._running is None:
                ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
                target = lambda: asyncio.run(_serve(ready))  # noqa: E731 - the coroutine is made in its thread
                threading.Thread(target=target, name="instructor-store-loop", daemon=True).start()
                self._running = ready.result()
            return self._running[0]


def _ends_within(future: Future[T], seconds: float) -> bool:
    try:
        future.exception(seconds)
    except TimeoutError:
        return future.done()
    return True


def _responds(loop: asyncio.AbstractEventLoop, seconds: float) -> bool:
    """Return whether the loop runs anything else. That its thread waits for the interpreter doesn't count."""
    look, over = Operation(monotonic()), threading.Lock()
    over.acquire()

    def respond() -> None:
        look.ended = True
        over.release()

    loop.call_soon_threadsafe(respond)
    try:
        wait_in_thread(look, over, seconds)
    except TimeoutError:
        return False
    return True


async def _serve(ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stopping = asyncio.Event()
    ready.set_result((asyncio.get_running_loop(), stopping))
    await stopping.wait()
