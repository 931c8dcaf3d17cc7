"""Clients of Cohere's own SDK. ``from_provider("cohere/model")`` asks the compatible API, which needs no other SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from instructor.messages import Request
from instructor.providers.adapter import Adapter
from instructor.providers.completions import Codec, construct_members
from instructor.providers.handover import WrapClient
from instructor.providers.identity import describe_endpoint
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import SdkAdapter, bound_timeout, check_client, hold_client, import_wrapped
from instructor.providers.table import Vendor
from instructor.wires.cohere_chat import COHERE_CHAT

CODEC = Codec({"V2ChatResponse": "cohere.v2.types"}, construct_members)


def register() -> None:
    """Register Cohere's clients."""
    wrap: WrapClient = wrap_client
    register_provider(
        "cohere",
        wires=dict.fromkeys(COHERE_CHAT.modes, COHERE_CHAT),
        wrap_client=wrap,
        packages=("cohere",),
    )


def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
    """Make the adapter over a client of either version of the API, which is asked in version 2."""
    del asynchronous  # the client is one or the other
    sdk = import_wrapped("cohere", vendor)
    kinds = {sdk.ClientV2: False, sdk.Client: False, sdk.AsyncClientV2: True, sdk.AsyncClient: True}
    is_second = isinstance(client, (sdk.ClientV2, sdk.AsyncClientV2))
    return CohereAdapter(
        vendor=vendor,
        asynchronous=check_client(client, kinds, "from_cohere() takes a cohere.ClientV2 or AsyncClientV2."),
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
        root="" if is_second else "v2",
    )


def describe_client(client: Any) -> dict[str, Any]:
    """Read the endpoint off a client, which keeps it in a private part."""
    wrapper: Any = getattr(client, "_client_wrapper", None)
    base_url: Callable[[], str] | None = getattr(wrapper, "get_base_url", None)
    headers: Mapping[str, Any] = getattr(wrapper, "_headers", None) or {}
    return describe_endpoint(
        None if base_url is None else base_url(),
        headers=headers,
        http_client=getattr(getattr(wrapper, "httpx_client", None), "httpx_client", None),
    )


class CohereAdapter(SdkAdapter):
    """An adapter over a client that takes what limits a request as an argument of it."""

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        method = super()._find_method(client, operation)
        # The asynchronous stream is a generator already, and not something to await.
        return partial(_open_stream, method) if self.asynchronous and operation == "chat_stream" else method

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        options: dict[str, Any] = {**(request.get("request_options") or {}), "max_retries": 0}
        if seconds is not None:
            options["timeout"] = bound_timeout(options.get("timeout"), seconds)
        return client, {**request, "request_options": options}


async def _open_stream(method: Callable[..., Any], **request: Any) -> Any:
    return method(**request)
