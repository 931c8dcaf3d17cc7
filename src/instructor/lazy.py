"""Public names of a package that are imported from their files when they are asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def resolve_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package (PEP 562).

    You would hide both from type checkers, to which a ``__getattr__`` says that every name exists; they read the
    imports under ``TYPE_CHECKING`` instead.

    Args:
        package: The package's ``__name__``.
        homes: The full name of the module that each public name is defined in; for a module of the package, its own.

    Example:
        >>> if TYPE_CHECKING:
        ...     from instructor.mode import Mode
        ... else:
        ...     __getattr__, __dir__ = resolve_names(__name__, {"Mode": "instructor.mode"})
    """

    def resolve(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        module = importlib.import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve, lambda: sorted(homes)
