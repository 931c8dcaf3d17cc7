from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, ClassVar

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from pydantic import BaseModel, Field, ValidationError

from as_data import AsData
from instructor.exceptions import (
    ConfigurationError,
    IncompleteOutputException,
    MultimodalError,
    RefusalError,
    ResponseParsingError,
)
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.anthropic import ANTHROPIC_MESSAGES as WIRE
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities, ToolChoice
from instructor.wires.content import say_call_again
from instructor.wires.spec import ToolSpec
from streams import anthropic_events

MODEL = "some-model"
SHAPE = ToolSpec(
    "User", "A user.", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
)
HELD = {**SHAPE.schema, "additionalProperties": False}
OURS = {"name": "User", "description": "A user.", "input_schema": SHAPE.schema}
FORCED = {"type": "tool", "name": "User", "disable_parallel_tool_use": True}
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
ASK = [{"role": "user", "content": "Who?"}]
USAGE = {"input_tokens": 10, "output_tokens": 5}


def complete(*content: dict[str, Any], stop_reason: str = "end_turn", usage: Any = USAGE) -> Message:
    return Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": list(content),
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }
    )


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def tool_use(arguments: Any, identifier: str = "toolu_1", name: str = "User") -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


def write(
    messages: list[dict[str, Any]] = ASK,
    mode: Mode | None = Mode.TOOLS,
    capabilities: Capabilities = DEFAULT_CAPABILITIES,
    **arguments: Any,
) -> dict[str, Any]:
    binding = WIRE.bind(SHAPE, mode, True, capabilities) if mode else None
    return WIRE.write(messages, binding, MODEL, arguments, capabilities)


def send(request: dict[str, Any], reply: Message | None = None) -> tuple[httpx2.Request, dict[str, Any]]:
    """Send a request with the real SDK; return the HTTP request and its body."""
    sent: list[httpx2.Request] = []

    def answer(http_request: httpx2.Request) -> httpx2.Response:
        sent.append(http_request)
        return httpx2.Response(200, json=(reply or complete(text("{}"))).model_dump(mode="json", exclude_unset=True))

    transport = httpx2.MockTransport(answer)
    with anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport)) as client:
        client.messages.create(**request)
    return sent[0], json.loads(sent[0].content)


class TestContract(WireContract):
    wire = WIRE
    used = Usage(10, 5)

    def answered(self, text: str, mode: Mode, name: str) -> Message:
        if mode is Mode.TOOLS:
            return complete(tool_use(json.loads(text), name=name), stop_reason="tool_use")
        return complete({"type": "text", "text": text})

    def cut_off(self, mode: Mode) -> Message:
        return complete(text('{"name": "A'), stop_reason="max_tokens")

    def refused(self, mode: Mode) -> Message:
        return complete(stop_reason="refusal")

    def empty(self, mode: Mode) -> Message:
        return complete()

    def chunks(self, completion: Message) -> list[Any]:
        return [*anthropic_events(completion.model_dump(mode="json"))]


class TestData(AsData, TestContract):
    """The same, as the provider sent it."""


def test_the_sdk_sends_what_was_written():
    http_request, body = send(write(stop="END", temperature=0.5, timeout=3, extra_headers={"X-Team": "blue"}))
    assert body == {
        "model": MODEL,
        "max_tokens": 4096,
        "messages": ASK,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "tools": [OURS],
        "tool_choice": FORCED,
    }
    assert http_request.headers["X-Team"] == "blue"


def test_json_mode_tells_the_schema_after_the_system_prompt():
    _, body = send(write([{"role": "system", "content": "Be exact."}, *ASK], Mode.JSON))
    assert body["system"].startswith("Be exact.\n\n")
    assert json.dumps(SHAPE.schema, separators=(",", ":")) in body["system"]
    assert body.keys() == {"model", "max_tokens", "messages", "system"}


def test_what_the_caller_puts_in_extra_body_is_kept_beside_the_sampling_parameters():
    assert write(top_k=3, extra_body={"x": 1})["extra_body"] == {"top_k": 3, "x": 1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 8}, 8),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, 9096),
    ],
)
def test_max_tokens_is_what_was_said_or_leaves_room_for_thinking(arguments: dict[str, Any], expected: int):
    assert write(**arguments)["max_tokens"] == expected


