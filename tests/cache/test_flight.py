"""Identical calls share one flight; nobody waits for himself, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from instructor.cache.flight import Flight, Flights, Landed


def in_thread(function, *arguments):
    """Run a function in a thread; return a function that joins it and gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()

    def join():
        thread.join(10)
        return results[0]

    return join


def test_the_first_leads_and_the_others_join_until_it_lands() -> None:
    flights = Flights()
    flight, leads = flights.claim("a")
    again, leads_again = flights.claim("a")
    _, leads_other = flights.claim("b")
    assert (leads, leads_again, leads_other) == (True, False, True)
    assert again is flight
    flight.land("answer")
    assert flights.landed == 1
    assert flights.claim("a")[1]


def test_a_waiting_thread_gets_the_answer() -> None:
    flights = Flights()
    flight, _ = flights.claim("a")
    join = in_thread(flight.wait)
    flight.land("answer", source="me")
    assert join() == Landed("answer", None, "me")
    assert flight.wait() == Landed("answer", None, "me")  # also who comes too late


async def test_waiting_tasks_and_threads_get_the_answer_together() -> None:
    flights = Flights()
    flight, _ = flights.claim("a")
    join = in_thread(flight.wait)
    tasks = [asyncio.create_task(flight.wait_async()) for _ in range(10)]
    await asyncio.sleep(0)
    flight.land("answer")
    assert await asyncio.gather(*tasks) == [Landed("answer")] * 10
    assert await asyncio.to_thread(join) == Landed("answer")


async def test_a_cancelled_waiter_disturbs_nobody() -> None:
    flights = Flights()
    flight, _ = flights.claim("a")
    first, second = (asyncio.create_task(flight.wait_async()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    flight.land("answer")
    assert await second == Landed("answer")
    assert first.cancelled()


def test_a_waiter_whose_loop_is_closed_disturbs_nobody() -> None:
    flights = Flights()
    flight, _ = flights.claim("a")

    async def leave() -> None:
        task = asyncio.create_task(flight.wait_async())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    join = in_thread(flight.wait)
    flight.land("answer")
    assert join() == Landed("answer")


def test_a_leader_does_not_wait_for_himself() -> None:
    flights = Flights()
    flight, _ = flights.claim("a")
    assert not flight.can_wait(asynchronous=False)

    async def nested() -> bool:
        return flight.can_wait(asynchronous=True)

    assert not asyncio.run(nested())
    assert not asyncio.run(asyncio.wait_for(asyncio.to_thread(flight.can_wait, False), 5))
    assert in_thread(flight.can_wait, False)()
    flight.land()


async def test_a_synchronous_call_does_not_wait_for_a_leader_in_the_loop_that_it_blocks() -> None:
    flights = Flights()
    begun, done = asyncio.Event(), asyncio.Event()
    led: list[Flight] = []

    async def lead() -> None:
        led.append(flights.claim("a")[0])
        begun.set()
        await done.wait()
        led[0].land("answer")

    task = asyncio.create_task(lead())
    await begun.wait()
    assert not led[0].can_wait(asynchronous=False)
    assert led[0].can_wait(asynchronous=True)
    done.set()
    await task


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_wait_for_its_parents_leaders() -> None:
    flights = Flights()
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
        os._exit(0 if flights.claim("a")[1] else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
