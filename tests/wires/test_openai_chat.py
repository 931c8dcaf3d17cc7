from __future__ import annotations

import json
import warnings
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, ValidationError

from as_data import AsData
from instructor.exceptions import ProviderError, RefusalError, ResponseParsingError
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.capabilities import Capabilities
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.spec import Binding, ToolSpec
from instructor.wires.turns import continue_messages
from streams import chat_events

USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


class User(BaseModel):
    """A user."""

    name: str
    tags: list[str] = []


SHAPE = ToolSpec(name="User", description="A user.", schema=User.model_json_schema())
FREE = ToolSpec(name="Free", description="Anything.", schema={"type": "object", "additionalProperties": True})


def complete(message: Any, finish: str = "stop", usage: Any = USAGE) -> ChatCompletion:
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return ChatCompletion.construct(
        id="c1", created=1, model="m", object="chat.completion", choices=[choice], usage=usage
    )


def call_message(text: Any, name: str | None = "User", **more: Any) -> dict[str, Any]:
    call = {"id": "call_a", "type": "function", "function": {"name": name, "arguments": text}, **more}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def text_message(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


ANSWER = {
    Mode.TOOLS: call_message,
    Mode.JSON: text_message,
    Mode.JSON_SCHEMA: text_message,
    Mode.MD_JSON: lambda text: text_message(f"Here it is:\n```json\n{text}\n```"),
}


class TestOpenAIChat(WireContract):
    wire = OPENAI_CHAT
    used = Usage(30, 12, 20, 5)

    def answered(self, text, mode, name):
        if mode is Mode.TOOLS:
            return complete(call_message(text, name), "tool_calls")
        return complete(ANSWER[mode](text))

    def cut_off(self, mode):
        return complete(ANSWER[mode]('{"name": "A'), "length")

    def refused(self, mode):
        return complete({"role": "assistant", "content": None, "refusal": "I will not."})

    def empty(self, mode):
        return complete({"role": "assistant", "content": None})

    def chunks(self, completion):
        return [*chat_events(completion.to_dict())]


class TestData(AsData, TestOpenAIChat):
    """The same, as the provider sent it."""


def send(request: dict[str, Any], answer: ChatCompletion) -> tuple[dict[str, Any], ChatCompletion]:
    """Send a request with the real SDK; return the JSON body that left it, and the completion that it made."""
    bodies: list[dict[str, Any]] = []

    def handle(sent: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(sent.content))
        return httpx2.Response(200, json=answer.model_dump(mode="json"))

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as http:
        client = openai.OpenAI(api_key="key", base_url="https://example.test/v1", http_client=http, max_retries=0)
        completion = client.chat.completions.create(**request)
    return bodies[0], completion


def write(
    mode: Mode, arguments: dict[str, Any] | None = None, shape: ToolSpec = SHAPE, messages: Any = None, strict=True
):
    binding = OPENAI_CHAT.bind(shape, mode, strict)
    return OPENAI_CHAT.write(messages or [{"role": "user", "content": "Hi."}], binding, "gpt", arguments or {})


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
def test_a_conversation_goes_through_the_real_sdk(mode):
    wrong = complete(ANSWER[mode]('{"name": 1}'))
    request = write(mode, {"seed": 7, "timeout": 3.0, "extra_headers": {"X-A": "b"}})
    body, completion = send(request, wrong)
    assert body["seed"] == 7
    assert "timeout" not in body
    assert OPENAI_CHAT.read(completion, mode, ["User"])[0].text == '{"name": 1}'
    with pytest.raises(ValidationError) as caught:
        User.model_validate_json(OPENAI_CHAT.read(completion, mode, ["User"])[0].text)
    again, completion = send(OPENAI_CHAT.reask(request, completion, caught.value, mode), wrong)
    assert again["messages"][: len(body["messages"])] == body["messages"]
    assert "name: Input should be a valid string (input: 1)" in again["messages"][-1]["content"]
    assert {**again, "messages": None} == {**body, "messages": None}


def test_tools_force_one_function_with_the_schema_as_it_is():
    request = write(Mode.TOOLS)
    [tool] = request["tools"]
    assert tool["function"] == {"name": "User", "description": "A user.", "parameters": SHAPE.schema}
    assert request["tool_choice"] == {"type": "function", "function": {"name": "User"}}
    assert request["messages"] == [{"role": "user", "content": "Hi."}]


@pytest.mark.parametrize(("choice", "expected"), [("required", "required"), ("auto", "auto"), ("omitted", None)])
def test_a_model_that_cannot_be_forced_is_asked_for_the_call(choice, expected):
    capabilities = Capabilities(tool_choice=choice)
    binding = OPENAI_CHAT.bind(SHAPE, Mode.TOOLS, True, capabilities)
    request = OPENAI_CHAT.write([{"role": "user", "content": "Hi."}], binding, "gpt", {}, capabilities)
    assert request.get("tool_choice") == expected
    is_sure = choice == "required"  # there is only our tool to call
    assert [message["role"] for message in request["messages"]] == (["user"] if is_sure else ["system", "user"])
    assert is_sure or "calling the tool User" in request["messages"][0]["content"]


def test_a_choice_of_the_callers_that_does_not_force_our_tool_is_kept_and_the_call_asked_for():
    request = write(Mode.TOOLS, {"tool_choice": "auto"})
    assert request["tool_choice"] == "auto"
    assert "calling the tool User" in request["messages"][0]["content"]


@pytest.mark.parametrize(
    ("schema", "strict", "pattern"),
    [
        ("openai_strict", True, "x|y"),
        ("anchored", True, "^(x|y)$"),
        ("plain", False, "x|y"),
        ("anthropic", True, None),
    ],
)
def test_the_schema_is_written_in_the_subset_that_the_model_takes(schema, strict, pattern):
    spec = ToolSpec("Plate", "", {"type": "object", "properties": {"a": {"type": "string", "pattern": "x|y"}}})
    binding = OPENAI_CHAT.bind(spec, Mode.JSON_SCHEMA, True, Capabilities(schema=schema))
    form = binding.arguments["response_format"]["json_schema"]
    assert form["strict"] is strict
    assert form["schema"]["properties"]["a"].get("pattern") == pattern


def test_json_mode_puts_the_word_json_and_the_schema_into_the_system_prompt():
    request = write(Mode.JSON)
    assert request["response_format"] == {"type": "json_object"}
    assert "JSON" in request["messages"][0]["content"]
    assert '"properties"' in request["messages"][0]["content"]


def test_markdown_mode_sends_an_instruction_and_nothing_else():
    assert write(Mode.MD_JSON).keys() == {"model", "messages"}
    assert "```json" in write(Mode.MD_JSON)["messages"][0]["content"]


@pytest.mark.parametrize(("shape", "strict", "sent"), [(SHAPE, True, True), (SHAPE, False, False), (FREE, True, False)])
def test_json_schema_mode_is_strict_where_it_can_and_may_be(shape, strict, sent):
    form = write(Mode.JSON_SCHEMA, shape=shape, strict=strict)["response_format"]["json_schema"]
    assert form["strict"] is sent
    assert form["schema"].get("additionalProperties") is (False if sent else shape.schema.get("additionalProperties"))


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("content", ["Be kind.", [{"type": "text", "text": "Be kind."}], None])
def test_the_instruction_joins_the_system_message_that_is_there(role, content):
    messages = [{"role": "user", "content": "a"}, {"role": role, "content": content, "name": "boss"}]
    sent = write(Mode.JSON, messages=messages)["messages"]
    assert [message["role"] for message in sent] == ["user", role]
    assert sent[1]["name"] == "boss"
    text = sent[1]["content"] if isinstance(sent[1]["content"], str) else sent[1]["content"][-1]["text"]
    assert "JSON Schema" in text
    assert content is None or "Be kind." in str(sent[1]["content"])


def function_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


FORCED = {"type": "function", "function": {"name": "User"}}


@pytest.mark.parametrize(
    ("arguments", "names", "choice"),
    [
        ({"tools": [function_tool("mine")]}, ["mine", "User"], FORCED),
        ({"tools": [{"type": "browser_search"}]}, [None, "User"], "required"),
        ({"tools": [function_tool("mine")], "tool_choice": "auto"}, ["mine", "User"], "auto"),
        ({"tool_choice": "auto"}, ["User"], "auto"),
        ({"tools": None, "tool_choice": None}, ["User"], FORCED),
    ],
)
def test_the_callers_tools_and_choice_are_kept_beside_ours(arguments, names, choice):
    given = deepcopy(arguments)
    request = write(Mode.TOOLS, arguments)
    assert [tool.get("function", {}).get("name") for tool in request["tools"]] == names
    assert request["tool_choice"] == choice
    assert arguments == given


def test_the_callers_response_format_wins():
    assert write(Mode.JSON, {"response_format": {"type": "text"}})["response_format"] == {"type": "text"}


@pytest.mark.parametrize("text", ['{"name":  "Ada"}', '{"name": "Ada"', "not json"])
def test_a_calls_arguments_are_returned_to_the_letter(text):
    assert OPENAI_CHAT.read(complete(call_message(text)), Mode.TOOLS, ["User"])[0].text == text


def test_of_several_calls_the_first_is_the_answer():
    message = call_message('{"name": "A"}')
    message["tool_calls"].append(call_message('{"name": "B"}')["tool_calls"][0])
    assert OPENAI_CHAT.read(complete(message), Mode.TOOLS, ["User"])[0].text == '{"name": "A"}'


def call_messages(*calls: tuple[str, Any]) -> dict[str, Any]:
    made = [call_message(text, name)["tool_calls"][0] | {"id": f"call_{name}"} for name, text in calls]
    return {"role": "assistant", "content": None, "tool_calls": made}


def test_the_call_of_ours_is_the_answer_wherever_it_stands():
    message = call_messages(("weather", "{}"), ("User", '{"name": "A"}'), ("User", '{"name": "B"}'))
    assert OPENAI_CHAT.read(complete(message), Mode.TOOLS, ["User"])[0].text == '{"name": "A"}'


CUSTOM = {"id": "call_b", "type": "custom", "custom": {"name": "User", "input": "{}"}}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (call_messages(("weather", "{}"), ("clock", "{}")), "'weather', 'clock', but not 'User'"),
        (call_messages(("weather", "{}")) | {"content": '{"name": "A"}'}, "'weather', but not 'User'"),
        ({"tool_calls": [CUSTOM]}, "a tool of another type, but not 'User'"),
        (call_message("{}", None), "a tool of another type, but not 'User'"),
    ],
)
def test_calls_of_others_and_the_text_beside_them_are_no_answer(message, said):
    with pytest.raises(ResponseParsingError, match=said):
        OPENAI_CHAT.read(complete(message), Mode.TOOLS, ["User"])


