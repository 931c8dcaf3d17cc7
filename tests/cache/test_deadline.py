"""Deadlines of tasks: what hangs is ended, and a loop that is busy is not taken for a store that hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from instructor.cache.deadline import Operation, Watch, limit, watch_of


class FakeLoop:
    """A clock and the one timer that a watch sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due = 0.0
        self.beat: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, beat: Callable[[], None]) -> None:
        self.due, self.beat = due, beat

    def run(self, seconds: float, late: float = 0.0) -> None:
        """Let time pass, with every beat late by so much."""
        end = self.now + seconds
        while self.beat is not None and self.due + late <= end:
            self.now = self.due + late
            beat, self.beat = self.beat, None
            beat()
        self.now = end


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def watch(loop: FakeLoop) -> Watch:
    return Watch(loop, loop.time)  # type: ignore[arg-type] - the two methods that it calls


def test_time_counts_while_the_loop_is_responsive(watch: Watch, loop: FakeLoop) -> None:
    expired: list[float] = []
    watch.add(Operation(loop.now), 2.0, lambda: expired.append(loop.now))
    loop.run(1.99)
    assert expired == []
    loop.run(0.5)
    assert len(expired) == 1


def test_an_operation_added_between_two_beats_has_all_of_its_time(watch: Watch, loop: FakeLoop) -> None:
    expired: list[float] = []
    watch.add(Operation(loop.now), 4.0, lambda: None)
    loop.run(0.2)
    watch.add(Operation(loop.now), 1.0, lambda: expired.append(loop.now))
    loop.run(0.99)
    assert expired == []
    loop.run(0.5)
    assert len(expired) == 1


def test_hardly_any_time_counts_while_the_loop_is_busy_but_some_does(watch: Watch, loop: FakeLoop) -> None:
    expired: list[float] = []
    watch.add(Operation(loop.now), 2.0, lambda: expired.append(loop.now))
    loop.run(20.0, late=1.0)
    assert expired == []
    loop.run(200.0, late=1.0)
    assert len(expired) == 1


def test_no_time_counts_before_an_operation_begins(watch: Watch, loop: FakeLoop) -> None:
    expired: list[float] = []
    operation = Operation()
    watch.add(operation, 1.0, lambda: expired.append(loop.now))
    loop.run(10.1)
    operation.began = loop.now
    loop.run(0.99)
    assert expired == []
    loop.run(0.5)
    assert len(expired) == 1


def test_what_is_removed_never_expires(watch: Watch, loop: FakeLoop) -> None:
    expired: list[str] = []
    removed = Operation(loop.now)
    watch.add(Operation(loop.now), 1.0, lambda: expired.append("a"))
    watch.add(removed, 1.0, lambda: expired.append("b"))
    watch.remove(removed)
    loop.run(10.0)
    assert expired == ["a"]
    assert loop.beat is None, "no timer is left where nothing is under way"


async def test_what_hangs_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await limit(hang(), 0.02)
    assert cancelled.is_set()


async def test_an_answer_is_not_late_because_the_loop_was_busy() -> None:
    async def answer_in_several_turns() -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        return "text"

    async def compute() -> None:
        for _ in range(5):
            time.sleep(0.05)  # noqa: ASYNC251 - what keeps the loop busy
            await asyncio.sleep(0)

    busy = asyncio.create_task(compute())
    assert await limit(answer_in_several_turns(), 0.1) == "text"
    await busy


async def test_a_cancellation_by_somebody_else_is_no_timeout() -> None:
    task = asyncio.create_task(limit(asyncio.sleep(1000), 500))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_there_is_one_watch_for_each_loop() -> None:
    loop = asyncio.get_running_loop()
    assert watch_of(loop) is watch_of(loop)
    other = await asyncio.to_thread(lambda: asyncio.run(_find_watch()))
    assert other is not watch_of(loop)


async def _find_watch() -> Watch:
    return watch_of(asyncio.get_running_loop())
