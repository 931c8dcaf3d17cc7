"""The counters of a store, and how a store carries what belongs to it alone."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, cast

from instructor.cache.hits import HitLog
from instructor.locks import make_lock

T = TypeVar("T")


class Counts(NamedTuple):
    """What `Counters` have counted so far."""

    hits: int = 0
    misses: int = 0
    writes: int = 0
    errors: int = 0


class Counters:
    """What happened to one store. Every client that uses the store adds to the same counters, from any thread."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self._counts = Counts()
        self._logs: list[HitLog] = []

    def attach(self, hits: HitLog) -> None:
        """Count the hits of one more log."""
        with self._lock:
            self._logs.append(hits)

    def detach(self, hits: HitLog) -> None:
        """Let go of a log to which nobody adds any more, and keep its count."""
        with self._lock:
            if hits in self._logs:
                self._logs.remove(hits)
                self._counts = self._counts._replace(hits=self._counts.hits + hits.totals()[0])

    def add(self, misses: int = 0, writes: int = 0, errors: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            old = self._counts
            self._counts = Counts(old.hits, old.misses + misses, old.writes + writes, old.errors + errors)

    def read(self) -> Counts:
        """Return all counters as of one moment."""
        with self._lock:
            return self._counts._replace(hits=self._counts.hits + sum(log.totals()[0] for log in self._logs))


def counters_of(store: object) -> Counters:
    """Return the counters of a store, making them on first use."""
    return attached(store, "_instructor_counters", Counters)


def attached(owner: object, name: str, make: Callable[[], T]) -> T:
    """Return what an object carries under a name, making it on first use.

    It lives as long as the object. A copy of the object, or the object in another process, carries one of its own.
    """
    # The instance's own dict, because a subclass may refuse attributes, compare equal to another or have no hash.
    state = cast("dict[str, Any]", object.__getattribute__(owner, "__dict__"))
    found: _Attachment[T] | None = state.get(name)
    if found is not None and found.owner() is owner:
        return found.value
    made = _Attachment(weakref.ref(owner), make())  # before the lock is held: it may attach something itself
    with _attaching:
        found = state.get(name)
        if found is None or found.owner() is not owner:
            found = state[name] = made
        return found.value


class _Attachment(Generic[T]):
    """A value and the object that carries it. After ``copy.copy`` the copy holds that of the original."""

    __slots__ = ("owner", "value")

    def __init__(self, owner: weakref.ref[Any], value: T) -> None:
        self.owner = owner
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    return None


_attaching = make_lock()
