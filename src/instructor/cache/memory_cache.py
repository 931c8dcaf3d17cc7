"""The full store in this process's memory: limits in entries and bytes, a ttl, and a choice of what goes when it is full."""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from instructor.cache.entry import Entry
from instructor.cache.eviction import PolicyName, check_policy, make_policy
from instructor.cache.kept import Kept
from instructor.cache.memory import HeldInMemory, Name, Value
from instructor.cache.store import Ability
from instructor.describing import refuse

MOST_NOTED = 64
"""Uses that are noted before the policy hears of them."""

_CROWDED = 0.75
"""From this share of a limit on, uses are noted."""

OWN_BYTES = 520
"""What an entry takes beside its own objects, in dicts and in the policy. Python's dicts grow in steps, so it is what
they take just after one."""


class MemoryCache(HeldInMemory):
    """A store in memory with limits in entries and in bytes, entries that expire, and an eviction that no scan empties.

    Use it where one process is long-lived or where it stands before a `DiskCache` or a `RedisCache`, and in particular
    for the same data again and again: an evaluation of 1,200 prompts in a store of 1,000 is served to three quarters
    from the second round on, while `AutoCache`, which forgets the least recently used answer, serves none of it. Any
    number of threads and tasks may use it. Nothing outlives the process.

    Args:
        max_entries: How many answers to hold; None (default) for as many as fit in `max_bytes`.
        max_bytes: How many bytes to hold, with all that Python and the store itself need for them; None for no limit.
            Default 64 MiB, about 20,000 answers. An answer that alone is larger isn't held.
        ttl: Seconds, or a timedelta, for which an answer is served at most, whatever its call says; None (default) for
            what the call says.
        policy: What goes when a limit is reached: ``"auto"`` (default) goes by how often or by how lately an answer was
            used, whichever has served more of late; ``"lru"`` by how lately, ``"tinylfu"`` by how often. Answers that
            have expired go first.

    Raises:
        ArgumentError: An argument is of the wrong type or out of its range.

    Example:
        >>> cache = MemoryCache(max_entries=10_000, ttl=3600)
        >>> cache.set("a", "1", ttl=60)
        >>> cache.get("a"), len(cache)
        ('1', 1)
    """

    abilities: frozenset[Ability] = HeldInMemory.abilities

    def __init__(
        self,
        max_entries: int | None = None,
        max_bytes: int | None = 64 << 20,
        ttl: float | timedelta | None = None,
        policy: PolicyName = "auto",
    ) -> None:
        self.max_entries = _check_limit("max_entries", max_entries)
        self.max_bytes = _check_limit("max_bytes", max_bytes)
        self.ttl = _check_seconds(ttl)
        self.policy: PolicyName = check_policy("MemoryCache(policy=)", policy)
        self._policy = make_policy(self.policy)
        self._bytes = 0
        self._sizes: dict[Name, int] = {}  # as they were counted: Python adds a UTF-8 copy to some texts later
        self._expires: dict[Name, float] = {}
        self._due: list[tuple[float, int, Name]] = []  # a heap; it may hold times that count no more
        self._number = itertools.count()
        self._uses: deque[Name] = deque()
        self._note = self._uses.append
        self._crowded = False  # whether a limit is near, so that it matters which entries are used
        super().__init__({})

    @property
    def find_held(self) -> Callable[[str], Kept | Entry | None]:
        """As in every store in memory."""
        return self._find_held

    def _find_held(self, key: str) -> Kept | Entry | None:
        """Return the entry under `key` as it is held. Who asks looks whether it has expired.

        It takes no lock: the use is noted in a deque, and the policy hears of many at once.
        """
        entry = self._entry_of(key)
        if entry is not None and self._crowded:
            self._note(key)
            # If another thread has the lock, it or a later use sees to the notes.
            if len(self._uses) >= MOST_NOTED and self._lock.acquire(blocking=False):
                try:
                    self._tell_policy()
                finally:
                    self._lock.release()
        return entry

    def get(self, key: str) -> str | bytes | None:
        """Return the text under `key`, or None if there is none or it has expired."""
        until = self._expires.get(key) or self._expires.get((key,))
        return None if until is not None and until <= time.time() else super().get(key)

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes that they take, as `max_bytes` counts them."""
        return len(self._held), self._bytes

    def _hold(self, name: Name, value: Value, until: float | None) -> None:
        self._drop(name)
        now = time.time()
        if self.ttl is not None:
            until = now + self.ttl if until is None else min(until, now + self.ttl)
            value = _limit(value, until)
        size = footprint(name, value)
        if self.max_bytes is not None and size > self.max_bytes:
            return
        self._tell_policy()
        self._count_tags(value, 1)
        self._held[name] = value
        self._sizes[name] = size
        self._bytes += size
        self._policy.add(name)
        if until is not None:
            self._expires[name] = until
            heapq.heappush(self._due, (until, next(self._number), name))
        if not self._crowded:
            self._crowded = self._is_over(_CROWDED)
        if self._is_over():
            self._make_room(now)

    def _is_over(self, share: float = 1.0) -> bool:
        return (self.max_entries is not None and len(self._held) > self.max_entries * share) or (
            self.max_bytes is not None and self._bytes > self.max_bytes * share
        )

    def _make_room(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            until, _, name = heapq.heappop(self._due)
            if self._expires.get(name) == until:
                self._drop(name)
        if len(self._due) > 2 * len(self._expires) + MOST_NOTED:
            self._due = [(until, next(self._number), name) for name, until in self._expires.items()]
            heapq.heapify(self._due)
        while self._is_over():
            self._drop(self._policy.choose())

    def _drop(self, name: Name) -> Value | None:
        value = self._held.pop(name, None)
        if value is not None:
            self._bytes -= self._sizes.pop(name)
            self._policy.drop(name)
            self._expires.pop(name, None)
            self._count_tags(value, -1)
        return value

    def _note_use(self, name: Name) -> None:
        if self._crowded:
            self._note(name)

    def _tell_policy(self) -> None:
        uses, use = self._uses, self._policy.use
        for _ in range(len(uses)):
            use(uses.popleft())

    def __repr__(self) -> str:
        return (
            f"MemoryCache(max_entries={self.max_entries}, max_bytes={self.max_bytes}, ttl={self.ttl}, "
            f"policy={self.policy!r})"
        )

    def __reduce__(self) -> tuple[type[MemoryCache], tuple[object, ...]]:
        # A copy, or the same store in a process that was spawned, begins empty.
        return type(self), (self.max_entries, self.max_bytes, self.ttl, self.policy)


def _limit(value: Value, until: float) -> Value:
    """Let an entry expire no later than that."""
    if isinstance(value, str | bytes) or (value.expires is not None and value.expires <= until):
        return value
    if isinstance(value, Kept):
        return Kept(replace(value.entry, expires=until), value)
    return replace(value, expires=until)


def footprint(name: Name, value: Value) -> int:
    """The bytes that something takes in memory, with its share of dicts and of the policy."""
    size = sys.getsizeof
    if isinstance(value, str | bytes):
        return OWN_BYTES + size(name) + (size(value) if isinstance(value, bytes) else _size_text(value))
    # The key of an entry is the name; a name of a tool and an `Origin` are shared.
    own = size(name) + size(value) + size(value.completion_data) + size(value.steps)
    parts = value.parts
    lone = isinstance(value, Kept) and len(parts) == 1  # whose text is all that is held of it
    texts = sum(_size_text(part.text) for part in parts) + (0 if lone else size(parts) + _PART * len(parts))
    tags = 0 if value.tagged is None else _PART + size(value.tagged.tags) + sum(map(size, value.tagged.tags))
    return OWN_BYTES + own + texts + tags + _NUMBERS


def _size_text(text: str) -> int:
    """What a text takes, with the UTF-8 that Python keeps beside it once the text was parsed."""
    return sys.getsizeof(text) + (0 if text.isascii() else len(text.encode(errors="surrogatepass")))


_PART = sys.getsizeof(("", "")) + 16
"""A tuple of two, with what the garbage collector keeps before it."""

_NUMBERS = 3 * sys.getsizeof(1.5) + sys.getsizeof((1, 2, 3, 4)) + 4 * sys.getsizeof(1000) + 2 * 16
"""The times of an entry and its `Usage`."""


def _check_limit(name: str, limit: object) -> int | None:
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0):
        return limit
    raise refuse(f"MemoryCache({name}=)", limit, "an int above 0, or None for no limit")


def _check_seconds(ttl: object) -> float | None:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise refuse("MemoryCache(ttl=)", ttl, "seconds above 0, a timedelta, or None")
    return float(seconds)
