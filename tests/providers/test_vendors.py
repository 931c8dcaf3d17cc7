"""Vendors reached through their own SDKs, each with its real SDK over a server on loopback."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field

import instructor
from cohere_answers import cohere_answer, cohere_events
from converse import converse, encode_event, tool_use
from converse import events as converse_events_of
from instructor import AutoCache, Mode, Retries
from instructor.exceptions import ClientError, InstructorRetryException
from replies import Reply, ReplyServer, chat_completion
from streams import StreamServer, anthropic_events, chat_events, message, mistral_events, settle, take
from streams import tool_use as anthropic_tool_use

ASKED = [{"role": "user", "content": "Anna is 25."}]
ANNA = {"name": "Anna", "age": 25}


class User(BaseModel):
    name: str
    age: int = Field(gt=0)


@dataclass(frozen=True)
class Case:
    """One vendor's SDK.

    Attributes:
        connect: Makes the SDK's client for a URL; an asynchronous one on demand.
        factory: The name of the function that takes it.
        body: The provider's answer that calls a tool with some arguments.
        events: That answer as a stream.
        model: A model's name.
        keywords: What the factory takes besides for an asynchronous client.
        stream_mode: The mode in which the streamed answer comes.
    """

    name: str
    connect: Callable[[str, bool], Any]
    body: Callable[[Any], Any]
    events: Callable[[Any], Iterable[Any]]
    model: str = "some-model"
    keywords: Callable[[bool], dict[str, Any]] = lambda asynchronous: {}
    stream_mode: Mode = Mode.TOOLS

    @property
    def factory(self) -> Callable[..., Any]:
        return getattr(instructor, f"from_{self.name.partition(' ')[0]}")


AWS = {"region_name": "eu-west-1", "aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret"}


@functools.cache
def session_of(package: str) -> Any:
    """A session of AWS, which reads the description of a service once."""
    module = pytest.importorskip(f"{package}.session")
    return module.get_session() if package == "aiobotocore" else module.Session()


def connect_boto3(url: str, asynchronous: bool) -> Any:
    return session_of("boto3").client("bedrock-runtime", endpoint_url=url, **AWS)


def connect_aiobotocore(url: str, asynchronous: bool) -> Any:
    return session_of("aiobotocore").create_client("bedrock-runtime", endpoint_url=url, **AWS)


def converse_body(value: Any) -> Any:
    return converse(tool_use("User", value), reason="tool_use")


def converse_events(value: Any) -> list[bytes]:
    return [encode_event(*event) for event in converse_events_of(converse_body(value))]


def chat_client(path: str) -> Callable[[str, bool], Any]:
    """Make what connects a client of an SDK in OpenAI's shape, such as ``groq.Groq``."""
    module, _, name = path.rpartition(".")

    def connect(url: str, asynchronous: bool) -> Any:
        kind = getattr(pytest.importorskip(module), f"Async{name}" if asynchronous else name)
        plain = {"warm_tcp_connection": False} if name == "Cerebras" else {}
        return kind(api_key="test", base_url=url, **plain)

    return connect


def chat_body(value: Any) -> Any:
    return chat_completion(tool="User", arguments=value)


def mistral_stream(value: Any) -> list[Any]:
    events = mistral_events(chat_completion(content=json.dumps(value)))  # calls would come whole
    return [*events, b"data: [DONE]\n\n"]


def chat_stream(value: Any) -> list[Any]:
    return [*chat_events(chat_body(value)), b"data: [DONE]\n\n"]


def connect_mistral(url: str, asynchronous: bool) -> Any:
    return pytest.importorskip("mistralai.client").Mistral(api_key="test", server_url=url)


MISTRAL = Case(
    "mistral", connect_mistral, chat_body, mistral_stream, keywords=lambda asynchronous: {"use_async": asynchronous},
    stream_mode=Mode.JSON_SCHEMA,
)  # fmt: skip


def connect_cohere(url: str, asynchronous: bool) -> Any:
    sdk = pytest.importorskip("cohere")
    http = pytest.importorskip("httpx")
    if asynchronous:
        return sdk.AsyncClientV2(api_key="test", base_url=url, httpx_client=http.AsyncClient())
    return sdk.ClientV2(api_key="test", base_url=url, httpx_client=http.Client())


