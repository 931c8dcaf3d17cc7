"""How the text of an answer becomes what the caller gets, live or stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instructor.cache.carried import Carried, attach
from instructor.messages import Part, Value

if TYPE_CHECKING:
    from instructor.engine.response_type import ResponseType


def parse_with(
    response_type: ResponseType, carried: Carried, strict: bool, context: object, parts: tuple[Part, ...]
) -> Value:
    """Make an answer that carries its completion."""
    value = response_type.parse(parts, strict, context)
    attach(value, carried)
    return value
