"""The one canonical form of a value: plain JSON data, the same in every process, whatever the value's class."""

from __future__ import annotations

import base64
import builtins
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from instructor.cache.carried import without_carried
from instructor.exceptions import NoCanonicalFormError

if TYPE_CHECKING:
    from pydantic import BaseModel

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Plain JSON data."""

MARK = "\0"
"""Begins the names of members that stand for what JSON lacks; see `canonical`."""

MARK_TEXT = "\\u0000"
"""The mark as JSON writes it. A canonical text without it holds plain JSON data only."""

write_json: Callable[[object], str] = json.JSONEncoder(sort_keys=True).encode
"""Writes canonical data as text. ``json.dumps`` would make an encoder for each text."""

_MAX_DEPTH = 100

_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_LARGEST_INTEGER = 10**600
"""Python refuses to print longer integers, depending on its settings; these are written in hexadecimal instead."""


def class_name(kind: type, path: str = "") -> Json:  # noqa: ARG001 - as other writers of a class
    """The full name of a class. Two scripts may both have a class ``__main__.User``, so a script's has its path."""
    return f"{place_of(kind.__module__) or kind.__module__}.{kind.__qualname__}"


def place_of(module: str) -> str | None:
    """Where a definition is: its module. In a script, whose module is always called ``__main__``, the script's path.

    If the script was run with ``python -m``, its module's real name. None in a notebook, which has neither.
    """
    if module not in _SCRIPTS:
        return module
    script = sys.modules.get(module)
    spec, path = getattr(script, "__spec__", None), getattr(script, "__file__", None)
    return f"script {spec.name}" if spec else f"script {pathlib.Path(path).absolute()}" if path else None


_SCRIPTS = ("__main__", "__mp_main__")
"""The module names of a script, in its own process and in those that `multiprocessing` starts."""


def is_known_by_name(kind: type) -> bool:
    """Whether the name of a class leads to it, in this process and in any other. A local class's name does not."""
    found: object = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is kind and place_of(kind.__module__) is not None


def _class_in_context(kind: type, path: str) -> Json:
    """The name of a class; of one that its name doesn't lead to, as in a notebook, all that it holds."""
    if is_known_by_name(kind):
        return class_name(kind)
    from instructor.cache.fingerprint import describe_class

    return describe_class(kind, path)


def refuse_form(value: object, path: str) -> Json:
    """Write a value that is no data: of Python's own classes the name, nothing else."""
    name: str = getattr(value, "__qualname__", "")
    if isinstance(value, type) and getattr(builtins, name, None) is value:
        return {f"{MARK}builtin": name}
    raise NoCanonicalFormError(
        f"{path} is a {_describe_class(value)}, which has no form that is the same in every process. To have the call "
        "cached, pass plain data, a dataclass or a pydantic model, or give the class a method __cache_key__() that "
        "returns plain data."
    )


def ignore(value: object) -> None:
    """Note nothing."""


class Form(NamedTuple):
    """How exactly a canonical form distinguishes values that Python calls equal.

    Attributes:
        sees_classes: Whether a subclass of a built-in class counts, and the attributes of its instances.
        sees_types: Whether ``1`` and ``1.0``, or a tuple and a list, are two values.
        write_class: Writes the class of an instance.
        write_other: Writes what is no data, such as a function.
        note: Receives each object that is known by its ``__cache_key__``: it may hold more than that shows.
    """

    sees_classes: bool
    sees_types: bool
    write_class: Callable[[type, str], Json] = class_name
    write_other: Callable[[object, str], Json] = refuse_form
    note: Callable[[object], None] = ignore


REQUEST = Form(sees_classes=False, sees_types=False)
"""As a request shows values: a member of a ``StrEnum`` is its text, a subclass of ``dict`` its items."""

CONTEXT = Form(sees_classes=True, sees_types=False, write_class=_class_in_context)
"""As a template or a validator sees values: a user's subclass may print its value in another way, and hold more."""

ARGUMENT = Form(sees_classes=True, sees_types=True)
"""As a function sees values: any difference of type counts. The order of a mapping's keys does not."""


def canonical_text(value: object, path: str, form: Form = REQUEST) -> str:
    """Write a value as the one JSON text that stands for it. `path` names it in an error, as in ``"messages"``."""
    return write_json(canonical(value, path, form))


