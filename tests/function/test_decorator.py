"""instructor_cache: with any store, in threads and tasks, and when things go wrong."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import diskcache
import pytest
import redis
import redis.asyncio
from pydantic import BaseModel

from instructor.cache import AutoCache, BaseCache, DiskCache, RedisCache, instructor_cache
from instructor.cache.handle import handle_of
from instructor.exceptions import CacheError, ConfigurationError
from instructor.function.decorator import _store_of
from servers import Valkey


class User(BaseModel):
    name: str
    age: int = 3


def count_waiters(store: BaseCache) -> int:
    return sum(len(flight._waiters) for flight in handle_of(store).flights._flights.values())


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_bare_it_keeps_results_in_a_store_of_its_own(calls: list[Any]) -> None:
    @instructor_cache
    def extract(text: str) -> User:
        """Extract a user."""
        calls.append(text)
        return User(name=text)

    first, second = extract("a"), extract("a")
    assert first == second
    assert first is not second
    assert calls == ["a"]
    assert isinstance(extract.cache, AutoCache)
    assert (extract.cache.stats().hits, extract.cache.stats().misses) == (1, 1)
    assert (extract.__name__, extract.__doc__) == ("extract", "Extract a user.")
    assert list(inspect.signature(extract).parameters) == ["text"]


def test_changing_a_result_changes_no_later_one() -> None:
    @instructor_cache
    def extract(text: str) -> User:
        return User(name=text)

    for _ in range(3):
        user = extract("a")
        assert user.name == "a"
        user.name = "changed"


def test_async_functions_stay_async(calls: list[Any], disk: DiskCache) -> None:
    @instructor_cache(cache=disk)
    async def extract(text: str) -> User | None:
        calls.append(text)
        await asyncio.sleep(0)
        return None

    assert inspect.iscoroutinefunction(extract)
    assert [asyncio.run(extract("a")), asyncio.run(extract("a"))] == [None, None]
    assert calls == ["a"]


class AsyncDict(BaseCache):
    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


@pytest.fixture(params=["AutoCache", "DiskCache", "AsyncDict", "diskcache", "redis", "redis.asyncio", "RedisCache"])
def any_cache(request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey) -> Iterator[Any]:
    make = {
        "AutoCache": AutoCache,
        "DiskCache": lambda: DiskCache(tmp_path),
        "AsyncDict": AsyncDict,
        "diskcache": lambda: diskcache.Cache(str(tmp_path)),
        "redis": lambda: redis.Redis(port=valkey.port),
        "redis.asyncio": lambda: redis.asyncio.Redis(port=valkey.port),
        "RedisCache": lambda: RedisCache(port=valkey.port),
    }
    cache = make[request.param]()
    yield cache
    if hasattr(cache, "close") and request.param != "redis.asyncio":
        cache.close()


def test_every_kind_of_cache_serves_a_plain_function(any_cache: Any, calls: list[Any]) -> None:
    @instructor_cache(cache=any_cache)
    def extract(text: str) -> User:
        calls.append(text)
        return User(name=text)

    assert [extract("a"), extract("a")] == [User(name="a")] * 2
    assert calls == ["a"]
    assert extract.cache.stats().errors == 0
    if isinstance(any_cache, redis.asyncio.Redis):
        handle_of(extract.cache)._runner.get_loop().run(any_cache.aclose(), 5)


async def test_every_kind_of_cache_serves_an_async_function(any_cache: Any, calls: list[Any]) -> None:
    @instructor_cache(cache=any_cache)
    async def extract(text: str) -> User:
        calls.append(text)
        return User(name=text)

    assert [await extract("a"), await extract("a")] == [User(name="a")] * 2
    assert calls == ["a"]
    assert extract.cache.stats().errors == 0
    if isinstance(any_cache, redis.asyncio.Redis):
        await any_cache.aclose()
    elif isinstance(any_cache, RedisCache):
        await any_cache.close_async()
    elif isinstance(any_cache, diskcache.Cache):
        handle_of(extract.cache)._runner.get_workers().run(any_cache.close, 5)  # its connections belong to threads


@pytest.mark.parametrize("cache", [{}, "redis://localhost", 5, AutoCache])
def test_what_is_no_cache_is_refused(cache: Any) -> None:
    with pytest.raises(ConfigurationError, match="BaseCache"):
        _store_of(cache)


def test_a_result_is_made_anew_when_its_ttl_is_over(
    disk: DiskCache, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)

    @instructor_cache(cache=disk, ttl=timedelta(seconds=10))
    def extract() -> int:
        calls.append(1)
        return len(calls)

    @instructor_cache(ttl=10)
    def in_memory() -> int:
        return extract()

    assert [extract(), extract(), in_memory()] == [1, 1, 1]
    clock.now += 9.5
    assert [extract(), in_memory()] == [1, 1]
    clock.now += 0.5
    assert [extract(), in_memory()] == [2, 2]


def test_a_ttl_of_zero_stores_nothing(disk: DiskCache, calls: list[Any]) -> None:
    @instructor_cache(cache=disk, ttl=0)
    def extract() -> int:
        calls.append(1)
        return 1

    in_memory = instructor_cache(ttl=0)(extract.__wrapped__)
    assert [extract(), extract(), in_memory(), in_memory()] == [1, 1, 1, 1]
    assert (len(calls), len(disk), len(in_memory.cache)) == (4, 0, 0)


def test_a_ttl_that_the_store_ignores_warns() -> None:
    with pytest.warns(UserWarning, match="AutoCache ignores ttl"):

        @instructor_cache(cache=AutoCache(), ttl=10)
        def extract() -> int:
            return 1


@pytest.mark.parametrize("ttl", [-1, True, "10", float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_wrong_ttl_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        instructor_cache(ttl=ttl)


def test_threads_that_ask_the_same_share_one_run(calls: list[Any]) -> None:
    inside, release = threading.Event(), threading.Event()

    @instructor_cache
    def extract(text: str) -> list[str]:
        calls.append(text)
        inside.set()
        release.wait(30)
        return [text]

    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(extract("a"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert inside.wait(30)
    release.set()
    for thread in threads:
        thread.join()
    assert calls == ["a"]
    assert results == [["a"]] * 10
    assert len(set(map(id, results))) == 10


async def test_tasks_that_ask_the_same_share_one_run(calls: list[Any], disk: DiskCache) -> None:
    @instructor_cache(cache=disk)
    async def extract(text: str) -> list[str]:
        calls.append(text)
        await asyncio.sleep(0.01)
        return [text]

    results = await asyncio.gather(*(extract("a") for _ in range(100)))
    assert calls == ["a"]
    assert results == [["a"]] * 100
    assert len(set(map(id, results))) == 100


async def test_those_who_wait_get_the_error_and_nothing_is_stored(calls: list[Any], disk: DiskCache) -> None:
    @instructor_cache(cache=disk)
    async def extract(text: str) -> str:
        calls.append(text)
        if len(calls) == 1:
            while count_waiters(extract.cache) < 4:
                await asyncio.sleep(0)
            raise LookupError(text)
        return text

    results = await asyncio.gather(*(extract("a") for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 5
    assert len(disk) == 0
    assert await extract("a") == "a"
    assert len(calls) == 2


class Service:
    """Holds a connection that no key shows."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.go = asyncio.Event()

    def __cache_key__(self) -> str:
        return "service"


