"""What an SDK's objects hold, as plain data."""

from __future__ import annotations

import functools
import math
from datetime import date
from typing import Any, cast

from pydantic import BaseModel


def write_object(value: object) -> Any:
    """Turn an object of an SDK that validates nothing into the data it was made of, as far as its own members go.

    Not ``model_dump``: a server may send what the SDK's classes do not expect, and pydantic would then write what
    the field's type suggests, such as ``0`` for ``false``. Fields that were not sent are left out. `TypeError` is
    raised for anything but a model or a date.
    """
    if isinstance(value, BaseModel):
        members, present, extra = value.__dict__, value.__pydantic_fields_set__, value.__pydantic_extra__
        data: dict[str, Any] = dict(extra) if extra else {}
        for name, alias in _aliases(type(value)):  # a comprehension would be one more call for each object
            if name in present:
                data[alias] = members[name]
        return data
    if isinstance(value, date):  # also a datetime
        return value.isoformat()
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} has no JSON form")


def write_members(value: object) -> Any:
    """As `write_object`, with all that the members hold. What has no JSON form stays as it is."""
    if isinstance(value, dict):
        return {name: write_members(member) for name, member in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [write_members(item) for item in cast("list[object]", value)]
    return write_members(write_object(value)) if isinstance(value, (BaseModel, date)) else value


_PLAIN = frozenset({str, int, bool, type(None)})


def write_plain(value: Any) -> Any:
    """As `write_members`, for a fast JSON writer: `TypeError` for what that would lose, such as ``NaN``, or refuse."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] - of whatever an SDK holds
    if kind is list:
        return [item if type(item) in _PLAIN else write_plain(item) for item in value]
    if kind is dict:
        return {name: item if type(item) in _PLAIN else write_plain(item) for name, item in value.items()}
    if isinstance(value, BaseModel):  # as in `write_object`, and each member is looked at once
        members, present, extra = value.__dict__, value.__pydantic_fields_set__, value.__pydantic_extra__
        data: dict[str, Any] = write_plain(extra) if extra else {}
        for name, alias in _aliases(type(value)):
            if name in present:
                item = members[name]
                data[alias] = item if type(item) in _PLAIN else write_plain(item)
        return data
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    return write_object(value)


@functools.lru_cache(1024)
def _aliases(kind: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The names of a class's fields, as attributes and as members of JSON."""
    return tuple((name, field.alias or name) for name, field in kind.model_fields.items())
