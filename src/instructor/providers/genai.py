"""The official ``google-genai`` SDK: the Gemini API and Vertex AI."""

from __future__ import annotations

import gc
import inspect
import math
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from instructor.exceptions import ConfigurationError
from instructor.headers import storable_headers
from instructor.messages import Request
from instructor.providers.completions import Codec, is_plain
from instructor.providers.identity import (
    describe_endpoint,
    normalise_url,
    read_variable,
)
from instructor.providers.options import check_headers, check_members
from instructor.providers.sdk_adapter import (
    SdkAdapter,
    bound_timeout,
    check_client,
    construct,
    find_key,
    forbid_both,
    hold_client,
    hold_clients,
    import_sdk,
    import_wrapped,
    require_key,
)
from instructor.providers.table import Vendor, find_vendor

_YES = frozenset({"1", "true"})


def _write(completion: Any) -> Any:
    body: dict[str, Any] = completion.model_dump(mode="json", exclude_unset=True, exclude={"parsed"}, warnings=False)
    response: dict[str, Any] = body.get("sdk_http_response") or {}
    headers: Mapping[str, str] | None = response.get("headers")
    if headers:
        response["headers"] = storable_headers(headers)
    if "parsed" in completion.model_fields_set:
        if not is_plain(completion.parsed):
            raise TypeError("its parsed value is an object of a class of yours")
        body["parsed"] = completion.parsed
    return body


def _read(model: Any, body: Any) -> Any:
    data = dict(body)
    parsed = data.pop("parsed", None)
    completion = model.model_validate(data)
    if "parsed" in body:
        completion.parsed = parsed  # as the SDK does, after the response is made: it may be of any type
    return completion


CODEC = Codec(kinds={"GenerateContentResponse": "google.genai.types"}, write=_write, read=_read)


class GenaiAdapter(SdkAdapter):
    """The adapter to google-genai.

    The SDK reports an answer that it can't read by Python's and pydantic's own errors, and closes an asynchronous stream
    without its connection.
    """

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        """Write the limits into the request, where this SDK takes them."""
        config: Mapping[str, Any] = request.get("config") or {}
        own: Any = config.get("http_options") or {}
        options: dict[str, Any] = {**(own if isinstance(own, Mapping) else own.model_dump(exclude_none=True))}
        options["retry_options"] = {"attempts": 1}
        if seconds is not None:
            inner = getattr(getattr(client, "_api_client", None), "_http_options", None)
            timeout: Any = options.get("timeout") or getattr(inner, "timeout", None)
            options["timeout"] = max(1, round(bound_timeout(timeout, seconds * 1000)))
        return client, {**request, "config": {**config, "http_options": options}}

    def is_unreadable(self, outcome: object) -> bool:
        """Whether an error was raised where the SDK decodes an answer, and not where it checks a request."""
        if not isinstance(outcome, Exception) or super().is_unreadable(outcome):
            return super().is_unreadable(outcome)
        frames = traceback.walk_tb(outcome.__traceback__)
        return any(frame.f_code.co_name.endswith(_DECODERS) for frame, _ in frames)

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        method = super()._find_method(client, operation)
        if not (self.asynchronous and operation.endswith("_stream")):
            return method

        async def stream(**request: Any) -> Any:
            return _Chunks(await method(**request))

        return stream


_DECODERS = ("_from_mldev", "_from_vertex", "_from_response")
"""How the names of the SDK's functions end that make its objects of a decoded answer."""


