"""Incidents 62 to 75: a hit is what the live call returned, and what should hit does."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import AutoCache, DiskCache, Mode
from streams import CLAUDE, GEMINI, JASON, OPENAI, StreamServer, answer_of, connect, dumped, script_of, settle, take
from worlds import MESSAGES, User, World, both

incident = pytest.mark.incident
WIRES = [
    (OPENAI, Mode.TOOLS),
    (OPENAI, Mode.JSON),
    (OPENAI, Mode.RESPONSES_TOOLS),
    (CLAUDE, Mode.TOOLS),
    (GEMINI, Mode.TOOLS),
]


class Jason(BaseModel):
    name: str
    age: int
    nick: str | None = None


@incident("62", "63", "66", "67", "68", "74")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_a_hit_has_the_whole_completion(
    stream_server: StreamServer, model: str, mode: Mode, streamed: bool
) -> None:
    """Reasoning, tool calls, details of usage: of the SDK's own class, member by member."""
    stream_server.plain = answer_of(model, mode, JASON, "Jason")
    stream_server.script(script_of(model, mode, stream_server.plain))
    async with connect(stream_server, model, mode=mode, cache=AutoCache()) as client:
        if streamed:
            stream = client.create_partial(Jason, MESSAGES)
            shown, live = await take(stream), stream.completion
            assert [step.model_dump() for step in client.create_partial(Jason, MESSAGES)] == [
                step.model_dump() for step in shown
            ]
        else:
            live = client.create_with_completion(Jason, MESSAGES)[1]
        value, hit = client.create_with_completion(Jason, MESSAGES)
    assert len(stream_server.requests) == 1
    assert type(hit) is type(live)
    assert dumped(hit) == dumped(live)
    assert dumped(value._raw_response) == dumped(live)


@incident("62", "75")
def test_a_hit_is_told_on_the_reply_and_by_an_event() -> None:
    world = World(AutoCache())
    hits: list[Any] = []
    world.client.on("cache:hit", hits.append)
    replies = [world.client.create_with_reply(User, MESSAGES) for _ in range(2)]
    assert [reply.cached for reply in replies] == [False, True]
    assert replies[0].usage == replies[1].usage, "what the live call cost, which this one saved"
    assert len(hits) == 1


@both
@incident("64")
def test_hits_and_misses_under_way_together_keep_their_places(asynchronous: bool) -> None:
    world = World(AutoCache(), asynchronous)
    prompts = [[{"role": "user", "content": f"question {number}"}] for number in range(40)]
    world.adapter._answer = lambda request: {"name": request["messages"][-1]["content"]}

    async def ask(some: list[Any]) -> list[str]:
        users = await asyncio.gather(*(settle(world.client.create(User, messages)) for messages in some))
        return [user.name for user in users]

    asyncio.run(ask(prompts[::3]))
    assert asyncio.run(ask(prompts)) == [f"question {number}" for number in range(40)]
    assert world.asked == 40


@incident("65")
def test_nulls_and_what_was_not_set_stay_apart() -> None:
    world = World(AutoCache())
    world.reply = lambda: {"name": "Anna", "age": 1, "nick": None}
    live, hit = (world.client.create(Jason, MESSAGES) for _ in range(2))
    assert live.model_fields_set == hit.model_fields_set == {"name", "age", "nick"}
    world.reply = lambda: {"name": "Anna", "age": 1}
    live, hit = (world.client.create(Jason, MESSAGES, temperature=1) for _ in range(2))
    assert live.model_fields_set == hit.model_fields_set == {"name", "age"}


@incident("69")
def test_what_a_caller_does_to_its_answer_nobody_else_sees() -> None:
    class Group(BaseModel):
        names: list[str]

    world = World(AutoCache())
    world.reply = lambda: {"names": ["Anna"]}
    for _ in range(3):
        group, completion = world.client.create_with_completion(Group, MESSAGES)
        assert (group.names, completion.choices[0].message.content) == (["Anna"], None)
        group.names.append("Bo")
        completion.choices[0].message.content = "changed"


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0, "seed": 1}, {"seed": 1, "temperature": 0}),
    ({"extra_body": {"a": 1, "b": 2}}, {"extra_body": {"b": 2, "a": 1}}),
    ({"temperature": 0}, {"temperature": 0.0}),
    ({"stop": ["a", "b"]}, {"stop": ("a", "b")}),
    ({"timeout": 5}, {"timeout": 60}),
    ({"messages": [{"role": "user", "content": "x"}]}, {"messages": [{"content": "x", "role": "user"}]}),
    ({"messages": [{"role": "user", "content": str(n)} for n in range(9)]},) * 2,
]


@incident("70")
@pytest.mark.parametrize(("one", "other"), SAME, ids=lambda value: str(value)[:40])
def test_what_a_request_shows_alike_is_one_call(one: Any, other: Any) -> None:
    world = World(AutoCache())
    for arguments in (one, other):
        world.client.create(User, **({"messages": MESSAGES} | arguments))
    assert world.asked == 1


@incident("70")
async def test_a_stream_and_a_plain_call_share_an_entry(stream_server: StreamServer) -> None:
    stream_server.script(script_of(OPENAI, Mode.TOOLS, answer_of(OPENAI, Mode.TOOLS, JASON, "Jason")))
    async with connect(stream_server, OPENAI, mode=Mode.TOOLS, cache=AutoCache()) as client:
        *_, last = client.create_partial(Jason, MESSAGES)
        assert client.create(Jason, MESSAGES) == last
    assert len(stream_server.requests) == 1


@incident("72", "73", "74b")
@pytest.mark.parametrize(("model", "mode"), [*WIRES, (OPENAI, Mode.JSON_SCHEMA)], ids=str)
async def test_structured_output_hits_however_its_schema_is_sent(
    stream_server: StreamServer, model: str, mode: Mode
) -> None:
    stream_server.plain = answer_of(model, mode, JASON, "Jason")
    async with connect(stream_server, model, mode=mode, cache=AutoCache()) as client:
        assert client.create(Jason, MESSAGES) == client.create(Jason, list(MESSAGES)) == Jason(**JASON)
    assert len(stream_server.requests) == 1


@incident("73")
def test_an_answer_that_goes_into_the_next_turn_as_an_object_or_as_data_is_one_call() -> None:
    world = World(AutoCache())
    _, completion = world.client.create_with_completion(User, MESSAGES)
    turn = completion.choices[0].message
    for said in (turn, turn.model_dump(exclude_none=True)):
        reply = {"role": "tool", "tool_call_id": turn.tool_calls[0].id, "content": "found"}
        world.client.create(User, [*MESSAGES, said, reply])
    assert world.asked == 2


@incident("74c")
def test_two_clients_and_two_stores_of_one_file_share_answers(tmp_path: Path) -> None:
    cache = AutoCache()
    first, second = World(cache), World(cache)
    assert [first.ask(), second.ask()] == ["answer 1", "answer 1"]
    with DiskCache(tmp_path) as one:
        World(one).ask()
    with DiskCache(tmp_path) as other:
        world = World(other)
        world.ask()
    assert (second.asked, world.asked) == (0, 0)


@incident("75")
def test_a_hit_imports_nothing_that_was_not_there() -> None:
    world = World(AutoCache())
    world.ask()
    before = set(sys.modules)
    assert world.ask() == "answer 1"
    assert {name for name in set(sys.modules) - before if not name.startswith("instructor")} == set()
