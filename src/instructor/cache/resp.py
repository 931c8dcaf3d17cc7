"""The protocol of Redis, version 3, as far as a connection that hears of changes needs it.

redis-py isn't used for that: its asynchronous connections have no client tracking, and its synchronous ones refuse Valkey.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

Reply: TypeAlias = "bytes | int | list[Reply] | ServerError | Push | None"
"""What a server sends. Texts, numbers with a fraction and Booleans are left as bytes; a map is a list of both."""

Reading = Generator[None, None, Reply]
"""Reads one reply; stops where more bytes are needed."""

MOST_BYTES = 64 << 20
"""A longer text isn't one that a server would send here."""


class ServerError(Exception):
    """An error that the server replied."""


class Push(list[Reply]):
    """What the server sends unasked."""


class ReplyReader:
    """Makes replies of the bytes of a connection, in whatever pieces they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0
        self._reading = self._read()

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes in; return the replies that are whole. Raises ValueError for what isn't this protocol."""
        self._bytes += data
        whole: list[Reply] = []
        while True:
            try:
                next(self._reading)
            except StopIteration as stop:
                whole.append(stop.value)
                self._reading = self._read()
            else:
                break
        del self._bytes[: self._at]
        self._at = 0
        return whole

    def _read(self) -> Reading:
        while (end := self._bytes.find(b"\r\n", self._at)) < 0:
            yield
        line = bytes(self._bytes[self._at : end])
        kind, rest = line[:1], line[1:]
        self._at = end + 2
        if kind in _LINES:
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"-":
            return ServerError(rest.decode(errors="replace"))
        if kind in _TEXTS:
            return (yield from self._read_text(int(rest)))
        if kind in _LISTS:
            return (yield from self._read_list(_LISTS[kind], int(rest)))
        raise ValueError("no reply of Redis begins so")

    def _read_text(self, size: int) -> Reading:
        if size > MOST_BYTES:
            raise ValueError("a reply is too long")
        if size < 0:
            return None
        while len(self._bytes) < self._at + size + 2:
            yield
        start, self._at = self._at, self._at + size + 2
        return bytes(self._bytes[start : start + size])

    def _read_list(self, each: int, size: int) -> Reading:
        if size < 0:
            return None
        found: list[Reply] = Push() if each == 0 else []
        for _ in range(size * max(1, each)):
            found.append((yield from self._read()))  # noqa: PERF401 - a generator can't be awaited in a comprehension
        return found


_LINES = frozenset({b"+", b"#", b",", b"("})
_TEXTS = frozenset({b"$", b"=", b"!"})
_LISTS = {b"*": 1, b"~": 1, b"%": 2, b">": 0}
"""How many replies stand for each item; 0 for a push."""


def encode_command(words: tuple[str, ...]) -> bytes:
    """Write a command."""
    texts = [word.encode(errors="surrogateescape") for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
