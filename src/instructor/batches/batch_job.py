"""What `client.batch` returns: a job at the vendor's half-price batch API, and its rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_args

from instructor.batches.job import Again, Job, begin, cancel, poll, results
from instructor.batches.records import JobRecord, Shelf, check_handle, hash_schema, name_job, write_context
from instructor.batches.rows import Asked, Outcome, make_asked
from instructor.cache.handle import handle_of
from instructor.describing import refuse, refuse_choice
from instructor.engine.lookup import own_copy
from instructor.engine.question import CallQuestion
from instructor.exceptions import ConfigurationError
from instructor.messages import Conversation, Value, copy_value
from instructor.providers.batches.steps import Steps, run, run_async, show, show_async
from instructor.providers.batches.vendor import Progress, find_vendor
from instructor.row import Row

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from instructor.cache.store import BaseCache
    from instructor.engine.call import Call
    from instructor.providers.adapter import Adapter

T = TypeVar("T")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a job is.

    Attributes:
        id: The job's name, by which any process goes on with it.
        rows: Distinct rows; equal ones are asked once.
        cached: Those that were in the cache.
        done: Those that have an answer by now.
        failed: Those that have none, as far as the vendor says.
        ended: Whether all results can be read.
        batches: The vendor's names of the batches that aren't read yet.
    """

    id: str
    rows: int
    cached: int
    done: int
    failed: int
    ended: bool
    batches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What a client hands over for a job.

    Attributes:
        make: Makes the call of a conversation.
        adapter: The client's way to the vendor.
        store: Where the job's record is kept; None for the last store of the client's cache.
        again: What becomes of rows that expired or failed.
        poll_seconds: The pause between two looks.
    """

    make: Callable[[Conversation], Call[T]]
    adapter: Adapter
    store: BaseCache | None = None
    again: Again = "batch"
    poll_seconds: float = 30.0
    inputs: list[Value] = field(default_factory=list[Value])

    def __post_init__(self) -> None:
        if self.again not in get_args(Again):
            raise refuse_choice("again", self.again, get_args(Again))
        if isinstance(self.poll_seconds, bool) or not isinstance(self.poll_seconds, (int, float)):
            raise refuse("poll_seconds", self.poll_seconds, "seconds, such as 30.0")

    def of_rows(self, rows: Iterable[Value], write: Callable[[Value], Conversation]) -> Job:
        """Make the job of some rows. Each is made a call to learn its key, and again when it is needed.

        The conversation is made once and kept: a source may use one object for all its rows, and a function may make
        something else of a row the next time, but what is sent under a key must be what the key was made of.
        """
        asked: dict[str, Asked | None] = {}
        context: tuple[str, ...] = ()
        order: list[str] = []
        unkeyed: dict[str, Outcome[Any]] = {}
        first: Call[T] | None = None
        for index, row in enumerate(rows):
            self.inputs.append(row)
            try:
                conversation = copy_value(converse(write(row)))
            except Exception as failure:  # noqa: BLE001 - a function of the user's may raise anything about a row
                order.append(f"row {index}")
                unkeyed[order[-1]] = Outcome(error=failure)
                continue
            call = self.make(conversation)
            first = first or call
            if call.key is None and call.path is not None:
                error = ConfigurationError(f"The row can't be part of a batch, because it has no key: {call.bypass}.")
                unkeyed[f"row {index}"] = Outcome(error=error)
            key = call.key or f"row {index}"
            order.append(key)
            if call.key is not None:
                written = write_context(call)
                context = context if written == context else written  # one for all rows, as a rule
                asked.setdefault(key, make_asked(context, conversation))
        if first is None:
            first = self.make(converse(""))
        return self._make_job(asked, order, first, unkeyed)

    def of_record(self, name: str) -> Steps[Job]:
        """Make the job of its record, without its rows: what was submitted can be read, and nothing more."""
        example = self.make(converse("(a row that only its batch knows)"))
        shelf = self._shelf(example)
        record = yield from shelf.job(name)
        if record is None:
            raise ConfigurationError(
                f"There is no job {name} in the store. `instructor batch list` shows those that are."
            )
        wanted = (example.adapter.provider, example.model, hash_schema(example))
        if wanted != (record.provider, record.model, record.schema):
            raise ConfigurationError(
                f"Job {name} asks {record.provider}/{record.model} for {record.response_model}, in another form than this "
                "client would. Resume it with its own model, mode, response model and context."
            )
        order = yield from shelf.order(name)
        asked: dict[str, Asked | None] = dict.fromkeys(key for key in order if " " not in key)
        self.inputs.extend([None] * len(order))
        return self._job(record, shelf, order, asked, example, partial(_stand_in, example), {}, can_submit=False)

    def _make_job(
        self, asked: dict[str, Asked | None], order: list[str], example: Call[Any], unkeyed: dict[str, Outcome[Any]]
    ) -> Job:
        shelf = self._shelf(example)
        model = example.plan.name
        record = JobRecord(
            name_job(order),
            self.adapter.provider,
            example.model,
            example.policy.namespace or "",
            model,
            hash_schema(example),
            len(order),
            time.time(),
        )
        return self._job(record, shelf, order, asked, example, self._remake, unkeyed, can_submit=True)

    def _job(
        self,
        record: JobRecord,
        shelf: Shelf,
        order: list[str],
        asked: dict[str, Asked | None],
        example: Call[Any],
        make: Callable[[str, Asked | None], Call[Any]],
        outcomes: dict[str, Outcome[Any]],
        *,
        can_submit: bool,
    ) -> Job:
        vendor = find_vendor(self.adapter.provider)
        sleep = asyncio.sleep if self.adapter.asynchronous else time.sleep
        return Job(
            record,
            self.adapter,
            vendor,
            shelf,
            order,
            asked,
            make,
            CallQuestion(example).read,
            self.again,
            can_submit,
            self.poll_seconds,
            sleep,
            vendor.most_rows,
            outcomes,
        )

    def _shelf(self, example: Call[Any]) -> Shelf:
        own = None if example.path is None else example.path.tiers[-1].handle
        if own is None:
            check_handle(None)  # answers need a cache, wherever the record is kept
        handle = check_handle(own if self.store is None else handle_of(self.store))
        return Shelf(handle, self.adapter.asynchronous)

    def _remake(self, key: str, asked: Asked | None) -> Call[T]:
        assert asked is not None, "it has no outcome yet"
        call = self.make(asked.read())._replace(key=key)
        if write_context(call) != asked.context:
            raise ConfigurationError(
                "An object in context= has changed since the row was asked, so its answer can't be judged by what it was "
                "asked with. Don't change it while the job runs; run the job again with the new context."
            )
        return call


def converse(made: Conversation | str) -> Conversation:
    """The conversation of a row: a text is the user's turn."""
    return [{"role": "user", "content": made}] if isinstance(made, str) else made


