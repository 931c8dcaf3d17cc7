"""The key: SHA-256 over everything that a call says, in one canonical form."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import json
import math
import pathlib
import re
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from instructor.exceptions import ConfigurationError, NoCanonicalFormError
from instructor.headers import keyed_headers
from instructor.mode import Mode

FORMAT = 2
"""Raised when the same call would be answered differently; older entries are then never found."""

_EXCLUDED_FROM_KEY = frozenset(
    {
        "api_key",
        "cache",
        "cache_namespace",
        "cache_ttl",
        "hooks",
        "max_retries",
        "timeout",
        "token_budget",
    }
)
"""Arguments that change how an answer is fetched, not which one it is."""

_MARK = "\0"
"""Begins the names of members that stand for what JSON lacks; see `canonical`."""

MARK_TEXT = "\\u0000"
"""The mark as it stands in a canonical text: where it is absent, the text is that of plain JSON data."""

_MAX_DEPTH = 100


def make_cache_key(
    *, messages: Any, model: str | None, response_model: Any, mode: Mode | str | None, **rest: Any
) -> str:
    """Make the key under which the answer of a call is stored. The client itself uses this function.

    You would use it to look an answer up by hand, or in a cache of your own. The same call makes the same key in
    any process, on any machine.

    Args:
        messages: The conversation, as passed to ``create``.
        model: The model's name without the vendor's prefix.
        response_model: A pydantic model or any other type whose JSON Schema enters the key; None for none.
        mode: A `Mode` or its name, such as ``"TOOLS"``.
        **rest: Whatever else is to make a difference; None is the same as absent. The client adds ``provider``,
            ``endpoint``, ``wire``, ``shape``, ``arguments``, ``context``, ``strict``, ``namespace`` and ``format``.

    Returns:
        64 hexadecimal digits.

    Raises:
        NoCanonicalFormError: A value has no form that is the same in every process; the message names it.
        ConfigurationError: The response model is no type.

    Example:
        >>> make_cache_key(messages=[], model="gpt-4.1-mini", response_model=int, mode="TOOLS")[:8]
        '6c78ed2a'
    """
    texts = {
        "messages": canonical_text(messages, "messages"),
        "mode": canonical_text(mode.name if isinstance(mode, Mode) else mode, "mode"),
        "model": canonical_text(model, "model"),
        "schema": canonical_text(schema_of(response_model), "schema"),
    }
    texts.update((name, canonical_text(value, name)) for name, value in rest.items() if value is not None)
    return digest(texts)


def digest(texts: Mapping[str, str]) -> str:
    """Hash an object whose members are given as canonical JSON texts.

    The text hashed is that of ``json.dumps(members, sort_keys=True)``; members that never change between calls,
    such as the schema, are thus written once.
    """
    members = ", ".join(f"{json.dumps(name)}: {texts[name]}" for name in sorted(texts))
    return hashlib.sha256(f"{{{members}}}".encode()).hexdigest()


def keyed_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the arguments that belong in a key: those that can change the answer, unless None."""
    kept = {name: value for name, value in arguments.items() if value is not None and name not in _EXCLUDED_FROM_KEY}
    headers = kept.pop("extra_headers", None)
    if isinstance(headers, Mapping):
        said = keyed_headers(cast("Mapping[str, Any]", headers))
        kept.update({"extra_headers": said} if said else {})
    return kept


def schema_of(response_model: Any) -> dict[str, Any] | None:
    """The JSON Schema of a response model of any kind; None for None."""
    if response_model is None:
        return None
    from pydantic import TypeAdapter

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(response_model)
        return adapter.json_schema()
    except Exception as error:
        # pydantic raises errors of many kinds for what is no type, some of them Python's own.
        raise ConfigurationError(
            f"response_model {response_model!r} has no JSON Schema: {error}. Pass a type that pydantic can read."
        ) from error


def canonical_text(value: Any, path: str) -> str:
    """Write a value as the one JSON text that stands for it.

    Args:
        value: Anything a user may say in a call.
        path: What to call the value in an error, such as ``"messages"``.

    Raises:
        NoCanonicalFormError: As `canonical`.
    """
    return json.dumps(canonical(value, path), sort_keys=True)


