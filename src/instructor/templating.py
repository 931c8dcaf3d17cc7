"""Jinja2 templates in messages, filled from ``context``."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, cast

from instructor.describing import warn_caller
from instructor.exceptions import ConfigurationError
from instructor.messages import Messages

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_TEXT_MEMBERS = ("content", "text", "parts")
"""Members of a message, or of a part of one, that hold text or further parts, in any provider's form."""
_missing: ContextVar[set[str]] = ContextVar("instructor_missing_variables")
"""The variables that the template being filled uses and the context lacks."""


_draws: ContextVar[list[str]] = ContextVar("instructor_template_draws")
"""The names of what drew by chance in the templates being filled."""


@contextlib.contextmanager
def watch_chance() -> Generator[list[str]]:
    """Note what draws by chance in the templates that are filled meanwhile: the same words may be filled otherwise."""
    draws: list[str] = []
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)


def render_messages(messages: Messages, context: Mapping[str, object] | None) -> Messages:
    """Fill the templates in the texts of a conversation.

    Use templates to keep a prompt apart from its data. The response model's validators receive the same context.

    Without a context texts are not templates: braces stay as they are. A variable that the context lacks stays as
    written, and a warning names it.

    Example:
        >>> render_messages([{"role": "user", "content": "Find {{ thing }}"}], {"thing": "dates"})
        [{'role': 'user', 'content': 'Find dates'}]
    """
    if not context:
        return messages
    return [_render(message, context, f"messages[{index}]") for index, message in enumerate(messages)]


def _render(value: object, context: Mapping[str, object], path: str) -> Any:
    if isinstance(value, str):
        return _render_text(value, context, path)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_render(item, context, f"{path}[{index}]") for index, item in enumerate(items)]
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {
            name: _render(item, context, f"{path}.{name}") if name in _TEXT_MEMBERS else item
            for name, item in members.items()
        }
    return value


def _render_text(text: str, context: Mapping[str, object], path: str) -> str:
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return text
    import jinja2

    missing: set[str] = set()
    token = _missing.set(missing)
    try:
        rendered = _environment().from_string(inspect.cleandoc(text)).render(context)
    except jinja2.TemplateError as error:
        raise ConfigurationError(
            f"{path} is not a valid template: {str(error).rstrip('.')}. With context= texts are Jinja2 templates. Write "
            "{% raw %} ... {% endraw %} around text that must not be filled, or pass it as a variable."
        ) from error
    finally:
        _missing.reset(token)
    if missing:
        warn_caller(
            f"{path} is sent with {', '.join(sorted(missing))} unfilled, which context= lacks. "
            f"It has: {', '.join(map(str, context))}. Correct the name, or write {{{{ name | default('') }}}}."
        )
    return rendered


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import DebugUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Unfilled(DebugUndefined):
        """A variable that stays as written. Only one that is written out is reported: tests and defaults are fine."""

        def __str__(self) -> str:
            written = super().__str__()
            _missing.get(set[str]()).add(written)
            return written

    # The sandbox keeps a template from reaching into Python.
    environment = SandboxedEnvironment(undefined=Unfilled, keep_trailing_newline=True)
    tables: list[tuple[dict[str, Any], str]] = [
        (environment.filters, "random"),
        (cast("dict[str, Any]", environment.globals), "lipsum"),
    ]
    for table, name in tables:
        table[name] = _watched(name, table[name])
    return environment


def _watched(name: str, draw: Callable[..., object]) -> Callable[..., object]:
    """Have a function note that it was called; `wraps` keeps what Jinja2 marks it with."""

    @wraps(draw)
    def watched(*args: object, **kwargs: object) -> object:
        _draws.get(list[str]()).append(name)
        return draw(*args, **kwargs)

    return watched