def canonical(value: object, path: str = "value", form: Form = REQUEST, depth: int = 0) -> Json:
    """Turn a value into plain JSON data, so that values of equal meaning become equal data and no others do.

    What JSON lacks becomes an object with one member whose name begins with a null character. A name of the user's
    that begins with one gets a second, so the user's data never look like it. An object with a method
    ``__cache_key__`` has the form of what the method returns.

    Raises NoCanonicalFormError if the value, or a member of it, has no such form: a function, an open file, an instance
    of a class that is neither a dataclass nor a pydantic model and has no ``__cache_key__``. Or if reading it raised.

    Example:
        >>> canonical((1.0, {"b": 2, "a": None}))
        [1, {'b': 2, 'a': None}]
    """
    kind = type(value)
    if kind is str:
        return _canonical_string(cast("str", value), form)
    if kind is bool or value is None:
        return cast("bool | None", value)
    if depth > _MAX_DEPTH:
        raise NoCanonicalFormError(f"{path} is nested more than {_MAX_DEPTH} deep, or contains itself.")
    try:
        return _BUILTINS.get(kind, _canonical_object)(value, path, form, depth + 1)
    except NoCanonicalFormError:
        raise
    except Exception as error:
        raise unreadable(path, value, error) from error


def unreadable(path: str, value: object, error: Exception) -> NoCanonicalFormError:
    """Describe an error of the user's code, such as a property. Its message is left out: it may quote data."""
    return NoCanonicalFormError(
        f"{path} is a {_describe_class(value)} that cannot be read: it raised {type(error).__name__}. "
        "Pass plain data to have the call cached."
    )


def _canonical_string(value: str, form: Form) -> Json:
    return {f"{MARK}halves": value.encode(errors="surrogatepass").hex()} if _is_ambiguous(value, form) else value


def _is_ambiguous(text: str, form: Form) -> bool:
    """Whether JSON writes a text as it writes another: two halves of a surrogate pair as the character that they make."""
    return form.sees_classes and not text.isascii() and _HALVES.search(text) is not None


def _canonical_integer(value: int, path: str, form: Form, depth: int) -> Json:  # noqa: ARG001 - one signature for all
    return value if -_LARGEST_INTEGER < value < _LARGEST_INTEGER else {f"{MARK}integer": hex(value)}


def _canonical_float(value: float, path: str, form: Form, depth: int) -> Json:  # noqa: ARG001 - one signature for all
    if form.sees_types:
        return {f"{MARK}float": repr(value)}
    if value.is_integer():
        return int(value)
    return value if math.isfinite(value) else {f"{MARK}float": str(value)}


def _canonical_items(value: Sequence[object], path: str, form: Form, depth: int) -> Json:
    items: list[Json] = [canonical(item, f"{path}[{index}]", form, depth) for index, item in enumerate(value)]
    return _with_class("items", items, value, list, path, form)


def _canonical_mapping(value: Mapping[Any, object], path: str, form: Form, depth: int) -> Json:
    data: Json
    if all(type(name) is str and not _is_ambiguous(name, form) for name in value):
        data = {
            MARK + name if name.startswith(MARK) else name: canonical(item, f"{path}.{name}", form, depth)
            for name, item in value.items()
        }
    elif not form.sees_classes and all(isinstance(name, str) for name in value):
        return _canonical_mapping({str.__str__(name): item for name, item in value.items()}, path, form, depth)
    else:
        pairs: Iterable[Json] = (
            [canonical(name, path, form, depth), canonical(item, path, form, depth)] for name, item in value.items()
        )
        data = {f"{MARK}mapping": sorted(pairs, key=write_json)}
    return _with_class("mapping of", data, value, dict, path, form)


def _canonical_set(value: AbstractSet[object], path: str, form: Form, depth: int) -> Json:
    items = sorted((canonical(item, path, form, depth) for item in value), key=write_json)
    return {f"{MARK}set": _with_class("set of", items, value, set, path, form)}


def _canonical_object(value: object, path: str, form: Form, depth: int) -> Json:
    """The form of a value whose class isn't one of the built-in ones."""
    data = without_carried(value)
    if data is not value:
        return canonical(data, path, form, depth)
    make: Callable[[object], object] | None = getattr(type(value), "__cache_key__", None)
    if make is not None:
        form.note(value)
        data = canonical(make(value), f"{path}.__cache_key__()", form, depth)
        return {f"{MARK}keyed": [form.write_class(type(value), path), data]}
    for write in (_canonical_scalar, _canonical_container):
        data = write(value, path, form, depth)
        if data is not None:
            attributes = _attributes_of(value) if form.sees_classes else None
            return {f"{MARK}with": [data, canonical(attributes, path, form, depth)]} if attributes else data
    state = _state_of(value, form)
    if state is None:
        return form.write_other(value, path)
    return {f"{MARK}object": [form.write_class(type(value), path), canonical(state, path, form, depth)]}


