"""The official ``openai`` SDK: OpenAI, Azure, and every vendor and server that speaks OpenAI's chat API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from instructor.exceptions import ConfigurationError
from instructor.providers.azure import AzureAdapter, is_azure_v1
from instructor.providers.completions import Codec, construct_members
from instructor.providers.http_clients import make_http_client
from instructor.providers.identity import (
    complete_url,
    describe_endpoint,
    normalise_url,
    parse_header_lines,
    read_client,
    read_client_url,
    read_settings,
    read_url,
    read_variable,
)
from instructor.providers.sdk_adapter import (
    SdkAdapter,
    check_client,
    close_client,
    construct,
    find_key,
    forbid_both,
    hold_client,
    hold_clients,
    import_sdk,
    import_wrapped,
    require_key,
    settle_platform,
)
from instructor.providers.table import Vendor, find_vendor, recognise_vendor

AZURE_API_VERSION = "2024-10-21"
"""The version of Azure's dated API without ``api_version=`` and ``OPENAI_API_VERSION``: the newest one that is
generally available. It has tools and schemas; `AzureAdapter` reaches the Responses API, which it lacks, through v1."""

RESIDENCIES: Mapping[str, str] = {"global": "https://api.openai.com/v1"} | {
    region: f"https://{region}.api.openai.com/v1" for region in ("us", "eu", "ae", "au", "in", "jp")
}
"""Where the SDK's ``data_residency=`` sends requests."""

_CREDENTIALS = ("admin_api_key", "workload_identity", "provider")
_AZURE_CREDENTIALS = ("azure_ad_token", "azure_ad_token_provider")
_MOVES = ("provider", "workload_identity")
"""Options that may move the base URL in ways only the SDK knows."""


CODEC = Codec(
    kinds={"ChatCompletion": "openai.types.chat", "Response": "openai.types.responses"},
    read=construct_members,
    private=("_request_id",),
    takes_data=True,
)


def make_adapter(
    vendor: Vendor, *, asynchronous: bool, base_url: Any, api_key: Any, options: Mapping[str, Any]
) -> SdkAdapter:
    """Make the adapter of a vendor that the openai SDK reaches.

    Base URL, organisation, project and default headers are settled now, as the SDK would settle them; the key is
    looked for when a request is sent.
    """
    arguments = _settle_account(vendor, options)
    settle = _settle_azure if vendor.sdk == "azure" else _settle_url
    arguments |= settle(vendor, base_url, options)
    moved = any(options.get(name) is not None for name in _MOVES)
    # The caller closes an HTTP client of its own, and uses it on the event loop that it belongs to.
    is_ours = options.get("http_client") is None
    return _adapter_class(vendor)(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_clients(
            lambda: _make_client(vendor, asynchronous, api_key, arguments),
            close_client if asynchronous and is_ours else None,
        ),
        describe=describe_client,
        codec=CODEC,
        endpoint=None if moved else _describe_arguments(vendor, arguments),
        leaves_queue=is_ours and not asynchronous,
    )


def wrap_client(client: Any) -> tuple[Vendor, SdkAdapter]:
    """Make the adapter over a client of the openai SDK that the caller made, and find the vendor behind it."""
    sdk = import_wrapped("openai", find_vendor("openai"))
    asynchronous = check_client(
        client,
        {sdk.OpenAI: False, sdk.AsyncOpenAI: True},
        "from_openai() takes an openai.OpenAI, AsyncOpenAI, AzureOpenAI or AsyncAzureOpenAI. "
        'For another vendor use from_provider("vendor/model").',
    )
    azure = isinstance(client, (sdk.AzureOpenAI, sdk.AsyncAzureOpenAI))
    vendor = find_vendor("azure_openai") if azure else recognise_vendor(read_client_url(client) or "")
    return vendor, _adapter_class(vendor)(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
    )


def _adapter_class(vendor: Vendor) -> type[SdkAdapter]:
    return AzureAdapter if vendor.sdk == "azure" else SdkAdapter


def describe_client(client: Any) -> dict[str, Any]:
    """Read the endpoint off a client; equal to what `make_adapter` knows without one."""
    return _describe(
        **read_settings(client),
        organization=read_client(client, "organization"),
        project=read_client(client, "project"),
    )


