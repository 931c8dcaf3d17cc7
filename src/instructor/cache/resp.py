"""The protocol of Redis, version 3, as far as the store needs it, which includes version 2.

redis-py isn't used to hear of changes: its asynchronous connections have no client tracking, and its synchronous ones refuse
Valkey. Nor is it used for the usual commands (`redis_client`), because it takes several times as long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
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

    @property
    def has_more(self) -> bool:
        """Whether more has come than whole replies."""
        return bool(self._bytes)

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


_PIECE = 1 << 16


def read_replies(receive: Callable[[int], bytes], count: int) -> list[Reply]:
    """Read so many replies from a connection that owes no others. `receive` reads so many bytes at most, or waits for some.

    Raises ConnectionError if the connection has ended, ValueError if something else has come, or something more.
    """
    data = receive(_PIECE)
    replies = _read_at_once(data, count)
    if replies is None:
        reader, replies = ReplyReader(), list[Reply]()
        while _take(reader, data, replies, count):
            data = receive(_PIECE)
    return replies


async def read_replies_async(receive: Callable[[int], Awaitable[bytes]], count: int) -> list[Reply]:
    """As `read_replies`, in a task."""
    data = await receive(_PIECE)
    replies = _read_at_once(data, count)
    if replies is None:
        reader, replies = ReplyReader(), list[Reply]()
        while _take(reader, data, replies, count):
            data = await receive(_PIECE)
    return replies


def _read_at_once(data: bytes, count: int) -> list[Reply] | None:
    """Read so many replies of the usual kinds; None if one is of another kind, or if they aren't all that has come."""
    replies: list[Reply] = []
    try:
        at = 0
        for _ in range(count):
            reply, at = _read_whole(data, at)
            replies.append(reply)
    except (ValueError, IndexError):
        return None
    return replies if at == len(data) else None


def _take(reader: ReplyReader, data: bytes, replies: list[Reply], count: int) -> bool:
    """Take in a piece of so many replies; return whether more are to come."""
    if not data:
        raise ConnectionError("the server has closed the connection")
    replies += reader.feed(data)
    if len(replies) > count or (len(replies) == count and reader.has_more):
        raise ValueError("more has come than was asked for")
    return len(replies) < count


def _read_whole(data: bytes, at: int) -> tuple[Reply, int]:
    """Read a text, a number, or a list of both, in a third of the time; return it, and where it ends.

    Raises ValueError for any other reply, and for one that isn't whole.
    """
    kind, index = data[at], data.index
    end = index(b"\r", at)
    count, at = int(data[at + 1 : end]), end + 2
    if kind == _NUMBER:
        return count, at
    if kind == _TEXT and count >= 0:
        return data[at : at + count], at + count + 2
    if kind != _LIST or count < 0:
        raise ValueError("it is of another kind")
    found: list[Reply] = []
    for _ in range(count):
        kind, end = data[at], index(b"\r", at)
        value = int(data[at + 1 : end])
        if kind == _TEXT and value >= 0:
            start, at = end + 2, end + value + 4
            found.append(data[start : at - 2])
        elif kind == _NUMBER:
            at = end + 2
            found.append(value)
        else:
            raise ValueError("it is of another kind")
    return found, at


_TEXT, _NUMBER, _LIST = b"$:*"


def encode_command(words: Sequence[str | bytes | int]) -> bytes:
    """Write a command."""
    parts = [b"*%d" % len(words)]
    for word in words:
        text = word if type(word) is bytes else str(word).encode(errors="surrogateescape")
        size = len(text)
        parts += (_SIZES[size] if size < _MANY else b"\r\n$%d\r\n" % size), text
    parts.append(b"\r\n")
    return b"".join(parts)


_MANY = 256
_SIZES = [b"\r\n$%d\r\n" % size for size in range(_MANY)]
"""How the size of a short text is written, after the end of what comes before."""
