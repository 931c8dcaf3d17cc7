"""Copies of completions that were made before: an SDK takes fifty times as long to make one of its text."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from instructor.cache.entry import Entry
from instructor.cache.kept import Kept
from instructor.messages import Completion, Part, Value

_MOST = 256
_MOST_BYTES = 8 << 20
"""How many completions are remembered, and how many characters of text they may have come from."""

_SAFE = (str, int, float, bool, type(None), bytes, enum.Enum, dt.date, dt.time, dt.timedelta, decimal.Decimal)
"""Types whose objects can't be changed, so that copies may share them."""

Make: TypeAlias = Callable[[], object]
Stored: TypeAlias = tuple[bytes, tuple[Part, ...]]
"""What an entry keeps of a completion, and what was left out of that."""


class CompletionCopies:
    """Loads the completions of entries in memory. Each caller gets a copy of its own.

    The first completion made of a text is taken apart into functions that put an equal one together. They hold only
    data and the classes that the SDK itself chose.
    """

    def __init__(self, load: Callable[[str], Completion]) -> None:
        self._load = load
        self._known: dict[Stored, Make] = {}
        self._bytes = 0

    def load(self, entry: Kept | Entry) -> Completion:
        """Make the completion of an entry."""
        stored = entry.completion_data, entry.parts
        make = self._known.get(stored)
        if make is not None:
            return make()
        text = entry.completion
        completion = self._load(text)
        self._remember(stored, len(text), completion)
        return completion

    def _remember(self, stored: Stored, size: int, completion: Completion) -> None:
        if len(self._known) >= _MOST or self._bytes + size > _MOST_BYTES:
            self._known, self._bytes = {}, 0
        make = copier(completion)
        if make is not None and size <= _MOST_BYTES:
            self._known[stored] = make
            self._bytes += size


def copier(value: Value) -> Make | None:
    """Make a function that returns copies of a value; None if it holds something that can't be copied so.

    A caller may get the value afterwards: nothing of it that can be changed is kept.

    Example:
        >>> make = copier({"a": [1, 2]})
        >>> make() == make(), make() is make()
        (True, False)
    """
    if isinstance(value, _SAFE):
        return lambda: value
    if type(value) is list:
        return _copier_of_list(cast("list[object]", value))
    if type(value) is dict:
        return _copier_of_dict(cast("dict[object, object]", value))
    return _copier_of_model(value) if isinstance(value, BaseModel) else None


def _copier_of_list(items: list[object]) -> Make | None:
    if all(isinstance(item, _SAFE) for item in items):
        return list(items).copy
    makers = [copier(item) for item in items]
    if None in makers:
        return None
    known = cast("list[Make]", makers)
    return lambda: [make() for make in known]


def _copier_of_dict(members: dict[object, object]) -> Make | None:
    base = dict(members)  # keeps the order of its members, those that are replaced included
    makers = [(name, copier(member)) for name, member in members.items() if not isinstance(member, _SAFE)]
    if not makers:
        return base.copy
    if any(make is None for _, make in makers):
        return None
    known = cast("list[tuple[object, Make]]", makers)
    for name, _ in known:
        base[name] = None

    def make_dict() -> dict[object, object]:
        copy = base.copy()
        for name, make in known:
            copy[name] = make()
        return copy

    return make_dict


def _copier_of_model(model: BaseModel) -> Make | None:
    """As pydantic's own ``model_copy(deep=True)``, which goes through ``copy.deepcopy`` for each member."""
    kind, fields_set = type(model), model.model_fields_set
    members, extra = copier(model.__dict__), copier(model.__pydantic_extra__)
    private = copier(model.__pydantic_private__)
    if members is None or extra is None or private is None:
        return None
    new, write, names = kind.__new__, object.__setattr__, set(fields_set)
    if model.__pydantic_extra__ is None and model.__pydantic_private__ is None:
        return lambda: _put_together(new(kind), write, members(), names.copy(), None, None)
    return lambda: _put_together(new(kind), write, members(), names.copy(), extra(), private())


def _put_together(
    copy: BaseModel,
    write: Callable[[object, str, object], None],
    members: Any,
    names: set[str],
    extra: Any,
    private: Any,
) -> BaseModel:
    write(copy, "__dict__", members)
    write(copy, "__pydantic_fields_set__", names)
    write(copy, "__pydantic_extra__", extra)
    write(copy, "__pydantic_private__", private)
    return copy
