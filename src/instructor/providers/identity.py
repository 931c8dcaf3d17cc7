"""What an endpoint is called in a cache key: the same however its client was made, and free of credentials."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from instructor.exceptions import ConfigurationError
from instructor.headers import keyed_headers

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

_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_variable(names: Iterable[str]) -> str | None:
    """Read the first of some environment variables that is set and not blank."""
    values = (os.environ.get(name, "").strip() for name in names)
    return next((value for value in values if value), None)


def normalise_url(url: Any) -> str:
    """Write a URL in the one form that stands for it in a key, without anything secret.

    Scheme and host are in lower case; user, password, fragment, default port, trailing slash and credentials in the
    query are left out (RFC 3986, section 6.2, as far as it holds for every server).

    Args:
        url: Text, or an SDK's own URL object.

    Raises:
        ConfigurationError: It is not an ``http`` or ``https`` URL.

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
        raise ConfigurationError("base_url is no URL. Give it in full, such as 'https://example.com/v1'.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{port}"
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), _public_query(parts.query), ""))


def _public_query(query: str) -> str:
    members = parse_qsl(query, keep_blank_values=True)
    return urlencode(sorted((name, value) for name, value in members if name.lower() not in _SECRET_QUERY))


def keyed_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the members of a client's default query that belong in a cache key."""
    return {name: value for name, value in query.items() if name.lower() not in _SECRET_QUERY}


def describe_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Keep the default headers that belong in a cache key.

    An SDK's marker for "leave this header out" is told apart from every text by its class's name.
    """
    return {
        name: value if isinstance(value, str) else f"{type(value).__name__}"
        for name, value in keyed_headers(headers).items()
    }


def describe_endpoint(**members: Any) -> dict[str, Any]:
    """Make an endpoint of its members; those that are None or empty are left out."""
    return {name: value for name, value in members.items() if value not in (None, "", {})}


def parse_header_lines(text: str | None) -> dict[str, str]:
    """Read headers as the SDKs' ``*_CUSTOM_HEADERS`` variables hold them: ``Name: value`` on a line each."""
    lines = (line.partition(":") for line in (text or "").split("\n"))
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def complete_url(url: str, path: str, pattern: str) -> str:
    """Make a base URL of what an environment variable holds.

    Args:
        url: Its value; a scheme may be missing, as in ``OLLAMA_HOST=127.0.0.1:11434``.
        path: The path to add where the URL has none.
        pattern: A URL whose scheme is taken where there is none; ``https`` if empty.

    Example:
        >>> complete_url("adb-1.azuredatabricks.net", "/serving-endpoints", "")
        'https://adb-1.azuredatabricks.net/serving-endpoints'
    """
    if "://" not in url:
        url = f"{urlsplit(pattern).scheme or 'https'}://{url}"
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path
