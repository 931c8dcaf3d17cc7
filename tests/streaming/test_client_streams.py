"""Streams of the clients: what is handed out, kept and replayed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

import pytest
from pydantic import BaseModel, ValidationInfo, field_validator, model_validator

from instructor import AsyncInstructor, AutoCache, Instructor, Mode, Partial, current_attempt, from_provider
from instructor.exceptions import ArgumentError, ConfigurationError, InstructorRetryException
from instructor.media import detection
from instructor.streaming import done
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from samples import PNG

MESSAGES = [{"role": "user", "content": "Who?"}]


class User(BaseModel):
    name: str
    age: int = 18

    @field_validator("age")
    @classmethod
    def _is_human(cls, age: int) -> int:
        if age > 150:
            raise ValueError("nobody is so old")
        return age


ANNA = {"name": "Anna Maria Luisa", "age": 25}


def make(*replies: Any, kind: Any = Instructor, cache: Any = None) -> tuple[Any, ScriptedAdapter]:
    adapter = ScriptedAdapter(list(replies), asynchronous=kind is AsyncInstructor)
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache), adapter


def test_objects_grow_and_the_last_is_the_validated_one() -> None:
    client, _ = make(ANNA)
    shown = list(client.create_partial(User, MESSAGES))
    assert type(shown[0]) is Partial[User]
    assert (shown[0].name, shown[0].age) == (None, None)  # not 18, which nobody has answered
    names = [user.name for user in shown if user.name]
    assert names[0] == "Ann"
    assert all("Anna Maria Luisa".startswith(name) for name in names)
    assert shown[-1] == User(name="Anna Maria Luisa", age=25)
    assert type(shown[-1]) is User


def test_a_stream_and_a_plain_call_share_one_entry() -> None:
    client, adapter = make(ANNA, cache=AutoCache())
    with client.create_partial(User, MESSAGES) as stream:
        live = list(stream)
    assert not stream.is_cached
    assert client.create(User, MESSAGES) == live[-1]
    with client.create(Partial[User], MESSAGES, stream=True) as again:
        assert list(again) == live
    assert again.is_cached
    assert again.completion.model_dump() == stream.completion.model_dump()
    assert len(adapter.requests) == 1


def test_an_answer_in_one_piece_is_replayed_field_by_field() -> None:
    client, _ = make(ANNA, cache=AutoCache())
    whole = client.create(User, MESSAGES)
    shown = list(client.create_partial(User, MESSAGES))
    assert [(user.name, user.age) for user in shown] == [
        (None, None),
        ("Anna Maria Luisa", None),
        ("Anna Maria Luisa", 25),
        ("Anna Maria Luisa", 25),
    ]
    assert shown[-1] == whole


def test_items_come_one_by_one_and_are_shared_with_the_plain_call() -> None:
    users = [{"name": f"U{number}", "age": number} for number in range(5)]
    client, adapter = make({"content": users}, cache=AutoCache())
    live = list(client.create(Iterable[User], MESSAGES, stream=True))
    assert live == [User(**user) for user in users]
    assert list(client.create_iterable(User, MESSAGES)) == client.create(list[User], MESSAGES) == live
    assert len(adapter.requests) == 1


@pytest.mark.parametrize(
    "settings", [{"on_invalid": "ignore"}, {"cache_pace": 1}, {"validate_partial": "yes"}], ids=str
)
def test_a_wrong_setting_of_streams_is_refused_where_it_is_made(settings: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(settings))} is .* Pass "):
        from_provider("offline/demo", **settings)


def test_invalid_items_are_not_left_out_of_a_call_without_items() -> None:
    client = from_provider("offline/demo", on_invalid="skip")  # for the calls that have items
    client.create(list[User], MESSAGES)
    for ask in (client.create, client.create_partial):
        with pytest.warns(UserWarning, match=r"no effect.* Use create_iterable\(\)") as told:
            ask(list[User], MESSAGES, on_invalid="skip")
        assert told[0].filename == __file__
        with pytest.raises(ArgumentError, match="on_invalid is 'ignore'"):
            ask(list[User], MESSAGES, on_invalid="ignore")


@pytest.mark.parametrize(("on_invalid", "kept"), [("skip", 0), ("collect", 1)])
def test_an_invalid_item_can_be_left_out_and_the_stream_is_not_stored(on_invalid: Any, kept: int) -> None:
    users = [{"name": "A"}, {"name": "B", "age": 999}, {"name": "C"}]
    client, adapter = make({"content": users}, {"content": users}, cache=AutoCache())
    with client.create_iterable(User, MESSAGES, on_invalid=on_invalid) as stream:
        assert [user.name for user in stream] == ["A", "C"]
    assert len(stream.invalid) == kept
    list(client.create_iterable(User, MESSAGES, on_invalid=on_invalid))
    assert len(adapter.requests) == 2


def test_an_invalid_item_after_others_ends_the_stream_without_a_retry() -> None:
    client, adapter = make({"content": [{"name": "A"}, {"name": "B", "age": 999}]}, {"content": []})
    stream = client.create_iterable(User, MESSAGES)
    assert next(stream).name == "A"
    with pytest.raises(InstructorRetryException, match="nobody is so old"):
        next(stream)
    assert len(adapter.requests) == 1


def test_an_invalid_first_item_is_asked_for_again() -> None:
    client, adapter = make({"content": [{"name": "B", "age": 999}]}, {"content": [{"name": "A"}]})
    assert [user.name for user in client.create_iterable(User, MESSAGES)] == ["A"]
    assert len(adapter.requests) == 2


def test_a_stream_that_is_left_early_is_closed_and_stores_nothing() -> None:
    cache = AutoCache()
    client, adapter = make(ANNA, ANNA, cache=cache)
    with client.create_partial(User, MESSAGES) as stream:
        next(stream)
    assert cache.stats().writes == 0
    assert client.create(User, MESSAGES).name == "Anna Maria Luisa"
    assert len(adapter.requests) == 2


async def test_tasks_stream_alike() -> None:
    client, adapter = make(ANNA, kind=AsyncInstructor, cache=AutoCache())
    live = [user async for user in client.create_partial(User, MESSAGES)]
    again = [user async for user in await client.create(User, MESSAGES, stream=True)]
    assert live == again
    assert live[-1] == await client.create(User, MESSAGES)
    assert len(adapter.requests) == 1


def test_a_wire_that_does_not_stream_is_named_before_anything_is_sent() -> None:
    class Plain:
        """A wire of somebody else's, made before there were streams."""

        def __getattr__(self, name: str) -> Any:
            if name == "streaming":
                raise AttributeError(name)
            return getattr(OPENAI_CHAT, name)

    adapter = ScriptedAdapter([ANNA, ANNA])
    client: Any = Instructor(adapter, wires={Mode.TOOLS: Plain()}, mode=Mode.TOOLS, model="m")  # type: ignore[dict-item]
    with pytest.raises(ConfigurationError, match="Answers of scripted can't be streamed"):
        list(client.create_partial(User, MESSAGES))
    assert adapter.requests == []
    assert client.create(User, MESSAGES).age == 25


