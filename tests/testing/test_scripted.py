"""A scripted port answers in turn, in every mode, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor
from instructor.exceptions import (
    ConfigurationError,
    IncompleteOutputException,
    InstructorRetryException,
    ProviderError,
    RefusalError,
)
from instructor.mode import Mode
from instructor.testing import ScriptedAdapter, ScriptedReply
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT


class User(BaseModel):
    name: str
    age: int


ADA = User(name="Ada", age=36)
ASKED: dict[str, Any] = {"response_model": User, "messages": [{"role": "user", "content": "Ada is 36."}]}


def make_client(port: ScriptedAdapter, mode: Mode = Mode.TOOLS) -> Any:
    client_class = AsyncInstructor if port.asynchronous else Instructor
    return client_class(port, wires=dict.fromkeys(OPENAI_CHAT.modes, OPENAI_CHAT), mode=mode, model="any")


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
@pytest.mark.parametrize("reply", [ADA, {"name": "Ada", "age": 36}, '{"name": "Ada", "age": 36}', lambda _: ADA])
def test_every_kind_of_reply_is_an_answer_in_every_mode(mode: Mode, reply: Any):
    port = ScriptedAdapter([reply])
    user, completion = make_client(port, mode).create_with_completion(**ASKED)
    assert user == ADA
    assert type(completion) is ChatCompletion
    assert bool(completion.choices[0].message.tool_calls) == (mode is Mode.TOOLS)


def test_replies_come_in_turn_and_requests_are_remembered():
    port = ScriptedAdapter([{"name": "Ada"}, ADA])
    assert make_client(port).create(**ASKED) == ADA
    assert len(port.requests) == 2
    assert "age" in str(port.requests[1]["messages"][-1])


def test_one_function_answers_every_request():
    port = ScriptedAdapter(lambda request: {"name": request["messages"][0]["content"], "age": 1})
    client = make_client(port)
    for word in ("one", "two"):
        assert client.create(response_model=User, messages=[{"role": "user", "content": word}]).name == word


def test_a_completion_of_your_own_is_handed_over_as_it_is():
    made = make_client(ScriptedAdapter([ADA])).create_with_completion(**ASKED)[1]
    assert make_client(ScriptedAdapter([made])).create_with_completion(**ASKED)[1] is made


def test_an_exception_is_raised_as_the_providers():
    with pytest.raises(InstructorRetryException) as caught:
        make_client(ScriptedAdapter([OSError("gone")])).create(**ASKED)
    assert "gone" in str(caught.value)


def test_a_cut_off_answer_a_refusal_and_a_price_can_be_scripted():
    with pytest.raises(IncompleteOutputException):
        make_client(ScriptedAdapter([ScriptedReply('{"name": "A', finish_reason="length")])).create(**ASKED)
    with pytest.raises(RefusalError):
        make_client(ScriptedAdapter([ScriptedReply(refusal="No.")])).create(**ASKED)
    reply = ScriptedReply(ADA, usage=Usage(7, 3))
    usage = make_client(ScriptedAdapter([reply])).create_with_completion(**ASKED)[1].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)


def test_a_request_too_many_says_how_many_were_scripted():
    client = make_client(ScriptedAdapter([ADA]))
    client.create(**ASKED)
    with pytest.raises(ProviderError, match="Request 2 came, but the script ends after 1"):
        client.create(**ASKED)


async def test_an_async_reply_can_be_held_until_a_test_lets_it_go():
    arrived, go = asyncio.Event(), asyncio.Event()

    async def reply(_: Any) -> User:
        arrived.set()
        await go.wait()
        return ADA

    answer = asyncio.create_task(make_client(ScriptedAdapter([reply], asynchronous=True)).create(**ASKED))
    await arrived.wait()
    assert not answer.done()
    go.set()
    assert await answer == ADA


def test_a_plain_reply_can_be_held_in_a_thread():
    arrived, go = threading.Event(), threading.Event()

    def reply(_: Any) -> User:
        arrived.set()
        assert go.wait(30)
        return ADA

    answers: list[User] = []
    client = make_client(ScriptedAdapter([reply]))
    thread = threading.Thread(target=lambda: answers.append(client.create(**ASKED)))
    thread.start()
    assert arrived.wait(30)
    assert answers == []
    go.set()
    thread.join()
    assert answers == [ADA]


def test_an_async_reply_needs_an_asynchronous_port():
    async def reply(_: Any) -> User:
        return ADA

    with pytest.raises(ConfigurationError, match="asynchronous=True"):
        make_client(ScriptedAdapter([reply])).create(**ASKED)


@pytest.mark.parametrize("replies", ["text", {"name": "Ada"}, ADA, None, 3])
def test_what_is_no_list_of_replies_is_refused(replies: Any):
    with pytest.raises(ConfigurationError, match="list of replies"):
        ScriptedAdapter(replies)
