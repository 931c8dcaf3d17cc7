"""Several stores on one path: found in order, filled upward, written to all, passed over when down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instructor.cache import AutoCache, BaseCache, DiskCache, TieredCache, instructor_cache
from instructor.cache.entry import decode_entry
from instructor.exceptions import ArgumentError, CacheError
from instructor.testing.stores import StoreContract
from worlds import AsyncShelf, Shelf, World, both


class TestTieredCache(StoreContract):
    @pytest.fixture(autouse=True)
    def _prepare(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def make(self) -> BaseCache:
        return TieredCache(AutoCache(1000), DiskCache(self.directory / "cache"))


@both
def test_an_answer_is_written_to_all_and_found_in_the_first(asynchronous: bool) -> None:
    memory, shelf = AutoCache(), Shelf()
    world = World([memory, shelf], asynchronous, cache_ttl=60)
    first = world.ask()
    reads, events = shelf.reads, []
    world.client.on("cache:hit", events.append)
    assert world.ask() == first
    assert [event.store for event in events] == ["AutoCache+Shelf"]
    assert (world.asked, len(memory), len(shelf.data), shelf.ttls, shelf.reads) == (1, 1, 1, [60], reads)


@both
def test_what_a_later_store_has_is_copied_upward_for_the_time_that_is_left(asynchronous: bool) -> None:
    first, second = Shelf(), (AsyncShelf if asynchronous else Shelf)()
    name = World(second, cache_ttl=60).ask()
    ((key, text),) = second.data.items()
    entry = decode_entry(text, key)
    assert entry.expires is not None
    world = World([AutoCache(), first, second], asynchronous)
    assert world.ask() == name
    assert world.asked == 0
    assert decode_entry(first.data[key], key) == entry
    assert first.ttls == [60]
    second.data.clear()
    assert (world.ask(), world.asked) == (name, 0)


def test_an_expired_entry_in_memory_is_looked_for_further_down() -> None:
    memory, shelf = AutoCache(), Shelf()
    world = World([memory, shelf], cache_ttl=60)
    world.ask()
    ((key, text),) = shelf.data.items()
    entry = decode_entry(text, key)
    memory.keep(replace(entry, expires=1.0))
    assert (world.ask(), world.asked) == ("answer 1", 1)
    assert memory.find(key) == entry
    shelf.data.clear()
    memory.keep(replace(entry, expires=1.0))
    assert (world.ask(), world.asked) == ("answer 2", 2)


@both
def test_a_store_that_is_down_is_passed_over_and_left_alone(asynchronous: bool) -> None:
    broken, shelf = Shelf(), Shelf()
    broken.is_down = True
    world = World([broken, shelf], asynchronous)
    events: list[Any] = []
    for name in ("cache:error", "cache:hit", "cache:miss"):
        world.client.on(name, events.append)
    assert [world.ask() for _ in range(3)] == ["answer 1"] * 3
    assert (world.asked, broken.reads) == (1, 1)
    assert [event.name.value for event in events] == ["cache:error", "cache:miss", "cache:hit", "cache:hit"]
    assert {event.store for event in events} == {"Shelf+Shelf"}


def test_a_later_store_that_is_down_costs_nothing_but_what_it_holds() -> None:
    memory, broken = AutoCache(), Shelf()
    broken.is_down = True
    world = World([memory, broken])
    assert [world.ask() for _ in range(3)] == ["answer 1"] * 3
    assert (world.asked, broken.reads) == (1, 1)


def test_a_store_may_raise_while_the_others_are_passed_over() -> None:
    broken = Shelf()
    broken.is_down, broken.on_error = True, "raise"
    with pytest.raises(CacheError):
        World([AutoCache(), broken]).ask()


def test_flights_belong_to_the_last_store() -> None:
    shared = Shelf()
    one, other, alone = World([AutoCache(), shared]), World([Shelf(), shared]), World(shared)
    flights = {id(world.client._path.flights) for world in (one, other, alone)}
    assert len(flights) == 1
    assert one.client._path.tiers[0].handle.flights is not alone.client._path.flights


@both
def test_a_miss_reads_each_store_once(asynchronous: bool) -> None:
    """The fast path reads the first store and notes the flights of the last, so that it isn't read again for nothing."""
    first, last = Shelf(), Shelf()
    world = World([first, last], asynchronous)
    world.ask()
    first.data.clear()
    last.data.clear()
    before = first.reads, last.reads
    world.ask()
    assert (world.asked, first.reads - before[0], last.reads - before[1]) == (2, 1, 1)


