"""Incidents 1 to 30, 53 and 56 to 61: two calls that may have two answers have two keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from instructor import AutoCache, Instructor, Mode, from_provider
from instructor.cache import BaseCache
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from replies import Received, Reply, ReplyServer, obedient_answer

incident = pytest.mark.incident


class User(BaseModel):
    name: str = ""


class Pet(BaseModel):
    name: str = ""


def say(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


ASKED = [say("Who?")]


def client_of(cache: BaseCache, *, provider: str = "scripted", mode: Mode = Mode.TOOLS, **options: Any) -> Any:
    """A client whose model counts its answers."""
    adapter = ScriptedAdapter(lambda _: {"name": f"answer {len(adapter.requests)}"}, provider=provider)
    options = {"model": "m"} | options
    return Instructor(
        adapter, wires={Mode.TOOLS: OPENAI_CHAT, Mode.JSON: OPENAI_CHAT}, mode=mode, cache=cache, **options
    )


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", **parameters}}}


OTHER_ARGUMENTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("2", {"extra_body": {"num_ctx": 2048}}, {"extra_body": {"num_ctx": 4096}}),
    ("3", {"temperature": 0.2}, {"temperature": 0.9}),
    ("4", {"extra_body": {"top_k": 1}}, {"extra_body": {"top_k": 40}}),
    ("5", {"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
    ("8", {"stop": "ytop_p: 1"}, {"stop": "y", "top_p": 1}),
    ("8", {"seed": 1}, {"seed": "1"}),
    ("9", {"seed": 1}, {"seed": 2}),
    ("12", {"top_p": 0.5}, {"top_p": 0.9}),
    ("13", {"frequency_penalty": 1}, {}),
    ("20", {"extra_body": {"style": {"voice": "calm"}}}, {"extra_body": {"style": {"voice": "loud"}}}),
    ("23", {"max_tokens": 10}, {"max_tokens": 20}),
    ("23", {"stop": ["\n"]}, {"stop": ["."]}),
    ("23", {"temperature": 0}, {}),
    ("24", {"logit_bias": {"50256": -100}}, {}),
    ("24", {"presence_penalty": 1}, {}),
    ("24", {"user": "a"}, {"user": "b"}),
    ("26", {"max_completion_tokens": 10}, {"max_completion_tokens": 20}),
    ("28", {"extra_query": {"effort": "low"}}, {"extra_query": {"effort": "high"}}),
    ("28", {"extra_headers": {"OpenAI-Beta": "x=v1"}}, {"extra_headers": {"OpenAI-Beta": "x=v2"}}),
    ("29", {"tools": [tool("search")]}, {"tools": [tool("find")]}),
    ("35", {"user": "user-1"}, {"user": "user-2"}),
    ("53", {"context": {"memory": "likes tea"}}, {"context": {"memory": "likes coffee"}}),
]


@incident("2", "3", "4", "5", "8", "9", "12", "13", "20", "23", "24", "26", "28", "29", "35", "53")
@pytest.mark.parametrize(("number", "one", "other"), OTHER_ARGUMENTS, ids=lambda value: str(value)[:40])
def test_another_argument_is_another_call(number: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    client = client_of(AutoCache())
    answers = [client.create(User, ASKED, **arguments).name for arguments in (one, other, one, other)]
    assert answers == ["answer 1", "answer 2", "answer 1", "answer 2"], number


OTHER_MESSAGES: list[tuple[str, list[Any], list[Any]]] = [
    ("18", [say("Be brief.", "system"), say("Who?")], [say("Be long.", "system"), say("Who?")]),
    (
        "18",
        [say("I am Bo."), say("Bo!", "assistant"), say("Who?")],
        [say("I am Al."), say("Al!", "assistant"), say("Who?")],
    ),
    ("25", [say("Answer in French.", "system"), say("Who?")], [say("Who?")]),
    ("38", [say("x" * 1000 + "a")], [say("x" * 1000 + "b")]),
    ("56", [say("What is the capital of France?")], [say("Who wrote Hamlet?")]),
    ("57", [say("Summarise invoice 1041.")], [say("Summarise invoice 1042.")]),
    ("58", [say("Does Ann like Bo?")], [say("Does Bo like Ann?")]),
    ("59", [say("What is 2+2?")], [say("What is 2+3?")]),
    ("59", [say("Is it safe?")], [say("Is it not safe?")]),
    ("60", [say("You are Ann.", "system"), say("Who?")], [say("You are Bo.", "system"), say("Who?")]),
    ("61", [say("Which is larger, 9.11 or 9.9?")], [say("Which is larger, 9.9 or 9.11?")]),
]


@incident("18", "25", "38", "56", "57", "58", "59", "60", "61")
@pytest.mark.parametrize(("number", "one", "other"), OTHER_MESSAGES, ids=lambda value: str(value)[:40])
def test_other_messages_are_another_call(number: str, one: list[Any], other: list[Any]) -> None:
    client = client_of(AutoCache())
    answers = [client.create(User, messages).name for messages in (one, other, one, other)]
    assert answers == ["answer 1", "answer 2", "answer 1", "answer 2"], number


@incident("1", "19", "29")
def test_an_edited_model_of_the_same_name_is_another_call() -> None:
    client = client_of(AutoCache())
    before = create_model("User", name=(str, ""))
    after = create_model("User", name=(str, ""), age=(int, 0))
    assert [client.create(one, ASKED).name for one in (before, after, before)] == ["answer 1", "answer 2", "answer 1"]
    assert client.create(after, ASKED).age == 0


@incident("19", "29")
def test_another_response_model_of_the_same_fields_is_another_call() -> None:
    client = client_of(AutoCache())
    assert [client.create(one, ASKED).name for one in (User, Pet, User)] == ["answer 1", "answer 2", "answer 1"]


@incident("10", "11", "16", "17", "25", "27")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mode": Mode.TOOLS}, {"mode": Mode.JSON}),
        ({"model": "gpt-3.5-turbo"}, {"model": "gpt-4"}),
        ({"provider": "openai"}, {"provider": "groq"}),
    ],
    ids=["mode", "model", "provider"],
)
def test_another_way_to_a_model_is_another_call(one: Any, other: Any) -> None:
    cache = AutoCache()
    first, second = client_of(cache, **one), client_of(cache, **other)
    for client in (first, second, first, second):
        client.create(User, ASKED)
    assert [len(client._adapter.requests) for client in (first, second)] == [1, 1]


@incident("13", "17")
def test_the_model_of_one_call_counts() -> None:
    client = client_of(AutoCache())
    assert [client.create(User, ASKED, model=one).name for one in ("a", "b", "a")] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]


@incident("14")
def test_what_the_caller_changes_between_two_calls_counts() -> None:
    client, messages, body = client_of(AutoCache()), [say("Who?")], {"num_ctx": 1}
    first = client.create(User, messages, extra_body=body).name
    body["num_ctx"] = 2
    second = client.create(User, messages, extra_body=body).name
    messages[0]["content"] = "Where?"
    third = client.create(User, messages, extra_body=body).name
    body["num_ctx"], messages[0]["content"] = 1, "Who?"
    assert [first, second, third, client.create(User, messages, extra_body=body).name] == [
        "answer 1",
        "answer 2",
        "answer 3",
        "answer 1",
    ]


@incident("15")
def test_each_argument_reaches_the_model() -> None:
    client = client_of(AutoCache())
    arguments = {"temperature": 0.3, "top_p": 0.9, "seed": 7, "stop": ["."], "extra_body": {"num_ctx": 1}}
    client.create(User, ASKED, **arguments)
    (request,) = client._adapter.requests
    assert {name: request[name] for name in arguments} == arguments


class Obedient(ReplyServer):
    """A server whose models count their answers."""

    def take(self, received: Received) -> Reply:
        self.requests.append(received)
        return Reply(obedient_answer(received, {"name": f"answer {len(self.requests)}"}))


@pytest.fixture
def server() -> Iterator[Obedient]:
    with Obedient() as obedient:
        yield obedient


def connect(server: Obedient, model: str, **options: Any) -> Any:
    url = server.address + ("/v1" if model.startswith("openai") else "")
    return from_provider(model, base_url=url, api_key="test", cache=options.pop("cache", AutoCache()), **options)


@incident("6", "21", "74")
def test_the_responses_api_is_stored_by_all_that_is_asked(server: Obedient) -> None:
    with connect(server, "openai/gpt-4.1-mini", mode=Mode.RESPONSES_TOOLS) as client:
        calls: list[dict[str, Any]] = [
            {},
            {"instructions": "Be brief."},
            {"reasoning": {"effort": "low"}},
            {"previous_response_id": "resp_0"},
            {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://a.example"}]},
            {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://b.example"}]},
        ]
        names = [client.create(User, ASKED, **arguments).name for arguments in calls * 2]
    assert names == [f"answer {number}" for number in range(1, len(calls) + 1)] * 2


@incident("22", "74b")
def test_a_model_in_the_url_counts_and_gemini_hits(server: Obedient) -> None:
    cache = AutoCache()
    models = "google/gemini-2.5-flash", "google/gemini-2.5-pro"
    with connect(server, models[0], cache=cache) as flash, connect(server, models[1], cache=cache) as pro:
        answers = [client.create(User, ASKED).name for client in (flash, pro, flash, pro)]
    assert answers == ["answer 1", "answer 2", "answer 1", "answer 2"]


@incident("28")
def test_another_address_is_another_call(server: Obedient) -> None:
    cache = AutoCache()
    with (
        Obedient() as other,
        connect(server, "openai/m", cache=cache) as here,
        connect(other, "openai/m", cache=cache) as there,
    ):
        here.create(User, ASKED)
        there.create(User, ASKED)
    assert [len(server.requests), len(other.requests)] == [1, 1]


@incident("30")
def test_an_answer_says_which_model_gave_it(server: Obedient) -> None:
    """A vendor's fallback answers under the name that was asked for; a hit still tells who it was."""
    with connect(server, "openai/gpt-6-luna", mode=Mode.TOOLS) as client:
        live, hit = (client.create_with_reply(User, ASKED) for _ in range(2))
        client.create(User, ASKED, model="gpt-4.1-mini")
    assert (live.answered_by, hit.answered_by, hit.cached) == ("gpt-4.1-mini", "gpt-4.1-mini", True)
    assert len(server.requests) == 2, "the fallback's own calls have an entry of their own"
