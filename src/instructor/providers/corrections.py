"""What to send instead, after a provider has refused an argument or a mode: rules over the vendors' own words.

The table in `capabilities` is as old as its last row. When a provider answers 400 that something is not supported,
the engine asks its adapter to `learn` from the error and sends once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from instructor.locks import make_lock
from instructor.mode import Mode
from instructor.records import record
from instructor.wires.capabilities import Capabilities
from instructor.wires.responses_arguments import PLACES

_REFUSALS = frozenset({400, 404, 422})
"""The HTTP statuses with which providers refuse an argument; a proxy that has no Responses API says 404."""
_MAX_TEXT = 4000
_MAX_MODELS = 256
_MAX_NESTING = 3
_CALLING = (Mode.TOOLS, Mode.RESPONSES_TOOLS)
_OMITTABLE = (
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "stream_options",
    "eager_input_streaming",
)
"""Arguments without which a request still asks the same question. Any other refused argument is the caller's error."""

_Mend = Callable[[Capabilities, Mode, re.Match[str]], Capabilities]


def correct(capabilities: Capabilities, mode: Mode, text: str) -> Capabilities | None:
    """Correct a model's capabilities by its provider's message.

    Returns None if the message is about something else, or nothing is left to try.

    Example:
        >>> correct(Capabilities(), Mode.TOOLS, "Thinking mode does not support this tool_choice").tool_choice
        'auto'
        >>> correct(Capabilities(), Mode.TOOLS, "The model does not exist.") is None
        True
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)  # servers in other languages write maxCompletionTokens
    if mode is Mode.RESPONSES_TOOLS:
        plain = _name_as_chat(plain)
    for rule in _RULES:
        found = rule.find(plain) if mode in rule.modes else None
        if found is not None:
            corrected = rule.mend(capabilities, mode, found)
            return corrected if corrected != capabilities else None
    return None


def _name_as_chat(text: str) -> str:
    """Write the Responses API's names of arguments, such as ``reasoning.effort``, as the chat API has them.

    The caller's arguments bear those names, and so do the rules.
    """
    for name, (place, member) in PLACES.items():
        text = text.replace(f"{place}.{member}", name) if member else text
    return text


def read_refusal(error: BaseException) -> str | None:
    """Read the message with which a provider refused a request as it was written; None for any other error."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)  # the latter is google-genai's
    if status not in _REFUSALS:
        return None
    details = _read_details(getattr(error, "body", None)) or re.sub(_PRINTED_DETAIL, _read_printed, str(error))
    return f"{status} {details}"[:_MAX_TEXT]


def _read_details(body: Any, nesting: int = 0) -> str:
    """Read the errors that FastAPI lists under ``detail``: where in the request, and what. Empty where there is no list.

    The rest of such a body repeats what was sent, and the caller's own words must not be taken for the provider's.
    """
    if not isinstance(body, Mapping) or nesting > _MAX_NESTING:
        return ""
    members = cast("Mapping[str, Any]", body)
    details = members.get("detail")
    if isinstance(details, list):
        return "; ".join(filter(None, map(_read_detail, cast("list[Any]", details))))
    inner = (_read_details(members.get(name), nesting + 1) for name in ("error", "message", "detail"))
    return next(filter(None, inner), "")


def _read_detail(detail: Any) -> str:
    if not isinstance(detail, Mapping):
        return ""
    members = cast("Mapping[str, Any]", detail)
    place = members.get("loc")
    steps = cast("list[Any]", place) if isinstance(place, (list, tuple)) else []
    return f"{'.'.join(map(str, steps))}: {members.get('msg')}"


def _read_printed(found: re.Match[str]) -> str:
    place = ".".join(re.findall(r"[\w-]+", found[1]))
    return f"{place}: {found[2]}"


class CapabilityMemory:
    """What one adapter knows of its models: the table's rows, and what the provider's refusals have added.

    Any number of threads may use it. What was learned lives as long as the adapter.
    """

    def __init__(self, find: Callable[[str], Capabilities]) -> None:
        self._find = find
        # For each model the table's row and its corrections, the last of which is in force.
        self._known: dict[str, tuple[Capabilities, ...]] = {}
        self._lock = make_lock()

    def capabilities(self, model: str) -> Capabilities:
        """What to write a request for: the table's row, as corrected so far."""
        return self._history(model)[-1]

    def published(self, model: str) -> Capabilities:
        """The table's row, whatever was learned. It is stable, so the cache key is made of it."""
        return self._history(model)[0]

    def learn(self, model: str, mode: Mode, error: Exception, sent: Capabilities | None = None) -> Capabilities | None:
        """Find what to try after an error that the provider answered with; see `Adapter.learn`.

        Nothing is remembered yet. If another call has proved something since this one was sent, that is tried.
        """
        text = read_refusal(error)
        if text is None:
            return None
        history = self._history(model)
        if sent in history and sent != history[-1]:
            return history[-1]
        corrected = correct(sent or history[-1], mode, text)
        return None if corrected in history else corrected  # what was refused before is not tried again

    def remember(self, model: str, proved: Capabilities) -> None:
        """Use for later requests what a request that was not refused has proved; see `Adapter.remember`."""
        history = self._history(model)
        with self._lock:
            history = self._known.get(model, history)
            if proved not in history:
                self._known[model] = (*history, proved)

    def _history(self, model: str) -> tuple[Capabilities, ...]:
        history = self._known.get(model)
        if history is not None:
            return history
        row = self._find(model)
        with self._lock:
            if len(self._known) >= _MAX_MODELS:  # a program may name any number of models
                self._known.pop(next(iter(self._known)))
            return self._known.setdefault(model, (row,))


