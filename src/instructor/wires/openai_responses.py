"""OpenAI's Responses API.

The format is that of https://platform.openai.com/docs/api-reference/responses, as ``openai.types.responses`` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pydantic

from instructor.exceptions import IncompleteOutputException, ProviderError, RefusalError, ResponseParsingError
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.arguments import name_message, read_parts
from instructor.wires.calls import correct_names, read_answer, tell_calls
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import drop_empty_turns
from instructor.wires.openai_responses_stream import RESPONSES_STREAMING
from instructor.wires.references import expand_root
from instructor.wires.responses_arguments import LACKING, rename_arguments
from instructor.wires.schema import strict_schema
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec, repeats_of
from instructor.wires.text import (
    describe_error,
    dump_arguments,
    get_list,
    get_path,
    get_text,
    read_text,
    shorten,
)
from instructor.wires.tool_choice import Choice, forbid_parallel_calls, move_choice, translate_choice
from instructor.wires.tools import Function, merge_tools, translate_tools
from instructor.wires.wire import Wire

Item = dict[str, Any]
"""One member of a request's ``input`` or of a response's ``output``."""

_OUTPUTS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""The calls that the caller must answer, and the item that answers each."""
_FAILED = frozenset({"failed", "cancelled"})
_COMPLETE = frozenset({"completed", ""})
"""The status of a finished response; servers that copy the API sometimes leave it out."""
_SILENT = frozenset({"reasoning", "compaction"})
"""Items that are not part of the answer, such as reasoning."""


class OpenAIResponses:
    """Requests and answers of ``responses.create``; a `Wire`."""

    name = "openai_responses"
    operation = "responses.create"
    streaming = RESPONSES_STREAMING
    modes = (Mode.RESPONSES_TOOLS,)
    lacks = LACKING

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the function tool. ``strict`` is always sent, because its default in this API is true."""
        del mode, capabilities  # there is one mode, and all models behind this API take OpenAI's strict subset
        schema = strict_schema(spec.schema) if strict else None
        function = {
            "type": "function",
            "name": spec.name,
            "description": spec.description,
            "parameters": schema or expand_root(spec.schema),
            "strict": schema is not None,
        }
        choice = "required" if spec.repeats else {"type": "function", "name": spec.name}
        return Binding({"tools": [function], "tool_choice": choice})

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request. Chat messages become items; items of this API's own form are left as they are.

        The chat API's arguments are sent under this API's names (`rename_arguments`). A model that can't be forced to
        call our tool is asked to in a developer message.
        """
        arguments = move_choice(arguments)
        tools = translate_tools(arguments, "responses", _write_tool)
        choice = translate_choice(arguments, "responses", _write_choice)
        chosen = {"tools": tools, "tool_choice": choice}
        offered, instruction = {name: value for name, value in chosen.items() if name in arguments}, ""
        if binding:
            offered, instruction = merge_tools(binding.arguments, tools, choice, capabilities)
        items = [item for message in drop_empty_turns(messages) for item in write_items(message)]
        asked = [{"role": "developer", "content": instruction}] if instruction else []
        others = {name: value for name, value in rename_arguments(arguments).items() if name not in chosen}
        return {"model": model, "input": [*asked, *items], **others, **offered, **forbid_parallel_calls(arguments)}

    def check(self, completion: Completion) -> None:
        """Make sure that a response is whole and sound. One that is still running (``background=True``) is not."""
        _check_response(completion, None)

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the arguments of every call of our tools, or the JSON in the text where no tool was called."""
        output = _check_response(completion, mode)
        calls, text = [*map(_read_call, _calls_of(output))], _read_messages(output)
        return read_answer(completion, calls, text, mode, names, specs, lambda: _say_what_came(completion))

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Write a new request that also holds the response's items, and what was wrong with them.

        With ``conversation=`` the provider keeps all items itself, so only the new ones are sent.
        """
        del mode
        output = _read_output(completion)
        names = names or (get_text(request["tools"][-1], "name"),)  # our tool comes last
        answers = _answer(output, names, describe_error(error), repeats_of(specs))
        if request.get("conversation"):
            return {**request, "input": answers}
        return {**request, "input": [*request["input"], *_write_output(output, names, request), *answers]}

    def usage(self, completion: Completion) -> Usage:
        """Count the tokens."""
        used = get_path(completion, "usage")
        return Usage(
            input_tokens=get_path(used, "input_tokens") or 0,
            output_tokens=get_path(used, "output_tokens") or 0,
            cached_tokens=get_path(used, "input_tokens_details", "cached_tokens") or 0,
            reasoning_tokens=get_path(used, "output_tokens_details", "reasoning_tokens") or 0,
            cache_write_tokens=get_path(used, "input_tokens_details", "cache_write_tokens") or 0,
        )


