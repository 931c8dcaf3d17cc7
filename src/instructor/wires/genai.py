"""Google's Gemini API through ``google-genai``, see https://ai.google.dev/api/generate-content.

Messages may be in OpenAI's chat form or in Google's own (``contents=``, messages with ``parts``, objects of
``google.genai.types``); what is already Google's goes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from instructor.exceptions import (
    ConfigurationError,
    IncompleteOutputException,
    RefusalError,
    ResponseParsingError,
)
from instructor.messages import Messages, Part, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.arguments import read_list, read_tools
from instructor.wires.calls import read_answer, tell_calls
from instructor.wires.capabilities import DEFAULT_CAPABILITIES, Capabilities
from instructor.wires.content import drop_empty_turns, is_mapping, say_answer_again
from instructor.wires.genai_config import gather_config, read_fields
from instructor.wires.genai_content import gather_contents, split_system
from instructor.wires.genai_schema import fit_schema
from instructor.wires.genai_stream import GENAI_STREAMING
from instructor.wires.spec import Arguments, Binding, Completion, ToolSpec, repeats_of
from instructor.wires.text import describe_error, dump_arguments, get_list, get_path, get_text
from instructor.wires.tools import Function, instruct_call, translate_tools

_CUT_OFF = frozenset({"MAX_TOKENS", "CONTINUATION"})
_REFUSED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    }
)
_COMPLETE = frozenset({"", "STOP", "FINISH_REASON_UNSPECIFIED"})
_NOT_BLOCKED = frozenset({"", "BLOCKED_REASON_UNSPECIFIED"})
_CONTENT = (
    "text",
    "function_call",
    "inline_data",
    "file_data",
    "executable_code",
    "code_execution_result",
    "tool_call",
    "tool_response",
    "audio_transcription",
)
"""The members of a part that hold a part of the answer."""
_FORCING = "ANY"


class Genai:
    """The wire of ``google``: `Mode.TOOLS` (the answer is a function's arguments) and `Mode.JSON` (it is text).

    ``write`` takes the members of ``GenerateContentConfig`` as keywords or in ``config=``, the common names of other
    vendors (``max_tokens``, ``stop``, ``timeout`` in seconds, ``extra_headers``), and ``contents=``.
    """

    name = "genai"
    operation = "models.generate_content"
    model_member = "model_version"
    streaming = GENAI_STREAMING
    modes = (Mode.TOOLS, Mode.JSON)

    def bind(
        self, spec: ToolSpec, mode: Mode, strict: bool, capabilities: Capabilities = DEFAULT_CAPABILITIES
    ) -> Binding:
        """Make the function that takes the answer, or the schema that the text is held to."""
        del strict, capabilities  # the API has no such switch, and every model takes the same of JSON Schema
        schema = fit_schema(spec.schema)
        if mode is Mode.JSON:
            return Binding({"config": _hold_to(schema)})
        declaration = {"name": spec.name, "description": spec.description, "parameters_json_schema": schema}
        calling = {"mode": _FORCING, "allowed_function_names": [spec.name]}
        return Binding(
            {
                "config": {
                    "tools": [{"function_declarations": [declaration]}],
                    "tool_config": {"function_calling_config": calling},
                }
            },
            repeats=spec.repeats,
        )

    def write(
        self,
        messages: Messages,
        binding: Binding | None,
        model: str,
        arguments: Arguments,
        capabilities: Capabilities = DEFAULT_CAPABILITIES,
    ) -> Request:
        """Write a request.

        Cached content has its own system prompt and tools, so that none may come with it.
        """
        del capabilities  # every model of this API can be forced to call a function
        config = gather_config(arguments)
        if tools := translate_tools(config, "genai", _write_tool):
            config["tools"] = tools
        system, turns = split_system(messages, config.pop("system_instruction", None))
        contents = gather_contents(drop_empty_turns(turns), arguments.get("contents"))
        instruction = binding.instruction if binding else ""
        bound = dict(binding.arguments["config"]) if binding else {}
        if config.get("cached_content"):
            _check_cached(config, system)
            bound = _fit_cached(bound)
        if binding and "tools" in bound:
            instruction = _join(instruction, _merge_tools(config, bound, repeats=binding.repeats))
        if instruction:
            system = [*system, instruction]
        written = {**bound, **config, **_write_system(system)}
        return {"model": model, "contents": contents, **({"config": written} if written else {})}

    def check(self, completion: Completion) -> None:
        """Make sure that a completion is whole and sound, in each of its candidates."""
        _check_candidates(completion, get_list(completion, "candidates"), None)

    def read(
        self, completion: Completion, mode: Mode, names: Sequence[str], specs: Sequence[ToolSpec] = ()
    ) -> tuple[Part, ...]:
        """Take the arguments of every call of our functions, or the JSON in the text where none was called."""
        first = get_list(completion, "candidates")[:1]
        _check_candidates(completion, first, mode)
        content = get_list(first[0], "content", "parts")
        calls = [*map(_read_call, _calls_of(content))]
        return read_answer(completion, calls, _text_of(content), mode, names, specs, lambda: _say_what_came(first[0]))

    def reask(
        self,
        request: Request,
        completion: Completion,
        error: Exception,
        mode: Mode,
        names: Sequence[str] = (),
        specs: Sequence[ToolSpec] = (),
    ) -> Request:
        """Append the model's content as it came, signatures included, and the error as the result of every call."""
        content = get_path(next(iter(get_list(completion, "candidates")), None), "content")
        parts = get_list(content, "parts")
        problem = describe_error(error)
        if mode is not Mode.TOOLS or not request["config"].get("tools"):  # with cached content the answer is text
            names = ()
        elif not names:
            names = (_read_name(request),)
        results = _answer_calls(_calls_of(parts), names, problem, repeats_of(specs))
        reply = {"role": "user", "parts": results or [{"text": say_answer_again(problem, calls=bool(names))}]}
        return {**request, "contents": [*request["contents"], *([_dump_content(content)] if parts else []), reply]}

    def usage(self, completion: Completion) -> Usage:
        """Count tokens; the API counts thoughts, and what tools returned, apart from the rest."""
        counts = get_path(completion, "usage_metadata")
        thoughts = get_path(counts, "thoughts_token_count") or 0
        return Usage(
            (get_path(counts, "prompt_token_count") or 0) + (get_path(counts, "tool_use_prompt_token_count") or 0),
            (get_path(counts, "candidates_token_count") or 0) + thoughts,
            get_path(counts, "cached_content_token_count") or 0,
            thoughts,
        )


GENAI = Genai()


def _hold_to(schema: Any) -> dict[str, Any]:
    return {"response_mime_type": "application/json", "response_json_schema": schema}


def _join(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _write_system(pieces: Sequence[Any]) -> dict[str, Any]:
    if not pieces:
        return {}
    if all(isinstance(piece, str) for piece in pieces):
        return {"system_instruction": _join(*pieces)}
    return {"system_instruction": list(pieces)}


def _merge_tools(config: dict[str, Any], bound: Mapping[str, Any], *, repeats: bool) -> str:
    """Put our function behind the caller's tools in `config`; return the sentence that asks for the call, if needed."""
    tools = read_tools(config)
    wanted = read_fields(config, "tool_config")
    forced = bound["tool_config"]["function_calling_config"]
    names = forced["allowed_function_names"]
    if any(_is_hosted(tool) for tool in tools):
        forced = {
            "mode": "VALIDATED"
        }  # a tool that the provider runs, such as a search, is to be used before the answer
    calling = {**forced, **read_fields(wanted, "function_calling_config")}
    if _name_reason(calling["mode"]) == _FORCING:
        allowed = read_list(calling.get("allowed_function_names"), "allowed_function_names", "names")
        calling["allowed_function_names"] = list(dict.fromkeys([*allowed, *names]))
    else:
        calling.pop("allowed_function_names", None)
    config["tools"] = [*tools, *bound["tools"]]
    config["tool_config"] = {**wanted, "function_calling_config": calling}
    if tools:
        # The SDK doesn't call Python functions beside a declaration such as ours, and logs a warning unless it is disabled.
        config["automatic_function_calling"] = config.get("automatic_function_calling") or {"disable": True}
    return "" if calling.get("allowed_function_names") == names else instruct_call(names, repeats=repeats)


def _write_tool(function: Function) -> dict[str, Any]:
    written = {"name": function.name, "description": function.description}
    return {"function_declarations": [{**written, "parameters_json_schema": function.schema}]}


def _is_hosted(tool: Any) -> bool:
    is_declared = is_mapping(tool) or isinstance(tool, BaseModel)
    return is_declared and not read_fields({"tool": tool}, "tool").keys() <= {"function_declarations"}


def _check_cached(config: Mapping[str, Any], system: Sequence[Any]) -> None:
    refused = ["a system prompt"] * bool(system) + [name for name in ("tools", "tool_config") if config.get(name)]
    if refused:
        raise ConfigurationError(
            f"cached_content cannot be combined with {' and '.join(refused)}: they are part of the cached content. "
            "Pass them when you create it, or write them into a user message."
        )


def _fit_cached(bound: dict[str, Any]) -> dict[str, Any]:
    """Enforce the schema on the text instead of offering a function, because cached content refuses other tools."""
    if "tools" not in bound:
        return bound
    if len(bound["tools"]) > 1:
        raise ConfigurationError(
            "cached_content cannot be combined with several tools of Mode.PARALLEL_TOOLS: the API takes no tools beside "
            "cached content. Use list[A | B] in another mode."
        )
    return _hold_to(bound["tools"][0]["function_declarations"][0]["parameters_json_schema"])


def _check_candidates(completion: Completion, candidates: Sequence[Any], mode: Mode | None) -> None:
    _check_prompt(completion)
    for candidate in candidates or [None]:
        reason = _name_reason(get_path(candidate, "finish_reason"))
        _check_finish(completion, candidate, reason)
        if reason not in _COMPLETE or not any(map(_is_answer, get_list(candidate, "content", "parts"))):
            name = mode.name if mode else None
            raise ResponseParsingError(_say_what_came(candidate), mode=name, raw_response=completion)


def _is_answer(part: Any) -> bool:
    return not get_path(part, "thought") and any(get_path(part, name) for name in _CONTENT)


def _check_prompt(completion: Completion) -> None:
    blocked = _name_reason(get_path(completion, "prompt_feedback", "block_reason"))
    if blocked not in _NOT_BLOCKED:
        detail = (
            get_path(completion, "prompt_feedback", "block_reason_message") or "Change the prompt or safety_settings."
        )
        raise RefusalError(f"The provider blocked the prompt: {blocked}. {detail}", last_completion=completion)


def _check_finish(completion: Completion, candidate: Any, reason: str) -> None:
    if reason in _CUT_OFF:
        raise IncompleteOutputException(last_completion=completion)
    if reason in _REFUSED:
        detail = get_path(candidate, "finish_message") or "Change the prompt or safety_settings."
        raise RefusalError(f"The provider stopped the answer: {reason}. {detail}", last_completion=completion)


def _name_reason(reason: Any) -> str:
    # An enum of the SDK is a str too, whose own text is its value.
    return str.upper(reason) if isinstance(reason, str) else ""


def _calls_of(parts: Sequence[Any]) -> list[Any]:
    return [call for part in parts if (call := get_path(part, "function_call")) is not None]


def _names_of(calls: Sequence[Any]) -> list[str]:
    return [get_text(call, "name") for call in calls]


def _read_call(call: Any) -> Part:
    return Part(get_text(call, "name"), dump_arguments(get_path(call, "args") or {}))


def _read_name(request: Request) -> str:
    name: str = request["config"]["tools"][-1]["function_declarations"][0]["name"]  # our tool comes last
    return name


def _say_what_came(candidate: Any) -> str:
    parts = get_list(candidate, "content", "parts")
    reason, detail = _name_reason(get_path(candidate, "finish_reason")), get_path(candidate, "finish_message")
    summary = (
        f"There is no answer in the completion: it has {len(parts)} parts, and finish_reason is {reason or None!r}."
    )
    return f"{summary} {detail}" if detail else summary


def _text_of(parts: Sequence[Any]) -> str:
    return "".join(get_text(part, "text") for part in parts if not get_path(part, "thought"))


def _dump_content(content: Any) -> Any:
    """Write a content as the API sent it, which is without members that it did not send."""
    return content.model_dump(mode="json", exclude_unset=True) if isinstance(content, BaseModel) else content


def _answer_calls(calls: Sequence[Any], names: Sequence[str], problem: str, repeats: bool) -> list[dict[str, Any]]:
    results = tell_calls(_names_of(calls), names, problem, repeats=repeats)
    return [_write_result(call, text) for call, text in zip(calls, results, strict=True)]


def _write_result(call: Any, text: str) -> dict[str, Any]:
    identified = {"id": identifier} if (identifier := get_path(call, "id")) else {}
    return {"function_response": {**identified, "name": get_text(call, "name"), "response": {"error": text}}}
