"""The clients' methods for batches. Their work is done in ``batches/``, which is loaded when one is called."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from instructor.base_client import BaseClient
from instructor.messages import Conversation, Messages, ResponseModel, Value

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from instructor.batches.batch_job import AsyncBatchJob, BatchJob, Request
    from instructor.batches.job import Again
    from instructor.cache.store import BaseCache
    from instructor.engine.call import Call
    from instructor.jobs.sources import ArrowStream

T = TypeVar("T")
Input = TypeVar("Input")


class BatchClient(BaseClient):
    """What both clients do before a batch is submitted."""

    def _make_request(
        self, response_model: ResponseModel, keywords: Mapping[str, object], *settings: Value, **named: Value
    ) -> Request[Value]:
        from instructor.batches.batch_job import Request
        from instructor.batches.rows import copy_containers

        # What a row is asked and judged by is what its key was made of, though it is asked again or answered days later.
        kept = {name: copy_containers(value) for name, value in keywords.items()}
        kept.setdefault("context", copy_containers(self._settings.context))

        def make(messages: Conversation) -> Call[Value]:
            return self._call(response_model, messages, kept)

        return Request(make, self._adapter, *settings, **named)


class Batches(BatchClient):
    """The methods of the synchronous client."""

    def batch(
        self,
        rows: Iterable[Input] | ArrowStream,
        response_model: TypeForm[T],
        messages: Messages | Callable[[Input], Conversation] | None = None,
        *,
        prompt: str | Callable[[Input], str] | None = None,
        store: BaseCache | None = None,
        again: Again = "batch",
        poll_seconds: float = 30.0,
        **keywords: object,
    ) -> BatchJob[T]:
        """Ask for an answer to each row at half the price, within a day: by the vendor's own batch API.

        Rows that the cache has are not asked, equal rows are asked once, and what comes is stored as any answer: a live
        call of the same row is a cache hit from then on. The job's record is in the store before anything is submitted.
        With the same rows in any process that has the store, it goes on where it was, and submits nothing twice.

        Args:
            rows: What is asked, as in `Instructor.map`. All are read at once.
            response_model: As for `create`.
            messages: A function that makes the conversation of a row, or the text of the user's turn; or a conversation
                with templates in its texts. By default the row is that, or its own text is sent.
            prompt: In place of it the text of the user's turn: a template over the row's fields, or a function of the row.
            store: Where the job's record is kept. Default: the last store of this client's cache.
            again: What becomes of rows that expired or failed for a reason that may pass: ``"batch"`` asks them in the
                next batch, ``"live"`` at once at the full price, ``"never"`` returns their errors. An invalid answer is
                asked again live, with its error shown, unless it's ``"never"``.
            poll_seconds: The pause between two looks at the batch.
            **keywords: As for `create`, for all rows.

        Returns:
            A `BatchJob`, submitted: ``results()`` waits for its rows.

        Raises:
            ConfigurationError: The vendor has no batch API, there is no store that outlives the process, or an argument is
                one that the SDK doesn't take.
            CacheError: The record can't be written, so that nothing was submitted.
            InstructorError: As for `create`, from the submission.
        """
        from instructor.batches.batch_job import start
        from instructor.jobs.prompts import make_writer
        from instructor.jobs.sources import read_rows

        request = self._make_request(response_model, keywords, store, again, poll_seconds)
        return start(request, request.of_rows(read_rows(rows, asynchronous=False), make_writer(prompt, messages)))

    def resume_batch(
        self,
        id: str,  # noqa: A002 - the word for it
        response_model: TypeForm[T],
        *,
        store: BaseCache | None = None,
        poll_seconds: float = 30.0,
        **keywords: object,
    ) -> BatchJob[T]:
        """Go on with a job by its name, without its rows: read and store what was submitted, and ask nothing again.

        Args:
            id: The job's name.
            response_model: That of the job.
            store: Where the job's record is kept. Default: the last store of this client's cache.
            poll_seconds: The pause between two looks at the batch.
            **keywords: Those of the job.

        Returns:
            A `BatchJob`, whose rows have no ``input``.

        Raises:
            ConfigurationError: There is no such job, or this client asks in another way than it does.
            CacheError: The store failed.
        """
        from instructor.batches.batch_job import reopen

        return reopen(self._make_request(response_model, keywords, store, "never", poll_seconds), id)


class AsyncBatches(BatchClient):
    """The methods of the asynchronous client."""

    async def batch(
        self,
        rows: Iterable[Input] | AsyncIterable[Input] | ArrowStream,
        response_model: TypeForm[T],
        messages: Messages | Callable[[Input], Conversation] | None = None,
        *,
        prompt: str | Callable[[Input], str] | None = None,
        store: BaseCache | None = None,
        again: Again = "batch",
        poll_seconds: float = 30.0,
        **keywords: object,
    ) -> AsyncBatchJob[T]:
        """Ask for an answer to each row at half the price; see `Instructor.batch`.

        Args:
            rows: As in `Instructor.batch`.
            response_model: As in `Instructor.batch`.
            messages: As in `Instructor.batch`.
            prompt: As in `Instructor.batch`.
            store: As in `Instructor.batch`.
            again: As in `Instructor.batch`.
            poll_seconds: As in `Instructor.batch`.
            **keywords: As in `Instructor.batch`.

        Returns:
            An `AsyncBatchJob`, submitted.

        Raises:
            InstructorError: As `Instructor.batch`.
        """
        from instructor.batches.batch_job import start_async
        from instructor.jobs.prompts import make_writer
        from instructor.jobs.sources import read_rows

        request = self._make_request(response_model, keywords, store, again, poll_seconds)
        source, write = read_rows(rows, asynchronous=True), make_writer(prompt, messages)
        read = [row async for row in source] if isinstance(source, AsyncIterable) else source
        return await start_async(request, request.of_rows(read, write))

    async def resume_batch(
        self,
        id: str,  # noqa: A002 - the word for it
        response_model: TypeForm[T],
        *,
        store: BaseCache | None = None,
        poll_seconds: float = 30.0,
        **keywords: object,
    ) -> AsyncBatchJob[T]:
        """Go on with a job by its name, without its rows; see `Instructor.resume_batch`.

        Args:
            id: As in `Instructor.resume_batch`.
            response_model: As in `Instructor.resume_batch`.
            store: As in `Instructor.resume_batch`.
            poll_seconds: As in `Instructor.resume_batch`.
            **keywords: As in `Instructor.resume_batch`.

        Returns:
            An `AsyncBatchJob`.

        Raises:
            InstructorError: As `Instructor.resume_batch`.
        """
        from instructor.batches.batch_job import reopen_async

        request = self._make_request(response_model, keywords, store, "never", poll_seconds)
        return await reopen_async(request, id)
