"""What one client counts about its cache, and what its caller already knows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from instructor.cache.books import Books
from instructor.cache.entry import Entry
from instructor.cache.hits import HitLog
from instructor.cache.volatile import VolatileSpans
from instructor.hooks import HookName
from instructor.locks import make_lock

if TYPE_CHECKING:
    from instructor.cache.stats import CacheStats
    from instructor.prompt_caching.planner import Planner

_MOST_NOTICES = 1024
"""A program may name any number of models."""


class ClientStats:
    """A client's counters. Its hits stand in the logs of its paths; everything else is counted here.

    Attributes:
        books: What the client spent and saved.
        spans: Finds prompts that are new with each call.
    """

    def __init__(self) -> None:
        self.books = Books()
        self._lock = make_lock()
        self._counts: dict[HookName, int] = {}
        self._tokens_shared = 0
        self._logs: list[HitLog] = []
        self._detached = (0, 0, 0.0)
        self.spans = VolatileSpans()
        self._notices: set[tuple[str, ...]] = set()
        self._planner: Planner | None = None

    @property
    def planner(self) -> Planner:
        """What the client has learned of its provider's prompt cache; made on first use."""
        from instructor.prompt_caching.planner import Planner

        with self._lock:
            if self._planner is None:
                self._planner = Planner()
            return self._planner

    def is_news(self, *notice: str) -> bool:
        """Whether no thread or task of the client has reported this to the caller yet."""
        with self._lock:
            if notice in self._notices:
                return False
            if len(self._notices) >= _MOST_NOTICES:
                self._notices.clear()
            self._notices.add(notice)
            return True

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more path."""
        with self._lock:
            self._logs.append(hits)
        hits.enter_into(self.books)

    def detach(self, hits: HitLog) -> None:
        """Let go of the log of a path that isn't used any more, and keep its counts."""
        with self._lock:
            self._logs.remove(hits)
            self._detached = _add(self._detached, hits.totals())

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
        from instructor.cache.stats import CacheStats

        with self._lock:
            counts = self._counts
            hits, tokens, seconds = functools.reduce(_add, (log.totals() for log in self._logs), self._detached)
            return CacheStats(
                hits=hits,
                misses=counts.get(HookName.CACHE_MISS, 0),
                writes=counts.get(HookName.CACHE_WRITE, 0),
                errors=counts.get(HookName.CACHE_ERROR, 0),
                bypasses=counts.get(HookName.CACHE_BYPASS, 0),
                coalesced=counts.get(HookName.CACHE_COALESCED, 0),
                tokens_saved=self._tokens_shared + tokens,
                seconds_saved=seconds,
            )


def _add(one: tuple[int, int, float], other: tuple[int, int, float]) -> tuple[int, int, float]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