def cohere_body(value: Any) -> Any:
    return cohere_answer(tool="User", arguments=json.dumps(value))


def cohere_stream(value: Any) -> list[Any]:
    return [*cohere_events(cohere_body(value))]


def connect_claude(name: str, **settings: Any) -> Callable[[str, bool], Any]:
    """Make what connects a client of Anthropic's SDK for another cloud."""

    def connect(url: str, asynchronous: bool) -> Any:
        sdk = pytest.importorskip("anthropic")
        if name == "AnthropicBedrock":
            pytest.importorskip("botocore")
        return getattr(sdk, f"Async{name}" if asynchronous else name)(base_url=url, **settings)

    return connect


def claude_body(value: Any) -> Any:
    return message(anthropic_tool_use("User", value), stop_reason="tool_use")


def claude_stream(value: Any) -> list[Any]:
    return [*anthropic_events(claude_body(value))]


def claude_on_bedrock_stream(value: Any) -> list[bytes]:
    texts = (json.dumps(event).encode() for event in claude_stream(value))
    return [encode_event("chunk", {"bytes": base64.b64encode(text).decode()}) for text in texts]


NEWEST = pytest.mark.newest_sdks  # anthropic 0.60 has no client for Foundry, and none for Bedrock that takes a key
CLAUDE = {
    "vertex": (connect_claude("AnthropicVertex", region="eu-west1", project_id="p", access_token="t"), claude_stream),
    "bedrock": (
        connect_claude("AnthropicBedrock", aws_region="eu-west-1", aws_access_key="AKIATEST", aws_secret_key="secret"),
        claude_on_bedrock_stream,
    ),
    "foundry": (connect_claude("AnthropicFoundry", api_key="k"), claude_stream),
}
CHAT = {
    "cerebras": "cerebras.cloud.sdk.Cerebras",
    "fireworks": "fireworks.Fireworks",
    "groq": "groq.Groq",
    "together": "together.Together",
    "writer": "writerai.Writer",
}
BOTO3 = Case(
    "bedrock",
    connect_boto3,
    converse_body,
    converse_events,
    "amazon.nova-pro-v1:0",
    lambda asynchronous: {"async_client": asynchronous},
)
AIOBOTOCORE = Case("bedrock by aiobotocore", connect_aiobotocore, converse_body, converse_events, BOTO3.model)
CASES = [
    pytest.param(BOTO3, False, id="bedrock"),
    pytest.param(BOTO3, True, id="bedrock in threads"),
    pytest.param(AIOBOTOCORE, True, id="aiobotocore"),
    pytest.param(MISTRAL, False, id="mistral"),
    pytest.param(MISTRAL, True, id="mistral True"),
    pytest.param(Case("cohere", connect_cohere, cohere_body, cohere_stream), False, id="cohere"),
    pytest.param(Case("cohere", connect_cohere, cohere_body, cohere_stream), True, id="cohere True"),
    *(
        pytest.param(
            Case(f"anthropic on {cloud}", connect, claude_body, events, "claude-sonnet-4-6"),
            is_later,
            id=f"claude on {cloud} {is_later}",
            marks=NEWEST if cloud == "foundry" else (),
        )
        for cloud, (connect, events) in CLAUDE.items()
        for is_later in (False, True)
    ),
    *(
        pytest.param(Case(name, chat_client(path), chat_body, chat_stream), is_later, id=f"{name} {is_later}")
        for name, path in CHAT.items()
        for is_later in (False, True)
    ),
]
cases = pytest.mark.parametrize(("case", "asynchronous"), CASES)


@contextlib.asynccontextmanager
async def connected(case: Case, url: str, asynchronous: bool, **keywords: Any) -> AsyncIterator[Any]:
    """Our client over the SDK's."""
    sdk = case.connect(url, asynchronous)
    async with contextlib.AsyncExitStack() as stack:
        if asynchronous and hasattr(sdk, "__aenter__"):
            sdk = await stack.enter_async_context(sdk)
        elif hasattr(sdk, "close"):
            stack.callback(sdk.close)
        else:
            stack.enter_context(sdk)
        yield case.factory(sdk, model=case.model, **case.keywords(asynchronous), **keywords)


