"""Clients of Mistral's own SDK. ``from_provider("mistral/model")`` asks the same API without that SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from instructor.exceptions import ClientError
from instructor.messages import Request
from instructor.providers.adapter import Adapter
from instructor.providers.completions import Codec
from instructor.providers.identity import describe_endpoint
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import SdkAdapter, hold_client
from instructor.providers.table import Vendor
from instructor.wires.members import write_members
from instructor.wires.mistral_chat import MISTRAL_CHAT

_MILLISECONDS = 1000


def _validate(model: Any, body: Any) -> Any:
    return model.model_validate(body)


CODEC = Codec({"ChatCompletionResponse": "mistralai.client.models"}, _validate)


def register() -> None:
    """Register Mistral's clients."""
    register_provider(
        "mistral",
        wires=dict.fromkeys(MISTRAL_CHAT.modes, MISTRAL_CHAT),
        wrap_client=wrap_client,
        packages=("mistralai",),
    )


def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
    """Make the adapter over a client, which has plain and asynchronous methods."""
    if not callable(getattr(getattr(client, "chat", None), "complete_async", None)):
        name = f"{type(client).__module__}.{type(client).__qualname__}"
        raise ClientError(f"The client is {name}. from_mistral() takes a mistralai.client.Mistral.")
    return MistralAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
    )


def describe_client(client: Any) -> dict[str, Any]:
    """Read the endpoint off a client."""
    settings = client.sdk_configuration
    return describe_endpoint(settings.get_server_details()[0])


class MistralAdapter(SdkAdapter):
    """An adapter over one client that has two methods for each operation, and limits a request by arguments of it."""

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        method = super()._find_method(client, f"{operation}_async" if self.asynchronous else operation)
        if not operation.endswith("stream"):
            return method
        return partial(_open_async if self.asynchronous else _open, method)

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        limited = {**request, "retries": None}
        if seconds is not None:
            own = request.get("timeout_ms") or client.sdk_configuration.timeout_ms or seconds * _MILLISECONDS
            limited["timeout_ms"] = max(1, int(min(own, seconds * _MILLISECONDS)))
        return client, limited


def _open(method: Callable[..., Any], **request: Any) -> Any:
    return _Chunks(method(**request))


async def _open_async(method: Callable[..., Any], **request: Any) -> Any:
    return _AsyncChunks(await method(**request))


class _Stream:
    """A stream of Mistral's events, whose chunks are plain data: in its objects what wasn't sent is a value too."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.close = events.close


class _Chunks(_Stream):
    def __iter__(self) -> Iterator[Any]:
        return (write_members(event.data) for event in self._events)


class _AsyncChunks(_Stream):
    def __aiter__(self) -> AsyncIterator[Any]:
        return (write_members(event.data) async for event in self._events)
