"""What was read from a store before, for as long as nothing in the store has changed."""

from __future__ import annotations

from typing import Protocol

from instructor.cache.entry import Entry, decode_entry
from instructor.exceptions import CacheEntryError


class Recalled:
    """What a store had under a key when it was last read.

    Attributes:
        text: What was stored; empty once `entry` is there.
        expires: Until when the store keeps it, in Unix seconds; None for ever.
        version: What the store's version was then.
        size: The bytes that the text takes in memory once it is decoded: four for each where a character may need them.
        entry: What the text was decoded to, which whoever decodes it first puts here.
    """

    __slots__ = ("entry", "expires", "size", "text", "version")

    def __init__(self, text: bytes, expires: float | None, version: bytes | bytearray) -> None:
        self.text, self.expires, self.version = text, expires, version
        self.size = len(text) if text.isascii() else 4 * len(text)
        self.entry: Entry | None = None


class RecallingStore(Protocol):
    """The ability ``"recalling"``: the store knows, without reading it again, that what was read is there still."""

    def recall(self, key: str, *, may_wait: bool) -> Recalled | None:
        """Return what was read under `key`, if nothing in the store has changed since; otherwise None.

        It counts as a use. With `may_wait` False, as in an event loop, it never waits for anything.
        """
        ...


def decode_recalled(recalled: Recalled, key: str) -> Entry | None:
    """The entry that was read before, decoded once for all hits; None if it is damaged, so that it is read again."""
    if recalled.entry is not None:
        return recalled.entry
    try:
        recalled.entry, recalled.text = decode_entry(recalled.text, key), b""
    except CacheEntryError:
        return None
    return recalled.entry
