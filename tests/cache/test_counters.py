"""Counters: exact over threads, one set for each store, and none that a copy shares."""

from __future__ import annotations

import copy
import pickle
import threading

from cache.stores import Plain
from instructor.cache import AutoCache
from instructor.cache.counters import Counters, Counts, attached, counters_of
from instructor.cache.handle import handle_of


def test_counters_add_up_over_threads() -> None:
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add(misses=1, errors=2) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.read() == Counts(misses=4000, errors=8000)


def test_a_store_is_counted_once_however_it_is_asked() -> None:
    store = AutoCache()
    assert counters_of(store) is counters_of(store)
    handle_of(store).count(misses=2)
    assert store.stats() == handle_of(store).stats()
    assert store.stats().misses == 2


def test_a_copy_counts_for_itself() -> None:
    store = AutoCache()
    handle_of(store).count(misses=2)
    for other in (copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert other.stats().misses == 0


def test_what_is_attached_may_attach_something_itself() -> None:
    owner = Plain()

    def make() -> Counters:
        return attached(owner, "inner", Counters)

    assert attached(owner, "outer", make) is attached(owner, "inner", Counters)
