"""The names of endpoints: one form for each, and nothing secret in it."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import ConfigurationError
from instructor.headers import describe_header
from instructor.providers.identity import (
    complete_url,
    describe_endpoint,
    describe_headers,
    describe_transport,
    keyed_query,
    normalise_url,
    parse_header_lines,
    read_variable,
)

HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,4}){1,2}", fullmatch=True)
PATHS = st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True), max_size=3).map("/".join)
HASHED = describe_header("x-tenant", "a")
SECRETS = st.from_regex(r"sk-[A-Za-z0-9]{12,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.COM:443/V1", "https://api.example.com/V1"),
        ("http://localhost:80/v1", "http://localhost/v1"),
        ("https://localhost:80/v1", "https://localhost:80/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://h.example/v1?api-version=2&API-version=1#part", "https://h.example/v1?API-version=1&api-version=2"),
        ("https://h.example/v1?token=x&api-version=v1&key=y", "https://h.example/v1?api-version=v1"),
        (" https://h.example/v1 ", "https://h.example/v1"),
    ],
)
def test_a_url_has_one_form(url, normal):
    assert normalise_url(url) == normal


@given(HOSTS, PATHS, SECRETS)
def test_spelling_and_credentials_make_no_difference(host, path, secret):
    plain = normalise_url(f"https://{host}/{path}")
    spelled = normalise_url(f"HTTPS://user:{secret}@{host.upper()}:443/{path}/?api_key={secret}&KEY={secret}#x")
    assert spelled == plain
    assert normalise_url(plain) == plain


@pytest.mark.parametrize(
    "url", ["", "example.com/v1", "ftp://example.com", "https://", "http://h:port", "http://[::1", 7]
)
def test_what_is_no_url_is_refused_without_showing_it(url):
    with pytest.raises(ConfigurationError, match="base_url isn't a URL"):
        normalise_url(url)


def test_headers_that_change_answers_count_and_credentials_do_not():
    headers = {"Authorization": "Bearer s", "X-Api-Key": "s", "User-Agent": "u", "OpenAI-Beta": "on", "X-Gone": None}
    assert describe_headers(headers) == {"openai-beta": "on", "x-gone": "NoneType"}


def test_the_host_header_counts_because_gateways_route_by_it():
    assert describe_headers({"Host": "a.example"}) == {"host": "a.example"}


def test_header_values_in_bytes_are_told_apart():
    assert describe_headers({"X-Tenant": b"a"}) == describe_headers({"x-tenant": "a"}) == {"x-tenant": HASHED}
    assert describe_headers({"X-Tenant": b"b"}) != {"x-tenant": HASHED}


@pytest.mark.parametrize("client", [httpx2.Client, httpx2.AsyncClient])
def test_an_http_client_says_what_it_adds_and_nothing_of_its_own(client):
    assert describe_endpoint(http_client=client()) == {}
    headers = {"X-Tenant": "a", "Authorization": "s", "user-agent": "u", "traceparent": "t"}
    told = client(headers=headers, params=[("api-version", "1"), ("api-version", "2"), ("key", "s")], auth=("me", "s"))
    assert describe_transport(told) == {"http_headers": {"x-tenant": HASHED}, "http_query": {"api-version": ["1", "2"]}}


@pytest.mark.parametrize("thing", [None, "text", 5, httpx2.Client, object()])
def test_what_is_no_http_client_adds_nothing(thing):
    assert describe_endpoint(http_client=thing) == {}


def test_query_members_that_are_keys_do_not_count():
    assert keyed_query({"Key": "s", "api_key": "s", "api-version": "1"}) == {"api-version": "1"}


def test_a_query_member_of_an_unknown_name_counts_but_is_not_readable():
    """A gateway may take its key under any name."""
    urls = [normalise_url(f"https://h.example/v1?pat={value}") for value in ("secret-a", "secret-b")]
    queries = [keyed_query({"pat": value}) for value in ("secret-a", ["secret-a"], "secret-b")]
    assert urls[0] != urls[1]
    assert queries[0] != queries[2]
    assert "secret" not in f"{urls}{queries}"


def test_custom_header_variables_are_read_as_the_sdks_read_them():
    assert parse_header_lines("A: 1\n b :2:3\nnonsense\n") == {"A": "1", "b": "2:3"}
    assert parse_header_lines(None) == {}


@pytest.mark.parametrize(
    ("value", "path", "pattern", "url"),
    [
        ("https://api.groq.com", "/openai/v1", "https://x", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/", "/openai/v1", "https://x", "https://api.groq.com/openai/v1"),
        ("https://proxy/groq", "/openai/v1", "https://x", "https://proxy/groq"),
        ("127.0.0.1:11434", "/v1", "http://x", "http://127.0.0.1:11434/v1"),
        ("adb.example", "/serving-endpoints", "", "https://adb.example/serving-endpoints"),
    ],
)
def test_variables_of_the_vendors_own_tools_make_whole_urls(value, path, pattern, url):
    assert complete_url(value, path, pattern) == url


def test_the_first_variable_that_says_something_wins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRST_X", "  ")
    monkeypatch.setenv("SECOND_X", " b ")
    monkeypatch.setenv("THIRD_X", "c")
    assert read_variable(["NONE_X", "FIRST_X", "SECOND_X", "THIRD_X"]) == "b"
    assert read_variable(["NONE_X", "FIRST_X"]) is None
