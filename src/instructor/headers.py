"""Which HTTP headers belong in a cache key, and which in a stored completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def keyed_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the headers that belong in a cache key, under lower-case names.

    A header counts unless it is known to be a credential, for tracing, or the SDK's own. A beta switch counts, and so
    does ``Host``, by which a gateway may choose the tenant.

    Args:
        headers: Names and values as the caller passed them.

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


_STORED = frozenset(
    {
        "age",
        "alt-svc",
        "cache-control",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expires",
        "keep-alive",
        "last-modified",
        "request-id",
        "retry-after",
        "server",
        "server-timing",
        "strict-transport-security",
        "transfer-encoding",
        "vary",
        "x-content-type-options",
        "x-frame-options",
        "x-gemini-service-tier",
        "x-request-id",
        "x-vertex-ai-llm-request-type",
        "x-xss-protection",
    }
)
_STORED_PREFIXES = ("access-control-", "x-ratelimit-")


def storable_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the headers of a response that may be stored, under the names that they have.

    These are the few that are known to hold no credential. A gateway may add any other, with a token in it.

    Args:
        headers: Names and values as the server sent them.

    Example:
        >>> storable_headers({"Content-Type": "application/json", "X-Proxy-Auth": "token"})
        {'Content-Type': 'application/json'}
    """
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in _STORED or name.lower().startswith(_STORED_PREFIXES)
    }
