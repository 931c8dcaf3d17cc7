from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from as_data import AsData
from instructor.exceptions import IncompleteOutputException, ProviderError, RefusalError, ResponseParsingError
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.openai_responses import OPENAI_RESPONSES
from instructor.wires.spec import ToolSpec
from streams import responses_events

MODE = Mode.RESPONSES_TOOLS
USAGE = {
    "input_tokens": 30,
    "output_tokens": 12,
    "total_tokens": 42,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 5},
}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_c", "name": "User", "input": "{}"}


class User(BaseModel):
    name: str
    age: int = 0


SHAPE = ToolSpec(name="User", description="A user.", schema=User.model_json_schema())
FREE = ToolSpec(name="Free", description="Anything.", schema={"type": "object", "additionalProperties": True})


def call(text: str, call_id: str = "call_a", name: str | None = "User") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": text}


def say(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def respond(*output: dict[str, Any], **more: Any) -> Response:
    return Response.construct(
        **({"id": "resp_1", "status": "completed", "output": list(output), "usage": USAGE} | more)
    )


class TestOpenAIResponses(WireContract):
    wire = OPENAI_RESPONSES
    conversation = "input"
    used = Usage(30, 12, 20, 5)

    def answered(self, text, mode, name):
        return respond(call(text, name=name))

    def cut_off(self, mode):
        return respond(call("{"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})

    def refused(self, mode):
        return respond(say({"type": "refusal", "refusal": "I will not."}))

    def empty(self, mode):
        return respond()

    def chunks(self, completion):
        return [*responses_events(completion.to_dict())]


class TestData(AsData, TestOpenAIResponses):
    """The same, as the provider sent it."""


def write(arguments: dict[str, Any] | None = None, messages: Any = None, shape: ToolSpec = SHAPE, strict: bool = True):
    binding = OPENAI_RESPONSES.bind(shape, MODE, strict)
    return OPENAI_RESPONSES.write(messages or [{"role": "user", "content": "Hi."}], binding, "gpt", arguments or {})


def send(request: dict[str, Any], answer: Response) -> tuple[dict[str, Any], Response]:
    """Send a request with the real SDK; return the JSON body that left it, and the response that it made."""
    bodies: list[dict[str, Any]] = []

    def handle(sent: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(sent.content))
        return httpx2.Response(200, json=answer.model_dump(mode="json"))

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as http:
        client = openai.OpenAI(api_key="key", base_url="https://example.test/v1", http_client=http, max_retries=0)
        response = client.responses.create(**request)
    return bodies[0], response


def test_a_conversation_goes_through_the_real_sdk():
    request = write({"temperature": 0.5, "timeout": 3.0})
    body, response = send(request, respond(REASONING, call('{"name": 1}')))
    assert body == {name: value for name, value in request.items() if name != "timeout"}
    assert OPENAI_RESPONSES.read(response, MODE, ["User"])[0].text == '{"name": 1}'
    again, _ = send(OPENAI_RESPONSES.reask(request, response, ValueError("Bad."), MODE), response)
    question, reasoning, called, result = again["input"]
    assert question == body["input"][0]
    assert reasoning == REASONING
    assert called == call('{"name": 1}')
    assert (result["type"], result["call_id"]) == ("function_call_output", "call_a")
    assert "Bad." in result["output"]


@pytest.mark.parametrize(("shape", "strict", "sent"), [(SHAPE, True, True), (SHAPE, False, False), (FREE, True, False)])
def test_strictness_is_always_sent(shape, strict, sent):
    [tool] = write(shape=shape, strict=strict)["tools"]
    assert tool["strict"] is sent
    assert tool["type"] == "function"
    if sent:
        assert tool["parameters"]["required"] == ["name", "age"]


@pytest.mark.parametrize(
    ("arguments", "kinds", "choice"),
    [
        ({}, ["function"], {"type": "function", "name": "User"}),
        ({"tools": [{"type": "web_search"}]}, ["web_search", "function"], "required"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "auto"}, ["web_search", "function"], "auto"),
        ({"tools": [{"type": "function", "name": "f"}]}, ["function"] * 2, {"type": "function", "name": "User"}),
    ],
)
def test_the_callers_tools_and_choice_are_kept_beside_ours(arguments, kinds, choice):
    request = write(arguments)
    assert [tool["type"] for tool in request["tools"]] == kinds
    assert request["tools"][-1]["name"] == "User"
    assert request["tool_choice"] == choice


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_token_limit_goes_by_its_name_here(name):
    arguments = {name: 100}
    request = write(arguments)
    assert request["max_output_tokens"] == 100
    assert not {"max_tokens", "max_completion_tokens"} & request.keys()
    assert arguments == {name: 100}


