"""The caller's arguments, checked before they are used, so that an error names the argument that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from instructor.describing import describe_value, refuse
from instructor.exceptions import ConfigurationError
from instructor.wires.content import is_mapping

_Rest = ParamSpec("_Rest")
_Written = TypeVar("_Written")


def read_list(value: Any, name: str, wanted: str) -> list[Any]:
    """Read a list that may be left out: None, or the SDK's own `NOT_GIVEN`, which is false."""
    if not value:
        return []
    if not isinstance(value, list | tuple):
        raise refuse(name, value, f"a list of {wanted}")
    return list(cast("list[Any]", value))


def read_mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Read a dict that may be left out, as in `read_list`."""
    if not value:
        return {}
    if not is_mapping(value):
        raise refuse(name, value, "a dict")
    return value


def read_tools(arguments: Mapping[str, Any]) -> list[Any]:
    """Read the caller's own tools."""
    return read_list(arguments.get("tools"), "tools", "tools in the provider's form")


def read_parts(content: Any) -> list[Any]:
    """Read the content of a message that is not text."""
    return read_list(content, "A message's content", 'parts such as {"type": "text", "text": "..."}, or text')


def name_message(
    write: Callable[Concatenate[Any, _Rest], _Written],
) -> Callable[Concatenate[Any, _Rest], _Written]:
    """Decorate a function that writes a message: its errors then say which members the message has, its first argument."""

    @wraps(write)
    def written(message: Any, /, *rest: _Rest.args, **named: _Rest.kwargs) -> _Written:
        try:
            return write(message, *rest, **named)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            names = f" with the members {list(message)}" if is_mapping(message) else ""
            raise ConfigurationError(
                f"A message cannot be sent: {reason}. It is {describe_value(message)}{names}. Write it in the form of "
                "OpenAI's chat API or in the provider's own; an SDK's own object has model_dump() for that."
            ) from error

    return written
