"""Another value beside those there are, for arrays whose items must differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from instructor.providers.offline.numbers import fallback_number
from instructor.providers.offline.pattern import sample_pattern
from instructor.providers.offline.schemas import list_choices, type_of
from instructor.providers.offline.strings import fit_string

_MOST_TRIES = 1_000
_FORMATS: dict[str, Callable[[int], str]] = {
    "date": lambda at: f"{1970 + at % 8000}-01-01",
    "date-time": lambda at: f"{1970 + at % 8000}-01-01T00:00:00Z",
    "time": lambda at: f"{at // 60 % 24:02d}:{at % 60:02d}:00Z",
    "duration": lambda at: f"PT{at}S",
    "email": lambda at: f"nobody{at}@example.com",
    "uri": lambda at: f"https://example.com/{at}",
    "ipv4": lambda at: f"127.0.{at // 256 % 256}.{at % 256}",
    "ipv6": lambda at: f"::{at:x}",
}


def vary(value: Any, schema: Mapping[str, Any], taken: Sequence[Any], plain: Callable[[Any], dict[str, Any]]) -> Any:
    """Change a value just so much that it is none of those taken.

    Args:
        value: A valid value.
        schema: What it must keep to, references resolved.
        taken: The values there are.
        plain: Resolves the references of a schema below this one.

    Returns:
        A valid value that is not in `taken`; `value` itself where none was found.
    """
    if value not in taken:
        return value
    tries = islice(_others(value, schema, plain), _MOST_TRIES)
    return next((other for other in tries if other not in taken), value)


def _others(value: Any, schema: Mapping[str, Any], plain: Callable[[Any], dict[str, Any]]) -> Iterator[Any]:
    choices = list_choices(schema)
    if "enum" in schema:
        yield from schema["enum"]
    elif choices:
        for choice in map(plain, choices):
            yield from _others(value, choice, plain)
    else:
        vary_type = _TYPES.get(type_of(schema))
        yield from vary_type(value, schema, plain) if vary_type else ()


def _other_numbers(value: Any, schema: Mapping[str, Any], _: Any) -> Iterator[Any]:
    while True:
        following = fallback_number(schema, above=value if isinstance(value, (int, float)) else None)
        if isinstance(value, (int, float)) and following <= value:
            break
        value = following
        yield value
    yield fallback_number(schema)
    value = schema.get("minimum", schema.get("exclusiveMinimum"))
    while isinstance(value, (int, float)):
        yield value
        following = fallback_number(schema, above=value)
        value = following if following > value else None


def _other_strings(value: Any, schema: Mapping[str, Any], _: Any) -> Iterator[Any]:
    write = _FORMATS.get(schema.get("format", ""))
    base = value if isinstance(value, str) else ""
    for at in range(1, _MOST_TRIES):
        if write:
            yield write(at)
        elif "pattern" in schema:
            text = sample_pattern(schema["pattern"], at)
            if fit_string(text, schema) == text:
                yield text
        else:
            room = schema.get("maxLength", len(base) + 8)
            yield (base[: max(room - len(str(at)), 0)] + str(at))[:room]


def _other_booleans(value: Any, _schema: Any, _: Any) -> Iterator[Any]:
    yield from (not value, True, False)


def _other_objects(value: Any, schema: Mapping[str, Any], plain: Callable[[Any], dict[str, Any]]) -> Iterator[Any]:
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    for name, below in schema.get("properties", {}).items():
        if name in members and "const" not in below:
            for other in _others(members[name], plain(below), plain):
                yield {**members, name: other}


def _other_arrays(value: Any, schema: Mapping[str, Any], plain: Callable[[Any], dict[str, Any]]) -> Iterator[Any]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    for at, item in enumerate(items):
        prefix = schema.get("prefixItems", ())
        below = prefix[at] if at < len(prefix) else schema.get("items", {})
        for other in _others(item, plain(below), plain):
            yield [*items[:at], other, *items[at + 1 :]]


_TYPES: dict[str, Callable[..., Iterator[Any]]] = {
    "integer": _other_numbers,
    "number": _other_numbers,
    "string": _other_strings,
    "boolean": _other_booleans,
    "object": _other_objects,
    "array": _other_arrays,
}
