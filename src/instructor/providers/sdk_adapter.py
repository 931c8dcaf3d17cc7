"""What the adapters over the official SDKs have in common."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial, reduce
from importlib import import_module
from operator import methodcaller
from types import MappingProxyType, ModuleType
from typing import Any, cast

from instructor.exceptions import ClientError, ConfigurationError
from instructor.messages import Request
from instructor.providers.capabilities import capabilities_of
from instructor.providers.clients import Close, Copies, LoopClients, Make, SharedClient
from instructor.providers.completions import Codec, DataCodec
from instructor.providers.corrections import CapabilityMemory
from instructor.providers.data_answers import RAW, is_own, receive, shorten
from instructor.providers.identity import read_variable
from instructor.providers.table import Vendor

Note = Callable[[Mapping[str, str]], None]
"""Takes the headers of a response."""


class SdkAdapter(CapabilityMemory):
    """An `Adapter` that sends through one SDK's clients, which are made at the first request.

    `describe` reads the endpoint off a client, where it isn't known without one. `root` names the attributes between
    the client and an operation's path, such as ``"beta"``.

    Attributes:
        once: What ``with_options`` takes to make a client that sends a request once.
        leaves_queue: Whether its HTTP client leaves the queue for the interpreter by itself, while it waits for the server.
    """

    once: Mapping[str, Any] = MappingProxyType({"max_retries": 0})

    def __init__(
        self,
        *,
        vendor: Vendor,
        asynchronous: bool,
        clients: SharedClient | LoopClients,
        describe: Callable[[Any], Mapping[str, Any]],
        codec: Codec | DataCodec,
        endpoint: Mapping[str, Any] | None = None,
        root: str = "",
        leaves_queue: bool = False,
    ) -> None:
        super().__init__(partial(capabilities_of, vendor))
        self.provider = vendor.name
        self.key_variables = vendor.key_variables
        self.asynchronous = asynchronous
        self._clients = clients
        self._copies = Copies()
        self.close, self.aclose = clients.close, clients.aclose
        self._describe = describe
        self._codec = codec if isinstance(codec, Codec) and codec.takes_data else None
        self.dump, self.load, self._make = codec.dump, codec.load, codec.make
        self._endpoint = endpoint
        self._root = tuple(filter(None, root.split(".")))
        self.leaves_queue = leaves_queue

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.provider}>"

    @property
    def endpoint(self) -> Mapping[str, Any]:
        """Where answers come from, without credentials."""
        if self._endpoint is None:
            self._endpoint = self._describe(self.client)
        return self._endpoint

    @property
    def client(self) -> Any:
        """The SDK's client; where there is one for each event loop, that of the running loop."""
        return self._clients.get()

    @property
    def credentials(self) -> list[str]:
        """The keys that the client sends, which no error must show."""
        holders = (self._client, getattr(self._client, "_api_client", None))  # the second is google-genai's
        found = [getattr(holder, name, None) for holder in holders for name in ("api_key", "auth_token")]
        return [value for value in found if isinstance(value, str)]

    @property
    def ready(self) -> bool:
        """Whether the client is made."""
        return self._client is not None

    def prepare(self) -> Any:
        """Make the client; an awaitable of it if `asynchronous`."""
        return self._clients.prepare() if self.asynchronous else self._clients.get()

    def send(self, operation: str, request: Request) -> Any:
        """Call the SDK method at the path `operation` with `request` as keywords."""
        return self._with_client(lambda client: self._exchange(operation, client, request))

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Any:
        """Send without the SDK's own retries, and with no timeout above `seconds`."""
        return self._with_client(lambda client: self._exchange(operation, *self._limit(client, request, seconds)))

    def send_noting(self, operation: str, request: Request, seconds: float | None, note: Note) -> Any:
        """As `send_once`, and call `note` with the headers of the response, where the SDK hands them out."""
        return self._with_client(lambda client: self._exchange(operation, *self._limit(client, request, seconds), note))

    def send_for_data(self, operation: str, request: Request, limit: tuple[float | None, Note | None] | None) -> Any:
        """As `send`, for a caller to whom data will do: a `Received`, or the SDK's object.

        With a `limit` it is sent as by `send_once` or `send_noting`, whose other arguments are in it.
        """
        seconds, note = limit or (None, None)

        def send(client: Any) -> Any:
            sender, bounded = (client, request) if limit is None else self._limit(client, request, seconds)
            return self._exchange(operation, sender, bounded, note, for_data=self._codec is not None)

        return self._with_client(send)

    def _exchange(
        self, operation: str, client: Any, request: Request, note: Note | None = None, *, for_data: bool = False
    ) -> Any:
        """Send by the SDK's method; where somebody wants more or less than its object, by that for the whole response."""
        operation = self._place(operation)
        *path, method = operation.split(".")
        raw = ".".join((*path, RAW, method))
        resource: object = reduce(getattr, (*self._root, *path), client) if note is not None or for_data else None
        short = shorten(request) if for_data and is_own(client, resource, method) else None
        if (short is None and note is None) or not hasattr(type(resource), RAW):
            return self._find_method(client, operation)(**request)
        response = self._find_method(client, raw)(**(short or request))
        unpack = partial(_unpack, note=note, codec=None if short is None else self._codec)
        return _later(response, unpack) if inspect.isawaitable(response) else unpack(response)

    def _place(self, operation: str) -> str:
        """Where the SDK has an operation of a wire."""
        return operation

    def check_arguments(self, operation: str, request: Request) -> None:
        """Raise the TypeError of an SDK's method that doesn't take a request, without sending it. `prepare` comes first."""
        method = SdkAdapter._find_method(
            self, self.client, self._place(operation)
        )  # and not what an adapter wraps it in
        inspect.signature(method).bind(**request)

    def _with_client(self, send: Callable[[Any], Any]) -> Any:
        if isinstance(self._clients, SharedClient) and not self.asynchronous:
            return send(self._clients.use())
        client = self._client
        return self._prepare_and_send(send) if client is None else send(client)

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        """Find a client that doesn't retry, and bound the timeouts of the client and of the request."""
        if not hasattr(client, "with_options"):
            return client, _bound_request(request, seconds)
        if seconds is None:
            return self._copies.find(client, self.once), request
        settings = {**self.once, "timeout": bound_timeout(getattr(client, "timeout", None), seconds)}
        return client.with_options(**settings), _bound_request(request, seconds)

    def read_stream(self, stream: Any) -> Any:
        """Read a stream of chunks as data, where its SDK can, and otherwise as the SDK's objects."""
        return as_data(stream, self._client)

    def assemble(self, kind: str, body: dict[str, Any]) -> Any:
        """Make a completion of the data of a streamed answer."""
        return self._make(kind, body)

    def is_unreadable(self, error: Exception) -> bool:  # noqa: ARG002 - an SDK with errors of its own needs no look
        """Never: most SDKs have an error of their own for an answer that they can't read."""
        return False

    @property
    def _client(self) -> Any:
        """The client, if it has been made."""
        return self._clients.find()

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        method: Callable[..., Any] = reduce(getattr, (*self._root, *operation.split(".")), client)
        return method

    async def _prepare_and_send(self, send: Callable[[Any], Any]) -> Any:
        client = await self._clients.prepare()
        return await send(client)


