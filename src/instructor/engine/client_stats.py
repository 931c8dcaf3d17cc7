"""What one client counts about its cache."""

from __future__ import annotations

from collections import deque

from instructor.cache.entry import Entry
from instructor.cache.store import CacheStats
from instructor.locks import make_lock

MOST_SERVED = 256
"""Hits that are noted before they are added up; their entries live as long."""


class ClientStats:
    """A client's counters. A lock guards them, because free-threaded Pythons add in parallel."""

    __slots__ = (
        "_bypasses",
        "_coalesced",
        "_errors",
        "_hits",
        "_lock",
        "_misses",
        "_seconds",
        "_served",
        "_tokens",
        "_writes",
    )

    def __init__(self) -> None:
        self._lock = make_lock()
        self._served: deque[Entry] = deque()
        self._hits = self._misses = self._writes = self._errors = self._bypasses = self._coalesced = 0
        self._tokens = 0
        self._seconds = 0.0

    def hit(self, entry: Entry) -> None:
        """Count an answer served from the store, and what it saves.

        On the way of every hit, so it is only noted: a deque takes it without a lock, and it is added up later.
        """
        self._served.append(entry)
        if len(self._served) >= MOST_SERVED:
            with self._lock:
                self._add_up()

    def _add_up(self) -> None:
        """Add the hits noted so far. Only this removes from the deque, under the lock, so none is lost."""
        for _ in range(len(self._served)):
            entry = self._served.popleft()
            self._hits += 1
            self._tokens += entry.usage.total_tokens
            self._seconds += entry.seconds

    def coalesce(self, entry: Entry) -> None:
        """Count a call that shared another call's request, and what that saves."""
        with self._lock:
            self._coalesced += 1
            self._tokens += entry.usage.total_tokens
            self._seconds += entry.seconds

    def miss(self) -> None:
        """Count a look-up that found nothing usable."""
        with self._lock:
            self._misses += 1

    def write(self) -> None:
        """Count an answer stored."""
        with self._lock:
            self._writes += 1

    def error(self) -> None:
        """Count a failure of the store."""
        with self._lock:
            self._errors += 1

    def bypass(self) -> None:
        """Count a call that could not be cached."""
        with self._lock:
            self._bypasses += 1

    def stats(self) -> CacheStats:
        """The counters as they are now."""
        with self._lock:
            self._add_up()
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                writes=self._writes,
                errors=self._errors,
                bypasses=self._bypasses,
                coalesced=self._coalesced,
                tokens_saved=self._tokens,
                seconds_saved=self._seconds,
            )
