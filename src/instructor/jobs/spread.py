"""Jobs on an engine: rows go to its workers in groups, and come back as they would from a job in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from instructor.engines.opening import Engine
from instructor.engines.spreading import Group, Groups
from instructor.exceptions import EngineError
from instructor.jobs.ahead import ReadAhead
from instructor.jobs.asking import ends_job, note_row
from instructor.jobs.job import AsyncJob, Job
from instructor.jobs.progress import JobStats, Progress
from instructor.jobs.shares import Purse
from instructor.jobs.sources import Source, count_rows, read_rows
from instructor.jobs.work import NOTHING, Answered, Work, load
from instructor.messages import Value, copy_value

if TYPE_CHECKING:
    from abc import ABCMeta

    from instructor.jobs.job import Terms
    from instructor.row import Row

T = TypeVar("T")

_FIRST_ROWS, _MOST_ROWS = 16, 128
"""Rows in a group: few at first, so that every worker soon has some; then more, so that groups cost little."""
_LEAST_ROWS = 8
_MOST_AT_ONCE = 1024
"""So many rows at once are reckoned with, so that a group stays small enough to be sent."""
_ROUNDS = 4
"""How often a group asks for as many rows at once as its worker does, so that its beginning and its end count for little."""
_GROUPS_PER_SLOT = 4
"""The groups for each slot that the rest of a job of known length is cut into, so that all workers end at about the same time."""


@dataclass(frozen=True, slots=True)
class SpreadTerms:
    """What a job on an engine is about, beside its rows.

    Attributes:
        enter: Enters what workers have spent and saved into the client's books.
    """

    engine: Callable[[], Engine]
    work: Work
    terms: Terms
    purse: Purse
    enter: Callable[[Value], None]


class SpreadJob(Iterator["Row[T]"], Generic[T]):
    """The rows of `Instructor.map` with ``engine=``; to its user a `Job`.

    Attributes:
        stats: The figures so far.
        ready: The rows to hand out.
        is_closed: Whether no more come.
    """

    def __init__(self, about: SpreadTerms, source: Source, rows: Iterator[Value] | None = None) -> None:
        self._about = about
        self._rows: Iterator[Value] = iter(read_rows(source, asynchronous=False)) if rows is None else rows
        self._length = count_rows(source)
        self.stats = JobStats(self._length)
        self._progress = Progress(self.stats, about.terms.progress)
        self._engine = about.engine()
        self._groups: Groups[bytes] = Groups(
            self._engine, about.work, ordered=about.terms.ordered, give_back=self._grant_again
        )
        self.ready: deque[Row[T]] = deque()
        self._inputs: dict[int, list[Value]] = {}
        self._count = self._handed_over = 0
        concurrency = about.terms.concurrency
        self._at_once = max(1, min(concurrency, _MOST_AT_ONCE)) if isinstance(concurrency, int) else 1
        self._has_ended = self._is_dropped = self.is_closed = False
        self._failure: Exception | None = None
        self._ahead: ReadAhead[Value] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.stats}>"

    def __next__(self) -> Row[T]:
        while not self.ready and not self.is_closed:
            self.fetch()
        if self.ready:
            row = self.ready.popleft()
            self.stats.add(row)
            self._progress.update()
            return row
        failure, self._failure = self._failure, None
        raise failure or StopIteration

    def fetch(self) -> None:
        """Hand groups over, and wait for the one whose turn it is."""
        try:
            self._groups.count_slots()
            while not self._has_ended and self._groups.wants_group:
                self._hand_over()
            group = self._groups.take()
            if group is not None:
                return self._receive(group)
        except Exception as error:  # noqa: BLE001 - raised when the rows before it are handed out
            self._failure = error
            return self._end(wait=not isinstance(error, EngineError))
        return self._end(wait=not self._is_dropped)

    def _hand_over(self) -> None:
        rows: list[tuple[Value, Value]] = []
        try:
            rows.extend(self._read(self._choose_size()))
        except Exception as error:  # noqa: BLE001 - as above
            self._has_ended, self._failure = True, error
        if not rows:
            self._has_ended = True
            return
        self._inputs[self._count], copies = [list(part) for part in zip(*rows, strict=True)]
        self._groups.submit(self._count, copies, self._about.purse.grant(len(rows)))
        self._count += len(rows)
        self._handed_over += 1

    def _read(self, most: int) -> Iterator[tuple[Value, Value]]:
        """Rows, and copies for the workers: a source may use one object for all its rows."""
        return ((row, copy_value(row)) for row in islice(self._rows, most))

    def _choose_size(self) -> int:
        slots, at_once = self._groups.slots, self._at_once
        most = max(_MOST_ROWS, _ROUNDS * at_once)
        size = min(most, max(at_once, _FIRST_ROWS) << min(self._handed_over // (2 * slots), 8))
        if self._length is None:
            return size // at_once * at_once
        rest = (self._length - self._count) // (_GROUPS_PER_SLOT * slots)
        # Whole rounds, because in one that isn't some of the worker's connections have nothing to do.
        rounds = max(1, max(_LEAST_ROWS, min(size, rest)) // at_once)
        return min(rounds * at_once, -(-self._length // slots))

    def _grant_again(self, arguments: tuple[Value, ...]) -> tuple[Value, ...]:
        """Reserve anew for a group that was lost. What it spent before is known to the store's ledger alone."""
        rows, grant = arguments
        self._about.purse.settle(grant)
        return rows, self._about.purse.grant(len(rows))

    def _receive(self, group: Group[bytes]) -> None:
        rows = self._inputs.pop(group.start)
        answered = self._settle(group)
        for row in answered.rows:
            if row.error is not None and self._about.terms.on_error == "raise":
                return self._fail(group.start + row.index, row.error)
            self.ready.append(replace(row, index=group.start + row.index, input=rows[row.index]))
        if answered.error is not None:
            self._fail(group.start + len(answered.rows), answered.error)
        return None

    def _settle(self, group: Group[bytes]) -> Answered:
        """Count what a group has spent; of one that was cancelled, nothing is known."""
        answered: Answered = NOTHING if group.result is None else load(group.result)
        self._at_once = max(self._at_once, answered.at_once)
        self._about.purse.settle(group.arguments[1], answered.requests)
        self._about.enter(answered.lines.items())
        return answered

    def _fail(self, index: int, error: Exception) -> None:
        notes = error.__dict__.pop("__notes__", None)  # which count rows within the group
        if notes or not ends_job(error):
            note_row(error, index)
        self._failure = error
        self.close()

    def _end(self, *, wait: bool) -> None:
        if not self.is_closed:
            self.is_closed = self._has_ended = True
            for group in self._groups.close(wait=wait):
                self._settle(group)
            self._engine.close()
            self._progress.close()

    def be_droppable(self, *, reads_ahead: bool) -> None:
        """As `Job.be_droppable`: what waits for its source can be stopped, too."""
        if reads_ahead:
            self._rows = self._ahead = ReadAhead(self._rows, lambda: None)

    def stop(self) -> None:
        """Read no more rows, from any thread. Those that the workers have are still handed out."""
        self._has_ended = True
        if self._ahead is not None:
            self._ahead.end()

    def drop(self) -> None:
        """Wait no longer for what the workers have. From any thread."""
        self._is_dropped = True
        self.stop()
        self._groups.wake()

    def close(self) -> None:
        """Hand nothing more to the workers, and wait for the rows that they have begun: they are paid for, and stored."""
        self._end(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSpreadJob(AsyncIterator["Row[T]"], Generic[T]):
    """The same for `AsyncInstructor.map`. What waits for the engine is a thread, so the event loop goes on."""

    def __init__(self, about: SpreadTerms, source: Source) -> None:
        self._source = source
        self._about = about
        self._job: SpreadJob[T] | None = None
        self._under_way: asyncio.Future[Value] | None = None

    @property
    def stats(self) -> JobStats:
        """The figures so far."""
        return JobStats(count_rows(self._source)) if self._job is None else self._job.stats

    def __repr__(self) -> str:
        return f"<AsyncJob {self.stats}>"

    async def __anext__(self) -> Row[T]:
        job = self._job
        if job is None:
            job = self._job = await self._in_thread(self._begin, asyncio.get_running_loop())
        while not job.ready and not job.is_closed:
            await self._in_thread(job.fetch)
        try:
            return next(job)
        except StopIteration:
            raise StopAsyncIteration from None

    def _begin(self, loop: asyncio.AbstractEventLoop) -> SpreadJob[T]:
        rows = read_rows(self._source, asynchronous=True)
        if isinstance(rows, AsyncIterable):
            rows = _read_through(loop, aiter(rows))
        return SpreadJob(self._about, self._source, rows)

    async def _in_thread(self, function: Callable[..., Value], *arguments: Value) -> Value:
        """Run one step. It goes on if the task is cancelled, so the next one waits for it."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        self._under_way = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        return await asyncio.shield(self._under_way)

    async def aclose(self) -> None:
        """As `SpreadJob.close`."""
        if self._job is not None:
            await self._in_thread(self._job.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


cast("ABCMeta", Job).register(SpreadJob)
cast("ABCMeta", AsyncJob).register(AsyncSpreadJob)


def _read_through(loop: asyncio.AbstractEventLoop, rows: AsyncIterator[Value]) -> Iterator[Value]:
    """Read an asynchronous iterator of an event loop from a thread."""
    end = object()
    while (row := asyncio.run_coroutine_threadsafe(_next(rows, end), loop).result()) is not end:
        yield row


async def _next(rows: AsyncIterator[Value], end: object) -> Value:
    return await anext(rows, end)
