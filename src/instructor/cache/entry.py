"""One stored answer, and the text that a store holds for it.

The text is a checksum, one line of JSON that describes the answer, the answer's parts character by character, and the
provider's completion with a checksum of its own::

    5f0c2a1e [3,"<key>","openai",...,[["User",23]],512]
    {"name":"Ann","age":27}9b1d03c4 {"kind":"ChatCompletion",...}

The completion is the longest piece and few cache hits look at it, so it is checked and decoded only when it is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from zlib import crc32

import orjson

from instructor.exceptions import CacheEntryError
from instructor.messages import Part
from instructor.usage import Usage

FORMAT = 3
"""Raised whenever the text changes its meaning. An entry of another format is a cache miss."""


class Entry(NamedTuple):
    """What is kept of one live answer. It holds text only: no code, no class names, no credentials, no prompt.

    A tuple, because every cache hit on disk or over the network makes one.

    Attributes:
        key: The key it was stored under.
        parts: The provider's answer as the wire format read it; empty for ``response_model=None``.
        completion_data: The SDK's completion as `pack_completion` wrote it; empty where it could not be written.
        provider: The vendor asked.
        model: The model asked.
        created: When the answer came, in Unix seconds.
        expires: When it stops being served, in Unix seconds; None for never.
        seconds: How long the live call took, all attempts together.
        usage: Tokens spent, all attempts together.
        attempts: How many requests it took.

    Example:
        >>> entry = Entry("key", (Part("User", '{"age": 27}'),), pack_completion("{}"), "openai", "gpt-4.1", 1.0)
        >>> decode_entry(encode_entry(entry), "key") == entry
        True
        >>> entry.answer, entry.completion
        ('{"age": 27}', '{}')
    """

    key: str
    parts: tuple[Part, ...]
    completion_data: bytes
    provider: str
    model: str
    created: float
    expires: float | None = None
    seconds: float = 0.0
    usage: Usage = Usage()
    attempts: int = 1

    @property
    def answer(self) -> str:
        """The text of the first part; empty if there is none."""
        return self.parts[0].text if self.parts else ""

    @property
    def completion(self) -> str:
        """The SDK's completion as one line of JSON; empty where it could not be written.

        Raises:
            CacheEntryError: It is damaged.
        """
        data = self.completion_data
        if not data:
            return ""
        try:
            return str(_check(data, len(data)), "utf-8")
        except ValueError:
            raise CacheEntryError("The stored completion is damaged: it is not UTF-8.") from None


def pack_completion(text: str) -> bytes:
    """Write a completion as an entry keeps it: a checksum and the text. Empty for an empty text."""
    return _seal(text.encode()) if text else b""


def encode_entry(entry: Entry) -> str:
    """Write an entry as text for a store.

    Raises:
        TypeError: A number is beyond what JSON writers hold.
        ValueError: A text has no UTF-8.
    """
    usage = entry.usage
    texts = [part.text.encode() for part in entry.parts]
    head = (
        FORMAT,
        entry.key,
        entry.provider,
        entry.model,
        float(entry.created),
        None if entry.expires is None else float(entry.expires),
        float(entry.seconds),
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        entry.attempts,
        [(part.tool, len(text)) for part, text in zip(entry.parts, texts, strict=True)],
        len(entry.completion_data),
    )
    answer = _seal(b"\n".join((orjson.dumps(head), b"".join(texts))))
    return (answer + entry.completion_data).decode()


_HEADS = {
    (int, str, str, str, float, expires, float, int, int, int, int, int, list, int) for expires in (float, type(None))
}
"""The types of the members of an entry's first line, in their order."""

_COUNTS = slice(6, 12)
"""Which of them are numbers of seconds, tokens and requests."""


def decode_entry(data: str | bytes | bytearray | memoryview, key: str) -> Entry:
    """Read what `encode_entry` wrote. The completion is checked later, when it is asked for.

    Args:
        data: What the store returned.
        key: The key that was asked for.

    Raises:
        CacheEntryError: The text is damaged, of another format, or another key's entry. The message quotes nothing
            of the answer.
    """
    try:
        if isinstance(data, str):
            data = data.encode()
        return _decode(data if isinstance(data, bytes) else bytes(memoryview(data)), key)
    except (ValueError, TypeError, OverflowError) as error:
        # Its message, and the error itself as a cause, would hold some of the text.
        raise CacheEntryError(f"The entry is damaged and cannot be read ({type(error).__name__}).") from None


_PREFIX = 9
"""The length of a checksum, eight hexadecimal digits and a space."""


def _decode(data: bytes, key: str) -> Entry:
    line_end = data.find(b"\n")
    head = cast("list[Any]", orjson.loads(data[_PREFIX:line_end]))
    if type(head) is not list or head[:1] != [FORMAT]:
        raise CacheEntryError(f"The entry has another format; this version of instructor reads format {FORMAT}.")
    if tuple(map(type, head)) not in _HEADS:
        raise CacheEntryError("The entry is damaged: a member is missing or has the wrong type.")
    _, stored_key, provider, model, created, expires, seconds, *counts, attempts, sizes, completion_size = head
    if stored_key != key:
        raise CacheEntryError("The store returned the entry of another key.")
    if min(head[_COUNTS]) < 0:
        raise CacheEntryError("The entry is damaged: a count is below zero.")
    parts, end = _cut_parts(data, line_end + 1, sizes)
    _check(data, end)
    if end + completion_size != len(data):
        raise CacheEntryError("The entry is damaged: it is cut short, or too long.")
    return Entry(key, parts, data[end:], provider, model, created, expires, seconds, Usage(*counts), attempts)


def _cut_parts(data: bytes, start: int, sizes: list[Any]) -> tuple[tuple[Part, ...], int]:
    """Cut the answer into its parts; return them, and where the last one ends."""
    parts: list[Part] = []
    for tool, size in sizes:
        if not isinstance(tool, str) or type(size) is not int or size < 0:
            raise TypeError
        parts.append(Part(tool, data[start : start + size].decode()))
        start += size
    return tuple(parts), start


def _seal(body: bytes) -> bytes:
    """Write a checksum before `body`, because a flipped bit may leave valid JSON behind."""
    return b"%08x %b" % (crc32(body), body)


def _check(data: bytes, end: int) -> memoryview:
    """Return what `_seal` was given, without copying it. What lies behind `end` is not looked at.

    Raises:
        CacheEntryError: The checksum does not fit.
    """
    body = memoryview(data)[_PREFIX:end]
    if data[:_PREFIX] != b"%08x " % crc32(body):
        raise CacheEntryError("The entry is damaged: its checksum does not fit.")
    return body
