"""Cohere's Chat API, version 2, see https://docs.cohere.com/v2/reference/chat: OpenAI's form with other names."""

from __future__ import annotations

from typing import Any

from instructor.messages import Messages, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.arguments import read_mapping
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.cohere_chat_stream import COHERE_STREAMING
from instructor.wires.content import name_system_role
from instructor.wires.openai_chat import OpenAIChat
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec
from instructor.wires.text import get_path, get_text, read_text

_RENAMED = {"top_p": "p", "top_k": "k", "stop": "stop_sequences", "max_completion_tokens": "max_tokens"}
_OPTIONS = {
    "timeout": "timeout",
    "extra_headers": "additional_headers",
    "extra_query": "additional_query_parameters",
    "extra_body": "additional_body_parameters",
}
"""Keywords of the other SDKs that Cohere's has in ``request_options``."""
_CHOICES = {"required": "REQUIRED", "none": "NONE"}
_FAILED = {"timeout": "error"}


class CohereChat(OpenAIChat):
    """Requests and answers of ``cohere.ClientV2.chat``; a `Wire`.

    A call can be required, but not of a named function. A schema is enforced where no tools are offered.
    """

    name = "cohere_chat"
    operation = "chat"
    modes = (Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON, Mode.TOOLS)
    streaming = COHERE_STREAMING
    lacks = frozenset({"logit_bias", "n", "parallel_tool_calls", "reasoning_effort", "top_logprobs"})

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the part of a request that the response model decides."""
        bound = super().bind(spec, mode, strict, capabilities)
        if mode is not Mode.JSON_SCHEMA:
            return bound
        schema = bound.arguments["response_format"]["json_schema"]["schema"]
        return Binding({"response_format": {"type": "json_object", "json_schema": schema}})

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request, whose arguments may have OpenAI's names."""
        request = super().write(messages, binding, model, _name_arguments(arguments), capabilities)
        request["messages"] = [name_system_role(message) for message in request["messages"]]
        choice = request.pop("tool_choice", None)
        wanted = _CHOICES.get(choice, choice) if isinstance(choice, str) else "REQUIRED" if choice else None
        kept = {name: value for name, value in request.items() if name not in self.lacks}
        return kept if wanted in (None, "auto") else {**kept, "tool_choice": wanted}

    def choices(self, completion: Completion) -> list[Any]:
        """The one answer, as OpenAI's API would have sent it."""
        message = get_path(completion, "message")
        if message is None:
            return []
        ending = get_text(completion, "finish_reason").lower()
        # Its text comes in parts, one of which may be reasoning.
        known = {name: get_path(message, name) for name in ("tool_calls", "tool_plan")}
        shown = {**known, "content": read_text(get_path(message, "content"))}
        return [{"message": shown, "finish_reason": _FAILED.get(ending, ending)}]

    def usage(self, completion: Completion) -> Usage:
        """Count the tokens; Cohere counts in floats."""
        used = get_path(completion, "usage")
        counts = get_path(used, "tokens") or get_path(used, "billed_units")
        return Usage(
            int(get_path(counts, "input_tokens") or 0),
            int(get_path(counts, "output_tokens") or 0),
            int(get_path(used, "cached_tokens") or 0),
        )


COHERE_CHAT = CohereChat()


def _name_arguments(arguments: Arguments) -> dict[str, Any]:
    named = {_RENAMED.get(name, name): value for name, value in arguments.items() if name not in _OPTIONS}
    if isinstance(named.get("stop_sequences"), str):
        named["stop_sequences"] = [named["stop_sequences"]]
    options = {_OPTIONS[name]: value for name, value in arguments.items() if name in _OPTIONS}
    if options:
        named["request_options"] = {**options, **read_mapping(named.get("request_options"), "request_options")}
    return named
