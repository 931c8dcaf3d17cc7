"""Whose cancellation it is: a task of the store's own that ends is the store's failure, ours ends the call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from cache.stores import Coroutine, Plain, in_both_worlds, read, write
from instructor.cache.handle import StoreHandle
from instructor.exceptions import CacheError


def test_a_cancelled_read_is_no_failure_and_harms_nothing() -> None:
    release, entered = threading.Event(), threading.Event()

    def act() -> str:
        entered.set()
        release.wait()
        return "text"

    async def cancel_one(handle: StoreHandle) -> None:
        task = asyncio.create_task(handle.read_async("key"))
        await asyncio.to_thread(entered.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert not handle.paused()
        assert await handle.read_async("key") == "text"

    handle = StoreHandle(Plain(act))
    asyncio.run(cancel_one(handle))
    assert handle.stats().errors == 0


class Cancelled(Plain):
    """Waits for a task of its own that somebody has cancelled."""

    async def get(self, key: str) -> Any:
        inner = asyncio.ensure_future(asyncio.sleep(1000))
        inner.cancel()
        return await inner

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self.get(key)


class CancelledInThread(Plain):
    """A plain store that ran a loop of its own, which was ended."""

    def get(self, key: str) -> Any:
        raise asyncio.CancelledError

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        raise asyncio.CancelledError


class CancelledHere(CancelledInThread):
    abilities = frozenset({"bounded"})


class Group(Plain):
    """A store with tasks of its own, all of which were cancelled."""

    async def get(self, key: str) -> Any:
        raise BaseExceptionGroup("tasks", [asyncio.CancelledError(), ValueError()])

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self.get(key)


@in_both_worlds
def test_a_group_of_cancellations_of_the_stores_own_is_a_failure(in_task: bool) -> None:
    handle = StoreHandle(Group())
    with pytest.raises(CacheError, match=r"\.set failed with BaseExceptionGroup"):
        write(handle, in_task=in_task)
    with pytest.raises(CacheError, match=r"\.get failed with BaseExceptionGroup"):
        read(handle, in_task=in_task)


class Ended(Plain):
    def get(self, key: str) -> Any:
        raise BaseExceptionGroup("tasks", [asyncio.CancelledError(), KeyboardInterrupt()])


@in_both_worlds
def test_a_group_that_ends_the_process_ends_it(in_task: bool) -> None:
    with pytest.raises(BaseExceptionGroup):
        read(StoreHandle(Ended()), in_task=in_task)


@in_both_worlds
@pytest.mark.parametrize("kind", [Cancelled, CancelledInThread, CancelledHere])
def test_a_store_whose_own_task_is_cancelled_has_failed_like_any_other(kind: type[Plain], in_task: bool) -> None:
    handle = StoreHandle(kind())
    with pytest.raises(CacheError, match=r"\.set failed with CancelledError\. Check"):
        write(handle, in_task=in_task)
    with pytest.raises(CacheError, match=r"\.get failed with CancelledError\. Check"):
        read(handle, in_task=in_task)
    assert handle.stats().errors == 2


@pytest.mark.parametrize("kind", [Coroutine, Plain])
async def test_a_callers_own_timeout_ends_a_read_and_is_no_failure_of_the_store(kind: type[Plain]) -> None:
    release = threading.Event()
    handle = StoreHandle(kind(release.wait if kind is Plain else lambda: asyncio.sleep(1000)))
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await handle.read_async("key")
    finally:
        release.set()
    assert not handle.paused()
    assert handle.stats().errors == 0


@pytest.mark.parametrize("hands_on", [False, True], ids=["coroutine", "plain method that hands one on"])
async def test_a_write_goes_on_though_its_caller_is_cancelled(hands_on: bool) -> None:
    entered, release, written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(Coroutine):
        async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
            entered.set()
            await release.wait()
            written.set()

    class Handed(Plain):
        def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
            return Slow().set(key, value, ttl)

    handle = StoreHandle(Handed() if hands_on else Slow(lambda: None))
    task = asyncio.create_task(handle.write_async("key", "text", None))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    async with asyncio.timeout(10):
        await written.wait()


class Stubborn(Plain):
    """Goes on though it is cancelled, as long as it may."""

    timeout = 0.02

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()

    async def get(self, key: str) -> Any:
        while not self.may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        raise OSError("too late for anybody to hear")

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self.get(key)


@pytest.mark.parametrize("name", ["get", "set"])
async def test_a_task_does_not_wait_for_a_store_that_swallows_its_cancellation(name: str) -> None:
    store = Stubborn()
    handle = StoreHandle(store)
    try:
        with pytest.raises(CacheError, match="it took longer than"):
            async with asyncio.timeout(10):
                await (handle.read_async("key") if name == "get" else handle.write_async("key", "text", None))
    finally:
        store.may_end.set()


@pytest.mark.parametrize("name", ["get", "set"])
def test_nor_does_a_thread(name: str) -> None:
    store = Stubborn()
    handle = StoreHandle(store)
    rescue = threading.Timer(10, store.may_end.set)
    rescue.start()
    try:
        with pytest.raises(CacheError, match="it took longer than"):
            handle.read("key") if name == "get" else handle.write("key", "text", None)
        assert not store.may_end.is_set()
    finally:
        rescue.cancel()
        store.may_end.set()
