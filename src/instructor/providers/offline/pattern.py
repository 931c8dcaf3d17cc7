"""A shortest text for a regular expression, for schemas with ``pattern``.

It reads the part of the syntax that schemas use: literals, escapes, classes, groups, alternatives and repeats.
What it cannot read (a look-around, a back reference) it passes over; the caller checks the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "n": "\n", "t": "\t", "r": "\r"}
_NOTHING = frozenset("bBAzZ")
"""Escapes that stand for a place, not for a character."""
_COUNT = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")
_CANDIDATES = "a0A-_.@ zZ9#/:+*!xyb1"


def sample_pattern(pattern: str, repeats: int = 0) -> str:
    """Make a text that most likely matches.

    Args:
        pattern: The regular expression.
        repeats: How often more than needed a repeated part is written, where it may be.

    Returns:
        A text; empty where the expression cannot be read.
    """
    try:
        return _Sampler(pattern, repeats).alternatives()
    except (IndexError, re.error):
        return ""


@dataclass(slots=True)
class _Sampler:
    pattern: str
    repeats: int
    at: int = 0

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        char = self.pattern[self.at]
        self.at += 1
        return char

    def alternatives(self) -> str:
        """The first alternative; the others are read and dropped."""
        first = self.sequence()
        while self.peek() == "|":
            self.take()
            self.sequence()
        return first

    def sequence(self) -> str:
        parts: list[str] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom()))
        return "".join(parts)

    def atom(self) -> str:
        char = self.take()
        if char == "(":
            return self.group()
        if char == "[":
            return self.bracket()
        if char == "\\":
            return self.escape()
        return {"^": "", "$": "", ".": "a"}.get(char, char)

    def group(self) -> str:
        looks_around = self.pattern.startswith(("?=", "?!", "?<=", "?<!"), self.at)
        if self.peek() == "?":
            self.at = _end_of_prefix(self.pattern, self.at)
        inner = self.alternatives()
        self.take()
        return "" if looks_around else inner

    def bracket(self) -> str:
        start = self.at - 1
        self.at += 1 if self.peek() == "^" else 0
        self.at += 1 if self.peek() == "]" else 0
        while self.peek() != "]":
            self.at += 2 if self.peek() == "\\" else 1
            if self.at > len(self.pattern):
                raise IndexError(self.at)
        self.take()
        allowed = re.compile(self.pattern[start : self.at])
        return next((char for char in (*_CANDIDATES, *map(chr, range(33, 0x250))) if allowed.match(char)), "")

    def escape(self) -> str:
        char = self.take()
        if char in "xu":
            width = 2 if char == "x" else 4
            self.at += width
            return chr(int(self.pattern[self.at - width : self.at], 16))
        return "" if char in _NOTHING else _CLASSES.get(char, char)

    def repeated(self, atom: str) -> str:
        least, most = self.count()
        if self.peek() in ("?", "+"):
            self.take()
        return atom * min(max(least, least + self.repeats), max(most, least))

    def count(self) -> tuple[int, int]:
        simple = {"*": (0, 1 << 16), "+": (1, 1 << 16), "?": (0, 1)}.get(self.peek())
        if simple:
            self.take()
            return simple
        found = _COUNT.match(self.pattern, self.at)
        if not found:
            return 1, 1
        self.at = found.end()
        least = int(found[1] or 0)
        return least, int(found[3]) if found[3] else (1 << 16 if found[2] else least)


def _end_of_prefix(pattern: str, at: int) -> int:
    """Skip what stands between ``(`` and a group's content: ``?:``, ``?=``, ``?P<name>``, ``?<!``."""
    prefix = re.compile(r"\?(?:P?<\w+>|<?[=!]|[a-zA-Z]*:)").match(pattern, at)
    if not prefix:
        raise IndexError(at)
    return prefix.end()
