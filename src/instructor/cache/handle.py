"""The handle before a store: it bounds every operation, and leaves a store that fails alone for a while."""

from __future__ import annotations

import inspect
import math
import re
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from instructor.cache.flight import Flights
from instructor.cache.hits import HitLog
from instructor.cache.store import LONGEST_TTL, AsyncStore, BaseCache, CacheStats, LocalStore, SizedStore, check_store
from instructor.exceptions import CacheEntryError, CacheError, ConfigurationError
from instructor.locks import make_lock

if TYPE_CHECKING:
    import logging

    from instructor.cache.threads import LoopThread, Workers

_TEXT = (str, bytes)
_ATTRIBUTE = "_instructor_handle"


class CircuitBreaker:
    """Since when reads, or writes, have failed, and when to try again."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until: float | None = None

    def begin(self, until: float) -> bool:
        """Note a failure; return whether it is the first of an outage."""
        first = self.until is None
        self.until = until
        return first

    def holds(self, now: float, pause: float) -> bool:
        """Whether to leave the store alone. When the pause is over, one caller has_handlers False and makes the trial."""
        if self.until is None:
            return False
        if now < self.until:
            return True
        # Whoever was let through may be cancelled before it tries; then the next one is let through a pause later.
        self.until = now + pause
        return False


class StoreHandle:
    """What stands between the clients and one store. Made by `handle_of`, one for each store.

    Failed reads pause the whole store, failed writes (a full disk, a read-only replica) only writes.
    What the store can do is decided here, once, by what it declares.

    Args:
        store: The store.
        clock: Monotonic seconds.

    Attributes:
        store: The store.
        local: The store, if it is memory of this process; None otherwise.
        flights: The calls under way against the store.

    Raises:
        ConfigurationError: An attribute of the store has a wrong value.
    """

    def __init__(self, store: BaseCache, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        abilities = check_store(store)
        self.local: LocalStore | None = cast("LocalStore", store) if "local" in abilities else None
        self.flights: Flights[Any] = Flights()
        self._clock = clock
        self._native: AsyncStore | None = cast("AsyncStore", store) if "async" in abilities else None
        self._sized: SizedStore | None = cast("SizedStore", store) if "sized" in abilities else None
        self._bounded = not abilities.isdisjoint(("local", "bounded"))
        methods = {"get": store.get, "set": store.set}
        self._coroutines = {name for name, method in methods.items() if inspect.iscoroutinefunction(method)}
        self._lock = make_lock()
        self._reads, self._writes = CircuitBreaker(), CircuitBreaker()
        self._misses = self._stored = self._errors = 0
        self._logs: list[HitLog] = []
        self._hits_detached = 0
        self._workers: Workers | None = None
        self._loop: LoopThread | None = None

    def paused(self) -> bool:
        """Whether the store failed lately and is to be left alone.

        When `BaseCache.pause` seconds are over, one caller has_handlers False and is expected to read.
        """
        if self._reads.until is None:
            return False
        with self._lock:
            return self._reads.holds(self._clock(), self._pause())

    def read(self, key: str) -> str | bytes | None:
        """Read the store from a thread.

        Raises:
            CacheError: It failed, or took longer than its ``timeout``.
            CacheEntryError: It returned neither text nor None.
        """
        try:
            # A store that bounds itself is called right here: this is on the way of every hit on disk or in Redis.
            found: Any = self.store.get(key) if self._bounded else self._run("get", lambda: self.store.get(key))
            if found is not None and not isinstance(found, _TEXT):
                found = self._settle("get", found)
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise self._fail("get", error) from error
        return self._accept(found)

    async def read_async(self, key: str) -> str | bytes | None:
        """Read the store from a task, without blocking its loop. As `read` otherwise."""
        native = self._native
        try:
            if self.local is not None:
                found: Any = self.store.get(key)
            elif native is not None:
                found = await self._wait(native.get_async(key))
            else:
                found = await self._run_async("get", lambda: self.store.get(key))
        except BaseException as error:
            if not _is_failure(error, in_task=True):
                raise
            raise self._fail("get", error) from error
        return self._accept(found)

    def write(self, key: str, text: str, ttl: float | None) -> bool:
        """Write to the store from a thread.

        Args:
            key: The key.
            text: The entry's text.
            ttl: Seconds to keep it; the store is given whole ones, rounded up, at most ten years of them.
                None to keep it.

        Returns:
            False if nothing was written because writes failed lately.

        Raises:
            CacheError: As `read`.
        """
        if self._is_write_paused():
            return False
        seconds = _whole_seconds(ttl)
        try:
            self._run("set", lambda: self.store.set(key, text, ttl=seconds))
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise self._fail("set", error) from error
        self._succeed(self._writes, self._reads)
        return True

    async def write_async(self, key: str, text: str, ttl: float | None) -> bool:
        """Write to the store from a task, without blocking its loop. As `write` otherwise."""
        if self._is_write_paused():
            return False
        native, seconds = self._native, _whole_seconds(ttl)
        try:
            if self.local is not None:
                self.store.set(key, text, ttl=seconds)
            elif native is not None:
                await self._wait(native.set_async(key, text, ttl=seconds))
            else:
                await self._run_async("set", lambda: self.store.set(key, text, ttl=seconds))
        except BaseException as error:
            if not _is_failure(error, in_task=True):
                raise
            raise self._fail("set", error) from error
        self._succeed(self._writes, self._reads)
        return True

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more path that reads this store."""
        with self._lock:
            self._logs.append(hits)

    def detach(self, hits: HitLog) -> None:
        """Let go of the log of a path that nobody uses any more, and keep its count."""
        with self._lock:
            if hits in self._logs:
                self._logs.remove(hits)
                self._hits_detached += hits.totals()[0]

    def count(self, *, misses: int = 0, writes: int = 0, errors: int = 0) -> None:
        """Add to the store's counters. Failures of the store are counted already; entries that are none are not."""
        with self._lock:
            self._misses += misses
            self._stored += writes
            self._errors += errors

    def stats(self) -> CacheStats:
        """The store's counters, and its size where it knows it."""
        entries, size = self._measure()
        with self._lock:
            return CacheStats(
                hits=self._hits_detached + sum(log.totals()[0] for log in self._logs),
                misses=self._misses,
                writes=self._stored,
                errors=self._errors,
                entries=entries,
                bytes=size,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a store gets a handle of its own, in its own process.
        return _nothing, ()

    def _run(self, name: str, operation: Callable[[], Any]) -> Any:
        """Perform an operation for a thread: here if the store bounds itself, in a worker if it may hang."""
        limit = self.store.timeout
        if self._bounded or limit is None or name in self._coroutines:
            result = operation()
        else:
            result = self._get_workers().run(operation, limit)
        return self._settle(name, result)

    def _settle(self, name: str, result: Any) -> Any:
        """Wait in a loop of our own for what turned out to be awaitable."""
        if not inspect.isawaitable(result):
            return result
        self._coroutines.add(name)
        return self._get_loop().run(result, self.store.timeout)

    async def _run_async(self, name: str, operation: Callable[[], Any]) -> Any:
        """Perform an operation for a task: here if it is a coroutine, in a worker if it is not."""
        if name in self._coroutines:
            return await self._wait(operation())
        result = await self._get_workers().run_async(operation, self.store.timeout)
        if not inspect.isawaitable(result):
            return result
        # A plain method that hands on another library's coroutine; from now on it is called without a worker.
        self._coroutines.add(name)
        return await self._wait(result)

    async def _wait(self, awaitable: Awaitable[Any]) -> Any:
        import asyncio

        async with asyncio.timeout(self.store.timeout):
            return await awaitable

    def _accept(self, found: Any) -> str | bytes | None:
        if self._reads.until is not None:
            self._succeed(self._reads)
        if found is None or isinstance(found, _TEXT):
            return found
        raise CacheEntryError(
            f"{self._name()}.get returned a {type(found).__name__}. It must return the str that was stored, "
            "the same as bytes, or None."
        )

    def _fail(self, operation: str, error: BaseException) -> CacheError:
        """Book a failed operation; return the error to raise."""
        if isinstance(error, CacheEntryError):
            if operation == "get" and self._reads.until is not None:
                self._succeed(self._reads)  # the store is up: it told what it has
            return error
        failure = error if isinstance(error, CacheError) else CacheError(self._describe(operation, error))
        outage = self._reads if operation == "get" else self._writes
        with self._lock:
            self._errors += 1
            first = outage.begin(self._clock() + self._pause())
        if first:
            # As text, because a log record is kept for long, and an error keeps the frames it came through.
            _log().warning("%s Calls go on without it; it is tried again in %g s.", str(failure), self._pause())
        return failure

    def _succeed(self, *outages: CircuitBreaker) -> None:
        with self._lock:
            over = [outage for outage in outages if outage.until is not None]
            for outage in over:
                outage.until = None
        if over:
            _log().info("%s works again.", self._name())

    def _is_write_paused(self) -> bool:
        if self._reads.until is None and self._writes.until is None:
            return False
        with self._lock:
            now, pause = self._clock(), self._pause()
            return self._reads.holds(now, pause) or self._writes.holds(now, pause)

    def _pause(self) -> float:
        # Every trial of a store that hangs for good costs a thread, so trials become rarer as threads pile up.
        hung = self._workers.hung if self._workers is not None else 0
        return self.store.pause * (1 + hung // 4)

    def _describe(self, operation: str, error: BaseException) -> str:
        name = f"{self._name()}.{operation}"
        if isinstance(error, TimeoutError) and not str(error):
            return (
                f"{name} failed: it took longer than {self.store.timeout:g} s. Check that the store is up, "
                "or raise its timeout."
            )
        # Client libraries like to quote the URL that they were given, password and all.
        reason = re.sub(r"://[^@/\s]*@", "://***@", str(error)).rstrip(".")
        said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        return f"{name} failed with {said}. Check the store, or pass cache=None to do without."

    def _name(self) -> str:
        return type(self.store).__name__

    def _measure(self) -> tuple[int | None, int | None]:
        if self._sized is None:
            return None, None
        try:
            entries, size = self._sized.size()
        except Exception:  # noqa: BLE001 - a store that is down, or cannot count, has counters all the same
            return None, None
        return entries, size

    def _get_workers(self) -> Workers:
        if self._workers is None:
            from instructor.cache.threads import Workers

            with self._lock:
                self._workers = self._workers or Workers()
        return self._workers

    def _get_loop(self) -> LoopThread:
        if self._loop is None:
            from instructor.cache.threads import LoopThread

            with self._lock:
                if self._loop is None:
                    self._loop = LoopThread()
                    weakref.finalize(self, self._loop.stop).atexit = False
        return self._loop


def handle_of(store: BaseCache) -> StoreHandle:
    """Return the handle of a store, making it on first use. It lives as long as the store.

    Raises:
        ConfigurationError: `store` is no `BaseCache`, or says something about itself that cannot be.
    """
    if not isinstance(store, BaseCache):  # pyright: ignore[reportUnnecessaryIsInstance] - users without a checker
        raise ConfigurationError(
            f"A cache must be an instance of a subclass of instructor.cache.BaseCache, such as AutoCache(); got {store!r}."
        )
    # The instance's own dict, because a subclass may refuse attributes, compare equal to another or have no hash.
    state = cast("dict[str, Any]", object.__getattribute__(store, "__dict__"))
    handle = state.get(_ATTRIBUTE)
    if isinstance(handle, StoreHandle) and handle.store is store:
        return handle
    with _making:
        handle = state.get(_ATTRIBUTE)
        # After copy.copy(store) the handle found here is the original's.
        if not isinstance(handle, StoreHandle) or handle.store is not store:
            handle = state[_ATTRIBUTE] = StoreHandle(store)
        return handle


def _whole_seconds(ttl: float | None) -> int | None:
    return None if ttl is None else math.ceil(min(ttl, LONGEST_TTL))


def _is_failure(error: BaseException, *, in_task: bool = False) -> bool:
    """Whether a store failed, rather than that this task, or the process, is being ended.

    A store that waits for a task of its own has_handlers of that one's end as if it were ours: by `asyncio.CancelledError`.
    """
    if isinstance(error, Exception):
        return True
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task() if in_task else None
    return task is None or not task.cancelling()


def _log() -> logging.Logger:
    import logging

    return logging.getLogger("instructor.cache")


def _nothing() -> None:
    return None


_making = make_lock()