def test_content_parts_are_written_in_this_apis_form():
    parts = [
        {"type": "text", "text": "See:", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/png;base64,aGk="},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "input_text", "text": "done"},
    ]
    [item] = write(messages=[{"role": "user", "content": parts, "name": "Bo"}])["input"]
    assert item.keys() == {"role", "content"}
    assert item["content"] == [
        {"type": "input_text", "text": "See:", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "https://a.test/b.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_text", "text": "done"},
    ]


def test_turns_with_tools_become_items():
    function = {"name": "look_up", "arguments": '{"q": 1}'}
    messages = [
        {"role": "developer", "content": "Be kind."},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Wait."}],
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "d", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
        },
        {"role": "assistant", "content": "So it is.", "phase": "final_answer"},
    ]
    assert write(messages=messages)["input"] == [
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": '{"q": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
        {"type": "custom_tool_call", "call_id": "d", "name": "sh", "input": "ls"},
        {"role": "assistant", "content": "So it is.", "phase": "final_answer"},
    ]


def test_items_of_this_api_pass_through():
    items = [
        REASONING,
        call("{}"),
        {"type": "message", "role": "user", "content": "x"},
        {"type": "item_reference", "id": "i"},
    ]
    assert write(messages=items)["input"] == items


def test_of_search_and_call_the_call_is_the_answer():
    search = {"type": "web_search_call", "id": "ws", "status": "completed"}
    response = respond(search, REASONING, call('{"name": "A"}'), call('{"name": "B"}', "call_b"))
    assert OPENAI_RESPONSES.read(response, MODE, ["User"])[0].text == '{"name": "A"}'


def test_the_call_of_ours_is_the_answer_wherever_it_stands():
    response = respond(call("{}", "call_b", "weather"), CUSTOM, call('{"name": "A"}'), call('{"name": "B"}'))
    assert OPENAI_RESPONSES.read(response, MODE, ["User"])[0].text == '{"name": "A"}'


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ([call("{}", name="weather"), call("{}", name="clock")], "'weather', 'clock', but not 'User'"),
        ([say(text_part('{"name": "A"}')), call("{}", name="weather")], "'weather', but not 'User'"),
        ([CUSTOM], "a tool of another type, but not 'User'"),
        ([call("{}", name=None)], "a tool of another type, but not 'User'"),
    ],
)
def test_calls_of_others_and_the_text_beside_them_are_no_answer(output, said):
    with pytest.raises(ResponseParsingError, match=said):
        OPENAI_RESPONSES.read(respond(*output), MODE, ["User"])


def test_json_as_text_answers_for_a_call():
    assert (
        OPENAI_RESPONSES.read(respond(say(text_part('It is {"name": "A"}.'))), MODE, ["User"])[0].text
        == '{"name": "A"}'
    )


@pytest.mark.parametrize("output", [[say(text_part("Which user?"))], [REASONING], None])
def test_a_response_without_an_answer_says_what_came(output):
    with pytest.raises(ResponseParsingError, match=r"Which user|reasoning|nothing"):
        OPENAI_RESPONSES.read(respond(output=output) if output is None else respond(*output), MODE, ["User"])


