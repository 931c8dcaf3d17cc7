"""Wires whose files are imported when a request is first written or an answer first read: a cache hit does neither."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from instructor.mode import Mode
    from instructor.wires.wire import Wire


class _DeferredWire:
    """What a key needs to know of a wire. All else is asked of the wire itself, and kept."""

    def __init__(self, path: str, name: str, modes: tuple[Mode, ...], lacks: frozenset[str]) -> None:
        self._path = path
        self.name = name
        self.modes = modes
        self.lacks = lacks
        self._missing: set[str] = set()

    def __getattr__(self, member: str) -> Any:
        if member.startswith("__") or member in self._missing:  # "__": a look at what kind of object this is
            raise AttributeError(member)
        module, _, constant = self._path.rpartition(".")
        try:
            value = getattr(getattr(import_module(module), constant), member)
        except AttributeError:
            self._missing.add(member)
            raise
        setattr(self, member, value)
        return value


def defer_wire(path: str, name: str, modes: tuple[Mode, ...], lacks: frozenset[str] = frozenset()) -> Wire:
    """Make a wire of where it is, such as ``"instructor.wires.openai_chat.OPENAI_CHAT"``, and of what it says of itself."""
    return cast("Wire", _DeferredWire(path, name, modes, lacks))