def _canonical_scalar(value: object, path: str, form: Form, depth: int) -> Json:
    for base, (tag, write) in _SCALARS.items():
        if not isinstance(value, base):
            continue
        if not form.sees_classes and isinstance(value, (str, int, float)):
            return canonical(_plain_scalar(value), path, form, depth)
        data = canonical(write(value), path, form, depth)
        if isinstance(value, _NAMED_ALWAYS):
            return {MARK + tag: [form.write_class(type(value), path), data]}
        if base is pathlib.PurePath:
            return {MARK + tag: data}
        return {MARK + tag: _with_class(tag, data, value, base, path, form)}
    return None


def _canonical_container(value: object, path: str, form: Form, depth: int) -> Json:
    for base, write in _CONTAINERS.items():
        if isinstance(value, base) and not _is_named_tuple(value):
            return write(value, path, form, depth)
    return None


def _with_class(tag: str, data: Json, value: object, base: type, path: str, form: Form) -> Json:
    """Add the class of a value to its data, if a difference of class counts and the data do not show it."""
    kind = type(value)
    counts = form.sees_types or (form.sees_classes and not _is_of_python(kind))
    if not counts or kind is base:
        return data
    return {f"{MARK}{tag}": [form.write_class(kind, path), data]}


def _attributes_of(value: object) -> dict[str, object]:
    """What a user's class adds to the data of its instances, and how a ``defaultdict`` fills itself."""
    kind = type(value)
    factory = getattr(value, "default_factory", None) if collections.defaultdict in kind.__mro__ else None
    attributes: dict[str, object] = {} if factory is None else {"default_factory": factory}
    if _is_of_python(kind) or isinstance(value, enum.Enum):
        return attributes
    for ancestor in kind.__mro__:
        slots = () if _is_of_python(ancestor) else vars(ancestor).items()
        names = [name for name, slot in slots if isinstance(slot, types.MemberDescriptorType)]
        attributes.update((name, getattr(value, name)) for name in names if hasattr(value, name))
    return {**attributes, **getattr(value, "__dict__", {})}


def _is_of_python(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names and kind.__module__ not in _SCRIPTS


def _plain_scalar(value: str | float) -> str | float:
    """A value of a subclass of ``str``, ``int`` or ``float``, as JSON writes it."""
    if isinstance(value, str):
        return str.__str__(value)
    return int.__int__(value) if isinstance(value, int) else float.__float__(value)


def _state_of(value: object, form: Form) -> dict[str, object] | None:
    """All data of a named tuple, dataclass or pydantic model: also the excluded and private fields, unlike a dump."""
    if isinstance(value, type):
        return None
    if isinstance(value, tuple):
        # A template reads a named tuple by name, so it is more than its values in order.
        members = cast("tuple[object, ...]", value)
        names: tuple[str, ...] = getattr(members, "_fields", ())
        return {**(_attributes_of(members) if form.sees_classes else {}), **dict(zip(names, members, strict=True))}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return {**_attributes_of(value), **fields}
    known: Iterable[str] | None = getattr(type(value), "__pydantic_fields__", None)
    if known is None:
        return None
    model = cast("BaseModel", value)
    extra = {"extra": model.__pydantic_extra__, "private": model.__pydantic_private__}
    # A function may treat a field that was set to its default in another way than one that was not set.
    was_set: dict[str, object] = {"set": model.__pydantic_fields_set__} if form.sees_types else {}
    return {**extra, **was_set, "fields": {name: getattr(value, name, None) for name in known}}


def _is_named_tuple(value: object) -> bool:
    return isinstance(value, tuple) and hasattr(cast("object", value), "_fields")


def _describe_class(value: object) -> str:
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
    enum.Enum: ("enum", lambda value: [value.name, value.value]),
    str: ("str", lambda value: [_plain_scalar(value)]),
    int: ("int", lambda value: [_plain_scalar(value)]),
    float: ("number", lambda value: [_plain_scalar(value)]),
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

_NAMED_ALWAYS = (enum.Enum, str, int, float)
"""Classes of which every form but that of a request has the name."""
