"""Whether a type has fields of its own."""

from __future__ import annotations

from typing import Any

from instructor.engine.response_type import WrappedType, make_response_type
from instructor.exceptions import ConfigurationError


def is_simple_type(typehint: Any) -> bool:
    """Whether a model is asked for a value of this type inside an object, because JSON tools take objects only.

    Example:
        >>> is_simple_type(int), is_simple_type("not a type")
        (True, False)
    """
    try:
        return isinstance(make_response_type(typehint), WrappedType)
    except ConfigurationError:
        return False
