"""Which headers belong in a cache key, and which in a stored completion."""

from __future__ import annotations

import pytest

from instructor.headers import keyed_headers, storable_headers


@pytest.mark.parametrize("name", ["authorization", "X-API-Key", "traceparent", "x-stainless-lang", "X-B3-TraceId"])
def test_credentials_tracing_and_the_sdks_own_headers_are_not_keyed(name):
    assert keyed_headers({name: "v", "OpenAI-Beta": "b"}) == {"openai-beta": "b"}


@pytest.mark.parametrize(
    "name", ["x-proxy-auth", "Set-Cookie", "X-Session", "authorization", "x-goog-api-key", "x-new"]
)
def test_only_response_headers_known_to_be_harmless_are_stored(name):
    kept = {"Content-Type": "application/json", "x-ratelimit-remaining-tokens": "9", "Server-Timing": "t"}
    assert storable_headers({name: "TOKEN", **kept}) == kept
