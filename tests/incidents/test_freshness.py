"""Incidents 50 to 55: nothing is served past its time, and the cache can be turned off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from instructor import AutoCache, cache_mode
from worlds import MESSAGES, Shelf, User, World, age, both

incident = pytest.mark.incident


@both
@incident("50")
def test_a_maximum_age_of_nothing_serves_nothing(asynchronous: bool) -> None:
    world = World(AutoCache(), asynchronous)
    assert [world.ask(), world.ask(max_age=0), world.ask()] == ["answer 1", "answer 2", "answer 2"]


@both
@incident("51")
def test_a_ttl_holds_in_memory_too(asynchronous: bool) -> None:
    shelf = Shelf()
    world = World([AutoCache(), shelf], asynchronous, cache_ttl=60)
    world.ask()
    age(shelf, 61)
    second = World([AutoCache(), shelf], asynchronous, cache_ttl=60)
    assert second.ask() == "answer 1"
    assert second.asked == 1, "the copy in memory would have had no time left"


@both
@incident("52")
@pytest.mark.parametrize("response_model", [User, list[User], str, None], ids=str)
def test_every_kind_of_answer_has_the_ttl(response_model: Any, asynchronous: bool) -> None:
    shelf = Shelf()
    world = World(shelf, asynchronous, cache_ttl=60)
    contents = {str(list[User]): [{"name": "Anna"}], str(str): "Anna"}
    world.reply = lambda: {"name": "Anna", "content": contents.get(str(response_model))}
    answer = world.client.create(response_model, MESSAGES)
    if asynchronous:
        asyncio.run(answer)
    assert shelf.ttls == [60]


@both
@incident("55")
@pytest.mark.parametrize("way", ["bypass", "refresh", "block", "none"])
def test_the_cache_can_be_turned_off(way: str, asynchronous: bool) -> None:
    cache = AutoCache()
    World(cache, asynchronous).ask()
    world = World(None if way == "none" else cache, asynchronous)
    for number in (1, 2):
        if way == "block":
            with cache_mode("bypass"):
                answer = world.ask()
        else:
            answer = world.ask(**({} if way == "none" else {"cache_mode": way}))
        assert answer == f"answer {number}"
