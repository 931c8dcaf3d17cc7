"""The port over an official SDK: everything that the SDKs have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any

from instructor.call import Request
from instructor.exceptions import ClientError, ConfigurationError
from instructor.locks import make_lock
from instructor.providers.completions import Codec
from instructor.providers.identity import read_variable
from instructor.providers.table import Vendor


class SdkPort:
    """The way to one endpoint through one SDK's client, which is made at the first request.

    Args:
        provider: The vendor's name.
        asynchronous: Whether the client's methods return awaitables.
        make: Makes the client, or raises `ConfigurationError`.
        describe: Reads the endpoint off a client.
        codec: Writes and reads completions.
        endpoint: The endpoint, where it is known without a client; None to ask `describe`.
        root: Attributes between the client and an operation's path, such as ``"beta"``.
    """

    def __init__(
        self,
        *,
        provider: str,
        asynchronous: bool,
        make: Callable[[], Any],
        describe: Callable[[Any], Mapping[str, Any]],
        codec: Codec,
        endpoint: Mapping[str, Any] | None = None,
        root: str = "",
    ) -> None:
        self._provider = provider
        self._asynchronous = asynchronous
        self._make = make
        self._describe = describe
        self._codec = codec
        self._endpoint = endpoint
        self._root = tuple(filter(None, root.split(".")))
        self._client: Any = None
        self._lock = make_lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._provider}>"

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._provider

    @property
    def asynchronous(self) -> bool:
        """Whether `send` returns an awaitable."""
        return self._asynchronous

    @property
    def endpoint(self) -> Mapping[str, Any]:
        """Where answers come from, without credentials."""
        if self._endpoint is None:
            self._endpoint = self._describe(self.client)
        return self._endpoint

    @property
    def client(self) -> Any:
        """The SDK's client, made once, whatever the number of threads that ask for it.

        Raises:
            ConfigurationError: The SDK or the key is missing, or a setting is wrong.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make()
        return self._client

    def send(self, operation: str, request: Request) -> Any:
        """Call the SDK method at the path `operation` with `request` as keywords.

        Raises:
            ConfigurationError: As `client`.
        """
        if self._asynchronous and self._client is None:
            return self._prepare_and_send(operation, request)
        return self._method(operation)(**request)

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON; `CacheEntryError` if it cannot be written."""
        return self._codec.dump(completion)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote; `CacheEntryError` if it cannot be made."""
        return self._codec.load(text)

    def _method(self, operation: str) -> Callable[..., Any]:
        method: Callable[..., Any] = reduce(getattr, (*self._root, *operation.split(".")), self.client)
        return method

    async def _prepare_and_send(self, operation: str, request: Request) -> Any:
        import asyncio

        # Importing an SDK takes half a second, in which the event loop would stand still.
        method = await asyncio.to_thread(self._method, operation)
        answer: Awaitable[Any] = method(**request)
        return await answer


def import_sdk(name: str, vendor: Vendor) -> ModuleType:
    """Import an SDK.

    Raises:
        ConfigurationError: It is not installed; the message says what to install.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = f"instructor[{vendor.extra}]" if vendor.extra else name
        raise ConfigurationError(
            f"{vendor.name} needs the package {name.replace('.', '-')}, which cannot be imported ({error}). "
            f"Install it: pip install '{package}'"
        ) from error


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
    """Make an SDK's client.

    Raises:
        ConfigurationError: The SDK refused an argument, or found a setting missing; its own error is the cause.
    """
    try:
        return client_class(**arguments)
    except Exception as error:
        raise ConfigurationError(f"The client for {vendor.name} cannot be made: {error}") from error


def check_client(client: Any, kinds: Mapping[type, bool], advice: str) -> bool:
    """Say whether a client that the caller made is asynchronous.

    Args:
        client: What was handed over.
        kinds: The classes that fit, and whether each is asynchronous.
        advice: What to hand over instead.

    Raises:
        ClientError: It is of no class that fits.
    """
    for kind, asynchronous in kinds.items():
        if isinstance(client, kind):
            return asynchronous
    name = f"{type(client).__module__}.{type(client).__qualname__}"
    if isinstance(client, type):
        name = f"the class {client.__qualname__} itself, not an instance of it"
    raise ClientError(f"The client is {name}. {advice}")


def forbid_both(vendor: Vendor, **values: Any) -> None:
    """Raise `ConfigurationError` if more than one of several arguments that mean the same was given."""
    given = [name for name, value in values.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{vendor.name}: {' and '.join(given)} say the same thing. Pass one of them.")
