"""One stored answer, and the two lines of text that a store holds for it."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

import orjson

from instructor.exceptions import CacheEntryError
from instructor.usage import Usage

FORMAT = 2
"""Raised when the text changes its meaning; an entry of another format is a miss."""


class Entry(NamedTuple):
    """What is known of one live answer. It holds text only: no code, no class names, no credentials, no prompt.

    A tuple, because every hit on disk or over the network makes one.

    Attributes:
        key: The key it was stored under.
        answer: The provider's answer as JSON text, as the wire read it; empty for ``response_model=None``.
        completion: The SDK's completion as one line of JSON, as the port dumped it.
        provider: The vendor asked.
        model: The model asked.
        created: When the answer came, in Unix seconds.
        expires: When it stops being served, in Unix seconds; None for never.
        seconds: How long the live call took, all attempts together.
        usage: Tokens spent, all attempts together.
        attempts: How many requests it took.
    """

    key: str
    answer: str
    completion: str
    provider: str
    model: str
    created: float
    expires: float | None = None
    seconds: float = 0.0
    usage: Usage = Usage()
    attempts: int = 1


def encode_entry(entry: Entry) -> str:
    """Write an entry as two lines of JSON: what a hit needs, then the completion, which few hits look at.

    A checksum of all that follows stands before them, because a flipped bit may leave valid JSON behind.
    """
    usage = entry.usage
    head = orjson.dumps(
        {
            "instructor": FORMAT,
            "key": entry.key,
            "answer": entry.answer,
            "provider": entry.provider,
            "model": entry.model,
            "created": entry.created,
            "expires": entry.expires,
            "seconds": entry.seconds,
            "usage": [usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens],
            "attempts": entry.attempts,
        }
    )
    body = head + b"\n" + entry.completion.encode()
    return f"{crc32(body):08x} {body.decode()}"


def decode_entry(text: str | bytes, key: str) -> Entry:
    """Read what `encode_entry` wrote.

    Args:
        text: What the store returned.
        key: The key that was asked for.

    Raises:
        CacheEntryError: The text is damaged, of another format, or another key's entry.
    """
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
        checksum, _, body = data.partition(b" ")
        if checksum != b"%08x" % crc32(body):
            raise CacheEntryError("The entry is damaged: its checksum does not fit.")
        first, _, completion = body.partition(b"\n")
        head = orjson.loads(first)
        if head["instructor"] != FORMAT:
            raise CacheEntryError(f"The entry has format {head['instructor']!r}; this version reads format {FORMAT}.")
        entry = Entry(
            head["key"],
            head["answer"],
            completion.decode(),
            head["provider"],
            head["model"],
            head["created"],
            head["expires"],
            head["seconds"],
            Usage(*head["usage"]),
            head["attempts"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheEntryError(f"The entry is damaged and cannot be read: {error}") from error
    if entry.key != key:
        raise CacheEntryError(f"The store returned the entry of another key, {entry.key!r}.")
    return entry