def _stand_in(example: Call[T], key: str, _: object) -> Call[T]:
    """A call whose messages aren't known: its answer can be validated and stored, and it is never compared or sent."""
    return example._replace(key=key, sketch=None)


def find_repeated(keys: Iterable[str]) -> frozenset[int]:
    """The places of keys that stood before."""
    met: set[str] = set()
    repeated: list[int] = []
    for index, key in enumerate(keys):
        if key in met:
            repeated.append(index)
        met.add(key)
    return frozenset(repeated)


class _Shown(Generic[T]):
    """What both kinds of job show."""

    def __init__(self, job: Job, inputs: list[Value]) -> None:
        self._job = job
        self._inputs = inputs
        self._repeated = find_repeated(job.order)
        self._taken = 0
        self._cached = sum(outcome.error is None for outcome in job.outcomes.values())

    @property
    def id(self) -> str:
        """The job's name: the same rows have the same one, in any process."""
        return self._job.record.id

    def __repr__(self) -> str:
        record = self._job.record
        return f"<{type(self).__name__} {record.id} {record.provider}/{record.model} rows={record.rows}>"

    def _status(self) -> Steps[BatchStatus]:
        job = self._job
        asked: list[Progress] = []
        for intent, _ in list(job.intents.values()):
            asked.append((yield from poll(job, intent)))
        answered = sum(outcome.error is None for outcome in job.outcomes.values())
        return BatchStatus(
            id=self.id,
            rows=len(set(job.order)),
            cached=self._cached,
            done=answered + sum(progress.done for progress in asked),
            failed=len(job.outcomes) - answered + sum(progress.failed for progress in asked),
            ended=all(progress.ended for progress in asked),
            batches=tuple(intent.vendor_id for intent, _ in job.intents.values()),
        )

    def _wait(self, deadline: float) -> Steps[BatchStatus]:
        while True:
            status = yield from self._status()
            if status.ended or time.monotonic() >= deadline:
                return status
            yield partial(self._job.sleep, self._job.pause)

    def _row(self, index: int) -> Row[T | None]:
        """Show a row as a live job does. Of equal rows the first one has cost something."""
        key = self._job.order[index]
        outcome, record = self._own(self._job.outcomes[key], index), self._job.record
        shared = index in self._repeated and not outcome.cached
        return Row(
            index=index,
            input=self._inputs[index],
            value=outcome.value,
            error=outcome.error,
            cached=outcome.cached or shared,
            shared=shared,
            batched=outcome.batched,
            usage=getattr(outcome.error, "total_usage", None) or outcome.usage,
            provider=record.provider,
            model=record.model,
            key=key,
            attempts=outcome.attempts or int(outcome.batched),
            seconds=outcome.seconds if outcome.cached else 0.0,
            live=outcome.live,
        )

    def _own(self, outcome: Outcome[T], index: int) -> Outcome[T]:
        """What has become of a row, with a value of its own: that of an equal one, or of an earlier look, is another's.

        An error is a copy at the first look too: the caller may add to it what is about one row.
        """
        if outcome.error is not None:
            return replace(outcome, error=own_copy(outcome.error).with_traceback(outcome.error.__traceback__))
        is_new = index >= self._taken and index not in self._repeated
        self._taken = max(self._taken, index + 1)
        if is_new or outcome.entry is None:
            return outcome
        try:
            return replace(outcome, value=self._job.read(outcome.entry))
        except Exception as error:  # noqa: BLE001 - a validator of the user's may refuse what it took before
            return replace(outcome, value=None, error=error)

    def _ready(self, start: int) -> range:
        """The rows from `start` on that have an outcome, up to the first that hasn't."""
        order, outcomes = self._job.order, self._job.outcomes
        end = start
        while end < len(order) and order[end] in outcomes:
            end += 1
        return range(start, end)


