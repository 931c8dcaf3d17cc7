"""xAI's own SDK over a gRPC server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field

import instructor
from instructor import AutoCache, Mode
from instructor.exceptions import InstructorRetryException, MultimodalError
from streams import pieces_of, settle, take

xai_sdk = pytest.importorskip("xai_sdk")
grpc = pytest.importorskip("grpc")

from instructor.providers.vendors.xai import write_request  # noqa: E402

proto = pytest.importorskip("xai_sdk.proto")
ASKED = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "Anna is 25."}]
ANNA = {"name": "Anna", "age": 25}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18, "reasoning_tokens": 3}


class User(BaseModel):
    name: str
    age: int = Field(gt=0)


class Server(proto.chat_pb2_grpc.ChatServicer):
    """What xAI's service answers."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.requests: list[Any] = []
        self.keys: list[str] = []
        self.fault: Any = None

    def GetCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's names
        self.note(request, context)
        value = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return proto.chat_pb2.GetChatCompletionResponse(
            id="r1", model="grok", outputs=[{"finish_reason": ending(value), "message": message(value)}], usage=USAGE
        )

    def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.note(request, context)
        for text in pieces_of(self.answers[0]):
            yield proto.chat_pb2.GetChatCompletionChunk(id="r1", model="grok", outputs=[{"delta": {"content": text}}])
        last = {"finish_reason": "REASON_STOP", "delta": {}}
        yield proto.chat_pb2.GetChatCompletionChunk(id="r1", model="grok", outputs=[last], usage=USAGE)

    def note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.keys.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.fault is not None:
            context.abort(self.fault, "It is refused.")


def ending(value: Any) -> str:
    return "REASON_STOP" if isinstance(value, str) else "REASON_TOOL_CALLS"


def message(value: Any) -> dict[str, Any]:
    """A message with a text, or with a call."""
    if isinstance(value, str):
        return {"role": "ROLE_ASSISTANT", "content": value}
    call = {"id": "c1", "type": 1, "function": {"name": "User", "arguments": json.dumps(value)}}
    thought = {"reasoning_content": "Who is it?", "encrypted_content": "c2ln"}
    return {"role": "ROLE_ASSISTANT", **thought, "tool_calls": [call]}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Server, str]]:
    """One server for all tests."""
    servicer, server = Server(), grpc.server(ThreadPoolExecutor(2))
    proto.chat_pb2_grpc.add_ChatServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def served(shared: tuple[Server, str]) -> tuple[Server, str]:
    shared[0].__init__()
    return shared


def connect(host: str, asynchronous: bool, **keywords: Any) -> Any:
    kind = xai_sdk.AsyncClient if asynchronous else xai_sdk.Client
    sdk = kind(api_key="secret", api_host=host, use_insecure_channel=True)
    return instructor.from_xai(sdk, model="grok-4.3", **keywords)


kinds = pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asynchronous"])


@kinds
async def test_an_answer_comes_through_the_sdk_and_is_kept_with_its_completion(asynchronous, served):
    server, host = served
    server.answers = [{**ANNA, "age": -5}, ANNA]
    client = connect(host, asynchronous, cache=AutoCache(), mode=Mode.TOOLS)
    live, completion = await settle(client.create_with_completion(User, ASKED, max_tokens=9, stop="x"))
    kept, stored = await settle(client.create_with_completion(User, ASKED, max_tokens=9, stop="x"))
    await settle(client.client.close())
    assert live == kept == User(**ANNA)
    assert type(completion) is type(stored) is ChatCompletion
    assert stored == completion
    assert completion.usage.completion_tokens_details.reasoning_tokens == 3
    first, second = server.requests
    assert server.keys == ["Bearer secret"] * 2
    assert (first.max_tokens, list(first.stop), first.tool_choice.function_name) == (9, ["x"], "User")
    assert [proto.chat_pb2.MessageRole.Name(one.role) for one in second.messages] == [
        "ROLE_SYSTEM",
        "ROLE_USER",
        "ROLE_ASSISTANT",
        "ROLE_TOOL",
    ]
    assert second.messages[2].reasoning_content == "Who is it?"
    assert second.messages[2].encrypted_content == "c2ln"
    assert "greater than 0" in second.messages[3].content[0].text


@kinds
async def test_an_answer_is_streamed_through_the_sdk(asynchronous, served):
    server, host = served
    server.answers = [json.dumps(ANNA)]
    client = connect(host, asynchronous, cache=AutoCache(), mode=Mode.JSON_SCHEMA)
    partials = await take(client.create_partial(User, ASKED))
    assert partials[-1] == await settle(client.create(User, ASKED)) == User(**ANNA)
    assert partials[0].age is None
    await settle(client.client.close())
    [request] = server.requests
    assert json.loads(request.response_format.schema)["required"] == ["name", "age"]


@kinds
async def test_a_refused_key_is_named(asynchronous, served):
    server, host = served
    server.fault = grpc.StatusCode.UNAUTHENTICATED
    client = connect(host, asynchronous)
    with pytest.raises(InstructorRetryException, match="XAI_API_KEY"):
        await settle(client.create(User, ASKED))
    await settle(client.client.close())
    assert len(server.requests) == 1


@kinds
async def test_answers_of_one_host_are_not_served_for_another(asynchronous, served):
    clients = [connect(host, asynchronous) for host in (served[1], served[1], "127.0.0.1:1")]
    first, same, other = (client._adapter.endpoint for client in clients)
    assert first == same == {"host": served[1]}
    assert other == {"host": "127.0.0.1:1"}
    for client in clients:
        await settle(client.client.close())


def test_images_are_sent_and_other_media_refused():
    url = "https://example.com/a.png"
    image = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    sound = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    [written] = write_request({"messages": [{"role": "user", "content": [{"type": "text", "text": "See."}, image]}]})[
        "messages"
    ]
    assert (written.content[0].text, written.content[1].image_url.image_url) == ("See.", url)
    assert written.content[1].image_url.detail == proto.image_pb2.ImageDetail.DETAIL_HIGH
    with pytest.raises(MultimodalError, match="input_audio"):
        write_request({"messages": [{"role": "user", "content": [sound]}]})
