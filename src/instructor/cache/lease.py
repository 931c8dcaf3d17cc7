"""Leases: which one of the processes that share a store asks for an answer, while the others wait for it.

The leader of a flight takes the lease of its key from the store before it asks, and gives it back in the step that
stores the answer. A thread of the process renews it meanwhile, so it runs out only if the process is killed or frozen.
Then another process takes it, and a late answer of the one that lost it is refused: the store compares the *token*,
a text that no other lease ever has.

A store's own part is a `LeaseTable`; everything about time and waiting stands here.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from instructor.cache.flight import REST
from instructor.describing import refuse
from instructor.event_loop import running_loop
from instructor.locks import make_lock, reset_after_fork

if TYPE_CHECKING:
    from concurrent.futures import Future

    from instructor.cache.flight import Flight

LEASE_SECONDS = 5.0
"""Seconds for which a process that was killed keeps others waiting, unless its store says otherwise."""

LONGEST_LEASE = 60.0
"""The longest lease. What a store says will last longer is left over from another time, such as before a reboot."""

_IDLE = 10.0
"""Seconds without a lease after which the thread ends."""

_CHECK = 1.0
"""Seconds after which a waiter looks whether the thread that should wake it is still at work."""


class Ending(enum.Enum):
    """How a lease ended that another process had."""

    ENDED = "its owner has stored an answer, or has none to share"
    FREE = "its owner is gone or was cancelled, so one of those who wait asks next"

    @property
    def is_over(self) -> bool:
        """Whether nobody takes the owner's place: who finds no answer then asks alone."""
        return self is Ending.ENDED


class Taken(NamedTuple):
    """What a store says to who wants a lease.

    Attributes:
        holder: The token of who has it now; empty if that one has just ended.
        found: Whether there is an entry under the key, for the one who has got the lease.
    """

    holder: str
    found: bool = False