@pytest.mark.parametrize("deep", [False, True], ids=["itself", "in a list"])
async def test_an_error_holds_for_those_with_the_same_object_only(calls: list[Any], deep: bool) -> None:
    go = asyncio.Event()

    @instructor_cache
    async def extract(services: Any) -> str:
        service = services[0] if deep else services
        calls.append(service)
        await go.wait()
        if not service.works:
            raise ConnectionError
        return "text"

    broken, fine = Service(works=False), Service(works=True)
    tasks = [asyncio.create_task(extract([one] if deep else one)) for one in (broken, broken, fine)]
    while count_waiters(extract.cache) < 2:
        await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, ConnectionError, str]
    assert calls == [broken, fine]


async def test_an_error_holds_for_callers_of_one_function_only(disk: DiskCache) -> None:
    def make(service: Service) -> Any:
        @instructor_cache(cache=disk)
        async def extract() -> str:
            await service.go.wait()
            if not service.works:
                raise ConnectionError
            return "text"

        return extract

    broken, fine = Service(works=False), Service(works=True)
    leader = asyncio.create_task(make(broken)())
    while not handle_of(disk).flights._flights:
        await asyncio.sleep(0)
    tasks = [leader, asyncio.create_task(make(fine)())]
    while not count_waiters(disk):
        await asyncio.sleep(0)
    broken.go.set()
    fine.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, str]


