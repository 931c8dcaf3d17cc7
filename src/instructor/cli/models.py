"""The response model that a user names on the command line."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Literal, Optional, Union

from instructor.describing import describe_value
from instructor.exceptions import ConfigurationError
from instructor.messages import ResponseModel

_ADVICE = 'Write "module:Class" or "path/to/file.py:Class".'
_NAME = re.compile(r"(.+?\.py|[^:]+):(.+)", re.DOTALL)
"""A file, whose path may have a colon, or a module; and a type, whose texts may have one."""
_KNOWN = {kind.__name__: kind for kind in (bool, dict, float, int, list, set, str, tuple)} | {
    "Literal": Literal,
    "Optional": Optional,
    "Union": Union,
}
"""What a type may be made of beside what its module has."""
_PARTS = (
    *(ast.Expression, ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.BinOp, ast.BitOr, ast.Constant),
    *(ast.UnaryOp, ast.USub, ast.expr_context),
)
"""What the text of a type has: no calls, for it may stand in a file of somebody else's."""


def load_response_model(name: str) -> ResponseModel:
    """Import the response model that ``module:Class`` or ``path/to/file.py:Class`` names.

    Modules are imported from the current directory too. After the colon stands any response model as the module itself
    could write it: ``User``, ``Outer.Inner``, ``list[User]``, ``User | Company``.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise ConfigurationError(f"--response-model {name!r} does not name a class. {_ADVICE}")
    where, text = parts.groups()
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    found = _read_type(name, text, where, module)
    if isinstance(found, ModuleType) or inspect.isroutine(found) or found is None:
        raise ConfigurationError(f"{name} is {describe_value(found)}, not a response model. {_ADVICE}")
    return found


def _read_type(name: str, text: str, where: str, module: ModuleType) -> object:
    try:
        tree = ast.parse(text.strip(), mode="eval")
        nodes = [*ast.walk(tree)]
        if all(isinstance(node, _PARTS) for node in nodes):
            names = {node.id for node in nodes if isinstance(node, ast.Name)}
            found = {one: getattr(module, one) for one in names if one not in _KNOWN or hasattr(module, one)}
            return eval(compile(tree, name, "eval"), {"__builtins__": {}, **_KNOWN, **found})  # noqa: S307 - `_PARTS`
    except AttributeError as error:
        raise ConfigurationError(_describe_missing(where, text, error.obj, error.name or text)) from None
    except Exception as error:  # what a user's file has may raise anything where it is looked into
        raise ConfigurationError(f"--response-model {name!r} is not a type: {error}. {_ADVICE}") from error
    raise ConfigurationError(f"--response-model {name!r} does not name a class. {_ADVICE}")


def _import_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(_describe_failure(name, error)) from error
        raise ConfigurationError(
            f"There is no module {error.name!r}, neither installed nor in {Path.cwd()}. {_ADVICE}"
        ) from error
    except Exception as error:  # a user's module may raise anything
        raise ConfigurationError(_describe_failure(name, error)) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path}. {_ADVICE}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # it may import its neighbours, but what is called numbers.py isn't Python's `numbers`
        sys.path.append(folder)
    name = f"{path.stem}_file" if path.stem in sys.stdlib_module_names else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be imported as Python. {_ADVICE}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves names there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything
        raise ConfigurationError(_describe_failure(str(path), error)) from error
    return module


def _describe_failure(name: str, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} cannot be imported: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})."


def _describe_missing(where: str, path: str, found: object, part: str) -> str:
    members: Mapping[str, object] = getattr(found, "__dict__", {})
    classes = {name: value for name, value in members.items() if isinstance(value, type) and not name.startswith("_")}
    own = [name for name, value in classes.items() if value.__module__ == getattr(found, "__name__", "")]
    close = difflib.get_close_matches(part, classes, 1)
    hint = f" Did you mean {close[0]}?" if close else (f" It has {', '.join(sorted(own))}." if own else "")
    return f"{where} has no {path!r}.{hint}"
