"""Requests and answers of Mistral's own SDK."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from instructor.media import PDF, Audio, Image
from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.members import write_members
from instructor.wires.mistral_chat import MISTRAL_CHAT
from instructor.wires.spec import ToolSpec
from replies import chat_completion
from samples import MP3, PDF_BYTES, PNG
from streams import mistral_events

models = pytest.importorskip("mistralai.client.models")
ASKED = [{"role": "user", "content": "Hi."}]


class User(BaseModel):
    """A user."""

    name: str


SPEC = ToolSpec(name="User", description="A user.", schema=User.model_json_schema())


def make(body: dict[str, Any]) -> Any:
    return models.ChatCompletionResponse.model_validate(body)


class TestMistralChat(WireContract):
    wire = MISTRAL_CHAT
    used = Usage(10, 5)
    arguments: ClassVar[dict[str, Any]] = {"temperature": 0.25, "timeout_ms": 7500, "http_headers": {"X-Team": "blue"}}

    def answered(self, text, mode, name):
        if mode is Mode.TOOLS:
            return make(chat_completion(tool=name, arguments=text))
        return make(chat_completion(content=f"```json\n{text}\n```" if mode is Mode.MD_JSON else text))

    def cut_off(self, mode):
        return make(chat_completion(content="{", finish_reason="model_length"))

    def refused(self, mode):
        return make(chat_completion(content="", finish_reason="content_filter"))

    def empty(self, mode):
        return make(chat_completion(content=""))

    def chunks(self, completion):
        body = completion.model_dump(mode="json")
        return [write_members(models.CompletionChunk.model_validate(event)) for event in mistral_events(body)]


def write(mode: Mode, messages: Any = None, **arguments: Any) -> dict[str, Any]:
    request = MISTRAL_CHAT.write(messages or ASKED, MISTRAL_CHAT.bind(SPEC, mode, True), "m", arguments)
    models.ChatCompletionRequest.model_validate(
        {name: value for name, value in request.items() if name not in ("timeout_ms", "http_headers")}
    )
    return request


@pytest.mark.parametrize("mode", MISTRAL_CHAT.modes)
def test_the_sdk_takes_each_request(mode):
    request = write(mode, seed=3, max_completion_tokens=9, timeout=2.5, extra_headers={"X-A": "b"}, logit_bias={"1": 2})
    assert (request["random_seed"], request["max_tokens"], request["timeout_ms"]) == (3, 9, 2500)
    assert request["http_headers"] == {"X-A": "b"}
    assert "logit_bias" not in request


def test_messages_and_media_are_in_mistrals_form():
    media = [
        medium._write("mistral_chat")
        for medium in (Image.from_bytes(PNG), Audio.from_bytes(MP3), PDF.from_bytes(PDF_BYTES))
    ]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": media}]
    written = write(Mode.TOOLS, messages)["messages"]
    assert written[0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in written[1]["content"]] == ["image_url", "input_audio", "document_url"]