def canonical(value: Any, path: str = "value", depth: int = 0) -> Any:
    """Turn a value into plain JSON data such that equal meaning gives equal data, and other meaning other data.

    ``0`` and ``0.0`` become one, a tuple becomes a list, and the order of a dict's keys is lost. What JSON lacks
    becomes an object with one member whose name begins with a null character, so that it equals no data of yours.

    Raises:
        NoCanonicalFormError: The value, or something in it, has no such form: a function, an open file, an
            instance of a class that is neither a dataclass nor a pydantic model.
    """
    if value is None or isinstance(value, bool) or type(value) in (str, int):
        return value
    if depth > _MAX_DEPTH:
        raise NoCanonicalFormError(f"{path} is nested more than {_MAX_DEPTH} deep, or contains itself.")
    if type(value) is float:
        return _canonical_float(value)
    if isinstance(value, (list, tuple)) and not _is_named(value):
        items = cast("list[Any] | tuple[Any, ...]", value)
        return [canonical(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(items)]
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return _canonical_mapping(members, path, depth)
    return _canonical_object(value, path, depth)


def _canonical_float(value: float) -> Any:
    if value.is_integer():
        return int(value)
    return value if math.isfinite(value) else {f"{_MARK}float": str(value)}


def _canonical_mapping(value: Mapping[Any, Any], path: str, depth: int) -> Any:
    if all(type(name) is str for name in value):
        return {
            _MARK + name if name.startswith(_MARK) else name: canonical(item, f"{path}.{name}", depth + 1)
            for name, item in value.items()
        }
    pairs = ([canonical(name, path, depth + 1), canonical(item, path, depth + 1)] for name, item in value.items())
    return {f"{_MARK}mapping": sorted(pairs, key=_sorted_text)}


def _canonical_object(value: Any, path: str, depth: int) -> Any:
    for kind, (tag, write) in _WRITERS.items():
        if isinstance(value, kind):
            return {_MARK + tag: canonical(write(value), path, depth + 1)}
    if isinstance(value, AbstractSet):
        members = cast("AbstractSet[Any]", value)
        items = [canonical(item, path, depth + 1) for item in members]
        return {f"{_MARK}set": sorted(items, key=_sorted_text)}
    if isinstance(value, tuple):
        named = cast("tuple[Any, ...]", value)
        return {f"{_MARK}named": [_class_name(value), canonical(dict(_members(named)), path, depth + 1)]}
    state = _state_of(value)
    if state is not None:
        return {f"{_MARK}object": [_class_name(value), canonical(state, path, depth + 1)]}
    raise NoCanonicalFormError(
        f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which has no form that is the same in "
        "every process. Pass plain data, a dataclass or a pydantic model to have the call cached."
    )


def _is_named(value: Any) -> bool:
    return hasattr(value, "_fields")


def _members(named: Any) -> list[tuple[str, Any]]:
    """A named tuple's names and values; a template reads it by name, so it is more than its values in order."""
    return list(zip(named._fields, named, strict=True))


def _state_of(value: Any) -> dict[str, Any] | None:
    """Everything that a dataclass or pydantic instance holds; a dump would leave out excluded and private fields."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return {**getattr(value, "__dict__", {}), **fields}
    known = _pydantic_fields(type(cast("object", value)))
    if known is None:
        return None
    extra = {"extra": value.__pydantic_extra__, "private": value.__pydantic_private__}
    return {**extra, "fields": {name: getattr(value, name, None) for name in known}}


def _pydantic_fields(kind: type) -> Any:
    return getattr(kind, "__pydantic_fields__", None)


def _sorted_text(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    enum.Enum: ("enum", lambda value: [_class_name(value), value.name, value.value]),
    str: ("str", lambda value: [_class_name(value), str.__str__(value)]),
    int: ("int", lambda value: [_class_name(value), int(value)]),
    float: ("number", lambda value: [_class_name(value), float(value)]),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    bytearray: ("bytearray", lambda value: base64.b64encode(value).decode()),
    dt.datetime: ("datetime", lambda value: [value.isoformat(), str(value.tzinfo), value.fold]),
    dt.date: ("date", lambda value: value.isoformat()),
    dt.time: ("time", lambda value: value.isoformat()),
    dt.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    decimal.Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    pathlib.PurePath: ("path", str),
    re.Pattern: ("pattern", lambda value: [value.pattern, value.flags]),
    complex: ("complex", lambda value: [value.real, value.imag]),
}
