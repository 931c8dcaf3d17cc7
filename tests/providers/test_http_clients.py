"""The HTTP clients beneath the SDKs' clients differ from the SDKs' own in one thing: they share what is costly."""

from __future__ import annotations

import asyncio
import gc
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anthropic
import certifi
import httpx2
import openai
import pytest

from instructor.factory import from_provider
from instructor.providers.http_clients import make_http_client

KEY = "sk-secret-0001"
CASES = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
SDKS = pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])


def make(sdk: Any = openai, *, asynchronous: bool = False, **options: Any) -> Any:
    """The SDK's client of a client, made within an event loop as a request makes it."""

    async def find() -> Any:
        client = from_provider(f"{sdk.__name__}/m", api_key=KEY, async_client=asynchronous, **options)
        return client._adapter._clients.get()

    return asyncio.run(find())


def make_theirs(sdk: Any, *, asynchronous: bool) -> Any:
    name = {openai: "OpenAI", anthropic: "Anthropic"}[sdk]
    return getattr(sdk, f"Async{name}" if asynchronous else name)(api_key=KEY)


def context_of(client: Any) -> ssl.SSLContext:
    return client._client._transport._pool._ssl_context


@SDKS
@CASES
def test_the_certificates_are_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch, sdk: Any, asynchronous: bool):
    first = make()
    monkeypatch.setattr(ssl, "create_default_context", pytest.fail)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", pytest.fail)
    second = make(sdk, asynchronous=asynchronous, base_url="https://elsewhere.example/v1")
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


def test_certificates_that_were_replaced_under_their_name_make_another_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    path = tmp_path / "certificates.pem"
    path.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    first = make()
    assert context_of(make()) is context_of(first)
    path.write_text(path.read_text().partition("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n")
    assert len(context_of(make()).get_ca_certs()) == 1 < len(context_of(first).get_ca_certs())


@SDKS
@CASES
def test_the_rest_is_as_the_sdk_makes_it(sdk: Any, asynchronous: bool):
    ours, theirs = make(sdk, asynchronous=asynchronous)._client, make_theirs(sdk, asynchronous=asynchronous)
    assert isinstance(ours, type(theirs._client).__base__)
    for name in ("timeout", "follow_redirects", "trust_env", "headers", "max_redirects"):
        assert getattr(ours, name) == getattr(theirs._client, name)
    for name in ("_max_connections", "_socket_options"):
        assert getattr(ours._transport._pool, name) == getattr(theirs._client._transport._pool, name)
    assert make(sdk, asynchronous=asynchronous, timeout=7).timeout == 7
    assert make(sdk, asynchronous=asynchronous).timeout == theirs.timeout


@SDKS
def test_a_client_of_the_callers_is_used_as_it_is(sdk: Any):
    own = sdk.DefaultHttpxClient()
    assert make(sdk, http_client=own)._client is own


def test_what_nobody_can_use_any_more_is_closed():
    closed: list[str] = []

    class Client(httpx2.Client):
        def close(self) -> None:
            closed.append("closed")

    make_http_client(SimpleNamespace(DefaultHttpxClient=Client), asynchronous=False)
    gc.collect()
    assert closed == ["closed"]


async def test_what_nobody_can_use_any_more_is_closed_in_its_event_loop():
    closed = asyncio.Event()

    class Client(httpx2.AsyncClient):
        async def aclose(self) -> None:
            closed.set()

    make_http_client(SimpleNamespace(DefaultAsyncHttpxClient=Client), asynchronous=True)
    gc.collect()
    await asyncio.wait_for(closed.wait(), 10)
