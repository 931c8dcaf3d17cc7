"""The turnstile: so many at once, the rest in turn, and nobody left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from instructor.cache.turnstile import Turnstile


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1


def test_so_many_threads_pass_at_once() -> None:
    turnstile, crowd = Turnstile(3), Crowd()
    together = threading.Barrier(3, timeout=60)

    def use(_: int) -> None:
        with turnstile:
            crowd.enter()
            together.wait()
            crowd.leave()

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(use, range(99)))
    assert (crowd.inside, crowd.most) == (0, 3)


async def test_so_many_tasks_of_a_loop_pass_at_once() -> None:
    turnstile, crowd = Turnstile(3), Crowd()

    async def use() -> None:
        async with turnstile.of_loop(asyncio.get_running_loop()):
            crowd.enter()
            await asyncio.sleep(0)
            crowd.leave()

    await asyncio.gather(*(use() for _ in range(100)))
    assert (crowd.inside, crowd.most) == (0, 3)


def test_a_loop_does_not_wait_for_another() -> None:
    turnstile = Turnstile(1)

    async def use() -> str:
        async with turnstile.of_loop(asyncio.get_running_loop()):
            return await asyncio.to_thread(asyncio.run, use_inside())

    async def use_inside() -> str:
        async with turnstile.of_loop(asyncio.get_running_loop()):
            return "both are inside"

    assert asyncio.run(use()) == "both are inside"


def test_whoever_leaves_by_an_error_gives_the_turn_on() -> None:
    turnstile = Turnstile(1)
    for _ in range(3):
        with pytest.raises(OSError, match="broken"), turnstile:
            raise OSError("broken")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads is what is tested
def test_a_forked_child_has_all_turns() -> None:
    turnstile, release, entered = Turnstile(1), threading.Event(), threading.Event()

    def hold() -> None:
        with turnstile:
            entered.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        with turnstile:
            os._exit(0)
    release.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
