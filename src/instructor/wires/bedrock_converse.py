"""Amazon Bedrock's Converse API, see https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

Messages may be in OpenAI's chat form or in Converse's own; blocks that are already Converse's go through untouched.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from instructor.exceptions import (
    IncompleteOutputException,
    MultimodalError,
    RefusalError,
    ResponseParsingError,
)
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.arguments import name_message, read_list, read_mapping, read_parts
from instructor.wires.bedrock_converse_stream import CONVERSE_STREAMING
from instructor.wires.calls import correct_names, say_uncalled, select_parts, tell_calls
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import (
    SYSTEM_ROLES,
    drop_empty_turns,
    is_mapping,
    read_call,
    read_url,
    say_answer_again,
    split_data_url,
)
from instructor.wires.references import expand_root
from instructor.wires.schema import anthropic_schema
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec, repeats_of
from instructor.wires.text import (
    ask_for_json,
    describe_error,
    dump_arguments,
    dump_json,
    get_list,
    get_path,
    get_text,
    shorten,
)
from instructor.wires.tool_choice import Choice, translate_choice
from instructor.wires.tools import Function, instruct_call, limit_choice, translate_tools

Block = dict[str, Any]

_INFERENCE = {
    "max_tokens": "maxTokens",
    "max_completion_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop": "stopSequences",
    "stop_sequences": "stopSequences",
}
"""The chat API's names for members of ``inferenceConfig``."""
_MODEL_FIELDS = ("top_k", "thinking")
"""Claude's own arguments, which Converse hands on in ``additionalModelRequestFields``."""
_OFFER = ("tools", "tool_choice", "toolConfig", "system")
_CHOICES: Mapping[str, Any] = {"auto": {"auto": {}}, "required": {"any": {}}}
_CUT_OFF = {
    "max_tokens": "The answer was cut off at max_tokens. Raise max_tokens, or ask for less.",
    "model_context_window_exceeded": "The answer was cut off: the context window is full. Send or ask for less.",
}
_REFUSED = {
    "content_filtered": "The provider's filter stopped the answer.",
    "guardrail_intervened": "A guardrail stopped the answer.",
    "refusal": "The model refused to answer.",
}
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})
_NAMELESS = "document"
_FORMATS: Mapping[str, Mapping[str, str]] = {
    "An image": {"gif": "gif", "jpeg": "jpeg", "jpg": "jpeg", "png": "png", "webp": "webp"},
    "A document": {
        "csv": "csv",
        "html": "html",
        "markdown": "md",
        "msword": "doc",
        "pdf": "pdf",
        "plain": "txt",
        "vnd.ms-excel": "xls",
        "vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    },
}
"""What Converse calls the media types that it takes, by the second half of their names."""


class BedrockConverse:
    """The wire of boto3's client ``bedrock-runtime``.

    Besides the API's own arguments ``write`` takes the chat API's names for ``inferenceConfig``, and ``top_k`` and
    ``thinking`` for Claude.
    """

    name = "bedrock_converse"
    operation = "converse"
    streaming = CONVERSE_STREAMING
    modes = (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON)
    lacks = frozenset(
        {
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "n",
            "parallel_tool_calls",
            "presence_penalty",
            "response_format",
            "seed",
            "top_logprobs",
        }
    )

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the tool that takes the answer, the format that the API enforces, or the instruction with the schema.

        In `Mode.JSON_SCHEMA`, a schema that the API can't enforce, such as a recursive one, goes into the system
        prompt.
        """
        del strict, capabilities  # strict tools take less of JSON Schema
        schema = expand_root(spec.schema)
        if mode is Mode.TOOLS:
            tool = {"name": spec.name, "description": spec.description, "inputSchema": {"json": schema}}
            choice: Block = {"any": {}} if spec.repeats else {"tool": {"name": spec.name}}
            return Binding({"toolConfig": {"tools": [{"toolSpec": tool}], "toolChoice": choice}})
        # The subset is Anthropic's, whose models were the first to take it.
        held = anthropic_schema(schema) if mode is Mode.JSON_SCHEMA else None
        if held is None:
            return Binding(instruction=ask_for_json(schema, fenced=True))
        form = {"schema": dump_json(held), "name": spec.name, "description": spec.description}
        return Binding({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": form}}}})

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request."""
        bound = binding or Binding()
        request = {
            "modelId": model,
            "messages": _write_turns([message for message in messages if not _is_system(message)]),
            **_place_arguments(arguments, self.lacks),
        }
        if "outputConfig" in bound.arguments:
            theirs = read_mapping(request.get("outputConfig"), "outputConfig")
            request["outputConfig"] = {**bound.arguments["outputConfig"], **theirs}
        config, asked = _offer_tools(arguments, bound.arguments.get("toolConfig"), capabilities)
        prompts = [message.get("content") for message in messages if _is_system(message)]
        instructions = [text for text in (bound.instruction, asked) if text]
        system = _write_system([arguments.get("system"), *prompts, *instructions])
        return {**request, **({"toolConfig": config} if config else {}), **({"system": system} if system else {})}

    def check(self, completion: Completion) -> None:
        """Make sure that a completion is whole and sound. An empty one is, where a stop sequence ended it."""
        _check_completion(completion, None)

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the input of every call of our tools, or the JSON in the text where no tool was called."""
        _check_completion(completion, mode)
        found = _calls_of(completion)
        calls = found if mode is Mode.TOOLS else []
        parts = select_parts([*map(_read_call, calls)], _text_of(completion), names, specs)
        if not parts:
            reason = say_uncalled(_names_of(found), names if calls else ()) if found else _say_what_came(completion)
            raise ResponseParsingError(reason, mode=mode.name, raw_response=completion)
        return parts

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Append the model's turn and the error, as the result of every tool it called."""
        calls = _calls_of(completion)
        if mode is not Mode.TOOLS:
            names = ()
        elif not names:
            names = (get_text(request["toolConfig"]["tools"][-1], "toolSpec", "name"),)  # our tool comes last
        content = _correct_calls([block for block in _blocks_of(completion) if not _is_blank(block)], names)
        turns: Messages = [{"role": "assistant", "content": content}] if content else []
        problem = describe_error(error)
        reply = _answer_calls(calls, names, problem, repeats_of(specs))
        again = {"text": say_answer_again(problem, calls=mode is Mode.TOOLS)}
        return {**request, "messages": [*request["messages"], *turns, {"role": "user", "content": reply or [again]}]}

    def usage(self, completion: Completion) -> Usage:
        """Count tokens; the API counts those read from and written to its cache apart from ``inputTokens``."""
        counts = get_path(completion, "usage")
        cached = get_path(counts, "cacheReadInputTokens") or 0
        written = get_path(counts, "cacheWriteInputTokens") or 0
        details = get_list(counts, "cacheDetails")
        for_hour = sum(get_path(one, "inputTokens") or 0 for one in details if get_path(one, "ttl") == "1h")
        read = (get_path(counts, "inputTokens") or 0) + cached + written
        return Usage(read, get_path(counts, "outputTokens") or 0, cached, 0, written, for_hour)


BEDROCK_CONVERSE = BedrockConverse()


def join_turns(messages: Sequence[Any]) -> list[Any]:
    """Join neighbouring turns of one role, because Converse wants the roles to alternate."""
    joined: list[Any] = []
    for message in messages:
        if joined and get_path(joined[-1], "role") == get_path(message, "role"):
            joined[-1] = {**joined[-1], "content": [*joined[-1]["content"], *message["content"]]}
        else:
            joined.append(message)
    return joined


def _place_arguments(arguments: Arguments, lacks: frozenset[str]) -> dict[str, Any]:
    """Put the chat API's arguments where Converse has them; what the caller wrote in Converse's own form wins."""
    sent = {name: value for name, value in arguments.items() if value is not None and name not in lacks}
    placed = {name: value for name, value in sent.items() if name not in (*_INFERENCE, *_MODEL_FIELDS, *_OFFER)}
    inference = {member: sent[name] for name, member in _INFERENCE.items() if name in sent}
    if isinstance(inference.get("stopSequences"), str):
        inference["stopSequences"] = [inference["stopSequences"]]
    fields = {name: sent[name] for name in _MODEL_FIELDS if name in sent}
    for name, ours in {"inferenceConfig": inference, "additionalModelRequestFields": fields}.items():
        if ours:
            placed[name] = {**ours, **read_mapping(placed.get(name), name)}
    return placed


def _offer_tools(
    arguments: Arguments, bound: Mapping[str, Any] | None, capabilities: Capabilities
) -> tuple[dict[str, Any], str]:
    """Put our tools behind the caller's; return the sentence that asks for the call where it isn't forced."""
    own = read_mapping(arguments.get("toolConfig"), "toolConfig")
    tools = [*read_list(own.get("tools"), "toolConfig['tools']", "tools in Converse's form")]
    tools += translate_tools(arguments, "converse", _write_tool)
    wanted: Any = translate_choice(arguments, "converse", _write_choice) or own.get("toolChoice")
    if wanted == "none":  # Converse has no such choice: without tools none is called
        tools, wanted = [], None
    if bound is None:
        return ({"tools": tools, **({"toolChoice": wanted} if wanted else {})} if tools else {}), ""
    forced = bound["toolChoice"]
    strength = limit_choice(capabilities, tools, is_hosted=_is_hosted)
    strongest: Mapping[str, Any] = {"named": forced, "required": {"any": {}}, "auto": {"auto": {}}, "omitted": None}
    choice: Any = wanted or strongest[strength]
    names = [tool["toolSpec"]["name"] for tool in bound["tools"]]
    is_sure = choice == forced and ("tool" in forced or not tools)
    asked = "" if is_sure else instruct_call(names, repeats="tool" not in forced)
    return {"tools": [*tools, *bound["tools"]], **({"toolChoice": choice} if choice else {})}, asked


def _is_hosted(tool: Any) -> bool:
    return get_path(tool, "systemTool") is not None


def _write_tool(function: Function) -> Block:
    described = {"description": function.description} if function.description else {}
    return {"toolSpec": {"name": function.name, **described, "inputSchema": {"json": function.schema}}}


def _write_choice(choice: Choice) -> Any:
    if choice.strength == "required" and len(choice.names) == 1:
        return {"tool": {"name": choice.names[0]}}
    return _CHOICES.get(choice.strength, choice.strength)


def _is_system(message: Any) -> bool:
    return get_path(message, "role") in SYSTEM_ROLES


def _write_system(prompts: Sequence[Any]) -> list[Block]:
    return [block for prompt in prompts if prompt for block in _write_blocks(prompt)]


def _write_turns(messages: Sequence[Any]) -> Messages:
    turns: Messages = []
    for are_results, group in groupby(drop_empty_turns(messages), lambda message: get_path(message, "role") == "tool"):
        if are_results:  # the results of one turn's calls belong into one message
            turns.append({"role": "user", "content": [_write_result(message) for message in group]})
        else:
            turns.extend(map(_write_turn, group))
    return _number_documents(turns)


@name_message
def _write_turn(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls") or ()
    return {"role": message["role"], "content": [*_write_blocks(message.get("content")), *map(_write_call, calls)]}


def _write_blocks(content: Any) -> list[Block]:
    if not content:
        return []
    parts = [content] if isinstance(content, str) else read_parts(content)
    return [block for part in parts for block in _write_block(part) if not _is_blank(block)]


def _write_block(part: Any) -> list[Block]:
    if isinstance(part, str):
        return [{"text": part}]
    write = _PARTS.get(part.get("type", "")) if is_mapping(part) else None
    if write is None or not is_mapping(part):
        own: Any = part
        return [own]
    return [write(part), *([{"cachePoint": {"type": "default"}}] if "cache_control" in part else [])]


def _write_text(part: Mapping[str, Any]) -> Block:
    return {"text": part["text"]}


def _write_image(part: Mapping[str, Any]) -> Block:
    return {"image": _write_source(read_url(part), "An image")}


def _write_document(part: Mapping[str, Any]) -> Block:
    file = part["file"]
    if "file_data" not in file:
        raise MultimodalError("Bedrock's Converse API knows no files by id. Send the file's data, such as with PDF.")
    return {"document": {"name": _NAMELESS, **_write_source(file["file_data"], "A document")}}


def _write_audio(part: Mapping[str, Any]) -> Block:
    sound = part["input_audio"]
    return {"audio": {"format": sound["format"], "source": {"bytes": base64.b64decode(sound["data"])}}}


def _write_source(url: str, what: str) -> Block:
    data = split_data_url(url)
    if data is None:
        raise MultimodalError(
            f"{what} is at a URL, which Bedrock's Converse API doesn't fetch. Use instructor.Image or PDF, whose "
            "from_url() fetches it for such an API."
        )
    kind = _FORMATS[what].get(data[0].partition("/")[2].lower())
    if kind is None:
        taken = ", ".join(sorted({*_FORMATS[what].values()}))
        raise MultimodalError(
            f"{what} is of the type {data[0]}. Bedrock's Converse API takes {taken}. Convert it to one of these.",
            content_type=data[0],
        )
    return {"format": kind, "source": {"bytes": base64.b64decode(data[1])}}


_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Block]] = {
    "text": _write_text,
    "input_text": _write_text,
    "output_text": _write_text,
    "image_url": _write_image,
    "file": _write_document,
    "input_audio": _write_audio,
}
"""Parts of OpenAI's form; blocks of Converse have no type."""


