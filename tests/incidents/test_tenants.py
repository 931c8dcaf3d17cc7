"""Incidents 31 to 38: nobody gets another's answer."""

from __future__ import annotations

import asyncio

import pytest

from instructor import AutoCache, RedisCache
from servers import Valkey
from worlds import Shelf, User, World

incident = pytest.mark.incident
TENANTS = ["team-a", "team-b", "team-a ", "TEAM-A", ""]


@incident("31", "32", "34", "35")
@pytest.mark.parametrize("other", TENANTS[1:])
def test_a_namespace_is_crossed_by_no_answer(other: str) -> None:
    cache = AutoCache()
    mine, theirs = World(cache, cache_namespace="team-a"), World(cache, cache_namespace=other or None)
    for world in (mine, theirs, mine, theirs):
        world.ask()
    assert (mine.asked, theirs.asked) == (1, 1)


@incident("32", "35")
def test_a_namespace_of_one_call_is_crossed_by_no_answer() -> None:
    world = World(AutoCache())
    assert [world.ask(cache_namespace=one) for one in ("ann", "bo", "ann")] == ["answer 1", "answer 2", "answer 1"]


@incident("33")
def test_an_answer_under_another_key_is_not_served() -> None:
    shelf = Shelf()
    world = World(shelf)
    world.ask()
    world.ask(temperature=1)
    (first, one), (second, other) = shelf.data.items()
    shelf.data.update({first: other, second: one})
    assert [world.ask(), world.ask(temperature=1)] == ["answer 3", "answer 4"]


@incident("36")
def test_invalidating_one_namespace_leaves_the_others() -> None:
    cache = AutoCache()
    world = World(cache)
    for namespace in ("ann", "bo", None):
        world.ask(cache_namespace=namespace)
    assert cache.invalidate(namespace="ann") == 1
    assert [world.ask(cache_namespace=one) for one in ("bo", None, "ann")] == ["answer 2", "answer 3", "answer 4"]


@incident("37")
def test_a_cancelled_read_leaves_its_reply_to_nobody(valkey: Valkey) -> None:
    """Reads are cancelled at many points of their way; each later one gets its own answer."""
    cache = RedisCache(url=valkey.url)
    world = World(cache, asynchronous=True)
    prompts = [[{"role": "user", "content": f"question {number}"}] for number in range(20)]
    world.adapter._answer = lambda request: {"name": request["messages"][-1]["content"]}

    async def run() -> list[str]:
        await asyncio.gather(*(world.client.create(User, messages) for messages in prompts))
        for number in range(200):
            task = asyncio.ensure_future(world.client.create(User, prompts[number % 20]))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
        users = await asyncio.gather(*(world.client.create(User, messages) for messages in prompts))
        await cache.close_async()
        return [user.name for user in users]

    assert asyncio.run(run()) == [f"question {number}" for number in range(20)]
    assert world.asked == 20
