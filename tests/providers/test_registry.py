"""Vendors added by a third party: a wire and an adapter of their own, over a real server on loopback."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextvars import ContextVar

import pydantic
import pytest

import instructor
from instructor.cache import DiskCache
from instructor.exceptions import CacheEntryError, ConfigurationError, ModeError
from instructor.messages import Part
from instructor.mode import Mode
from instructor.providers import handover, table
from instructor.providers.function_adapter import FunctionAdapter
from instructor.providers.identity import normalise_url
from instructor.providers.sdk_adapter import find_key, require_key
from instructor.providers.sdks import SDKS
from instructor.usage import Usage
from instructor.wires.capabilities import Capabilities
from instructor.wires.spec import Binding
from instructor.wires.text import get_path
from replies import Reply, ReplyServer

ASKED = [{"role": "user", "content": "Jason is 25"}]
TENANT: ContextVar[str] = ContextVar("tenant", default="none")


class User(pydantic.BaseModel):
    name: str
    age: int


class AcmeWire:
    """A format that no other vendor has: one prompt, one form to fill in."""

    name = "acme"
    operation = "fill"
    modes = (Mode.JSON_SCHEMA,)

    def bind(self, spec, mode, strict, *_):
        return Binding({"form": spec.schema})

    def write(self, messages, binding, model, arguments, *_):
        prompt = "\n".join(message["content"] for message in messages)
        return {"model": model, "prompt": prompt, **(binding.arguments if binding else {}), **arguments}

    def check(self, completion):
        assert "filled" in completion

    def read(self, completion, mode, *_):
        return (Part("", completion["filled"]),)

    def reask(self, request, completion, error, mode, *_):
        return request | {"prompt": f"{request['prompt']}\n{error}"}

    def usage(self, completion):
        return Usage(get_path(completion, "cost", "in") or 0, get_path(completion, "cost", "out") or 0)


def make_adapter(vendor, *, asynchronous, base_url, api_key, options):
    url = normalise_url(base_url or vendor.base_url)

    def send(operation, request):
        key = find_key(vendor, api_key)
        require_key(vendor, key)
        headers = {"Authorization": key, "X-Tenant": TENANT.get(), "X-Thread": threading.current_thread().name}
        body = json.dumps(request | options).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{operation}", body, headers)) as response:
            return json.load(response)

    return FunctionAdapter(vendor, send, asynchronous=asynchronous, endpoint={"base_url": url, **options})


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The registry as it is, and restored after the test."""
    monkeypatch.setattr(table, "_BY_NAME", dict(table._BY_NAME))
    known = {*SDKS, "offline"}  # the factory adds this one, perhaps during the test
    yield
    for name in set(SDKS) - known:
        del SDKS[name]


@pytest.fixture
def acme(registry: None, reply_server: ReplyServer) -> ReplyServer:
    """The vendor `acme`, answering at the server."""
    reply_server.script(Reply({"filled": '{"name": "Jason", "age": 25}', "cost": {"in": 7, "out": 3}}))
    instructor.register_provider(
        "acme",
        aliases=["acme-ai"],
        wires={Mode.JSON_SCHEMA: AcmeWire()},
        make_adapter=make_adapter,
        options=["region"],
        key_variables=["ACME_KEY"],
        base_url=reply_server.url,
        docs="https://acme.example/docs",
    )
    return reply_server


def test_a_registered_vendor_answers_and_is_cached_with_its_completion(acme: ReplyServer, tmp_path, monkeypatch):
    monkeypatch.setenv("ACME_KEY", "secret")
    for number, name in enumerate(["acme/small", "acme-ai/small", "ACME/small"]):
        with DiskCache(str(tmp_path)) as cache:
            client = instructor.from_provider(name, cache=cache, region="eu", temperature=0)
            user, completion = client.create_with_completion(User, ASKED)
            assert user == User(name="Jason", age=25)
            assert completion == {"filled": '{"name": "Jason", "age": 25}', "cost": {"in": 7, "out": 3}}
            assert client.cache_stats().hits == (1 if number else 0)
    (received,) = acme.requests
    assert received.path == "/v1/fill"
    assert received.headers["Authorization"] == "secret"
    assert received.body["prompt"] == "Jason is 25"
    assert (received.body["region"], received.body["temperature"]) == ("eu", 0)
    assert "secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode(
        "latin-1"
    )


async def test_a_synchronous_function_serves_the_asynchronous_client_without_blocking_the_loop(acme: ReplyServer):
    client = instructor.from_provider("acme/small", async_client=True, api_key="k")
    acme.hold()
    token = TENANT.set("blue")
    tasks = [
        asyncio.create_task(client.create(User, [{"role": "user", "content": str(number)}])) for number in range(3)
    ]
    while len(acme.requests) < 3:
        await asyncio.sleep(0)  # the loop runs on while three functions block
    acme.release()
    assert await asyncio.gather(*tasks) == [User(name="Jason", age=25)] * 3
    TENANT.reset(token)
    assert {received.headers["X-Tenant"] for received in acme.requests} == {"blue"}
    assert all(received.headers["X-Thread"].startswith("instructor-acme") for received in acme.requests)


