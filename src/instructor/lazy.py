"""Public names of a package whose files are imported on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType


def resolve_names(
    package: str, homes: Mapping[str, str], missing: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package (PEP 562).

    Hide both from type checkers, which would take every name for one that exists. Write imports under
    ``TYPE_CHECKING`` for them, and call this function in its ``else``.

    `homes` has the full name of the module that defines each public name; for a module of the package, its own.
    `missing` has a message for each name that isn't here any more: it says what to use instead.

    Example:
        >>> import instructor
        >>> getattribute, names = resolve_names("instructor", {"Mode": "instructor.mode"})
        >>> names(), getattribute("Mode") is instructor.Mode
        (['Mode'], True)
    """

    def resolve(name: str) -> object:
        if name not in homes:
            message = missing.get(name, f"module {package!r} has no attribute {name!r}")
            raise AttributeError(message, name=name, obj=sys.modules[package])
        module = importlib.import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve, lambda: sorted(homes)
