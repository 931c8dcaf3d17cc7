"""The stores in this process's memory: what they have in common, and the smallest of them."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, cast

from instructor.cache.entry import Entry, Generations, decode_entry, encode_entry
from instructor.cache.kept import Kept
from instructor.cache.listing import MOST_NUMBERED, Listed, draw_generation
from instructor.cache.store import Ability, BaseCache
from instructor.cache.use_order import UseOrder, number_uses
from instructor.describing import warn_caller
from instructor.exceptions import ArgumentError, CacheEntryError
from instructor.locks import make_lock

_MOST_GONE = 64
"""Entries that were deleted and still stand in the order of uses."""


Name = str | tuple[str]
"""What something is held under: the key of an entry, or the tuple of the key of a text that isn't an entry.

So all is of one order, and a dict's own ``get`` with a key, which every hit goes through, sees only entries."""

Value = Kept | Entry | str | bytes
"""What is held: an entry that was prepared for hits, one that wasn't, or a text that isn't an entry."""


class HeldInMemory(BaseCache):
    """What stores in this process's memory have in common: all but which entry goes when they are full.

    A subclass says in `_hold`, `_drop` and `_note_use` what it does when something comes, goes or
    is used. Each of the three is called under the lock.
    """

    abilities: frozenset[Ability] = frozenset({"local", "sized", "listing", "deleting", "tagging"})
    timeout = None

    def __init__(self, held: dict[Name, Value]) -> None:
        self._held = held
        self._lock = make_lock()
        self._entry_of = cast("Callable[[str], Kept | Entry | None]", self._held.get)
        self._first = self._latest = draw_generation()
        self._of_tags: dict[str, int] = {}
        self._tagged: Counter[str] = Counter()  # the answers with each tag that may be served

    @property
    @abstractmethod
    def find_held(self) -> Callable[[str], Kept | Entry | None]:
        """Finds the entry under a key as it is held, and notes that it was used."""

    def find(self, key: str) -> Entry | None:
        """Return the entry under `key`, as the one used last."""
        held = self.find_held(key)
        return held.entry if isinstance(held, Kept) else held

    def keep(self, entry: Entry) -> None:
        """Hold `entry` under its key."""
        held = entry if entry.carried is None else Kept(entry, entry.carried)
        with self._lock:
            self._replace(entry.key, (entry.key,), held, entry.expires)

    def get(self, key: str) -> str | bytes | None:
        """Return the text under `key`, or None. It counts neither as a hit nor as a miss."""
        with self._lock:
            name = key if key in self._held else (key,)
            held = self._held.get(name)
            if held is None:
                return None
            self._note_use(name)
        return held if isinstance(held, str | bytes) else encode_entry(held.entry if isinstance(held, Kept) else held)

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """Hold a text under `key`.

        Raises:
            ConfigurationError: `value` is neither str nor bytes.
        """
        if not isinstance(value, str | bytes):
            raise ArgumentError(f"{type(self).__name__}.set takes a str or bytes as value; got {type(value).__name__}.")
        try:
            entry = decode_entry(value, key)
        except CacheEntryError:
            entry = None
        until = None if ttl is None else time.time() + ttl
        with self._lock:
            if entry is not None:
                self._replace(key, (key,), entry, until)
            else:
                self._replace((key,), key, value, until)

    def delete(self, key: str) -> bool:
        """Forget `key`; return whether it was there."""
        with self._lock:
            held = self._drop(key) or self._drop((key,))
        return held is not None

    def delete_many(self, keys: Sequence[str]) -> int:
        """Forget `keys`; return how many of them were there."""
        return sum(map(self.delete, keys))

    def clear(self) -> int:
        """Forget everything; return how many answers there were."""
        with self._lock:
            names = list(self._held)
            for name in names:
                self._drop(name)
        return len(names)

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries, in batches."""
        with self._lock:
            held = list(self._held.items())
        for start in range(0, len(held), _BATCH):
            batch = held[start : start + _BATCH]
            yield [_list(name if isinstance(name, str) else name[0], value) for name, value in batch]

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the number of the latest invalidation of all, and of each of `tags`."""
        with self._lock:
            return Generations(self._first, self._latest, [self._of_tags.get(tag, 0) for tag in tags])

    def invalidate_tag(self, tag: str) -> int:
        """Stop serving the answers that have a tag; return how many there were. They go as any other."""
        with self._lock:
            count = self._tagged.pop(tag, 0)
            if len(self._of_tags) >= MOST_NUMBERED:
                self._of_tags.clear()
                self._tagged.clear()
                self._first = self._latest = draw_generation()
            self._latest += 1
            self._of_tags[tag] = self._latest
            return count

    def _count_tags(self, value: Value | None, by: int) -> None:
        """Count what comes under its tags, or what goes, so that to invalidate a tag takes no longer among a million."""
        if value is None or isinstance(value, str | bytes) or value.tagged is None:
            return
        tags, generation = value.tagged
        for tag in tags:
            if self._of_tags.get(tag, self._first) <= generation <= self._latest:
                self._tagged[tag] += by
                if not self._tagged[tag]:
                    del self._tagged[tag]

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes of text in them."""
        with self._lock:
            held = list(self._held.values())
        return len(held), sum(map(count_bytes, held))

    def _replace(self, name: Name, other_name: Name, value: Value, until: float | None) -> None:
        """Hold something in place of what is there under either name."""
        self._drop(other_name)
        self._hold(name, value, until)

    @abstractmethod
    def _hold(self, name: Name, value: Value, until: float | None) -> None: ...

    @abstractmethod
    def _drop(self, name: Name) -> Value | None: ...

    @abstractmethod
    def _note_use(self, name: Name) -> object: ...

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: str) -> bool:
        return key in self._held or (key,) in self._held


_BATCH = 1000


class AutoCache(HeldInMemory):
    """The fastest store: it keeps the latest answers in memory and forgets the least recently used one when full.

    (Where more than 128 of those next in line were used meanwhile, it forgets the least recently used one of 128.)

    Use it in one long-running process, or while you develop. Nothing outlives the process, and a forked child goes on
    with its own copy. Any number of threads and tasks may use it. An answer takes about 710 bytes besides its texts.

    Entries do not expire: a ttl is ignored, and the first one costs a warning. `get` returns the ``str`` that was
    stored. For entries that expire, a limit in bytes, or loops over more data than fit, see `MemoryCache`.

    Args:
        maxsize: How many answers to hold, at least 1. Default 128.

    Raises:
        ArgumentError: `maxsize` is not a positive int.

    Example:
        >>> cache = AutoCache(maxsize=2)
        >>> cache.set("a", "1")
        >>> cache.get("a"), len(cache)
        ('1', 1)
    """

    abilities: frozenset[Ability] = HeldInMemory.abilities
    honours_ttl: ClassVar[bool] = False

    def __init__(self, maxsize: int = 128) -> None:
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - users without a checker
            raise ArgumentError(f"AutoCache(maxsize=) takes a positive int, such as 128; got {maxsize!r}.")
        self.maxsize = maxsize
        self._uses = number_uses(maxsize)
        self._numbers: dict[Name, int] = {}  # the last uses of what isn't `Kept`
        self._order: UseOrder[Name] = UseOrder(self._number_of)
        self._warned = False
        super().__init__({})
        self._find_held = self._make_finder()

    @property
    def find_held(self) -> Callable[[str], Kept | Entry | None]:
        """As in every store in memory."""
        return self._find_held

    def _make_finder(self) -> Callable[[str], Kept | Entry | None]:
        """Make `find_held`. It takes no lock: threads that wait for one would cost more than all the rest of a cache hit.

        It is a closure, because reading a variable of one takes less time than an attribute. It doesn't hold the store.
        """
        entry_of, uses, numbers = self._entry_of, self._uses, self._numbers

        def find_held(key: str) -> Kept | Entry | None:
            held = entry_of(key)
            if type(held) is Kept:
                held.used = next(uses)
            elif held is not None:
                numbers[key] = next(uses)
            return held

        return find_held

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """As `HeldInMemory.set`; `ttl` is ignored."""
        super().set(key, value)
        if ttl is not None:
            self.note_ttl()

    def note_ttl(self) -> None:
        """Warn, once for this store, that a ttl has no effect on it."""
        if not self._warned:
            self._warned = True
            warn_caller(
                "AutoCache ignores ttl: its entries stay until they are the least recently used. "
                "Use MemoryCache, DiskCache or RedisCache for answers that expire."
            )

    def _hold(self, name: Name, value: Value, until: float | None) -> None:  # noqa: ARG002 - as it says
        is_new = name not in self._held
        self._count_tags(self._held.get(name), -1)
        self._count_tags(value, 1)
        self._held[name] = value
        number = self._note_use(name)
        if is_new:
            self._order.add(name, number)
        while len(self._held) > self.maxsize:
            self._drop(self._order.choose())
        if len(self._order) > 2 * len(self._held) + _MOST_GONE:
            self._order.forget()

    def _drop(self, name: Name) -> Value | None:
        self._numbers.pop(name, None)
        value = self._held.pop(name, None)
        self._count_tags(value, -1)
        return value

    def _note_use(self, name: Name) -> int:
        number, held = next(self._uses), self._held.get(name)
        if isinstance(held, Kept):
            held.used = number
        elif held is not None:  # no other thread has dropped it since
            self._numbers[name] = number
        return number

    def _number_of(self, name: Name) -> int | None:
        held = self._held.get(name)
        return held.used if isinstance(held, Kept) else self._numbers.get(name) if held is not None else None

    def __repr__(self) -> str:
        return f"AutoCache(maxsize={self.maxsize})"

    def __reduce__(self) -> tuple[type[AutoCache], tuple[int]]:
        # A copy, or the same store in a process that was spawned, begins empty.
        return type(self), (self.maxsize,)


def _list(key: str, held: Value) -> Listed:
    if isinstance(held, str | bytes):
        return Listed(key, count_bytes(held))
    size = count_bytes(held)
    return Listed(key, size, held.created, held.expires, held.origin, held.tagged, held.seconds, held.usage)


def count_bytes(held: Value) -> int:
    """The bytes of the texts in what is held."""
    if isinstance(held, Kept | Entry):
        return sum(count_bytes(part.text) for part in held.parts) + len(held.completion_data)
    return len(held) if isinstance(held, bytes) or held.isascii() else len(held.encode(errors="surrogatepass"))
