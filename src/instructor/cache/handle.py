"""The handle of a store: what clients use in its place, so that a store that fails never breaks a call."""

from __future__ import annotations

import atexit
import contextlib
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from instructor.cache.books import Amounts, Books, Line, Posting, add_stored
from instructor.cache.breaker import CircuitBreaker, next_moment
from instructor.cache.call_notes import CallNotes
from instructor.cache.counters import Counters
from instructor.cache.entry import Generations
from instructor.cache.failure_texts import describe_failure
from instructor.cache.flight import Flights
from instructor.cache.runner import SKIPPED, Runner
from instructor.cache.sample_turns import SampleTurns
from instructor.cache.store import (
    LONGEST_TTL,
    AsyncStore,
    BaseCache,
    LedgerStore,
    LocalStore,
    RecordingStore,
    SizedStore,
    TaggingStore,
    Text,
    check_store,
)
from instructor.exceptions import ArgumentError, CacheEntryError, CacheError, CacheNotTriedError
from instructor.locks import make_lock

if TYPE_CHECKING:
    import logging

    from instructor.cache.flight import Flight
    from instructor.cache.lease import HeldLease, Leased, LeaseKeeper, LeasingStore
    from instructor.cache.recent import RecallingStore
    from instructor.cache.stats import CacheStats
    from instructor.cache.tracking import TrackingStore

_TEXT = (str, bytes, bytearray, memoryview)


