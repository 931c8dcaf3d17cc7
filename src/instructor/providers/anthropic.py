"""The official ``anthropic`` SDK: Anthropic's own API, and its models on other clouds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from instructor.messages import Request
from instructor.providers.clients import Close
from instructor.providers.completions import Codec, construct_members
from instructor.providers.http_clients import make_http_client
from instructor.providers.identity import (
    describe_endpoint,
    parse_header_lines,
    read_client,
    read_settings,
    read_url,
    read_variable,
)
from instructor.providers.sdk_adapter import (
    SdkAdapter,
    check_client,
    close_client,
    construct,
    forbid_both,
    hold_client,
    hold_clients,
    import_sdk,
    import_wrapped,
    require_key,
    settle_platform,
)
from instructor.providers.table import Vendor, find_vendor

CLIENTS = (
    "Anthropic",
    "AnthropicBedrock",
    "AnthropicBedrockMantle",
    "AnthropicVertex",
    "AnthropicFoundry",
    "AnthropicAWS",
    "AnthropicGoogleCloud",
)
"""The SDK's synchronous clients; each has a twin with ``Async`` before its name. Older SDKs lack some."""

_CREDENTIALS = ("auth_token", "credentials", "config", "profile")
_MOVES = ("config", "profile")
_PLACES = {
    "project_id": "project",
    "project": "project",
    "region": "region",
    "aws_region": "region",
    "location": "location",
    "workspace_id": "workspace",
}
"""Attributes of the clients for other clouds that say where a model runs, and their names in an endpoint."""


_SECONDS_PER_TOKEN = 3600 / 128_000
"""What the SDK estimates that a token takes at most."""
_ALWAYS_SHORT = 8192
"""Up to this many tokens the SDK takes a request to any model without asking for a timeout."""

CODEC = Codec(
    kinds={"Message": "anthropic.types", "BetaMessage": "anthropic.types.beta"},
    read=construct_members,
    private=("_request_id", "_workspace_id"),
    takes_data=True,
)


_VERSION_HEADER = "anthropic-version"
_SAMPLING_VERSION = "2023-06-01"
"""The only version of the API that takes sampling arguments."""
_VERSION_MEMBER = "anthropic_version"
_BODY_VERSIONS = {"AnthropicBedrock": "bedrock-2023-05-31", "AnthropicVertex": "vertex-2023-10-16"}
"""Clients for other clouds that name the version in the body, and how the first one is called there."""


class AnthropicAdapter(SdkAdapter):
    """An adapter that asks the right version of the API, and gives a long answer the time it may take.

    A request with sampling arguments goes to the first version of the API, because newer ones refuse them, unless the
    caller names a version, for this call or for the client.

    The SDK refuses to send a request without a stream whose answer may take longer than ten minutes by its own
    estimate, unless a timeout is set on the client or the request. A caller who asks for a long answer wants it.
    """

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        method = super()._find_method(client, operation)

        def send(**request: Any) -> Any:
            return method(**_choose_version(client, _allow_time(client, request)))

        return send

    def assemble(self, kind: str, body: dict[str, Any]) -> Any:
        """Make a message of a stream; of the class that the client's methods for betas return, if it uses those."""
        return super().assemble(_BETA_KIND if self._root else kind, body)


_BETA_KIND = "BetaMessage"


def _choose_version(client: Any, request: Request) -> Request:
    from instructor.wires.anthropic import BODY_ONLY  # here, so that clients of other vendors don't load this wire

    body: Mapping[str, Any] = request.get("extra_body") or {}
    if BODY_ONLY.isdisjoint(body):
        return request
    kinds = [kind.__name__.removeprefix("Async") for kind in type(client).__mro__]
    named = next((_BODY_VERSIONS[name] for name in kinds if name in _BODY_VERSIONS), None)
    if named is not None:
        return {**request, "extra_body": {_VERSION_MEMBER: named, **body}}
    # In lower case, because older SDKs send a header in two spellings twice.
    extra: Mapping[str, Any] = request.get("extra_headers") or {}
    headers = {_VERSION_HEADER if name.lower() == _VERSION_HEADER else name: value for name, value in extra.items()}
    if not any(name.lower() == _VERSION_HEADER for name in read_settings(client)["headers"]):
        headers.setdefault(_VERSION_HEADER, _SAMPLING_VERSION)
    return {**request, "extra_headers": headers}