def test_a_stream_that_breaks_is_an_error_of_the_request_and_not_of_the_answer() -> None:
    def broken(request: Any) -> Any:
        raise ConnectionResetError("gone")

    class Breaking(ScriptedAdapter):
        def send(self, operation: str, request: Any) -> Any:
            chunks = super().send(operation, request)
            return (broken(request) if number == 3 else chunk for number, chunk in enumerate(chunks))

    client: Any = Instructor(Breaking([ANNA]), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m")
    told: list[str] = []
    client.on("completion:error", lambda error: told.append(f"request: {error}"))
    client.on("parse:error", lambda error: told.append(f"answer: {error}"))
    with pytest.raises(InstructorRetryException, match="gone"):
        list(client.create_partial(User, MESSAGES))
    assert told == ["request: gone"]


async def take(client: Any, way: str) -> list[Any]:
    """What a stream of the asynchronous client shows; the messages change before its first value is asked for."""
    messages = [{"role": "user", "content": "picture.png"}]
    if way == "raw":
        return [chunk async for chunk in await client.create(None, messages, stream=True, autodetect_images=True)]
    stream = getattr(client, way)(User, messages, autodetect_images=True)
    messages.clear()
    return [value async for value in stream]


@pytest.mark.parametrize("way", ["create_partial", "create_iterable", "raw"])
async def test_files_are_looked_up_beside_the_event_loop(way: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").write_bytes(PNG)
    threads: list[threading.Thread] = []
    detect = detection.detect

    def watch(text: str) -> Any:
        threads.append(threading.current_thread())
        return detect(text)

    monkeypatch.setattr(detection, "detect", watch)
    client, adapter = make({"content": [ANNA]} if way == "create_iterable" else ANNA, kind=AsyncInstructor)
    assert await take(client, way)
    assert adapter.requests[0]["messages"][0]["content"][0]["type"] == "image_url"
    assert threads
    assert threading.main_thread() not in threads


async def test_a_stream_that_looks_up_files_can_be_left_early() -> None:
    client, _ = make(ANNA, kind=AsyncInstructor, cache=AutoCache())
    async with client.create_partial(User, MESSAGES, autodetect_images=True) as stream:
        async for _ in stream:
            break
    assert client.cache_stats().writes == 0
    assert stream.completion is None


def test_what_becomes_of_invalid_items_can_be_a_setting_of_the_client() -> None:
    adapter = ScriptedAdapter([{"content": [ANNA, {"name": "Eve", "age": 200}]}] * 2)
    wires = {Mode.TOOLS: OPENAI_CHAT}
    client = Instructor(adapter, wires=wires, mode=Mode.TOOLS, model="m", on_invalid="skip")
    assert [user.name for user in client.create_iterable(User, MESSAGES)] == ["Anna Maria Luisa"]
    with pytest.raises(InstructorRetryException):
        list(client.create_iterable(User, MESSAGES, on_invalid="raise"))


class Order(BaseModel):
    number: int
    city: Annotated[str, done]
    amount: float = 0.0
    note: str = ""

    @field_validator("number")
    @classmethod
    def _is_known(cls, number: int) -> int:
        if number > 100:
            raise ValueError("there is no such order")
        return number

    @field_validator("amount")
    @classmethod
    def _is_paid(cls, amount: float, info: ValidationInfo) -> float:
        if amount > info.data.get("number", 0):
            raise ValueError("more than its number")
        return amount

    @field_validator("city")
    @classmethod
    def _is_near(cls, city: str, info: ValidationInfo) -> str:
        return city if info.data["number"] else ""  # a KeyError, as long as the number has not come

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.note:
            raise ValueError("the note is missing")
        return self


LONG = "It was a long way. " * 20
ORDER = {"number": 7, "city": "Oslo", "amount": 5.5, "note": LONG}


def text_of(stream: Any) -> tuple[list[Any], BaseException | None]:
    """What a stream shows, and the error that ends it."""
    shown: list[Any] = []
    try:
        shown.extend(stream)  # what came before an error stays
    except InstructorRetryException as error:
        return shown, error
    return shown, None


def test_an_invalid_field_ends_the_stream_before_the_rest_has_come() -> None:
    wrong = {**ORDER, "amount": 80}
    shown, error = text_of(make(wrong)[0].create_partial(Order, MESSAGES, validate_partial=True))
    assert error is not None
    assert "more than its number" in str(error)
    assert "note" not in str(error)  # which is not missing, only not here yet
    assert shown[-1].city == "Oslo"
    assert not any(order.amount or order.note for order in shown)
    shown, error = text_of(make(wrong)[0].create_partial(Order, MESSAGES))
    assert error is not None
    assert shown[-1].note == LONG  # without the keyword all of it comes first


def test_an_invalid_first_field_is_asked_for_again() -> None:
    client, adapter = make({**ORDER, "number": 700}, ORDER, cache=AutoCache())
    shown = list(client.create_partial(Order, MESSAGES, validate_partial=True))
    assert shown[-1] == Order(**ORDER)
    assert [order.number for order in shown if order.number] == [7] * (len(shown) - 1)
    assert "there is no such order" in str(adapter.requests[1]["messages"])
    assert client.create(Order, MESSAGES) == shown[-1]  # the keyword isn't in the key


def test_a_valid_answer_shows_the_same_with_and_without() -> None:
    one, other = (list(make(ORDER)[0].create_partial(Order, MESSAGES, validate_partial=way)) for way in (True, False))
    assert one == other


def test_what_needs_the_rest_is_judged_when_the_rest_is_there() -> None:
    """A field that comes before one that its validator asks for, and a validator of the whole object."""
    turned = {"amount": 5.5, "city": "Oslo", "number": 7, "note": LONG}
    assert list(make(turned)[0].create_partial(Order, MESSAGES, validate_partial=True))[-1] == Order(**ORDER)
    turned["amount"] = 80
    shown, error = text_of(make(turned)[0].create_partial(Order, MESSAGES, validate_partial=True))
    assert "more than its number" in str(error)
    assert [shown[-1].amount, shown[-1].note] == [80, None]  # its number was the last that it waited for


def test_a_validator_that_sees_all_data_first_is_not_asked_early() -> None:
    class Sum(BaseModel):
        one: int
        other: int
        note: str

        @model_validator(mode="before")
        @classmethod
        def _read(cls, data: Any) -> Any:
            return {**data, "one": min(data["one"], data.get("other", 99))}

        @field_validator("one")
        @classmethod
        def _is_small(cls, one: int) -> int:
            if one > 10:
                raise ValueError("too much")
            return one

    answer = {"one": 70, "other": 7, "note": LONG}
    assert list(make(answer)[0].create_partial(Sum, MESSAGES, validate_partial=True))[-1].one == 7


def test_validators_of_a_part_know_of_the_attempt() -> None:
    seen: list[Any] = []

    class Watched(BaseModel):
        first: int
        note: str

        @field_validator("first")
        @classmethod
        def _look(cls, first: int) -> int:
            seen.append(current_attempt())
            return first

    list(make({"first": 1, "note": LONG})[0].create_partial(Watched, MESSAGES, validate_partial=True))
    assert len(seen) > 1
    assert all(attempt is not None and attempt.number == 1 for attempt in seen)


def test_validate_partial_is_true_or_false_and_may_be_a_setting_of_the_client() -> None:
    with pytest.raises(ConfigurationError, match="validate_partial"):
        make(ORDER)[0].create_partial(Order, MESSAGES, validate_partial="yes")
    adapter = ScriptedAdapter([{**ORDER, "number": 700}, ORDER])
    wires = {Mode.TOOLS: OPENAI_CHAT}
    client = Instructor(adapter, wires=wires, mode=Mode.TOOLS, model="m", validate_partial=True)
    assert list(client.create(Partial[Order], MESSAGES, stream=True))[-1] == Order(**ORDER)


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []


class Father(BaseModel):
    name: str
    child: Child | None = None


class Child(BaseModel):
    father: Father | None = None


DEEP = '{"name": "a", "branches": [' * 300 + "]}" * 300
ODD: list[tuple[Any, str, Any]] = [
    (User, '{"name": "a}{[\\"]", "age": 1}', User(name='a}{["]', age=1)),
    (User, json.dumps(json.dumps(ANNA)), User(**ANNA)),
    (User, json.dumps({"user": json.dumps(ANNA)}), None),
    (User, '{"name": "a", "age": 1}{"name": "b", "age": 2}', None),
    (User, "name: Anna", None),
    (User, '{"name": "Anna", "ag', None),
    (Tree, DEEP, None),
    (
        Father,
        '{"name": "a", "child": {"father": {"name": "b", "child": null}}}',
        Father(name="a", child=Child(father=Father(name="b"))),
    ),
]


@pytest.mark.parametrize(
    ("model", "text", "value"), ODD, ids=[*["braces", "twice", "member", "abutting", "none", "cut", "deep", "cyclic"]]
)
def test_odd_arguments_are_read_or_an_error_streamed_as_plain(model: Any, text: str, value: Any) -> None:
    client, _ = make(text, text, cache=AutoCache())
    for ask in (client.create, lambda *call, **more: list(client.create_partial(*call, **more))[-1]):
        if value is not None:
            assert ask(model, MESSAGES, cache=None) == value
            continue
        with pytest.raises(InstructorRetryException):
            ask(model, MESSAGES, max_retries=0)
        assert client.cache_stats().writes == 0


def test_an_answer_of_5_000_levels_is_an_error_that_is_short_and_not_stored() -> None:
    text = '{"name": "a", "branches": [' * 5_000 + "]}" * 5_000
    client, _ = make(text, cache=AutoCache())
    with pytest.raises(InstructorRetryException) as caught:
        client.create(Tree, MESSAGES, max_retries=0)
    assert len(str(caught.value)) < 500
    assert client.cache_stats().writes == 0
