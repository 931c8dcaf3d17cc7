"""Which headers belong in a cache key, and which in a stored completion."""

from __future__ import annotations

import pytest

from instructor.headers import keyed_headers, storable_headers


@pytest.mark.parametrize("name", ["authorization", "X-API-Key", "traceparent", "x-stainless-lang", "X-B3-TraceId"])
def test_credentials_tracing_and_the_sdks_own_headers_are_not_keyed(name):
    assert keyed_headers({name: "v", "OpenAI-Beta": "b"}) == {"openai-beta": "b"}


@pytest.mark.parametrize(
    "name",
    [
        "x-proxy-auth",
        "Set-Cookie",
        "X-Session",
        "authorization",
        "x-goog-api-key",
        "Id-Token",
        "X-CSRF",
        "x-amz-signature",
    ],
)
def test_a_response_header_that_is_named_like_a_credential_is_not_stored(name):
    assert storable_headers({name: "s3cret", "Content-Type": "text"}) == {"Content-Type": "text"}


@pytest.mark.parametrize("value", ["Bearer s3cret", "basic s3cret", "eyJhbGciOi.s3cret", "https://a/b?X-Sig=s3cret"])
def test_a_response_header_that_holds_a_credential_under_a_new_name_is_not_stored(value):
    assert storable_headers({"x-new": value, "Content-Type": "text"}) == {"Content-Type": "text"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-tokens": "9", "anthropic-ratelimit-tokens-limit": "9"},
        {"Server-Timing": "gfet4t7; dur=300", "Keep-Alive": "timeout=5", "cf-ray": "8f1", "x-new": "anything"},
        {"Strict-Transport-Security": "max-age=1", "Vary": "Authorization", "x-content-type-options": "nosniff"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_all_other_response_headers_are_stored_so_that_a_hit_equals_the_live_call(headers):
    assert storable_headers(headers) == headers
