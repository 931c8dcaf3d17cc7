"""Anthropic's Messages API, see https://platform.claude.com/docs/en/api/messages.

Messages may be in OpenAI's chat form or in Anthropic's own (content blocks, ``cache_control``, thinking); what is
already Anthropic's goes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from instructor.describing import refuse
from instructor.exceptions import (
    IncompleteOutputException,
    MultimodalError,
    ProviderError,
    RefusalError,
    ResponseParsingError,
)
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.anthropic_stream import MESSAGE_STREAMING
from instructor.wires.arguments import name_message, read_list, read_mapping, read_parts
from instructor.wires.calls import correct_names, read_answer, tell_calls
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import (
    SYSTEM_ROLES,
    drop_empty_turns,
    is_list,
    is_mapping,
    read_call,
    read_url,
    say_answer_again,
    split_data_url,
)
from instructor.wires.members import write_members
from instructor.wires.property_names import rename_properties, restore_names
from instructor.wires.references import expand_root
from instructor.wires.schema import anthropic_schema
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec, repeats_of
from instructor.wires.text import ask_for_json, describe_error, dump_arguments, get_extra, get_list, get_path, get_text
from instructor.wires.tool_choice import Choice, move_choice, translate_choice
from instructor.wires.tools import Function, instruct_call, limit_choice, translate_tools, weaker_choice

Block = dict[str, Any]

DEFAULT_MAX_TOKENS = 4096
"""The default for ``max_tokens``, which the API requires."""
DEFAULT_MAX_TOKENS_THINKING = 16384
"""The default for a model that thinks by default, because reasoning counts towards the limit."""

_RENAMED = {"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens", "stop": "stop_sequences"}
BODY_ONLY = frozenset({"temperature", "top_p", "top_k"})
"""Newer SDKs don't have keywords for these, because the API takes them under its first version only."""
_NULLABLE = frozenset({"timeout"})
"""Arguments whose None means something: no timeout. Of any other argument it means that the caller left it out."""
_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_PARALLEL = "parallel_tool_calls"
"""OpenAI's argument for what is ``disable_parallel_tool_use`` in a tool choice here."""
_CUT_OFF = {
    "max_tokens": "The answer was cut off at max_tokens. Raise max_tokens, or ask for less.",
    "model_context_window_exceeded": "The answer was cut off: the context window is full. Send or ask for less.",
}
_PAUSED = frozenset({"pause_turn", "compaction"})
"""Stop reasons of a turn that the API continues when it is sent back."""
_SILENT = frozenset({"thinking", "redacted_thinking", "compaction"})
"""Blocks that are not part of the answer, such as reasoning."""


