"""How a function, a class or any other value that a cached function uses is written in its keys."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import hashlib
import inspect
import re
import sys
import textwrap
import types
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from instructor.cache.canonical import (
    ARGUMENT,
    MARK,
    Form,
    Json,
    canonical,
    class_name,
    ignore,
    is_known_by_name,
    place_of,
    refuse_form,
    write_json,
)
from instructor.cache.key import schema_of
from instructor.exceptions import ConfigurationError, NoCanonicalFormError

Outer: TypeAlias = tuple[object, ...]
"""Functions and classes that are being described, which a value below them may refer to."""
Note: TypeAlias = Callable[[object], None]
"""Receives an object; see `Form.note`."""


def name_of(definition: types.FunctionType | type) -> list[str | None]:
    """The full name of a function or class, in two parts: where it is defined (see `place_of`), and its qualified name."""
    return [place_of(definition.__module__), definition.__qualname__]


def code_of(function: types.FunctionType) -> str:
    """A digest of the code of a function that is being decorated: its keys change when it is edited.

    The digest of a function at the top of a module, or in a class there, is that of the parsed source without comments,
    layout and decorators, which is the same in every version of Python. Call this at once when the function is defined,
    because the file may be edited while the program runs. A function inside a function may be defined at any time, so
    its digest is that of the bytecode, which differs between minor versions of Python. Where there is no source, too,
    the bytecode is used.
    """
    tree = _written_tree(function) if "<" not in function.__code__.co_qualname else None
    return _digest(tree or _written_code(function.__code__))


def describe(value: object, path: str, outer: Outer = (), note: Note = ignore) -> Json:
    """Turn a value that a function uses into plain data for its key, however deep functions and classes lie in it.

    Modules are known by name; functions by name, code, defaults and what they close over; classes by name,
    what they and those they inherit from hold and, if they are pydantic models, their schema. An instance is known by
    its data and its class. Anything else has its canonical form. `path` names the value in an error.
    """
    return canonical(value, path, ARGUMENT if type(value) in _SCALARS else _form(outer, note))


_SCALARS = (str, int, float, bool, type(None))
"""What has no class or member to write, so that no form need be made for it."""


def _form(outer: Outer, note: Note = ignore) -> Form:
    """The form of values inside definitions that are being described."""

    def write_class(kind: type, path: str) -> Json:
        return class_name(kind) if is_known_by_name(kind) else describe_class(kind, path, outer)

    def write_other(value: object, path: str) -> Json:
        if isinstance(value, types.ModuleType):
            return {f"{MARK}module": value.__name__}
        if isinstance(value, types.FunctionType):
            return {f"{MARK}function": _describe_function(value, path, outer)}
        if isinstance(value, type):
            return {f"{MARK}class": describe_class(value, path, outer)}
        return _describe_callable(value, path, outer) or refuse_form(value, path)

    return ARGUMENT._replace(write_class=write_class, write_other=write_other, note=note)


def _describe_callable(value: object, path: str, outer: Outer) -> Json:
    """Describe what calls a function, or is one that isn't written in Python; None for anything else."""
    if isinstance(value, functools.partial):
        return {f"{MARK}partial": describe([value.func, value.args, value.keywords], path, outer)}
    if isinstance(value, types.MethodType):
        return {f"{MARK}method": describe([value.__func__, value.__self__], path, outer)}
    owner = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
    if isinstance(value, _NATIVE) and isinstance(owner, types.ModuleType | type):
        return {f"{MARK}builtin": [owner.__name__, value.__qualname__]}
    wrapped = getattr(value, "__wrapped__", None)
    if isinstance(value, functools._lru_cache_wrapper):  # noqa: SLF001 - its only name
        return {f"{MARK}cached": describe(wrapped, path, outer)}
    return None


_NATIVE = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def describe_closure(function: types.FunctionType, path: str = "", outer: Outer = ()) -> dict[str, Json]:
    """Describe the variables of enclosing functions that a function uses."""
    outer = (*outer, function)
    closed_over = sorted(closed_over_by(function).items())
    return {
        name: describe(value, f"{path}variable {name!r} of an enclosing function or decorator", outer)
        for name, value in closed_over
    }


