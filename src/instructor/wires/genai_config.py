"""One ``GenerateContentConfig`` of ``google-genai``, as a dict, merged from all keywords that may hold a part of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from instructor.describing import refuse
from instructor.exceptions import ConfigurationError
from instructor.wires.arguments import read_mapping
from instructor.wires.content import is_mapping
from instructor.wires.text import get_text
from instructor.wires.tool_choice import Choice, translate_choice

_RENAMED = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "n": "candidate_count",
    "stop": "stop_sequences",
    "system": "system_instruction",
}
_APART = frozenset({"config", "contents", "generation_config", "timeout", "extra_headers", "extra_body"})
_CALLING_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def gather_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the caller's arguments; a keyword of its own beats ``config=``, which beats ``generation_config=``.

    ``timeout`` is in seconds, as with other vendors. An unknown name is kept; the SDK's error then names it.

    Example:
        >>> gather_config({"max_tokens": 9, "config": {"topK": 3}, "timeout": 1.5})
        {'top_k': 3, 'max_output_tokens': 9, 'http_options': {'timeout': 1500}}
    """
    config = read_fields(arguments, "generation_config") | read_fields(arguments, "config")
    config |= {name: value for name, value in arguments.items() if name not in _APART}
    config = {_RENAMED.get(name, name): value for name, value in config.items()}
    if isinstance(config.get("stop_sequences"), str):
        config["stop_sequences"] = [config["stop_sequences"]]
    if is_mapping(config.get("safety_settings")):  # as 1.x took it, and Google's older SDK
        config["safety_settings"] = [
            {"category": category, "threshold": threshold} for category, threshold in config["safety_settings"].items()
        ]
    choice = translate_choice(config, "genai", _write_choice)
    config.pop("tool_choice", None)
    if choice and not config.get("tool_config"):
        config["tool_config"] = _read_choice(choice)
    options = _gather_http_options(arguments, read_fields(config, "http_options"))
    return {**config, "http_options": options} if options else config


def _write_choice(choice: Choice) -> dict[str, Any]:
    mode = _CALLING_MODES[choice.strength]
    # The API takes names only where a call is required.
    names = {"allowed_function_names": list(choice.names)} if choice.names and mode == "ANY" else {}
    return {"function_calling_config": {"mode": mode, **names}}


def _read_choice(choice: Any) -> dict[str, Any]:
    """Read a choice of Google's form, which stands in ``tool_config`` here."""
    if not is_mapping(choice) or "type" in choice:
        kind = get_text(choice, "type") if is_mapping(choice) else choice
        known = ", ".join(_CALLING_MODES)
        raise ConfigurationError(f"tool_choice is {kind!r}. Pass one of {known}, or the choice of a function.")
    fields = read_fields({"tool_choice": choice}, "tool_choice")
    return {"function_calling_config": fields} if "mode" in fields else fields


def read_fields(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read the members that are set in one of the SDK's objects or dicts, under their Python names, one level deep.

    The SDK takes its names in snake case and in camel case, and would refuse a dict that has both.
    """
    value = holder.get(name)
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return {name: member for name, member in value if name in value.model_fields_set}
    if is_mapping(value):
        return {_HUMP.sub("_", str(name)).lower(): member for name, member in value.items()}
    raise refuse(name, value, "a dict, or an object of google.genai.types")


def _gather_http_options(arguments: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    timeout = arguments.get("timeout")
    if timeout is not None:
        options["timeout"] = _count_milliseconds(timeout)
    for name, member in (("extra_headers", "headers"), ("extra_body", "extra_body")):
        if arguments.get(name):
            values = read_mapping(options.get(member), f"http_options[{member!r}]")
            options[member] = {**values, **read_mapping(arguments[name], name)}
    return options


def _count_milliseconds(timeout: Any) -> int:
    if not isinstance(timeout, int | float):
        raise ConfigurationError(f"google-genai takes timeout as a number of seconds, not {timeout!r}.")
    return max(1, round(timeout * 1000))
