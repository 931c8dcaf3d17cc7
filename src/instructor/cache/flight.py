"""One flight: identical calls that are under way at the same time share one request.

The first call of a key leads, the others wait. The leader *lands* its flight, with an answer, with an error, or with
neither if it was cancelled. What a waiter makes of that is decided in ``engine/lookup.py``; this file only knows who
leads, who waits, and when waiting would be in vain.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from instructor.cache.refreshes import Refreshes
from instructor.event_loop import running_loop
from instructor.exceptions import BudgetExceeded
from instructor.locks import make_lock, reset_after_fork

if TYPE_CHECKING:
    from instructor.cache.lease import HeldLease

T = TypeVar("T")

TICK = 0.5
"""Seconds after which a waiter checks whether its leader can still land, and whether the waiter is in its way."""

REST = 1.0
"""Seconds for which waiters bear with a leader whose caller doesn't ask for the next part of its stream."""

MOST_REMEMBERED = 1024
"""Flights whose end is remembered. Of earlier ones any may have been of the key that somebody asks about."""

_led: ContextVar[tuple[Flight[Any], ...]] = ContextVar("instructor_flights_led", default=())
"""The flights led by the code that runs now. A leader must not wait for its own flight: a validator or a hook may
make the same call again, from the same task, a child task, or a thread that copies the context."""


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """How a flight ended.

    Attributes:
        answer: The leader's answer; None if there is none.
        error: What the leader raised instead; also what ends a program, such as ``SystemExit``. With neither, the
            leader was cancelled, or its event loop is gone: one of the waiters leads next.
        source: Whose errors these are; see `Lease.source`.
    """

    answer: T | None = None
    error: BaseException | None = None
    source: object = None


@dataclass(slots=True)
class Lease(Generic[T]):
    """The right, and the duty, to ask while others wait.

    Attributes:
        flight: What the others wait for.
        source: Identity of the leader. An error is shared only between calls with an equal source, such as those of
            one client: another client's credentials or patience may succeed.
        held: The store's lease, where other processes wait as well.
    """

    flight: Flight[T]
    source: object = None
    held: HeldLease | None = None

    def offer(self, answer: T) -> None:
        """Hand the answer to the waiters, while the leader goes on to store it.

        The flight stays under its key until the lease ends, so that a call which comes now finds the answer here: it
        isn't in the store yet.
        """
        self.flight.settle(Landed(answer, None, self.source))

    def end(self, error: BaseException | None = None) -> None:
        """Take the flight from its key. Its waiters, if no answer was offered, get the error, or lead next.

        A budget that is used up is the leader's affair, and no other process hears of it.
        """
        handed_over = (error is None or isinstance(error, BudgetExceeded)) and not self.flight.has_landed
        if not self.flight.has_landed:  # only the leader lands it, so nobody can do so meanwhile
            self.flight.settle(Landed(None, error, self.source))
        self.flight.close()
        if self.held is not None:
            self.held.end(handed_over=handed_over)


