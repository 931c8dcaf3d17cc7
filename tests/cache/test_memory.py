"""AutoCache: what it holds, what it forgets, and that threads and forks do not harm it."""

from __future__ import annotations

import gc
import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instructor.cache import AutoCache, MemoryCache
from instructor.cache.entry import Entry, Origin, Tagged, encode_entry, make_carried, pack_completion
from instructor.cache.kept import Kept
from instructor.exceptions import ConfigurationError
from instructor.messages import Part

CHILDREN = Path(__file__).parent / "children"


def entry(key: str) -> Entry:
    return Entry(key, (Part("", '{"name": "é"}'),), pack_completion('{"id": 1}'), Origin("openai", "gpt"), 1.0)


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = AutoCache(maxsize=3)
    for key in "abc":
        cache.keep(entry(key))
    assert cache.find("a") is not None
    assert cache.get("b") is not None
    cache.keep(entry("d"))
    assert [key for key in "abcd" if key in cache] == ["a", "b", "d"]


@pytest.mark.parametrize("maxsize", [1, 2, 7, 100])
def test_it_forgets_what_a_list_that_every_use_changes_would_forget(maxsize: int) -> None:
    """With entries that were prepared, others and texts, that are found, read, stored again and deleted."""
    rng, cache, order = random.Random(maxsize), AutoCache(maxsize), list[str]()
    for _ in range(4_000):
        key = str(int(rng.paretovariate(0.7)) % (3 * maxsize))
        way = rng.choice(["find", "find", "get", "prepared", "plain", "text", "delete"])
        if way == "delete":
            assert cache.delete(key) is (key in order)
        elif way in ("find", "get"):
            assert (getattr(cache, way)(key) is None) <= (key not in order or way == "find"), "a text isn't found"
            if way == "find" and key in order and cache.find(key) is None:
                continue
        elif way == "text":
            cache.set(key, "text")
        else:
            cache.keep(replace(entry(key), carried=make_carried(str, entry(key)) if way == "prepared" else None))
        if key in order:
            order.remove(key)
        elif way in ("find", "get", "delete"):
            continue
        if way != "delete":
            order.append(key)
            del order[:-maxsize]
        assert {key for key in order if key in cache} == set(order)
        assert len(cache) == len(order)
    assert len(cache._order) <= 2 * len(cache) + 64


def test_a_large_store_looks_at_a_few_entries_before_one_goes() -> None:
    cache = AutoCache(maxsize=10_000)
    for number in range(10_000):
        cache.keep(replace(entry(str(number)), carried=make_carried(str, entry(str(number)))))
    for number in reversed(range(10_000)):
        cache.find(str(number))
    looked: list[object] = []
    cache._order._number_of = lambda name: (looked.append(name), AutoCache._number_of(cache, name))[1]
    cache.keep(entry("new"))
    assert len(looked) == 128
    gone = [number for number in range(10_000) if str(number) not in cache]
    assert 118 < gone[0] == gone[-1] < 128, "the one of them that was used longest ago, but for uses of one number"


@pytest.mark.parametrize("store", [lambda: AutoCache(maxsize=30), lambda: MemoryCache(max_entries=30)])
def test_an_invalidation_counts_as_a_look_at_every_entry_would(store: Any) -> None:
    rng, cache = random.Random(7), store()
    for _ in range(3_000):
        key, tag = str(rng.randrange(60)), rng.choice("stu")
        way = rng.choice(["keep", "keep", "keep", "late", "text", "delete", "invalidate"])
        if way == "invalidate":
            first, _, [number] = cache.generations([tag])
            held = [cache.find(key).tagged for key in list(cache._held) if isinstance(key, str)]
            valid = [one for one in held if one and tag in one.tags and one.generation >= max(first, number)]
            assert cache.invalidate_tag(tag) == len(valid)
        elif way == "delete":
            cache.delete(key)
        elif way == "text":
            cache.set(key, "text")
        else:
            tagged = Tagged((tag, "all"), cache.generations(()).latest - (way == "late"))
            cache.keep(replace(entry(key), tagged=tagged))
    cache.clear()
    assert not cache._tagged


def test_what_is_deleted_and_stored_again_stands_in_line_once() -> None:
    cache = AutoCache()
    for key in "ab" * 1_000:
        cache.delete(key)
        cache.keep(entry(key))
    assert len(cache._order) < 100


def test_storing_again_makes_an_entry_the_latest() -> None:
    cache = AutoCache(maxsize=2)
    for key in ("a", "b", "a", "c"):
        cache.keep(entry(key))
    assert "a" in cache
    assert "b" not in cache


def test_find_returns_the_very_entry() -> None:
    cache = AutoCache()
    kept = entry("a")
    cache.keep(kept)
    assert cache.find("a") is kept
    assert cache.find("b") is None
    cache.get("a")
    assert cache.stats().entries == 1


