"""SDKs whose method takes and returns what OpenAI's chat API does: a row each, all made by one generator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.clients import LoopClients, SharedClient
from instructor.providers.completions import Codec, construct_members
from instructor.providers.handover import WrapClient
from instructor.providers.identity import describe_endpoint
from instructor.providers.openai import describe_client
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import (
    SdkAdapter,
    check_client,
    close_client,
    construct,
    find_key,
    hold_client,
    hold_clients,
    import_sdk,
    import_wrapped,
    require_key,
    settle_platform,
)
from instructor.providers.sdks import MakeAdapter
from instructor.providers.table import VENDORS, Vendor
from instructor.wires.arguments import read_mapping
from instructor.wires.capabilities import Capabilities
from instructor.wires.openai_chat import OPENAI_CHAT


class ChatSdk(NamedTuple):
    """One SDK.

    Attributes:
        module: The module that has its clients.
        client: The name of its client; the asynchronous one has ``Async`` before it.
        completion: The class of its completions, and the module of that.
        method: The path of the method that sends a conversation.
        once: What its client's ``with_options`` takes besides. Cerebras's would open a connection for each copy.
    """

    module: str
    client: str
    completion: tuple[str, str]
    method: str = "chat.completions.create"
    once: Mapping[str, Any] = MappingProxyType({})

    @property
    def package(self) -> str:
        """By which its clients are known."""
        return self.module.partition(".")[0]

    @property
    def codec(self) -> Codec:
        """How its completions are kept."""
        name, module = self.completion
        return Codec({name: module}, construct_members)


CHAT_SDKS: Mapping[str, ChatSdk] = {
    "cerebras": ChatSdk(
        "cerebras.cloud.sdk",
        "Cerebras",
        ("ChatCompletionResponse", "cerebras.cloud.sdk.types.chat.chat_completion"),
        once={"warm_tcp_connection": False},
    ),
    "fireworks": ChatSdk(
        "fireworks", "Fireworks", ("CompletionCreateResponse", "fireworks.types.chat.completion_create_response")
    ),
    "groq": ChatSdk("groq", "Groq", ("ChatCompletion", "groq.types.chat")),
    "together": ChatSdk("together", "Together", ("ChatCompletion", "together.types.chat")),
    "writer": ChatSdk("writerai", "Writer", ("ChatCompletion", "writerai.types"), "chat.chat"),
}
"""By the vendor's name."""

_NEWER = ("stream_options", "parallel_tool_calls")
"""Arguments that wires write, and that some of these SDKs don't name although their APIs take them."""
_OPTIONS = ("default_headers", "default_query", "http_client", "max_retries", "timeout")
_WRITER = Capabilities((Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), tool_choice="auto", developer=False)
"""https://dev.writer.com/home/tool-calling (2026-11): each example lets the model choose, and JSON without a schema isn't
offered."""


def register() -> None:
    """Register the clients of vendors that the table has, and Writer, which it lacks."""
    for vendor in VENDORS:
        if vendor.name in CHAT_SDKS:
            modes = [mode for mode in vendor.modes if mode in OPENAI_CHAT.modes]
            sdk = CHAT_SDKS[vendor.name]
            wires = dict.fromkeys(modes, OPENAI_CHAT)
            register_provider(vendor.name, wires=wires, wrap_client=_wrapper(sdk), packages=(sdk.package,))
    sdk = CHAT_SDKS["writer"]
    register_provider(
        "writer",
        wires=dict.fromkeys(_WRITER.modes, OPENAI_CHAT),
        make_adapter=_maker(sdk),
        wrap_client=_wrapper(sdk),
        packages=(sdk.package,),
        options=_OPTIONS,
        key_variables=("WRITER_API_KEY",),
        base_url="https://api.writer.com",
        base_url_variables=("WRITER_BASE_URL",),
        docs="https://dev.writer.com",
        capabilities=_WRITER,
        replace=True,
    )


def _maker(sdk: ChatSdk) -> MakeAdapter:
    """Make the function that makes the adapter over a client of ours, whose key is looked for at the first request."""

    def make_adapter(
        vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
    ) -> Adapter:
        known = {name: value for name, value in options.items() if value is not None}
        is_ours = asynchronous and "http_client" not in known
        return ChatClientAdapter(
            sdk,
            vendor,
            hold_clients(
                partial(_make_client, sdk, vendor, asynchronous, api_key, {"base_url": base_url, **known}),
                close_client if is_ours else None,
            ),
            describe_endpoint(
                base_url,
                headers=read_mapping(known.get("default_headers"), "default_headers"),
                query=read_mapping(known.get("default_query"), "default_query"),
                http_client=known.get("http_client"),
            ),
            asynchronous=asynchronous,
        )

    return make_adapter


def _make_client(sdk: ChatSdk, vendor: Vendor, asynchronous: bool, api_key: Any, arguments: Mapping[str, Any]) -> Any:
    key = find_key(vendor, api_key)
    require_key(vendor, key)
    name = f"Async{sdk.client}" if asynchronous else sdk.client
    client = construct(vendor, getattr(import_sdk(sdk.module, vendor), name), {"api_key": key, **arguments})
    return settle_platform(client, sdk.module) if asynchronous else client


def _wrapper(sdk: ChatSdk) -> WrapClient:
    def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
        del asynchronous  # the client is one or the other
        module = import_wrapped(sdk.module, vendor)
        later = f"Async{sdk.client}"
        advice = f"from_{vendor.name}() takes a {sdk.module}.{sdk.client} or {later}."
        kinds = {getattr(module, sdk.client): False, getattr(module, later): True}
        is_later = check_client(client, kinds, advice)
        return ChatClientAdapter(sdk, vendor, hold_client(client), describe_client(client), asynchronous=is_later)

    return wrap_client


class ChatClientAdapter(SdkAdapter):
    """An adapter over the clients of one of these SDKs."""

    def __init__(
        self,
        sdk: ChatSdk,
        vendor: Vendor,
        clients: SharedClient | LoopClients,
        endpoint: Mapping[str, Any],
        *,
        asynchronous: bool,
    ) -> None:
        super().__init__(
            vendor=vendor,
            asynchronous=asynchronous,
            clients=clients,
            describe=describe_client,
            codec=sdk.codec,
            endpoint=endpoint,
        )
        self.once = {**self.once, **sdk.once}
        self._method = sdk.method

    def _place(self, operation: str) -> str:
        del operation  # its own is at another place
        return self._method

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        return partial(_send, super()._find_method(client, operation))


def _send(method: Callable[..., Any], **request: Any) -> Any:
    known = inspect.signature(method).parameters
    newer = {name: request.pop(name) for name in _NEWER if name in request and name not in known}
    if newer:
        request["extra_body"] = {**newer, **(request.get("extra_body") or {})}
    return method(**request)
