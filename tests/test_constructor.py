"""Clients over what a program hands over: an SDK's client, a function, or both; and the factories with a vendor's name."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import anthropic
import openai
import pytest
from anthropic.types import Message
from pydantic import BaseModel

import instructor
from instructor import AsyncInstructor, AutoCache, Instructor, Mode, Provider
from instructor.exceptions import ClientError, InstructorError, ModeError
from instructor.offline.adapter import answer_request

MESSAGES = [{"role": "user", "content": "Anna is 25."}]


class User(BaseModel):
    name: str
    age: int


ANNA = User(name="Anna", age=25)


def complete(**request: Any) -> Any:
    return answer_request(request)


async def complete_later(**request: Any) -> Any:
    return answer_request(request)


class Sdk:
    """A client of an SDK in the shape of OpenAI's."""

    def __init__(self, create: Any = complete) -> None:
        self.chat = MagicMock()
        self.chat.completions.create = create
        self.models = ["m"]


def test_over_a_function():
    client = Instructor(client=None, create=complete, mode=Mode.TOOLS, provider=Provider.OPENAI, model="m")
    assert client.create(User, MESSAGES) == ANNA
    assert client.provider is Provider.OPENAI


def test_over_a_coroutine_function():
    client = AsyncInstructor(client=object(), create=complete_later, mode=Mode.JSON, model="m")
    assert asyncio.run(client.create(User, MESSAGES)) == ANNA


def test_over_a_patched_function_the_validation_happens_once():
    calls: list[dict[str, Any]] = []

    def count(**request: Any) -> Any:
        calls.append(request)
        return answer_request(request)

    client = Instructor(client=Sdk(), create=instructor.patch(create=count), model="m")
    assert client.create(User, MESSAGES) == ANNA
    assert len(calls) == 1
    assert "response_model" not in calls[0]


def test_over_an_sdks_client_alone():
    assert Instructor(Sdk(), model="m", temperature=0).create(User, MESSAGES) == ANNA
    assert Instructor(openai.OpenAI(api_key="k", base_url="https://api.groq.com/openai/v1")).provider == "groq"
    assert Instructor(anthropic.Anthropic(api_key="k")).provider is Provider.ANTHROPIC


def test_the_method_of_a_client_speaks_its_own_operation():
    sdk = openai.OpenAI(api_key="k")
    assert Mode.RESPONSES_TOOLS not in Instructor(sdk, sdk.chat.completions.create)._wires
    assert set(Instructor(sdk, sdk.responses.create)._wires) == {Mode.RESPONSES_TOOLS}
    with pytest.raises(ModeError):
        Instructor(sdk, sdk.responses.create, mode=Mode.TOOLS)


def test_a_function_of_anthropics_shape_is_cached_as_its_own_class():
    data = {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "t", "name": "User", "input": {"name": "Anna", "age": 25}}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    calls: list[Any] = []

    def create(**request: Any) -> Message:
        calls.append(request)
        return Message.construct(**data)

    client = Instructor(
        anthropic.Anthropic(api_key="k"), create, provider=Provider.ANTHROPIC, model="claude-sonnet-4-6",
        mode=Mode.TOOLS, cache=AutoCache(), max_tokens=9,
    )  # fmt: skip
    live = client.create_with_completion(User, MESSAGES)
    kept = client.create_with_completion(User, MESSAGES)
    assert live[0] == kept[0] == ANNA
    assert type(kept[1]) is Message
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Instructor, "neither client= nor create="),
        (lambda: Instructor(client=3), "no chat.completions.create"),
        (lambda: Instructor(create=complete_later), "Use AsyncInstructor"),
        (lambda: AsyncInstructor(openai.OpenAI(api_key="k")), "Use Instructor"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Any, words: str):
    with pytest.raises(ClientError, match=words):
        make()


def test_a_mock_of_the_sdk_will_do():
    sdk = MagicMock(spec=openai.OpenAI)
    sdk.chat.completions.create.side_effect = complete
    assert instructor.from_openai(sdk, model="m").create(User, MESSAGES) == ANNA
    later = AsyncMock(side_effect=complete)
    assert asyncio.run(instructor.from_litellm(later, model="m").create(User, MESSAGES)) == ANNA


def test_the_attributes_of_1_x():
    client = Instructor(create=complete, model="m", temperature=0)
    assert client.kwargs == {"model": "m", "temperature": 0}
    assert client.default_model == "m"
    assert client.handle_kwargs({"temperature": 1}) == {"model": "m", "temperature": 1}
    assert client.create_fn(User, MESSAGES) == ANNA


def test_the_order_of_1_x_is_taken_too():
    client = instructor.from_provider("offline/demo", cache=AutoCache())
    assert client.create_with_completion(MESSAGES, User)[0] == ANNA  # type: ignore[call-overload]
    assert list(client.create_iterable(MESSAGES, User)) == [ANNA]  # type: ignore[call-overload]
    later = instructor.from_provider("offline/demo", async_client=True)

    async def ask() -> tuple[Any, list[Any]]:
        user, _ = await later.create_with_completion(MESSAGES, User)  # type: ignore[call-overload]
        return user, [item async for item in later.create_iterable(MESSAGES, User)]  # type: ignore[call-overload]

    assert asyncio.run(ask()) == (ANNA, [ANNA])


def test_a_text_is_one_message():
    client = instructor.from_provider("offline/demo", cache=AutoCache())
    assert client.create(User, "Anna is 25.") == ANNA  # type: ignore[call-overload]
    assert client.create(User, MESSAGES) == ANNA
    assert client.cache_stats().hits == 1


@pytest.mark.parametrize(
    "name", ["cerebras", "databricks", "deepseek", "fireworks", "groq", "openrouter", "perplexity", "together"]
)
def test_a_vendors_factory_asks_through_the_client(name: str):
    factory = getattr(instructor, f"from_{name}")
    client = factory(Sdk(), model="m")
    assert client.create(User, MESSAGES) == ANNA
    assert client.provider is Provider(name)
    assert client.models == ["m"]
    later = factory(Sdk(complete_later), model="m")
    assert asyncio.run(later.create(User, MESSAGES)) == ANNA
    assert isinstance(factory("some-model", async_client=True), AsyncInstructor)


def test_an_error_can_be_made_of_another():
    assert str(InstructorError.from_exception(KeyError("x"))) == "'x'"
