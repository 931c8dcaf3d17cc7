"""What a store says about itself: abilities count where they are declared, and nonsense is refused by name."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cache.stores import Coroutine, Native, Plain, in_both_worlds, read, write
from instructor.cache import AutoCache, CacheStats, DiskCache, RedisCache
from instructor.cache.handle import StoreHandle, handle_of
from instructor.exceptions import ConfigurationError


@pytest.mark.parametrize("kind", [Plain, Coroutine])
async def test_many_are_read_one_by_one_where_a_store_knows_no_better(kind: type[Plain]) -> None:
    store = kind()
    assert await store.get_many_async(["a", "b"]) == ["text", "text"]
    assert store.calls == ["a", "b"]


class Namesakes(Plain):
    """Has methods of its own whose names are those of abilities, and declares none."""

    bounded = True
    hits = "many"

    def find(self, pattern: str, limit: int) -> list[str]:
        raise AssertionError("the user's own")

    keep = get_async = set_async = find

    def size(self) -> int:
        return 3


@in_both_worlds
def test_abilities_are_what_a_store_declares_and_not_what_its_methods_are_called(in_task: bool) -> None:
    store = Namesakes()
    handle = StoreHandle(store)
    assert handle.local is None
    assert read(handle, in_task=in_task) == "text"
    assert write(handle, in_task=in_task) is True
    assert store.threads != [threading.current_thread().name], "`bounded` is a name like any other"
    assert (store.stats().entries, store.stats().bytes) == (None, None)


def test_a_subclass_that_overrides_get_or_set_is_called_by_them() -> None:
    class Shouting(Native):
        def get(self, key: str) -> Any:
            return "SHOUTED"

    class Mixin:
        def set(self, key: str, value: Any, ttl: int | None = None) -> None:
            self.calls.append("mixin")

    class Mixed(Mixin, AutoCache):
        calls: list[Any]

    assert read(StoreHandle(Shouting()), in_task=True) == "SHOUTED"
    mixed = Mixed()
    mixed.calls = []
    handle = StoreHandle(mixed)
    write(handle, in_task=False)
    assert (handle.local, mixed.calls, handle.stats().entries) == (None, ["mixin"], 0)

    class Declaring(Shouting):
        abilities = frozenset({"async"})

    assert read(StoreHandle(Declaring()), in_task=True) == "text"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "5"),
        ("timeout", 0),
        ("timeout", True),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 1e300),
        ("timeout", 10**400),
        ("pause", "x"),
        ("pause", None),
        ("pause", -1),
        ("pause", 10**400),
        ("pause", float("nan")),
        ("on_error", "explode"),
        ("on_error", None),
        ("on_error", ["raise"]),
        ("abilities", "local"),
        ("abilities", {"sized"}),
        ("abilities", frozenset({"fast"})),
        ("abilities", frozenset({"local"})),
        ("abilities", frozenset({"async"})),
        ("abilities", frozenset({"sized"})),
    ],
)
def test_a_store_with_a_wrong_attribute_is_refused_when_it_is_first_used(name: str, value: Any) -> None:
    kind: Any = type("Wrong", (Plain,), {name: value})
    with pytest.raises(ConfigurationError, match=rf"Wrong\.{name} "):
        handle_of(kind())


def test_counters_show_the_hit_rate_and_leave_out_what_a_store_cannot_say() -> None:
    assert repr(CacheStats(hits=2, misses=1)) == (
        "CacheStats(hits=2, misses=1, writes=0, errors=0, bypasses=0, coalesced=0, tokens_saved=0, seconds_saved=0.0, "
        "hit_rate=0.667)"
    )
    assert "entries=3, bytes=40" in repr(CacheStats(entries=3, bytes=40))


def test_counters_are_a_table_in_a_notebook_and_named_for_rich() -> None:
    stats = CacheStats(hits=3000, misses=1000)
    assert "<tr><th>hits</th><td>3,000</td></tr>" in stats._repr_html_()
    assert "<tr><th>hit_rate</th><td>0.75</td></tr>" in stats._repr_html_()
    assert dict(stats.__rich_repr__())["hit_rate"] == 0.75


@pytest.mark.parametrize(
    "make",
    [
        lambda: AutoCache(maxsize=0),
        lambda: DiskCache(""),
        lambda: DiskCache("x", size_limit=1),
        lambda: RedisCache(url="redis://x", host="y"),
        lambda: AutoCache().set("a", 5),
    ],
)
def test_a_wrong_argument_of_a_store_is_a_value_error_too(make: Any) -> None:
    with pytest.raises(ValueError, match="Cache") as caught:
        make()
    assert isinstance(caught.value, ConfigurationError)
