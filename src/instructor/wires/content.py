"""OpenAI's chat messages taken apart, for the wires that speak another form.

The form is that of https://platform.openai.com/docs/api-reference/chat/create: dicts with ``role`` and ``content``,
where content is text or a list of parts, and ``tool_calls`` on an assistant's turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

import orjson

from instructor.exceptions import ConfigurationError

SYSTEM_ROLES = frozenset({"system", "developer"})
"""Roles whose text goes where a provider keeps its system prompt."""

_TURNS = SYSTEM_ROLES | {"user", "assistant", "model"}
_TEXTS = frozenset({"text", "input_text", "output_text"})
_LABELS = frozenset({"role", "content", "name", "id", "type", "status"})
"""Members of a message that are not part of its content."""


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is a mapping; in JSON and in SDKs its keys are text."""
    return type(value) is dict or isinstance(value, Mapping)  # the second is slow


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def name_system_role(message: Any) -> Any:
    """Write a message of the developer as one of the system, for APIs that know no such role."""
    is_developer = is_mapping(message) and message.get("role") == "developer"
    return {**message, "role": "system"} if is_developer else message


def is_text_only(messages: Sequence[Any]) -> bool:
    """Whether the content of each message is a text that isn't empty, as in most conversations."""
    for message in messages:
        content = cast("dict[str, Any]", message).get("content") if type(message) is dict else None
        if not isinstance(content, str) or not content.strip() or "parts" in message:
            return False
    return True


def drop_empty_turns(messages: Sequence[Any]) -> list[Any]:
    """Leave out messages without content, and parts without text, which several APIs refuse.

    Objects of an SDK are kept, as are results of tools, which may be empty. If all messages are empty, all are kept,
    and the provider's error tells the caller.

    Example:
        >>> drop_empty_turns([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": ""}])
        [{'role': 'user', 'content': 'Hi.'}]
    """
    if is_text_only(messages):
        return list(messages)
    return [message for message in map(_drop_empty_parts, messages) if not _is_empty(message)] or list(messages)


def _drop_empty_parts(message: Any) -> Any:
    if not is_mapping(message) or message.get("role") not in _TURNS:
        return message
    for name in ("content", "parts"):
        parts = message.get(name)
        if is_list(parts) and any(map(_is_empty_part, parts)):
            message = {**message, name: [part for part in parts if not _is_empty_part(part)]}
    return message


def _is_empty_part(part: Any) -> bool:
    """Whether a part is an empty text; one of Google's form has no other member than that."""
    if part == "":
        return True
    return is_mapping(part) and part.get("text") == "" and (part.get("type") in _TEXTS or len(part) == 1)


def _is_empty(message: Any) -> bool:
    if not is_mapping(message) or message.get("role") not in _TURNS:
        return False
    content = message.get("content")
    is_blank = not content or (isinstance(content, str) and not content.strip())
    return is_blank and not any(value for name, value in message.items() if name not in _LABELS)


def split_data_url(url: str) -> tuple[str, str] | None:
    """Take a ``data:`` URL (RFC 2397) apart.

    Returns the media type and the base64 text; None where the URL points to something or isn't base64.

    Example:
        >>> split_data_url("data:image/png;base64,aGk=")
        ('image/png', 'aGk=')
    """
    head, comma, data = url.partition(",")
    scheme, _, described = head.partition(":")
    media_type, *parameters = described.split(";")
    if scheme.lower() != "data" or not comma or "base64" not in parameters:
        return None
    return media_type or "text/plain", data


def read_url(part: Mapping[str, Any]) -> str:
    """Find the URL in an ``image_url`` part, which holds it as text or in an object."""
    image = part["image_url"]
    return image if isinstance(image, str) else cast("str", image["url"])


def read_call(call: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Read one of an assistant's ``tool_calls``.

    Returns the call's id, the function's name, and its arguments.
    """
    function = call["function"]
    text = function.get("arguments") or "{}"
    try:
        arguments: Any = orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ConfigurationError(
            f"The arguments of tool call {call.get('id')!r} in the messages are not a JSON object: {text!r}. Correct them."
        )
    return call.get("id") or "", function["name"], cast("dict[str, Any]", arguments)


def say_call_again(problem: str) -> str:
    """Write the result of a call whose arguments were wrong."""
    return f"The arguments are not valid:\n{problem}\nMake the call again with all of it corrected."


def say_answer_again(problem: str, *, calls: bool) -> str:
    """Write the user message that follows an answer that was wrong.

    `calls` says whether the answer was to be a call.
    """
    form = "by making the call" if calls else "with the corrected JSON only"
    return f"The answer is not valid:\n{problem}\nAnswer again {form}."
