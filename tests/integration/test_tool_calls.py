"""A response model and the user's own tools in one call, and conversations that go on after an answer."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import BaseModel

from calls import MODELS, RESPONSES, answer_of, both, events_of, models
from instructor import AutoCache, Mode, continue_messages, from_provider
from instructor.exceptions import ArgumentError, ConfigurationError, ToolCallsError
from streams import CLAUDE, GEMINI, OPENAI, StreamServer, connect, settle, take


class Answer(BaseModel):
    text: str


ASK = [{"role": "user", "content": "How warm is it in Paris and in Rome?"}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
WANTED = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
WARM = [("Answer", {"text": "21 and 30"})]


def last_results(model: str, request: Any) -> list[Any]:
    """What the request shows as the results of calls: the call's id and the text."""
    if model == GEMINI:
        parts = [part["functionResponse"] for part in request["contents"][-1]["parts"]]
        return [(part["id"], part["name"], part["response"]["output"]) for part in parts]
    if model == CLAUDE:
        return [(block["tool_use_id"], block["content"]) for block in request["messages"][-1]["content"]]
    if model == RESPONSES:
        return [(item["call_id"], item["output"]) for item in request["input"] if "output" in item]
    return [(turn["tool_call_id"], turn["content"]) for turn in request["messages"] if turn["role"] == "tool"]


@both
@models
async def test_the_users_own_tools_are_called_and_the_conversation_goes_on(
    stream_server: StreamServer, model: str, is_async: bool
) -> None:
    stream_server.plain = answer_of(model, WANTED)
    own: Any = {"tools": [WEATHER], "tool_choice": "auto"}
    async with connect(stream_server, model, async_client=is_async, cache=AutoCache(), mode=tool_mode(model)) as client:
        with pytest.raises(ToolCallsError, match="weather, weather") as caught:
            await settle(client.create(Answer, ASK, **own))
        error = caught.value
        assert [(call.name, call.arguments) for call in error.calls] == WANTED
        assert error.total_usage.total_tokens == (17 if model == CLAUDE else 15)
        results = {call.id: {"degrees": 21 + 9 * number} for number, call in enumerate(error.calls)}
        messages = continue_messages(error.messages, error.last_completion, results)
        stream_server.plain = answer_of(model, WARM)
        assert await settle(client.create(Answer, messages, **own)) == Answer(text="21 and 30")
        assert await settle(client.create(Answer, messages, **own)) == Answer(text="21 and 30")
    assert len(stream_server.requests) == 2
    request = stream_server.requests[1]
    assert ["".join(result[-1].split()) for result in last_results(model, request)] == [
        '{"degrees":21}',
        '{"degrees":30}',
    ]
    assert [result[0] for result in last_results(model, request)] == [call.id for call in error.calls]
    if model != OPENAI:
        assert "c2ln" in json.dumps(request)  # the signature of the reasoning
    if model == CLAUDE:
        assert [block["type"] for block in request["messages"][1]["content"]] == ["thinking", "tool_use", "tool_use"]


def tool_mode(model: str) -> Mode:
    return Mode.RESPONSES_TOOLS if model == RESPONSES else Mode.TOOLS


@models
async def test_a_conversation_goes_on_after_an_answer(stream_server: StreamServer, model: str) -> None:
    stream_server.plain = answer_of(model, WARM)
    async with connect(stream_server, model, mode=tool_mode(model)) as client:
        answer, completion = client.create_with_completion(Answer, ASK)
        messages = continue_messages(ASK, completion)
        more = {"role": "user", "content": "And tomorrow?"}
        assert client.create(Answer, [*messages, more]) == answer
    assert len(ASK) == 1
    request = stream_server.requests[1]
    turns = request.get("messages") or request.get("input") or request["contents"]
    assert "Paris" in json.dumps(turns[0])
    assert "21 and 30" in json.dumps(turns[1:])
    assert "Received." in json.dumps(turns[1:])
    assert "And tomorrow?" in json.dumps(turns[-1])


