"""Worker threads: a queue without an end before a few threads, and time that counts only while something runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from instructor.cache import deadline, loop_thread, threads
from instructor.cache.deadline import Watch
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


class SlowInterpreter:
    """A lock and a clock of a process in which a thread that wakes gets its turn so many seconds late.

    A job is over after so many looks at it.
    """

    def __init__(self, *, late: float, looks: int) -> None:
        self.now, self.late, self.looks = 100.0, late, looks
        self.waited = 0.0

    def acquire(self, timeout: float) -> bool:
        self.looks -= 1
        self.waited += timeout
        self.now += timeout + self.late
        return self.looks <= 0


def wait(interpreter: SlowInterpreter, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(deadline, "monotonic", lambda: interpreter.now)
    job = threads.Job(lambda: None, lambda: None)
    job.began = interpreter.now
    lock: Any = interpreter
    deadline.wait_in_thread(job, lock, seconds)


def test_a_store_is_not_late_because_its_thread_waits_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each thread of a thousand gets its turn five seconds late, and so does the one with the result.
    wait(SlowInterpreter(late=5.0, looks=8), monkeypatch, 2.0)


def test_a_store_that_hangs_is_late_in_a_process_that_is_responsive(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = SlowInterpreter(late=0.001, looks=1000)
    with pytest.raises(TimeoutError):
        wait(interpreter, monkeypatch, 2.0)
    assert 2.0 <= interpreter.waited < 2.6


def test_a_store_that_hangs_is_given_up_in_a_busy_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        wait(SlowInterpreter(late=5.0, looks=1000), monkeypatch, 2.0)


def run_in_a_watched_loop(late: float, rounds: int) -> int:
    """Count the beats that a job of 2 s survives in a loop whose beats come so late, having been queued for 1.75 s."""
    loop: Any = SteppedLoop()
    watch = Watch(loop, loop.time)
    job: threads.Job[None] = threads.Job(lambda: None, lambda: None)
    future: Any = SteppedFuture()
    watch.add(job, 2.0, partial(threads._expire, job, future))
    for _ in range(7):
        loop.beat_once()
    job.began = loop.now
    for number in range(rounds):
        if future.error:
            return number
        loop.beat_once(late)
    return rounds


class SteppedFuture:
    """What a task awaits; it notes the error that ends the wait."""

    error: Exception | None = None

    def done(self) -> bool:
        return self.error is not None

    def set_exception(self, error: Exception) -> None:
        self.error = error


class SteppedLoop:
    """The clock and the timer of an event loop, moved by hand."""

    now = 100.0

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, beat: Callable[[], None]) -> None:
        self.due, self.beat = due, beat

    def beat_once(self, late: float = 0.0) -> None:
        self.now = self.due + late
        self.beat()


def test_an_operation_in_a_thread_is_not_late_because_the_loop_of_its_task_is_busy() -> None:
    assert run_in_a_watched_loop(late=5.0, rounds=20) == 20, "a hundred seconds, in which the loop did nothing else"
    assert run_in_a_watched_loop(late=0.0, rounds=20) == 8, "2 s in a loop that is responsive"


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


async def test_a_task_goes_on_in_the_turn_of_its_loop_that_hears_of_the_end() -> None:
    loop, turns = asyncio.get_running_loop(), []
    landing = threads.Landing(loop=loop)

    async def wait() -> None:
        await landing
        turns.append("the task goes on")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    loop.call_soon(landing.land)
    loop.call_soon(turns.append, "the turn ends")
    await task
    assert turns == ["the task goes on", "the turn ends"]


async def test_a_landing_that_nobody_awaits_any_longer_harms_nobody() -> None:
    landing = threads.Landing(loop=asyncio.get_running_loop())
    task = asyncio.ensure_future(asyncio.wait_for(landing, 1000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    landing.land()
    assert landing.cancelled()
    unawaited = threads.Landing(loop=asyncio.get_running_loop())
    unawaited.land()
    assert await unawaited is None  # type: ignore[func-returns-value] - that it returns


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


def test_a_coroutine_that_never_awaits_is_told_from_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    release, responds = threading.Event(), loop_thread._responds

    async def block() -> None:
        release.wait()

    async def wait() -> str:
        await asyncio.sleep(0.1)
        return "text"

    loop = LoopThread()
    try:
        with monkeypatch.context() as patient:  # with a busy machine
            patient.setattr(loop_thread, "_responds", lambda running, _: responds(running, 30.0))
            assert loop.run(wait(), 0.02) == "text", "it bounds its own time; the loop answers"
        with pytest.raises(TimeoutError):
            loop.run(block(), 0.02)
    finally:
        release.set()
        loop.stop()


class SilentLoop:
    """An event loop whose thread has not got the interpreter yet."""

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """It would run later."""


def responds(interpreter: SlowInterpreter, monkeypatch: pytest.MonkeyPatch) -> bool:
    lock = SimpleNamespace(acquire=lambda timeout=None: timeout is None or interpreter.acquire(timeout))
    monkeypatch.setattr(deadline, "monotonic", lambda: interpreter.now)
    monkeypatch.setattr(loop_thread, "monotonic", lambda: interpreter.now)
    monkeypatch.setattr(loop_thread, "threading", SimpleNamespace(Lock=lambda: lock))
    loop: Any = SilentLoop()
    return loop_thread._responds(loop, 2.0)


def test_a_loop_is_not_blocked_because_its_thread_waits_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert responds(SlowInterpreter(late=5.0, looks=8), monkeypatch)


def test_a_blocked_loop_is_given_up_in_a_busy_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not responds(SlowInterpreter(late=5.0, looks=1000), monkeypatch)


def test_one_thread_looks_whether_a_loop_responds_for_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    looked, loop = threading.Event(), LoopThread()

    def look(_: object, seconds: float) -> bool:
        looks.append(seconds)
        return not looked.wait(5)

    monkeypatch.setattr(loop_thread, "_responds", look)
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(loop._check_responds, cast("Any", None), 2.0) for _ in range(8)]
        while loop._look is None or len(cast("Any", loop._look)._condition._waiters) < 7:
            time.sleep(0.001)
        looked.set()
        assert [type(call.exception()) for call in calls] == [TimeoutError] * 8
    assert looks == [2.0]
    monkeypatch.setattr(loop_thread, "_responds", lambda *_: True)
    loop._check_responds(cast("Any", None), 2.0)