async def test_when_the_one_that_runs_is_cancelled_another_takes_over(calls: list[Any]) -> None:
    inside = asyncio.Event()

    @instructor_cache
    async def extract(text: str) -> str:
        calls.append(text)
        inside.set()
        await asyncio.sleep(1000 if len(calls) == 1 else 0)
        return text

    tasks = [asyncio.create_task(extract("a")) for _ in range(5)]
    await inside.wait()
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, str, str, str, str]
    assert len(calls) == 2


def test_a_function_may_call_itself() -> None:
    @instructor_cache
    def factorial(number: int) -> int:
        return 1 if number == 0 else number * factorial(number - 1)

    assert factorial(20) == 2432902008176640000
    assert factorial(20) == 2432902008176640000


class Broken(BaseCache):
    def get(self, key: str) -> Any:
        raise OSError("down")

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        raise OSError("down")


def test_a_broken_store_costs_one_warning_and_no_result(calls: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    @instructor_cache(cache=Broken())
    def extract(text: str) -> str:
        calls.append(text)
        return text

    assert [extract("a"), extract("a")] == ["a", "a"]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_broken_store_raises_for_those_who_ask_for_it() -> None:
    store = Broken()
    store.on_error = "raise"

    @instructor_cache(cache=store)
    def extract(text: str) -> str:
        return text

    with pytest.raises(CacheError, match="down"):
        extract("a")


@pytest.mark.parametrize("damage", ["", "garbage", "00000000 {}\n"])
def test_a_damaged_entry_is_a_miss_and_is_replaced(disk: DiskCache, calls: list[Any], damage: str) -> None:
    @instructor_cache(cache=disk)
    def extract(text: str) -> str:
        calls.append(text)
        return text

    extract("a")
    [(key,)] = disk._run(lambda connection: connection.execute("SELECT key FROM entry").fetchall())
    disk.set(key.decode(), damage)
    assert [extract("a"), extract("a")] == ["a", "a"]
    assert len(calls) == 2
    assert disk.stats().errors == 1


async def test_functions_that_wait_for_several_others_do_not_wait_in_a_circle() -> None:
    nested: ContextVar[bool] = ContextVar("nested", default=False)
    go = asyncio.Event()

    @instructor_cache
    async def slow() -> int:
        await go.wait()
        return 1

    @instructor_cache
    async def one() -> int:
        if nested.get():
            return 1
        nested.set(True)
        return sum(await asyncio.gather(other(), slow()))

    @instructor_cache
    async def other() -> int:
        if nested.get():
            return 1
        nested.set(True)
        return sum(await asyncio.gather(one(), slow()))

    tasks = asyncio.gather(slow(), one(), other())
    for _ in range(10):
        await asyncio.sleep(0)
    go.set()
    first, *rest = await asyncio.wait_for(tasks, 10)
    assert first == 1
    assert all(rest)


async def test_a_waiter_gets_a_result_that_cannot_be_written_as_the_function_returned_it() -> None:
    go = asyncio.Event()

    @instructor_cache
    async def slow() -> dict[str, Any]:
        await go.wait()
        return {"score": math.nan, "items": [1, 2]}

    async def change() -> None:
        (await slow())["items"].append(3)

    leader = asyncio.create_task(change())
    await asyncio.sleep(0)
    waiter = asyncio.create_task(slow())
    await asyncio.sleep(0)
    go.set()
    assert (await asyncio.wait_for(waiter, 10))["items"] == [1, 2]
    await leader


async def test_an_argument_changed_while_the_function_runs_spoils_the_result_for_others() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    waiting = iter(gates)

    @instructor_cache
    async def total(items: list[int]) -> int:
        await next(waiting).wait()
        return sum(items)

    items = [1, 2]
    leader = asyncio.create_task(total(items))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(total([1, 2]))
    await asyncio.sleep(0)
    items.append(100)
    for gate in gates:
        gate.set()
    assert await asyncio.wait_for(leader, 10) == 103, "the caller gets what its function returned"
    assert await asyncio.wait_for(waiter, 10) == 3
    assert await total([1, 2]) == 3, "the waiter's own result is kept"


def test_a_function_that_changes_its_own_argument_is_not_cached(
    calls: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @instructor_cache
    def drain(items: list[int]) -> int:
        calls.append(list(items))
        return items.pop()

    assert [drain([1, 2]), drain([1, 2])] == [2, 2]
    assert calls == [[1, 2], [1, 2]]
    (record,) = caplog.records
    assert "drain is not cached: an argument was changed while the function ran" in record.getMessage()
