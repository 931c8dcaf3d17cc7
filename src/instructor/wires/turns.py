"""The model's turn, taken from a completion of any wire, so that a conversation can go on after it.

The turn is in the provider's own form, so that reasoning keeps its signatures. Each wire writes it as it is. The results
of its calls are in OpenAI's chat form, which each wire translates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson
from pydantic import BaseModel

from instructor.describing import refuse
from instructor.exceptions import ArgumentError, ConfigurationError
from instructor.messages import Completion, Conversation, Messages, ToolCall
from instructor.wires.arguments import read_tools
from instructor.wires.content import is_list, is_mapping
from instructor.wires.folding import members_of
from instructor.wires.openai_chat import KEPT_OF_MESSAGE
from instructor.wires.text import dump_json, get_list, get_path, get_text
from instructor.wires.tools import names_of_tool

_DONE = "Received."
"""The result of a call for which the program has none, such as one of a response model."""
_KEPT = ("role", "content", "tool_calls", "audio", *KEPT_OF_MESSAGE)
"""What a chat message may show of an answer."""


class _Form(NamedTuple):
    """How completions of one wire are read.

    Attributes:
        turn: The model's turn, as the messages of it.
        calls: The function calls in such a turn.
    """

    turn: Callable[[Completion], Messages]
    calls: Callable[[Messages], list[ToolCall]]


def continue_messages(
    messages: Conversation, completion: Completion, results: Mapping[str, object] | None = None
) -> Messages:
    """Add the model's turn to a conversation, so that it can go on: with the results of its calls, or a new question.

    The turn is in the provider's own form, its reasoning included. Pass the result to `Instructor.create` of a client for
    the same provider.

    Args:
        messages: The conversation that was answered. It isn't changed.
        completion: The SDK's completion, from `Instructor.create_with_completion` or a `ToolCallsError`.
        results: What the calls returned, by the calls' ids: text, or anything that can be written as JSON. Providers want
            each call answered, so a call without a result, such as one that gave a response model, gets a short text.

    Returns:
        A new list of messages.

    Raises:
        ConfigurationError: The completion is of no provider that is built in, or a result is of no call in it.

    Example:
        >>> client = instructor.from_provider("offline/demo")
        >>> messages = [{"role": "user", "content": "Anna is 25."}]
        >>> user, completion = client.create_with_completion(response_model=User, messages=messages)
        >>> messages = continue_messages(messages, completion)
        >>> [message["role"] for message in messages]
        ['user', 'assistant', 'tool']
    """
    form = _form_of(completion)
    turn = form.turn(completion)
    calls = form.calls(turn)
    found = _check_results(results, calls)
    answers = [
        {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": _write_result(found, call.id)}
        for call in calls
    ]
    asked: Messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages or []
    return [*asked, *turn, *answers]


def _check_results(results: object, calls: Sequence[ToolCall]) -> Mapping[str, object]:
    """Return the results by the calls' ids. One of an unknown call would be lost, and its own call get a short text."""
    if results is not None and not isinstance(results, Mapping):
        raise refuse("results", results, "a dict of the calls' ids and results: {call.id: result}")
    found = cast("Mapping[str, object]", results or {})
    known = [call.id for call in calls]
    unknown = [name for name in found if name not in known]
    if unknown:
        there = f"It has: {', '.join(known)}." if known else "It has none."
        raise ArgumentError(f"results has {unknown[0]!r}, which is the id of no call in the completion. {there}")
    return found


def read_calls(completion: Completion) -> list[ToolCall]:
    """The function calls in a completion of any wire that is built in; none in another's."""
    form = next((form for name, form in _FORMS.items() if get_path(completion, name) is not None), None)
    return [] if form is None else form.calls(form.turn(completion))


def find_own_calls(arguments: Mapping[str, Any], completion: Completion, ours: Collection[str]) -> list[ToolCall]:
    """The calls of the caller's own tools, where the caller let the model choose them and it called none of ours."""
    config = arguments.get("config")
    holders = [arguments, config] if is_mapping(config) else [arguments]
    if not any(holder.get(name) for holder in holders for name in ("tool_choice", "tool_config")):
        return []
    offered = {name for holder in holders for tool in read_tools(holder) for name in names_of_tool(tool)}
    calls = read_calls(completion)
    is_asked = not any(call.name in ours for call in calls) and all(call.name in offered for call in calls)
    return calls if is_asked else []


def _form_of(completion: Completion) -> _Form:
    form = next((form for name, form in _FORMS.items() if get_path(completion, name) is not None), None)
    if form is None:
        raise ConfigurationError(
            f"continue_messages() reads completions of OpenAI's, Anthropic's and Google's APIs, not a "
            f"{type(completion).__name__}. Pass what create_with_completion() returned beside the answer."
        )
    return form