class AnthropicMessages:
    """The wire of ``anthropic``.

    In `Mode.TOOLS` the answer is a tool's input, in `Mode.JSON` it is text, and in `Mode.JSON_SCHEMA` it is text that
    the API holds to the schema (``output_config.format``).

    Besides the SDK's own keywords ``write`` takes ``stop`` and the output limit under OpenAI's names.
    ``temperature``, ``top_p`` and ``top_k`` are sent in ``extra_body``, because newer SDKs have no keyword for them. The
    adapter chooses a version of the API that takes them.

    A model is forced to call the tool where the API allows it, and asked to where not, as its capabilities say; where
    ``thinking`` is on no model can be forced. JSON in its text is an answer too.
    """

    name = "anthropic_messages"
    operation = "messages.create"
    streaming = MESSAGE_STREAMING
    modes = (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA)

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the tool that takes the answer, the format that the API enforces, or the instruction with the schema.

        In `Mode.JSON_SCHEMA`, a schema that the API can't enforce, such as a recursive one, goes into the system
        prompt, as in `Mode.JSON`.
        """
        del strict, capabilities  # strict tools take less of JSON Schema, and every model takes the same of it
        schema = expand_root(spec.schema)
        names = spec.renamed
        if mode is Mode.TOOLS:
            sent = rename_properties(schema, names)
            tool = {"name": spec.name, "description": spec.description, "input_schema": sent}
            alone = {"type": "tool", "name": spec.name, "disable_parallel_tool_use": True}
            choice = {"type": "any"} if spec.repeats else alone
            return Binding({"tools": [tool], "tool_choice": choice})
        held = anthropic_schema(schema) if mode is Mode.JSON_SCHEMA else None
        if held is None:
            return Binding(instruction=ask_for_json(schema))
        form = {"type": "json_schema", "schema": rename_properties(held, names)}
        return Binding({"output_config": {"format": form}})

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request.

        The default for ``max_tokens`` is 4096, or 16384 for a model that thinks by default, plus the thinking budget.
        """
        named = _name_arguments(arguments)
        thinking = read_mapping(named.get("thinking"), "thinking")
        bound = binding or Binding()
        request = {
            "model": model,
            "messages": _write_turns([message for message in messages if not _is_system(message)]),
            "max_tokens": _default_max_tokens(capabilities, thinking),
            **{name: value for name, value in named.items() if name != _PARALLEL},
            **_write_offer(named),
        }
        instructions = [bound.instruction]
        if "tools" in bound.arguments:
            instructions.append(_offer_tools(request, bound.arguments, capabilities))
        elif "tool_choice" in request:
            request["tool_choice"] = {"type": "auto", **read_mapping(request["tool_choice"], "tool_choice")}
        if "output_config" in bound.arguments:
            _hold_to_format(request, bound.arguments["output_config"])
        prompts = [message.get("content") for message in messages if _is_system(message)]
        system = _write_system([named.get("system"), *prompts, *instructions])
        return {**request, "system": system} if system else request

    def check(self, completion: Completion) -> None:
        """Make sure that a message is whole and sound. An empty one is, where a stop sequence ended it."""
        _check_message(completion, None)

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the input of every call of our tools, or the JSON in the text where no tool was called."""
        _check_message(completion, mode)
        calls, text = [*map(_read_call, _calls_of(_blocks_of(completion)))], _text_of(completion)
        parts = read_answer(completion, calls, text, mode, names, specs, lambda: _say_what_came(completion))
        return _restore_parts(parts, specs)

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Append the model's turn and the error, as the result of every tool it called.

        A paused turn is sent back alone: that is how the API goes on with it.
        """
        blocks = [_dump_block(block) for block in _blocks_of(completion) if not _is_blank(block)]
        calls = _calls_of(blocks)
        if mode is not Mode.TOOLS:
            names = ()
        elif not names:
            names = (get_text(request["tools"][-1], "name"),)  # our tool comes last
        sent = {name: new for spec in specs for name, new in spec.renamed.items()}
        content = _correct_calls(blocks, names)
        turns: list[dict[str, Any]] = [{"role": "assistant", "content": content}] if content else []
        if not turns or get_text(completion, "stop_reason") not in _PAUSED:
            problem = describe_error(error, sent)
            results = _answer_calls(calls, names, problem, repeats_of(specs))
            reply = results or say_answer_again(problem, calls=mode is Mode.TOOLS)
            turns.append({"role": "user", "content": reply})
        return {**request, "messages": [*request["messages"], *turns]}

    def is_paused(self, completion: Completion) -> bool:
        """Whether the API waits for its own turn, to go on with it."""
        return get_text(completion, "stop_reason") in _PAUSED

    def usage(self, completion: Completion) -> Usage:
        """Count tokens; the API counts those read from and written to its cache apart from ``input_tokens``."""
        counts = get_path(completion, "usage")
        cached = get_path(counts, "cache_read_input_tokens") or 0
        written = get_path(counts, "cache_creation_input_tokens") or 0
        return Usage(
            (get_path(counts, "input_tokens") or 0) + cached + written,
            get_path(counts, "output_tokens") or 0,
            cached,
            get_path(counts, "output_tokens_details", "thinking_tokens") or 0,
            written,
            get_path(counts, "cache_creation", "ephemeral_1h_input_tokens") or 0,
        )