def _number_documents(turns: Messages) -> Messages:
    """Give documents without a name of their own different ones, which the API demands."""
    count = 0
    for turn in turns:
        for at, block in enumerate(turn["content"]):
            document = get_path(block, "document")
            if get_text(document, "name") == _NAMELESS:
                count += 1
                if count > 1:
                    turn["content"][at] = {"document": {**document, "name": f"{_NAMELESS} {count}"}}
    return turns


def _write_call(call: Mapping[str, Any]) -> Block:
    identifier, name, arguments = read_call(call)
    return {"toolUse": {"toolUseId": identifier, "name": name, "input": arguments}}


@name_message
def _write_result(message: Mapping[str, Any]) -> Block:
    # A result without content is refused.
    content = _write_blocks(message.get("content")) or [{"text": "(empty)"}]
    return {"toolResult": {"toolUseId": message["tool_call_id"], "content": content}}


def _check_completion(completion: Completion, mode: Mode | None) -> None:
    reason = get_text(completion, "stopReason")
    if reason in _CUT_OFF:
        raise IncompleteOutputException(_CUT_OFF[reason], last_completion=completion)
    if reason in _REFUSED:
        raise RefusalError(f"{_REFUSED[reason]} {_text_of(completion)}".strip(), last_completion=completion)
    is_whole = reason == "stop_sequence" or any(map(_is_answer, _blocks_of(completion)))
    if reason in _BROKEN or not is_whole:
        raise ResponseParsingError(
            _say_what_came(completion), mode=mode.name if mode else None, raw_response=completion
        )


