"""What a store is: the two methods of `BaseCache`, and the abilities that a richer store may declare."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, TypeGuard, Unpack, cast

from instructor.cache.entry import Entry, Generations
from instructor.cache.listing import Listed, Which, select
from instructor.cache.misses import Diagnosis
from instructor.exceptions import ArgumentError, ConfigurationError
from instructor.tables import as_table

if TYPE_CHECKING:
    from instructor.cache.ledger import Ledger
    from instructor.cache.stats import CacheStats

Text: TypeAlias = str | bytes | bytearray | memoryview
"""What a store may return from `BaseCache.get`: the text that was stored, or its UTF-8."""

Ability = Literal[
    "local", "async", "bounded", "sized", "listing", "deleting", "tagging", "tracking", "recording", "ledger", "leasing",
    "recalling",
]  # fmt: skip
"""What a store can do beyond `BaseCache.get` and `BaseCache.set`; see `BaseCache.abilities`."""

LONGEST_TTL = 10 * 365 * 24 * 60 * 60
"""The longest ttl that is passed to a store: ten years, in seconds. Servers refuse numbers that are far longer."""

LONGEST_TIMEOUT = 24 * 60 * 60
"""The longest timeout of a store: a day, in seconds. Longer ones overflow in some of the clocks that count them."""


class BaseCache(ABC):
    """A store of answers. Subclass it with `get` and `set` to cache in anything you like.

    The two methods may be plain or ``async``; either kind serves both clients. They are called from several threads
    at once. Plain ones run in a worker thread, so a store that hangs cannot hang the call. If the store must be used
    from the thread that made it, such as a single ``sqlite3`` connection, set ``timeout = None`` on the class: the
    synchronous client then calls the plain methods in the caller's own thread, without a limit.
    A subclass need not call ``super().__init__()``. Test yours with `instructor.testing.StoreContract`.

    Attributes:
        timeout: Seconds after which an operation counts as failed. Default 5.0; None for no limit. Only the time in
            which the operation runs counts, not waiting for a turn, a worker thread or a busy event loop.
        concurrency: How many operations the store is asked for at once by threads, and by the tasks of each event
            loop; the others wait for their turn. Default 50; worker threads are 16 at most.
        pause: Seconds for which a store that failed is left alone at most. It is tried again after a hundredth of that,
            then after pauses that double. Default 10.0.
        on_error: ``"ignore"`` (default): an outage of the store costs one warning, each failure an event, and calls
            go on without it. ``"raise"``: the call raises `CacheError`.
        abilities: What else the store can do. Default: nothing, whatever other methods it has.
            ``"local"``: it is memory of this process, with the methods of `LocalStore`;
            ``"async"``: it has the methods of `AsyncStore` beside plain ones;
            ``"bounded"``: plain `get` and `set` limit their own time, so the synchronous client calls them in the
            caller's thread; ``"sized"``: it has the method of `SizedStore`; ``"listing"``, ``"deleting"`` and
            ``"tagging"``: those of `ListingStore`, `DeletingStore` and `TaggingStore`, which `invalidate` needs;
            ``"tracking"``: those of `TrackingStore`, which keeps memory right that stands before the store;
            ``"recording"``: those of `RecordingStore`; ``"ledger"``: those of `LedgerStore`; ``"leasing"``: the
            attribute of `LeasingStore`; ``"recalling"``: the method of `RecallingStore`.
            The first three and the last two are about `get` and `set`. A subclass that overrides either must declare its
            abilities again, or it has none of them.
        honours_ttl: False for a store whose entries never expire, whatever ``cache_ttl`` says. Default True.

    If one of these has a wrong value, the first use of the store raises `ArgumentError`.

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
    concurrency: int = 50
    pause: float = 10.0
    on_error: Literal["ignore", "raise"] = "ignore"
    abilities: frozenset[Ability] = frozenset()
    honours_ttl: ClassVar[bool] = True

    @abstractmethod
    def get(self, key: str) -> Awaitable[Text | None] | Text | None:
        """Return what was stored under `key`, or None.

        Args:
            key: 64 hexadecimal digits, a SHA-256.

        Returns:
            The text; or its UTF-8 as ``bytes``, ``bytearray`` or ``memoryview``, as database drivers return it.
        """

    @abstractmethod
    def set(self, key: str, value: Any, ttl: int | None = None) -> object:
        """Store `value`, a ``str``, under `key`.

        Args:
            key: As in `get`.
            value: Text, one to three kilobytes for most answers.
            ttl: Whole seconds after which the entry may go, from 1 to 315,360,000 (ten years; a longer
                ``cache_ttl`` arrives as that); None to keep it. An entry that outlives its ttl is not served,
                so a store that cannot expire entries may ignore it.
        """

    def peek(self, key: str) -> Awaitable[Text | None] | Text | None:
        """As `get`, for those who look after a store: it doesn't count as a use, where the store can keep the two apart."""
        return self.get(key)

    def note_ttl(self) -> None:  # noqa: B027 - a store that honours ttl has nothing to say
        """Called in place of passing a ttl on, where ``honours_ttl`` is False."""

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        """Return what `get` returns for each of `keys`. A store that can read many at once overrides it."""
        return [self.get(key) for key in keys]

    async def get_many_async(self, keys: Sequence[str]) -> list[Any]:
        """As `get_many`, without blocking the event loop."""
        import inspect

        found = cast("list[Any]", await _in_thread(self.get_many, keys))
        return [await text if inspect.isawaitable(text) else text for text in found]

    def delete(self, key: str) -> Any:  # noqa: ARG002 - for those who override it
        """Remove the entry under `key`; return whether it was there."""
        raise cannot(self, "delete", "deleting")

    def clear(self) -> Any:
        """Remove all entries; return how many there were."""
        raise cannot(self, "clear", "deleting")

    def compact(self) -> None:  # noqa: B027 - a store that keeps nothing of what was removed has nothing to do
        """Give the space of removed entries back, so that nothing is left of them."""

    def invalidate(self, **which: Unpack[Which]) -> int:
        """Stop serving the answers that fit all of the arguments.

        A tag alone takes one operation, however many answers have it, and is about answers that are still being asked
        for too: all processes that share the store stop serving them at once, and the answers themselves stay where
        they are until they are overwritten, expire or are evicted. Anything else is looked for in all entries of the
        store, and removed; an answer that is just being asked for is stored when it comes.

        Args:
            **which: `tag`: one of the answer's ``cache_tags``. `namespace`: its ``cache_namespace``; ``""`` for the one
                without a name. `model`: the model that was asked, or that answered. `response_model`: the response
                model, or its name. `older_than`: seconds, or a timedelta, since the answer came, by the clocks of who
                stored it and who asks now. `erase`: whether the answers are removed as well, and nothing of them is
                left, when this returns (see `compact`); default False.

        Returns:
            How many entries were removed. For a tag alone, without `erase`, how many answers were stored with it since
            it was last invalidated, those included that have expired, were evicted or overwritten since.

        Raises:
            ArgumentError: There is no argument, or one is wrong.
            ConfigurationError: The store can't do it: it lacks an ability.
            CacheError: The store failed; or with `erase`, something of the answers is left.

        Example:
            >>> from instructor import AutoCache, from_provider
            >>> cache = AutoCache()
            >>> client = from_provider("offline/demo", cache=cache)
            >>> messages = [{"role": "user", "content": "Anna is 25."}]
            >>> client.create(response_model=int, messages=messages, cache_tags=["doc:7"])
            25
            >>> cache.invalidate(tag="doc:7")
            1
        """
        selection, erase = select(which, time.time), which.get("erase", False)
        if selection.only_tag is not None:
            count = tagging(self).invalidate_tag(selection.only_tag)
            if not erase:
                return count
        lists, deletes = listing(self), deleting(self)
        removed = sum(deletes.delete_many(selection.keys_of(batch)) for batch in lists.list_entries())
        if erase:
            self.compact()
        return removed

    async def delete_async(self, key: str) -> bool:
        """As `delete`, without blocking the event loop."""
        return bool(await _in_thread(self.delete, key))

    async def clear_async(self) -> int:
        """As `clear`, without blocking the event loop."""
        return cast("int", await _in_thread(self.clear))

    async def invalidate_async(self, **which: Unpack[Which]) -> int:
        """As `invalidate`, without blocking the event loop."""
        return cast("int", await _in_thread(partial(self.invalidate, **which)))

    def stats(self) -> CacheStats:
        """Counters of this store since it was made, over all clients that use it."""
        from instructor.cache.handle import handle_of

        return handle_of(self).stats()

    def ledger(self) -> Ledger:
        """What all clients of this store spent, and what it saved them: in all processes, where the store keeps that.

        `DiskCache` and `RedisCache` keep it. What was spent is there as soon as its answer is; what hits saved, when the
        next answer is stored, after some seconds with many hits, when the program ends, and when this is called. Any
        other store counts for this process. Of several stores the last one keeps the ledger.

        Raises:
            CacheError: The store failed.

        Example:
            >>> cache = instructor.AutoCache()
            >>> client = instructor.from_provider("offline/demo", cache=cache)
            >>> answers = [client.create(User, messages) for _ in range(2)]
            >>> cache.ledger().saved.count
            1
        """
        from instructor.cache.handle import handle_of
        from instructor.cache.ledger import Ledger

        return Ledger(handle_of(self).read_books())

    async def ledger_async(self) -> Ledger:
        """As `ledger`, without blocking the event loop."""
        from instructor.cache.handle import handle_of
        from instructor.cache.ledger import Ledger

        return Ledger(await handle_of(self).read_books_async())

    def _repr_html_(self) -> str:
        """The store and its counters, for notebooks."""
        return as_table(self.stats().__rich_repr__(), repr(self))