@pytest.mark.parametrize("arguments", [{"name": "Ada"}, '{"name":"Ada"}'])
def test_arguments_sent_as_an_object_are_read_too(arguments):
    assert OPENAI_CHAT.read(complete(call_message(arguments)), Mode.TOOLS, ["User"])[0].text == '{"name":"Ada"}'


def test_a_call_without_arguments_is_an_empty_object():
    assert OPENAI_CHAT.read(complete(call_message("")), Mode.TOOLS, ["User"])[0].text == "{}"


def test_json_as_plain_content_answers_for_a_call():
    assert (
        OPENAI_CHAT.read(complete(text_message('```json\n{"name": "A"}\n```')), Mode.TOOLS, ["User"])[0].text
        == '{"name": "A"}'
    )


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
@pytest.mark.parametrize(
    "text",
    ['```json\n{"name":"B"}\n```', '<think>Hm.</think>\n{"name":"B"}', 'Sure: {"name":"B"}', '\ufeff{"name":"B"}'],
)
def test_every_mode_reads_json_with_something_around_it(mode, text):
    message = text_message(text)
    assert OPENAI_CHAT.read(complete(message), mode, ["User"]) == (("", '{"name":"B"}'),)


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
@pytest.mark.parametrize("text", ['{"name": "B",}', '"{\\"name\\": \\"B\\"}"', '{"User": {"name": "B"}}'])
def test_every_mode_reads_json_that_can_mean_one_thing_only(mode, text):
    [part] = OPENAI_CHAT.read(complete(ANSWER[mode](text)), mode, ["User"], [SHAPE])
    assert part.text == '{"name": "B"}'


