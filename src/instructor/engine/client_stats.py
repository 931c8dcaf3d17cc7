"""What one client counts about its cache."""

from __future__ import annotations

from instructor.cache.entry import Entry
from instructor.cache.hits import HitLog
from instructor.cache.store import CacheStats
from instructor.hooks import HookName
from instructor.locks import make_lock


class ClientStats:
    """A client's counters. Its hits stand in the logs of its paths; everything else is counted here."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self._counts: dict[HookName, int] = {}
        self._tokens_shared = 0
        self._logs: list[HitLog] = []

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more path."""
        self._logs.append(hits)

    def count(self, name: HookName, entry: Entry | None = None) -> None:
        """Count an event. A hit is counted where it is noted, in its path's log.

        A coalesced call saves the tokens of a request. It saves no time: it waited for the answer like its leader.
        """
        if name is HookName.CACHE_HIT:
            return
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1
            if name is HookName.CACHE_COALESCED and entry is not None:
                self._tokens_shared += entry.usage.total_tokens

    def stats(self) -> CacheStats:
        """The counters as they are now."""
        totals = [hits.totals() for hits in list(self._logs)]
        with self._lock:
            counts = self._counts
            return CacheStats(
                hits=sum(hits for hits, _, _ in totals),
                misses=counts.get(HookName.CACHE_MISS, 0),
                writes=counts.get(HookName.CACHE_WRITE, 0),
                errors=counts.get(HookName.CACHE_ERROR, 0),
                bypasses=counts.get(HookName.CACHE_BYPASS, 0),
                coalesced=counts.get(HookName.CACHE_COALESCED, 0),
                tokens_saved=self._tokens_shared + sum(tokens for _, tokens, _ in totals),
                seconds_saved=sum(seconds for _, _, seconds in totals),
            )
