"""Several stores as one: the fastest first, the one that most callers share last."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack, cast

from instructor.cache.listing import Which, select
from instructor.cache.store import Ability, BaseCache, check_store, deleting, listing, tagging
from instructor.describing import refuse
from instructor.exceptions import ArgumentError, CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

    from instructor.cache.entry import Generations
    from instructor.cache.handle import StoreHandle
    from instructor.cache.ledger import Ledger
    from instructor.cache.listing import Listed
    from instructor.cache.stats import CacheStats
    from instructor.cache.store import Text

_OF_EACH: frozenset[Ability] = frozenset({"deleting"})
_OF_THE_LAST: frozenset[Ability] = frozenset({"listing", "tagging"})
"""Abilities that all of the stores need, and those that the last one needs, whose entries and numbers count."""

_NO_STORE = "an instance of AutoCache, DiskCache, RedisCache or of your own subclass of instructor.cache.BaseCache"


class TieredCache(BaseCache):
    """Several stores, looked through in order: memory before a disk or a server, for one.

    A client copies what it finds in a later store into those before it, for the time that the answer may still be
    served, and writes a new answer to all of them. A store that fails is passed over and tried again after pauses that
    grow to its own ``pause``; each keeps its own ``timeout`` and ``on_error``. A list does the same:
    ``cache=[AutoCache(), RedisCache()]``.

    `get` and `set` do so for your own use, but `get` copies nothing, because a text alone doesn't say how long it may
    be served.

    Args:
        *stores: The stores, fastest first. Those of another `TieredCache` count as if they stood here.

    Attributes:
        tiers: The stores. Each has its own counters: ``[store.stats() for store in cache.tiers]``.

    Raises:
        ArgumentError: There is no store, one stands here twice, or an argument isn't a store.

    Example:
        >>> from instructor import AutoCache, DiskCache
        >>> cache = TieredCache(AutoCache(maxsize=1000), DiskCache(".cache"))
        >>> client = instructor.from_provider("offline/demo", cache=cache)
    """

    timeout = None  # each store limits its own time

    def __init__(self, *stores: BaseCache) -> None:
        self.tiers = _flatten(stores)
        able = check_store(self.tiers[0]).intersection(*map(check_store, self.tiers))
        self.abilities = (able & _OF_EACH) | (check_store(self.tiers[-1]) & _OF_THE_LAST)

    def get(self, key: str) -> Text | None:
        """Return what the first store that has the key holds, or None."""

        def read(handle: StoreHandle) -> Text | None:
            return None if handle.paused() else handle.read(key)

        return next((found for store in self.tiers if (found := _attempt(store, read)) is not None), None)

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """Store a text in every store."""
        text = value if isinstance(value, str) else value.decode()
        for store in self.tiers:
            _attempt(store, lambda handle: handle.write(key, text, ttl))

    def delete(self, key: str) -> bool:
        """Remove the entry under `key` from every store; return whether it was in any."""
        return bool(self.delete_many([key]))

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys` from every store; return how many were in the one that had most of them."""
        return max([deleting(store).delete_many(keys) for store in self._from_last])

    def clear(self) -> int:
        """Remove all entries from every store; return how many were in the one that had most."""
        return max([deleting(store).clear() for store in self._from_last])

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe the entries of the last store, which has those of the others as a rule."""
        return listing(self.tiers[-1]).list_entries()

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the numbers of the last store, which are those of answers in all of them."""
        return tagging(self.tiers[-1]).generations(tags)

    def invalidate_tag(self, tag: str) -> int:
        """Stop serving the answers that have a tag, from any of the stores; return what the last one does."""
        return tagging(self.tiers[-1]).invalidate_tag(tag)

    def invalidate(self, **which: Unpack[Which]) -> int:
        """As `BaseCache.invalidate`, in every store, the last one first; the number is that of the one with most."""
        selection = select(which, time.time)
        if selection.only_tag is not None and not which.get("erase"):
            return self.invalidate_tag(selection.only_tag)
        return max([store.invalidate(**which) for store in self._from_last])

    async def delete_async(self, key: str) -> bool:
        """As `delete`, without blocking the event loop."""
        return any([await store.delete_async(key) for store in self._from_last])

    async def clear_async(self) -> int:
        """As `clear`, without blocking the event loop."""
        return max([await store.clear_async() for store in self._from_last])

    async def invalidate_async(self, **which: Unpack[Which]) -> int:
        """As `invalidate`, without blocking the event loop."""
        selection = select(which, time.time)
        stores = self._from_last[:1] if selection.only_tag is not None and not which.get("erase") else self._from_last
        return max([await store.invalidate_async(**which) for store in stores])

    @property
    def _from_last(self) -> tuple[BaseCache, ...]:
        # So that no reader copies into a faster store what is still in a later one.
        return self.tiers[::-1]

    def stats(self) -> CacheStats:
        """Counters over all stores, since this one was made: a hit in any of them is a hit, a miss is one in all.

        ``entries`` and ``bytes`` are those of the last store.
        """
        last = self.tiers[-1].stats()
        return replace(super().stats(), entries=last.entries, bytes=last.bytes)

    def ledger(self) -> Ledger:
        """That of the last store."""
        return self.tiers[-1].ledger()

    async def ledger_async(self) -> Ledger:
        """As `ledger`, without blocking the event loop."""
        return await self.tiers[-1].ledger_async()

    def __repr__(self) -> str:
        return f"TieredCache({', '.join(map(repr, self.tiers))})"


def require_store(name: str, value: object) -> BaseCache:
    """Return a store. The error for anything else says what to write in its place."""
    if isinstance(value, BaseCache):
        return value
    if isinstance(value, list | tuple):
        return TieredCache(*cast("list[BaseCache]", value))
    raise refuse(name, value, _advise_store(value))


def _advise_store(value: object) -> str:
    """What to write in place of something that isn't a store."""
    if isinstance(value, type):
        return f"an instance: {value.__name__}()" if issubclass(value, BaseCache) else _NO_STORE
    if isinstance(value, str) and "://" in value:
        return "RedisCache(url=...) for the URL of a Redis server, or DiskCache(...) for a directory"
    module = type(value).__module__
    if module.partition(".")[0] == "redis":
        return f"RedisCache({'async_client' if 'asyncio' in module else 'client'}=...) around it"
    if isinstance(value, (str, os.PathLike)) or module.partition(".")[0] == "diskcache":
        return 'DiskCache("directory") to keep answers in a directory'
    if value is True or isinstance(value, Mapping):
        return "AutoCache() to keep answers in the memory of this process"
    return f"{_NO_STORE}, or None"


def _flatten(stores: tuple[object, ...]) -> tuple[BaseCache, ...]:
    flat: list[BaseCache] = []
    for number, value in enumerate(stores):
        store = require_store(f"cache[{number}]", value)
        flat += store.tiers if isinstance(store, TieredCache) else (store,)
    if not flat:
        raise ArgumentError("A tiered cache has no store. Pass at least one, such as cache=[AutoCache(), DiskCache()].")
    for number, store in enumerate(flat):
        if any(store is other for other in flat[:number]):
            raise ArgumentError(
                f"A tiered cache has the same {type(store).__name__} twice. Pass each store once, the fastest first."
            )
    return tuple(flat)


def _attempt(store: BaseCache, operation: Callable[[StoreHandle], Text | bool | None]) -> Text | None:
    """Do something with one store. Its failure is passed over, and was logged, unless the store is to raise."""
    from instructor.cache.handle import handle_of

    try:
        result = operation(handle_of(store))
    except CacheError:
        if store.on_error == "raise":
            raise
        return None
    return None if isinstance(result, bool) else result
