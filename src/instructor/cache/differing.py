"""What differs between two calls, written down as data: the first difference, and which call is nearest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")
_SHOWN_BEFORE, _SHOWN_AFTER = 16, 32


class Difference(NamedTuple):
    """Where two calls differ first.

    Attributes:
        field: The path of the field, such as ``messages[0].content``.
        at: The character of a text, from 0; None where a value as a whole differs.
        stored: What stands there in the stored call, cut short.
        asked: What stands there in the new one.

    Example:
        >>> str(find_difference({"model": "a", "messages": ["Anna is 25."]}, {"model": "a", "messages": ["Anna is 26."]}))
        "messages[0], character 9: stored 'Anna is 25.', asked 'Anna is 26.'"
    """

    field: str
    at: int | None
    stored: str
    asked: str

    def __str__(self) -> str:
        place = self.field if self.at is None else f"{self.field}, character {self.at}"
        return f"{place}: stored {self.stored}, asked {self.asked}"


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def find_difference(stored: Any, asked: Any, field: str = "") -> Difference | None:
    """Find the first difference in the order of the asked call's members; None if there is none."""
    empty: dict[str, Any] = {}
    whole = empty if stored is _ABSENT else stored, empty if asked is _ABSENT else asked
    if _are(dict, *whole) and any(whole):
        one, other = cast("tuple[dict[str, Any], dict[str, Any]]", whole)
        names = dict.fromkeys((*other, *one))
        pairs = (
            (f"{field}.{name}" if field else name, one.get(name, _ABSENT), other.get(name, _ABSENT)) for name in names
        )
        return next((found for name, a, b in pairs if (found := find_difference(a, b, name)) is not None), None)
    if _are(list, stored, asked):
        first, second = cast("list[Any]", stored), cast("list[Any]", asked)
        for at in range(max(len(first), len(second))):
            a, b = (items[at] if at < len(items) else _ABSENT for items in (first, second))
            found = find_difference(a, b, f"{field}[{at}]")
            if found is not None:
                return found
        return None
    if type(stored) is type(asked) and stored == asked:
        return None
    if _are(str, stored, asked):
        at = count_common(stored, asked)
        return Difference(field, at, _cut(stored, at), _cut(asked, at))
    return Difference(field, None, _show(stored), _show(asked))


def _are(kind: type, one: object, other: object) -> bool:
    return isinstance(one, kind) and isinstance(other, kind)


def find_nearest(asked: Mapping[str, Any], stored: Iterable[tuple[T, Mapping[str, Any]]]) -> T | None:
    """Which of several stored calls, each with what stands for it, is most like one; None if there are none."""
    texts = {name: _write(value) for name, value in asked.items()}

    def likeness(call: Mapping[str, Any]) -> float:
        return sum(_measure(text, _write(call[name])) for name, text in texts.items() if name in call)

    return max(((likeness(call), -number, one) for number, (one, call) in enumerate(stored)), default=(0, 0, None))[2]


def count_common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _measure(one: str, other: str) -> float:
    """How much of two texts is the same at the beginning and at the end, from 0 to 1."""
    if one == other:
        return 1.0
    start = count_common(one, other)
    end = count_common(one[start:][::-1], other[start:][::-1])
    return (start + end) / max(len(one), len(other))


def _write(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _cut(text: str, at: int) -> str:
    begin, end = max(0, at - _SHOWN_BEFORE), at + _SHOWN_AFTER
    return repr(f"{'...' if begin else ''}{text[begin:end]}{'...' if end < len(text) else ''}")


def _show(value: object) -> str:
    text = repr(value) if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    longest = _SHOWN_BEFORE + _SHOWN_AFTER
    return text if len(text) <= longest else f"{text[:longest]}..."
