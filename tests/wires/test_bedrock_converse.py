"""Converse's requests and answers, as botocore takes and returns them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ValidationError

from converse import check_request, converse, read, read_events, service, tool_use
from instructor.exceptions import MultimodalError, ProviderError, RefusalError
from instructor.media.medium import PDF, Image
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.bedrock_converse import _FORMATS, BEDROCK_CONVERSE, join_turns
from instructor.wires.bedrock_converse_stream import ConverseFold
from instructor.wires.capabilities import Capabilities
from instructor.wires.spec import ToolSpec
from instructor.wires.turns import continue_messages

pytest.importorskip("botocore")

GIF = "R0lGODlhAQABAAAAACw="
ASKED = [{"role": "user", "content": "Hi."}]


class User(BaseModel):
    """A user."""

    name: str
    tags: list[str] = []


SPEC = ToolSpec(name="User", description="A user.", schema=User.model_json_schema())
REASONING = {"reasoningContent": {"reasoningText": {"text": "Who is it? I think.", "signature": "c2ln"}}}


class TestBedrockConverse(WireContract):
    wire = BEDROCK_CONVERSE
    used = Usage(10, 5, 2)
    arguments: ClassVar[dict[str, Any]] = {
        "guardrailConfig": {"guardrailIdentifier": "g"},
        "inferenceConfig": {"maxTokens": 9},
    }

    def answered(self, text, mode, name):
        if mode is Mode.TOOLS:
            return read(converse(REASONING, tool_use(name, json.loads(text)), reason="tool_use"))
        return read(converse(REASONING, {"text": f"```json\n{text}\n```" if mode is Mode.MD_JSON else text}))

    def cut_off(self, mode):
        return read(converse({"text": "{"}, reason="max_tokens"))

    def refused(self, mode):
        return read(converse({"text": "Blocked."}, reason="guardrail_intervened"))

    def empty(self, mode):
        return read(converse())

    def chunks(self, completion):
        return read_events(completion)


def write(mode: Mode = Mode.TOOLS, messages: Any = None, choice: Any = "named", **arguments: Any) -> dict[str, Any]:
    capabilities = Capabilities(tool_choice=choice)
    binding = BEDROCK_CONVERSE.bind(SPEC, mode, True, capabilities)
    request = BEDROCK_CONVERSE.write(messages or ASKED, binding, "m", arguments, capabilities)
    check_request({**request, "messages": join_turns(request["messages"])})
    return request


@pytest.mark.parametrize("mode", BEDROCK_CONVERSE.modes)
def test_botocore_takes_each_request_and_the_one_after_an_invalid_answer(mode):
    request = write(mode, max_tokens=9, temperature=0.5, top_p=1, stop="x", top_k=3, seed=5, system="Be brief.")
    assert request["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["x"]}
    assert request["additionalModelRequestFields"] == {"top_k": 3}
    assert request["system"][0] == {"text": "Be brief."}
    answer = TestBedrockConverse().answered('{"name": 1}', mode, "User")
    with pytest.raises(ValidationError) as caught:
        User.model_validate_json(BEDROCK_CONVERSE.read(answer, mode, ["User"])[0].text)
    again = BEDROCK_CONVERSE.reask(request, answer, caught.value, mode)
    check_request(again)
    assert again["messages"][1]["content"][0] == REASONING
    assert "name: Input should be a valid string" in json.dumps(again["messages"][-1])


@pytest.mark.parametrize(
    ("choice", "expected", "is_asked"),
    [
        ("named", {"tool": {"name": "User"}}, False),
        ("required", {"any": {}}, True),
        ("auto", {"auto": {}}, True),
        ("omitted", None, True),
    ],
)
def test_a_model_is_held_to_the_call_as_far_as_it_can_be(choice, expected, is_asked):
    request = write(choice=choice)
    assert request["toolConfig"].get("toolChoice") == expected
    assert ("system" in request) == is_asked


def test_the_callers_tools_are_offered_too():
    own = {"toolSpec": {"name": "own", "inputSchema": {"json": {"type": "object"}}}}
    chat = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    request = write(toolConfig={"tools": [own]}, tools=[chat], tool_choice="required")
    assert [tool["toolSpec"]["name"] for tool in request["toolConfig"]["tools"]] == ["own", "weather", "User"]
    assert request["toolConfig"]["toolChoice"] == {"any": {}}
    alone = BEDROCK_CONVERSE.write(ASKED, None, "m", {"tools": [chat], "tool_choice": "none"})
    assert "toolConfig" not in alone


def test_a_conversation_in_the_chat_form_is_written_in_converses_and_its_roles_alternate():
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    messages = [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "Rain."},
        {"role": "user", "content": "And?"},
    ]
    request = write(messages=messages)
    turns = join_turns(request["messages"])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[0]["content"] == [{"text": "Hi."}, {"cachePoint": {"type": "default"}}]
    assert turns[1]["content"][1] == {"toolUse": {"toolUseId": "c", "name": "weather", "input": {"city": "Ulm"}}}
    assert turns[2]["content"] == [{"toolResult": {"toolUseId": "c", "content": [{"text": "Rain."}]}}, {"text": "And?"}]


def test_media_are_sent_as_bytes_and_documents_have_names_of_their_own():
    image = Image.from_base64(f"data:image/gif;base64,{GIF}")._write("bedrock_converse")
    document = PDF.from_bytes(b"%PDF-1.7")._write("bedrock_converse")
    chat = {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{GIF}"}}
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjc="}}
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    parts = [{"type": "text", "text": "See."}, image, chat, document, file, sound]
    blocks = write(messages=[{"role": "user", "content": parts}])["messages"][0]["content"]
    assert blocks[1] == blocks[2] == {"image": {"format": "gif", "source": {"bytes": base64.b64decode(GIF)}}}
    assert [block["document"]["name"] for block in blocks[3:5]] == ["document", "document 2"]
    assert blocks[4]["document"]["source"] == {"bytes": b"%PDF-1.7"}
    for url in ("https://example.com/a.png", "s3://bucket/a.png"):
        with pytest.raises(MultimodalError, match="from_url"):
            write(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": url}]}])


@pytest.mark.parametrize(
    ("media_type", "kind", "called"),
    [
        ("image/jpg", "image", "jpeg"),
        ("text/plain", "document", "txt"),
        ("text/markdown", "document", "md"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document", "docx"),
        ("image/svg+xml", "image", None),
        ("application/zip", "document", None),
    ],
)
def test_a_media_type_has_converses_own_name(media_type: str, kind: str, called: str | None):
    url = f"data:{media_type};base64,aGk="
    part = {"type": "file", "file": {"file_data": url}}
    part = {"type": "image_url", "image_url": {"url": url}} if kind == "image" else part
    messages = [{"role": "user", "content": ["See.", part]}]
    if called is None:
        with pytest.raises(MultimodalError, match=f"{re.escape(media_type)}.* takes"):
            write(messages=messages)
        return
    block = write(messages=messages)["messages"][0]["content"][1][kind]
    assert block["format"] == called
    enum = service().shape_for("ImageFormat" if kind == "image" else "DocumentFormat").enum
    assert set(_FORMATS["An image" if kind == "image" else "A document"].values()) == set(enum)


def test_a_schema_that_cannot_be_enforced_goes_into_the_prompt():
    held = write(Mode.JSON_SCHEMA)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(held["schema"])["additionalProperties"] is False
    free = ToolSpec(name="Free", description="Any.", schema={"type": "object", "additionalProperties": True})
    binding = BEDROCK_CONVERSE.bind(free, Mode.JSON_SCHEMA, True)
    assert not binding.arguments
    assert "JSON Schema" in binding.instruction


@pytest.mark.parametrize("reason", ["content_filtered", "guardrail_intervened", "refusal"])
def test_filters_are_refusals(reason):
    with pytest.raises(RefusalError):
        BEDROCK_CONVERSE.check(converse({"text": "No."}, reason=reason))


def test_arguments_that_are_no_object_are_shown_again_as_an_object():
    answer = converse(tool_use("User", "{broken"), reason="tool_use")
    again = BEDROCK_CONVERSE.reask(write(), answer, ValueError("No."), Mode.TOOLS)
    check_request(again)
    assert again["messages"][1]["content"][0]["toolUse"]["input"] == {"INVALID_JSON": "{broken"}


def test_a_stream_keeps_reasoning_hidden_or_not_and_fails_with_what_the_provider_says():
    hidden = {"reasoningContent": {"redactedContent": "aGlkZGVu"}}
    fold = ConverseFold()
    for event in read_events(converse(REASONING, hidden, {"text": "Hello there, you."})):
        fold.add(event)
    content = fold.finish().body["output"]["message"]["content"]
    assert content == [REASONING, {"reasoningContent": {"redactedContent": b"hidden"}}, {"text": "Hello there, you."}]
    with pytest.raises(ProviderError, match="Slow down"):
        ConverseFold().add({"throttlingException": {"message": "Slow down"}})


def test_a_conversation_goes_on_after_a_call():
    answer = read(converse(tool_use("weather", {"city": "Ulm"}), reason="tool_use"))
    messages = continue_messages(ASKED, answer, {"id_weather": "Rain."})
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    turns = write(messages=messages)["messages"]
    assert turns[1]["content"] == [tool_use("weather", {"city": "Ulm"})]
    assert turns[2]["content"] == [{"toolResult": {"toolUseId": "id_weather", "content": [{"text": "Rain."}]}}]
