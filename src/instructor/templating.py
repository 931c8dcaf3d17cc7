"""Jinja2 templates in messages, filled from ``context``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from instructor.exceptions import ConfigurationError
from instructor.messages import Messages

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_TEXT_MEMBERS = ("content", "text", "parts")
"""Members of a message, or of a part of one, that hold text or further parts, over all providers' forms."""


def render_messages(messages: Messages, context: Mapping[str, Any] | None) -> Messages:
    """Fill the templates in the texts of a conversation.

    You use templates to keep a prompt apart from its data: ``{"content": "Find {{ thing }}"}`` with
    ``context={"thing": "dates"}``. The same context is given to the response model's validators.

    Args:
        messages: The conversation; it is not changed.
        context: Names and values. Without any, texts are left as they are, braces and all.

    Returns:
        A new conversation where a template stood in the old one. A name that the context lacks stays as written.

    Raises:
        ConfigurationError: A text is not a valid template.
    """
    if not context:
        return messages
    return [_render(message, context, f"messages[{index}]") for index, message in enumerate(messages)]


def _render(value: Any, context: Mapping[str, Any], path: str) -> Any:
    if isinstance(value, str):
        return _render_text(value, context, path)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_render(item, context, f"{path}[{index}]") for index, item in enumerate(items)]
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {
            name: _render(item, context, f"{path}.{name}") if name in _TEXT_MEMBERS else item
            for name, item in members.items()
        }
    return value


def _render_text(text: str, context: Mapping[str, Any], path: str) -> str:
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return text
    import jinja2

    try:
        return _environment().from_string(inspect.cleandoc(text)).render(context)
    except jinja2.TemplateError as error:
        raise ConfigurationError(
            f"{path} is not a valid template: {error}. With context= given, texts are Jinja2 templates; write "
            "{% raw %} ... {% endraw %} around text that is to stay as it is, or pass it as a variable."
        ) from error


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import DebugUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # The sandbox keeps a template from reaching into Python; DebugUndefined leaves unknown names as written.
    return SandboxedEnvironment(undefined=DebugUndefined, keep_trailing_newline=True)
