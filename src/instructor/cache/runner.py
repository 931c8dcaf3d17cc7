"""Where the operations of a store run: in the caller's thread, a worker thread, or an event loop."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from instructor.cache.store import Ability, BaseCache
from instructor.cache.turnstile import Turnstile
from instructor.interpreter_queue import waiting
from instructor.locks import make_lock

if TYPE_CHECKING:
    from asyncio import Task

    from instructor.cache.loop_thread import LoopThread
    from instructor.cache.threads import Workers

SKIPPED: Final = object()
"""The result of an operation that never began, because the store failed while the operation waited for its turn."""

_PLAIN: tuple[type[object], ...] = (str, bytes, bool, tuple)
"""What a store returns most often, of which it is known at once that nobody has to await it."""


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
    is skipped if the store has failed since the operation was asked for, so a queue before a store that hangs is gone
    after one timeout.

    `refuses` is called with an operation's name and the moment at which it was asked for (`breaker.next_moment`); it
    returns whether the operation should no longer begin.

    Attributes:
        is_near: Whether a thread reads the store by itself and at once, as memory or a file: no server, as far as is known.
    """

    def __init__(self, store: BaseCache, abilities: frozenset[Ability], refuses: Callable[[str, int], bool]) -> None:
        self._store = store
        self._refuses = refuses
        self._local = "local" in abilities
        self._bounded = "bounded" in abilities
        self.is_near = (self._local or self._bounded) and "async" not in abilities
        methods = {"get": store.get, "set": store.set}
        self._coroutines = {name for name, method in methods.items() if inspect.iscoroutinefunction(method)}
        self._turnstile = Turnstile(store.concurrency)
        self._lock = make_lock()
        self._workers: Workers | None = None
        self._loop: LoopThread | None = None
        self._writes: set[Task[object]] = set()

    @property
    def hung(self) -> int:
        """How many operations were abandoned and have not ended; each holds a thread."""
        return self._workers.hung if self._workers is not None else 0

    def run(self, name: str, began: int, operation: Callable[[], object]) -> object:
        """Run an operation for a thread, which waits here; return what it returned, awaited if need be, or `SKIPPED`.

        `name` is ``"get"`` or ``"set"``, `began` the moment at which it was asked for. Raises TimeoutError if it took longer
        than the store's timeout, CacheNotTriedError if it couldn't be run at all.
        """
        if self.is_near:
            return self._run(name, began, operation)
        with waiting:
            return self._run(name, began, operation)

    def _run(self, name: str, began: int, operation: Callable[[], object]) -> object:
        if name in self._coroutines:
            return self._run_in_loop(name, began, cast("Callable[[], Awaitable[object]]", operation))
        if self._local:
            result = operation()
        elif self._bounded:
            with self._turnstile:
                result = SKIPPED if self._refuses(name, began) else operation()
        elif self._store.timeout is None:
            result = operation()
        else:
            attempt = partial(self._attempt, name, began, operation)
            result = self.get_workers().run(attempt, self._store.timeout, keep=name == "set")
        if result is None or isinstance(result, _PLAIN) or not inspect.isawaitable(result):
            return result
        self._coroutines.add(name)
        outcome = self._run_in_loop(name, began, lambda: result)
        if outcome is SKIPPED and inspect.iscoroutine(result):
            result.close()
        return outcome

    async def run_async(
        self,
        name: str,
        began: int,
        operation: Callable[[], object],
        native: Callable[[], Awaitable[object]] | None = None,
    ) -> object:
        """Run an operation for a task, without blocking its loop. As `run` otherwise.

        `native` calls the store's asynchronous method, if it has one.
        """
        if self._local:
            return operation()
        if native is None and name in self._coroutines:
            native = cast("Callable[[], Awaitable[object]]", operation)
        if native is not None:
            awaited = self._await(name, began, native)
            return await (self.keep(awaited) if name == "set" else awaited)
        attempt = partial(self._attempt, name, began, operation)
        result = await self.get_workers().run_async(attempt, self._store.timeout, keep=name == "set")
        if result is None or isinstance(result, _PLAIN) or not inspect.isawaitable(result):
            return result
        # Perhaps a plain method that returns another library's coroutine. Next time it is called without a worker.
        self._coroutines.add(name)
        awaited = self._await(name, began, lambda: result)
        return await (self.keep(awaited) if name == "set" else awaited)

    def get_workers(self) -> Workers:
        """Return the store's worker threads. The first operation starts the first of them."""
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

    async def keep(self, write: Coroutine[object, object, object]) -> object:
        """Await a write that goes on if this task is cancelled."""
        import asyncio

        task = asyncio.ensure_future(write)
        self._writes.add(task)  # a loop holds its tasks weakly
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: Task[object]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for the write has it; nobody else needs to hear that it was not read

    def _run_in_loop(self, name: str, began: int, make: Callable[[], Awaitable[object]]) -> object:
        return self.get_loop().run(self._await(name, began, make), self._store.timeout)

    def _attempt(self, name: str, began: int, operation: Callable[[], object]) -> object:
        return SKIPPED if self._refuses(name, began) else operation()

    async def _await(self, name: str, began: int, make: Callable[[], Awaitable[object]]) -> object:
        """Call and await a coroutine when it is its turn in this loop."""
        import asyncio

        from instructor.cache.deadline import limit

        async with self._turnstile.of_loop(asyncio.get_running_loop()):
            if self._refuses(name, began):
                return SKIPPED
            made: object = make()
            # A store may have some answers at hand, and fetch the others.
            return await limit(made, self._store.timeout) if inspect.isawaitable(made) else made
