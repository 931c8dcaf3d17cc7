"""The threads that ask about the rows of a job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

R = TypeVar("R")

_IDLE_SECONDS = 0.5


class Crew(Generic[R]):
    """As many threads as there are tasks under way, which hand over what the tasks return.

    A thread ends when it has had nothing to do for a moment, so nobody has to dismiss a crew that is left behind: the
    program waits for what is under way, and for no more; with `may_be_left` it doesn't even wait for that, which no
    executor allows.

    Attributes:
        may_be_left: Whether the program may end while they are at work.
    """

    def __init__(self, hand_over: Callable[[R], object]) -> None:
        self._hand_over = hand_over
        self._tasks: SimpleQueue[Callable[[], R] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._spare = 0  # threads without a task, less the tasks in the queue
        self.may_be_left = False

    def submit(self, task: Callable[[], R]) -> None:
        """Have a thread perform a task. RuntimeError if there is none, and none can be started."""
        with self._lock:
            self._tasks.put(task)
            self._spare -= 1
            if self._spare >= 0:
                return
            self._spare += 1
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="instructor-job", daemon=self.may_be_left).start()
        except RuntimeError:  # this process has as many as it may
            with self._lock:
                self._spare -= 1
                self._threads -= 1
                if self._threads:
                    return
                self._spare += 1
                self._tasks.get()
            raise

    def dismiss(self) -> None:
        """End each thread as soon as it has nothing to do. No tasks come any more."""
        with self._lock:
            for _ in range(self._threads):
                self._tasks.put(None)

    def _work(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._spare <= 0:  # a task is on its way
                        continue
                    self._spare -= 1
                    self._threads -= 1
                    return
            if task is None:
                return
            result = task()
            del task
            with self._lock:
                self._spare += 1  # before somebody hears of the result and has another task
            self._hand_over(result)
            del result