class Flight(Generic[T]):
    """One call under way. Its leader lands it; everybody else waits.

    Attributes:
        is_nested: Whether its leader leads other flights, which can't land before this one has.
        waits_abroad: Whether its leader waits for another process.
    """

    __slots__ = (
        "_flights",
        "_key",
        "_landed",
        "_loop",
        "_resting_since",
        "_thread",
        "_waiters",
        "_waits_for",
        "is_nested",
        "waits_abroad",
    )

    def __init__(self, flights: Flights[T], key: str) -> None:
        self._flights = flights
        self._key = key
        self._landed: Landed[T] | None = None
        self._waiters: list[Callable[[], None]] = []
        self._waits_for: list[Flight[Any]] = []
        self._resting_since: float | None = None
        self._thread = threading.get_ident()
        self._loop = running_loop()
        led = _still_led()
        self.is_nested = bool(led)
        self.waits_abroad = False
        _led.set((*led, self))

    @property
    def has_landed(self) -> bool:
        """Whether it is known how the flight ended."""
        return self._landed is not None

    def settle(self, landed: Landed[T]) -> None:
        """Say how the flight ended, and wake its waiters. Only the first time counts."""
        for wake in self._flights.settle(self, landed):
            wake()

    def close(self) -> None:
        """Take the flight from its key."""
        self._flights.remove(self._key, self)
        _led.set(_still_led())

    def rest(self) -> None:
        """Note that the leader goes on only when its caller asks for the next part of a stream."""
        self._resting_since = time.monotonic()

    def resume(self) -> None:
        """Note that the leader goes on."""
        self._resting_since = None

    def rests_since(self, moment: float) -> bool:
        """Whether the leader has rested since a moment, by `time.monotonic`."""
        since = self._resting_since
        return since is not None and since <= moment

    def is_abandoned(self) -> bool:
        """Whether the leader runs in an event loop that was closed or stopped, so that it may never end its lease.

        Then nobody joins the flight any more, not even one that has an answer: it would serve that answer for ever.
        A loop that is stopped may be run again. Then two calls ask, which costs a request and harms nobody.
        """
        return self._loop is not None and not self._loop.is_running()

    def wait(self, seconds: float | None = None) -> Landed[T] | None:
        """Wait in this thread, for so many seconds at most; return how the flight ended.

        None if the caller should go on alone: its time is over, or waiting here could keep the leader from ever landing.
        """
        event = threading.Event()
        if not self._can_wait(asynchronous=False):
            return None
        if not self._flights.subscribe(self, event.set):
            return self._landed
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._waiting():
            while not event.wait(_next_tick(deadline)):
                if self._must_leave(deadline) or self._is_starved():
                    return None
                if self.is_abandoned():
                    return self._landed or Landed()
        return self._landed

    async def wait_async(self, seconds: float | None = None) -> Landed[T] | None:
        """As `wait`, in this task. A waiter that is cancelled disturbs nobody else."""
        import asyncio

        if not self._can_wait(asynchronous=True):
            return None
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            # The waiter's loop may be closed by the time the leader lands, from another thread.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

        if not self._flights.subscribe(self, wake):
            return self._landed
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._waiting():
            while not event.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_next_tick(deadline)):
                        await event.wait()
                if event.is_set():
                    break
                if self._must_leave(deadline):
                    return None
                if self.is_abandoned():
                    return self._landed or Landed()
        return self._landed

    def _can_wait(self, asynchronous: bool) -> bool:
        """Whether waiting here can't keep the leader from landing.

        A leader in another thread goes on whatever this thread does. In the leader's own thread, a synchronous leader
        is further down this very stack, and an asynchronous one goes on only while its loop gets its turns: a waiter
        must then await in the same loop.
        """
        if self._leads_to_us():
            return False
        if self._thread != threading.get_ident():
            return True
        return asynchronous and self._loop is not None and self._loop is running_loop()

    def _must_leave(self, deadline: float | None) -> bool:
        now = time.monotonic()
        if self.rests_since(now - REST):
            return True
        return self._leads_to_us() or (deadline is not None and now >= deadline)

    def _leads_to_us(self) -> bool:
        """Whether the leader waits, through any number of other flights, for one that we lead: a deadlock.

        A leader that waits for another process may do so: that one may wait for what we lead.
        """
        led = _led.get()
        pending: list[Flight[Any]] = [self] if led else []
        seen: set[Flight[Any]] = set()
        while pending:
            flight = pending.pop()
            if flight in led or flight.waits_abroad:
                return True
            if flight not in seen:
                seen.add(flight)
                pending += flight._flights.waited_for(flight)  # noqa: SLF001 - its own class
        return False

    @contextlib.contextmanager
    def _waiting(self) -> Generator[None]:
        """Note on the flights that we lead that their landing waits for this one; `_leads_to_us` follows the notes.

        Each flight has a note for every wait: the leader's child tasks may wait for several flights at a time.
        """
        led = _led.get()
        for flight in led:
            flight._flights.note_wait(flight, self)  # noqa: SLF001 - its own class
        try:
            yield
        finally:
            for flight in led:
                flight._flights.forget_wait(flight, self)  # noqa: SLF001 - as above

    def _is_starved(self) -> bool:
        """Whether this thread belongs to the executor that the leader's loop needs, and which has work waiting.

        A loop looks up host names in its default executor. If all threads of that executor wait here, for the leader,
        the leader's look-up never begins. asyncio has no public way to see it.
        """
        executor: Any = getattr(self._loop, "_default_executor", None)
        if executor is None or threading.current_thread() not in getattr(executor, "_threads", ()):
            return False
        queue: Any = getattr(executor, "_work_queue", None)
        return queue is not None and not queue.empty()

    def _settle(self, landed: Landed[T]) -> list[Callable[[], None]]:
        if self._landed is None:
            self._landed = landed
        waiters, self._waiters = self._waiters, []
        return waiters

    def _subscribe(self, wake: Callable[[], None]) -> bool:
        if self._landed is not None:
            return False
        self._waiters.append(wake)
        return True


