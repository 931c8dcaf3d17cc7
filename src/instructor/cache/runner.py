"""Where the operations of a store run: in the caller's thread, a worker thread, or an event loop."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from instructor.cache.store import Ability, BaseCache
from instructor.cache.turnstile import Turnstile
from instructor.locks import make_lock

if TYPE_CHECKING:
    from instructor.cache.loop_thread import LoopThread
    from instructor.cache.threads import Workers

SKIPPED: Final = object()
"""The result of an operation that never began, because the store failed while the operation waited for its turn."""

_PLAIN = (str, bytes)


class Runner:
    """Runs the operations of one store, for threads and for tasks.

    | the store                    | a thread calls it         | a task calls it                    |
    |------------------------------|---------------------------|------------------------------------|
    | ``"local"``                  | here                      | here                               |
    | ``async def``, or ``"async"``| in a loop thread          | here                               |
    | ``"bounded"``                | here, after the turnstile | in a worker thread                 |
    | ``timeout = None``           | here                      | in a worker thread                 |
    | any other                    | in a worker thread        | in a worker thread                 |

    Waiting for a turn or for a worker thread does not count as the store's time. When the turn comes, the operation
    is skipped if the store has failed in the meantime, so that a queue before a store that hangs is gone at once.

    Args:
        store: The store.
        abilities: What it can do.
        refuses: Tells whether an operation of a name, asked for at a moment, should not begin any more.
    """

    def __init__(self, store: BaseCache, abilities: frozenset[Ability], refuses: Callable[[str, int], bool]) -> None:
        self._store = store
        self._refuses = refuses
        self._local = "local" in abilities
        self._bounded = "bounded" in abilities
        methods = {"get": store.get, "set": store.set}
        self._coroutines = {name for name, method in methods.items() if inspect.iscoroutinefunction(method)}
        self._turnstile = Turnstile(store.concurrency)
        self._lock = make_lock()
        self._workers: Workers | None = None
        self._loop: LoopThread | None = None

    @property
    def hung(self) -> int:
        """How many operations were given up and have not ended; each holds a thread."""
        return self._workers.hung if self._workers is not None else 0

    def run(self, name: str, began: int, operation: Callable[[], Any]) -> Any:
        """Run an operation for a thread, which waits here.

        Args:
            name: ``"get"`` or ``"set"``.
            began: When it was asked for (`instructor.cache.breaker.next_moment`).
            operation: Calls the store's method.

        Returns:
            What the method returned, awaited if need be; or `SKIPPED`.

        Raises:
            TimeoutError: It took longer than the store's timeout.
            CacheNotTriedError: It could not be run at all.
        """
        if self._local or name in self._coroutines:
            result = operation()
        elif self._bounded:
            with self._turnstile:
                result = SKIPPED if self._refuses(name, began) else operation()
        elif self._store.timeout is None:
            result = operation()
        else:
            result = self._in_turn(name, began, operation)
        if result is None or isinstance(result, _PLAIN) or not inspect.isawaitable(result):
            return result
        self._coroutines.add(name)
        outcome = self.get_loop().run(self._await(name, began, lambda: result), self._store.timeout)
        if outcome is SKIPPED and inspect.iscoroutine(result):
            result.close()
        return outcome

    async def run_async(
        self, name: str, began: int, operation: Callable[[], Any], native: Callable[[], Awaitable[Any]] | None
    ) -> Any:
        """As `run`, for a task, without blocking its loop. `native` calls the store's asynchronous method."""
        if self._local:
            return operation()
        if native is not None or name in self._coroutines:
            return await self._await(name, began, native or operation)
        workers = self.get_workers()
        result = await workers.run_async(
            lambda: SKIPPED if self._refuses(name, began) else operation(), self._store.timeout, keep=name == "set"
        )
        if result is None or isinstance(result, _PLAIN) or not inspect.isawaitable(result):
            return result
        # A plain method that hands on another library's coroutine; from now on it is called without a worker.
        self._coroutines.add(name)
        return await self._await(name, began, lambda: result)

    def get_workers(self) -> Workers:
        """Return the store's worker threads. None is started yet."""
        if self._workers is None:
            from instructor.cache.threads import Workers

            with self._lock:
                self._workers = self._workers or Workers(self._store.concurrency)
        return self._workers

    def get_loop(self) -> LoopThread:
        """Return the store's loop for callers that are threads. It ends with this runner."""
        if self._loop is None:
            from instructor.cache.loop_thread import LoopThread

            with self._lock:
                if self._loop is None:
                    self._loop = LoopThread()
                    weakref.finalize(self, self._loop.stop).atexit = False
        return self._loop

    def _in_turn(self, name: str, began: int, operation: Callable[[], Any]) -> Any:
        return self.get_workers().run(
            lambda: SKIPPED if self._refuses(name, began) else operation(), self._store.timeout, keep=name == "set"
        )

    async def _await(self, name: str, began: int, make: Callable[[], Awaitable[Any]]) -> Any:
        """Call and await a coroutine when it is its turn in this loop."""
        import asyncio

        from instructor.cache.deadline import limit

        async with self._turnstile.of_loop(asyncio.get_running_loop()):
            if self._refuses(name, began):
                return SKIPPED
            return await limit(make(), self._store.timeout)
