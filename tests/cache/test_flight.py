"""Identical calls share one flight; nobody waits for himself, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import Context
from typing import Any

import pytest

from instructor.cache import flight
from instructor.cache.flight import Flight, Flights, Landed, Lease, _led
from instructor.exceptions import BudgetExceeded


def in_thread(function, *arguments):
    """Run a function in a thread; return a function that joins it and gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()

    def join():
        thread.join(10)
        return results[0]

    return join


def lead(flights: Flights[Any], key: str = "a") -> Lease[Any]:
    lease = flights.claim(key, "me")
    assert isinstance(lease, Lease)
    return lease


@pytest.mark.parametrize("ends", ["ab", "ba"])
def test_what_has_landed_is_not_kept_in_whatever_order_flights_end(ends: str):
    flights: Flights[Any] = Flights()

    def fly() -> None:
        leases = {key: lead(flights, key) for key in "ab"}
        for key in ends:
            leases[key].end()
        assert _led.get() == ()
        in_thread(lead(flights).end)()  # a stream that another thread reads to its end
        lead(flights).end()
        assert _led.get() == ()

    Context().run(fly)


def lead_elsewhere(flights: Flights[Any]) -> Lease[Any]:
    """Lead from a thread that goes on; one that ended could give its number to a waiter's thread."""
    lease = in_thread(lead, flights)()
    lease.flight._thread = -1
    return lease


def test_the_first_leads_and_the_others_join_until_the_lease_ends() -> None:
    flights = Flights[str]()
    lease = lead(flights)
    assert flights.claim("a") is lease.flight
    lead(flights, "b")
    lease.offer("answer")
    assert flights.claim("a") is lease.flight, "the answer is not in the store yet"
    assert flights.landed == 0
    lease.end()
    assert flights.landed == 1
    lead(flights)


def test_an_offered_answer_reaches_the_waiters_at_once_and_those_who_come_later() -> None:
    flights = Flights[str]()
    lease = lead(flights)
    join = in_thread(lease.flight.wait)
    lease.offer("answer")
    assert join() == Landed("answer", None, "me")
    assert in_thread(lease.flight.wait)() == Landed("answer", None, "me")
    lease.end(RuntimeError("the store failed"))
    assert in_thread(lease.flight.wait)() == Landed("answer", None, "me"), "an answer that was given stays given"


def test_those_who_cannot_use_an_answer_share_the_next_flight_while_the_first_is_still_stored() -> None:
    flights = Flights[str]()
    first = lead(flights)
    first.offer("refused")
    second = flights.claim("a", "me", past=first.flight)
    assert isinstance(second, Lease)
    assert flights.claim("a", past=first.flight) is second.flight
    first.end()
    assert flights.claim("a") is second.flight, "the first leader doesn't take the second one's place"
    second.end()
    lead(flights)


async def test_waiting_tasks_and_threads_get_the_answer_together() -> None:
    flights = Flights[str]()
    lease = lead_elsewhere(flights)
    join = in_thread(lease.flight.wait)
    tasks = [asyncio.create_task(lease.flight.wait_async()) for _ in range(10)]
    await asyncio.sleep(0)
    lease.offer("answer")
    lease.end()
    assert await asyncio.gather(*tasks) == [Landed("answer", None, "me")] * 10
    assert await asyncio.to_thread(join) == Landed("answer", None, "me")


