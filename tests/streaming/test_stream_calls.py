"""What a streamed call shares with a plain one: events, retries, flights, and its end."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import pytest
import tenacity
from pydantic import BaseModel, ValidationInfo, field_validator

from instructor import AsyncInstructor, AutoCache, Hooks, Instructor, Mode
from instructor.cache import flight
from instructor.engine import drive, showing
from instructor.exceptions import ConfigurationError, InstructorRetryException, TokenUsageUnavailableError
from instructor.offline.chunks import stream_completion
from instructor.streaming import done, not_null
from instructor.testing import ScriptedAdapter, ScriptedReply
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from streams import settle

MESSAGES = [{"role": "user", "content": "Who?"}]
ANNA = {"name": "Anna Maria Luisa", "age": 25}
TEXT = '{"name": "Anna Maria Luisa", "age": 25}'


class User(BaseModel):
    name: str
    age: int = 18

    @field_validator("age")
    @classmethod
    def _is_human(cls, age: int, info: ValidationInfo) -> int:
        if age > (info.context or {}).get("oldest", 150):
            raise ValueError("nobody is so old")
        return age


class Team(BaseModel):
    motto: Annotated[str, done]
    members: list[Member]


class Member(BaseModel):
    name: Annotated[str, not_null]
    note: str = ""
    age: Annotated[int | None, not_null] = None


def make(*replies: Any, kind: Any = Instructor, cache: Any = None) -> tuple[Any, ScriptedAdapter]:
    adapter = ScriptedAdapter(list(replies), asynchronous=kind is AsyncInstructor)
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache), adapter


def test_a_field_shows_when_its_rule_lets_it() -> None:
    answer = {
        "motto": "one for all and all for one",
        "members": [{"name": "Athos", "age": 40, "note": "calm and quiet"}],
    }
    client, _ = make(answer)
    shown = list(client.create_partial(Team, MESSAGES))[:-1]
    assert {team.motto for team in shown} == {None, answer["motto"]}
    assert all(member.name and member.age for team in shown for member in team.members or ())
    assert len({member.note for team in shown for member in team.members or ()}) > 2


def test_the_sdks_own_stream_is_passed_through_and_not_cached() -> None:
    client, adapter = make(ANNA, ANNA, cache=AutoCache())
    for _ in range(2):
        chunks = list(client.create(None, MESSAGES, stream=True))
        assert {type(chunk).__name__ for chunk in chunks} == {"ChatCompletionChunk"}
    assert len(adapter.requests) == 2
    assert client.cache_stats().writes == 0
    assert adapter.requests[0]["stream"] is True
    assert "stream_options" not in adapter.requests[0]


async def test_the_sdks_own_stream_is_passed_through_to_tasks() -> None:
    client, _ = make(ANNA, kind=AsyncInstructor)
    chunks = [chunk async for chunk in await client.create(None, MESSAGES, stream=True)]
    assert chunks


def test_a_completion_beside_a_stream_is_refused_with_the_way_to_have_both() -> None:
    client, adapter = make(ANNA)
    with pytest.raises(ConfigurationError, match="create_partial"):
        client.create_with_completion(User, MESSAGES, stream=True)
    assert not adapter.requests


async def test_an_iterable_that_is_not_streamed_is_a_list_that_async_for_takes_too() -> None:
    client, _ = make({"content": [ANNA]}, kind=AsyncInstructor, cache=AutoCache())
    for _ in range(2):
        users = await client.create(Iterable[User], MESSAGES)
        assert [user async for user in users] == list(users) == [User(**ANNA)]
    plain, _ = make({"content": [ANNA]})
    assert plain.create(Iterable[User], MESSAGES) == [User(**ANNA)]


def test_hooks_hear_of_a_streamed_call_as_of_a_plain_one() -> None:
    names = ("completion:kwargs", "completion:response", "completion:usage", "parse:error", "cache:miss", "cache:write")

    def listen(ask: Any) -> list[str]:
        heard: list[str] = []
        hooks = Hooks()
        for name in names:
            hooks.on(name, lambda *_, name=name, **__: heard.append(name))
        client, _ = make({"content": [ANNA]}, cache=AutoCache())
        ask(client, hooks)
        return heard

    plain = listen(lambda client, hooks: client.create(list[User], MESSAGES, hooks=hooks))
    assert plain == ["cache:miss", "completion:kwargs", "completion:response", "completion:usage", "cache:write"]
    assert listen(lambda client, hooks: list(client.create_iterable(User, MESSAGES, hooks=hooks))) == plain


def test_an_invalid_item_that_nobody_saw_is_an_event_and_a_retry() -> None:
    client, adapter = make({"content": [{"name": "A", "age": "x"}]}, {"content": [ANNA]})
    errors: list[Exception] = []
    client.on("parse:error", lambda error, **_: errors.append(error))
    assert list(client.create_iterable(User, MESSAGES)) == [User(**ANNA)]
    assert len(errors) == 1
    assert len(adapter.requests) == 2


async def test_asynchronous_handlers_of_a_stream_are_awaited() -> None:
    heard: list[str] = []

    async def hear(*_: Any, **__: Any) -> None:
        heard.append("kwargs")

    client, _ = make(ANNA, kind=AsyncInstructor)
    client.on("completion:kwargs", hear)
    assert [user async for user in client.create_partial(User, MESSAGES)][-1] == User(**ANNA)
    assert heard == ["kwargs"]


def test_the_context_and_strictness_of_a_call_judge_the_whole_answer_and_each_item() -> None:
    client, _ = make(ANNA, {"content": [ANNA]}, {"content": [{"name": "A", "age": "7"}]})
    with pytest.raises(InstructorRetryException, match="nobody is so old"):
        list(client.create_partial(User, MESSAGES, context={"oldest": 20}))
    with pytest.raises(InstructorRetryException, match="nobody is so old"):
        list(client.create_iterable(User, MESSAGES, context={"oldest": 20}, max_retries=0))
    assert [user.age for user in client.create_iterable(User, MESSAGES, strict=False)] == [7]


def test_a_token_budget_and_tenacity_end_a_stream_as_they_end_a_call() -> None:
    bad = {"content": [{"name": "A", "age": 999}]}
    client, adapter = make(ScriptedReply(bad, usage=Usage(500, 500)), bad, bad)
    # The stream is left at its first invalid item, before the provider says what it cost.
    with pytest.raises(TokenUsageUnavailableError):
        list(client.create_iterable(User, MESSAGES, token_budget=1, max_retries=1))
    assert len(adapter.requests) == 1
    client, adapter = make(ConnectionError("gone"), {"content": [ANNA]})
    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(2))
    assert list(client.create_iterable(User, MESSAGES, max_retries=retrying)) == [User(**ANNA)]
    assert len(adapter.requests) == 2


class BrokenAdapter(ScriptedAdapter):
    """Its streams break after some chunks."""

    def __init__(self, chunks: int) -> None:
        super().__init__(lambda _: ANNA)
        self.chunks = chunks
        self.closed = 0

    def send(self, operation: str, request: Any) -> Any:
        stream = super().send(operation, request)

        def cut() -> Iterator[Any]:
            try:
                for number, chunk in enumerate(stream):
                    if number == self.chunks:
                        raise ConnectionError("gone")
                    yield chunk
            finally:
                self.closed += 1

        return cut()


@pytest.mark.parametrize("chunks", range(8))
def test_a_stream_that_breaks_or_is_left_at_any_chunk_stores_nothing(chunks: int) -> None:
    options: dict[str, Any] = {"wires": {Mode.TOOLS: OPENAI_CHAT}, "mode": Mode.TOOLS, "model": "m"}
    cache = AutoCache()
    client = Instructor(BrokenAdapter(chunks), cache=cache, **options)
    try:
        list(client.create_partial(User, MESSAGES, max_retries=0))
    except InstructorRetryException:
        assert cache.stats().writes == 0
    else:
        assert cache.stats().writes == 1  # it broke after its last chunk
    cache = AutoCache()
    adapter = BrokenAdapter(1000)
    client = Instructor(adapter, cache=cache, **options)
    stream = client.create_partial(User, MESSAGES)
    for _ in range(chunks + 1):
        next(stream, None)
    if cache.stats().writes == 0:
        stream.close()
        assert cache.stats().writes == 0
    assert adapter.closed == 1


def test_a_stream_that_is_forgotten_is_closed_without_a_warning() -> None:
    adapter = BrokenAdapter(1000)
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    next(client.create_partial(User, MESSAGES))
    gc.collect()
    assert adapter.closed == 1


async def test_a_task_that_breaks_out_and_closes_stores_nothing() -> None:
    cache = AutoCache()
    client, _ = make(ANNA, kind=AsyncInstructor, cache=cache)
    stream = client.create_partial(User, MESSAGES)
    async for user in stream:
        if user.name:
            break
    await stream.aclose()
    assert cache.stats().writes == 0
    assert [user async for user in stream] == []


def test_a_stream_may_be_read_in_another_thread_than_it_was_begun_in() -> None:
    client, adapter = make(ANNA, cache=AutoCache())
    stream = client.create_partial(User, MESSAGES)
    shown = [next(stream)]
    thread = threading.Thread(target=lambda: shown.extend(stream))
    thread.start()
    thread.join()
    assert shown[-1] == client.create(User, MESSAGES)
    assert len(adapter.requests) == 1


def test_a_waiter_goes_on_alone_where_the_leaders_caller_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "REST", 0.0)
    monkeypatch.setattr(flight, "TICK", 0.001)
    client, adapter = make(ANNA, ANNA, cache=AutoCache())
    stream = client.create_partial(User, MESSAGES)
    next(stream)  # leads, and rests
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(client.create(User, MESSAGES)))
    thread.start()
    thread.join(30)
    assert found == [User(**ANNA)]
    assert list(stream)[-1] == found[0]
    assert len(adapter.requests) == 2


@pytest.mark.parametrize("kind", [Instructor, AsyncInstructor])
async def test_an_error_that_the_caller_throws_into_a_stream_is_no_waiters(kind: Any) -> None:
    client, adapter = make(ANNA, ANNA, kind=kind, cache=AutoCache())
    leader = client.create_partial(User, MESSAGES)
    await settle(next(leader) if kind is Instructor else anext(leader))
    (under_way,) = client._path.flights._flights.values()
    with pytest.raises(KeyError):
        await settle(leader.throw(KeyError()) if kind is Instructor else leader.athrow(KeyError()))
    assert under_way._landed is not None
    assert under_way._landed.error is None, "one of those who wait leads next"
    assert await settle(client.create(User, MESSAGES)) == User(**ANNA)
    assert len(adapter.requests) == 2


def test_identical_streams_under_way_make_one_request() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class SlowAdapter(ScriptedAdapter):
        def send(self, operation: str, request: Any) -> Any:
            entered.set()
            assert go_on.wait(30)
            return super().send(operation, request)

    adapter = SlowAdapter(lambda _: ANNA)
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    shown: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda: shown.append(list(client.create_partial(User, MESSAGES)))) for _ in range(4)
    ]
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(adapter.requests) == 1
    assert all(one == shown[0] for one in shown)
    assert len(shown) == 4


def test_a_validator_may_stream_by_the_same_client() -> None:
    client, _ = make({"text": "hello"}, ANNA, cache=AutoCache())

    class Text(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def _ask(cls, text: str) -> str:
            assert list(client.create_partial(User, MESSAGES))[-1] == User(**ANNA)
            return text

    assert list(client.create_partial(Text, MESSAGES))[-1].text == "hello"


def test_a_stream_comes_back_at_its_recorded_pace_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = [0.0], list[float]()
    monkeypatch.setattr(showing, "now", lambda: clock[0])
    monkeypatch.setattr(drive.time, "sleep", slept.append)

    class TickingAdapter(ScriptedAdapter):
        def send(self, operation: str, request: Any) -> Any:
            whole = super().send(operation, {name: value for name, value in request.items() if name != "stream"})
            for chunk in stream_completion(whole):
                clock[0] += 0.25
                yield chunk

    adapter = TickingAdapter(lambda _: ANNA)
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    live = []
    for user in client.create_partial(User, MESSAGES, cache_pace="recorded"):
        live.append(user)
        clock[0] += 100  # the caller's time isn't part of the pace
    assert not slept
    assert list(client.create_partial(User, MESSAGES)) == live
    assert not slept  # at once
    assert list(client.create_partial(User, MESSAGES, cache_pace="recorded")) == live
    assert len(slept) > 3
    assert set(slept) <= {0.25, 0.5, 0.75, 1.0}
    assert len(adapter.requests) == 1
    with pytest.raises(ConfigurationError, match="cache_pace"):
        client.create_partial(User, MESSAGES, cache_pace="slow")