@cases
async def test_an_answer_comes_through_the_sdk_and_is_kept_with_its_completion(
    case: Case, asynchronous: bool, reply_server: ReplyServer
):
    reply_server.script(Reply(case.body(ANNA)))
    async with connected(case, reply_server.url, asynchronous, cache=AutoCache(), mode=Mode.TOOLS) as client:
        live, completion = await settle(client.create_with_completion(User, ASKED))
        kept, stored = await settle(client.create_with_completion(User, ASKED))
    assert live == kept == User(**ANNA)
    assert type(stored) is type(completion)
    assert without_headers(stored) == without_headers(completion)
    assert client.cache_stats().hits == 1
    assert len(reply_server.requests) == 1
    assert client.provider == case.name.partition(" ")[0]
    assert "Anna is 25." in json.dumps(reply_server.requests[0].body)


def without_headers(completion: Any) -> Any:
    """A completion without the HTTP headers that botocore notes in it."""
    if isinstance(completion, dict):
        meta = {name: value for name, value in completion["ResponseMetadata"].items() if name != "HTTPHeaders"}
        return {**completion, "ResponseMetadata": meta}
    return completion


@cases
async def test_an_answer_is_streamed_through_the_sdk(case: Case, asynchronous: bool, stream_server: StreamServer):
    stream_server.script(case.events(ANNA))
    async with connected(case, stream_server.url, asynchronous, cache=AutoCache(), mode=case.stream_mode) as client:
        partials = await take(client.create_partial(User, ASKED))
        assert partials[-1] == User(**ANNA)
        assert (partials[0].name, partials[0].age) != ("Anna", 25)
        assert await settle(client.create(User, ASKED)) == User(**ANNA)  # from the entry of the stream
    assert len(stream_server.requests) == 1


@cases
async def test_the_model_is_shown_its_error(case: Case, asynchronous: bool, reply_server: ReplyServer):
    reply_server.script(Reply(case.body({**ANNA, "age": -5})), Reply(case.body(ANNA)))
    async with connected(case, reply_server.url, asynchronous, mode=Mode.TOOLS) as client:
        assert await settle(client.create(User, ASKED)) == User(**ANNA)
    assert "Input should be greater than 0" in json.dumps(reply_server.requests[1].body)


@cases
async def test_retries_that_the_policy_counts_are_not_multiplied_by_the_sdks(
    case: Case, asynchronous: bool, reply_server: ReplyServer
):
    reply_server.script(Reply({"message": "Slow down"}, status=429))
    async with connected(case, reply_server.url, asynchronous, mode=Mode.TOOLS) as client:
        policy = Retries(requests=1, wait=0)
        with pytest.raises(InstructorRetryException):
            await settle(client.create(User, ASKED, max_retries=policy))
    assert len(reply_server.requests) == 2


@cases
async def test_a_call_with_limits_is_answered(case: Case, asynchronous: bool, reply_server: ReplyServer):
    reply_server.script(Reply(case.body(ANNA)))
    async with connected(case, reply_server.url, asynchronous, mode=Mode.TOOLS) as client:
        assert await settle(client.create(User, ASKED, limits="auto")) == User(**ANNA)


@cases
async def test_a_refused_key_is_named(case: Case, asynchronous: bool, reply_server: ReplyServer):
    reply_server.script(Reply({"message": "Unauthorized"}, status=401))
    async with connected(case, reply_server.url, asynchronous, mode=Mode.TOOLS) as client:
        with pytest.raises(InstructorRetryException, match=client._adapter.key_variables[0]):
            await settle(client.create(User, ASKED))