def closed_over_by(function: types.FunctionType) -> dict[str, object]:
    """The variables of enclosing functions that a function uses, where they have a value."""
    values: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return values


def _describe_function(function: types.FunctionType, path: str, outer: Outer) -> Json:
    while function.__globals__.get("__name__") == "instructor.function.decorator":
        function = function.__wrapped__  # type: ignore[attr-defined]  # pyright: ignore - set by functools.wraps
    name = name_of(function)
    if function in outer:
        return [name]
    defaults = [function.__defaults__, function.__kwdefaults__]
    described = describe(defaults, f"{path}, defaults", (*outer, function))
    # By its bytecode: it is described when it is used, by when its file may have been edited.
    return [name, _digest(_written_code(function.__code__)), described, describe_closure(function, f"{path}, ", outer)]


_descriptions: weakref.WeakKeyDictionary[type, Json] = weakref.WeakKeyDictionary()
"""Descriptions of classes, which take long to make."""


def describe_class(kind: type, path: str, outer: Outer = ()) -> Json:
    """Describe a class by all that it and those it inherits from hold."""
    name = name_of(kind)
    if kind in outer or _is_of_library(kind):
        return [name]
    if kind not in _descriptions:
        schema = canonical(_schema_of(kind), path)
        line = [_describe_body(ancestor, path, (*outer, *kind.__mro__)) for ancestor in kind.__mro__]
        description: Json = [name, line, schema]
        if outer:
            return description
        _descriptions[kind] = description
    return _descriptions[kind]


def _schema_of(kind: type) -> dict[str, Json] | None:
    """The schema of a pydantic model; None if it has none, as with a field of a class that only Python knows."""
    try:
        return schema_of(kind) if issubclass(kind, BaseModel) and kind is not BaseModel else None
    except ConfigurationError:
        return None


def _describe_body(kind: type, path: str, outer: Outer) -> Json:
    """Describe what one class adds to those that it inherits from; a library's classes are known by name."""
    if _is_of_library(kind):
        return [name_of(kind)]
    methods = {name: _describe_function(method, path, outer) for name, method in sorted(_methods_of(kind).items())}
    members = [[name, _describe_attribute(member.value, path, outer)] for name, member in _members_of(kind)]
    attributes = {
        name: _describe_attribute(value, path, outer)
        for name, value in sorted(vars(kind).items())
        if name not in methods and not isinstance(value, enum.Enum) and (name in _TELLING or not _is_made(name))
    }
    fields = _describe_fields(kind, path, outer)
    return [name_of(kind), methods, members, attributes, fields, _describe_annotations(kind, path, outer)]


def _describe_fields(kind: type, path: str, outer: Outer) -> dict[str, Json]:
    """Describe what the fields of a dataclass or a pydantic model do beyond their annotations and plain defaults."""
    described: dict[str, Json] = {}
    plain: dict[str, dataclasses.Field[object]] = vars(kind).get("__dataclass_fields__", {})
    for name, field in plain.items():
        factory = None if field.default_factory is dataclasses.MISSING else field.default_factory
        flags = [field.init, field.repr, field.compare, field.hash, bool(field.kw_only)]
        described[name] = [flags, describe(factory, path, outer)]
    fields: dict[str, FieldInfo] = vars(kind).get("__pydantic_fields__", {})
    for name, info in fields.items():
        metadata = [_describe_metadata(item, path, outer) for item in info.metadata]
        described[name] = [info.exclude, describe(info.default_factory, path, outer), metadata]
    return described


def _describe_metadata(item: object, path: str, outer: Outer) -> Json:
    """Describe what stands beside a type in ``Annotated``. A dataclass there, such as ``AfterValidator``, holds code."""
    return describe(item, path, outer) if dataclasses.is_dataclass(item) else _describe_attribute(item, path, outer)


_KNOWN_BY_NAME = sys.stdlib_module_names | {"pydantic", "typing_extensions"}

_TELLING = ("__required_keys__", "__optional_keys__", "__total__", "__slots__", "__match_args__")
"""Names made by Python that are the same in every process."""


