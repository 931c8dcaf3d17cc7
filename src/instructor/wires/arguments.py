"""What a caller gave, read so that an error names what cannot be sent, instead of coming from the code that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from instructor.exceptions import ConfigurationError
from instructor.wires.content import is_mapping
from instructor.wires.text import shorten

_Rest = ParamSpec("_Rest")
_Written = TypeVar("_Written")


def refuse(name: str, value: Any, wanted: str) -> ConfigurationError:
    """Make the error for an argument of a wrong type.

    Args:
        name: The argument's, as the caller knows it.
        value: What was given.
        wanted: What to pass.
    """
    kind = type(value).__name__
    return ConfigurationError(f"{name} is {shorten(repr(value))}, of type {kind}. Pass {wanted}.")


def read_list(value: Any, name: str, wanted: str) -> list[Any]:
    """Read a list that may be left out: None, or what an SDK has for "not given", which is false.

    Raises:
        ConfigurationError: It is something else.
    """
    if not value:
        return []
    if not isinstance(value, list | tuple):
        raise refuse(name, value, f"a list of {wanted}")
    return list(cast("list[Any]", value))


def read_mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Read a dict that may be left out, as in `read_list`.

    Raises:
        ConfigurationError: It is something else.
    """
    if not value:
        return {}
    if not is_mapping(value):
        raise refuse(name, value, "a dict")
    return value


def read_tools(arguments: Mapping[str, Any]) -> list[Any]:
    """Read the caller's own tools.

    Raises:
        ConfigurationError: ``tools`` is no list.
    """
    return read_list(arguments.get("tools"), "tools", "tools in the provider's form")


def read_parts(content: Any) -> list[Any]:
    """Read the content of a message that is not text.

    Raises:
        ConfigurationError: It is no list.
    """
    return read_list(content, "A message's content", 'parts such as {"type": "text", "text": "..."}, or text')


def name_message(
    write: Callable[Concatenate[Any, _Rest], _Written],
) -> Callable[Concatenate[Any, _Rest], _Written]:
    """Let the errors of a function that writes a message name the message: its first argument."""

    @wraps(write)
    def written(message: Any, /, *rest: _Rest.args, **named: _Rest.kwargs) -> _Written:
        try:
            return write(message, *rest, **named)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigurationError(
                f"A message cannot be sent: {reason}. It is {shorten(repr(message))}. Write it in the form of "
                "OpenAI's chat API or in the provider's own; an SDK's own object has model_dump() for that."
            ) from error

    return written
