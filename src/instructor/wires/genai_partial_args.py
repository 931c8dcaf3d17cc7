"""A function call's arguments on Vertex AI, streamed as values at JSON paths: they are written as JSON text again."""

from __future__ import annotations

import re
from typing import Any

from instructor.wires.text import dump_json, get_path, get_text

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_BRACKETS = {str: "{}", int: "[]"}

_Path = tuple[str | int, ...]


class PartialArgs:
    """Writes values as JSON text, in the order in which they come, which is that of the text.

    Example:
        >>> args = PartialArgs("User")
        >>> args.add({"json_path": "$.name", "string_value": "Ada"})
        '{"name":"Ada"'
        >>> args.add({"json_path": "$.tags[0].age", "number_value": 36.0}) + args.close()
        ',"tags":[{"age":36}]}'
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._path: _Path = ()
        self._is_growing = False

    def add(self, value: Any) -> str:
        """Write a value, or a piece of a string that goes on."""
        path = _read_path(get_text(value, "json_path"))
        begun, text = self._is_growing and path == self._path, get_path(value, "string_value")
        opening = "" if begun else self._end_string() + self._move(path)
        if not isinstance(text, str):
            return opening + _write_value(value)
        self._is_growing = bool(get_path(value, "will_continue"))
        return opening + ("" if begun else '"') + dump_json(text)[1:-1] + ("" if self._is_growing else '"')

    def close(self) -> str:
        """Write the end."""
        return self._end_string() + (_close(self._path) or "{}")

    def _end_string(self) -> str:
        quote, self._is_growing = '"' if self._is_growing else "", False
        return quote

    def _move(self, path: _Path) -> str:
        """Close what the last value was in and the next isn't, and open the rest."""
        before, self._path = self._path, path
        if not before:
            return _open(path)
        most = min(len(before), len(path)) - 1
        shared = next((at for at in range(most) if before[at] != path[at]), most)
        return _close(before[shared + 1 :]) + "," + _write_key(path[shared]) + _open(path[shared + 1 :])


def _read_path(text: str) -> _Path:
    steps = (found.groups() for found in _STEP.finditer(text))
    path = tuple(int(index) if index else name or single or double for name, index, single, double in steps)
    return path or ("",)


def _open(path: _Path) -> str:
    return "".join(_BRACKETS[type(step)][0] + _write_key(step) for step in path)


def _close(path: _Path) -> str:
    return "".join(_BRACKETS[type(step)][1] for step in reversed(path))


def _write_key(step: str | int) -> str:
    return f"{dump_json(step)}:" if isinstance(step, str) else ""


def _write_value(value: Any) -> str:
    number = get_path(value, "number_value")
    if isinstance(number, float) and number.is_integer():
        return str(int(number))  # every number comes as a float
    return dump_json(number if number is not None else get_path(value, "bool_value"))