async def test_an_async_function_is_awaited(registry: None):
    async def send(operation, request):
        await asyncio.sleep(0)
        return {"filled": '{"name": "Ada", "age": 36}'}

    def make(vendor, *, asynchronous, **_):
        return FunctionAdapter(vendor, send, asynchronous=asynchronous)

    instructor.register_provider("acme", wires={Mode.JSON_SCHEMA: AcmeWire()}, make_adapter=make)
    client = instructor.from_provider("acme/small", async_client=True)
    assert await client.create(User, ASKED) == User(name="Ada", age=36)
    assert client.client is send
    with pytest.raises(ConfigurationError, match="async_client=True"):
        instructor.from_provider("acme/small")


def test_an_error_names_what_a_registered_vendor_needs(acme: ReplyServer, monkeypatch):
    monkeypatch.delenv("ACME_KEY", raising=False)
    client = instructor.from_provider("acme/small")
    with pytest.raises(ConfigurationError, match=r"acme needs a key .*ACME_KEY.*https://acme.example/docs"):
        client.create(User, ASKED, max_retries=0)
    with pytest.raises(ModeError, match="acme does not speak"):
        instructor.from_provider("acme/small", mode=Mode.TOOLS)
    with pytest.raises(ConfigurationError, match="takes its key as text"):
        instructor.from_provider("acme/small", api_key=lambda: "k")
    with pytest.raises(ConfigurationError, match="base_url"):
        instructor.from_provider("acme/small", base_url="nowhere")
    with pytest.raises(ConfigurationError, match="Did you mean acme"):
        instructor.from_provider("acmee/small")


@pytest.mark.parametrize(
    "own", [None, Capabilities((Mode.JSON_SCHEMA,), thinks=True), lambda model: Capabilities(thinks=True)]
)
def test_a_registered_vendor_says_what_its_models_can_do(own, registry: None):
    wires = {Mode.JSON_SCHEMA: AcmeWire()}
    instructor.register_provider(
        "acme", wires=wires, make_adapter=make_adapter, base_url="https://x.example", capabilities=own
    )
    found = instructor.from_provider("acme/gpt-6-luna")._adapter.capabilities("gpt-6-luna")
    assert (found.modes, found.thinks) == ((Mode.JSON_SCHEMA,), own is not None)


def test_names_are_checked_and_nobody_is_replaced_by_accident(acme: ReplyServer):
    wires = {Mode.JSON_SCHEMA: AcmeWire()}
    for name in ("", "Acme", "a/b", "ac me"):
        with pytest.raises(ConfigurationError, match="not a vendor's name"):
            instructor.register_provider(name, wires=wires, make_adapter=make_adapter)
    for name, aliases in (("acme", ()), ("openai", ()), ("other", ("gemini",))):
        with pytest.raises(ConfigurationError, match="belongs to the vendor"):
            instructor.register_provider(name, wires=wires, make_adapter=make_adapter, aliases=aliases)
    with pytest.raises(ConfigurationError, match="has no wire"):
        instructor.register_provider("other", wires={}, make_adapter=make_adapter)
    instructor.register_provider(
        "acme", wires=wires, make_adapter=make_adapter, base_url="https://x.example", replace=True
    )
    assert instructor.from_provider("acme/small")._adapter.endpoint == {"base_url": "https://x.example"}
    with pytest.raises(ConfigurationError, match="No vendor is called"):
        instructor.from_provider("acme-ai/small")


@pytest.mark.parametrize("completion", [{"a": object()}, {1: "a"}, (1, 2), {"a": Mode.TOOLS}, {"a": b"x"}])
def test_a_completion_that_is_not_plain_data_is_not_stored(completion):
    adapter = FunctionAdapter(table.find_vendor("openai"), lambda *_: completion, asynchronous=False)
    assert adapter.send("x", {}) is completion
    with pytest.raises(CacheEntryError):
        adapter.dump(completion)
    with pytest.raises(CacheEntryError):
        adapter.load("{")


def test_the_threads_of_an_adapter_end_with_it():
    async def ask() -> str:
        adapter = FunctionAdapter(
            table.find_vendor("openai"), lambda *_: threading.current_thread().name, asynchronous=True
        )
        answer = adapter.send("x", {})
        assert inspect.isawaitable(answer)
        return await answer

    name = asyncio.run(ask())
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)
            assert not thread.is_alive()


