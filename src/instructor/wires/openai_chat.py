"""OpenAI's chat completions, and every API that copies them.

The format is that of https://platform.openai.com/docs/api-reference/chat, as ``openai.types.chat`` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import orjson

from instructor.exceptions import IncompleteOutputException, ProviderError, RefusalError, ResponseParsingError
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.arguments import name_message, read_parts
from instructor.wires.calls import correct_names, match_names, read_answer, tell_calls
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import SYSTEM_ROLES, drop_empty_turns, name_system_role
from instructor.wires.members import write_members
from instructor.wires.openai_chat_stream import CHAT_STREAMING
from instructor.wires.references import expand_root
from instructor.wires.responses_arguments import restore_arguments
from instructor.wires.schema import express_schema
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec, repeats_of
from instructor.wires.text import (
    as_list,
    ask_for_json,
    describe_error,
    dump_arguments,
    get_extra,
    get_list,
    get_members,
    get_path,
    get_text,
    read_text,
    shorten,
)
from instructor.wires.tool_choice import Choice, forbid_parallel_calls, move_choice, translate_choice
from instructor.wires.tools import Function, merge_tools, translate_tools
from instructor.wires.wire import Wire

_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_FILTERED = frozenset({"content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii"})
"""OpenAI's own finish reason, and those of Gemini's OpenAI-compatible endpoint, in lower case."""
_FAILED = frozenset({"error", "abort", "insufficient_system_resource"})
"""Finish reasons of OpenRouter and Mistral, vLLM, and DeepSeek for a failure on their side."""
_UNSOUND = _CUT_OFF | _FILTERED | _FAILED
_BROKEN = frozenset({"malformed_function_call", "function_call_filter"})
"""Gemini's finish reasons for a function call that cannot be read."""
_CONTENT = ("content", "tool_calls", "function_call", "audio", "images")
"""The members of a message that hold the answer; reasoning is in others."""
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details")
KEPT_OF_MESSAGE = ("reasoning", "reasoning_content", "reasoning_details", "encrypted_content", "tool_plan")
"""Reasoning that models of other vendors go on from, or require to be sent back with their tool calls."""
_KEPT_OF_CALL = ("extra_content",)
"""Where Gemini keeps the signature without which it refuses to see its own tool call again."""

_OPENAI_CAPABILITIES = Capabilities(schema="openai_strict")


class OpenAIChat:
    """Requests and answers of ``chat.completions.create``; a `Wire`."""

    name = "openai_chat"
    operation = "chat.completions.create"
    modes = (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON)
    streaming = CHAT_STREAMING

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = _OPENAI_CAPABILITIES
    ) -> Binding:
        """Make the part of a request that the response model decides.

        In ``JSON_SCHEMA`` mode ``strict: true`` is sent where the schema can be expressed in the model's subset.
        """
        return _BIND[mode](spec, strict, capabilities)

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request. The caller's arguments win over the binding's, except for tools: the caller's and ours are sent.

        A model that can't be forced to call our tool is asked to in the system prompt.
        """
        bound = binding or Binding()
        tools, choice = list[Any](), None
        if arguments:  # most calls have none
            arguments = restore_arguments(move_choice(arguments), capabilities.output_limit)
            tools = translate_tools(arguments, "chat", _write_tool)
            choice = translate_choice(arguments, "chat", _write_choice)
        request = {"model": model, "messages": messages, **bound.arguments, **arguments}
        instruction = bound.instruction
        if "tools" in bound.arguments:
            del request["tool_choice"]
            merged, instruction = merge_tools(bound.arguments, tools, choice, capabilities)
            request |= merged
        else:
            request |= {name: value for name, value in {"tools": tools, "tool_choice": choice}.items() if value}
        request |= forbid_parallel_calls(arguments) if arguments else {}
        turns = messages if capabilities.developer else [name_system_role(message) for message in messages]
        request["messages"] = drop_empty_turns(add_instruction(turns, instruction))
        return request

    def check(self, completion: Completion) -> None:
        """Make sure that a completion is whole and sound, in each of its choices."""
        _check_choices(completion, self.choices(completion), None)

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the answer out of the first choice: every call of our tools, or the JSON in its text."""
        first = self.choices(completion)[:1]
        _check_choices(completion, first, mode)
        message = get_path(first[0], "message")
        calls = [*map(_read_call, get_list(message, "tool_calls"))]
        text = read_text(get_path(message, "content"))
        return read_answer(completion, calls, text, mode, names, specs, lambda: _say_what_came(first[0]))

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Write a new request that also holds the model's turn, and what was wrong with it."""
        message = get_path(next(iter(self.choices(completion)), None), "message")
        if mode is not Mode.TOOLS:
            names = ()
        elif not names:
            names = (get_path(request["tools"][-1], "function", "name"),)  # our tool comes last
        calls = _read_calls(message, names) if names else []
        problem = describe_error(error)
        turns = (
            _answer_calls(message, calls, names, problem, repeats_of(specs))
            if calls
            else _answer_text(message, problem, mode, names)
        )
        return {**request, "messages": [*request["messages"], *turns]}

    def choices(self, completion: Completion) -> list[Any]:
        """The answers in a completion, each with a ``message`` and a ``finish_reason``."""
        return get_list(completion, "choices")

    def usage(self, completion: Completion) -> Usage:
        """Count the tokens. Hidden reasoning that a vendor has only in its total counts as output."""
        used = get_path(completion, "usage")
        read, written, total, of_input, of_output = get_members(used, *_COUNTS)
        cached = get_path(of_input, "cached_tokens") or get_extra(used, "prompt_cache_hit_tokens")
        return Usage(
            input_tokens=read or 0,
            output_tokens=max(written or 0, (total or 0) - (read or 0)),
            cached_tokens=cached or 0,
            reasoning_tokens=get_path(of_output, "reasoning_tokens") or 0,
            cache_write_tokens=get_path(of_input, "cache_write_tokens") or 0,
        )


