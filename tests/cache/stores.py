"""Stores that do as they are told, and how a thread and a task use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from instructor.cache import BaseCache, DiskCache
from instructor.cache.handle import StoreHandle
from instructor.cache.sqlite_file import Connection


class Plain(BaseCache):
    """Does what `act` does, in plain methods."""

    pause = 1000.0  # so that no test is slow enough for a trial

    def __init__(self, act: Callable[[], Any] = lambda: "text") -> None:
        self.act = act
        self.calls: list[Any] = []
        self.threads: list[str] = []

    def get(self, key: str) -> Any:
        self.calls.append(key)
        self.threads.append(threading.current_thread().name)
        return self.act()

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.calls.append((key, value, ttl))
        self.act()


class Coroutine(Plain):
    """The same in asynchronous methods."""

    async def get(self, key: str) -> Any:
        result = Plain.get(self, key)
        return await result if asyncio.iscoroutine(result) else result

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        Plain.set(self, key, value, ttl)


class Handing(Plain):
    """Plain methods that hand on a coroutine of another library."""

    def get(self, key: str) -> Any:
        super().get(key)
        return asyncio.sleep(0, "text")

    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        super().set(key, value, ttl)
        return asyncio.sleep(0)


class Native(Plain):
    """Plain methods, and native asynchronous ones beside them."""

    abilities = frozenset({"async"})

    async def get_async(self, key: str) -> str:
        self.calls.append("get_async")
        return "text"

    async def set_async(self, key: str, value: str, ttl: int | None = None) -> None:
        self.calls.append(("set_async", ttl))


class Bounded(Plain):
    abilities = frozenset({"bounded"})


class Unlimited(Plain):
    timeout = None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def broken() -> Any:
    raise OSError("no route to host")


def read(handle: StoreHandle, *, in_task: bool) -> Any:
    return asyncio.run(handle.read_async("key")) if in_task else handle.read("key")


def write(handle: StoreHandle, ttl: float | None = None, *, in_task: bool) -> Any:
    return asyncio.run(handle.write_async("key", "text", ttl)) if in_task else handle.write("key", "text", ttl)


in_both_worlds = pytest.mark.parametrize("in_task", [False, True], ids=["thread", "task"])


def connection_of(store: DiskCache) -> Connection:
    """The connection that a store uses next, to the file that has its path now."""
    connection = store._connect()
    store._idle.append(connection)
    return connection
