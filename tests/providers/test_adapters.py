"""Ports over the real SDKs: what is sent where, with which key and options, and what happens without them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import AsyncMock, MagicMock, Mock

import anthropic
import httpx2
import openai
import pydantic
import pytest
from google import genai

from instructor.exceptions import ClientError, ConfigurationError, InstructorRetryException, ProviderError
from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
from instructor.providers import anthropic as anthropic_port
from instructor.providers import genai as genai_port
from instructor.providers.sdk_adapter import SdkAdapter
from instructor.providers.table import VENDORS, find_vendor
from replies import Reply, ReplyServer, chat_completion

MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = ("chat.completions.create", {"model": "m", "messages": MESSAGES}, chat_completion(content="yes"))
RESPONSES = (
    "responses.create",
    {"model": "m", "input": "hi"},
    {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "tools": []},
)
ANTHROPIC = (
    "messages.create",
    {"model": "m", "messages": MESSAGES, "max_tokens": 9},
    {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 1}},
)
GOOGLE = (
    "models.generate_content",
    {"model": "m", "contents": "hi"},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}}]},
)
OPERATIONS = {"openai": CHAT, "azure": CHAT, "anthropic": ANTHROPIC, "genai": GOOGLE}
REMOTE = [vendor for vendor in VENDORS if vendor.sdk != "offline"]
KEY = "sk-secret-0001"


def port_of(model: str, **options) -> SdkAdapter:
    return from_provider(model, **options)._adapter


async def send(port: SdkAdapter, operation: str, request: dict):
    answer = port.send(operation, request)
    assert inspect.isawaitable(answer) == port.asynchronous
    return await answer if port.asynchronous else answer


async def close(client) -> None:
    """Close what a test opened, so that no socket outlives it."""
    if isinstance(client, genai.Client):
        await genai_port._close_client(client)
        return
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed


def key_in(headers: dict[str, str]) -> str:
    lower = {name.lower(): value for name, value in headers.items()}
    for name in ("x-api-key", "x-goog-api-key", "api-key", "authorization"):
        if name in lower:
            return lower[name].removeprefix("Bearer ")
    return ""


@pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("vendor", REMOTE, ids=lambda vendor: vendor.name)
async def test_base_url_and_key_arrive_for_every_vendor(vendor, async_client, reply_server: ReplyServer):
    operation, request, body = OPERATIONS[vendor.sdk]
    reply_server.script(Reply(body))
    port = port_of(f"{vendor.name}/m", async_client=async_client, base_url=reply_server.url, api_key=KEY)
    completion = await send(port, operation, request)
    (received,) = reply_server.requests
    assert received.path.startswith("/v1/")
    assert key_in(received.headers) == KEY
    assert port.load(port.dump(completion)) == completion
    await close(port.client)


@pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])
async def test_the_responses_operation_is_found(async_client, reply_server: ReplyServer):
    operation, request, body = RESPONSES
    reply_server.script(Reply(body, headers={"x-request-id": "req_7"}))
    port = port_of("openai/m", async_client=async_client, base_url=reply_server.url, api_key=KEY)
    completion = await send(port, operation, request)
    assert reply_server.requests[0].path == "/v1/responses"
    assert port.load(port.dump(completion))._request_id == "req_7"
    await close(port.client)


@pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])
async def test_a_client_made_elsewhere_sends(async_client, reply_server: ReplyServer):
    made = {
        "openai": from_openai(
            (openai.AsyncOpenAI if async_client else openai.OpenAI)(api_key=KEY, base_url=reply_server.url)
        ),
        "anthropic": from_anthropic(
            (anthropic.AsyncAnthropic if async_client else anthropic.Anthropic)(api_key=KEY, base_url=reply_server.url)
        ),
        "genai": from_genai(
            genai.Client(api_key=KEY, http_options={"base_url": reply_server.url}), use_async=async_client
        ),
    }
    for sdk, client in made.items():
        operation, request, body = OPERATIONS[sdk]
        reply_server.script(Reply(body))
        await send(client._adapter, operation, request)
        assert key_in(reply_server.requests[-1].headers) == KEY
        await close(client.client)


async def test_beta_sends_to_the_beta_messages(reply_server: ReplyServer):
    operation, request, body = ANTHROPIC
    reply_server.script(Reply(body))
    client = from_anthropic(anthropic.Anthropic(api_key=KEY, base_url=reply_server.url), beta=True)
    message = client._adapter.send(operation, {**request, "betas": ["context-1m"]})
    assert type(message).__name__ == "BetaMessage"
    assert reply_server.requests[0].headers["anthropic-beta"] == "context-1m"
    assert client._adapter.load(client._adapter.dump(message)) == message
    await close(client.client)


# One value for each keyword, and where the real client shows it.
OPENAI_VALUES = {
    "organization": ("org", lambda client: client.organization),
    "project": ("proj", lambda client: client.project),
    "webhook_secret": ("w", lambda client: client.webhook_secret),
    "admin_api_key": ("adm", lambda client: client.admin_api_key),
    "websocket_base_url": ("wss://x.example", lambda client: client.websocket_base_url),
    "timeout": (7.5, lambda client: client.timeout),
    "max_retries": (5, lambda client: client.max_retries),
    "default_headers": ({"X-A": "1"}, lambda client: client._custom_headers),
    "default_query": ({"q": "1"}, lambda client: {"q": client._custom_query["q"]}),
    "_strict_response_validation": (True, lambda client: client._strict_response_validation),
}
AZURE_VALUES = OPENAI_VALUES | {
    "api_version": ("2030-01-01", lambda client: client._api_version),
    "azure_deployment": ("dep", lambda client: client._azure_deployment),
    "azure_ad_token": ("tok", lambda client: client._azure_ad_token),
}
ANTHROPIC_VALUES = {
    "webhook_key": ("w", lambda client: client.webhook_key),
    "timeout": (7.5, lambda client: client.timeout),
    "max_retries": (5, lambda client: client.max_retries),
    "default_headers": ({"X-A": "1"}, lambda client: client._custom_headers),
    "default_query": ({"q": "1"}, lambda client: client._custom_query),
    "_strict_response_validation": (True, lambda client: client._strict_response_validation),
    "open_telemetry": (False, lambda client: client._open_telemetry["traces"]["enabled"]),
}
GOOGLE_VALUES = {
    "timeout": (7.5, lambda client: client._api_client._http_options.timeout / 1000),
    "max_retries": (5, lambda client: client._api_client._http_options.retry_options.attempts - 1),
    "default_headers": ({"X-A": "1"}, lambda client: {"X-A": client._api_client._http_options.headers["X-A"]}),
    "http_options": (
        {"api_version": "v9"},
        lambda client: {"api_version": client._api_client._http_options.api_version},
    ),
    "enterprise": (False, lambda client: client._api_client.vertexai),
}
VERTEX_VALUES = {
    "timeout": GOOGLE_VALUES["timeout"],
    "vertexai": (True, lambda client: client._api_client.vertexai),
    "location": ("us-central1", lambda client: client._api_client.location),
}
GROUPS = [
    *((vendor.name, OPENAI_VALUES, {"api_key": KEY}) for vendor in REMOTE if vendor.sdk == "openai"),
    ("azure_openai", AZURE_VALUES, {"azure_endpoint": "https://x.example"}),
    ("anthropic", ANTHROPIC_VALUES, {"api_key": KEY}),
    ("google", GOOGLE_VALUES, {"api_key": KEY}),
    ("vertexai", VERTEX_VALUES, {"project": "p"}),
]


@pytest.mark.newest_sdks
@pytest.mark.parametrize(("name", "values", "others"), GROUPS, ids=[name for name, *_ in GROUPS])
def test_every_keyword_of_the_client_arrives_there_and_nowhere_else(name, values, others, monkeypatch):
    for vendor in REMOTE:
        if vendor.sdk == "openai" and not vendor.base_url:
            monkeypatch.setenv(vendor.base_url_variables[0], "https://adb-1.azuredatabricks.net")
    client = from_provider(f"{name}/m", **others, **{keyword: value for keyword, (value, _) in values.items()})
    assert {keyword: show(client.client) for keyword, (_, show) in values.items()} == {
        keyword: value for keyword, (value, _) in values.items()
    }
    assert not client._defaults


@pytest.mark.newest_sdks
def test_http_clients_of_the_caller_are_used():
    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies = {"/v1/chat/completions": CHAT[2], "/v1/messages": ANTHROPIC[2]}
        return httpx2.Response(200, json=bodies.get(request.url.path, GOOGLE[2]), request=request)

    for model in ("openai/m", "anthropic/m", "google/m"):
        with httpx2.Client(transport=httpx2.MockTransport(answer)) as http_client:
            port = port_of(model, api_key=KEY, http_client=http_client)
            operation, request, _ = OPERATIONS[find_vendor(model.partition("/")[0]).sdk]
            assert port.send(operation, request)
            assert port.dump(port.send(operation, request))


@pytest.mark.parametrize("vendor", [vendor for vendor in REMOTE if vendor.needs_key], ids=lambda vendor: vendor.name)
async def test_a_missing_key_fails_at_the_first_request_and_names_the_variable(vendor):
    for async_client in (False, True):
        client = from_provider(f"{vendor.name}/m", async_client=async_client, base_url="https://x.example/v1")
        assert client._adapter.endpoint["base_url"]
        operation, request, _ = OPERATIONS[vendor.sdk]
        with pytest.raises(ConfigurationError, match=f"{vendor.key_variables[0]}.*api_key="):
            await send(client._adapter, operation, request)
        with pytest.raises(ConfigurationError, match=vendor.key_variables[0]):
            _ = client.client


@pytest.mark.parametrize("vendor", [vendor for vendor in REMOTE if vendor.sdk == "openai"], ids=lambda v: v.name)
def test_the_key_of_openai_is_never_sent_to_another_vendor(vendor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client = from_provider(f"{vendor.name}/m", base_url="https://x.example/v1")
    if vendor.needs_key and vendor.name != "openai":
        with pytest.raises(ConfigurationError, match=vendor.key_variables[0]):
            _ = client.client
    else:
        assert client.client.api_key == (KEY if vendor.name == "openai" else vendor.name)


@pytest.mark.parametrize("vendor", [vendor for vendor in REMOTE if vendor.sdk == "openai"], ids=lambda v: v.name)
def test_every_key_variable_of_a_vendor_is_read_in_order_at_the_first_request(vendor, monkeypatch: pytest.MonkeyPatch):
    client = from_provider(f"{vendor.name}/m", base_url="https://x.example/v1")
    for number, variable in reversed(list(enumerate(vendor.key_variables))):
        monkeypatch.setenv(variable, f"key-{number}")
    assert client.client.api_key == "key-0"


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"AZURE_OPENAI_API_KEY": "k"}, ("k", None)),
        ({"AZURE_OPENAI_AD_TOKEN": "t"}, ("<missing API key>", "t")),
    ],
)
def test_azure_tells_a_key_from_a_token_in_the_environment(variables, shown, monkeypatch: pytest.MonkeyPatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = from_provider("azure_openai/m", azure_endpoint="https://x.example").client
    assert (client.api_key, client._azure_ad_token) == shown


def test_azure_without_an_endpoint_fails_at_the_first_request():
    client = from_provider("azure_openai/m", api_key=KEY)
    with pytest.raises(ConfigurationError, match=r"AZURE_OPENAI_ENDPOINT.*azure_endpoint="):
        _ = client.client


def test_databricks_without_a_workspace_fails_at_the_first_request():
    client = from_provider("databricks/m", api_key=KEY)
    with pytest.raises(ConfigurationError, match=r"DATABRICKS_HOST.*base_url="):
        _ = client.client


@pytest.mark.parametrize("variable", ["DATABRICKS_BASE_URL", "DATABRICKS_HOST", "DATABRICKS_WORKSPACE_URL"])
def test_databricks_serves_below_its_workspace(variable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "adb-1.azuredatabricks.net")
    client = from_provider("databricks/m", api_key=KEY)
    assert str(client.client.base_url) == "https://adb-1.azuredatabricks.net/serving-endpoints/"


@pytest.mark.parametrize("headers", [{"X-Api-Key": "k"}, {"authorization": "Bearer k"}])
def test_anthropic_takes_its_key_from_a_header_too(headers):
    assert from_provider("anthropic/m", default_headers=headers).client.api_key is None


@pytest.mark.parametrize(
    ("arguments", "options", "seconds"),
    [
        ({"max_tokens": 9}, {}, 600),
        ({"max_tokens": 64_000}, {}, 1800),
        ({"max_tokens": 36_096, "thinking": {"type": "enabled", "budget_tokens": 32_000}}, {}, 1015.2),
        ({"max_tokens": 9000, "model": "claude-opus-4-20250514"}, {}, 600),
        ({"max_tokens": 64_000, "timeout": 7}, {}, 7),
        ({"max_tokens": 64_000}, {"timeout": 5}, 5),
    ],
)
def test_a_long_answer_of_anthropics_gets_the_time_that_it_may_take(
    arguments: dict, options: dict, seconds: float, recwarn: pytest.WarningsRecorder
):
    timeouts = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json=ANTHROPIC[2])

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        port = port_of("anthropic/m", api_key=KEY, http_client=http, **options)
        port.send(ANTHROPIC[0], {**ANTHROPIC[1], **arguments})
    assert timeouts == [pytest.approx(seconds)]
    recwarn.clear()  # the SDK warns of a model that is about to go


def test_a_callable_key_is_asked_for_each_request(reply_server: ReplyServer):
    keys = iter(["k1", "k2"])
    reply_server.script(Reply(CHAT[2]))
    port = port_of("openai/m", base_url=reply_server.url, api_key=lambda: next(keys))
    for _ in range(2):
        port.send(*CHAT[:2])
    assert [key_in(received.headers) for received in reply_server.requests] == ["k1", "k2"]
    port.client.close()


@pytest.mark.parametrize(
    ("model", "module", "package"),
    [
        ("openai/m", "openai", "openai"),
        ("anthropic/m", "anthropic", r"instructor\[anthropic\]"),
        ("google/m", "google.genai", r"instructor\[google\]"),
    ],
)
def test_a_missing_sdk_says_what_to_install(model, module, package, monkeypatch: pytest.MonkeyPatch):
    port = port_of(model, api_key=KEY)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"pip install '{package}'"):
        _ = port.client


def test_what_the_sdk_refuses_is_a_configuration_error():
    port = port_of("openai/m", api_key=KEY, max_retries=None, http_client="no client")
    with pytest.raises(ConfigurationError, match="The client for openai cannot be made"):
        _ = port.client


def test_threads_that_send_at_once_share_one_client(monkeypatch: pytest.MonkeyPatch):
    made = []
    real = openai.OpenAI
    barrier = threading.Barrier(8)

    def make(**arguments):
        made.append(real(**arguments))
        return made[-1]

    monkeypatch.setattr(openai, "OpenAI", make)
    port = port_of("openai/m", api_key=KEY)

    def ask(_: int):
        barrier.wait()
        return port.client

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(ask, range(8))))) == len(made) == 1


async def test_making_the_client_does_not_block_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, reply_server: ReplyServer
):
    """The loop runs on while the SDK is imported: here it is what lets the import end."""
    go_on = threading.Event()
    real = openai.AsyncOpenAI

    def make(**arguments):
        assert go_on.wait(30)
        return real(**arguments)

    monkeypatch.setattr(openai, "AsyncOpenAI", make)
    reply_server.script(Reply(CHAT[2]))
    port = port_of("openai/m", async_client=True, base_url=reply_server.url, api_key=KEY)
    sending = asyncio.ensure_future(port.send(*CHAT[:2]))
    await asyncio.sleep(0)
    go_on.set()
    assert (await sending).choices[0].message.content == "yes"
    await close(port.client)


async def test_what_the_sdk_imports_for_its_chat_is_imported_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, reply_server: ReplyServer
):
    """It does when that is first reached, which would also count as time that the first request took."""
    threads: list[threading.Thread] = []
    plain = openai.AsyncOpenAI.chat.func

    def reach(client: openai.AsyncOpenAI) -> object:
        threads.append(threading.current_thread())
        return plain(client)

    reached = functools.cached_property(reach)
    reached.__set_name__(openai.AsyncOpenAI, "chat")
    monkeypatch.setattr(openai.AsyncOpenAI, "chat", reached)
    reply_server.script(Reply(CHAT[2]))
    port = port_of("openai/m", async_client=True, base_url=reply_server.url, api_key=KEY)
    assert (await port.send(*CHAT[:2])).choices[0].message.content == "yes"
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    await close(port.client)


@pytest.mark.parametrize("wrong", [None, "client", object(), openai.OpenAI, anthropic.Anthropic(api_key="k"), genai])
@pytest.mark.parametrize("factory", [from_openai, from_anthropic, from_genai])
def test_a_client_of_another_kind_is_refused_with_advice(factory, wrong):
    if factory is from_anthropic and isinstance(wrong, anthropic.Anthropic):
        return
    with pytest.raises(ClientError, match=rf"{factory.__name__}\(\) takes"):
        factory(wrong)


def test_a_port_shows_no_key():
    port = port_of("openai/m", api_key=KEY)
    assert KEY not in repr(port)
    assert anthropic_port.CODEC is port_of("anthropic/m", api_key=KEY).dump.__self__


ACCOUNT = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1", "OPENAI_CUSTOM_HEADERS": "X-Tenant: t1"}


@pytest.mark.parametrize(
    "vendor", [vendor for vendor in REMOTE if vendor.sdk in ("openai", "azure")], ids=lambda v: v.name
)
async def test_account_variables_of_openai_reach_openai_only(vendor, reply_server: ReplyServer, monkeypatch):
    reply_server.script(Reply(CHAT[2]))
    place = {"base_url": reply_server.url, "api_key": KEY}
    before = dict(port_of(f"{vendor.name}/m", **place).endpoint)
    for name, value in (ACCOUNT | {"OPENAI_ADMIN_KEY": "adm"}).items():
        monkeypatch.setenv(name, value)
    own = vendor.name == "openai"
    for async_client in (False, True):
        port = port_of(f"{vendor.name}/m", async_client=async_client, **place)
        await send(port, *CHAT[:2])
        assert own or getattr(port.client, "admin_api_key", None) is None
        await close(port.client)
        headers = {name.lower(): value for name, value in reply_server.requests[-1].headers.items()}
        sent = [headers.get(name) for name in ("openai-organization", "openai-project", "x-tenant")]
        assert sent == (["org-1", "proj-1", "t1"] if own else [None] * 3)
        assert (dict(port.endpoint) == before) is not own


@pytest.mark.parametrize("asked", [{"organization": "org-2", "default_headers": {"X-Tenant": "t2"}}])
def test_what_the_caller_says_of_an_account_reaches_any_vendor(asked, monkeypatch):
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    client = from_provider("groq/m", api_key=KEY, **asked).client
    assert (client.organization, client.project, client._custom_headers) == ("org-2", None, {"X-Tenant": "t2"})


def test_a_mock_of_an_sdks_client_is_taken_for_the_client():
    class User(pydantic.BaseModel):
        name: str

    answer = openai.types.chat.ChatCompletion.construct(**chat_completion(tool="User", arguments={"name": "Jason"}))
    for mocked in (MagicMock(spec=openai.OpenAI), Mock(spec=openai.OpenAI)):
        mocked.chat = MagicMock()
        mocked.chat.completions.create.return_value = openai.types.chat.ChatCompletion.model_validate(
            answer.model_dump(warnings=False)
        )
        client = from_openai(mocked, model="gpt-4.1")
        assert client.provider == "openai"
        assert client.create(User, MESSAGES) == User(name="Jason")
        assert client._adapter.endpoint == {}


async def test_a_mock_of_an_asynchronous_client_is_taken_for_the_client():
    mocked = MagicMock(spec=openai.AsyncOpenAI)
    mocked.chat.completions.create = AsyncMock(
        return_value=openai.types.chat.ChatCompletion.model_validate(chat_completion(content="yes"))
    )
    completion = await from_openai(mocked, model="gpt-4.1").create(None, MESSAGES)
    assert completion.choices[0].message.content == "yes"


@pytest.mark.parametrize("mock_class", [Mock, MagicMock])
def test_mocks_of_the_other_sdks_clients_are_taken_too(mock_class):
    assert from_anthropic(mock_class(spec=anthropic.Anthropic), model="m").provider == "anthropic"
    assert type(from_anthropic(mock_class(spec=anthropic.AsyncAnthropic), model="m")).__name__ == "AsyncInstructor"
    assert from_genai(mock_class(spec=genai.Client), model="m").provider == "google"


class Person(pydantic.BaseModel):
    name: str


def gemini_answer(part: object, **more: object) -> dict[str, object]:
    return {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}], **more}


@pytest.mark.parametrize(
    "body",
    [
        gemini_answer({"functionCall": {"name": "Person", "args": "name=J"}}),
        pytest.param(gemini_answer(None), marks=pytest.mark.newest_sdks),  # older ones read it as an empty part
        gemini_answer({"text": 5}),
        gemini_answer({"text": "x"}, usageMetadata="x"),
        5,
        {"candidates": 5},
        {"candidates": [5]},
        b"not JSON",
    ],
    ids=["arguments", "part", "text", "usage", "number", "no list", "a list of numbers", "no JSON"],
)
@pytest.mark.parametrize("async_client", [False, True])
async def test_an_answer_that_the_google_sdk_cannot_read_is_a_failed_attempt(
    async_client: bool, body: object, reply_server: ReplyServer
):
    reply_server.script(Reply(body))
    client = from_provider("google/m", async_client=async_client, base_url=reply_server.url, api_key=KEY)
    with pytest.raises(InstructorRetryException, match=r"cannot read the answer|isn't the answer") as caught:
        result = client.create(Person, MESSAGES)
        await result if async_client else None
    (failed,) = caught.value.failed_attempts
    assert isinstance(failed.exception, ProviderError)
    assert len(reply_server.requests) == 1


def test_a_request_that_the_google_sdk_refuses_is_still_the_callers(reply_server: ReplyServer):
    client = from_provider("google/m", base_url=reply_server.url, api_key=KEY)
    with pytest.raises(ConfigurationError, match="did not accept the request"):
        client.create(Person, MESSAGES, temperature="warm")
    assert reply_server.requests == []