class _Chunks:
    """The SDK's stream: generators in generators, of which closing the first closes no other.

    The last one reads an HTTP response. The two refer to each other, so that the connection would stay open until the
    garbage collector finds them.
    """

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the first generator and the connection."""
        responses = [*_responses_in(self._chunks)]
        await self._chunks.aclose()
        for response in responses:
            closed = (getattr(response, "aclose", None) or response.close)()  # httpx's, or aiohttp's
            if inspect.isawaitable(closed):
                await closed


def _responses_in(generator: Any) -> Iterator[Any]:
    """The HTTP responses that a suspended generator reads, itself or through others."""
    for held in gc.get_referents(generator):
        if inspect.isasyncgen(held):
            yield from _responses_in(held)
        elif (response := getattr(held, "response_stream", None)) is not None:
            yield response


def make_adapter(
    vendor: Vendor, *, asynchronous: bool, base_url: Any, api_key: Any, options: Mapping[str, Any]
) -> GenaiAdapter:
    """Make the adapter to the Gemini API, or to Vertex AI.

    The base URL, and which of the two it is, are settled now, as the SDK would settle them; the key and application
    default credentials are looked for when a request is sent.

    ``vertexai`` asks for Vertex AI; ``google`` does if the options or the environment say so. Options that the SDK
    keeps in ``http_options`` have the names of the other SDKs: ``timeout`` in seconds, ``max_retries``,
    ``default_headers``, ``http_client``.
    """
    forbid_both(vendor, enterprise=options.get("enterprise"), vertexai=options.get("vertexai"))
    vertex = _wants_vertex(vendor, options)
    http = _settle_http(vendor, vertex, asynchronous, base_url, options)
    arguments = {name: options.get(name) for name in ("credentials", "project", "location", "debug_config")}
    owned = asynchronous and not _brings_connections(http)
    settled = not _names_members(http, asynchronous)
    return GenaiAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_clients(
            lambda: _make_client(vendor, vertex, api_key, arguments, http),
            _close_client if owned else None,
            _end_client,
        ),
        describe=lambda client: describe_client(client, asynchronous=asynchronous),
        codec=CODEC,
        endpoint=_describe_arguments(vertex, asynchronous, api_key, arguments, http) if settled else None,
        root="aio" if asynchronous else "",
    )


def wrap_client(client: Any, *, asynchronous: bool) -> tuple[Vendor, GenaiAdapter]:
    """Make the adapter over a ``genai.Client`` that the caller made."""
    sdk = import_wrapped("google.genai", find_vendor("google"))
    check_client(
        client,
        {sdk.Client: False},
        "from_genai() takes a google.genai.Client; pass use_async=True to use its asynchronous half.",
    )
    vendor = find_vendor("vertexai" if client.vertexai is True else "google")
    return vendor, GenaiAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=hold_client(client),
        describe=lambda client: describe_client(client, asynchronous=asynchronous),
        codec=CODEC,
        endpoint=describe_client(client, asynchronous=asynchronous),
        root="aio" if asynchronous else "",
    )


def describe_client(client: Any, *, asynchronous: bool) -> dict[str, Any]:
    """Read the endpoint of one half of a client off it; equal to what `make_adapter` knows without one."""
    inner = getattr(client, "_api_client", None)  # private, and the only place where the SDK keeps it
    if inner is None:
        return {}  # a mock
    options = getattr(inner, "_http_options")  # noqa: B009 - as above
    vertex = bool(inner.vertexai)
    url = (getattr(inner, "custom_base_url", None) if vertex else None) or options.base_url
    return _describe(
        vertex,
        base_url=None if vertex and not getattr(inner, "custom_base_url", None) else url,
        place={"project": inner.project, "location": inner.location},
        http={
            "api_version": None if options.api_version == _default_version(vertex) else options.api_version,
            "headers": options.headers,
            "extra_body": options.extra_body,
            "base_url_resource_scope": getattr(options, "base_url_resource_scope", None),  # newer than 1.32
        },
        http_client=_find_transport(inner, options, asynchronous=asynchronous),
    )


def _find_transport(inner: Any, options: Any, *, asynchronous: bool) -> Any:
    if asynchronous:
        clients = (getattr(options, name, None) for name in ("httpx_async_client", "aiohttp_client"))
        return next(filter(None, clients), None) or getattr(inner, "_async_httpx_client", None)
    return getattr(inner, "_httpx_client", None)


def _end_client(client: Any) -> None:
    if hasattr(client, "close"):
        client.close()
    else:  # the oldest versions have no way to close a client
        getattr(client, "_api_client")._httpx_client.close()  # noqa: B009, SLF001 - private


async def _close_client(client: Any) -> None:
    _end_client(client)
    if hasattr(client.aio, "aclose"):
        await client.aio.aclose()
    else:  # left open, connections fail when they are collected after the end of their event loop
        await getattr(client, "_api_client")._async_httpx_client.aclose()  # noqa: B009, SLF001 - as above


def _names_members(http: Mapping[str, Any], asynchronous: bool) -> bool:
    """Whether keywords of the HTTP client bring headers or a query, which it writes in a form of its own."""
    arguments: Mapping[str, Any] = http.get("async_client_args" if asynchronous else "client_args") or {}
    return not arguments.keys().isdisjoint(("headers", "params"))


def _brings_connections(http: Mapping[str, Any]) -> bool:
    """Whether ``http_options`` bring connections of the caller's to the asynchronous half."""
    arguments: Mapping[str, Any] = http.get("async_client_args") or {}
    clients = (http.get(name) is not None for name in ("httpx_async_client", "aiohttp_client"))
    return any(clients) or not arguments.keys().isdisjoint(("mounts", "transport"))


def _default_version(vertex: bool) -> str:
    if vertex:
        return "v1beta1"
    from google.genai import _api_client

    return str(getattr(_api_client, "GOOGLE_AI_API_DEFAULT_VERSION", "v1beta"))


def _wants_vertex(vendor: Vendor, options: Mapping[str, Any]) -> bool:
    for name in ("enterprise", "vertexai"):
        if options.get(name) is not None:
            return bool(options[name])
    if vendor.name == "vertexai":
        return True
    flag = read_variable(["GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"])
    return (flag or "").lower() in _YES


