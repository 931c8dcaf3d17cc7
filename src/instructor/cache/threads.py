"""Worker threads for operations of a store that may hang.

They are daemon threads, so that none keeps the interpreter from exiting, and none is started before it is needed.
This file, which imports asyncio, is itself loaded only then.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, TypeVar, cast

from instructor.cache.deadline import watch_of
from instructor.exceptions import CacheNotTriedError
from instructor.locks import make_lock, reset_after_fork

T = TypeVar("T")

MAX_THREADS = 16
"""How many operations of one store run in worker threads at once. More of them wait, however many there are."""

_IDLE_SECONDS = 30.0


class Job(Generic[T]):
    """One operation on its way through a worker thread.

    Attributes:
        assigned: Whether a worker thread has it, or is about to.
        began: When that thread began with it, by `time.monotonic`; None before.
        ended: Whether it is over.
        abandoned: Whether nobody waits for it any more.
    """

    __slots__ = ("_context", "_error", "_notify", "_operation", "_result", "abandoned", "assigned", "began", "ended")

    def __init__(self, operation: Callable[[], T], notify: Callable[[], object]) -> None:
        self._context = copy_context()
        self._operation = operation
        self._notify = notify
        self._result: T | None = None
        self._error: BaseException | None = None
        self.assigned = False
        self.began: float | None = None
        self.ended = False
        self.abandoned = False

    def perform(self) -> None:
        """Run the operation, in a worker thread."""
        self.began = monotonic()
        try:
            self._result = self._context.run(self._operation)
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
            # No coroutine can be sent a StopIteration.
            self._error = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration) else error

    def fail(self, error: BaseException) -> None:
        """Give the caller an error in place of a result."""
        self._error = error
        self.ended = True
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits."""
        try:  # noqa: SIM105 - `suppress` takes longer than all else here, and an awaited hit waits for it
            self._notify()
        except RuntimeError:  # the loop of a task that waited is closed by now
            pass

    def outcome(self) -> T:
        """Return the result, or raise the error."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # which holds this frame, and so the job, and so the error
        return cast("T", self._result)

    def seconds_left(self, limit: float) -> float:
        """How long it may still run. All of `limit` while it waits for a thread: only what runs takes time."""
        return limit if self.began is None else self.began + limit - monotonic()


class Workers:
    """A few daemon threads for operations that may take long, and a queue without an end before them.

    An operation has its time from when a thread begins with it. A thread that hangs is abandoned and replaced, so
    that those that wait are not held up by it.

    Args:
        limit: The most threads at once.

    Attributes:
        hung: Operations that nobody waits for any more and that have not ended.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self.hung = 0
        self._limit = min(limit, MAX_THREADS)
        self._busy = 0
        self._lock = make_lock()
        # Each idle thread listens at an inbox of its own. It has one job in it at most.
        self._idle: list[SimpleQueue[Job[Any]]] = []
        self._waiting: deque[Job[Any]] = deque()
        reset_after_fork(self)

    def run(self, operation: Callable[[], T], seconds: float | None = None, *, keep: bool = False) -> T:
        """Run `operation` in a worker thread and wait here.

        Args:
            operation: What to run.
            seconds: How long it may run; None for no limit. Waiting for a thread does not count.
            keep: Whether to run it even if its caller is interrupted while it waits for a thread.

        Raises:
            TimeoutError: It ran for longer than `seconds`. It is left behind.
            CacheNotTriedError: No thread could be started.
        """
        over = threading.Lock()
        over.acquire()
        job = Job(operation, over.release)
        self._submit(job)
        try:
            if seconds is None:
                over.acquire()
            else:
                self._wait(job, over, seconds)
        except BaseException:
            self._leave(job, keep=keep)
            raise
        return job.outcome()

    async def run_async(self, operation: Callable[[], T], seconds: float | None = None, *, keep: bool = False) -> T:
        """As `run`, in a task."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        job = Job(operation, lambda: loop.call_soon_threadsafe(_wake, future))
        self._submit(job)
        watch = None
        if seconds is not None:
            watch = watch_of(loop)
            watch.add(job, seconds, partial(_expire, job, future, seconds))
        try:
            await future
        except BaseException:
            self._leave(job, keep=keep)
            raise
        finally:
            if watch is not None:
                watch.remove(job)
        return job.outcome()

    def reset(self) -> None:
        """Begin anew: in a forked child the threads do not exist."""
        self._idle, self._waiting = [], deque()
        self._busy = self.hung = 0

    def _wait(self, job: Job[Any], over: threading.Lock, seconds: float) -> None:
        left = seconds
        while not over.acquire(timeout=left):
            if job.ended:  # its result is there, and this thread was late to look
                return
            left = job.seconds_left(seconds)
            if left <= 0:
                raise TimeoutError

    def _submit(self, job: Job[Any]) -> None:
        with self._lock:
            if self._give_to_idle(job):
                return
            if self._busy >= self._limit:
                self._waiting.append(job)
                return
            self._busy += 1
            job.assigned = True
        self._start_thread(job)

    def _give_to_idle(self, job: Job[Any]) -> bool:
        """Under the lock: hand a job to a thread that waits for one."""
        if not self._idle:
            return False
        self._busy += 1
        job.assigned = True
        # The latest idle one, so that the others may time out, and connections kept by thread are few.
        self._idle.pop().put(job)
        return True

    def _next_waiting(self) -> Job[Any] | None:
        """Under the lock: take the first job in the queue that somebody still wants."""
        while self._waiting:
            job = self._waiting.popleft()
            if not job.abandoned:
                job.assigned = True
                return job
        return None

    def _start_thread(self, job: Job[Any]) -> None:
        # Through the queue, because a thread keeps its arguments, and so the store, alive as long as it runs.
        inbox: SimpleQueue[Job[Any]] = SimpleQueue()
        inbox.put(job)
        try:
            threading.Thread(target=self._work, args=(inbox,), name="instructor-store", daemon=True).start()
        except RuntimeError as error:  # this process has as many threads as it may
            with self._lock:
                self._busy -= 1
                if self._give_to_idle(job):
                    return
                if self._busy:
                    job.assigned = False
                    self._waiting.appendleft(job)
                    return
            job.fail(CacheNotTriedError(f"The store was not used, because Python could not start a thread: {error}."))

    def _leave(self, job: Job[Any], *, keep: bool) -> None:
        """Stop waiting for a job. If it runs, its thread no longer counts, so that another may take its place."""
        with self._lock:
            if job.ended:
                return
            if not job.assigned:
                job.abandoned = not keep
                return
            job.abandoned = True
            self.hung += 1
            replacement = self._next_waiting()
            if replacement is None:
                self._busy -= 1
        if replacement is not None:
            self._start_thread(replacement)

    def _work(self, inbox: SimpleQueue[Job[Any]]) -> None:
        job = self._next(inbox)
        while job is not None:
            job.perform()
            following, goes_on = self._end(job, inbox)
            # Only now: whoever gets the result finds this thread idle again.
            job.tell()
            job = following  # an idle thread must not keep the last result, and with it the store, alive
            if job is None and goes_on:
                job = self._next(inbox)

    def _end(self, job: Job[Any], inbox: SimpleQueue[Job[Any]]) -> tuple[Job[Any] | None, bool]:
        """Book a job as ended. Return this thread's next one if one waits, and whether the thread goes on."""
        with self._lock:
            job.ended = True
            if job.abandoned:  # another thread has taken this one's place
                self.hung -= 1
                return None, False
            following = self._next_waiting()
            if following is not None:
                return following, True
            self._busy -= 1
            self._idle.append(inbox)
            return None, True

    def _next(self, inbox: SimpleQueue[Job[Any]]) -> Job[Any] | None:
        try:
            return inbox.get(timeout=_IDLE_SECONDS)
        except Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
            return inbox.get()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(job: Job[Any], future: asyncio.Future[None], seconds: float) -> float | None:
    """Called in the loop of a waiting task when its job may be late. Return how much longer it has."""
    left = job.seconds_left(seconds)
    if left > 0:
        return left
    # The result of a job that has ended is on its way here: the loop was too busy to take it.
    if not job.ended and not future.done():
        future.set_exception(TimeoutError())
    return None