def test_a_model_that_thinks_by_default_gets_room_for_it():
    assert write(mode=None, capabilities=Capabilities(thinks=True))["max_tokens"] == 16384
    thinking = {"type": "enabled", "budget_tokens": 32000}
    assert write(mode=None, capabilities=Capabilities(thinks=True), thinking=thinking)["max_tokens"] == 48384
    assert write(mode=None)["max_tokens"] == 4096


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_sampling_parameters_go_into_the_body_because_newer_sdks_have_no_keyword_for_them(name: str):
    _, body = send(write(**{name: 0}))
    assert body[name] == 0


def test_none_means_that_an_argument_was_left_out():
    request = write(max_tokens=None, temperature=None, stop=None, timeout=None)
    assert request["max_tokens"] == 4096
    assert {"extra_body", "stop_sequences"}.isdisjoint(request)
    assert request["timeout"] is None


class TestJsonSchema:
    def test_the_api_holds_the_text_to_the_schema(self):
        _, body = send(write(mode=Mode.JSON_SCHEMA))
        assert body["output_config"] == {"format": {"type": "json_schema", "schema": HELD}}
        assert body.keys() == {"model", "max_tokens", "messages", "output_config"}

    def test_what_else_the_caller_configures_is_kept(self):
        _, body = send(write(mode=Mode.JSON_SCHEMA, output_config={"effort": "low"}, extra_body={"x": 1}))
        assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": HELD}}
        assert body["x"] == 1

    def test_what_the_caller_configures_in_the_body_is_kept_beside_the_format(self):
        config = {"effort": "low", "other": 1}
        request = write(mode=Mode.JSON_SCHEMA, output_config={"effort": "high"}, extra_body={"output_config": config})
        _, body = send(request)
        assert body["output_config"] == config | {"format": {"type": "json_schema", "schema": HELD}}

    def test_a_schema_that_the_api_cannot_hold_to_is_told_instead(self):
        node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
        spec = ToolSpec("Node", "", {"$defs": {"Node": node}, "$ref": "#/$defs/Node"})
        binding = WIRE.bind(spec, Mode.JSON_SCHEMA, True)
        assert not binding.arguments
        assert '"next"' in binding.instruction


class TestPropertyNames:
    SPEC = ToolSpec(
        "Person",
        "A person.",
        {
            "type": "object",
            "properties": {"Full Name": {"type": "string"}, "größe": {"$ref": "#/$defs/Size"}},
            "required": ["Full Name", "größe"],
            "$defs": {"Size": {"type": "object", "properties": {"in cm": {"type": "integer"}}, "required": ["in cm"]}},
        },
    )
    SENT: ClassVar = {"Full_Name": "Ada", "grosse": {"in_cm": 170}}
    ANSWER: ClassVar = {"Full Name": "Ada", "größe": {"in cm": 170}}

    @pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON_SCHEMA])
    def test_the_api_is_sent_names_that_it_takes(self, mode: Mode):
        arguments = WIRE.bind(self.SPEC, mode, True).arguments
        tools = arguments.get("tools")
        schema = tools[0]["input_schema"] if tools else arguments["output_config"]["format"]["schema"]
        assert schema["required"] == ["Full_Name", "grosse"]
        assert schema["properties"].keys() == self.SENT.keys()
        assert schema["properties"]["Full_Name"]["title"] == "Full Name"
        assert schema["$defs"]["Size"]["properties"].keys() == {"in_cm"}

    def test_the_answer_has_the_names_that_the_caller_gave(self):
        parts = WIRE.read(complete(tool_use(self.SENT, name="Person")), Mode.TOOLS, ["Person"], [self.SPEC])
        assert json.loads(parts[0].text) == self.ANSWER
        parts = WIRE.read(complete(text(json.dumps(self.SENT))), Mode.JSON_SCHEMA, ["Person"], [self.SPEC])
        assert json.loads(parts[0].text) == self.ANSWER

    def test_an_answer_in_the_callers_own_names_is_right_too(self):
        parts = WIRE.read(complete(text(json.dumps(self.ANSWER))), Mode.JSON, ["Person"], [self.SPEC])
        assert json.loads(parts[0].text) == self.ANSWER

    def test_an_error_names_the_property_as_the_model_knows_it(self):
        class Person(BaseModel):
            name: str = Field(alias="Full Name")

        with pytest.raises(ValidationError) as caught:
            Person.model_validate({})
        request = WIRE.write(ASK, WIRE.bind(self.SPEC, Mode.TOOLS, True), MODEL, {})
        completion = complete(tool_use({}, name="Person"))
        again = WIRE.reask(request, completion, caught.value, Mode.TOOLS, ["Person"], [self.SPEC])
        assert "- Full_Name: Field required" in again["messages"][-1]["content"][0]["content"]


