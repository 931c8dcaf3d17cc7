"""The cache key: SHA-256 over everything in a call that can affect the answer, in one canonical form."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import hashlib
import json
import math
import pathlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from instructor.exceptions import ConfigurationError, NoCanonicalFormError
from instructor.headers import keyed_headers
from instructor.mode import Mode

if TYPE_CHECKING:
    from pydantic import BaseModel

FORMAT = 3
"""Raised when the same call would be answered differently, or gets another key; older entries are then not found."""

EXCLUDED_FROM_KEY = frozenset(
    {
        "api_key",
        "cache",
        "cache_namespace",
        "cache_pace",
        "cache_ttl",
        "hooks",
        "max_retries",
        "on_invalid",
        "timeout",
        "token_budget",
    }
)
"""Arguments that change how an answer is fetched, not which one it is."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""Plain JSON data."""

MARK = "\0"
"""Begins the names of members that stand for what JSON lacks; see `canonical`."""

_MARK_TEXT = "\\u0000"
"""The mark as JSON writes it. A canonical text without it holds plain JSON data only."""

write_json: Callable[[object], str] = json.JSONEncoder(sort_keys=True).encode
"""Writes canonical data as text. ``json.dumps`` would make an encoder for each text."""

_MAX_DEPTH = 100

_LARGEST_INTEGER = 10**600
"""Python refuses to print longer integers, depending on its settings; these are written in hexadecimal instead."""


class Form(enum.Enum):
    """How exactly a canonical form distinguishes values that Python calls equal.

    Attributes:
        REQUEST: As a request shows them: a member of a ``StrEnum`` is its text, ``1`` and ``1.0`` are one number, and a
            tuple is a list.
        CONTEXT: As a template may show them: as REQUEST, but a subclass of ``str``, ``int`` or ``float`` counts,
            because it may print its value in another way.
        ARGUMENT: As a function sees them: any difference of type counts. The order of a mapping's keys does not.
    """

    REQUEST = enum.auto()
    CONTEXT = enum.auto()
    ARGUMENT = enum.auto()


_FORMS = {"context": Form.CONTEXT}
"""The form of each member of a key that is not written as in a request."""


def make_cache_key(
    *, messages: object, model: str | None, response_model: object, mode: Mode | str | None = None, **rest: object
) -> str:
    """Make the key under which the answer of a call is stored. The client's own keys are made the same way.

    Use it to look an answer up by hand, or to key a cache of your own. The same call makes the same key in any
    process and on any machine.

    Args:
        messages: The conversation, as passed to ``create``.
        model: The model's name without the vendor's prefix.
        response_model: A pydantic model or any other type whose JSON Schema enters the key; None for none.
        mode: A `Mode` or its name, such as ``"TOOLS"``. Default: None.
        **rest: Whatever else makes a difference; None is the same as absent. The client adds ``provider``,
            ``endpoint``, ``wire``, ``shape``, ``arguments``, ``context``, ``strict``, ``namespace`` and ``format``.

    Returns:
        64 hexadecimal digits.

    Raises:
        NoCanonicalFormError: A value has no form that is the same in every process; the message names it.
        ConfigurationError: The response model is not a type.

    Example:
        >>> make_cache_key(messages=[], model="gpt-6-luna", response_model=int, mode="TOOLS")[:8]
        '7bd63500'
    """
    members = {
        "messages": messages,
        "mode": mode.name if isinstance(mode, Mode) else mode,
        "model": model,
        "schema": schema_of(response_model),
    }
    members.update((name, value) for name, value in rest.items() if value is not None)
    return digest({name: _member_text(name, value) for name, value in members.items()})