def _settle_account(vendor: Vendor, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settle what names OpenAI's account.

    Its environment variables are for OpenAI only, although the SDK reads them for every base URL. `_forget_account`
    takes them away again from other vendors' clients.
    """
    arguments = {name: value for name, value in options.items() if value is not None}
    if vendor.name != "openai":
        return arguments
    arguments.setdefault("organization", os.environ.get("OPENAI_ORG_ID"))
    arguments.setdefault("project", os.environ.get("OPENAI_PROJECT_ID"))
    # Older versions of the SDK don't read this variable. A credential in it is left to those that do.
    lines = parse_header_lines(os.environ.get("OPENAI_CUSTOM_HEADERS"))
    lines = {name: value for name, value in lines.items() if name.lower() != "authorization"}
    if lines:
        arguments["default_headers"] = lines | dict(arguments.get("default_headers") or {})
    return arguments


def _settle_url(vendor: Vendor, base_url: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    forbid_both(vendor, base_url=base_url, data_residency=options.get("data_residency"))
    forbid_both(vendor, base_url=base_url, provider=options.get("provider"))
    if options.get("data_residency") is not None or any(options.get(name) is not None for name in _MOVES):
        return {} if base_url is None else {"base_url": base_url}
    if base_url is None:
        base_url = read_url(vendor.base_url_variables, vendor.base_path, vendor.base_url) or vendor.base_url or None
    return {"base_url": base_url}


def _settle_azure(vendor: Vendor, base_url: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    forbid_both(vendor, base_url=base_url, azure_endpoint=options.get("azure_endpoint"))
    version = options.get("api_version") or read_variable(["OPENAI_API_VERSION"]) or AZURE_API_VERSION
    if base_url is not None:
        normalise_url(base_url)
        return {"api_version": version, "base_url": base_url}
    named = options.get("azure_endpoint")
    endpoint = complete_url(named, "", "") if named else read_url(vendor.base_url_variables)
    if endpoint is None:
        return {"api_version": version}
    if named:
        normalise_url(endpoint, "azure_endpoint")
    return {"api_version": version, **_place_azure(endpoint.rstrip("/"))}


def _place_azure(endpoint: str) -> dict[str, Any]:
    """Place an endpoint as the SDK takes it, which itself adds ``/openai``; Azure's portal shows it with the path."""
    if is_azure_v1(endpoint):
        return {"base_url": endpoint, "azure_endpoint": None}
    return {"azure_endpoint": endpoint.removesuffix("/openai")}


def _describe_arguments(vendor: Vendor, arguments: Mapping[str, Any]) -> dict[str, Any]:
    url = arguments.get("base_url")
    if url is None and arguments.get("azure_endpoint") is not None:
        deployment = arguments.get("azure_deployment")
        url = f"{arguments['azure_endpoint']}/openai" + (f"/deployments/{deployment}" if deployment else "")
    if url is None and "data_residency" in arguments:
        url = RESIDENCIES.get(arguments["data_residency"])
    query = dict(arguments.get("default_query") or {})
    if vendor.sdk == "azure":
        query["api-version"] = arguments["api_version"]
    return _describe(
        url,
        organization=arguments.get("organization"),
        project=arguments.get("project"),
        headers=arguments.get("default_headers") or {},
        query=query,
        http_client=arguments.get("http_client"),
    )


def _describe(base_url: Any, *, query: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    others = dict(query)
    version = others.pop("api-version", None)
    is_v1 = base_url is not None and is_azure_v1(normalise_url(base_url))
    return describe_endpoint(base_url, query=others, api_version=None if is_v1 else version, **members)


def _make_client(vendor: Vendor, asynchronous: bool, api_key: Any, arguments: Mapping[str, Any]) -> Any:
    """Make the client at the first request, when a key and a base URL must be known."""
    azure = vendor.sdk == "azure"
    elsewhere = _AZURE_CREDENTIALS if azure else _CREDENTIALS
    key = api_key
    if all(arguments.get(name) is None for name in elsewhere):
        key = find_key(vendor, api_key)
        require_key(vendor, key)
        # The SDK requires a key even for servers that ignore it, and would take OpenAI's own from the environment.
        key = key or vendor.name
    if azure and api_key is None:
        key = None  # the SDK itself distinguishes a key from a token in the environment
    _require_url(vendor, arguments)
    sdk = import_sdk("openai", vendor)
    client_class = getattr(sdk, ("Async" if asynchronous else "") + ("AzureOpenAI" if azure else "OpenAI"))
    settings = arguments if key is None else {**arguments, "api_key": key}
    if arguments.get("http_client") is None:
        settings = {**settings, "http_client": make_http_client(sdk, asynchronous=asynchronous)}
    client = construct(vendor, client_class, {name: value for name, value in settings.items() if value is not None})
    if vendor.name != "openai":
        _forget_account(client, arguments)
    # The SDK imports what hangs on a client when it is first reached: here it costs no request time, and blocks no loop.
    client.chat.completions  # noqa: B018 - the access imports it
    return settle_platform(client, "openai") if asynchronous else client


def _forget_account(client: Any, arguments: Mapping[str, Any]) -> None:
    """Take from a client what the SDK read from variables that name OpenAI's account and its gateway."""
    for name in ("organization", "project", "admin_api_key", "webhook_secret"):
        if hasattr(client, name):
            setattr(client, name, arguments.get(name))
    client._custom_headers = dict(arguments.get("default_headers") or {})  # noqa: SLF001 - the SDK has no other way


def _require_url(vendor: Vendor, arguments: Mapping[str, Any]) -> None:
    named = ("base_url", "azure_endpoint", "data_residency", *_MOVES)
    if any(arguments.get(name) is not None for name in named):
        return
    argument = "azure_endpoint=" if vendor.sdk == "azure" else "base_url="
    raise ConfigurationError(
        f"No default base URL for {vendor.name}. Set {' or '.join(vendor.base_url_variables)}, or pass {argument}."
    )
