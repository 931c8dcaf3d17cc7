"""Jobs through the vendor's batch API: the rows of a batch come with their answers, and a job hands them out as its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from instructor.batches.records import check_handle
from instructor.exceptions import ConfigurationError
from instructor.messages import Value
from instructor.providers.batches.vendor import find_vendor

if TYPE_CHECKING:
    from instructor.batches.batch_job import AsyncBatchJob, BatchJob
    from instructor.cache.handle import StoreHandle
    from instructor.jobs.asking import Miss
    from instructor.row import Row

T = TypeVar("T")


def can_batch(provider: str, handle: StoreHandle) -> bool:
    """Whether the vendor has a batch API that we know, and the store outlives the process."""
    try:
        find_vendor(provider)
        check_handle(handle)
    except ConfigurationError:
        return False
    return True


def read_batch(submit: Callable[[Iterable[Value]], BatchJob[T]], rows: Iterator[Value]) -> Iterator[Row[T | None]]:
    """Submit rows once the first answer is wanted, and wait for each."""
    yield from submit(rows).results()


async def read_batch_later(
    submit: Callable[[Iterable[Value] | AsyncIterable[Value]], Awaitable[AsyncBatchJob[T]]],
    rows: Iterator[Value] | AsyncIterable[Value],
) -> AsyncIterator[Row[T | None]]:
    """`read_batch`, for tasks."""
    async for row in (await submit(rows)).results():
        yield row


class BatchedRows(Generic[T]):
    """Answers the rows of a batch: they come as they are handed out."""

    def make_order(self) -> None:
        """Take rows as they come: they are answered."""

    def answer_now(self, index: int, source: Row[T]) -> Row[T] | Miss:  # noqa: ARG002 - as `Answering` has it
        """Hand the row out."""
        return source

    def answer(self, miss: Miss) -> NoReturn:
        """Refuse: the batch has answered every row, or has its error."""
        raise AssertionError(f"row {miss.index} was in the batch")

    async def answer_later(self, miss: Miss) -> NoReturn:
        """Refuse, as `answer`."""
        self.answer(miss)
