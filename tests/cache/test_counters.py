"""Counters: exact over threads, one set for each store, and none that a copy shares."""

from __future__ import annotations

import copy
import pickle
import sys
import threading

from instructor.cache import AutoCache
from instructor.cache.counters import Counters
from instructor.cache.entry import Entry, Origin
from instructor.cache.handle import handle_of
from instructor.cache.hits import HitLog
from instructor.cache.stats import CacheStats

ENTRY = Entry("key", (), b"", Origin("openai", "gpt-4.1"), 1.0)


def test_counters_add_up_over_threads() -> None:
    counters, log = Counters(), HitLog()
    counters.attach(log)

    def count() -> None:
        for _ in range(500):
            counters.add(misses=1, errors=2)
            log.hit(ENTRY)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.read() == CacheStats(hits=4000, misses=4000, errors=8000)


def test_a_log_that_is_let_go_of_leaves_its_hits_behind() -> None:
    counters, log = Counters(), HitLog()
    counters.attach(log)
    log.hit(ENTRY)
    counters.detach(log)
    log.hit(ENTRY)
    counters.detach(log)
    assert counters.read() == CacheStats(hits=1)


def test_a_store_is_counted_once_however_it_is_asked() -> None:
    store = AutoCache()
    handle_of(store).count(misses=2)
    assert store.stats() == handle_of(store).stats()
    assert store.stats().misses == 2


def test_a_copy_counts_for_itself() -> None:
    store = AutoCache()
    handle_of(store).count(misses=2)
    for other in (copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert other.stats().misses == 0


def test_a_noted_hit_does_not_keep_its_entry_alive() -> None:
    hits, entry = HitLog(), Entry("key", (), b"", Origin("openai", "m"), 1.0)
    references = sys.getrefcount(entry)
    hits.hit(entry)
    assert sys.getrefcount(entry) == references
    assert hits.totals()[0] == 1