def test_a_response_that_failed_is_the_providers_error():
    response = respond(status="failed", error={"code": "server_error", "message": "Try later."})
    with pytest.raises(ProviderError, match=r"server_error: Try later\."):
        OPENAI_RESPONSES.read(response, MODE, ["User"])
    with pytest.raises(ProviderError, match="cancelled"):
        OPENAI_RESPONSES.read(respond(status="cancelled"), MODE, ["User"])


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"reason": "content_filter"}, RefusalError),
        ({"reason": "steered"}, IncompleteOutputException),
        (None, IncompleteOutputException),
    ],
)
def test_an_incomplete_response_says_why(details, error):
    with pytest.raises(error) as caught:
        OPENAI_RESPONSES.read(respond(call("{}"), status="incomplete", incomplete_details=details), MODE, ["User"])
    assert caught.value.last_completion is not None


def reask(response: Any, **arguments: Any) -> list[dict[str, Any]]:
    return OPENAI_RESPONSES.reask(write(arguments), response, ValueError("Bad."), MODE)["input"]


def test_every_call_gets_an_output_and_the_one_read_the_error():
    results = reask(respond(call("{}", "call_w", "weather"), CUSTOM, call("{}"), call("{}", "call_b")))[5:]
    assert [result["call_id"] for result in results] == ["call_w", "call_c", "call_a", "call_b"]
    assert ["Bad." in result["output"] for result in results] == [False, False, True, False]


def test_when_only_others_were_called_every_call_is_told_what_to_call():
    calls = [call("{}", name="weather"), call("{}", "call_b", "clock")]
    _, *said, first, second = reask(respond(*calls))
    assert said == calls
    assert [first["call_id"], second["call_id"]] == ["call_a", "call_b"]
    assert all("Bad." in result["output"] and "User" in result["output"] for result in (first, second))


@pytest.mark.parametrize(("called", "shown"), [("functions.User", "User"), ("my.tool", "my_tool"), (None, "unknown")])
def test_a_name_that_the_api_would_refuse_is_shown_to_the_model_as_it_should_be(called, shown):
    assert reask(respond(call("{}", name=called)))[1] == call("{}", name=shown)


def test_text_instead_of_a_call_is_answered_as_text():
    _, said, asked = reask(respond(say(text_part("Who?"))))
    assert said == say(text_part("Who?"))
    assert asked["role"] == "user"
    assert "Bad." in asked["content"]


def test_what_the_provider_did_not_store_is_sent_without_ids():
    search = {"type": "web_search_call", "id": "ws", "status": "completed"}
    _, said, called, _ = reask(respond(REASONING, search, say(text_part("Hm.")), call("{}")), store=False)
    assert said == {"role": "assistant", "content": "Hm."}
    assert called == {name: value for name, value in call("{}").items() if name != "id"}


def test_encrypted_reasoning_is_sent_back_even_when_nothing_is_stored():
    reasoning = {**REASONING, "encrypted_content": "gAAA"}
    assert reask(respond(reasoning, call("{}")), store=False)[1:3] == [reasoning, call("{}")]


def test_a_conversation_kept_by_the_provider_gets_only_what_is_new():
    [result] = reask(respond(call("{}")), conversation="conv_1")
    assert result["type"] == "function_call_output"


@pytest.mark.parametrize("used", [None, SimpleNamespace(input_tokens=None, output_tokens=None)])
def test_missing_counts_are_zeros(used):
    assert OPENAI_RESPONSES.usage(SimpleNamespace(usage=used)) == Usage()


def test_members_named_like_a_keyword_keep_their_name():
    assert reask(respond({**call("{}"), "async": True}))[1] == {**call("{}"), "async": True}


def test_objects_of_any_kind_are_written_back():
    response = SimpleNamespace(output=[SimpleNamespace(**call("{}"), namespace=None)], status="completed")
    assert reask(response)[1] == call("{}")


def test_a_plain_completion_is_asked_for_with_the_callers_arguments():
    request = OPENAI_RESPONSES.write(
        [{"role": "user", "content": "Hi."}], None, "gpt", {"tools": [{"type": "web_search"}]}
    )
    assert request == {"model": "gpt", "input": [{"role": "user", "content": "Hi."}], "tools": [{"type": "web_search"}]}
