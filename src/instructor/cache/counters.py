"""The counters of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instructor.cache.hits import HitLog
from instructor.locks import make_lock

if TYPE_CHECKING:
    from instructor.cache.stats import CacheStats


class Counters:
    """What happened to one store. Every client that uses the store adds to the same counters, from any thread."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self._hits = self._misses = self._writes = self._errors = 0
        self._logs: list[HitLog] = []

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more log."""
        with self._lock:
            self._logs.append(hits)

    def detach(self, hits: HitLog) -> None:
        """Remove a log to which no client adds any more, and keep its count."""
        with self._lock:
            if hits in self._logs:
                self._logs.remove(hits)
                self._hits += hits.totals()[0]

    def add(self, *, misses: int = 0, writes: int = 0, errors: int = 0) -> None:
        """Add to the counters. Hits are counted by the logs."""
        with self._lock:
            self._misses += misses
            self._writes += writes
            self._errors += errors

    def read(self, entries: int | None = None, size: int | None = None) -> CacheStats:
        """Return all counters as of one moment, beside the store's number of entries and their bytes."""
        from instructor.cache.stats import CacheStats

        with self._lock:
            hits = self._hits + sum(log.totals()[0] for log in self._logs)
            return CacheStats(hits, self._misses, self._writes, self._errors, entries=entries, bytes=size)