ANTHROPIC_MESSAGES = AnthropicMessages()


def _name_arguments(arguments: Arguments) -> dict[str, Any]:
    arguments = move_choice(arguments)
    sent = {name: value for name, value in arguments.items() if value is not None or name in _NULLABLE}
    named = {_RENAMED.get(name, name): value for name, value in sent.items() if name not in BODY_ONLY}
    if isinstance(named.get("stop_sequences"), str):
        named["stop_sequences"] = [named["stop_sequences"]]
    body = {name: sent[name] for name in sorted(BODY_ONLY & sent.keys())}
    if body:
        named["extra_body"] = {**body, **read_mapping(named.get("extra_body"), "extra_body")}
    return named


def _default_max_tokens(capabilities: Capabilities, thinking: Mapping[str, Any]) -> int:
    # The API refuses a limit that isn't greater than the budget, also for a model that thinks by default.
    budget = thinking.get("budget_tokens") or 0
    if not isinstance(budget, int):
        raise refuse("thinking['budget_tokens']", budget, "a number of tokens")
    return budget + (DEFAULT_MAX_TOKENS_THINKING if capabilities.thinks else DEFAULT_MAX_TOKENS)


def _write_offer(named: Mapping[str, Any]) -> dict[str, Any]:
    """Write the caller's own tools and tool choice, if any, in Anthropic's form."""
    choice = read_mapping(translate_choice(named, "anthropic", _write_choice), "tool_choice")
    if _PARALLEL in named:
        choice = {"disable_parallel_tool_use": not named[_PARALLEL], **choice}
    offer = {"tools": translate_tools(named, "anthropic", _write_tool), "tool_choice": choice}
    return {name: value for name, value in offer.items() if value}


def _write_tool(function: Function) -> Block:
    written = {"name": function.name, "description": function.description, "input_schema": function.schema}
    return {**written, **{name: value for name, value in function.extra.items() if name == "cache_control"}}


def _write_choice(choice: Choice) -> Mapping[str, Any]:
    # The API can't be held to several tools, so that the model chooses from all of them.
    if choice.strength == "required" and len(choice.names) == 1:
        return {"type": "tool", "name": choice.names[0]}
    return {"type": _TOOL_CHOICES[choice.strength]}


def _hold_to_format(request: dict[str, Any], bound: Mapping[str, Any]) -> None:
    """Ask for our format in the body, beside what else the caller configures: older SDKs have no keyword for it."""
    body = read_mapping(request.get("extra_body"), "extra_body")
    configs = (request.pop("output_config", None), body.get("output_config"))
    first, second = (read_mapping(config, "output_config") for config in configs)
    request["extra_body"] = {**body, "output_config": {**bound, **first, **second}}


def _offer_tools(request: dict[str, Any], bound: Mapping[str, Any], capabilities: Capabilities) -> str:
    """Put our tool behind the caller's; return the sentence that asks for the call where it isn't forced."""
    tools: list[Any] = request.get("tools") or []
    forced = bound["tool_choice"]
    choice = _choose_tool(forced, tools, request, capabilities)
    request["tools"] = [*tools, *bound["tools"]]
    request.pop("tool_choice", None)
    if choice:
        request["tool_choice"] = choice
    if "name" in forced:
        is_forced = choice.get("type") == "tool" and choice.get("name") == forced["name"]
    else:
        is_forced = choice.get("type") == "any" and not tools
    names = [tool["name"] for tool in bound["tools"]]
    return "" if is_forced else instruct_call(names, repeats="name" not in forced)


