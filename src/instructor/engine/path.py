"""Where a client's answers are kept: an ordered path of tiers, the fastest first.

A tier says how one store is read and written. Memory of this process is read by a plain call, any other store by an
effect, because it may wait. No other file asks what kind of store it has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from instructor.cache.entry import Entry, Generations, Tagged, decode_entry, encode_entry
from instructor.cache.handle import StoreHandle, handle_of
from instructor.cache.hits import HitLog
from instructor.cache.kept import Kept
from instructor.cache.misses import COLD, FAILED, INVALIDATED, PAUSED, Cause
from instructor.cache.recent import decode_recalled
from instructor.cache.sample_turns import sample_key
from instructor.cache.tiered import TieredCache
from instructor.engine.effects import Flow, Read, Write
from instructor.exceptions import CacheEntryError, CacheError
from instructor.records import record

if TYPE_CHECKING:
    from instructor.cache.books import Books
    from instructor.cache.call_notes import CallNotes
    from instructor.cache.flight import Flights
    from instructor.cache.lease import HeldLease
    from instructor.cache.store import BaseCache, LocalStore, RecordingStore, TaggingStore
    from instructor.cache.tracking import Memory, Watch
    from instructor.engine.key_memo import Frozen

Held = Entry | Cause | None
"""What a tier holds under a key: an entry, why it has none that can be used, or None for nothing."""


class Unserved(NamedTuple):
    """A store was read by the fast path, and has nothing that may be served. The flow need not read it again.

    Attributes:
        cause: Why, for the event of the miss.
        landed: How many flights had ended before the store was read; None if the answer that was found is refused, so
            that reading again would find the same.
        error: What the store raised.
        encoding: The call's encoding when the store was read; the caller may have changed its messages since. A call
            with long texts was copied for that, and is yet to be encoded. The flow's key is made of nothing else.
        entry: What was found and isn't fresh; the flow decides whether it is served all the same.
    """

    cause: Cause
    landed: int | None = None
    error: CacheError | None = None
    encoding: bytes | Frozen | None = None
    entry: Entry | None = None


FindNow = Callable[[str], Kept | Entry | Unserved | None]
"""Looks a key up by a plain call. None: there is nothing, and looking again costs nothing."""

FindLater = Callable[[str], Awaitable[Entry | Unserved]]
"""Looks a key up in a task."""

FindAtOnce = Callable[[str], Entry | None]
"""Looks a key up in a task without waiting. None: whether there is something isn't known."""

Report = Callable[[CacheError], Flow[None]]
"""What a tier does with a failure of its store that the call survives: it is counted and reported."""


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

    @property
    def find_now(self) -> FindNow:
        """Look a key up for a caller that may be blocked for as long as the store takes."""
        ...

    @property
    def find_at_once(self) -> FindAtOnce | None:
        """Look a key up for a task before it waits; None if there is never anything to be had at once."""
        ...

    @property
    def find_later(self) -> FindLater | None:
        """As `find_now`, for a task that must not be blocked; None if `find_now` never blocks."""
        ...

    def find(self, key: str, report: Report) -> Flow[Held]:
        """Look a key up."""
        ...

    def keep(self, entry: Entry, ttl: float | None, report: Report, held: HeldLease | None = None) -> Flow[bool]:
        """Store a new answer; return whether it was stored. A store's failure is reported: the answer is paid for.

        `held` is the store's lease, which ends with it.

        Raises ValueError if the entry can't be written as text.
        """
        ...

    def fill(self, entry: Entry, ttl: float | None, report: Report, since: int) -> Flow[bool]:
        """Store what a later tier had, which was read after the moment `since` (`CachePath.note`). As `keep` otherwise."""
        ...

    def keep_row(self, entry: Entry, ttl: float | None, report: Report) -> Flow[None]:
        """Keep what leads to another entry, if other processes read this store."""
        ...