@record
class _Rule:
    """One kind of refusal.

    Attributes:
        words: The vendors' words, as a pattern. Vendors copy each other's.
        mend: Makes the corrected capabilities; unchanged ones if there is nothing to correct.
        modes: The modes of the requests that are refused so.
        unless: Words, as a pattern, that make the refusal the caller's error, who can ask otherwise.
    """

    words: str
    mend: _Mend
    modes: tuple[Mode, ...] = tuple(Mode)
    unless: str | None = None

    def find(self, text: str) -> re.Match[str] | None:
        """Search a provider's message for these words."""
        if self.unless is not None and re.search(self.unless, text, re.IGNORECASE | re.DOTALL):
            return None
        return re.search(self.words, text, re.IGNORECASE | re.DOTALL)


def _drop_mode(capabilities: Capabilities, mode: Mode, _: re.Match[str]) -> Capabilities:
    others = tuple(other for other in capabilities.modes if other is not mode)
    return replace(capabilities, modes=others or capabilities.modes)


def _use_responses(capabilities: Capabilities, _mode: Mode, _: re.Match[str]) -> Capabilities:
    offered = Mode.RESPONSES_TOOLS in capabilities.modes
    return replace(capabilities, modes=(Mode.RESPONSES_TOOLS,)) if offered else capabilities


def _move_functions(capabilities: Capabilities, mode: Mode, found: re.Match[str]) -> Capabilities:
    if Mode.RESPONSES_TOOLS in capabilities.modes:
        return _use_responses(capabilities, mode, found)
    # The caller's own tools are refused in any other mode too, and nothing but the caller can leave them out.
    return _drop_mode(capabilities, mode, found) if mode in _CALLING else capabilities


def _weaken_choice(capabilities: Capabilities, mode: Mode, found: re.Match[str]) -> Capabilities:
    if capabilities.tool_choice == "omitted":
        return _drop_mode(capabilities, mode, found)
    return replace(capabilities, tool_choice="omitted" if capabilities.tool_choice == "auto" else "auto")


def _limit_completion(capabilities: Capabilities, _mode: Mode, _: re.Match[str]) -> Capabilities:
    refused = capabilities.refused - {"max_completion_tokens"}
    return replace(capabilities, output_limit="max_completion_tokens", refused=refused)


def _limit_tokens(capabilities: Capabilities, _mode: Mode, _: re.Match[str]) -> Capabilities:
    refused = capabilities.refused | {"max_completion_tokens"}
    return replace(capabilities, output_limit="max_tokens", refused=refused)


def _name_system(capabilities: Capabilities, _mode: Mode, _: re.Match[str]) -> Capabilities:
    return replace(capabilities, developer=False)


def _omit_arguments(capabilities: Capabilities, _mode: Mode, found: re.Match[str]) -> Capabilities:
    names = re.findall(rf"\b(?:{_NAMES})\b", found[0].lower())
    return replace(capabilities, refused=capabilities.refused.union(names))


