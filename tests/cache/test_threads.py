"""Worker threads: a queue without an end before a few threads, and time that counts only while something runs."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from instructor.cache.loop_thread import LoopThread
from instructor.cache.threads import Workers
from instructor.exceptions import CacheNotTriedError


def test_waiting_for_a_thread_does_not_count_for_threads() -> None:
    workers = Workers(limit=2)
    with ThreadPoolExecutor(40) as callers:
        # Twenty rounds of 0.02 s: the last waits for 0.4 s, which is longer than an operation may take.
        done = callers.map(lambda number: workers.run(lambda: time.sleep(0.02) or number, 0.2), range(40))
        assert list(done) == list(range(40))
    assert workers.hung == 0


async def test_waiting_for_a_thread_does_not_count_for_tasks() -> None:
    workers = Workers(limit=2)
    calls = (workers.run_async(lambda number=number: time.sleep(0.02) or number, 0.2) for number in range(40))
    assert await asyncio.gather(*calls) == list(range(40))
    assert workers.hung == 0


def test_a_store_is_not_late_because_its_thread_waits_for_the_interpreter(busy_threads: None) -> None:
    workers = Workers()
    # Each time it is ready to go on, it waits for its turn behind the busy threads, for far longer than it may run.
    assert workers.run(lambda: [time.sleep(0.001) for _ in range(4)], 0.2) == [None] * 4
    assert workers.hung == 0


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Five threads that compute, each for a tenth of a second at a time."""
    before, over = sys.getswitchinterval(), threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=compute) for _ in range(5)]
    for thread in threads:
        thread.start()
    sys.setswitchinterval(0.1)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        over.set()
        for thread in threads:
            thread.join()


async def test_a_result_that_is_there_is_not_late_because_the_loop_was_busy() -> None:
    workers, over = Workers(), threading.Event()

    def act() -> str:
        over.set()
        return "text"

    task = asyncio.create_task(workers.run_async(act, 0.05))
    await asyncio.sleep(0)
    over.wait()
    time.sleep(0.2)  # noqa: ASYNC251 - what keeps the loop busy
    assert await task == "text"
    assert workers.hung == 0


async def test_what_a_cancelled_task_has_queued_is_kept_if_it_is_paid_for() -> None:
    workers, release = Workers(limit=1), threading.Event()
    ran: list[str] = []
    first = asyncio.create_task(workers.run_async(release.wait))
    kept = asyncio.create_task(workers.run_async(lambda: ran.append("write"), keep=True))
    dropped = asyncio.create_task(workers.run_async(lambda: ran.append("read")))
    await asyncio.sleep(0)
    for task in (kept, dropped):
        task.cancel()
    await asyncio.gather(kept, dropped, return_exceptions=True)
    release.set()
    await first
    await workers.run_async(lambda: None)
    assert ran == ["write"]


def test_a_thread_that_hangs_gives_its_place_to_those_that_wait() -> None:
    workers, release = Workers(limit=1), threading.Event()
    with ThreadPoolExecutor(2) as callers:
        hangs = callers.submit(workers.run, release.wait, 0.05)
        waits = callers.submit(workers.run, lambda: "text", 5)
        with pytest.raises(TimeoutError):
            hangs.result()
        assert waits.result() == "text"
        assert workers.hung == 1
        release.set()


def test_an_operation_waits_if_no_thread_can_be_started_and_is_told_if_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Workers()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CacheNotTriedError, match="could not start a thread"):
            workers.run(lambda: "text")
    assert workers.run(lambda: "text") == "text"
    release, begun = threading.Event(), threading.Event()

    async def use() -> str:
        first = asyncio.create_task(workers.run_async(lambda: begun.set() or release.wait()))
        await asyncio.sleep(0)
        begun.wait()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = asyncio.create_task(workers.run_async(lambda: "text"))
            await asyncio.sleep(0)
        release.set()
        await first
        return await second

    assert asyncio.run(use()) == "text"


def test_a_coroutine_that_never_awaits_is_told_from_one_that_waits() -> None:
    release = threading.Event()

    async def block() -> None:
        release.wait()

    async def wait() -> str:
        await asyncio.sleep(0.1)
        return "text"

    loop = LoopThread()
    try:
        assert loop.run(wait(), 0.02) == "text", "it bounds its own time; the loop answers"
        with pytest.raises(TimeoutError):
            loop.run(block(), 0.02)
    finally:
        release.set()
        loop.stop()
