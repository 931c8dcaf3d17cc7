"""Jobs through the vendor's batch API: the rows of a batch come with their answers, and a job hands them out as its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from instructor.batches.records import check_handle
from instructor.exceptions import ConfigurationError
from instructor.jobs.row import Row
from instructor.messages import Value
from instructor.providers.batches.vendor import find_vendor

if TYPE_CHECKING:
    from instructor.batches.batch_job import AsyncBatchJob, BatchJob, BatchRow
    from instructor.cache.handle import StoreHandle
    from instructor.jobs.asking import Miss

T = TypeVar("T")


def can_batch(provider: str, handle: StoreHandle) -> bool:
    """Whether the vendor has a batch API that we know, and the store outlives the process."""
    try:
        find_vendor(provider)
        check_handle(handle)
    except ConfigurationError:
        return False
    return True


def read_batch(submit: Callable[[Iterable[Value]], BatchJob[T]], rows: Iterator[Value]) -> Iterator[BatchRow[T]]:
    """Submit rows once the first answer is wanted, and wait for each."""
    yield from submit(rows).results()


async def read_batch_later(
    submit: Callable[[Iterable[Value] | AsyncIterable[Value]], Awaitable[AsyncBatchJob[T]]],
    rows: Iterator[Value] | AsyncIterable[Value],
) -> AsyncIterator[BatchRow[T]]:
    """`read_batch`, for tasks."""
    async for row in (await submit(rows)).results():
        yield row


class BatchedRows(Generic[T]):
    """Answers the rows of a batch: with what came with them."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider, self._model = provider, model
        self._seen: set[str] = set()

    def make_order(self) -> None:
        """Take rows as they come: they are answered."""

    def answer_now(self, index: int, source: BatchRow[T]) -> Row[T] | Miss:
        """Show a row of a batch as a job does. Of equal rows the first one has cost something."""
        shared = source.key in self._seen and not source.cached
        self._seen.add(source.key)
        value: Value = source.value
        return Row(
            index,
            source.input,
            value,
            source.error,
            cached=source.cached or shared,
            shared=shared,
            batched=source.batched,
            usage=source.usage,
            provider=self._provider,
            model=self._model,
            key=source.key,
            attempts=source.attempts,
            live=source.live,
        )

    def answer(self, miss: Miss) -> NoReturn:
        """Refuse: the batch has answered every row, or has its error."""
        raise AssertionError(f"row {miss.index} was in the batch")

    async def answer_later(self, miss: Miss) -> NoReturn:
        """Refuse, as `answer`."""
        self.answer(miss)