def _choose_tool(
    forced: Mapping[str, Any], tools: Sequence[Any], request: Mapping[str, Any], capabilities: Capabilities
) -> Mapping[str, Any]:
    """Choose what makes the model call our tool: what the caller chose, or the strongest that the model takes."""
    wanted: Mapping[str, Any] = request.get("tool_choice") or {}
    if "type" in wanted:
        return wanted
    strength = limit_choice(capabilities, tools, is_hosted=_is_hosted)
    if _is_thinking(request.get("thinking")):
        strength = weaker_choice(strength, "auto")
    if strength == "named":
        return {**forced, **wanted}
    if strength == "omitted":
        return {}
    # A tool that the provider runs, such as a search, may need several calls before the answer.
    alone = {} if "name" not in forced or any(map(_is_hosted, tools)) else {"disable_parallel_tool_use": True}
    return {"type": "any" if strength == "required" else "auto", **alone, **wanted}


def _is_hosted(tool: Any) -> bool:
    return is_mapping(tool) and tool.get("type", "custom") != "custom"


def _is_thinking(thinking: Any) -> bool:
    return is_mapping(thinking) and thinking.get("type") != "disabled"


def _is_system(message: Any) -> bool:
    return get_path(message, "role") in SYSTEM_ROLES


def _write_system(pieces: Sequence[Any]) -> str | list[Any] | None:
    """Join system prompts: texts become one text; blocks stay blocks, since each may have its ``cache_control``."""
    prompts = [piece for piece in pieces if piece]
    if all(isinstance(piece, str) for piece in prompts):
        return "\n\n".join(prompts) or None
    blocks: list[Any] = []
    for piece in prompts:
        is_text = isinstance(piece, str)
        blocks.extend([{"type": "text", "text": piece}] if is_text else read_list(piece, "system", "blocks, or text"))
    return blocks


def _write_turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    filled = drop_empty_turns([_drop_blank_text(message) for message in messages])
    for are_results, group in groupby(filled, lambda message: get_path(message, "role") == "tool"):
        if are_results:  # the results of one turn's calls belong into one message
            turns.append({"role": "user", "content": [_write_result(message) for message in group]})
        else:
            turns.extend(map(_write_turn, group))
    return turns


def _drop_blank_text(message: Any) -> Any:
    """Leave out text parts without text, which the API refuses."""
    content = get_path(message, "content")
    if not is_mapping(message) or not is_list(content) or not any(map(_is_blank, content)):
        return message
    return {**message, "content": [part for part in content if not _is_blank(part)]}


@name_message
def _write_turn(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
    if not calls:
        return {"role": role, "content": _write_blocks(content)}
    parts: Any = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    return {"role": role, "content": [*_write_blocks(parts), *map(_write_call, calls)]}


def _write_blocks(content: Any) -> Any:
    if isinstance(content, str) or content is None:
        return content
    return [_write_block(part) for part in read_parts(content)]


def _write_block(part: Any) -> Any:
    write = _PARTS.get(part.get("type", "")) if is_mapping(part) else None
    if write is None:
        return part
    block = write(part)
    return {**block, "cache_control": part["cache_control"]} if "cache_control" in part else block


def _write_image(part: Mapping[str, Any]) -> Block:
    url = read_url(part)
    data = split_data_url(url)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": data[0], "data": data[1]}}


def _write_document(part: Mapping[str, Any]) -> Block:
    file = part["file"]
    if "file_id" in file:
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}
    data = split_data_url(file["file_data"])
    source = (
        {"type": "base64", "media_type": data[0], "data": data[1]}
        if data
        else {"type": "url", "url": file["file_data"]}
    )
    title = {"title": file["filename"]} if "filename" in file else {}
    return {"type": "document", "source": source, **title}


def _refuse_audio(part: Mapping[str, Any]) -> Block:
    raise MultimodalError(
        "Anthropic's Messages API does not take audio. Send a transcript, or use a vendor that does.",
        content_type=f"audio/{part['input_audio'].get('format', '*')}",
    )


_PARTS = {"image_url": _write_image, "file": _write_document, "input_audio": _refuse_audio}
"""Parts of OpenAI's form that Anthropic's does not share; text is the same in both."""


def _write_call(call: Mapping[str, Any]) -> Block:
    identifier, name, arguments = read_call(call)
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


