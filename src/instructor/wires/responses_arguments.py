"""The chat API's arguments under the names that the Responses API has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instructor.wires.arguments import read_mapping
from instructor.wires.content import is_mapping

PLACES: Mapping[str, tuple[str, str]] = {
    "max_tokens": ("max_output_tokens", ""),
    "max_completion_tokens": ("max_output_tokens", ""),
    "reasoning_effort": ("reasoning", "effort"),
    "verbosity": ("text", "verbosity"),
    "response_format": ("text", "format"),
}
"""Each argument of the chat API that has another name here: the argument's name, and that of the member in it."""

LACKING = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "modalities",
        "n",
        "prediction",
        "presence_penalty",
        "seed",
        "stop",
        "web_search_options",
    }
)
"""Arguments of the chat API for which this API has nothing. They are left out, and an event reports it."""


def rename_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Write the chat API's arguments as the Responses API takes them. One that is there in both forms keeps this API's.

    Example:
        >>> rename_arguments({"reasoning_effort": "low", "reasoning": {"summary": "auto"}, "max_tokens": 9, "seed": 1})
        {'reasoning': {'effort': 'low', 'summary': 'auto'}, 'max_output_tokens': 9}
    """
    renamed: dict[str, Any] = {}
    for name, value in arguments.items():
        place, member = PLACES.get(name, ("", ""))
        if member:
            renamed[place] = {**renamed.get(place, {}), member: _flatten_format(value) if member == "format" else value}
        elif place:
            renamed[place] = value
    for name, value in arguments.items():
        if name not in PLACES and name not in LACKING:
            renamed[name] = {**renamed[name], **read_mapping(value, name)} if is_mapping(renamed.get(name)) else value
    return renamed


def restore_arguments(arguments: Mapping[str, Any], limit: str) -> Mapping[str, Any]:
    """Write the Responses API's arguments as the chat API takes them, whose output limit is called `limit`.

    What is not the Responses API's alone stays as it is.

    Example:
        >>> restore_arguments({"reasoning": {"effort": "low"}, "max_output_tokens": 9, "seed": 1}, "max_tokens")
        {'max_tokens': 9, 'reasoning_effort': 'low', 'seed': 1}
    """
    if _NAMES.isdisjoint(arguments):
        return arguments
    others, restored = dict(arguments), dict[str, Any]()
    if "max_output_tokens" in others:
        restored[limit] = others.pop("max_output_tokens")
    for place, _ in _MEMBERS:
        members = others.get(place)
        if is_mapping(members) and members and all((place, member) in _MEMBERS for member in members):
            del others[place]
            restored |= {_MEMBERS[place, member]: value for member, value in members.items()}
    return {**restored, **others}


_MEMBERS: Mapping[tuple[str, str], str] = {
    place: name for name, place in PLACES.items() if place[1] and name != "response_format"
}
_NAMES = frozenset(place for place, _ in PLACES.values())


def _flatten_format(form: Any) -> Any:
    """Write the form of a chat completion, which has the schema one level deeper."""
    schema = form.get("json_schema") if is_mapping(form) else None
    return {"type": "json_schema", **schema} if is_mapping(schema) else form
