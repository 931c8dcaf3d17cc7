"""Tags: what was invalidated is never served again, whoever asked for it, in whatever process, by whatever clock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from instructor import AsyncInstructor, AutoCache, BaseCache, DiskCache, Instructor, Mode
from instructor.cache import RedisCache, TieredCache, instructor_cache
from instructor.cache.handle import handle_of
from instructor.exceptions import ArgumentError
from instructor.testing import ScriptedAdapter
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.wire import find_answering_model
from servers import Valkey
from steps import HELLO, User

MAKERS: dict[str, Callable[[Path, Valkey], BaseCache]] = {
    "AutoCache": lambda folder, valkey: AutoCache(),
    "DiskCache": lambda folder, valkey: DiskCache(folder),
    "RedisCache": lambda folder, valkey: RedisCache(port=valkey.port, timeout=30.0),
}


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey) -> Iterator[BaseCache]:
    made = MAKERS[request.param](tmp_path, valkey)
    yield made
    if not isinstance(made, AutoCache):
        made.close()  # type: ignore[attr-defined]


def make(reply: Any, store: BaseCache | list[BaseCache], **settings: Any) -> tuple[Instructor, list[str | None]]:
    """A client whose provider answers with `reply`, and the reasons of its misses and bypasses."""
    adapter, reasons = ScriptedAdapter(reply if callable(reply) else [reply] * 20), []
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store, **settings)
    client.on("cache:miss", lambda event: reasons.append(event.reason))
    client.on("cache:bypass", lambda event: reasons.append(event.reason))
    return client, reasons


JASON = {"name": "Jason", "age": 25}


@pytest.mark.parametrize(
    "tags", [["name:Jason", "doc:1"], lambda user: [f"name:{user.name}"]], ids=["list", "function"]
)
def test_what_was_invalidated_is_asked_for_again(store: BaseCache, tags: Any) -> None:
    client, reasons = make(JASON, store)

    def ask() -> None:
        client.create(User, HELLO, cache_tags=tags)
        client.create_with_completion(User, HELLO, cache_tags=tags)
        list(client.create_partial(User, HELLO, cache_tags=tags))

    ask()
    assert store.invalidate(tag="name:Ann") == 0
    ask()
    assert reasons == ["cold"]
    assert store.invalidate(tag="name:Jason") == 1
    ask()
    assert reasons[1:] in (["invalidated"], ["cold"])
    assert client.cache_stats().writes == 2
    assert client.cache_stats().errors == 0


def test_a_stream_and_a_pair_have_the_tags_of_their_value(store: BaseCache) -> None:
    client, reasons = make(JASON, store, cache_tags=lambda user: [f"name:{user.name}"])
    list(client.create_partial(User, HELLO))
    assert store.invalidate(tag="name:Jason") == 1
    client.create_with_completion(User, HELLO)
    assert store.invalidate(tag="name:Jason") == 1
    assert len(reasons) == 2


async def test_the_asynchronous_client_does_the_same(store: BaseCache) -> None:
    adapter = ScriptedAdapter([JASON] * 3, asynchronous=True)
    client = AsyncInstructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store)
    for _ in range(3):
        await client.create(User, HELLO, cache_tags=["a"])
    assert len(adapter.requests) == 1
    assert await store.invalidate_async(tag="a") == 1
    await client.create(User, HELLO, cache_tags=["a"])
    assert len(adapter.requests) == 2
    assert await store.invalidate_async(tag="a", erase=True) == 1
    assert await store.clear_async() == 0
    if isinstance(store, RedisCache):
        await store.close_async()


@pytest.mark.parametrize("tags", [["a"], lambda user: ["a"]], ids=["list", "function"])
def test_an_invalidation_while_a_call_is_under_way_makes_its_answer_stale(store: BaseCache, tags: Any) -> None:
    """The generation is read before the question is asked: the answer may be from before what the caller changed."""
    invalidated: list[int] = []

    def reply(_: Any) -> Any:
        if not invalidated:
            invalidated.append(store.invalidate(tag="a"))
        return JASON

    client, reasons = make(reply, store)
    client.create(User, HELLO, cache_tags=tags)
    client.create(User, HELLO, cache_tags=tags)
    client.create(User, HELLO, cache_tags=tags)
    assert len(reasons) == 2


def test_a_waiter_is_not_served_an_answer_that_was_invalidated_before_it_came() -> None:
    store, asked, go = AutoCache(), threading.Event(), threading.Event()
    answers = iter([{"name": "old"}, {"name": "new"}])

    def reply(_: Any) -> Any:
        answer = next(answers)
        if answer["name"] == "old":
            asked.set()
            assert go.wait(10)
        return answer

    client, _ = make(reply, store, cache_tags=["a"])
    found: list[Any] = []
    leader = threading.Thread(target=lambda: found.append(client.create(User, HELLO)))
    leader.start()
    assert asked.wait(10)
    store.invalidate(tag="a")
    waiter = threading.Thread(target=lambda: found.append(client.create(User, HELLO)))
    waiter.start()
    while not any(flight._waiters for flight in handle_of(store).flights._flights.values()):
        time.sleep(0.001)
    go.set()
    leader.join()
    waiter.join()
    assert sorted(user.name for user in found) == ["new", "old"]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (lambda user: [user.nothing], "AttributeError"),
        (lambda user: {}[user.name], "KeyError"),
        (lambda user: "doc", "a str"),
        (lambda user: ["a\nb"], "one line"),
    ],
)
def test_an_answer_whose_tags_cannot_be_made_is_returned_and_not_stored(
    tags: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    client, reasons = make(JASON, AutoCache())
    for _ in range(2):
        assert client.create(User, HELLO, cache_tags=tags) == User(**JASON)
    assert reason in str(reasons[-1])
    assert client.cache_stats().writes == 0
    [logged] = caplog.messages
    assert reason in logged
    assert "Jason" not in logged


def test_a_function_whose_tags_cannot_be_made_says_so(caplog: pytest.LogCaptureFixture) -> None:
    @instructor_cache(cache=AutoCache(), tags=lambda result: result)
    def count(text: str) -> int:
        return len(text)

    assert [count("ab"), count("ab")] == [2, 2]
    assert ["makes their tags fails" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("tags", ["doc:1", 5, [""], ["a\nb"], ["x" * 257], [5], [f"{n}" for n in range(65)]])
def test_tags_of_a_wrong_kind_are_refused(tags: Any) -> None:
    with pytest.raises(ArgumentError, match="cache_tags"):
        make(JASON, AutoCache())[0].create(User, HELLO, cache_tags=tags)
    with pytest.raises(ArgumentError, match="cache_tags"):
        make(JASON, AutoCache(), cache_tags=tags)
    with pytest.raises(ArgumentError, match="tags"):
        instructor_cache(tags=tags)


def test_tags_are_not_part_of_the_key_and_belong_to_the_answer() -> None:
    store = AutoCache()
    client, reasons = make(JASON, store, cache_tags=["a"])
    client.create(User, HELLO)
    client.create(User, HELLO, cache_tags=["b"])
    client.create(User, HELLO, cache_tags=[])
    assert len(reasons) == 1
    assert (store.invalidate(tag="b"), store.invalidate(tag="a")) == (0, 1)
    client.create(User, HELLO, cache_tags=[])
    assert store.invalidate(tag="a") == 0, "a call may leave the client's tags out"


class DictCache(BaseCache):
    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


def test_a_store_that_cannot_number_invalidations_is_passed_by_with_an_event_and_one_warning() -> None:
    store = DictCache()
    client, reasons = make(JASON, store)
    client.create(User, HELLO)
    with pytest.warns(UserWarning, match="DictCache can't invalidate tags") as warned:
        for _ in range(3):
            client.create(User, HELLO, cache_tags=["a"])
    assert len(warned) == 1
    assert client.cache_stats().bypasses == 3
    assert "cache_tags" in str(reasons[-1])
    own, _ = make(JASON, store, cache_tags=["a"])
    with pytest.warns(UserWarning, match="DictCache"):
        own.create(User, HELLO)
    assert (own.cache_stats().bypasses, own.cache_stats().hits) == (1, 0)


def test_a_function_whose_store_cannot_number_invalidations_is_not_cached(caplog: pytest.LogCaptureFixture) -> None:
    @instructor_cache(cache=DictCache(), tags=["a"])
    def double(number: int) -> int:
        return 2 * number

    assert (double(2), double(2)) == (4, 4)
    assert len(caplog.records) == 1
    assert "can't invalidate tags" in caplog.text
    assert double.cache.data == {}  # type: ignore[attr-defined]


def test_a_store_that_loses_its_numbers_serves_nothing_that_was_tagged_under_them(valkey: Valkey) -> None:
    """As when the server evicts them, or a replica without them takes over."""
    with RedisCache(port=valkey.port) as store:
        client, reasons = make(JASON, store, cache_tags=["a"])
        client.create(User, HELLO)
        valkey.command("DEL", "instructor:{tags}")
        client.create(User, HELLO)
        assert reasons == ["cold", "invalidated"]


def test_where_the_numbers_cannot_be_read_nothing_with_tags_is_served_or_stored(tmp_path: Path) -> None:
    store = DiskCache(tmp_path)
    client, reasons = make(JASON, store, cache_tags=["a"])
    client.create(User, HELLO)
    with mock.patch.object(DiskCache, "generations", side_effect=OSError("lost")):
        assert client.create(User, HELLO) == User(**JASON)
    assert client.cache_stats().hits == 0
    assert client.cache_stats().writes == 1
    assert reasons[1] == "unavailable"
    store.close()


@pytest.mark.parametrize("tags", [None, ["a"]], ids=["client", "call"])
def test_memory_before_a_shared_store_asks_the_shared_one_about_tags(tmp_path: Path, tags: Any) -> None:
    """So another process, which can't reach this memory, invalidates what is in it."""
    memory, shared = AutoCache(), DiskCache(tmp_path)
    client, reasons = make(JASON, [memory, shared], cache_tags=["a"])
    for _ in range(3):
        client.create(User, HELLO, cache_tags=tags)
    assert (len(memory), memory.stats().hits, shared.stats().hits) == (1, 2, 0)
    with DiskCache(tmp_path) as other:
        other.invalidate(tag="a")
    client.create(User, HELLO, cache_tags=tags)
    assert reasons == ["cold", "invalidated"]
    assert client.cache is not None
    assert client.cache.invalidate(tag="a") == 1
    client.create(User, HELLO, cache_tags=tags)
    assert reasons[2:] == ["invalidated"]
    assert client.cache.invalidate(tag="a", erase=True) == 1
    assert (len(memory), len(shared)) == (0, 0)
    shared.close()