OPENAI_RESPONSES: Wire = OpenAIResponses()


@name_message
def write_items(message: Mapping[str, Any]) -> list[Item]:
    """Write a chat message as items of this API.

    An item, which has a ``type``, is left as it is. An assistant's turn is its text, if any, and one more item for each
    tool call.
    """
    role = message.get("role")
    if "type" in message or role is None:
        return [dict(message)]
    if role == "tool":
        output = _write_content(message.get("content") or "")
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
    if role == "assistant":
        return _write_assistant(message)
    return [{"role": role, "content": _write_content(message["content"])}]


def _write_assistant(message: Mapping[str, Any]) -> list[Item]:
    content = message.get("content")
    text = (content if isinstance(content, str) else read_text(read_parts(content))) or message.get("refusal")
    kept = {"phase": message["phase"]} if message.get("phase") else {}
    texts: list[Item] = [{"role": "assistant", "content": text, **kept}] if text else []
    return [*texts, *(_write_call(call) for call in message.get("tool_calls") or ())]


def _write_call(call: Mapping[str, Any]) -> Item:
    if custom := call.get("custom"):
        return {"type": "custom_tool_call", "call_id": call["id"], "name": custom["name"], "input": custom["input"]}
    function = call["function"]
    arguments = dump_arguments(function["arguments"])
    return {"type": "function_call", "call_id": call["id"], "name": function["name"], "arguments": arguments}


def _write_content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [_PARTS.get(part.get("type", ""), dict)(part) for part in read_parts(content)]


def _write_text(part: Mapping[str, Any]) -> Item:
    return {**part, "type": "input_text"}


def _write_image(part: Mapping[str, Any]) -> Item:
    image = part["image_url"]
    url, detail = (image, None) if isinstance(image, str) else (image["url"], image.get("detail"))
    others = {name: value for name, value in part.items() if name not in {"type", "image_url"}}
    return {"type": "input_image", "image_url": url, "detail": detail or "auto", **others}


def _write_file(part: Mapping[str, Any]) -> Item:
    others = {name: value for name, value in part.items() if name not in {"type", "file"}}
    return {"type": "input_file", **part["file"], **others}


_PARTS: dict[str, Callable[[Mapping[str, Any]], Item]] = {
    "text": _write_text,
    "image_url": _write_image,
    "file": _write_file,
}
"""How each type of chat content part is written here; the others have the same form in both APIs."""


def _write_tool(function: Function) -> Item:
    # Functions of the chat API are not strict unless they say so; here they would be.
    written = {"name": function.name, "description": function.description, "parameters": function.schema}
    return {"type": "function", **written, "strict": bool(function.extra.get("strict"))}


def _write_choice(choice: Choice) -> Any:
    functions = [{"type": "function", "name": name} for name in choice.names]
    if choice.strength == "required" and len(functions) == 1:
        return functions[0]
    return {"type": "allowed_tools", "mode": choice.strength, "tools": functions} if functions else choice.strength


def _read_output(completion: Completion) -> list[Any]:
    return [item for item in get_list(completion, "output") if get_text(item, "type")]


def _calls_of(output: list[Any]) -> list[Any]:
    return [item for item in output if get_path(item, "type") in _OUTPUTS]


def _names_of(calls: list[Any]) -> list[str]:
    return [_read_call(call).tool for call in calls]


def _read_call(call: Any) -> Part:
    name = get_text(call, "name") if get_path(call, "type") == "function_call" else ""
    return Part(name, dump_arguments(get_path(call, "arguments") or "{}"))


def _check_response(completion: Completion, mode: Mode | None) -> list[Any]:
    """Make sure that a response is whole and sound; return its output."""
    _check_status(completion)
    output = _read_output(completion)
    _check_refusal(completion, output)
    if _status_of(completion) not in _COMPLETE or not any(map(_is_answer, output)):
        name = mode.name if mode else None
        raise ResponseParsingError(_say_what_came(completion), mode=name, raw_response=completion)
    return output


