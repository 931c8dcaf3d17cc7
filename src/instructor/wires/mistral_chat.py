"""Mistral's chat API as its own SDK takes it: OpenAI's form with a few other names."""

from __future__ import annotations

from instructor.messages import Messages, Request
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import name_system_role
from instructor.wires.folding import Streaming
from instructor.wires.openai_chat import OpenAIChat
from instructor.wires.openai_chat_stream import ChatFold
from instructor.wires.spec import Arguments, Binding

_RENAMED = {"max_completion_tokens": "max_tokens", "seed": "random_seed", "extra_headers": "http_headers"}


class MistralChat(OpenAIChat):
    """Requests and answers of ``mistralai.client.Mistral.chat.complete``; a `Wire`.

    Besides the SDK's own keywords ``write`` takes OpenAI's names for them, and ``timeout`` in seconds.
    """

    name = "mistral_chat"
    operation = "chat.complete"
    streaming = Streaming("chat.stream", {}, ChatFold)
    lacks = frozenset({"logit_bias", "verbosity"})

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request."""
        named = {_RENAMED.get(name, name): value for name, value in arguments.items() if name not in self.lacks}
        seconds = named.pop("timeout", None)
        limit = {} if seconds is None else {"timeout_ms": int(seconds * 1000)}
        request = super().write(messages, binding, model, {**limit, **named}, capabilities)
        return {**request, "messages": [name_system_role(message) for message in request["messages"]]}


MISTRAL_CHAT = MistralChat()