async def test_what_tiers_hold_is_removed_from_all_of_them(tmp_path: Path) -> None:
    slow, tiers = DiskCache(tmp_path), TieredCache(AutoCache(), DiskCache(tmp_path))
    client, _ = make(JASON, tiers)
    for remove in (tiers.clear, partial(tiers.invalidate, model="m"), partial(tiers.invalidate, older_than=0)):
        client.create(User, HELLO)
        assert [len(store) for store in tiers.tiers] == [1, 1]  # type: ignore[arg-type]
        assert remove() == 1
        assert [len(store) for store in tiers.tiers] == [0, 0]  # type: ignore[arg-type]
    for remove_async in (tiers.clear_async, partial(tiers.invalidate_async, namespace="")):
        client.create(User, HELLO)
        assert await remove_async() == 1
        assert [len(store) for store in tiers.tiers] == [0, 0]  # type: ignore[arg-type]
    client.create(User, HELLO)
    (listed,) = [each for batch in tiers.list_entries() for each in batch]
    assert await tiers.delete_async(listed.key)
    assert not tiers.delete(listed.key)
    slow.close()
    tiers.tiers[1].close()  # type: ignore[attr-defined]


def test_a_disk_before_a_shared_store_keeps_answers_with_the_shared_ones_numbers(tmp_path: Path) -> None:
    near, shared = DiskCache(tmp_path / "near"), DiskCache(tmp_path / "shared")
    client, reasons = make(JASON, [near, shared], cache_tags=["a"])
    for _ in range(2):
        client.create(User, HELLO)
    assert (len(near), near.stats().hits) == (1, 1)
    shared.invalidate(tag="a")
    client.create(User, HELLO)
    assert reasons == ["cold", "invalidated"]
    near.close()
    shared.close()