def test_content_in_parts_is_read():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": '{"name": "A"}'}]
    assert OPENAI_CHAT.read(complete(text_message(parts)), Mode.JSON_SCHEMA, ["User"])[0].text == '{"name": "A"}'


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON, Mode.MD_JSON])
def test_prose_is_shown_in_the_error(mode):
    with pytest.raises(ResponseParsingError, match="Which user do you mean"):
        OPENAI_CHAT.read(complete(text_message("Which user do you mean?")), mode, ["User"])


@pytest.mark.parametrize("choices", [[], None])
@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
def test_a_completion_without_choices_has_no_answer(choices, mode):
    completion = ChatCompletion.construct(id="x", choices=choices)
    with pytest.raises(ResponseParsingError, match="no message"):
        OPENAI_CHAT.read(completion, mode, ["User"])
    assert OPENAI_CHAT.reask(write(mode), completion, ValueError("Nothing."), mode)["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("completion", [ChatCompletion.construct(), complete(None), SimpleNamespace(choices=[])])
def test_members_that_a_gateway_left_out_are_no_crash(completion):
    with pytest.raises(ResponseParsingError):
        OPENAI_CHAT.read(completion, Mode.TOOLS, ["User"])


def test_an_error_sent_with_a_status_of_success_is_the_providers():
    completion = ChatCompletion.construct(choices=None, error={"message": "Overloaded", "code": 502})
    with pytest.raises(ProviderError, match="Overloaded"):
        OPENAI_CHAT.read(completion, Mode.TOOLS, ["User"])


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "content_filter: RECITATION"])
def test_a_filter_is_a_refusal(reason):
    with pytest.raises(RefusalError, match="filter"):
        OPENAI_CHAT.read(complete(text_message("{}"), reason), Mode.JSON, ["User"])


