"""MemoryCache: its limits in entries and bytes, its ttl, and what it forgets."""

from __future__ import annotations

import pickle
import random
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from instructor import from_provider
from instructor.cache import MemoryCache
from instructor.cache.entry import Entry, Origin, Tagged, decode_entry, encode_entry, pack_completion
from instructor.exceptions import ArgumentError
from instructor.messages import Part
from instructor.usage import Usage


def make_entry(
    key: str, text: str = '{"name": "é"}', expires: float | None = None, tagged: Tagged | None = None
) -> Entry:
    origin = Origin("openai", "gpt")
    return Entry(key, (Part("", text),), pack_completion("{}"), origin, 1.0, expires, usage=Usage(1), tagged=tagged)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = [1000.0]
    monkeypatch.setattr("instructor.cache.memory_cache.time.time", lambda: now[0])
    return now


@pytest.mark.parametrize("policy", ["auto", "lru", "tinylfu"])
def test_neither_limit_is_ever_exceeded(policy: Any) -> None:
    """And what is held is what was stored last under its key, and counted to the byte, against a plain dict."""
    rng, cache, stored = random.Random(5), MemoryCache(40, 30_000, policy=policy), dict[str, str]()
    for step in range(3000):
        key = str(int(rng.paretovariate(0.7)) % 200)
        if rng.random() < 0.05:
            cache.delete(key)
            stored.pop(key, None)
        elif (found := cache.get(key)) is None:
            stored[key] = f"{step}" + "x" * rng.choice([1, 100, 1000, 40_000])
            cache.set(key, stored[key])
        else:
            assert found == stored[key]
        assert len(cache) <= 40
        assert cache.size()[1] <= 30_000
    assert len(cache) > 10
    assert cache.clear() > 10
    assert cache.size() == (0, 0)
    assert len(cache._policy) == 0


def test_an_answer_larger_than_the_store_is_not_held_and_drives_nothing_out() -> None:
    cache = MemoryCache(max_bytes=20_000)
    cache.keep(make_entry("small"))
    cache.keep(make_entry("large"))
    cache.keep(make_entry("large", "x" * 20_000))
    assert "small" in cache
    assert "large" not in cache, "nor is what was there before it, which would be an older answer"


def test_bytes_are_counted_honestly() -> None:
    """What Python needs is counted as well: the count is never below what is allocated, and not far above."""
    tracemalloc.start()
    try:
        cache = MemoryCache(max_bytes=None, ttl=60)
        for number in range(400):
            key = f"{number:064x}"
            cache.keep(decode_entry(encode_entry(make_entry(key, f"{number}" + "x" * 300)), key))
        allocated, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert allocated <= cache.size()[1] <= 1.35 * allocated


def test_an_evaluation_that_is_too_large_is_served_from_the_second_round_on() -> None:
    def count_hits(cache: MemoryCache) -> int:
        hits = 0
        for key in [str(number) for _ in range(5) for number in range(120)]:
            if cache.find(key) is None:
                cache.keep(make_entry(key))
            else:
                hits += 1
        return hits

    assert count_hits(MemoryCache(100)) > 350
    assert count_hits(MemoryCache(100, policy="lru")) == 0


def test_hits_count_for_the_order() -> None:
    cache = MemoryCache(3, policy="lru")
    for key in "abc":
        cache.keep(make_entry(key))
    assert cache.find("a")
    assert cache.get("b")
    cache.keep(make_entry("d"))
    assert [key for key in "abcd" if key in cache] == ["a", "b", "d"]


def test_hits_are_noted_when_a_limit_is_near_and_the_notes_stay_few() -> None:
    cache = MemoryCache(4)
    for key in "abcd":
        cache.find("a")
        assert not cache._uses, "while there is room, no hit costs anything"
        cache.keep(make_entry(key))
    for _ in range(70):
        cache.find("a")
    assert 0 < len(cache._uses) < 64
    cache.keep(make_entry("e"))
    assert "a" in cache


def test_a_ttl_of_the_store_bounds_that_of_the_call(clock: Any) -> None:
    cache = MemoryCache(ttl=timedelta(seconds=10))
    cache.set("text", "1", ttl=60)
    cache.set("short", "1", ttl=5)
    cache.keep(make_entry("entry", expires=1003.0))
    cache.keep(make_entry("for ever"))
    clock[0] += 6
    assert [cache.get(key) is not None for key in ("text", "short", "entry", "for ever")] == [True, False, False, True]
    found = cache.find("for ever")
    assert found is not None
    assert found.expires == 1010.0, "which the client looks at"
    clock[0] += 5
    assert cache.get("text") is None


def test_what_has_expired_goes_before_what_has_not(clock: Any) -> None:
    cache = MemoryCache(3)
    cache.set("old", "1")
    cache.set("short", "1", ttl=5)
    cache.set("renewed", "1", ttl=5)
    cache.set("renewed", "1")
    clock[0] += 6
    cache.set("new", "1")
    assert [key in cache for key in ("old", "short", "renewed", "new")] == [True, False, True, True]


def test_deadlines_that_count_no_more_are_forgotten(clock: Any) -> None:
    cache = MemoryCache(2)
    for number in range(2000):
        cache.set(str(number), "1", ttl=100)
    assert len(cache._due) < 200


def test_a_client_serves_from_it_until_the_ttl_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = MemoryCache(ttl=60)
    client = from_provider("offline/demo", cache=cache)
    messages: Any = [{"role": "user", "content": "Anna is 25."}]
    for _ in range(2):
        assert client.create(int, messages) == 25
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)
    later = time.time() + 61
    monkeypatch.setattr("time.time", lambda: later)
    another = from_provider("offline/demo", cache=cache)
    assert another.create(int, messages) == 25
    assert cache.stats().misses == 2


def test_threads_never_exceed_the_limits() -> None:
    cache = MemoryCache(5)

    def use(number: int) -> None:
        key = str(number % 10)
        if cache.find(key) is None:
            cache.keep(make_entry(key))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(4000)))
    assert len(cache) == len(cache._policy) == 5


def test_a_copy_in_another_process_begins_empty() -> None:
    cache = MemoryCache(7, 10_000, 5.0, "lru")
    cache.set("a", "1")
    copied = pickle.loads(pickle.dumps(cache))
    assert (repr(copied), len(copied)) == (repr(cache), 0)


@pytest.mark.parametrize(
    "arguments",
    [{"max_entries": 0}, {"max_bytes": True}, {"ttl": 0}, {"ttl": "5"}, {"policy": "fifo"}, {"max_bytes": 1.5}],
)
def test_wrong_arguments_are_refused(arguments: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"MemoryCache\({next(iter(arguments))}=\)"):
        MemoryCache(**arguments)
