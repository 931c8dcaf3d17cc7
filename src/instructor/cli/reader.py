"""The records of an input that may keep its reader waiting, such as a pipe: read in a thread, awaited in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError

from instructor.cli.records import Record

_READ_AHEAD = 2


class RecordReader(AsyncIterator[Record]):
    """Hands out records one by one, because the writer may wait for the answer to each."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._queue: asyncio.Queue[Record | Exception] = asyncio.Queue(_READ_AHEAD)
        # A daemon thread: the process may end while it waits for a line that never comes.
        self._thread = threading.Thread(target=self._read, args=(asyncio.get_running_loop(),), daemon=True)
        self._thread.start()

    async def __anext__(self) -> Record:
        record = await self._queue.get()
        if isinstance(record, Exception):
            raise record
        return record

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for record in self._records:
                self._hand_over(loop, record)
            last: Exception = StopAsyncIteration()
        except (CancelledError, RuntimeError):  # the loop has closed: nobody takes them any more
            return
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where the records are taken
            last = error
        try:
            self._hand_over(loop, last)
        except (CancelledError, RuntimeError):
            return

    def _hand_over(self, loop: asyncio.AbstractEventLoop, record: Record | Exception) -> None:
        """Put a record into the queue, and wait until there is room for it."""
        putting = self._queue.put(record)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except RuntimeError:
            putting.close()  # or Python would warn that it was never awaited
            raise
