"""The work behind ``instructor extract``: a typed answer for every record of an input."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from instructor.cli.output import Output, Sequence
from instructor.cli.prompts import Prompt
from instructor.cli.reader import Feed
from instructor.cli.records import Input, Record
from instructor.cli.run_stats import Outcome
from instructor.exceptions import ClientError, ConfigurationError, InstructorError, ModeError
from instructor.hooks import CacheEvent
from instructor.usage import Usage

_READ_AHEAD = 64
_LEAST_WINDOW = 256
_WINDOW_PER_WORKER = 32
_SETUP_ERRORS = (ConfigurationError, ClientError, ModeError)
"""Errors that every record would meet: they end the run."""

_current: ContextVar[Outcome | None] = ContextVar("instructor_cli_outcome", default=None)
"""The record that the task at hand works on, so that an event finds the record it belongs to."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run, ready to begin.

    Attributes:
        source: Where the records come from.
        limit: How many of them to take; None for all.
        prompt: Turns a record into the user's message.
        ask: Takes messages and returns the answer; most often a client's ``create`` with all else filled in.
        write_answer: Turns an answer into JSON.
        output: Where the lines go.
        concurrency: How many records are worked on at once.
        report: Called with each outcome in order, after its line was written.
        interrupted: Called when the run is asked to stop.
    """

    source: Input
    limit: int | None
    prompt: Prompt
    ask: Callable[[list[dict[str, Any]]], Awaitable[Any]]
    write_answer: Callable[[Any], str]
    output: Output
    concurrency: int
    report: Callable[[Outcome], None]
    interrupted: Callable[[], None]


def listen(client: Any) -> None:
    """Have a client's events counted for the record that they belong to."""
    client.on("cache:hit", _note_event)
    client.on("cache:coalesced", _note_event)
    client.on("completion:usage", _note_usage)


def _note_event(event: CacheEvent) -> None:
    outcome = _current.get()
    if outcome is not None:
        outcome.note_event(event)


def _note_usage(usage: Usage, attempt_number: int) -> None:
    outcome = _current.get()
    if outcome is not None:
        outcome.note_usage(usage, attempt_number)


def first_good(records: Iterator[Record], prompt: Prompt) -> Iterator[Record]:
    """Try the prompt on the first record that can be used, before anything is asked.

    Returns:
        All the records.

    Raises:
        ConfigurationError: The prompt names a field that this record does not have.
    """
    seen: list[Record] = []
    for record in records:
        seen.append(record)
        if not record.error:
            _try_prompt(prompt, record)
            break
    return chain(seen, records)


def _try_prompt(prompt: Prompt, record: Record) -> None:
    try:
        prompt(record.data)
    except ConfigurationError:
        raise
    except InstructorError:
        return  # this record's own fault; it is told in its turn


class Run:
    """One run of a job.

    Args:
        job: What to do.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stopping = False
        self._failure: Exception | None = None
        self._unflushed = False
        self._workers: list[asyncio.Task[None]] = []
        self._idle: set[asyncio.Task[None]] = set()
        self.signal_number = 0
        """The signal that stopped the run; 0 if none did."""

    async def run(self) -> None:
        """Work through the records.

        Raises:
            InstructorError: The run cannot go on.
            OSError: The output cannot be written.
        """
        job = self._job
        records = first_good(islice(job.source.read(), job.limit), job.prompt)
        feed = Feed(records, _READ_AHEAD if job.source.countable else 1)
        sequence = Sequence(max(_LEAST_WINDOW, _WINDOW_PER_WORKER * job.concurrency), self._write)
        self._workers = [asyncio.create_task(self._work(feed, sequence)) for _ in range(job.concurrency)]
        flusher = asyncio.create_task(self._flush())
        self._catch_signals()
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            flusher.cancel()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take no more records. What is being asked is finished, because it is paid for; a second call drops it."""
        dropped = self._workers if self._stopping else self._idle
        self._stopping = True
        for worker in list(dropped):
            worker.cancel()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._catch, number)
            except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
                return

    def _catch(self, number: int) -> None:
        if not self._stopping:
            self._job.interrupted()
        self.signal_number = number
        self.stop()

    async def _flush(self) -> None:
        """Hand over finished lines a few times a second rather than one by one."""
        while True:
            await asyncio.sleep(0.2)
            if self._unflushed:
                self._unflushed = False
                self._job.output.flush()

    async def _work(self, feed: Feed, sequence: Sequence) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while not self._stopping:
                self._idle.add(task)
                taken = await feed.take()
                if taken is None:
                    return
                index, record = taken
                await sequence.admit(index)
                self._idle.discard(task)
                await sequence.put(index, await self._answer(record))
        except Exception as error:  # noqa: BLE001 - raised again by `run`, once the others have finished
            self._failure = self._failure or error
            self._idle.discard(task)
            if not self._stopping:
                self.stop()
        finally:
            self._idle.discard(task)

    def _write(self, outcome: Outcome) -> None:
        self._job.output.write(outcome)
        self._unflushed = True
        self._job.report(outcome)

    async def _answer(self, record: Record) -> Outcome:
        outcome = Outcome(record.line, error=record.error)
        if record.error:
            return outcome
        _current.set(outcome)
        try:
            messages = [{"role": "user", "content": self._job.prompt(record.data)}]
        except InstructorError as error:
            outcome.error = str(error)
            return outcome
        try:
            outcome.text = self._job.write_answer(await self._job.ask(messages))
        except _SETUP_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a record meets, the others go on
            outcome.error = describe_failure(error)
        return outcome


def describe_failure(error: Exception) -> str:
    """Say in one line why a record has no answer: what was raised, and what that came from."""
    cause = error.__cause__
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if cause is not None and str(cause) and str(cause) not in said:
        said += f" ({type(cause).__name__}: {cause})"
    return " ".join(said.split())