OPENAI_CHAT: Wire = OpenAIChat()


def add_instruction(messages: Messages, instruction: str) -> Messages:
    """Add a text to the first system or developer message, or put a system message first. Changes no message."""
    if not instruction:
        return list(messages)
    for index, message in enumerate(messages):
        if get_path(message, "role") in SYSTEM_ROLES:
            return [*messages[:index], _append_text(message, instruction), *messages[index + 1 :]]
    return [{"role": "system", "content": instruction}, *messages]


@name_message
def _append_text(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    content = message.get("content")
    if not content:
        return {**message, "content": text}
    if isinstance(content, str):
        return {**message, "content": f"{content}\n\n{text}"}
    return {**message, "content": [*read_parts(content), {"type": "text", "text": text}]}


def _write_tool(function: Function) -> dict[str, Any]:
    written = {"name": function.name, "description": function.description, "parameters": function.schema}
    strict = {"strict": True} if function.extra.get("strict") else {}
    return {"type": "function", "function": {**written, **strict}}


def _write_choice(choice: Choice) -> Any:
    functions = [{"type": "function", "function": {"name": name}} for name in choice.names]
    if choice.strength == "required" and len(functions) == 1:
        return functions[0]
    if functions:
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.strength, "tools": functions}}
    return choice.strength


def _bind_tools(spec: ToolSpec, strict: bool, capabilities: Capabilities) -> Binding:
    del strict, capabilities  # many vendors that copy the format refuse `strict` on a function
    function = {"name": spec.name, "description": spec.description, "parameters": expand_root(spec.schema)}
    return Binding(
        {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": "required" if spec.repeats else {"type": "function", "function": {"name": spec.name}},
        }
    )


def _bind_json(spec: ToolSpec, strict: bool, capabilities: Capabilities) -> Binding:
    del strict, capabilities
    return Binding({"response_format": {"type": "json_object"}}, ask_for_json(spec.schema))


def _bind_json_schema(spec: ToolSpec, strict: bool, capabilities: Capabilities) -> Binding:
    schema, is_strict = express_schema(spec.schema, capabilities.schema, strict=strict)
    form = {"name": spec.name, "description": spec.description, "schema": schema, "strict": is_strict}
    return Binding({"response_format": {"type": "json_schema", "json_schema": form}})


def _bind_markdown(spec: ToolSpec, strict: bool, capabilities: Capabilities) -> Binding:
    del strict, capabilities
    return Binding({}, ask_for_json(spec.schema, fenced=True))


_BIND: dict[Mode, Callable[[ToolSpec, bool, Capabilities], Binding]] = {
    Mode.TOOLS: _bind_tools,
    Mode.JSON: _bind_json,
    Mode.JSON_SCHEMA: _bind_json_schema,
    Mode.MD_JSON: _bind_markdown,
}


def _check_choices(completion: Completion, choices: Sequence[Any], mode: Mode | None) -> None:
    if fault := get_extra(completion, "error"):
        raise _fault_of(fault)
    for choice in choices or [None]:
        message, ending = get_path(choice, "message"), _ending_of(choice)
        if fault := get_extra(choice, "error"):
            raise _fault_of(fault)
        if refusal := get_path(message, "refusal"):
            raise RefusalError(f"The model refused to answer: {refusal}", last_completion=completion)
        if ending in _UNSOUND:
            raise _error_of_ending(completion, ending)
        if ending in _BROKEN or not _holds_content(message):
            raise ResponseParsingError(_say_what_came(choice), mode=mode and mode.name, raw_response=completion)


