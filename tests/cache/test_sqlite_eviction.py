"""What goes when a `DiskCache` is full: by policy, by count, and over traces of calls."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from instructor.cache import DiskCache
from instructor.cache.eviction import LeastRecent, sample_bits
from instructor.exceptions import ArgumentError
from traces import TRACES, hit_rate, make_trace

TEXT = "x" * 800


def serve(cache: DiskCache, trace: Iterable[str]) -> int:
    """Ask for each name, and store what isn't there; return how many were there."""
    hits = 0
    for name in trace:
        if cache.get(name) is not None:
            hits += 1
        else:
            cache.set(name, TEXT)
    return hits


def rate_of(folder: Path, trace: list[str], rounds: int = 1, **options: Any) -> float:
    """Which share of a trace is served, in so many processes of which each begins with what the last one left."""
    hits, size = 0, len(trace) // rounds
    for start in range(0, len(trace), size):
        with DiskCache(folder, **options) as cache:
            hits += serve(cache, trace[start : start + size])
    return hits / len(trace)


def test_a_loop_that_is_a_fifth_too_large_is_served_to_70_per_cent(tmp_path: Path) -> None:
    """Of 75 that are possible; also where each round is a process of its own. An LRU serves none of it."""
    trace = make_trace("evaluation", 100)
    assert rate_of(tmp_path / "lru", trace, max_entries=100, policy="lru") == 0
    assert rate_of(tmp_path / "one", trace, max_entries=100) >= 0.7
    assert rate_of(tmp_path / "ten", trace, 10, max_entries=100) >= 0.7


def test_a_loop_over_more_bytes_than_fit_is_served_too(tmp_path: Path) -> None:
    """Four rounds of five can be, to five sixths. An LRU serves none of it."""
    with DiskCache(tmp_path / "full", 1 << 18) as cache:
        serve(cache, map(str, range(150)))
        fits = len(cache)
    trace = [str(number) for _ in range(5) for number in range(fits * 6 // 5)]
    assert rate_of(tmp_path / "auto", trace, size_limit=1 << 18) > 0.5


@pytest.mark.parametrize("name", ["shifting topics", "thrice"])
def test_what_an_lru_serves_is_served(tmp_path: Path, name: str) -> None:
    """The traces on which policies that filter lose most."""
    trace = make_trace(name, 60)
    assert rate_of(tmp_path, trace, max_entries=60) > hit_rate(LeastRecent(), trace, 60) - 0.03


@pytest.mark.soak
@pytest.mark.parametrize("name", TRACES)
def test_no_trace_is_served_less_than_by_an_lru_at_full_size(tmp_path: Path, name: str) -> None:
    trace = make_trace(name, 1000)
    served, recent = rate_of(tmp_path, trace, max_entries=1000), hit_rate(LeastRecent(), trace, 1000)
    assert served > recent - 0.03
    assert served >= 0.7 or name != "evaluation"


def test_no_more_entries_are_held_than_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with DiskCache(tmp_path, max_entries=20) as cache:
        with caplog.at_level(logging.WARNING):
            for number in range(50):
                cache.set(str(number), TEXT)
                cache.set(str(number), TEXT)  # what is replaced isn't counted twice
                assert len(cache) == min(number + 1, 20)
        assert [cache.get(str(number)) is not None for number in (29, 30, 49)] == [False, True, True]
    (record,) = caplog.records
    assert "Pass a max_entries= above 20" in record.getMessage()
    with DiskCache(tmp_path, max_entries=5) as cache:
        cache.set("new", TEXT)
        assert len(cache) == 5


def loop_until_lost(cache: DiskCache) -> None:
    """Have a store of 60 entries see that an LRU serves nothing."""
    for _ in range(3):
        serve(cache, map(str, range(72)))
    assert cache._eviction._duel.is_lost


def test_what_is_asked_for_anew_keeps_its_place(tmp_path: Path) -> None:
    """An entry that is overwritten, as in a refresh, isn't the next to go because it is new."""
    with DiskCache(tmp_path, max_entries=60) as cache:
        loop_until_lost(cache)
        there = next(str(number) for number in range(72) if cache.peek(str(number)))
        cache.set(there, "refreshed")
        serve(cache, ["one", "two", "three"])
        assert cache.get(there) == b"refreshed"


def test_what_the_policy_saw_last_is_in_the_file_when_the_store_is_closed(tmp_path: Path) -> None:
    with DiskCache(tmp_path, max_entries=60) as cache:
        loop_until_lost(cache)
        for number in range(3):  # fewer than make it write by itself
            cache.set(f"new {number}", TEXT)
        seen = [*cache._eviction._duel.recent]
    with DiskCache(tmp_path, max_entries=60) as cache:
        cache._change(cache._eviction._takes_part)
        assert [*cache._eviction._duel.recent] == seen


@pytest.mark.parametrize("state", [b"", b"1234567", b"\xff" * 80, b"\x01" * 16])
def test_a_damaged_memory_of_the_policy_is_no_memory(tmp_path: Path, state: bytes) -> None:
    with DiskCache(tmp_path, max_entries=60) as cache:
        loop_until_lost(cache)
    with DiskCache(tmp_path, max_entries=60) as cache:
        cache._change(lambda raw: raw.execute("INSERT OR REPLACE INTO eviction VALUES (1, 1.0, ?)", (state,)))
    with DiskCache(tmp_path, max_entries=60) as cache:
        cache.set("key", TEXT)
        assert cache.get("key") is not None
        assert not cache._eviction._duel.is_lost


def test_the_policy_watches_a_sample_of_a_large_store(tmp_path: Path) -> None:
    """It begins with those of the entries that are there, found by their checksums."""
    with DiskCache(tmp_path, max_entries=2000) as cache:
        rows = [(str(number), b"x", 1, number, number, number * ((1 << 21) + 1)) for number in range(2000)]
        insert = "INSERT INTO entry (key, value, size, used, created, key_hash) VALUES (?, ?, ?, ?, ?, ?)"
        cache._change(lambda raw: raw.executemany(insert, rows))
        cache.set("new", TEXT)
        duel = cache._eviction._duel
        assert duel.bits == sample_bits(2000) == 2
        assert 490 < len(duel.recent) < 520, "a quarter of all checksums is below 2**30"
        assert all(name % (1 << 22) == 0 for name in duel.recent), "their lowest bits are the upper ones of a checksum"


def test_arguments_are_checked_and_travel(tmp_path: Path) -> None:
    with DiskCache(tmp_path, policy="lru", max_entries=7) as cache:
        copy = pickle.loads(pickle.dumps(cache))
        assert (copy._eviction.policy, copy._eviction.max_entries) == ("lru", 7)
    for options in ({"policy": "fifo"}, {"max_entries": 0}, {"max_entries": True}):
        with pytest.raises(ArgumentError, match=r"DiskCache\((policy|max_entries)=\)"):
            DiskCache(tmp_path, **options)
