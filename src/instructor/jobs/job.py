"""The two drivers of a job: threads for `Instructor`, tasks for `AsyncInstructor`.

Which row is next, and how many may be under way, is for `Window` and `Pace` to decide. The driver of threads adds when a
thread may go on by itself, and when who takes the rows is woken.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from instructor.describing import refuse
from instructor.exceptions import ArgumentError
from instructor.failures import is_nowhere
from instructor.jobs.ahead import ReadAhead
from instructor.jobs.asking import Answering, Miss, ends_job, make_failure, note_row
from instructor.jobs.crew import Crew, ResultQueue
from instructor.jobs.methods import OnError
from instructor.jobs.pace import Concurrency, Pace
from instructor.jobs.progress import JobStats, Progress
from instructor.jobs.sources import Source, count_rows, read_rows
from instructor.jobs.window import Slot, Window
from instructor.messages import Value

if TYPE_CHECKING:
    from instructor.row import Row

T = TypeVar("T")

_ROWS_IN_A_TURN = 64
"""How many rows a task hands out before others get a turn."""

_PROGRAM_ENDS = (
    "The program is ending, so this job asks for nothing more. Have the main thread wait for the daemon thread that takes "
    "its rows, or take them in a thread that isn't a daemon."
)

_BEAT = 0.5
"""Seconds between two looks at what is under way, at most."""

_current: contextvars.ContextVar[Slot[Any]] = contextvars.ContextVar("instructor_row")
"""The row that is asked about here: a client's events don't name their call."""


def note_answer(*, is_valid: bool = True) -> None:
    """Note that the provider has answered the current row, for which `Job.drop` waits then; or must be asked again."""
    slot = _current.get(None)
    if slot is not None:  # a batch is read before its rows are handed out
        slot.is_paid = is_valid


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job goes about its rows; see `instructor.jobs.methods.map_keywords`."""

    concurrency: Concurrency = "auto"
    batch: Literal["never", "auto", "always"] = "never"
    on_error: OnError = "raise"
    ordered: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        if self.batch not in ("never", "auto", "always"):
            raise ArgumentError(f'batch= is "never", "auto" or "always", not {self.batch!r}.')
        if self.on_error not in ("raise", "collect"):
            raise ArgumentError(f'on_error= is "raise" or "collect", not {self.on_error!r}.')
        for name in ("ordered", "progress"):
            if not isinstance(getattr(self, name), bool):
                raise refuse(name, getattr(self, name), "True or False")


_Finished = tuple[Slot[T], "Row[T]"]
"""A row that was asked for."""
_Asked = tuple[Slot[T], Miss]
"""A row that is to be asked for."""