@both
def test_streams_are_served_by_each_tier_and_fill_the_faster_ones(asynchronous: bool) -> None:
    memory, shelf = AutoCache(), Shelf()
    live = World([memory, shelf], asynchronous).stream()
    fresh = AutoCache()
    world = World([fresh, shelf], asynchronous)
    assert world.stream() == live
    assert (world.asked, len(fresh)) == (0, 1)
    assert world.ask() == live[-1]


def test_counters_are_kept_for_each_tier_and_for_the_path() -> None:
    memory, shelf = AutoCache(), Shelf()
    cache = TieredCache(memory, shelf)
    world = World(cache)
    world.ask()
    world.ask()
    memory.clear()
    world.ask()
    seen = [(one.hits, one.misses, one.writes, one.errors) for one in (memory.stats(), shelf.stats(), cache.stats())]
    assert seen == [(1, 2, 2, 0), (1, 1, 1, 0), (2, 1, 1, 0)]
    client = world.client.cache_stats()
    assert (client.hits, client.misses, client.writes) == (2, 1, 1)
    assert World([memory, shelf]).client.cache_stats().hits == 0


def test_a_list_for_one_call_is_the_same_path_each_time() -> None:
    memory, shelf = AutoCache(), Shelf()
    world = World(None)
    lists = [[memory, shelf] for _ in range(3)]  # at three addresses
    assert [world.ask(cache=one) for one in lists] == ["answer 1"] * 3
    assert len(world.client._paths._known) == 1
    assert world.ask(cache=(shelf,)) == "answer 1"
    assert (world.asked, memory.stats().hits) == (1, 2)


def test_the_clients_cache_is_the_tiered_one() -> None:
    cache = TieredCache(AutoCache(5), AutoCache(7))
    assert World(cache).client.cache is cache
    made = World([AutoCache(5), AutoCache(7)]).client.cache
    assert repr(made) == repr(cache) == "TieredCache(AutoCache(maxsize=5), AutoCache(maxsize=7))"


def test_tiers_in_tiers_are_flat() -> None:
    one, two, three = AutoCache(), AutoCache(), AutoCache()
    assert TieredCache(one, TieredCache(two, three)).tiers == (one, two, three)


def test_a_ttl_counts_if_any_store_honours_it() -> None:
    shelf = Shelf()
    World([shelf, AutoCache()], cache_ttl=60).ask()
    assert shelf.ttls == [60]
    with pytest.warns(UserWarning, match="ignores ttl"):
        World([AutoCache(), AutoCache()], cache_ttl=60).ask()


@both
def test_a_decorated_function_has_tiers_too(asynchronous: bool) -> None:
    memory, shelf, ran = AutoCache(), Shelf(), []

    if asynchronous:

        @instructor_cache(cache=[memory, shelf], ttl=60)
        async def later(x: int) -> int:
            ran.append(x)
            return 2 * x

        results = [asyncio.run(later(2)) for _ in range(2)]
    else:

        @instructor_cache(cache=[memory, shelf], ttl=60)
        def now(x: int) -> int:
            ran.append(x)
            return 2 * x

        results = [now(2), now(2)]
    assert (results, ran, len(memory), shelf.ttls) == ([4, 4], [2], 1, [60])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ([], r"has no store\. Pass at least one"),
        (AutoCache, r"cache is the class AutoCache\. Pass an instance: AutoCache\(\)"),
        ([AutoCache(), DiskCache], r"cache\[1\] is the class DiskCache\. Pass an instance: DiskCache\(\)"),
        ([AutoCache(), "redis://localhost"], r"cache\[1\] is a str\. Pass RedisCache\(url="),
        ([None], r"cache\[0\] is None\. Pass an instance"),
    ],
    ids=["empty", "class", "class inside", "url", "none"],
)
def test_mistakes_are_answered_with_what_to_write(mistake: Any, message: str) -> None:
    for refuse in (lambda: World(mistake), lambda: World(None).ask(cache=mistake)):
        with pytest.raises(ArgumentError, match=message):
            refuse()


def test_the_same_store_twice_is_refused() -> None:
    memory = AutoCache()
    with pytest.raises(ArgumentError, match="the same AutoCache twice"):
        World([memory, TieredCache(Shelf(), memory)])
    with pytest.raises(ArgumentError, match="the same AutoCache twice"):
        instructor_cache(cache=[memory, memory])(lambda: None)


def test_its_own_get_passes_over_what_is_down_and_raises_if_asked_to() -> None:
    broken, shelf = Shelf(), Shelf()
    broken.is_down = True
    cache = TieredCache(broken, shelf)
    cache.set("key", b"text")
    assert cache.get("key") == "text"
    strict = Shelf()
    strict.is_down, strict.on_error = True, "raise"
    with pytest.raises(CacheError):
        TieredCache(strict, shelf).get("key")
