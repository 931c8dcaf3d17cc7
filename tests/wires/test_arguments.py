from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from instructor.describing import describe_value
from instructor.exceptions import ConfigurationError
from instructor.mode import Mode
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES
from instructor.wires.spec import ToolSpec

SHAPE = ToolSpec("User", "A user.", {"type": "object", "properties": {"name": {"type": "string"}}})
ASK = [{"role": "user", "content": "Who?"}]
ALL = [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GENAI]
WRITING = [OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GENAI]
"""The wires that write each message in another form; OpenAI's chat sends it as it is."""


def write(wire: Any, messages: Any = ASK, mode: Mode | None = None, **arguments: Any) -> Any:
    binding = wire.bind(SHAPE, mode or wire.modes[0], True)
    return wire.write(messages, binding, "some-model", arguments)


def refused(wire: Any, messages: Any = ASK, mode: Mode | None = None, **arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        write(wire, messages, mode, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("wire", "arguments", "said"),
    [
        (ANTHROPIC_MESSAGES, {"system": 5}, "system is 5. Pass a list of blocks, or text."),
        (ANTHROPIC_MESSAGES, {"system": {"type": "text"}}, "system is a dict."),
        (ANTHROPIC_MESSAGES, {"thinking": 5}, "thinking is 5. Pass a dict."),
        (ANTHROPIC_MESSAGES, {"thinking": {"budget_tokens": "9"}}, "thinking['budget_tokens'] is a str."),
        (ANTHROPIC_MESSAGES, {"tool_choice": ["auto"]}, "tool_choice is a list."),
        (ANTHROPIC_MESSAGES, {"extra_body": 5, "top_k": 1}, "extra_body is 5. Pass a dict."),
        (GENAI, {"config": 5}, "config is 5. Pass a dict, or an object of google.genai.types."),
        (GENAI, {"generation_config": [5]}, "generation_config is a list."),
        (GENAI, {"config": {"http_options": 5}}, "http_options is 5."),
        (
            GENAI,
            {"config": {"http_options": {"headers": 5}}, "extra_headers": {"A": "b"}},
            "http_options['headers'] is 5",
        ),
        (GENAI, {"extra_headers": "x"}, "extra_headers is a str. Pass a dict."),
        (GENAI, {"tool_config": {"function_calling_config": 5}}, "function_calling_config is 5."),
        (
            GENAI,
            {"tool_config": {"function_calling_config": {"allowed_function_names": 5}}},
            "allowed_function_names is 5. Pass a list of names.",
        ),
        (GENAI, {"system": 5}, "system_instruction, or a system message, is 5."),
    ],
)
def test_an_argument_of_a_wrong_type_is_named_with_what_to_pass(wire: Any, arguments: dict[str, Any], said: str):
    assert said in refused(wire, **arguments)


@pytest.mark.parametrize("wire", ALL)
def test_what_is_left_out_in_an_sdks_way_is_left_out(wire: Any):
    assert len(write(wire, tools=()).get("tools") or [1]) == 1
    assert write(wire, tools=None) == write(wire, tools=[])


@pytest.mark.parametrize("content", [5, {"type": "text", "text": "Who?"}])
@pytest.mark.parametrize("wire", WRITING)
def test_content_that_is_neither_text_nor_parts_is_named(wire: Any, content: Any):
    said = refused(wire, [{"role": "user", "content": content}])
    assert f"A message's content is {describe_value(content)}. Pass a list of parts" in said
    assert "Who" not in said


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("wire", ALL)
def test_a_system_prompt_that_is_neither_text_nor_parts_is_named(wire: Any, role: str):
    assert " is 5. Pass" in refused(wire, [{"role": role, "content": 5}, *ASK], wire.modes[-1])


CALL = {"id": "a", "type": "function"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user", "content": [{"type": "image_url"}]}, "'image_url' is missing"),
        ({"role": "user", "content": [{"type": "file", "file": 5}]}, "int"),
        ({"role": "user", "content": [{"type": ["text"]}]}, "unhashable"),
        ({"role": "assistant", "tool_calls": [CALL]}, "'function' is missing"),
        ({"role": "assistant", "content": "", "tool_calls": 5}, "int"),
    ],
)
@pytest.mark.parametrize("wire", WRITING)
def test_a_message_that_cannot_be_written_is_described_with_the_reason(wire: Any, message: Any, reason: str):
    said = refused(wire, [*ASK, {**message, "name": "s3cret"}])
    assert reason in said
    assert f"a dict with the members {[*message, 'name']}" in said
    assert "s3cret" not in said, "a prompt belongs in no message"


@pytest.mark.parametrize("wire", [OPENAI_RESPONSES, ANTHROPIC_MESSAGES])
def test_a_result_without_its_calls_id_is_shown(wire: Any):
    assert "'tool_call_id' is missing" in refused(wire, [*ASK, {"role": "tool", "content": "Sunny."}])


def test_a_result_whose_parts_are_no_parts_is_shown():
    message = {"role": "tool", "tool_call_id": "a", "content": [{"type": "text"}]}
    assert "'text' is missing" in refused(GENAI, [*ASK, message])


@pytest.mark.parametrize("wire", [OPENAI_RESPONSES, ANTHROPIC_MESSAGES])
def test_another_sdks_object_is_shown_with_the_way_out(wire: Any):
    assert "model_dump()" in refused(wire, [types.Content(role="user", parts=[types.Part(text="Hi")])])


def test_an_assistants_content_is_read_as_strictly():
    assert "A message's content is a dict." in refused(
        OPENAI_RESPONSES, [{"role": "assistant", "content": {"text": "x"}}, *ASK]
    )