@record
class LocalTier:
    """Memory of this process. It holds entries ready to use."""

    handle: StoreHandle
    store: LocalStore
    hits: HitLog

    @property
    def find_at_once(self) -> None:
        """As `find_now` anyway."""

    @property
    def find_later(self) -> None:
        """Reading memory never blocks."""

    @property
    def find_now(self) -> FindNow:
        """The store's own method; that of our stores returns entries as they hold them."""
        return getattr(self.store, "find_held", self.store.find)

    def find(self, key: str, report: Report) -> Flow[Held]:  # noqa: ARG002 - memory doesn't fail
        """Look a key up."""
        yield from ()
        return self.store.find(key)

    def keep(
        self,
        entry: Entry,
        ttl: float | None,  # noqa: ARG002 - as above
        report: Report,  # noqa: ARG002
        held: HeldLease | None = None,  # noqa: ARG002
    ) -> Flow[bool]:
        """Hold an entry."""
        yield from ()
        _check_text(entry)
        self.store.keep(entry)
        return True

    def fill(self, entry: Entry, ttl: float | None, report: Report, since: int) -> Flow[bool]:  # noqa: ARG002 - as above
        """As `keep`."""
        return self.keep(entry, ttl, report)

    def keep_row(self, entry: Entry, ttl: float | None, report: Report) -> Flow[None]:  # noqa: ARG002 - as above
        """Keep nothing: `CallNotes` knows as much of the calls of this process."""
        yield from ()


@record
class TrackedTier(LocalTier):
    """Memory that is kept right by the server behind it, and so holds what was read there (see `CachePath.forget`)."""

    watch: Watch

    def keep(
        self,
        entry: Entry,
        ttl: float | None,  # noqa: ARG002 - as above
        report: Report,  # noqa: ARG002
        held: HeldLease | None = None,  # noqa: ARG002
    ) -> Flow[bool]:
        """Hold an entry, until it is written to the server."""
        yield from ()
        _check_text(entry)
        self.watch.keep(entry)
        return True

    def fill(self, entry: Entry, ttl: float | None, report: Report, since: int) -> Flow[bool]:  # noqa: ARG002 - as above
        """Hold what the server had, unless it was changed there since."""
        yield from ()
        return self.watch.fill(entry, since)


@record
class StoreTier:
    """Any other store: it holds text, and reading it may wait, fail or bring back something else than was stored.

    `numbers` is the store that numbers the invalidations of tags, the path's last; None for this one.
    """

    handle: StoreHandle
    hits: HitLog
    flights: Flights[Any]  # of the path
    numbers: StoreHandle | None = None

    @property
    def find_now(self) -> FindNow:
        """Read an entry here. Whatever goes wrong is returned to the flow, which counts and reports it."""
        handle, flights, numbers, recall = self.handle, self.flights, self.numbers or self.handle, self.handle.recall

        def find_now(key: str) -> Entry | Unserved:
            landed, is_trial = flights.landed, handle.is_down  # and a trial has to read the store
            if is_trial and handle.paused():
                return Unserved(PAUSED, landed)
            try:
                recalled = None if recall is None or is_trial else recall(key, may_wait=True)
                entry = None if recalled is None else decode_recalled(recalled, key)
                found = _decode(handle.read(key), key, landed) if entry is None else entry
                if type(found) is Entry and found.tagged is not None:
                    return _judge_tags(found, numbers.generations(found.tags), landed)
            except CacheError as error:
                return _unserved(error, landed)
            return found

        return find_now

    @property
    def find_at_once(self) -> FindAtOnce | None:
        """Look up what was read before."""
        recall = self.handle.recall
        if recall is None:
            return None

        def find_at_once(key: str) -> Entry | None:
            if self.handle.is_down:
                return None
            recalled = recall(key, may_wait=False)
            found = None if recalled is None else decode_recalled(recalled, key)
            return None if found is None or found.tagged is not None else found

        return find_at_once

    @property
    def find_later(self) -> FindLater:
        """As `find_now`, in a task."""
        return self._find_later

    async def _find_later(self, key: str) -> Entry | Unserved:
        landed = self.flights.landed
        if self.handle.paused():
            return Unserved(PAUSED, landed)
        try:
            found = _decode(await self.handle.read_async(key), key, landed)
            if type(found) is Entry and found.tagged is not None:
                return _judge_tags(found, await (self.numbers or self.handle).generations_async(found.tags), landed)
        except CacheError as error:
            return _unserved(error, landed)
        return found

    def find(self, key: str, report: Report) -> Flow[Held]:
        """Read an entry. A failure of the store, or an entry that is damaged, is a miss with a reason."""
        if self.handle.paused():
            return PAUSED
        try:
            data = yield from Read(self.handle, key)
            return decode_entry(data, key) if data is not None else None
        except CacheError as error:
            yield from report_failure(self.handle, error, report)
            return _cause_of(error)

    def keep(self, entry: Entry, ttl: float | None, report: Report, held: HeldLease | None = None) -> Flow[bool]:
        """Write an entry."""
        text = _encode(entry)
        try:
            return (yield from Write(self.handle, entry.key, text, ttl, held))
        except CacheError as error:
            yield from report(error)
            return False

    def fill(self, entry: Entry, ttl: float | None, report: Report, since: int) -> Flow[bool]:  # noqa: ARG002 - for memory
        """As `keep`."""
        return self.keep(entry, ttl, report)

    def keep_row(self, entry: Entry, ttl: float | None, report: Report) -> Flow[None]:
        """Write what leads to an entry, for other processes."""
        yield from self.keep(entry, ttl, report)


