"""The two drivers perform the same effects, land every flight, and survive cancellation at each effect."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from pydantic import BaseModel, create_model, field_validator

from instructor.cache.handle import handle_of
from instructor.cache.memory import AutoCache
from instructor.cache.store import BaseCache
from instructor.client import AsyncInstructor, Instructor
from instructor.engine.effects import Send, Show, Sleep
from instructor.exceptions import ConfigurationError, InstructorRetryException
from instructor.hooks import HookName
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO, KEY, User

JASON = {"name": "Jason", "age": 25}


class DictCache(BaseCache):
    """A user's plain store, called in the caller's thread."""

    timeout = None

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


class SlowCache(BaseCache):
    """A user's asynchronous store that waits where a test says so."""

    def __init__(self, wait_at: str) -> None:
        self.data: dict[str, Any] = {}
        self.wait_at = wait_at
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def get(self, key: str) -> Any:
        await self._wait("get")
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await self._wait("set")
        self.data[key] = value

    async def _wait(self, at: str) -> None:
        if at == self.wait_at:
            self.reached.set()
            await self.go.wait()


def count_waiters(store: BaseCache) -> int:
    return sum(len(flight._waiters) for flight in handle_of(store).flights._flights.values())


def make(replies: Any, cache: Any = None, **options: Any) -> tuple[Instructor, ScriptedAdapter]:
    port = ScriptedAdapter(replies)
    client = Instructor(port, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache, **options)
    return client, port


def make_async(replies: Any, cache: Any = None, **options: Any) -> tuple[AsyncInstructor, ScriptedAdapter]:
    port = ScriptedAdapter(replies, asynchronous=True)
    client = AsyncInstructor(port, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache, **options)
    return client, port


REPLIES = [{"age": 1}, JASON]


def test_both_clients_tell_the_same_story() -> None:
    def listen(client: Any) -> list[Any]:
        told: list[Any] = []
        for name in HookName:
            client.on(name, lambda *_, name=name, **__: told.append(name))
        return told

    client, port = make(REPLIES, DictCache())
    story = listen(client)
    values = [client.create(User, HELLO), client.create(User, HELLO)]

    async def main() -> tuple[list[Any], list[Any], int]:
        other, other_port = make_async(REPLIES, DictCache())
        other_story = listen(other)
        other_values = [await other.create(User, HELLO), await other.create(User, HELLO)]
        return other_story, other_values, len(other_port.requests)

    assert asyncio.run(main()) == (story, values, len(port.requests))
    assert story.count(HookName.CACHE_HIT) == story.count(HookName.CACHE_WRITE) == 1
    assert len(port.requests) == 2


async def test_the_asynchronous_client_awaits_coroutine_handlers() -> None:
    client, _ = make_async([JASON], DictCache())
    told = []

    async def handler(event: Any) -> None:
        await asyncio.sleep(0)
        told.append(event.name)

    client.on("cache:miss", handler)
    client.on("cache:write", handler)
    await client.create(User, HELLO)
    assert told == [HookName.CACHE_MISS, HookName.CACHE_WRITE]


def test_threads_that_ask_the_same_at_once_make_one_request() -> None:
    waiting = threading.Barrier(9, timeout=10)
    release = threading.Event()

    def reply(_: Any) -> Any:
        release.wait(10)
        return JASON

    client, port = make(reply, DictCache())
    values: list[Any] = []

    def ask() -> None:
        waiting.wait()
        values.append(client.create(User, HELLO))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    waiting.wait()
    release.set()
    for thread in threads:
        thread.join(10)
    assert values == [User(**JASON)] * 8
    assert len({id(value) for value in values}) == 8
    assert len(port.requests) == 1


async def test_tasks_that_ask_the_same_at_once_make_one_request() -> None:
    client, port = make_async(lambda _: JASON, DictCache())
    values = await asyncio.gather(*(client.create(User, HELLO) for _ in range(1000)))
    assert values == [User(**JASON)] * 1000
    assert len(port.requests) == 1
    stats = client.cache_stats()
    assert stats.coalesced + stats.hits == 999