def test_an_entry_says_where_its_answer_comes_from(store: BaseCache) -> None:
    client, _ = make(JASON, store, cache_namespace="tenant")
    store.set("other", "another program's text, of which nothing is known")
    for unknown in ({"namespace": ""}, {"older_than": 0}):
        assert store.invalidate(**unknown) == 0  # type: ignore[arg-type]
    assert store.delete("other")
    client.create(User, HELLO)
    (listed,) = [each for batch in store.list_entries() for each in batch]  # type: ignore[attr-defined]
    assert listed.origin[1:] == ("m", "m", "tenant", "User")
    assert listed.created > 0
    for wrong in ({"namespace": "other"}, {"model": "x"}, {"response_model": "Us"}, {"older_than": 60}):
        assert store.invalidate(**wrong) == 0  # type: ignore[arg-type]
    assert store.invalidate(namespace="tenant", model="m", response_model=User, older_than=0) == 1
    client.create(User, HELLO)
    assert asyncio.run(store.invalidate_async(response_model="User")) == 1
    with pytest.raises(ArgumentError, match="was not asked for anything"):
        store.invalidate()
    with pytest.raises(ArgumentError, match="has no argument tags="):
        store.invalidate(tags=["a"])  # type: ignore[call-arg]


def test_a_store_that_remembers_too_many_tags_begins_anew(store: BaseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was tagged before is served then, so the tags that were forgotten do no harm."""
    for module in ("memory", "redis_steps"):
        monkeypatch.setattr(f"instructor.cache.{module}.MOST_NUMBERED", 4)
    if isinstance(store, DiskCache):
        monkeypatch.setattr(store, "_shares", store._shares._replace(tags=4))
    client, reasons = make(JASON, store, cache_tags=["a"])
    client.create(User, HELLO)
    first = handle_of(store).generations(()).first
    for number in range(8):
        store.invalidate(tag=f"b{number}")
    assert handle_of(store).generations(()).first != first
    client.create(User, HELLO)
    client.create(User, HELLO)
    assert reasons == ["cold", "invalidated"]
    assert store.invalidate(tag="a") >= 1


@pytest.mark.parametrize(
    ("wire", "completion", "model"),
    [
        (OPENAI_CHAT, {"model": "gpt-6-2026"}, "gpt-6-2026"),
        (GENAI, {"model_version": "gemini-4"}, "gemini-4"),
        (ANTHROPIC_MESSAGES, {"model": "claude-7"}, "claude-7"),
        (OPENAI_CHAT, {}, ""),
    ],
)
def test_the_model_that_answered_is_found_in_the_completion(wire: Any, completion: Any, model: str) -> None:
    assert find_answering_model(wire, completion) == model


class World:
    """Three processes that share a store, each with a clock of its own, and what their function reads."""

    def __init__(self, stores: list[BaseCache], skews: tuple[float, ...]) -> None:
        self.stores, self.skews, self.now = stores, skews, 1_700_000_000.0
        self.truth = {"a": 0, "b": 0}
        self.valid_from = {"a": 0, "b": 0}
        self.process = 0
        self.meanwhile: list[Any] = []
        sources: Any = {"a": ["doc:a"], "b": lambda found: ["doc:b", f"version:{found}"]}
        self.read = [
            {name: instructor_cache(cache=store, tags=tags)(self.make(name)) for name, tags in sources.items()}
            for store in stores
        ]

    def make(self, name: str) -> Any:
        def read(document: str) -> int:
            found = self.truth[document]
            if self.meanwhile:
                self.perform(self.meanwhile.pop())
            return found

        read.__qualname__ = f"read_{name}"
        return read

    def __cache_key__(self) -> str:
        return "world"

    def clock(self) -> float:
        self.now += 0.001
        return self.now + self.skews[self.process]

    def perform(self, step: Any) -> None:
        process, kind, document, *inner = step
        before, self.process = self.process, process
        if kind == "change":
            self.truth[document] += 1
            self.stores[process].invalidate(tag=f"doc:{document}")
            self.valid_from[document] = self.truth[document]
        else:
            valid_from = self.valid_from[document]
            self.meanwhile += inner
            found = self.read[process][document](document)
            assert found >= valid_from, f"a stale read by process {process} of {document}"
            self.meanwhile.clear()
        self.process = before


STEP = st.tuples(st.integers(0, 2), st.sampled_from(["change", "read", "read"]), st.sampled_from("ab"))
NESTED = st.tuples(st.integers(0, 2), st.just("read"), st.sampled_from("ab"), STEP)


@pytest.mark.parametrize("kind", ["DiskCache", "RedisCache"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEP | NESTED, min_size=5, max_size=25), skews=st.permutations([-300.0, 0.0, 300.0]))
@example(
    [(0, "read", "a", (1, "change", "a")), (2, "read", "a"), (0, "change", "b"), (1, "read", "b")], [-300.0, 300.0, 0.0]
)
def test_no_read_is_stale_whatever_the_clocks_say(
    kind: str, tmp_path: Path, valkey: Valkey, steps: list[Any], skews: list[float]
) -> None:
    stores = [MAKERS[kind](tmp_path, valkey) for _ in range(3)]
    stores[0].clear()
    world = World(stores, tuple(skews))
    with mock.patch("time.time", world.clock):
        for step in steps:
            world.perform(step)
    reads = sum(kind == "read" for _, kind, *_ in steps)
    assert sum(handle_of(store).stats().hits + handle_of(store).stats().misses for store in stores) >= reads
    for store in stores:
        store.close()  # type: ignore[attr-defined]