def _decode(data: Any, key: str, landed: int) -> Entry | Unserved:
    return Unserved(COLD, landed) if data is None else decode_entry(data, key)


def _judge_tags(entry: Entry, numbers: Generations, landed: int) -> Entry | Unserved:
    generation = 0 if entry.tagged is None else entry.tagged.generation
    return entry if numbers.cover(generation) else Unserved(INVALIDATED, landed)


def _unserved(error: CacheError, landed: int) -> Unserved:
    return Unserved(_cause_of(error), landed, error)


def _cause_of(error: CacheError) -> Cause:
    return Cause("corrupt", str(error)) if isinstance(error, CacheEntryError) else FAILED


def report_failure(handle: StoreHandle, error: CacheError, report: Report) -> Flow[None]:
    """Report that a store could not be read."""
    damaged = isinstance(error, CacheEntryError)
    if damaged:
        handle.count(errors=1)
    yield from report(error)
    if not damaged and handle.store.on_error == "raise":
        raise error


def _check_text(entry: Entry) -> None:
    if not entry.completion_data:
        raise ValueError("the completion cannot be written as text")


def _encode(entry: Entry) -> str:
    _check_text(entry)
    try:
        return encode_entry(entry)
    except TypeError as error:  # such as a token count beyond what the JSON writer holds
        raise ValueError(f"the answer cannot be written as text: {error}") from error


