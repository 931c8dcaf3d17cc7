"""The paths of one client: where its answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from instructor import checks as check
from instructor.cache.entry import Entry
from instructor.cache.kept import Kept
from instructor.cache.store import BaseCache
from instructor.cache.tiered import TieredCache
from instructor.describing import name_model
from instructor.engine.client_stats import ClientStats
from instructor.engine.fast_path import Place, Reading
from instructor.engine.freshness import PLAIN, Freshness, only_fresh, only_fresh_later
from instructor.engine.path import CachePath, FindLater, FindNow, Tier, Unserved, leave_path, make_path
from instructor.engine.path import name_of as name_of_tier
from instructor.locks import make_lock

_MOST_PATHS = 8
"""Stores passed with ``cache=`` to single calls that a client remembers."""


Name = int | tuple[int, ...]


class Paths:
    """The paths of one client: its own, and those of the latest stores passed to single calls.

    A program may pass a new store to each call, so only a few are remembered; the counts of the others are kept.
    """

    def __init__(self, stats: ClientStats, asynchronous: bool, freshness: Freshness = PLAIN) -> None:
        self._stats = stats
        self._freshness = freshness
        self._asynchronous = asynchronous
        self._lock = make_lock()
        self._own: CachePath | None = None
        self._known: dict[Name, CachePath] = {}
        self._places: dict[Name, Place | None] = {}

    def make_own(self, store: BaseCache) -> CachePath:
        """Make the client's own path."""
        self._own = self._add(store, id(store))
        return self._own

    def find(self, cache: object) -> CachePath | None:
        """The path of what was passed as ``cache=``; None for None."""
        name = name_of(cache)
        path = self._known.get(name)
        if path is not None:
            return path
        store = check.check_cache(cache)
        return None if store is None else self._add(store, name)

    def find_place(self, cache: object) -> Place | None:
        """The first store of what `find` finds, as the fast path reads it."""
        # By its address first: a list, whose name is another, has never that of a store that is held.
        return self._places.get(id(cache)) or self._places.get(name_of(cache)) or self.place_of(self.find(cache))

    def place_of(self, path: CachePath | None) -> Place | None:
        """The first store of a path, as the fast path reads it; None for no path, and for one that makes keys itself."""
        if path is None or path.recorder is not None:
            return None
        tier, freshness = path.tiers[0], self._freshness
        find: Callable[[str], Kept | Entry | Unserved | Reading | None] = tier.find_now
        find_later = tier.find_later if self._asynchronous else None
        if freshness is not PLAIN:
            find = only_fresh(tier.find_now, freshness)
        if find_later is not None:
            find = _wait_for(tier, find_later, freshness)
        return Place(find, tier.hits.note, tier.hits.noted, tier.hits, (path.name, name_of_tier(tier)), path.check)

    def _add(self, store: BaseCache, name: Name) -> CachePath:
        """Make the path of a store. It holds the store, so that its address stays its own."""
        with self._lock:
            path = self._known.get(name)
            if path is None:
                path = self._known[name] = make_path(store)
                self._places[name] = self.place_of(path)
                for tier in path.tiers:
                    self._stats.attach(tier.hits)
            if len(self._known) > _MOST_PATHS:
                oldest = next(name for name, known in self._known.items() if known is not self._own)
                del self._places[oldest]
                self._forget(self._known.pop(oldest))
            return path

    def _forget(self, path: CachePath) -> None:
        for tier in path.tiers:
            self._stats.detach(tier.hits)
        leave_path(path)

    def close(self) -> None:
        """Let the stores go on without this client; they keep its hits."""
        for path in self._known.values():
            self._forget(path)


def _wait_for(
    tier: Tier, find_later: FindLater, freshness: Freshness
) -> Callable[[str], Kept | Entry | Unserved | Reading | None]:
    """How the fast path reads a store for a task: what it has at once, and otherwise how to await it."""
    later = partial(Reading, find_later if freshness is PLAIN else only_fresh_later(find_later, freshness))
    at_once: FindNow | None = tier.find_at_once
    if at_once is None:
        return later
    now = at_once if freshness is PLAIN else only_fresh(at_once, freshness)
    return lambda key: now(key) or later(key)


def entries_of(store: BaseCache | None) -> int | None:
    """How many entries a store, or the first of several, holds at most, as far as it says so.

    A user's attribute may be anything.
    """
    first = store.tiers[0] if isinstance(store, TieredCache) else store
    entries = getattr(first, "maxsize", getattr(first, "max_entries", None))
    return entries if type(entries) is int and entries > 0 else None


_LISTS = (list, tuple)  # a union would be made anew for each call


def name_of(cache: object) -> Name:
    """What a store is known by: its address. A list may be made anew for each call, so its stores' addresses count."""
    if isinstance(cache, _LISTS):
        return tuple(map(id, cast("list[object]", cache)))
    return id(cache)


def find_namer(path: CachePath | None, response_model: object) -> Callable[[Mapping[str, str]], str] | None:
    """What makes the keys of a path that keeps what was asked."""
    recorder = None if path is None else path.recorder
    return None if recorder is None else partial(recorder.name_call, response_model=name_model(response_model))
