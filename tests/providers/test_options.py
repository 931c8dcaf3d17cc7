"""Keywords of the SDKs' clients: what cannot be right is refused at once, by name and with what to pass."""

from __future__ import annotations

import math

import anthropic
import httpx2
import openai
import pytest
from google import genai

from instructor.exceptions import ConfigurationError
from instructor.factory import from_anthropic, from_genai, from_provider

KEY = "sk-secret-0001"
REMOTE = ["openai/m", "groq/m", "azure_openai/m", "anthropic/m", "google/m", "vertexai/m"]
QUERIED = ["openai/m", "azure_openai/m", "anthropic/m"]
GOOGLE = ["google/m", "vertexai/m"]
OPENAI = ["openai/m", "azure_openai/m"]
NO_MAPPINGS = [0, 5, "", "xxx", b"x", [], [("a", "b")], object(), {5: "a"}]
WRONG = [
    (REMOTE, "default_headers", [*NO_MAPPINGS, {"a": 5}, {"a": ["b"]}]),
    (QUERIED, "default_query", NO_MAPPINGS),
    (REMOTE, "max_retries", ["", "x", -1, 1.5, True, math.nan, math.inf, [], object()]),
    (REMOTE, "timeout", ["", "3", 0, -1, True, math.nan, math.inf, [], {}, object(), 1e300, 10**20]),
    (REMOTE, "base_url", [0, 5, [], {}, object(), b"https://x.example", "x"]),
    (GOOGLE, "http_options", [0, 5, "", "xxx", [], object(), {5: 1}, genai.types.HttpOptions]),
    (GOOGLE, "timeout", [(1, 2), httpx2.Timeout(3)]),
    (GOOGLE, "vertexai", ["false", 0, 1, []]),
    (GOOGLE, "enterprise", ["false", 0, 1, []]),
    (GOOGLE, "project", [5, True, []]),
    (GOOGLE, "location", [5, True, []]),
    (OPENAI, "organization", [5, True, []]),
    (OPENAI, "project", [5, True, []]),
    (["openai/m"], "data_residency", [5, []]),
    (["azure_openai/m"], "azure_endpoint", [5, []]),
    (["azure_openai/m"], "api_version", [5, []]),
    (["azure_openai/m"], "azure_deployment", [5, []]),
]


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [(model, name, value) for models, name, values in WRONG for model in models for value in values],
)
def test_a_value_of_a_wrong_kind_is_refused_at_once_by_name(model, name, value):
    with pytest.raises(ConfigurationError, match=name):
        from_provider(model, **{name: value})


@pytest.mark.parametrize("member", ["headers", "base_url", "client_args", "async_client_args", "extra_body"])
@pytest.mark.parametrize("value", [0, 5, "x"])
def test_members_of_http_options_are_checked_too(member, value):
    with pytest.raises(ConfigurationError, match=member):
        from_provider("google/m", http_options={member: value})


@pytest.mark.parametrize("value", ["false", "xxx", "", 0, 1, None, [], object()])
def test_async_client_takes_true_or_false_only(value):
    with pytest.raises(ConfigurationError, match=r"async_client= is .*Pass True or False"):
        from_provider("openai/m", async_client=value)
    with pytest.raises(ConfigurationError, match=r"use_async= is .*Pass True or False"):
        from_genai(genai.Client(api_key=KEY), use_async=value)
    with pytest.raises(ConfigurationError, match=r"beta= is .*Pass True or False"):
        from_anthropic(anthropic.Anthropic(api_key=KEY), beta=value)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("openai/m", {"default_headers": {"x-a": "1", "x-b": openai.Omit(), "x-c": b"2"}}),
        ("openai/m", {"default_headers": httpx2.Headers({"x-a": "1"}), "default_query": {"n": 1}}),
        ("openai/m", {"timeout": httpx2.Timeout(3, read=9), "max_retries": 5}),
        ("openai/m", {"timeout": openai.NOT_GIVEN, "max_retries": 0, "default_headers": None}),
        ("anthropic/m", {"timeout": 0.5, "default_headers": {"x-b": anthropic.Omit()}}),
        ("google/m", {"http_options": genai.types.HttpOptions(api_version="v1"), "timeout": 1, "max_retries": 0}),
        ("google/m", {"http_options": {}, "vertexai": None, "default_headers": {}}),
    ],
)
def test_what_the_sdk_takes_is_taken(model, options):
    client = from_provider(model, api_key=KEY, **options)
    assert client.client
    assert client._adapter.endpoint


def test_a_timeout_below_a_millisecond_does_not_become_none():
    assert from_provider("google/m", api_key=KEY, timeout=0.0001).client._api_client._http_options.timeout == 1


def test_no_message_shows_a_text_that_stands_in_the_wrong_place():
    with pytest.raises(ConfigurationError) as caught:
        from_provider("openai/m", default_headers=KEY)
    assert KEY not in str(caught.value)
