"""The handle of a store: what clients use in its place, so that a store that fails never breaks a call."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from instructor.cache.breaker import CircuitBreaker, next_moment
from instructor.cache.counters import attached, counters_of
from instructor.cache.flight import Flights
from instructor.cache.hits import HitLog
from instructor.cache.runner import SKIPPED, Runner
from instructor.cache.store import (
    LONGEST_TTL,
    AsyncStore,
    BaseCache,
    CacheStats,
    LocalStore,
    Text,
    check_store,
    read_stats,
)
from instructor.exceptions import CacheEntryError, CacheError, CacheNotTriedError, ConfigurationError
from instructor.locks import make_lock

if TYPE_CHECKING:
    import logging

_TEXT = (str, bytes, bytearray, memoryview)


class StoreHandle:
    """Reads and writes one store for all clients. Made by `handle_of`, one for each store.

    It runs each operation where it cannot harm the caller (`Runner`), counts (`Counters`), and leaves a store that
    fails alone for a while (`CircuitBreaker`). A failed read pauses the whole store; a failed write (a full disk, a
    read-only replica) pauses writes only. During an outage nothing is written: there is nowhere to write to, and
    answers kept for later would be lost with the process.

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
        abilities = check_store(store)
        self.store = store
        self.local: LocalStore | None = cast("LocalStore", store) if "local" in abilities else None
        self.flights: Flights[Any] = Flights()
        self._native: AsyncStore | None = cast("AsyncStore", store) if "async" in abilities else None
        self._counters = counters_of(store)
        self._runner = Runner(store, abilities, self._refuses)
        self._clock = clock
        self._lock = make_lock()
        self._reads, self._writes = CircuitBreaker(), CircuitBreaker()
        # What must work for an operation to make sense, the operation's own breaker first.
        self._needs = {"get": (self._reads,), "set": (self._writes, self._reads)}

    def paused(self) -> bool:
        """Whether the store failed lately and is to be left alone.

        When `BaseCache.pause` seconds are over, one caller gets False and is expected to read.
        """
        return self._reads.until is not None and self._blocks("get")

    def read(self, key: str) -> Text | None:
        """Read the store from a thread.

        Returns:
            What the store returned, as it came.

        Raises:
            CacheError: The store failed, or took longer than its ``timeout``.
            CacheNotTriedError: It was not asked.
            CacheEntryError: It returned neither text nor None.
        """
        began = next_moment()
        try:
            found = self._runner.run("get", began, partial(self.store.get, key))
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise self._fail("get", began, error) from error
        return self._accept(began, found)

    async def read_async(self, key: str) -> Text | None:
        """Read the store from a task, without blocking its loop. As `read` otherwise."""
        began, native = next_moment(), self._native
        in_loop: Callable[[], Awaitable[Any]] | None = partial(native.get_async, key) if native is not None else None
        try:
            found = await self._runner.run_async("get", began, partial(self.store.get, key), in_loop)
        except BaseException as error:
            if not _is_failure(error, in_task=True):
                raise
            raise self._fail("get", began, error) from error
        return self._accept(began, found)

    def write(self, key: str, text: str, ttl: float | None) -> bool:
        """Write to the store from a thread.

        Args:
            key: The key.
            text: The entry's text.
            ttl: Seconds to keep it; the store is given whole ones, rounded up, at most ten years of them.
                None to keep it.

        Returns:
            False if nothing was written because the store failed lately, or while this write waited for its turn.

        Raises:
            CacheError: As `read`.
        """
        if self._blocks("set"):
            return False
        began, seconds = next_moment(), _whole_seconds(ttl)
        try:
            result = self._runner.run("set", began, partial(self.store.set, key, text, ttl=seconds))
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise self._fail("set", began, error) from error
        return self._finish_write(began, result)

    async def write_async(self, key: str, text: str, ttl: float | None) -> bool:
        """Write to the store from a task, without blocking its loop. As `write` otherwise.

        A write that waits for a worker thread is done even if its task is cancelled: the answer is paid for.
        """
        if self._blocks("set"):
            return False
        began, seconds, native = next_moment(), _whole_seconds(ttl), self._native
        in_loop: Callable[[], Awaitable[Any]] | None = None
        if native is not None:
            in_loop = partial(native.set_async, key, text, ttl=seconds)
        try:
            operation = partial(self.store.set, key, text, ttl=seconds)
            result = await self._runner.run_async("set", began, operation, in_loop)
        except BaseException as error:
            if not _is_failure(error, in_task=True):
                raise
            raise self._fail("set", began, error) from error
        return self._finish_write(began, result)

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more path that reads this store."""
        self._counters.attach(hits)

    def detach(self, hits: HitLog) -> None:
        """Let go of the log of a path that nobody uses any more, and keep its count."""
        self._counters.detach(hits)

    def count(self, *, misses: int = 0, writes: int = 0, errors: int = 0) -> None:
        """Add to the store's counters. Hits are counted by the logs that are attached.

        Failures of the store are counted here already. Pass `errors` only for entries that could not be used.
        """
        self._counters.add(misses, writes, errors)

    def stats(self) -> CacheStats:
        """The store's counters, and its size where it knows it."""
        return read_stats(self.store)

    def _accept(self, began: int, found: Any) -> Text | None:
        name = type(self.store).__name__
        if found is SKIPPED:
            raise CacheNotTriedError(f"{name}.get was not tried: the store failed while the call waited for its turn.")
        if self._reads.until is not None:
            self._succeed("get", began)
        if found is None or isinstance(found, _TEXT):
            return cast("Text | None", found)
        raise CacheEntryError(
            f"{name}.get returned a {type(found).__name__}. It must return the str that was stored, "
            "the same as bytes, or None."
        )

    def _finish_write(self, began: int, result: Any) -> bool:
        if result is SKIPPED:
            return False
        self._succeed("set", began)
        return True

    def _fail(self, name: str, began: int, error: BaseException) -> CacheError:
        """Note a failed operation; return the error to raise."""
        if isinstance(error, CacheEntryError):
            if name == "get":
                self._succeed(name, began)  # the store is up: it answered
            return error
        failure = error if isinstance(error, CacheError) else CacheError(_describe(self.store, name, error))
        self._counters.add(errors=1)
        if isinstance(error, CacheNotTriedError):
            return failure
        with self._lock:
            first = self._needs[name][0].fail(began, self._clock() + self._pause())
        if first:
            # As text, because a log record is kept for long, and an error keeps the frames it came through.
            _log().warning("%s Calls go on without it; it is tried again in %g s.", str(failure), self._pause())
        return failure

    def _succeed(self, name: str, began: int) -> None:
        needs = self._needs[name]
        if all(breaker.until is None for breaker in needs):
            return
        with self._lock:
            over = [breaker.succeed(began) for breaker in needs]
        if any(over):
            _log().info("%s works again.", type(self.store).__name__)

    def _blocks(self, name: str) -> bool:
        needs = self._needs[name]
        if all(breaker.until is None for breaker in needs):
            return False
        with self._lock:
            now, pause = self._clock(), self._pause()
            return any(breaker.blocks(now, pause) for breaker in needs)

    def _refuses(self, name: str, began: int) -> bool:
        return any(breaker.until is not None and breaker.opened_since(began) for breaker in self._needs[name])

    def _pause(self) -> float:
        # Every trial of a store that hangs for good costs a thread, so trials become rarer as threads pile up.
        return self.store.pause * (1 + self._runner.hung // 4)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("A StoreHandle cannot be copied. Use handle_of() with the copy of its store.")


def handle_of(store: BaseCache) -> StoreHandle:
    """Return the handle of a store, making it on first use. It lives as long as the store.

    Raises:
        ConfigurationError: `store` is not a `BaseCache`, or its attributes have wrong values.
    """
    if not isinstance(store, BaseCache):  # pyright: ignore[reportUnnecessaryIsInstance] - users without a checker
        raise ConfigurationError(
            f"A cache must be an instance of a subclass of instructor.cache.BaseCache, such as AutoCache(); got {store!r}."
        )
    return attached(store, "_instructor_handle", partial(StoreHandle, store))


def _whole_seconds(ttl: float | None) -> int | None:
    return None if ttl is None else math.ceil(min(ttl, LONGEST_TTL))


def _describe(store: BaseCache, operation: str, error: BaseException) -> str:
    name = f"{type(store).__name__}.{operation}"
    if isinstance(error, TimeoutError) and not str(error):
        limit = f"{store.timeout:g} s" if store.timeout is not None else "its own limit"
        return f"{name} failed: it took longer than {limit}. Check that the store is up, or raise its timeout."
    # Client libraries like to quote the URL that they were given, password and all.
    reason = re.sub(r"://[^@/\s]*@", "://***@", str(error)).rstrip(".")
    description = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return f"{name} failed with {description}. Check the store, or pass cache=None to do without."


def _is_failure(error: BaseException, *, in_task: bool = False) -> bool:
    """Whether a store failed, rather than that this task, or the process, is being ended.

    A store that waits for a task of its own learns of that one's end as if it were ours: by `asyncio.CancelledError`.
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
