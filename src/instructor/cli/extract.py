"""The work behind ``instructor extract``: a typed answer for every record of an input."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, islice

from instructor.cli.inputs import Inputs
from instructor.cli.output import Output, ReorderBuffer
from instructor.cli.reader import RecordReader
from instructor.cli.records import Record
from instructor.cli.run_stats import Outcome
from instructor.cli.signals import SignalWatcher
from instructor.client import AsyncInstructor
from instructor.exceptions import (
    BudgetExceeded,
    ClientError,
    ConfigurationError,
    InstructorError,
    ModeError,
    ValidationError,
)
from instructor.hooks import CacheEvent
from instructor.jobs.prompts import Prompt
from instructor.messages import Messages
from instructor.usage import Usage

_READ_AHEAD = 64
_LEAST_WINDOW = 256
_WINDOW_PER_WORKER = 32
_SETUP_ERRORS = (BudgetExceeded, ConfigurationError, ClientError, ModeError)
"""Errors that every record would meet. They end the run."""
_PATIENCE = 10.0
"""Seconds for which a run still waits for the provider after a second signal."""
_DROP_SECONDS = 0.1

_current: ContextVar[Outcome] = ContextVar("instructor_cli_outcome")
"""The outcome of the record that the current task works on: a client's events don't name their call."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run, ready to begin.

    Attributes:
        limit: How many records to take; None for all.
        ask: A client's ``create`` with its other arguments filled in.
        write_answer: Turns an answer into JSON.
        concurrency: How many records are worked on at once.
        report: Called with each outcome in order, after its line was written.
        announce: Called with a sentence for the user when a signal has come.
    """

    source: Inputs
    limit: int | None
    prompt: Prompt
    ask: Callable[[Messages], Awaitable[object]]
    write_answer: Callable[[object], str]
    output: Output
    concurrency: int
    report: Callable[[Outcome], None]
    announce: Callable[[str], None]


def listen(client: AsyncInstructor) -> None:
    """Have each of a client's events noted in the outcome of its record."""
    client.on("cache:hit", _note_event)
    client.on("cache:coalesced", _note_event)
    client.on("completion:usage", _note_usage)
    client.on("completion:response", note_answer)
    client.on("parse:error", _note_invalid_answer)


def _note_event(event: CacheEvent) -> None:
    _current.get().note_event(event)


def _note_usage(usage: Usage, attempt_number: int) -> None:
    _current.get().note_usage(usage, attempt_number)


def note_answer(_: object) -> None:
    """Note that the provider has answered for the current record: its answer is stored, whatever signals come."""
    _current.get().answered = True


def _note_invalid_answer(_: Exception) -> None:
    _current.get().answered = False  # the provider is asked once more


def first_good(records: Iterator[Record], prompt: Prompt) -> Iterator[Record]:
    """Try the prompt on the first record that can be used, before anything is asked; return all the records."""
    seen: list[Record] = []
    for record in records:
        seen.append(record)
        if not record.error:
            with suppress(ValidationError):  # an error of this one record, which is reported in its turn
                prompt(record.data)
            break
    return chain(seen, records)


class Run:
    """One run of a job.

    The first signal ends it once the requests under way have their answers, because they are paid for. A second one
    says that the user is in a hurry: from then on the run waits no longer than `patience` seconds for the provider. An answer
    that has come is always stored.
    """

    def __init__(self, job: Job, signals: SignalWatcher | None = None, patience: float = _PATIENCE) -> None:
        self._job = job
        self._signals = signals
        self._patience = patience
        self._hurried = False
        self._asking: dict[asyncio.Task[None], Outcome] = {}
        self._stopping = False
        self._failure: Exception | None = None
        self._unflushed = False
        self._workers: list[asyncio.Task[None]] = []
        self._idle: set[asyncio.Task[None]] = set()
        self.signal_number = 0
        """The first signal that came; 0 if none did."""

    async def run(self) -> None:
        """Work through the records."""
        job = self._job
        records = first_good(islice(job.source.read(), job.limit), job.prompt)
        reader = RecordReader(records, _READ_AHEAD if job.source.countable else 1)
        buffer = ReorderBuffer(max(_LEAST_WINDOW, _WINDOW_PER_WORKER * job.concurrency), self._write)
        self._workers = [asyncio.create_task(self._work(reader, buffer)) for _ in range(job.concurrency)]
        flusher = asyncio.create_task(self._flush())
        if self._signals is not None:
            # The handler may run while the loop sleeps; this wakes it.
            loop = asyncio.get_running_loop()
            self._signals.hand_to(lambda number: loop.call_soon_threadsafe(self.receive_signal, number))
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            flusher.cancel()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take no more records. Those that are being asked are finished."""
        self._stopping = True
        for worker in list(self._idle):
            worker.cancel()

    def receive_signal(self, number: int) -> None:
        """Stop at the first signal; at the second, set a limit to the waiting for the provider."""
        if not self.signal_number:
            self.signal_number = number
            self.stop()
            self._job.announce(
                "Stopping: waiting for the answers under way. "
                f"Press Ctrl-C again to wait {self._patience:g} seconds at most."
            )
        elif not self._hurried:
            self._hurried = True
            asyncio.get_running_loop().call_later(self._patience, self._drop_unanswered)
            self._job.announce(f"Dropping what has no answer in {self._patience:g} seconds.")

    def _drop_unanswered(self) -> None:
        """Cancel what still waits for the provider, again and again: an answer that is being stored may be invalid."""
        for task, outcome in list(self._asking.items()):
            if not outcome.answered:
                task.cancel()
        asyncio.get_running_loop().call_later(_DROP_SECONDS, self._drop_unanswered)

    async def _flush(self) -> None:
        """Flush the output a few times a second instead of after each line."""
        while True:
            await asyncio.sleep(0.2)
            if self._unflushed:
                self._unflushed = False
                self._job.output.flush()

    async def _work(self, reader: RecordReader, buffer: ReorderBuffer) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while not self._stopping:
                self._idle.add(task)
                numbered = await reader.take()
                if numbered is None:
                    return
                index, record = numbered
                await buffer.admit(index)
                self._idle.discard(task)
                outcome = self._asking[task] = Outcome(record.line, error=record.error, file=record.file)
                await self._answer(record, outcome)
                del self._asking[task]
                await buffer.put(index, outcome)
        except Exception as error:  # noqa: BLE001 - raised again by `run`, once the others have finished
            self._failure = self._failure or error
            self._idle.discard(task)
            self.stop()
        finally:
            self._idle.discard(task)
            self._asking.pop(task, None)

    def _write(self, outcome: Outcome) -> None:
        self._job.output.write(outcome)
        self._unflushed = True
        self._job.report(outcome)

    async def _answer(self, record: Record, outcome: Outcome) -> None:
        """Ask about a record, and put the answer or the error into its outcome."""
        if record.error:
            return
        _current.set(outcome)
        try:
            messages: Messages = [{"role": "user", "content": self._job.prompt(record.data)}]
        except InstructorError as error:
            outcome.error = str(error)
            return
        try:
            outcome.text = self._job.write_answer(await self._job.ask(messages))
        except _SETUP_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a record meets, the others go on
            outcome.error = describe_failure(error)


def describe_failure(error: Exception) -> str:
    """Say in one line why a record has no answer: the error, and its cause where the error doesn't mention it."""
    cause = error.__cause__
    description = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if cause is not None and str(cause) and str(cause) not in description:
        description += f" ({type(cause).__name__}: {cause})"
    return " ".join(description.split())
