"""What an SDK's objects hold, as plain data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel


def write_members(value: object) -> Any:
    """Turn a completion of an SDK that validates nothing into the JSON data it was made of.

    Not ``model_dump``: a server may send what the SDK's classes do not expect, and pydantic would then write what
    the field's type suggests, such as ``0`` for ``false``. Fields that were not sent are left out.
    """
    kind = type(value)
    if kind is str or value is None or kind is int:
        return value
    if isinstance(value, BaseModel):
        return _write_model(value)
    write = _WRITERS.get(kind)
    return value if write is None else write(value)


def _write_model(model: BaseModel) -> dict[str, Any]:
    members, present = model.__dict__, model.__pydantic_fields_set__
    known = {alias: members[name] for name, alias in _aliases(type(model)) if name in present}
    extra = model.__pydantic_extra__
    return {name: write_members(value) for name, value in ({**extra, **known} if extra else known).items()}


@functools.lru_cache(1024)
def _aliases(kind: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The names of a class's fields, as attributes and as members of JSON."""
    return tuple((name, field.alias or name) for name, field in kind.model_fields.items())


_WRITERS: dict[type, Callable[[Any], Any]] = {
    dict: lambda members: {name: write_members(value) for name, value in members.items()},
    list: lambda items: [write_members(item) for item in items],
    datetime: datetime.isoformat,
    date: date.isoformat,
}
