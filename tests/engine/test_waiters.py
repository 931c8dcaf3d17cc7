"""What waiters make of an answer that isn't for them, with real clients: they ask once more, together, and store it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from instructor import AsyncInstructor, AutoCache, BaseCache, DiskCache, Mode
from instructor.cache.handle import handle_of
from instructor.exceptions import InstructorRetryException
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO

WAITERS = 20
refuses: ContextVar[bool] = ContextVar("refuses", default=False)


class Picky(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def check(cls, name: str) -> str:
        if refuses.get():
            raise ValueError("not for me")
        return name


class SlowStore(BaseCache):
    """Stores an answer only when a test says so."""

    timeout = None

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.go = asyncio.Event()

    async def get(self, key: str) -> Any:
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        await self.go.wait()
        self.data[key] = value


STORES: dict[str, Callable[[Path], BaseCache]] = {
    "AutoCache": lambda folder: AutoCache(),
    "DiskCache": DiskCache,
    "SlowStore": lambda folder: SlowStore(),
}


def make(reply: Any, store: BaseCache) -> tuple[AsyncInstructor, ScriptedAdapter]:
    adapter = ScriptedAdapter(reply, asynchronous=True)
    wires = {Mode.TOOLS: OPENAI_CHAT}
    return AsyncInstructor(adapter, wires=wires, mode=Mode.TOOLS, model="m", cache=store), adapter


def count_waiters(store: BaseCache) -> int:
    return sum(len(flight._waiters) for flight in handle_of(store).flights._flights.values())


@pytest.mark.parametrize("name", STORES)
async def test_waiters_that_refuse_an_answer_make_one_more_request_between_them(name: str, tmp_path: Path) -> None:
    store, release = STORES[name](tmp_path), asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        # By now those who share the second request have all joined it.
        while len(adapter.requests) == 2 and count_waiters(store) < WAITERS - 1:
            await asyncio.sleep(0)
        return {"name": "x"}

    async def refuse() -> Any:
        refuses.set(True)
        return await client.create(Picky, HELLO, max_retries=0)

    client, adapter = make(reply, store)
    leader = asyncio.create_task(client.create(Picky, HELLO))
    while not adapter.requests:
        await asyncio.sleep(0)
    waiters = [asyncio.create_task(refuse()) for _ in range(WAITERS)]
    while count_waiters(store) < WAITERS:
        await asyncio.sleep(0)
    release.set()
    async with asyncio.timeout(60):
        errors = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(error) for error in errors] == [InstructorRetryException] * WAITERS
        assert len(adapter.requests) == 2
        if isinstance(store, SlowStore):
            assert not leader.done(), "it is still storing its answer"
            store.go.set()
        assert await leader == Picky(name="x")
        assert await client.create(Picky, HELLO) == Picky(name="x")
    assert len(adapter.requests) == 2
    assert not handle_of(store).flights._flights
    if isinstance(store, DiskCache):
        store.close()


@pytest.mark.parametrize("name", ["AutoCache", "DiskCache"])
async def test_waiters_that_may_store_an_answer_do_so_where_their_leader_may_not(name: str, tmp_path: Path) -> None:
    store, release = STORES[name](tmp_path), asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        return {"name": "x"}

    client, adapter = make(reply, store)
    leader = asyncio.create_task(client.create(Picky, HELLO, cache_ttl=0))
    while not adapter.requests:
        await asyncio.sleep(0)
    waiter = asyncio.create_task(client.create(Picky, HELLO))
    while not count_waiters(store):
        await asyncio.sleep(0)
    release.set()
    assert await leader == await waiter == await client.create(Picky, HELLO) == Picky(name="x")
    assert len(adapter.requests) == 1
    assert client.cache_stats().hits == 1
    if isinstance(store, DiskCache):
        store.close()