def _holds_content(message: Any) -> bool:
    return any(map(get_path, repeat(message), _CONTENT))


def _ending_of(choice: Any) -> str:
    return str(get_path(choice, "finish_reason")).lower().partition(":")[0]


def _fault_of(fault: Any) -> ProviderError:
    code = get_path(fault, "code") or get_path(fault, "type") or ""
    return ProviderError(OpenAIChat.name, str(get_path(fault, "message") or fault), code=str(code))


def _error_of_ending(completion: Completion, ending: str) -> Exception:
    if ending in _FILTERED:
        return RefusalError(f"The provider's filter stopped the answer ({ending}).", last_completion=completion)
    if ending in _CUT_OFF:
        return IncompleteOutputException(last_completion=completion)
    reason = f"The answer was broken off (finish_reason {ending!r}). Ask again."
    return ProviderError(OpenAIChat.name, reason, code="ended_early")


def _names_of(calls: Sequence[Any]) -> list[str]:
    return [get_text(call, "function", "name") for call in calls]


def _read_call(call: Any) -> Part:
    return Part(get_text(call, "function", "name"), dump_arguments(get_path(call, "function", "arguments") or "{}"))


def _say_what_came(choice: Any) -> str:
    if get_path(choice, "message") is None:
        return "The completion holds no message. Ask again, or check base_url= and the provider's status."
    text = read_text(get_path(choice, "message", "content"))
    reason = get_path(choice, "finish_reason")
    if _ending_of(choice) in _BROKEN:
        return f"The model called a function in a way that cannot be read (finish_reason {reason!r})."
    if text:
        return f"The answer should be JSON, but this came: {shorten(text)!r}"
    return f"The completion's message is empty (finish_reason {reason!r}). Ask again, or try another mode."


def _read_calls(message: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Write a message's tool calls for a request; none where the arguments of one are broken JSON.

    Servers that render the history with a chat template parse the arguments, and fail on broken ones.
    """
    found = get_list(message, "tool_calls")
    called = correct_names(_names_of(found), names)
    calls = [_write_call(call, name, index) for index, (call, name) in enumerate(zip(found, called, strict=True))]
    is_sound = all(_is_sound(call["function"]["arguments"]) for call in calls if "function" in call)
    return calls if is_sound else []


def _is_sound(arguments: str) -> bool:
    try:
        orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return False
    return True


def _write_call(call: Any, name: str, index: int) -> dict[str, Any]:
    written = {"id": get_path(call, "id") or f"call_{index}", **_pick(call, _KEPT_OF_CALL)}
    custom = get_path(call, "custom")
    if custom is not None:
        return {
            **written,
            "type": "custom",
            "custom": {"name": get_path(custom, "name"), "input": get_path(custom, "input")},
        }
    arguments = dump_arguments(get_path(call, "function", "arguments") or "{}")
    return {**written, "type": "function", "function": {"name": name, "arguments": arguments}}


def _pick(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found for name in names if (found := get_path(value, name)) is not None}


def _answer_calls(
    message: Any, calls: list[dict[str, Any]], names: Sequence[str], problem: str, repeats: bool
) -> Messages:
    """Answer every call, as the format demands."""
    turn = {"role": "assistant", "tool_calls": calls, **_pick(message, KEPT_OF_MESSAGE)}
    if content := _keep_content(message):
        turn["content"] = content
    texts = tell_calls(_names_of(calls), names, problem, repeats=repeats)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in zip(calls, texts, strict=True)
    ]
    return [turn, *results]


def _keep_content(message: Any) -> Any:
    """The content for a request: text, unless Mistral's thinking is among its parts."""
    content = get_path(message, "content")
    is_text = isinstance(content, str) or all(get_path(part, "type") in (None, "text") for part in as_list(content))
    return read_text(content) if is_text else write_members(content)


def _answer_text(message: Any, problem: str, mode: Mode, names: Sequence[str]) -> Messages:
    content = _keep_content(message) or _read_broken_call(message, names)
    turns: Messages = [{"role": "assistant", "content": content}] if content else []
    again = f"The answer is not valid:\n{problem}\n{_AGAIN.get(mode, 'Answer again with the corrected JSON only.')}"
    return [*turns, {"role": "user", "content": again}]


_AGAIN = {
    Mode.TOOLS: "Call the function again with all of it corrected.",
    Mode.MD_JSON: "Answer again with the corrected JSON in one ```json code block.",
}


def _read_broken_call(message: Any, names: Sequence[str]) -> str:
    calls = get_list(message, "tool_calls")
    if not calls:
        return ""
    ours = match_names(_names_of(calls), names)
    call = next((call for call, name in zip(calls, ours, strict=True) if name), calls[0])
    return dump_arguments(get_path(call, "function", "arguments") or get_path(call, "custom", "input") or "")
