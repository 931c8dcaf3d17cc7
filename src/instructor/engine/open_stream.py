"""A stream of an SDK while it is read: the same for iterators and asynchronous iterators."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, Final


class End:
    """Stands for the end of a stream."""


END: Final = End()


class OpenStream:
    """A provider's stream of chunks.

    Args:
        source: What the SDK returned: an iterable or an asynchronous iterable, which may have a ``close`` or
            ``aclose`` that ends the connection.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._iterator: Any = aiter(source) if hasattr(source, "__aiter__") else iter(source)

    def next(self) -> Any:
        """The next chunk, for a thread; `END` after the last."""
        return next(self._iterator, END)

    async def next_async(self) -> Any:
        """The next chunk, for a task. A plain iterator is read in a thread, so that it doesn't block the loop."""
        if hasattr(self._iterator, "__anext__"):
            return await anext(self._iterator, END)
        import asyncio

        return await asyncio.to_thread(next, self._iterator, END)

    def close(self) -> None:
        """End the connection. What goes wrong with that concerns nobody any more."""
        with contextlib.suppress(Exception):
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    async def close_async(self) -> None:
        """As `close`, for a task."""
        with contextlib.suppress(Exception):
            close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
            closed = close() if close is not None else None
            if inspect.isawaitable(closed):
                await closed
