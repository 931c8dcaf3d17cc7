"""Parallel tools: each member of a list is a tool, and the model calls any of them any number of times."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Annotated, Any, Generic, TypeVar

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field, ValidationError

from instructor import AsyncInstructor, AutoCache, Instructor, Mode
from instructor.exceptions import ConfigurationError, InstructorRetryException, ModeError
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from replies import chat_completion

MESSAGES = [{"role": "user", "content": "Weather in Toronto and Dallas, and who won the Super Bowl?"}]


class Weather(BaseModel):
    """Ask for the weather."""

    location: str
    days: int = Field(default=1, le=7)


class Search(BaseModel):
    query: str


def calls(*called: tuple[str, Any]) -> ChatCompletion:
    body = chat_completion(content=None, tool="x", arguments="{}")
    body["choices"][0]["message"]["tool_calls"] = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": text if isinstance(text, str) else json.dumps(text)},
        }
        for number, (name, text) in enumerate(called)
    ]
    return ChatCompletion.model_validate(body)


TORONTO = ("Weather", {"location": "Toronto"})
DALLAS = ("Weather", {"location": "Dallas", "days": 2})
BOWL = ("Search", {"query": "who won the super bowl?"})
ALL = [Weather(location="Toronto"), Search(query="who won the super bowl?"), Weather(location="Dallas", days=2)]


def make(*replies: Any, kind: Any = Instructor, **settings: Any) -> tuple[Any, ScriptedAdapter]:
    adapter = ScriptedAdapter(list(replies), asynchronous=kind is AsyncInstructor)
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.PARALLEL_TOOLS, model="m", **settings), adapter


@pytest.mark.parametrize("model", [list[Weather | Search], Iterable[Weather | Search]], ids=str)
def test_every_call_is_an_item_in_order_live_and_from_the_cache(model: Any) -> None:
    client, adapter = make(calls(TORONTO, BOWL, DALLAS), cache=AutoCache())
    live, completion = client.create_with_completion(model, MESSAGES)
    hit, again = client.create_with_completion(model, MESSAGES)
    assert live == hit == client.create(model, MESSAGES) == ALL
    assert hit is not live
    assert again == completion
    assert client.mode is Mode.PARALLEL_TOOLS
    [request] = adapter.requests
    assert [tool["function"]["name"] for tool in request["tools"]] == ["Weather", "Search"]
    assert request["tools"][0]["function"]["description"] == "Ask for the weather."
    assert request["tool_choice"] == "required"


async def test_the_asynchronous_client_does_the_same() -> None:
    client, _ = make(calls(TORONTO, BOWL, DALLAS), kind=AsyncInstructor, cache=AutoCache())
    assert await client.create(list[Weather | Search], MESSAGES) == ALL
    assert [item async for item in client.create_iterable(Weather | Search, MESSAGES)] == ALL


async def test_an_iterable_of_calls_is_taken_by_async_for_too_live_and_from_the_cache() -> None:
    client, _ = make(calls(TORONTO, BOWL, DALLAS), kind=AsyncInstructor, cache=AutoCache())
    for _ in range(2):
        answer = await client.create(Iterable[Weather | Search], MESSAGES)
        assert [item async for item in answer] == list(answer) == ALL
    assert type(await client.create(list[Weather | Search], MESSAGES)) is list


def test_an_invalid_call_is_asked_for_again_and_every_call_is_answered() -> None:
    wrong = ("Weather", {"location": "Dallas", "days": 20})
    client, adapter = make(calls(TORONTO, BOWL, wrong), calls(TORONTO, BOWL, DALLAS))
    assert client.create(list[Weather | Search], MESSAGES) == ALL
    *_, turn, first, second, third = adapter.requests[1]["messages"]
    assert [call["id"] for call in turn["tool_calls"]] == ["call_0", "call_1", "call_2"]
    assert [result["tool_call_id"] for result in (first, second, third)] == ["call_0", "call_1", "call_2"]
    for number, result in enumerate((first, second, third)):
        assert f"This was call {number}." in result["content"]
        assert "2.days: Input should be less than or equal to 7 (input: 20)" in result["content"]


def test_the_error_names_each_call_that_is_wrong() -> None:
    wrong = calls(("Weather", {}), BOWL, ("Search", '{"query": '))
    client, _ = make(wrong)
    with pytest.raises(InstructorRetryException) as caught:
        client.create(list[Weather | Search], MESSAGES, max_retries=0)
    problem = caught.value.failed_attempts[0].exception
    assert isinstance(problem, ValidationError)
    assert [(error["loc"], error["type"]) for error in problem.errors()] == [
        ((0, "location"), "missing"),
        ((2,), "json_invalid"),
    ]


def test_one_member_is_called_any_number_of_times() -> None:
    client, adapter = make(calls(TORONTO, ("Weather", {"days": 1})), calls(TORONTO, DALLAS))
    assert client.create(list[Weather], MESSAGES) == [ALL[0], ALL[2]]
    assert all("This was call" in result["content"] for result in adapter.requests[1]["messages"][-2:])


@dataclasses.dataclass
class Note:
    text: str


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]


def test_members_may_be_of_any_kind_and_share_a_name() -> None:
    other = type("Search", (BaseModel,), {"__annotations__": {"words": list[str]}})
    model: Any = list[Annotated[Search | other, Field(description="d")] | Note | Page[Search] | int]
    found = calls(
        ("Page_Search", {"items": [{"query": "a"}]}),
        ("Search_2", {"words": ["b"]}),
        ("Note", {"text": "c"}),
        ("Response", {"content": 5}),
        ("Search", {"query": "d"}),
    )
    client, adapter = make(found)
    values = client.create(model, MESSAGES)
    assert values == [Page[Search](items=[Search(query="a")]), other(words=["b"]), Note("c"), 5, Search(query="d")]
    assert type(values[0]) is Page[Search]
    names = [tool["function"]["name"] for tool in adapter.requests[0]["tools"]]
    assert names == ["Search", "Search_2", "Note", "Page_Search", "Response"]


@pytest.mark.parametrize(
    "text", ['[{"location": "Toronto"}, {"query": "q"}]', '```json\n[{"location": "Toronto"}, {"query": "q"}]\n```']
)
def test_items_that_the_model_writes_as_text_are_read(text: str) -> None:
    client, _ = make(ChatCompletion.model_validate(chat_completion(content=text)))
    assert client.create(list[Weather | Search], MESSAGES) == [Weather(location="Toronto"), Search(query="q")]


def test_parallel_calls_and_a_list_in_one_call_have_entries_of_their_own() -> None:
    store = AutoCache()
    parallel, _ = make(calls(TORONTO), cache=store)
    adapter = ScriptedAdapter([{"content": [{"location": "Toronto"}]}])
    plain = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store)
    assert parallel.create(list[Weather], MESSAGES) == plain.create(list[Weather], MESSAGES) == ALL[:1]
    assert len(adapter.requests) == 1


@pytest.mark.parametrize("model", [Weather, Weather | Search, int, dict[str, Weather]], ids=str)
def test_a_response_model_that_is_no_list_is_refused(model: Any) -> None:
    client, _ = make()
    with pytest.raises(ConfigurationError, match=r"Mode\.PARALLEL_TOOLS .* Pass a list"):
        client.create(model, MESSAGES)


def test_a_vendor_that_calls_no_tools_is_refused() -> None:
    with pytest.raises(ModeError, match="PARALLEL_TOOLS"):
        Instructor(ScriptedAdapter([]), wires={Mode.JSON: OPENAI_CHAT}, mode=Mode.PARALLEL_TOOLS, model="m")


def test_the_users_own_tools_stand_beside_ours() -> None:
    own = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    client, adapter = make(calls(("clock", {}), TORONTO))
    assert client.create(list[Weather | Search], MESSAGES, tools=[own], tool_choice="auto") == ALL[:1]
    [request] = adapter.requests
    assert [tool["function"]["name"] for tool in request["tools"]] == ["clock", "Weather", "Search"]
    assert request["tool_choice"] == "auto"
    assert "calling the tool Weather or Search: once for each item" in request["messages"][0]["content"]


def test_a_stream_hands_out_each_call_as_it_closes_and_shares_the_entry() -> None:
    client, adapter = make(calls(TORONTO, BOWL, DALLAS), cache=AutoCache())
    with client.create(Iterable[Weather | Search], MESSAGES, stream=True) as stream:
        assert list(stream) == ALL
    assert list(client.create_iterable(Weather | Search, MESSAGES)) == ALL
    assert client.create(list[Weather | Search], MESSAGES) == ALL
    assert len(adapter.requests) == 1


def chunk(*deltas: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"tool_calls": list(deltas)} if deltas else {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def begin(number: int, name: str) -> dict[str, Any]:
    return {"index": number, "id": f"call_{number}", "function": {"name": name, "arguments": ""}}


def more(number: int, text: str) -> dict[str, Any]:
    return {"index": number, "function": {"arguments": text}}


CHUNKS = [
    chunk(begin(0, "Weather"), begin(1, "clock"), begin(2, "Search")),
    chunk(more(2, '{"query": "a}'), more(0, '{"location": "Tor')),
    chunk(more(1, '{"zone": 1}'), more(2, '{\\""}')),
    chunk(more(0, 'onto"}'), begin(3, "Weather")),
    chunk(more(3, "{}")),
    chunk(finish="tool_calls"),
]


def stream_of(chunks: list[dict[str, Any]], taken: list[int]) -> Any:
    for number, each in enumerate(chunks):
        taken.append(number)
        yield each


class Streams(ScriptedAdapter):
    """Answers a request for a stream with chunks."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(list(answers))

    def send(self, operation: str, request: Any) -> Any:
        del operation
        return self._next(request)


def test_calls_that_arrive_interleaved_are_told_apart_and_keep_their_order() -> None:
    taken: list[int] = []
    client = Instructor(
        Streams(stream_of(CHUNKS, taken)), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.PARALLEL_TOOLS, model="m"
    )
    stream = client.create_iterable(Weather | Search, MESSAGES, on_invalid="collect")
    assert next(stream) == Weather(location="Toronto")
    assert taken[-1] == 3  # shown while the answer was still coming
    assert list(stream) == [Search(query='a}{"')]
    assert [invalid.text for invalid in stream.invalid] == ["{}"]


def test_partial_objects_of_parallel_calls_are_refused() -> None:
    client, _ = make(calls(TORONTO))
    with pytest.raises(ConfigurationError, match="Use create_iterable"):
        list(client.create_partial(list[Weather], MESSAGES))
