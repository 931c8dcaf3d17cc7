"""How a function, a class or any other value that a cached function uses is written in its keys."""

from __future__ import annotations

import ast
import enum
import hashlib
import inspect
import re
import sys
import textwrap
import types
import weakref
from pathlib import Path
from typing import TypeAlias, cast

from pydantic import BaseModel

from instructor.cache.key import MARK, Form, canonical, schema_of, write_json
from instructor.exceptions import NoCanonicalFormError

Plain: TypeAlias = object
"""Plain data: what `write_json` writes."""
Outer: TypeAlias = tuple[object, ...]
"""Functions and classes that are being described, which a value below them may refer to."""

_SCRIPTS = ("__main__", "__mp_main__")
"""The module names of a script, in its own process and in those that `multiprocessing` starts."""


def name_of(definition: types.FunctionType | type) -> list[str | None]:
    """The full name of a function or class, in two parts: where it is defined, and its qualified name.

    In a script, where means the script's absolute path, because the module of every script is called ``__main__``;
    if the script was run with ``python -m``, its module's real name. A notebook has neither.
    """
    place: str | None = definition.__module__
    if place in _SCRIPTS:
        script = sys.modules.get(place)
        spec, path = getattr(script, "__spec__", None), getattr(script, "__file__", None)
        place = f"script {spec.name}" if spec else f"script {Path(path).absolute()}" if path else None
    return [place, definition.__qualname__]


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


def describe(value: object, path: str, outer: Outer = ()) -> Plain:
    """Turn a value that a function uses into plain data for its key.

    Modules are known by name; functions by name, code, defaults and what they close over; classes by name,
    what they and those they inherit from hold and, if they are pydantic models, their schema. Anything else has its
    canonical form.
    """
    if isinstance(value, types.ModuleType):
        return {f"{MARK}module": value.__name__}
    if isinstance(value, types.FunctionType):
        return {f"{MARK}function": _describe_function(value, path, outer)}
    if isinstance(value, type):
        return {f"{MARK}class": _describe_class(value, path, outer)}
    return canonical(value, path, Form.ARGUMENT)


def describe_closure(function: types.FunctionType, path: str = "", outer: Outer = ()) -> dict[str, Plain]:
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


def _describe_function(function: types.FunctionType, path: str, outer: Outer) -> Plain:
    while function.__globals__.get("__name__") == "instructor.function.decorator":
        function = function.__wrapped__  # type: ignore[attr-defined]  # pyright: ignore - set by functools.wraps
    name = name_of(function)
    if function in outer:
        return [name]
    defaults = [function.__defaults__, function.__kwdefaults__]
    described = canonical(defaults, f"{path}, defaults", Form.ARGUMENT)
    # By its bytecode: it is described when it is used, by when its file may have been edited.
    return [name, _digest(_written_code(function.__code__)), described, describe_closure(function, f"{path}, ", outer)]


_descriptions: weakref.WeakKeyDictionary[type, Plain] = weakref.WeakKeyDictionary()
"""Descriptions of classes, which take long to make."""


def _describe_class(kind: type, path: str, outer: Outer) -> Plain:
    name = name_of(kind)
    if kind in outer or _is_of_library(kind):
        return [name]
    if kind not in _descriptions:
        schema = canonical(schema_of(kind), path) if issubclass(kind, BaseModel) and kind is not BaseModel else None
        line = [_describe_body(ancestor, path, (*outer, *kind.__mro__)) for ancestor in kind.__mro__]
        description = [name, line, schema]
        if outer:
            return description
        _descriptions[kind] = description
    return _descriptions[kind]


def _describe_body(kind: type, path: str, outer: Outer) -> Plain:
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
    return [name_of(kind), methods, members, attributes, _describe_annotations(kind)]


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


def _describe_attribute(value: object, path: str, outer: Outer) -> Plain:
    """Describe what a class holds; by its own class alone what has no form, such as a lock or a descriptor."""
    try:
        return describe(value, path, outer)
    except NoCanonicalFormError:
        return {f"{MARK}instance": name_of(type(value))}


def _describe_annotations(kind: type) -> Plain:
    """The annotations of a class, in their order, without the addresses of objects in them."""
    try:
        annotations = inspect.get_annotations(kind)
    except NameError:  # Python 3.14 evaluates annotations when they are asked for
        return None
    return [[name, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))] for name, value in annotations.items()]


def _methods_of(kind: type) -> dict[str, types.FunctionType]:
    """The functions in a class's body; not those that `dataclasses` and the like have made from text."""
    found: dict[str, types.FunctionType] = {}
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(function, types.FunctionType) and function.__code__.co_filename != "<string>":
            found[name] = function
    return found


def _digest(data: Plain) -> str:
    return hashlib.sha256(write_json(data).encode()).hexdigest()


def _written_tree(function: types.FunctionType) -> Plain:
    """The parsed source of a function as plain data; None if there is no source."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body
    except (OSError, SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        tree.decorator_list = []
    return _written_node(tree)


def _written_node(node: object) -> Plain:
    if isinstance(node, list):
        return [_written_node(item) for item in cast("list[object]", node)]
    if not isinstance(node, ast.AST):
        return repr(node)
    # Python versions differ in fields that are empty nearly always, such as `type_params`.
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return [type(node).__name__, {name: _written_node(value) for name, value in fields if name != "kind"}]


def _written_code(code: types.CodeType) -> Plain:
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


def _written_constant(constant: object) -> Plain:
    if isinstance(constant, types.CodeType):
        return _written_code(constant)
    if isinstance(constant, frozenset):
        return sorted(map(repr, cast("frozenset[object]", constant)))
    if isinstance(constant, tuple):
        return [_written_constant(item) for item in cast("tuple[object, ...]", constant)]
    return repr(constant)