def test_answers_of_one_base_url_are_not_served_for_another(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def make_adapter(vendor, *, asynchronous, base_url, api_key, options):
        def fill(operation, request):
            asked.append(base_url)
            return {"filled": json.dumps({"name": base_url, "age": 1})}

        return FunctionAdapter(vendor, fill, asynchronous=asynchronous)

    instructor.register_provider(
        "addressed",
        wires={Mode.JSON_SCHEMA: AcmeWire()},
        make_adapter=make_adapter,
        base_url="http://default.test",
        base_url_variables=["ADDRESSED_URL"],
        replace=True,
    )
    cache = instructor.AutoCache()

    def ask(**settings: str) -> str:
        client = instructor.from_provider("addressed/m", cache=cache, **settings)
        return client.create(User, messages=ASKED).name

    assert [ask(), ask(base_url="http://a.test"), ask(base_url="http://a.test")] == [
        "http://default.test",
        "http://a.test",
        "http://a.test",
    ]
    monkeypatch.setenv("ADDRESSED_URL", "http://b.test")
    assert ask() == "http://b.test"
    assert asked == ["http://default.test", "http://a.test", "http://b.test"]


@pytest.mark.parametrize("method", ["plain", "async", "awaitable"])
async def test_an_adapter_needs_no_more_than_send(registry: None, method: str) -> None:
    """One that answers wrong at first and fails once, so that what it lacks is asked for."""
    replies = [RuntimeError("busy"), {"filled": "{}"}, {"filled": '{"name": "Ada", "age": 36}'}]

    def answer(operation, request):
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    class Minimal:
        def send(self, operation, request):
            return answer(operation, request)

    class Awaited:
        async def send(self, operation, request):
            return answer(operation, request)

    class Awaitable:
        asynchronous = True

        def send(self, operation, request):
            return Awaited().send(operation, request)

    kind = {"plain": Minimal, "async": Awaited, "awaitable": Awaitable}[method]
    instructor.register_provider(
        "acme", wires={Mode.JSON_SCHEMA: AcmeWire()}, make_adapter=lambda *_, **__: kind(), base_url="http://a.test"
    )
    cache = instructor.AutoCache()
    client = instructor.from_provider("acme/small", async_client=True, cache=cache)
    with pytest.raises(instructor.exceptions.InstructorRetryException, match="busy"):
        await client.create(User, ASKED)
    first, completion = await client.create_with_completion(User, ASKED, max_retries=1, max_seconds=60)
    assert (first, completion) == (User(name="Ada", age=36), {"filled": '{"name": "Ada", "age": 36}'})
    assert await client.create(User, ASKED) == first
    assert client.cache_stats().hits == 1
    assert client._adapter.endpoint == {"base_url": "http://a.test"}
    await client.aclose()


def test_an_object_that_sends_nothing_is_not_an_adapter(registry: None) -> None:
    instructor.register_provider("acme", wires={Mode.JSON_SCHEMA: AcmeWire()}, make_adapter=lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match=r"send\(operation, request\)"):
        instructor.from_provider("acme/small")


@pytest.mark.parametrize(
    "wrong",
    [
        {"wires": {"TOOLS": AcmeWire()}},
        {"wires": {Mode.TOOLS: AcmeWire()}},
        {"make_adapter": 5},
        {"make_adapter": None},
        {"options": "region"},
    ],
)
def test_a_wrong_registration_is_refused_at_once(registry: None, wrong: dict[str, object]) -> None:
    right = {"wires": {Mode.JSON_SCHEMA: AcmeWire()}, "make_adapter": lambda vendor, **settings: None}
    with pytest.raises(ConfigurationError):
        instructor.register_provider("misregistered", **{**right, **wrong})


class AcmeSdk:
    """A client of a third party's SDK."""

    def fill(self, **request):
        return {"filled": '{"name": "Ada", "age": 36}'}


def test_a_registered_vendor_takes_its_sdks_clients(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_HANDOVERS", dict(handover._HANDOVERS))

    def wrap_client(vendor, client, *, asynchronous):
        def send(operation, request):
            return getattr(client, operation)(**request)

        return FunctionAdapter(vendor, send, asynchronous=asynchronous, client=client)

    wires = {Mode.JSON_SCHEMA: AcmeWire()}
    sdk = AcmeSdk()
    packages = [handover.package_of(sdk)]
    instructor.register_provider("acme", wires=wires, wrap_client=wrap_client, packages=packages)
    client = instructor.Instructor(sdk, model="small")
    assert client.create(User, ASKED) == User(name="Ada", age=36)
    assert (client.provider, client.client) == ("acme", sdk)
    later = instructor.AsyncInstructor(sdk, model="small")
    assert asyncio.run(later.create(User, ASKED)) == User(name="Ada", age=36)
    with pytest.raises(ConfigurationError, match="No vendor is called"):
        instructor.from_provider("acme/small")


def test_clients_for_a_built_in_vendor_leave_its_row_alone(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_HANDOVERS", {})
    seen: list[table.Vendor] = []

    def wrap_client(vendor, client, *, asynchronous):
        seen.append(vendor)
        return FunctionAdapter(vendor, client.fill, asynchronous=asynchronous)

    before = table.find_vendor("perplexity")
    wires = {Mode.JSON_SCHEMA: AcmeWire()}
    packages = [handover.package_of(AcmeSdk())]
    instructor.register_provider("perplexity", wires=wires, wrap_client=wrap_client, packages=packages)
    assert instructor.Instructor(AcmeSdk(), model="m").provider == "perplexity"
    assert table.find_vendor("perplexity") is before
    assert (seen[0].docs, seen[0].modes, seen[0].key_variables) == (before.docs, tuple(wires), before.key_variables)
