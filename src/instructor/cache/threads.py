"""Where a store's operation runs when it may hang: daemon threads, and an event loop in a thread of its own.

Neither can keep the interpreter from exiting, and neither is started before it is needed. This file, which imports
asyncio, is itself loaded only then.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

MAX_THREADS = 16
"""How many operations of one store run at once; more of them wait, and their waiting counts."""

_IDLE_SECONDS = 30.0


class _Job:
    """One operation, and what becomes of it."""

    __slots__ = ("ended", "function", "future", "given_up")

    def __init__(self, function: Callable[[], Any]) -> None:
        context = copy_context()
        self.function: Callable[[], Any] = lambda: context.run(function)
        self.future: Future[Any] = Future()
        self.ended = False
        self.given_up = False


class Workers:
    """A few daemon threads for operations that may take long. A thread that hangs is given up and replaced.

    Attributes:
        hung: Operations that nobody waits for any more and that have not ended.
    """

    def __init__(self) -> None:
        self.hung = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Job]] = []
        self._waiting: deque[_Job] = deque()
        _all_workers.add(self)

    def run(self, function: Callable[[], T], seconds: float | None) -> T:
        """Run `function` in a worker thread and wait here.

        Raises:
            TimeoutError: It took longer than `seconds`.
        """
        job = self._start(function)
        try:
            result: T = job.future.result(seconds)
        finally:
            self._leave(job)
        return result

    async def run_async(self, function: Callable[[], T], seconds: float | None) -> T:
        """Run `function` in a worker thread and wait in this task. As `run` otherwise."""
        job = self._start(function)
        try:
            async with asyncio.timeout(seconds):
                result: T = await asyncio.wrap_future(job.future)
        finally:
            self._leave(job)
        return result

    def reset(self) -> None:
        """Begin anew: in a forked child the threads do not exist, and the lock may be held for ever."""
        self._lock = threading.Lock()
        self._idle, self._waiting = [], deque()
        self._busy = self.hung = 0

    def _start(self, function: Callable[[], Any]) -> _Job:
        job = _Job(function)
        with self._lock:
            if self._idle:
                # The latest idle one, so that the others may time out, and connections kept by thread are few.
                self._idle.pop().put(job)
                self._busy += 1
                return job
            if self._busy >= MAX_THREADS:
                self._waiting.append(job)
                return job
            self._busy += 1
        self._spawn(job)
        return job

    def _spawn(self, job: _Job) -> None:
        # Through the queue, because a thread keeps its arguments, and so the store, alive as long as it runs.
        inbox: SimpleQueue[_Job] = SimpleQueue()
        inbox.put(job)
        try:
            threading.Thread(target=self._work, args=(inbox,), name="instructor-store", daemon=True).start()
        except BaseException as error:  # noqa: BLE001 - the job's waiter, who may be another thread, must hear of it
            with self._lock:
                self._busy -= 1
            job.future.set_exception(error)

    def _leave(self, job: _Job) -> None:
        """Stop waiting for a job. If it still runs, its thread no longer counts, so that others may take its place."""
        if job.future.done() or job.future.cancel():
            return
        replacement: _Job | None = None
        with self._lock:
            if job.ended:
                return
            job.given_up = True
            self.hung += 1
            if self._waiting:
                replacement = self._waiting.popleft()
            else:
                self._busy -= 1
        if replacement is not None:
            self._spawn(replacement)

    def _work(self, inbox: SimpleQueue[_Job]) -> None:
        job: _Job | None = inbox.get()
        while job is not None:
            settle = _perform(job)
            job, goes_on = self._end(job, inbox)
            settle()
            del settle  # an idle thread must not keep the last result, and with it the store, alive
            if job is None and goes_on:
                job = self._next(inbox)

    def _end(self, job: _Job, inbox: SimpleQueue[_Job]) -> tuple[_Job | None, bool]:
        """Book a job as ended. The result is handed out only afterwards: who gets it finds this thread idle again."""
        with self._lock:
            job.ended = True
            if job.given_up:
                self.hung -= 1
                return None, False
            if self._waiting:
                return self._waiting.popleft(), True
            self._busy -= 1
            self._idle.append(inbox)
            return None, True

    def _next(self, inbox: SimpleQueue[_Job]) -> _Job | None:
        try:
            return inbox.get(timeout=_IDLE_SECONDS)
        except Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
            return inbox.get()


def _perform(job: _Job) -> Callable[[], None]:
    """Run a job; return what tells its future."""
    future = job.future
    if not future.set_running_or_notify_cancel():
        return lambda: None
    try:
        result = job.function()
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
        # A future cannot carry a StopIteration into a coroutine.
        outcome = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration) else error
        return lambda: future.set_exception(outcome)
    return lambda: future.set_result(result)


class LoopThread:
    """One event loop in a daemon thread, for coroutines that a synchronous caller waits for.

    A client library with a connection pool, such as redis-py, needs all its coroutines to run in the same loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        _all_loops.add(self)

    def run(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Run `awaitable` in the loop and wait here.

        Raises:
            TimeoutError: It took longer than `seconds`; it is cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(_wait_for(awaitable), self._begin())
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop. Its thread closes it, and whatever still runs in it is cancelled."""
        loop, stopping = self._loop, self._stopping
        self._loop = self._stopping = None
        if loop is not None and stopping is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopping.set)

    def reset(self) -> None:
        """Begin anew: in a forked child the thread does not exist, and the lock may be held for ever."""
        self._lock = threading.Lock()
        self._loop = self._stopping = None

    def _begin(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
                run = partial(asyncio.run, _serve(ready))
                threading.Thread(target=run, name="instructor-store-loop", daemon=True).start()
                self._loop, self._stopping = ready.result()
            return self._loop


async def _serve(ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stopping = asyncio.Event()
    ready.set_result((asyncio.get_running_loop(), stopping))
    await stopping.wait()


async def _wait_for(awaitable: Awaitable[T]) -> T:
    return await awaitable


_all_workers: weakref.WeakSet[Workers] = weakref.WeakSet()
_all_loops: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _reset_all() -> None:
    for workers in list(_all_workers):
        workers.reset()
    for loop in list(_all_loops):
        loop.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