def _write_result(results: Mapping[str, object], identifier: str) -> str:
    result = results.get(identifier, _DONE)
    if isinstance(result, str):
        return result
    return result.model_dump_json() if isinstance(result, BaseModel) else dump_json(result)


def _dump(value: Any) -> dict[str, Any]:
    """Write an object of an SDK as the API sent it."""
    if isinstance(value, BaseModel):
        # A vendor of the chat API may send what OpenAI's class doesn't expect.
        members = value.model_dump(mode="json", exclude_unset=True, by_alias=False, warnings=False)
    else:
        members = {name: _plain(member) for name, member in members_of(value)}
    return {name.removesuffix("_"): member for name, member in members.items() if member is not None}


def _plain(value: Any) -> Any:
    if is_list(value):
        return [_plain(item) for item in value]
    return _dump(value) if hasattr(value, "__dict__") or is_mapping(value) else value


def _turn_of_chat(completion: Completion) -> Messages:
    choice = next(iter(get_list(completion, "choices")), completion)  # Cohere's answer has one, and no list
    message = _dump(get_path(choice, "message") or {})
    turn: dict[str, Any] = {"role": "assistant", **{name: message[name] for name in _KEPT if message.get(name)}}
    found: list[dict[str, Any]] = turn.get("tool_calls") or []
    calls = [{"id": f"call_{index}", **call} for index, call in enumerate(found)]
    return [{**turn, "tool_calls": calls} if calls else turn]


def _calls_of_chat(turn: Messages) -> list[ToolCall]:
    calls = turn[0].get("tool_calls") or ()
    return [_read_call(call["id"], call.get("function") or call.get("custom") or {}, "arguments") for call in calls]


def _turn_of_responses(completion: Completion) -> Messages:
    items = [_dump(item) for item in get_list(completion, "output")]
    if get_path(completion, "store") is not False:
        return items
    # The provider keeps nothing, so what names its items by id can't be sent back.
    kept = [item for item in items if item.get("type") != "reasoning" or item.get("encrypted_content")]
    return [{name: value for name, value in item.items() if name not in {"id", "status"}} for item in kept]


def _calls_of_responses(turn: Messages) -> list[ToolCall]:
    calls = [item for item in turn if item.get("type") == "function_call"]
    return [_read_call(item.get("call_id"), item, "arguments") for item in calls]


def _turn_of_anthropic(completion: Completion) -> Messages:
    blocks = [_dump(block) for block in get_list(completion, "content")]
    is_filled = [block.get("type") != "text" or bool(str(block.get("text")).strip()) for block in blocks]
    return [{"role": "assistant", "content": [block for block, keep in zip(blocks, is_filled, strict=True) if keep]}]


def _calls_of_anthropic(turn: Messages) -> list[ToolCall]:
    calls = [block for block in turn[0]["content"] if block.get("type") == "tool_use"]
    return [_read_call(block.get("id"), block, "input") for block in calls]


def _turn_of_genai(completion: Completion) -> Messages:
    content = get_path(next(iter(get_list(completion, "candidates")), None), "content")
    parts = [_dump(part) for part in get_list(content, "parts")]
    for index, part in enumerate(parts):
        if call := part.get("function_call"):  # the API needn't name its calls, and results must name theirs
            part["function_call"] = {"id": f"call_{index}", **call}
    return [{"role": "model", "parts": parts}]


def _calls_of_genai(turn: Messages) -> list[ToolCall]:
    calls = [part["function_call"] for part in turn[0]["parts"] if part.get("function_call")]
    return [_read_call(call["id"], call, "args") for call in calls]


def _read_call(identifier: Any, call: Mapping[str, Any], name: str) -> ToolCall:
    return ToolCall(str(identifier or ""), get_text(call, "name"), _read_arguments(call.get(name)))


def _read_arguments(arguments: Any) -> dict[str, Any]:
    """The arguments as a dict; empty where the model wrote something else."""
    try:
        found: Any = orjson.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        return {}
    return dict(found) if is_mapping(found) else {}


def _turn_of_converse(completion: Completion) -> Messages:
    return [{"role": "assistant", "content": [*get_list(completion, "output", "message", "content")]}]


def _calls_of_converse(turn: Messages) -> list[ToolCall]:
    calls = [block["toolUse"] for block in turn[0]["content"] if "toolUse" in block]
    return [_read_call(call.get("toolUseId"), call, "input") for call in calls]


_FORMS: Mapping[str, _Form] = {
    "stopReason": _Form(_turn_of_converse, _calls_of_converse),
    "choices": _Form(_turn_of_chat, _calls_of_chat),
    "message": _Form(_turn_of_chat, _calls_of_chat),
    "output": _Form(_turn_of_responses, _calls_of_responses),
    "candidates": _Form(_turn_of_genai, _calls_of_genai),
    "content": _Form(_turn_of_anthropic, _calls_of_anthropic),
}
"""By the member of a completion that holds the answer; Converse's ``output`` is another than that of a response."""