async def test_threads_and_tasks_share_one_flight() -> None:
    cache = DictCache()
    release = asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        return JASON

    leader, port = make_async(reply, cache)
    follower, other_port = make([], cache)
    task = asyncio.create_task(leader.create(User, HELLO))
    while not port.requests:
        await asyncio.sleep(0)
    thread = asyncio.create_task(asyncio.to_thread(follower.create, User, HELLO))
    await asyncio.sleep(0)
    release.set()
    assert await task == await thread == User(**JASON)
    assert not other_port.requests


async def test_a_failed_leaders_error_reaches_all_and_nothing_is_stored() -> None:
    cache = AutoCache()
    client, port = make_async(lambda _: ConnectionError("dropped"), cache)
    results = await asyncio.gather(*(client.create(User, HELLO) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, InstructorRetryException) for result in results)
    assert len(port.requests) == 1
    assert len(cache) == 0


async def test_a_cancelled_leader_hands_over() -> None:
    release = asyncio.Event()

    async def reply(_: Any) -> Any:
        if len(port.requests) == 1:
            await asyncio.Event().wait()
        await release.wait()
        return JASON

    client, port = make_async(reply, DictCache())
    leader = asyncio.create_task(client.create(User, HELLO))
    while not port.requests:
        await asyncio.sleep(0)
    followers = [asyncio.create_task(client.create(User, HELLO)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    release.set()
    assert await asyncio.gather(*followers) == [User(**JASON)] * 3
    assert leader.cancelled()
    assert len(port.requests) == 2


@pytest.mark.parametrize("at", ["get", "set"])
async def test_a_call_cancelled_in_the_store_disturbs_nobody(at: str) -> None:
    cache = SlowCache(at)
    client, port = make_async(lambda _: JASON, cache)
    first = asyncio.create_task(client.create(User, HELLO))
    await cache.reached.wait()
    second = asyncio.create_task(client.create(User, HELLO))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    cache.go.set()
    assert await second == User(**JASON)
    assert len(port.requests) == 1, "an answer that was paid for is not asked for again"
    assert not client.cache_stats().errors
    assert not cache.data or KEY not in cache.data


async def test_a_call_cancelled_in_a_hook_or_at_rest_leaves_no_flight_behind() -> None:
    import tenacity

    policy = tenacity.AsyncRetrying(wait=tenacity.wait_fixed(3600))
    client, port = make_async([ConnectionError("dropped"), JASON], DictCache())
    resting = asyncio.create_task(client.create(User, HELLO, max_retries=policy))
    while not port.requests:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resting
    reached = asyncio.Event()

    async def hang(_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    client.on("cache:miss", hang)
    hooked = asyncio.create_task(client.create(User, HELLO))
    await reached.wait()
    hooked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hooked
    client.clear()
    assert await client.create(User, HELLO) == User(**JASON)


async def test_both_drivers_rest_and_go_on() -> None:
    import tenacity

    for kind in (tenacity.Retrying, tenacity.AsyncRetrying):
        policy = kind(wait=tenacity.wait_fixed(0.001), stop=tenacity.stop_after_attempt(2))
        client, port = make([ConnectionError("dropped"), JASON])
        assert client.create(User, HELLO, max_retries=policy) == User(**JASON)
        other, other_port = make_async([ConnectionError("dropped"), JASON])
        assert await other.create(User, HELLO, max_retries=policy) == User(**JASON)
        assert len(port.requests) == len(other_port.requests) == 2


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_when_the_leaders_thread_ends_its_waiters_ask_at_once_and_in_parallel(end: type[BaseException]) -> None:
    leads, release, store = threading.Event(), threading.Event(), AutoCache()
    together = threading.Barrier(5, timeout=10)  # passes only if all waiters ask at the same time

    def reply(_: Any) -> Any:
        if not leads.is_set():
            leads.set()
            release.wait(10)
        else:
            together.wait()
        raise end

    client, port = make(reply, store)
    ends: list[type[BaseException]] = []

    def ask() -> None:
        try:
            client.create(User, HELLO)
        except BaseException as error:  # noqa: BLE001 - what ends a thread is what is tested
            ends.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    threads[0].start()
    assert leads.wait(10)
    for thread in threads[1:]:
        thread.start()
    while count_waiters(store) < 5:
        time.sleep(0.001)
    release.set()
    for thread in threads:
        thread.join(10)
    assert ends == [end] * 6
    assert len(port.requests) == 6


async def test_a_cancellation_from_inside_a_leader_is_a_failure_and_reaches_nobody_else() -> None:
    release, store, together = asyncio.Event(), AutoCache(), asyncio.Barrier(5)

    async def reply(_: Any) -> Any:
        if len(port.requests) == 1:
            await release.wait()
            lost = asyncio.ensure_future(asyncio.sleep(1000))
            lost.cancel()
            await lost
        await together.wait()
        return JASON

    client, port = make_async(reply, store)
    calls = [asyncio.create_task(client.create(User, HELLO)) for _ in range(6)]
    while count_waiters(store) < 5:
        await asyncio.sleep(0)
    release.set()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [User(**JASON)] * 5


async def test_a_leader_whose_coroutine_is_closed_hands_over() -> None:
    release, store = asyncio.Event(), AutoCache()

    async def reply(_: Any) -> Any:
        await release.wait()
        return JASON

    client, port = make_async(reply, store)
    leader = client.create(User, HELLO)
    copy_context().run(leader.send, None)  # as in a task of its own
    waiters = [asyncio.create_task(client.create(User, HELLO)) for _ in range(3)]
    while count_waiters(store) < 3:
        await asyncio.sleep(0)
    leader.close()
    release.set()
    assert await asyncio.gather(*waiters) == [User(**JASON)] * 3
    assert len(port.requests) == 1, "the leader had not asked yet, and the waiters ask once between them"


async def test_callers_who_share_an_error_get_lists_of_their_own() -> None:
    client, port = make_async(lambda _: ConnectionError("dropped"), AutoCache())
    errors = await asyncio.gather(*(client.create(User, HELLO) for _ in range(3)), return_exceptions=True)
    assert len(port.requests) == 1
    lists = [error.failed_attempts for error in errors if isinstance(error, InstructorRetryException)]
    lists[0].clear()
    assert [len(attempts) for attempts in lists] == [0, 1, 1]


def make_twin() -> type[BaseModel]:
    """A model with the name and the schema of `User`, and so with its keys."""
    return create_model("User", name=(str, ...), age=(int, 0))


class Service:
    """Holds a connection that no key shows."""

    def __cache_key__(self) -> str:
        return "service"


@pytest.mark.parametrize("other", ["client", "retries", "timeout", "credentials", "model", "object"])
async def test_a_leaders_error_does_not_reach_who_might_succeed(other: str) -> None:
    cache, release = AutoCache(), asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        return {"age": 1} if len(port.requests) == 1 else JASON

    leader, port = make_async(reply, cache)
    follower = make_async([JASON], cache)[0] if other == "client" else leader
    credentials = {"extra_headers": {"Authorization": "Bearer another"}}
    keywords: dict[str, dict[str, Any]] = {
        "retries": {"max_retries": 5},
        "timeout": {"timeout": 9.0},
        "credentials": credentials,
        "object": {"context": {"service": Service()}},
    }
    own = {"context": {"service": Service()}} if other == "object" else {}
    model: Any = make_twin() if other == "model" else User
    first = asyncio.create_task(leader.create(User, HELLO, max_retries=0, **own))
    while not port.requests:
        await asyncio.sleep(0)
    second = asyncio.create_task(follower.create(model, HELLO, **{"max_retries": 0, **keywords.get(other, {})}))
    await asyncio.sleep(0)
    assert len(port.requests) == 1, "it waits"
    release.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], InstructorRetryException)
    assert results[1].name == "Jason"


def test_a_second_loop_in_the_leaders_thread_does_not_wait_for_the_first() -> None:
    hold = []

    async def reply(_: Any) -> Any:
        if not hold:
            hold.append(True)
            await asyncio.sleep(3600)
        return JASON

    client, port = make_async(reply, AutoCache())
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    task = one.create_task(client.create(User, HELLO))
    while not hold:
        one.run_until_complete(asyncio.sleep(0))
    assert other.run_until_complete(asyncio.wait_for(client.create(User, HELLO), 10)) == User(**JASON)
    task.cancel()
    one.run_until_complete(asyncio.gather(task, return_exceptions=True))
    one.close()
    other.close()
    assert len(port.requests) == 2


def test_calls_that_wait_for_each_other_do_not_wait_for_ever() -> None:
    both = threading.Barrier(2, timeout=10)
    asked = threading.local()

    def make_model(name: str, other: str) -> type[BaseModel]:
        class Nested(BaseModel):
            name: str

            @field_validator("name")
            @classmethod
            def ask_the_other(cls, value: str) -> str:
                if not getattr(asked, "nested", False):
                    asked.nested = True
                    both.wait()
                    client.create(models[other], [{"role": "user", "content": other}])
                return value

        Nested.__name__ = name
        return Nested

    models: dict[str, type[BaseModel]] = {}
    models |= {"A": make_model("A", "B"), "B": make_model("B", "A")}
    client, _ = make(lambda _: {"name": "x"}, AutoCache())
    done = []
    threads = [
        threading.Thread(
            target=lambda key=key: done.append(client.create(models[key], [{"role": "user", "content": key}])),
            daemon=True,
        )
        for key in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(done) == 2


async def test_waiters_that_fill_the_leaders_executor_make_way() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    cache = AutoCache()

    async def reply(_: Any) -> Any:
        while waiting < 2:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(lambda: None)  # as a look-up of a host's name does
        return JASON

    waiting = 0
    leader, port = make_async(reply, cache)
    follower, _ = make(lambda _: JASON, cache)

    def follow() -> User:
        nonlocal waiting
        waiting += 1
        return follower.create(User, HELLO)

    task = asyncio.create_task(leader.create(User, HELLO))
    while not port.requests:
        await asyncio.sleep(0)
    threads = [asyncio.create_task(asyncio.to_thread(follow)) for _ in range(2)]
    assert await asyncio.wait_for(asyncio.gather(task, *threads), 20) == [User(**JASON)] * 3


def test_a_call_that_repeats_itself_from_a_hook_goes_on_alone() -> None:
    client, port = make(lambda _: JASON, DictCache())
    inner = []

    def again(_: Any) -> None:
        client.clear("cache:miss")
        inner.append(client.create(User, HELLO))

    client.on("cache:miss", again)
    assert client.create(User, HELLO) == inner[0] == User(**JASON)
    assert len(port.requests) == 2


async def test_a_synchronous_call_inside_the_loop_does_not_wait_for_a_task_of_that_loop() -> None:
    cache = DictCache()
    release = asyncio.Event()

    async def reply(_: Any) -> Any:
        await release.wait()
        return JASON

    leader, port = make_async(reply, cache)
    task = asyncio.create_task(leader.create(User, HELLO))
    while not port.requests:
        await asyncio.sleep(0)
    blocking, other_port = make([JASON], cache)
    assert blocking.create(User, HELLO) == User(**JASON)
    assert len(other_port.requests) == 1
    release.set()
    await task


def test_interrupting_the_leader_hands_over() -> None:
    client, port = make([KeyboardInterrupt(), JASON], DictCache())
    with pytest.raises(KeyboardInterrupt):
        client.create(User, HELLO)
    values: list[Any] = []
    other = threading.Thread(target=lambda: values.append(client.create(User, HELLO)), daemon=True)
    other.start()
    other.join(10)
    assert values == [User(**JASON)], "another thread does not wait for a leader that is gone"
    assert len(port.requests) == 2


def test_an_asynchronous_client_without_asyncio_says_what_to_use() -> None:
    """Trio steps a coroutine itself, with no event loop of asyncio running."""
    for store in (None, AutoCache(), DictCache()):
        port = ScriptedAdapter(lambda _: JASON, asynchronous=True)
        client = AsyncInstructor(port, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store)
        with pytest.raises(ConfigurationError, match=r"asyncio only.*trio\.to_thread\.run_sync"):
            client.create(User, HELLO).send(None)
        assert not port.requests


def test_effects_are_told_apart_by_kind_and_members() -> None:
    assert {Sleep(1.0), Sleep(1.0)} == {Sleep(1.0)}
    assert Sleep(1.0) != Sleep(2.0)
    assert Sleep(1.0) != Show(1.0)
    assert repr(Send("call", {"a": 1})) == "Send('call', {'a': 1}, None, False)"
