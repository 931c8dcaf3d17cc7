"""Streams over the real SDKs: shown at once, equal to the plain call and to the replay, closed when they are left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import AutoCache, Mode, from_provider
from instructor.usage import Usage
from servers import Aimock
from streams import (
    CUTS,
    JASON,
    TOOL_WIRES,
    WEATHER,
    WIRES,
    StreamServer,
    answer_of,
    connect,
    dumped,
    encode,
    script_of,
    settle,
    step,
    take,
    wire_of,
)

ASK = [{"role": "user", "content": "Extract: Jason is 25 years old"}]


class User(BaseModel):
    name: str
    age: int
    tags: list[str] = []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_the_first_partial_comes_before_the_second_chunk_and_the_end_equals_the_plain_call(
    stream_server: StreamServer, model: str, mode: Mode, is_async: bool
) -> None:
    stream_server.plain = answer_of(model, mode, JASON)
    stream_server.script(script_of(model, mode, stream_server.plain))
    stream_server.held = 1
    async with connect(stream_server, model, mode=mode, async_client=is_async) as client:
        usages: list[Usage] = []
        client.on("completion:usage", usages.append)
        stream = client.create_partial(response_model=User, messages=ASK)
        while not (shown := await step(stream)).name:
            pass
        assert shown.name.startswith("Ja")
        assert stream_server.sent == 1
        stream_server.go.set()
        *_, last = await take(stream)
        plain, completion = await settle(client.create_with_completion(response_model=User, messages=ASK))
    assert last == plain == User(**JASON)
    assert type(last) is User
    assert type(stream.completion) is type(completion)
    assert dumped(stream.completion) == dumped(completion)
    assert usages == [stream.usage, stream.usage]
    assert stream.usage.total_tokens >= 15


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_a_stream_from_the_cache_equals_the_live_one(
    stream_server: StreamServer, model: str, mode: Mode, is_async: bool
) -> None:
    stream_server.script(script_of(model, mode, answer_of(model, mode, JASON)))
    async with connect(stream_server, model, mode=mode, cache=AutoCache(), async_client=is_async) as client:
        stream = client.create_partial(response_model=User, messages=ASK)
        live = await take(stream)
        again = client.create_partial(response_model=User, messages=ASK)
        replayed = await take(again)
        assert replayed[-1] == live[-1] == await settle(client.create(response_model=User, messages=ASK))
        if mode is not Mode.MD_JSON:  # the text around the JSON isn't kept
            assert replayed == live
        assert again.is_cached
        assert dumped(again.completion) == dumped(stream.completion)
    assert len(stream_server.requests) == 1


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_items_come_one_by_one(stream_server: StreamServer, model: str, mode: Mode) -> None:
    users = [{"name": f"Jane {number}", "age": number, "tags": []} for number in range(4)]
    body = answer_of(model, mode, {"content": users}, tool="Response")
    stream_server.script(script_of(model, mode, body))
    async with connect(stream_server, model, mode=mode, cache=AutoCache()) as client:
        items = list(client.create_iterable(response_model=User, messages=ASK))
        assert items == [User(**user) for user in users]
        assert list(client.create_iterable(response_model=User, messages=ASK)) == items
    assert len(stream_server.requests) == 1


ONE_OF_EACH = [WIRES[0], *(wire for wire in TOOL_WIRES if wire != WIRES[0])]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("model", "mode"), ONE_OF_EACH, ids=str)
async def test_leaving_early_closes_the_connection_and_stores_nothing(
    stream_server: StreamServer, model: str, mode: Mode, is_async: bool
) -> None:
    stream_server.script(script_of(model, mode, answer_of(model, mode, JASON)))
    stream_server.held = 1
    cache = AutoCache()
    async with connect(stream_server, model, mode=mode, cache=cache, async_client=is_async) as client:
        stream = client.create_partial(response_model=User, messages=ASK)
        await step(stream)
        if is_async:
            await stream.aclose()
        else:
            stream.close()
        assert await asyncio.to_thread(stream_server.left.wait, 30)
    assert cache.stats().writes == 0


def interleaved(model: str, mode: Mode) -> list[bytes]:
    """A call of the caller's tool, and beside it, each piece after one of the other, a call of ours."""
    other = answer_of(model, mode, {"name": "Berlin", "age": 1, "tags": []}, tool="weather")
    ours = answer_of(model, mode, JASON)
    whole = _add_call(wire_of(model, mode), other, ours)
    events = list(CUTS[wire_of(model, mode)](whole))
    first, second = ([event for event in events if _number_of(event) == number] for number in _numbers(events))
    ends = events.index(first[0]), events.index(second[-1]) + 1
    mixed = [event for pair in zip(first, second, strict=False) for event in pair]
    longer = [*first[len(second) :], *second[len(first) :]]
    return [*map(encode, [*events[: ends[0]], *mixed, *longer, *events[ends[1] :]]), b"data: [DONE]\n\n"]


def _add_call(wire: str, whole: Any, other: Any) -> Any:
    if wire == "openai_chat":
        calls = whole["choices"][0]["message"]["tool_calls"]
        calls += [{**other["choices"][0]["message"]["tool_calls"][0], "id": "call_2"}]
    else:
        name = {"openai_responses": "output", "anthropic_messages": "content"}[wire]
        whole[name] = [*whole[name], {**other[name][-1], "id": "call_2"}]
    return whole


def _number_of(event: Any) -> Any:
    if event.get("object") == "chat.completion.chunk":
        calls = event["choices"][0]["delta"].get("tool_calls") if event["choices"] else None
        return calls[0]["index"] if calls else None
    return event.get("output_index", event.get("index"))


def _numbers(events: list[Any]) -> list[Any]:
    return sorted({number for event in events if (number := _number_of(event)) is not None})[-2:]


@pytest.mark.parametrize(("model", "mode"), ONE_OF_EACH[:3], ids=str)
async def test_calls_of_several_tools_are_told_apart_by_index(
    stream_server: StreamServer, model: str, mode: Mode
) -> None:
    stream_server.script(interleaved(model, mode))
    async with connect(stream_server, model, mode=mode, cache=AutoCache()) as client:
        shown = list(client.create_partial(response_model=User, messages=ASK, tools=[WEATHER]))
        assert shown[-1] == User(**JASON)
        names = {user.name for user in shown if user.name}
        assert len(names) > 1
        assert all(JASON["name"].startswith(name) for name in names)
        assert list(client.create_partial(response_model=User, messages=ASK, tools=[WEATHER])) == shown


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_each_wire_streams_from_an_independent_server(
    aimock: Aimock, model: str, mode: Mode, is_async: bool
) -> None:
    aimock.answer("Jason", JASON, tool="User")
    client = from_provider(model, mode=mode, cache=AutoCache(), async_client=is_async)
    shown = await take(client.create_partial(response_model=User, messages=ASK))
    assert shown[-1] == User(**JASON)
    assert await take(client.create_partial(response_model=User, messages=ASK)) == shown
    assert await settle(client.create(response_model=User, messages=ASK)) == shown[-1]
    assert len(aimock.requests()) == 1
    client._adapter.close()
    await client._adapter.aclose()