def _unpack(response: Any, note: Note | None, codec: Codec | None) -> Any:
    if not hasattr(response, "headers"):
        return response  # the SDK's object: somebody answered in place of its HTTP client, and not as it was asked to
    if note is not None:
        note({name.lower(): value for name, value in response.headers.items()})
    if codec is not None:
        return receive(response, codec)
    return response.parse() if hasattr(response, "parse") else response.data  # cohere's has `data`


async def _later(response: Any, unpack: Callable[[Any], Any]) -> Any:
    unpacked = unpack(await response)
    return await unpacked if inspect.isawaitable(unpacked) else unpacked


def _bound_request(request: Request, seconds: float | None) -> Request:
    if seconds is None or "timeout" not in request:
        return request
    return {**request, "timeout": bound_timeout(request["timeout"], seconds)}


def bound_timeout(timeout: Any, seconds: float) -> Any:
    """A timeout that is at most `seconds`: a number, or an object of an HTTP library that is shorter already."""
    if isinstance(timeout, (int, float)):
        return min(timeout, seconds)
    read = getattr(timeout, "read", None)
    return timeout if isinstance(read, (int, float)) and read <= seconds else seconds


def as_data(stream: Any, client: Any) -> Any:
    """Let a stream of openai's or anthropic's SDK, or of one that is generated like them, hand out data.

    To make objects of a chunk takes openai's SDK ten times as long as to read it, and nobody sees those objects. They
    are made where somebody does: a client that validates what it receives, and a tool that watches the stream.
    """
    if getattr(client, "_strict_response_validation", True) or _is_watched(stream):
        return stream
    kind = cast("Any", type(stream))
    return kind(cast_to=object, response=stream.response, client=client)


