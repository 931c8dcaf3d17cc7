"""What waiters make of an answer that isn't for them, with real clients: they ask once more, together, and store it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from instructor import AsyncInstructor, AutoCache, BaseCache, Budget, DiskCache, Instructor, Mode
from instructor.cache.handle import handle_of
from instructor.exceptions import BudgetExceeded, InstructorRetryException
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


@pytest.mark.parametrize("name", ["AutoCache", "DiskCache"])
async def test_waiters_whose_leader_has_no_money_left_make_one_request_between_them(name: str, tmp_path: Path) -> None:
    """Groups of rows on an engine have a budget each, and one is used up before another."""
    store, release = STORES[name](tmp_path), asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        while len(adapter.requests) == 2 and count_waiters(store) < WAITERS - 1:
            await asyncio.sleep(0)
        return {"name": 1 if len(adapter.requests) == 1 else "x"}

    client, adapter = make(reply, store)
    leader = asyncio.create_task(client.create(Picky, HELLO, budget=Budget(tokens=1)))
    while not adapter.requests:
        await asyncio.sleep(0)
    waiters = [asyncio.create_task(client.create(Picky, HELLO)) for _ in range(WAITERS)]
    while count_waiters(store) < WAITERS:
        await asyncio.sleep(0)
    release.set()
    async with asyncio.timeout(60):
        with pytest.raises(BudgetExceeded):
            await leader
        assert await asyncio.gather(*waiters) == [Picky(name="x")] * WAITERS
    assert len(adapter.requests) == 2
    if isinstance(store, DiskCache):
        store.close()


class Limits:
    """A timeout as HTTP libraries write it."""

    connect = 60.0
    read = 0.01


@pytest.mark.parametrize("timeout", [0.01, Limits()], ids=["seconds", "an HTTP library's object"])
def test_a_calls_own_timeout_ends_its_wait_and_it_goes_on_alone(timeout: Any) -> None:
    asked, release = threading.Event(), threading.Event()

    def reply(_: Any) -> Any:
        if len(adapter.requests) == 1:
            asked.set()
            assert release.wait(60)
            return {"name": "leader"}
        return {"name": "waiter"}

    adapter, answers = ScriptedAdapter(reply), []
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    leader = threading.Thread(target=lambda: answers.append(client.create(Picky, HELLO)))
    leader.start()
    assert asked.wait(60)
    assert client.create(Picky, HELLO, timeout=timeout) == Picky(name="waiter")
    assert not answers, "the leader is still asking"
    release.set()
    leader.join(60)
    assert answers == [Picky(name="leader")]
    assert len(adapter.requests) == 2


def test_a_validator_that_asks_the_same_in_a_foreign_thread_waits_for_its_timeout_only() -> None:
    """Nothing shows that the thread works for the leader. Without a cache it would ask, so here it does in the end."""
    inner: list[Any] = []

    class Asking(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def ask_again(cls, name: str) -> str:
            if not inner:
                inner.append(None)
                inner.append(pool.submit(lambda: client.create(Asking, HELLO, timeout=0.01)).result(20))
            return name

    adapter = ScriptedAdapter(lambda _: {"name": "x"})
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    with ThreadPoolExecutor(1) as pool:
        assert client.create(Asking, HELLO) == inner[1] == Asking(name="x")
    assert len(adapter.requests) == 2


def test_a_thread_that_waits_for_a_task_goes_on_when_the_tasks_loop_ends() -> None:
    """An event loop in a background thread usually ends in this way: stopped, with its tasks pending."""
    asked, loop, store = threading.Event(), asyncio.new_event_loop(), AutoCache()

    async def never(_: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    leader, _ = make(never, store)
    background = threading.Thread(target=loop.run_forever)
    background.start()
    task = asyncio.run_coroutine_threadsafe(leader.create(Picky, HELLO), loop)
    assert asked.wait(60)
    adapter, answers = ScriptedAdapter([{"name": "x"}]), []
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store)
    waiter = threading.Thread(target=lambda: answers.append(client.create(Picky, HELLO)))
    waiter.start()
    while not count_waiters(store):
        time.sleep(0.001)
    loop.call_soon_threadsafe(loop.stop)
    background.join(60)
    waiter.join(60)
    assert answers == [Picky(name="x")]
    assert asyncio.run(make([], store)[0].create(Picky, HELLO)) == Picky(name="x")
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
