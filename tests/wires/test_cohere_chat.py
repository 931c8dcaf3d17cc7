"""Cohere's requests and answers, as its SDK takes and returns them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from cohere_answers import cohere_answer, cohere_events
from instructor.exceptions import ProviderError, RefusalError
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.capabilities import Capabilities
from instructor.wires.cohere_chat import COHERE_CHAT
from instructor.wires.cohere_chat_stream import CohereFold
from instructor.wires.spec import ToolSpec
from instructor.wires.turns import continue_messages

pytest.importorskip("cohere")

from cohere.core.unchecked_base_model import construct_type
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse

ASKED = [{"role": "user", "content": "Hi."}]


class User(BaseModel):
    """A user."""

    name: str


SPEC = ToolSpec(name="User", description="A user.", schema=User.model_json_schema())


def make(body: dict[str, Any]) -> Any:
    return construct_type(type_=V2ChatResponse, object_=body)


class TestCohereChat(WireContract):
    wire = COHERE_CHAT
    used = Usage(10, 5, 2)
    arguments: ClassVar[dict[str, Any]] = {"temperature": 0.25, "k": 3, "request_options": {"timeout": 7.5}}

    def answered(self, text, mode, name):
        if mode is Mode.TOOLS:
            return make(cohere_answer(tool=name, arguments=text))
        return make(cohere_answer(f"```json\n{text}\n```" if mode is Mode.MD_JSON else text))

    def cut_off(self, mode):
        return make(cohere_answer("{", reason="MAX_TOKENS"))

    def refused(self, mode):
        return make(cohere_answer("", reason="CONTENT_FILTER"))

    def empty(self, mode):
        return make(cohere_answer(""))

    def chunks(self, completion):
        body = completion.model_dump(mode="json", exclude_unset=True)
        return [construct_type(type_=V2ChatStreamResponse, object_=event) for event in cohere_events(body)]


def write(mode: Mode, messages: Any = None, choice: Any = "required", **arguments: Any) -> dict[str, Any]:
    capabilities = Capabilities(tool_choice=choice, schema="openai_strict")
    binding = COHERE_CHAT.bind(SPEC, mode, True, capabilities)
    return COHERE_CHAT.write(messages or ASKED, binding, "m", arguments, capabilities)


def test_a_schema_is_part_of_the_json_format():
    held = write(Mode.JSON_SCHEMA)["response_format"]
    assert (held["type"], held["json_schema"]["required"]) == ("json_object", ["name"])


@pytest.mark.parametrize(
    ("mode", "arguments", "expected"),
    [
        (Mode.TOOLS, {}, "REQUIRED"),
        (Mode.TOOLS, {"choice": "named"}, "REQUIRED"),
        (Mode.TOOLS, {"choice": "auto"}, None),
        (Mode.JSON, {"tool_choice": "none", "tools": [{"name": "f", "input_schema": {}}]}, "NONE"),
    ],
)
def test_a_call_is_required_in_coheres_words(mode, arguments, expected):
    assert write(mode, **arguments).get("tool_choice") == expected


def test_arguments_may_have_the_names_of_openais():
    request = write(
        Mode.JSON, top_p=0.5, stop="x", max_completion_tokens=9, extra_headers={"X-A": "b"}, timeout=3, seed=1, n=2
    )
    assert request["request_options"] == {"additional_headers": {"X-A": "b"}, "timeout": 3}
    assert {name: request[name] for name in ("p", "stop_sequences", "max_tokens", "seed")} == {
        "p": 0.5,
        "stop_sequences": ["x"],
        "max_tokens": 9,
        "seed": 1,
    }
    assert not {"n", "top_p", "stop", "max_completion_tokens", "parallel_tool_calls"} & request.keys()


def test_the_developers_messages_are_the_systems():
    assert write(Mode.TOOLS, [{"role": "developer", "content": "Be brief."}, *ASKED])["messages"][0]["role"] == "system"


def test_a_stream_keeps_thoughts_plan_and_citations_and_an_error_of_the_provider_ends_it():
    citation = {"start": 0, "end": 2, "text": "Hi", "type": "TEXT_CONTENT"}
    events = [*cohere_events(cohere_answer("Hi there."))]
    events.insert(-1, {"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}})
    fold = CohereFold()
    for event in events:
        fold.add(event)
    expected = cohere_answer("Hi there.")
    expected["message"]["citations"] = [citation]
    assert fold.finish().body == expected
    planned = CohereFold()
    for event in cohere_events(cohere_answer(tool="User", arguments="{}")):
        planned.add(event)
    assert planned.finish().body == cohere_answer(tool="User", arguments="{}")
    with pytest.raises(ProviderError, match="Overloaded"):
        CohereFold().add({"type": "message-end", "delta": {"error": "Overloaded", "finish_reason": "ERROR"}})


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_an_answer_that_failed_is_the_providers_fault(reason):
    with pytest.raises(ProviderError):
        COHERE_CHAT.check(make(cohere_answer("x", reason=reason)))
    with pytest.raises(RefusalError):
        COHERE_CHAT.check(make(cohere_answer("x", reason="CONTENT_FILTER")))


def test_a_conversation_goes_on_after_a_call():
    answer = make(cohere_answer(tool="weather", arguments='{"city": "Ulm"}'))
    turns = continue_messages(ASKED, answer, {"call_1": "Rain."})
    assert turns[1]["tool_plan"] == "I will call the tool."
    assert [turn["role"] for turn in write(Mode.TOOLS, turns)["messages"][-2:]] == ["assistant", "tool"]
