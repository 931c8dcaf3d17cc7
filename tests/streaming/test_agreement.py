"""A stream, the plain call and a replay agree: on the value, or that there is none."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import pytest
import typing_extensions
from pydantic import BaseModel

from instructor import AsyncInstructor, AutoCache, Instructor, Mode
from instructor.exceptions import InstructorRetryException, ResponseParsingError
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

MESSAGES = [{"role": "user", "content": "Who?"}]


class User(BaseModel):
    name: str
    age: int = 18


def make(*replies: Any, mode: Mode = Mode.JSON, kind: Any = Instructor) -> tuple[Any, ScriptedAdapter]:
    adapter = ScriptedAdapter(list(replies), asynchronous=kind is AsyncInstructor)
    mode_of_wire = Mode.TOOLS if mode is Mode.PARALLEL_TOOLS else mode
    return kind(adapter, wires={mode_of_wire: OPENAI_CHAT}, mode=mode, model="m", cache=AutoCache()), adapter


def list_of(*names: str) -> str:
    return json.dumps({"content": [{"name": name} for name in names]})


TWO = f"{list_of('Anna', 'Ben')} {list_of('Cleo')}"
TWICE = '{"content": [{"name": "Anna"}], "content": [{"name": "Ben"}, {"name": "Cleo"}]}'


@pytest.mark.parametrize("mode", [Mode.JSON, Mode.TOOLS])
@pytest.mark.parametrize("ask", ["create", "create_partial", "create_iterable"])
def test_of_two_answers_none_is_taken_and_none_is_stored(mode: Mode, ask: str) -> None:
    client, adapter = make(TWO, TWO, mode=mode)
    for asked in (1, 2):
        with pytest.raises(InstructorRetryException, match="Invalid JSON"):
            list(getattr(client, ask)(User if ask == "create_iterable" else list[User], MESSAGES, max_retries=0))
        assert len(adapter.requests) == asked
    assert client.cache_stats().writes == 0


def test_a_plain_call_that_gets_two_answers_asks_again() -> None:
    client, adapter = make(TWO, list_of("Cleo"))
    assert client.create(list[User], MESSAGES) == [User(name="Cleo")]
    assert "Invalid JSON" in adapter.requests[1]["messages"][-1]["content"]


def test_an_answer_that_comes_twice_is_one_answer() -> None:
    client, _ = make(*[f"{list_of('Anna')}\n{list_of('Anna')}"] * 2)
    live = list(client.create_partial(list[User], MESSAGES))
    assert live[-1] == client.create(list[User], MESSAGES, cache=None) == [User(name="Anna")]
    assert list(client.create_partial(list[User], MESSAGES)) == live


@pytest.mark.parametrize(
    "text",
    [
        f"First {list_of('Anna')} </think> {list_of('Ben', 'Cleo')}",
        f"First {list_of('Anna')}\n```json\n{list_of('Ben', 'Cleo')}\n```",
        f"First {list_of('Anna', 'Dora')} </think> {list_of('Anna', 'Anna')}",
        TWICE,
    ],
    ids=["thought aloud", "before a fence", "of one length", "one name twice"],
)
def test_items_of_a_draft_end_the_stream_and_are_not_stored(text: str) -> None:
    client, _ = make(text, mode=Mode.MD_JSON)
    stream = client.create_iterable(User, MESSAGES)
    assert next(stream).name == "Anna"
    with pytest.raises(InstructorRetryException) as caught:
        list(stream)
    assert isinstance(caught.value.__cause__, ResponseParsingError)
    assert client.cache_stats().writes == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"content": [{"name": "Anna\nMaria"}, {"name": "Ben",}, ]}',
        'The list: {"content": [{"name": "Anna\nMaria"}, {"name": "Ben"}],}',
    ],
)
def test_items_are_mended_as_an_answer_in_one_piece_is(text: str) -> None:
    client, adapter = make(text)
    live = list(client.create_iterable(User, MESSAGES))
    assert live == [User(name="Anna\nMaria"), User(name="Ben")]
    assert client.create(list[User], MESSAGES) == live
    assert len(adapter.requests) == 1


def test_an_item_left_out_stays_left_out_where_the_whole_has_to_be_mended() -> None:
    client, _ = make('{"content": [{"name": "Anna"}, {"age": 3}, {"name": "Ben"},]}')
    stream = client.create_iterable(User, MESSAGES, on_invalid="skip")
    assert [user.name for user in stream] == ["Anna", "Ben"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"name": "Anna\nMaria"}',
        '{"User": {"name": "Anna\\nMaria"}}',
        '{"name": "User", "arguments": {"name": "Anna\\nMaria"}}',
    ],
)
def test_parallel_calls_are_read_as_in_one_piece(arguments: str) -> None:
    client, _ = make(*[arguments] * 2, mode=Mode.PARALLEL_TOOLS)
    live = list(client.create_iterable(User, MESSAGES))
    assert live == client.create(list[User], MESSAGES, cache=None) == [User(name="Anna\nMaria")]
    assert list(client.create_iterable(User, MESSAGES)) == live


def test_a_parallel_call_that_holds_two_answers_is_refused_and_not_stored() -> None:
    client, _ = make('{"name": "Anna"} {"name": "Ben"}', mode=Mode.PARALLEL_TOOLS)
    stream = client.create_iterable(User, MESSAGES)
    assert next(stream).name == "Anna"
    with pytest.raises(InstructorRetryException):
        next(stream)
    assert client.cache_stats().writes == 0


@pytest.mark.parametrize(
    "text",
    [
        json.dumps('{"name": "Anna", "age": 3}'),
        '{"User": {"name": "Anna", "age": 3}}',
        'As [1] says of {name}: {"name": "Anna", "age": 3}',
        '{"name": "Anna", "age": 3, "age": 4}',
        '{"name": "Anna", "age": 3}',
    ],
    ids=["encoded twice", "wrapped", "in prose", "a name twice", "plain"],
)
def test_a_replay_shows_what_was_shown(text: str) -> None:
    client, adapter = make(text)
    live = list(client.create_partial(User, MESSAGES))
    assert list(client.create_partial(User, MESSAGES)) == live
    assert len(adapter.requests) == 1


def test_an_answer_after_a_draft_is_replayed_field_by_field() -> None:
    client, _ = make('Hm, {"name": "Ann"} </think>{"name": "Anna", "age": 3}')
    assert list(client.create_partial(User, MESSAGES))[-1] == User(name="Anna", age=3)
    again = list(client.create_partial(User, MESSAGES))
    assert [(user.name, user.age) for user in again] == [(None, None), ("Anna", None), ("Anna", 3), ("Anna", 3)]


@pytest.mark.parametrize("text", ['[{"name": "Anna"}, { {"name": "Ben"} "age": 3}]', '[{"name": "Anna"}], "more": @'])
def test_items_of_what_is_not_json_are_refused_in_the_end_and_not_stored(text: str) -> None:
    client, _ = make(f'{{"content": {text}}}')
    stream = client.create_iterable(User, MESSAGES)
    assert next(stream).name == "Anna"
    with pytest.raises(InstructorRetryException, match="Invalid JSON"):
        next(stream)
    assert client.cache_stats().writes == 0


def test_an_item_that_is_not_json_can_be_left_out() -> None:
    client, _ = make('{"content": [{"name": "Anna"}, {"name": "B"e"n"}, {"name": "Cleo"}]}')
    with client.create_iterable(User, MESSAGES, on_invalid="collect") as stream:
        assert [user.name for user in stream] == ["Anna", "Cleo"]
    assert [item.text for item in stream.invalid] == ['{"name": "B"e"n"}']


@dataclasses.dataclass
class Node:
    name: str
    nodes: list[Node] = dataclasses.field(default_factory=list)


class Leaf(typing_extensions.TypedDict):
    name: str
    leaves: list[Leaf]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Node, '{"name": "a", "nodes": [{"name": "b", "nodes": []}]}'),
        (Leaf, '{"name": "a", "leaves": [{"name": "b", "leaves": []}]}'),
    ],
)
def test_partial_records_are_of_one_type_and_may_hold_themselves(model: Any, text: str) -> None:
    client, _ = make(text)
    live = list(client.create_partial(model, MESSAGES))
    again = list(client.create_partial(model, MESSAGES))
    assert again == live
    assert list(map(type, again)) == list(map(type, live))


class Team(BaseModel):
    users: Iterable[str]


def test_an_iterable_shows_as_a_list() -> None:
    client, _ = make(list_of("Anna"), '{"users": ["Anna", "Ben"]}')
    shown: list[Any] = list(client.create_partial(Iterable[User], MESSAGES))
    assert [type(value) for value in shown[:-1]] == [list] * (len(shown) - 1)
    assert [user.name for user in shown[-2]] == ["Anna"]
    shown = list(client.create_partial(Team, MESSAGES))
    assert shown[-2].users == ["Anna", "Ben"]


async def test_a_waiter_does_not_share_the_error_of_a_stream_that_could_not_ask_again() -> None:
    client, adapter = make({"content": [{"name": "Anna"}, {"age": 3}]}, list_of("Ben"), kind=AsyncInstructor)
    stream = client.create_iterable(User, MESSAGES)
    assert (await anext(stream)).name == "Anna"
    another = contextvars.Context()  # a task that the stream's caller begins isn't made to wait for the stream
    waiter = asyncio.create_task(client.create(list[User], MESSAGES), context=another)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(adapter.requests) == 1, "the waiter waits"
    with pytest.raises(InstructorRetryException):
        await anext(stream)
    assert await waiter == [User(name="Ben")]
    assert len(adapter.requests) == 2