class KeyBuilder:
    """Makes the keys of one client's calls: the same as `make_cache_key`, but writes what never changes only once.

    Args:
        fixed: The members that never change, such as ``provider``, ``wire``, ``endpoint`` and ``mode``; None is the
            same as absent. ``format`` is added.

    Example:
        >>> builder = KeyBuilder({"mode": "TOOLS"})
        >>> key, plain = builder.key("null", "null", "gpt-6-luna", [], None, True, None, {})
        >>> len(key), plain
        (64, True)
    """

    def __init__(self, fixed: Mapping[str, object]) -> None:
        self._members = {**fixed, "format": FORMAT}

    @cached_property
    def _fixed_texts(self) -> dict[str, str]:
        return {name: _member_text(name, value) for name, value in self._members.items() if value is not None}

    def key(
        self,
        schema: str,
        shape: str,
        model: str,
        messages: object,
        context: Mapping[str, object] | None,
        strict: bool,
        namespace: str | None,
        arguments: Mapping[str, object],
    ) -> tuple[str, bool]:
        """Make the key of a call.

        Args:
            schema: The canonical text of the response model's schema.
            shape: The canonical text of what else a request shows of the response model.
            model: As for `make_cache_key`.
            messages: As for `make_cache_key`.
            context: The values that filled the templates in the messages.
            strict: Whether the answer is validated strictly.
            namespace: The partition of the cache.
            arguments: The call's other arguments, of which `keyed_arguments` enter the key.

        Returns:
            The key, and whether the call holds plain JSON data only: then equal encodings of two calls mean equal
            calls, and a `KeyMemo` may lead from the encoding to the key.

        Raises:
            NoCanonicalFormError: A value in the call has no form that is the same in every process.
        """
        members = {
            "arguments": keyed_arguments(arguments) or None,
            "context": context,
            "messages": messages,
            "model": model,
            "namespace": namespace,
            "strict": None if strict else False,
        }
        texts = {name: _member_text(name, value) for name, value in members.items() if value is not None}
        plain = not any(_MARK_TEXT in text for text in texts.values())
        return digest({**self._fixed_texts, "schema": schema, "shape": shape, **texts}), plain


def digest(texts: Mapping[str, str]) -> str:
    """Hash an object whose members are given as canonical JSON texts.

    It hashes the text of ``json.dumps(members, sort_keys=True)``, without writing members that are the same for many
    calls, such as the schema, once more.
    """
    members = ", ".join(f"{_quoted(name)}: {texts[name]}" for name in sorted(texts))
    return hashlib.sha256(f"{{{members}}}".encode()).hexdigest()


_quoted = functools.lru_cache(256)(json.dumps)
"""A member's name as JSON; there are few, and each key has a dozen."""


def keyed_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Keep the arguments that belong in a key: those that can affect the answer, unless None."""
    kept = {name: value for name, value in arguments.items() if value is not None and name not in EXCLUDED_FROM_KEY}
    value = kept.pop("extra_headers", None)
    if isinstance(value, Mapping):
        headers = cast("Mapping[str, object]", value)
        try:
            keyed = keyed_headers(headers)
        except Exception as error:
            raise _unreadable("arguments.extra_headers", headers, error) from error
        kept.update({"extra_headers": keyed} if keyed else {})
    return kept


def schema_of(response_model: object) -> dict[str, Any] | None:
    """The JSON Schema of a response model of any kind; None for None."""
    if response_model is None:
        return None
    from pydantic import TypeAdapter

    from instructor.cache.json_schema import StableJsonSchema

    try:
        return TypeAdapter[object](cast("type", response_model)).json_schema(schema_generator=StableJsonSchema)
    except Exception as error:
        # For a value that is not a type, pydantic raises errors of many kinds, some of them Python's own.
        raise ConfigurationError(
            f"response_model {response_model!r} has no JSON Schema: {error}. Pass a type that pydantic can read."
        ) from error


def _member_text(name: str, value: object) -> str:
    return canonical_text(value, name, _FORMS.get(name, Form.REQUEST))


def canonical_text(value: object, path: str, form: Form = Form.REQUEST) -> str:
    """Write a value as the one JSON text that stands for it.

    Args:
        value: Any value in a call.
        path: What to call the value in an error, such as ``"messages"``.
        form: Which differences count.

    Raises:
        NoCanonicalFormError: As `canonical`.
    """
    return write_json(canonical(value, path, form))


def canonical(value: object, path: str = "value", form: Form = Form.REQUEST, depth: int = 0) -> Json:
    """Turn a value into plain JSON data, so that values of equal meaning become equal data and no others do.

    What JSON lacks becomes an object with one member whose name begins with a null character. A name of the user's
    that begins with one gets a second, so the user's data never look like it. An object with a method
    ``__cache_key__`` has the form of what the method returns.

    Raises:
        NoCanonicalFormError: The value, or a member of it, has no such form: a function, an open file, an instance of
            a class that is neither a dataclass nor a pydantic model and has no ``__cache_key__``. Or reading it raised.

    Example:
        >>> canonical((1.0, {"b": 2, "a": None}))
        [1, {'b': 2, 'a': None}]
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return cast("str | bool | None", value)
    if depth > _MAX_DEPTH:
        raise NoCanonicalFormError(f"{path} is nested more than {_MAX_DEPTH} deep, or contains itself.")
    try:
        return _BUILTINS.get(kind, _canonical_object)(value, path, form, depth + 1)
    except NoCanonicalFormError:
        raise
    except Exception as error:
        raise _unreadable(path, value, error) from error


