"""Parallel tools over the real SDKs: several calls in one answer, plain, streamed, from the cache, and asked again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from calls import OPENAI, answer_of, both, events_of, models
from instructor import AutoCache, Mode
from streams import CLAUDE, GEMINI, StreamServer, connect, dumped, settle, step, take

ASK = [{"role": "user", "content": "Weather in Toronto and Dallas, and who won?"}]


class Weather(BaseModel):
    location: str
    days: int = Field(default=1, le=7)


class Search(BaseModel):
    query: str


CALLED = [
    ("Weather", {"location": "Toronto Žofie 🦊"}),
    ("Search", {"query": "who won?"}),
    ("Weather", {"location": "Dallas", "days": 2}),
]
WRONG = [*CALLED[:2], ("Weather", {"location": "Dallas", "days": 20})]
ALL = [Weather(location="Toronto Žofie 🦊"), Search(query="who won?"), Weather(location="Dallas", days=2)]


@both
@models
async def test_every_call_is_an_item_live_and_from_the_cache(
    stream_server: StreamServer, model: str, is_async: bool
) -> None:
    stream_server.plain = answer_of(model, CALLED)
    options: Any = {"mode": Mode.PARALLEL_TOOLS, "cache": AutoCache(), "async_client": is_async}
    async with connect(stream_server, model, **options) as client:
        live, completion = await settle(client.create_with_completion(list[Weather | Search], ASK))
        hit, again = await settle(client.create_with_completion(list[Weather | Search], ASK))
        replayed = await take(client.create_iterable(Weather | Search, ASK))
    assert live == hit == replayed == ALL
    assert dumped(again) == dumped(completion)
    [request] = stream_server.requests
    offered = json.dumps(request["tools"])
    assert '"name": "Weather"' in offered
    assert '"name": "Search"' in offered
    calling = {"mode": "ANY", "allowedFunctionNames": ["Weather", "Search"]}
    forced: Any = {GEMINI: {"functionCallingConfig": calling}, CLAUDE: {"type": "any"}}
    assert request.get("toolConfig", request.get("tool_choice")) == forced.get(model, "required")


@both
@models
async def test_calls_are_streamed_as_each_closes_and_stored_for_plain_calls(
    stream_server: StreamServer, model: str, is_async: bool
) -> None:
    stream_server.plain = answer_of(model, CALLED)
    events = events_of(model, stream_server.plain)
    stream_server.script(events)
    # Nothing of the second call is sent before the first is here.
    stream_server.held = next(at for at, event in enumerate(events) if b'"Search"' in event)
    store = AutoCache()
    options: Any = {"mode": Mode.PARALLEL_TOOLS, "async_client": is_async}
    async with connect(stream_server, model, cache=store, **options) as client:
        stream = await settle(client.create(Iterable[Weather | Search], ASK, stream=True))
        assert await step(stream) == ALL[0]
        assert stream_server.sent <= stream_server.held  # it may be here before all that is let through was sent
        stream_server.go.set()
        assert await take(stream) == ALL[1:]
        assert await settle(client.create(list[Weather | Search], ASK)) == ALL
    assert len(stream_server.requests) == 1
    async with connect(stream_server, model, **options) as client:
        _, completion = await settle(client.create_with_completion(list[Weather | Search], ASK))
    assert dumped(stream.completion) == dumped(completion)


@models
async def test_an_invalid_call_is_asked_for_again_with_each_call_answered(
    stream_server: StreamServer, model: str
) -> None:
    stream_server.plain = answer_of(model, WRONG)
    async with connect(stream_server, model, mode=Mode.PARALLEL_TOOLS) as client:
        client.on("parse:error", lambda *_, **__: setattr(stream_server, "plain", answer_of(model, CALLED)))
        assert client.create(list[Weather | Search], ASK) == ALL
    first, second = (json.dumps(request, ensure_ascii=False) for request in stream_server.requests)
    for number in range(3):
        assert second.count(f"This was call {number}.") == 1
    assert "2.days" in second
    if model != OPENAI:  # reasoning goes back with its signature
        assert "c2ln" in second
    assert "c2ln" not in first
