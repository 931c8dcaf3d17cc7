"""`schema_match="compatible"`: an answer for another version of a response model, which is valid for this one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from instructor import AutoCache, DiskCache, from_provider
from instructor.cache import BaseCache
from instructor.exceptions import ArgumentError, CacheMiss
from worlds import Shelf, World, both


def make(title: str = "User", /, **fields: Any) -> Any:
    return create_model(title, **{field: (kind, ...) for field, kind in fields.items()})


OLD, WIDER = make(name=str), make(name=str | None)
STRICTER, RENAMED = make(name=str, age=int), make("Person", name=str)
MESSAGES: Any = [{"role": "user", "content": "hello"}]


def ask(cache: Any, model: Any, asynchronous: bool = False, **keywords: Any) -> tuple[World, Any]:
    """A new client, as that of another process: it shares nothing but the store. What it asked and got."""
    world = World(cache, asynchronous, schema_match="compatible")
    world.reply = lambda: {"name": "Ben", "age": 1} if model is STRICTER else {"name": "Anna"}
    result = world.client.create_with_reply(model, MESSAGES, **keywords)
    return world, asyncio.run(result) if asynchronous else result


def again(cache: BaseCache) -> BaseCache:
    """The store as another process has it."""
    if isinstance(cache, DiskCache):
        return DiskCache(cache.directory)
    other = Shelf()
    other.data = cache.data  # type: ignore[attr-defined] # a Shelf's
    return other


@pytest.fixture(params=["disk", "shelf"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BaseCache:
    return DiskCache(tmp_path) if request.param == "disk" else Shelf()


@both
def test_an_answer_that_is_valid_for_the_new_version_is_served_and_marked(asynchronous: bool, store: BaseCache) -> None:
    ask(store, OLD, asynchronous)
    for _ in range(2):
        world, reply = ask(again(store), WIDER, asynchronous)
        assert (world.asked, reply.cached, reply.compatible) == (0, True, True)
        assert type(reply.value) is WIDER
        assert "compatible=True" in repr(reply)
    world, reply = ask(again(store), OLD, asynchronous)
    assert (world.asked, reply.cached, reply.compatible) == (0, True, False)


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        (STRICTER, {}),  # the answer lacks a field
        (RENAMED, {}),
        (WIDER, {"temperature": 0.5}),
        (WIDER, {"cache_namespace": "b"}),
        (WIDER, {"schema_match": "exact"}),
        (WIDER, {"samples": 2}),
        (WIDER, {"max_age": 0}),
    ],
)
def test_nothing_else_is_served(model: Any, keywords: Any, store: BaseCache) -> None:
    ask(store, OLD)
    world, reply = ask(again(store), model, **keywords)
    assert (world.asked, reply.compatible) == (1, False)
    assert store.stats().errors == 0


@both
def test_a_stale_one_is_served_if_the_provider_fails(asynchronous: bool, store: BaseCache) -> None:
    def fail() -> Any:
        raise OSError("down")

    ask(store, OLD, asynchronous)
    world = World(again(store), asynchronous, schema_match="compatible", stale_if_error=60)
    world.reply = fail
    result = world.client.create_with_reply(WIDER, MESSAGES, max_age=0, max_retries=0)
    reply: Any = asyncio.run(result) if asynchronous else result
    assert (world.asked, reply.stale, reply.compatible, reply.value.name) == (1, True, True, "Anna")


def test_a_tier_that_is_down_does_not_hide_what_another_one_has() -> None:
    shelf = Shelf()
    shelf.is_down = True
    tiers = [AutoCache(), shelf]
    ask(tiers, OLD)
    world, reply = ask(tiers, WIDER)
    assert (world.asked, reply.compatible) == (0, True)
    assert world.client.explain(WIDER, MESSAGES).compatible


def test_by_default_a_new_version_is_asked_for(store: BaseCache) -> None:
    World(store).client.create(OLD, MESSAGES)
    world = World(again(store))
    world.client.create(WIDER, MESSAGES)
    assert world.asked == 1


@pytest.mark.parametrize("cache", [AutoCache(), [AutoCache(), Shelf()]], ids=["memory", "tiers"])
def test_memory_holds_no_second_row(cache: Any) -> None:
    world = World(cache, schema_match="compatible")
    world.client.create(OLD, MESSAGES)
    world.client.create(WIDER, MESSAGES)
    first = cache[0] if isinstance(cache, list) else cache
    assert (world.asked, len(first)) == (1, 1)


def test_the_event_of_the_hit_is_marked() -> None:
    world, events = World(Shelf(), schema_match="compatible"), list[Any]()
    for name in ("cache:hit", "cache:miss"):
        world.client.on(name, events.append)
    world.client.create(OLD, MESSAGES)
    world.client.create(WIDER, MESSAGES)
    world.client.create(OLD, MESSAGES)
    assert [(event.name.value, event.compatible) for event in events] == [
        ("cache:miss", False),
        ("cache:hit", True),
        ("cache:hit", False),
    ]


def test_what_was_invalidated_is_not_served(tmp_path: Path) -> None:
    store = DiskCache(tmp_path)
    ask(store, OLD, cache_tags=["a"])
    assert store.invalidate(tag="a") == 1, "the second row isn't counted"
    world, _ = ask(DiskCache(tmp_path), WIDER)
    assert world.asked == 1


def test_a_replay_a_stream_and_an_explanation_find_it_too(store: BaseCache) -> None:
    ask(store, OLD)
    world = World(again(store), schema_match="compatible", cache_mode="replay")
    assert world.client.create(WIDER, MESSAGES).name == "Anna"
    assert list(world.client.create_partial(WIDER, MESSAGES))[-1] == WIDER(name="Anna")
    found = world.client.explain(WIDER, MESSAGES)
    assert (found.hit, found.compatible, found.reason) == (True, True, None)
    with pytest.raises(CacheMiss):
        world.client.create(WIDER, MESSAGES, schema_match="exact")


def test_the_latest_version_is_served(store: BaseCache) -> None:
    ask(store, OLD)
    ask(again(store), STRICTER)
    _, reply = ask(again(store), make(name=str, age=float))
    assert (reply.value.name, reply.compatible) == ("Ben", True)


@pytest.mark.parametrize("match", ["loose", True, 1])
def test_another_value_is_refused(match: Any) -> None:
    with pytest.raises(ArgumentError, match="exact"):
        from_provider("offline/demo", schema_match=match)
    client = from_provider("offline/demo", cache=AutoCache())
    client.create(OLD, MESSAGES)
    with pytest.raises(ArgumentError, match="exact"):
        client.create(OLD, MESSAGES, schema_match=match)


def test_in_one_process_a_model_of_another_name_is_another_question() -> None:
    world = World(AutoCache(), schema_match="compatible")
    world.client.create(OLD, MESSAGES)
    world.client.create(RENAMED, MESSAGES)
    assert world.asked == 2