def reask(completion: Any, mode: Mode = Mode.TOOLS) -> list[dict[str, Any]]:
    request = write(mode)
    return OPENAI_CHAT.reask(request, completion, ValueError("Bad."), mode)["messages"][len(request["messages"]) :]


def test_every_call_gets_a_result_and_the_one_read_the_error():
    message = call_messages(("weather", "{}"), ("User", "{}"))
    message["tool_calls"].append({"id": "call_b", "type": "custom", "custom": {"name": "sh", "input": "ls"}})
    said, *results = reask(complete(message))
    identifiers = ["call_weather", "call_User", "call_b"]
    assert [call["id"] for call in said["tool_calls"]] == identifiers
    assert [(result["role"], result["tool_call_id"]) for result in results] == [("tool", name) for name in identifiers]
    assert ["Bad." in result["content"] for result in results] == [False, True, False]


def test_when_only_others_were_called_every_call_is_told_what_to_call():
    said, *results = reask(complete(call_messages(("weather", "{}"), ("clock", "{}"))))
    assert [call["function"]["name"] for call in said["tool_calls"]] == ["weather", "clock"]
    assert [result["tool_call_id"] for result in results] == ["call_weather", "call_clock"]
    assert all("Bad." in result["content"] and "User" in result["content"] for result in results)