def _allow_time(client: Any, request: Request) -> Request:
    """Set the timeout of a long answer to the SDK's estimate; a timeout that the caller set stays.

    A stream needs none: its timeout is that of each chunk.
    """
    tokens = request.get("max_tokens")
    if request.get("stream") or "timeout" in request or not isinstance(tokens, int) or tokens <= _ALWAYS_SHORT:
        return request
    default = import_module("anthropic").DEFAULT_TIMEOUT
    if client.timeout != default:
        return request
    seconds = max(default.read, tokens * _SECONDS_PER_TOKEN)
    return {**request, "timeout": type(default)(seconds, connect=default.connect)}


def make_adapter(
    vendor: Vendor, *, asynchronous: bool, base_url: Any, api_key: Any, options: Mapping[str, Any]
) -> SdkAdapter:
    """Make the adapter to Anthropic's API.

    Base URL and default headers are settled now, as the SDK would settle them; credentials are looked for when a
    request is sent, also in the places that only the SDK knows: profiles and workload identity.
    """
    credentials = {name: options.get(name) for name in _CREDENTIALS}
    forbid_both(vendor, api_key=api_key, **credentials)
    url = base_url
    if url is None:
        url = read_url(vendor.base_url_variables, "", vendor.base_url)
    # A profile may bring a base URL of its own, which only the SDK can read.
    moved = url is None and (any(options.get(name) is not None for name in _MOVES) or _profile_rules(vendor, api_key))
    url = url if url is not None or moved else vendor.base_url
    arguments = {name: value for name, value in options.items() if value is not None}
    return AnthropicAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_clients(
            lambda: _make_client(vendor, asynchronous, url, api_key, arguments),
            _choose_close(asynchronous, options),
        ),
        describe=describe_client,
        codec=CODEC,
        endpoint=None if moved else _describe_arguments(url, arguments),
        leaves_queue=options.get("http_client") is None and not asynchronous,
    )


def wrap_client(client: Any, *, beta: bool) -> tuple[Vendor, SdkAdapter]:
    """Make the adapter over a client of the anthropic SDK that the caller made."""
    vendor = find_vendor("anthropic")
    sdk = import_wrapped("anthropic", vendor)
    asynchronous = check_client(
        client,
        {
            kind: name.startswith("Async")
            for name in (*CLIENTS, *(f"Async{name}" for name in CLIENTS))
            if (kind := getattr(sdk, name, None)) is not None
        },
        "from_anthropic() takes an anthropic.Anthropic, AnthropicBedrock, AnthropicVertex or an Async twin of them.",
    )
    return vendor, AnthropicAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
        root="beta" if beta else "",
    )


def describe_client(client: Any) -> dict[str, Any]:
    """Read the endpoint off a client; equal to what `make_adapter` knows without one."""
    places: dict[str, Any] = {
        member: value for name, member in _PLACES.items() if (value := read_client(client, name)) is not None
    }
    return describe_endpoint(**read_settings(client), **places)


def _choose_close(asynchronous: bool, options: Mapping[str, Any]) -> Close | None:
    """How to close a client of ours, and nothing of the caller's: an HTTP client, or credentials."""
    if not asynchronous or options.get("http_client") is not None:
        return None
    return close_client if options.get("credentials") is None else _close_connections


async def _close_connections(client: Any) -> None:
    connections = getattr(client, "_client")  # noqa: B009 - private; close() would close the credentials too
    await connections.aclose()


def _profile_rules(vendor: Vendor, api_key: Any) -> bool:
    return api_key is None and not read_variable(vendor.key_variables) and bool(read_variable(["ANTHROPIC_PROFILE"]))


def _describe_arguments(url: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    lines = parse_header_lines(os.environ.get("ANTHROPIC_CUSTOM_HEADERS"))
    return describe_endpoint(
        url,
        headers=lines | dict(arguments.get("default_headers") or {}),
        query=arguments.get("default_query") or {},
        http_client=arguments.get("http_client"),
    )


def _make_client(vendor: Vendor, asynchronous: bool, base_url: Any, api_key: Any, arguments: Mapping[str, Any]) -> Any:
    sdk = import_sdk("anthropic", vendor)
    settings = {**arguments, "base_url": base_url, "api_key": api_key}
    if arguments.get("http_client") is None:
        settings["http_client"] = make_http_client(sdk, asynchronous=asynchronous)
    client_class = sdk.AsyncAnthropic if asynchronous else sdk.Anthropic
    client = construct(vendor, client_class, {name: value for name, value in settings.items() if value is not None})
    # The SDK reports a missing key only when it sends, and does not say what to set.
    found = (client.api_key, client.auth_token, getattr(client, "credentials", None))
    names = {name.lower() for name in client.default_headers}
    if not any(found) and not names & {"x-api-key", "authorization"}:
        require_key(vendor, None)
    return settle_platform(client, "anthropic") if asynchronous else client