SEVERAL = (Part("One", '{"a": 1}'), Part("Two", '{"a": 2}'))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parts": SEVERAL},
        {"parts": ()},
        {"attempts": 2, "steps": "1,2"},
        {"tagged": Tagged(("t",), 3), "expires": 1e12},
    ],
)
@pytest.mark.parametrize("store", [AutoCache, MemoryCache])
def test_an_entry_that_was_prepared_is_held_in_one_object_and_read_back_as_it_was(
    store: type[AutoCache | MemoryCache], changes: dict[str, Any]
) -> None:
    plain = replace(entry("a"), **changes)
    prepared = replace(plain, carried=make_carried(str, plain))
    cache = store()
    cache.keep(prepared)
    held = cache.find_held("a")
    assert isinstance(held, Kept)
    found = cache.find("a")
    assert found is not None
    assert found.carried is held
    assert replace(found, carried=None) == plain
    assert cache.get("a") == encode_entry(plain)
    assert held["_raw_response"] == plain.completion
    names = {*Entry.__slots__, "tags", "answer", "completion"} - {"carried"}
    assert {name: getattr(held, name) for name in names} == {name: getattr(plain, name) for name in names}
    assert not [one for one in gc.get_referents(held) if isinstance(one, Entry | Part)], "nothing else to be fetched"


def test_what_a_ttl_limits_is_held_in_one_object_too() -> None:
    cache = MemoryCache(ttl=60)
    cache.keep(replace(entry("a"), carried=make_carried(str, entry("a"))))
    held = cache.find_held("a")
    assert isinstance(held, Kept)
    assert held.expires == pytest.approx(time.time() + 60, abs=30)


def test_an_entry_stored_as_text_is_found_and_read_back_as_the_same_text() -> None:
    cache = AutoCache()
    text = encode_entry(entry("a"))
    cache.set("a", text)
    assert cache.find("a") == entry("a")
    assert cache.get("a") == text


@pytest.mark.parametrize("value", ["plain", "", b"\x00\xff", "deadbeef {}"])
def test_any_other_text_is_kept_too_but_is_no_entry(value: str | bytes) -> None:
    cache = AutoCache()
    cache.set("a", value)
    assert cache.get("a") == value
    assert cache.find("a") is None
    assert "a" in cache


def test_text_and_entry_under_one_key_replace_each_other() -> None:
    cache = AutoCache()
    cache.set("a", "text")
    cache.keep(entry("a"))
    assert cache.get("a") == encode_entry(entry("a"))
    cache.set("a", "text")
    assert cache.find("a") is None
    assert len(cache) == 1


def test_another_keys_entry_is_not_found() -> None:
    cache = AutoCache()
    cache.set("a", encode_entry(entry("b")))
    assert cache.find("a") is None


def test_a_ttl_is_ignored_and_the_first_one_warns() -> None:
    cache = AutoCache()
    with pytest.warns(UserWarning, match="AutoCache ignores ttl") as warned:
        cache.set("a", "1", ttl=1)
        cache.set("b", "2", ttl=1)
    assert len(warned) == 1
    assert cache.get("a") == "1"


def test_delete_clear_and_size() -> None:
    cache = AutoCache()
    cache.keep(entry("a"))
    cache.set("b", "é")
    assert cache.size() == (2, len('{"name": "é"}12345678 {"id": 1}'.encode()) + 2)
    assert cache.delete("b")
    assert not cache.delete("b")
    cache.clear()
    assert len(cache) == 0
    assert cache, "an empty cache is a cache all the same: `cache or default` must keep it"


@pytest.mark.parametrize("maxsize", [0, -1, True, 1.5, "10", None])
def test_a_wrong_maxsize_is_refused(maxsize: object) -> None:
    with pytest.raises(ConfigurationError, match="maxsize"):
        AutoCache(maxsize=maxsize)  # type: ignore[arg-type] - what is tested


@pytest.mark.parametrize("value", [None, 5, {"a": 1}])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="str or bytes"):
        AutoCache().set("a", value)


def test_a_subclass_that_counts_otherwise_has_stats_without_a_size() -> None:
    class Counting(AutoCache):
        def size(self) -> int:
            return 3

    cache = Counting()
    cache.keep(entry("a"))
    assert cache.stats().entries is None


def test_threads_never_exceed_maxsize() -> None:
    cache = AutoCache(maxsize=5)
    missed: list[str] = []

    def use(number: int) -> None:
        key = str(number % 10)
        if cache.find(key) is None:
            cache.keep(entry(key))
            missed.append(key)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(4000)))
    assert len(missed) >= 10
    assert len(cache) == 5


def test_a_copy_in_another_process_begins_empty() -> None:
    cache = AutoCache(maxsize=7)
    cache.set("a", "1")
    copied = pickle.loads(pickle.dumps(cache))
    assert (copied.maxsize, len(copied)) == (7, 0)


def test_a_forked_child_goes_on_though_a_thread_held_every_lock() -> None:
    done = subprocess.run(
        [sys.executable, CHILDREN / "fork.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["child", "ok", "parent", "ok"], done.stderr