@name_message
def _write_result(message: Mapping[str, Any]) -> Block:
    content = _write_blocks(message.get("content"))
    return {"type": "tool_result", "tool_use_id": message["tool_call_id"], **({"content": content} if content else {})}


def _check_message(completion: Completion, mode: Mode | None) -> None:
    fault, reason = get_extra(completion, "error"), get_text(completion, "stop_reason")
    if fault:
        raise ProviderError(AnthropicMessages.name, str(get_path(fault, "message") or fault))
    if reason in _CUT_OFF:
        raise IncompleteOutputException(_CUT_OFF[reason], last_completion=completion)
    if reason == "refusal":
        raise RefusalError(f"The model refused to answer. {_text_of(completion)}".strip(), last_completion=completion)
    is_whole = reason == "stop_sequence" or any(map(_is_answer, _blocks_of(completion)))
    if reason in _PAUSED or not is_whole:
        name = mode.name if mode else None
        raise ResponseParsingError(_say_what_came(completion), mode=name, raw_response=completion)


def _is_answer(block: Any) -> bool:
    return get_text(block, "type") not in _SILENT and not _is_blank(block)


def _blocks_of(completion: Completion) -> list[Any]:
    return [block for block in get_list(completion, "content") if get_text(block, "type")]


def _calls_of(blocks: Sequence[Any]) -> list[Any]:
    return [block for block in blocks if get_path(block, "type") == "tool_use"]


def _names_of(calls: Sequence[Any]) -> list[str]:
    return [get_text(call, "name") for call in calls]


def _read_call(call: Any) -> Part:
    return Part(get_text(call, "name"), dump_arguments(get_path(call, "input") or {}))


def _restore_parts(parts: Sequence[Part], specs: Sequence[ToolSpec]) -> tuple[Part, ...]:
    """Give properties the names back that the API refuses."""
    schemas = {spec.name: spec.schema for spec in specs if spec.renamed}
    if schemas and len(specs) == 1:
        schemas[""] = specs[0].schema  # an answer that came as text
    return tuple(
        Part(part.tool, restore_names(part.text, schemas[part.tool])) if part.tool in schemas else part
        for part in parts
    )


def _say_what_came(completion: Completion) -> str:
    kinds = [get_path(block, "type") for block in _blocks_of(completion)]
    reason = get_path(completion, "stop_reason")
    return f"There is no answer in the completion: its blocks are {kinds}, and stop_reason is {reason!r}."


def _text_of(completion: Completion) -> str:
    # One text comes in several blocks where it has citations, so they are joined without a space.
    return "".join(get_text(block, "text") for block in _blocks_of(completion) if get_path(block, "type") == "text")


def _is_blank(block: Any) -> bool:
    # The API sends empty text at times, and refuses to be sent it.
    return get_path(block, "type") == "text" and not get_text(block, "text").strip()


def _answer_calls(calls: Sequence[Block], names: Sequence[str], problem: str, repeats: bool) -> list[Block]:
    return [
        {"type": "tool_result", "tool_use_id": get_text(call, "id"), "is_error": True, "content": text}
        for call, text in zip(calls, tell_calls(_names_of(calls), names, problem, repeats=repeats), strict=True)
    ]


def _correct_calls(blocks: Sequence[Block], names: Sequence[str]) -> list[Block]:
    called = iter(correct_names(_names_of(_calls_of(blocks)), names))
    return [{**block, "name": next(called)} if block["type"] == "tool_use" else block for block in blocks]


def _dump_block(block: Any) -> Block:
    """Write a block as the API sent it, which is without members that it did not send.

    The input of a streamed call may be text that isn't JSON. The API takes objects only, and asks for such text in one.
    """
    written: Block = {**(write_members(block) if isinstance(block, BaseModel) or is_mapping(block) else vars(block))}
    return {**written, "input": {"INVALID_JSON": text}} if (text := get_text(written, "input")) else written
