"""The caller's ``tool_choice`` in the forms of several providers, read and written like its ``tools``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from instructor.describing import refuse
from instructor.wires.content import is_list, is_mapping
from instructor.wires.text import get_text
from instructor.wires.tools import ToolForm, read_member

Strength = Literal["auto", "none", "required"]

_STRENGTHS: Mapping[str, Strength] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
"""The words of all providers, in lower case. Google's ``VALIDATED`` has no equal elsewhere and means ``auto``."""
_WORDS: Mapping[ToolForm, tuple[str, ...]] = dict.fromkeys(("chat", "responses"), ("auto", "none", "required"))
"""The choices that are a word of their own in a form."""
_CALLING = ("function_calling_config", "functionCallingConfig")
_ALLOWED = ("allowed_function_names", "allowedFunctionNames")


class Choice(NamedTuple):
    """Which functions a model must call, in nobody's form.

    Attributes:
        strength: Whether it may, must not, or must call one.
        names: The functions that it may choose from; empty for all.
        is_alone: Whether it may make one call only; None where the caller doesn't say.
    """

    strength: Strength
    names: tuple[str, ...] = ()
    is_alone: bool | None = None


def move_choice(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put Google's ``tool_config`` where other APIs have the choice, unless the caller made one there too.

    Example:
        >>> move_choice({"tool_config": {"functionCallingConfig": {"mode": "ANY"}}, "top_p": 1})
        {'top_p': 1, 'tool_choice': {'functionCallingConfig': {'mode': 'ANY'}}}
    """
    if "tool_config" not in arguments:
        return arguments
    others = {name: value for name, value in arguments.items() if name != "tool_config"}
    config = arguments["tool_config"]
    if isinstance(config, BaseModel):
        config = config.model_dump(exclude_none=True)
    if config is None or others.get("tool_choice") is not None:
        return others
    if not is_mapping(config) or set(config).difference(_CALLING):
        held = f", with {', '.join(sorted(set(config).difference(_CALLING)))}" if is_mapping(config) else ""
        raise refuse("tool_config", config, f"tool_choice instead: this provider has no such argument{held}")
    return {**others, "tool_choice": config}


def translate_choice(arguments: Mapping[str, Any], form: ToolForm, write: Callable[[Choice], Any]) -> Any:
    """Read the caller's ``tool_choice``, and write it anew where it is in another provider's form than the wire's.

    What no form explains, such as the choice of a tool that the provider runs, is returned as it is.

    Example:
        >>> translate_choice({"tool_choice": {"type": "any"}}, "chat", lambda choice: choice.strength)
        'required'
    """
    wanted = arguments.get("tool_choice")
    if wanted is None:  # as in most calls
        return None
    is_own = wanted in _WORDS.get(form, ()) if isinstance(wanted, str) else _find_form(wanted) == form
    choice = None if is_own else read_choice(wanted)
    return wanted if choice is None else write(choice)


def forbid_parallel_calls(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Write as OpenAI's APIs have it that a choice in Anthropic's form allows one call only."""
    wanted = arguments.get("tool_choice")
    choice = None if wanted is None else read_choice(wanted)
    if choice is None or choice.is_alone is None or "parallel_tool_calls" in arguments:
        return {}
    return {"parallel_tool_calls": not choice.is_alone}


def read_choice(wanted: Any) -> Choice | None:
    """Read a ``tool_choice`` of any form; None where it is in none."""
    if isinstance(wanted, str):
        return Choice(_STRENGTHS[wanted]) if wanted in _STRENGTHS else None
    form = _find_form(wanted)
    return None if form is None else _READERS[form](wanted)


def _find_form(wanted: Any) -> ToolForm | None:
    if not is_mapping(wanted):
        return None
    kind = wanted.get("type")
    if read_member(wanted, *_CALLING) is not None or (kind is None and "mode" in wanted):
        return "genai"
    if kind == "function":
        return "chat" if is_mapping(wanted.get("function")) else "responses"
    if kind == "allowed_tools":
        return "chat" if is_mapping(wanted.get("allowed_tools")) else "responses"
    return "anthropic" if kind in {"auto", "any", "none", "tool"} else None


def _read_chat(wanted: Mapping[str, Any]) -> Choice | None:
    allowed = wanted.get("allowed_tools")
    return (
        _read_allowed(allowed) if is_mapping(allowed) else Choice("required", (get_text(wanted, "function", "name"),))
    )


def _read_responses(wanted: Mapping[str, Any]) -> Choice | None:
    return Choice("required", (get_text(wanted, "name"),)) if wanted["type"] == "function" else _read_allowed(wanted)


def _read_allowed(allowed: Mapping[str, Any]) -> Choice | None:
    tools = allowed.get("tools")
    names = [get_text(tool, "function", "name") or get_text(tool, "name") for tool in tools] if is_list(tools) else []
    return Choice(_STRENGTHS.get(get_text(allowed, "mode"), "auto"), tuple(names)) if all(names) else None


def _read_anthropic(wanted: Mapping[str, Any]) -> Choice | None:
    name = get_text(wanted, "name")
    strength: Strength = "required" if name else _STRENGTHS.get(wanted["type"], "required")
    return Choice(strength, (name,) if name else (), wanted.get("disable_parallel_tool_use"))


def _read_genai(wanted: Mapping[str, Any]) -> Choice | None:
    calling = read_member(wanted, *_CALLING) or wanted
    names = read_member(calling, *_ALLOWED)
    strength = _STRENGTHS.get(str(getattr(calling.get("mode"), "value", calling.get("mode"))).lower(), "auto")
    return Choice(strength, tuple(names) if is_list(names) else ())


_READERS: Mapping[ToolForm, Callable[[Mapping[str, Any]], Choice | None]] = {
    "chat": _read_chat,
    "responses": _read_responses,
    "anthropic": _read_anthropic,
    "genai": _read_genai,
}
