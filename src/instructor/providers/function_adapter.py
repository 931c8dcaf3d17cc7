"""An adapter over one function, for vendors whose SDK is synchronous only or returns plain dicts."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, Protocol

from instructor.exceptions import ConfigurationError
from instructor.messages import Request
from instructor.providers.adapter import NoClient
from instructor.providers.capabilities import capabilities_of
from instructor.providers.completions import DataCodec
from instructor.providers.corrections import CapabilityMemory
from instructor.providers.table import Vendor

MOST_THREADS = 32


class CompletionCodec(Protocol):
    """Writes completions as text and reads them back, as `Adapter.dump` and `Adapter.load` do."""

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON; `CacheEntryError` if it cannot be written."""
        ...

    def load(self, text: str) -> Any:
        """Make an equal completion; `CacheEntryError` if it cannot be made."""
        ...


class FunctionAdapter(NoClient, CapabilityMemory):
    """An `Adapter` that sends each request by calling one function of yours.

    Use it in `register_provider` when the vendor has no SDK with an asynchronous client, or no SDK at all.

    Args:
        vendor: The vendor's row, as `register_provider` passes it to ``make_adapter``.
        function: Called with the wire's operation and the request; returns the completion. Import and make the
            vendor's client in it, at the first call, so that a program whose answers are all cached needs neither.
        asynchronous: Whether `send` returns an awaitable. A plain function is then run in a thread, 32 at once; an
            ``async`` function is awaited, and needs this.
        endpoint: Where answers come from, for the cache key: base URL, region, API version; no credential.
        codec: Writes and reads completions. Default: `DataCodec`, for completions that are plain JSON data.
        client: What ``client.client`` returns to the user. Default: `function`.

    Raises:
        ConfigurationError: An ``async`` function was passed for a synchronous client.

    Example:
        >>> from instructor.providers.table import Vendor
        >>> adapter = FunctionAdapter(
        ...     Vendor("acme", "acme", ""), lambda operation, request: {"text": request["prompt"]}, asynchronous=False
        ... )
        >>> adapter.send("complete", {"prompt": "hello"})
        {'text': 'hello'}
    """

    def __init__(
        self,
        vendor: Vendor,
        function: Callable[[str, Request], Any],
        *,
        asynchronous: bool,
        endpoint: Mapping[str, Any] | None = None,
        codec: CompletionCodec | None = None,
        client: Any = None,
    ) -> None:
        super().__init__(partial(capabilities_of, vendor))
        self._awaits = inspect.iscoroutinefunction(function)
        if self._awaits and not asynchronous:
            raise ConfigurationError(
                f"{vendor.name} sends by an async function only. Use from_provider(..., async_client=True)."
            )
        self.provider = vendor.name
        self.key_variables = vendor.key_variables
        self.asynchronous = asynchronous
        self.endpoint: Mapping[str, Any] = endpoint or {}
        self.client = function if client is None else client
        self._function = function
        self._codec = codec or DataCodec()

    def send(self, operation: str, request: Request) -> Any:
        """Call the function with `request`, or make an awaitable that does."""
        if self._awaits or not self.asynchronous:
            return self._function(operation, request)
        return self._threads.run(partial(self._function, operation, request))

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        return self._codec.dump(completion)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        return self._codec.load(text)

    def assemble(self, kind: str, body: dict[str, Any]) -> Any:
        """Make a completion of the data of a streamed answer: the data itself, unless the codec has another way."""
        make = getattr(self._codec, "make", None)
        return body if make is None else make(kind, body)

    @cached_property
    def _threads(self) -> Threads:
        return Threads(self.provider)


class Threads:
    """Threads in which requests wait, so that an event loop doesn't. They end with this object.

    All threads of the event loop's own pool may be waiting for the very request that is to be sent.
    """

    def __init__(self, provider: str) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=f"instructor-{provider}")
        weakref.finalize(self, self._pool.shutdown, wait=False)

    def run(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call a function in a thread, in the context of the task that asks for it."""
        context = contextvars.copy_context()
        return asyncio.get_running_loop().run_in_executor(self._pool, context.run, call)


class CompletedAdapter:
    """An adapter of another package, which has `send`, with a `FunctionAdapter`'s ways for all that it lacks.

    If it has `asynchronous`, it knows how `send` is called; otherwise its `send` is called as a function is.
    """

    def __init__(self, adapter: Any, vendor: Vendor, *, asynchronous: bool, endpoint: Mapping[str, Any]) -> None:
        self._own = adapter
        send = adapter.send
        self._others = FunctionAdapter(vendor, send, asynchronous=asynchronous, endpoint=endpoint, client=adapter)
        self.send = send if hasattr(adapter, "asynchronous") else self._others.send

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Any:
        """Send by the adapter's own `send_once`; if it has none, as ever."""
        own = getattr(self._own, "send_once", None)
        return self.send(operation, request) if own is None else own(operation, request, seconds)

    def __getattr__(self, name: str) -> Any:
        """Find a member of the adapter, else of the others."""
        try:
            return getattr(self._own, name)
        except AttributeError:
            return getattr(self._others, name)