def _settle_http(
    vendor: Vendor, vertex: bool, asynchronous: bool, base_url: Any, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge everything that the SDK keeps in ``http_options`` into one dict of that form."""
    http = _plain_options(options.get("http_options"))
    client_name = "httpx_async_client" if asynchronous else "httpx_client"
    for name, member, value in (
        ("base_url", "base_url", base_url),
        ("timeout", "timeout", _milliseconds(vendor, options.get("timeout"))),
        ("max_retries", "retry_options", _retry_options(options.get("max_retries"))),
        ("default_headers", "headers", options.get("default_headers")),
        ("http_client", client_name, options.get("http_client")),
    ):
        forbid_both(vendor, **{name: value, f"http_options[{member!r}]": http.get(member)})
        if value is not None:
            http[member] = value
    if http.get("base_url") in (None, ""):
        variable = read_variable(find_vendor("vertexai" if vertex else "google").base_url_variables)
        http |= {"base_url": variable} if variable else {}
    if http.get("base_url") not in (None, ""):
        normalise_url(http["base_url"])
        http["base_url"] = str(http["base_url"])
    check_headers(vendor.name, "http_options['headers']", http.get("headers"))
    for name in ("client_args", "async_client_args", "extra_body"):
        check_members(vendor.name, f"http_options[{name!r}]", http.get(name))
    return http


def _plain_options(options: Any) -> dict[str, Any]:
    """The members that are set of ``http_options``, which is a dict or the SDK's own object."""
    if options is None:
        return {}
    if isinstance(options, dict):
        # The SDK takes its members under the names of the wire too: "baseUrl" for "base_url".
        members = cast("dict[str, Any]", options)
        return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower(): value for name, value in members.items()}
    # Not model_dump(), which would take an HTTP client standing in it apart.
    return {name: getattr(options, name) for name in options.model_fields_set if getattr(options, name) is not None}


def _milliseconds(vendor: Vendor, timeout: Any) -> int | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise ConfigurationError(f"{vendor.name}: timeout= is a number of seconds here, not {timeout!r}.")
    return math.ceil(timeout * 1000)


def _retry_options(max_retries: Any) -> dict[str, int] | None:
    return None if max_retries is None else {"attempts": max_retries + 1}


def _describe_arguments(
    vertex: bool, asynchronous: bool, api_key: Any, arguments: Mapping[str, Any], http: Mapping[str, Any]
) -> dict[str, Any]:
    version = http.get("api_version") or _version_variable(vertex)
    base_url = http.get("base_url") or (None if vertex else find_vendor("google").base_url)
    place = _find_place(api_key, arguments, http.get("base_url")) if vertex else {}
    names = ("httpx_async_client", "aiohttp_client") if asynchronous else ("httpx_client",)
    return _describe(
        vertex,
        base_url=base_url,
        place=place,
        http={**http, "api_version": version},
        http_client=next((http[name] for name in names if http.get(name) is not None), None),
    )


def _version_variable(vertex: bool) -> str | None:
    version = os.environ.get("GOOGLE_GENAI_API_VERSION") or None
    return (None if vertex else "v1beta") if version == "beta" else version


def _find_place(api_key: Any, arguments: Mapping[str, Any], base_url: str | None) -> dict[str, Any]:
    """Settle project and location on Vertex AI by the SDK's own rules of precedence."""
    project, location = arguments.get("project"), arguments.get("location")
    elsewhere = base_url is not None and not base_url.endswith(".googleapis.com")
    if elsewhere and not ((project and location) or api_key):
        return {}  # a gateway knows the place by itself
    if api_key and not project and not location:
        return {}
    project = project or read_variable(["GOOGLE_CLOUD_PROJECT"])
    location = location or read_variable(["GOOGLE_CLOUD_LOCATION"])
    keyed = not project and not location and read_variable(find_vendor("google").key_variables)
    if not location and not keyed and not elsewhere:
        location = "global"
    return {"project": project, "location": location}


def _describe(
    vertex: bool, *, base_url: Any, place: Mapping[str, Any], http: Mapping[str, Any], http_client: Any
) -> dict[str, Any]:
    scope = http.get("base_url_resource_scope")
    return describe_endpoint(
        base_url,
        headers=http.get("headers") or {},
        http_client=http_client,
        api_version=http.get("api_version"),
        vertexai=vertex or None,
        project=place.get("project") if vertex else None,
        location=place.get("location") if vertex else None,
        resource_scope=getattr(scope, "value", scope),
        extra_body=http.get("extra_body"),
    )


def _make_client(
    vendor: Vendor, vertex: bool, api_key: Any, arguments: Mapping[str, Any], http: Mapping[str, Any]
) -> Any:
    key = api_key
    if not vertex:
        key = find_key(vendor, api_key)
        require_key(vendor, key)
    sdk = import_sdk("google.genai", vendor)
    settings = {**arguments, "api_key": key, "vertexai": vertex}
    settings |= {"http_options": dict(http)} if http else {}
    return construct(vendor, sdk.Client, {name: value for name, value in settings.items() if value is not None})
