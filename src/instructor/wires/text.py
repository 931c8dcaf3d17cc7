"""The text that wires share: asking for JSON, telling a model its errors, and reading members of SDK objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import repeat
from types import MappingProxyType
from typing import Any

import orjson
import pydantic

from instructor.exceptions import AsyncValidationError

_SHORT = 120
_MOST_ERRORS = 25


def ask_for_json(schema: Mapping[str, Any], *, fenced: bool = False) -> str:
    """Write the instruction that makes a model answer in JSON.

    `fenced` asks for a fenced code block, for a model or an endpoint that promises nothing.
    """
    form = "one ```json code block that holds a JSON object" if fenced else "one JSON object"
    return (
        f"Answer with {form} that fits the JSON Schema below, and with nothing else. "
        f"Give the values themselves, not the schema.\n\n{dump_json(schema)}"
    )


def describe_error(error: Exception, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Describe for the model what was wrong with its answer, one problem per line.

    A `pydantic.ValidationError` has a line for each problem: where, what, and the value, shortened; at most 25 lines.
    `names` are those sent to the model for properties whose own names the API refuses.

    Example:
        >>> describe_error(ValueError("The name must have two words."))
        'The name must have two words.'
    """
    if isinstance(error, pydantic.ValidationError):
        return _describe_problems(error, names)
    if isinstance(error, AsyncValidationError) and error.errors:
        return "\n".join(_describe_one(problem, names) for problem in error.errors)
    return str(error) or type(error).__name__


def _describe_one(problem: Exception, names: Mapping[str, str]) -> str:
    text = describe_error(problem, names)
    return text if text.startswith("- ") else f"- {text}"


def _describe_problems(error: pydantic.ValidationError, names: Mapping[str, str]) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines = [_describe_problem(problem, names) for problem in problems[:_MOST_ERRORS]]
    if len(problems) > _MOST_ERRORS:
        lines.append(f"- and {len(problems) - _MOST_ERRORS} more")
    return "\n".join(lines)


def _describe_problem(problem: Mapping[str, Any], names: Mapping[str, str]) -> str:
    place = ".".join(names.get(str(part), str(part)) for part in problem["loc"]) or "the answer"
    if problem["type"] == "missing":  # its input is the whole object around it
        return f"- {place}: {problem['msg']}"
    return f"- {place}: {problem['msg']} (input: {shorten(_show(problem['input']))})"


def _show(value: Any) -> str:
    try:
        return dump_json(value)
    except (TypeError, ValueError):
        return repr(value)


def shorten(text: str, limit: int = _SHORT) -> str:
    """Cut a text to at most `limit` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def get_path(value: Any, *names: str) -> Any:
    """Follow attributes of an SDK's object, or members of a mapping; None as soon as one is missing or None.

    Gateways leave members out that an SDK's class declares, and the SDK then has no such attribute; what it does not
    declare, it keeps as plain dicts.

    Example:
        >>> from types import SimpleNamespace
        >>> get_path(SimpleNamespace(usage={"total": 3}), "usage", "total")
        3
    """
    for name in names:
        holder: Any = value  # and not a cast, which is a call: this runs for every chunk
        value = holder.get(name) if type(value) is dict else getattr(holder, name, None)
        if value is None:
            return None
    return value


def get_members(value: Any, *names: str) -> list[Any]:
    """Read several members of one object, each as `get_path` would, in a fraction of the time."""
    members: dict[str, Any] = value
    if type(value) is dict:
        return [*map(members.get, names)]
    return [*map(getattr, repeat(value), names, repeat(None))]


def get_extra(value: Any, name: str) -> Any:
    """Read a member that a gateway may add to an SDK's object; None if it is missing.

    It does what `get_path` does, ten times faster where there is none: pydantic is slow to say that it lacks an attribute.
    """
    extra: Any = getattr(value, "__pydantic_extra__", None)
    return get_path(value, name) if extra is None or name in extra or name in value.__dict__ else None


def get_text(value: Any, *names: str) -> str:
    """Follow names as `get_path` does to a text; empty where there is none, or something else in its place."""
    found = get_path(value, *names)
    return found if isinstance(found, str) else ""


def get_list(value: Any, *names: str) -> list[Any]:
    """Follow names as `get_path` does to a list; empty where there is none, or something else in its place."""
    return as_list(get_path(value, *names))


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one in place of anything else."""
    items: list[Any] = value  # and not a cast, as above
    return items if isinstance(value, list) else []


def read_text(content: Any) -> str:
    """Read the text of a message whose content is text or a list of parts; empty where there is none."""
    if isinstance(content, str) or not content:
        return content or ""
    return "".join(part if isinstance(part, str) else get_text(part, "text") for part in as_list(content))


def parse_json(text: str) -> Any:
    """Parse JSON, integers of any size included; None for ``null`` and for what isn't JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def dump_json(value: Any) -> str:
    """Write a schema, or any other JSON value, as compact JSON, integers of any size included."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson stops at 64 bits, JSON does not
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def dump_arguments(arguments: Any) -> str:
    """Return a function call's arguments as JSON text, whether an SDK or a gateway has parsed them or not."""
    return arguments if isinstance(arguments, str) else dump_json(arguments)