def _unreadable(path: str, value: object, error: Exception) -> NoCanonicalFormError:
    """Describe an error of the user's code, such as a property. Its message is left out: it may quote data."""
    return NoCanonicalFormError(
        f"{path} is a {_class_name(value)} that cannot be read: it raised {type(error).__name__}. "
        "Pass plain data to have the call cached."
    )


def _canonical_integer(value: int, path: str, form: Form, depth: int) -> Json:  # noqa: ARG001 - one signature for all
    return value if -_LARGEST_INTEGER < value < _LARGEST_INTEGER else {f"{MARK}integer": hex(value)}


def _canonical_float(value: float, path: str, form: Form, depth: int) -> Json:  # noqa: ARG001 - one signature for all
    if form is Form.ARGUMENT:
        return {f"{MARK}float": repr(value)}
    if value.is_integer():
        return int(value)
    return value if math.isfinite(value) else {f"{MARK}float": str(value)}


def _canonical_items(value: Sequence[object], path: str, form: Form, depth: int) -> Json:
    items: list[Json] = [canonical(item, f"{path}[{index}]", form, depth) for index, item in enumerate(value)]
    return _with_class("items", items, value, list, form)


def _canonical_mapping(value: Mapping[Any, object], path: str, form: Form, depth: int) -> Json:
    data: Json
    if all(type(name) is str for name in value):
        data = {
            MARK + name if name.startswith(MARK) else name: canonical(item, f"{path}.{name}", form, depth)
            for name, item in value.items()
        }
    elif form is Form.REQUEST and all(isinstance(name, str) for name in value):
        return _canonical_mapping({str.__str__(name): item for name, item in value.items()}, path, form, depth)
    else:
        pairs: Iterable[Json] = (
            [canonical(name, path, form, depth), canonical(item, path, form, depth)] for name, item in value.items()
        )
        data = {f"{MARK}mapping": sorted(pairs, key=write_json)}
    return _with_class("mapping of", data, value, dict, form)


def _canonical_set(value: AbstractSet[object], path: str, form: Form, depth: int) -> Json:
    items = sorted((canonical(item, path, form, depth) for item in value), key=write_json)
    return {f"{MARK}set": _with_class("set of", items, value, set, form)}


def _canonical_object(value: object, path: str, form: Form, depth: int) -> Json:
    """The form of a value whose class isn't one of the built-in ones."""
    make: Callable[[object], object] | None = getattr(type(value), "__cache_key__", None)
    if make is not None:
        return {f"{MARK}keyed": [_class_name(value), canonical(make(value), f"{path}.__cache_key__()", form, depth)]}
    for base, (tag, write) in _SCALARS.items():
        if isinstance(value, base):
            if form is Form.REQUEST and isinstance(value, (str, int, float)):
                return canonical(_plain_scalar(value), path, form, depth)
            data = canonical(write(value), path, form, depth)
            named = isinstance(value, _NAMED_IN_DATA)
            return {MARK + tag: data if named else _with_class(tag, data, value, base, form)}
    for base, write_all in _CONTAINERS.items():
        if isinstance(value, base) and not _is_named_tuple(value):
            return write_all(value, path, form, depth)
    state = _state_of(value)
    if state is not None:
        return {f"{MARK}object": [_class_name(value), canonical(state, path, form, depth)]}
    raise NoCanonicalFormError(
        f"{path} is a {_class_name(value)}, which has no form that is the same in every process. To have the call "
        "cached, pass plain data, a dataclass or a pydantic model, or give the class a method __cache_key__() that "
        "returns plain data."
    )