def _is_of_library(kind: type) -> bool:
    """Whether a class is known by name; one that `make_dataclass` made only claims to be of the library."""
    known = kind.__module__.partition(".")[0] in _KNOWN_BY_NAME
    return known and kind.__module__ != "types"


def _is_made(name: str) -> bool:
    """Whether a name belongs to Python, pydantic or `enum`: what it holds may differ between two processes."""
    return name == "_abc_impl" or (name.startswith("_") and name.endswith("_"))


def _members_of(kind: type) -> list[tuple[str, enum.Enum]]:
    return list(kind.__members__.items()) if issubclass(kind, enum.Enum) else []


def _describe_attribute(value: object, path: str, outer: Outer) -> Json:
    """Describe what a class holds; by its own class alone what has no form, such as a lock or a descriptor."""
    try:
        return describe(value, path, outer)
    except NoCanonicalFormError:
        return {f"{MARK}instance": name_of(type(value))}


def describe_annotation(annotation: object, path: str, outer: Outer = ()) -> Json:
    """Describe a type that has no schema: by its text, without the addresses of objects in it, and by its metadata."""
    metadata = [_describe_metadata(item, path, outer) for item in _metadata_of(annotation)]
    return [re.sub(r" at 0x[0-9a-fA-F]+", "", repr(annotation)), metadata]


def _metadata_of(annotation: object) -> Iterator[object]:
    yield from getattr(annotation, "__metadata__", ())
    for part in getattr(annotation, "__args__", None) or ():
        yield from _metadata_of(part)


def _describe_annotations(kind: type, path: str, outer: Outer) -> Json:
    """The annotations of a class, in their order."""
    try:
        annotations = inspect.get_annotations(kind)
    except NameError:  # Python 3.14 evaluates annotations when they are asked for
        return None
    return [[name, describe_annotation(value, path, outer)] for name, value in annotations.items()]


def _methods_of(kind: type) -> dict[str, types.FunctionType]:
    """The functions in a class's body; not those that `dataclasses` has made from text."""
    found: dict[str, types.FunctionType] = {}
    for name, member in vars(kind).items():
        function = next(filter(None, (getattr(member, inner, None) for inner in _INNER)), member)
        if isinstance(function, types.FunctionType) and not _is_written_by_dataclasses(name, function):
            found[name] = function
    return found


def _is_written_by_dataclasses(name: str, function: types.FunctionType) -> bool:
    """Whether Python wrote a method. What the user runs by ``python -c`` or ``exec`` has the same file name."""
    return name in _WRITTEN and function.__code__.co_filename == "<string>"


_WRITTEN = frozenset(
    f"__{name}__" for name in ["init", "eq", "lt", "le", "gt", "ge", "hash", "setattr", "delattr", "replace"]
)


_INNER = ("__func__", "fget", "func")
"""Where a ``classmethod``, a ``property`` and a ``cached_property`` hold their function."""


def _digest(data: Json) -> str:
    return hashlib.sha256(write_json(data).encode()).hexdigest()


def _written_tree(function: types.FunctionType) -> Json:
    """The parsed source of a function as plain data; None if there is no source."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body
    except (OSError, SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        tree.decorator_list = []
    return _written_node(tree)


def _written_node(node: object) -> Json:
    if isinstance(node, list):
        return [_written_node(item) for item in cast("list[object]", node)]
    if not isinstance(node, ast.AST):
        return repr(node)
    # Python versions differ in fields that are empty nearly always, such as `type_params`.
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return [type(node).__name__, {name: _written_node(value) for name, value in fields if name != "kind"}]


def _written_code(code: types.CodeType) -> Json:
    constants = [_written_constant(constant) for constant in code.co_consts]
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    return [code.co_code.hex(), constants, *names, counts, code.co_flags & _FLAGS, code.co_exceptiontable.hex()]


_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)
"""The flags that say how a function is called. The others say where it stands, or how it was compiled."""


def _written_constant(constant: object) -> Json:
    if isinstance(constant, types.CodeType):
        return _written_code(constant)
    if isinstance(constant, frozenset):
        return sorted(map(repr, cast("frozenset[object]", constant)))
    if isinstance(constant, tuple):
        return [_written_constant(item) for item in cast("tuple[object, ...]", constant)]
    return repr(constant)
