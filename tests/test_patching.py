"""Clients over functions, and `patch`: what programs written for 1.x do, with the real SDK where there is one."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

import instructor
from instructor import AsyncInstructor, AutoCache, Instructor
from instructor.exceptions import ClientError
from instructor.offline.adapter import answer_request

MESSAGES = [{"role": "user", "content": "Anna is 25."}]


class User(BaseModel):
    name: str
    age: int


ANNA = User(name="Anna", age=25)


def complete(**request: Any) -> ChatCompletion:
    return answer_request(request)


async def complete_async(**request: Any) -> ChatCompletion:
    return answer_request(request)


def complete_as_data(**request: Any) -> dict[str, Any]:
    data: dict[str, Any] = answer_request(request).to_dict()
    return data


@pytest.mark.parametrize("function", [complete, complete_as_data])
def test_a_function_is_asked_and_its_answers_are_kept(function: Any) -> None:
    calls: list[Any] = []

    def count(**request: Any) -> Any:
        calls.append(request)
        return function(**request)

    client = instructor.from_litellm(count, model="any/model", cache=AutoCache())
    assert isinstance(client, Instructor)
    user, completion = client.create_with_completion(User, MESSAGES)
    again = client.create_with_completion(User, MESSAGES)
    assert (user, completion) == again == (ANNA, completion)
    assert type(again[1]) is type(completion)
    assert [call["model"] for call in calls] == ["any/model"]


async def test_a_coroutine_function_makes_an_asynchronous_client() -> None:
    client = instructor.from_litellm(complete_async, model="any")
    assert isinstance(client, AsyncInstructor)
    assert await client.create(User, MESSAGES) == ANNA


def test_two_functions_that_look_alike_do_not_share_answers() -> None:
    cache, calls = AutoCache(), []
    for _ in range(2):

        def count(**request: Any) -> Any:
            calls.append(request)
            return complete(**request)

        assert instructor.from_litellm(count, model="any", cache=cache).create(User, MESSAGES) == ANNA
    assert len(calls) == 2


def test_a_function_of_a_module_shares_its_answers() -> None:
    cache = AutoCache()
    for _ in range(2):
        instructor.from_litellm(complete, model="any", cache=cache).create(User, MESSAGES)
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


def test_a_patched_client_takes_a_response_model() -> None:
    client = openai.OpenAI(api_key="k")
    client.chat.completions.create = MagicMock(side_effect=complete)
    patched: Any = instructor.patch(client)
    assert patched is client
    assert patched.chat.completions.create(model="m", response_model=User, messages=MESSAGES) == ANNA
    raw = patched.chat.completions.create(model="m", messages=MESSAGES)
    assert isinstance(raw, ChatCompletion)


async def test_a_patched_function_is_patched_once() -> None:
    once = instructor.patch(create=complete_async)
    twice = instructor.patch(create=once)
    assert twice.__name__ == "complete_async"
    assert await twice(model="m", response_model=User, messages=MESSAGES) == ANNA


def test_the_old_name_for_asynchronous_clients_warns() -> None:
    client = openai.AsyncOpenAI(api_key="k")
    with pytest.warns(DeprecationWarning, match="patch"):
        assert instructor.apatch(client) is client


def test_nothing_to_patch_is_refused() -> None:
    with pytest.raises(ClientError, match="client= or create="):
        instructor.patch()
