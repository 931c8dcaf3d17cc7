"""A stream of an SDK while it is read: the same for iterators and asynchronous iterators."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable
from typing import Any, Final


class End:
    """Stands for the end of a stream."""


END: Final = End()


class OpenStream:
    """A provider's stream of chunks."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._iterator: Any = aiter(source) if hasattr(source, "__aiter__") else iter(source)
        self._is_asynchronous = hasattr(self._iterator, "__anext__")

    def next(self) -> Any:
        """The next chunk, for a thread; `END` after the last."""
        return next(self._iterator, END)

    def next_async(self) -> Awaitable[Any]:
        """The next chunk, for a task. A plain iterator is read in a thread, so that it doesn't block the loop."""
        if self._is_asynchronous:
            return anext(self._iterator, END)  # and not a coroutine around it: this runs for every chunk
        import asyncio

        return asyncio.to_thread(next, self._iterator, END)

    def close(self) -> None:
        """End the connection. What goes wrong with that concerns nobody any more."""
        for part in self._parts():
            with contextlib.suppress(Exception):
                close = getattr(part, "close", None)
                if close is not None:
                    close()

    async def close_async(self) -> None:
        """As `close`, for a task."""
        for part in self._parts():
            with contextlib.suppress(Exception):
                close = getattr(part, "aclose", None) or getattr(part, "close", None)
                closed = close() if close is not None else None
                if inspect.isawaitable(closed):
                    await closed

    def _parts(self) -> tuple[Any, ...]:
        """The iterator first: a generator that isn't closed would be closed by the event loop, some time later."""
        iterator, source = self._iterator, self._source
        self._iterator = iter(())
        return (source,) if iterator is source else (iterator, source)