def test_a_schema_that_contains_itself_is_an_object_at_the_top():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    shape = ToolSpec("Node", "", {"$defs": {"Node": node}, "$ref": "#/$defs/Node"})
    (tool,) = WIRE.bind(shape, Mode.TOOLS, strict=False).arguments["tools"]
    assert tool["input_schema"] == {"$defs": {"Node": node}, **node}


class TestToolChoice:
    def test_our_tool_stands_behind_the_callers(self):
        request = write(tools=[WEATHER])
        assert request["tools"] == [WEATHER, OURS]
        assert request["tool_choice"] == FORCED

    def test_a_tool_that_the_provider_runs_can_be_used_before_the_answer(self):
        request = write(tools=[{"type": "web_search_20250305", "name": "web_search"}])
        assert request["tool_choice"] == {"type": "any"}
        assert "User" in request["system"]

    @pytest.mark.parametrize("kind", ["enabled", "adaptive"])
    def test_a_model_that_thinks_is_asked_rather_than_forced(self, kind: str):
        request = write(thinking={"type": kind})
        assert request["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
        assert "User" in request["system"]

    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            ("required", {"type": "any", "disable_parallel_tool_use": True}),
            ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
            ("omitted", None),
        ],
    )
    def test_a_model_that_cannot_be_forced_is_asked(self, choice: ToolChoice, expected: Any):
        request = write(capabilities=Capabilities(tool_choice=choice))
        assert request.get("tool_choice") == expected
        assert "User" in request["system"]

    def test_a_model_that_can_be_forced_is(self):
        request = write()
        assert request["tool_choice"] == FORCED
        assert "system" not in request

    def test_a_choice_in_openais_form_is_translated(self):
        choice = {"type": "function", "function": {"name": "weather"}}
        assert write(tools=[WEATHER], tool_choice=choice)["tool_choice"] == {"type": "tool", "name": "weather"}

    def test_switched_off_thinking_changes_nothing(self):
        request = write(thinking={"type": "disabled"})
        assert request["tool_choice"] == FORCED
        assert "system" not in request

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"type": "any"}, {"type": "any"}),
            ("required", {"type": "any"}),
            ("auto", {"type": "auto"}),
            ({"disable_parallel_tool_use": False}, {**FORCED, "disable_parallel_tool_use": False}),
        ],
    )
    def test_the_callers_choice_wins(self, wanted: Any, expected: dict[str, Any]):
        request = write(tools=[WEATHER], tool_choice=wanted)
        assert request["tool_choice"] == expected
        assert ("system" in request) is (expected["type"] != "tool")

    def test_parallel_calls_in_openais_word_leave_our_tool_forced(self):
        request = write(tools=[WEATHER], parallel_tool_calls=True)
        assert request["tool_choice"] == {**FORCED, "disable_parallel_tool_use": False}

    def test_without_a_binding_the_callers_tools_go_through(self):
        request = write(mode=None, tools=[WEATHER], tool_choice={"type": "auto"})
        assert (request["tools"], request["tool_choice"]) == ([WEATHER], {"type": "auto"})


class TestSystem:
    def test_prompts_are_joined_in_the_order_given(self):
        messages = [{"role": "system", "content": "B"}, *ASK, {"role": "developer", "content": "C"}]
        request = write(messages, system="A")
        assert request["system"] == "A\n\nB\n\nC"
        assert request["messages"] == ASK

    def test_blocks_keep_their_cache_control(self):
        cached = {**text("Long."), "cache_control": {"type": "ephemeral"}}
        messages = [{"role": "system", "content": [cached]}, *ASK]
        assert write(messages, system="A")["system"] == [text("A"), cached]
        assert write(messages, Mode.JSON)["system"][0] == cached