def _blocks_of(completion: Completion) -> list[Any]:
    return get_list(completion, "output", "message", "content")


def _is_answer(block: Any) -> bool:
    return get_path(block, "reasoningContent") is None and not _is_blank(block)


def _is_blank(block: Any) -> bool:
    text = get_path(block, "text")
    return isinstance(text, str) and not text.strip()


def _text_of(completion: Completion) -> str:
    texts: list[str] = []
    for block in _blocks_of(completion):
        texts.append(get_text(block, "text"))
        texts += [get_text(part, "text") for part in get_list(block, "citationsContent", "content")]
    return "".join(texts)


def _calls_of(completion: Completion) -> list[Any]:
    found = [get_path(block, "toolUse") for block in _blocks_of(completion)]
    return [call for call in found if call is not None and get_path(call, "type") is None]


def _names_of(calls: Sequence[Any]) -> list[str]:
    return [get_text(call, "name") for call in calls]


def _read_call(call: Any) -> Part:
    return Part(get_text(call, "name"), dump_arguments(get_path(call, "input") or {}))


def _say_what_came(completion: Completion) -> str:
    if get_path(completion, "output", "message") is None:
        return "The completion holds no message. Ask again, or look at the provider's status."
    reason = get_path(completion, "stopReason")
    text = _text_of(completion)
    if text and reason not in _BROKEN:
        return f"The answer should be JSON, but this came: {shorten(text)!r}"
    kinds = [next(iter(block), "") for block in _blocks_of(completion)]
    return f"There is no answer in the completion: its blocks are {kinds}, and stopReason is {reason!r}."


def _answer_calls(calls: Sequence[Any], names: Sequence[str], problem: str, repeats: bool) -> list[Block]:
    texts = tell_calls(_names_of(calls), names, problem, repeats=repeats) if calls else []
    return [
        {"toolResult": {"toolUseId": get_text(call, "toolUseId"), "status": "error", "content": [{"text": text}]}}
        for call, text in zip(calls, texts, strict=True)
    ]


def _correct_calls(blocks: Sequence[Any], names: Sequence[str]) -> list[Block]:
    """Write the model's turn as the API takes it back: with our tools' own names, and objects as their input."""
    calls = [block["toolUse"] for block in blocks if "toolUse" in block and "type" not in block["toolUse"]]
    called = iter(correct_names(_names_of(calls), names))
    return [_correct_call(block, called) if block.get("toolUse") in calls else block for block in blocks]


def _correct_call(block: Block, called: Any) -> Block:
    call = block["toolUse"]
    sent = call.get("input")
    arguments = {"INVALID_JSON": sent} if isinstance(sent, str) else sent or {}
    return {"toolUse": {**call, "name": next(called), "input": arguments}}
