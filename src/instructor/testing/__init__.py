"""For tests of your own: a scripted provider, made-up answers, and the contracts that stores and wires keep.

Each name is imported from its file when it is asked for. ``from_provider("offline/anything")`` needs nothing from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructor.providers.offline.filler import fill_schema
    from instructor.testing.scripted import ScriptedPort, ScriptedReply
    from instructor.testing.stores import StoreContract
    from instructor.testing.wires import WireContract

__all__ = ["ScriptedPort", "ScriptedReply", "StoreContract", "WireContract", "fill_schema"]

_FILES = {
    "ScriptedPort": "instructor.testing.scripted",
    "ScriptedReply": "instructor.testing.scripted",
    "StoreContract": "instructor.testing.stores",
    "WireContract": "instructor.testing.wires",
    "fill_schema": "instructor.providers.offline.filler",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FILES[name]), name)
