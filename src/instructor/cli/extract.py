"""The work behind ``instructor extract``: a typed answer for every record of an input, by `Instructor.map`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from instructor.cli.inputs import Inputs
from instructor.cli.output import Output
from instructor.cli.records import Record
from instructor.cli.run_stats import Outcome
from instructor.cli.signals import SignalWatcher
from instructor.exceptions import BudgetExceeded, InstructorError, ValidationError
from instructor.jobs import job as jobs
from instructor.jobs.pace import Concurrency
from instructor.jobs.prompts import Prompt
from instructor.messages import Messages
from instructor.row import Row

if TYPE_CHECKING:
    from instructor.client import Instructor

_PATIENCE = 10.0
"""Seconds for which a run still waits for the provider after a second signal."""
_BEAT = 0.1
"""Seconds between two looks at what is due: lines to flush, and answers to drop."""

FAREWELL = f"Stopping: waiting for the answers under way. Press Ctrl-C again to wait {_PATIENCE:g} seconds at most."
BATCH_FAREWELL = (
    "Stopping. The batch goes on at the provider, and the same command reads its answers. "
    "`instructor batch cancel` ends it."
)


class UnusableError(ValidationError):
    """A record can't be asked about. Its text is all that there is to say."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run, ready to begin.

    Attributes:
        limit: How many records to take; None for all.
        write_answer: Turns an answer into JSON.
        concurrency: How many records are worked on at once, or "auto".
        report: Called with each outcome in order, after its line was written.
        announce: Called with a sentence for the user when a signal has come.
        map: A client's `map` with its other arguments filled in.
        is_slow: Whether reading may wait for something else than a disk: for a writer, or for a batch.
        farewell: What is announced at the first signal.
    """

    source: Inputs
    limit: int | None
    prompt: Prompt
    write_answer: Callable[[object], str]
    output: Output
    concurrency: Concurrency
    report: Callable[[Outcome], None]
    announce: Callable[[str], None]
    map: Callable[..., jobs.Job[Any]]
    is_slow: bool = False
    farewell: str = FAREWELL


def listen(client: Instructor) -> None:
    """Have each answer of a provider noted for its row, so that no signal drops it."""
    client.on("completion:usage", note_answer)  # "completion:response" would have the SDK make its object of the answer
    client.on("parse:error", _note_invalid_answer)


def note_answer(_: object) -> None:
    """Note that the provider has answered for the current record: its answer is stored, whatever signals come."""
    jobs.note_answer()


def _note_invalid_answer(_: Exception) -> None:
    jobs.note_answer(is_valid=False)  # the provider is asked once more


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


def write_messages(prompt: Prompt, record: Record) -> Messages:
    """Write the messages of a record; raise `UnusableError` where that can't be done."""
    if record.error:
        raise UnusableError(record.error)
    try:
        return [{"role": "user", "content": prompt(record.data)}]
    except InstructorError as error:  # about this record, whatever it says of the others
        raise UnusableError(str(error)) from error


class Run:
    """One run of a job.

    The first signal ends it once the requests under way have their answers, because they are paid for. A second one
    says that the user is in a hurry: from then on the run waits no longer than `patience` seconds for the provider. An answer
    that has come is always stored. For who reads the output a run that ends waits no longer than that anyway.
    """

    def __init__(self, job: Job, signals: SignalWatcher | None = None, patience: float = _PATIENCE) -> None:
        self._job = job
        self._signals = signals
        self._patience = patience
        self._rows: jobs.Job[Any] | None = None
        self._events: SimpleQueue[int | None] = SimpleQueue()
        self._ends: float | None = None
        self._signalled = math.inf
        self._writing = math.inf  # since when
        self._unflushed = False
        self.signal_number = 0
        """The first signal that came; 0 if none did."""

    def run(self) -> None:
        """Work through the records."""
        job = self._job
        records = first_good(islice(job.source.read(), job.limit), job.prompt)
        rows = self._rows = job.map(records, concurrency=job.concurrency, on_error="collect", progress=False)
        rows.be_droppable(reads_ahead=job.is_slow or not job.source.countable)
        if self._signals is not None:
            self._signals.hand_to(self._events.put)
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            with rows:
                for row in rows:
                    self._write(row)
        finally:
            self._events.put(None)
            watcher.join()

    def _watch(self) -> None:
        """Receive signals, flush the output a few times a second, and drop what has no answer in time: in a thread.

        A signal's handler can do none of it, because it may interrupt what does the same.
        """
        while True:
            try:
                number = self._events.get(timeout=_BEAT)
            except Empty:
                self._do_what_is_due()
            else:
                if number is None:
                    return
                self.receive_signal(number)

    def receive_signal(self, number: int) -> None:
        """Stop at the first signal; at the second, set a limit to the waiting for the provider."""
        assert self._rows is not None, "the run has begun"
        if not self.signal_number:
            self.signal_number, self._signalled = number, time.monotonic()
            self._rows.stop()
            self._job.announce(self._job.farewell)
        elif self._ends is None:
            self._ends = time.monotonic() + self._patience
            self._job.announce(f"Dropping what has no answer in {self._patience:g} seconds.")

    def _do_what_is_due(self) -> None:
        if self._ends is not None and time.monotonic() >= self._ends and self._rows is not None:
            self._rows.drop()  # again and again: an answer that is being stored may be invalid
        if self._job.output.may_wait and time.monotonic() - max(self._signalled, self._writing) >= self._patience:
            self._leave_output()
        if self._unflushed:
            self._unflushed = False
            with suppress(OSError):  # the next write meets it, too
                self._job.output.flush()

    def _leave_output(self) -> None:
        """Have the thread that writes go on, which waits for whoever should read."""
        self._signalled = math.inf
        self._job.announce("Nobody reads the output: the rest of it is left out.")
        self._job.output.leave()
        if self._signals is not None:
            self._signals.wake()

    def _write(self, row: Row[Any]) -> None:
        if isinstance(row.error, BudgetExceeded):
            raise row.error
        outcome = make_outcome(row, self._job.write_answer)
        self._writing = time.monotonic()
        self._job.output.write(outcome)
        self._writing = math.inf
        self._unflushed = True
        self._job.report(outcome)


def make_outcome(row: Row[Any], write_answer: Callable[[object], str]) -> Outcome:
    """Describe a row for the output and the figures."""
    outcome = Outcome(row.input.line, file=row.input.file, batched=row.batched)
    if row.cached:
        outcome.note_saved(row.usage, row.seconds, shared=row.shared)
    else:
        outcome.spent, outcome.live, outcome.attempts = row.usage, row.live, row.attempts
    error = row.error
    if error is None:
        try:
            outcome.text = write_answer(row.value)
        except Exception as failure:  # noqa: BLE001 - whatever a record meets, the others go on
            error = failure
    if error is not None:
        outcome.error = str(error) if isinstance(error, UnusableError) else describe_failure(error)
    return outcome


def describe_failure(error: Exception) -> str:
    """Say in one line why a record has no answer: the error, and its cause where the error doesn't mention it."""
    cause = error.__cause__
    description = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if cause is not None and str(cause) and str(cause) not in description:
        description += f" ({type(cause).__name__}: {cause})"
    return " ".join(description.split())
