"""Asynchronous validators judge every answer, live and from the cache, and are shown which attempt it is."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

import instructor
from instructor import (
    AsyncInstructor,
    AsyncValidationInfo,
    AutoCache,
    Instructor,
    Mode,
    async_field_validator,
    async_model_validator,
    current_attempt,
)
from instructor.engine.effects import Check
from instructor.engine.plan import Plans
from instructor.engine.question import answer
from instructor.exceptions import AsyncValidationError, ConfigurationError, InstructorRetryException
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO, Steps, completion, make_call

REFUSED = {"bad"}
"""What the models below refuse; tests change it between a live answer and its hit."""


class User(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str

    @async_field_validator("name")
    async def check_name(self, name: str) -> str:
        await asyncio.sleep(0)
        if name in REFUSED:
            raise ValueError(f"{name} is taken")
        return name.title()


class Team(BaseModel):
    lead: User
    members: list[User] = []

    @async_model_validator()
    async def check_lead(self) -> None:
        if self.lead.name == "Nobody":
            raise ValueError("a team needs a lead")


@pytest.fixture(autouse=True)
def _restore() -> None:
    REFUSED.clear()
    REFUSED.add("bad")


def make_client(*replies: Any, asynchronous: bool = False, **settings: Any) -> tuple[ScriptedAdapter, Any]:
    adapter = ScriptedAdapter(list(replies), asynchronous=asynchronous)
    kind: Any = AsyncInstructor if asynchronous else Instructor
    return adapter, kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, model="m", **settings)


async def settle(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@both
async def test_a_refused_answer_is_asked_for_again_and_only_the_fault_is_shown(asynchronous: bool) -> None:
    team = {"lead": {"name": "ann"}, "members": [{"name": "bob"}, {"name": "bad"}]}
    adapter, client = make_client(team, {"lead": {"name": "ann"}}, asynchronous=asynchronous)
    assert await settle(client.create(Team, HELLO)) == Team(lead=User(name="Ann"))
    shown = adapter.requests[1]["messages"][-1]["content"]
    assert '- members.1.name: Value error, bad is taken (input: "bad")' in shown
    assert "- -" not in shown
    assert "lead" not in shown


@both
async def test_a_hit_is_judged_as_well(asynchronous: bool) -> None:
    adapter, client = make_client({"name": "ann"}, {"name": "bob"}, asynchronous=asynchronous, cache=AutoCache())
    for _ in range(2):
        assert await settle(client.create(User, HELLO)) == User(name="Ann")
    assert len(adapter.requests) == 1
    REFUSED.add("ann")
    assert await settle(client.create(User, HELLO)) == User(name="Bob")
    assert len(adapter.requests) == 2
    assert client.cache_stats().hits == 1


def test_the_flow_awaits_the_validators_before_it_ends_or_stores() -> None:
    steps = Steps(answer(make_call(response_model=User, key=None)))
    assert isinstance(steps.give(completion({"name": "ann"}, User)), Check)
    steps.give(None)
    assert steps.value.name == "ann"


async def test_a_shared_answer_is_judged_for_each_caller() -> None:
    adapter, client = make_client({"name": "ann"}, asynchronous=True, cache=AutoCache())
    users = await asyncio.gather(*(client.create(User, HELLO) for _ in range(3)))
    assert users == [User(name="Ann")] * 3
    assert len(adapter.requests) == 1


@both
async def test_items_of_a_stream_are_judged_each(asynchronous: bool) -> None:
    names = {"content": [{"name": "ann"}, {"name": "bad"}, {"name": "bob"}]}
    _, client = make_client(names, asynchronous=asynchronous)
    stream = client.create_iterable(User, HELLO, on_invalid="collect")
    users = [user async for user in stream] if asynchronous else list(stream)
    assert [user.name for user in users] == ["Ann", "Bob"]
    assert [item.text for item in stream.invalid] == ['{"name": "bad"}'] or len(stream.invalid) == 1


def test_a_stream_whose_first_item_is_refused_is_asked_for_again() -> None:
    adapter, client = make_client({"content": [{"name": "bad"}]}, {"content": [{"name": "ann"}]})
    assert [user.name for user in client.create_iterable(User, HELLO)] == ["Ann"]
    assert len(adapter.requests) == 2


def test_the_last_object_of_a_growing_one_is_judged() -> None:
    _, client = make_client({"name": "bad"})
    with pytest.raises(InstructorRetryException, match="bad is taken"):
        list(client.create_partial(User, HELLO))


async def test_independent_validators_run_at_the_same_time() -> None:
    entered = asyncio.Barrier(3)

    class Pair(BaseModel):
        left: str
        right: str

        @async_field_validator("left", "right")
        async def meet(self, value: str) -> str:
            await entered.wait()
            return value

    class Three(BaseModel):
        pair: Pair
        single: str

        @async_field_validator("single")
        async def come_after(self, value: str) -> str:
            assert entered.n_waiting == 0
            return value

    class Twice(BaseModel):
        pair: Pair
        other: Pair

    _, client = make_client({"pair": {"left": "a", "right": "b"}, "single": "c"}, asynchronous=True)
    entered = asyncio.Barrier(2)
    await asyncio.wait_for(client.create(Three, HELLO), 30)
    entered = asyncio.Barrier(4)
    _, client = make_client({name: {"left": "a", "right": "b"} for name in ("pair", "other")}, asynchronous=True)
    await asyncio.wait_for(client.create(Twice, HELLO), 30)


async def test_a_synchronous_client_runs_them_where_a_loop_runs_already() -> None:
    _, client = make_client({"name": "ann"})
    assert client.create(User, HELLO) == User(name="Ann")


def test_they_see_the_context_and_the_fields() -> None:
    seen: list[AsyncValidationInfo] = []

    @dataclass
    class Point:
        x: int
        y: int

        @async_field_validator("x")
        async def note(self, x: int, info: AsyncValidationInfo) -> int:
            seen.append(info)
            return x + 1

    _, client = make_client({"x": 1, "y": 2})
    assert client.create(Point, HELLO, context={"a": "b"}) == Point(2, 2)
    assert seen == [AsyncValidationInfo({"a": "b"}, "x", {"x": 1, "y": 2})]


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("broken")])
def test_another_error_ends_the_call(error: Exception) -> None:
    class Broken(BaseModel):
        name: str

        @async_model_validator()
        async def break_down(self) -> None:
            raise error

    adapter, client = make_client({"name": "a"}, {"name": "b"})
    with pytest.raises(InstructorRetryException) as caught:
        client.create(Broken, HELLO)
    assert caught.value.__cause__ is error
    assert len(adapter.requests) == 1


def test_the_error_has_the_place_of_each_fault() -> None:
    _, client = make_client({"lead": {"name": "bad"}, "members": [{"name": "bad"}]})
    with pytest.raises(InstructorRetryException) as caught:
        client.create(Team, HELLO, max_retries=0)
    cause = caught.value.__cause__
    assert isinstance(cause, AsyncValidationError)
    places: list[Any] = [error.errors()[0]["loc"] for error in cause.errors]  # type: ignore[attr-defined]
    assert sorted(places, key=str) == [("lead", "name"), ("members", 0, "name")]


def test_an_async_validator_under_pydantics_own_decorator_is_refused() -> None:
    class Lost(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        async def check(cls, name: str) -> str:
            return name

    async def check(name: str) -> str:
        return name

    class Inner(BaseModel):
        items: list[Annotated[str, AfterValidator(check)]]

    for model in (Lost, list[Lost], Inner):
        with pytest.raises(ConfigurationError, match=r"check is `async def`.*async_field_validator"):
            make_client({})[1].create(model, HELLO)


def test_a_declaration_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not `async def`"):
        async_field_validator("name")(lambda self, name: name)

    async def check(self: Any, name: str, other: str) -> str:
        return name

    with pytest.raises(ConfigurationError, match=r"Write \(self, value\)"):
        async_field_validator("name")(check)

    class Wrong(BaseModel):
        name: str

        @async_field_validator("nmae")
        async def check(self, name: str) -> str:
            return name

    with pytest.raises(ConfigurationError, match="Wrong has no field 'nmae'"):
        make_client({})[1].create(Wrong, HELLO)


def test_a_model_without_them_keeps_its_fast_path() -> None:
    class Plain(BaseModel):
        name: str

    _, client = make_client({"name": "a"}, {"name": "b"}, cache=AutoCache())
    client.create(Plain, HELLO)
    assert id(Plain) in client._plans.by_class
    client.create(User, HELLO)
    assert id(User) not in client._plans.by_class


def test_a_validator_sees_the_attempt_and_its_context_stays_the_callers() -> None:
    seen: list[Any] = []

    class Short(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def check(cls, text: str, info: ValidationInfo) -> str:
            attempt = current_attempt()
            seen.append((attempt, info.context))
            if len(text) > 3 and attempt is not None and not attempt.is_last:
                raise ValueError("write less")
            return text

    adapter, client = make_client(*[{"text": "too long"}] * 3, cache=AutoCache())
    context = {"attempt": "the caller's own"}
    for _ in range(2):
        assert client.create(Short, HELLO, max_retries=2, context=context).text == "too long"
    assert len(adapter.requests) == 3, "what the last attempt accepted is a hit"
    numbers = [None if attempt is None else tuple(attempt) for attempt, _ in seen]
    assert numbers == [(1, False), (2, False), (3, True), None]
    assert all(given == context for _, given in seen)
    assert instructor.current_attempt() is None


@pytest.mark.usefixtures("clean_heap")
def test_no_plan_keeps_a_model_with_asynchronous_validators_alive() -> None:
    class Fleeting(BaseModel):
        name: str

        @async_field_validator("name")
        async def keep(self, name: str) -> str:
            return name if __class__ else ""  # a method that holds its class, as one with super() does

    plans = Plans()
    assert plans.make(Fleeting).awaits
    reference = weakref.ref(Fleeting)
    del Fleeting
    gc.collect()
    assert reference() is None