def _is_answer(item: Any) -> bool:
    if get_path(item, "type") == "message":
        return bool(_read_messages([item]))
    return get_path(item, "type") not in _SILENT


def _status_of(completion: Completion) -> str:
    return str(get_path(completion, "status") or "")


def _check_status(completion: Completion) -> None:
    fault = get_path(completion, "error")
    if fault:
        code = get_path(fault, "code")
        reason = get_path(fault, "message") or fault
        raise ProviderError(OpenAIResponses.name, f"{code}: {reason}" if code else str(reason), code=str(code or ""))
    status = _status_of(completion)
    if status in _FAILED:
        raise ProviderError(OpenAIResponses.name, f"The response has status {status!r}. Send the request again.")
    if status != "incomplete":
        return
    reason = get_path(completion, "incomplete_details", "reason")
    if reason == "content_filter":
        raise RefusalError("The provider's filter stopped the answer (content_filter).", last_completion=completion)
    if reason is None or reason == "max_output_tokens":
        raise IncompleteOutputException(last_completion=completion)
    raise IncompleteOutputException(f"The answer was cut off ({reason}).", last_completion=completion)


def _check_refusal(completion: Completion, output: list[Any]) -> None:
    for part in _read_parts(output):
        refusal = get_path(part, "refusal")
        if refusal:
            raise RefusalError(f"The model refused to answer: {refusal}", last_completion=completion)


def _read_parts(output: list[Any]) -> list[Any]:
    return [part for item in output if get_path(item, "type") == "message" for part in get_list(item, "content")]


def _read_messages(output: list[Any]) -> str:
    return read_text(_read_parts(output))


def _say_what_came(completion: Completion) -> str:
    status = _status_of(completion)
    if status not in _COMPLETE:
        return f"The response is not finished: its status is {status!r}. Send the request without background=True."
    output = _read_output(completion)
    text = _read_messages(output)
    if text:
        return f"The model wrote text instead of calling the function: {shorten(text)!r}"
    kinds = ", ".join(str(get_path(item, "type")) for item in output) or "nothing"
    return f"The response (status {status!r}) holds no answer, but {kinds}."


def _write_output(output: list[Any], names: Sequence[str], request: Request) -> list[Item]:
    """Write a response's items for the next request, reasoning included.

    With ``store=False`` the provider can look nothing up by id. Unless the reasoning came encrypted, the items are
    then sent without reasoning and without ids, because an id ties an item to its reasoning.
    """
    items = _correct_calls([_plain(item) for item in output], names)
    is_loose = request.get("store") is False and not all(
        item.get("encrypted_content") for item in items if item.get("type") == "reasoning"
    )
    if not is_loose:
        return items
    return [item for whole in items for item in _loosen(whole)]


def _correct_calls(items: list[Item], names: Sequence[str]) -> list[Item]:
    calls = _calls_of(items)
    called = dict(zip(map(id, calls), correct_names(_names_of(calls), names), strict=True))
    return [{**item, "name": called[id(item)]} if item.get("type") == "function_call" else item for item in items]


def _loosen(item: Item) -> list[Item]:
    if item.get("type") in _OUTPUTS:
        return [{name: value for name, value in item.items() if name not in {"id", "status"}}]
    text = _read_messages([item])
    return [{"role": "assistant", "content": text}] if text else []


def _answer(output: list[Any], names: Sequence[str], problem: str, repeats: bool) -> list[Item]:
    """Answer every call, as the API demands."""
    calls = _calls_of(output)
    if not calls:
        again = f"The answer is not valid:\n{problem}\nCall the function again with all of it corrected."
        return [{"role": "user", "content": again}]
    texts = tell_calls(_names_of(calls), names, problem, repeats=repeats)
    return [
        {"type": _OUTPUTS[get_path(call, "type")], "call_id": get_path(call, "call_id"), "output": text}
        for call, text in zip(calls, texts, strict=True)
    ]


def _plain(value: Any) -> Any:
    """Write an SDK's object as plain dicts and lists, without members that are None."""
    if isinstance(value, list | tuple):
        return [_plain(member) for member in cast("list[Any]", value)]
    if value is None or isinstance(value, str | int | float):
        return value
    return {name: _plain(member) for name, member in _members(value).items() if member is not None}


def _members(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if isinstance(value, pydantic.BaseModel):  # the SDK adds an underscore to a name that is a keyword: `async_`
        return {name.removesuffix("_"): member for name, member in value}
    return cast("Mapping[str, Any]", vars(value))