_NOT = r"(?:n[o']t (?:be )?(?:support|compatib|allow|permit|availab)|unsupported|incompatib|unavailab)"
_HOSTED = r"\b(?:web_search|file_search|code_interpreter|computer_use|image_generation)"
_IMAGES = r"\bimages\b|\bimage (?:urls?|inputs?)\b"
"""What only the caller can have sent, beside the tools and the format that modes need."""
_NAMES = "|".join(_OMITTABLE)
_ARGUMENT = rf"\b(?:{_NAMES})\b['\"`]*"
_PRINTED_DETAIL = r"['\"]loc['\"]: [\[(]([^\])]*)[\])], ['\"]msg['\"]: ['\"]([^'\"]*)['\"]"
"""One of pydantic's errors as Python prints it, which is what vLLM sends as its message."""
_REFUSED_VALUE = (
    r"\bsupported values are\b|\bonly\b[^.\n]*\bwhen\b"
    rf"|\A(?!.*\bonly the default\b).*\b(?:{_NAMES})\b['\"`]*:? do(?:es)? not support\b"
)
"""How vendors refuse one value of an argument, or a combination, and take others."""
_RULES: tuple[_Rule, ...] = (
    # DeepSeek: "messages[0].role: unknown variant `developer`, expected one of `system`, ..." Others: "Unsupported value:
    # 'messages[0].role' does not support 'developer' with this model."
    _Rule(r"\A(?=.*\broles?\b).*(?<![\w-])['\"`]developer['\"`]", _name_system),
    # OpenAI, pro and codex models on chat: "This model is only supported in v1/responses and not in
    # v1/chat/completions."
    _Rule(r"only (?:\w+ ){0,3}(?:in|on|through|with) (?:the )?/?v1/responses|not a chat model", _use_responses),
    # OpenAI, whatever the tools are for: "Function tools with reasoning_effort are not supported for gpt-6-luna in
    # /v1/chat/completions. Please use /v1/responses instead."
    _Rule(r"\buse (?:the )?/?v1/responses", _move_functions),
    # DeepSeek: "Thinking mode does not support this tool_choice". Moonshot: "tool_choice 'specified' is incompatible
    # with thinking enabled". DashScope: "The tool_choice parameter does not support being set to required or object in
    # thinking mode". Z.ai: "Tool choice must be auto". Anthropic: "Thinking may not be enabled when tool_choice forces
    # tool use." OpenRouter, with status 404: "No endpoints found that support the provided 'tool_choice' value."
    # FastAPI: "body.tool_choice: Input should be 'none' or 'auto'".
    _Rule(
        rf"\A(?=.*tool[_ ]?choice)(?=.*(?:{_NOT}|may not|must be (?:set to )?['\"`]?(?:auto|none)|no endpoints found"
        r"|extra inputs))|\btool_choice\b[^:;]{0,40}: input should be",
        _weaken_choice,
        _CALLING,
    ),
    # Ollama: "... does not support tools". OpenRouter: "No endpoints found that support tool use."
    _Rule(
        rf"\b(?:tools?|functions?|tool use|tool calling|function calling)\b(?: [\w'`]+){{0,6}} {_NOT}"
        r"|n[o']t support (?:tools?|functions?|tool use|tool calling|function calling)\b|no endpoints found that support tool",
        _drop_mode,
        _CALLING,
        unless=_HOSTED,
    ),
    # DeepSeek: "This response_format type is unavailable now". OpenAI: "'response_format' of type 'json_schema' is not
    # supported with this model". DashScope: "Json mode response is not supported when enable_thinking is true". LM
    # Studio: "'response_format.type' must be 'json_schema' or 'text'". A schema that is refused for what it says is the
    # caller's, and no other model's.
    _Rule(
        r"\A(?!.*invalid schema)(?=.*(?:response_format|json_schema|json_object|json mode|structured output|output_config"
        rf"|output_format))(?=.*(?:{_NOT}|response_format\.type['\"`]* must be"
        r"|response_format\b[^:;]{0,40}: (?:input should be|extra inputs)))",
        _drop_mode,
        (Mode.JSON, Mode.JSON_SCHEMA),
        unless=_IMAGES,
    ),
    # OpenAI: "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'
    # instead." Compatible servers: "Unrecognized request argument supplied: max_completion_tokens".
    _Rule(r"use ['\"`]?max_completion_tokens|\bmax_tokens['\"`]? is not supported", _limit_completion),
    _Rule(
        r"\bmax_completion_tokens['\"`]?:? (?:is not supported|extra inputs)"
        r"|(?:unsupported|unrecognized|unknown|unexpected)[^.\n]{0,60}\bmax_completion_tokens\b",
        _limit_tokens,
    ),
    # A server without the Responses API knows nothing at its path, but one that lacks the model names the model.
    _Rule(r"\A404(?!.*\bmodel\b)", _drop_mode, (Mode.RESPONSES_TOOLS,)),
    # OpenAI: "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is
    # supported." Anthropic: "`temperature` is deprecated for this model.", "top_p: Extra inputs are not permitted".
    # Moonshot: "invalid temperature: only 1 is allowed for this model". Others: "Unrecognized request argument supplied:
    # reasoning_effort". Where one value is refused the argument goes on: "'reasoning_effort' does not support 'minimal'
    # with this model. Supported values are: ...", "`temperature` may only be set to 1 when thinking is enabled".
    # OpenAI's search models: "Model incompatible request arguments supplied: temperature, top_p".
    _Rule(
        rf"{_ARGUMENT}:? (?:is |are |does |do |may |can )?(?:{_NOT}|deprecated|only |extra inputs)"
        rf"|(?:unsupported|unrecognized|unknown|unexpected|incompatible|not support(?:ed)?|not allowed)[^.\n]{{0,60}}?{_ARGUMENT}"
        rf"(?:, {_ARGUMENT})*",
        _omit_arguments,
        unless=_REFUSED_VALUE,
    ),
)
