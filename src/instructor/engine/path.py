"""Where a client's answers are kept: an ordered path of tiers, the fastest first.

A tier says how one store is read and written. Memory of this process is read by a plain call, any other store by an
effect, because it may wait. No other file asks what kind of store it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from instructor.cache.entry import Entry, decode_entry, encode_entry
from instructor.cache.handle import StoreHandle, handle_of
from instructor.cache.hits import HitLog
from instructor.engine.effects import Flow, Read, Write
from instructor.exceptions import CacheEntryError, CacheError

if TYPE_CHECKING:
    from instructor.cache.flight import Flights
    from instructor.cache.store import BaseCache, LocalStore

Lookup = Entry | str | None
"""What a tier holds under a key: an entry, why it has none that can be used, or None for nothing."""

Report = Callable[[CacheError], Flow[None]]
"""What a tier does with a failure of its store that the call survives: it is counted and told."""


class Tier(Protocol):
    """One store on a path."""

    @property
    def handle(self) -> StoreHandle:
        """What stands between this process and the store."""
        ...

    @property
    def hits(self) -> HitLog:
        """The hits that this path had in the store."""
        ...

    def find(self, key: str, report: Report) -> Flow[Lookup]:
        """Look a key up.

        Raises:
            CacheError: The store failed, and has ``on_error="raise"``.
        """
        ...

    def keep(self, entry: Entry, ttl: float | None, report: Report) -> Flow[bool]:
        """Store an entry; return whether it was stored. A store's failure is reported: the answer is paid for.

        Raises:
            ValueError: The entry can't be written as text.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalTier:
    """Memory of this process. It holds entries ready to use."""

    handle: StoreHandle
    store: LocalStore
    hits: HitLog

    def find(self, key: str, report: Report) -> Flow[Lookup]:  # noqa: ARG002 - memory doesn't fail
        """Look a key up."""
        yield from ()
        return self.store.find(key)

    def keep(self, entry: Entry, ttl: float | None, report: Report) -> Flow[bool]:  # noqa: ARG002 - as above
        """Hold an entry."""
        yield from ()
        if not entry.completion_data:
            raise ValueError("the completion cannot be written as text")
        self.store.keep(entry)
        return True


@dataclass(frozen=True, slots=True)
class StoreTier:
    """Any other store: it holds text, and reading it may wait, fail or bring back something else than was stored."""

    handle: StoreHandle
    hits: HitLog

    def find(self, key: str, report: Report) -> Flow[Lookup]:
        """Read an entry. A failure of the store, or an entry that is damaged, is a miss with a reason."""
        if self.handle.paused():
            return "store paused"
        try:
            data = yield from Read(self.handle, key)
            return decode_entry(data, key) if data is not None else None
        except CacheEntryError as error:
            self.handle.count(errors=1)
            yield from report(error)
            return f"damaged: {error}"
        except CacheError as error:
            yield from report(error)
            if self.handle.store.on_error == "raise":
                raise
            return "store failed"

    def keep(self, entry: Entry, ttl: float | None, report: Report) -> Flow[bool]:
        """Write an entry."""
        text = _encode(entry)
        try:
            return (yield from Write(self.handle, entry.key, text, ttl))
        except CacheError as error:
            yield from report(error)
            return False


def _encode(entry: Entry) -> str:
    if not entry.completion_data:
        raise ValueError("the completion cannot be written as text")
    try:
        return encode_entry(entry)
    except TypeError as error:  # such as a token count beyond what the JSON writer holds
        raise ValueError(f"the answer cannot be written as text: {error}") from error


@dataclass(frozen=True, slots=True)
class CachePath:
    """The tiers of one client or one decorated function.

    Attributes:
        tiers: The tiers, fastest first; at least one.
        flights: The calls under way. They belong to the last tier, the one that most callers share.
    """

    tiers: tuple[Tier, ...]
    flights: Flights[Any]

    @property
    def name(self) -> str:
        """The class names of the stores, for events."""
        return "+".join(type(tier.handle.store).__name__ for tier in self.tiers)


def make_path(store: BaseCache) -> CachePath:
    """Make the path of one store.

    Raises:
        ConfigurationError: An attribute of the store has a wrong value.
    """
    handle = handle_of(store)
    hits = HitLog()
    handle.attach(hits)
    tier = StoreTier(handle, hits) if handle.local is None else LocalTier(handle, handle.local, hits)
    return CachePath((tier,), handle.flights)