class _BaseJob(Generic[T]):
    """What both drivers share: the window, and what becomes of a row's error.

    Attributes:
        pace: How many rows it asks for at once.
        stats: The figures so far.
    """

    def __init__(
        self, question: Answering[T], source: Source, terms: Terms, rows: object, *, asynchronous: bool
    ) -> None:
        self._question = question
        self._terms = terms
        self.pace = Pace(terms.concurrency, asynchronous=asynchronous)
        self._window: Window[T] = Window(
            self.pace, ordered=terms.ordered, order=question.make_order(), has_queue=not asynchronous
        )
        self._context = contextvars.copy_context()
        self._count = 0
        self._rows: Value = read_rows(source, asynchronous=asynchronous) if rows is None else rows
        self.stats = JobStats(count_rows(source))
        self._progress = Progress(self.stats, terms.progress)
        self._failure: Exception | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stats}>"

    def _admit(self, source: Value) -> tuple[Slot[T], Miss] | None:
        """Take a row in; return what is to be asked about it, if anything is."""
        index, self._count = self._count, self._count + 1
        answered = self._context.run(self._question.answer_now, index, source)
        if type(answered) is Miss:
            slot = self._context.run(self._window.admit, answered)
            return None if slot is None else (slot, answered)
        self._add_answered(answered)  # type: ignore[arg-type] # a row
        return None

    def _add_answered(self, row: Row[T]) -> None:
        self._window.add(row)
        self._judge(row)

    def _finish(self, slot: Slot[T], row: Row[T]) -> None:
        self._window.finish(slot, row)
        self._judge(row)

    def _judge(self, row: Row[T]) -> None:
        if row.error is not None and self._is_fatal(row.error):
            self._window.has_ended = True
            self._drop_waiting(after=row.index if self._terms.ordered else -1)

    def _drop_waiting(self, after: int = -1) -> None:
        self._window.drop_waiting(after)

    def _is_fatal(self, error: BaseException) -> bool:
        """Whether an error ends the job. A provider that goes away may come back; one that was never there will not."""
        is_lost = self.pace.is_reached is False and is_nowhere(error)
        return is_lost or self._terms.on_error == "raise" or ends_job(error)

    def _end_reading(self, error: Exception | None = None) -> None:
        self._window.has_ended = True
        self._failure = error

    def _end(self) -> None:
        self._is_closed = self._window.has_ended = True
        self._progress.close()

    def _check(self, row: Row[T]) -> Row[T]:
        """Count and return a row, or raise its error."""
        self.stats.add(row)
        self._progress.update()
        if row.error is not None and self._is_fatal(row.error):
            if not ends_job(row.error):
                note_row(row.error, row.index)
            raise row.error
        return row


