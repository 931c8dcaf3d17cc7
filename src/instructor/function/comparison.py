"""Whether a value read back from the cache is the same as the value that a function returned."""

from __future__ import annotations

import datetime as dt
import functools
import operator
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from pydantic_core import TzInfo

from instructor.cache.carried import without_carried


def is_same(one: object, other: object) -> bool:
    """Compare two values deeply and strictly, where ``==`` is too lax: it ignores types, private data and more.

    Built-in containers are compared member by member; the order of a dict's keys doesn't matter. Any other object is
    compared by its class and by what ``copy.copy`` would make a copy of: all attributes of a dataclass, and of a
    pydantic model also ``model_fields_set``, extra and private data. What a ``cached_property`` has kept is left out.
    Times in UTC are the same whether they carry Python's UTC or pydantic's.

    Raises if an object can't be copied, so that it can't be compared.

    Example:
        >>> is_same({"a": [1], "b": 2.0}, {"b": 2.0, "a": [1]}), is_same([1], [True]), is_same(0.0, -0.0)
        (True, False, False)
    """
    if one is other:
        return True
    one, other = without_carried(one), without_carried(other)
    if type(one) is not type(other):
        return _is_same_zone(one, other)
    return _COMPARISONS.get(type(one), _has_same_state)(one, other)


def _is_same_zone(one: object, other: object) -> bool:
    if not isinstance(one, _ZONES) or not isinstance(other, _ZONES):
        return False
    return one.utcoffset(None) == other.utcoffset(None) and one.tzname(None) == other.tzname(None)


def _has_same_text(one: object, other: object) -> bool:
    return repr(one) == repr(other)


def _has_same_items(one: Sequence[object], other: Sequence[object]) -> bool:
    return len(one) == len(other) and all(map(is_same, one, other))


def _has_same_pairs(one: Mapping[Any, object], other: Mapping[Any, object]) -> bool:
    names = {name: name for name in other}
    return len(one) == len(other) and all(
        name in names and is_same(name, names[name]) and is_same(item, other[name]) for name, item in one.items()
    )


def _has_same_members(one: Iterable[object], other: Iterable[object]) -> bool:
    return _has_same_pairs(dict.fromkeys(one), dict.fromkeys(other))


def _has_same_state(one: object, other: object) -> bool:
    (make, *parts), (make_other, *other_parts) = _state_of(one), _state_of(other)
    return bool(make == make_other) and is_same(parts, other_parts)


def _state_of(value: object) -> list[object]:
    """What a copy is made of: a callable, its arguments, the attributes, the items of a list and those of a dict."""
    make, arguments, attributes, items, pairs = (*cast("tuple[Any, ...]", value.__reduce_ex__(4)), None, None, None)[:5]
    if isinstance(attributes, dict):
        attributes = _without_computed(cast("dict[str, object]", attributes), type(value))
    return [make, arguments, attributes, list(items or ()), dict(pairs or ())]


def _without_computed(attributes: dict[str, object], kind: type) -> dict[str, object]:
    """Leave out what each ``cached_property`` of the class has kept, and the completion that an answer carries."""
    return {
        # A pydantic model has its attributes one level deeper.
        name: _without_computed(cast("dict[str, object]", value), kind) if name == "__dict__" else value
        for name, value in attributes.items()
        if not isinstance(getattr(kind, name, None), functools.cached_property)
        and not (
            name == "__pydantic_extra__" and without_carried(value) is None
        )  # a root model has it only if it carries
    }


_ZONES = (dt.timezone, TzInfo)

_Compare: TypeAlias = Callable[[Any, Any], bool]
"""Compares two objects of the class beside which it stands in the table."""

_COMPARISONS: dict[type, _Compare] = {
    bool: operator.eq,
    int: operator.eq,
    str: operator.eq,
    bytes: operator.eq,
    # By their text, because -0.0 equals 0.0, and not-a-number nothing.
    float: _has_same_text,
    complex: _has_same_text,
    list: _has_same_items,
    tuple: _has_same_items,
    dict: _has_same_pairs,
    set: _has_same_members,
    frozenset: _has_same_members,
    type: operator.is_,
    types.FunctionType: operator.is_,
}
"""How objects of exactly these classes are compared; all others are compared by their state."""
