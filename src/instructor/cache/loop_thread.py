"""An event loop in a thread of its own, for stores with coroutines whose callers are threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from instructor.locks import make_lock, reset_after_fork

T = TypeVar("T")


class LoopThread:
    """One event loop in a daemon thread, which starts with the first coroutine.

    A client library with a connection pool, such as redis-py, needs all its coroutines to run in the same loop.
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        reset_after_fork(self)

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Run `coroutine` in the loop and wait here.

        Args:
            coroutine: What to run. It bounds its own time.
            seconds: How long the loop itself may not answer; None for no limit.

        Raises:
            TimeoutError: Something blocks the loop: a coroutine that never awaits.
        """
        loop = self._begin()
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            while not _ends_within(future, seconds):
                _check_answers(loop, seconds)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop. Its thread closes it, and whatever still runs in it is cancelled."""
        loop, stopping = self._loop, self._stopping
        self._loop = self._stopping = None
        if loop is not None and stopping is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopping.set)

    def reset(self) -> None:
        """Begin anew: in a forked child the thread does not exist."""
        self._loop = self._stopping = None

    def _begin(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
                run = partial(asyncio.run, _serve(ready))
                threading.Thread(target=run, name="instructor-store-loop", daemon=True).start()
                self._loop, self._stopping = ready.result()
            return self._loop


def _ends_within(future: Future[Any], seconds: float | None) -> bool:
    try:
        future.exception(seconds)
    except TimeoutError:
        return future.done()
    return True


def _check_answers(loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
    """Raise `TimeoutError` if a loop has no turn for anything else."""
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    if not answered.wait(seconds):
        raise TimeoutError


async def _serve(ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stopping = asyncio.Event()
    ready.set_result((asyncio.get_running_loop(), stopping))
    await stopping.wait()