@pytest.mark.parametrize(("called", "shown"), [("functions.User", "User"), ("my.tool", "my_tool"), (None, "unknown")])
def test_a_name_that_the_api_would_refuse_is_shown_to_the_model_as_it_should_be(called, shown):
    said, _ = reask(complete(call_message("{}", called)))
    assert said["tool_calls"][0]["function"]["name"] == shown


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON])
def test_mistrals_thinking_goes_back_with_the_models_turn(mode):
    parts = [THOUGHT, {"type": "text", "text": "{}"}]
    message = (call_message("{}") if mode is Mode.TOOLS else text_message("")) | {"content": parts}
    completion = complete(message)
    assert reask(completion, mode)[0]["content"] == parts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert continue_messages([], completion)[0]["content"] == parts


def test_the_models_turn_is_written_without_junk_but_with_what_vendors_need():
    message = call_message("{}", extra_content={"google": {"thought_signature": "sig"}})
    message |= {"audio": None, "annotations": [], "reasoning_content": "Hm.", "reasoning": "So."}
    said = reask(complete(message))[0]
    assert said.keys() == {"role", "tool_calls", "reasoning_content", "reasoning"}
    assert said["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_a_call_of_broken_json_is_shown_as_text():
    said, asked = reask(complete(call_messages(("weather", "{}"), ("User", '{"name": '))))
    assert said == {"role": "assistant", "content": '{"name": '}
    assert asked["role"] == "user"


def test_a_call_without_an_id_gets_one():
    message = call_message("{}")
    message["tool_calls"][0]["id"] = None
    said, result = reask(complete(message))
    assert said["tool_calls"][0]["id"] == result["tool_call_id"] == "call_0"


def test_text_instead_of_a_call_is_answered_as_text():
    said, asked = reask(complete(text_message("Who?")))
    assert said == {"role": "assistant", "content": "Who?"}
    assert "Call the function" in asked["content"]


@pytest.mark.parametrize(
    ("used", "counted"),
    [
        (None, Usage()),
        ({"prompt_tokens": None, "completion_tokens": 3}, Usage(0, 3)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 20}, Usage(9, 11)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 4}, Usage(9, 3, 4)),
    ],
)
def test_counts_what_vendors_say_of_their_tokens(used, counted):
    assert OPENAI_CHAT.usage(complete(text_message("{}"), usage=used)) == counted
    assert OPENAI_CHAT.usage(SimpleNamespace(usage=SimpleNamespace(**used) if used else None)) == counted


def test_a_plain_completion_is_asked_for_with_the_callers_arguments():
    messages = [{"role": "user", "content": "Hi."}]
    request = OPENAI_CHAT.write(messages, None, "gpt", {"tools": [function_tool("mine")]})
    assert request == {"model": "gpt", "messages": messages, "tools": [function_tool("mine")]}
    assert request["messages"] is not messages


def test_a_binding_is_reused_unchanged():
    binding = OPENAI_CHAT.bind(SHAPE, Mode.TOOLS, True)
    before = deepcopy(binding)
    OPENAI_CHAT.write([], binding, "gpt", {"tools": [function_tool("mine")]})
    assert binding == before
    assert isinstance(binding, Binding)


def test_the_responses_apis_names_of_arguments_are_written_as_this_api_has_them() -> None:
    """The mode, and with it the API, is chosen by model, so that the caller may have written them for the other one."""
    arguments = {
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "high"},
        "temperature": 0,
    }
    limited = Capabilities(output_limit="max_completion_tokens")
    sent = OPENAI_CHAT.write([], None, "m", arguments, limited)
    assert sent == {
        "model": "m",
        "messages": [],
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "verbosity": "high",
        "temperature": 0,
    }
    unknown = {"reasoning": {"effort": "low", "summary": "auto"}, "text": "plain"}
    assert OPENAI_CHAT.write([], None, "m", unknown).items() >= unknown.items()