class LocalStore(Protocol):
    """The ability ``"local"``: memory of this process, which is read and written inline and holds decoded entries."""

    def find(self, key: str) -> Entry | None:
        """Return the entry under `key`. The caller counts hits and misses."""
        ...

    def keep(self, entry: Entry) -> None:
        """Hold `entry` under its key."""
        ...


class AsyncStore(Protocol):
    """The ability ``"async"``: native asynchronous input and output beside the plain methods."""

    async def get_async(self, key: str) -> Text | None:
        """As `BaseCache.get`."""
        ...

    async def set_async(self, key: str, value: str, ttl: int | None = None) -> None:
        """As `BaseCache.set`."""
        ...


class SizedStore(Protocol):
    """The ability ``"sized"``: the store knows how much it holds."""

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and their bytes."""
        ...


class ListingStore(Protocol):
    """The ability ``"listing"``: the store can say what it holds."""

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries, in batches, so that no more than one batch is in memory.

        What is written or removed meanwhile may be listed or not. An entry whose tag was invalidated is listed too. In
        a store that is asynchronous only, the method is an asynchronous generator.
        """
        ...


class DeletingStore(Protocol):
    """The ability ``"deleting"``: entries can be removed."""

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        ...

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys`; return how many of them were there."""
        ...

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        ...


class TaggingStore(Protocol):
    """The ability ``"tagging"``: the store numbers the invalidations of tags, for all processes that share it.

    A number is read before a question is asked and kept in its answer, so no clock is compared with another. A store
    that is ``"async"`` too has ``generations_async``, which its asynchronous callers use.
    """

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the number of the latest invalidation of all, and of each of `tags`."""
        ...

    def invalidate_tag(self, tag: str) -> int:
        """Make the next number that of `tag`; return how many answers were stored with it since its last one."""
        ...


class LedgerStore(Protocol):
    """The ability ``"ledger"``: the store keeps sums of whole numbers, for all processes that share it.

    A store that is ``"async"`` too has ``add_amounts_async`` and ``read_amounts_async``, which its asynchronous callers use.
    """

    def add_amounts(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """Add to the numbers under each name, of which there are six.

        Return how many names there are by then, or 0 where they weren't counted this time.
        """
        ...

    def read_amounts(self) -> Mapping[str, Sequence[int]]:
        """Return the numbers under all names."""
        ...


class RecordingStore(Protocol):
    """The ability ``"recording"``: the store keeps what was asked beside the answer, and makes the keys of calls itself.

    Its methods run in the caller's thread, before the store is read, so they must not wait for anything.
    """

    def name_call(self, members: Mapping[str, str], response_model: str) -> str:
        """Return the key of a call. `members` are those of the client's own key, each as canonical JSON."""
        ...

    def name_sample(self, key: str, number: int) -> str:
        """Return the key of one of several answers to a call, counted from 0."""
        ...

    def explain(self, key: str) -> Diagnosis | None:
        """Say why there is no answer under a key; None if that isn't known."""
        ...


_METHODS: dict[Ability, tuple[str, ...]] = {
    "local": ("find", "keep"),
    "async": ("get_async", "set_async"),
    "bounded": (),
    "sized": ("size",),
    "listing": ("list_entries",),
    "deleting": ("delete", "delete_many", "clear"),
    "tagging": ("generations", "invalidate_tag"),
    "tracking": ("watch",),
    "recording": ("name_call", "name_sample", "explain"),
    "ledger": ("add_amounts", "read_amounts"),
    "leasing": ("leases",),
    "recalling": ("recall",),
}
"""The methods that each ability needs."""

_OF_BOTH_METHODS: frozenset[Ability] = frozenset({"local", "async", "bounded", "leasing", "recalling"})
"""The abilities that are about `get` and `set`."""

_ATTRIBUTES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "timeout": (
        "seconds above 0, at most a day, or None for no limit",
        lambda value: value is None or is_timeout(value),
    ),
    "concurrency": ("a whole number above 0", lambda value: type(value) is int and value > 0),
    "pause": (
        "seconds, not below 0",
        # A larger int isn't infinite, and can't be added to a clock.
        lambda value: _is_number(value) and (0 <= value <= sys.float_info.max or value == math.inf),
    ),
    "on_error": ('"ignore" or "raise"', lambda value: value in ("ignore", "raise")),
    "abilities": (
        f"a frozenset of {', '.join(map(repr, _METHODS))}",
        lambda value: isinstance(value, frozenset) and value <= _METHODS.keys(),
    ),
}
"""What each attribute of a store takes, in words and as a check."""


def check_store(store: BaseCache) -> frozenset[Ability]:
    """Check the attributes of a store; return its abilities."""
    for name, (description, fits) in _ATTRIBUTES.items():
        value: object = getattr(store, name)
        if not fits(value):
            raise ArgumentError(f"{type(store).__name__}.{name} takes {description}; got {value!r}.")
    abilities = store.abilities if _declares_own(type(store)) else store.abilities - _OF_BOTH_METHODS
    for ability in abilities:
        kind = type(store)
        missing = [name for name in _METHODS[ability] if getattr(kind, name, None) is getattr(BaseCache, name, None)]
        if missing:
            raise ArgumentError(
                f"{type(store).__name__}.abilities says {ability!r}, but there is no method {missing[0]}. Write it, "
                "or leave the ability out."
            )
    return abilities


def listing(store: BaseCache) -> ListingStore:
    """The store as one that can list its entries."""
    return cast("ListingStore", _require(store, "list its entries", "listing"))


def deleting(store: BaseCache) -> DeletingStore:
    """The store as one that can remove entries."""
    return cast("DeletingStore", _require(store, "delete", "deleting"))


def tagging(store: BaseCache) -> TaggingStore:
    """The store as one that numbers invalidations."""
    return cast("TaggingStore", _require(store, "invalidate tags", "tagging"))


def _require(store: BaseCache, what: str, ability: Ability) -> BaseCache:
    if ability not in check_store(store):
        raise cannot(store, what, ability)
    return store


def cannot(store: BaseCache, what: str, ability: Ability) -> ConfigurationError:
    """The error for an operation that a store isn't able to perform."""
    return ConfigurationError(
        f"{type(store).__name__} can't {what}: its abilities don't include {ability!r}. Write the methods "
        f"{', '.join(_METHODS[ability])} and declare it, or use AutoCache, DiskCache or RedisCache."
    )


async def _in_thread(operation: Callable[..., Any], *arguments: object) -> Any:
    import asyncio
    import inspect

    found = await asyncio.to_thread(operation, *arguments)
    return await found if inspect.isawaitable(found) else found


def check_key(kind: str, key: object) -> str:
    """Return `key` if it can be one, for a store whose class is named `kind`."""
    if not isinstance(key, str):
        raise ArgumentError(f"{kind} takes a str as key; got {type(key).__name__}.")
    return key if key.isascii() else _check_encodable(kind, "key", key)


def check_text(kind: str, value: object) -> str | bytes:
    """Return `value` if it can be stored."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ArgumentError(f"{kind}.set takes a str or bytes as value; got {type(value).__name__}.")
    return value if value.isascii() else _check_encodable(kind, "value", value)


def check_ttl(kind: str, ttl: object) -> int | None:
    """Return `ttl`, or `LONGEST_TTL` if it is longer."""
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1:
        raise ArgumentError(f"{kind}.set(ttl=) takes whole seconds above 0, or None to keep it; got {ttl!r}.")
    return min(ttl, LONGEST_TTL)


def check_timeout(kind: str, timeout: object) -> float:
    """Return the `timeout` of a store whose class is named `kind`."""
    if not is_timeout(timeout):
        raise ArgumentError(f"{kind}(timeout=) takes seconds above 0, at most a day; got {timeout!r}.")
    return timeout


def is_timeout(value: object) -> TypeGuard[float]:
    """Whether `value` can be a timeout: a number of seconds above 0, at most a day."""
    return _is_number(value) and 0 < value <= LONGEST_TIMEOUT


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_encodable(kind: str, what: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{kind} cannot store a {what} that has no UTF-8: {error}.") from None
    return text


def _declares_own(kind: type[BaseCache]) -> bool:
    """Whether the abilities of a class were declared with its `get` and `set`, or in a subclass of theirs."""

    def depth(name: str) -> int:
        return next(depth for depth, ancestor in enumerate(kind.__mro__) if name in vars(ancestor))

    return depth("abilities") <= min(depth("get"), depth("set"))
