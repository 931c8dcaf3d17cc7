"""Which completions are whole and sound, as the real SDKs make them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from instructor.exceptions import (
    IncompleteOutputException,
    InstructorError,
    ProviderError,
    RefusalError,
    ResponseParsingError,
)
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES
from instructor.wires.spec import ToolSpec
from replies import google_client


def ask_openai(client: httpx2.Client) -> Any:
    sdk = openai.OpenAI(api_key="none", http_client=client, max_retries=0)
    return sdk.chat.completions.create(model="m", messages=[])


def ask_responses(client: httpx2.Client) -> Any:
    return openai.OpenAI(api_key="none", http_client=client, max_retries=0).responses.create(model="m", input=[])


def ask_anthropic(client: httpx2.Client) -> Any:
    sdk = anthropic.Anthropic(api_key="none", http_client=client, max_retries=0)
    return sdk.messages.create(model="m", messages=[], max_tokens=1)


def ask_genai(client: httpx2.Client) -> Any:
    return google_client(client).models.generate_content(model="m", contents=["Hi."])


ASK = {
    OPENAI_CHAT: ask_openai,
    OPENAI_RESPONSES: ask_responses,
    ANTHROPIC_MESSAGES: ask_anthropic,
    GENAI: ask_genai,
}


def receive(wire: Any, body: Any) -> Any:
    """Let the real SDK make a completion of a body that came with a status of success."""
    answer = httpx2.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        return ASK[wire](client)


TEXT = {"role": "assistant", "content": "Hi."}
CALL = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
NOTHING = {"role": "assistant", "content": None, "reasoning_content": "Hm."}


def chat(message: Any = TEXT, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "finish_reason": finish, "message": message}], **more}


SAY = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
SAY_NOTHING = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": ""}]}
REFUSE = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
FUNCTION_CALL = {"type": "function_call", "id": "f", "call_id": "a", "name": "weather", "arguments": "{}"}
REASONING = {"type": "reasoning", "id": "r", "summary": []}


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": status, "output": list(output), **more}


BLOCK = {"type": "text", "text": "Hi."}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}


def message(*content: Any, reason: str | None = "end_turn") -> dict[str, Any]:
    return {"id": "m", "type": "message", "role": "assistant", "content": list(content), "stop_reason": reason}


SAID = {"text": "Hi."}
FUNCTION = {"functionCall": {"name": "weather", "args": {}}}


def generate(*parts: Any, reason: str = "STOP") -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": reason}]}


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (OPENAI_CHAT, chat()),
        (OPENAI_CHAT, chat(finish=None)),
        (OPENAI_CHAT, chat(finish="eos")),
        (OPENAI_CHAT, chat(CALLED, "tool_calls")),
        (OPENAI_CHAT, chat({**CALLED, "content": "Let me look."}, "tool_calls")),
        (OPENAI_CHAT, chat({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "function_call")),
        (OPENAI_CHAT, chat({"role": "assistant", "content": None, "audio": {"id": "a", "data": "aGk="}})),
        (OPENAI_RESPONSES, response(SAY)),
        (OPENAI_RESPONSES, response(REASONING, FUNCTION_CALL)),
        (OPENAI_RESPONSES, response(SAY, FUNCTION_CALL)),
        (OPENAI_RESPONSES, {"id": "r", "output": [SAY]}),
        (ANTHROPIC_MESSAGES, message(BLOCK)),
        (ANTHROPIC_MESSAGES, message(THOUGHT, TOOL_USE, reason="tool_use")),
        (ANTHROPIC_MESSAGES, message(BLOCK, TOOL_USE, reason="tool_use")),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="stop_sequence")),
        (ANTHROPIC_MESSAGES, message(reason="stop_sequence")),
        (GENAI, generate(SAID)),
        (GENAI, generate(FUNCTION)),
        (GENAI, generate(SAID, FUNCTION)),
        (GENAI, generate({"inlineData": {"mimeType": "image/png", "data": "aGk="}})),
    ],
)
def test_text_and_calls_of_the_callers_own_tools_are_sound(wire: Any, body: Any):
    wire.check(receive(wire, body))


FAULT = {"message": "Overloaded", "type": "overloaded_error", "code": "server_error"}
TWO = [*chat()["choices"], *chat(finish="length")["choices"]]


@pytest.mark.parametrize(
    ("wire", "body", "kind"),
    [
        (OPENAI_CHAT, chat(finish="length"), IncompleteOutputException),
        (OPENAI_CHAT, chat(finish="content_filter"), RefusalError),
        (OPENAI_CHAT, chat({"role": "assistant", "content": None, "refusal": "No."}), RefusalError),
        (OPENAI_CHAT, {"error": FAULT}, ProviderError),
        (OPENAI_CHAT, {"choices": [{**chat()["choices"][0], "error": FAULT}]}, ProviderError),
        (OPENAI_CHAT, chat(finish="error"), ProviderError),
        (OPENAI_CHAT, chat(finish="insufficient_system_resource"), ProviderError),
        (OPENAI_CHAT, chat(finish="function_call_filter: MALFORMED_FUNCTION_CALL"), ResponseParsingError),
        (OPENAI_CHAT, {"id": "c", "choices": []}, ResponseParsingError),
        (OPENAI_CHAT, chat(None), ResponseParsingError),
        (OPENAI_CHAT, chat(NOTHING), ResponseParsingError),
        (OPENAI_CHAT, {"id": "c", "choices": TWO}, IncompleteOutputException),
        (OPENAI_RESPONSES, response(status="queued"), ResponseParsingError),
        (OPENAI_RESPONSES, response(SAY, status="in_progress"), ResponseParsingError),
        (OPENAI_RESPONSES, response(SAY, status="cancelled"), ProviderError),
        (OPENAI_RESPONSES, response(SAY, status="failed"), ProviderError),
        (OPENAI_RESPONSES, response(status="failed", error=FAULT), ProviderError),
        (OPENAI_RESPONSES, {"error": FAULT}, ProviderError),
        (OPENAI_RESPONSES, response(SAY, status="incomplete"), IncompleteOutputException),
        (
            OPENAI_RESPONSES,
            response(SAY, status="incomplete", incomplete_details={"reason": "content_filter"}),
            RefusalError,
        ),
        (OPENAI_RESPONSES, response(REFUSE), RefusalError),
        (OPENAI_RESPONSES, response(REASONING), ResponseParsingError),
        (OPENAI_RESPONSES, response(SAY_NOTHING), ResponseParsingError),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="max_tokens"), IncompleteOutputException),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="model_context_window_exceeded"), IncompleteOutputException),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="refusal"), RefusalError),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="pause_turn"), ResponseParsingError),
        (
            ANTHROPIC_MESSAGES,
            message(BLOCK, reason="compaction"),
            ResponseParsingError,
        ),
        (ANTHROPIC_MESSAGES, message(THOUGHT, {"type": "text", "text": ""}), ResponseParsingError),
        (ANTHROPIC_MESSAGES, {"type": "error", "error": FAULT}, ProviderError),
        (GENAI, generate(SAID, reason="MAX_TOKENS"), IncompleteOutputException),
        (GENAI, generate(SAID, reason="SAFETY"), RefusalError),
        (GENAI, {"promptFeedback": {"blockReason": "SAFETY"}}, RefusalError),
        (GENAI, {"candidates": []}, ResponseParsingError),
        (GENAI, generate(SAID, reason="MALFORMED_FUNCTION_CALL"), ResponseParsingError),
        (GENAI, generate({"text": "Hm.", "thought": True}, {"text": ""}), ResponseParsingError),
        (
            GENAI,
            {"candidates": [*generate(SAID)["candidates"], *generate(SAID, reason="SAFETY")["candidates"]]},
            RefusalError,
        ),
        *((wire, None, ResponseParsingError) for wire in ASK),
    ],
)
def test_what_is_not_whole_is_an_error(wire: Any, body: Any, kind: type[Exception]):
    with pytest.raises(kind):
        wire.check(receive(wire, body))


def test_an_error_body_is_shown_in_the_providers_words():
    for wire in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES):
        with pytest.raises(ProviderError, match="Overloaded"):
            wire.check(receive(wire, {"error": FAULT}))


def test_a_response_under_way_says_how_to_get_a_whole_one():
    with pytest.raises(ResponseParsingError, match=r"'queued'.*background"):
        OPENAI_RESPONSES.check(receive(OPENAI_RESPONSES, response(status="queued")))


def test_of_several_choices_a_response_model_needs_the_first_only():
    completion = receive(OPENAI_CHAT, {"id": "c", "choices": [*chat({**TEXT, "content": "{}"})["choices"], TWO[1]]})
    assert OPENAI_CHAT.read(completion, OPENAI_CHAT.modes[1], ["User"])[0].text == "{}"


JUNK = [None, "x", 5, {}, {"a": 1}, [5], ["x"], [None], [[]], [{"type": "text", "text": 5}]]


PLAIN = {"arguments", "args", "input"}
"""What SDKs leave as the JSON that it was."""


def spoil(node: Any) -> Iterator[Any]:
    """Put junk in the place of each part of a body in turn."""
    yield from JUNK
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        for spoiled in spoil(child):
            whole = node.copy()
            whole[key] = spoiled
            yield whole


def load(body: Any) -> Any:
    """Make objects of a body, as an SDK does that validates nothing."""
    if isinstance(body, list):
        return [load(item) for item in body]
    if not isinstance(body, dict):
        return body
    return SimpleNamespace(**{name: item if name in PLAIN else load(item) for name, item in body.items()})


CANDIDATE = {
    "content": {"parts": [SAID, {"function_call": {"name": "User", "args": {}, "id": "a"}}]},
    "finish_reason": "STOP",
}


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (OPENAI_CHAT, chat()),
        (OPENAI_CHAT, chat({"content": [BLOCK], "refusal": None, "tool_calls": [CALL]}, error=None)),
        (OPENAI_RESPONSES, response(SAY, error=None)),
        (OPENAI_RESPONSES, response(FUNCTION_CALL, {**FUNCTION_CALL, "type": "custom_tool_call"}, REFUSE)),
        (OPENAI_RESPONSES, response(SAY, status="incomplete", incomplete_details={"reason": "steered"})),
        (ANTHROPIC_MESSAGES, {**message(THOUGHT, BLOCK, TOOL_USE), "error": None}),
        (ANTHROPIC_MESSAGES, message(BLOCK, reason="refusal")),
        (GENAI, {"candidates": [CANDIDATE], "prompt_feedback": {"block_reason": None}}),
    ],
)
def test_whatever_comes_only_errors_of_ours_are_raised_and_it_can_be_asked_again(wire: Any, body: Any):
    shape = ToolSpec("User", "", {"type": "object", "properties": {}})
    for mode in wire.modes:
        request = wire.write([{"role": "user", "content": "Hi."}], wire.bind(shape, mode, True), "m", {})
        for spoiled in spoil(body):
            for completion in (load(spoiled), spoiled):
                with suppress(InstructorError):
                    wire.check(completion)
                with suppress(InstructorError):
                    wire.read(completion, mode, ["User"])
                wire.reask(request, completion, ValueError("Wrong."), mode)