def _with_class(tag: str, data: Json, value: object, base: type, form: Form) -> Json:
    """Add the class of a value to its data, if a difference of class counts and the data do not show it."""
    if form is not Form.ARGUMENT or type(value) is base:
        return data
    return {f"{MARK}{tag}": [_class_name(value), data]}


def _plain_scalar(value: str | float) -> str | float:
    """A value of a subclass of ``str``, ``int`` or ``float``, as JSON writes it."""
    if isinstance(value, str):
        return str.__str__(value)
    return int.__int__(value) if isinstance(value, int) else float.__float__(value)


def _state_of(value: object) -> dict[str, object] | None:
    """All data of a named tuple, dataclass or pydantic model: also the excluded and private fields, unlike a dump."""
    if isinstance(value, type):
        return None
    if isinstance(value, tuple):
        # A template reads a named tuple by name, so it is more than its values in order.
        members = cast("tuple[object, ...]", value)
        names: tuple[str, ...] = getattr(members, "_fields", ())
        return dict(zip(names, members, strict=True))
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return {**getattr(value, "__dict__", {}), **fields}
    known: Iterable[str] | None = getattr(type(value), "__pydantic_fields__", None)
    if known is None:
        return None
    model = cast("BaseModel", value)
    extra = {"extra": model.__pydantic_extra__, "private": model.__pydantic_private__}
    return {**extra, "fields": {name: getattr(value, name, None) for name in known}}


def _is_named_tuple(value: object) -> bool:
    return isinstance(value, tuple) and hasattr(cast("object", value), "_fields")


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_Writer: TypeAlias = Callable[[Any, str, Form, int], Json]
"""Writes values of one class in canonical form. Arguments: as those of `canonical`."""

_BUILTINS: dict[type, _Writer] = {
    int: _canonical_integer,
    float: _canonical_float,
    list: _canonical_items,
    tuple: _canonical_items,
    dict: _canonical_mapping,
    set: _canonical_set,
    frozenset: _canonical_set,
}

_CONTAINERS: dict[type, _Writer] = {
    list: _canonical_items,
    tuple: _canonical_items,
    Mapping: _canonical_mapping,
    AbstractSet: _canonical_set,
}

_SCALARS: dict[type, tuple[str, Callable[[Any], object]]] = {
    enum.Enum: ("enum", lambda value: [_class_name(value), value.name, value.value]),
    str: ("str", lambda value: [_class_name(value), _plain_scalar(value)]),
    int: ("int", lambda value: [_class_name(value), _plain_scalar(value)]),
    float: ("number", lambda value: [_class_name(value), _plain_scalar(value)]),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    bytearray: ("bytearray", lambda value: base64.b64encode(value).decode()),
    dt.datetime: ("datetime", lambda value: [value.isoformat(), str(value.tzinfo), value.fold]),
    dt.date: ("date", lambda value: value.isoformat()),
    dt.time: ("time", lambda value: [value.isoformat(), str(value.tzinfo), value.fold]),
    dt.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    decimal.Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    # Without its module, which is not the same in every version of Python.
    pathlib.PurePath: ("path", lambda value: [type(value).__name__, str(value)]),
    re.Pattern: ("pattern", lambda value: [value.pattern, value.flags]),
    complex: ("complex", lambda value: [value.real, value.imag]),
}
"""Classes that JSON lacks: a tag for each, and the data in which two different values differ."""

_NAMED_IN_DATA = (enum.Enum, str, int, float, pathlib.PurePath)
"""Classes whose data in `_SCALARS` include the name of the class."""