class TestMessages:
    def test_text_parts_without_text_are_not_sent(self):
        messages = [{"role": "user", "content": [text("Hi."), text(" ")]}, {"role": "assistant", "content": [text("")]}]
        assert write(messages)["messages"] == [{"role": "user", "content": [text("Hi.")]}]

    def test_blocks_of_the_providers_own_go_through_untouched(self):
        native = [
            {"role": "user", "content": [{**text("Hi"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s=="}, tool_use({"a": None})],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
            {"role": "assistant", "content": complete(text("Yes.")).content},
        ]
        assert write(deepcopy(native))["messages"] == native

    def test_images_and_files_are_written_as_blocks(self):
        cache = {"cache_control": {"type": "ephemeral"}}
        parts = [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}, **cache},
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "file", "file": {"file_id": "file_1"}},
            text("What is this?"),
        ]
        _, body = send(write([{"role": "user", "content": parts}]))
        assert body["messages"][0]["content"] == [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}, **cache},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                "title": "a.pdf",
            },
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            text("What is this?"),
        ]

    def test_audio_is_refused_before_it_is_sent(self):
        sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
        with pytest.raises(MultimodalError, match="does not take audio") as caught:
            write([{"role": "user", "content": [sound]}])
        assert caught.value.content_type == "audio/wav"

    def test_tool_calls_and_their_results_are_written_as_blocks(self):
        messages = [
            {
                "role": "assistant",
                "content": "Let me look.",
                "refusal": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
                    {"id": "b", "type": "function", "function": {"name": "weather", "arguments": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            *ASK,
        ]
        assert write(messages)["messages"] == [
            {
                "role": "assistant",
                "content": [
                    text("Let me look."),
                    {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}},
                    {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "Sunny."},
                    {"type": "tool_result", "tool_use_id": "b"},
                ],
            },
            *ASK,
        ]

    @pytest.mark.parametrize("arguments", ["{", "[1]"])
    def test_a_tool_call_that_no_model_made_is_named(self, arguments: str):
        call = {"id": "a", "function": {"name": "weather", "arguments": arguments}}
        with pytest.raises(ConfigurationError, match="tool call 'a'"):
            write([{"role": "assistant", "content": None, "tool_calls": [call]}])


class TestRead:
    def test_integers_of_any_size_are_kept(self):
        assert (
            WIRE.read(complete(tool_use({"n": 2**70, "s": "é"})), Mode.TOOLS, ["User"])[0].text
            == f'{{"n":{2**70},"s":"é"}}'
        )

    def test_the_call_of_ours_is_the_answer_wherever_it_stands(self):
        completion = complete(tool_use({}, "toolu_0", "weather"), tool_use({"name": "A"}), tool_use({"name": "B"}))
        assert WIRE.read(completion, Mode.TOOLS, ["User"])[0].text == '{"name":"A"}'

    def test_the_text_beside_another_tools_call_is_no_answer(self):
        with pytest.raises(ResponseParsingError, match="'weather', but not 'User'"):
            WIRE.read(complete(text('{"name": "A"}'), tool_use({}, name="weather")), Mode.TOOLS, ["User"])

    def test_json_in_text_is_accepted_where_no_tool_was_called(self):
        completion = complete({"type": "thinking", "thinking": "{}", "signature": "s"}, text('Sure: {"name": "A"}'))
        assert WIRE.read(completion, Mode.TOOLS, ["User"])[0].text == '{"name": "A"}'

    def test_text_in_several_blocks_is_one_text(self):
        assert WIRE.read(complete(text('{"name": '), text('"A"}')), Mode.JSON, ["User"])[0].text == '{"name": "A"}'

    @pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded"])
    def test_a_cut_off_answer_is_no_answer_even_if_it_reads_well(self, reason: str):
        completion = complete(tool_use({"name": "A"}))
        completion.stop_reason = reason  # set here, because the oldest SDKs don't declare every reason
        with pytest.raises(IncompleteOutputException, match="cut off"):
            WIRE.read(completion, Mode.TOOLS, ["User"])

    def test_a_refusal_says_what_the_model_said(self):
        with pytest.raises(RefusalError, match="I will not"):
            WIRE.read(complete(text("I will not."), stop_reason="refusal"), Mode.TOOLS, ["User"])

    def test_a_paused_turn_is_no_answer(self):
        with pytest.raises(ResponseParsingError, match="pause_turn"):
            WIRE.read(complete(text('{"name": "A"}'), stop_reason="pause_turn"), Mode.JSON, ["User"])
        with pytest.raises(ResponseParsingError, match="pause_turn"):
            WIRE.read(complete(tool_use({"name": "A"}), stop_reason="pause_turn"), Mode.TOOLS, ["User"])


class TestReask:
    def test_every_call_is_answered_the_one_read_with_the_error_and_thinking_is_kept(self):
        thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s=="}
        calls = [
            tool_use({"city": "Rome"}, "toolu_0", "weather"),
            tool_use({"name": None}, "toolu_1"),
            tool_use({"name": "B"}, "toolu_2"),
        ]
        completion = complete(thinking, text(" "), *calls, stop_reason="tool_use")
        request = WIRE.reask(write(), completion, ValueError("Wrong."), Mode.TOOLS)
        _, body = send(request)
        assert body["messages"] == [
            *ASK,
            {"role": "assistant", "content": [thinking, *calls]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": identifier, "is_error": True, "content": told}
                    for identifier, told in (
                        ("toolu_0", "Not used. Call User, once."),
                        ("toolu_1", say_call_again("Wrong.")),
                        ("toolu_2", "Not used. Call User, once."),
                    )
                ],
            },
        ]

    def test_when_only_others_were_called_every_call_is_told_what_to_call(self):
        calls = [tool_use({}, "toolu_1", "weather"), tool_use({}, "toolu_2", "clock")]
        request = WIRE.reask(write(), complete(*calls), ValueError("Wrong."), Mode.TOOLS)
        _, body = send(request)
        answered, told = body["messages"][1:]
        assert answered["content"] == calls
        assert [result["tool_use_id"] for result in told["content"]] == ["toolu_1", "toolu_2"]
        assert all("Wrong." in result["content"] and "User" in result["content"] for result in told["content"])

    def test_a_name_that_the_api_would_refuse_is_shown_to_the_model_as_it_should_be(self):
        completion = complete(tool_use({}, name="functions.User"))
        request = WIRE.reask(write(), completion, ValueError("Wrong."), Mode.TOOLS)
        assert request["messages"][1]["content"] == [tool_use({})]

    def test_in_json_mode_the_call_of_a_callers_tool_is_answered_too(self):
        request = WIRE.reask(write(mode=Mode.JSON), complete(tool_use({})), ValueError("Wrong."), Mode.JSON)
        assert "Give the answer in JSON" in request["messages"][-1]["content"][0]["content"]

    def test_text_is_answered_with_text(self):
        request = WIRE.reask(write(mode=Mode.JSON), complete(text("No.")), ValueError("Wrong."), Mode.JSON)
        answered, told = request["messages"][1:]
        assert answered == {"role": "assistant", "content": [text("No.")]}
        assert told["role"] == "user"
        assert "Wrong." in told["content"]

    def test_a_turn_without_content_is_not_sent_back(self):
        request = WIRE.reask(write(), complete(text("")), ValueError("Wrong."), Mode.TOOLS)
        assert [message["role"] for message in request["messages"]] == ["user", "user"]

    def test_a_paused_turn_is_sent_back_alone_to_go_on(self):
        completion = complete(text("Searching."), stop_reason="pause_turn")
        request = WIRE.reask(write(), completion, ValueError("Paused."), Mode.TOOLS)
        assert request["messages"] == [*ASK, {"role": "assistant", "content": [text("Searching.")]}]


def test_usage_counts_what_the_providers_cache_read_and_wrote():
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert WIRE.usage(complete(usage=usage)) == Usage(130, 5, 100, 3, 20)
    written = {"ephemeral_1h_input_tokens": 15, "ephemeral_5m_input_tokens": 5}
    assert WIRE.usage(complete(usage={**usage, "cache_creation": written})) == Usage(130, 5, 100, 3, 20, 15)


def test_usage_is_zero_where_a_gateway_leaves_it_out():
    assert WIRE.usage(Message.model_construct(content=[])) == Usage()
