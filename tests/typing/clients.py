"""What mypy and pyright, both strict, must see of the clients. Checked by `make check`; never run."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Annotated, Any, Literal, Optional, TypedDict, assert_type

import anthropic
import openai
from pydantic import BaseModel

import instructor
from instructor import (
    AsyncInstructor,
    AsyncJob,
    BatchJob,
    Budget,
    Instructor,
    Job,
    Maybe,
    Mode,
    Partial,
    Reply,
    Row,
    from_provider,
)
from instructor.cache import AutoCache, BaseCache, CacheStats, DiskCache, make_cache_key
from instructor.dsl.maybe import MaybeBase
from instructor.hooks import CacheEvent, HookName, Hooks
from instructor.streams import AsyncStream, Stream
from instructor.usage import Usage

MESSAGES = [{"role": "user", "content": "Jason is 25."}]


class User(BaseModel):
    name: str


class Other(BaseModel):
    city: str


class Point(TypedDict):
    x: int


class Colour(enum.Enum):
    RED = "red"


def factories_return_the_kind_of_client_asked_for(choice: bool) -> None:
    assert_type(from_provider("openai/gpt-6-luna"), Instructor)
    assert_type(from_provider("openai/gpt-6-luna", async_client=False), Instructor)
    assert_type(from_provider("openai/gpt-6-luna", async_client=True), AsyncInstructor)
    assert_type(from_provider("openai/gpt-6-luna", async_client=choice), Instructor | AsyncInstructor)
    assert_type(instructor.from_openai(openai.OpenAI()), Instructor)
    assert_type(instructor.from_openai(openai.AsyncOpenAI()), AsyncInstructor)
    assert_type(instructor.from_anthropic(anthropic.Anthropic()), Instructor)
    assert_type(instructor.from_anthropic(anthropic.AsyncAnthropic()), AsyncInstructor)


def the_answer_has_the_type_of_the_response_model(client: Instructor) -> None:
    assert_type(client.create(response_model=User, messages=MESSAGES), User)
    assert_type(client.create(response_model=list[User], messages=MESSAGES), list[User])
    assert_type(client.create(response_model=Point, messages=MESSAGES), Point)
    assert_type(client.create(response_model=Colour, messages=MESSAGES), Colour)
    assert_type(client.create(response_model=Maybe(User), messages=MESSAGES), MaybeBase[User])
    assert_type(client.create(response_model=int, messages=MESSAGES), int)
    assert_type(client.create(response_model=None, messages=MESSAGES), Any)
    assert_type(client.chat.completions.create(response_model=User, messages=MESSAGES), User)
    assert_type(client.messages.create(response_model=User, messages=MESSAGES), User)


def what_is_not_a_class_is_typed_as_exactly(client: Instructor) -> None:
    assert_type(client.create(response_model=User | Other, messages=MESSAGES), User | Other)
    assert_type(client.create(Optional[User], MESSAGES), User | None)
    assert_type(client.create(list[User | Other], MESSAGES), list[User | Other])
    assert_type(client.create(Literal["red", "blue"], MESSAGES), Literal["red", "blue"])
    assert_type(client.create(Annotated[int, "years"], MESSAGES), int)
    assert_type(client.create_with_completion(User | None, MESSAGES), tuple[User | None, Any])


async def what_is_not_a_class_is_typed_when_awaited_too(client: AsyncInstructor) -> None:
    assert_type(await client.create(User | None, MESSAGES), User | None)
    assert_type(await client.create_with_completion(Literal[1], MESSAGES), tuple[Literal[1], Any])


def what_no_checker_can_know_is_any(client: Instructor, model: Any, annotation: object) -> None:
    """A type that is only known at run time, and a misspelt keyword, which may be one of the provider's."""
    assert_type(client.create(model, MESSAGES), Any)
    assert_type(client.create(annotation, MESSAGES), Any)
    client.create(User, MESSAGES, cache_tll=60)


def the_response_model_may_come_first_without_its_name(client: Instructor) -> None:
    assert_type(client.create(User, MESSAGES), User)
    assert_type(client.create(list[User], messages=MESSAGES), list[User])
    assert_type(client.create_with_completion(User, MESSAGES), tuple[User, Any])


def modes_of_1_x_are_modes() -> None:
    assert_type(from_provider("anthropic/claude-opus-5-5", mode=Mode.ANTHROPIC_TOOLS), Instructor)
    assert_type(from_provider("openai/gpt-6-luna", mode="tools"), Instructor)


def the_completion_comes_second(client: Instructor) -> None:
    assert_type(client.create_with_completion(response_model=User, messages=MESSAGES), tuple[User, Any])
    assert_type(client.create_with_completion(response_model=list[User], messages=MESSAGES), tuple[list[User], Any])
    assert_type(client.create_with_completion(response_model=None, messages=MESSAGES), tuple[Any, Any])


