"""While a provider is down, callers who wait for one another fail no later than one request after their leader."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

from instructor import AsyncInstructor, AutoCache, BaseCache, Instructor, Mode
from instructor.cache.handle import handle_of
from instructor.engine.lookup import own_copy
from instructor.exceptions import InstructorRetryException
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO, User

CALLERS = 12
OPTIONS: dict[str, Any] = {"wires": {Mode.TOOLS: OPENAI_CHAT}, "mode": Mode.TOOLS, "model": "m"}


def stop_at_once() -> tenacity.Retrying:
    return tenacity.Retrying(stop=tenacity.stop_after_attempt(1))


ONE_POLICY = stop_at_once()

# What the callers differ in, with the keywords of each; and how many requests are made beside each other, first and
# after the leader's failure. Callers who share all that decides about an error share the error.
CASES: dict[str, tuple[bool, bool, Callable[[int], dict[str, Any]], tuple[int, int]]] = {
    # a client each, a cache
    "no cache": (False, False, lambda number: {}, (CALLERS, 0)),
    "one client": (False, True, lambda number: {}, (1, 0)),
    "a client each": (True, True, lambda number: {}, (1, CALLERS - 1)),
    "one tenacity object": (False, True, lambda number: {"max_retries": ONE_POLICY}, (1, 0)),
    "a tenacity object each": (False, True, lambda number: {"max_retries": stop_at_once()}, (1, CALLERS - 1)),
    "a timeout each": (False, True, lambda number: {"timeout": 60.0 + number}, (1, CALLERS - 1)),
    "credentials each": (
        False,
        True,
        lambda number: {"extra_headers": {"Authorization": f"Bearer {number}"}},
        (1, CALLERS - 1),
    ),
}


class Outage:
    """A provider that fails. Requests that are to be made beside each other wait until all of them are there.

    If they came one after the other instead, the first of them would wait in vain, and the test would fail.
    """

    def __init__(self, first: int, others: int, barrier: Callable[[int], Any]) -> None:
        self.leaders = barrier(first + 1)
        self.others = barrier(others) if others else None
        self.first = first
        self.requests = 0
        self._lock = threading.Lock()

    def next_barrier(self) -> Any:
        with self._lock:
            self.requests += 1
            return self.leaders if self.requests <= self.first else self.others


def count_waiters(store: BaseCache | None) -> int:
    if store is None:
        return CALLERS - 1
    return sum(len(flight._waiters) for flight in handle_of(store).flights._flights.values())


@pytest.mark.parametrize("case", CASES)
def test_threads_fail_beside_each_other(case: str) -> None:
    a_client_each, cached, keywords, (first, others) = CASES[case]
    outage = Outage(first, others, lambda parties: threading.Barrier(parties, timeout=30))
    store = AutoCache() if cached else None

    def fail(_: Any) -> Any:
        outage.next_barrier().wait()
        raise RuntimeError("provider down")

    def make_client() -> Instructor:
        return Instructor(ScriptedAdapter(fail), cache=store, **OPTIONS)

    shared, errors = make_client(), []

    def call(number: int) -> None:
        client = make_client() if a_client_each else shared
        try:
            client.create(User, HELLO, **keywords(number))
        except InstructorRetryException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    while count_waiters(store) < CALLERS - 1:
        time.sleep(0.001)
    outage.leaders.wait()
    for thread in threads:
        thread.join(60)
    assert [str(error.__cause__) for error in errors] == ["provider down"] * CALLERS
    assert len({id(error) for error in errors}) == CALLERS, "each raises an error of its own"
    assert outage.requests == first + others


@pytest.mark.parametrize("case", CASES)
async def test_tasks_fail_beside_each_other(case: str) -> None:
    a_client_each, cached, keywords, (first, others) = CASES[case]
    outage = Outage(first, others, asyncio.Barrier)
    store = AutoCache() if cached else None

    async def fail(_: Any) -> Any:
        async with asyncio.timeout(30):
            await outage.next_barrier().wait()
        raise RuntimeError("provider down")

    def make_client() -> AsyncInstructor:
        return AsyncInstructor(ScriptedAdapter(fail, asynchronous=True), cache=store, **OPTIONS)

    shared = make_client()
    tasks = [
        asyncio.create_task((make_client() if a_client_each else shared).create(User, HELLO, **keywords(number)))
        for number in range(CALLERS)
    ]
    while count_waiters(store) < CALLERS - 1:
        await asyncio.sleep(0)
    await outage.leaders.wait()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error.__cause__) for error in errors if isinstance(error, BaseException)] == ["provider down"] * CALLERS
    assert outage.requests == first + others


def test_what_one_caller_notes_on_its_error_is_not_on_the_others() -> None:
    error = OSError("down")
    error.add_note("the leader's")
    copies = own_copy(error), own_copy(error)
    copies[0].add_note("one caller's")
    assert [one.__notes__ for one in (error, copies[1])] == [["the leader's"]] * 2