class Flights(Generic[T]):
    """The calls now under way against one store.

    Attributes:
        refreshes: Which answers are being replaced in the background.
        landed: How many flights have ended; see `has_landed`.

    Example:
        >>> flights = Flights()
        >>> lease = flights.claim("key")
        >>> flight = flights.claim("key")  # the next caller gets the leader's flight, and waits for it
        >>> flight is lease.flight
        True
        >>> lease.offer("answer")  # wakes those who wait for it
        >>> lease.end()
        >>> flights.landed, flights.has_landed("key", since=0), flights.has_landed("other", since=0)
        (1, True, False)
    """

    def __init__(self) -> None:
        self.landed = self._forgotten = 0
        self._ended: dict[str, int] = {}
        self.refreshes = Refreshes()
        self._lock = make_lock()
        self._flights: dict[str, Flight[T]] = {}
        reset_after_fork(self)

    def claim(self, key: str, source: object = None, past: Flight[T] | None = None) -> Lease[T] | Flight[T]:
        """Lead the flight of `key` if nobody does, or nobody who can still land it; otherwise return the flight.

        The leader must end its `Lease`, whatever happens. For `source`, see `Lease.source`. `past` is a flight that the
        caller has seen landing without an answer that it can use. Its leader may still be storing the answer. The first
        such caller leads the next flight, and the others wait for that one.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight is not past and not flight.is_abandoned():
                return flight
            flight = self._flights[key] = Flight(self, key)
            return Lease(flight, source)

    def settle(self, flight: Flight[T], landed: Landed[T]) -> list[Callable[[], None]]:
        """Note how a flight ended, unless that is known; return what wakes its waiters."""
        with self._lock:
            return flight._settle(landed)  # noqa: SLF001 - a flight's state changes under this lock only

    def remove(self, key: str, flight: Flight[T]) -> None:
        """Take a flight from its key, unless another one has taken its place."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
            self.landed += 1
            ended = self._ended
            ended.pop(key, None)  # so that the keys stand in the order in which they ended
            ended[key] = self.landed
            if len(ended) > MOST_REMEMBERED:
                self._forgotten = ended.pop(next(iter(ended)))

    def has_landed(self, key: str, since: int) -> bool:
        """Whether a flight of `key` may have ended since `landed` was that number: what was read then may be out of date."""
        with self._lock:
            return self._ended.get(key, self._forgotten) > since

    def subscribe(self, flight: Flight[T], wake: Callable[[], None]) -> bool:
        """Have `wake` called when `flight` ends; False if it has ended already."""
        with self._lock:
            return flight._subscribe(wake)  # noqa: SLF001 - as above

    def note_wait(self, flight: Flight[T], other: Flight[Any]) -> None:
        """Note that `flight` can't land before `other` has: its leader waits for that one."""
        with self._lock:
            flight._waits_for.append(other)  # noqa: SLF001 - as above

    def forget_wait(self, flight: Flight[T], other: Flight[Any]) -> None:
        """Take back one note of `note_wait`."""
        with self._lock:
            flight._waits_for.remove(other)  # noqa: SLF001 - as above

    def waited_for(self, flight: Flight[T]) -> list[Flight[Any]]:
        """The flights that a flight's leader waits for now."""
        with self._lock:
            return list(flight._waits_for)  # noqa: SLF001 - as above

    def reset(self) -> None:
        """Forget all flights: in a forked child their leaders do not exist."""
        self._flights = {}


def _still_led() -> tuple[Flight[Any], ...]:
    """The flights led here that have not landed.

    Flights don't end in the order in which they began, where streams are read side by side. And a stream, or the
    generator of a cancelled task, may end in another context than the one that it began in.
    """
    led = _led.get()
    return tuple(flight for flight in led if not flight.has_landed) if led else led


def _next_tick(deadline: float | None) -> float:
    return TICK if deadline is None else max(0.0, min(TICK, deadline - time.monotonic()))
