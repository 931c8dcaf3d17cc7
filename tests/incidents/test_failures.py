"""Incidents 39 to 49: what isn't a whole, valid answer is neither stored nor served."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel, field_validator

from instructor import AutoCache, Mode, from_provider
from instructor.exceptions import IncompleteOutputException, InstructorError, InstructorRetryException, RefusalError
from instructor.testing import ScriptedReply
from replies import Reply, ReplyServer, chat_completion
from streams import JASON, OPENAI, StreamServer, answer_of, connect, script_of, take
from worlds import MESSAGES, Shelf, User, World, both

incident = pytest.mark.incident


def replies(*values: Any) -> Any:
    """Each in turn."""
    left = iter(values)
    return lambda: next(left)


@incident("39")
@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_is_never_stored_whatever_its_body_looks_like(reply_server: ReplyServer, status: int) -> None:
    body = chat_completion(tool="User", arguments={"name": "Anna"})
    reply_server.script(Reply(body, status=status), Reply(body))
    shelf = Shelf()
    with from_provider(
        OPENAI, base_url=reply_server.url, api_key="x", cache=shelf, mode=Mode.TOOLS, max_retries=0
    ) as client:
        client.client.max_retries = 0
        with pytest.raises((InstructorError, openai.OpenAIError)):
            client.create(User, MESSAGES)
        assert shelf.data == {}
        assert client.create(User, MESSAGES).name == "Anna"
    assert len(reply_server.requests) == 2


BAD_ANSWERS: dict[str, Any] = {
    "40": ScriptedReply("I am sorry, I cannot help with that.", as_text=True),
    "41": ScriptedReply('{"name": "An', finish_reason="length"),
    "42": ScriptedReply({"name": "An"}, finish_reason="length"),
    "43": ScriptedReply({"name": "Anna"}, finish_reason="length"),
    "44": {"title": "Anna"},
    "46": {"name": 7},
}


@both
@incident(*BAD_ANSWERS)
@pytest.mark.parametrize(("number", "bad"), BAD_ANSWERS.items(), ids=list(BAD_ANSWERS))
def test_an_answer_that_is_not_valid_and_whole_is_not_stored(number: str, bad: Any, asynchronous: bool) -> None:
    shelf = Shelf()
    world = World(shelf, asynchronous)
    world.reply = lambda: bad
    for _ in range(2):
        with pytest.raises((InstructorRetryException, IncompleteOutputException, RefusalError)):
            world.ask(max_retries=0)
    assert (shelf.data, world.asked) == ({}, 2), number
    world.reply = lambda: {"name": "Anna"}
    assert world.ask() == "Anna"


@both
@incident("44", "45", "46")
def test_a_retry_asks_and_a_hit_is_the_final_answer(asynchronous: bool) -> None:
    shelf = Shelf()
    world = World(shelf, asynchronous)
    world.reply = replies({"title": "no"}, {"name": 7}, {"name": "Anna"})
    assert [world.ask(max_retries=3), world.ask(max_retries=3)] == ["Anna", "Anna"]
    assert (world.asked, len(shelf.data)) == (3, 1)


@both
@incident("40")
def test_a_refusal_is_not_stored(asynchronous: bool) -> None:
    world = World(AutoCache(), asynchronous)
    world.reply = replies(ScriptedReply(None, refusal="No."), {"name": "Anna"})
    with pytest.raises(RefusalError):
        world.ask(max_retries=0)
    assert world.ask(max_retries=0) == "Anna"


@incident("47", "48")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_stream_that_is_left_stores_nothing_and_a_whole_one_replays(
    stream_server: StreamServer, is_async: bool
) -> None:
    class Jason(BaseModel):
        name: str
        age: int

    stream_server.script(script_of(OPENAI, Mode.TOOLS, answer_of(OPENAI, Mode.TOOLS, JASON, "Jason")))
    shelf = Shelf()
    async with connect(stream_server, OPENAI, mode=Mode.TOOLS, cache=shelf, async_client=is_async) as client:
        left = client.create_partial(Jason, MESSAGES)
        await anext(left) if is_async else next(left)
        await left.aclose() if is_async else left.close()
        assert shelf.data == {}
        shown = [await take(client.create_partial(Jason, MESSAGES)) for _ in range(3)]
    assert shown[0] == shown[1] == shown[2]
    assert len(stream_server.requests) == 2
    assert all(isinstance(text, str) for text in shelf.data.values())


@incident("49")
@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"name": "Anna"}'])
def test_a_broken_entry_is_asked_for_again_and_overwritten(broken: str) -> None:
    shelf = Shelf()
    world = World(shelf)
    world.ask()
    shelf.data = dict.fromkeys(shelf.data, broken)
    assert [world.ask(), world.ask()] == ["answer 2", "answer 2"]


@incident("49")
def test_an_entry_that_a_stricter_validator_refuses_is_a_miss() -> None:
    accepted = {"answer 1", "answer 2"}

    class Strict(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def known(cls, name: str) -> str:
            if name not in accepted:
                raise ValueError("unknown")
            return name

    world = World(AutoCache())
    assert world.client.create(Strict, MESSAGES).name == "answer 1"
    accepted.discard("answer 1")
    assert [world.client.create(Strict, MESSAGES).name for _ in range(2)] == ["answer 2", "answer 2"]
    assert world.asked == 2


@incident("39", "45")
def test_a_failure_is_shared_with_nobody_who_comes_later() -> None:
    world = World(AutoCache(), asynchronous=True)
    world.reply = replies(OSError("cut"), {"name": "Anna"})

    async def run() -> str:
        with pytest.raises(InstructorError):
            await world.client.create(User, MESSAGES, max_retries=0)
        return (await world.client.create(User, MESSAGES, max_retries=0)).name

    assert asyncio.run(run()) == "Anna"
