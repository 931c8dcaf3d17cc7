"""Which headers belong in a cache key, and which in a stored completion."""

from __future__ import annotations

import pytest

from instructor.cache.key import keyed_arguments
from instructor.headers import describe_header, keyed_headers, storable_headers


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
        "X-PAT",
        "x-pass",
        "X-Db-Pwd",
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


@pytest.mark.parametrize("name", ["x-pat", "x-pass", "x-tenant", "anything"])
def test_no_header_but_a_harmless_one_is_in_a_key_in_clear(name):
    described = describe_header(name, "s3cret")
    assert "s3cret" not in described
    assert described == describe_header(name, b"s3cret") != describe_header(name, "other")
    assert "s3cret" not in str(keyed_arguments({"extra_headers": {name: "s3cret"}}))
    assert keyed_arguments({"extra_headers": {name: "1"}}) != keyed_arguments({"extra_headers": {name: "2"}})


def test_harmless_headers_stay_readable():
    assert describe_header("anthropic-beta", "context-1m") == "context-1m"
