"""One flight: identical calls that are under way at the same time share one request."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instructor.locks import make_lock

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class Landed:
    """How a flight ended.

    Attributes:
        value: What the leader brought; None if it handed over without an answer.
        error: What the leader raised instead.
        source: Who led, such as its adapter: an error over one client's credentials is none of another's.
    """

    value: Any = None
    error: Exception | None = None
    source: Any = None


_PATIENCE = 0.5
"""Seconds of waiting after which a waiter looks whether it is in the leader's way."""

_led: ContextVar[tuple[Flight, ...]] = ContextVar("instructor_flights_led", default=())
"""The flights led by the code that runs now. Who leads a flight must not wait for it: a validator or a hook
may make the same call again, from the same task, a child task or a thread that copies the context."""


class Flight:
    """One call under way. Its leader lands it; everybody else waits."""

    __slots__ = ("_flights", "_key", "_landed", "_loop", "_thread", "_token", "_waiters", "_waits_for")

    def __init__(self, flights: Flights, key: str) -> None:
        self._flights = flights
        self._key = key
        self._landed: Landed | None = None
        self._waiters: list[Callable[[], None]] = []
        self._waits_for: Flight | None = None
        self._thread = threading.get_ident()
        self._loop = running_loop()
        self._token = _led.set((*_led.get(), self))

    def land(self, value: Any = None, error: Exception | None = None, source: Any = None) -> None:
        """End the flight. Without a value and an error it is handed over: one of those who wait leads next."""
        waiters = self._flights.remove(self._key, self, Landed(value, error, source))
        # A closed generator or a cancelled task may be finished from another context, whose copy nobody reads.
        with contextlib.suppress(ValueError):
            _led.reset(self._token)
        for wake in waiters:
            wake()

    def can_wait(self, asynchronous: bool) -> bool:
        """Whether waiting here cannot keep the leader from landing.

        Args:
            asynchronous: Whether the waiter would await, rather than block its thread.
        """
        if self._leads_to_us():
            return False
        if self._thread != threading.get_ident():
            return True
        # In the leader's own thread a synchronous leader is further down this very stack; and only the loop in which
        # an asynchronous leader runs lets it go on, so neither a synchronous waiter nor another loop may hold it.
        return asynchronous and self._loop is not None and self._loop is running_loop()

    def _leads_to_us(self) -> bool:
        """Whether the leader waits, over any number of others, for a flight that we lead: then we would wait for us."""
        led = _led.get()
        flight: Flight | None = self if led else None
        while flight is not None and flight not in led:
            flight = flight._waits_for  # noqa: SLF001 - its own class
        return flight is not None

    def wait(self) -> Landed | None:
        """Wait in this thread.

        Returns:
            How the flight ended; None if waiting on could keep the leader from landing.
        """
        event = threading.Event()
        if not self._flights.subscribe(self, event.set):
            return self._landed
        with self._waiting():
            while not event.wait(_PATIENCE):
                if self._leads_to_us() or self._is_starved():
                    return None
        return self._landed

    async def wait_async(self) -> Landed | None:
        """As `wait`, in this task. Being cancelled here disturbs nobody else."""
        import asyncio

        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        if not self._flights.subscribe(self, wake):
            return self._landed
        with self._waiting():
            while not event.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await event.wait()
                if not event.is_set() and self._leads_to_us():
                    return None
        return self._landed

    @contextlib.contextmanager
    def _waiting(self) -> Generator[None]:
        """Note, on the flights that we lead, for whom their landing waits now."""
        led = _led.get()
        for flight in led:
            flight._waits_for = self  # noqa: SLF001 - its own class
        try:
            yield
        finally:
            for flight in led:
                flight._waits_for = None  # noqa: SLF001 - as above

    def _is_starved(self) -> bool:
        """Whether the leader's loop has work for its default executor that waits for a thread such as ours.

        The leader may need that executor itself, as for looking up a host's name.
        """
        executor: Any = getattr(self._loop, "_default_executor", None)
        if executor is None or threading.current_thread() not in getattr(executor, "_threads", ()):
            return False
        queue: Any = getattr(executor, "_work_queue", None)
        return queue is not None and not queue.empty()

    def _settle(self, landed: Landed) -> list[Callable[[], None]]:
        self._landed = landed
        waiters, self._waiters = self._waiters, []
        return waiters

    def _subscribe(self, wake: Callable[[], None]) -> bool:
        if self._landed is not None:
            return False
        self._waiters.append(wake)
        return True


class Flights:
    """The calls now under way against one store.

    Attributes:
        landed: How many flights have ended; tells whether a look into the store is still up to date.

    Example:
        >>> flights = Flights()
        >>> flight, leads = flights.claim("key")
        >>> leads
        True
        >>> flight.land("answer")
    """

    def __init__(self) -> None:
        self.landed = 0
        self._lock = make_lock()
        self._flights: dict[str, Flight] = {}
        _all_flights.add(self)

    def claim(self, key: str) -> tuple[Flight, bool]:
        """Join the flight under `key`, or begin one.

        Returns:
            The flight, and whether you lead it. Who leads must call `Flight.land`, whatever happens; who does
            not may wait where `Flight.can_wait` says so, and must go on without the flight otherwise.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(self, key)
            return flight, True

    def remove(self, key: str, flight: Flight, landed: Landed) -> list[Callable[[], None]]:
        """Take an ended flight out; return what wakes those who wait."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
            self.landed += 1
            return flight._settle(landed)  # noqa: SLF001 - a flight's state changes under this lock only

    def subscribe(self, flight: Flight, wake: Callable[[], None]) -> bool:
        """Have `wake` called when `flight` ends; False if it has ended already."""
        with self._lock:
            return flight._subscribe(wake)  # noqa: SLF001 - as above

    def reset(self) -> None:
        """Forget all flights: in a forked child their leaders do not exist."""
        self._flights = {}


_all_flights: weakref.WeakSet[Flights] = weakref.WeakSet()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread. Importing asyncio takes longer than a whole cached call, so it is not."""
    module = sys.modules.get("asyncio")
    return module._get_running_loop() if module is not None else None  # noqa: SLF001 - public, in the docs, for this very use


def _reset_all() -> None:
    for flights in list(_all_flights):
        flights.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
