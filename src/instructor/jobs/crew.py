"""The threads that ask about the rows of a job."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from instructor.interpreter_queue import InterpreterQueue, waiting

T = TypeVar("T")
R = TypeVar("R")

_IDLE_SECONDS = 0.5


class Crew(Generic[T, R]):
    """Threads that perform tasks, so many at once at most, and hand over what comes of each. The other tasks wait.

    A thread that is done takes the next task by itself, as long as `goes_on` says so: to wake a thread takes the
    processor longer than to find a row in memory. A thread ends when it has had nothing to do for a moment, so nobody
    has to dismiss a crew that is left behind: the program waits for what is under way, and for no more; with
    `may_be_left` it doesn't even wait for that, which no executor allows.

    `refuse` makes what is handed over of a task for which there is no thread, and none can be started.

    Attributes:
        most: How many tasks may be under way at once.
        may_be_left: Whether the program may end while they are at work.
    """

    def __init__(
        self,
        perform: Callable[[T], R],
        hand_over: Callable[[R], object],
        goes_on: Callable[[R], bool],
        refuse: Callable[[T, RuntimeError], R],
    ) -> None:
        self._perform = perform
        self._hand_over = hand_over
        self._goes_on = goes_on
        self._refuse = refuse
        self._waiting: deque[T] = deque()
        self._calls: SimpleQueue[T | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._queue = InterpreterQueue()
        self._threads = 0
        self._spare = 0  # threads without a task, less the tasks that were handed to them
        self.most = 1
        self.may_be_left = False

    def submit(self, task: T) -> None:
        """Have a thread perform a task, once it is its turn."""
        self._waiting.append(task)
        self.begin()

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return len(self._waiting)

    def begin(self) -> None:
        """Begin with tasks that wait, as far as there may be more under way."""
        while self._waiting:
            with self._lock:
                if not self._waiting or self._threads - self._spare >= self.most:
                    return
                task = self._waiting.popleft()
                if self._spare > 0:
                    self._spare -= 1
                    self._calls.put(task)
                    continue
                self._threads += 1
            self._start(task)

    def withdraw(self, is_meant: Callable[[T], bool]) -> list[T]:
        """Take tasks back that wait; return them."""
        with self._lock:
            withdrawn = [task for task in self._waiting if is_meant(task)]
            for task in withdrawn:
                self._waiting.remove(task)
        return withdrawn

    def dismiss(self) -> None:
        """End each thread as soon as it has nothing to do. No tasks come any more."""
        with self._lock:
            for _ in range(self._threads):
                self._calls.put(None)

    def _start(self, task: T) -> None:
        try:
            threading.Thread(target=self._work, args=(task,), name="instructor-job", daemon=self.may_be_left).start()
        except RuntimeError as error:  # this process has as many as it may
            with self._lock:
                self._threads -= 1
                if self._threads:
                    self._spare -= 1
                    self._calls.put(task)
                    return
            self._hand_over(self._refuse(task, error))

    def _work(self, task: T | None) -> None:
        self._queue.join()
        try:
            while task is not None:
                result = self._perform(task)
                task = self._take(result)  # before somebody hears of the result and has another task
                self._hand_over(result)
                del result
                if task is None:
                    with waiting:
                        task = self._wait()
        finally:
            self._queue.quit()

    def _take(self, result: R) -> T | None:
        with self._lock:
            if self._waiting and self._threads - self._spare <= self.most and self._goes_on(result):
                return self._waiting.popleft()
            self._spare += 1
            return None

    def _wait(self) -> T | None:
        while True:
            try:
                return self._calls.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._spare > 0:  # otherwise a task is on its way
                        self._spare -= 1
                        self._threads -= 1
                        return None


class ResultQueue(Generic[R]):
    """Results of threads, for another one to take: it is woken when a thread says so, and takes all there are by then.

    To wake a thread takes longer than what it does about one result, so nobody is to wake it for each.
    """

    def __init__(self) -> None:
        self._results: deque[R] = deque()
        self._wakeups: SimpleQueue[None] = SimpleQueue()

    def put(self, result: R) -> None:
        """Add a result. Wake after that, or not at all."""
        self._results.append(result)

    def wake(self) -> None:
        """Wake who waits, or will wait next. From a signal's handler, too."""
        if self._wakeups.empty():  # the wake-up is taken first, and then the results
            self._wakeups.put(None)

    def take(self) -> Iterator[R]:
        """Take the results one by one, each no sooner than it is wanted: an interrupt loses one at most."""
        while self._results:
            yield self._results.popleft()

    def wait(self, seconds: float) -> None:
        """Wait until somebody wakes this thread, for so many seconds at most."""
        with suppress(Empty), waiting:  # for who asks from a row of another job
            self._wakeups.get(timeout=seconds)