async def the_asynchronous_client_returns_awaitables_of_the_same(client: AsyncInstructor) -> None:
    pending: Awaitable[User] = client.create(response_model=User, messages=MESSAGES)
    assert_type(await pending, User)
    assert_type(await client.create(User, MESSAGES), User)
    assert_type(await client.create(response_model=list[User], messages=MESSAGES), list[User])
    assert_type(await client.create(response_model=None, messages=MESSAGES), Any)
    assert_type(await client.create_with_completion(response_model=User, messages=MESSAGES), tuple[User, Any])
    assert_type(await client.chat.completions.create(response_model=User, messages=MESSAGES), User)


def settings_of_one_call_are_typed(client: Instructor) -> None:
    client.create(response_model=User, messages=MESSAGES, cache=AutoCache(maxsize=10), cache_ttl=3600, max_retries=2)
    client.create(response_model=User, messages=MESSAGES, cache=None, context={"x": 1}, strict=False, temperature=0.1)


class Store(BaseCache):
    """The contract as the documentation shows it."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


def caches_are_typed() -> None:
    from_provider("openai/gpt-6-luna", cache=Store())
    assert_type(DiskCache(directory=".cache").stats(), CacheStats)
    assert_type(make_cache_key(messages=MESSAGES, model="gpt-6-luna", response_model=User, mode="TOOLS"), str)


def a_handler_of_a_client_knows_the_record_of_its_event(client: Instructor, later: AsyncInstructor) -> None:
    # As in the README. Were the event's type unknown here, pyright would report each of its attributes.
    client.on("cache:hit", lambda event: show(f"saved {event.seconds_saved:.1f} s, {event.tokens_saved} tokens"))
    client.on("cache:bypass", lambda event: show("not cached:", event.reason))
    client.on(HookName.COMPLETION_ERROR, on_error)
    later.on("cache:hit", on_hit_later)


def a_handler_knows_the_record_of_its_event(hooks: Hooks) -> None:
    # Were the event's type unknown here, pyright would report each of its attributes.
    hooks.on("cache:hit", lambda event: show(f"saved {event.seconds_saved:.1f} s, {event.tokens_saved} tokens"))
    hooks.on(HookName.CACHE_BYPASS, lambda event: show("not cached:", event.reason))
    hooks.on("completion:adapted", lambda event: show(event.reason, event.change))
    hooks.on("parse:error", lambda error: show(error.args))
    hooks.on("completion:usage", on_usage)
    hooks.on("completion:error", on_error)
    hooks.on("completion:kwargs", show)
    hooks.on("cache:hit", on_hit_later)


def show(*values: object, **more: object) -> None:
    del values, more


def on_usage(usage: Usage, attempt_number: int) -> None:
    show(usage.total_tokens, attempt_number)


def on_error(error: Exception, *, attempt_number: int) -> None:
    show(error, attempt_number)


async def on_hit_later(event: CacheEvent) -> None:
    show(event)


def streams_have_the_type_of_what_they_hand_out(client: Instructor, later: AsyncInstructor) -> None:
    assert_type(client.create_partial(response_model=User, messages=MESSAGES), Stream[User])
    assert_type(client.create_partial(Partial[User], MESSAGES), Stream[User])
    assert_type(client.create_partial(User | Other, MESSAGES), Stream[User | Other])
    assert_type(client.create_partial(list[User], MESSAGES), Stream[list[User]])
    assert_type(client.create_iterable(User, MESSAGES, on_invalid="skip"), Stream[User])
    assert_type(client.create_iterable(User | Other, MESSAGES), Stream[User | Other])
    assert_type(client.create_iterable(Iterable[User], MESSAGES), Stream[User])
    assert_type(client.create_iterable(Iterable[User | Other], MESSAGES), Stream[User | Other])
    assert_type(client.create_iterable(Literal["red"], MESSAGES), Stream[Literal["red"]])
    assert_type(client.create_iterable(int, MESSAGES), Stream[int])
    assert_type(later.create_partial(User, MESSAGES, cache_pace="recorded"), AsyncStream[User])
    assert_type(later.create_partial(Partial[User], MESSAGES), AsyncStream[User])
    assert_type(later.create_iterable(User, MESSAGES), AsyncStream[User])
    assert_type(later.create_iterable(Iterable[User | Other], MESSAGES), AsyncStream[User | Other])


def stream_true_makes_a_stream(client: Instructor, choice: bool) -> None:
    assert_type(client.create(response_model=User, messages=MESSAGES, stream=True, temperature=0), Stream[User])
    assert_type(client.create(response_model=Partial[User], messages=MESSAGES, stream=True), Stream[User])
    assert_type(client.create(response_model=Iterable[User], messages=MESSAGES, stream=True), Stream[User])
    assert_type(client.create(response_model=list[User], messages=MESSAGES, stream=True), Stream[User])
    assert_type(client.create(Iterable[User | Other], MESSAGES, stream=True), Stream[User | Other])
    assert_type(client.create(AsyncIterable[User], MESSAGES, stream=True), Stream[User])
    assert_type(client.create(User | Other, MESSAGES, stream=True), Stream[User | Other])
    assert_type(client.create(User | None, MESSAGES, stream=True), Stream[User | None])
    assert_type(client.create(Point, MESSAGES, stream=True), Stream[Point])
    assert_type(client.create(dict[str, int], MESSAGES, stream=True), Stream[dict[str, int]])
    assert_type(client.create(str, MESSAGES, stream=True), Stream[str])
    assert_type(client.create(response_model=None, messages=MESSAGES, stream=True), Any)
    assert_type(client.chat.completions.create(response_model=User, messages=MESSAGES, stream=True), Stream[User])
    assert_type(client.create(User, MESSAGES, stream=False), User)
    assert_type(client.create(User, MESSAGES, stream=choice), User)  # not to be known here


async def streams_of_tasks_are_typed(later: AsyncInstructor) -> None:
    async with later.create_iterable(User, MESSAGES) as stream:
        async for user in stream:
            assert_type(user, User)
    assert_type(await later.create(response_model=User, messages=MESSAGES, stream=True), AsyncStream[User])
    assert_type(await later.create(Partial[User], MESSAGES, stream=True), AsyncStream[User])
    async for item in await later.create(Iterable[User | Other], MESSAGES, stream=True):
        assert_type(item, User | Other)


def a_partial_object_has_the_fields_of_its_model(user: Partial[User]) -> str:
    return user.name


def a_reply_has_the_type_of_its_value(client: Instructor, model: Any) -> None:
    assert_type(client.create_with_reply(response_model=User, messages=MESSAGES), Reply[User])
    assert_type(client.create_with_reply(User | None, MESSAGES).value, User | None)
    assert_type(client.create_with_reply(None, MESSAGES), Reply[Any])
    assert_type(client.create_with_reply(model, MESSAGES), Reply[Any])
    assert_type(client.create_with_reply(User, MESSAGES).usage, Usage)


async def a_reply_is_typed_when_awaited_too(client: AsyncInstructor) -> None:
    assert_type(await client.create_with_reply(User, MESSAGES), Reply[User])
    assert_type(await client.create_with_reply(Literal[1], MESSAGES), Reply[Literal[1]])


def rows_of_a_job_have_the_type_of_their_value(client: Instructor, model: Any) -> None:
    assert_type(client.map(["a"], User), Job[User])
    assert_type(next(client.map(({"id": 1} for _ in "a"), User | None, prompt="{{ id }}")), Row[User | None])
    assert_type(client.map(["a"], list[User], temperature=0.5, concurrency=4), Job[list[User]])
    assert_type(client.map(["a"], model), Job[Any])
    with client.map(["a"], User, on_error="collect") as job:
        assert_type(job, Job[User | None])
        for row in job:
            assert_type(row.value, User | None)
            assert_type(row.cost, float | None)
    assert_type(client.map(["a"], list[User], on_error="collect", prompt="{{ text }}"), Job[list[User] | None])
    assert_type(next(client.map(["a"], User, prompt="{{ text }}", on_error="raise")).value, User)
    assert_type(client.map(["a"], model, on_error="collect"), Job[Any])
    client.map(["a"], User, on_error="skip")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


def a_job_may_be_told_later_what_to_do_with_errors(client: Instructor, on_error: Literal["raise", "collect"]) -> None:
    rows = list(client.map(["a"], User, on_error=on_error))
    assert_type(rows[0].value, User | None)


def rows_of_a_batch_have_the_type_of_their_value(client: Instructor) -> None:
    job = client.batch([{"id": 1}], User, lambda row: f"{row['id']}", temperature=0.5)
    assert_type(job, BatchJob[User])
    assert_type(next(job.results()).value, User | None)
    assert_type(client.batch(["a"], list[User], prompt="{{ text }}"), BatchJob[list[User]])
    assert_type(BatchJob.resume(job.id, client, User, poll_seconds=5), BatchJob[User])


def a_wrong_budget_of_a_job_is_seen(client: Instructor) -> None:
    client.map(["a"], User, budget=Budget(usd=5), limits=None, prompt_cache="5m")
    client.map(["a"], User, budget=5)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


async def rows_of_an_asynchronous_job_are_typed_too(client: AsyncInstructor) -> None:
    async with client.map(["a"], User) as job:
        assert_type(job, AsyncJob[User])
        async for row in job:
            assert_type(row.value, User)
    async for collected in client.map(["a"], Literal[1], on_error="collect"):
        assert_type(collected.value, Literal[1] | None)
    batch = await client.batch(["a"], User)
    async for answered in batch.results():
        assert_type(answered.value, User | None)
