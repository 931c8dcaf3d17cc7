"""Worker threads for the operations of a store that may hang.

They are daemon threads, so a store that hangs doesn't keep the interpreter from exiting. This file imports asyncio, so
it is loaded when the first operation needs a worker thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Generic, TypeVar, cast

from instructor.cache.deadline import Operation, wait_in_thread, watch_of
from instructor.exceptions import CacheNotTriedError
from instructor.locks import make_lock, reset_after_fork

T = TypeVar("T")

MAX_THREADS = 16
"""How many operations of one store run in worker threads at once. The others wait in a queue of any length."""

_IDLE_SECONDS = 30.0


class Job(Operation, Generic[T]):
    """One operation on its way through a worker thread. It begins when a thread begins with it.

    Attributes:
        abandoned: Whether its caller has stopped waiting for it.
    """

    __slots__ = ("_context", "_error", "_operation", "_result", "abandoned", "notify")

    def __init__(self, operation: Callable[[], T], notify: Callable[[], object]) -> None:
        super().__init__()
        self._context = copy_context()
        self._operation = operation
        self._result: T | None = None
        self._error: BaseException | None = None
        self.notify = notify
        self.abandoned = False

    def perform(self) -> None:
        """Run the operation, in a worker thread."""
        try:
            self._result = self._context.run(self._operation)
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
            # A coroutine can't be sent a StopIteration.
            self._error = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration) else error

    def fail(self, error: BaseException) -> None:
        """End it with an error, without having run it."""
        self._error = error
        self.ended = True
        self.wake_caller()

    def wake_caller(self) -> None:
        """Wake the thread or the task that waits for the result."""
        try:  # noqa: SIM105 - `suppress` takes longer than all else here, and an awaited hit waits for it
            self.notify()
        except RuntimeError:  # the task's event loop is closed by now
            pass

    def outcome(self) -> T:
        """Return the result, or raise the error."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle of error, traceback, this frame and job
        return cast("T", self._result)


class Workers:
    """A few daemon threads with one queue before them.

    An operation has its time from when a thread begins with it. A thread that hangs is abandoned and replaced, so
    the operations in the queue aren't held up by it.

    Attributes:
        hung: Operations whose callers have stopped waiting and that have not ended.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = min(limit, MAX_THREADS)
        self._lock = make_lock()
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Begin anew: in a forked child the threads do not exist."""
        self._queue: SimpleQueue[Job[object]] = SimpleQueue()
        self._threads = 0
        # Threads that are not running an operation, less the operations in the queue. Below zero, operations wait.
        self._spare = 0
        self.hung = 0

    def run(self, operation: Callable[[], T], seconds: float | None = None, *, keep: bool = False) -> T:
        """Run `operation` in a worker thread and wait for it in this one, for so many seconds of its own at most.

        Waiting in the queue doesn't count. `keep` runs it even if its caller is interrupted while it is in the queue.
        Raises TimeoutError if it ran for too long, and leaves its thread behind; CacheNotTriedError if no thread could be
        started.
        """
        over = threading.Lock()
        over.acquire()
        job = Job(operation, over.release)
        self._submit(job)
        try:
            if seconds is None:
                over.acquire()
            else:
                wait_in_thread(job, over, seconds)
        except BaseException:
            self._abandon(job, keep=keep)
            raise
        return job.outcome()

    async def run_async(self, operation: Callable[[], T], seconds: float | None = None, *, keep: bool = False) -> T:
        """Run `operation` in a worker thread and await it. As `run` otherwise."""
        loop = asyncio.get_running_loop()
        landing, watch = Landing(loop=loop), watch_of(loop)
        job = Job(operation, partial(loop.call_soon_threadsafe, landing.land))
        if seconds is not None:
            watch.add(job, seconds, partial(_expire, job, landing))
        self._submit(job)
        try:
            await landing
        except BaseException:
            self._abandon(job, keep=keep)
            raise
        finally:
            watch.remove(job)
        return job.outcome()

    def _submit(self, job: Job[T]) -> None:
        with self._lock:
            self._queue.put(job)  # type: ignore[arg-type] # a cast would be a call, and an awaited hit waits for it
            self._spare -= 1
            short = self._spare < 0
        if short:
            self._staff()

    def _staff(self) -> None:
        """Start a thread if operations wait and another thread is allowed."""
        with self._lock:
            if self._spare >= 0 or self._threads >= self._limit:
                return
            self._spare += 1
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="instructor-store", daemon=True).start()
        except RuntimeError as error:  # this process has as many threads as it may
            self._give_up(CacheNotTriedError(f"The store was not used: Python could not start a thread: {error}."))

    def _give_up(self, error: CacheNotTriedError) -> None:
        """Take back a thread that could not be started; fail the queue if there is no other thread to serve it."""
        unserved: list[Job[object]] = []
        with self._lock:
            self._spare -= 1
            self._threads -= 1
            while not self._threads and not self._queue.empty():
                unserved.append(self._queue.get())
                self._spare += 1
        for job in unserved:
            job.fail(error)

    def _abandon(self, job: Job[T], *, keep: bool) -> None:
        """Stop waiting for a job. If it runs, its thread no longer counts, so another may take its place."""
        with self._lock:
            if job.ended:
                return
            if job.began is None:
                job.abandoned = not keep
                return
            job.abandoned = True
            self.hung += 1
            self._threads -= 1
        self._staff()

    def _work(self) -> None:
        while self._serve():
            pass

    def _serve(self) -> bool:
        """Serve one job; return whether this thread goes on. An idle thread holds no job, and so no store."""
        queue = self._queue
        try:
            job = queue.get(timeout=_IDLE_SECONDS)
        except Empty:
            return not self._retire()
        with self._lock:
            if job.abandoned:
                self._spare += 1
                return True
            job.began = monotonic()
        job.perform()
        with self._lock:
            job.ended = True
            goes_on = not job.abandoned  # otherwise this thread has been replaced
            if goes_on:
                self._spare += 1
            else:
                self.hung -= 1
        job.wake_caller()  # only now, so that the caller's next operation finds this thread free
        return goes_on

    def _retire(self) -> bool:
        """End an idle thread, unless a job is on its way to it."""
        with self._lock:
            if self._spare <= 0:
                return False
            self._spare -= 1
            self._threads -= 1
            return True


class Landing(asyncio.Future[None]):
    """What a task awaits until its job is over.

    The task goes on in the turn of its loop that hears of the end. A plain future only has it called in the next turn,
    and each turn lets other threads in, which costs an awaited cache hit a tenth of its time.
    """

    _waiter: tuple[Callable[[Landing], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[Landing], object], /, *, context: Context | None = None) -> None:
        """As any future, and remember the task that awaits it, which passes its context."""
        super().add_done_callback(fn, context=context)
        if context is not None:
            self._waiter = fn, context

    def land(self) -> None:
        """Let the task go on. Called by its loop, unless the task is cancelled or out of time already."""
        if self.done():
            return
        waiter = self._waiter
        if waiter is None:
            self.set_result(None)
            return
        resume, context = waiter
        self.remove_done_callback(resume)
        self.set_result(None)
        context.run(resume, self)


def _expire(job: Job[T], future: asyncio.Future[None]) -> None:
    """Called in the loop of a waiting task when its job has taken too long."""
    # The result of a job that has ended is on its way here: the loop was too busy to take it.
    if not job.ended and not future.done():
        future.set_exception(TimeoutError())
