"""Whether a stored answer is fresh: a verdict that depends on the entry, the time, and what the call allows."""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from instructor.cache.entry import Entry
from instructor.cache.kept import Kept
from instructor.cache.misses import EXPIRED
from instructor.chance import draw
from instructor.engine.path import FindLater, FindNow, Unserved

LONGEST_TTL = 1e11
"""Seconds, three thousand years. Larger numbers overflow when a store adds them to a date."""


class Freshness(NamedTuple):
    """How old an answer may be.

    Attributes:
        max_age: Seconds since it came after which it isn't fresh, whatever its own ttl says; None for no limit.
        stale_while_revalidate: Seconds after its freshness for which it's served at once, while a new one is asked for.
        stale_if_error: Seconds after its freshness for which it's served if the provider fails.
        refresh_early: How eagerly an answer that is still fresh is replaced; 0 for not at all. See `is_early`.
    """

    max_age: float | None = None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    refresh_early: float = 0.0

    @property
    def grace(self) -> float:
        """Seconds after its freshness for which an answer may still be of use."""
        return max(self.stale_while_revalidate, self.stale_if_error)


PLAIN = Freshness()


class Verdict(enum.Enum):
    """What may be done with an entry."""

    FRESH = "serve it"
    EARLY = "serve it, and ask for a new one"
    STALE = "serve it as stale, and ask for a new one"
    FALLBACK = "serve it as stale if the provider fails"
    EXPIRED = "do not serve it"


def draw_chance() -> float:
    """A random number above 0, at most 1."""
    return 1.0 - draw()


def weigh(entry: Kept | Entry, now: float, freshness: Freshness, draw: Callable[[], float] = draw_chance) -> Verdict:
    """Decide how fresh an entry is."""
    until = entry.expires
    if freshness.max_age is not None:
        oldest = entry.created + freshness.max_age
        until = oldest if until is None else min(until, oldest)
    if until is None:
        return Verdict.FRESH
    if now < until:
        early = freshness.refresh_early and is_early(until - now, entry.seconds * freshness.refresh_early, draw())
        return Verdict.EARLY if early else Verdict.FRESH
    if now - until < freshness.stale_while_revalidate:
        return Verdict.STALE
    return Verdict.FALLBACK if now - until < freshness.stale_if_error else Verdict.EXPIRED


def is_early(left: float, eagerness: float, chance: float) -> bool:
    """Whether an answer that is fresh for some more seconds is replaced now.

    The longer it took, the earlier; and by chance, so that of many readers, on many machines, one is the first. This is
    XFetch: Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.
    """
    return -eagerness * math.log(chance) >= left


Found = TypeVar("Found", Entry | Unserved, Kept | Entry | Unserved)


def only_fresh(find: FindNow, freshness: Freshness) -> FindNow:
    """Let the fast path serve fresh answers alone: the flow decides about others, without reading the store again."""

    def find_now(key: str) -> Kept | Entry | Unserved | None:
        found = find(key)
        return None if found is None else _check(found, freshness)

    return find_now


def only_fresh_later(find: FindLater, freshness: Freshness) -> FindLater:
    """As `only_fresh`, for tasks."""

    async def find_later(key: str) -> Entry | Unserved:
        return _check(await find(key), freshness)

    return find_later


def _check(found: Found, freshness: Freshness) -> Found | Unserved:
    if not isinstance(found, Unserved) and weigh(found, time.time(), freshness) is not Verdict.FRESH:
        return Unserved(EXPIRED, -1, entry=found.entry if isinstance(found, Kept) else found)
    return found
