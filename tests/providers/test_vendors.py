"""Vendors reached through their own SDKs, each with its real SDK over a server on loopback."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field

import instructor
from converse import converse, encode_event, events, tool_use
from instructor import AutoCache, Mode, Retries
from instructor.exceptions import InstructorRetryException
from replies import Reply, ReplyServer
from streams import StreamServer, settle, take

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
    """

    name: str
    connect: Callable[[str, bool], Any]
    body: Callable[[Any], Any]
    events: Callable[[Any], Iterable[Any]]
    model: str = "some-model"
    keywords: Callable[[bool], dict[str, Any]] = lambda asynchronous: {}

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
    return [encode_event(*event) for event in events(converse_body(value))]


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
]
cases = pytest.mark.parametrize(("case", "asynchronous"), CASES)


@contextlib.asynccontextmanager
async def connected(case: Case, url: str, asynchronous: bool, **keywords: Any) -> AsyncIterator[Any]:
    """Our client over the SDK's."""
    sdk = case.connect(url, asynchronous)
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(sdk, "__aenter__"):
            sdk = await stack.enter_async_context(sdk)
        elif hasattr(sdk, "close"):
            stack.callback(sdk.close)
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
    async with connected(case, stream_server.url, asynchronous, cache=AutoCache(), mode=Mode.TOOLS) as client:
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
async def test_a_refused_key_is_named(case: Case, asynchronous: bool, reply_server: ReplyServer):
    reply_server.script(Reply({"message": "Unauthorized"}, status=401))
    async with connected(case, reply_server.url, asynchronous, mode=Mode.TOOLS) as client:
        with pytest.raises(InstructorRetryException, match=client._adapter.key_variables[0]):
            await settle(client.create(User, ASKED))
