"""Streams are read as the data that the provider sends, without an object of the SDK's for each chunk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from instructor import Mode
from instructor.engine.drive_stream import open_stream
from instructor.engine.open_stream import END
from instructor.factory import from_anthropic, from_openai
from instructor.providers.sdk_adapter import SdkAdapter
from replies import chat_completion, message
from streams import anthropic_events, chat_events, encode

pytestmark = pytest.mark.newest_sdks

ASK = [{"role": "user", "content": "Who?"}]
CHAT = ("chat.completions.create", {"model": "m", "messages": ASK, "stream": True})
CHUNKS = list(chat_events(chat_completion(content="yes")))
EVENTS = list(anthropic_events(message({"type": "text", "text": '{"name": "Anna"}'})))


class User(BaseModel):
    name: str


def stream_answer(request: httpx2.Request) -> httpx2.Response:
    """Answer as the API that is asked."""
    events = CHUNKS if request.url.path.endswith("/completions") else EVENTS
    return httpx2.Response(200, content=b"".join(map(encode, events)), request=request)


TRANSPORT = httpx2.MockTransport(stream_answer)


def ask_openai(**options: Any) -> tuple[SdkAdapter, Any]:
    """An adapter over a new client, and the stream that the SDK returned."""
    client = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=TRANSPORT), **options)
    adapter: Any = from_openai(client)._adapter
    return adapter, adapter.send(*CHAT)


def test_chunks_are_what_the_provider_sent() -> None:
    adapter, stream = ask_openai()
    opened = open_stream(stream, adapter)
    assert [*iter(opened.next, END)] == CHUNKS
    assert stream.response.is_closed


async def test_chunks_are_what_the_provider_sent_to_a_task() -> None:
    async with httpx2.AsyncClient(transport=TRANSPORT) as http_client:
        adapter: Any = from_openai(openai.AsyncOpenAI(api_key="none", http_client=http_client))._adapter
        opened = open_stream(await adapter.send(*CHAT), adapter)
        assert [await opened.next_async() for _ in CHUNKS] == CHUNKS
        await opened.close_async()


def test_a_stream_that_is_left_is_closed() -> None:
    adapter, stream = ask_openai()
    opened = open_stream(stream, adapter)
    opened.next()
    opened.close()
    assert stream.response.is_closed


def test_a_client_that_validates_what_it_receives_does() -> None:
    adapter, stream = ask_openai(_strict_response_validation=True)
    assert adapter.read_stream(stream) is stream


def test_what_stands_in_for_the_sdks_stream_stays() -> None:
    adapter, stream = ask_openai()

    class Traced(openai.Stream[Any]):
        """A stream that somebody watches."""

    for other in (iter([]), Traced(cast_to=dict, response=stream.response, client=adapter.client)):
        assert adapter.read_stream(other) is other


def test_a_stream_whose_iterator_was_replaced_stays() -> None:
    adapter, stream = ask_openai()
    watched = stream._iterator
    stream._iterator = (chunk for chunk in watched)  # as Sentry's integration does
    assert adapter.read_stream(stream) is stream


def test_the_sdks_own_tracing_sees_objects() -> None:
    adapter, stream = ask_openai()
    stream.response.stream = SimpleNamespace(stream_observer=object())
    assert adapter.read_stream(stream) is stream


@pytest.mark.parametrize(("beta", "kind"), [(False, "Message"), (True, "BetaMessage")])
def test_a_message_of_a_stream_has_the_class_of_one_that_comes_whole(beta: bool, kind: str) -> None:
    sdk = anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=TRANSPORT))
    client = from_anthropic(sdk, beta=beta, mode=Mode.JSON)
    adapter: Any = client._adapter
    stream = adapter.send("messages.create", {"model": "m", "messages": ASK, "max_tokens": 9, "stream": True})
    assert {type(event) for event in adapter.read_stream(stream)} == {dict}
    shown = client.create_partial(response_model=User, messages=ASK, max_tokens=9, model="claude-3-haiku")
    assert [*shown][-1] == User(name="Anna")
    assert type(shown.completion).__name__ == kind
