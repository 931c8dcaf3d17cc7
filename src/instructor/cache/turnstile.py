"""The turnstile: how many operations of a store run at once. The others wait for their turn."""

from __future__ import annotations

import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING

from instructor.locks import reset_after_fork

if TYPE_CHECKING:
    import asyncio


class Turnstile:
    """Lets a number of threads, and the same number of tasks of each event loop, through at once.

    A store then is asked only for as much as it can do at once, so how long an operation takes says something about
    the store, and not about the number of callers.

    Example:
        >>> with Turnstile(limit=2):
        ...     "at most two threads are here"
        'at most two threads are here'
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Give back all turns: in a forked child the threads that had one do not exist."""
        # A queue of tokens: its methods are written in C, and cost a fifth of a semaphore's.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._limit):
            self._tokens.put(None)
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._by_loop = weakref.WeakKeyDictionary()

    def __enter__(self) -> None:
        self._tokens.get()

    def __exit__(self, *_: object) -> None:
        self._tokens.put(None)

    def of_loop(self, loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
        """Return the turnstile for the tasks of one loop, to be used with ``async with``."""
        found = self._by_loop.get(loop)
        if found is None:
            import asyncio

            # Without a lock: only the loop's own thread asks for it.
            found = self._by_loop[loop] = asyncio.Semaphore(self._limit)
        return found