def _is_watched(stream: Any) -> bool:
    """Whether a stream isn't the SDK's own any more.

    A tool may put another object in its place or, as Sentry does, another iterator into it; anthropic's own tracing
    looks at the chunks from the body of the response.
    """
    kind = cast("Any", type(stream))
    sdk = sys.modules.get(kind.__module__)  # these SDKs say of what they export that it is defined there
    if not any(kind is getattr(sdk, name, None) for name in ("Stream", "AsyncStream")):
        return True
    iterator = stream.__dict__.get("_iterator")  # anthropic's SDK makes it at the first chunk
    code = getattr(iterator, "gi_code", getattr(iterator, "ag_code", None))
    body = getattr(stream.response, "stream", None)
    return (iterator is not None and code is not kind.__stream__.__code__) or hasattr(body, "stream_observer")


def hold_clients(
    make: Make, close: Close | None, end: Callable[[Any], None] = methodcaller("close")
) -> SharedClient | LoopClients:
    """Hold what `make` makes: a client for each event loop if there is a way to `close` them, else one client."""
    return SharedClient(make, end=end) if close is None else LoopClients(make, close)


def hold_client(client: Any) -> SharedClient:
    """Hold a client that the caller made. It stays the only one, and the caller closes it."""
    return SharedClient(lambda: client, client)


async def close_client(client: Any) -> None:
    """Close an asynchronous client of openai or anthropic."""
    await client.close()


def import_sdk(name: str, vendor: Vendor) -> ModuleType:
    """Import an SDK."""
    try:
        return import_module(name)
    except ImportError as error:
        package = f"instructor[{vendor.extra}]" if vendor.extra else name
        raise ConfigurationError(
            f"{vendor.name} needs the package {name.replace('.', '-')}, which cannot be imported ({error}). "
            f"Install it: pip install '{package}'"
        ) from error


def import_wrapped(name: str, vendor: Vendor) -> ModuleType:
    """Import the SDK of a client that the caller handed over."""
    try:
        return import_sdk(name, vendor)
    except ConfigurationError as error:
        raise ClientError(str(error)) from error


def find_key(vendor: Vendor, api_key: Any) -> Any:
    """Find the key to send: the caller's, or that of the vendor's environment variables; None if there is none."""
    return api_key if api_key is not None else read_variable(vendor.key_variables)


def require_key(vendor: Vendor, key: Any) -> None:
    """Raise `ConfigurationError` if a vendor needs a key and there is none."""
    if key or not vendor.needs_key:
        return
    raise ConfigurationError(
        f"{vendor.name} needs a key to send a request. Set {' or '.join(vendor.key_variables)}, or pass api_key=. "
        f"Keys and models are explained at {vendor.docs}"
    )


def construct(vendor: Vendor, client_class: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Make an SDK's client."""
    try:
        return client_class(**arguments)
    except Exception as error:
        raise ConfigurationError(f"The client for {vendor.name} cannot be made: {error}") from error


def settle_platform(client: Any, sdk: str) -> Any:
    """Let a new asynchronous client know the platform that it names in a header.

    The SDK would find out at its first request, in the event loop's default executor, and wait for ever if all threads
    of that executor are waiting for this very request.
    """
    find = getattr(import_module(f"{sdk}._base_client"), "get_platform", None)
    if find is not None:
        client._platform = find()  # noqa: SLF001 - the SDK has no public way
    return client


def check_client(client: Any, kinds: Mapping[type, bool], advice: str) -> bool:
    """Say whether a client that the caller made is asynchronous.

    `kinds` are the classes that fit, and whether each is asynchronous; `advice` says what to hand over instead.
    """
    for kind, asynchronous in kinds.items():
        if isinstance(client, kind):
            return asynchronous
    name = f"{type(client).__module__}.{type(client).__qualname__}"
    if isinstance(client, type):
        name = f"the class {client.__qualname__} itself, not an instance of it"
    raise ClientError(f"The client is {name}. {advice}")


def forbid_both(vendor: Vendor, **values: Any) -> None:
    """Raise `ConfigurationError` if the caller passed more than one of several arguments that mean the same."""
    passed = [name for name, value in values.items() if value is not None]
    if len(passed) > 1:
        raise ConfigurationError(f"{vendor.name}: {' and '.join(passed)} say the same thing. Pass one of them.")
