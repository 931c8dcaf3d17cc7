"""The HTTP clients beneath openai's clients differ from the SDK's own in one thing: they share what is costly."""

from __future__ import annotations

import gc
import ssl
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from instructor.factory import from_provider
from instructor.providers.http_clients import make_http_client


def make(**options: Any) -> Any:
    return from_provider("openai/m", api_key="sk-secret-0001", **options)._adapter.client


def context_of(client: Any) -> ssl.SSLContext:
    return client._client._transport._pool._ssl_context


def test_the_certificates_are_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch):
    first = make()
    monkeypatch.setattr(ssl, "create_default_context", pytest.fail)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", pytest.fail)
    second = make(base_url="https://elsewhere.example/v1")
    assert context_of(first) is context_of(second)
    assert context_of(first).verify_mode is ssl.CERT_REQUIRED
    assert context_of(first).check_hostname


@pytest.mark.parametrize(("variable", "name"), [("SSL_CERT_DIR", ""), ("SSLKEYLOGFILE", "keys")])
def test_other_certificates_make_another_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str
):
    first = make()
    monkeypatch.setenv(variable, str(tmp_path / name))
    assert context_of(make()) is not context_of(first)


def test_the_rest_is_as_the_sdk_makes_it():
    ours, theirs = make()._client, openai.OpenAI(api_key="none")._client
    assert isinstance(ours, type(theirs).__base__)
    for name in ("timeout", "follow_redirects", "trust_env", "headers", "max_redirects"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours._transport._pool._max_connections == theirs._transport._pool._max_connections
    assert make(timeout=7).timeout == 7
    assert make().timeout == openai.OpenAI(api_key="none").timeout


def test_a_client_of_the_callers_is_used_as_it_is():
    own = openai.DefaultHttpxClient()
    assert make(http_client=own)._client is own


def test_what_nobody_can_use_any_more_is_closed():
    closed: list[str] = []

    class Client(httpx2.Client):
        def close(self) -> None:
            closed.append("closed")

    make_http_client(Client)
    gc.collect()
    assert closed == ["closed"]
