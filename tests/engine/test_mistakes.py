"""A mistake of the program within a validator is told at once: no model can mend it, so none is asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from instructor import Mode, async_field_validator, from_provider
from instructor.exceptions import ArgumentError, InstructorRetryException

MESSAGES = [{"role": "user", "content": "Anna is 25."}]
JUDGE = from_provider("offline/demo")


class User(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        return JUDGE.create(str, [], max_retries=0) or name


class LaterUser(BaseModel):
    name: str

    @async_field_validator("name")
    async def check_name(self, name: str) -> str:
        return JUDGE.create(str, [], max_retries=0) or name


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda client: client.create(User, MESSAGES), id="plain"),
        pytest.param(lambda client: client.create(LaterUser, MESSAGES), id="asynchronous"),
        pytest.param(lambda client: list(client.create_partial(User, MESSAGES, validate_partial=True)), id="partial"),
        pytest.param(lambda client: list(client.create_iterable(User, MESSAGES, on_invalid="skip")), id="item"),
        pytest.param(lambda client: list(client.create_iterable(LaterUser, MESSAGES, on_invalid="skip")), id="later"),
    ],
)
def test_a_wrong_argument_in_a_validator_ends_the_call(ask: Callable[[Any], object]) -> None:
    requests: list[object] = []
    client = from_provider("offline/demo")
    client.on("completion:kwargs", lambda **request: requests.append(request))
    with pytest.raises(
        InstructorRetryException, match=r"asked once\. Last error: ArgumentError: messages is empty"
    ) as told:
        ask(client)
    assert isinstance(told.value.__cause__, ArgumentError)
    assert len(requests) == 1


def test_a_wrong_argument_in_the_validator_of_one_of_several_tools_ends_the_call() -> None:
    client = from_provider("offline/demo", mode=Mode.PARALLEL_TOOLS)
    with pytest.raises(InstructorRetryException, match=r"asked once\. Last error: ArgumentError"):
        client.create(list[User], MESSAGES)
