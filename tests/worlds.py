"""A client of either kind over scripted answers and a store of the test's own: what a test asks, and what that cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor, Mode
from instructor.cache import AutoCache, BaseCache, SealedCache
from instructor.cache.entry import decode_entry, encode_entry
from instructor.cache.tracking import Tracker
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

MESSAGES = [{"role": "user", "content": "hello"}]


class User(BaseModel):
    name: str


class Shelf(BaseCache):
    """A store of the test's own, which can be down."""

    pause = 1000.0

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.ttls: list[int | None] = []
        self.reads = 0
        self.is_down = False

    def get(self, key: str) -> str | None:
        self.reads += 1
        if self.is_down:
            raise OSError("down")
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        if self.is_down:
            raise OSError("down")
        self.data[key] = value
        self.ttls.append(ttl)


class AsyncShelf(Shelf):
    async def get(self, key: str) -> str | None:  # type: ignore[override]
        return Shelf.get(self, key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:  # type: ignore[override]
        Shelf.set(self, key, value, ttl)


def age(shelf: Shelf, seconds: float) -> None:
    """Let stored answers be older."""
    for key, text in shelf.data.items():
        entry = decode_entry(text, key)
        expires = None if entry.expires is None else entry.expires - seconds
        shelf.data[key] = encode_entry(replace(entry, created=entry.created - seconds, expires=expires))


class World:
    """A client of either kind over scripted answers."""

    def __init__(self, cache: Any, asynchronous: bool = False, **keywords: Any) -> None:
        self.reply: Callable[[], Any] = lambda: {"name": f"answer {self.asked}"}
        self.adapter = ScriptedAdapter(lambda _: self.reply(), asynchronous=asynchronous)
        kind: Any = AsyncInstructor if asynchronous else Instructor
        self.client = kind(
            self.adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache, **keywords
        )

    @property
    def asked(self) -> int:
        return len(self.adapter.requests)

    def ask(self, **keywords: Any) -> str:
        """The answer's name."""
        answer = self.client.create(User, MESSAGES, **keywords)
        return (asyncio.run(answer) if asyncio.iscoroutine(answer) else answer).name

    def stream(self) -> list[str | None]:
        stream = self.client.create_partial(User, MESSAGES)

        async def collect() -> list[Any]:
            return [user async for user in stream]

        users = asyncio.run(collect()) if self.adapter.asynchronous else list(stream)
        return [user.name for user in users]


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


def until(is_so: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 100.0
    while not is_so():
        assert time.monotonic() < deadline, "it didn't come about"
        time.sleep(0.001)


def tracker_of(store: Any) -> Tracker:
    """What keeps the memory right that stands before a Redis store."""
    inner = store.inner if isinstance(store, SealedCache) else store
    assert inner._tracker is not None, "nothing is tracked"
    tracker: Tracker = inner._tracker
    return tracker


class Process:
    """What one process has: memory, a store in Redis behind it, and a client over both."""

    def __init__(self, store: BaseCache, asynchronous: bool = False, memory: Any = None) -> None:
        self.memory = memory or AutoCache()
        self.store = store
        self.world = World([self.memory, store], asynchronous)
        self.ask = self.world.ask
        self.tracker = tracker_of(store)

    def warm(self, **keywords: Any) -> str:
        """Have an answer in memory; return it."""
        self.tracker.note()
        until(lambda: self.tracker.is_on)
        # The push that an own write brings may come after the first read, whose fill it undoes.
        until(lambda: self.ask(**keywords) and len(self.memory))
        return self.ask(**keywords)

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return self.world.asked