async def test_a_cancelled_waiter_disturbs_nobody() -> None:
    flights = Flights[str]()
    lease = lead_elsewhere(flights)
    first, second = (asyncio.create_task(lease.flight.wait_async()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    lease.offer("answer")
    assert await second == Landed("answer", None, "me")
    assert first.cancelled()


def test_a_waiter_whose_loop_is_closed_disturbs_nobody() -> None:
    flights = Flights[str]()
    lease = lead_elsewhere(flights)

    async def leave() -> None:
        task = asyncio.create_task(lease.flight.wait_async())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    join = in_thread(lease.flight.wait)
    lease.offer("answer")
    assert join() == Landed("answer", None, "me")


def test_a_wait_is_no_longer_than_the_waiter_allows() -> None:
    lease = lead_elsewhere(Flights[str]())
    assert lease.flight.wait(0.0) is None
    assert asyncio.run(lease.flight.wait_async(0.0)) is None


def test_a_leader_does_not_wait_for_itself() -> None:
    flights = Flights[str]()
    lease = lead(flights)
    assert lease.flight.wait() is None

    async def nested() -> Any:
        return await lease.flight.wait_async()

    assert asyncio.run(nested()) is None
    assert asyncio.run(asyncio.wait_for(asyncio.to_thread(lease.flight.wait), 5)) is None
    lease.end()


async def test_a_synchronous_call_does_not_wait_for_a_leader_in_the_loop_that_it_blocks() -> None:
    flights = Flights[str]()
    begun, done = asyncio.Event(), asyncio.Event()
    led: list[Flight[str]] = []

    async def ask() -> None:
        lease = lead(flights)
        led.append(lease.flight)
        begun.set()
        await done.wait()
        lease.offer("answer")
        lease.end()

    task = asyncio.create_task(ask())
    await begun.wait()
    assert led[0].wait() is None
    waiter = asyncio.create_task(led[0].wait_async())
    await asyncio.sleep(0)
    done.set()
    await task
    assert await waiter == Landed("answer", None, "me")


@pytest.mark.parametrize("end", ["stop", "close"])
def test_a_leader_whose_loop_is_gone_frees_its_waiters_and_its_key(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "TICK", 0.02)
    flights = Flights[str]()
    loop = asyncio.new_event_loop()
    leases: list[Lease[str]] = []

    async def ask() -> None:
        leases.append(lead(flights))
        await asyncio.Event().wait()

    task = loop.create_task(ask())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    while not leases:
        threading.Event().wait(0.001)
    waiting = in_thread(leases[0].flight.wait)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    if end == "close":
        loop.close()
    assert waiting() == Landed(), "one of the waiters leads next"
    assert asyncio.run(leases[0].flight.wait_async()) == Landed()
    new = lead(flights)
    leases[0].end()
    assert flights.claim("a") is new.flight, "the old leader, should it ever end, doesn't take the new one's place"
    new.end()
    if end == "stop":
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


def test_an_answer_whose_leader_never_stored_it_is_not_served_for_ever() -> None:
    flights = Flights[str]()
    loop = asyncio.new_event_loop()

    async def offer() -> Lease[str]:
        lease = lead(flights)
        lease.offer("answer")
        return lease  # the loop ends while the answer is written to the store

    old = loop.run_until_complete(offer())
    loop.close()
    lead(flights).end()
    old.end()


def test_it_is_known_whose_flights_ended_since_a_moment() -> None:
    flights = Flights[str]()
    flights.claim("a").end()
    since = flights.landed
    flights.claim("b").end()
    assert [flights.has_landed(key, since) for key in "abc"] == [False, True, False]
    flights.claim("a").end()
    assert flights.has_landed("a", since)


def test_any_flight_may_be_one_of_those_that_nobody_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "MOST_REMEMBERED", 2)
    flights = Flights[str]()
    for key in "abca":  # the last one is remembered in place of the first
        flights.claim(key).end()
    assert len(flights._ended) == 2
    assert [flights.has_landed(key, since=0) for key in "abcd"] == [True] * 4
    assert [flights.has_landed(key, since=2) for key in "abcd"] == [True, False, True, False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_wait_for_its_parents_leaders() -> None:
    flights = Flights[str]()
    flights.claim("a")
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with flights._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on forking beside threads warns
        child = os.fork()
    if child == 0:
        os._exit(0 if isinstance(flights.claim("a"), Lease) else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    ("error", "handed_over"), [(None, True), (BudgetExceeded("used up"), True), (RuntimeError("down"), False)]
)
def test_another_process_asks_next_where_nobody_has_asked(error: Exception | None, handed_over: bool) -> None:
    """Else all that wait ask at once, as they do after a failure that may be theirs too."""
    ended: list[bool] = []

    class Held:
        def end(self, *, handed_over: bool) -> None:
            ended.append(handed_over)

    lease: Lease[str] = Flights[str]().claim("key")  # type: ignore[assignment] # nobody else leads
    lease.held = Held()  # type: ignore[assignment] # as much of it as matters
    lease.end(error)
    assert ended == [handed_over]