class StoreHandle:
    """Reads and writes one store for all clients. Made by `handle_of`, one for each store.

    It runs each operation where it cannot harm the caller (`Runner`), counts (`Counters`), and leaves a store that
    fails alone for a while (`CircuitBreaker`). A failed read pauses the whole store; a failed write (a full disk, a
    read-only replica) pauses writes only. During an outage nothing is written: answers kept for later would be lost
    with the process.

    Attributes:
        local: The store, if it is memory of this process; None otherwise.
        recorder: The store, if it keeps what was asked and makes keys itself; None otherwise.
        tracking: The store, if it keeps memory before it right; None otherwise.
        is_near: Whether a thread reads it by itself and at once, as memory or a file: no server, as far as is known.
        can_delete: Whether entries can be removed.
        can_tag: Whether the store numbers invalidations, so that tagged answers can be kept in it.
        can_lease: Whether the store says which of several processes asks for an answer.
        recall: The store's own method, if it knows that what was read is there still; None otherwise.
        flights: The calls under way against the store.
        notes: What is known of the calls whose answers are stored, to say why another one missed.
        turns: Whose turn it is among several answers to one call.
        books: What the store's clients spent and saved, and isn't posted to it yet.
        keeps_ledger: Whether it is posted to the store; otherwise the books are all there is.
        attach: Counts the hits of one more path that reads the store.
        detach: Removes the log of a path that is no longer used, and keeps its count.
        count: Adds to the counters. The store's own failures are counted already, so that `errors` is for entries that
            could not be used.
    """

    def __init__(self, store: BaseCache, clock: Callable[[], float] = time.monotonic) -> None:
        abilities = check_store(store)
        self.store = store
        self.local = cast("LocalStore", store) if "local" in abilities else None
        self.recorder = cast("RecordingStore", store) if "recording" in abilities else None
        self.flights: Flights[object] = Flights()
        self.turns = SampleTurns()
        self.books = Books(self._offer)
        self.keeps_ledger = "ledger" in abilities
        self._ledger = cast("LedgerStore", store)
        self._posting = make_lock()
        self.notes = CallNotes()
        self._native = cast("AsyncStore", store) if "async" in abilities else None
        self.tracking = cast("TrackingStore", store) if "tracking" in abilities else None
        self.can_delete = "deleting" in abilities
        self.can_tag = "tagging" in abilities
        self.can_lease = "leasing" in abilities
        self.recall = cast("RecallingStore", store).recall if "recalling" in abilities else None
        self._keeper: LeaseKeeper | None = None
        self._numbering = cast("TaggingStore", store)
        self._sized = cast("SizedStore", store) if "sized" in abilities else None
        self._counters = Counters()
        self.attach, self.detach, self.count = self._counters.attach, self._counters.detach, self._counters.add
        self._runner = Runner(store, abilities, self._refuses)
        self.is_near = self._runner.is_near
        self._clock = clock
        self._lock = make_lock()
        self._reads, self._writes, self._sums = CircuitBreaker(), CircuitBreaker(), CircuitBreaker()
        reading, writing = (self._reads,), (self._writes, self._reads)
        # What must work for an operation to make sense, the operation's own breaker first.
        self._needs = {"get": reading, "generations": reading, "set": writing, "lease": writing}
        # A server may refuse the commands of the ledger alone, which is no reason to do without the answers.
        self._needs |= {"read_amounts": (self._sums,), "add_amounts": (self._sums, self._writes, self._reads)}
        if self.keeps_ledger:
            _posting.add(self)
        self._outage = False  # whether a breaker is open; saves every operation of a healthy store a look at each

    @property
    def is_down(self) -> bool:
        """Whether the latest operations failed, and none has succeeded since."""
        return self._outage

    def paused(self) -> bool:
        """Whether the store is to be left alone. When a pause is over, one caller gets False and is expected to read."""
        return self._outage and self._blocks("get")

    def read(self, key: str) -> Text | None:
        """Read the store from a thread.

        Raises CacheError if the store failed or took longer than its ``timeout``, CacheNotTriedError if it wasn't asked,
        CacheEntryError if it returned neither text nor None.
        """
        return self._check_found(self._run("get", partial(self.store.get, key)))

    async def read_async(self, key: str) -> Text | None:
        """Read the store from a task, without blocking its loop. As `read` otherwise."""
        native = None if self._native is None else partial(self._native.get_async, key)
        return self._check_found(await self._run_async("get", partial(self.store.get, key), native))

    def write(self, key: str, text: str, ttl: float | None, held: HeldLease | None = None) -> bool:
        """Write to the store from a thread; return whether it was written. Errors are those of `read`.

        Nothing is written if the store failed lately, or while this write waited for its turn. `ttl` is how many seconds
        to keep it, None for ever; the store gets whole ones, rounded up, at most ten years of them. `held` is the lease
        that ends with this write; CacheError if another process has had it since.
        """
        if self._outage and self._blocks("set"):
            return False
        operation, _ = self._writing(key, text, ttl, held)
        return self._check_written(self._run("set", operation, text), held)

    async def write_async(self, key: str, text: str, ttl: float | None, held: HeldLease | None = None) -> bool:
        """Write to the store from a task, without blocking its loop. As `write` otherwise.

        A write that waits for a worker thread is done even if its task is cancelled: the answer is paid for.
        """
        if self._outage and self._blocks("set"):
            return False
        operation, native = self._writing(key, text, ttl, held)
        return self._check_written(await self._run_async("set", operation, native, text), held)

    def lease(self, key: str, flight: Flight[object]) -> Leased | None:
        """Take the lease of a key for the leader of `flight`; None if there is none to be had. Errors are those of `read`."""
        if self._outage and self._blocks("set"):
            return None
        keeper = self.leases
        token = keeper.new_token()
        return keeper.note(key, token, flight, self._run("lease", partial(keeper.table.take, key, token)))

    async def lease_async(self, key: str, flight: Flight[object]) -> Leased | None:
        """As `lease`, from a task."""
        if self._outage and self._blocks("set"):
            return None
        keeper = self.leases
        token, native = keeper.new_token(), getattr(keeper.table, "take_async", None)
        operation = partial(keeper.table.take, key, token)
        try:
            taken = await self._run_async("lease", operation, None if native is None else partial(native, key, token))
        except CacheError:
            raise
        except BaseException:
            keeper.give_up(key, token, flight)
            raise
        return keeper.note(key, token, flight, taken)

    @property
    def leases(self) -> LeaseKeeper:
        """The leases of the store that this process has, and those that it waits for."""
        if self._keeper is None:
            from instructor.cache.lease import LeaseKeeper

            with self._lock:
                self._keeper = self._keeper or LeaseKeeper(cast("LeasingStore", self.store).leases)
        return self._keeper

    def generations(self, tags: Sequence[str]) -> Generations:
        """Read the numbers of a store's invalidations from a thread. As `read` otherwise."""
        return self._check_numbers(self._run("generations", partial(self._numbering.generations, tags)))

    async def generations_async(self, tags: Sequence[str]) -> Generations:
        """As `generations`, from a task."""
        native = getattr(self.store, "generations_async", None) if self._native is not None else None
        operation = partial(self._numbering.generations, tags)
        found = await self._run_async("generations", operation, None if native is None else partial(native, tags))
        return self._check_numbers(found)

    def post(self) -> None:
        """Enter the books into the store, from a thread. What it doesn't take stays in the books."""
        # A failure is counted and logged, and no call needs the ledger.
        with contextlib.suppress(CacheError):
            for posting in self._postings():
                with posting.lock:
                    if posting.names is None:
                        operation = partial(self._ledger.add_amounts, posting)
                        posting.names = _count(self._run("add_amounts", operation))

    async def post_async(self) -> None:
        """As `post`, from a task. It goes on if that is cancelled: what the store has entered must not be entered again."""
        await self._runner.keep(self._post_async())

    async def _post_async(self) -> None:
        with contextlib.suppress(CacheError):
            for posting in self._postings():
                if not posting.lock.acquire(blocking=False):
                    return  # a thread has taken it at this very moment, for which a task must not wait
                try:
                    if posting.names is None:
                        operation = partial(self._ledger.add_amounts, posting)
                        add = None if self._native is None else cast("Any", self.store).add_amounts_async
                        native = None if add is None else partial(add, posting)
                        posting.names = _count(await self._run_async("add_amounts", operation, native))
                finally:
                    posting.lock.release()

    def read_books(self) -> dict[Line, Amounts]:
        """All that the store's clients spent and saved. Raises CacheError if the store can't say."""
        if not self.keeps_ledger:
            return self.books.lines()
        self.post()
        return self._check_lines(self._run("read_amounts", self._ledger.read_amounts))

    async def read_books_async(self) -> dict[Line, Amounts]:
        """As `read_books`, from a task."""
        if not self.keeps_ledger:
            return self.books.lines()
        await self.post_async()
        native = None if self._native is None else cast("Any", self.store).read_amounts_async
        return self._check_lines(await self._run_async("read_amounts", self._ledger.read_amounts, native))

    def _offer(self) -> None:
        if self.keeps_ledger and self._posting.acquire(blocking=False):
            from instructor.daemon import start_daemon

            start_daemon(self._post_aside)

    def _post_aside(self) -> None:
        try:
            self.post()
        finally:
            self._posting.release()

    def _postings(self) -> Iterator[Posting]:
        """What is to be posted now: nothing while the store is left alone."""
        while self.keeps_ledger and not (self._outage and self._blocks("add_amounts")):
            posting = self.books.next_posting()
            if posting is None:
                return
            yield posting
            if posting.names is None:
                return
            self.books.settle(posting)

    def _check_lines(self, found: object) -> dict[Line, Amounts]:
        if not isinstance(found, Mapping):
            what = f"{type(self.store).__name__}.read_amounts returned a {type(found).__name__}"
            raise CacheError(f"{what}. It must return what was added.")
        return add_stored(cast("Mapping[str, Sequence[int]]", found), self.books)

    def stats(self) -> CacheStats:
        """The store's counters, and its size if the store can say."""
        if self._sized is not None:
            with contextlib.suppress(Exception):  # a store that is down has counters all the same
                return self._counters.read(*self._sized.size())
        return self._counters.read()

    def _run(self, name: str, operation: Callable[[], object], written: str = "") -> object:
        began = next_moment()
        try:
            result = self._runner.run(name, began, operation)
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise self._fail(name, began, error, written) from error
        if self._outage and result is not SKIPPED:
            self._succeed(name, began)
        return result

    async def _run_async(
        self,
        name: str,
        operation: Callable[[], object],
        native: Callable[[], Awaitable[object]] | None,
        written: str = "",
    ) -> object:
        began = next_moment()
        try:
            result = await self._runner.run_async(name, began, operation, native)
        except BaseException as error:
            if not _is_failure(error, in_task=True):
                raise
            raise self._fail(name, began, error, written) from error
        if self._outage and result is not SKIPPED:
            self._succeed(name, began)
        return result

    def _writing(
        self, key: str, text: str, ttl: float | None, held: HeldLease | None
    ) -> tuple[Callable[[], object], Callable[[], Awaitable[object]] | None]:
        """What writes in a thread, and what does so in a task if the store has a method for that."""
        seconds = _whole_seconds(ttl)
        if held is None:
            native = None if self._native is None else partial(self._native.set_async, key, text, ttl=seconds)
            return partial(self.store.set, key, text, ttl=seconds), native
        table = self.leases.table
        answer = key, text, seconds, held.token
        if self.keeps_ledger and getattr(table, "posts", False):
            return partial(self._publish_and_post, table.publish, answer), None
        publish = getattr(table, "publish_async", None)
        return partial(table.publish, *answer), None if publish is None else partial(publish, *answer)

    def _publish_and_post(self, publish: Callable[..., bool], answer: tuple[object, ...]) -> bool:
        """Store an answer, and enter the books in the same step: what an answer costs is known as soon as it is there."""
        posting = next(self._postings(), None)
        if posting is None:
            return publish(*answer)
        with posting.lock:
            is_stored = publish(*answer, posting if posting.names is None else None)
        if posting.names is not None:
            self.books.settle(posting)
        return is_stored

    def _check_written(self, result: object, held: HeldLease | None) -> bool:
        if result is SKIPPED or held is None:
            return result is not SKIPPED
        self.leases.forget(held)
        if result is False:
            held.is_lost = True
            self._counters.add(errors=1)
            raise CacheError(
                f"{type(self.store).__name__} has refused an answer that came too late: this process was stopped for "
                f"longer than its lease of {self.leases.table.seconds:g} s, and another one has asked meanwhile. The "
                "caller has its answer, and others get the other one. If that happens often, raise lease=."
            )
        return True

    def _check_found(self, found: object) -> Text | None:
        if found is None or isinstance(found, _TEXT):
            return cast("Text | None", found)
        name = type(self.store).__name__
        if found is SKIPPED:
            raise CacheNotTriedError(f"{name}.get was not tried: the store failed while the call waited for its turn.")
        raise CacheEntryError(
            f"{name}.get returned a {type(found).__name__}. It must return the str that was stored, "
            "the same as bytes, or None."
        )

    def _check_numbers(self, found: object) -> Generations:
        if isinstance(found, Generations):
            return found
        name = type(self.store).__name__
        if found is SKIPPED:
            raise CacheNotTriedError(f"{name} was not asked: it failed while the call waited for its turn.")
        raise CacheEntryError(f"{name}.generations returned a {type(found).__name__}. It must return a Generations.")

    def _fail(self, name: str, began: int, error: BaseException, written: str) -> CacheError:
        """Note a failed operation; return the error to raise."""
        if isinstance(error, CacheEntryError):
            if name != "set":
                self._succeed(name, began)  # the store is up: it answered
            return error
        failure = (
            error if isinstance(error, CacheError) else CacheError(describe_failure(self.store, name, error, written))
        )
        self._counters.add(errors=1)
        if isinstance(error, CacheNotTriedError):
            return failure
        with self._lock:
            # A write that is the trial of a store which can't be read begins no outage of its own.
            failing = [one for one in self._needs[name] if one.until is not None] or self._needs[name][:1]
            outages = [one.fail(began, self._clock(), self._longest_pause()) for one in failing]
            self._note_outage()
        if any(outages) and not _ending:
            # As text, because a log record is kept for long, and an error keeps the frames it came through.
            _log().warning("%s Calls go on without it. It is tried again in %g s.", str(failure), failing[0].pause)
        return failure

    def _succeed(self, name: str, began: int) -> None:
        with self._lock:
            ended = [breaker.succeed(began, self._clock()) for breaker in self._needs[name]]
            self._note_outage()
        if any(ended):
            _log().info("%s works again.", type(self.store).__name__)

    def _note_outage(self) -> None:
        self._outage = any(breaker.until is not None for breaker in (self._reads, self._writes, self._sums))

    def _blocks(self, name: str) -> bool:
        with self._lock:
            now, trial = self._clock(), min(self._longest_pause(), self.store.timeout or math.inf)
            needed = self._needs[name]  # what one of them blocks isn't the trial of another
            return any(one.is_pausing(now) for one in needed) or any(one.blocks(now, trial) for one in needed)

    def _refuses(self, name: str, began: int) -> bool:
        return self._outage and any(breaker.opened_since(began) for breaker in self._needs[name])

    def _longest_pause(self) -> float:
        # Every trial of a store that hangs for good costs a thread, so trials become rarer as threads pile up.
        return self.store.pause * (1 + self._runner.hung // 4)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        # A copy of a store takes no handle along: it gets one of its own on first use.
        return _nothing, ()


def handle_of(store: BaseCache) -> StoreHandle:
    """Return the handle of a store, making it on first use. It lives as long as the store.

    A copy of the store, or the store in another process, has a handle of its own.
    """
    if not isinstance(store, BaseCache):  # pyright: ignore[reportUnnecessaryIsInstance] - users without a checker
        raise ArgumentError(
            f"A cache must be an instance of a subclass of instructor.cache.BaseCache, such as AutoCache(); got {store!r}."
        )
    # The instance's own dict, because a subclass may refuse attributes, compare equal to another or have no hash.
    state = cast("dict[str, StoreHandle | None]", object.__getattribute__(store, "__dict__"))
    found = state.get(_ATTRIBUTE)
    if found is None or found.store is not store:  # `copy.copy` gives a copy the original's handle
        made = StoreHandle(store)
        with _making:
            found = state.get(_ATTRIBUTE)
            if found is None or found.store is not store:
                found = state[_ATTRIBUTE] = made
    return found


def _count(posted: object) -> int | None:
    """How many names a ledger has, as far as its store says so; None if nothing was entered."""
    return None if posted is SKIPPED else posted if isinstance(posted, int) else 0


def known_handles(store: BaseCache) -> list[StoreHandle]:
    """Return the handle that a store has already, if it has one."""
    found = cast("StoreHandle | None", vars(store).get(_ATTRIBUTE))
    return [found] if found is not None and found.store is store else []


_ATTRIBUTE = "_instructor_handle"
_posting: weakref.WeakSet[StoreHandle] = weakref.WeakSet()
_ending: set[bool] = set()  # holds True then
_making = make_lock()


def _nothing() -> None:
    return None


def _whole_seconds(ttl: float | None) -> int | None:
    return None if ttl is None else math.ceil(min(ttl, LONGEST_TTL))


def _is_failure(error: BaseException, *, in_task: bool = False) -> bool:
    """Whether the store failed, rather than that this task, or the process, is being ended.

    A store that awaits a task of its own sees that task's cancellation as `asyncio.CancelledError`, as if this task
    had been cancelled. A group of errors is a failure if each of them is.
    """
    if isinstance(error, Exception):
        return True
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(_is_failure(member, in_task=in_task) for member in group.exceptions)
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task() if in_task else None
    return task is None or not task.cancelling()


def _log() -> logging.Logger:
    import logging

    return logging.getLogger("instructor.cache")


def _post_all() -> None:
    """Post what is left when the program ends, when nobody can do anything about a failure any more."""
    _ending.add(True)
    for handle in list(_posting):
        handle.post()


atexit.register(_post_all)
