"""Which HTTP headers belong in a cache key, and which in a stored completion."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

V = TypeVar("V")

_EXCLUDED_FROM_KEY = frozenset(
    {
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "b3",
        "baggage",
        "cf-aig-authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "helicone-auth",
        "http-referer",
        "idempotency-key",
        "newrelic",
        "ocp-apim-subscription-key",
        "openai-api-key",
        "proxy-authorization",
        "referer",
        "request-id",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "user-agent",
        "x-access-token",
        "x-amz-security-token",
        "x-amzn-trace-id",
        "x-api-key",
        "x-auth-token",
        "x-client-request-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-goog-api-client",
        "x-goog-api-key",
        "x-goog-user-project",
        "x-litellm-api-key",
        "x-portkey-api-key",
        "x-request-id",
        "x-title",
        "x-trace-id",
    }
)
_EXCLUDED_PREFIXES = ("x-b3-", "x-datadog-", "x-ot-", "x-stainless-", "ot-tracer-", "x-amz-date")


def keyed_headers(headers: Mapping[str, V]) -> dict[str, V]:
    """Keep the headers that belong in a cache key, under lower-case names.

    A header counts unless it is known to be a credential, for tracing, or the SDK's own. A beta switch counts, and so
    does ``Host``, by which a gateway may choose the tenant.

    Example:
        >>> keyed_headers({"Authorization": "Bearer x", "anthropic-beta": "context-1m"})
        {'anthropic-beta': 'context-1m'}
    """
    lowered = ((str(name).lower(), value) for name, value in headers.items())
    return {
        name: value
        for name, value in lowered
        if name not in _EXCLUDED_FROM_KEY and not name.startswith(_EXCLUDED_PREFIXES)
    }


_HARMLESS = frozenset(
    {
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "host",
        "openai-beta",
        "openai-organization",
        "openai-project",
    }
)


def describe_header(name: str, value: object) -> str:
    """Write a header's value for a cache key: as it is where the header is known to be harmless, else its hash.

    A gateway's header may be a credential under any name, and what a key is made of may be printed. `name` is in lower
    case. An SDK's marker stands for itself by its class's name.

    Example:
        >>> describe_header("openai-beta", "assistants=v2"), describe_header("x-pat", b"s3cret")
        ('assistants=v2', 'sha256:1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0')
    """
    if not isinstance(value, (str, bytes)):
        return type(value).__name__
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text if name in _HARMLESS else f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


_CREDENTIAL_NAME = re.compile(
    r"auth|token|key|secret|cookie|session|credential|signature|passw|jwt|jws|bearer|csrf|xsrf|assertion|cert|nonce"
    r"|saml|pwd|\b(?:sid|sig|otp|pat|pass|pin)\b"
)
_CREDENTIAL_VALUE = re.compile(
    r"\b(?:bearer|basic) |\beyJ|(?:auth|token|key|signature|secret|session|sig)=", re.IGNORECASE
)
_COUNTS = ("ratelimit", "rate-limit")
"""Headers that count tokens: ``x-ratelimit-remaining-tokens``."""


def storable_headers(headers: Mapping[str, V]) -> dict[str, V]:
    """Keep the headers of a response that may be stored, under the names that they have.

    A header is left out if its name or its value looks like a credential. All others are kept, so that a cache hit has
    the headers of the live response. A gateway may add a header under any name, which is why a pattern decides.

    Example:
        >>> storable_headers({"Content-Type": "application/json", "X-Proxy-Auth": "token"})
        {'Content-Type': 'application/json'}
    """
    return {name: value for name, value in headers.items() if not _holds_credential(name.lower(), value)}


def _holds_credential(name: str, value: object) -> bool:
    is_count = any(word in name for word in _COUNTS)
    return (not is_count and bool(_CREDENTIAL_NAME.search(name))) or bool(_CREDENTIAL_VALUE.search(str(value)))
