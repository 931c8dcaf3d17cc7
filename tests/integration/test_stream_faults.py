"""Streams that go wrong, over the real SDKs: an error of ours, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import AutoCache, Mode, Retries
from instructor.exceptions import IncompleteOutputException, InstructorError, InstructorRetryException, RefusalError
from replies import chat_completion, function_call, generated, message, response, tool_use
from streams import (
    CLAUDE,
    CUTS,
    GEMINI,
    JASON,
    OPENAI,
    TOOL_WIRES,
    WEATHER,
    WIRES,
    StreamServer,
    answer_of,
    chat_events,
    connect,
    encode,
    script_of,
    take,
    wire_of,
)

ASK = [{"role": "user", "content": "Extract: Jason is 25 years old"}]


class User(BaseModel):
    name: str
    age: int
    tags: list[str] = []


async def fail(server: StreamServer, model: str, mode: Mode, script: Any, **options: Any) -> InstructorError:
    """Stream an answer that isn't whole; return the error, after which nothing is stored."""
    server.script(script)
    cache = AutoCache()
    retries = {} if model == GEMINI else {"max_retries": 0}
    async with connect(server, model, mode=mode, cache=cache, **retries, **options) as client:
        with pytest.raises(InstructorError) as caught:
            await take(client.create_partial(response_model=User, messages=ASK, max_retries=0))
    assert cache.stats().writes == 0
    return caught.value


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("fault", ["stop", "reset", "broken"])
@pytest.mark.parametrize(("model", "mode"), TOOL_WIRES, ids=str)
async def test_a_stream_that_breaks_off_is_an_error(
    stream_server: StreamServer, model: str, mode: Mode, fault: str, is_async: bool
) -> None:
    pieces = script_of(model, mode, answer_of(model, mode, JASON))
    stream_server.reset = fault == "reset"
    tail = [pieces[1][: len(pieces[1]) // 2]] if fault == "broken" else []
    await fail(stream_server, model, mode, [pieces[0], *tail], async_client=is_async)


FAULTS = {
    "openai_chat": {"error": {"message": "overloaded", "type": "server_error", "code": 500}},
    "openai_responses": {"type": "error", "message": "overloaded", "code": "server_error"},
    "anthropic_messages": {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
    "genai": {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
}


# Older versions of google-genai end the stream in place of an error in its middle.
TELLING_WIRES = [
    pytest.param(*row, marks=pytest.mark.newest_sdks) if row[0].startswith("google") else row for row in WIRES
]


@pytest.mark.parametrize(("model", "mode"), TELLING_WIRES, ids=str)
async def test_an_error_in_the_middle_is_told(stream_server: StreamServer, model: str, mode: Mode) -> None:
    pieces = script_of(model, mode, answer_of(model, mode, JASON))
    error = await fail(stream_server, model, mode, [pieces[0], encode(FAULTS[wire_of(model, mode)])])
    assert isinstance(error, InstructorRetryException)
    assert "overloaded" in str(error)


@pytest.mark.parametrize(("model", "mode"), TOOL_WIRES, ids=str)
async def test_a_fault_before_anything_is_shown_is_a_request_that_failed(
    stream_server: StreamServer, model: str, mode: Mode
) -> None:
    whole = script_of(model, mode, answer_of(model, mode, JASON))
    stream_server.script([encode(FAULTS[wire_of(model, mode)])], [b": nothing\n\n"] * (model != GEMINI), whole)
    sturdy = Retries(answers=0, requests=2, wait=0)
    async with connect(stream_server, model, mode=mode) as client:
        shown = await take(client.create_partial(response_model=User, messages=ASK, max_retries=sturdy))
    assert shown[-1] == User(**JASON)
    assert len(stream_server.requests) == 3


async def test_a_stream_without_a_chunk_is_an_attempt(stream_server: StreamServer) -> None:
    error = await fail(stream_server, OPENAI, Mode.TOOLS, [])
    assert isinstance(error, InstructorRetryException)
    assert error.n_attempts == 1


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_bytes_may_be_cut_anywhere_even_within_a_character(
    stream_server: StreamServer, model: str, mode: Mode
) -> None:
    sent = b"".join(script_of(model, mode, answer_of(model, mode, JASON)))
    stream_server.script([sent[at : at + 7] for at in range(0, len(sent), 7)])
    async with connect(stream_server, model, mode=mode) as client:
        assert (await take(client.create_partial(response_model=User, messages=ASK)))[-1] == User(**JASON)


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_an_answer_that_is_empty_or_has_no_end_is_an_error(
    stream_server: StreamServer, model: str, mode: Mode
) -> None:
    pieces = script_of(model, mode, answer_of(model, mode, JASON))
    await fail(stream_server, model, mode, [b": nothing\n\n"])
    body = chat_completion(content="x")
    if wire_of(model, mode) == "openai_chat":
        await fail(stream_server, model, mode, chat_events({**body, "choices": []}))
    await fail(stream_server, model, mode, pieces[:1])


DISORDERS: dict[str, Any] = {
    "doubled": lambda one, other: [one, one, other],
    "out of order": lambda one, other: [other, one],
    "lost": lambda one, other: [other],
}


@pytest.mark.parametrize("disorder", DISORDERS)
@pytest.mark.parametrize(("model", "mode"), [wire for wire in WIRES if wire != (GEMINI, Mode.TOOLS)], ids=str)
async def test_chunks_in_disorder_are_an_error(
    stream_server: StreamServer, model: str, mode: Mode, disorder: str
) -> None:
    """Where they break the JSON. Within a text a chunk that comes twice can't be seen, unless the wire numbers them; Gemini's calls come whole."""
    pieces = script_of(model, mode, answer_of(model, mode, JASON))
    at = 3 if mode is Mode.MD_JSON else 2  # the first chunk after the name
    await fail(
        stream_server, model, mode, [*pieces[:at], *DISORDERS[disorder](*pieces[at : at + 2]), *pieces[at + 2 :]]
    )


ENDINGS: list[tuple[str, Mode, Any, type[InstructorError]]] = [
    (OPENAI, Mode.TOOLS, chat_completion(content='{"na', finish_reason="length"), IncompleteOutputException),
    (OPENAI, Mode.TOOLS, chat_completion(refusal="I won't."), RefusalError),
    (OPENAI, Mode.TOOLS, chat_completion(content="", finish_reason="content_filter"), RefusalError),
    (OPENAI, Mode.JSON, chat_completion(content='{"name": "J"', finish_reason="never_seen"), InstructorRetryException),
    (
        OPENAI,
        Mode.RESPONSES_TOOLS,
        response(
            function_call("User", '{"name"'), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
        ),
        IncompleteOutputException,
    ),
    (
        OPENAI,
        Mode.RESPONSES_TOOLS,
        response(status="failed", error={"code": "server_error", "message": "Sorry."}),
        InstructorRetryException,
    ),
    (
        OPENAI,
        Mode.RESPONSES_TOOLS,
        response({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I won't."}]}),
        RefusalError,
    ),
    (
        CLAUDE,
        Mode.TOOLS,
        message(tool_use("User", '{"name": "Ja'), stop_reason="max_tokens"),
        IncompleteOutputException,
    ),
    (CLAUDE, Mode.TOOLS, message({"type": "text", "text": "I won't."}, stop_reason="refusal"), RefusalError),
    (CLAUDE, Mode.JSON, message({"type": "text", "text": "Well."}, stop_reason="never_seen"), InstructorRetryException),
    (GEMINI, Mode.JSON, generated({"text": '{"name": "Ja'}, reason="MAX_TOKENS"), IncompleteOutputException),
    (GEMINI, Mode.TOOLS, generated({"text": "Well."}, reason="SAFETY"), RefusalError),
]


@pytest.mark.parametrize(("model", "mode", "body", "kind"), ENDINGS)
async def test_an_answer_that_was_cut_off_or_refused_is_told_as_without_a_stream(
    stream_server: StreamServer, model: str, mode: Mode, body: Any, kind: type[InstructorError]
) -> None:
    stream_server.plain = body
    events = [encode(event) for event in CUTS[wire_of(model, mode)](body)]
    error = await fail(stream_server, model, mode, events)
    assert type(error) is kind
    async with connect(stream_server, model, mode=mode) as client:
        with pytest.raises(InstructorError) as plain:
            client.create(response_model=User, messages=ASK, max_retries=0)
    assert (type(error), str(error)) == (type(plain.value), str(plain.value))


async def test_a_prompt_that_was_blocked_is_a_refusal(stream_server: StreamServer) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    error = await fail(stream_server, GEMINI, Mode.TOOLS, [encode(blocked)])
    assert isinstance(error, RefusalError)


@pytest.mark.parametrize("text", ['{"name": Jason}', "Jason", '["name"', '"{"', "{"])
async def test_a_tools_input_that_is_no_json_is_shown_to_claude_and_asked_for_again(
    stream_server: StreamServer, text: str
) -> None:
    wrong, right = message(tool_use("User", text), stop_reason="tool_use"), answer_of(CLAUDE, Mode.TOOLS, JASON)
    cut = CUTS["anthropic_messages"]
    stream_server.script(cut(wrong), cut(right))
    cache = AutoCache()
    async with connect(stream_server, CLAUDE, mode=Mode.TOOLS, cache=cache) as client:
        assert list(client.create_partial(response_model=User, messages=ASK))[-1] == User(**JASON)
    assert cache.stats().writes == 1
    turn, answer = stream_server.requests[1]["messages"][-2:]
    assert turn["content"][0]["input"] == {"INVALID_JSON": text}
    assert answer["content"][0]["is_error"]


async def test_a_tools_input_that_breaks_after_something_was_shown_ends_the_stream(
    stream_server: StreamServer,
) -> None:
    wrong = message(tool_use("User", '{"name": "Jason", "age": 2x}'), stop_reason="tool_use")
    await fail(stream_server, CLAUDE, Mode.TOOLS, CUTS["anthropic_messages"](wrong))
    assert len(stream_server.requests) == 1


async def test_only_our_tool_streams_eagerly_and_a_plain_request_stays_as_it_is(stream_server: StreamServer) -> None:
    stream_server.plain = answer_of(CLAUDE, Mode.TOOLS, JASON)
    stream_server.script(CUTS["anthropic_messages"](stream_server.plain))
    async with connect(stream_server, CLAUDE, mode=Mode.TOOLS) as client:
        list(client.create_partial(response_model=User, messages=ASK, tools=[WEATHER]))
        client.create(response_model=User, messages=ASK, tools=[WEATHER])
    streamed, plain = ([tool.get("eager_input_streaming") for tool in one["tools"]] for one in stream_server.requests)
    assert streamed == [None, True]
    assert plain == [None, None]


REFUSED = [
    (OPENAI, "stream_options", "Unrecognized request argument supplied: stream_options"),
    (
        OPENAI,
        "stream_options",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]",
    ),
    (CLAUDE, "eager_input_streaming", "tools.0.custom.eager_input_streaming: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("model", "name", "words"), REFUSED)
async def test_a_vendor_that_refuses_what_a_stream_shows_besides_is_asked_without_it(
    stream_server: StreamServer, model: str, name: str, words: str
) -> None:
    stream_server.refuse = lambda body: words if name in json.dumps(body) else ""
    stream_server.script(script_of(model, Mode.TOOLS, answer_of(model, Mode.TOOLS, JASON)))
    async with connect(stream_server, model, mode=Mode.TOOLS) as client:
        changes: list[str] = []
        client.on("completion:adapted", lambda event: changes.append(event.change))
        for _ in range(2):
            assert list(client.create_partial(response_model=User, messages=ASK))[-1] == User(**JASON)
    assert changes == [f"without {name}"]
    assert [name in json.dumps(body) for body in stream_server.requests] == [True, False, False]