class Resuming(Protocol):
    """The synchronous client."""

    def resume_batch(
        self,
        id: str,  # noqa: A002 - the word for it
        response_model: TypeForm[T],
        *,
        store: BaseCache | None = None,
        poll_seconds: float = 30.0,
        **keywords: object,
    ) -> BatchJob[T]:
        """Go on with a job by its name."""
        ...


class BatchJob(_Shown[T]):
    """Rows at a vendor's half-price batch API. You get one from `Instructor.batch`.

    It lives at the vendor, and its record in the store, so it goes on when this process ends: call `Instructor.batch`
    with the same rows again, or `BatchJob.resume`, in any process that has the store.
    """

    @classmethod
    def resume(cls, id: str, client: Resuming, response_model: TypeForm[Answer], **keywords: Any) -> BatchJob[Answer]:  # noqa: A002 - the word for it
        """Go on with a job by its name, without its rows; see `Instructor.resume_batch`."""
        return client.resume_batch(id, response_model, **keywords)

    def status(self) -> BatchStatus:
        """Ask the vendor how far it is."""
        return run(self._status())

    def wait(self, seconds: float | None = None) -> BatchStatus:
        """Wait until the results can be read, or until the seconds are over. Ctrl-C leaves the job at the vendor."""
        return run(self._wait(time.monotonic() + (seconds if seconds is not None else float("inf"))))

    def results(self) -> Iterator[Row[T | None]]:
        """Wait for the rows, store their answers, and yield them in the order of the input."""
        at = 0
        for _ in show(results(self._job)):
            for index in self._ready(at):
                yield self._row(index)
                at = index + 1

    def cancel(self) -> None:
        """Ask the vendor to stop. `results` has what was answered by then, which is paid for; the rest are errors."""
        run(cancel(self._job))


class AsyncBatchJob(_Shown[T]):
    """As `BatchJob`, for asyncio. You get one from `AsyncInstructor.batch`."""

    async def status(self) -> BatchStatus:
        """Ask the vendor how far it is."""
        return await run_async(self._status())

    async def wait(self, seconds: float | None = None) -> BatchStatus:
        """As `BatchJob.wait`."""
        return await run_async(self._wait(time.monotonic() + (seconds if seconds is not None else float("inf"))))

    async def results(self) -> AsyncIterator[Row[T | None]]:
        """As `BatchJob.results`."""
        at = 0
        async for _ in show_async(results(self._job)):
            for index in self._ready(at):
                yield self._row(index)
                at = index + 1

    async def cancel(self) -> None:
        """As `BatchJob.cancel`."""
        await run_async(cancel(self._job))


def start(request: Request[T], job: Job) -> BatchJob[T]:
    """Submit what the cache doesn't have."""
    run(begin(job))
    return BatchJob(job, request.inputs)


async def start_async(request: Request[T], job: Job) -> AsyncBatchJob[T]:
    """As `start`."""
    await run_async(begin(job))
    return AsyncBatchJob(job, request.inputs)


def reopen(request: Request[T], name: str) -> BatchJob[T]:
    """Go on with a job by its name."""
    return start(request, run(request.of_record(name)))


async def reopen_async(request: Request[T], name: str) -> AsyncBatchJob[T]:
    """As `reopen`."""
    return await start_async(request, await run_async(request.of_record(name)))