class Job(_BaseJob[T], Iterator["Row[T]"]):
    """The rows of `Instructor.map`, as they are answered: an iterator, and a context manager.

    It reads and asks only while rows are taken from it. Once it is closed, or left behind, it asks for nothing more. What
    is under way is finished and stored, and `close` waits for that.

    Example:
        >>> client = instructor.from_provider("offline/demo")
        >>> with client.map(["Anna is 25.", "Ben is 31."], User) as job:
        ...     next(job).value
        User(name='Anna', age=25)
    """

    def __init__(self, question: Answering[T], source: Source, terms: Terms, rows: object = None) -> None:
        super().__init__(question, source, terms, rows, asynchronous=False)
        self._finished: ResultQueue[_Finished[T]] = ResultQueue()
        self._crew: Crew[_Asked[T], _Finished[T]] = Crew(self._work, self._hand_over, self._goes_on, _refuse)
        self._ahead: ReadAhead[Value] | None = None
        self._is_dropped = self._is_taken_from = self._has_failed = False

    def __next__(self) -> Row[T]:
        self._is_taken_from = True
        try:
            return self._take_row()
        finally:
            self._is_taken_from = False

    def _take_row(self) -> Row[T]:
        window, read = self._window, 0
        while not self._is_closed:
            if window.under_way:
                self._note_finished()
            if window.wants_row(read) and (self._ahead is None or self._ahead.is_ready):
                read += 1
                self._read()
                continue
            while window.order is not None and (asked := window.begin()) is not None:
                self._crew.submit(asked)
            row = window.take()
            if row is not None:
                return self._hand_out(row)
            if self._awaits_answers or (self._ahead is not None and not window.has_ended):
                self._wait()
            else:
                self.close()
        failure, self._failure = self._failure, None
        raise failure or StopIteration

    def _read(self) -> None:
        try:
            source = next(self._rows)
        except StopIteration:
            return self._end_reading()
        except Exception as error:  # noqa: BLE001 - raised when the rows before it are handed out
            return self._end_reading(error)
        asked = self._admit(source)
        if asked is not None:
            self._crew.submit(asked)
        return None

    def _note_finished(self) -> None:
        """Note the rows that were asked for, and have others asked that are ready, unless the job was stopped."""
        for finished in self._finished.take():
            self._finish(*finished)
        if _is_left_behind():
            self._window.is_stopped = True
            self._end_reading(RuntimeError(_PROGRAM_ENDS))
        if self._window.is_stopped:
            self._drop_waiting()
        self._crew.most = self.pace.limit
        self._crew.begin()

    def _drop_waiting(self, after: int = -1) -> None:
        super()._drop_waiting(after)
        self._window.drop({slot for slot, _ in self._crew.withdraw(lambda asked: asked[1].index > after)})

    def _goes_on(self, finished: _Finished[T]) -> bool:
        """Whether a thread may ask about the next row by itself. After an error the job sees to that."""
        return self._is_taken_from and finished[1].error is None and not (self._has_failed or self._window.is_stopped)

    def _work(self, asked: _Asked[T]) -> _Finished[T]:
        return self._context.copy().run(self._answer, asked)

    def _answer(self, asked: _Asked[T]) -> _Finished[T]:
        slot, miss = asked
        _current.set(slot)
        try:
            row = self._question.answer(miss)
        except BaseException as error:  # noqa: BLE001 - such as a validator's SystemExit, raised where the rows are taken
            row = make_failure(miss.index, miss.input, error)
        if row.error is not None and self._is_fatal(row.error):
            self._has_failed = True
        slot.is_over = True
        return slot, row

    def _hand_over(self, finished: _Finished[T]) -> None:
        self._finished.put(finished)
        if self._is_awaited(finished):
            self._finished.wake()

    def _is_awaited(self, finished: _Finished[T]) -> bool:
        """Whether who takes the rows is to hear of this one at once, and not with the next one that matters."""
        (slot, row), window = finished, self._window
        is_simple = self._terms.ordered and self._ahead is None and not window.is_stopped and window.order is None
        if self._is_closed or row.error is not None or not is_simple or window.is_first(slot):
            return True
        return not window.has_ended and self._crew.waiting <= window.most_ready // 2

    def _wait(self) -> None:
        """Wait for a row that was asked for, and look up now and then.

        A signal that comes just before the waiting begins doesn't interrupt it, nor does any on Windows.
        """
        self._finished.wait(min(_BEAT, self._window.patience or _BEAT))

    @property
    def _awaits_answers(self) -> bool:
        under_way = self._window.under_way
        return any(slot.is_paid for slot in under_way) if self._is_dropped else bool(under_way)

    def _hand_out(self, row: Row[T]) -> Row[T]:
        try:
            return self._check(row)
        except BaseException:
            self.close()
            raise

    def be_droppable(self, *, reads_ahead: bool) -> None:
        """Allow for `drop`, before a row is taken: the program doesn't wait for the threads at its end.

        With `reads_ahead` the rows are read in a thread of their own: their source may keep its reader waiting.
        """
        self._crew.may_be_left = True
        if reads_ahead:
            self._rows = self._ahead = ReadAhead(self._rows, self._finished.wake)

    def stop(self) -> None:
        """Read no more rows, from any thread. Those under way are still handed out, and then the job ends.

        With `prompt_cache` rows may wait for one that begins alike. Those aren't asked about any more; if the rows are in
        order, none behind the first of them is handed out, though it may have been answered and stored meanwhile.
        """
        self._window.is_stopped = self._window.has_ended = True
        self._finished.wake()

    def drop(self) -> None:
        """Wait no longer for rows that the provider hasn't answered, as far as `note_answer` knows. From any thread.

        What is paid for is stored. If an answer turns out to be invalid, its row is asked about again: drop that, too.
        """
        self._window.is_stopped = self._window.has_ended = self._is_dropped = True
        self._finished.wake()

    def close(self) -> None:
        """Ask for nothing more, and wait for what is under way: it is paid for, and stored."""
        self._end()
        self._drop_waiting()
        while self._awaits_answers and not all(slot.is_over for slot in self._window.under_way):
            self._wait()  # but not for what Ctrl-C has taken off the tray, and kept from being noted
            self._note_finished()
        self._crew.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncJob(_BaseJob[T], AsyncIterator["Row[T]"]):
    """`Job` for asyncio: an asynchronous iterator, and an asynchronous context manager.

    Use it in ``async with`` where it may be left early: what is under way when the event loop closes is cancelled.

    Example:
        >>> import asyncio
        >>> client = instructor.from_provider("offline/demo", async_client=True)
        >>> async def add_ages() -> int:
        ...     async with client.map(["Anna is 25.", "Ben is 31."], User) as job:
        ...         return sum([row.value.age async for row in job])
        >>> asyncio.run(add_ages())
        56
    """

    def __init__(self, question: Answering[T], source: Source, terms: Terms, rows: object = None) -> None:
        super().__init__(question, source, terms, rows, asynchronous=True)
        self._awaited: Callable[[], Any] | None = getattr(self._rows, "__aiter__", None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[Any] | None = None
        self._finished: deque[_Finished[T]] = deque()
        self._moved = asyncio.Event()
        self._handed_out = 0
        if self._awaited is not None:
            self._rows = self._awaited()

    async def __anext__(self) -> Row[T]:
        window, finished, read = self._window, self._finished, 0
        while not self._is_closed:
            while finished:
                self._finish(*finished.popleft())
            if window.wants_row(read) and self._read():
                read += 1
                if window.order is not None:  # to foresee a row with a long document takes a millisecond
                    await asyncio.sleep(0)
                continue
            if self._handed_out >= _ROWS_IN_A_TURN:
                self._handed_out = 0
                await asyncio.sleep(0)  # while no row is taken, which would be lost if this is cancelled
                continue
            while window.order is not None and (asked := window.begin()) is not None:
                self._ask(*asked)
            row = window.take()
            if row is not None:
                return await self._hand_out(row)
            if window.under_way or not window.has_ended:
                await self._await_move()
            else:
                await self.aclose()
        failure, self._failure = self._failure, None
        raise failure or StopAsyncIteration

    def _read(self) -> bool:
        """Take a row in, or the news that there are no more; return whether there was one to be had at once."""
        if self._awaited is None:
            self._take(partial(next, self._rows))
            return True
        reading = self._reading
        if reading is None:
            self._reading = asyncio.ensure_future(anext(self._rows))
            self._reading.add_done_callback(lambda _: self._moved.set())
            return False
        if not reading.done():
            return False
        self._reading = None
        self._take(reading.result)
        return True

    def _take(self, read: Callable[[], Any]) -> None:
        try:
            source = read()
        except (StopIteration, StopAsyncIteration):
            return self._end_reading()
        except Exception as error:  # noqa: BLE001 - raised when the rows before it are handed out
            return self._end_reading(error)
        asked = self._admit(source)
        if asked is not None:
            self._ask(*asked)
        return None

    def _ask(self, slot: Slot[T], miss: Miss) -> None:
        task = asyncio.get_running_loop().create_task(self._work(slot, miss), context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await_move(self) -> None:
        self._moved.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), self._window.patience)

    async def _work(self, slot: Slot[T], miss: Miss) -> None:
        try:
            row = await self._question.answer_later(miss)
        except BaseException as error:  # noqa: BLE001 - a cancellation, too, is raised where the rows are taken
            row = make_failure(miss.index, miss.input, error)
        self._finished.append((slot, row))
        self._moved.set()

    async def _hand_out(self, row: Row[T]) -> Row[T]:
        self._handed_out += 1
        try:
            return self._check(row)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Ask for nothing more, and wait for what is under way: it is paid for, and stored."""
        self._end()
        if self._reading is not None:
            self._reading.cancel()
        # From Python 3.12 on `gather` doesn't let the loop go on if all are done, and the loop takes them out of the set.
        while tasks := [task for task in self._tasks if not task.done()]:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _is_left_behind() -> bool:
    """Whether the program ends, and the rows are taken in a daemon thread, for which it does not wait.

    It waits for the threads of a job all the same, so it would never end while this one had more for them to do.
    """
    return not threading.main_thread().is_alive() and threading.current_thread().daemon


def _refuse(asked: _Asked[T], error: RuntimeError) -> _Finished[T]:
    """What becomes of a row where no thread can be started."""
    slot, miss = asked
    slot.is_over = True
    return slot, make_failure(miss.index, miss.input, error)