@record
class CachePath:
    """The tiers of one client or one decorated function.

    Attributes:
        tiers: The tiers, fastest first; at least one.
        flights: The calls under way. They belong to the last tier, the one that most callers share.
        handle: Counts for all tiers together; the tier's own handle where there is only one.
        watches: What keeps the tiers in memory right; empty where nothing does.
        lender: The tier whose store has leases, the last of several; None where none has.
    """

    tiers: tuple[Tier, ...]
    flights: Flights[Any]
    handle: StoreHandle
    watches: tuple[Watch, ...] = ()
    lender: Tier | None = None

    @property
    def name(self) -> str:
        """The class names of the stores, for events."""
        return "+".join(name_of(tier) for tier in self.tiers)

    @property
    def can_tag(self) -> bool:
        """Whether answers with tags can be kept: the last tier numbers the invalidations for all of them."""
        return self.tiers[-1].handle.can_tag

    @property
    def check(self) -> Callable[[Tagged], bool] | None:
        """Whether the fast path may serve an answer with tags that the first tier has found; None: the flow decides.

        A tier that reads a store has asked for the numbers itself. Memory is asked here where it is the last tier.
        """
        first, last = self.tiers[0], self.tiers[-1].handle
        if isinstance(first, StoreTier):
            return (lambda _: True) if last.can_tag else None
        if last.local is None or not last.can_tag:
            return None
        numbers = cast("TaggingStore", last.store)
        return lambda tagged: numbers.generations(tagged.tags).cover(tagged.generation)

    @property
    def recorder(self) -> RecordingStore | None:
        """The store that makes the keys of all calls here, because it keeps what was asked; None where none does."""
        return next((tier.handle.recorder for tier in self.tiers if tier.handle.recorder is not None), None)

    def note(self) -> int:
        """Return the moment, before a later tier is read that may fill a faster one."""
        return self.watches[0].note() if self.watches else 0

    def forget(self, key: str) -> None:
        """Have memory lose what this process has just written to the server behind it, until it is read there.

        The server tells it as a change anyway, and nobody knows which came first, this one or another's. If the server is
        down, memory alone has the answer, and keeps it.
        """
        if self.watches and not self.tiers[-1].handle.is_down:
            for watch in self.watches:
                watch.forget(key)

    @property
    def last_store(self) -> BaseCache:
        """The store that most callers share."""
        return self.tiers[-1].handle.store

    @property
    def books(self) -> Books:
        """What is spent and saved here. The last tier keeps it, the one that most callers share."""
        return self.tiers[-1].handle.books

    @property
    def posts(self) -> StoreHandle | None:
        """Where that is entered with each answer that was paid for.

        None if it stays in this process, or was entered in the step that stored the answer.
        """
        last = self.tiers[-1].handle
        return last if last.keeps_ledger and not last.books.is_empty else None

    @property
    def notes(self) -> CallNotes:
        """What is known of the calls whose answers are stored. It belongs to the last tier, as flights do."""
        return self.tiers[-1].handle.notes

    def count_miss(self) -> None:
        """Count a call that none of the tiers could answer."""
        for tier in self.tiers:
            tier.handle.count(misses=1)
        self.count_together(misses=1)

    def count_error(self, tier: Tier) -> None:
        """Count an entry of a tier that could not be used."""
        tier.handle.count(errors=1)
        self.count_together(errors=1)

    def count_together(self, *, misses: int = 0, writes: int = 0, errors: int = 0) -> None:
        """Count for all tiers together what each of them has counted for itself."""
        if len(self.tiers) > 1:
            self.handle.count(misses=misses, writes=writes, errors=errors)

    def choose_sample(self, key: str | None, samples: int, *, takes_turn: bool) -> str | None:
        """The key of the sample whose turn it is, of a call that keeps several answers."""
        if key is None or samples == 1:
            return key
        turns, recorder = self.tiers[-1].handle.turns, self.recorder
        number = turns.take(key, samples) if takes_turn else turns.peek(key, samples)
        return sample_key(key, number) if recorder is None else recorder.name_sample(key, number)

    def lifetime(self, ttl: float | None) -> float | None:
        """Seconds for which an answer is served: no tier serves it longer, if only one of them honours a ttl.

        Where none does, the last one warns of it.
        """
        if not ttl or any(tier.handle.store.honours_ttl for tier in self.tiers):
            return ttl
        self.tiers[-1].handle.store.note_ttl()
        return None


def name_of(tier: Tier) -> str:
    """The class name of a tier's store."""
    return type(tier.handle.store).__name__


def make_path(store: BaseCache) -> CachePath:
    """Make the path of one store, or of the stores in a `TieredCache`."""
    handles = [handle_of(one) for one in (store.tiers if isinstance(store, TieredCache) else (store,))]
    whole, last = handle_of(store), handles[-1]
    watches = _watch(handles)
    tiers: list[Tier] = []
    for number, handle in enumerate(handles):
        hits = HitLog(last.books)
        handle.attach(hits)
        if handle is not whole:
            whole.attach(hits)
        local = handle.local
        if local is None:
            tiers.append(StoreTier(handle, hits, last.flights, last))
        elif watches:
            tiers.append(TrackedTier(handle, local, hits, watches[number]))
        else:
            tiers.append(LocalTier(handle, local, hits))
    lender = next((tier for tier in reversed(tiers) if tier.handle.can_lease), None)
    return CachePath(tuple(tiers), last.flights, whole, watches, lender)


def _watch(handles: Sequence[StoreHandle]) -> tuple[Watch, ...]:
    """Have the last store keep the others right, if it can and they are all memory.

    A disk between them would bring back to memory what the server has lost.
    """
    *faster, last = handles
    if last.tracking is None or not all(handle.local is not None and handle.can_delete for handle in faster):
        return ()
    return tuple([last.tracking.watch(cast("Memory", handle.store)) for handle in faster])


def leave_path(path: CachePath) -> None:
    """Let the stores go on without the client of a path; they keep its hits."""
    for tier in path.tiers:
        tier.handle.detach(tier.hits)
        if tier.handle is not path.handle:
            path.handle.detach(tier.hits)