@models
async def test_a_stream_raises_the_calls_too(stream_server: StreamServer, model: str) -> None:
    stream_server.script(events_of(model, answer_of(model, WANTED)))
    async with connect(stream_server, model, mode=tool_mode(model)) as client:
        with pytest.raises(ToolCallsError) as caught:
            await take(client.create_partial(Answer, ASK, tools=[WEATHER], tool_choice="auto"))
    assert [call.arguments["city"] for call in caught.value.calls] == ["Paris", "Rome"]


@models
async def test_calls_that_the_caller_did_not_allow_are_asked_again_for_the_answer(
    stream_server: StreamServer, model: str
) -> None:
    stream_server.plain = answer_of(model, WANTED)
    async with connect(stream_server, model, mode=tool_mode(model)) as client:
        client.on("parse:error", lambda *_, **__: setattr(stream_server, "plain", answer_of(model, WARM)))
        assert client.create(Answer, ASK, tools=[WEATHER]) == Answer(text="21 and 30")
        stream_server.plain = answer_of(model, [("unknown", {})])
        assert client.create(Answer, ASK, tools=[WEATHER], tool_choice="auto") == Answer(text="21 and 30")
    assert len(stream_server.requests) == 4


async def test_the_error_can_be_copied_and_pickled(stream_server: StreamServer) -> None:
    stream_server.plain = answer_of(OPENAI, WANTED)
    async with connect(stream_server, OPENAI, mode=Mode.TOOLS) as client:
        with pytest.raises(ToolCallsError) as caught:
            client.create(Answer, ASK, tools=[WEATHER], tool_choice="auto")
    for again in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert again.calls == caught.value.calls
        assert again.messages == ASK
        assert str(again) == str(caught.value)


@pytest.mark.parametrize(
    ("results", "advice"),
    [
        ({"call_9": "21"}, r"'call_9', which is the id of no call in the completion\. It has: \w+"),
        (["21"], "results is a list"),
    ],
    ids=["id", "list"],
)
def test_a_result_that_would_be_lost_is_refused(results: Any, advice: str) -> None:
    _, completion = from_provider("offline/demo", mode="tools").create_with_completion(Answer, ASK)
    with pytest.raises(ArgumentError, match=advice):
        continue_messages(ASK, completion, results)


def test_a_question_in_one_text_can_go_on() -> None:
    client = from_provider("offline/demo", mode="tools")
    _, completion = client.create_with_completion(Answer, "How warm is it?")
    going_on = continue_messages("How warm is it?", completion)
    assert going_on == continue_messages([{"role": "user", "content": "How warm is it?"}], completion)
    client.create(Answer, going_on)


def test_a_completion_of_no_known_provider_is_named() -> None:
    with pytest.raises(ConfigurationError, match="not a int"):
        continue_messages(ASK, 5)


SYSTEM = [
    {"role": "system", "content": "Be short."},
    {"role": "developer", "content": "Be kind."},
    *ASK,
    {"role": "system", "content": "Be right."},
]
SENT = {
    OPENAI: ["system", "developer", "user", "system"],
    RESPONSES: ["system", "developer", "user", "system"],
    CLAUDE: ["user"],
    GEMINI: ["user"],
}


@models
async def test_several_system_messages_and_the_developer_role_are_sent(stream_server: StreamServer, model: str) -> None:
    stream_server.plain = answer_of(model, WARM)
    async with connect(stream_server, model, mode=tool_mode(model)) as client:
        client.create(Answer, SYSTEM)
    [request] = stream_server.requests
    turns = request.get("messages") or request.get("input") or request["contents"]
    assert [turn["role"] for turn in turns] == SENT[model]
    shown = json.dumps(request)
    places = [shown.index(text) for text in ("Be short.", "Be kind.", "Be right.")]
    assert places == sorted(places)
    assert set(SENT) == set(MODELS)
