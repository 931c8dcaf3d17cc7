"""What a store is: the two methods of `BaseCache`, and the abilities that a richer store may add."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from instructor.cache.entry import Entry


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters of one store (``cache.stats()``) or of one client (``client.cache_stats()``) since it was made.

    Attributes:
        hits: Answers served from the store.
        misses: Look-ups that found nothing usable.
        writes: Answers stored.
        errors: Operations of the store that failed or took too long, and entries that could not be used.
        bypasses: Calls that could not be cached. Only a client counts them.
        coalesced: Calls that shared another call's request. Only a client counts them.
        entries: Entries held now; None where the store cannot say.
        bytes: Their size in bytes; None where the store cannot say.
        tokens_saved: Tokens that hits did not have to pay again. Only a client counts them.
        seconds_saved: Seconds that the live calls behind the hits took. Only a client counts them.
    """

    hits: int = 0
    misses: int = 0
    writes: int = 0
    errors: int = 0
    bypasses: int = 0
    coalesced: int = 0
    entries: int | None = None
    bytes: int | None = None
    tokens_saved: int = 0
    seconds_saved: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits as a share of all look-ups, 0.0 to 1.0; 0.0 before the first."""
        looked = self.hits + self.misses
        return self.hits / looked if looked else 0.0


class BaseCache(ABC):
    """A store of answers. Subclass it with `get` and `set` to cache in anything you like.

    The two methods may be plain or ``async``; either kind serves both clients. They are called from several
    threads at once. Plain ones run in a worker thread, so that a store that hangs cannot hang the call; set
    ``timeout = None`` on the class to have them called in the caller's own thread by the synchronous client,
    without a limit. A subclass need not call ``super().__init__()``.

    Attributes:
        timeout: Seconds after which an operation counts as failed. Default 5.0; None for no limit.
        pause: Seconds for which a store that failed is left alone before it is tried again. Default 10.0.
        on_error: ``"ignore"`` (default): a failing store costs one warning and one event, and the call goes on
            without it. ``"raise"``: the call raises `CacheError`.

    Example:
        >>> class DictCache(BaseCache):
        ...     def __init__(self):
        ...         self.data = {}
        ...     def get(self, key):
        ...         return self.data.get(key)
        ...     def set(self, key, value, ttl=None):
        ...         self.data[key] = value
    """

    timeout: float | None = 5.0
    pause: float = 10.0
    on_error: Literal["ignore", "raise"] = "ignore"
    honours_ttl: ClassVar[bool] = True
    """False for a store whose entries never expire, whatever ``cache_ttl`` says."""

    @abstractmethod
    def get(self, key: str) -> Awaitable[str | bytes | None] | str | bytes | None:
        """Return what was stored under `key`, or None.

        Args:
            key: 64 hexadecimal digits, a SHA-256.
        """

    @abstractmethod
    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        """Store `value`, a ``str``, under `key`.

        Args:
            key: As in `get`.
            value: Text, one to three kilobytes for most answers.
            ttl: Whole seconds after which the entry may go; None to keep it. An entry that outlives its ttl
                is not served, so a store that cannot expire entries may ignore it.
        """

    def note_ttl(self) -> None:  # noqa: B027 - a store that honours ttl has nothing to say
        """Called in place of passing a ttl on, where ``honours_ttl`` is False."""

    def stats(self) -> CacheStats:
        """Counters of this store since it was made, over all clients that use it."""
        from instructor.cache.guard import guard_of

        return guard_of(self).stats()


@runtime_checkable
class NearStore(Protocol):
    """An ability: memory of this process, which is read and written inline and holds entries ready to use."""

    def find(self, key: str) -> Entry | None:
        """Return the entry under `key`, counting a hit.

        A miss is counted by who looked, because the way of a hit may look once more where it finds nothing.
        """
        ...

    def keep(self, entry: Entry) -> None:
        """Hold `entry` under its key."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """An ability: native asynchronous input and output beside the plain methods."""

    async def get_async(self, key: str) -> str | bytes | None:
        """As `BaseCache.get`."""
        ...

    async def set_async(self, key: str, value: str, ttl: int | None = None) -> None:
        """As `BaseCache.set`."""
        ...


@runtime_checkable
class BoundedStore(Protocol):
    """An ability: the store bounds its own waiting, so the synchronous client calls it in its own thread."""

    bounded: ClassVar[Literal[True]]


@runtime_checkable
class SizedStore(Protocol):
    """An ability: the store knows how much it holds."""

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and their bytes."""
        ...