class LeaseTable(Protocol):
    """What a store with the ability ``"leasing"`` does. Plain methods, which limit their own time.

    A table that has ``take_async`` and ``publish_async`` as well is asked by tasks through these. ``publish`` of a table
    whose ``posts`` is true takes a `Posting` as well, which it enters into the store's ledger in the same step.

    Attributes:
        seconds: How long a lease lasts unless it is renewed.
        pauses: How many seconds there are between two looks at the leases of others: at first, and at most.
    """

    @property
    def seconds(self) -> float: ...  # noqa: D102

    @property
    def pauses(self) -> tuple[float, float]: ...  # noqa: D102

    def take(self, key: str, token: str) -> Taken | None:
        """Take the lease of a key for `token` if nobody has it. None if there are no leases to be had."""
        ...

    def publish(self, key: str, text: str, ttl: int | None, token: str) -> bool:
        """Store a text, and end the lease, in one step. False if another has had the lease since: nothing is stored.

        A lease that ran out and that nobody else has had since does no harm: the text is stored.
        """
        ...

    def renew(self, tokens: Mapping[str, str]) -> None:
        """Let leases last for `seconds` from now, where the tokens, by key, still hold them."""
        ...

    def release(self, key: str, token: str, ending: Ending) -> None:
        """End a lease without an answer, if the token still holds it."""
        ...

    def look(self, waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        """How the leases of these keys and tokens ended; None for one that goes on."""
        ...

    def listen(self, nudge: Callable[[], None]) -> Callable[[], None] | None:
        """Have `nudge` called when a lease ends; return what stops that. None if the store can't tell."""
        ...


class LeasingStore(Protocol):
    """The ability ``"leasing"``: of the processes that share the store, one asks for an answer while the others wait."""

    @property
    def leases(self) -> LeaseTable:
        """The leases of the store."""
        ...


class HeldLease:
    """A lease that this process has.

    Attributes:
        flight: What its leader leads. A leader that can't go on loses the lease.
        is_lost: Whether another process has asked meanwhile, so that the store has refused the answer.
    """

    __slots__ = ("_keeper", "flight", "is_lost", "key", "renewed", "token")

    def __init__(self, keeper: LeaseKeeper, key: str, token: str, flight: Flight[Any]) -> None:
        self._keeper = keeper
        self.key = key
        self.token = token
        self.flight = flight
        self.renewed = time.monotonic()
        self.is_lost = False

    def end(self, *, handed_over: bool) -> None:
        """Give it back without an answer, unless that was done or it was published. It never waits for the store.

        `handed_over` is whether one of those who wait asks next.
        """
        self._keeper.end(self, Ending.FREE if handed_over else Ending.ENDED)


class Leased(NamedTuple):
    """What the leader of a flight learns: its own lease, or who else has it."""

    held: HeldLease | None
    holder: str
    found: bool


class _Waiter(NamedTuple):
    key: str
    holder: str
    ending: Future[Ending]


class LeaseKeeper:
    """The leases of one store that this process has, and those that it waits for.

    One thread does all that takes time. It begins with the first lease and ends when there was none for a while.
    """

    def __init__(self, table: LeaseTable) -> None:
        self.table = table
        self._lock = make_lock()
        self.reset()
        reset_after_fork(self)
        _keepers.add(self)

    def reset(self) -> None:
        """Forget all: a forked child has none of its parent's leases, nor its thread."""
        self._prefix, self._numbers = os.urandom(8).hex(), itertools.count()
        self._held: dict[str, HeldLease] = {}
        self._ended: list[tuple[HeldLease, Ending]] = []
        self._waiters: list[_Waiter] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._used = self._looked = time.monotonic()
        self._pause = self._beat
        self._stop_listening: Callable[[], None] | None = None

    @property
    def _beat(self) -> float:
        return self.table.seconds / 3

    def new_token(self) -> str:
        """A token that no other lease has, in any process."""
        return f"{self._prefix}{next(self._numbers):x}"

    def note(self, key: str, token: str, flight: Flight[Any], taken: object) -> Leased | None:
        """Keep a lease alive from now on, if it was got. None if the table has made no `Taken`: it wasn't asked."""
        if not isinstance(taken, Taken):
            return None
        if taken.holder != token:
            return Leased(None, taken.holder, found=False)
        held = HeldLease(self, key, token, flight)
        with self._lock:
            self._held[token] = held
            self._used = held.renewed
            self._ensure_thread()
        return Leased(held, token, taken.found)

    def forget(self, held: HeldLease) -> None:
        """Note that a lease has ended with its answer."""
        self._held.pop(held.token, None)

    def end(self, held: HeldLease, ending: Ending) -> None:
        """Have the thread give a lease back, if it hasn't ended yet."""
        with self._lock:
            if self._held.pop(held.token, None) is None:
                return
            self._ended.append((held, ending))
            self._ensure_thread()
        self._wake.set()

    def give_up(self, key: str, token: str, flight: Flight[Any]) -> None:
        """Give a lease back that may have been got just now: whoever wanted it was cancelled before it knew."""
        leased = self.note(key, token, flight, Taken(token))
        if leased is not None and leased.held is not None:
            leased.held.end(handed_over=True)

    def wait(self, key: str, holder: str, seconds: float | None) -> Ending | None:
        """Wait in this thread for another's lease to end, for so many seconds at most. None if it went on."""
        if running_loop() is not None:
            return None  # the loop that is blocked here may be the one in which the other call runs
        waiter = self._add_waiter(key, holder)
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    return waiter.ending.result(_next_check(deadline))
                if self._must_leave(deadline):
                    return None
        finally:
            self._remove_waiter(waiter)

    async def wait_async(self, key: str, holder: str, seconds: float | None) -> Ending | None:
        """As `wait`, in this task."""
        import asyncio

        waiter = self._add_waiter(key, holder)
        ending = asyncio.wrap_future(waiter.ending)
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_next_check(deadline)):
                        return await asyncio.shield(ending)
                if self._must_leave(deadline):
                    return None
        finally:
            ending.cancel()  # so that nobody calls into a loop that is closed by then
            self._remove_waiter(waiter)

    def _add_waiter(self, key: str, holder: str) -> _Waiter:
        from concurrent.futures import Future

        waiter = _Waiter(key, holder, Future())
        waiter.ending.set_running_or_notify_cancel()  # so that a task that is cancelled doesn't cancel it
        with self._lock:
            self._waiters.append(waiter)
            self._used = self._looked = time.monotonic()
            self._pause = self.table.pauses[0]
            self._ensure_thread()
        self._wake.set()
        return waiter

    def _remove_waiter(self, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters.remove(waiter)

    def _must_leave(self, deadline: float | None) -> bool:
        now = time.monotonic()
        return (deadline is not None and now >= deadline) or now - self._looked > self.table.seconds + _CHECK

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(
            target=_keep, args=(weakref.ref(self), self._wake), name="instructor-leases", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # there are too many, or the program ends: then leases run out
            self._thread.start()

    def go_on(self) -> bool:
        """Do what is due; whether the thread goes on."""
        self.work()
        with self._lock:
            if self._is_busy() or time.monotonic() - self._used <= _IDLE:
                return True
            self._thread = None
        self._listen(wanted=False)
        return False

    def _is_busy(self) -> bool:
        return bool(self._held or self._ended or self._waiters)

    def rest(self) -> tuple[float, LeaseKeeper | None]:
        """How long the thread may sleep, and the keeper if it must not be let go meanwhile."""
        return self._pause, self if self._is_busy() or self._stop_listening is not None else None

    def work(self) -> None:
        """Do what is due: give back what has ended, renew the others, and look how those of other processes do."""
        with self._lock:
            ended, self._ended = self._ended, []
            held, waiters = list(self._held.values()), list(self._waiters)
        with contextlib.suppress(Exception):  # then they run out
            for lease, ending in ended:
                self.table.release(lease.key, lease.token, ending)
        self._renew(held)
        if waiters:
            self._listen(wanted=True)
            self._look(waiters)
        # However seldom it looks for those who wait, the leases of its own are to be renewed in time.
        self._pause = min(1.5 * self._pause, self._beat, self.table.pauses[1] if waiters else self._beat)

    def _renew(self, held: list[HeldLease]) -> None:
        """Renew the leases of leaders that go on, and give back those of leaders that nobody should wait for."""
        due: dict[str, str] = {}
        now = time.monotonic()
        for lease in held:
            if lease.flight.is_abandoned():
                lease.end(handed_over=True)
            elif lease.flight.rests_since(now - REST):
                lease.end(handed_over=False)
            elif now - lease.renewed >= self._beat / 2:
                due[lease.key] = lease.token
                lease.renewed = now
        if due:
            with contextlib.suppress(Exception):  # the next round tries again
                self.table.renew(due)

    def _look(self, waiters: list[_Waiter]) -> None:
        try:
            endings = self.table.look([(waiter.key, waiter.holder) for waiter in waiters])
        except Exception:  # noqa: BLE001 - a store that fails keeps nobody waiting
            endings = [Ending.ENDED] * len(waiters)
        self._used = self._looked = time.monotonic()
        for waiter, ending in zip(waiters, endings, strict=True):
            if ending is not None and not waiter.ending.done():
                waiter.ending.set_result(ending)

    def _listen(self, *, wanted: bool) -> None:
        """Have the store wake the thread, for as long as somebody waits."""
        if wanted and self._stop_listening is None:
            with contextlib.suppress(Exception):  # then it looks now and then
                self._stop_listening = self.table.listen(self._wake.set) or _nothing
        elif not wanted and self._stop_listening is not None:
            stop, self._stop_listening = self._stop_listening, None
            stop()

    def close(self) -> None:
        """Give back everything at once: the program ends, and with it the threads of calls that are under way."""
        for lease in list(self._held.values()):
            lease.end(handed_over=True)
        if self._ended:
            self.work()

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _nothing, ()  # as the handle that it belongs to


def _keep(reference: weakref.ref[LeaseKeeper], wake: threading.Event) -> None:
    """The thread of a keeper. While there is nothing to keep, it lets go of the keeper, and with it of the store."""
    while (keeper := reference()) is not None:
        pause, needed = keeper.rest()
        del keeper
        wake.wait(pause)
        del needed
        wake.clear()
        keeper = reference()
        if keeper is None or not keeper.go_on():
            return
        del keeper


def check_lease(kind: str, seconds: object) -> float | None:
    """Return the argument ``lease=`` of a store."""
    if seconds is None:
        return None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST_LEASE:
        return seconds
    raise refuse(f"{kind}(lease=)", seconds, f"seconds above 0, at most {LONGEST_LEASE:g}, or None for no leases")


def _next_check(deadline: float | None) -> float:
    return _CHECK if deadline is None else max(0.0, min(_CHECK, deadline - time.monotonic()))


def _nothing() -> None:
    return None


_keepers: weakref.WeakSet[LeaseKeeper] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for keeper in list(_keepers):
        keeper.close()
