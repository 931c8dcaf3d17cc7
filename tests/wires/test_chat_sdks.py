"""The chat wire over the completions and chunks of other SDKs in OpenAI's shape."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import pytest

from instructor.mode import Mode
from instructor.testing.wires import WireContract
from instructor.usage import Usage
from instructor.wires.openai_chat import OPENAI_CHAT
from replies import chat_completion
from streams import chat_events


class ChatContract(WireContract):
    """What the classes below have in common.

    Attributes:
        module: Where the SDK has its classes.
        kinds: Its classes of a completion and of a chunk.
    """

    wire = OPENAI_CHAT
    used = Usage(10, 5)
    module: ClassVar[str]
    kinds: ClassVar[tuple[str, str]] = ("ChatCompletion", "ChatCompletionChunk")

    @pytest.fixture(autouse=True)
    def sdk(self) -> None:
        pytest.importorskip(self.module)

    def make(self, body: dict[str, Any], at: int = 0) -> Any:
        return getattr(import_module(self.module), self.kinds[at]).construct(**body)

    def answered(self, text, mode, name):
        if mode is Mode.TOOLS:
            return self.make(chat_completion(tool=name, arguments=text))
        return self.make(chat_completion(content=f"```json\n{text}\n```" if mode is Mode.MD_JSON else text))

    def cut_off(self, mode):
        return self.make(chat_completion(content="{", finish_reason="length"))

    def refused(self, mode):
        return self.make(chat_completion(refusal="No.", content="", finish_reason="content_filter"))

    def empty(self, mode):
        return self.make(chat_completion())

    def chunks(self, completion):
        return [self.make(event, 1) for event in chat_events(completion.to_dict())]


class TestCerebras(ChatContract):
    module = "cerebras.cloud.sdk.types.chat.chat_completion"
    kinds = ("ChatCompletionResponse", "ChatChunkResponse")


class TestFireworks(ChatContract):
    module = "fireworks.types.chat.completion_create_response"
    kinds = ("CompletionCreateResponse", "CompletionCreateResponse")


class TestGroq(ChatContract):
    module = "groq.types.chat"


class TestTogether(ChatContract):
    module = "together.types.chat"


class TestWriter(ChatContract):
    module = "writerai.types"


del ChatContract