async def test_writer_is_found_by_its_name(reply_server: ReplyServer):
    pytest.importorskip("writerai")
    reply_server.script(Reply(chat_body(ANNA)))
    for is_later in (False, True):
        client = instructor.from_provider(
            "writer/palmyra-x5", is_later, api_key="secret", base_url=reply_server.url, default_headers={"X-A": "b"}
        )
        assert await settle(client.create(User, ASKED)) == User(**ANNA)
        await settle(client.close())
    for received in reply_server.requests:
        assert received.path == "/v1/v1/chat"
        assert (received.headers["Authorization"], received.headers["X-A"]) == ("Bearer secret", "b")
        assert received.body["tool_choice"] == "auto"
    assert client._adapter.endpoint["base_url"] == reply_server.url
    assert list(client._adapter.endpoint["default_headers"]) == ["x-a"]


def test_a_client_of_another_sdk_is_asked_as_openais(reply_server: ReplyServer):
    openai = pytest.importorskip("openai")
    reply_server.script(Reply(chat_body(ANNA)))
    sdk = openai.OpenAI(api_key="k", base_url=reply_server.url)
    assert instructor.from_groq(sdk, model="m").create(User, ASKED) == User(**ANNA)
    sdk.close()


@pytest.mark.parametrize(("package", "name"), [("groq", "Groq"), ("together", "Together")])
def test_a_client_is_known_without_its_vendors_factory(package: str, name: str):
    sdk = getattr(pytest.importorskip(package), name)(api_key="k")
    assert instructor.Instructor(sdk, model="m").provider == package
    with pytest.raises(ClientError, match=f"takes a {package}.{name}"):
        getattr(instructor, f"from_{package}")(sdk.chat, model="m")
    sdk.close()


@pytest.mark.parametrize(
    ("name", "settings", "events", "path", "header"),
    [
        (
            "anthropic_vertex",
            {"region": "eu-west1", "project_id": "p", "api_key": "t"},
            claude_stream,
            "/v1/projects/p/locations/eu-west1/publishers/anthropic/models/claude-sonnet-4-6:rawPredict",
            ("Authorization", "Bearer t"),
        ),
        pytest.param(
            "anthropic_bedrock",
            {"aws_region": "eu-west-1", "api_key": "t"},
            claude_on_bedrock_stream,
            "/v1/model/claude-sonnet-4-6/invoke",
            ("Authorization", "Bearer t"),
            marks=NEWEST,
        ),
        pytest.param(
            *("anthropic_foundry", {"api_key": "t"}, claude_stream, "/v1/v1/messages", ("X-Api-Key", "t")),
            marks=NEWEST,
        ),
    ],
)
async def test_claude_on_another_cloud_is_found_by_its_name(
    name: str, settings: Any, events: Any, path: str, header: tuple[str, str], reply_server: ReplyServer
):
    reply_server.script(Reply(claude_body(ANNA)))
    for is_later in (False, True):
        client = instructor.from_provider(f"{name}/claude-sonnet-4-6", is_later, base_url=reply_server.url, **settings)
        assert await settle(client.create(User, ASKED)) == User(**ANNA)
        assert client.provider == name
        await settle(client.close())
    for received in reply_server.requests:
        assert (header[0].lower(), header[1]) in {(key.lower(), value) for key, value in received.headers.items()}
        assert received.path == path
    places = {value for value in settings.values() if value != "t"}
    assert places <= set(client._adapter.endpoint.values())


@pytest.mark.parametrize(
    ("name", "settings", "version"),
    [
        ("anthropic_vertex", {"region": "eu-west1", "project_id": "p"}, "vertex-2023-10-16"),
        pytest.param("anthropic_bedrock", {"aws_region": "eu-west-1"}, "bedrock-2023-05-31", marks=NEWEST),
    ],
)
def test_claude_is_sampled_under_the_first_version_where_the_body_names_it(
    name: str, settings: Any, version: str, reply_server: ReplyServer
):
    reply_server.script(Reply(claude_body(ANNA)))
    client = instructor.from_provider(f"{name}/claude-sonnet-4-6", base_url=reply_server.url, api_key="t", **settings)
    client.create(User, ASKED, temperature=0)
    client.create(User, ASKED, temperature=0, extra_body={"anthropic_version": "mine"})
    client.close()
    assert [received.body["anthropic_version"] for received in reply_server.requests] == [version, "mine"]
    assert [received.body["temperature"] for received in reply_server.requests] == [0, 0]
