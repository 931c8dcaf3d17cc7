"""What an endpoint is called in a cache key: the same however its client was made, and free of credentials."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from instructor.exceptions import ConfigurationError
from instructor.headers import describe_header, keyed_headers

_SECRET_QUERY = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth",
        "authorization",
        "code",
        "key",
        "password",
        "secret",
        "sig",
        "signature",
        "subscription-key",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-api-key",
        "x-goog-signature",
    }
)
"""Members of a URL's query, in lower case, that are credentials."""

_READABLE_QUERY = frozenset({"api-version"})

_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_variable(names: Iterable[str]) -> str | None:
    """Read the first of some environment variables that is set and not blank."""
    values = (os.environ.get(name, "").strip() for name in names)
    return next((value for value in values if value), None)


def read_url(names: Iterable[str], path: str = "", pattern: str = "") -> str | None:
    """Read a base URL from the first of some environment variables that is set; see `complete_url`."""
    for name in names:
        value = read_variable([name])
        if value is None:
            continue
        url = complete_url(value, path, pattern)
        try:
            normalise_url(url)
        except ConfigurationError:
            raise ConfigurationError(
                f"The environment variable {name} doesn't hold a URL. Give it in full, such as 'https://example.com/v1'."
            ) from None
        return url
    return None


def normalise_url(url: Any, name: str = "base_url") -> str:
    """Write a URL in the one form that stands for it in a key, without anything secret.

    Scheme and host are in lower case; user, password, fragment, default port and trailing slash are left out (RFC 3986,
    section 6.2, as far as it holds for every server). The query is that of `keyed_query`.

    Example:
        >>> normalise_url("HTTPS://me:secret@API.Example.com:443/v1/?key=secret")
        'https://api.example.com/v1'
    """
    try:
        parts = urlsplit(str(url).strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigurationError(f"{name} isn't a URL. Give it in full, such as 'https://example.com/v1'.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{port}"
    query = urlencode(sorted(keyed_query(parse_qs(parts.query, keep_blank_values=True)).items()), doseq=True)
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), query, ""))


def keyed_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the members of a query that belong in a cache key: all but known credentials.

    Any other may be a credential too, under a gateway's own name, so that only the hash of its value is written.

    Example:
        >>> keyed_query({"key": "secret", "api-version": "v1", "pat": "secret"})
        {'api-version': 'v1', 'pat': 'sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b'}
    """
    return {name: _describe_value(name, value) for name, value in query.items() if name.lower() not in _SECRET_QUERY}


def _describe_value(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_describe_value(name, member) for member in cast("list[Any]", value)]
    is_plain = isinstance(value, str | int | float) and name.lower() not in _READABLE_QUERY
    return describe_header(name, str(value)) if is_plain else value


def describe_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Describe the default headers that belong in a cache key.

    An SDK's marker for "leave this header out" differs from every text, because its class's name stands for it.
    """
    return {name: describe_header(name, value) for name, value in keyed_headers(headers).items()}


def describe_transport(http_client: Any) -> dict[str, Any]:
    """Say what an HTTP client adds to each request, as members of an endpoint.

    They stand beside the SDK's own default headers and query, because the SDK decides which of the two wins. What an
    HTTP client has by default (``accept``, ``user-agent``, ...) doesn't count.

    What isn't a client of ``httpx2`` or ``httpx`` has no such members, and adds nothing.
    """
    headers = getattr(http_client, "headers", None)
    params = getattr(http_client, "params", None)
    return {
        "http_headers": describe_headers(cast("Mapping[str, Any]", headers)) if isinstance(headers, Mapping) else None,
        "http_query": keyed_query(_collect(params)) if isinstance(params, Mapping) else None,
    }


def _collect(params: Any) -> dict[str, list[Any]]:
    """All values of each parameter: a name may stand in a query more than once."""
    collected: dict[str, list[Any]] = {}
    pairs = params.multi_items() if hasattr(params, "multi_items") else params.items()
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected


def read_client(client: Any, name: str) -> str | None:
    """Read an attribute of an SDK's client that is text; None if it is missing or anything else.

    Tests hand over mocks of a client, whose attributes are missing or are mocks themselves.
    """
    value = getattr(client, name, None)
    return value if isinstance(value, str) else None


def read_client_url(client: Any) -> str | None:
    """Read the base URL of an SDK's client; None if it has none."""
    try:
        return normalise_url(getattr(client, "base_url", None))
    except ConfigurationError:
        return None


def describe_endpoint(
    base_url: Any = None,
    *,
    headers: Mapping[str, Any] = MappingProxyType({}),
    query: Mapping[str, Any] = MappingProxyType({}),
    http_client: Any = None,
    **members: Any,
) -> dict[str, Any]:
    """Make an endpoint of what is known about it; members that are None or empty are left out.

    Example:
        >>> describe_endpoint("https://API.example.com/v1/", headers={"Authorization": "Bearer x"}, project="p")
        {'base_url': 'https://api.example.com/v1', 'project': 'p'}
    """
    endpoint = {
        "base_url": None if base_url is None else normalise_url(base_url),
        "default_headers": describe_headers(headers),
        "default_query": keyed_query(query),
        **members,
        **describe_transport(http_client),
    }
    return {name: value for name, value in endpoint.items() if value not in (None, "", {})}


def read_settings(client: Any) -> dict[str, Any]:
    """Read off a client of openai or anthropic what `describe_endpoint` takes.

    What the caller set is private in these SDKs; the public attributes, which also hold what the SDK adds, come second.
    """
    return {
        "base_url": read_client_url(client),
        "headers": _read_members(client, "_custom_headers", "default_headers"),
        "query": _read_members(client, "_custom_query", "default_query"),
        "http_client": getattr(client, "_client", None),
    }


def _read_members(client: Any, *names: str) -> Mapping[str, Any]:
    values = (getattr(client, name, None) for name in names)
    return next((cast("Mapping[str, Any]", value) for value in values if isinstance(value, Mapping)), dict[str, Any]())


def parse_header_lines(text: str | None) -> dict[str, str]:
    """Read headers as the SDKs' ``*_CUSTOM_HEADERS`` variables hold them: ``Name: value`` on a line each."""
    lines = (line.partition(":") for line in (text or "").split("\n"))
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def complete_url(url: str, path: str, pattern: str) -> str:
    """Make a base URL of what an environment variable holds.

    A scheme may be missing, as in ``OLLAMA_HOST=127.0.0.1:11434``; it is that of `pattern`, or ``https``. `path` is
    added where the URL has none.

    Example:
        >>> complete_url("adb-1.azuredatabricks.net", "/serving-endpoints", "")
        'https://adb-1.azuredatabricks.net/serving-endpoints'
    """
    if "://" not in url:
        url = f"{urlsplit(pattern).scheme or 'https'}://{url}"
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path
