"""The records of an input, read in a thread and handed to the workers of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from itertools import islice

from instructor.cli.records import Record

_BATCHES = 2


class RecordReader:
    """Hands out numbered records. A thread reads them, because a pipe may block its reader for any time.

    `batch` is how many are read at once: 1 for an input whose writer may wait for the answer to each.
    """

    def __init__(self, records: Iterable[Record], batch: int) -> None:
        self._records = iter(records)
        self._batch = batch
        self._queue: asyncio.Queue[list[Record] | Exception | None] = asyncio.Queue(_BATCHES)
        self._ready: Iterator[Record] = iter(())
        self._count = 0
        self._ended = False
        self._turn = asyncio.Lock()
        # A daemon thread: the process may end while it waits for a line that never comes.
        self._thread = threading.Thread(target=self._read, args=(asyncio.get_running_loop(),), daemon=True)
        self._thread.start()

    async def take(self) -> tuple[int, Record] | None:
        """Return the next record and its number, counted from 0; None when there are no more."""
        async with self._turn:
            record = next(self._ready, None)
            while record is None and not self._ended:
                await self._refill()
                record = next(self._ready, None)
            if record is None:
                return None
            self._count += 1
            return self._count - 1, record

    async def _refill(self) -> None:
        batch = await self._queue.get()
        if isinstance(batch, Exception):
            self._ended = True
            raise batch
        self._ended = batch is None
        self._ready = iter(batch or ())

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        last: Exception | None = None
        try:
            while batch := list(islice(self._records, self._batch)):
                self._hand_over(loop, batch)
        except (CancelledError, RuntimeError):  # the loop has closed: there are no workers left
            return
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where the records are taken
            last = error
        try:
            self._hand_over(loop, last)
        except (CancelledError, RuntimeError):
            return

    def _hand_over(self, loop: asyncio.AbstractEventLoop, batch: list[Record] | Exception | None) -> None:
        """Put a batch into the queue, and wait until there is room for it."""
        putting = self._queue.put(batch)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except RuntimeError:
            putting.close()  # or Python would warn that it was never awaited
            raise
